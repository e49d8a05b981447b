/* Clocks, randomness and the log: the little that base asks of the operating system. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

#define LOG_LINE_MAX 4096

const char weir_version[] = WEIR_VERSION;

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * MS_PER_S + now.tv_nsec / 1000000;
}

int64_t time_mono_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

int64_t time_mono_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

int64_t time_boot_ms(void)
{
    return clock_ms(CLOCK_BOOTTIME);
}

int64_t time_boot_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

int64_t time_wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

void time_format_iso(int64_t wall_ms, char out[static TIME_ISO_SIZE])
{
    int64_t millis = (wall_ms % MS_PER_S + MS_PER_S) % MS_PER_S; /* before 1970 as well */
    time_t seconds = (time_t)((wall_ms - millis) / MS_PER_S);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    size_t len = (size_t)snprintf(out, TIME_ISO_SIZE, "%04d", parts.tm_year + 1900);
    len += strftime(out + len, TIME_ISO_SIZE - len, "-%m-%dT%H:%M:%S", &parts);
    snprintf(out + len, TIME_ISO_SIZE - len, ".%03dZ", (int)millis);
}

/* Reads exactly `digits` digits at *at and moves on. */
static bool iso_number(Slice text, size_t *at, size_t digits, int *ret_value)
{
    uint64_t value;
    if (*at + digits > text.len || !str_to_u64(slice_from(text.data + *at, digits), &value)) {
        return false;
    }
    *at += digits;
    *ret_value = (int)value;
    return true;
}

static bool iso_char(Slice text, size_t *at, char c)
{
    if (*at >= text.len || text.data[*at] != c) {
        return false;
    }
    (*at)++;
    return true;
}

/* Up to nine digits behind the point, cut to milliseconds; none without a point. */
static bool iso_fraction(Slice text, size_t *at, int *ret_millis)
{
    *ret_millis = 0;
    if (!iso_char(text, at, '.')) {
        return true;
    }
    int digit;
    size_t count = 0;
    for (int unit = 100; count < 9 && iso_number(text, at, 1, &digit); count++, unit /= 10) {
        *ret_millis += digit * unit;
    }
    return count > 0;
}

/* "Z", or how far the clock is ahead of UTC. */
static bool iso_zone(Slice text, size_t *at, int *ret_minutes)
{
    *ret_minutes = 0;
    if (iso_char(text, at, 'Z')) {
        return true;
    }
    int hours;
    int minutes;
    bool behind = iso_char(text, at, '-');
    if ((!behind && !iso_char(text, at, '+')) || !iso_number(text, at, 2, &hours) ||
        !iso_char(text, at, ':') || !iso_number(text, at, 2, &minutes) || hours > 23 ||
        minutes > 59) {
        return false;
    }
    *ret_minutes = (hours * 60 + minutes) * (behind ? -1 : 1);
    return true;
}

bool time_parse_iso(Slice text, int64_t *ret_wall_ms)
{
    size_t at = 0;
    struct tm parts = {0};
    int millis;
    int ahead_minutes;
    if (!iso_number(text, &at, 4, &parts.tm_year) || !iso_char(text, &at, '-') ||
        !iso_number(text, &at, 2, &parts.tm_mon) || !iso_char(text, &at, '-') ||
        !iso_number(text, &at, 2, &parts.tm_mday) || !iso_char(text, &at, 'T') ||
        !iso_number(text, &at, 2, &parts.tm_hour) || !iso_char(text, &at, ':') ||
        !iso_number(text, &at, 2, &parts.tm_min) || !iso_char(text, &at, ':') ||
        !iso_number(text, &at, 2, &parts.tm_sec)) {
        return false;
    }
    if (!iso_fraction(text, &at, &millis) || !iso_zone(text, &at, &ahead_minutes)) {
        return false;
    }
    if (at != text.len || parts.tm_mon < 1 || parts.tm_mon > 12 || parts.tm_mday < 1 ||
        parts.tm_mday > 31 || parts.tm_hour > 23 || parts.tm_min > 59 || parts.tm_sec > 59) {
        return false;
    }
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    int day = parts.tm_mday;
    time_t seconds = timegm(&parts);
    if (parts.tm_mday != day) {
        return false; /* a day that the month does not have */
    }
    *ret_wall_ms = ((int64_t)seconds - ahead_minutes * 60) * MS_PER_S + millis;
    return true;
}

void random_bytes(void *out, size_t len)
{
    char *at = out;
    while (len > 0) {
        ssize_t count = getrandom(at, len, 0);
        ASSERT(count > 0 || errno == EINTR);
        if (count > 0) {
            at += count;
            len -= (size_t)count;
        }
    }
}

void random_id(char *out, size_t len)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t i = 0; i < len; i++) {
        size_t range = i == 0 ? 26 : 36;
        uint8_t byte;
        do {
            random_bytes(&byte, 1);
        } while (byte >= 256 / range * range);
        out[i] = digits[byte % range];
    }
    out[len] = '\0';
}

static atomic_int log_level = LOG_INFO;

void log_set_level(LogLevel level)
{
    atomic_store(&log_level, (int)level);
}

bool log_enabled(LogLevel level)
{
    return (int)level >= atomic_load_explicit(&log_level, memory_order_relaxed);
}

void log_write(LogLevel level, const char *module, const char *format, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    if (!log_enabled(level)) {
        return;
    }
    char line[LOG_LINE_MAX];
    char now[TIME_ISO_SIZE];
    time_format_iso(time_wall_ms(), now);
    int head = snprintf(line, sizeof(line), "%s %s %s: ", now, names[level], module);
    va_list args;
    va_start(args, format);
    int body = vsnprintf(line + head, sizeof(line) - (size_t)head, format, args);
    va_end(args);
    size_t len = (size_t)head + (body > 0 ? (size_t)body : 0);
    len = len < sizeof(line) - 1 ? len : sizeof(line) - 2;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) {
            line[i] = ' '; /* a log line is one line, whoever wrote the text */
        }
    }
    line[len] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, len + 1);
    (void)ignored;
}
