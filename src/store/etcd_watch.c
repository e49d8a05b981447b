/*
 * The thread that follows what changes below the root, and tells the history. It holds one stream
 * at one member, and asks that member each second whether it still serves: a member that stands
 * still, or is cut off from the others, would be silent for ever.
 *
 *   PAUSED --time--> ASKING --serves--> OPENING --created--> FOLLOWING
 *     ^                 |                  |                     |
 *     +------ next member: no answer, end of the stream ---------+
 *
 * `delivered` is the revision up to which the history has everything. A new stream begins behind
 * it, and what a stream says again is left out; so nothing is told twice, and nothing is missed
 * unless etcd has compacted it away: then all watches are told to resync. A revision is told when
 * it is whole, for large ones come in fragments.
 */
#include <signal.h>
#include <stdatomic.h>

#include "store/etcd_priv.h"

#define PAUSE_MS     200  /* before the next round, when all members were tried */
#define PAUSE_MAX_MS 1000 /* it grows up to this */

typedef enum WatchState { WATCH_PAUSED, WATCH_ASKING, WATCH_OPENING, WATCH_FOLLOWING } WatchState;
typedef enum SideKind { SIDE_NONE, SIDE_PROBE, SIDE_COMPACT } SideKind;

struct EtcdWatch {
    Store *store;
    Etcd *etcd;
    pthread_t thread;
    atomic_bool stopping;
    CURLM *multi;

    WatchState state;
    size_t endpoint;
    size_t failures;  /* in a row */
    int64_t until_ms; /* PAUSED: the next try. OPENING: the latest end */

    EtcdHttp *stream;
    bool stream_runs;
    Buf stream_body;
    Buf rest;       /* of a line */
    Err stream_err; /* why we ended the stream ourselves */

    EtcdHttp *side; /* what is asked beside the stream */
    SideKind side_kind;
    Buf side_body, side_reply;
    int64_t side_floor;
    int64_t probe_ms; /* when to ask next */

    int64_t delivered;
    bool resync; /* changes were lost: all must read again */
    bool told_forgot;
    VEC(BatchOp) pending;    /* of one revision, which may not be whole yet */
    int64_t behind_since_ms; /* since then a change is known that was not told; 0: none */

    int64_t compact_revision; /* what the history reached when compact_ms was set */
    int64_t compact_ms;       /* when to compact next */
};

/* ---- telling ----------------------------------------------------------------------------------
 */

static void pending_drop(EtcdWatch *watch)
{
    pthread_mutex_lock(&watch->store->lock); /* the records are counted under it */
    for (size_t i = 0; i < watch->pending.len; i++) {
        record_unref(watch->pending.items[i].record);
    }
    pthread_mutex_unlock(&watch->store->lock);
    watch->pending.len = 0;
}

/* The pending revision is whole. */
static void pending_tell(EtcdWatch *watch)
{
    Store *store = watch->store;
    if (watch->pending.len == 0) {
        return;
    }
    int64_t revision = watch->pending.items[0].record->mod_revision;
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < watch->pending.len; i++) {
        history_add(store, &watch->pending.items[i]);
    }
    store->revision = revision;
    watches_wake(store);
    pthread_mutex_unlock(&store->lock);
    watch->delivered = revision;
    watch->behind_since_ms = 0;
    pending_drop(watch);
}

/* Everything up to the revision counts as told. */
static void advance(EtcdWatch *watch, int64_t revision, bool forget)
{
    Store *store = watch->store;
    pthread_mutex_lock(&store->lock);
    store->revision = revision;
    if (forget) {
        history_forget(store);
        watches_wake(store);
    }
    pthread_mutex_unlock(&store->lock);
    watch->delivered = revision;
}

/* ---- what the stream says ---------------------------------------------------------------------
 */

static bool take_event(EtcdWatch *watch, const json_t *event, Err *err)
{
    BatchOp op;
    TRY(etcd_read_event(event, watch->etcd->root, &op, err));
    int64_t revision = op.record->mod_revision;
    int64_t newest =
        watch->pending.len > 0 ? watch->pending.items[0].record->mod_revision : watch->delivered;
    if (revision <= watch->delivered) { /* told before */
        record_unref(op.record);
        return true;
    }
    if (revision < newest) {
        record_unref(op.record);
        return err_set(err, ERR_UNAVAILABLE, "etcd tells of changes out of their order");
    }
    if (revision > newest) {
        pending_tell(watch);
    }
    vec_push(&watch->pending, op);
    return true;
}

static bool take_message(EtcdWatch *watch, const EtcdMessage *message, Err *err)
{
    TRY(etcd_believe(watch->etcd, watch->endpoint, &message->header, 0, err));
    if (message->canceled) {
        watch->resync = message->compact_revision > 0;
        return err_set(err, ERR_UNAVAILABLE, "etcd has cancelled the watch%s",
                       watch->resync ? ": what it had not told is compacted" : "");
    }
    if (message->created) {
        if (watch->failures > 0) {
            log_info("store", "the watch goes on at %s",
                     watch->etcd->settings.endpoints[watch->endpoint]);
        }
        watch->state = WATCH_FOLLOWING;
        watch->failures = 0;
    }
    if (message->events == NULL && watch->pending.len > 0) {
        return err_set(err, ERR_UNAVAILABLE, "etcd breaks off in the middle of a change");
    }
    for (size_t i = 0; i < json_array_size(message->events); i++) {
        TRY(take_event(watch, json_array_get(message->events, i), err));
    }
    if (!message->fragment) {
        pending_tell(watch);
    }
    bool progress = message->events == NULL && !message->created && !message->fragment;
    if (progress && message->header.revision > watch->delivered) {
        advance(watch, message->header.revision, false);
    }
    return true;
}

static bool on_line(void *user, Slice text)
{
    EtcdWatch *watch = user;
    EtcdMessage message;
    if (text.len == 0) {
        return true;
    }
    json_t *line = json_loadb(text.data != NULL ? text.data : "", text.len, 0, NULL);
    bool ok = etcd_read_message(line, &message, &watch->stream_err) &&
              take_message(watch, &message, &watch->stream_err);
    json_decref(line);
    return ok;
}

static bool on_stream(void *user, Slice data)
{
    EtcdWatch *watch = user;
    if (etcd_lines(&watch->rest, data, on_line, watch)) {
        return true;
    }
    if (watch->rest.overflowed) { /* it would come again and again */
        watch->resync = true;
        err_set(&watch->stream_err, ERR_LIMIT, "etcd tells of changes in lines above %zu bytes",
                watch->rest.max);
    }
    return false;
}

/* ---- moving between members -------------------------------------------------------------------
 */

static bool into_reply(void *user, Slice data)
{
    Buf *reply = user;
    buf_append_slice(reply, data);
    return !reply->overflowed;
}

static void side_end(EtcdWatch *watch)
{
    if (watch->side_kind != SIDE_NONE) {
        curl_multi_remove_handle(watch->multi, etcd_http_curl(watch->side));
        watch->side_kind = SIDE_NONE;
    }
}

static void stream_end(EtcdWatch *watch)
{
    if (watch->stream_runs) {
        curl_multi_remove_handle(watch->multi, etcd_http_curl(watch->stream));
        watch->stream_runs = false;
    }
    buf_clear(&watch->rest);
    watch->rest.overflowed = false;
    pending_drop(watch);
}

/* Leaves this member for the next one, or, where it did what it should, begins anew with it. */
static void drop(EtcdWatch *watch, const Err *why, bool blame)
{
    const EtcdSettings *settings = &watch->etcd->settings;
    if (watch->state == WATCH_FOLLOWING || watch->failures == etcd_endpoints(watch->etcd)) {
        log_warn("store", "the watch at %s has ended: %s", settings->endpoints[watch->endpoint],
                 why->message);
    }
    side_end(watch);
    stream_end(watch);
    watch->behind_since_ms = 0;
    if (blame) {
        etcd_leave(watch->etcd, watch->endpoint);
        watch->endpoint = (watch->endpoint + 1) % etcd_endpoints(watch->etcd);
        watch->failures++;
    }
    int64_t rounds = (int64_t)(watch->failures / etcd_endpoints(watch->etcd));
    int64_t pause = rounds * PAUSE_MS < PAUSE_MAX_MS ? rounds * PAUSE_MS : PAUSE_MAX_MS;
    watch->state = WATCH_PAUSED;
    watch->until_ms = time_mono_ms() + pause;
}

static void stream_begin(EtcdWatch *watch)
{
    const EtcdSettings *settings = &watch->etcd->settings;
    buf_clear(&watch->stream_body);
    etcd_put_watch(&watch->stream_body, watch->etcd->root, watch->delivered + 1);
    err_set(&watch->stream_err, ERR_UNAVAILABLE, "etcd has ended the stream");
    etcd_http_prepare(watch->stream, settings->endpoints[watch->endpoint], "/v3/watch",
                      buf_slice(&watch->stream_body), 0, on_stream, watch);
    curl_multi_add_handle(watch->multi, etcd_http_curl(watch->stream));
    watch->stream_runs = true;
    watch->state = WATCH_OPENING;
    watch->until_ms = time_mono_ms() + settings->answer_timeout_ms;
}

/* ---- questions beside the stream --------------------------------------------------------------
 */

static void side_begin(EtcdWatch *watch, SideKind kind, const char *path)
{
    const EtcdSettings *settings = &watch->etcd->settings;
    buf_clear(&watch->side_reply);
    watch->side_reply.overflowed = false;
    watch->side_floor = etcd_floor(watch->etcd);
    watch->side_kind = kind;
    etcd_http_prepare(watch->side, settings->endpoints[watch->endpoint], path,
                      buf_slice(&watch->side_body), settings->answer_timeout_ms, into_reply,
                      &watch->side_reply);
    curl_multi_add_handle(watch->multi, etcd_http_curl(watch->side));
}

static void probe_begin(EtcdWatch *watch)
{
    EtcdRange range = {.limit = 1, .count_only = true};
    buf_clear(&watch->side_body);
    etcd_put_range(&watch->side_body, watch->etcd->root, &range);
    side_begin(watch, SIDE_PROBE, "/v3/kv/range");
}

/* Each compact_ms everything goes that was there the last time, and was told. Every process does
 * it; the second one finds it done. */
static void compact_begin(EtcdWatch *watch)
{
    int64_t revision = watch->compact_revision;
    watch->compact_revision = watch->delivered;
    watch->compact_ms = time_mono_ms() + watch->etcd->settings.compact_ms;
    if (revision > 0 && !watch->etcd->settings.keep_history) {
        buf_clear(&watch->side_body);
        buf_printf(&watch->side_body, "{\"revision\":\"%lld\"}", (long long)revision);
        side_begin(watch, SIDE_COMPACT, "/v3/kv/compaction");
    }
}

/* The member serves, and the store is at this revision. */
static void probe_done(EtcdWatch *watch, int64_t revision)
{
    watch->probe_ms = time_mono_ms() + ETCD_PROBE_MS;
    if (watch->state == WATCH_ASKING) {
        if (watch->resync) {
            watch->resync = false;
            advance(watch, revision, true);
        }
        stream_begin(watch);
    } else if (time_mono_ms() >= watch->compact_ms) {
        compact_begin(watch);
    }
}

static bool probe_read(EtcdWatch *watch, EtcdHeader *ret_header, Err *err)
{
    Slice text = buf_slice(&watch->side_reply);
    json_t *reply = json_loadb(text.data != NULL ? text.data : "", text.len, 0, NULL);
    EtcdHeader header;
    bool ok = etcd_read_header(reply, &header, err) &&
              etcd_believe(watch->etcd, watch->endpoint, &header, watch->side_floor, err);
    json_decref(reply);
    if (ok) {
        *ret_header = header;
    }
    return ok;
}

static void side_done(EtcdWatch *watch, CURLcode code)
{
    Err err;
    int status;
    EtcdHeader header;
    SideKind kind = watch->side_kind;
    EtcdOutcome outcome = etcd_http_outcome(watch->side, code, &status, &err);
    side_end(watch);
    if (kind == SIDE_COMPACT) {
        return; /* the next time will do, or another process has done it */
    }
    bool ok = outcome == ETCD_REPLY &&
              etcd_judge(status, buf_slice(&watch->side_reply), &err) == ETCD_DONE &&
              probe_read(watch, &header, &err);
    if (ok) {
        probe_done(watch, header.revision);
        return;
    }
    if (err.code == ERR_CONFLICT && !watch->told_forgot) { /* who reads again will hear why */
        watch->told_forgot = true;
        advance(watch, watch->delivered, true);
    }
    drop(watch, &err, true);
}

static void stream_done(EtcdWatch *watch, CURLcode code)
{
    Err err;
    int status;
    Err own = watch->stream_err; /* why we ended it, if we did */
    EtcdOutcome outcome = etcd_http_outcome(watch->stream, code, &status, &err);
    if (outcome == ETCD_REPLY && status != 200) {
        (void)etcd_judge(status, buf_slice(&watch->rest), &own);
    }
    bool other = outcome != ETCD_REPLY && code != CURLE_WRITE_ERROR;
    drop(watch, other ? &err : &own, !watch->resync);
}

/* ---- the thread -------------------------------------------------------------------------------
 */

/* Whether a change below the root is known for too long that the stream has not told. */
static bool is_behind(EtcdWatch *watch, int64_t now)
{
    pthread_mutex_lock(&watch->etcd->lock);
    bool behind = watch->etcd->revision_below > watch->delivered;
    pthread_mutex_unlock(&watch->etcd->lock);
    if (!behind) {
        watch->behind_since_ms = 0;
    } else if (watch->behind_since_ms == 0) {
        watch->behind_since_ms = now;
    }
    return behind && now - watch->behind_since_ms > watch->etcd->settings.answer_timeout_ms;
}

/* Does what is due. */
static void do_due(EtcdWatch *watch, int64_t now)
{
    Err late;
    if (watch->state == WATCH_PAUSED && now >= watch->until_ms) {
        watch->state = WATCH_ASKING;
        probe_begin(watch);
    } else if (watch->state == WATCH_OPENING && now >= watch->until_ms) {
        err_set(&late, ERR_TIMEOUT, "it did not open in time");
        drop(watch, &late, true);
    } else if (watch->state == WATCH_FOLLOWING && is_behind(watch, now)) {
        err_set(&late, ERR_TIMEOUT, "it does not tell of changes that are known");
        drop(watch, &late, true);
    } else if (watch->state == WATCH_FOLLOWING && watch->side_kind == SIDE_NONE &&
               now >= watch->probe_ms) {
        probe_begin(watch);
    }
}

static int wait_ms(const EtcdWatch *watch, int64_t now)
{
    bool timed = watch->state == WATCH_PAUSED || watch->state == WATCH_OPENING;
    int64_t until = timed ? watch->until_ms : watch->probe_ms;
    int64_t wait = until > now ? until - now : 1;
    return (int)(wait < ETCD_PROBE_MS && watch->state != WATCH_ASKING ? wait : ETCD_PROBE_MS);
}

static void collect(EtcdWatch *watch)
{
    const CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(watch->multi, &left)) != NULL) {
        CURLcode code = message->data.result;
        if (watch->stream_runs && message->easy_handle == etcd_http_curl(watch->stream)) {
            stream_done(watch, code);
        } else if (watch->side_kind != SIDE_NONE &&
                   message->easy_handle == etcd_http_curl(watch->side)) {
            side_done(watch, code);
        }
    }
}

static void *watch_run(void *argument)
{
    EtcdWatch *watch = argument;
    while (!atomic_load(&watch->stopping)) {
        int running;
        do_due(watch, time_mono_ms());
        curl_multi_perform(watch->multi, &running);
        collect(watch);
        curl_multi_poll(watch->multi, NULL, 0, wait_ms(watch, time_mono_ms()), NULL);
    }
    side_end(watch);
    stream_end(watch);
    return NULL;
}

static void watch_free(EtcdWatch *watch)
{
    etcd_http_free(watch->stream);
    etcd_http_free(watch->side);
    curl_multi_cleanup(watch->multi);
    buf_done(&watch->stream_body);
    buf_done(&watch->rest);
    buf_done(&watch->side_body);
    buf_done(&watch->side_reply);
    vec_done(&watch->pending);
    mem_free(watch);
}

bool etcd_watch_start(Store *store, EtcdWatch **ret_watch, Err *err)
{
    EtcdWatch *watch = mem_alloc(sizeof(EtcdWatch));
    watch->store = store;
    watch->etcd = store->etcd;
    watch->delivered = store->revision;
    watch->multi = curl_multi_init();
    ASSERT(watch->multi != NULL);
    watch->stream = etcd_http_new(&watch->etcd->settings);
    watch->side = etcd_http_new(&watch->etcd->settings);
    buf_init(&watch->stream_body, BUF_MAX_DEFAULT);
    buf_init(&watch->rest, ETCD_REPLY_MAX);
    buf_init(&watch->side_body, BUF_MAX_DEFAULT);
    buf_init(&watch->side_reply, BUF_MAX_DEFAULT);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are for the others */
    int failed = pthread_create(&watch->thread, NULL, watch_run, watch);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        watch_free(watch);
        return err_set_errno(err, failed, "cannot start the thread that watches etcd");
    }
    *ret_watch = watch;
    return true;
}

void etcd_watch_stop(EtcdWatch *watch)
{
    if (watch != NULL) {
        atomic_store(&watch->stopping, true);
        curl_multi_wakeup(watch->multi);
        pthread_join(watch->thread, NULL);
        watch_free(watch);
    }
}
