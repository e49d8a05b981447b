/*
 * api: the AWS API of a tier. A signed request becomes a change of specs in the store, or a view of
 * specs and statuses; no engine is ever touched from here. docs/records.md says what is written.
 */
#ifndef WEIR_API_H
#define WEIR_API_H

#include "aws/aws.h"
#include "base/base.h"
#include "crypto/crypto.h"
#include "loop/loop.h"
#include "model/model.h"
#include "store/store.h"

typedef struct Api Api;

/* Logs of engines, as the host keeps them. Called on job threads. */
typedef struct ApiLogs {
    /* ERR_NOT_FOUND: this host has no such node, or it has no log yet. */
    bool (*stat)(void *context, const char *node_id, int64_t *ret_bytes, int64_t *ret_written_ms,
                 Err *err);
    /* Appends at most `max` bytes from `offset`. */
    bool (*read)(void *context, const char *node_id, int64_t offset, size_t max, Buf *out,
                 Err *err);
} ApiLogs;

typedef enum HostStoreMember {
    HOST_MEMBER_ELSEWHERE, /* the store is not kept by hosts of the tier */
    HOST_MEMBER_UNKNOWN,   /* it was not looked lately */
    HOST_MEMBER_NONE,
    HOST_MEMBER_LEARNER, /* it has everything, and does not vote */
    HOST_MEMBER_VOTER,
    HOST_MEMBER_SOLE_VOTER, /* without it the tier decides nothing */
} HostStoreMember;

/* Everything is borrowed and must outlive the Api. */
typedef struct HostWord {
    bool alive;
    bool unheard; /* it is taken for alive: nobody has listened for long enough yet */
    int64_t silent_ms;
} HostWord;

typedef struct ApiOptions {
    Loop *loop;      /* NULL: no HTTP, only api_answer */
    Jobs *jobs;      /* where requests are carried out */
    TlsContext *tls; /* both plain and TLS are served; NULL: plain only */
    Store *store;
    const uint8_t *master_key; /* AEAD_KEY_SIZE bytes; seals what specs keep secret */
    Slice ca_cert_pem;         /* for whoever asks for /ca.pem */
    TierFacts tier;
    const char *tier_id;
    const char *host;     /* this host's name, for DescribeTier */
    const char *endpoint; /* URL of the API, for DescribeTier */
    int64_t tier_created_ms;
    EngineVersions versions; /* what is installed, newest first; `map` is ignored: see the tier
                                record's options.engine_version_map */
    AwsKeyFind key_find;
    ApiLogs logs;                /* functions may be NULL: no logs here */
    void (*stop)(void *context); /* StopTier, on the loop's thread once the reply is given to
                                    the connection. NULL: refused */
    /* InjectFault, on a job thread; NULL: refused. ERR_INVALID: there is no such fault. */
    bool (*inject)(void *context, const char *fault, const char *node_id, size_t *ret_processes,
                   Err *err);
    /* Whether a host of the tier is alive, and for how long no word of it was heard, on a job
     * thread. False: it is not known here. NULL: there is this host only. */
    bool (*host_heard)(void *context, const char *host, HostWord *ret_word);
    /* What the host is to the store. Any thread. NULL: no host is anything. */
    HostStoreMember (*store_member)(void *context, const char *host);
    /* How a host that joins reaches the store: the members Store… of JoinHost's answer, the
     * caller's. On a job thread. ERR_UNAVAILABLE: not yet, ask again. NULL: nobody joins. */
    bool (*share_store)(void *context, json_t **ret_share, Err *err);
    /* Before a host is removed: it keeps no part of the store any more that others need. On a job
     * thread, and once more may do no harm. NULL: it never does. */
    bool (*release_host)(void *context, const char *host, Err *err);
    int64_t (*now_ms)(void *context); /* NULL: time_wall_ms */
    void *context;                    /* of all callbacks */
} ApiOptions;

NODISCARD bool api_new(const ApiOptions *options, Api **ret_api, Err *err);
/* After jobs_free: no request may be under way. NULL is fine. */
void api_free(Api *api);
/* Serves this listening socket, too; it stays the caller's. */
NODISCARD bool api_listen(Api *api, int fd, Err *err);
void api_set_tls(Api *api, TlsContext *tls); /* for connections from now on */

/* ---- without HTTP: for tests --------------------------------------------------------------------
 */

/* One request's answer. */
typedef struct ApiReply {
    int status;
    const char *content_type;
    char request_id[MODEL_ID_SIZE];
    Buf body;
    /* For the log; no secret is ever in here. */
    const char *service;   /* "" where it is not known */
    const char *operation; /* "" where it is not known */
    char fault[96];        /* the code; "" for success */
    char access_key[AWS_ACCESS_KEY_MAX + 1];
    bool replayed; /* the same reply as to an earlier attempt of the same call */
    bool wrote;    /* it was a change */
    bool stop;     /* StopTier was accepted: call api_after when the reply is sent */
} ApiReply;

void api_reply_init(ApiReply *reply);
void api_reply_done(ApiReply *reply);

/* Verifies, routes, parses, carries out, formats. Waits for the disk: call it on a job thread; any
 * number of threads may. Always gives an answer. */
void api_answer(Api *api, const AwsHttp *request, ApiReply *reply);
/* What must follow the sending of a reply. */
void api_after(Api *api, const ApiReply *reply);

#endif
