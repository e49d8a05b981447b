/*
 * One request to etcd's gateway over libcurl. What matters is to know whether a change can have
 * reached the server. libcurl sends a request again by itself where a kept connection turns out to
 * be dead; the body is therefore read from us, once: wanting it a second time ends the transfer.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "store/etcd_priv.h"

struct EtcdHttp {
    CURL *curl;
    const EtcdSettings *settings;
    struct curl_slist *headers;
    char problem[CURL_ERROR_SIZE];
    char *url;
    const char *endpoint;
    Slice body; /* what is left to send */
    bool sent;  /* some of the body was handed out */
    EtcdSink *sink;
    void *user;
};

EtcdHttp *etcd_http_new(const EtcdSettings *settings)
{
    EtcdHttp *http = mem_alloc(sizeof(EtcdHttp));
    http->curl = curl_easy_init();
    http->settings = settings;
    /* Without a leader a member says so at once, and has done nothing; no 100-continue. */
    http->headers = curl_slist_append(NULL, "Grpc-Metadata-hasleader: true");
    http->headers = curl_slist_append(http->headers, "Content-Type: application/json");
    http->headers = curl_slist_append(http->headers, "Expect:");
    ASSERT(http->curl != NULL && http->headers != NULL);
    return http;
}

void etcd_http_free(EtcdHttp *http)
{
    if (http != NULL) {
        curl_easy_cleanup(http->curl);
        curl_slist_free_all(http->headers);
        mem_free(http->url);
        mem_free(http);
    }
}

CURL *etcd_http_curl(EtcdHttp *http)
{
    return http->curl;
}

/* ---- what libcurl asks for --------------------------------------------------------------------
 */

static size_t on_read(char *room, size_t size, size_t count, void *user)
{
    EtcdHttp *http = user;
    if (http->body.len == 0) {
        return CURL_READFUNC_ABORT; /* it went out before */
    }
    size_t len = size * count < http->body.len ? size * count : http->body.len;
    if (len > 0) {
        memcpy(room, http->body.data, len);
        http->sent = true;
    }
    http->body = slice_skip(http->body, len);
    return len;
}

static int on_seek(void *user, curl_off_t offset, int origin)
{
    (void)offset;
    (void)origin;
    const EtcdHttp *http = user;
    return http->sent ? CURL_SEEKFUNC_FAIL : CURL_SEEKFUNC_OK;
}

static size_t on_write(char *data, size_t size, size_t count, void *user)
{
    const EtcdHttp *http = user;
    return http->sink(http->user, slice_from(data, size * count)) ? size * count : 0;
}

/* Processes that Weir starts shall not inherit it; and a peer that is gone is noticed while bytes
 * are under way to it, too. */
static curl_socket_t on_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    const EtcdHttp *http = user;
    (void)purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    unsigned timeout_ms = (unsigned)http->settings->answer_timeout_ms;
    if (fd >= 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
    }
    return fd >= 0 ? fd : CURL_SOCKET_BAD;
}

/* ---- a request --------------------------------------------------------------------------------
 */

static void set_connection(EtcdHttp *http, int64_t timeout_ms)
{
    CURL *curl = http->curl;
    const EtcdSettings *settings = http->settings;
    curl_easy_reset(curl); /* keeps connections */
    curl_easy_setopt(curl, CURLOPT_URL, http->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* whatever the environment says */
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)settings->connect_timeout_ms);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, (long)ETCD_KEEPALIVE_S);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, 1L);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, http);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->problem);
    if (settings->ca != NULL) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, settings->ca);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    if (settings->cert != NULL) {
        curl_easy_setopt(curl, CURLOPT_SSLCERT, settings->cert);
        curl_easy_setopt(curl, CURLOPT_SSLKEY, settings->key);
    }
}

void etcd_http_prepare(EtcdHttp *http, const char *endpoint, const char *path, Slice body,
                       int64_t timeout_ms, EtcdSink *sink, void *user)
{
    CURL *curl = http->curl;
    mem_free(http->url);
    http->url = mem_printf("%s%s", endpoint, path);
    http->endpoint = endpoint;
    http->body = body;
    http->sent = false;
    http->sink = sink;
    http->user = user;
    http->problem[0] = '\0';
    set_connection(http, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, http->headers);
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(curl, CURLOPT_READDATA, http);
    curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(curl, CURLOPT_SEEKDATA, http);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, http);
}

static void describe(const EtcdHttp *http, CURLcode code, Err *err)
{
    const char *reason = http->problem[0] != '\0' ? http->problem : curl_easy_strerror(code);
    if (strstr(reason, " alert ") != NULL && strstr(reason, "cert") != NULL) {
        err_set(err, ERR_DENIED, "etcd at %s refuses our client certificate: %s", http->endpoint,
                reason);
        return;
    }
    switch ((int)code) {
    case CURLE_PEER_FAILED_VERIFICATION:
        err_set(err, ERR_DENIED, "the certificate of etcd at %s does not hold: %s", http->endpoint,
                reason);
        return;
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        err_set(err, ERR_DENIED, "cannot use the certificates for etcd at %s: %s", http->endpoint,
                reason);
        return;
    case CURLE_OPERATION_TIMEDOUT:
        err_set(err, ERR_TIMEOUT, "etcd at %s did not answer in time: %s", http->endpoint, reason);
        return;
    case CURLE_WRITE_ERROR:
        err_set(err, ERR_LIMIT, "the answer of etcd at %s is larger than %zu bytes", http->endpoint,
                ETCD_REPLY_MAX);
        return;
    default:
        err_set(err, ERR_UNAVAILABLE, "cannot reach etcd at %s: %s", http->endpoint, reason);
        return;
    }
}

EtcdOutcome etcd_http_outcome(EtcdHttp *http, CURLcode code, int *ret_status, Err *err)
{
    long status = 0;
    curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_setopt(http->curl, CURLOPT_ERRORBUFFER, NULL);
    *ret_status = (int)status;
    if (code == CURLE_OK && status >= 100) {
        return ETCD_REPLY;
    }
    describe(http, code, err);
    return http->sent ? ETCD_LOST : ETCD_NOT_SENT;
}

/* A peer that is gone raises SIGPIPE through OpenSSL. It is ours to swallow, in this thread only.
 */
static CURLcode perform(CURL *curl)
{
    sigset_t pipe, before, waiting;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&waiting);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    CURLcode code = curl_easy_perform(curl);
    if (!sigismember(&waiting, SIGPIPE)) {
        struct timespec none = {0};
        (void)sigtimedwait(&pipe, NULL, &none);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

static bool into_buf(void *user, Slice data)
{
    Buf *reply = user;
    buf_append_slice(reply, data);
    return !reply->overflowed;
}

EtcdOutcome etcd_http_post(EtcdHttp *http, const char *endpoint, const char *path, Slice body,
                           int64_t timeout_ms, int *ret_status, Buf *reply, Err *err)
{
    buf_clear(reply);
    etcd_http_prepare(http, endpoint, path, body, timeout_ms, into_buf, reply);
    return etcd_http_outcome(http, perform(http->curl), ret_status, err);
}
