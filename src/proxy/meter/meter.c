/* The life of meters, and the periods that averages are of. */
#include <stdlib.h>

#include "proxy/meter/meter_priv.h"
#include "wire/wire.h"

/* On cache lines of its own: no two workers write the same. */
static ProxyMeter *meter_new(Slice user, Slice database)
{
    size_t alignment = _Alignof(ProxyMeter);
    ProxyMeter *meter = aligned_alloc(alignment, sizeof(ProxyMeter));
    ASSERT(meter != NULL);
    memset(meter, 0, sizeof(ProxyMeter));
    meter->user = mem_printf("%.*s", SLICE_FMT(user));
    meter->database = mem_printf("%.*s", SLICE_FMT(database));
    return meter;
}

static ProxyMeter *meters_add(ProxyMeters *meters, Slice user, Slice database)
{
    size_t count = proxy_meters_count(meters);
    ProxyMeter *meter = meter_new(user, database);
    meters->items[count] = meter;
    atomic_store_explicit(&meters->count, count + 1, memory_order_release);
    return meter;
}

void proxy_meters_init(ProxyMeters *meters, int64_t now_ms)
{
    meters->map = map_new();
    meters->rolled_ms = now_ms;
    meters_add(meters, SLICE(""), SLICE(""));
}

void proxy_meters_done(ProxyMeters *meters)
{
    size_t count = proxy_meters_count(meters);
    for (size_t i = 0; i < count; i++) {
        mem_free(meters->items[i]->user);
        mem_free(meters->items[i]->database);
        free(meters->items[i]);
    }
    map_free(meters->map);
}

ProxyMeter *proxy_meter_for(ProxyMeters *meters, Slice user, Slice database)
{
    Buf key;
    buf_init(&key, BUF_MAX_DEFAULT);
    pg_put_str(&key, user);
    pg_put_str(&key, database);
    ProxyMeter *meter = map_get(meters->map, buf_slice(&key));
    size_t count = proxy_meters_count(meters);
    if (meter == NULL && count < METERS_MAX) {
        meter = meters_add(meters, user, database);
        map_set(meters->map, buf_slice(&key), meter);
    } else if (meter == NULL && count == METERS_MAX) {
        meter = meters_add(meters, SLICE(METER_OTHERS), SLICE(METER_OTHERS));
    } else if (meter == NULL) {
        meter = meters->items[METERS_MAX];
    }
    buf_done(&key);
    return meter;
}

static void roll(atomic_uint_fast64_t *before, atomic_uint_fast64_t *last, uint64_t value)
{
    uint64_t old = atomic_load_explicit(last, memory_order_relaxed);
    atomic_store_explicit(before, old, memory_order_relaxed);
    atomic_store_explicit(last, value, memory_order_relaxed);
}

void proxy_meters_roll(ProxyMeters *meters, int64_t now_ms)
{
    if (now_ms - meters->rolled_ms < METER_PERIOD_MS) {
        return;
    }
    for (size_t i = 0; i < proxy_meters_count(meters); i++) {
        ProxyMeter *meter = meters->items[i];
        for (ProxyStat stat = 0; stat < STAT_COUNT; stat++) {
            roll(&meter->before[stat], &meter->last[stat], proxy_meter_get(meter, stat));
        }
        for (ProxyLatency kind = 0; kind < LATENCY_COUNT; kind++) {
            roll(&meter->latency_before[kind], &meter->latency_last[kind],
                 atomic_load_explicit(&meter->latencies[kind].sum, memory_order_relaxed));
        }
    }
    atomic_store_explicit(&meters->period, now_ms - meters->rolled_ms, memory_order_relaxed);
    meters->rolled_ms = now_ms;
}
