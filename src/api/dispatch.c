/*
 * From a request to its reply: verify, route, parse, carry out, format. A handler that changes
 * something runs alone in this process and is one transaction (context.c); where control or another
 * host was there first it runs again.
 */
#include <stdio.h>

#include "api/api_priv.h"

#define ATTEMPTS_MAX 16

bool api_new(const ApiOptions *options, Api **ret_api, Err *err)
{
    Api *api = mem_alloc(sizeof(*api));
    api->options = *options;
    int failure = pthread_mutex_init(&api->writing, NULL);
    if (failure != 0) {
        mem_free(api);
        return err_set_errno(err, failure, "a lock of the API");
    }
    api->replay = replay_new();
    if (options->loop != NULL && !api_http_start(api, err)) {
        api_free(api);
        return false;
    }
    *ret_api = api;
    return true;
}

void api_free(Api *api)
{
    if (api == NULL) {
        return;
    }
    api_http_free(api->http);
    replay_free(api->replay);
    pthread_mutex_destroy(&api->writing);
    mem_free(api);
}

void api_reply_init(ApiReply *reply)
{
    *reply = (ApiReply){.status = 500, .service = "", .operation = "", .content_type = "text/xml"};
    buf_init(&reply->body, BUF_MAX_DEFAULT);
    uuid_make(reply->request_id);
}

void api_reply_done(ApiReply *reply)
{
    buf_done(&reply->body);
}

void api_after(Api *api, const ApiReply *reply)
{
    if (reply->stop && api->options.stop != NULL) {
        api->options.stop(api->options.context);
    }
}

/* ---- one request
 * --------------------------------------------------------------------------------- */

typedef struct Request {
    Api *api;
    const AwsHttp *http;
    Arena *arena;
    AwsCaller caller;
    Secret join_secret; /* of the token that signs; empty: none does */
    bool joins;
    Err key_err; /* why its secret is not known */
    AwsCall call;
    const ApiOperation *operation;
    json_t *input;
    json_t *output;
    int64_t now_ms;
    ApiReply *reply;
    AwsFault fault;
} Request;

static int64_t api_now(const Api *api)
{
    int64_t (*now_ms)(void *) = api->options.now_ms;
    return now_ms != NULL ? now_ms(api->options.context) : time_wall_ms();
}

/* Of the owner, or of a host that joins. */
static const Secret *key_find(void *context, Slice access_key)
{
    Request *request = context;
    const ApiOptions *options = &request->api->options;
    if (!join_is_token(access_key)) {
        return options->key_find(options->context, access_key);
    }
    request->joins = join_secret(request->api, access_key, request->now_ms, &request->join_secret,
                                 &request->key_err);
    return request->joins ? &request->join_secret : NULL;
}

static bool request_verify(Request *request)
{
    const ApiOptions *options = &request->api->options;
    if (!aws_sigv4_verify(request->http, request->now_ms, key_find, request, &request->caller,
                          &request->fault)) {
        ErrCode code = request->key_err.code; /* that the store is away says nothing of a token */
        return code == ERR_NONE || code == ERR_NOT_FOUND || code == ERR_DENIED
                   ? false
                   : aws_fault_set(&request->fault, NULL, "ServiceUnavailable",
                                   "The store does not say whether the token counts. Try again.");
    }
    snprintf(request->reply->access_key, sizeof(request->reply->access_key), "%s",
             request->caller.access_key);
    if (strcmp(request->caller.region, options->tier.region) != 0) {
        AwsProtocol protocol = aws_protocol_of(request->http);
        bool json = protocol == AWS_JSON_1_0 || protocol == AWS_JSON_1_1;
        return aws_fault_set(&request->fault, NULL,
                             json ? "InvalidSignatureException" : "SignatureDoesNotMatch",
                             "Credential should be scoped to a valid region, not '%s'. This tier's "
                             "region is %s.",
                             request->caller.region, options->tier.region);
    }
    return true;
}

static bool request_route(Request *request)
{
    AwsCall call;
    if (!aws_route(request->http, slice_of(request->caller.service), &call, &request->fault)) {
        return false;
    }
    request->call = call;
    request->reply->service = call.service->name;
    request->reply->operation = call.operation->name;
    request->operation = api_operation_find(call.service->name, call.operation->name);
    request->reply->wrote = request->operation != NULL && request->operation->writes;
    if (request->joins &&
        (request->operation == NULL || strcmp(request->operation->operation, "JoinHost") != 0)) {
        Err err;
        err_set(&err, ERR_DENIED, "A token is for joining, and for nothing else.");
        return aws_fault_from_err(&request->fault, call.service, &err);
    }
    return request->operation != NULL
               ? true
               : aws_fault_set(&request->fault, call.service, "UnsupportedOperation",
                               "Weir does not support the operation %s of %s yet.",
                               call.operation->name, call.service->name);
}

/* Members that AWS's tables do not know either ask for something we cannot see. */
static bool request_parse(Request *request)
{
    json_t *unknown = json_array();
    bool ok =
        aws_input_parse(&request->call, request->http, &request->input, unknown, &request->fault);
    if (ok && json_array_size(unknown) > 0) {
        ok = aws_fault_set(&request->fault, request->call.service,
                           request->call.protocol == AWS_QUERY || request->call.protocol == AWS_EC2
                               ? "UnknownParameter"
                               : "ValidationException",
                           "%s does not know the parameter %.200s.", request->call.operation->name,
                           json_string_value(json_array_get(unknown, 0)));
    }
    json_decref(unknown);
    return ok;
}

/* ---- carrying out
 * -------------------------------------------------------------------------------- */

static void context_prepare(ApiContext *ctx, Request *request)
{
    context_init(ctx, request->api, request->arena, &request->fault);
    ctx->now_ms = request->now_ms;
    ctx->service = request->call.service;
    ctx->operation = request->call.operation;
    ctx->access_key = request->caller.access_key;
    ctx->tls = request->http->tls;
    ctx->joins = request->joins && request->http->tls;
}

/* A handler that says no set the fault; a store that failed overrules what it said. */
static bool attempt(Request *request, bool *ret_done)
{
    ApiContext ctx;
    Err err;
    json_t *input = json_deep_copy(request->input); /* handlers may alter theirs */
    context_prepare(&ctx, request);
    request->output = NULL;
    *ret_done = true;
    bool ok = input_flag(input, "DryRun") /* EC2's: whether it would be allowed */
                  ? refuse_unsupported(&ctx, "DryRun yet: leave it out.")
                  : request->operation->handler(&ctx, input, &request->output);
    if (ctx.broken.code != ERR_NONE) {
        ok = aws_fault_from_err(&request->fault, ctx.service, &ctx.broken);
    } else if (ok && !context_commit(&ctx, ret_done, &err)) {
        ok = aws_fault_from_err(&request->fault, ctx.service, &err);
    }
    request->reply->stop = ok && ctx.stop;
    context_done(&ctx);
    json_decref(input);
    if (!ok || !*ret_done) {
        json_decref(request->output);
        request->output = NULL;
    }
    return ok;
}

static bool request_perform(Request *request)
{
    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        bool done;
        bool ok = attempt(request, &done);
        if (!ok || done) {
            return ok;
        }
    }
    return aws_fault_set(&request->fault, request->call.service, "Throttling",
                         "The resource is being changed by others all the time. Try again.");
}

/* ---- the reply
 * ----------------------------------------------------------------------------------- */

static void reply_fault(Request *request)
{
    ApiReply *reply = request->reply;
    const AwsService *service = request->call.service;
    AwsProtocol protocol =
        service != NULL ? request->call.protocol : aws_protocol_of(request->http);
    reply->status = request->fault.status;
    reply->stop = false;
    reply->content_type = aws_content_type(protocol);
    snprintf(reply->fault, sizeof(reply->fault), "%s", request->fault.code);
    buf_clear(&reply->body);
    aws_fault_format(&request->fault, service, protocol, reply->request_id, &reply->body);
}

static void reply_output(Request *request)
{
    Err err;
    ApiReply *reply = request->reply;
    reply->content_type = aws_content_type(request->call.protocol);
    if (aws_output_format(&request->call, request->output, reply->request_id, &reply->body, &err)) {
        reply->status = 200;
        return;
    }
    aws_fault_from_err(&request->fault, request->call.service, &err);
    reply_fault(request);
}

static void answer(Request *request, bool ok)
{
    if (ok) {
        reply_output(request);
    } else {
        reply_fault(request);
    }
}

/* One call, whatever its attempt: who, its id, and what it asks for. NULL: not marked. */
static const char *replay_key(Request *request)
{
    Slice id = aws_http_header(request->http, "amz-sdk-invocation-id");
    if (id.len == 0 || id.len > 128) {
        return NULL;
    }
    uint8_t digest[SHA256_SIZE];
    char hex[2 * SHA256_SIZE + 1];
    sha256(request->http->body, digest);
    hex_encode(digest, sizeof(digest), hex);
    return arena_printf(request->arena, "%s %.*s %s %s", request->caller.access_key, SLICE_FMT(id),
                        request->call.operation->name, hex);
}

/* Under the lock, so that a second attempt waits for the first one's answer. */
static void answer_change(Request *request)
{
    Api *api = request->api;
    const char *key = replay_key(request);
    pthread_mutex_lock(&api->writing);
    if (key == NULL || !replay_find(api->replay, key, request->now_ms, request->reply)) {
        answer(request, request_perform(request));
        if (key != NULL && request->reply->status == 200) {
            replay_add(api->replay, key, request->now_ms, request->reply);
        }
    }
    pthread_mutex_unlock(&api->writing);
}

/* The certificate of the authority, for whoever knows its digest (docs/hosts.md). */
static bool answer_ca(const Api *api, const AwsHttp *http, ApiReply *reply)
{
    if (!slice_is(http->method, "GET") || !slice_is(http->path, "/ca.pem")) {
        return false;
    }
    reply->status = 200;
    reply->operation = "ca.pem";
    reply->content_type = "application/x-pem-file";
    buf_append_slice(&reply->body, api->options.ca_cert_pem);
    return true;
}

void api_answer(Api *api, const AwsHttp *http, ApiReply *reply)
{
    if (answer_ca(api, http, reply)) {
        return;
    }
    Request request = {.api = api, .http = http, .reply = reply, .now_ms = api_now(api)};
    request.arena = arena_new();
    bool ok = request_verify(&request) && request_route(&request) && request_parse(&request);
    if (ok && request.operation->writes) {
        answer_change(&request);
    } else {
        answer(&request, ok && request_perform(&request));
    }
    json_decref(request.input);
    json_decref(request.output);
    secret_done(&request.join_secret);
    arena_free(request.arena);
}
