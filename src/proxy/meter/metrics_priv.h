/*
 * metrics: the one table of what the proxy measures, under the names that RDS Proxy publishes in
 * CloudWatch where it has one, and how to read it. An exporter walks the table and asks for each
 * metric, of the whole process or of one user and database. Any thread may.
 */
#ifndef WEIR_PROXY_METRICS_PRIV_H
#define WEIR_PROXY_METRICS_PRIV_H

#include "proxy/meter/meter_priv.h"
#include "proxy/proxy_priv.h"

typedef enum MetricKind {
    METRIC_GAUGE,     /* as it is now */
    METRIC_COUNTER,   /* since the start; it never goes back */
    METRIC_HISTOGRAM, /* the same, of values */
} MetricKind;

typedef enum MetricSource {
    SOURCE_STAT, /* of the meters */
    SOURCE_SUM,  /* a + b */
    SOURCE_LESS, /* a - b */
    SOURCE_LATENCY,
    SOURCE_AVAILABILITY,
    SOURCE_SERVERS_MAX,
    SOURCE_PULSES,
    SOURCE_PULSE_LATENCY,
    SOURCE_RIGHT, /* ms */
} MetricSource;

typedef struct Metric {
    const char *name;
    const char *unit; /* in CloudWatch's words: Count, Percent, Microseconds, Bytes */
    const char *help;
    MetricKind kind;
    bool per_pool; /* also of each user and database */
    MetricSource source;
    ProxyStat a, b;
    ProxyLatency latency;
} Metric;

extern const Metric proxy_metrics[];
extern const size_t proxy_metric_count;

const char *proxy_metric_kind_name(MetricKind kind);

/* What some meters hold together. Zeroed to start. */
typedef struct MeterSum {
    uint64_t stats[STAT_COUNT];
    uint64_t pins[PIN_REASON_COUNT];
    uint64_t recent[STAT_COUNT];            /* in the last period */
    uint64_t recent_latency[LATENCY_COUNT]; /* sums of it */
    HistogramSum latencies[LATENCY_COUNT];
} MeterSum;

void proxy_meter_collect(const ProxyMeter *meter, MeterSum *sum);
/* All meters of all workers. */
void proxy_metrics_collect(const Proxy *proxy, MeterSum *sum);

/* The value of a gauge or counter; -1: not known yet. */
int64_t proxy_metric_value(const Metric *metric, Proxy *proxy, const MeterSum *sum);
const HistogramSum *proxy_metric_latency(const Metric *metric, const MeterSum *sum);

/* ---- by user and database ----------------------------------------------------------------------
 */

typedef struct MeterName {
    const char *user; /* of the meter: it lives as long as the process */
    const char *database;
    bool by_user, by_database; /* otherwise all of them */
} MeterName;

/* Those of all workers, each once, in order; with by_user or by_database alone, the other one is
 * "". What belongs to nobody is not among them. Free it. */
MeterName *proxy_metrics_names(const Proxy *proxy, bool by_user, bool by_database,
                               size_t *ret_count);
void proxy_metrics_collect_named(const Proxy *proxy, const MeterName *name, MeterSum *sum);

#endif
