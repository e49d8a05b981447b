/*
 * A PostgreSQL node's job: look, decide, do, until there is nothing to do. Who leads is decided in
 * src/ha from the cluster's record, not by the goal: the goal says who is in the cluster.
 */
#include <pwd.h>
#include <unistd.h>

#include "agent/pg/pg_node_priv.h"

#define SOON_MS     100 /* while something is on its way */
#define PROMOTED_MS 20

static const char *admin_account_name(Arena *arena)
{
    char text[4096];
    struct passwd entry;
    struct passwd *found = NULL;
    getpwuid_r(geteuid(), &entry, text, sizeof(text), &found);
    return found != NULL ? arena_strdup(arena, found->pw_name) : "root";
}

/* Of root's planes it is their own (agent_priv.h). */
static const char *plane_account_name(Arena *arena)
{
    return geteuid() == 0 ? PLANE_ACCOUNT : admin_account_name(arena);
}

static bool pg_node_init(PgNode *node, NodeRun *run, Err *err)
{
    *node = (PgNode){.run = run, .cluster = member_str(run->goal, "cluster", "")};
    PgSpec *spec = &node->spec;
    spec->paths = run->paths;
    spec->job = run->work->job;
    spec->incarnation = run->work->incarnation;
    spec->cluster_name = member_str(run->goal, "identifier", "");
    spec->listen_address = node_address(run, run->goal);
    spec->admin_account = admin_account_name(run->arena);
    spec->plane_account = plane_account_name(run->arena);
    spec->synchronous_standby_names = "";
    node_settings(run, &spec->settings, &spec->settings_len);
    return engine_account("postgres", &spec->account, err);
}

/* ---- what is told ------------------------------------------------------------------------------
 */

static void describe(PgNode *node, const HaDecision *decision)
{
    NodeRun *run = node->run;
    const HaView *view = &node->view;
    node_describe(run, &(NodeTold){.state = view->state,
                                   .run = view->run,
                                   .link_up = view->link_up,
                                   .hears = node->hears,
                                   .term = view->record.term});
    json_object_set_new(run->seen, "open", json_boolean(view->open));
    json_object_set_new(run->seen, "led",
                        json_boolean(view->data == HA_DATA_LED || view->diverged));
    if (decision->stuck) {
        json_object_set_new(run->seen, "error", json_string(decision->why));
    }
    if (node->answers) {
        pg_keep_describe(node);
    }
}

/* ---- the run -----------------------------------------------------------------------------------
 */

/* A running engine was looked after by this very goal. */
static bool is_kept(const PgNode *node)
{
    return strcmp(node->run->work->lead.keep_goal, node->run->goal_digest) == 0;
}

static bool keep_is_due(const PgNode *node)
{
    PgLead *lead = &node->run->work->lead;
    bool lives = node->view.state == HA_STATE_LEADING || node->view.state == HA_STATE_FOLLOWING;
    return lives && ha_duty(&node->view) <= HA_DUTY_FOLLOW &&
           (time_boot_ms() - lead->keep_ms >= NODE_KEEP_MS || !is_kept(node));
}

static bool keep(PgNode *node, bool *ret_busy, Err *err)
{
    TRY(pg_keep(node, ret_busy, err));
    PgLead *lead = &node->run->work->lead;
    lead->keep_ms = time_boot_ms();
    memcpy(lead->keep_goal, node->run->goal_digest, sizeof(lead->keep_goal));
    return true;
}

/* Stopped means reaped (F8): what does not run any more counts as down only when nothing of it
 * lives on without its guard. */
static void reap(PgNode *node)
{
    PgLead *lead = &node->run->work->lead;
    Err err;
    if (node_guard_runs(node->run)) {
        lead->reaped = false;
    } else if (!lead->reaped) {
        lead->reaped = node_reap(node->run, &err);
        lead->stuck = !lead->reaped;
        if (lead->stuck) {
            log_warn("agent", "node %s: %s", node->run->work->id, err.message);
        }
    }
}

/* One look and what follows from it. *ret_more: look again at once. */
static bool run_once(PgNode *node, HaDecision *decision, bool *ret_more, Err *err)
{
    reap(node);
    TRY(pg_view_make(node, err));
    *decision = ha_decide(&node->view);
    *ret_more = decision->step != HA_STEP_WAIT;
    if (!*ret_more) {
        return true;
    }
    node_log_step(node->run, ha_duty(&node->view), node->view.state, ha_step_name(decision->step),
                  decision->why);
    return pg_step_do(node, decision, err);
}

/* A step that starts something is looked after a little later. */
static bool takes_time(HaStep step)
{
    return step == HA_STEP_START_LEADING || step == HA_STEP_START_FOLLOWING ||
           step == HA_STEP_PROMOTE || step == HA_STEP_REMOVE;
}

static int64_t again_ms(const PgNode *node, const HaDecision *decision, bool busy)
{
    const HaView *view = &node->view;
    if (view->state == HA_STATE_PROMOTING || decision->step == HA_STEP_PROMOTE) {
        return PROMOTED_MS;
    }
    if (decision->step != HA_STEP_WAIT || busy) {
        return SOON_MS;
    }
    int64_t pause_ms = view->peers_len > 0 && !view->replica ? NODE_WATCH_MS : NODE_IDLE_MS;
    return node_again_ms(pause_ms, decision->again_ms);
}

static bool run_steps(PgNode *node, HaDecision *decision, Err *err)
{
    bool more = true;
    for (int i = 0; i < NODE_STEPS_MAX && more; i++) {
        TRY(run_once(node, decision, &more, err));
        if (decision->step == HA_STEP_OPEN) { /* clients wait for the word */
            node->view.open = true;
            describe(node, decision);
            TRY(node_seen_write(node->run, err));
        }
        if (takes_time(decision->step)) {
            return true;
        }
    }
    return true;
}

int64_t pg_node_step(NodeRun *run, Err *err)
{
    PgNode node;
    HaDecision decision = {0};
    bool busy = false;
    if (!pg_node_init(&node, run, err)) {
        return -1;
    }
    if (node_reboot_is_due(run)) {
        return node_guard_stop(run, err) ? SOON_MS : -1;
    }
    bool ok = run_steps(&node, &decision, err);
    if (!ok && node_is_forgotten(run, node.cluster)) {
        decision.step = HA_STEP_REMOVE; /* nobody counts on it any more */
        ok = node_remove(run, err);
    }
    if (decision.step == HA_STEP_REMOVE) {
        run->settled = ok;
        return ok ? NODE_IDLE_MS : -1;
    }
    if (ok && decision.step == HA_STEP_WAIT && keep_is_due(&node)) {
        ok = keep(&node, &busy, err);
    }
    describe(&node, &decision);
    if (!ok) {
        if (err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT) {
            pg_session_close(run->work->session);
            run->work->session = NULL;
        }
        return -1;
    }
    bool rests = ha_duty(&node.view) != HA_DUTY_LEAD && ha_duty(&node.view) != HA_DUTY_FOLLOW;
    run->settled = decision.done && !busy && (rests || is_kept(&node));
    return again_ms(&node, &decision, busy);
}
