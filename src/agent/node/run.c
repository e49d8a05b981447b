/*
 * What the runs of both engines' jobs have in common around look, decide, do: the words for what a
 * node is, when a reboot is due, who is forgotten, and when it is looked at again.
 */
#include "agent/node/node_priv.h"

bool node_reboot_is_due(const NodeRun *run)
{
    NodeWork *work = run->work;
    if (!node_guard_runs(run)) {
        return false;
    }
    if (work->reboot_epoch < 0) {
        work->reboot_epoch = node_seen_before(run, "reboot_epoch", 0);
    }
    return work->reboot_epoch != member_int(run->goal, "reboot_epoch", 0);
}

bool node_is_forgotten(const NodeRun *run, const char *cluster)
{
    return member_bool(run->goal, "gone", false) &&
           cluster_is_absent(run->work->options->store, cluster);
}

void node_log_step(const NodeRun *run, HaDuty duty, HaState state, const char *step,
                   const char *why)
{
    log_info("agent", "node %s (%s, %s): %s%s%s", run->work->id, ha_duty_name(duty),
             ha_state_name(state), step, why[0] != '\0' ? ", for: " : "", why);
}

int64_t node_again_ms(int64_t pause_ms, int64_t wanted_ms)
{
    return wanted_ms > 0 && wanted_ms < pause_ms ? wanted_ms : pause_ms;
}

static const char *word_for(const NodeTold *told)
{
    switch (told->state) {
    case HA_STATE_EMPTY:
    case HA_STATE_DOWN:
        return !told->run ? "stopped" : "waiting";
    case HA_STATE_LEADING:
        return "running";
    case HA_STATE_FOLLOWING:
        return told->link_up ? "running" : "starting";
    case HA_STATE_STARTING:
    case HA_STATE_PROMOTING:
        return "starting";
    case HA_STATE_STUCK:
    case HA_STATE_SILENT:
        return "silent";
    }
    UNREACHABLE();
}

void node_describe(NodeRun *run, const NodeTold *told)
{
    node_seen_set(run, word_for(told), run->work->incarnation);
    json_object_set_new(run->seen, "ha", json_string(ha_state_name(told->state)));
    json_object_set_new(run->seen, "term", json_integer(told->term));
    json_object_set_new(run->seen, "agent", json_string(run->work->options->agent_id));
    json_object_set_new(run->seen, "hears", json_boolean(told->hears));
}
