/*
 * meter: what a worker counts of one user and database; the first meter of each worker is for what
 * belongs to nobody yet. Only the worker's thread writes a meter, with plain loads and stores to
 * memory that it shares with no other writer; any thread reads. A meter is never freed while the
 * process runs, so that a counter never goes back, and readers need no lock.
 *
 * A worker has at most METERS_MAX: whoever comes after that is counted together, as "(others)".
 * Latencies are of the loop's clock, which is read once per turn.
 */
#ifndef WEIR_PROXY_METER_PRIV_H
#define WEIR_PROXY_METER_PRIV_H

#include "proxy/meter/histogram_priv.h"
#include "sql/sql.h"

#define METERS_MAX      256
#define METER_OTHERS    "(others)"
#define METER_PERIOD_MS ((int64_t)60000) /* what averages are of */

typedef enum ProxyStat {
    STAT_CLIENTS,
    STAT_CLIENTS_TLS,
    STAT_CLIENTS_WAITING,
    STAT_CLIENTS_PINNED,
    STAT_CLIENTS_REPLICATION,
    STAT_CLIENTS_LISTENING, /* by a connection that is shared */
    STAT_ADMINS,            /* clients that are in the admin database */
    STAT_SERVERS,
    STAT_SERVERS_TLS,
    STAT_SERVERS_BORROWED,
    STAT_HUBS,     /* connections that listen for many clients */
    STAT_ACCEPTED, /* from here on they only grow */
    STAT_CLIENTS_CLOSED,
    STAT_REFUSED_BY_RULE,
    STAT_REFUSED_BY_LIMIT,
    STAT_AUTH_FAILED,
    STAT_AUTH_DELAYED,
    STAT_TLS_FAILED, /* no TLS where it is required, or its handshake failed */
    STAT_LOGINS,
    STAT_BORROWS,
    STAT_NOTIFICATIONS,   /* that clients heard by those */
    STAT_SHARED,          /* requests that shared a connection with others */
    STAT_REPLICA_BORROWS, /* of the borrows */
    STAT_READS_AGAIN,     /* that a replica did not answer, and the primary did */
    STAT_REPLICA_WAITS,   /* for one that has what a session has written, or a token says */
    STAT_REPLICA_WAITS_EXPIRED,
    STAT_TOKENS_SHOWN, /* causal ones */
    STAT_TOKENS_SET,
    STAT_TOKENS_REFUSED,
    STAT_GATED,      /* answers that waited until the standbys had what they told */
    STAT_GATED_LOST, /* and for which that did not come about */
    STAT_RESENT,     /* reads that were sent again, for their server was lost */
    STAT_BORROW_TIMEOUTS,
    STAT_IDLE_TIMEOUTS,
    STAT_SERVER_REQUESTS, /* connections to PostgreSQL that were begun */
    STAT_SERVER_REQUESTS_TLS,
    STAT_SERVERS_OPENED,
    STAT_SERVERS_FAILED,
    STAT_SERVERS_CLOSED,
    STAT_CANCELS,
    STAT_QUERIES, /* over connections without TLS; Query, FunctionCall, Execute */
    STAT_QUERIES_TLS,
    STAT_TRANSACTIONS_BEGUN,
    STAT_TRANSACTIONS_ENDED, /* read it before BEGUN: the difference is those that are open */
    STAT_TRANSACTION_US,
    STAT_PARSES,
    STAT_BINDS,
    STAT_BYTES_IN,  /* from clients */
    STAT_BYTES_OUT, /* to clients */
    STAT_COUNT,
} ProxyStat;

typedef enum ProxyLatency {
    LATENCY_BORROW,   /* from the first message of a transaction to its server connection */
    LATENCY_DATABASE, /* from sending a request to the end of its answer */
    LATENCY_RESPONSE, /* the same from when it came in */
    LATENCY_COUNT,
} ProxyLatency;

typedef struct ProxyMeter {
    char *user;     /* "": of nobody */
    char *database; /* "": of nobody */
    atomic_uint_fast64_t stats[STAT_COUNT];
    atomic_uint_fast64_t pins[PIN_REASON_COUNT];
    /* Each counter as of the last two ends of a period. */
    atomic_uint_fast64_t before[STAT_COUNT], last[STAT_COUNT];
    atomic_uint_fast64_t latency_before[LATENCY_COUNT], latency_last[LATENCY_COUNT];
    _Alignas(64) Histogram latencies[LATENCY_COUNT];
} ProxyMeter;

/* A worker's. Only whoever owns them adds; `count` is set last. */
typedef struct ProxyMeters {
    ProxyMeter *items[METERS_MAX + 1]; /* nobody's first; the last one is for all others */
    atomic_size_t count;
    Map *map;                   /* the owner's: from user and database to a meter */
    int64_t rolled_ms;          /* the owner's */
    atomic_int_fast64_t period; /* ms between `before` and `last` */
} ProxyMeters;

void proxy_meters_init(ProxyMeters *meters, int64_t now_ms);
void proxy_meters_done(ProxyMeters *meters);
ProxyMeter *proxy_meter_for(ProxyMeters *meters, Slice user, Slice database);
/* Once a second or so: where a period is over, averages are of it from now on. */
void proxy_meters_roll(ProxyMeters *meters, int64_t now_ms);

static inline size_t proxy_meters_count(const ProxyMeters *meters)
{
    return atomic_load_explicit(&meters->count, memory_order_acquire);
}

static inline void proxy_meter_add(ProxyMeter *meter, ProxyStat stat, int64_t change)
{
    counter_add(&meter->stats[stat], change);
}

static inline uint64_t proxy_meter_get(const ProxyMeter *meter, ProxyStat stat)
{
    return atomic_load_explicit(&meter->stats[stat], memory_order_relaxed);
}

#endif
