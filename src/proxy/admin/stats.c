/*
 * Statistics by database, by PgBouncer's names, and the proxy's metrics by those of RDS Proxy. All
 * of it is read from the meters. Averages are of the last whole minute; in the first one, of the
 * time since the start.
 */
#include "proxy/admin/admin_priv.h"
#include "proxy/meter/metrics_priv.h"
#include "proxy/worker_priv.h"

/* ---- PgBouncer's statistics --------------------------------------------------------------------
 */

/* Of a time: how much of it there was per what is counted in `per`, or else in all. */
typedef struct StatItem {
    const char *total, *average; /* names in SHOW TOTALS */
    bool is_latency, is_time;
    ProxyStat stat;
    ProxyStat more; /* added to it; the same as `stat`: nothing */
    ProxyLatency latency;
    ProxyStat per, per_more;
} StatItem;

static const StatItem items[] = {
    {"total_server_assignment_count", "avg_server_assignment_count", .stat = STAT_BORROWS,
     .more = STAT_BORROWS},
    {"total_xact_count", "avg_xact_count", .stat = STAT_TRANSACTIONS_ENDED,
     .more = STAT_TRANSACTIONS_ENDED},
    {"total_query_count", "avg_query_count", .stat = STAT_QUERIES, .more = STAT_QUERIES_TLS},
    {"total_received", "avg_recv", .stat = STAT_BYTES_IN, .more = STAT_BYTES_IN},
    {"total_sent", "avg_sent", .stat = STAT_BYTES_OUT, .more = STAT_BYTES_OUT},
    {"total_xact_time", "avg_xact_time", .is_time = true, .stat = STAT_TRANSACTION_US,
     .more = STAT_TRANSACTION_US, .per = STAT_TRANSACTIONS_ENDED,
     .per_more = STAT_TRANSACTIONS_ENDED},
    {"total_query_time", "avg_query_time", .is_time = true, .is_latency = true,
     .latency = LATENCY_DATABASE, .per = STAT_QUERIES, .per_more = STAT_QUERIES_TLS},
    {"total_wait_time", "avg_wait_time", .is_time = true, .is_latency = true,
     .latency = LATENCY_BORROW, .per = STAT_BORROWS, .per_more = STAT_BORROWS},
    {"total_client_parse_count", "avg_client_parse_count", .stat = STAT_PARSES,
     .more = STAT_PARSES},
    {"total_bind_count", "avg_bind_count", .stat = STAT_BINDS, .more = STAT_BINDS},
};

static uint64_t pair(const uint64_t *stats, ProxyStat stat, ProxyStat more)
{
    return stats[stat] + (more != stat ? stats[more] : 0);
}

static int64_t item_total(const StatItem *item, const MeterSum *sum)
{
    return (int64_t)(item->is_latency ? sum->latencies[item->latency].sum
                                      : pair(sum->stats, item->stat, item->more));
}

/* A worker's period stands for those of all: they roll at the same times. */
static int64_t item_average(const StatItem *item, const MeterSum *sum, const ProxyWorker *worker)
{
    const ProxyMeters *meters = &worker->meters;
    int64_t period = atomic_load_explicit(&meters->period, memory_order_relaxed);
    bool first = period == 0;
    const uint64_t *stats = first ? sum->stats : sum->recent;
    period = first ? loop_now_ms(worker->loop) - meters->rolled_ms : period;
    uint64_t amount = pair(stats, item->stat, item->more);
    if (item->is_latency) {
        amount = first ? sum->latencies[item->latency].sum : sum->recent_latency[item->latency];
    }
    if (item->is_time) {
        uint64_t count = pair(stats, item->per, item->per_more);
        return count > 0 ? (int64_t)(amount / count) : 0;
    }
    return period > 0 ? (int64_t)(amount * (uint64_t)MS_PER_S / (uint64_t)period) : 0;
}

static void put_stats(const ProxyWorker *worker, const MeterSum *sum, bool totals, bool averages,
                      AdminRows *rows)
{
    for (size_t i = 0; i < ARRAY_LEN(items) && totals; i++) {
        admin_put_int(rows, item_total(&items[i], sum));
    }
    for (size_t i = 0; i < ARRAY_LEN(items) && averages; i++) {
        admin_put_int(rows, item_average(&items[i], sum, worker));
    }
}

static void show_by_database(const ProxyWorker *worker, bool totals, bool averages, AdminRows *rows)
{
    size_t count;
    MeterName *names = proxy_metrics_names(worker->proxy, false, true, &count);
    MeterSum *sum = mem_alloc(sizeof(MeterSum));
    for (size_t i = 0; i < count && admin_row_begin(rows); i++) {
        *sum = (MeterSum){0};
        proxy_metrics_collect_named(worker->proxy, &names[i], sum);
        admin_put_text(rows, names[i].database);
        put_stats(worker, sum, totals, averages, rows);
        admin_row_end(rows);
    }
    mem_free(sum);
    mem_free(names);
}

static void show_stats(const ProxyWorker *worker, AdminRows *rows)
{
    show_by_database(worker, true, true, rows);
}

static void show_stats_totals(const ProxyWorker *worker, AdminRows *rows)
{
    show_by_database(worker, true, false, rows);
}

static void show_stats_averages(const ProxyWorker *worker, AdminRows *rows)
{
    show_by_database(worker, false, true, rows);
}

static void show_totals(const ProxyWorker *worker, AdminRows *rows)
{
    MeterSum *sum = mem_alloc(sizeof(MeterSum));
    proxy_metrics_collect(worker->proxy, sum);
    for (size_t i = 0; i < 2 * ARRAY_LEN(items) && admin_row_begin(rows); i++) {
        const StatItem *item = &items[i % ARRAY_LEN(items)];
        bool total = i < ARRAY_LEN(items);
        admin_put_text(rows, total ? item->total : item->average);
        admin_put_int(rows, total ? item_total(item, sum) : item_average(item, sum, worker));
        admin_row_end(rows);
    }
    mem_free(sum);
}

/* ---- metrics -----------------------------------------------------------------------------------
 */

static void put_metric(Proxy *proxy, const Metric *metric, const MeterSum *sum, AdminRows *rows)
{
    static const unsigned percentiles[] = {500, 900, 990, 1000};
    if (metric->kind != METRIC_HISTOGRAM) {
        int64_t value = proxy_metric_value(metric, proxy, sum);
        value < 0 ? admin_put_null(rows) : admin_put_int(rows, value);
        for (size_t i = 0; i < 2 + ARRAY_LEN(percentiles); i++) {
            admin_put_null(rows);
        }
        return;
    }
    const HistogramSum *latency = proxy_metric_latency(metric, sum);
    admin_put_int(rows, (int64_t)histogram_mean(latency));
    admin_put_int(rows, (int64_t)latency->count);
    admin_put_int(rows, (int64_t)latency->sum);
    for (size_t i = 0; i < ARRAY_LEN(percentiles); i++) {
        admin_put_int(rows, (int64_t)histogram_percentile(latency, percentiles[i]));
    }
}

static void show_metrics(const ProxyWorker *worker, AdminRows *rows)
{
    MeterSum *sum = mem_alloc(sizeof(MeterSum));
    proxy_metrics_collect(worker->proxy, sum);
    for (size_t i = 0; i < proxy_metric_count && admin_row_begin(rows); i++) {
        const Metric *metric = &proxy_metrics[i];
        admin_put_text(rows, metric->name);
        admin_put_text(rows, metric->unit);
        admin_put_text(rows, proxy_metric_kind_name(metric->kind));
        put_metric(worker->proxy, metric, sum, rows);
        admin_put_text(rows, metric->help);
        admin_row_end(rows);
    }
    mem_free(sum);
}

static void show_pool_metrics(const ProxyWorker *worker, AdminRows *rows)
{
    size_t count;
    MeterName *names = proxy_metrics_names(worker->proxy, true, true, &count);
    MeterSum *sum = mem_alloc(sizeof(MeterSum));
    for (size_t n = 0; n < count; n++) {
        *sum = (MeterSum){0};
        proxy_metrics_collect_named(worker->proxy, &names[n], sum);
        for (size_t i = 0; i < proxy_metric_count; i++) {
            const Metric *metric = &proxy_metrics[i];
            if (!metric->per_pool || !admin_row_begin(rows)) {
                continue;
            }
            admin_put_text(rows, names[n].database);
            admin_put_text(rows, names[n].user);
            admin_put_text(rows, metric->name);
            put_metric(worker->proxy, metric, sum, rows);
            admin_row_end(rows);
        }
    }
    mem_free(sum);
    mem_free(names);
}

static void show_pins(const ProxyWorker *worker, AdminRows *rows)
{
    size_t count;
    MeterName *names = proxy_metrics_names(worker->proxy, true, true, &count);
    MeterSum *sum = mem_alloc(sizeof(MeterSum));
    for (size_t n = 0; n < count; n++) {
        *sum = (MeterSum){0};
        proxy_metrics_collect_named(worker->proxy, &names[n], sum);
        for (PinReason reason = PIN_NONE; reason < PIN_REASON_COUNT; reason++) {
            if (sum->pins[reason] == 0 || !admin_row_begin(rows)) {
                continue;
            }
            admin_put_text(rows, names[n].database);
            admin_put_text(rows, names[n].user);
            admin_put_text(rows, pin_reason_name(reason));
            admin_put_int(rows, (int64_t)sum->pins[reason]);
            admin_row_end(rows);
        }
    }
    mem_free(sum);
    mem_free(names);
}

/* ---- the tables --------------------------------------------------------------------------------
 */

#define TOTALS                                                                                     \
    {"total_server_assignment_count", ADMIN_INT8}, {"total_xact_count", ADMIN_INT8},               \
        {"total_query_count", ADMIN_INT8}, {"total_received", ADMIN_INT8},                         \
        {"total_sent", ADMIN_INT8}, {"total_xact_time", ADMIN_INT8},                               \
        {"total_query_time", ADMIN_INT8}, {"total_wait_time", ADMIN_INT8},                         \
        {"total_client_parse_count", ADMIN_INT8},                                                  \
    {                                                                                              \
        "total_bind_count", ADMIN_INT8                                                             \
    }

#define AVERAGES                                                                                   \
    {"avg_server_assignment_count", ADMIN_INT8}, {"avg_xact_count", ADMIN_INT8},                   \
        {"avg_query_count", ADMIN_INT8}, {"avg_recv", ADMIN_INT8}, {"avg_sent", ADMIN_INT8},       \
        {"avg_xact_time", ADMIN_INT8}, {"avg_query_time", ADMIN_INT8},                             \
        {"avg_wait_time", ADMIN_INT8}, {"avg_client_parse_count", ADMIN_INT8},                     \
    {                                                                                              \
        "avg_bind_count", ADMIN_INT8                                                               \
    }

/* Without prefix, and bytes_ for what goes over the network. */
#define BARE                                                                                       \
    {"server_assignment_count", ADMIN_INT8}, {"xact_count", ADMIN_INT8},                           \
        {"query_count", ADMIN_INT8}, {"bytes_received", ADMIN_INT8}, {"bytes_sent", ADMIN_INT8},   \
        {"xact_time", ADMIN_INT8}, {"query_time", ADMIN_INT8}, {"wait_time", ADMIN_INT8},          \
        {"client_parse_count", ADMIN_INT8},                                                        \
    {                                                                                              \
        "bind_count", ADMIN_INT8                                                                   \
    }

#define VALUES                                                                                     \
    {"value", ADMIN_INT8}, {"count", ADMIN_INT8}, {"sum", ADMIN_INT8}, {"p50", ADMIN_INT8},        \
        {"p90", ADMIN_INT8}, {"p99", ADMIN_INT8},                                                  \
    {                                                                                              \
        "max", ADMIN_INT8                                                                          \
    }

static const AdminColumn stats_columns[] = {{"database", ADMIN_TEXT}, TOTALS, AVERAGES};
static const AdminColumn bare_columns[] = {{"database", ADMIN_TEXT}, BARE};
static const AdminColumn total_columns[] = {{"name", ADMIN_TEXT}, {"value", ADMIN_INT8}};
static const AdminColumn metric_columns[] = {
    {"name", ADMIN_TEXT}, {"unit", ADMIN_TEXT}, {"kind", ADMIN_TEXT}, VALUES, {"help", ADMIN_TEXT}};
static const AdminColumn pool_metric_columns[] = {
    {"database", ADMIN_TEXT}, {"user", ADMIN_TEXT}, {"name", ADMIN_TEXT}, VALUES};
static const AdminColumn pin_columns[] = {
    {"database", ADMIN_TEXT}, {"user", ADMIN_TEXT}, {"reason", ADMIN_TEXT}, {"count", ADMIN_INT8}};

STATIC_ASSERT(ARRAY_LEN(stats_columns) == 1 + 2 * ARRAY_LEN(items), "a column for each item");
STATIC_ASSERT(ARRAY_LEN(bare_columns) == 1 + ARRAY_LEN(items), "a column for each item");

#define COLUMNS(x) .columns = (x), .column_count = ARRAY_LEN(x)

const AdminTable admin_stat_tables[] = {
    {"stats", COLUMNS(stats_columns), .show = show_stats},
    {"stats_totals", COLUMNS(bare_columns), .show = show_stats_totals},
    {"stats_averages", COLUMNS(bare_columns), .show = show_stats_averages},
    {"totals", COLUMNS(total_columns), .show = show_totals},
    {"metrics", COLUMNS(metric_columns), .show = show_metrics},
    {"pool_metrics", COLUMNS(pool_metric_columns), .show = show_pool_metrics},
    {"pins", COLUMNS(pin_columns), .show = show_pins},
};
const size_t admin_stat_table_count = ARRAY_LEN(admin_stat_tables);
