/*
 * Between HTTP and dispatch: each request is a job, for the store waits for the disk. The request
 * stays valid until it is answered, so nothing of it is copied. One line of log per request says
 * who asked for what and how it ended; never what was in it.
 */
#include <inttypes.h>
#include <stdio.h>

#include "api/api_priv.h"

typedef struct Exchange {
    Api *api;
    ApiHttpReply *http_reply;
    AwsHttp request;
    AwsHeader *headers;
    ApiReply reply;
    int64_t began_ms;
} Exchange;

static Exchange *exchange_new(Api *api, const ApiHttpRequest *request, ApiHttpReply *reply)
{
    Exchange *exchange = mem_alloc(sizeof(*exchange));
    exchange->api = api;
    exchange->http_reply = reply;
    exchange->began_ms = time_mono_ms();
    exchange->headers = mem_alloc(sizeof(AwsHeader) * (request->headers_len + 1));
    for (size_t i = 0; i < request->headers_len; i++) {
        exchange->headers[i] = (AwsHeader){request->headers[i].name, request->headers[i].value};
    }
    exchange->request = (AwsHttp){
        .method = request->method,
        .path = request->path,
        .query = request->query,
        .headers = exchange->headers,
        .header_count = request->headers_len,
        .body = request->body,
        .tls = request->tls,
    };
    api_reply_init(&exchange->reply);
    return exchange;
}

static void exchange_free(Exchange *exchange)
{
    api_reply_done(&exchange->reply);
    mem_free(exchange->headers);
    mem_free(exchange);
}

static void exchange_log(const Exchange *exchange)
{
    const ApiReply *reply = &exchange->reply;
    LogLevel level = reply->wrote || reply->status >= 500 ? LOG_INFO : LOG_DEBUG;
    if (log_enabled(level)) {
        log_write(level, "api", "%s:%s %d%s%s%s, %" PRId64 " ms, key %s, request %s",
                  reply->service[0] != '\0' ? reply->service : "-",
                  reply->operation[0] != '\0' ? reply->operation : "-", reply->status,
                  reply->fault[0] != '\0' ? " " : "", reply->fault,
                  reply->replayed ? " (replayed)" : "", time_mono_ms() - exchange->began_ms,
                  reply->access_key[0] != '\0' ? reply->access_key : "-", reply->request_id);
    }
}

static void exchange_reply(Exchange *exchange)
{
    const ApiReply *reply = &exchange->reply;
    const ApiHttpHeader headers[] = {
        {SLICE("Content-Type"), slice_of(reply->content_type)},
        {SLICE("x-amzn-RequestId"), slice_of(reply->request_id)},
    };
    api_http_reply(exchange->http_reply, (unsigned)reply->status, headers, ARRAY_LEN(headers),
                   buf_slice(&reply->body));
}

/* ---- a job per request
 * --------------------------------------------------------------------------- */

static void job_run(void *arg, const Job *job)
{
    (void)job;
    Exchange *exchange = arg;
    api_answer(exchange->api, &exchange->request, &exchange->reply);
}

/* Also for a job that was cancelled before it ran: then the answer is the 500 it began with. */
static void job_done(void *arg)
{
    Exchange *exchange = arg;
    exchange_log(exchange);
    exchange_reply(exchange);
    api_after(exchange->api, &exchange->reply);
    exchange_free(exchange);
}

static void refuse_busy(Exchange *exchange)
{
    AwsFault fault;
    AwsProtocol protocol = aws_protocol_of(&exchange->request);
    ApiReply *reply = &exchange->reply;
    aws_fault_set(&fault, NULL, "ServiceUnavailable", "Too many requests wait. Try again.");
    reply->status = fault.status;
    reply->content_type = aws_content_type(protocol);
    snprintf(reply->fault, sizeof(reply->fault), "%s", fault.code);
    aws_fault_format(&fault, NULL, protocol, reply->request_id, &reply->body);
    exchange_log(exchange);
    exchange_reply(exchange);
    exchange_free(exchange);
}

static void on_request(void *user, const ApiHttpRequest *request, ApiHttpReply *reply)
{
    Api *api = user;
    Exchange *exchange = exchange_new(api, request, reply);
    Job *job;
    Err err;
    if (!jobs_submit(api->options.jobs, job_run, job_done, exchange, &job, &err)) {
        refuse_busy(exchange);
    }
}

/* ---- the listener
 * -------------------------------------------------------------------------------- */

bool api_http_start(Api *api, Err *err)
{
    const ApiHttpOptions options = {
        .tls = api->options.tls,
        .handler = on_request,
        .user = api,
        .body_max = AWS_REQUEST_BODY_MAX,
    };
    ASSERT(api->options.jobs != NULL);
    return api_http_new(api->options.loop, &options, &api->http, err);
}

bool api_listen(Api *api, int fd, Err *err)
{
    ASSERT(api->http != NULL);
    return api_http_listen(api->http, fd, err);
}

void api_set_tls(Api *api, TlsContext *tls)
{
    ASSERT(api->http != NULL);
    api_http_set_tls(api->http, tls);
}
