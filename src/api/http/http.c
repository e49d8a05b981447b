/* Requests and answers of the HTTP front. libmicrohttpd parses, without sockets, TLS or threads of
 * its own: it sees one end of a socket pair per connection (relay.c), and runs when its epoll
 * fd says so. A request is collected whole, its connection is suspended, and the handler holds it
 * until it answers; the answers of other threads come back through a locked list and an eventfd. */
#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/http/http_relay_priv.h"

#define CONTENT_LENGTH_HEADER "Content-Length"

typedef enum RequestState {
    REQUEST_HEAD,  /* headers have not come yet */
    REQUEST_BODY,  /* they have; the body is coming */
    REQUEST_HELD,  /* by the handler; the connection is suspended */
    REQUEST_READY, /* answered; the connection is resumed and sends it */
} RequestState;

struct ApiHttpReply {
    ApiHttp *http;
    HttpConn *conn;
    struct MHD_Connection *connection;
    ListNode node; /* in http->answers, once answered */
    RequestState state;
    Arena *arena; /* of everything below; the handler's while it holds the request */
    ApiHttpRequest request;
    VEC(ApiHttpHeader) headers;
    Buf body;

    unsigned status;
    ApiHttpHeader *answer_headers;
    size_t answer_headers_len;
    Slice answer_body;
};

struct ApiHttp {
    Loop *loop;
    ApiHttpOptions options;
    struct MHD_Daemon *daemon;
    LoopFd *watch;
    LoopDefer run;
    VEC(Listener *) listeners;
    List conns;
    size_t unanswered;
    HttpConn *opening; /* while its connection is given to the library */

    int answers_fd;
    LoopFd *answers_watch;
    pthread_mutex_t lock; /* guards answers */
    List answers;
};

/* ---- requests -------------------------------------------------------------------------------- */

Slice api_http_header(const ApiHttpRequest *request, const char *name)
{
    for (size_t i = 0; i < request->headers_len; i++) {
        if (slice_is_nocase(request->headers[i].name, name)) {
            return request->headers[i].value;
        }
    }
    return (Slice){NULL, 0};
}

static Slice keep(Arena *arena, Slice slice)
{
    return slice_from(arena_slice_str(arena, slice), slice.len);
}

/* The library calls this first for each request, with the target as it was sent; what it returns is
 * the request's context everywhere else. */
static void *request_begin(void *user, const char *target, struct MHD_Connection *connection)
{
    ApiHttp *http = user;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    ASSERT(info != NULL && info->socket_context != NULL);
    ApiHttpReply *reply = mem_alloc(sizeof(ApiHttpReply));
    reply->http = http;
    reply->conn = info->socket_context;
    reply->connection = connection;
    reply->arena = arena_new();
    buf_init(&reply->body, http->options.body_max);
    Slice rest = keep(reply->arena, slice_of(target));
    reply->request.path = slice_cut(&rest, '?');
    reply->request.query = rest;
    reply->request.peer = reply->conn->peer;
    reply->request.tls = reply->conn->tls;
    if (reply->conn->phase == HTTP_IDLE) {
        http_conn_phase(reply->conn, HTTP_READING);
    }
    return reply;
}

static void request_free(ApiHttpReply *reply)
{
    arena_free(reply->arena);
    vec_done(&reply->headers);
    buf_done(&reply->body);
    mem_free(reply);
}

static void request_completed(void *user, struct MHD_Connection *connection, void **context,
                              enum MHD_RequestTerminationCode how)
{
    (void)user, (void)connection, (void)how;
    ApiHttpReply *reply = *context;
    *context = NULL;
    if (reply != NULL) {
        ASSERT(reply->state != REQUEST_HELD); /* a suspended connection does not end */
        http_conn_phase(reply->conn, HTTP_IDLE);
        request_free(reply);
    }
}

static enum MHD_Result header_add(void *user, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    (void)kind;
    ApiHttpReply *reply = user;
    ApiHttpHeader header = {keep(reply->arena, slice_of(name)),
                            keep(reply->arena, slice_trim(slice_of(value)))};
    vec_push(&reply->headers, header);
    return MHD_YES;
}

/* ---- answers --------------------------------------------------------------------------------- */

static enum MHD_Result answer_text(ApiHttpReply *reply, unsigned status, const char *text)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
    ASSERT(response != NULL);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    http_conn_phase(reply->conn, HTTP_REPLYING);
    enum MHD_Result result = MHD_queue_response(reply->connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_send(ApiHttpReply *reply)
{
    Slice body = reply->answer_body;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        body.len, (void *)(uintptr_t)body.data, MHD_RESPMEM_MUST_COPY);
    ASSERT(response != NULL);
    for (size_t i = 0; i < reply->answer_headers_len; i++) {
        const ApiHttpHeader *header = &reply->answer_headers[i];
        if (MHD_add_response_header(response, header->name.data, header->value.data) != MHD_YES) {
            log_warn("api", "left out the header %s: its value is not allowed in HTTP",
                     header->name.data);
        }
    }
    http_conn_phase(reply->conn, HTTP_REPLYING);
    enum MHD_Result result = MHD_queue_response(reply->connection, reply->status, response);
    MHD_destroy_response(response);
    return result;
}

void api_http_reply(ApiHttpReply *reply, unsigned status, const ApiHttpHeader *headers,
                    size_t headers_len, Slice body)
{
    ApiHttp *http = reply->http;
    ASSERT(status >= 200 && status <= 599);
    reply->status = status;
    reply->answer_headers = ARENA_ARRAY(reply->arena, ApiHttpHeader, headers_len);
    reply->answer_headers_len = headers_len;
    for (size_t i = 0; i < headers_len; i++) {
        reply->answer_headers[i].name = keep(reply->arena, headers[i].name);
        reply->answer_headers[i].value = keep(reply->arena, headers[i].value);
    }
    reply->answer_body = keep(reply->arena, body);
    pthread_mutex_lock(&http->lock);
    list_push_back(&http->answers, &reply->node);
    uint64_t one = 1;
    ssize_t count = write(http->answers_fd, &one, sizeof(one));
    pthread_mutex_unlock(&http->lock);
    ASSERT(count == (ssize_t)sizeof(one) || errno == EAGAIN);
}

static void http_run_later(ApiHttp *http);

static void answers_take(ApiHttp *http)
{
    for (;;) {
        pthread_mutex_lock(&http->lock);
        ListNode *node = list_pop_front(&http->answers);
        pthread_mutex_unlock(&http->lock);
        if (node == NULL) {
            return;
        }
        ApiHttpReply *reply = CONTAINER_OF(node, ApiHttpReply, node);
        ASSERT(reply->state == REQUEST_HELD);
        reply->state = REQUEST_READY;
        http->unanswered--;
        MHD_resume_connection(reply->connection);
        http_run_later(http);
    }
}

static void answers_ready(void *user, uint32_t events)
{
    (void)events;
    ApiHttp *http = user;
    uint64_t count;
    ssize_t got = read(http->answers_fd, &count, sizeof(count));
    ASSERT(got == (ssize_t)sizeof(count) || errno == EAGAIN);
    answers_take(http);
}

/* ---- collecting a request -------------------------------------------------------------------- */

static bool length_is_too_large(const ApiHttpReply *reply)
{
    uint64_t length;
    Slice text = api_http_header(&reply->request, CONTENT_LENGTH_HEADER);
    return text.data != NULL && str_to_u64(text, &length) && length > reply->body.max;
}

static enum MHD_Result refuse_large(ApiHttpReply *reply)
{
    return answer_text(reply, MHD_HTTP_CONTENT_TOO_LARGE, "The body is larger than allowed.\n");
}

static enum MHD_Result request_head(ApiHttpReply *reply, const char *method)
{
    reply->state = REQUEST_BODY;
    reply->request.method = keep(reply->arena, slice_of(method));
    MHD_get_connection_values(reply->connection, MHD_HEADER_KIND, header_add, reply);
    reply->request.headers = reply->headers.items;
    reply->request.headers_len = reply->headers.len;
    return length_is_too_large(reply) ? refuse_large(reply) : MHD_YES;
}

static void request_hand_over(ApiHttpReply *reply)
{
    ApiHttp *http = reply->http;
    reply->request.body = buf_slice(&reply->body);
    reply->state = REQUEST_HELD;
    http->unanswered++;
    http_conn_phase(reply->conn, HTTP_WORKING);
    MHD_suspend_connection(reply->connection);
    http->options.handler(http->options.user, &reply->request, reply);
}

/* Called once for the head, for each piece of the body, once at its end, and again when the
 * connection is resumed. */
static enum MHD_Result request_step(void *user, struct MHD_Connection *connection, const char *url,
                                    const char *method, const char *version, const char *data,
                                    size_t *len, void **context)
{
    (void)user, (void)connection, (void)url, (void)version;
    ApiHttpReply *reply = *context;
    switch (reply->state) {
    case REQUEST_HEAD:
        return request_head(reply, method);
    case REQUEST_BODY:
        if (*len > 0) {
            buf_append(&reply->body, data, *len); /* past its limit it takes nothing more */
            *len = 0;
        } else if (reply->body.overflowed) {
            return refuse_large(reply);
        } else {
            request_hand_over(reply);
        }
        return MHD_YES;
    case REQUEST_READY:
        return answer_send(reply);
    case REQUEST_HELD:
        break;
    }
    UNREACHABLE();
}

/* ---- the library ----------------------------------------------------------------------------- */

static void connection_changed(void *user, struct MHD_Connection *connection, void **socket_context,
                               enum MHD_ConnectionNotificationCode what)
{
    (void)connection;
    ApiHttp *http = user;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        ASSERT(http->opening != NULL);
        *socket_context = http->opening;
    } else if (*socket_context != NULL) {
        http_conn_library_closed(*socket_context);
        *socket_context = NULL;
    }
}

static void http_run(void *user)
{
    ApiHttp *http = user;
    MHD_UNSIGNED_LONG_LONG wait_ms;
    MHD_run(http->daemon);
    if (MHD_get_timeout(http->daemon, &wait_ms) == MHD_YES && wait_ms == 0) {
        http_run_later(http);
    }
}

static void http_run_later(ApiHttp *http)
{
    loop_defer(http->loop, &http->run, http_run, http);
}

static void http_ready(void *user, uint32_t events)
{
    (void)events;
    http_run(user);
}

bool http_library_open(ApiHttp *http, HttpConn *conn, int fd)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX}; /* so that it tries nothing of TCP */
    http->opening = conn;
    enum MHD_Result result =
        MHD_add_connection(http->daemon, fd, (struct sockaddr *)&addr, sizeof(addr));
    http->opening = NULL;
    http_run_later(http);
    return result == MHD_YES;
}

static bool daemon_start(ApiHttp *http, Err *err)
{
    unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME;
    http->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, request_step, http, MHD_OPTION_URI_LOG_CALLBACK, request_begin, http,
        MHD_OPTION_NOTIFY_COMPLETED, request_completed, http, MHD_OPTION_NOTIFY_CONNECTION,
        connection_changed, http, MHD_OPTION_CONNECTION_MEMORY_LIMIT, API_HTTP_HEAD_MAX,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)http->options.connections_max + 1,
        MHD_OPTION_CONNECTION_TIMEOUT, 0U, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (http->daemon == NULL) {
        return err_set_errno(err, errno, "starting the HTTP library");
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    ASSERT(info != NULL);
    return loop_fd_add(http->loop, info->epoll_fd, EPOLLIN, http_ready, http, &http->watch, err);
}

/* ---- connections and life -------------------------------------------------------------------- */

Loop *http_loop(ApiHttp *http)
{
    return http->loop;
}

const ApiHttpOptions *http_options(const ApiHttp *http)
{
    return &http->options;
}

size_t api_http_connections(const ApiHttp *http)
{
    return http->conns.len;
}

size_t api_http_unanswered(const ApiHttp *http)
{
    return http->unanswered;
}

static void listeners_update(ApiHttp *http)
{
    bool full = http->conns.len >= http->options.connections_max;
    for (size_t i = 0; i < http->listeners.len; i++) {
        if (full) {
            listener_pause(http->listeners.items[i]);
        } else {
            listener_resume(http->listeners.items[i]);
        }
    }
}

void http_conn_added(ApiHttp *http, HttpConn *conn)
{
    list_push_back(&http->conns, &conn->node);
    if (http->conns.len == http->options.connections_max) {
        listeners_update(http);
    }
}

void http_conn_removed(ApiHttp *http, HttpConn *conn)
{
    list_remove(&http->conns, &conn->node);
    if (http->conns.len == http->options.connections_max - 1) {
        listeners_update(http);
    }
}

bool api_http_listen(ApiHttp *http, int fd, Err *err)
{
    Listener *listener;
    TRY(listener_new(http->loop, fd, http_conn_accept, http, &listener, err));
    vec_push(&http->listeners, listener);
    listeners_update(http);
    return true;
}

void api_http_set_tls(ApiHttp *http, TlsContext *tls)
{
    TlsContext *before = http->options.tls;
    http->options.tls = tls != NULL ? tls_context_ref(tls) : NULL;
    tls_context_free(before);
}

static void options_complete(ApiHttpOptions *options)
{
    if (options->connections_max == 0) {
        options->connections_max = API_HTTP_CONNECTIONS_MAX_DEFAULT;
    }
    if (options->body_max == 0) {
        options->body_max = API_HTTP_BODY_MAX_DEFAULT;
    }
    if (options->request_timeout_ms == 0) {
        options->request_timeout_ms = API_HTTP_REQUEST_TIMEOUT_MS_DEFAULT;
    }
    if (options->idle_timeout_ms == 0) {
        options->idle_timeout_ms = API_HTTP_IDLE_TIMEOUT_MS_DEFAULT;
    }
    if (options->reply_timeout_ms == 0) {
        options->reply_timeout_ms = API_HTTP_REPLY_TIMEOUT_MS_DEFAULT;
    }
}

static bool http_start(ApiHttp *http, Err *err)
{
    http->answers_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (http->answers_fd < 0) {
        return err_set_errno(err, errno, "making the HTTP front");
    }
    return loop_fd_add(http->loop, http->answers_fd, EPOLLIN, answers_ready, http,
                       &http->answers_watch, err) &&
           daemon_start(http, err);
}

bool api_http_new(Loop *loop, const ApiHttpOptions *options, ApiHttp **ret_http, Err *err)
{
    ASSERT(options->handler != NULL);
    ApiHttp *http = mem_alloc(sizeof(ApiHttp));
    http->loop = loop;
    http->options = *options;
    http->options.tls = NULL;
    http->answers_fd = -1;
    options_complete(&http->options);
    api_http_set_tls(http, options->tls);
    list_init(&http->conns);
    list_init(&http->answers);
    pthread_mutex_init(&http->lock, NULL);
    if (!http_start(http, err)) {
        api_http_free(http);
        return false;
    }
    *ret_http = http;
    return true;
}

void api_http_free(ApiHttp *http)
{
    if (http == NULL) {
        return;
    }
    for (size_t i = 0; i < http->listeners.len; i++) {
        listener_free(http->listeners.items[i]);
    }
    http->listeners.len = 0;
    answers_take(http);
    ASSERT(http->unanswered == 0);
    for (ListNode *node = list_first(&http->conns); node != NULL;) {
        HttpConn *conn = CONTAINER_OF(node, HttpConn, node);
        node = list_next(&http->conns, node);
        http_conn_drop(conn);
    }
    if (http->daemon != NULL) {
        MHD_run(http->daemon); /* what was resumed must have run before the stop */
        loop_fd_remove(http->watch);
        MHD_stop_daemon(http->daemon);
    }
    ASSERT(http->conns.len == 0);
    loop_defer_cancel(&http->run);
    loop_fd_remove(http->answers_watch);
    fd_close(&http->answers_fd);
    vec_done(&http->listeners);
    tls_context_free(http->options.tls);
    pthread_mutex_destroy(&http->lock);
    mem_free(http);
}
