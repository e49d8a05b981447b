/* Meters and the table of metrics: names, sums over workers, periods, limits. */
#include "../unit.h"

#include "proxy/meter/metrics_priv.h"
#include "proxy/worker_priv.h"

/* CloudWatch's metrics of RDS Proxy ("Monitoring RDS Proxy metrics with Amazon CloudWatch"). */
static const char *const rds_names[] = {
    "AvailabilityPercentage",
    "ClientConnections",
    "ClientConnectionsClosed",
    "ClientConnectionsNoTLS",
    "ClientConnectionsReceived",
    "ClientConnectionsSetupFailedAuth",
    "ClientConnectionsSetupSucceeded",
    "ClientConnectionsTLS",
    "DatabaseConnectionRequests",
    "DatabaseConnectionRequestsWithTLS",
    "DatabaseConnections",
    "DatabaseConnectionsBorrowLatency",
    "DatabaseConnectionsCurrentlyBorrowed",
    "DatabaseConnectionsCurrentlyInTransaction",
    "DatabaseConnectionsCurrentlySessionPinned",
    "DatabaseConnectionsSetupFailed",
    "DatabaseConnectionsSetupSucceeded",
    "DatabaseConnectionsWithTLS",
    "MaxDatabaseConnectionsAllowed",
    "QueryDatabaseResponseLatency",
    "QueryRequests",
    "QueryRequestsNoTLS",
    "QueryRequestsTLS",
    "QueryResponseLatency",
};

typedef struct Fixture {
    Proxy proxy;
    ProxyWorker *workers;
    MeterSum *sum;
} Fixture;

static int setup(void **state)
{
    Fixture *fixture = mem_alloc(sizeof(Fixture));
    fixture->workers = aligned_alloc(_Alignof(ProxyWorker), 2 * sizeof(ProxyWorker));
    memset(fixture->workers, 0, 2 * sizeof(ProxyWorker));
    fixture->proxy.workers = fixture->workers;
    fixture->proxy.worker_count = 2;
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        proxy_health_init(&fixture->proxy.targets[i].health);
    }
    proxy_meters_init(&fixture->workers[0].meters, 1000);
    proxy_meters_init(&fixture->workers[1].meters, 1000);
    fixture->sum = mem_alloc(sizeof(MeterSum));
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    proxy_meters_done(&fixture->workers[0].meters);
    proxy_meters_done(&fixture->workers[1].meters);
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        proxy_health_done(&fixture->proxy.targets[i].health);
    }
    free(fixture->workers);
    mem_free(fixture->sum);
    mem_free(fixture);
    return 0;
}

static const Metric *metric_of(const char *name)
{
    for (size_t i = 0; i < proxy_metric_count; i++) {
        if (strcmp(proxy_metrics[i].name, name) == 0) {
            return &proxy_metrics[i];
        }
    }
    fail_msg("there is no metric %s", name);
    return NULL;
}

static int64_t value_of(Fixture *fixture, const char *name)
{
    return proxy_metric_value(metric_of(name), &fixture->proxy, fixture->sum);
}

static void test_every_name_of_rds_proxy(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rds_names); i++) {
        assert_string_equal(proxy_metrics[i].name, rds_names[i]);
    }
}

static void test_table_is_whole(void **state)
{
    (void)state;
    bool seen[STAT_COUNT] = {false};
    for (size_t i = 0; i < proxy_metric_count; i++) {
        const Metric *metric = &proxy_metrics[i];
        assert_non_null(metric->help);
        assert_non_null(metric->unit);
        assert_ptr_equal(metric_of(metric->name), metric);
        assert_true((metric->kind == METRIC_HISTOGRAM) == (metric->source == SOURCE_LATENCY));
        if (metric->source == SOURCE_STAT || metric->source == SOURCE_SUM) {
            seen[metric->a] = true;
            seen[metric->b] = seen[metric->b] || metric->source == SOURCE_SUM;
        }
    }
    for (ProxyStat stat = 0; stat < STAT_COUNT; stat++) {
        assert_true(seen[stat]); /* whatever is counted can be read */
    }
}

static void test_sums(void **state)
{
    Fixture *fixture = *state;
    ProxyMeter *first = proxy_meter_for(&fixture->workers[0].meters, SLICE("ann"), SLICE("app"));
    ProxyMeter *second = proxy_meter_for(&fixture->workers[1].meters, SLICE("ann"), SLICE("app"));
    ProxyMeter *other = proxy_meter_for(&fixture->workers[1].meters, SLICE("bob"), SLICE("app"));
    assert_ptr_equal(proxy_meter_for(&fixture->workers[0].meters, SLICE("ann"), SLICE("app")),
                     first);
    proxy_worker_count(&fixture->workers[0], STAT_CLIENTS, 1);
    proxy_meter_add(first, STAT_CLIENTS, 3);
    proxy_meter_add(first, STAT_CLIENTS_TLS, 1);
    proxy_meter_add(second, STAT_CLIENTS, 2);
    proxy_meter_add(second, STAT_CLIENTS, -1);
    proxy_meter_add(other, STAT_QUERIES, 5);
    proxy_meter_add(other, STAT_QUERIES_TLS, 6);
    proxy_meter_add(other, STAT_TRANSACTIONS_ENDED, 2); /* read between the two by a slow reader */
    histogram_add(&first->latencies[LATENCY_BORROW], 10);
    histogram_add(&second->latencies[LATENCY_BORROW], 20);
    proxy_metrics_collect(&fixture->proxy, fixture->sum);
    assert_int_equal(value_of(fixture, "ClientConnections"), 5);
    assert_int_equal(value_of(fixture, "ClientConnectionsTLS"), 1);
    assert_int_equal(value_of(fixture, "ClientConnectionsNoTLS"), 4);
    assert_int_equal(value_of(fixture, "QueryRequests"), 11);
    assert_int_equal(value_of(fixture, "QueryRequestsTLS"), 6);
    assert_int_equal(value_of(fixture, "DatabaseConnectionsCurrentlyInTransaction"), 0);
    const HistogramSum *borrow =
        proxy_metric_latency(metric_of("DatabaseConnectionsBorrowLatency"), fixture->sum);
    assert_int_equal(borrow->count, 2);
    assert_int_equal(borrow->sum, 30);
}

static void test_names(void **state)
{
    Fixture *fixture = *state;
    ProxyMeter *meter = proxy_meter_for(&fixture->workers[0].meters, SLICE("bob"), SLICE("b"));
    proxy_meter_for(&fixture->workers[0].meters, SLICE("ann"), SLICE("b"));
    proxy_meter_for(&fixture->workers[1].meters, SLICE("bob"), SLICE("b"));
    ProxyMeter *last = proxy_meter_for(&fixture->workers[1].meters, SLICE("bob"), SLICE("a"));
    size_t count;
    MeterName *names = proxy_metrics_names(&fixture->proxy, true, true, &count);
    assert_int_equal(count, 3);
    assert_string_equal(names[0].database, "a");
    assert_string_equal(names[1].user, "ann");
    assert_string_equal(names[2].user, "bob");
    mem_free(names);
    names = proxy_metrics_names(&fixture->proxy, false, true, &count);
    assert_int_equal(count, 2);
    mem_free(names);
    names = proxy_metrics_names(&fixture->proxy, true, false, &count);
    assert_int_equal(count, 2);
    assert_string_equal(names[1].user, "bob");
    proxy_worker_count(&fixture->workers[0], STAT_LOGINS, 100); /* nobody's */
    proxy_meter_add(meter, STAT_LOGINS, 2);
    proxy_meter_add(last, STAT_LOGINS, 3);
    proxy_metrics_collect_named(&fixture->proxy, &names[1], fixture->sum);
    assert_int_equal(value_of(fixture, "ClientConnectionsSetupSucceeded"), 5);
    mem_free(names);
}

static void test_meters_are_bounded(void **state)
{
    Fixture *fixture = *state;
    ProxyMeters *meters = &fixture->workers[0].meters;
    ProxyMeter *others = NULL;
    for (int i = 0; i < 3 * METERS_MAX; i++) {
        char database[32];
        snprintf(database, sizeof(database), "db%d", i);
        ProxyMeter *meter = proxy_meter_for(meters, SLICE("ann"), slice_of(database));
        bool named = strcmp(meter->database, database) == 0;
        assert_true(named == (i < METERS_MAX - 1));
        assert_true(named || others == NULL || others == meter);
        others = named ? NULL : meter;
    }
    assert_string_equal(others->user, METER_OTHERS);
    assert_int_equal(proxy_meters_count(meters), METERS_MAX + 1);
}

static void test_periods(void **state)
{
    Fixture *fixture = *state;
    ProxyMeters *meters = &fixture->workers[0].meters;
    ProxyMeter *meter = proxy_meter_for(meters, SLICE("ann"), SLICE("app"));
    int64_t now = 1000;
    proxy_meter_add(meter, STAT_QUERIES, 7);
    proxy_meters_roll(meters, now + METER_PERIOD_MS - 1);
    proxy_meter_collect(meter, fixture->sum);
    assert_int_equal(fixture->sum->recent[STAT_QUERIES], 0);
    now += METER_PERIOD_MS + 5;
    proxy_meters_roll(meters, now);
    assert_int_equal(atomic_load(&meters->period), METER_PERIOD_MS + 5);
    proxy_meter_add(meter, STAT_QUERIES, 30);
    histogram_add(&meter->latencies[LATENCY_DATABASE], 900);
    proxy_meters_roll(meters, now + METER_PERIOD_MS);
    proxy_meter_add(meter, STAT_QUERIES, 1000);
    *fixture->sum = (MeterSum){0};
    proxy_meter_collect(meter, fixture->sum);
    assert_int_equal(fixture->sum->recent[STAT_QUERIES], 30);
    assert_int_equal(fixture->sum->recent_latency[LATENCY_DATABASE], 900);
    assert_int_equal(fixture->sum->stats[STAT_QUERIES], 1037);
}

static void test_availability(void **state)
{
    Fixture *fixture = *state;
    ProxyHealth *health = &fixture->proxy.targets[0].health;
    proxy_health_sample(health);
    assert_int_equal(value_of(fixture, "AvailabilityPercentage"), -1);
    proxy_health_good(health);
    for (int i = 0; i < 3; i++) {
        proxy_health_sample(health);
    }
    assert_int_equal(value_of(fixture, "AvailabilityPercentage"), 100);
    proxy_health_bad(health, "UNREACHABLE", "gone");
    proxy_health_sample(health);
    assert_int_equal(value_of(fixture, "AvailabilityPercentage"), 75);
    for (int i = 0; i < 200; i++) {
        proxy_health_sample(health);
    }
    assert_int_equal(value_of(fixture, "AvailabilityPercentage"), 0);
}

/* One replica is enough, and where reads are split the target is needed, too. */
static void test_availability_with_replicas(void **state)
{
    Fixture *fixture = *state;
    static const struct {
        ProxyReads reads;
        int percent;
    } cases[] = {{READS_PRIMARY, 50}, {READS_REPLICAS, 75}, {READS_SPLIT, 50}};
    static const bool good[3][4] = {
        {true, false, true, false}, {true, true, true, false}, {false, false, false, false}};
    for (size_t i = 0; i < 3; i++) {
        ProxyHealth *health = &fixture->proxy.targets[i].health;
        for (size_t second = 0; second < 4; second++) {
            good[i][second] ? proxy_health_good(health) : proxy_health_bad(health, "x", "x");
            proxy_health_sample(health);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        atomic_store(&fixture->proxy.reads, cases[i].reads);
        assert_int_equal(value_of(fixture, "AvailabilityPercentage"), cases[i].percent);
    }
    ProxyHealth *other = &fixture->proxy.targets[1].health;
    for (size_t second = 0; second < PROXY_HEALTH_SECONDS; second++) {
        proxy_health_bad(other, "x", "x");
        proxy_health_sample(other);
    }
    assert_int_equal(value_of(fixture, "AvailabilityPercentage"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_name_of_rds_proxy),
        cmocka_unit_test(test_table_is_whole),
        cmocka_unit_test_setup_teardown(test_sums, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_meters_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_periods, setup, teardown),
        cmocka_unit_test_setup_teardown(test_availability, setup, teardown),
        cmocka_unit_test_setup_teardown(test_availability_with_replicas, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
