/* See harness.h. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

static const uint8_t master_key[AEAD_KEY_SIZE] = {7, 7, 7};
static const InstalledVersion installed[] = {{"postgres", "15.18"}, {"redis", "7.0.15"}};

/* ---- the API's surroundings
 * ---------------------------------------------------------------------- */

static const Secret *find_key(void *context, Slice access_key)
{
    Harness *harness = context;
    return slice_is(access_key, HARNESS_KEY) ? &harness->secret_key : NULL;
}

static int64_t harness_now(void *context)
{
    return ((Harness *)context)->now_ms;
}

static void harness_stop(void *context)
{
    ((Harness *)context)->stops++;
}

/* Below 0: it was not heard yet. */
static bool host_heard(void *context, const char *host, HostWord *ret_word)
{
    int64_t silent_ms = member_int(((Harness *)context)->silent, host, 0);
    *ret_word = (HostWord){.alive = silent_ms <= 0,
                           .unheard = silent_ms<0, .silent_ms = silent_ms> 0 ? silent_ms : 0};
    return true;
}

static HostStoreMember store_member(void *context, const char *host)
{
    (void)context;
    return strcmp(host, "h1") == 0 ? HOST_MEMBER_SOLE_VOTER : HOST_MEMBER_LEARNER;
}

static bool log_stat(void *context, const char *node_id, int64_t *ret_bytes,
                     int64_t *ret_written_ms, Err *err)
{
    const Harness *harness = context;
    bool known = strcmp(node_id, "n1") == 0 || strcmp(node_id, "proxy-pool") == 0;
    if (harness->log_text == NULL || !known) {
        return err_set(err, ERR_NOT_FOUND, "no log");
    }
    *ret_bytes = (int64_t)strlen(harness->log_text);
    *ret_written_ms = 1000;
    return true;
}

static bool log_read(void *context, const char *node_id, int64_t offset, size_t max, Buf *out,
                     Err *err)
{
    (void)node_id;
    (void)err;
    Slice text = slice_of(((Harness *)context)->log_text);
    text = slice_skip(text, (size_t)offset < text.len ? (size_t)offset : text.len);
    buf_append(out, text.data, text.len < max ? text.len : max);
    return true;
}

static bool share_store(void *context, json_t **ret_share, Err *err)
{
    const Harness *harness = context;
    if (harness->share == NULL) {
        return err_set(err, ERR_UNAVAILABLE, "the store moves");
    }
    *ret_share = harness_json(harness->share);
    return true;
}

int harness_setup(void **state)
{
    Harness *harness = mem_alloc(sizeof(*harness));
    harness->store = store_open_memory(NULL);
    harness->now_ms = 1700000000000;
    harness->variables = json_object();
    secret_set(&harness->secret_key, SLICE("very secret"));
    ApiOptions options = {
        .store = harness->store,
        .master_key = master_key,
        .tier = {MODEL_ACCOUNT_ID, HARNESS_REGION, "127.5"},
        .tier_id = "t1",
        .host = "h1",
        .endpoint = "http://127.5.0.1:4566",
        .tier_created_ms = 1,
        .versions = {installed, ARRAY_LEN(installed), NULL},
        .key_find = find_key,
        .logs = {log_stat, log_read},
        .stop = harness_stop,
        .host_heard = host_heard,
        .store_member = store_member,
        .share_store = share_store,
        .ca_cert_pem = SLICE("the authority"),
        .now_ms = harness_now,
        .context = harness,
    };
    Err err;
    assert_true(api_new(&options, &harness->api, &err));
    harness_put(harness, "tier", "{'format': 1}");
    *state = harness;
    return 0;
}

int harness_teardown(void **state)
{
    Harness *harness = *state;
    api_free(harness->api);
    store_close(harness->store);
    secret_done(&harness->secret_key);
    json_decref(harness->silent);
    json_decref(harness->variables);
    mem_free(harness);
    return 0;
}

/* ---- JSON
 * ---------------------------------------------------------------------------------------- */

json_t *harness_json(const char *text)
{
    char *copy = mem_strdup(text != NULL ? text : "{}");
    for (char *at = copy; *at != '\0'; at++) {
        *at = *at == '\'' ? '"' : *at;
    }
    json_error_t error;
    json_t *value = json_loads(copy, JSON_DECODE_ANY, &error);
    if (value == NULL) {
        print_message("%s: %s\n", error.text, copy);
    }
    assert_non_null(value);
    mem_free(copy);
    return value;
}

static json_t *with_variables(const Harness *harness, json_t *value)
{
    if (json_is_string(value) && json_string_value(value)[0] == '$') {
        json_t *known = json_object_get(harness->variables, json_string_value(value) + 1);
        assert_non_null(known);
        json_decref(value);
        return json_incref(known);
    }
    const char *name;
    json_t *item;
    size_t index;
    json_object_foreach (value, name, item) {
        json_object_set_new(value, name, with_variables(harness, json_incref(item)));
    }
    json_array_foreach (value, index, item) {
        json_array_set_new(value, index, with_variables(harness, json_incref(item)));
    }
    return value;
}

static bool object_holds(const json_t *actual, json_t *expected)
{
    const char *name;
    json_t *item;
    json_object_foreach (expected, name, item) {
        const json_t *found = json_object_get(actual, name);
        if (json_is_null(item) ? found != NULL : !json_holds(found, item)) {
            print_message("member %s\n", name);
            return false;
        }
    }
    return json_is_object(actual);
}

bool json_holds(const json_t *actual, const json_t *expected)
{
    if (json_is_string(expected) && strcmp(json_string_value(expected), "*") == 0) {
        return json_is_string(actual);
    }
    if (json_is_object(expected)) {
        json_t *copy = json_deep_copy(expected);
        bool holds = object_holds(actual, copy);
        json_decref(copy);
        return holds;
    }
    if (!json_is_array(expected)) {
        return json_equal(actual, expected) == 1;
    }
    bool holds = json_is_array(actual) && json_array_size(actual) == json_array_size(expected);
    for (size_t i = 0; holds && i < json_array_size(expected); i++) {
        holds = json_holds(json_array_get(actual, i), json_array_get(expected, i));
    }
    return holds;
}

const json_t *json_at(const json_t *value, const char *path)
{
    Slice rest = slice_of(path);
    while (rest.len > 0 && value != NULL) {
        Slice part = slice_cut(&rest, '.');
        char name[64];
        uint64_t index;
        snprintf(name, sizeof(name), "%.*s", SLICE_FMT(part));
        value = json_is_array(value) && str_to_u64(part, &index) ? json_array_get(value, index)
                                                                 : json_object_get(value, name);
    }
    return value;
}

void harness_keep(Harness *harness, const char *name, const json_t *output, const char *path)
{
    const json_t *found = json_at(output, path);
    assert_true(json_is_string(found));
    json_object_set_new(harness->variables, name, json_deep_copy(found));
}

/* ---- the store
 * ----------------------------------------------------------------------------------- */

json_t *harness_get(Harness *harness, const char *key)
{
    Arena *arena = arena_new();
    StoreItem item;
    Err err;
    json_t *value = NULL;
    if (store_get(harness->store, slice_of(key), arena, &item, &err)) {
        assert_true(record_parse(item.value, &value, &err));
    }
    arena_free(arena);
    return value;
}

void harness_put(Harness *harness, const char *key, const char *text)
{
    Arena *arena = arena_new();
    StoreItem item = {0};
    Err err;
    json_t *value = harness_json(text);
    Slice record = record_format(arena, value);
    bool there = store_get(harness->store, slice_of(key), arena, &item, &err);
    assert_true(
        there ? store_update(harness->store, slice_of(key), item.mod_revision, record, NULL, &err)
              : store_create(harness->store, slice_of(key), record, NULL, &err));
    json_decref(value);
    arena_free(arena);
}

/* ---- requests
 * ------------------------------------------------------------------------------------ */

static void send_signed(Harness *harness, const char *service, AwsHeader *headers, size_t count,
                        Slice body, const char *secret_key, const char *region, ApiReply *reply)
{
    char date[AWS_AMZ_DATE_SIZE];
    Buf authorization;
    Secret secret = {0};
    buf_init(&authorization, BUF_MAX_DEFAULT);
    secret_set(&secret, slice_of(secret_key));
    AwsHttp http = {.method = SLICE("POST"),
                    .path = SLICE("/"),
                    .headers = headers,
                    .header_count = count,
                    .body = body,
                    .tls = harness->tls};
    const char *access_key = harness->access_key != NULL ? harness->access_key : HARNESS_KEY;
    AwsSigner signer = {slice_of(access_key), &secret, slice_of(region), slice_of(service)};
    aws_sigv4_sign(&http, &signer, harness->now_ms, date, &authorization);
    headers[count] = (AwsHeader){SLICE("X-Amz-Date"), slice_of(date)};
    headers[count + 1] = (AwsHeader){SLICE("Authorization"), buf_slice(&authorization)};
    http.header_count = count + 2;
    api_reply_init(reply);
    api_answer(harness->api, &http, reply);
    buf_done(&authorization);
    secret_done(&secret);
}

void harness_send_raw(Harness *harness, const char *service, const char *body,
                      const char *content_type, const char *target, const char *secret_key,
                      const char *region, ApiReply *reply)
{
    AwsHeader headers[8] = {{SLICE("Host"), SLICE("127.5.0.1:4566")},
                            {SLICE("Content-Type"), slice_of(content_type)}};
    size_t count = 2;
    if (target != NULL) {
        headers[count++] = (AwsHeader){SLICE("X-Amz-Target"), slice_of(target)};
    }
    send_signed(harness, service, headers, count, slice_of(body), secret_key, region, reply);
}

static AwsCall call_of(const char *operation)
{
    Slice rest = slice_of(operation);
    const AwsService *service = aws_service_find(slice_cut(&rest, ':'));
    assert_non_null(service);
    AwsCall call = {service, aws_operation_find(service, rest), service->protocol};
    assert_non_null(call.operation);
    return call;
}

void harness_send(Harness *harness, const char *operation, const char *input,
                  const char *invocation, ApiReply *reply)
{
    AwsCall call = call_of(operation);
    char target[AWS_TARGET_SIZE];
    Buf body;
    Err err;
    buf_init(&body, BUF_MAX_DEFAULT);
    json_t *value = with_variables(harness, harness_json(input));
    assert_true(aws_input_format(&call, value, &body, &err));
    aws_request_target(&call, target);
    AwsHeader headers[8] = {
        {SLICE("Host"), SLICE("127.5.0.1:4566")},
        {SLICE("Content-Type"), slice_of(aws_request_content_type(call.protocol))}};
    size_t count = 2;
    if (target[0] != '\0') {
        headers[count++] = (AwsHeader){SLICE("X-Amz-Target"), slice_of(target)};
    }
    if (invocation != NULL) {
        headers[count++] = (AwsHeader){SLICE("amz-sdk-invocation-id"), slice_of(invocation)};
    }
    const char *signs = harness->signs_with != NULL ? harness->signs_with : "very secret";
    send_signed(harness, call.service->signing, headers, count, buf_slice(&body), signs,
                HARNESS_REGION, reply);
    json_decref(value);
    buf_done(&body);
}

bool harness_call(Harness *harness, const char *operation, const char *input, json_t **ret_output,
                  AwsFault *ret_fault)
{
    ApiReply reply;
    AwsCall call = call_of(operation);
    harness_send(harness, operation, input, NULL, &reply);
    api_after(harness->api, &reply);
    bool ok = reply.status == 200;
    Err err = {0};
    if (ok) {
        bool parsed = aws_output_parse(&call, buf_slice(&reply.body), ret_output, &err);
        if (!parsed) {
            print_message("%s: %s\n%s\n", operation, err.message, buf_str(&reply.body));
        }
        assert_true(parsed);
    } else {
        aws_fault_parse(&call, reply.status, buf_slice(&reply.body), ret_fault);
    }
    api_reply_done(&reply);
    return ok;
}

/* ---- steps
 * --------------------------------------------------------------------------------------- */

static void check_output(const Harness *harness, const Step *step, const json_t *output)
{
    if (step->expect == NULL) {
        return;
    }
    json_t *expected = with_variables(harness, harness_json(step->expect));
    if (!json_holds(output, expected)) {
        char *text = json_dumps(output, JSON_INDENT(1));
        print_message("%s %s\nwanted %s\ngot %s\n", step->operation, step->input, step->expect,
                      text);
        free(text);
        fail();
    }
    json_decref(expected);
}

void run_step(Harness *harness, const Step *step)
{
    json_t *output = NULL;
    AwsFault fault = {0};
    bool ok = harness_call(harness, step->operation, step->input, &output, &fault);
    if (ok != (step->fault == NULL) || (!ok && strcmp(fault.code, step->fault) != 0) ||
        (!ok && step->expect != NULL && strstr(fault.message, step->expect) == NULL)) {
        print_message("%s %s\nwanted %s, got %s: %s\n", step->operation, step->input,
                      step->fault != NULL ? step->fault : "success", ok ? "success" : fault.code,
                      fault.message);
        fail();
    }
    if (ok) {
        check_output(harness, step, output);
    }
    json_decref(output);
}

void run_steps(Harness *harness, const Step *steps, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        run_step(harness, &steps[i]);
    }
}
