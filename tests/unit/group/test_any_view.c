/* What holds of each decision in a replication group, whatever a snapshot may say. */
#include <stdio.h>

#include "views.h"

#define TRIES 300000

/* ---- snapshots ---------------------------------------------------------------------------------
 */

static uint64_t seed = 1;

static uint64_t any(uint64_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % below;
}

static HaId any_id(const char *prefix)
{
    char text[8];
    snprintf(text, sizeof(text), "%s%d", prefix, 1 + (int)any(3));
    return ha_id(any(5) == 0 ? "" : text);
}

static GroupView any_view(void)
{
    static const HaState states[] = {HA_STATE_EMPTY,    HA_STATE_DOWN,      HA_STATE_STUCK,
                                     HA_STATE_STARTING, HA_STATE_FOLLOWING, HA_STATE_LEADING,
                                     HA_STATE_SILENT};
    GroupView view = any(2) == 0 ? leader_view() : follower_view();
    view.state = states[any(ARRAY_LEN(states))];
    view.run = any(8) != 0;
    view.gone = any(8) == 0;
    view.deleted = any(8) == 0;
    view.automatic = any(4) != 0;
    view.durable = any(2) == 0;
    view.strict = any(4) == 0;
    view.bond = (GroupBond)any(3);
    view.admitted = any(4) != 0;
    view.handover = (int64_t)any(3);
    view.claimed = any(2) == 0;
    view.has_data = any(2) == 0;
    view.asked = any(4) == 0;
    view.failing = any(8) == 0;
    view.busy = any(4) == 0;
    view.link_up = any(2) == 0;
    view.bid = any(2) == 0;
    view.whole = any(4) != 0;
    view.left_offset = (int64_t)any(5) - 1;
    view.paused = any(2) == 0;
    view.offset = (int64_t)any(4);
    view.phase_ms = (int64_t)any(4000);
    view.state_ms = (int64_t)any(40000);
    view.wish_ms = (int64_t)any(20000);
    view.record.phase = (HaPhase)any(3);
    view.record.handover = (int64_t)any(3);
    view.record.heir = any_id("n");
    view.record.history[0] = any(4) == 0 ? '\0' : 'h';
    view.record.set = (HaSet){.len = 0};
    for (size_t i = 0; i < 3; i++) {
        HaId id = any_id("i");
        ha_set_add(&view.record.set, &id);
    }
    for (size_t i = 0; i < view.peers_len; i++) {
        GroupPeer *peer = &view.peers[i];
        peer->known = any(4) != 0;
        peer->has_data = any(2) == 0;
        peer->follows = any(2) == 0;
        peer->in_history = any(2) == 0;
        peer->whole = any(4) != 0;
        peer->offset = (int64_t)any(4);
        peer->bid_term = any(2) == 0 ? view.record.term : 0;
        peer->streaming = any(2) == 0;
        peer->caught = any(2) == 0;
        peer->acked = peer->streaming ? (int64_t)any(4) : -1;
        peer->streamed = any(4) == 0;
        peer->gone_ms = peer->streaming ? 0 : (int64_t)any(2000);
    }
    return view;
}

/* ---- what holds --------------------------------------------------------------------------------
 */

static bool some_peer_has_data(const GroupView *view)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        const GroupPeer *peer = &view->peers[i];
        if (peer->has_data || peer->in_history || !peer->known) {
            return true;
        }
    }
    return false;
}

/* Of a member of the set whether it has said what it has, and that is no more than `offset`. */
static bool has_said(const GroupView *view, const HaId *incarnation, int64_t offset)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        const GroupPeer *peer = &view->peers[i];
        if (ha_id_eq(&peer->incarnation, incarnation)) {
            return ha_id_eq(&peer->node, &view->record.leader) ||
                   (peer->follows && peer->in_history && peer->bid_term == view->record.term &&
                    peer->offset <= offset);
        }
    }
    return ha_id_eq(incarnation, &view->incarnation);
}

/* What holds of durable groups besides. */
static void durable_invariants(const GroupView *view, const GroupDecision *decision)
{
    const GroupRecord *next = &decision->record;
    const HaSet *set = &view->record.set;
    bool writes = decision->step == GROUP_STEP_WRITE;
    assert_false(decision->step == GROUP_STEP_ALONE &&
                 (!view->durable || view->strict || !view->claimed || set->len > 1));
    if (!view->durable) {
        return;
    }
    for (size_t i = 0; writes && i < view->peers_len; i++) {
        const HaId *incarnation = &view->peers[i].incarnation;
        bool joins = next->phase == HA_PHASE_LEADING && next->term == view->record.term &&
                     ha_set_has(&next->set, incarnation) && !ha_set_has(set, incarnation);
        assert_false(joins &&
                     (view->bond != GROUP_BOND_BOUND || !view->peers[i].caught || !view->admitted));
    }
    bool takes = writes && next->term != view->record.term;
    if (!takes || view->record.history[0] == '\0' || ha_id_eq(&view->record.heir, &view->self)) {
        return;
    }
    assert_true(set->len > 1);
    for (size_t i = 1; i < set->len; i++) {
        assert_true(has_said(view, &set->items[i], view->offset));
    }
}

static void test_whatever_a_snapshot_says(void **state)
{
    (void)state;
    for (int i = 0; i < TRIES; i++) {
        GroupView view = any_view();
        GroupDecision decision = group_decide(&view); /* asserts that the table has it */
        const GroupRecord *next = &decision.record;
        bool writes = decision.step == GROUP_STEP_WRITE;
        bool starts = decision.step == GROUP_STEP_START_LEADING;
        /* Nobody leads without a write of one's own (F2). */
        assert_false((starts || decision.step == GROUP_STEP_PROMOTE) && !view.claimed);
        /* Nor with what a start would not find again. */
        bool takes = writes && next->term != view.record.term;
        assert_false((takes || decision.step == GROUP_STEP_PROMOTE) && !view.whole);
        /* Nobody starts as primary with nothing, while a member has something, or may have. */
        assert_false(starts && !view.has_data && some_peer_has_data(&view));
        /* A term begins only where it is free, and its set is the new leader alone (F4). */
        assert_false(takes && (view.record.phase != HA_PHASE_FREE || next->set.len > 1));
        assert_false(writes && next->term < view.record.term);
        /* Free: nothing of the leader takes writes any more. */
        bool frees = writes && next->phase == HA_PHASE_FREE && view.record.phase != HA_PHASE_FREE;
        assert_false(frees && view.state != HA_STATE_DOWN && view.state != HA_STATE_EMPTY &&
                     view.state != HA_STATE_FOLLOWING);
        durable_invariants(&view, &decision);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whatever_a_snapshot_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
