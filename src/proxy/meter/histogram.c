/* Reading histograms; adding to them is in the header. */
#include "proxy/meter/histogram_priv.h"

STATIC_ASSERT(sizeof(Histogram) == (HISTOGRAM_BUCKETS + 1) * 8, "its size is documented");

uint64_t histogram_bucket_top(size_t bucket)
{
    ASSERT(bucket < HISTOGRAM_BUCKETS);
    if (bucket < HISTOGRAM_STEPS) {
        return bucket;
    }
    unsigned above = (unsigned)(bucket / HISTOGRAM_STEPS) - 1;
    uint64_t step = bucket % HISTOGRAM_STEPS + HISTOGRAM_STEPS;
    return ((step + 1) << above) - 1;
}

void histogram_collect(const Histogram *histogram, HistogramSum *sum)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t count = atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
        sum->counts[i] += count;
        sum->count += count;
    }
    sum->sum += atomic_load_explicit(&histogram->sum, memory_order_relaxed);
}

uint64_t histogram_percentile(const HistogramSum *sum, unsigned permille)
{
    ASSERT(permille <= 1000);
    uint64_t left = (sum->count * permille + 999) / 1000;
    left = left == 0 ? 1 : left;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (sum->counts[i] >= left) {
            return histogram_bucket_top(i);
        }
        left -= sum->counts[i];
    }
    return 0;
}

uint64_t histogram_mean(const HistogramSum *sum)
{
    return sum->count > 0 ? sum->sum / sum->count : 0;
}
