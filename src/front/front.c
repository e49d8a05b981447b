/*
 * The process: its timers, and what the agent says. A configuration is taken as a whole or not at
 * all: new endpoints listen before anything else changes.
 */
#include <signal.h>
#include <stdio.h>

#include "front/front_priv.h"

#define SECOND_MS       1000
#define QUITTING_MAX_MS 10000 /* a client has said its last word, and its node does not end */
#define HEIR_END_MS     200   /* so that the refusal reaches the agent */
#define STOP_LOOK_MS    20
#define STOP_LINGER_MS  200  /* for clients to take the last replies */
#define STOP_GRACE_MS   3000 /* for commands under way; the agent kills after 5 s */

static void front_stop_now(void *user)
{
    Front *front = user;
    loop_stop(front->loop);
}

/* ---- the agent --------------------------------------------------------------------------------
 */

bool front_configure(Front *front, const json_t *json, Err *err)
{
    FrontConfig *config;
    if (front->stopping) {
        return err_set(err, ERR_CONFLICT, "the front is stopping");
    }
    TRY(front_config_parse(json, &config, err));
    bool first = front->config == NULL;
    if ((!front->leaving && !front_endpoints_open(front, config, err)) ||
        (first && !succession_take(front->succession, err))) {
        front_config_free(config);
        return false;
    }
    FrontConfig *old = front->config;
    front->config = config;
    front_endpoints_settle(front, config);
    front_nodes_settle(front, config);
    front_place_all(front);
    front_config_free(old);
    if (first) {
        front_endpoints_pause(front, false);
        succession_serves(front->succession);
    }
    return true;
}

/* Without its place an heir is nobody: whoever serves goes on. */
static bool front_on_config(void *user, const json_t *json, Err *err)
{
    Front *front = user;
    if (!front_configure(front, json, err)) {
        if (succession_is_heir(front->succession)) {
            front->exit_code = err_exit_code(err->code);
            loop_timer_start(front->loop, &front->stop, HEIR_END_MS, 0, front_stop_now, front);
        }
        return false;
    }
    succession_config(front->succession, json);
    return true;
}

static void front_stop_look(void *user)
{
    Front *front = user;
    for (ListNode *at = list_first(&front->clients), *next; at != NULL; at = next) {
        FrontClient *client = CONTAINER_OF(at, FrontClient, node);
        next = list_next(&front->clients, at);
        if (front_client_is_idle(client)) {
            front_client_close(client);
        }
    }
    if (front->clients.len > 0) {
        return;
    }
    LIST_FOR_EACH (&front->nodes, at) {
        front_gate_close(CONTAINER_OF(at, FrontNode, node));
    }
    bool ended = loop_stream_count(front->loop) <= 1; /* the agent's */
    if (ended) {
        loop_stop(front->loop);
    } else if (!front->lingering) {
        front->lingering = true;
        loop_timer_start(front->loop, &front->stop, STOP_LINGER_MS, 0, front_stop_now, front);
    }
}

void front_stop(Front *front)
{
    if (front->stopping) {
        return;
    }
    front->stopping = true;
    front_sentinels_close(front);
    succession_stop(front->succession);
    front_endpoints_close(front);
    loop_timer_start(front->loop, &front->second, 0, STOP_LOOK_MS, front_stop_look, front);
    loop_timer_start(front->loop, &front->stop, STOP_GRACE_MS, 0, front_stop_now, front);
}

static void front_on_stop(void *user)
{
    front_stop(user);
}

static void front_on_signal(void *user, int signo)
{
    (void)signo;
    front_stop(user);
}

/* ---- each second ------------------------------------------------------------------------------
 */

static void clients_look(Front *front)
{
    int64_t now = loop_now_ms(front->loop);
    int64_t idle_ms = front->config != NULL ? front->config->idle_timeout_ms : 0;
    for (ListNode *at = list_first(&front->clients), *next; at != NULL; at = next) {
        FrontClient *client = CONTAINER_OF(at, FrontClient, node);
        next = list_next(&front->clients, at);
        int64_t silent_ms = now - client->last_ms;
        bool idle = idle_ms > 0 && silent_ms >= idle_ms && front_client_is_idle(client);
        if (idle || (client->quitting && silent_ms >= QUITTING_MAX_MS)) {
            front_client_close(client);
        } else {
            front_reader_return(client);
        }
    }
}

static void gates_beat(const Front *front)
{
    LIST_FOR_EACH (&front->nodes, at) {
        front_gate_beat(CONTAINER_OF(at, FrontNode, node));
    }
}

static void front_each_second(void *user)
{
    Front *front = user;
    clients_look(front);
    gates_beat(front);
    if (front->leaving) {
        front_sentinels_close(front); /* they ask the other process */
    }
    plane_status(front->plane,
                 json_pack("{s:{s:I, s:I}, s:I, s:o}", "clients", "primary",
                           (json_int_t)front->counts[0], "reader", (json_int_t)front->counts[1],
                           "waiting", (json_int_t)front->waiting.len, "nodes",
                           front_nodes_status(front)));
}

/* ---- life -------------------------------------------------------------------------------------
 */

static bool front_start(Front *front, const PlaneArgs *args, Err *err)
{
    static const int signals[] = {SIGTERM, SIGINT, 0};
    static const PlaneHandlers handlers = {.on_config = front_on_config, .on_stop = front_on_stop};
    TRY(loop_new(&front->loop, err));
    TRY(loop_signals(front->loop, signals, front_on_signal, front, err));
    TRY(plane_succession_new(front->loop, args, &front_succession_handlers, front,
                             &front->succession, err));
    TRY(plane_new(front->loop, args, front->succession, &handlers, front, &front->plane, err));
    loop_timer_start(front->loop, &front->second, 0, SECOND_MS, front_each_second, front);
    return true;
}

static void front_done(Front *front)
{
    for (ListNode *at; (at = list_first(&front->clients)) != NULL;) {
        front_client_close(CONTAINER_OF(at, FrontClient, node));
    }
    front_sentinels_close(front);
    front_endpoints_close(front);
    front_nodes_free(front);
    loop_timer_stop(&front->retry);
    loop_timer_stop(&front->settle);
    loop_timer_stop(&front->second);
    loop_timer_stop(&front->stop);
    loop_timer_stop(&front->left);
    plane_free(front->plane);
    succession_free(front->succession);
    vec_done(&front->elsewhere);
    if (front->loop != NULL) {
        loop_free(front->loop);
    }
    front_config_free(front->config);
}

int front_main(int argc, char **argv)
{
    Front front = {0};
    PlaneArgs args;
    Err err;
    list_init(&front.endpoints);
    list_init(&front.nodes);
    list_init(&front.clients);
    list_init(&front.sentinels);
    list_init(&front.waiting);
    if (!plane_args_parse(argc, argv, &args, &err)) {
        fprintf(stderr, "weir front: %s\n", err.message);
        return err_exit_code(err.code);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    bool started = front_start(&front, &args, &err);
    if (started) {
        loop_run(front.loop);
    } else {
        log_error(FRONT_MODULE, "%s", err.message);
    }
    front_done(&front);
    return started ? front.exit_code : err_exit_code(err.code);
}
