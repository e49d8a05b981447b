/*
 * A host joins a tier. Its folder gets what the tier's hosts have in common, and how to reach their
 * store; docs/hosts.md has the steps. host.json comes last: without it nothing has joined, and what
 * is there else is written again by the next attempt.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "client/client_priv.h"

#define CA_MAX         ((size_t)64 << 10)
#define TOKEN_TEXT_MAX ((size_t)4 << 10)
#define ATTEMPT_LENGTH 16
#define LATER_MS       500 /* between two questions to a tier that moves its store */
#define LATER_WAIT_MS  (120 * MS_PER_S)

/* ---- the folder --------------------------------------------------------------------------------
 */

/* *ret_joined: it is this host's already. */
static bool folder_check(const char *data_dir, const JoinWish *wish, bool *ret_joined, Err *err)
{
    HostFile file;
    *ret_joined = false;
    if (host_file_load(data_dir, &file, err)) {
        bool same = strcmp(file.name, wish->name) == 0 && strcmp(file.zone, wish->zone) == 0 &&
                    strcmp(file.net, wish->net) == 0 && file.etcd != NULL;
        *ret_joined = same;
        if (!same) {
            err_set(err, ERR_CONFLICT,
                    "the folder %s is of the host %s (zone %s) already: choose another --data "
                    "folder, or bring that host up without --join",
                    data_dir, file.name, file.zone);
        }
        host_file_done(&file);
        return same;
    }
    TRY(err->code == ERR_NOT_FOUND);
    static const char *const left[] = {"weir.sqlite", "weir.sqlite.left", "etcd/data",
                                       "zone-a",      "zone-b",           "zone-c"};
    for (size_t i = 0; i < ARRAY_LEN(left); i++) {
        CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", data_dir, left[i]);
        if (file_exists(path)) {
            return err_set(err, ERR_CONFLICT,
                           "the folder %s has something of another tier (%s), whose key a join "
                           "would overwrite: choose another --data folder",
                           data_dir, left[i]);
        }
    }
    return true;
}

/* Before anything is asked for: a net that does not lead here would be the tier's for good. */
static bool net_check(const char *net, Err *err)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    CLEANUP(mem_free_ptr) char *text = mem_printf("%s.0.1", net);
    if (net[0] == '\0') {
        return true;
    }
    CLEANUP(fd_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return (fd >= 0 && inet_pton(AF_INET, text, &addr.sin_addr) == 1 &&
            bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0) ||
           err_set(err, ERR_INVALID,
                   "the net %s.0.0/16 does not lead to this machine (%s): run `ip route add local "
                   "%s.0.0/16 dev lo`",
                   net, strerror(errno), net);
}

static bool text_write(const char *data_dir, const char *name, const char *text, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", data_dir, name);
    return file_write(path, slice_of(text), 0600, err);
}

/* ---- the tier ----------------------------------------------------------------------------------
 */

/* Known by its digest, whoever gave it. */
static bool ca_fetch(const char *data_dir, const JoinToken *token, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/ca.pem", data_dir);
    char digest[SHA256_HEX_SIZE];
    Buf cert;
    buf_init(&cert, CA_MAX);
    bool ok = http_get_unverified(token->endpoint, "/ca.pem", &cert, err);
    if (ok) {
        sha256_hex(buf_slice(&cert), digest);
        ok = strcmp(digest, token->ca_digest) == 0
                 ? file_write(path, buf_slice(&cert), 0644, err)
                 : err_set(err, ERR_DENIED,
                           "the API at %s is not that of the token's tier: its certificate is "
                           "another one. Make a new token, and copy it as a whole",
                           token->endpoint);
    }
    buf_done(&cert);
    return ok;
}

static bool join_ask(const char *data_dir, const JoinToken *token, const JoinWish *wish,
                     const char *attempt, json_t **ret_answer, Err *err)
{
    Client *client = NULL;
    ClientSettings settings = {.endpoint = mem_strdup(token->endpoint),
                               .region = mem_strdup(token->region),
                               .access_key = mem_strdup(token->id),
                               .ca = mem_printf("%s/ca.pem", data_dir),
                               .patience_ms = CLIENT_PATIENCE_DEFAULT_MS,
                               .timeout_ms = CLIENT_TIMEOUT_DEFAULT_MS};
    CLEANUP(record_free_ptr)
    json_t *input = json_pack("{s:s, s:s, s:s, s:b}", "HostName", wish->name, "Zone", wish->zone,
                              "Attempt", attempt, "NoEngines", wish->no_engines);
    if (wish->net[0] != '\0') {
        json_object_set_new(input, "Network", json_string(wish->net));
    }
    secret_set(&settings.secret_key, secret_reveal(&token->secret));
    bool ok = client_open(&settings, &client, err) &&
              client_call(client, "weir", "JoinHost", input, ret_answer, NULL, err);
    client_close(client);
    client_settings_done(&settings);
    return ok;
}

/* A tier over SQLite says "later" until its store has moved, and nothing while it starts again. The
 * same attempt may ask twice, so an answer that was lost is asked for anew. */
static bool join_ask_on(const char *data_dir, const JoinToken *token, const JoinWish *wish,
                        const char *attempt, json_t **ret_answer, Err *err)
{
    const struct timespec pause = {.tv_nsec = LATER_MS * 1000000L};
    int64_t end_ms = time_mono_ms() + LATER_WAIT_MS;
    while (!ca_fetch(data_dir, token, err) ||
           !join_ask(data_dir, token, wish, attempt, ret_answer, err)) {
        bool later =
            err->code == ERR_UNAVAILABLE || err->code == ERR_UNSETTLED || err->code == ERR_TIMEOUT;
        if (!later || time_mono_ms() > end_ms) {
            return false;
        }
        nanosleep(&pause, NULL);
    }
    return true;
}

/* ---- what it gave ------------------------------------------------------------------------------
 */

/* One that Weir runs: its authority, from which serve makes the rest. Else what the operator gave
 * to the other hosts. */
static bool etcd_write(const char *data_dir, const json_t *answer, HostFile *file, Err *err)
{
    CLEANUP(mem_free_ptr) char *folder = mem_printf("%s/etcd", data_dir);
    bool own = member_bool(answer, "StoreOwn", false);
    static const struct {
        const char *member, *file;
        const char *name; /* in host.json */
    } texts[] = {{"StoreCa", "etcd/ca.pem", "ca"},
                 {"StoreCaKey", "etcd/ca.key", NULL},
                 {"StoreCert", "etcd/cert.pem", "cert"},
                 {"StoreKey", "etcd/key.pem", "key"}};
    CLEANUP(mem_free_ptr) char *stale = mem_printf("%s/host.pem", folder);
    TRY(dir_make(folder, 0711, err) && tree_remove(stale, err));
    file->etcd =
        json_pack("{s:O, s:s, s:b, s:b, s:s}", "endpoints", member_array(answer, "StoreEndpoints"),
                  "root", member_str(answer, "StoreRoot", ""), "keep_history",
                  member_bool(answer, "StoreKeepHistory", false), "own", own, "ca", texts[0].file);
    if (file->etcd == NULL) {
        return err_set(err, ERR_INVALID, "the tier's answer does not say where its store is");
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const char *text = member_str(answer, texts[i].member, NULL);
        TRY(text == NULL || text_write(data_dir, texts[i].file, text, err));
        if (text != NULL && texts[i].name != NULL) {
            json_object_set_new(file->etcd, texts[i].name, json_string(texts[i].file));
        }
    }
    if (own) { /* serve makes it */
        json_object_set_new(file->etcd, "cert", json_string("etcd/host.pem"));
        json_object_set_new(file->etcd, "key", json_string("etcd/host.pem"));
    }
    return true;
}

static bool answer_write(const char *data_dir, const JoinWish *wish, const char *attempt,
                         const json_t *answer, Err *err)
{
    HostFile file = {.tier = mem_strdup(member_str(answer, "TierId", NULL)),
                     .join = mem_strdup(attempt)};
    snprintf(file.name, sizeof(file.name), "%s", wish->name);
    snprintf(file.zone, sizeof(file.zone), "%s", wish->zone);
    snprintf(file.net, sizeof(file.net), "%s", wish->net);
    bool ok = text_write(data_dir, "master.key", member_str(answer, "MasterKey", ""), err) &&
              etcd_write(data_dir, answer, &file, err) && host_file_save(data_dir, &file, err);
    host_file_done(&file);
    return ok;
}

/* As it was given, from a file, or from what comes in: an argument is seen by all. */
static bool token_read(const char *text, JoinToken *ret_token, Err *err)
{
    const char *path = text[0] == '@' ? text + 1 : strcmp(text, "-") == 0 ? "/dev/stdin" : NULL;
    if (path == NULL) {
        return join_token_parse(text, ret_token, err);
    }
    Buf line;
    buf_init(&line, TOKEN_TEXT_MAX);
    bool ok = file_read(path, &line, err) && join_token_parse(buf_str(&line), ret_token, err);
    crypto_wipe(line.data, line.len);
    buf_done(&line);
    return ok;
}

bool client_join(const char *data_dir, const JoinWish *wish, Err *err)
{
    bool joined;
    JoinToken token;
    char attempt[ATTEMPT_LENGTH + 1];
    CLEANUP(record_free_ptr) json_t *answer = NULL;
    TRY(host_name_check(wish->name, err) && host_zone_check(wish->zone, err) &&
        host_net_check(wish->net, err) && folder_check(data_dir, wish, &joined, err));
    if (joined) {
        return true;
    }
    TRY(net_check(wish->net, err) && token_read(wish->token, &token, err));
    random_id(attempt, ATTEMPT_LENGTH);
    bool ok = dir_make(data_dir, 0711, err) &&
              join_ask_on(data_dir, &token, wish, attempt, &answer, err) &&
              answer_write(data_dir, wish, attempt, answer, err);
    join_token_done(&token);
    return ok;
}
