/*
 * One call over several endpoints. A member that does not serve is left for the next one. A
 * question is asked until one serves it or the patience is over; a change is sent again only where
 * it is certain that it has not run. What has an unknown outcome is the caller's to settle.
 */
#include <time.h>

#include "store/etcd_priv.h"

/* ---- what is known of the servers -------------------------------------------------------------
 */

int64_t etcd_floor(Etcd *etcd)
{
    pthread_mutex_lock(&etcd->lock);
    int64_t revision = etcd->revision_seen;
    pthread_mutex_unlock(&etcd->lock);
    return revision;
}

void etcd_below(Etcd *etcd, int64_t revision)
{
    pthread_mutex_lock(&etcd->lock);
    if (revision > etcd->revision_below) {
        etcd->revision_below = revision;
    }
    pthread_mutex_unlock(&etcd->lock);
}

static bool forgot_error(Err *err)
{
    return err_set(err, ERR_CONFLICT,
                   "etcd has forgotten revisions that it had acknowledged: it was restored or made "
                   "anew; restart Weir on this host once it is known which data is right");
}

/* `whole`: its revision is what the servers had reached. */
static bool believe(Etcd *etcd, size_t endpoint, const EtcdHeader *header, int64_t floor,
                    bool whole, Err *err)
{
    pthread_mutex_lock(&etcd->lock);
    bool ours = etcd->cluster_id == 0 || etcd->cluster_id == header->cluster_id;
    if (ours) {
        etcd->cluster_id = header->cluster_id;
        etcd->forgot = etcd->forgot || header->revision < floor;
        etcd->known[endpoint] = etcd->known[endpoint] || whole;
        if (header->revision > etcd->revision_seen) {
            etcd->revision_seen = header->revision;
        }
    }
    bool forgot = etcd->forgot;
    pthread_mutex_unlock(&etcd->lock);
    if (!ours) {
        return err_set(err, ERR_EXISTS,
                       "%s belongs to another etcd cluster (id %llx): all endpoints must be "
                       "members of the same one",
                       etcd->settings.endpoints[endpoint], (unsigned long long)header->cluster_id);
    }
    return !forgot || forgot_error(err);
}

bool etcd_believe(Etcd *etcd, size_t endpoint, const EtcdHeader *header, int64_t floor, Err *err)
{
    return believe(etcd, endpoint, header, floor, true, err);
}

static bool etcd_trusted(Etcd *etcd, Err *err)
{
    pthread_mutex_lock(&etcd->lock);
    bool forgot = etcd->forgot;
    pthread_mutex_unlock(&etcd->lock);
    return !forgot || forgot_error(err);
}

/* ---- endpoints and connections ----------------------------------------------------------------
 */

static size_t preferred(Etcd *etcd)
{
    pthread_mutex_lock(&etcd->lock);
    size_t endpoint = etcd->preferred;
    pthread_mutex_unlock(&etcd->lock);
    return endpoint;
}

size_t etcd_endpoints(Etcd *etcd)
{
    pthread_mutex_lock(&etcd->lock);
    size_t len = etcd->settings.endpoints_len;
    pthread_mutex_unlock(&etcd->lock);
    return len;
}

bool store_endpoint_add(Store *store, const char *endpoint, bool first, Err *err)
{
    Etcd *etcd = store->etcd;
    size_t index;
    if (etcd == NULL) {
        return err_set(err, ERR_UNSUPPORTED, "the store is not kept by etcd");
    }
    pthread_mutex_lock(&etcd->lock);
    bool ok = etcd_settings_add(&etcd->settings, endpoint, &index, err);
    if (ok && first) {
        etcd->preferred = index;
    }
    pthread_mutex_unlock(&etcd->lock);
    return ok;
}

void store_hurry(Store *store)
{
    Etcd *etcd = store->etcd;
    if (etcd != NULL) {
        pthread_mutex_lock(&etcd->lock);
        etcd->hurried = true;
        pthread_mutex_unlock(&etcd->lock);
    }
}

static bool is_hurried(Etcd *etcd)
{
    pthread_mutex_lock(&etcd->lock);
    bool hurried = etcd->hurried;
    pthread_mutex_unlock(&etcd->lock);
    return hurried;
}

void etcd_leave(Etcd *etcd, size_t endpoint)
{
    pthread_mutex_lock(&etcd->lock);
    etcd->known[endpoint] = false;
    if (etcd->preferred == endpoint) {
        etcd->preferred = (endpoint + 1) % etcd->settings.endpoints_len;
    }
    pthread_mutex_unlock(&etcd->lock);
}

static EtcdHttp *connection_take(Etcd *etcd)
{
    pthread_mutex_lock(&etcd->lock);
    EtcdHttp *http = etcd->idle_len > 0 ? etcd->idle[--etcd->idle_len] : NULL;
    pthread_mutex_unlock(&etcd->lock);
    return http != NULL ? http : etcd_http_new(&etcd->settings);
}

static void connection_give(Etcd *etcd, EtcdHttp *http)
{
    pthread_mutex_lock(&etcd->lock);
    bool room = etcd->idle_len < ETCD_IDLE_MAX;
    if (room) {
        etcd->idle[etcd->idle_len++] = http;
    }
    pthread_mutex_unlock(&etcd->lock);
    if (!room) {
        etcd_http_free(http);
    }
}

/* ---- one attempt ------------------------------------------------------------------------------
 */

static bool read_reply(Etcd *etcd, const EtcdCall *call, size_t endpoint, Slice text, int64_t floor,
                       json_t **ret_reply, Err *err)
{
    json_error_t problem;
    json_t *reply = json_loadb(text.data != NULL ? text.data : "", text.len, 0, &problem);
    if (reply == NULL) {
        return err_set(err, ERR_UNAVAILABLE, "an answer that is not etcd's: %s", problem.text);
    }
    if (call->stream) {
        json_t *result = json_incref(json_object_get(reply, "result"));
        json_decref(reply);
        reply = result;
    }
    EtcdHeader header;
    if (!etcd_read_header(reply, &header, err) ||
        !believe(etcd, endpoint, &header, call->weak ? 0 : floor, !call->weak, err)) {
        json_decref(reply);
        return false;
    }
    *ret_reply = reply;
    return true;
}

/* Sends it once. ETCD_DONE: *ret_reply is the caller's. */
static EtcdVerdict attempt(Etcd *etcd, const EtcdCall *call, size_t endpoint, int64_t timeout_ms,
                           json_t **ret_reply, Err *err)
{
    Buf text;
    buf_init(&text, ETCD_REPLY_MAX);
    int status;
    int64_t floor = etcd_floor(etcd);
    EtcdHttp *http = connection_take(etcd);
    EtcdOutcome outcome = etcd_http_post(http, etcd->settings.endpoints[endpoint], call->path,
                                         call->body, timeout_ms, &status, &text, err);
    connection_give(etcd, http);
    EtcdVerdict verdict = outcome == ETCD_NOT_SENT ? ETCD_ELSEWHERE : ETCD_UNKNOWN;
    if (outcome == ETCD_REPLY) {
        verdict = etcd_judge(status, buf_slice(&text), err);
    }
    if (verdict == ETCD_DONE &&
        !read_reply(etcd, call, endpoint, buf_slice(&text), floor, ret_reply, err)) {
        verdict = ETCD_UNKNOWN;
    }
    buf_done(&text);
    return verdict;
}

/* Before a change goes to a member that is not known, it is asked something: a change that another
 * cluster took, or one that has forgotten, could not be called back. */
static EtcdVerdict introduce(Etcd *etcd, size_t endpoint, Err *err)
{
    pthread_mutex_lock(&etcd->lock);
    bool known = etcd->known[endpoint];
    pthread_mutex_unlock(&etcd->lock);
    if (known) {
        return ETCD_DONE;
    }
    json_t *reply;
    Buf body;
    EtcdRange range = {.limit = 1, .count_only = true};
    buf_init(&body, BUF_MAX_DEFAULT);
    etcd_put_range(&body, etcd->root, &range);
    EtcdCall question = {.path = "/v3/kv/range", .body = buf_slice(&body)};
    EtcdVerdict verdict =
        attempt(etcd, &question, endpoint, etcd->settings.answer_timeout_ms, &reply, err);
    buf_done(&body);
    if (verdict == ETCD_DONE) {
        json_decref(reply);
    }
    return verdict == ETCD_UNKNOWN ? ETCD_ELSEWHERE : verdict;
}

static EtcdVerdict try(Etcd *etcd, const EtcdCall *call, size_t endpoint, json_t **ret_reply,
                       Err *err)
{
    EtcdVerdict verdict = call->changes ? introduce(etcd, endpoint, err) : ETCD_DONE;
    return verdict == ETCD_DONE
               ? attempt(etcd, call, endpoint, etcd->settings.answer_timeout_ms, ret_reply, err)
               : verdict;
}

static bool final(const EtcdCall *call, EtcdVerdict verdict, const Err *err)
{
    return verdict == ETCD_FAILED || err->code == ERR_CONFLICT ||
           (verdict == ETCD_UNKNOWN &&
            ((call->changes && !call->repeats) || err->code == ERR_LIMIT));
}

/* An unknown outcome of a change gets its code, and what it was. */
static bool fail(const EtcdCall *call, bool unknown, const Err *failed, Err *err)
{
    bool unsettled = call->changes && unknown;
    return err_set(err, unsettled ? ERR_UNSETTLED : failed->code, "%s%s",
                   unsettled ? "it is not known whether a change took place: " : "",
                   failed->message);
}

static void pause_ms(int64_t ms)
{
    struct timespec pause = {.tv_sec = ms / MS_PER_S, .tv_nsec = ms % MS_PER_S * 1000000};
    nanosleep(&pause, NULL);
}

bool etcd_call(Etcd *etcd, const EtcdCall *call, json_t **ret_reply, size_t *ret_tries, Err *err)
{
    const EtcdSettings *settings = &etcd->settings;
    TRY(etcd_trusted(etcd, err));
    int64_t end_ms = time_mono_ms() + settings->patience_ms;
    bool unknown = false; /* some attempt may have run */
    for (size_t tries = 1;; tries++) {
        Err failed;
        size_t endpoint = preferred(etcd);
        EtcdVerdict verdict = try(etcd, call, endpoint, ret_reply, &failed);
        *ret_tries = tries;
        if (verdict == ETCD_DONE) {
            return true;
        }
        unknown = unknown || verdict == ETCD_UNKNOWN;
        if (verdict != ETCD_FAILED) {
            etcd_leave(etcd, endpoint);
        }
        bool over = time_mono_ms() >= end_ms || (tries >= etcd_endpoints(etcd) && is_hurried(etcd));
        if (final(call, verdict, &failed) || over) {
            bool tells = failed.code == ERR_EXISTS || failed.code == ERR_NOT_FOUND;
            return fail(call, unknown && !tells, &failed, err);
        }
        if (tries % etcd_endpoints(etcd) == 0) {
            pause_ms(ETCD_ROUND_PAUSE_MS);
        }
    }
}
