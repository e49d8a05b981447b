/*
 * The snapshot that is decided on (docs/failover.md): what control wants, what the record says,
 * what the engine answers, and what the neighbours' agents have written of them. Nothing is changed
 * here.
 */
#include <stdio.h>

#include "agent/pg/pg_node_priv.h"

#define LOOK_MS  500  /* an engine that takes longer to say how it is, is silent */
#define HEARS_MS 1200 /* a source that is idle says a word each second */

/* ---- what is wanted ----------------------------------------------------------------------------
 */

static void view_wish(PgNode *node, int64_t now_ms)
{
    PgLead *lead = &node->run->work->lead;
    HaView *view = &node->view;
    view->heir = ha_id(member_str(node->run->goal, "heir", ""));
    view->handover = member_int(node->run->goal, "handover", 0);
    if (lead->wish != view->handover || lead->wish_ms == 0) {
        lead->wish = view->handover;
        lead->wish_ms = now_ms;
    }
    view->wish_ms = now_ms - lead->wish_ms;
}

static void view_goal(PgNode *node, int64_t now_ms)
{
    const json_t *goal = node->run->goal;
    HaView *view = &node->view;
    view->run = member_bool(goal, "run", true) && !node->run->work->stop_asked;
    view->gone = member_bool(goal, "gone", false);
    view->deleted = member_bool(goal, "deleted", false);
    view->replica = strcmp(member_str(goal, "role", ""), "replica") == 0;
    view->strict = member_bool(goal, "strict", false);
    view_wish(node, now_ms);
    view->self = ha_id(node->run->work->id);
    view->incarnation = ha_id(node->run->work->incarnation);
}

static bool view_record(PgNode *node, int64_t now_ms, Err *err)
{
    NodeWork *work = node->run->work;
    PgLead *lead = &work->lead;
    HaView *view = &node->view;
    TRY(cluster_read(work->options->store, node->cluster, &view->record, &node->revision, err));
    if (lead->term != view->record.term || lead->phase != view->record.phase ||
        lead->phase_ms == 0) {
        lead->term = view->record.term;
        lead->phase = view->record.phase;
        lead->phase_ms = now_ms;
    }
    view->phase_ms = now_ms - lead->phase_ms;
    view->claimed = lead->revision == node->revision;
    view->fresh = view->claimed && lead->fresh;
    return true;
}

/* ---- the engine --------------------------------------------------------------------------------
 */

/* With a session that is as good as new, or with none. */
static bool ask_engine(PgNode *node, Err *err)
{
    NodeWork *work = node->run->work;
    bool ok = work->session != NULL ||
              pg_session_open(&node->spec.paths, "postgres", LOOK_MS, &work->session, err);
    if (ok) {
        pg_session_patience(work->session, LOOK_MS);
        ok = pg_observe(work->session, &node->spec.paths, node->run->arena, &node->seen, err);
        pg_session_patience(work->session, PG_PATIENCE_MS);
    }
    if (!ok) {
        pg_session_close(work->session);
        work->session = NULL;
    }
    return ok;
}

static HaState engine_state(PgNode *node, int64_t now_ms)
{
    NodeWork *work = node->run->work;
    PgLead *lead = &work->lead;
    Err err = {0};
    if (!node_guard_runs(node->run)) {
        return work->incarnation[0] == '\0' ? HA_STATE_EMPTY
               : lead->stuck                ? HA_STATE_STUCK
                                            : HA_STATE_DOWN;
    }
    if (!ask_engine(node, &err)) {
        /* One that says no is on its way up or down; one that says nothing may be neither. */
        bool silent = err.code == ERR_TIMEOUT && lead->answered_ms > 0;
        return silent ? HA_STATE_SILENT : HA_STATE_STARTING;
    }
    node->answers = true;
    lead->answered_ms = now_ms;
    lead->promoting = lead->promoting && node->seen.in_recovery;
    return !node->seen.in_recovery ? HA_STATE_LEADING
           : lead->promoting       ? HA_STATE_PROMOTING
                                   : HA_STATE_FOLLOWING;
}

/* A promotion that ended half-way is a timeline that the record does not know, and a standby may
 * have left the others there. */
static void view_forks(PgNode *node)
{
    HaView *view = &node->view;
    const PgSeen *seen = &node->seen;
    for (size_t i = 0; i + 1 < seen->forks_len; i++) {
        HaFork fork = {.timeline = seen->forks[i].timeline, .lsn = seen->forks[i].lsn};
        ha_view_went_through(view, fork);
    }
    view->fork_lsn = seen->forks_len > 0 ? seen->forks[seen->forks_len - 1].lsn : 0;
}

static void view_engine(PgNode *node, int64_t now_ms)
{
    NodeWork *work = node->run->work;
    PgLead *lead = &work->lead;
    HaView *view = &node->view;
    view->state = engine_state(node, now_ms);
    if (view->state != lead->state || lead->state_ms == 0) {
        lead->state = view->state;
        lead->state_ms = now_ms;
    }
    if (view->state != HA_STATE_LEADING) {
        lead->links_len = 0; /* what is gone is gone since the engine answers again */
    }
    bool silent = view->state == HA_STATE_SILENT;
    view->state_ms = now_ms - (silent ? lead->answered_ms : lead->state_ms);
    view->halted = silent && pg_is_halted(&node->spec.paths);
    view->data = lead->data;
    view->asked = node_stop_was_asked(node->run) && !lead->killed;
    view->names = lead->names;
    view->names_set = lead->names_set;
    view->joining = lead->joining;
    view->disk_ms = now_ms - lead->disk_ms;
    view->open = pg_gate_is_open(&node->spec.paths);
    view->timeline = node->seen.timeline;
    view_forks(node);
}

/* A leader that makes room waits for its clients; for those of other hosts also where it hears
 * nothing of them at the moment. */
static bool view_clients(PgNode *node, Err *err)
{
    HaView *view = &node->view;
    NodeWork *work = node->run->work;
    if (view->state != HA_STATE_LEADING || view->record.phase != HA_PHASE_YIELDING) {
        return true;
    }
    TRY(pg_clients_look(work->session, HA_QUIET_MS, &view->busy, &view->heard, err));
    view->heard = view->heard && hosts_are_several(work->options->hosts);
    return true;
}

static void view_link(PgNode *node, int64_t now_ms)
{
    PgLead *lead = &node->run->work->lead;
    HaView *view = &node->view;
    bool recovers = node->answers && node->seen.in_recovery;
    view->link_up = recovers && node->seen.streaming;
    if (view->link_up && node->seen.heard_ms >= 0) {
        lead->heard_ms = now_ms - node->seen.heard_ms;
    } else if (recovers && lead->heard_ms == 0) {
        lead->heard_ms = now_ms; /* who has just begun to listen is no witness */
    }
    node->hears = view->link_up && now_ms - lead->heard_ms < HEARS_MS;
    view->link_ms = view->link_up || lead->heard_ms == 0 ? 0 : now_ms - lead->heard_ms;
    if (view->state == HA_STATE_LEADING && lead->heard_ms != 0) {
        view->cut_off_ms = lead->state_ms - lead->heard_ms;
    }
}

/* ---- what a follower has -----------------------------------------------------------------------
 */

static void note_had(PgLead *lead, int64_t timeline, uint64_t lsn)
{
    if (timeline > lead->had.timeline || (timeline == lead->had.timeline && lsn > lead->had.lsn)) {
        lead->had = (HaFork){.timeline = timeline, .lsn = lsn};
    }
}

/* One that is down does not answer; where it has what the leader has not, it would end again each
 * time that it is started. So its control file is asked, once. */
static void read_had(PgNode *node)
{
    PgLead *lead = &node->run->work->lead;
    int64_t timeline = 0;
    uint64_t lsn = 0;
    Err err;
    if (!pg_find_install(node->run, &node->spec, &err) ||
        !pg_recovered(&node->spec, &timeline, &lsn, &err)) {
        log_warn("agent", "node %s: %s", node->run->work->id, err.message);
    }
    note_had(lead, timeline, lsn);
    lead->had_read = true;
}

static void view_had(PgNode *node)
{
    PgLead *lead = &node->run->work->lead;
    HaView *view = &node->view;
    if (!ha_id_eq(&lead->had_by, &view->incarnation)) {
        lead->had_by = view->incarnation;
        lead->had = (HaFork){0};
        lead->had_read = false;
    }
    bool follows = view->state == HA_STATE_FOLLOWING;
    bool down = view->state == HA_STATE_DOWN && ha_duty(view) == HA_DUTY_FOLLOW;
    if (follows) {
        note_had(lead, node->seen.timeline, node->seen.end_lsn);
    } else if (down && !lead->had_read) {
        read_had(node);
    }
    lead->had_read = lead->had_read && down;
    view->diverged = (follows || down) && lead->had.timeline > 0 &&
                     ha_record_diverged(&view->record, lead->had.timeline, lead->had.lsn);
}

/* ---- the neighbours ----------------------------------------------------------------------------
 */

/* What an agent that has died wrote is no witness. */
static bool counts(const PgNode *node, const json_t *seen)
{
    return hosts_agent_lives(node->run->work->options->hosts, member_str(seen, "agent", ""));
}

static void view_leader(PgNode *node)
{
    HaView *view = &node->view;
    NodeRun *run = node->run;
    const char *leader = view->record.leader.text;
    CLEANUP(record_free_ptr) json_t *seen = node_neighbour(run, leader, "seen");
    CLEANUP(record_free_ptr) json_t *goal = node_neighbour(run, leader, "goal");
    HaState state;
    bool leads = ha_state_parse(slice_of(member_str(seen, "ha", "")), &state) &&
                 state == HA_STATE_LEADING && member_int(seen, "term", 0) == view->record.term;
    /* pg_rewind and a clone go by the control file, which follows with a checkpoint. */
    view->leader_serves =
        leads && view->record.phase == HA_PHASE_LEADING && counts(node, seen) &&
        member_int(seen, "checkpoint_timeline", 0) == ha_record_timeline(&view->record);
    const char *host = member_str(goal, "host", "");
    view->leader_here = strcmp(host, run->work->options->host) == 0;
    view->leader_ms = hosts_silent_ms(run->work->options->hosts, host);
    view->source_right = ha_id_eq(&run->work->lead.source, &view->record.leader);
    node->spec.source_address = goal != NULL && !ha_id_eq(&view->record.leader, &view->self)
                                    ? node_address(run, goal)
                                    : NULL;
}

static const PgStandbySeen *standby_seen(const PgSeen *seen, const char *incarnation)
{
    char name[PG_STANDBY_NAME_SIZE];
    pg_standby_name(incarnation, name);
    for (size_t i = 0; i < seen->standbys_len; i++) {
        if (strcmp(seen->standbys[i].name, name) == 0 &&
            strcmp(seen->standbys[i].state, "streaming") == 0) {
            return &seen->standbys[i];
        }
    }
    return NULL;
}

/* For how long it has not streamed; one that was never seen to counts from now. */
static int64_t link_gone_ms(PgLead *lead, const HaPeer *peer, int64_t now_ms)
{
    PgLink *link = NULL;
    for (size_t i = 0; i < lead->links_len; i++) {
        if (ha_id_eq(&lead->links[i].incarnation, &peer->incarnation)) {
            link = &lead->links[i];
        }
    }
    if (link == NULL) {
        if (lead->links_len == HA_PEERS_MAX) { /* of those before, nobody is here any more */
            lead->links_len = 0;
        }
        link = &lead->links[lead->links_len++];
        *link = (PgLink){.incarnation = peer->incarnation, .gone_ms = now_ms};
    }
    if (peer->streaming) {
        link->gone_ms = 0;
    } else if (link->gone_ms == 0) {
        link->gone_ms = now_ms;
    }
    return peer->streaming ? 0 : now_ms - link->gone_ms;
}

static void peer_read(PgNode *node, HaPeer *peer, int64_t now_ms)
{
    NodeRun *run = node->run;
    CLEANUP(record_free_ptr) json_t *seen = node_neighbour(run, peer->node.text, "seen");
    HaState state = HA_STATE_STARTING;
    (void)ha_state_parse(slice_of(member_str(seen, "ha", "")), &state);
    peer->incarnation = ha_id(member_str(seen, "incarnation", ""));
    peer->follows = state == HA_STATE_FOLLOWING && counts(node, seen);
    peer->ended = (state == HA_STATE_DOWN || state == HA_STATE_EMPTY) && counts(node, seen);
    peer->hears = peer->follows && member_bool(seen, "hears", false);
    if (node->view.state == HA_STATE_LEADING && !ha_id_is_empty(&peer->incarnation)) {
        peer->streaming = standby_seen(&node->seen, peer->incarnation.text) != NULL;
        peer->gone_ms = link_gone_ms(&run->work->lead, peer, now_ms);
    }
}

/* Those that shall be in the set come first, for there is room for so many only. */
static void view_peers(PgNode *node, int64_t now_ms)
{
    HaView *view = &node->view;
    static const char *const lists[] = {"peers", "followers"};
    for (size_t list = 0; list < ARRAY_LEN(lists); list++) {
        size_t i;
        json_t *item;
        json_array_foreach (member_array(node->run->goal, lists[list]), i, item) {
            HaId id = ha_id(json_string_value(item));
            bool known = ha_id_eq(&id, &view->self);
            for (size_t k = 0; k < view->peers_len; k++) {
                known = known || ha_id_eq(&view->peers[k].node, &id);
            }
            if (!known && view->peers_len < HA_PEERS_MAX) {
                HaPeer *peer = &view->peers[view->peers_len++];
                *peer = (HaPeer){.node = id, .wanted = list == 0};
                peer_read(node, peer, now_ms);
            }
        }
    }
}

static bool is_peer(const HaView *view, const HaId *incarnation)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        if (ha_id_eq(&view->peers[i].incarnation, incarnation)) {
            return true;
        }
    }
    return false;
}

/* Whoever does not run here needs nobody's leave. A view that cannot be made leaves it as it was.
 */
static void note_rival(PgNode *node)
{
    NodeWork *work = node->run->work;
    const HaView *view = &node->view;
    bool leads = ha_id_eq(&view->record.leader, &view->self) && node_guard_runs(node->run);
    work->has_rival = false;
    work->rivals_known = true;
    work->redis = false;
    snprintf(work->zone, sizeof(work->zone), "%.1s", member_str(node->run->goal, "zone", "a"));
    leads = leads && hosts_are_several(work->options->hosts);
    for (size_t i = 0; i < view->peers_len && leads; i++) {
        CLEANUP(record_free_ptr) json_t *goal = NULL;
        Err err;
        bool known = node_neighbour_read(node->run, view->peers[i].node.text, "goal", &goal, &err);
        const char *host = known ? member_str(goal, "host", work->options->host) : "";
        bool counts =
            view->peers[i].wanted || ha_set_has(&view->record.set, &view->peers[i].incarnation);
        work->has_rival = work->has_rival || (counts && strcmp(host, work->options->host) != 0);
    }
    for (size_t i = 0; i < view->record.set.len && leads; i++) { /* one that leaves, and may lead */
        const HaId *member = &view->record.set.items[i];
        work->has_rival =
            work->has_rival || (!ha_id_eq(member, &view->incarnation) && !is_peer(view, member));
    }
}

bool pg_view_make(PgNode *node, Err *err)
{
    int64_t now_ms = time_boot_ms();
    node->view = (HaView){0};
    node->seen = (PgSeen){0};
    node->answers = false;
    node->run->unread = NULL;
    view_goal(node, now_ms);
    TRY(view_record(node, now_ms, err));
    view_engine(node, now_ms);
    view_link(node, now_ms);
    view_leader(node);
    view_had(node); /* by the duty */
    view_peers(node, now_ms);
    TRY(node_neighbours_known(node->run, err));
    note_rival(node);
    return view_clients(node, err) && pg_lead_prove(node, err);
}
