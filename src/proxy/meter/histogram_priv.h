/*
 * histogram: how often which value came, in a fixed number of log-linear buckets (as HdrHistogram:
 * http://hdrhistogram.org): below HISTOGRAM_STEPS each value has its own, above it each power of
 * two is cut into HISTOGRAM_STEPS equal parts. So a value is known to within 1/16 of itself,
 * whatever its size, and adding one is a count of leading zeros, a shift and two stores.
 *
 * One thread adds; any thread reads. There is no lock and no locked instruction: a reader sees each
 * counter as it was a moment ago.
 */
#ifndef WEIR_PROXY_HISTOGRAM_PRIV_H
#define WEIR_PROXY_HISTOGRAM_PRIV_H

#include <stdatomic.h>

#include "base/base.h"

#define HISTOGRAM_STEP_BITS 4
#define HISTOGRAM_STEPS     (1 << HISTOGRAM_STEP_BITS)
#define HISTOGRAM_BITS      32 /* larger values count as the largest: 71 minutes, in microseconds */
#define HISTOGRAM_MAX       (((uint64_t)1 << HISTOGRAM_BITS) - 1)
#define HISTOGRAM_BUCKETS   ((HISTOGRAM_BITS - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS)

/* Zeroed to start. */
typedef struct Histogram {
    atomic_uint_fast64_t sum; /* of the values themselves */
    atomic_uint_fast64_t counts[HISTOGRAM_BUCKETS];
} Histogram;

static inline size_t histogram_bucket(uint64_t value)
{
    if (value < HISTOGRAM_STEPS) {
        return (size_t)value;
    }
    if (value > HISTOGRAM_MAX) {
        value = HISTOGRAM_MAX;
    }
    unsigned above = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
    return (size_t)above * HISTOGRAM_STEPS + (size_t)(value >> above);
}

/* One writer, so that no locked instruction is needed. */
static inline void counter_add(atomic_uint_fast64_t *counter, int64_t change)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + (uint64_t)change, memory_order_relaxed);
}

/* A clock that went backwards is taken for none. */
static inline void histogram_add(Histogram *histogram, int64_t value)
{
    value = value < 0 ? 0 : value;
    counter_add(&histogram->counts[histogram_bucket((uint64_t)value)], 1);
    counter_add(&histogram->sum, value);
}

/* The largest value of a bucket. */
uint64_t histogram_bucket_top(size_t bucket);

/* What several histograms hold together. Zeroed to start. */
typedef struct HistogramSum {
    uint64_t count;
    uint64_t sum;
    uint64_t counts[HISTOGRAM_BUCKETS];
} HistogramSum;

void histogram_collect(const Histogram *histogram, HistogramSum *sum); /* any thread */
/* The value that so many of a thousand do not exceed, as the top of its bucket; 0: none came. */
uint64_t histogram_percentile(const HistogramSum *sum, unsigned permille);
uint64_t histogram_mean(const HistogramSum *sum); /* 0: none came */

#endif
