/* A call: its input as a body, attempts until one settles it, and the reply as a value or a fault.
 * Each attempt is signed anew; all attempts of a call carry the same invocation id, by which the
 * server knows a repetition. */
#include <stdio.h>
#include <time.h>

#include "client/client_priv.h"

#define INVOCATION_ID_LEN 24

struct Client {
    ClientSettings settings;
    Http *http;
};

bool client_open(const ClientSettings *settings, Client **ret_client, Err *err)
{
    Http *http;
    TRY(http_open(settings, &http, err));
    Client *client = mem_alloc(sizeof(Client));
    client->http = http;
    client->settings = (ClientSettings){.endpoint = mem_strdup(settings->endpoint),
                                        .region = mem_strdup(settings->region),
                                        .access_key = mem_strdup(settings->access_key),
                                        .ca = mem_strdup(settings->ca),
                                        .patience_ms = settings->patience_ms,
                                        .timeout_ms = settings->timeout_ms,
                                        .once = settings->once};
    secret_set(&client->settings.secret_key, secret_reveal(&settings->secret_key));
    *ret_client = client;
    return true;
}

void client_close(Client *client)
{
    if (client != NULL) {
        http_close(client->http);
        client_settings_done(&client->settings);
        mem_free(client);
    }
}

/* ---- one attempt -------------------------------------------------------------------------------
 */

typedef struct Call {
    Client *client;
    AwsCall aws;
    Buf body;
    Buf reply;
    char invocation_id[INVOCATION_ID_LEN + 1];
    int64_t started_ms;
    bool reads_only;
} Call;

static bool reads_only(const char *operation)
{
    static const char *const prefixes[] = {"Describe", "Download", "Get", "List"};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        if (slice_starts(slice_of(operation), prefixes[i])) {
            return true;
        }
    }
    return false;
}

static void add_header(AwsHttp *http, AwsHeader *headers, const char *name, const char *value)
{
    headers[http->header_count++] = (AwsHeader){slice_of(name), slice_of(value)};
}

#define HEADERS_MAX 8

static Outcome attempt_send(Call *call, int number, int *ret_status, Err *err)
{
    const Client *client = call->client;
    AwsHeader headers[HEADERS_MAX];
    AwsHttp http = {.method = SLICE("POST"),
                    .path = SLICE("/"),
                    .query = SLICE(""),
                    .headers = headers,
                    .body = buf_slice(&call->body)};
    char target[AWS_TARGET_SIZE];
    char count[32];
    char date[AWS_AMZ_DATE_SIZE];
    Buf authorization;
    aws_request_target(&call->aws, target);
    snprintf(count, sizeof(count), "attempt=%d", number);
    add_header(&http, headers, "Host", http_host(client->http));
    add_header(&http, headers, "Content-Type", aws_request_content_type(call->aws.protocol));
    add_header(&http, headers, "amz-sdk-invocation-id", call->invocation_id);
    add_header(&http, headers, "amz-sdk-request", count);
    if (target[0] != '\0') {
        add_header(&http, headers, "X-Amz-Target", target);
    }
    AwsSigner signer = {slice_of(client->settings.access_key), &client->settings.secret_key,
                        slice_of(client->settings.region), slice_of(call->aws.service->signing)};
    buf_init(&authorization, BUF_MAX_DEFAULT);
    aws_sigv4_sign(&http, &signer, time_wall_ms(), date, &authorization);
    add_header(&http, headers, "X-Amz-Date", date);
    add_header(&http, headers, "Authorization", buf_str(&authorization));
    add_header(&http, headers, "User-Agent", "weir/" WEIR_VERSION);
    STATIC_ASSERT(HEADERS_MAX == 8, "one for each add_header above");
    HttpRequest request = {headers, http.header_count, http.body, !call->reads_only};
    Outcome outcome = http_post(client->http, &request, ret_status, &call->reply, err);
    buf_done(&authorization);
    return outcome;
}

/* ---- the call ----------------------------------------------------------------------------------
 */

static bool is_success(int status)
{
    return status >= 200 && status < 300;
}

static bool is_throttled(const AwsFault *fault)
{
    return strstr(fault->code, "Throttling") != NULL || fault->status == 429 ||
           fault->status == 503;
}

static void pause_ms(int64_t wait_ms)
{
    struct timespec wait = {wait_ms / MS_PER_S, wait_ms % MS_PER_S * 1000000};
    nanosleep(&wait, NULL);
}

static bool call_lost(const Call *call, Err *err)
{
    if (!call->reads_only) {
        err->code = ERR_UNSETTLED;
        err_wrap(err, "%s was sent, and whether it took place is unknown",
                 call->aws.operation->name);
    }
    return false;
}

static bool call_settle(const Call *call, const Attempt *last, const AwsFault *reply_fault,
                        json_t **ret_output, AwsFault *fault, Err *err)
{
    if (last->outcome == OUTCOME_LOST) {
        return call_lost(call, err);
    }
    if (last->outcome != OUTCOME_REPLY) {
        return false; /* err says why */
    }
    if (is_success(last->status)) {
        return aws_output_parse(&call->aws, buf_slice(&call->reply), ret_output, err);
    }
    if (fault != NULL) {
        *fault = *reply_fault;
    }
    return aws_fault_to_err(reply_fault, err);
}

static bool call_run(Call *call, json_t **ret_output, AwsFault *fault, Err *err)
{
    Attempt attempt = {.reads_only = call->reads_only};
    AwsFault reply_fault = {0};
    int64_t wait_ms = 0;
    while (wait_ms >= 0) {
        pause_ms(wait_ms);
        attempt.number++;
        attempt.outcome = attempt_send(call, attempt.number, &attempt.status, err);
        attempt.throttled = false;
        if (attempt.outcome == OUTCOME_REPLY && !is_success(attempt.status)) {
            aws_fault_parse(&call->aws, attempt.status, buf_slice(&call->reply), &reply_fault);
            attempt.throttled = is_throttled(&reply_fault);
        }
        attempt.elapsed_ms = time_mono_ms() - call->started_ms;
        bool ok = attempt.outcome == OUTCOME_REPLY && is_success(attempt.status);
        wait_ms = ok || call->client->settings.once
                      ? -1
                      : attempt_wait_ms(&attempt, call->client->settings.patience_ms);
    }
    return call_settle(call, &attempt, &reply_fault, ret_output, fault, err);
}

static bool call_find(const char *service, const char *operation, AwsCall *ret_call, Err *err)
{
    AwsCall call = {.service = aws_service_find(slice_of(service))};
    call.operation =
        call.service != NULL ? aws_operation_find(call.service, slice_of(operation)) : NULL;
    if (call.operation == NULL) {
        return err_set(err, ERR_UNSUPPORTED, "there is no operation %s in %s", operation, service);
    }
    call.protocol = call.service->protocol;
    *ret_call = call;
    return true;
}

bool client_call(Client *client, const char *service, const char *operation, const json_t *input,
                 json_t **ret_output, AwsFault *fault, Err *err)
{
    Call call = {.client = client, .started_ms = time_mono_ms()};
    Err own_err; /* so that the steps below may rely on there being one */
    err = err != NULL ? err : &own_err;
    if (fault != NULL) {
        *fault = (AwsFault){0};
    }
    TRY(call_find(service, operation, &call.aws, err));
    call.reads_only = reads_only(operation);
    random_id(call.invocation_id, INVOCATION_ID_LEN);
    buf_init(&call.body, AWS_REQUEST_BODY_MAX);
    buf_init(&call.reply, CLIENT_REPLY_MAX);
    bool ok = aws_input_format(&call.aws, input, &call.body, err);
    if (ok && call.body.overflowed) {
        ok = err_set(err, ERR_LIMIT, "%s: the input is larger than %zu bytes", operation,
                     AWS_REQUEST_BODY_MAX);
    }
    ok = ok && call_run(&call, ret_output, fault, err);
    crypto_wipe(call.body.data, call.body.len); /* may hold a password */
    crypto_wipe(call.reply.data, call.reply.len);
    buf_done(&call.body);
    buf_done(&call.reply);
    return ok;
}
