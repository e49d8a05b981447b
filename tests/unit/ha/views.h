/* Snapshots of clusters to begin with, and what is said of a decision. */
#ifndef WEIR_TESTS_HA_VIEWS_H
#define WEIR_TESTS_HA_VIEWS_H

#include "../unit.h"

#include "ha/ha.h"

/* Two nodes, n1 with data i1 leads, n2 with i2 follows; all is well. */
UNUSED static HaView leader_view(void)
{
    HaView view = {.run = true,
                   .claimed = true,
                   .fresh = false,
                   .self = ha_id("n1"),
                   .incarnation = ha_id("i1"),
                   .state = HA_STATE_LEADING,
                   .data = HA_DATA_LED,
                   .timeline = 1,
                   .names_set = true,
                   .open = true,
                   .peers_len = 1};
    view.record = (HaRecord){.term = 5, .leader = ha_id("n1"), .proven = true, .history_len = 1};
    view.record.history[0] = (HaFork){.timeline = 1};
    view.record.history_term = 5;
    ha_set_add(&view.record.set, &view.incarnation);
    view.peers[0] = (HaPeer){.node = ha_id("n2"),
                             .incarnation = ha_id("i2"),
                             .wanted = true,
                             .follows = true,
                             .hears = true,
                             .streaming = true,
                             .bound = true};
    ha_set_add(&view.record.set, &view.peers[0].incarnation);
    ha_set_add(&view.names, &view.peers[0].incarnation);
    return view;
}

UNUSED static HaView follower_view(void)
{
    HaView view = leader_view();
    view.self = ha_id("n2");
    view.incarnation = ha_id("i2");
    view.state = HA_STATE_FOLLOWING;
    view.data = HA_DATA_COPY;
    view.claimed = view.names_set = view.open = false;
    view.names = (HaSet){.len = 0};
    view.link_up = view.source_right = view.leader_serves = true;
    view.peers[0] = (HaPeer){.node = ha_id("n1"), .incarnation = ha_id("i1")};
    return view;
}

UNUSED static void check(const HaView *view, HaStep step)
{
    HaDecision decision = ha_decide(view);
    if (decision.step != step) {
        print_message("%s instead of %s: %s\n", ha_step_name(decision.step), ha_step_name(step),
                      decision.why);
    }
    assert_int_equal(decision.step, step);
}

#endif
