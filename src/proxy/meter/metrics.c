/* The table of metrics, and sums over what the workers have written: see metrics_priv.h. */
#include <stdlib.h>

#include "proxy/meter/metrics_priv.h"
#include "proxy/pulse/pulse_priv.h"
#include "proxy/worker_priv.h"

#define COUNT   .unit = "Count"
#define MICROS  .unit = "Microseconds"
#define BYTES   .unit = "Bytes"
#define GAUGE   .kind = METRIC_GAUGE
#define COUNTER .kind = METRIC_COUNTER
#define OF(x)   .source = SOURCE_STAT, .a = (x)
#define POOL    .per_pool = true

/* Those of RDS Proxy in the order of its documentation, then our own. */
const Metric proxy_metrics[] = {
    {"AvailabilityPercentage", .unit = "Percent", GAUGE, .source = SOURCE_AVAILABILITY,
     .help = "of the last minute's seconds, those in which the target was available"},
    {"ClientConnections", COUNT, GAUGE, POOL, OF(STAT_CLIENTS), .help = "client connections"},
    {"ClientConnectionsClosed", COUNT, COUNTER, POOL, OF(STAT_CLIENTS_CLOSED),
     .help = "client connections that have ended"},
    {"ClientConnectionsNoTLS", COUNT, GAUGE, POOL, .source = SOURCE_LESS, .a = STAT_CLIENTS,
     .b = STAT_CLIENTS_TLS, .help = "client connections without TLS"},
    {"ClientConnectionsReceived", COUNT, COUNTER, OF(STAT_ACCEPTED),
     .help = "client connections that the rules have let in"},
    {"ClientConnectionsSetupFailedAuth", COUNT, COUNTER, .source = SOURCE_SUM,
     .a = STAT_AUTH_FAILED, .b = STAT_TLS_FAILED,
     .help = "client connections that failed to authenticate, or for TLS"},
    {"ClientConnectionsSetupSucceeded", COUNT, COUNTER, POOL, OF(STAT_LOGINS),
     .help = "client connections that have logged in"},
    {"ClientConnectionsTLS", COUNT, GAUGE, POOL, OF(STAT_CLIENTS_TLS),
     .help = "client connections with TLS"},
    {"DatabaseConnectionRequests", COUNT, COUNTER, POOL, OF(STAT_SERVER_REQUESTS),
     .help = "connections to the database that were begun"},
    {"DatabaseConnectionRequestsWithTLS", COUNT, COUNTER, POOL, OF(STAT_SERVER_REQUESTS_TLS),
     .help = "of those, with TLS"},
    {"DatabaseConnections", COUNT, GAUGE, POOL, OF(STAT_SERVERS),
     .help = "connections to the database"},
    {"DatabaseConnectionsBorrowLatency", MICROS, .kind = METRIC_HISTOGRAM, POOL,
     .source = SOURCE_LATENCY, .latency = LATENCY_BORROW,
     .help = "from a transaction's first message to its database connection"},
    {"DatabaseConnectionsCurrentlyBorrowed", COUNT, GAUGE, POOL, OF(STAT_SERVERS_BORROWED),
     .help = "database connections that a client has"},
    {"DatabaseConnectionsCurrentlyInTransaction", COUNT, GAUGE, POOL, .source = SOURCE_LESS,
     .a = STAT_TRANSACTIONS_BEGUN, .b = STAT_TRANSACTIONS_ENDED,
     .help = "of those, in a transaction, be it one statement's own"},
    {"DatabaseConnectionsCurrentlySessionPinned", COUNT, GAUGE, POOL, OF(STAT_CLIENTS_PINNED),
     .help = "sessions that keep their database connection to their end"},
    {"DatabaseConnectionsSetupFailed", COUNT, COUNTER, POOL, OF(STAT_SERVERS_FAILED),
     .help = "connections to the database that did not come about"},
    {"DatabaseConnectionsSetupSucceeded", COUNT, COUNTER, POOL, OF(STAT_SERVERS_OPENED),
     .help = "connections to the database that have logged in"},
    {"DatabaseConnectionsWithTLS", COUNT, GAUGE, POOL, OF(STAT_SERVERS_TLS),
     .help = "connections to the database with TLS"},
    {"MaxDatabaseConnectionsAllowed", COUNT, GAUGE, .source = SOURCE_SERVERS_MAX,
     .help = "how many connections to the database there may be"},
    {"QueryDatabaseResponseLatency", MICROS, .kind = METRIC_HISTOGRAM, POOL,
     .source = SOURCE_LATENCY, .latency = LATENCY_DATABASE,
     .help = "from sending a request to the database to the end of its answer"},
    {"QueryRequests", COUNT, COUNTER, POOL, .source = SOURCE_SUM, .a = STAT_QUERIES,
     .b = STAT_QUERIES_TLS, .help = "queries: each Query, Execute and FunctionCall"},
    {"QueryRequestsNoTLS", COUNT, COUNTER, POOL, OF(STAT_QUERIES), .help = "of those, without TLS"},
    {"QueryRequestsTLS", COUNT, COUNTER, POOL, OF(STAT_QUERIES_TLS), .help = "of those, with TLS"},
    {"QueryResponseLatency", MICROS, .kind = METRIC_HISTOGRAM, POOL, .source = SOURCE_LATENCY,
     .latency = LATENCY_RESPONSE, .help = "from a request to the end of its answer"},
    {"TransactionRequests", COUNT, COUNTER, POOL, OF(STAT_TRANSACTIONS_BEGUN),
     .help = "transactions that were begun, be they one statement's own"},
    {"TransactionsEnded", COUNT, COUNTER, POOL, OF(STAT_TRANSACTIONS_ENDED),
     .help = "of those, ended"},
    {"TransactionTime", MICROS, COUNTER, POOL, OF(STAT_TRANSACTION_US),
     .help = "how long those took together"},
    {"ClientConnectionsAdmin", COUNT, GAUGE, OF(STAT_ADMINS),
     .help = "client connections to the proxy's own database"},
    {"ClientConnectionsReplication", COUNT, GAUGE, POOL, OF(STAT_CLIENTS_REPLICATION),
     .help = "client connections for logical replication"},
    {"ClientConnectionsWaiting", COUNT, GAUGE, POOL, OF(STAT_CLIENTS_WAITING),
     .help = "clients that wait for a database connection"},
    {"ClientConnectionsListening", COUNT, GAUGE, POOL, OF(STAT_CLIENTS_LISTENING),
     .help = "clients that listen by a shared database connection"},
    {"ClientConnectionsRefusedByRule", COUNT, COUNTER, OF(STAT_REFUSED_BY_RULE),
     .help = "client connections that no security rule admits"},
    {"ClientConnectionsRefusedByLimit", COUNT, COUNTER, OF(STAT_REFUSED_BY_LIMIT),
     .help = "client connections above max_clients"},
    {"ClientConnectionsDelayedAuth", COUNT, COUNTER, OF(STAT_AUTH_DELAYED),
     .help = "client connections that were told late that they failed to authenticate"},
    {"ClientConnectionsIdleClosed", COUNT, COUNTER, POOL, OF(STAT_IDLE_TIMEOUTS),
     .help = "client connections that idle_client_timeout_s has ended"},
    {"DatabaseConnectionsListening", COUNT, GAUGE, POOL, OF(STAT_HUBS),
     .help = "database connections that listen for many clients"},
    {"NotificationsDelivered", COUNT, COUNTER, POOL, OF(STAT_NOTIFICATIONS),
     .help = "notifications that clients got by those"},
    {"DatabaseConnectionsBorrowed", COUNT, COUNTER, POOL, OF(STAT_BORROWS),
     .help = "how often a client got a database connection"},
    {"ReplicaConnectionsBorrowed", COUNT, COUNTER, POOL, OF(STAT_REPLICA_BORROWS),
     .help = "of those, of replicas"},
    {"QueryRequestsRetriedOnPrimary", COUNT, COUNTER, POOL, OF(STAT_READS_AGAIN),
     .help = "reads that a replica did not answer, and the primary did"},
    {"ReplicaWaits", COUNT, COUNTER, POOL, OF(STAT_REPLICA_WAITS),
     .help = "reads that waited for a replica to have what they must see"},
    {"ReplicaWaitsExpired", COUNT, COUNTER, POOL, OF(STAT_REPLICA_WAITS_EXPIRED),
     .help = "of those, in vain: the primary answered, or there was none"},
    {"CausalTokensShown", COUNT, COUNTER, POOL, OF(STAT_TOKENS_SHOWN),
     .help = "how often weir.causal_token was asked for"},
    {"CausalTokensSet", COUNT, COUNTER, POOL, OF(STAT_TOKENS_SET),
     .help = "how often it was set to a token"},
    {"CausalTokensRefused", COUNT, COUNTER, POOL, OF(STAT_TOKENS_REFUSED),
     .help = "how often to what is none, or is another cluster's"},
    {"QueryRequestsShared", COUNT, COUNTER, POOL, OF(STAT_SHARED),
     .help = "requests that shared a database connection with others"},
    {"QueryRequestsGated", COUNT, COUNTER, POOL, OF(STAT_GATED),
     .help = "successes that waited until the standbys were seen to have them"},
    {"QueryRequestsGatedLost", COUNT, COUNTER, POOL, OF(STAT_GATED_LOST),
     .help = "of those, told as 08007, for that was not seen"},
    {"QueryRequestsResent", COUNT, COUNTER, POOL, OF(STAT_RESENT),
     .help = "reads that were sent again, for their connection to the database was lost"},
    {"PrimaryPulses", COUNT, COUNTER, .source = SOURCE_PULSES,
     .help = "small commits of the proxy's own that the standbys have acknowledged"},
    {"PrimaryPulseLatency", MICROS, GAUGE, .source = SOURCE_PULSE_LATENCY,
     .help = "how long the last one took; -1: there is none"},
    {"PrimaryRightToAnswer", .unit = "Milliseconds", GAUGE, .source = SOURCE_RIGHT,
     .help = "how much longer the primary is known to be one; below 0 it is not"},
    {"DatabaseConnectionsBorrowTimeouts", COUNT, COUNTER, POOL, OF(STAT_BORROW_TIMEOUTS),
     .help = "how often none came within connection_borrow_timeout_s"},
    {"DatabaseConnectionsClosed", COUNT, COUNTER, POOL, OF(STAT_SERVERS_CLOSED),
     .help = "connections to the database that have ended"},
    {"CancelRequests", COUNT, COUNTER, OF(STAT_CANCELS), .help = "cancel requests passed on"},
    {"ParseRequests", COUNT, COUNTER, POOL, OF(STAT_PARSES), .help = "Parse messages of clients"},
    {"BindRequests", COUNT, COUNTER, POOL, OF(STAT_BINDS), .help = "Bind messages of clients"},
    {"ClientBytesReceived", BYTES, COUNTER, POOL, OF(STAT_BYTES_IN),
     .help = "bytes of clients in session"},
    {"ClientBytesSent", BYTES, COUNTER, POOL, OF(STAT_BYTES_OUT),
     .help = "bytes of the database to clients in session"},
};
const size_t proxy_metric_count = ARRAY_LEN(proxy_metrics);

const char *proxy_metric_kind_name(MetricKind kind)
{
    static const char *const names[] = {"gauge", "counter", "histogram"};
    return names[kind];
}

/* ---- sums --------------------------------------------------------------------------------------
 */

static uint64_t get(const atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Backwards, so that what has ended is read before what has begun. */
void proxy_meter_collect(const ProxyMeter *meter, MeterSum *sum)
{
    for (size_t i = STAT_COUNT; i-- > 0;) {
        sum->stats[i] += get(&meter->stats[i]);
        sum->recent[i] += get(&meter->last[i]) - get(&meter->before[i]);
    }
    for (size_t i = 0; i < PIN_REASON_COUNT; i++) {
        sum->pins[i] += get(&meter->pins[i]);
    }
    for (size_t i = 0; i < LATENCY_COUNT; i++) {
        sum->recent_latency[i] += get(&meter->latency_last[i]) - get(&meter->latency_before[i]);
        histogram_collect(&meter->latencies[i], &sum->latencies[i]);
    }
}

static bool name_has(const MeterName *name, const ProxyMeter *meter)
{
    return (!name->by_user || strcmp(name->user, meter->user) == 0) &&
           (!name->by_database || strcmp(name->database, meter->database) == 0);
}

static void collect(const Proxy *proxy, const MeterName *name, size_t first, MeterSum *sum)
{
    for (uint32_t w = 0; w < proxy->worker_count; w++) {
        const ProxyMeters *meters = &proxy->workers[w].meters;
        size_t count = proxy_meters_count(meters);
        for (size_t i = first; i < count; i++) {
            if (name == NULL || name_has(name, meters->items[i])) {
                proxy_meter_collect(meters->items[i], sum);
            }
        }
    }
}

void proxy_metrics_collect(const Proxy *proxy, MeterSum *sum)
{
    collect(proxy, NULL, 0, sum);
}

void proxy_metrics_collect_named(const Proxy *proxy, const MeterName *name, MeterSum *sum)
{
    collect(proxy, name, 1, sum);
}

int64_t proxy_metric_value(const Metric *metric, Proxy *proxy, const MeterSum *sum)
{
    switch (metric->source) {
    case SOURCE_STAT:
        return (int64_t)sum->stats[metric->a];
    case SOURCE_SUM:
        return (int64_t)(sum->stats[metric->a] + sum->stats[metric->b]);
    case SOURCE_LESS: {
        /* Workers go on writing meanwhile. */
        int64_t difference = (int64_t)(sum->stats[metric->a] - sum->stats[metric->b]);
        return difference < 0 ? 0 : difference;
    }
    case SOURCE_AVAILABILITY:
        return proxy_available_percent(proxy);
    case SOURCE_SERVERS_MAX:
        return proxy_servers_max(proxy);
    case SOURCE_PULSES:
        return (int64_t)get(&proxy->pulse.count);
    case SOURCE_PULSE_LATENCY:
        return atomic_load(&proxy->pulse.begun_us) != 0 ? atomic_load(&proxy->pulse.took_us) : -1;
    case SOURCE_RIGHT:
        return proxy_pulse_right_us(&proxy->pulse) / US_PER_MS;
    case SOURCE_LATENCY:
    default:
        UNREACHABLE();
    }
}

const HistogramSum *proxy_metric_latency(const Metric *metric, const MeterSum *sum)
{
    ASSERT(metric->source == SOURCE_LATENCY);
    return &sum->latencies[metric->latency];
}

/* ---- names -------------------------------------------------------------------------------------
 */

static int name_compare(const void *left, const void *right)
{
    const MeterName *a = left;
    const MeterName *b = right;
    int order = strcmp(a->database, b->database);
    return order != 0 ? order : strcmp(a->user, b->user);
}

MeterName *proxy_metrics_names(const Proxy *proxy, bool by_user, bool by_database,
                               size_t *ret_count)
{
    VEC(MeterName) names = {0};
    for (uint32_t w = 0; w < proxy->worker_count; w++) {
        const ProxyMeters *meters = &proxy->workers[w].meters;
        size_t count = proxy_meters_count(meters);
        for (size_t i = 1; i < count; i++) {
            const ProxyMeter *meter = meters->items[i];
            MeterName name = {by_user ? meter->user : "", by_database ? meter->database : "",
                              by_user, by_database};
            vec_push(&names, name);
        }
    }
    size_t kept = 0;
    if (names.len > 0) {
        qsort(names.items, names.len, sizeof(MeterName), name_compare);
    }
    for (size_t i = 0; i < names.len; i++) {
        if (kept == 0 || name_compare(&names.items[i], &names.items[kept - 1]) != 0) {
            names.items[kept++] = names.items[i];
        }
    }
    *ret_count = kept;
    return names.items;
}
