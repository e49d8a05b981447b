/* Snapshots of groups to begin with, and what is said of a decision. */
#ifndef WEIR_TESTS_GROUP_VIEWS_H
#define WEIR_TESTS_GROUP_VIEWS_H

#include "../unit.h"

#include "group/group.h"

/* Three nodes; n1 leads, all is well. */
UNUSED static GroupView leader_view(void)
{
    GroupView view = {.run = true,
                      .automatic = true,
                      .claimed = true,
                      .self = ha_id("n1"),
                      .incarnation = ha_id("i1"),
                      .state = HA_STATE_LEADING,
                      .has_data = true,
                      .history = "h1",
                      .offset = 100,
                      .whole = true,
                      .bond = GROUP_BOND_BOUND,
                      .admitted = true,
                      .peers_len = 2};
    view.record = (GroupRecord){.term = 5, .leader = ha_id("n1"), .history = "h1"};
    const char *const nodes[] = {"n2", "n3"};
    const char *const incarnations[] = {"i2", "i3"};
    ha_set_add(&view.record.set, &view.incarnation);
    for (size_t i = 0; i < view.peers_len; i++) {
        view.peers[i] = (GroupPeer){.node = ha_id(nodes[i]),
                                    .incarnation = ha_id(incarnations[i]),
                                    .known = true,
                                    .has_data = true,
                                    .follows = true,
                                    .hears = true,
                                    .in_history = true,
                                    .whole = true,
                                    .offset = -1,
                                    .streaming = true};
        ha_set_add(&view.record.set, &view.peers[i].incarnation);
    }
    return view;
}

UNUSED static GroupView follower_view(void)
{
    GroupView view = leader_view();
    view.self = ha_id("n2");
    view.incarnation = ha_id("i2");
    view.state = HA_STATE_FOLLOWING;
    view.claimed = false;
    view.link_up = view.source_right = view.leads_here = true;
    view.peers[0].node = ha_id("n1");
    view.peers[0].incarnation = ha_id("i1");
    view.peers[0].follows = view.peers[0].hears = view.peers[0].streaming = false;
    view.peers[1].streaming = false;
    return view;
}

/* Its leader is dead, and the record says so. */
UNUSED static GroupView free_view(void)
{
    GroupView view = follower_view();
    view.record.phase = HA_PHASE_FREE;
    view.link_up = view.leads_here = false;
    return view;
}

UNUSED static void check(const GroupView *view, GroupStep step)
{
    GroupDecision decision = group_decide(view);
    if (decision.step != step) {
        print_message("%s instead of %s: %s\n", group_step_name(decision.step),
                      group_step_name(step), decision.why);
    }
    assert_int_equal(decision.step, step);
}

UNUSED static GroupRecord written(const GroupView *view)
{
    check(view, GROUP_STEP_WRITE);
    GroupDecision decision = group_decide(view);
    assert_int_equal(decision.record.writes, view->record.writes + 1);
    return decision.record;
}

#endif
