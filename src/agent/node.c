/*
 * The life of one node, engine by engine the same: folders and keys, the mark that makes a data
 * directory count, guards, and the record of what was seen. Runs in jobs; owns nothing but what its
 * NodeWork holds. Everything is found again from files, locks and the store.
 */
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/node_priv.h"

#define CERTS_LOOK_MS      (3600 * MS_PER_S)
#define LOG_LOOK_MS        (60 * MS_PER_S)
#define STOP_TIMEOUT_MS    (30 * MS_PER_S)
#define ORPHANS_TIMEOUT_MS (10 * MS_PER_S)
#define GUARD_ANSWER_MS    100
#define GUARD_DIES_MS      1000
#define MARK_MAX           ((size_t)4096)
#define RANGE_STEP         1000
#define RETRY_MIN_MS       200
#define RETRY_MAX_MS       5000
#define STOPPED_MS         5000
#define QUICK_END_MS       10000 /* an engine that lived shorter than this failed to start */

/* ---- places -----------------------------------------------------------------------------------
 */

const char *node_address(const NodeRun *run, const json_t *goal)
{
    return hosts_node_address(run->work->options, run->arena, goal);
}

static char *mark_path(const NodeRun *run)
{
    return arena_printf(run->arena, "%s/weir-node.json", run->paths.root);
}

gid_t node_readers(void)
{
    struct passwd entry;
    struct passwd *found = NULL;
    char text[4096];
    getpwnam_r(PLANE_ACCOUNT, &entry, text, sizeof(text), &found);
    return geteuid() == 0 && found != NULL ? found->pw_gid : getegid();
}

/* ---- certificates -----------------------------------------------------------------------------
 */

/* Both pairs go to disk together; the Secrets wipe the keys. */
static bool certs_issue(NodeRun *run, const ProcessAccount *account, const char *address,
                        const char *client_name, Err *err)
{
    const AgentOptions *options = run->work->options;
    const char *const names[] = {address, run->work->id, NULL};
    const CertSpec server = {
        .common_name = run->work->id, .names = names, .server = true, .valid_days = CERT_END_DAYS};
    const CertSpec client = {
        .common_name = client_name, .client = true, .valid_days = CERT_END_DAYS};
    CLEANUP(secret_done) Secret server_key = {0};
    CLEANUP(secret_done) Secret client_key = {0};
    Buf server_cert;
    Buf client_cert;
    buf_init(&server_cert, BUF_MAX_DEFAULT);
    buf_init(&client_cert, BUF_MAX_DEFAULT);
    bool ok = cert_issue(options->ca_cert_pem, options->ca_key_pem, &server, &server_cert,
                         &server_key, err) &&
              cert_issue(options->ca_cert_pem, options->ca_key_pem, &client, &client_cert,
                         &client_key, err);
    if (ok) {
        const EngineTls tls = {buf_slice(&server_cert), secret_reveal(&server_key),
                               buf_slice(&client_cert), secret_reveal(&client_key),
                               options->ca_cert_pem};
        bool changed = false;
        ok = engine_tls_write(&run->paths, account, &tls, &changed, err);
    }
    buf_done(&server_cert);
    buf_done(&client_cert);
    return ok;
}

/* Whether the certificate there is for these names and lives long enough. */
static bool certs_good(const NodeRun *run, const char *issued_path, const char *issued)
{
    const char *path = arena_printf(run->arena, "%s/server.crt", run->paths.tls);
    Buf text;
    Buf pem;
    buf_init(&text, MARK_MAX);
    buf_init(&pem, BUF_MAX_DEFAULT);
    bool good = file_read(issued_path, &text, NULL) && slice_is(buf_slice(&text), issued) &&
                file_read(path, &pem, NULL) && !cert_is_due(buf_slice(&pem), time_wall_ms());
    buf_done(&text);
    buf_done(&pem);
    return good;
}

static bool certs_ensure(NodeRun *run, const ProcessAccount *account, const char *client_name,
                         bool *ret_issued, Err *err)
{
    const char *address = node_address(run, run->goal);
    const char *issued_path = arena_printf(run->arena, "%s/issued", run->paths.tls);
    const char *issued = arena_printf(run->arena, "%s %s\n", address, client_name);
    run->work->certs_look_ms = time_mono_ms() + CERTS_LOOK_MS;
    if (certs_good(run, issued_path, issued)) {
        return true;
    }
    TRY(certs_issue(run, account, address, client_name, err));
    *ret_issued = true;
    return file_write(issued_path, slice_of(issued), 0600, err);
}

bool node_dirs(NodeRun *run, const ProcessAccount *account, const char *client_name, Err *err)
{
    bool ignored = false;
    return engine_dirs_make(&run->paths, account, err) &&
           certs_ensure(run, account, client_name, &ignored, err);
}

bool node_certs_renew(NodeRun *run, const ProcessAccount *account, const char *client_name,
                      bool *ret_renewed, Err *err)
{
    *ret_renewed = false;
    return time_mono_ms() < run->work->certs_look_ms ||
           certs_ensure(run, account, client_name, ret_renewed, err);
}

/* ---- the mark ---------------------------------------------------------------------------------
 */

static const char *const data_words[] = {"new", "copy", "led"};

bool node_mark_prepared(NodeRun *run, const char *incarnation, HaData data, Err *err)
{
    NodeWork *work = run->work;
    if (strcmp(work->incarnation, incarnation) == 0 && work->lead.data == data) {
        return true;
    }
    const char *text = arena_printf(run->arena, "{\"incarnation\": \"%s\", \"data\": \"%s\"}\n",
                                    incarnation, data_words[data]);
    TRY(file_write(mark_path(run), slice_of(text), 0600, err));
    if (incarnation != work->incarnation) { /* which snprintf must not copy onto itself */
        snprintf(work->incarnation, sizeof(work->incarnation), "%s", incarnation);
    }
    work->lead.data = data;
    return true;
}

bool node_mark_drop(NodeRun *run, Err *err)
{
    if (unlink(mark_path(run)) != 0 && errno != ENOENT) {
        return err_set_errno(err, errno, "cannot remove %s", mark_path(run));
    }
    run->work->incarnation[0] = '\0';
    return true;
}

/* One that does not say was made before anybody led but the first: it has led, or followed only. */
static HaData mark_data(NodeRun *run, const json_t *mark)
{
    const char *word = member_str(mark, "data", "");
    for (size_t i = 0; i < ARRAY_LEN(data_words); i++) {
        if (strcmp(word, data_words[i]) == 0) {
            return (HaData)i;
        }
    }
    const char *standby = arena_printf(run->arena, "%s/standby.signal", run->paths.data);
    return file_exists(standby) ? HA_DATA_COPY : HA_DATA_LED;
}

/* What the last agent left: the incarnation of a data directory that counts. Only a mark that is
 * not there means that there is none: one that cannot be read must not end in a fresh directory. */
static bool mark_read(NodeRun *run, Err *err)
{
    if (run->work->incarnation[0] != '\0') {
        return true;
    }
    Buf text;
    buf_init(&text, MARK_MAX);
    CLEANUP(record_free_ptr) json_t *mark = NULL;
    bool there = file_read(mark_path(run), &text, err);
    bool ok = there ? record_parse(buf_slice(&text), &mark, err) : err->code == ERR_NOT_FOUND;
    buf_done(&text);
    if (ok) {
        snprintf(run->work->incarnation, sizeof(run->work->incarnation), "%s",
                 member_str(mark, "incarnation", ""));
        run->work->lead.data = mark_data(run, mark);
    }
    return ok || err_wrap(err, "the mark of the data directory of node %s", run->work->id);
}

bool node_may_begin_anew(NodeRun *run, const char *cluster, Err *err)
{
    CLEANUP(record_free_ptr) json_t *record = NULL;
    StoreItem item;
    const char *key = arena_printf(run->arena, "cluster/%s", cluster);
    if (!store_get(run->work->options->store, slice_of(key), run->arena, &item, err)) {
        return err->code == ERR_NOT_FOUND;
    }
    TRY(record_parse(item.value, &record, err));
    bool leads = strcmp(member_str(record, "leader", ""), run->work->id) == 0;
    if (leads && json_array_size(json_object_get(record, "set")) > 0) {
        return err_set(
            err, ERR_DENIED,
            "the data directory of node %s is not in %s, and its cluster counts on it: is a "
            "volume not mounted?",
            run->work->id, run->paths.root);
    }
    return true;
}

/* ---- secrets and neighbours -------------------------------------------------------------------
 */

bool node_unseal(const NodeRun *run, const char *sealed, const char *context, Secret *ret_secret,
                 Err *err)
{
    return secret_unseal(run->work->options->master_key, slice_of(context), slice_of(sealed),
                         ret_secret, err);
}

json_t *node_neighbour(NodeRun *run, const char *node, const char *record)
{
    char key[STORE_KEY_MAX];
    snprintf(key, sizeof(key), "node/%s/%s", node, record);
    StoreItem item;
    json_t *value = NULL;
    if (!store_get(run->work->options->store, slice_of(key), run->arena, &item, NULL) ||
        !record_parse(item.value, &value, NULL)) {
        return NULL;
    }
    return value;
}

/* The node whose "seen" of `range` has this data directory; NULL. */
static const char *owner_in(NodeRun *run, const StoreRange *range, const char *incarnation)
{
    for (size_t i = 0; i < range->len; i++) {
        Slice key = range->items[i].key;
        CLEANUP(record_free_ptr) json_t *seen = NULL;
        if (slice_ends(key, "/seen") && record_parse(range->items[i].value, &seen, NULL) &&
            strcmp(member_str(seen, "incarnation", ""), incarnation) == 0) {
            size_t around = strlen("node/") + strlen("/seen");
            return arena_slice_str(run->arena,
                                   slice_from(key.data + strlen("node/"), key.len - around));
        }
    }
    return NULL;
}

static bool node_follows_us(NodeRun *run, const char *node)
{
    CLEANUP(record_free_ptr) json_t *goal = node_neighbour(run, node, "goal");
    return strcmp(member_str(goal, "cluster", ""), member_str(run->goal, "cluster", "")) == 0 &&
           !member_bool(goal, "gone", false);
}

bool node_is_follower(NodeRun *run, const char *incarnation)
{
    Slice after = {0};
    for (;;) {
        StoreRange range;
        if (!store_range(run->work->options->store, SLICE("node/"), after, RANGE_STEP, run->arena,
                         &range, NULL)) {
            return true; /* unknown is yes: its slot keeps what it needs */
        }
        const char *owner = owner_in(run, &range, incarnation);
        if (owner != NULL || !range.more) {
            return owner != NULL && node_follows_us(run, owner);
        }
        after = range.items[range.len - 1].key;
    }
}

void node_settings(NodeRun *run, const EngineSetting **ret_settings, size_t *ret_len)
{
    json_t *settings = member_object(run->goal, "settings");
    EngineSetting *list = ARENA_ARRAY(run->arena, EngineSetting, json_object_size(settings));
    size_t len = 0;
    const char *name;
    json_t *value;
    json_object_foreach (settings, name, value) {
        if (json_is_string(value)) {
            list[len++] = (EngineSetting){name, json_string_value(value)};
        }
    }
    *ret_settings = list;
    *ret_len = len;
}

/* 0.2 s for the first, twice as long for each that follows, 5 s at most. */
static int64_t backoff_ms(int failures)
{
    int64_t delay = RETRY_MIN_MS;
    for (int i = 1; i < failures && delay < RETRY_MAX_MS; i++) {
        delay *= 2;
    }
    return delay < RETRY_MAX_MS ? delay : RETRY_MAX_MS;
}

/* ---- guards -----------------------------------------------------------------------------------
 */

bool node_guard_runs(const NodeRun *run)
{
    pid_t pid;
    return guard_find(run->work->options->run_dir, run->work->id, &pid, NULL);
}

/* How the last run ended, where nobody asked for it. The next guard removes the record. */
static bool unasked_end(const NodeRun *run, GuardExit *ret_end)
{
    GuardExit end = {0};
    if (!guard_exit_record_read(run->work->options->run_dir, run->work->id, &end, NULL)) {
        /* No word: the first start, or the guard was killed with its engine. */
        *ret_end = (GuardExit){0};
        return run->work->left_running || run->was_running;
    }
    *ret_end = end;
    return !end.asked && end.error[0] == '\0';
}

/* Between two steps the engine of a node that served has gone. Noted before this step says anything
 * else of the node, and kept until the next start. */
static void note_left_running(NodeRun *run)
{
    run->was_running =
        run->work->served || strcmp(member_str(run->seen, "state", ""), "running") == 0;
    if (run->was_running && !node_guard_runs(run)) {
        run->work->left_running = true;
    }
}

bool node_stop_was_asked(const NodeRun *run)
{
    GuardExit end = {0};
    return guard_exit_record_read(run->work->options->run_dir, run->work->id, &end, NULL) &&
           end.asked;
}

bool node_was_killed(const NodeRun *run)
{
    GuardExit end = {0};
    return !guard_exit_record_read(run->work->options->run_dir, run->work->id, &end, NULL) ||
           !end.end.known || end.end.signal == SIGKILL;
}

void node_event(NodeRun *run, const char *category, const char *message)
{
    const AgentOptions *options = run->work->options;
    const char *key = NULL;
    ResourceType type = RESOURCE_DB_INSTANCE;
    (void)resource_type_parse(slice_of(member_str(run->goal, "resource", "")), &type);
    log_warn("agent", "%s", message);
    CLEANUP(record_free_ptr)
    json_t *event = event_new(run->arena, time_wall_ms(), type,
                              member_str(run->goal, "identifier", ""), category, message, &key);
    Err err;
    if (!store_create(options->store, slice_of(key), record_format(run->arena, event), NULL,
                      &err)) {
        log_warn("agent", "event not kept: %s", err.message);
    }
}

/* An engine that ends again and again before it serves is one story. */
void node_tell_end(NodeRun *run, const char *then)
{
    NodeWork *work = run->work;
    GuardExit end;
    bool again = work->quick_ends > 1 && !work->left_running && !run->was_running;
    if (work->end_told || again || !unasked_end(run, &end)) {
        return;
    }
    work->end_told = true;
    char how[PROCESS_EXIT_TEXT_SIZE];
    process_exit_format(&end.end, how);
    if (end.ended_ms == 0) {
        snprintf(how, sizeof(how), "ended together with its guard");
    }
    node_event(run, "recovery",
               arena_printf(run->arena, "The %s of %s (node %s) %s; %s.", run->role,
                            member_str(run->goal, "identifier", ""), work->id, how, then));
}

/* An engine that ends soon after its start is started again at growing intervals. */
static bool start_allowed(NodeRun *run, Err *err)
{
    NodeWork *work = run->work;
    GuardExit end;
    int64_t now_ms = time_mono_ms();
    if (now_ms < work->start_after_ms) {
        return err_set(err, ERR_UNAVAILABLE, "the engine ended soon after its start; waiting");
    }
    if (work->start_after_ms == 0 && unasked_end(run, &end)) {
        bool quick = end.ended_ms > 0 && end.ended_ms - end.started_ms < QUICK_END_MS;
        work->quick_ends = quick ? work->quick_ends + 1 : 0;
        node_tell_end(run, "it is started again");
        if (quick) {
            mem_free(work->complaint);
            work->complaint = engine_last_words(run->paths.log);
            node_seen_set(run, "starting", work->incarnation);
        }
        if (work->quick_ends > 1) {
            work->start_after_ms = now_ms + backoff_ms(work->quick_ends);
            return err_set(err, ERR_UNAVAILABLE, "the engine ended soon after its start; waiting");
        }
    }
    work->start_after_ms = 0;
    return true;
}

bool node_reap(NodeRun *run, Err *err)
{
    size_t killed = 0;
    if (!file_exists(run->paths.data)) {
        return true;
    }
    TRY(guard_kill_orphans(run->paths.data, ORPHANS_TIMEOUT_MS, &killed, err));
    if (killed > 0) {
        log_warn("agent", "node %s: %zu processes of a dead guard were ended", run->work->id,
                 killed);
    }
    return true;
}

bool node_guard_start(NodeRun *run, const char *const *argv, const ProcessAccount *account,
                      Err *err)
{
    const AgentOptions *options = run->work->options;
    TRY(start_allowed(run, err));
    TRY(node_reap(run, err));
    bool postgres = strcmp(member_str(run->goal, "kind", ""), "postgres") == 0;
    TRY(!postgres || pg_stale_locks_remove(&run->paths, err));
    const GuardSpec spec = {
        .program = options->program,
        .run = options->run_dir,
        .node = run->work->id,
        .log_path = run->paths.log,
        .cwd = run->paths.data,
        .account = *account,
        .argv = argv,
        .stop_signals = postgres ? "fast=INT,immediate=QUIT" : "fast=TERM",
        .death_signal = postgres ? "QUIT" : "KILL",
        .held_fd = options->net_fd,
        .log_fd = -1,
    };
    pid_t pid;
    run->work->started_ms = time_wall_ms();
    TRY(guard_spawn(&spec, &pid, err));
    run->work->left_running = run->work->end_told = run->work->served = false;
    return true;
}

static void guard_await_end(const NodeRun *run)
{
    for (int i = 0; i < GUARD_DIES_MS && node_guard_runs(run); i++) {
        usleep(1000);
    }
}

static bool guard_end(NodeRun *run, const char *mode, int64_t timeout_ms, Err *err)
{
    const AgentOptions *options = run->work->options;
    if (run->work->session != NULL) {
        pg_session_close(run->work->session);
        run->work->session = NULL;
    }
    if (!node_guard_runs(run)) {
        return node_reap(run, err);
    }
    GuardExit end;
    TRY(guard_stop(options->run_dir, run->work->id, mode, timeout_ms, &end, err));
    guard_await_end(run); /* it has said its last word, and goes */
    return true;
}

bool node_guard_stop(NodeRun *run, Err *err)
{
    return guard_end(run, "fast", STOP_TIMEOUT_MS, err);
}

/* A guard that is stopped itself is of no use: then it dies first, and what it had is nobody's. */
bool node_guard_kill(NodeRun *run, Err *err)
{
    const AgentOptions *options = run->work->options;
    GuardStatus status;
    pid_t guard;
    if (guard_find(options->run_dir, run->work->id, &guard, NULL) &&
        !guard_status(options->run_dir, run->work->id, GUARD_ANSWER_MS, &status, NULL)) {
        log_warn("agent", "the guard of node %s does not answer, and is killed", run->work->id);
        (void)kill(guard, SIGKILL);
        guard_await_end(run);
    }
    return guard_end(run, "kill", 0, err);
}

/* ---- what was seen ----------------------------------------------------------------------------
 */

/* What went wrong is told until a step has gone well, also while it is tried again. */
static void seen_error(NodeRun *run)
{
    const NodeWork *work = run->work;
    const char *error = work->complaint != NULL ? work->complaint : work->failure;
    if (error != NULL) {
        json_object_set_new(run->seen, "error", json_string(error));
    } else {
        json_object_del(run->seen, "error");
    }
}

void node_seen_set(NodeRun *run, const char *state, const char *incarnation)
{
    json_object_set_new(run->seen, "state", json_string(state));
    json_object_set_new(run->seen, "incarnation", json_string(incarnation));
    json_object_set_new(run->seen, "reboot_epoch", json_integer(run->work->reboot_epoch));
    if (run->work->started_ms > 0) {
        json_object_set_new(run->seen, "started_ms", json_integer(run->work->started_ms));
    }
    if (strcmp(state, "running") == 0) {
        run->work->served = true;
        mem_free(run->work->complaint);
        run->work->complaint = NULL;
    }
    seen_error(run);
}

int64_t node_seen_before(const NodeRun *run, const char *name, int64_t fallback)
{
    json_t *before = NULL;
    if (run->work->seen_text == NULL ||
        !record_parse(slice_of(run->work->seen_text), &before, NULL)) {
        return fallback;
    }
    int64_t value = member_int(before, name, fallback);
    json_decref(before);
    return value;
}

static void seen_load(NodeRun *run)
{
    NodeWork *work = run->work;
    StoreItem item;
    const char *key = arena_printf(run->arena, "node/%s/seen", work->id);
    if (work->seen_text == NULL &&
        store_get(work->options->store, slice_of(key), run->arena, &item, NULL)) {
        work->seen_text = mem_printf("%.*s", SLICE_FMT(item.value));
        work->seen_revision = item.mod_revision;
    }
}

bool node_seen_write(NodeRun *run, Err *err)
{
    NodeWork *work = run->work;
    Slice text = record_format(run->arena, run->seen);
    if (work->seen_text != NULL && slice_is(text, work->seen_text)) {
        return true;
    }
    Slice key = slice_of(arena_printf(run->arena, "node/%s/seen", work->id));
    Store *store = work->options->store;
    int64_t revision = 0;
    bool ok = work->seen_revision == 0
                  ? store_create(store, key, text, &revision, err)
                  : store_update(store, key, work->seen_revision, text, &revision, err);
    if (!ok) {
        mem_free(work->seen_text); /* read it again before the next try */
        work->seen_text = NULL;
        work->seen_revision = 0;
        return false;
    }
    work->seen_revision = revision;
    mem_free(work->seen_text);
    work->seen_text = mem_printf("%.*s", SLICE_FMT(text));
    return true;
}

/* ---- the step ---------------------------------------------------------------------------------
 */

bool node_remove(NodeRun *run, Err *err)
{
    TRY(node_guard_stop(run, err));
    TRY(tree_remove(run->paths.root, err));
    TRY(tree_remove(run->paths.socket_dir, err));
    TRY(tree_remove(run->paths.client_dir, err));
    run->work->incarnation[0] = '\0';
    json_object_clear(run->seen);
    json_object_set_new(run->seen, "state", json_string("gone"));
    run->settled = true;
    return true;
}

static int64_t node_act(NodeRun *run, Err *err)
{
    if (!mark_read(run, err)) {
        bool gone = member_bool(run->goal, "gone", false);
        return gone && node_remove(run, err) ? STOPPED_MS : -1;
    }
    bool redis = strcmp(member_str(run->goal, "kind", ""), "redis") == 0;
    return redis ? redis_node_step(run, err) : pg_node_step(run, err);
}

/* Waiting for a neighbour or for recovery is not a failure: it is looked at again soon. */
static int64_t note_failure(NodeRun *run, const Err *err)
{
    NodeWork *work = run->work;
    if (err->code == ERR_UNAVAILABLE) {
        work->failures = 0;
        return RETRY_MIN_MS;
    }
    work->failures++;
    log_warn("agent", "node %s: %s", work->id, err->message);
    mem_free(work->failure);
    work->failure = mem_strdup(err->message);
    json_object_set_new(run->seen, "error", json_string(err->message));
    return backoff_ms(work->failures);
}

/* A step that leaves nothing to do has carried out exactly this goal. */
static void note_success(NodeRun *run)
{
    run->work->failures = 0;
    if (run->work->failure != NULL) {
        mem_free(run->work->failure);
        run->work->failure = NULL;
        seen_error(run);
    }
    if (run->settled) {
        json_object_set_new(run->seen, "goal", json_string(run->goal_digest));
    }
}

/* Now and then; a log that grows is no reason to stop anything. */
static void logs_look(NodeRun *run)
{
    NodeWork *work = run->work;
    Err err;
    if (time_mono_ms() >= work->log_look_ms) {
        work->log_look_ms = time_mono_ms() + LOG_LOOK_MS;
        if (!file_bound(run->paths.log, LOG_BYTES_MAX, &err)) {
            log_warn("agent", "node %s: %s", work->id, err.message);
        }
    }
}

int64_t node_step(NodeWork *work, Slice goal_text)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    NodeRun run = {.work = work, .arena = arena};
    Err err = {0};
    if (!record_parse(goal_text, &run.goal, &err)) {
        log_error("agent", "node %s: %s", work->id, err.message);
        return RETRY_MAX_MS;
    }
    const AgentOptions *options = work->options;
    const char *zone_dir =
        arena_printf(arena, "%s/zone-%s", options->data_dir, member_str(run.goal, "zone", "a"));
    run.paths = engine_paths(arena, zone_dir, options->run_dir, work->id);
    run.role = member_str(run.goal, "role", "engine");
    sha256_hex(goal_text, run.goal_digest);
    seen_load(&run);
    if (work->seen_text == NULL || !record_parse(slice_of(work->seen_text), &run.seen, NULL)) {
        run.seen = json_object();
    }
    note_left_running(&run);
    logs_look(&run);
    int64_t again = node_act(&run, &err);
    if (again < 0) {
        again = note_failure(&run, &err);
    } else {
        note_success(&run);
    }
    if (!node_seen_write(&run, &err)) {
        log_warn("agent", "node %s: cannot write what was seen: %s", work->id, err.message);
    }
    json_decref(run.goal);
    json_decref(run.seen);
    return again;
}

void node_work_done(NodeWork *work)
{
    pg_session_close(work->session);
    mem_free(work->lead.proof_lsn);
    mem_free(work->complaint);
    mem_free(work->failure);
    mem_free(work->seen_text);
    *work = (NodeWork){0};
}
