/*
 * What the leader's node does next. In the order in which it matters: an engine that runs without
 * right ends; nobody starts as primary with less than a member has; the record is claimed before
 * anything that rests on it (F2); a planned change goes forward or back; the set follows what the
 * leader sees.
 */
#include <stdio.h>

#include "group/group_priv.h"

/* ---- making room -------------------------------------------------------------------------------
 */

/* Who may have confirmed what nobody else of the set has is to be compared with them. */
static void add_those_that_streamed(const GroupView *view, HaSet *set)
{
    for (size_t i = 0; i < view->peers_len && set->len > 1; i++) {
        if (view->peers[i].streamed) {
            ha_set_add(set, &view->peers[i].incarnation);
        }
    }
}

/* Its engine takes no more writes: it is reaped, or a replica. An heir that has not been seen to
 * have all of it is one of those who are compared. */
static GroupDecision make_room(const GroupView *view, const char *why)
{
    GroupDecision decision = group_write(view, why);
    if (group_is_counted(view)) {
        add_those_that_streamed(view, &decision.record.set);
    }
    bool unseen = view->state != HA_STATE_FOLLOWING;
    if (view->record.phase != HA_PHASE_YIELDING || unseen) {
        decision.record.heir = (HaId){0};
    }
    decision.record.phase = HA_PHASE_FREE;
    return decision;
}

/* Also one that has not noted yet that it has what the leader had. */
static HaSet those_with_data(const GroupView *view)
{
    HaSet set = {.len = 0};
    for (size_t i = 0; i < view->peers_len; i++) {
        if (view->peers[i].has_data || view->peers[i].in_history) {
            ha_set_add(&set, &view->peers[i].incarnation);
        }
    }
    return set;
}

/* It follows the history, and would count for nothing where the record named none. */
static bool one_is_to_note(const GroupView *view)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        if (view->peers[i].in_history && !view->peers[i].has_data) {
            return true;
        }
    }
    return false;
}

/* What it had is gone: whoever has data may lead, whatever history that is of. */
static GroupDecision make_room_without_data(const GroupView *view, const char *why)
{
    GroupDecision decision = make_room(view, why);
    decision.record.heir = (HaId){0};
    decision.record.history[0] = '\0';
    decision.record.set = those_with_data(view);
    return decision;
}

static bool all_are_known(const GroupView *view)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        if (!view->peers[i].known) {
            return false;
        }
    }
    return true;
}

/* Behind starts that failed others are asked only where one of them can lead; with `now`: already.
 */
static bool one_could_take(const GroupView *view, bool now)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        const GroupPeer *peer = &view->peers[i];
        if (peer->known && peer->has_data && (peer->follows || !now)) {
            return true;
        }
    }
    return false;
}

/* Nobody has taken the term: it goes on here. */
static GroupDecision take_back(const GroupView *view)
{
    bool awaited = group_has_taker(view) || (view->failing && one_could_take(view, false));
    if (awaited && view->phase_ms < GROUP_TAKE_MS) {
        return group_wait("another one is to lead", GROUP_SOON_MS);
    }
    GroupDecision decision = group_write(view, "nobody else leads");
    decision.record.phase = HA_PHASE_LEADING;
    decision.record.heir = (HaId){0};
    return decision;
}

/* ---- not running -------------------------------------------------------------------------------
 */

/* It has nothing, and another member may have what was acknowledged: one that follows the history,
 * or else any that has data. */
static GroupDecision lead_without_data(const GroupView *view, GroupDecision otherwise)
{
    bool free = view->record.phase == HA_PHASE_FREE;
    if (!free && group_has_taker(view)) {
        return make_room(view, "its data is gone");
    }
    if (!all_are_known(view)) {
        return group_wait("word of the other members", HA_SOON_MS);
    }
    if (those_with_data(view).len == 0) {
        return otherwise;
    }
    if (!free && group_is_counted(view) && view->state_ms < GROUP_TAKE_MS) {
        return group_wait("replicas that can be compared", GROUP_SOON_MS);
    }
    bool told = free && (view->record.history[0] == '\0' || view->phase_ms < GROUP_TAKE_MS);
    if (!told && one_is_to_note(view)) {
        return group_wait("a replica to note what it has", HA_SOON_MS);
    }
    return told ? group_wait("a member that has data is to lead", HA_SOON_MS)
                : make_room_without_data(view, "its data is gone");
}

static GroupDecision claim_to_start(const GroupView *view)
{
    GroupDecision decision = group_write(view, "before it starts");
    decision.record.phase = HA_PHASE_LEADING;
    decision.record.heir = (HaId){0};
    ha_set_add(&decision.record.set, &view->incarnation);
    return decision;
}

/* By a replica, at once. Without automatic failover only where that was begun as a planned change.
 */
static bool could_be_replaced(const GroupView *view, bool wanted)
{
    bool planned = view->record.phase == HA_PHASE_YIELDING;
    return wanted && (view->automatic || planned) && group_has_taker(view);
}

static GroupDecision lead_down_with_data(const GroupView *view)
{
    const GroupRecord *record = &view->record;
    if (record->phase == HA_PHASE_FREE) {
        return take_back(view);
    }
    bool wanted = record->phase == HA_PHASE_YIELDING || !view->asked;
    if (wanted && !all_are_known(view) && view->state_ms < GROUP_GONE_MS) {
        return group_wait("word of the other members", GROUP_SOON_MS);
    }
    if (could_be_replaced(view, wanted)) {
        return make_room(view, "its engine has ended");
    }
    /* What it cannot load may be more than they have: where every write counts it is not given up.
     */
    if (view->failing && !group_is_counted(view) && one_could_take(view, true) &&
        !one_is_to_note(view)) {
        return make_room_without_data(view, "it does not start with what it has");
    }
    return view->claimed ? group_do(GROUP_STEP_START_LEADING, "") : claim_to_start(view);
}

static GroupDecision lead_down(const GroupView *view)
{
    GroupDecision with_data = lead_down_with_data(view);
    return view->has_data ? with_data : lead_without_data(view, with_data);
}

/* ---- on the way --------------------------------------------------------------------------------
 */

static GroupDecision lead_starting(const GroupView *view)
{
    return could_be_replaced(view, true) && view->state_ms >= HA_START_MS
               ? group_do(GROUP_STEP_KILL, "it does not start, and another one could lead")
               : group_wait("it starts", HA_SOON_MS);
}

/* Loaded or dead? An engine that a replica hears is alive. */
static GroupDecision lead_silent(const GroupView *view)
{
    bool heard = false;
    for (size_t i = 0; i < view->peers_len; i++) {
        heard = heard || (view->peers[i].hears && group_could_lead(view, &view->peers[i]));
    }
    return group_silent(view, could_be_replaced(view, true) && !heard);
}

/* ---- a planned change --------------------------------------------------------------------------
 */

static const GroupPeer *peer_of(const GroupView *view, const HaId *node)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        if (ha_id_eq(&view->peers[i].node, node)) {
            return &view->peers[i];
        }
    }
    return NULL;
}

static bool is_ready(const GroupView *view, const GroupPeer *peer)
{
    return peer->streaming && group_could_lead(view, peer);
}

/* Whoever is ready; NULL: nobody. */
static const GroupPeer *heir_choose(const GroupView *view)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        if (is_ready(view, &view->peers[i])) {
            return &view->peers[i];
        }
    }
    return NULL;
}

static bool is_wished(const GroupView *view)
{
    return view->handover > view->record.handover;
}

static GroupDecision change_begin(const GroupView *view, const GroupPeer *heir)
{
    GroupDecision decision = group_write(view, "a planned change");
    decision.record.phase = HA_PHASE_YIELDING;
    decision.record.heir = heir->node;
    if (is_wished(view)) {
        decision.record.handover = view->handover;
    }
    return decision;
}

/* It stays where it is. What was wished counts as done. */
static GroupDecision change_end(const GroupView *view, const char *why)
{
    GroupDecision decision = group_write(view, why);
    decision.record.phase = HA_PHASE_LEADING;
    decision.record.heir = (HaId){0};
    if (is_wished(view)) {
        decision.record.handover = view->handover;
    }
    return decision;
}

/* Fronts that are late to hold, and clients that have much under way, still write. */
static bool is_in_use(const GroupView *view)
{
    return view->phase_ms < GROUP_DRAIN_MS ||
           (view->quiet_ms < GROUP_QUIET_MS && view->phase_ms < GROUP_BUSTLE_MS);
}

static GroupDecision yield_on(const GroupView *view)
{
    const GroupPeer *heir = peer_of(view, &view->record.heir);
    if (heir == NULL || !is_ready(view, heir)) {
        return change_end(view, "the heir is not ready any more");
    }
    if (view->phase_ms > GROUP_BUSTLE_MS + GROUP_CATCH_MS) {
        return change_end(view, "the heir does not catch up");
    }
    if (!view->paused && is_in_use(view)) {
        return group_wait("what was sent before", GROUP_HURRY_MS);
    }
    if (!view->paused) {
        return group_do(GROUP_STEP_PAUSE, "a planned change");
    }
    return heir->offset >= view->offset ? group_do(GROUP_STEP_DEMOTE, "a planned change")
                                        : group_wait("the heir to catch up", GROUP_HURRY_MS);
}

/* A replica by its own agent's hand, and the leader still. The heir has no link any more: it will
 * not have more than it has now. */
static GroupDecision lead_demoted(const GroupView *view)
{
    const GroupPeer *heir = peer_of(view, &view->record.heir);
    if (heir != NULL && group_could_lead(view, heir) && heir->offset >= view->offset) {
        return make_room(view, "the heir has all of it");
    }
    return view->state_ms < GROUP_BID_MS ? group_wait("the heir's last word", GROUP_HURRY_MS)
                                         : change_end(view, "the heir lacks what came last");
}

static GroupDecision lead_following(const GroupView *view)
{
    switch (view->record.phase) {
    case HA_PHASE_FREE:
        return take_back(view);
    case HA_PHASE_YIELDING:
        return lead_demoted(view);
    case HA_PHASE_LEADING:
        if (!view->whole) {
            return group_wait("its log", HA_SOON_MS);
        }
        return view->claimed ? group_do(GROUP_STEP_PROMOTE, "it leads")
                             : group_write(view, "before it is promoted");
    }
    UNREACHABLE();
}

/* ---- leading -----------------------------------------------------------------------------------
 */

HaSet group_left(const GroupView *view)
{
    HaSet set = {.len = 0};
    for (size_t i = 0; i < view->record.set.len; i++) {
        const HaId *member = &view->record.set.items[i];
        bool there = ha_id_eq(member, &view->incarnation);
        for (size_t j = 0; j < view->peers_len; j++) {
            const GroupPeer *peer = &view->peers[j];
            there = there || (peer->streaming && ha_id_eq(&peer->incarnation, member));
        }
        if (!there) {
            ha_set_add(&set, member);
        }
    }
    return set;
}

/* Those who stay, and those who have come, whose logs have what they have. In a durable group
 * nobody comes before it has what the leader may have acknowledged alone; it is bound by then, for
 * somebody streams. Nor while one streams that is no member: what that one confirms, nobody who
 * comes need have. From another host nobody comes before the leader's guard has a deadline: it
 * could take the place of one that runs on. */
static HaSet those_in_sync(const GroupView *view)
{
    HaSet set = {.len = 0};
    ha_set_add(&set, &view->incarnation);
    for (size_t i = 0; i < view->peers_len; i++) {
        const GroupPeer *peer = &view->peers[i];
        bool is_in = ha_set_has(&view->record.set, &peer->incarnation);
        bool comes = peer->streaming && peer->follows && peer->in_history && peer->whole &&
                     (!view->durable || (peer->caught && view->admitted)) &&
                     (!peer->abroad || view->fenced);
        if (comes || (is_in && peer->gone_ms < GROUP_GONE_MS)) {
            ha_set_add(&set, &peer->incarnation);
        }
    }
    return set;
}

/* That another one of the set has all that those had who leave it. */
static bool is_covered(const GroupView *view, const HaSet *set)
{
    bool covered = true;
    for (size_t i = 0; i < view->record.set.len; i++) {
        covered = covered && ha_set_has(set, &view->record.set.items[i]);
    }
    for (size_t i = 0; i < view->peers_len; i++) {
        const GroupPeer *peer = &view->peers[i];
        covered = covered || (ha_set_has(set, &peer->incarnation) && view->left_offset >= 0 &&
                              peer->acked >= view->left_offset);
    }
    return covered;
}

/* What a replica of a durable group had confirmed may be on it and on the leader only. So it stays
 * in the set until that is on another one, or nobody else could lead. */
static HaSet set_now(const GroupView *view)
{
    HaSet set = those_in_sync(view);
    if (view->durable && set.len > 1 && !is_covered(view, &set)) {
        for (size_t i = 0; i < view->record.set.len; i++) {
            ha_set_add(&set, &view->record.set.items[i]);
        }
    }
    return set;
}

/* Alone only when nobody else may lead, by a record that this process has written (F2), and nobody
 * is about to come. */
static GroupBond bond_wanted(const GroupView *view)
{
    bool replicas = view->record.set.len > 1;
    for (size_t i = 0; i < view->peers_len; i++) {
        replicas = replicas || (view->peers[i].streaming && view->peers[i].in_history);
    }
    return view->durable && !view->strict && !replicas ? GROUP_BOND_ALONE : GROUP_BOND_BOUND;
}

/* With another history begins another set: nobody has it yet. */
static GroupDecision claim(const GroupView *view)
{
    GroupDecision decision = group_write(view, "it leads");
    GroupRecord *record = &decision.record;
    if (strcmp(record->history, view->history) != 0) {
        record->set = (HaSet){.len = 0};
        snprintf(record->history, sizeof(record->history), "%s", view->history);
    }
    ha_set_add(&record->set, &view->incarnation);
    return decision;
}

static GroupDecision lead_leading(const GroupView *view)
{
    const GroupRecord *record = &view->record;
    if (record->phase == HA_PHASE_FREE) {
        return group_do(GROUP_STEP_KILL, "it has made room");
    }
    if (!view->claimed || strcmp(record->history, view->history) != 0) {
        return claim(view);
    }
    if (view->bond != bond_wanted(view)) {
        return bond_wanted(view) == GROUP_BOND_ALONE
                   ? group_do(GROUP_STEP_ALONE, "there is no replica")
                   : group_do(GROUP_STEP_BIND, "writes need a replica");
    }
    if (record->phase == HA_PHASE_YIELDING) {
        return yield_on(view);
    }
    if (view->paused) {
        return group_do(GROUP_STEP_RESUME, "");
    }
    HaSet set = set_now(view);
    if (!ha_set_eq(&set, &record->set)) {
        GroupDecision decision = group_write(view, set.len > record->set.len ? "a replica follows"
                                                                             : "a replica is gone");
        decision.record.set = set;
        return decision;
    }
    if (!is_wished(view) && !view->gone) {
        return group_rest();
    }
    const GroupPeer *heir = heir_choose(view);
    if (heir != NULL) {
        return change_begin(view, heir);
    }
    return is_wished(view) && view->wish_ms >= GROUP_WISH_MS
               ? change_end(view, "no replica is ready")
               : group_wait("a replica that could lead", HA_SOON_MS);
}

GroupDecision group_lead(const GroupView *view)
{
    switch (view->state) {
    case HA_STATE_EMPTY:
        return lead_without_data(view, group_do(GROUP_STEP_MAKE, ""));
    case HA_STATE_DOWN:
        return lead_down(view);
    case HA_STATE_STUCK:
        return group_do(GROUP_STEP_KILL, "it does not end");
    case HA_STATE_STARTING:
        return lead_starting(view);
    case HA_STATE_FOLLOWING:
        return lead_following(view);
    case HA_STATE_LEADING:
        return lead_leading(view);
    case HA_STATE_SILENT:
        return lead_silent(view);
    case HA_STATE_PROMOTING:
        break;
    }
    UNREACHABLE();
}
