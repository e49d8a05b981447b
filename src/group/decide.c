/* What a node does next that does not lead: it follows, takes a free term, rests, or leaves. */
#include "group/group_priv.h"

/* ---- peers -------------------------------------------------------------------------------------
 */

/* Where the leader's data is gone, nobody's history is the record's any more: having data is what
 * counts then. One whose log is still that of before its copy would lose all of it with its
 * process. */
bool group_could_lead(const GroupView *view, const GroupPeer *peer)
{
    bool has_it = view->record.history[0] != '\0' ? peer->in_history : peer->has_data;
    return peer->follows && has_it && peer->whole &&
           ha_set_has(&view->record.set, &peer->incarnation);
}

/* Whether a member of the set is there to be compared; with `bid`: and has said what it has. */
static bool is_heard(const GroupView *view, const HaId *incarnation, bool bid)
{
    if (ha_id_eq(incarnation, &view->incarnation)) {
        return true;
    }
    for (size_t i = 0; i < view->peers_len; i++) {
        const GroupPeer *peer = &view->peers[i];
        if (ha_id_eq(&peer->incarnation, incarnation)) {
            return ha_id_eq(&peer->node, &view->record.leader) ||
                   (peer->follows && peer->in_history &&
                    (!bid || peer->bid_term == view->record.term));
        }
    }
    return false;
}

/* All replicas of the set; its first is the leader. */
static bool all_are_heard(const GroupView *view, bool bid)
{
    const HaSet *set = &view->record.set;
    for (size_t i = 1; i < set->len; i++) {
        if (!is_heard(view, &set->items[i], bid)) {
            return false;
        }
    }
    return set->len > 1;
}

/* One that streams may have what nobody else has before it is in the set. */
static bool all_that_streamed_are_heard(const GroupView *view)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        if (view->peers[i].streamed && !is_heard(view, &view->peers[i].incarnation, false)) {
            return false;
        }
    }
    return true;
}

bool group_has_taker(const GroupView *view)
{
    bool whoever = !group_is_counted(view) ||
                   (all_are_heard(view, false) && all_that_streamed_are_heard(view));
    for (size_t i = 0; i < view->peers_len; i++) {
        const GroupPeer *peer = &view->peers[i];
        bool heir = ha_id_eq(&peer->node, &view->record.heir);
        if (group_could_lead(view, peer) && (whoever || heir)) {
            return true;
        }
    }
    return false;
}

/* ---- taking the lead (F11, F15) ----------------------------------------------------------------
 */

/* One that may: as soon as its log has what it has. */
static bool is_counted_in(const GroupView *view)
{
    const char *history = view->record.history;
    bool has_it = history[0] != '\0' ? strcmp(history, view->history) == 0 : view->has_data;
    return has_it && (group_in_set(view) || (group_is_counted(view) && view->record.set.len > 1));
}

static bool may_lead(const GroupView *view)
{
    return view->whole && is_counted_in(view);
}

/* The others that may: not the leader, which takes its term back by itself. One that has come so
 * lately that it is not in the set may have what was acknowledged last. */
static bool competes(const GroupView *view, const GroupPeer *peer)
{
    bool comes = group_is_counted(view) && peer->follows && peer->in_history;
    return (comes || group_could_lead(view, peer)) && !ha_id_eq(&peer->node, &view->record.leader);
}

/* One that was seen to follow, and not yet what: it may have come into the history since. */
static bool may_compete(const GroupView *view, const GroupPeer *peer)
{
    return group_is_counted(view) && peer->follows && !peer->in_history &&
           view->phase_ms < GROUP_BID_MS && !ha_id_eq(&peer->node, &view->record.leader);
}

static bool all_have_bid(const GroupView *view)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        const GroupPeer *peer = &view->peers[i];
        bool owes = competes(view, peer) && peer->bid_term != view->record.term;
        if (owes || may_compete(view, peer)) {
            return false;
        }
    }
    return true;
}

static bool another_has_more(const GroupView *view)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        const GroupPeer *peer = &view->peers[i];
        bool more = peer->offset > view->offset ||
                    (peer->offset == view->offset && strcmp(peer->node.text, view->self.text) < 0);
        if (competes(view, peer) && peer->bid_term == view->record.term && more) {
            return true;
        }
    }
    return false;
}

/* The set is the new leader alone: whoever else was in it may lack what comes next (F4). */
static GroupDecision take(const GroupView *view, const char *why)
{
    GroupDecision decision = group_write(view, why);
    GroupRecord *record = &decision.record;
    record->term++;
    record->leader = view->self;
    record->phase = HA_PHASE_LEADING;
    record->heir = record->former = (HaId){0};
    record->history[0] = '\0';
    record->set = (HaSet){.len = 0};
    ha_set_add(&record->set, &view->incarnation);
    return decision;
}

/* A leader that was made a replica has seen that its heir has all of it; one that has died has
 * named no heir. */
static GroupDecision take_over(const GroupView *view)
{
    GroupDecision decision = take(view, "the leader has handed over");
    if (view->durable) {
        decision.record.former = view->record.leader;
    }
    return decision;
}

/* When it has read all that its leader has sent. */
static GroupDecision bid(const GroupView *view)
{
    return view->link_up && view->phase_ms < GROUP_BID_MS
               ? group_wait("the end of what its leader has sent", GROUP_HURRY_MS)
               : group_do(GROUP_STEP_BID, "");
}

static GroupDecision follow_free(const GroupView *view)
{
    const GroupRecord *record = &view->record;
    if (!may_lead(view)) {
        return is_counted_in(view) && !view->bid
                   ? bid(view)
                   : group_wait("another one is to lead", GROUP_SOON_MS);
    }
    if (ha_id_eq(&record->heir, &view->self)) {
        return take_over(view);
    }
    if (!ha_id_is_empty(&record->heir) && view->phase_ms < GROUP_TURN_MS) {
        return group_wait("the heir is to lead", GROUP_SOON_MS);
    }
    if (!view->bid) {
        return bid(view);
    }
    bool counted = group_is_counted(view);
    if ((!all_have_bid(view) && (counted || view->phase_ms < GROUP_BID_MS)) ||
        (counted && !all_are_heard(view, true))) {
        return group_wait("the other replicas to say what they have", GROUP_HURRY_MS);
    }
    if (another_has_more(view) && (counted || view->phase_ms < GROUP_TURN_MS)) {
        return group_wait("a replica that has more is to lead", GROUP_SOON_MS);
    }
    return take(view, "the leader is gone");
}

/* ---- a leader whose host is lost (F15) ---------------------------------------------------------
 */

/* One that may have confirmed what nobody else has, in the set or not, and cannot be asked. */
static bool one_is_missing(const GroupView *view)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        const GroupPeer *peer = &view->peers[i];
        bool could = !ha_id_is_empty(&peer->incarnation) && (peer->has_data || !peer->known);
        if (could && !is_heard(view, &peer->incarnation, false)) {
            return true;
        }
    }
    return !all_are_heard(view, false);
}

/* No agent is left there that could say that its engine has ended. By now its guard has ended it,
 * whose deadline nobody has put off: the store had no word of that host, nor did its engine hear of
 * this one, which does not follow it any more. */
static bool leader_is_lost(const GroupView *view)
{
    return view->automatic && !view->source_right && view->lost_ms >= GROUP_LOST_MS &&
           may_lead(view) && group_in_set(view) &&
           !(group_is_counted(view) && one_is_missing(view));
}

/* Then it is as ever: those who may lead say what they have. */
static GroupDecision set_free(const GroupView *view)
{
    GroupDecision decision = group_write(view, "its host is lost");
    decision.record.phase = HA_PHASE_FREE;
    decision.record.heir = (HaId){0};
    decision.lost = true;
    return decision;
}

/* ---- following ---------------------------------------------------------------------------------
 */

static GroupDecision follow_following(const GroupView *view)
{
    const GroupRecord *record = &view->record;
    if (view->deaf) {
        return group_do(GROUP_STEP_DROP, "nothing is heard from there");
    }
    if (record->phase == HA_PHASE_FREE) {
        return follow_free(view);
    }
    if (leader_is_lost(view)) {
        return set_free(view);
    }
    if (!view->source_right && view->leads_here) {
        return group_do(GROUP_STEP_SOURCE, "there is another leader");
    }
    if (record->phase == HA_PHASE_YIELDING && ha_id_eq(&record->heir, &view->self)) {
        return group_wait("the leader to hand over", GROUP_HURRY_MS);
    }
    return view->link_up && view->source_right ? group_rest()
                                               : group_wait("its link to the leader", HA_SOON_MS);
}

GroupDecision group_silent(const GroupView *view, bool could_be_replaced)
{
    int64_t patience_ms = view->busy          ? GROUP_BUSY_MS
                          : could_be_replaced ? GROUP_SILENT_MS
                                              : HA_HUNG_MS;
    return view->state_ms >= patience_ms ? group_do(GROUP_STEP_KILL, "it does not answer")
                                         : group_wait("an answer", GROUP_HURRY_MS);
}

static GroupDecision follow(const GroupView *view)
{
    switch (view->state) {
    case HA_STATE_EMPTY:
        return group_do(GROUP_STEP_MAKE, "");
    case HA_STATE_DOWN:
        return group_do(GROUP_STEP_START_FOLLOWING, "");
    case HA_STATE_STARTING:
        return group_wait("it starts", HA_SOON_MS);
    case HA_STATE_FOLLOWING:
        return follow_following(view);
    case HA_STATE_SILENT:
        return group_silent(view, true);
    case HA_STATE_STUCK:
        return group_do(GROUP_STEP_KILL, "it does not end");
    case HA_STATE_LEADING:
        return group_do(GROUP_STEP_SOURCE, "another one leads");
    case HA_STATE_PROMOTING:
        break;
    }
    UNREACHABLE();
}

/* ---- resting and leaving -----------------------------------------------------------------------
 */

static GroupDecision rest(const GroupView *view)
{
    switch (view->state) {
    case HA_STATE_EMPTY:
    case HA_STATE_DOWN:
        return group_rest();
    case HA_STATE_STUCK:
    case HA_STATE_SILENT:
        return group_do(GROUP_STEP_KILL, "it does not end");
    case HA_STATE_STARTING:
    case HA_STATE_FOLLOWING:
    case HA_STATE_LEADING:
        return group_do(GROUP_STEP_STOP, "it shall rest");
    case HA_STATE_PROMOTING:
        break;
    }
    UNREACHABLE();
}

static GroupDecision leave(const GroupView *view)
{
    switch (view->state) {
    case HA_STATE_EMPTY:
    case HA_STATE_DOWN:
        return group_do(GROUP_STEP_REMOVE, "it is not wanted any more");
    case HA_STATE_STUCK:
    case HA_STATE_SILENT:
        return group_do(GROUP_STEP_KILL, "it does not end");
    case HA_STATE_STARTING:
    case HA_STATE_FOLLOWING:
    case HA_STATE_LEADING:
        return group_do(GROUP_STEP_STOP, "it is not wanted any more");
    case HA_STATE_PROMOTING:
        break;
    }
    UNREACHABLE();
}

/* ---- all together ------------------------------------------------------------------------------
 */

/* A leader that shall go away stays until another one leads, as long as there is one that could
 * come to. A replica stops, and keeps its data until the leader does not count on it any more (F4),
 * and serves: where that is gone, it is needed again. */
HaDuty group_duty(const GroupView *view)
{
    bool leads = ha_id_eq(&view->record.leader, &view->self);
    bool orphan = view->has_data && view->record.set.len > 0 && !view->leads_here;
    bool needed = leads ? view->peers_len > 0 : group_in_set(view) || orphan;
    if (view->gone && (view->deleted || !needed)) {
        return HA_DUTY_LEAVE;
    }
    bool leaves = view->gone && !leads && view->leads_here;
    if (!view->run || leaves) {
        return HA_DUTY_REST;
    }
    return leads ? HA_DUTY_LEAD : HA_DUTY_FOLLOW;
}

static GroupDecision choose(const GroupView *view)
{
    switch (group_duty(view)) {
    case HA_DUTY_LEAD:
        return group_lead(view);
    case HA_DUTY_FOLLOW:
        return follow(view);
    case HA_DUTY_REST:
        return rest(view);
    case HA_DUTY_LEAVE:
        return leave(view);
    }
    UNREACHABLE();
}

GroupDecision group_decide(const GroupView *view)
{
    GroupDecision decision = choose(view);
    ASSERT(ha_table_find(&group_table, group_duty(view), view->state, decision.step) != NULL);
    return decision;
}
