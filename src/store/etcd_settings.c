/* What store_open_etcd is asked for: checked, copied, and completed with the defaults. */
#include <arpa/inet.h>

#include "store/etcd_priv.h"

#define CONNECT_TIMEOUT_DEFAULT_MS 1000
#define ANSWER_TIMEOUT_DEFAULT_MS  3000
#define PATIENCE_DEFAULT_MS        8000
#define COMPACT_DEFAULT_MS         (300 * MS_PER_S)

static bool host_is_loopback(const char *host)
{
    struct in_addr address; /* not a name that begins like one */
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}

static bool endpoint_check(const char *endpoint, Err *err)
{
    CURLU *url = curl_url();
    ASSERT(url != NULL);
    char *scheme = NULL, *host = NULL, *path = NULL, *query = NULL, *user = NULL;
    bool ok = curl_url_set(url, CURLUPART_URL, endpoint, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK;
    curl_url_get(url, CURLUPART_PATH, &path, 0);
    curl_url_get(url, CURLUPART_QUERY, &query, 0);
    curl_url_get(url, CURLUPART_USER, &user, 0);
    ok = ok && (path == NULL || strcmp(path, "/") == 0) && query == NULL && user == NULL;
    bool plain = ok && strcmp(scheme, "http") == 0;
    bool safe = ok && (strcmp(scheme, "https") == 0 || (plain && host_is_loopback(host)));
    curl_free(scheme);
    curl_free(host);
    curl_free(path);
    curl_free(query);
    curl_free(user);
    curl_url_cleanup(url);
    if (plain && !safe) {
        return err_set(err, ERR_INVALID,
                       "etcd's endpoint %s is not encrypted: write https://, or http:// to an "
                       "address of the loopback",
                       endpoint);
    }
    return safe || err_set(err, ERR_INVALID,
                           "etcd's endpoint %s must have the form "
                           "https://HOST:PORT",
                           endpoint);
}

static bool root_check(const char *root, Err *err)
{
    size_t len = root != NULL ? strlen(root) : 0;
    bool ok = len > 1 && len <= ETCD_ROOT_MAX && root[len - 1] == '/';
    for (size_t i = 0; ok && i < len; i++) {
        ok = root[i] > ' ' && root[i] <= '~';
    }
    return ok || err_set(err, ERR_INVALID,
                         "the root of the tier's keys in etcd has 2 to %d bytes of printable ASCII "
                         "and ends with a slash: \"/weir/TIER/\"",
                         ETCD_ROOT_MAX);
}

static bool files_check(const StoreEtcdOptions *options, Err *err)
{
    const char *files[] = {options->ca, options->cert, options->key};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        if (files[i] != NULL && !file_exists(files[i])) {
            return err_set(err, ERR_NOT_FOUND, "there is no file %s, which etcd's TLS needs",
                           files[i]);
        }
    }
    return (options->cert != NULL) == (options->key != NULL) ||
           err_set(err, ERR_INVALID,
                   "a client certificate for etcd needs its key, and a key its "
                   "certificate");
}

static int64_t chosen(int64_t value, int64_t otherwise)
{
    return value > 0 ? value : otherwise;
}

void etcd_settings_done(EtcdSettings *settings)
{
    for (size_t i = 0; i < settings->endpoints_len; i++) {
        mem_free(settings->endpoints[i]);
    }
    mem_free(settings->root);
    mem_free(settings->ca);
    mem_free(settings->cert);
    mem_free(settings->key);
}

static bool endpoints_check(const char *const *endpoints, size_t *ret_len, Err *err)
{
    size_t len = 0;
    while (endpoints != NULL && endpoints[len] != NULL) {
        if (len == ETCD_ENDPOINTS_MAX) {
            return err_set(err, ERR_LIMIT, "at most %d endpoints of etcd", ETCD_ENDPOINTS_MAX);
        }
        TRY(endpoint_check(endpoints[len++], err));
    }
    *ret_len = len;
    return len > 0 || err_set(err, ERR_INVALID, "no endpoint of etcd was given");
}

static char *endpoint_copy(const char *endpoint)
{
    size_t bytes = strlen(endpoint);
    bytes -= endpoint[bytes - 1] == '/';
    return mem_printf("%.*s", (int)bytes, endpoint);
}

bool etcd_settings_add(EtcdSettings *settings, const char *endpoint, size_t *ret_index, Err *err)
{
    TRY(endpoint_check(endpoint, err));
    for (*ret_index = 0; *ret_index < settings->endpoints_len; (*ret_index)++) {
        if (strcmp(settings->endpoints[*ret_index], endpoint) == 0) {
            return true;
        }
    }
    if (settings->endpoints_len == ETCD_ENDPOINTS_MAX) {
        return err_set(err, ERR_LIMIT, "at most %d endpoints of etcd", ETCD_ENDPOINTS_MAX);
    }
    settings->endpoints[settings->endpoints_len++] = endpoint_copy(endpoint);
    return true;
}

bool etcd_settings_make(const StoreEtcdOptions *options, EtcdSettings *ret_settings, Err *err)
{
    size_t len = 0;
    TRY(endpoints_check(options->endpoints, &len, err));
    TRY(root_check(options->root, err));
    TRY(files_check(options, err));
    EtcdSettings settings = {
        .endpoints_len = len,
        .root = mem_strdup(options->root),
        .ca = mem_strdup(options->ca),
        .cert = mem_strdup(options->cert),
        .key = mem_strdup(options->key),
        .keep_history = options->keep_history,
        .connect_timeout_ms = chosen(options->connect_timeout_ms, CONNECT_TIMEOUT_DEFAULT_MS),
        .answer_timeout_ms = chosen(options->answer_timeout_ms, ANSWER_TIMEOUT_DEFAULT_MS),
        .patience_ms = chosen(options->patience_ms, PATIENCE_DEFAULT_MS),
        .compact_ms = chosen(options->compact_ms, COMPACT_DEFAULT_MS),
    };
    for (size_t i = 0; i < len; i++) {
        settings.endpoints[i] = endpoint_copy(options->endpoints[i]);
    }
    *ret_settings = settings;
    return true;
}
