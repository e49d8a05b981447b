/*
 * What the leader's node does next. In the order in which it matters: an engine that runs without
 * right ends; the record is claimed before anything that rests on it (F2); the set shrinks before
 * the names do, and grows after them (F4, F5); clients come last (F7).
 */
#include "ha/ha_priv.h"

/* ---- not running -------------------------------------------------------------------------------
 */

/* Its engine is proven dead, and another one of the set can do without it. */
static HaDecision make_room(const HaView *view, const char *why)
{
    HaDecision decision = ha_write(view, why);
    decision.record.phase = HA_PHASE_FREE;
    return decision;
}

static HaDecision lead_empty(const HaView *view)
{
    if (!ha_may_have_begun(&view->record)) {
        return ha_do(HA_STEP_MAKE, "");
    }
    bool admitted = !ha_id_is_empty(&view->record.admitted);
    if (view->record.phase != HA_PHASE_FREE && (ha_taker(view) != NULL || admitted)) {
        return make_room(view, "its data is gone");
    }
    if (view->record.set.len == 0) {
        return ha_stuck("by the copy of the store that the tier goes on from it had not begun, and "
                        "what became of it is not known: where it was only being made, delete it "
                        "and make it again; else see `weir failover --help`");
    }
    return ha_stuck("its data is gone, and no other node is known to have all of it: restore a "
                    "backup, or see `weir failover --help`");
}

static const char *before_start(const HaRecord *record)
{
    return record->phase == HA_PHASE_YIELDING ? "its engine has ended, and nobody could take over"
                                              : "before it starts";
}

/* Whoever was admitted in its place is not needed. Where this is the one, its data is not what the
 * set had, nor on the timeline of that. */
static void set_claim(const HaView *view, HaRecord *record)
{
    if (!ha_in_set(view)) {
        record->unsure = record->unsure || record->set.len > 0;
        record->history_term = record->set.len > 0 ? 0 : record->history_term;
        record->set.len = 0;
    }
    ha_set_add(&record->set, &view->incarnation);
    record->admitted = (HaId){0};
}

/* Nobody has taken the term: it goes on here. */
static HaDecision take_back(const HaView *view)
{
    if (ha_taker(view) != NULL && view->phase_ms < HA_TAKE_MS) {
        return ha_wait("another one is to lead", HA_SOON_MS);
    }
    HaDecision decision = ha_write(view, "nobody else leads");
    decision.record.phase = HA_PHASE_LEADING;
    decision.record.heir = (HaId){0};
    set_claim(view, &decision.record);
    return decision;
}

static HaDecision lead_down(const HaView *view)
{
    const HaRecord *record = &view->record;
    if (record->phase == HA_PHASE_FREE) {
        return take_back(view);
    }
    bool wanted = record->phase == HA_PHASE_YIELDING || !view->asked;
    if (wanted && record->set.len > 0 && ha_taker(view) != NULL) {
        return make_room(view, view->asked ? "a planned change" : "its engine has ended");
    }
    if (!view->claimed) {
        HaDecision decision = ha_write(view, before_start(record));
        decision.record.phase = HA_PHASE_LEADING;
        decision.record.heir = (HaId){0};
        decision.record.strict = view->strict;
        set_claim(view, &decision.record);
        return decision;
    }
    /* One that was told to lead, and whose timeline is not known, may have ended half-way. */
    bool begins = view->data == HA_DATA_NEW && record->history_len == 0;
    bool goes_on =
        view->data == HA_DATA_LED && (ha_record_timeline(record) != 0 || record->history_len == 0);
    return begins || goes_on ? ha_do(HA_STEP_START_LEADING, "")
                             : ha_do(HA_STEP_START_FOLLOWING, "and is promoted then");
}

/* ---- on the way --------------------------------------------------------------------------------
 */

static HaDecision lead_starting(const HaView *view)
{
    return ha_taker(view) != NULL && view->state_ms >= HA_START_MS
               ? ha_do(HA_STEP_KILL, "it does not start, and another one could lead")
               : ha_wait("it starts", HA_SOON_MS);
}

static HaDecision lead_following(const HaView *view)
{
    if (view->claimed) {
        return ha_do(HA_STEP_PROMOTE, "it leads");
    }
    HaDecision decision = ha_write(view, "before it is promoted");
    set_claim(view, &decision.record);
    return decision;
}

/* Loaded or dead? An engine that the standby hears is alive, unless its host knows better; and
 * where nobody could lead in its place, ending it helps only when nothing else does. */
static HaDecision lead_silent(const HaView *view)
{
    const HaPeer *taker = ha_taker(view);
    bool heard = false;
    for (size_t i = 0; i < view->peers_len; i++) {
        heard = heard || (view->peers[i].hears &&
                          ha_set_has(&view->record.set, &view->peers[i].incarnation));
    }
    int64_t patience_ms = taker == NULL  ? HA_HUNG_MS
                          : view->halted ? HA_HALTED_MS
                          : heard        ? HA_HUNG_MS
                                         : HA_SILENT_MS;
    return view->state_ms >= patience_ms ? ha_do(HA_STEP_KILL, "it does not answer")
                                         : ha_wait("an answer", HA_SOON_MS);
}

/* ---- a planned change --------------------------------------------------------------------------
 */

static bool heir_is_ready(const HaView *view, const HaId *heir)
{
    const HaPeer *peer = ha_peer_of_node(view, heir);
    return peer != NULL && peer->streaming && peer->bound && peer->follows &&
           ha_set_has(&view->record.set, &peer->incarnation);
}

/* Who is asked for; where this node shall leave, whoever is ready. "": nobody. */
static HaId heir_now(const HaView *view)
{
    bool asked = view->handover > view->record.handover && !ha_id_eq(&view->heir, &view->self);
    if (asked && heir_is_ready(view, &view->heir)) {
        return view->heir;
    }
    for (size_t i = 0; i < view->peers_len; i++) {
        if (view->gone && view->peers[i].wanted && heir_is_ready(view, &view->peers[i].node)) {
            return view->peers[i].node;
        }
    }
    return (HaId){0};
}

/* What was asked for cannot be, and waits no longer: it holds back what else is planned. */
static bool is_vain(const HaView *view)
{
    return view->handover > view->record.handover && view->wish_ms >= HA_WISH_MS &&
           !heir_is_ready(view, &view->heir);
}

/* It stays as it is. What was asked for counts as done. */
static HaDecision change_give_up(const HaView *view)
{
    HaDecision decision = ha_write(
        view, ha_id_eq(&view->heir, &view->self) ? "it leads already" : "its standby is not ready");
    decision.record.handover = view->handover;
    return decision;
}

static HaDecision change_begin(const HaView *view, HaId heir)
{
    HaDecision decision = ha_write(view, "a planned change");
    decision.record.phase = HA_PHASE_YIELDING;
    decision.record.heir = heir;
    if (ha_id_eq(&heir, &view->heir) && view->handover > view->record.handover) {
        decision.record.handover = view->handover;
    }
    return decision;
}

static HaDecision yield_on(const HaView *view)
{
    if (!heir_is_ready(view, &view->record.heir)) {
        HaDecision decision = ha_write(view, "its standby is not ready any more");
        decision.record.phase = HA_PHASE_LEADING;
        decision.record.heir = (HaId){0};
        return decision;
    }
    if (view->phase_ms < HA_DRAIN_MS || (view->heard && view->phase_ms < HA_HEARD_MS)) {
        return ha_wait("what was sent before", HA_DRAIN_MS);
    }
    return view->busy && view->phase_ms < HA_YIELD_MS ? ha_wait("transactions to end", HA_SOON_MS)
                                                      : ha_do(HA_STEP_STOP, "a planned change");
}

/* ---- the set -----------------------------------------------------------------------------------
 */

/* Another one of the set streams: who waits for that need not wait for data that nobody has. */
static bool another_streams(const HaView *view)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        if (view->peers[i].streaming &&
            ha_set_has(&view->record.set, &view->peers[i].incarnation)) {
            return true;
        }
    }
    return false;
}

/* Gone for good enough, and it is not the leader that is dying (F10). */
static bool may_degrade(const HaView *view, const HaPeer *peer)
{
    if (view->strict || view->record.strict) {
        return peer == NULL && another_streams(view);
    }
    bool gone = peer == NULL || peer->gone_ms >= HA_DEGRADE_MS || (peer->ended && !peer->streaming);
    return gone && view->disk_ms <= HA_DISK_MS;
}

static bool keeps(const HaView *view, const HaId *incarnation)
{
    const HaPeer *peer = ha_peer_of_incarnation(view, incarnation);
    if (ha_id_eq(incarnation, &view->incarnation)) {
        return true;
    }
    return (peer == NULL || peer->wanted) && !may_degrade(view, peer);
}

static HaSet kept(const HaView *view)
{
    HaSet set = {.len = 0};
    ha_set_add(&set, &view->incarnation);
    for (size_t i = 0; i < view->record.set.len; i++) {
        if (keeps(view, &view->record.set.items[i])) {
            ha_set_add(&set, &view->record.set.items[i]);
        }
    }
    return set;
}

/* Who is about to join, and still may. It may be away for a moment: the proof that the names bind
 * ends walsenders (F5). */
static HaId joining_now(const HaView *view)
{
    const HaPeer *peer = ha_peer_of_incarnation(view, &view->joining);
    bool joins = !ha_id_is_empty(&view->joining) && peer != NULL && peer->wanted &&
                 !ha_set_has(&view->record.set, &view->joining);
    bool there = joins && (peer->streaming || (peer->gone_ms < HA_DEGRADE_MS && !peer->ended));
    return there ? view->joining : (HaId){0};
}

static const HaPeer *next_to_join(const HaView *view)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        const HaPeer *peer = &view->peers[i];
        if (peer->wanted && peer->streaming && !ha_id_is_empty(&peer->incarnation) &&
            !ha_set_has(&view->record.set, &peer->incarnation)) {
            return peer;
        }
    }
    return NULL;
}

/* What is waited for becomes what it should be. Weaker names want a write behind the last ones, so
 * that none of ours in flight can take effect (F2). */
static HaDecision set_names(const HaView *view, HaId joining)
{
    HaSet next = ha_standbys(&view->record, &view->incarnation, &joining);
    bool weaker = !view->names_set;
    for (size_t i = 0; i < view->names.len; i++) {
        weaker = weaker || !ha_set_has(&next, &view->names.items[i]);
    }
    if (weaker && !view->fresh) {
        return ha_write(view, "before fewer are waited for");
    }
    HaDecision decision = ha_do(HA_STEP_NAMES, "");
    decision.joining = joining;
    return decision;
}

static HaDecision join(const HaView *view)
{
    HaId joining = joining_now(view);
    if (!ha_id_is_empty(&joining)) {
        const HaPeer *peer = ha_peer_of_incarnation(view, &joining);
        if (!peer->bound || !peer->streaming) {
            return ha_wait("a standby to have it all", HA_SOON_MS);
        }
        HaDecision decision = ha_write(view, "a standby has it all");
        ha_set_add(&decision.record.set, &joining);
        return decision;
    }
    const HaPeer *next = next_to_join(view);
    if (next != NULL && view->record.set.len < HA_SET_MAX) {
        return set_names(view, next->incarnation);
    }
    for (size_t i = 0; i < view->peers_len; i++) {
        if (view->peers[i].wanted && !ha_set_has(&view->record.set, &view->peers[i].incarnation)) {
            return ha_wait("a standby", HA_SOON_MS);
        }
    }
    return ha_rest();
}

/* ---- clients (F7, F9) --------------------------------------------------------------------------
 */

static const char *why_closed(const HaView *view)
{
    HaSet standbys = ha_standbys(&view->record, &view->incarnation, &(HaId){0});
    for (size_t i = 0; i < standbys.len; i++) {
        const HaPeer *peer = ha_peer_of_incarnation(view, &standbys.items[i]);
        if (peer == NULL || !peer->bound) {
            return "its standby to have what clients would see";
        }
    }
    bool wanted = false;
    for (size_t i = 0; i < view->peers_len; i++) {
        wanted = wanted || view->peers[i].wanted;
    }
    if (view->record.strict && standbys.len == 0 && wanted) {
        return "a standby: without one it may not serve (strict)";
    }
    if (!view->record.proven && view->state_ms + view->cut_off_ms < HA_RIGHT_MS + HA_MARGIN_MS) {
        return "the former leader's right to answer to end";
    }
    return NULL;
}

/* ---- leading -----------------------------------------------------------------------------------
 */

static HaDecision claim(const HaView *view)
{
    HaDecision decision = ha_write(view, "it leads");
    HaRecord *record = &decision.record;
    record->strict = view->strict;
    set_claim(view, record);
    if (ha_record_timeline(record) != view->timeline) {
        ha_record_tell(record, view);
    }
    return decision;
}

/* A copy of the store may be of before its own promotion; and who is let lead is on a timeline of
 * its own. */
static bool may_tell_timeline(const HaView *view)
{
    int64_t timeline = ha_record_timeline(&view->record);
    return timeline == 0 || ha_is_admitted(view) ||
           (view->record.unsure && view->timeline > timeline);
}

static HaDecision lead_leading(const HaView *view)
{
    const HaRecord *record = &view->record;
    bool tells = ha_record_timeline(record) != view->timeline;
    if (tells && !may_tell_timeline(view)) {
        return ha_stuck("it runs on another timeline than the cluster: look at its log");
    }
    if (!view->claimed || tells || record->strict != view->strict ||
        !ha_id_is_empty(&record->admitted)) {
        return claim(view);
    }
    if (record->phase == HA_PHASE_YIELDING) {
        return yield_on(view);
    }
    if (is_vain(view)) {
        return change_give_up(view);
    }
    HaSet set = kept(view);
    if (!ha_set_eq(&set, &record->set)) {
        HaDecision decision = ha_write(view, "a standby is gone");
        decision.record.set = set;
        return decision;
    }
    HaId joining = joining_now(view);
    HaSet names = ha_standbys(record, &view->incarnation, &joining);
    if (!view->names_set || !ha_set_eq(&names, &view->names)) {
        return set_names(view, joining);
    }
    if (!view->open) {
        const char *why = why_closed(view);
        if (why == NULL) {
            return ha_do(HA_STEP_OPEN, "");
        }
        HaDecision decision = join(view);
        return decision.step == HA_STEP_WAIT ? ha_wait(why, HA_SOON_MS) : decision;
    }
    HaId heir = heir_now(view);
    return ha_id_is_empty(&heir) ? join(view) : change_begin(view, heir);
}

/* Its engine was proven dead when the term became free; whatever runs here now has no right to. */
static bool runs_without_right(const HaView *view)
{
    return view->record.phase == HA_PHASE_FREE && view->state != HA_STATE_EMPTY &&
           view->state != HA_STATE_DOWN;
}

/* It has data, and not what the record means: by that it has not all that was acknowledged. */
static bool is_another(const HaView *view)
{
    bool has_data = view->state == HA_STATE_DOWN || view->state == HA_STATE_FOLLOWING ||
                    view->state == HA_STATE_LEADING;
    return has_data && ha_may_have_begun(&view->record) && !ha_may_lead(view);
}

HaDecision ha_lead(const HaView *view)
{
    if (runs_without_right(view)) {
        return ha_do(HA_STEP_KILL, "it has made room");
    }
    if (is_another(view)) {
        return ha_stuck("its data is not what the cluster's record names: see `weir failover "
                        "--help`");
    }
    switch (view->state) {
    case HA_STATE_EMPTY:
        return lead_empty(view);
    case HA_STATE_DOWN:
        return lead_down(view);
    case HA_STATE_STUCK:
        return ha_do(HA_STEP_KILL, "it does not end");
    case HA_STATE_STARTING:
        return lead_starting(view);
    case HA_STATE_FOLLOWING:
        return lead_following(view);
    case HA_STATE_PROMOTING:
        return ha_wait("its promotion", HA_SOON_MS);
    case HA_STATE_LEADING:
        return lead_leading(view);
    case HA_STATE_SILENT:
        return lead_silent(view);
    }
    UNREACHABLE();
}
