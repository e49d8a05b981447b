/*
 * client: a signed client of Weir's AWS API, blocking, over libcurl. The commands of `weir` speak
 * to the tier through this and through nothing else.
 *
 * Not thread-safe: one Client per thread.
 */
#ifndef WEIR_CLIENT_H
#define WEIR_CLIENT_H

#include "aws/aws.h"
#include "model/model.h"

/* ---- where and as whom ------------------------------------------------------------------------
 */

#define CLIENT_FILE                "client.json"
#define SUPERVISE_LOCK             "supervise.lock" /* held by whoever starts serve again */
#define CLIENT_PATIENCE_DEFAULT_MS ((int64_t)5000)
#define CLIENT_TIMEOUT_DEFAULT_MS  ((int64_t)60000)

typedef struct ClientSettings {
    char *endpoint; /* https://127.1.0.1:4566; always https */
    char *region;
    char *access_key;
    Secret secret_key;
    char *ca;      /* path of the CA's certificate; NULL: those that the system trusts */
    char *run_dir; /* of the tier's processes: there until the tier is stopped; NULL: not known */
    /* How long a call goes on trying to connect while nobody listens: `weir serve` is away for
     * about a second when it restarts. 0: not at all. */
    int64_t patience_ms;
    int64_t timeout_ms; /* of one attempt */
    bool once;          /* there is no second one */
} ClientSettings;

/* Reads DATA/client.json: {"endpoint", "region", "access_key", "secret_key", "ca", "run_dir"}; a
 * "ca" that is not absolute lies in DATA. ERR_NOT_FOUND: there is no tier in this folder. */
NODISCARD bool client_settings_load(const char *data_dir, ClientSettings *ret_settings, Err *err);
/* Writes that file, mode 0600. */
NODISCARD bool client_settings_save(const char *data_dir, const ClientSettings *settings, Err *err);
void client_settings_done(ClientSettings *settings);

/* ---- which host ---------------------------------------------------------------------------------
 */

#define CLIENT_HOST_FILE "host.json"
#define CLIENT_ETCD_MAX  7 /* endpoints */

/* DATA/host.json (docs/hosts.md). */
typedef struct HostFile {
    char name[HOST_NAME_SIZE];
    char zone[2];
    char net[HOST_NET_SIZE]; /* "": a free one of 127/8 */
    char *tier;              /* its id; NULL: the store says */
    char *join;              /* what it was let in by; NULL: it was there from the beginning */
    json_t *etcd;            /* where the store is; NULL: in a file here */
} HostFile;

/* A member of `etcd`, for one start of serve: what this host has of the store is to become the
 * tier's (serve's recover.c). It names the folder of DATA/etcd that keeps what was there before. */
#define HOST_ETCD_RECOVER    "recover"
#define HOST_ETCD_KEPT       "data.left-"       /* such a folder's name begins so */
#define ETCD_RESTORE_PROGRAM "/usr/bin/etcdctl" /* Debian's etcd-client */
/* Where a member of etcd has what it serves, in DATA. */
#define HOST_ETCD_DATA "etcd/data/member/snap/db"
#define HOST_ETCD_LOG  "etcd/data/member/wal"

/* Whether somebody listens at the address of "https://10.101.0.1:2379"; waits 2 s for that. */
bool store_endpoint_answers(const char *endpoint);

/* ERR_NOT_FOUND: there is none, and the host is the only one of its tier. */
NODISCARD bool host_file_load(const char *data_dir, HostFile *ret_file, Err *err);
NODISCARD bool host_file_save(const char *data_dir, const HostFile *file, Err *err);
void host_file_done(HostFile *file);

/* What lets a further host into a tier: where its API is, how to know it, and what to sign with.
 * One line of text: ADDRESS:PORT/REGION/ID/SECRET/DIGEST. */
typedef struct JoinToken {
    char *endpoint; /* https://10.101.0.1:4566 */
    char *region;
    char *id;
    Secret secret;
    char ca_digest[SHA256_HEX_SIZE]; /* of the CA's certificate, as GET /ca.pem gives it */
} JoinToken;

/* The caller's, and secret. */
char *join_token_format(const JoinToken *token);
NODISCARD bool join_token_parse(const char *text, JoinToken *ret_token, Err *err);
void join_token_done(JoinToken *token);

/* Makes the folder one of a further host of the token's tier: gets the master key, and how to reach
 * the store, and writes DATA/host.json last. May be called again after a failure, and does nothing
 * where the host has joined. Blocks, up to minutes where the tier moves its store first.
 * ERR_CONFLICT: the folder is of another host, or of a tier. ERR_INVALID: the token, or what the
 * host shall be called. ERR_DENIED: the token is used up, or the API is not the token's. */
typedef struct JoinWish {
    const char *token;             /* or "@FILE", or "-" for what comes in */
    const char *name, *zone, *net; /* net "": a free one of 127/8 */
    bool no_engines;               /* it takes none until it is undrained */
} JoinWish;
NODISCARD bool client_join(const char *data_dir, const JoinWish *wish, Err *err);

/* ---- calls --------------------------------------------------------------------------------------
 */

typedef struct Client Client;

/* Copies the settings; does not connect. */
NODISCARD bool client_open(const ClientSettings *settings, Client **ret_client, Err *err);
void client_close(Client *client); /* NULL is fine */

#define CLIENT_REPLY_MAX ((size_t)64 << 20)

/* Calls `operation` of `service` ("rds", "CreateDBInstance") with a value tree of its input shape
 * (NULL: nothing) and waits for the output, an object that the caller owns.
 *
 * On failure `err` says what happened in one sentence. Where the endpoint answered with a fault,
 * `fault` (may be NULL) holds it; otherwise fault->code is empty. ERR_UNSETTLED: a change was sent
 * and no answer came: look before you ask again. Tried again by itself: a refused connection (for
 * patience_ms), throttling, and, for operations that only read, a lost answer. */
NODISCARD bool client_call(Client *client, const char *service, const char *operation,
                           const json_t *input, json_t **ret_output, AwsFault *fault, Err *err);

#endif
