/* The log of an engine, which its guard opened and the engine writes: what it says at its end. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine_priv.h"

#define LAST_WORDS_BYTES ((size_t)8 << 10)

/* What PostgreSQL and Redis write in front of why they give up. */
static const char *const last_words[] = {
    "FATAL:", "PANIC:", "FATAL CONFIG", "Fatal ", "ermission denied", "already in use", NULL};

/* Without the time and pid in front of it. */
static Slice without_prefix(Slice line)
{
    const char *at = memmem(line.data, line.len, "FATAL:", 6);
    return at != NULL ? slice_skip(line, (size_t)(at - line.data)) : line;
}

char *engine_last_words(const char *log_path)
{
    CLEANUP(fd_close) int fd = open(log_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char bytes[LAST_WORDS_BYTES];
    struct stat info;
    off_t from = fd >= 0 && fstat(fd, &info) == 0 && info.st_size > (off_t)sizeof(bytes)
                     ? info.st_size - (off_t)sizeof(bytes)
                     : 0;
    ssize_t len = fd >= 0 ? pread(fd, bytes, sizeof(bytes), from) : 0;
    Slice rest = slice_from(bytes, len > 0 ? (size_t)len : 0);
    Slice last = {0};
    while (rest.len > 0) {
        Slice line = slice_cut(&rest, '\n');
        last = slice_has_any(line, last_words) ? without_prefix(line) : last;
    }
    return last.len > 0 ? mem_printf("the engine ended soon after its start: %.*s", SLICE_FMT(last))
                        : mem_strdup("the engine ended soon after its start; its log does not say "
                                     "why");
}
