/* Time, randomness and the log. */
#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "../unit.h"

static void test_clocks(void **state)
{
    (void)state;
    int64_t mono = time_mono_ms();
    int64_t boot = time_boot_ms();
    assert_true(mono > 0 && boot >= mono);
    assert_true(time_wall_ms() > INT64_C(1700000000000));
    usleep(3000);
    assert_in_range(time_mono_ms() - mono, 2, 5000);
}

static void test_iso(void **state)
{
    (void)state;
    const struct {
        const char *text;
        int64_t wall_ms;
    } pairs[] = {
        {"1970-01-01T00:00:00.000Z", 0},
        {"2026-01-31T12:00:00.000Z", INT64_C(1769860800000)},
        {"2000-02-29T23:59:59.999Z", INT64_C(951868799999)},
        {"2038-01-19T03:14:08.001Z", INT64_C(2147483648001)},
        {"1969-12-31T23:59:59.999Z", -1},
        {"1969-12-31T23:59:59.000Z", -1000},
        {"0547-01-31T12:00:00.123Z", INT64_C(-44902900799877)},
        {"9999-12-31T23:59:59.999Z", INT64_C(253402300799999)},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        char text[TIME_ISO_SIZE];
        int64_t wall_ms = 7;
        time_format_iso(pairs[i].wall_ms, text);
        assert_string_equal(text, pairs[i].text);
        assert_true(time_parse_iso(slice_of(text), &wall_ms));
        assert_int_equal(wall_ms, pairs[i].wall_ms);
    }
    int64_t wall_ms;
    assert_true(time_parse_iso(SLICE("2026-01-31T12:00:00Z"), &wall_ms));
    assert_int_equal(wall_ms, INT64_C(1769860800000));
}

static void test_iso_fractions_and_zones(void **state)
{
    (void)state;
    const struct {
        const char *text;
        int64_t wall_ms;
    } pairs[] = {
        {"1970-01-01T00:00:00.5Z", 500},         {"1970-01-01T00:00:00.123456Z", 123},
        {"1970-01-01T00:00:00.999999999Z", 999}, {"1970-01-01T01:00:00+01:00", 0},
        {"1969-12-31T18:30:00.001-05:30", 1},    {"1970-01-01T00:00:00-00:00", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        int64_t wall_ms = 7;
        assert_true(time_parse_iso(slice_of(pairs[i].text), &wall_ms));
        assert_int_equal(wall_ms, pairs[i].wall_ms);
    }
}

static void test_iso_refuses(void **state)
{
    (void)state;
    const char *bad[] = {
        "",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31T12:00:00+0100",
        "2026-01-31T12:00:00+24:00",
        "2026-01-31T12:00:00+01:60",
        "2026-01-31T12:00:00+01:00Z",
        "2026-01-31T12:00:00+",
        "2026-01-31 12:00:00Z",
        "2026-13-31T12:00:00Z",
        "2026-00-31T12:00:00Z",
        "2026-01-32T12:00:00Z",
        "2026-01-00T12:00:00Z",
        "2026-02-29T12:00:00Z",
        "2026-04-31T12:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z",
        "2026-01-31T12:00:60Z",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00.1234567890Z",
        "2026-01-31T12:00:00.000",
        "2026-01-31T12:00:00.000Zx",
        "2026-01-31T12:00:00.-01Z",
        "+026-01-31T12:00:00Z",
    };
    int64_t wall_ms = 7;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(time_parse_iso(slice_of(bad[i]), &wall_ms));
    }
    assert_int_equal(wall_ms, 7);
}

static void test_random(void **state)
{
    (void)state;
    uint8_t a[64] = {0};
    uint8_t b[64] = {0};
    random_bytes(a, sizeof(a));
    random_bytes(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    bool seen[128] = {false};
    for (int i = 0; i < 500; i++) {
        char id[21];
        random_id(id, 20);
        assert_int_equal(strlen(id), 20);
        assert_true(islower((unsigned char)id[0]));
        for (size_t k = 0; k < 20; k++) {
            assert_true(islower((unsigned char)id[k]) || isdigit((unsigned char)id[k]));
            seen[(unsigned char)id[k]] = true;
        }
    }
    for (const char *c = "abcdefghijklmnopqrstuvwxyz0123456789"; *c != '\0'; c++) {
        assert_true(seen[(unsigned char)*c]); /* every character comes */
    }
    char empty[1] = {'x'};
    random_id(empty, 0);
    assert_string_equal(empty, "");
}

/* Runs `write_lines` with stderr in a file, and gives back what it wrote. */
static void capture(void (*write_lines)(void), char *out, size_t out_size)
{
    char path[] = "/tmp/weir-test-log-XXXXXX";
    int fd = mkstemp(path);
    int saved = dup(STDERR_FILENO);
    assert_true(fd >= 0 && saved >= 0);
    unlink(path);
    dup2(fd, STDERR_FILENO);
    write_lines();
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t count = pread(fd, out, out_size - 1, 0);
    close(fd);
    assert_true(count >= 0);
    out[count] = '\0';
}

static void write_log_lines(void)
{
    log_debug("test", "hidden");
    log_info("test", "one %d", 1);
    log_warn("test", "two\nlines\x1b[31m");
    log_set_level(LOG_ERROR);
    log_warn("test", "hidden");
    log_error("test", "%05000d", 7);
    log_set_level(LOG_INFO);
}

static void test_log(void **state)
{
    (void)state;
    char text[16384];
    capture(write_log_lines, text, sizeof(text));
    Slice rest = slice_of(text);
    Slice line = slice_cut(&rest, '\n');
    int64_t wall_ms;
    assert_true(time_parse_iso((Slice){line.data, 24}, &wall_ms));
    assert_slice(slice_skip(line, 24), " info test: one 1");
    assert_slice(slice_skip(slice_cut(&rest, '\n'), 24), " warn test: two lines [31m");
    line = slice_cut(&rest, '\n');
    assert_true(slice_starts(slice_skip(line, 24), " error test: 0000"));
    assert_true(line.len > 4000 && line.len < 4096);
    assert_non_null(rest.data);
    assert_int_equal(rest.len, 0); /* three lines, each ended */
    assert_false(log_enabled(LOG_DEBUG));
    assert_true(log_enabled(LOG_INFO));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_iso),
        cmocka_unit_test(test_iso_fractions_and_zones),
        cmocka_unit_test(test_iso_refuses),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
