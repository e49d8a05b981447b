/*
 * What a drill says to redis-cli, and what redis-cli says. Each writer has a string of its own, in
 * which every number that was written is one byte. Written twice it is the same; the reply, the
 * string's length, names the number; and the node needs a byte for it, where a member of a set
 * takes fifty.
 *
 * Where its input is no terminal redis-cli prints each reply as one line, errors among them (with
 * an empty line behind), and goes on. What is no reply it says itself, of its connection: then it
 * tries another one at its next command, but one whose login failed it keeps, and one that is
 * silent for too long ends it. So it is replaced at the first such word, and a line is always the
 * answer to the one request that is under way. Before 6.2 it sent a command again whose connection
 * was lost.
 */
#include <inttypes.h>

#include "cli/drill/drill_priv.h"

#define EXPIRE_S "86400" /* of keys that nobody removes: their drill was killed */
#define BYTE     "1"     /* a number that was written; where none was, Redis puts a zero */
#define MAKE     "for _, key in ipairs(KEYS) do redis.call('SET', key, '', 'EX', ARGV[1]) end"

static const char *const write_arguments[] = {NULL};

/* The words in front, all keys, and what stands behind them (NULL: nothing). */
static const char *const *with_keys(Arena *arena, const char *const *front, const char *name,
                                    size_t writers, const char *last)
{
    VEC(const char *) arguments = {0};
    for (; *front != NULL; front++) {
        arena_vec_push(arena, &arguments, *front);
    }
    for (size_t i = 0; i < writers; i++) {
        arena_vec_push(arena, &arguments, arena_printf(arena, "%s:%zu", name, i));
    }
    arena_vec_push(arena, &arguments, last);
    arena_vec_push(arena, &arguments, NULL);
    return arguments.items;
}

/* With -e redis-cli ends with 1 for an error. */
static const char *const *make(Arena *arena, const char *name, size_t writers)
{
    const char *const front[] = {"-e", "EVAL", MAKE, arena_printf(arena, "%zu", writers), NULL};
    return with_keys(arena, front, name, writers, EXPIRE_S);
}

static const char *const *read_all(Arena *arena, const char *name, size_t writers)
{
    static const char *const front[] = {"-e", "MGET", NULL};
    return with_keys(arena, front, name, writers, NULL);
}

static const char *const *remove_all(Arena *arena, const char *name, size_t writers)
{
    static const char *const front[] = {"-e", "UNLINK", NULL};
    return with_keys(arena, front, name, writers, NULL);
}

static char *request(const char *name, size_t writer, int64_t number)
{
    return mem_printf("SETRANGE %s:%zu %" PRId64 " " BYTE "\n", name, writer, number);
}

/* "READONLY You can't …"; empty where the line begins otherwise. */
static Slice error_code(Slice line)
{
    Slice code = slice_cut(&line, ' ');
    for (size_t i = 0; i < code.len; i++) {
        char c = code.data[i];
        if ((c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_') {
            return (Slice){0};
        }
    }
    return code;
}

static DrillLine line_read(Slice line)
{
    DrillLine said = {.number = DRILL_NO_NUMBER};
    int64_t length;
    if (str_to_i64(line, &length)) {
        said.number = length - 1;
    } else if (!slice_starts(line, "AUTH failed: ")) { /* redis-cli's own, too */
        said.error = error_code(line);
    }
    said.over = said.number != DRILL_NO_NUMBER || said.error.len > 0;
    said.cut = !said.over && line.len > 0;
    return said;
}

/* A line for each writer, which is its string: a number is at its place. */
static void found(Slice text, DrillFoundFn *fn, void *user)
{
    Slice rest = text;
    for (int64_t writer = 0; rest.len > 0; writer++) {
        Slice line = slice_cut(&rest, '\n');
        for (size_t number = 0; number < line.len; number++) {
            if (line.data[number] != '\0') {
                fn(user, writer, (int64_t)number);
            }
        }
    }
}

const DrillProtocol drill_redis = {
    .unit = "write",
    .write = write_arguments,
    .make = make,
    .read = read_all,
    .remove = remove_all,
    .request = request,
    .line = line_read,
    .found = found,
};
