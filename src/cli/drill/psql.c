/*
 * What a drill says to psql, and what psql says: each number is a row of one table, in a commit of
 * its own. A lost connection ends a psql whose input is no terminal, so nothing here has to see
 * it.
 */
#include <inttypes.h>

#include "cli/drill/drill_priv.h"

#define OVER "=" /* what psql says itself when a statement has ended, well or not */

static const char *const write_arguments[] = {"-XqAt", "-v", "VERBOSITY=sqlstate", NULL};

/* psql that carries out one statement. */
static const char *const *statement(Arena *arena, const char *sql)
{
    const char *const arguments[] = {"-XqAtF ", "-v", "ON_ERROR_STOP=1", "-c", sql, NULL};
    const char **copy = ARENA_ARRAY(arena, const char *, ARRAY_LEN(arguments));
    memcpy(copy, arguments, sizeof(arguments));
    return copy;
}

static const char *const *make(Arena *arena, const char *name, size_t writers)
{
    (void)writers;
    return statement(arena, arena_printf(arena,
                                         "CREATE TABLE %s (writer int, number bigint, "
                                         "PRIMARY KEY (writer, number))",
                                         name));
}

static const char *const *read_all(Arena *arena, const char *name, size_t writers)
{
    (void)writers;
    return statement(arena, arena_printf(arena, "SELECT writer, number FROM %s", name));
}

static const char *const *remove_all(Arena *arena, const char *name, size_t writers)
{
    (void)writers;
    return statement(arena, arena_printf(arena, "DROP TABLE IF EXISTS %s", name));
}

static char *request(const char *name, size_t writer, int64_t number)
{
    return mem_printf("INSERT INTO %s VALUES (%zu, %" PRId64 ") RETURNING number;\n\\echo " OVER
                      "\n",
                      name, writer, number);
}

static DrillLine line_read(Slice line)
{
    DrillLine said = {.number = DRILL_NO_NUMBER, .over = slice_is(line, OVER)};
    int64_t number;
    if (str_to_i64(line, &number)) {
        said.number = number;
    } else if (slice_starts(line, "ERROR:  ") || slice_starts(line, "FATAL:  ")) {
        said.error = slice_trim(slice_skip(line, strlen("ERROR:  ")));
    }
    return said;
}

static void found(Slice text, DrillFoundFn *fn, void *user)
{
    for (Slice rest = text; rest.len > 0;) {
        Slice line = slice_cut(&rest, '\n');
        Slice first = slice_cut(&line, ' ');
        int64_t writer, number;
        bool whole = str_to_i64(first, &writer) && str_to_i64(line, &number);
        fn(user, whole ? writer : -1, whole ? number : DRILL_NO_NUMBER);
    }
}

const DrillProtocol drill_psql = {
    .unit = "row",
    .write = write_arguments,
    .make = make,
    .read = read_all,
    .remove = remove_all,
    .request = request,
    .line = line_read,
    .found = found,
};
