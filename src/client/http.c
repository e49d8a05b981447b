/*
 * One HTTPS request over libcurl. The handle belongs to the Client and keeps its connection for the
 * next read; a change goes out on a connection of its own, because libcurl sends a request again by
 * itself where a kept connection turns out to be dead.
 */
#include <curl/curl.h>

#include "client/client_priv.h"

#define CONNECT_TIMEOUT_MS 5000

struct Http {
    CURL *curl;
    char *url;
    char *host;
    char *ca;
    int64_t timeout_ms;
};

/* ---- the endpoint ------------------------------------------------------------------------------
 */

static char *url_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    curl_url_get(url, part, &text, 0);
    char *copy = mem_strdup(text);
    curl_free(text);
    return copy;
}

/* Takes an endpoint apart; the rest of the URL must be empty, so that "/" is what is signed. */
static bool endpoint_parse(const char *endpoint, char **ret_url, char **ret_host)
{
    CURLU *url = curl_url();
    ASSERT(url != NULL);
    bool ok = curl_url_set(url, CURLUPART_URL, endpoint, 0) == CURLUE_OK;
    CLEANUP(mem_free_ptr) char *scheme = url_part(url, CURLUPART_SCHEME);
    CLEANUP(mem_free_ptr) char *host = url_part(url, CURLUPART_HOST);
    CLEANUP(mem_free_ptr) char *port = url_part(url, CURLUPART_PORT);
    CLEANUP(mem_free_ptr) char *path = url_part(url, CURLUPART_PATH);
    CLEANUP(mem_free_ptr) char *query = url_part(url, CURLUPART_QUERY);
    CLEANUP(mem_free_ptr) char *user = url_part(url, CURLUPART_USER);
    curl_url_cleanup(url);
    ok = ok && strcmp(scheme, "https") == 0 && (path == NULL || strcmp(path, "/") == 0) &&
         query == NULL && user == NULL;
    if (ok) {
        bool shown = port != NULL && strcmp(port, "443") != 0;
        *ret_host = mem_printf("%s%s%s", host, shown ? ":" : "", shown ? port : "");
        *ret_url = mem_printf("https://%s/", *ret_host);
    }
    return ok;
}

bool http_open(const ClientSettings *settings, Http **ret_http, Err *err)
{
    char *url;
    char *host;
    if (!endpoint_parse(settings->endpoint, &url, &host)) {
        return err_set(err, ERR_INVALID, "the endpoint %s must have the form https://HOST:PORT",
                       settings->endpoint);
    }
    if (settings->ca != NULL && !file_exists(settings->ca)) {
        mem_free(url);
        mem_free(host);
        return err_set(err, ERR_NOT_FOUND, "there is no CA certificate %s", settings->ca);
    }
    ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); /* counted, and thread-safe */
    Http *http = mem_alloc(sizeof(Http));
    *http = (Http){.curl = curl_easy_init(),
                   .url = url,
                   .host = host,
                   .ca = mem_strdup(settings->ca),
                   .timeout_ms = settings->timeout_ms};
    ASSERT(http->curl != NULL);
    *ret_http = http;
    return true;
}

void http_close(Http *http)
{
    if (http != NULL) {
        curl_easy_cleanup(http->curl);
        mem_free(http->url);
        mem_free(http->host);
        mem_free(http->ca);
        mem_free(http);
        curl_global_cleanup();
    }
}

const char *http_host(const Http *http)
{
    return http->host;
}

/* ---- a request ---------------------------------------------------------------------------------
 */

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    Buf *reply = user;
    buf_append(reply, data, size * count);
    return reply->overflowed ? 0 : size * count; /* 0 ends the transfer */
}

static struct curl_slist *header_list(const HttpRequest *request)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:"); /* no 100-continue */
    for (size_t i = 0; i < request->header_count; i++) {
        CLEANUP(mem_free_ptr)
        char *line = mem_printf("%.*s: %.*s", SLICE_FMT(request->headers[i].name),
                                SLICE_FMT(request->headers[i].value));
        list = curl_slist_append(list, line);
        ASSERT(list != NULL);
    }
    return list;
}

static void set_connection(const Http *http, bool fresh, char *problem)
{
    CURL *curl = http->curl;
    curl_easy_reset(curl); /* keeps connections */
    curl_easy_setopt(curl, CURLOPT_URL, http->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* whatever the environment says */
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)http->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, fresh ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, problem);
    if (http->ca != NULL) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, http->ca);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
}

/* What became of the request, from how far libcurl came with it. */
static Outcome outcome_of(CURL *curl, CURLcode code)
{
    curl_off_t connected_us = 0;
    curl_easy_getinfo(curl, CURLINFO_APPCONNECT_TIME_T, &connected_us);
    switch ((int)code) {
    case CURLE_OK:
        return OUTCOME_REPLY;
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
        return OUTCOME_REFUSED;
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        return connected_us > 0 ? OUTCOME_LOST : OUTCOME_REFUSED;
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return OUTCOME_LOST;
    default:
        return OUTCOME_FAILED;
    }
}

static void describe(const Http *http, CURLcode code, const char *problem, Err *err)
{
    const char *reason = problem[0] != '\0' ? problem : curl_easy_strerror(code);
    switch ((int)code) {
    case CURLE_PEER_FAILED_VERIFICATION:
        err_set(err, ERR_DENIED, "the certificate of %s was not issued by %s: %s", http->host,
                http->ca != NULL ? http->ca : "an authority that the system trusts", reason);
        return;
    case CURLE_COULDNT_CONNECT:
        err_set(err, ERR_UNAVAILABLE, "nobody listens at %s: is the tier up? (%s)", http->host,
                reason);
        return;
    case CURLE_OPERATION_TIMEDOUT:
        err_set(err, ERR_TIMEOUT, "%s did not answer in time: %s", http->host, reason);
        return;
    case CURLE_WRITE_ERROR:
        err_set(err, ERR_LIMIT, "the reply of %s is larger than %zu bytes", http->host,
                CLIENT_REPLY_MAX);
        return;
    default:
        err_set(err, ERR_UNAVAILABLE, "cannot reach %s: %s", http->host, reason);
        return;
    }
}

Outcome http_post(Http *http, const HttpRequest *request, int *ret_status, Buf *reply, Err *err)
{
    char problem[CURL_ERROR_SIZE] = "";
    long status = 0;
    set_connection(http, request->fresh, problem);
    struct curl_slist *headers = header_list(request);
    curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(http->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
    curl_easy_setopt(http->curl, CURLOPT_POSTFIELDS,
                     request->body.len > 0 ? request->body.data : "");
    buf_clear(reply);
    curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, reply);
    CURLcode code = curl_easy_perform(http->curl);
    curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
    Outcome outcome = outcome_of(http->curl, code);
    curl_slist_free_all(headers);
    curl_easy_setopt(http->curl, CURLOPT_ERRORBUFFER, NULL);
    if (outcome != OUTCOME_REPLY) {
        describe(http, code, problem, err);
    }
    *ret_status = (int)status;
    return outcome;
}

bool http_get_unverified(const char *endpoint, const char *path, Buf *reply, Err *err)
{
    const ClientSettings settings = {.endpoint = mem_strdup(endpoint),
                                     .timeout_ms = CLIENT_TIMEOUT_DEFAULT_MS};
    Http *http = NULL;
    char problem[CURL_ERROR_SIZE] = "";
    long status = 0;
    bool ok = http_open(&settings, &http, err);
    mem_free(settings.endpoint);
    TRY(ok);
    CLEANUP(mem_free_ptr) char *url = mem_printf("%s%s", endpoint, path);
    set_connection(http, true, problem);
    curl_easy_setopt(http->curl, CURLOPT_URL, url);
    curl_easy_setopt(http->curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(http->curl, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, reply);
    CURLcode code = curl_easy_perform(http->curl);
    curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_setopt(http->curl, CURLOPT_ERRORBUFFER, NULL);
    if (code != CURLE_OK) {
        describe(http, code, problem, err);
        ok = false;
    } else if (status != 200) {
        ok = err_set(err, ERR_INVALID, "%s answers %ld: it is not the API of a tier of Weir", url,
                     status);
    }
    http_close(http);
    return ok;
}
