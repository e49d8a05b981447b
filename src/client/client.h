/*
 * client: a signed client of Weir's AWS API, blocking, over libcurl. The commands of `weir` speak
 * to the tier through this and through nothing else.
 *
 * Not thread-safe: one Client per thread.
 */
#ifndef WEIR_CLIENT_H
#define WEIR_CLIENT_H

#include "aws/aws.h"

/* ---- where and as whom ------------------------------------------------------------------------
 */

#define CLIENT_FILE                "client.json"
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
} ClientSettings;

/* Reads DATA/client.json: {"endpoint", "region", "access_key", "secret_key", "ca", "run_dir"}; a
 * "ca" that is not absolute lies in DATA. ERR_NOT_FOUND: there is no tier in this folder. */
NODISCARD bool client_settings_load(const char *data_dir, ClientSettings *ret_settings, Err *err);
/* Writes that file, mode 0600. */
NODISCARD bool client_settings_save(const char *data_dir, const ClientSettings *settings, Err *err);
void client_settings_done(ClientSettings *settings);

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
