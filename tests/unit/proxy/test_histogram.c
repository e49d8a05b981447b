/* Histograms: every value in its bucket, the error's bound, percentiles. */
#include "../unit.h"

#include "proxy/meter/histogram_priv.h"

static void test_buckets_tile_the_range(void **state)
{
    (void)state;
    uint64_t next = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t top = histogram_bucket_top(i);
        assert_true(top >= next);
        assert_int_equal(histogram_bucket(next), i);
        assert_int_equal(histogram_bucket(top), i);
        next = top + 1;
    }
    assert_int_equal(next, HISTOGRAM_MAX + 1);
    assert_int_equal(histogram_bucket(next), HISTOGRAM_BUCKETS - 1);
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void test_error_is_bounded(void **state)
{
    (void)state;
    for (uint64_t value = 1; value < HISTOGRAM_MAX; value += value / 7 + 1) {
        uint64_t top = histogram_bucket_top(histogram_bucket(value));
        assert_true(top >= value && top - value <= value / HISTOGRAM_STEPS);
    }
}

static void test_percentiles(void **state)
{
    (void)state;
    Histogram *histogram = mem_alloc(sizeof(Histogram));
    HistogramSum *sum = mem_alloc(sizeof(HistogramSum));
    histogram_collect(histogram, sum);
    assert_int_equal(histogram_percentile(sum, 500), 0);
    assert_int_equal(histogram_mean(sum), 0);
    for (int i = 1; i <= 10; i++) {
        histogram_add(histogram, i);
    }
    histogram_collect(histogram, sum);
    assert_int_equal(sum->count, 10);
    assert_int_equal(sum->sum, 55);
    assert_int_equal(histogram_percentile(sum, 0), 1);
    assert_int_equal(histogram_percentile(sum, 500), 5);
    assert_int_equal(histogram_percentile(sum, 501), 6);
    assert_int_equal(histogram_percentile(sum, 1000), 10);
    assert_int_equal(histogram_mean(sum), 5);
    mem_free(sum);
    mem_free(histogram);
}

static void test_several_are_summed(void **state)
{
    (void)state;
    Histogram *histogram = mem_alloc(sizeof(Histogram));
    HistogramSum *sum = mem_alloc(sizeof(HistogramSum));
    histogram_add(histogram, 1000000);
    histogram_add(histogram, -5); /* the clock went backwards */
    histogram_collect(histogram, sum);
    histogram_collect(histogram, sum);
    assert_int_equal(sum->count, 4);
    assert_int_equal(sum->sum, 2000000);
    assert_int_equal(histogram_percentile(sum, 500), 0);
    uint64_t top = histogram_percentile(sum, 990);
    assert_true(top >= 1000000 && top <= 1062500);
    mem_free(sum);
    mem_free(histogram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets_tile_the_range),
        cmocka_unit_test(test_error_is_bounded),
        cmocka_unit_test(test_percentiles),
        cmocka_unit_test(test_several_are_summed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
