/* What a node does next that does not lead: it follows, takes a free term, rests, or leaves. */
#include "ha/ha_priv.h"

/* ---- peers -------------------------------------------------------------------------------------
 */

const HaPeer *ha_peer_of_node(const HaView *view, const HaId *node)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        if (ha_id_eq(&view->peers[i].node, node)) {
            return &view->peers[i];
        }
    }
    return NULL;
}

const HaPeer *ha_peer_of_incarnation(const HaView *view, const HaId *incarnation)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        if (ha_id_eq(&view->peers[i].incarnation, incarnation)) {
            return &view->peers[i];
        }
    }
    return NULL;
}

const HaPeer *ha_taker(const HaView *view)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        const HaPeer *peer = &view->peers[i];
        if (peer->follows && ha_set_has(&view->record.set, &peer->incarnation)) {
            return peer;
        }
    }
    return NULL;
}

/* ---- taking the lead (F11) ---------------------------------------------------------------------
 */

/* How many of the set come first; the leader stands at its front. */
static int64_t rank(const HaView *view)
{
    for (size_t i = 1; i < view->record.set.len; i++) {
        if (ha_id_eq(&view->record.set.items[i], &view->incarnation)) {
            return (int64_t)i - 1;
        }
    }
    return 0;
}

/* The set is the new leader alone: whoever else was in it may lack what comes next (F4). */
static HaDecision take(const HaView *view, const char *why)
{
    HaDecision decision = ha_write(view, why);
    HaRecord *record = &decision.record;
    record->term++;
    record->leader = view->self;
    record->proven = record->phase == HA_PHASE_FREE;
    record->unsure = record->unsure || !ha_in_set(view);
    record->phase = HA_PHASE_LEADING;
    record->heir = record->admitted = (HaId){0};
    record->set = (HaSet){.len = 0};
    ha_set_add(&record->set, &view->incarnation);
    return decision;
}

/* Two witnesses that the leader is gone, where nobody says so (F9, F11). */
static bool leader_is_gone(const HaView *view)
{
    return !view->leader_here && view->leader_ms >= HA_WITNESS_MS && !view->link_up &&
           view->link_ms >= HA_WITNESS_MS;
}

static bool free_for_us(const HaView *view)
{
    const HaRecord *record = &view->record;
    bool heir = ha_id_is_empty(&record->heir) || ha_id_eq(&record->heir, &view->self);
    int64_t wait_ms = (heir ? 0 : HA_TAKE_MS / 2) + rank(view) * HA_RANK_MS;
    return record->phase == HA_PHASE_FREE && view->phase_ms >= wait_ms;
}

static HaDecision follow_to_lead(const HaView *view)
{
    if (free_for_us(view)) {
        return take(view, "the leader has made room");
    }
    if (leader_is_gone(view)) {
        return take(view, "neither the leader's agent nor its engine is heard");
    }
    if (view->record.phase == HA_PHASE_FREE) {
        return ha_wait("another one is to lead", HA_SOON_MS);
    }
    return ha_wait("the link to the leader is down", HA_SOON_MS);
}

/* ---- following ---------------------------------------------------------------------------------
 */

static HaDecision follow_down(const HaView *view)
{
    bool led = view->data == HA_DATA_LED && !ha_in_set(view); /* the leader was followed since */
    if (view->diverged || led) {
        if (ha_in_set(view)) { /* a data directory changes only after it has left the set (F4) */
            return ha_wait("it has to leave the set before its data is changed", HA_SOON_MS);
        }
        if (view->leader_serves) {
            return ha_is_admitted(view)
                       ? ha_wait("the leader to take note that it is there after all", HA_SOON_MS)
                       : ha_do(HA_STEP_REJOIN, "it has led before");
        }
    }
    /* One of the set may be needed although nobody leads; and who is let lead goes on from whatever
     * it has. */
    return ha_may_lead(view) || view->leader_serves ? ha_do(HA_STEP_START_FOLLOWING, "")
                                                    : ha_wait("a leader", 0);
}

static HaDecision follow_following(const HaView *view)
{
    if (view->diverged && !ha_is_admitted(view)) {
        return ha_do(HA_STEP_STOP, "it has what the leader has not");
    }
    if (!view->replica && ha_may_lead(view) &&
        (view->record.phase == HA_PHASE_FREE || !view->link_up)) {
        HaDecision decision = follow_to_lead(view);
        if (decision.step == HA_STEP_WRITE) {
            return decision;
        }
    }
    if (!view->source_right && view->leader_serves) {
        return ha_do(HA_STEP_SOURCE, "there is another leader");
    }
    return view->link_up ? ha_rest() : ha_wait("its link to the leader", HA_SOON_MS);
}

/* Nobody waits for it: on a loaded host it may well answer, once it gets a processor. */
static HaDecision silent(const HaView *view)
{
    int64_t patience_ms = view->halted ? HA_SILENT_MS : HA_STARVED_MS;
    return view->state_ms >= patience_ms ? ha_do(HA_STEP_KILL, "it does not answer")
                                         : ha_wait("an answer", HA_SOON_MS);
}

static HaDecision follow(const HaView *view)
{
    switch (view->state) {
    case HA_STATE_EMPTY:
        return view->leader_serves ? ha_do(HA_STEP_COPY, "") : ha_wait("a leader to copy", 0);
    case HA_STATE_DOWN:
        return follow_down(view);
    case HA_STATE_STARTING:
        return ha_wait("it starts", HA_SOON_MS);
    case HA_STATE_FOLLOWING:
        return follow_following(view);
    case HA_STATE_SILENT:
        return silent(view);
    case HA_STATE_STUCK:
        return ha_do(HA_STEP_KILL, "it does not end");
    case HA_STATE_PROMOTING:
    case HA_STATE_LEADING:
        return ha_do(HA_STEP_KILL, "another one leads");
    }
    UNREACHABLE();
}

/* ---- resting and leaving -----------------------------------------------------------------------
 */

static HaDecision rest(const HaView *view)
{
    switch (view->state) {
    case HA_STATE_EMPTY:
    case HA_STATE_DOWN:
        return ha_rest();
    case HA_STATE_STUCK:
        return ha_do(HA_STEP_KILL, "it does not end");
    case HA_STATE_SILENT:
        return ha_do(HA_STEP_KILL, "it does not answer");
    case HA_STATE_STARTING:
    case HA_STATE_FOLLOWING:
    case HA_STATE_PROMOTING:
    case HA_STATE_LEADING:
        return ha_do(HA_STEP_STOP, "it shall rest");
    }
    UNREACHABLE();
}

static HaDecision leave(const HaView *view)
{
    switch (view->state) {
    case HA_STATE_EMPTY:
    case HA_STATE_DOWN:
        return ha_do(HA_STEP_REMOVE, "it is not wanted any more");
    case HA_STATE_STUCK:
    case HA_STATE_SILENT:
        return ha_do(HA_STEP_KILL, "it does not end");
    case HA_STATE_STARTING:
    case HA_STATE_FOLLOWING:
    case HA_STATE_PROMOTING:
    case HA_STATE_LEADING:
        return ha_do(HA_STEP_STOP, "it is not wanted any more");
    }
    UNREACHABLE();
}

/* ---- all together ------------------------------------------------------------------------------
 */

/* Commits count on a member of the set until it has left it, be it the leader or a standby (F4).
 * And while nobody leads its data may be all that is left. */
static bool is_needed(const HaView *view)
{
    bool last = view->state != HA_STATE_EMPTY && ha_may_have_begun(&view->record) &&
                !view->replica && !view->leader_serves;
    return !view->deleted && (ha_may_lead(view) || last);
}

HaDuty ha_duty(const HaView *view)
{
    bool needed = is_needed(view);
    if (view->gone && !needed) {
        return HA_DUTY_LEAVE;
    }
    if (!view->run) {
        return HA_DUTY_REST;
    }
    bool leads = !view->replica && ha_id_eq(&view->record.leader, &view->self);
    return leads ? HA_DUTY_LEAD : HA_DUTY_FOLLOW;
}

static HaDecision choose(const HaView *view)
{
    switch (ha_duty(view)) {
    case HA_DUTY_LEAD:
        return ha_lead(view);
    case HA_DUTY_FOLLOW:
        return follow(view);
    case HA_DUTY_REST:
        return rest(view);
    case HA_DUTY_LEAVE:
        return leave(view);
    }
    UNREACHABLE();
}

HaDecision ha_decide(const HaView *view)
{
    HaDecision decision = choose(view);
    ASSERT(ha_table_find(&ha_table, ha_duty(view), view->state, decision.step) != NULL);
    return decision;
}
