/*
 * Inside the etcd kind of store, from the wire up: one request (etcd_http.c), what its body says
 * (etcd_json.c, pure), one call over several endpoints (etcd_call.c), the contract (etcd.c), and
 * the thread that follows what changes (etcd_watch.c).
 *
 * The gateway speaks JSON: 64-bit numbers are strings, bytes are base64, and whatever is zero is
 * left out. Sources: etcd 3.4, etcdserverpb/rpc.proto, etcdserver/api/v3rpc/rpctypes/error.go.
 */
#ifndef WEIR_STORE_ETCD_PRIV_H
#define WEIR_STORE_ETCD_PRIV_H

#include <curl/curl.h>
#include <jansson.h>

#include "store/store_priv.h"

#define ETCD_ENDPOINTS_MAX  16
#define ETCD_ROOT_MAX       128                /* bytes */
#define ETCD_REPLY_MAX      ((size_t)64 << 20) /* bytes of a reply, and of a line of a watch */
#define ETCD_PAGE_MAX       512                /* items that a range asks for at a time */
#define ETCD_IDLE_MAX       8                  /* connections kept for the next call */
#define ETCD_ROUND_PAUSE_MS 100                /* after all endpoints were tried in vain */
#define ETCD_PROBE_MS       1000               /* between two questions whether a member serves */
#define ETCD_LEASE_RETRY_MS 500                /* between two attempts to end a lease */
#define ETCD_KEEPALIVE_S    5 /* silence before TCP asks whether the peer is there */

/* ---- settings (etcd_settings.c)
 * ------------------------------------------------------------------------
 */

typedef struct EtcdSettings {
    char *endpoints[ETCD_ENDPOINTS_MAX]; /* without a slash at the end */
    size_t endpoints_len;
    char *root;
    char *ca, *cert, *key;
    bool keep_history;
    int64_t connect_timeout_ms, answer_timeout_ms, patience_ms, compact_ms;
} EtcdSettings;

NODISCARD bool etcd_settings_make(const StoreEtcdOptions *options, EtcdSettings *ret_settings,
                                  Err *err);
/* One more at the end, unless it is there; those before it stay where they are. */
NODISCARD bool etcd_settings_add(EtcdSettings *settings, const char *endpoint, size_t *ret_index,
                                 Err *err);
void etcd_settings_done(EtcdSettings *settings);

/* ---- one request (etcd_http.c) ----------------------------------------------------------------
 */

typedef enum EtcdOutcome {
    ETCD_REPLY,    /* a whole reply, of any status */
    ETCD_NOT_SENT, /* the body never left: nothing can have run */
    ETCD_LOST,     /* sent, perhaps in part, and no whole reply came */
} EtcdOutcome;

/* A libcurl handle with its kept connections. One thread at a time. */
typedef struct EtcdHttp EtcdHttp;

EtcdHttp *etcd_http_new(const EtcdSettings *settings);
void etcd_http_free(EtcdHttp *http);

/* Makes the handle ready to POST `body` (which must live until the end of it) to endpoint + path.
 * What comes back goes to `sink` with `user`; it takes all, or ends the transfer with false.
 * timeout_ms 0: as long as it goes on. */
typedef bool EtcdSink(void *user, Slice data);
void etcd_http_prepare(EtcdHttp *http, const char *endpoint, const char *path, Slice body,
                       int64_t timeout_ms, EtcdSink *sink, void *user);
CURL *etcd_http_curl(EtcdHttp *http);
/* What became of it, once libcurl is done; `err` is set unless it is ETCD_REPLY. */
EtcdOutcome etcd_http_outcome(EtcdHttp *http, CURLcode code, int *ret_status, Err *err);
/* All of it at once; the reply replaces what is in `reply`. */
EtcdOutcome etcd_http_post(EtcdHttp *http, const char *endpoint, const char *path, Slice body,
                           int64_t timeout_ms, int *ret_status, Buf *reply, Err *err);

/* ---- bodies (etcd_json.c): pure ---------------------------------------------------------------
 */

/* Requests. `root` stands in front of every key. */
void etcd_put_get(Buf *body, Slice root, Slice key);
/* The keys below prefix from `from` on (or behind it), as they were at `revision`, 0: are now. */
typedef struct EtcdRange {
    Slice prefix;
    Slice from;
    bool behind;
    size_t limit;
    int64_t revision;
    bool count_only;
} EtcdRange;
void etcd_put_range(Buf *body, Slice root, const EtcdRange *range);
void etcd_put_txn(Buf *body, Slice root, const StoreTxn *txn);
void etcd_put_watch(Buf *body, Slice root, int64_t start_revision);

/* What a reply says about its request. */
typedef enum EtcdVerdict {
    ETCD_DONE,
    ETCD_ELSEWHERE, /* has not run: may be tried again, at another member first */
    ETCD_FAILED,    /* has not run, and will not: err says why */
    ETCD_UNKNOWN,   /* may have run */
} EtcdVerdict;
/* err is set unless it is ETCD_DONE. The codes of ETCD_FAILED: ERR_NOT_FOUND (a lease), ERR_EXISTS
 * (a lease), ERR_CONFLICT (compacted), ERR_LIMIT, ERR_DENIED, ERR_INVALID. */
EtcdVerdict etcd_judge(int status, Slice reply, Err *err);

typedef struct EtcdHeader {
    uint64_t cluster_id;
    int64_t revision;
} EtcdHeader;
/* Of a reply, or of the result in a line of a stream. */
NODISCARD bool etcd_read_header(const json_t *reply, EtcdHeader *ret_header, Err *err);
/* 0 where it is absent. */
NODISCARD bool etcd_read_i64(const json_t *object, const char *name, int64_t *ret_value, Err *err);
/* A kv with its root taken off; the record is the caller's. */
NODISCARD bool etcd_read_record(const json_t *kv, Slice root, Record **ret_record, Err *err);

/* Cuts a stream into lines: each whole one goes to `on_line`; the rest waits in `rest`. False where
 * on_line says so, or where a line is longer than rest may be (rest->overflowed). */
typedef bool EtcdOnLine(void *user, Slice line);
NODISCARD bool etcd_lines(Buf *rest, Slice data, EtcdOnLine *on_line, void *user);

/* One line of a watch. */
typedef struct EtcdMessage {
    EtcdHeader header;
    const json_t *events; /* NULL: none; borrowed from the line */
    bool created;
    bool canceled;
    bool fragment; /* more of the same to come */
    int64_t compact_revision;
} EtcdMessage;
/* ERR_UNAVAILABLE: the server says that the stream has ended, and why. */
NODISCARD bool etcd_read_message(const json_t *line, EtcdMessage *ret_message, Err *err);
NODISCARD bool etcd_read_event(const json_t *event, Slice root, BatchOp *ret_op, Err *err);

/* ---- one call (etcd_call.c) -------------------------------------------------------------------
 */

typedef struct EtcdWatch EtcdWatch;

typedef struct Etcd {
    EtcdSettings settings; /* endpoints are added under the lock, and stay */
    Slice root;
    EtcdWatch *watch;
    int64_t lease_retry_ms; /* under the store's `writing`, of time_mono_ms */
    pthread_mutex_t lock;   /* of what follows; held for moments */
    size_t preferred;       /* the endpoint that calls begin with */
    EtcdHttp *idle[ETCD_IDLE_MAX];
    size_t idle_len;
    uint64_t cluster_id;    /* 0: not known yet */
    int64_t revision_seen;  /* the highest that any reply named */
    int64_t revision_below; /* the highest of a change below the root that was seen or made */
    bool hurried;           /* nobody waits for a member any more */
    bool forgot;            /* the servers were behind that once: nothing of them is believed */
    bool known[ETCD_ENDPOINTS_MAX]; /* answered as a member of the cluster since it last failed */
} Etcd;

typedef struct EtcdCall {
    const char *path;
    Slice body;
    bool changes; /* an outcome that is not known ends it with ERR_UNSETTLED */
    bool repeats; /* the same change twice is one: it is sent again before it ends so */
    bool weak;    /* the reply's revision is the member's own, and may be behind */
    bool stream;  /* the reply is one line of a stream, in {"result": …} */
} EtcdCall;

/* ERR_UNAVAILABLE or ERR_TIMEOUT: no member served it within the patience, and nothing has changed.
 * ERR_UNSETTLED as in store.h. Else as etcd_judge says. *ret_tries: how often it was sent. */
NODISCARD bool etcd_call(Etcd *etcd, const EtcdCall *call, json_t **ret_reply, size_t *ret_tries,
                         Err *err);
/* Believes a header, or says why not. `floor`: the revision that the servers had certainly reached
 * when the request was sent. */
NODISCARD bool etcd_believe(Etcd *etcd, size_t endpoint, const EtcdHeader *header, int64_t floor,
                            Err *err);
int64_t etcd_floor(Etcd *etcd);
size_t etcd_endpoints(Etcd *etcd); /* how many there are: more come (store_endpoint_add) */
/* It does not serve: calls begin with the next one, unless they do already. */
void etcd_leave(Etcd *etcd, size_t endpoint);
void etcd_below(Etcd *etcd, int64_t revision);

/* ---- what changes (etcd_watch.c) --------------------------------------------------------------
 */

/* Begins behind store->revision. */
NODISCARD bool etcd_watch_start(Store *store, EtcdWatch **ret_watch, Err *err);
void etcd_watch_stop(EtcdWatch *watch); /* NULL is fine */

#endif
