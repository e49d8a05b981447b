/* See split_priv.h. */
#include "proxy/client/client_priv.h"
#include "proxy/server/server_priv.h"
#include "proxy/split/causal_priv.h"
#include "proxy/split/last_word_priv.h"
#include "proxy/split/route_priv.h"
#include "proxy/split/split_priv.h"
#include "proxy/target/watch_priv.h"

struct SplitLearnt {
    uint64_t digest;
    int64_t until_ms;
};

/* ---- life --------------------------------------------------------------------------------------
 */

void proxy_split_start(ProxyClient *client)
{
    ASSERT(client->split == NULL);
    client->split = mem_alloc(sizeof(ClientSplit));
    client->split->client = client;
    buf_init(&client->split->request, LINE_REQUEST_MAX);
    buf_init(&client->split->held, SPLIT_HOLD_MAX);
}

static void unpark(ProxyClient *client)
{
    ProxyWorker *worker = client->worker;
    if (client->split->node.next == NULL) {
        return;
    }
    list_remove(&worker->parked, &client->split->node);
    if (worker->parked.len == 0) {
        atomic_store(&worker->any_parked, false);
        loop_timer_stop(&worker->park_timer);
    }
}

void proxy_split_done(ProxyClient *client)
{
    if (client->split != NULL) {
        unpark(client);
        buf_done(&client->split->request);
        buf_done(&client->split->held);
        mem_free(client->split);
        client->split = NULL;
    }
}

/* ---- what a read must see ----------------------------------------------------------------------
 */

static const ProxyStanding *primary_of(const ProxyClient *client)
{
    return &client->worker->proxy->targets[PROXY_TARGET_PRIMARY].standing;
}

/* What was inserted by now is all there is: a token cannot ask for more. */
static void check_claim(ClientSplit *split, const ProxyStanding *primary)
{
    if (split->claimed_us == 0 || atomic_load(&primary->asked_us) <= split->claimed_us) {
        return;
    }
    uint64_t position = atomic_load(&primary->position);
    split->position = position < split->position ? position : split->position;
    split->claimed_us = 0;
}

/* False: the position of what it may have written is not known yet. */
static bool position_known(const ProxyClient *client)
{
    ClientSplit *split = client->split;
    const ProxyStanding *primary = primary_of(client);
    uint32_t timeline = (uint32_t)atomic_load(&primary->timeline); /* stored behind the next */
    uint64_t system = atomic_load(&primary->system);
    bool other = split->timeline != timeline || split->system != system;
    if (split->wrote_us == 0 && split->position != 0 && other) {
        split->wrote_us = time_mono_us(); /* positions of another history are no measure */
    }
    if (split->wrote_us == 0) {
        check_claim(split, primary);
        return true;
    }
    /* It was asked for behind the answer to the write. */
    if (timeline == 0 || atomic_load(&primary->asked_us) <= split->wrote_us) {
        return false;
    }
    split->position = atomic_load(&primary->position);
    split->timeline = timeline;
    split->system = system;
    split->wrote_us = split->claimed_us = 0;
    return true;
}

static void ask(ProxyWorker *worker, bool primary)
{
    for (size_t i = primary ? PROXY_TARGET_PRIMARY : 1; i < PROXY_TARGETS_MAX; i++) {
        proxy_watch_ask(worker, i);
    }
}

static bool wants_primary(const ClientSplit *split)
{
    return split->wrote_us != 0 || split->claimed_us != 0;
}

static void parked_look(void *user)
{
    ProxyWorker *worker = user;
    for (size_t left = worker->parked.len; left > 0; left--) {
        ProxyClient *client = CONTAINER_OF(list_first(&worker->parked), ClientSplit, node)->client;
        unpark(client);
        client->state = CLIENT_READY;
        proxy_client_resume(client);
    }
}

static void parked_fail(ProxyWorker *worker, int64_t now_us)
{
    for (ListNode *node = list_first(&worker->parked); node != NULL;) {
        const ClientSplit *split = CONTAINER_OF(node, ClientSplit, node);
        node = list_next(&worker->parked, node);
        if (split->fails && now_us >= split->until_us) {
            proxy_causal_expired(split->client);
        }
    }
}

/* For who may wait for seconds the replicas are not asked as often for all of that; nor is there
 * much to look for meanwhile: what they answer makes all look by itself. */
static void park_tick(void *user)
{
    ProxyWorker *worker = user;
    int64_t now_us = time_mono_us();
    bool primary = false;
    bool soon = worker->park_ticks++ % (SPLIT_LONG_TICK_MS / SPLIT_TICK_MS) == 0;
    parked_fail(worker, now_us);
    LIST_FOR_EACH (&worker->parked, node) {
        const ClientSplit *split = CONTAINER_OF(node, ClientSplit, node);
        primary = primary || wants_primary(split);
        soon = soon || !split->fails || now_us - split->since_us <= SPLIT_WAIT_US;
    }
    if (soon) {
        ask(worker, primary);
        parked_look(worker); /* some have waited for long enough */
    }
}

static void parked_posted(void *user)
{
    ProxyWorker *worker = user;
    atomic_store(&worker->look_asked, false);
    parked_look(worker);
}

void proxy_split_positions_known(Proxy *proxy)
{
    for (uint32_t i = 0; i < proxy->worker_count; i++) {
        ProxyWorker *worker = &proxy->workers[i];
        if (atomic_load(&worker->any_parked) && !atomic_exchange(&worker->look_asked, true)) {
            loop_post(worker->loop, parked_posted, worker);
        }
    }
}

bool proxy_split_wait(ProxyClient *client, int64_t wait_us, bool fails)
{
    ProxyWorker *worker = client->worker;
    ClientSplit *split = client->split;
    int64_t now_us = time_mono_us();
    split->fails = fails;
    if (split->until_us != 0 && now_us >= split->until_us && !fails) {
        split->until_us = 0;
        proxy_meter_add(proxy_client_meter(client), STAT_REPLICA_WAITS_EXPIRED, 1);
        return false;
    }
    if (split->until_us == 0) {
        split->since_us = now_us;
        split->until_us = now_us + wait_us;
        proxy_meter_add(proxy_client_meter(client), STAT_REPLICA_WAITS, 1);
        ask(worker, wants_primary(split));
    }
    client->state = CLIENT_PARKED;
    stream_pause(client->stream);
    list_push_back(&worker->parked, &split->node);
    atomic_store(&worker->any_parked, true);
    if (!loop_timer_armed(&worker->park_timer)) {
        loop_timer_start(worker->loop, &worker->park_timer, SPLIT_TICK_MS, SPLIT_TICK_MS, park_tick,
                         worker);
    }
    return true;
}

/* Clients are many, and mostly idle: they keep nothing of it. */
static void read_done(ClientSplit *split)
{
    split->reading = false;
    buf_done(&split->request);
    buf_done(&split->held);
}

/* ---- where it goes -----------------------------------------------------------------------------
 */

static struct SplitLearnt *learnt_of(ProxyPool *home, uint64_t digest)
{
    if (home->learnt == NULL) {
        home->learnt = mem_alloc(SPLIT_LEARNT_MAX * sizeof(*home->learnt));
    }
    return &home->learnt[digest % SPLIT_LEARNT_MAX];
}

static bool is_learnt(ProxyPool *home, uint64_t digest)
{
    const struct SplitLearnt *learnt = home->learnt != NULL ? learnt_of(home, digest) : NULL;
    return learnt != NULL && learnt->digest == digest &&
           loop_now_ms(home->worker->loop) < learnt->until_ms;
}

/* What a session has set; else what it has at the primary. */
static SplitDefaults defaults_of(const ProxyClient *client)
{
    const Settings *settings = client->session.settings;
    const ProxyDefaults *defaults = &client->pool->defaults;
    Slice read_only = settings_value(settings, SLICE("default_transaction_read_only"));
    Slice isolation = settings_value(settings, SLICE("default_transaction_isolation"));
    isolation = isolation.data != NULL ? isolation : slice_of(defaults->isolation);
    return (SplitDefaults){
        .read_only = read_only.data != NULL ? slice_is(read_only, "on") : defaults->read_only,
        .serializable = slice_is(isolation, "serializable"),
    };
}

/* The next login there will tell. */
static bool defaults_missing(const ProxyClient *client)
{
    return !client->pool->defaults.known &&
           proxy_worker_has_target(client->worker, PROXY_TARGET_PRIMARY);
}

/* A replica that has what the client must see; NULL: it waits, or goes to the primary. */
static ProxyPool *replica_of(ProxyClient *client, bool *ret_waits)
{
    ClientSplit *split = client->split;
    bool known = position_known(client);
    const ReadFloor floor = {.position = split->position, .timeline = split->timeline};
    ProxyPool *pool = known ? proxy_route_replica(client->pool, &floor) : NULL;
    *ret_waits = false;
    if (pool != NULL) {
        split->until_us = 0;
    } else if (proxy_route_replica_near(client->pool)) {
        *ret_waits = proxy_split_wait(client, SPLIT_WAIT_US, false);
    } else {
        split->until_us = 0;
    }
    return pool;
}

ProxyPool *proxy_split_route(ProxyClient *client, Slice data, size_t *ret_len)
{
    ProxyPool *home = client->pool;
    LineRequest request = {0};
    bool waits = false;
    *ret_len = 0;
    if (client->split == NULL) { /* it was here before there was anything to split */
        proxy_split_start(client);
        client->split->wrote_us = time_mono_us();
    }
    ClientSplit *split = client->split;
    read_done(split); /* it was to go elsewhere */
    split->suspect = client->alone;
    if (client->alone || defaults_missing(client)) {
        split->until_us = 0;
        return home;
    }
    (void)proxy_pool_knows_names(home);
    SqlDialect dialect = proxy_client_dialect(client);
    const LineReader reader = {&client->session, &dialect, client->worker->memo};
    SplitKind kind = split_kind(&reader, defaults_of(client), data, &request);
    if (kind == SPLIT_READ && is_learnt(home, request.digest)) {
        split->suspect = true;
        kind = SPLIT_PRIMARY;
    }
    if (kind == SPLIT_PRIMARY) {
        split->until_us = 0;
        return home;
    }
    ProxyPool *pool = replica_of(client, &waits);
    if (waits) {
        return NULL;
    }
    split->digest = request.digest;
    *ret_len = pool != NULL ? request.len : 0;
    return pool != NULL ? pool : home;
}

/* ---- a read under way --------------------------------------------------------------------------
 */

/* What is held is the answer, or its beginning. */
static void hand_over(ClientSplit *split)
{
    if (split->held.len > 0) {
        stream_write(split->client->stream, buf_slice(&split->held));
    }
    read_done(split);
}

void proxy_split_begin(ProxyClient *client, Slice request)
{
    ClientSplit *split = client->split;
    buf_append_slice(&split->request, request);
    split->reading = true;
    split->again = split->cancelled = false;
    split->left = request.len;
}

bool proxy_split_sent(ProxyClient *client, size_t len)
{
    ClientSplit *split = client->split;
    if (split == NULL || !split->reading) {
        return false;
    }
    ASSERT(split->left >= len);
    split->left -= len;
    return split->left == 0;
}

bool proxy_split_hold(ProxyClient *client, Slice bytes)
{
    ClientSplit *split = client->split;
    if (split == NULL || !split->reading) {
        return false;
    }
    if (split->again) {
        return true;
    }
    if (split->held.len + bytes.len <= SPLIT_HOLD_MAX) {
        buf_append_slice(&split->held, bytes);
        return true;
    }
    hand_over(split);
    return false;
}

void proxy_split_learn(ProxyPool *home, uint64_t digest)
{
    *learnt_of(home, digest) = (struct SplitLearnt){
        .digest = digest, .until_ms = loop_now_ms(home->worker->loop) + SPLIT_LEARNT_MS};
}

void proxy_split_error(ProxyServer *server, const PgPiece *piece)
{
    ClientSplit *split = server->client->split;
    PgError error;
    if (split == NULL || split->digest == 0 || server->target == PROXY_TARGET_PRIMARY ||
        !piece->last || !pg_get_error(piece->body, &error)) {
        return;
    }
    ReadVerdict verdict =
        read_verdict(&error, (ReadAsked){.replica = true, .cancelled = split->cancelled});
    split->again = split->reading && verdict.again;
    split->client->anew = split->again && verdict.anew;
    if (verdict.writes) {
        proxy_split_learn(server->pool->home, split->digest);
    }
}

bool proxy_split_ready(ProxyClient *client)
{
    ClientSplit *split = client->split;
    if (split == NULL || !split->reading) {
        return false;
    }
    if (split->again) {
        return true;
    }
    hand_over(split);
    return false;
}

void proxy_split_again(ProxyClient *client)
{
    ClientSplit *split = client->split;
    split->again = false;
    split->skip = split->left;
    client->wants_room = false; /* of a server that it has no more */
    proxy_meter_add(proxy_client_meter(client), STAT_READS_AGAIN, 1);
    proxy_client_again(client, buf_slice(&split->request));
    read_done(split);
}

bool proxy_split_reads(const ProxyClient *client)
{
    return client->split != NULL && client->split->reading;
}

void proxy_split_unlink(const ProxyServer *server)
{
    const Exchange *exchange = &server->exchange;
    ClientSplit *split = server->client->split;
    if (split != NULL && server->target == PROXY_TARGET_PRIMARY &&
        (exchange->changed || split->suspect || !exchange->dialect.wants_reads)) {
        split->wrote_us = time_mono_us(); /* not that of the turn, which is earlier */
    }
}
