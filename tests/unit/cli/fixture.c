/* See fixture.h. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

int fixture_setup(void **state)
{
    Fixture *fixture = mem_alloc(sizeof(*fixture));
    void *harness;
    assert_int_equal(harness_setup(&harness), 0);
    fixture->harness = harness;
    fixture->arena = arena_new();
    pthread_mutex_init(&fixture->lock, NULL);
    buf_init(&fixture->log, BUF_MAX_DEFAULT);
    *state = fixture;
    return 0;
}

int fixture_teardown(void **state)
{
    Fixture *fixture = *state;
    void *harness = fixture->harness;
    harness_teardown(&harness);
    arena_free(fixture->arena);
    buf_done(&fixture->log);
    pthread_mutex_destroy(&fixture->lock);
    mem_free(fixture);
    return 0;
}

/* ---- control ----------------------------------------------------------------------------------
 */

typedef struct StatusOf {
    const char *type;
    const char *status_member;
} StatusOf;

static const StatusOf statuses[] = {{"db-instance", "DBInstanceStatus"},
                                    {"db-proxy", "Status"},
                                    {"db-proxy-endpoint", "Status"},
                                    {"replication-group", "Status"}};

static json_t *targets_status(const json_t *spec)
{
    json_t *list = json_array();
    size_t i;
    const json_t *target;
    json_array_foreach (json_object_get(spec, "targets"), i, target) {
        json_array_append_new(list, json_pack("{s:s, s:s}", "dbi", member_str(target, "dbi", ""),
                                              "State", "AVAILABLE"));
    }
    return list;
}

static void put_status(Fixture *fixture, const StatusOf *of, const char *id, const json_t *spec)
{
    CLEANUP(record_free_ptr)
    json_t *status = json_pack("{s:I, s:s, s:s, s:s, s:s, s:o}", "generation",
                               (json_int_t)member_int(spec, "generation", 0), of->status_member,
                               "available", "endpoint_host", "1.7", "primary_host", "1.8",
                               "reader_host", "1.9", "targets", targets_status(spec));
    CLEANUP(mem_free_ptr) char *text = json_dumps(status, JSON_COMPACT);
    CLEANUP(mem_free_ptr) char *key = mem_printf("status/%s/%s", of->type, id);
    harness_put(fixture->harness, key, text);
}

static void drop(Fixture *fixture, const char *key)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreItem item;
    Err err;
    if (store_get(fixture->harness->store, slice_of(key), arena, &item, &err)) {
        assert_true(
            store_remove(fixture->harness->store, slice_of(key), item.mod_revision, NULL, &err));
    }
}

static void control_one(Fixture *fixture, const StatusOf *of, const StoreItem *item)
{
    json_t *spec;
    Err err;
    assert_true(record_parse(item->value, &spec, &err));
    const char *id = strrchr(item->key.data, '/') + 1;
    if (fixture->held != NULL && strcmp(fixture->held, id) == 0) {
        json_decref(spec);
        return;
    }
    if (member_bool(spec, "deleting", false)) {
        CLEANUP(mem_free_ptr) char *status = mem_printf("status/%s/%s", of->type, id);
        drop(fixture, status);
        drop(fixture, item->key.data);
    } else {
        put_status(fixture, of, id, spec);
    }
    json_decref(spec);
}

void fixture_control(Fixture *fixture)
{
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        CLEANUP(mem_free_ptr) char *prefix = mem_printf("spec/%s/", statuses[i].type);
        StoreRange range;
        Err err;
        assert_true(store_range(fixture->harness->store, slice_of(prefix), (Slice){0}, 100, arena,
                                &range, &err));
        for (size_t k = 0; k < range.len; k++) {
            StoreItem item = range.items[k];
            item.key = slice_of(arena_slice_str(arena, item.key));
            control_one(fixture, &statuses[i], &item);
        }
    }
}

/* ---- calls ------------------------------------------------------------------------------------
 */

static bool reads(const char *operation)
{
    Slice name = slice_of(operation);
    return slice_starts(name, "Describe") || slice_starts(name, "List") ||
           slice_starts(name, "Get");
}

static void log_call(Fixture *fixture, const char *operation, const json_t *input)
{
    static const char *const names[] = {
        "DBInstanceIdentifier", "DBProxyEndpointName",     "DBProxyName", "DBParameterGroupName",
        "DBSubnetGroupName",    "ReplicationGroupId",      "GroupName",   "GroupId",
        "CacheSubnetGroupName", "CacheParameterGroupName", "Name",        "SecretId",
        "ResourceName"};
    const char *name = "";
    for (size_t i = 0; i < ARRAY_LEN(names) && name[0] == '\0'; i++) {
        name = member_str(input, names[i], "");
    }
    if (strcmp(name, APPLIED_SECRET) == 0) {
        return; /* another thread's: it comes between those of the workers when it likes */
    }
    const char *colon = strrchr(name, ':');
    Slice shown = slice_of(colon != NULL ? colon + 1 : name);
    if (strstr(name, ":secret:") != NULL) {
        shown.len -= strlen("-abcdef");
    }
    for (size_t i = 0; i < 2; i++) { /* ids are made up anew each time */
        static const char *const prefixes[] = {"sg-", "prx-"};
        shown.len = slice_starts(shown, prefixes[i]) ? strlen(prefixes[i]) : shown.len;
    }
    buf_printf(&fixture->log, "%s %.*s\n", operation, SLICE_FMT(shown));
}

static bool fixture_call(void *context, const char *service, const char *operation,
                         const json_t *input, json_t **ret_output, AwsFault *fault, Err *err)
{
    Fixture *fixture = context;
    pthread_mutex_lock(&fixture->lock);
    CLEANUP(mem_free_ptr) char *name = mem_printf("%s:%s", service, operation);
    CLEANUP(mem_free_ptr) char *text = input != NULL ? json_dumps(input, JSON_COMPACT) : NULL;
    *fault = (AwsFault){0};
    bool ok;
    if (fixture->fail_operation != NULL && strcmp(fixture->fail_operation, operation) == 0) {
        ok = aws_fault_set(fault, aws_service_find(slice_of(service)), fixture->fail_code, "%s",
                           fixture->fail_message);
    } else {
        if (!reads(operation)) {
            log_call(fixture, operation, input);
        } else {
            fixture_control(fixture);
        }
        ok = harness_call(fixture->harness, name, text, ret_output, fault);
    }
    pthread_mutex_unlock(&fixture->lock);
    return ok || aws_fault_to_err(fault, err);
}

Caller fixture_caller(Fixture *fixture)
{
    return (Caller){fixture_call, fixture};
}

/* ---- plans ------------------------------------------------------------------------------------
 */

static bool load(Fixture *fixture, const char *text, TfDiagnostics *diagnostics,
                 TfProgram **ret_program)
{
    Sources sources = {.arena = fixture->arena};
    TfSource source = {"main.tf", slice_of(text)};
    Err err;
    arena_vec_push(fixture->arena, &sources.sources, source);
    Caller caller = fixture_caller(fixture);
    ProgramOptions options = {.caller = &caller, .make_up = true};
    tf_diagnostics_init(diagnostics, fixture->arena);
    return program_load(fixture->arena, &sources, &options, diagnostics, ret_program, &err);
}

TfProgram *fixture_load(Fixture *fixture, const char *text)
{
    TfDiagnostics diagnostics;
    TfProgram *program = NULL;
    if (!load(fixture, text, &diagnostics, &program)) {
        Buf out;
        buf_init(&out, BUF_MAX_DEFAULT);
        tf_diagnostics_format(&diagnostics, &out);
        fail_msg("%s", buf_str(&out));
    }
    return program;
}

bool fixture_plan(Fixture *fixture, const char *text, Plan *plan, Buf *out)
{
    TfDiagnostics diagnostics;
    TfProgram *program;
    Err err = {0};
    Caller caller = fixture_caller(fixture);
    *plan = (Plan){0};
    bool ok = load(fixture, text, &diagnostics, &program) &&
              plan_make(plan, fixture->arena, program, &caller, NULL, &diagnostics, &err);
    if (err.code != ERR_NONE) {
        fail_msg("%s", err.message);
    }
    if (ok) {
        plan_format(plan, false, CLI_COLUMNS_USUAL, out);
    } else {
        tf_diagnostics_format(&diagnostics, out);
    }
    return ok;
}

void assert_plan(Fixture *fixture, const char *text, const char *shown)
{
    Plan plan;
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    (void)fixture_plan(fixture, text, &plan, &out);
    if (strcmp(buf_str(&out), shown) != 0) {
        fprintf(stderr, "got\n%s\nwanted\n%s\n", buf_str(&out), shown);
        fail();
    }
    buf_done(&out);
    plan_done(&plan);
}

void assert_no_changes(Fixture *fixture, const char *text)
{
    Plan plan;
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    if (!fixture_plan(fixture, text, &plan, &out) || !plan_is_empty(&plan)) {
        fprintf(stderr, "%s\n", buf_str(&out));
        fail();
    }
    buf_done(&out);
    plan_done(&plan);
}

/* ---- applying ---------------------------------------------------------------------------------
 */

static bool source_open(void *context, Caller *ret_caller, Err *err)
{
    (void)err;
    *ret_caller = fixture_caller(context);
    return true;
}

static void source_close(void *context, Caller *caller)
{
    (void)context;
    (void)caller;
}

static void on_state(void *user, const char *address, const char *state, int64_t elapsed_ms)
{
    (void)user;
    (void)address;
    (void)state;
    (void)elapsed_ms;
}

static void on_end(void *user, const char *address, const char *text, int64_t elapsed_ms)
{
    (void)elapsed_ms;
    buf_printf(user, "%s: %s\n", address, text);
}

static void on_tick(void *user)
{
    (void)user;
}

bool fixture_apply(Fixture *fixture, const char *text, Buf *out)
{
    Plan plan;
    Buf shown;
    Err err;
    TfDiagnostics diagnostics;
    ApplyResult result;
    buf_init(&shown, BUF_MAX_DEFAULT);
    if (!fixture_plan(fixture, text, &plan, &shown)) {
        fail_msg("%s", buf_str(&shown));
    }
    const ApplyOptions options = {
        .source = {source_open, source_close, fixture}, .calls_max = 1, .poll_ms = 1};
    const ApplyProgress progress = {on_state, on_end, on_end, on_end, on_tick, out};
    tf_diagnostics_init(&diagnostics, fixture->arena);
    bool ok = apply_run(&plan, &options, &progress, &result, &diagnostics, &err);
    tf_diagnostics_format(&diagnostics, out);
    buf_done(&shown);
    plan_done(&plan);
    return ok;
}

void assert_applies(Fixture *fixture, const char *text)
{
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    if (!fixture_apply(fixture, text, &out)) {
        fail_msg("%s", buf_str(&out));
    }
    buf_done(&out);
}

void assert_log(Fixture *fixture, const char *log)
{
    if (strcmp(buf_str(&fixture->log), log) != 0) {
        fprintf(stderr, "got\n%s\nwanted\n%s\n", buf_str(&fixture->log), log);
        fail();
    }
    buf_clear(&fixture->log);
}

char *fixture_read_file(Fixture *fixture, const char *name)
{
    Buf text;
    Err err;
    const char *root = getenv("WEIR_SOURCE_ROOT");
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", root != NULL ? root : ".", name);
    buf_init(&text, BUF_MAX_DEFAULT);
    assert_true(file_read(path, &text, &err));
    char *copy = arena_strdup(fixture->arena, buf_str(&text));
    buf_done(&text);
    return copy;
}
