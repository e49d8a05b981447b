/*
 * What a follower must not run with less of. Recovery stops for good where max_connections and its
 * like are below what the primary had when it wrote the WAL that is replayed next; PostgreSQL
 * keeps those values in the control file. So a follower starts with them where its parameter group
 * says less, and keeps them until its next start. (max_wal_senders is among them, and always the
 * same here.)
 */
#include <inttypes.h>
#include <stdio.h>

#include "engine/engine_priv.h"

#define FLOOR_MAX ((size_t)4096)

static const struct {
    const char *label; /* in pg_controldata's output */
    const char *name;
    int64_t fallback; /* what the engine takes where nothing is set */
} floors[] = {
    {"max_connections setting", "max_connections", 100},
    {"max_worker_processes setting", "max_worker_processes", 8},
    {"max_prepared_xacts setting", "max_prepared_transactions", 0},
    {"max_locks_per_xact setting", "max_locks_per_transaction", 64},
};

/* The number behind "LABEL SEPARATOR" at the start of a line. */
static bool number_of(Slice text, const char *label, char separator, int64_t *ret_number)
{
    return str_to_i64(pg_control_value(text, label, separator), ret_number);
}

void pg_floor_render(Slice control_data, Buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(floors); i++) {
        int64_t number;
        if (number_of(control_data, floors[i].label, ':', &number)) {
            buf_printf(out, "%s = %" PRId64 "\n", floors[i].name, number);
        }
    }
}

static char *floor_path(const PgSpec *spec)
{
    return mem_printf("%s/floor", spec->paths.conf);
}

static bool control_floor(const PgSpec *spec, Buf *out, Err *err)
{
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    bool ok = pg_control_read(spec, &text, err);
    pg_floor_render(buf_slice(&text), out);
    buf_done(&text);
    return ok;
}

bool pg_floor_keep(const PgSpec *spec, Err *err)
{
    Buf text;
    buf_init(&text, FLOOR_MAX);
    bool changed = false;
    CLEANUP(mem_free_ptr) char *path = floor_path(spec);
    bool ok = (!spec->follows || control_floor(spec, &text, err)) &&
              engine_file_update(path, buf_slice(&text), &spec->account, &changed, err);
    buf_done(&text);
    return ok || err_wrap(err, "reading the control file");
}

static int64_t value_now(const PgSpec *spec, const char *name, int64_t fallback)
{
    for (size_t i = 0; i < spec->settings_len; i++) {
        int64_t value;
        if (strcmp(spec->settings[i].name, name) == 0 &&
            str_to_i64(slice_of(spec->settings[i].value), &value)) {
            fallback = value;
        }
    }
    return fallback;
}

void pg_floor_raise(Arena *arena, Slice floor, PgSpec *spec)
{
    EngineSetting *raised =
        ARENA_ARRAY(arena, EngineSetting, spec->settings_len + ARRAY_LEN(floors));
    size_t len = spec->settings_len;
    for (size_t i = 0; i < len; i++) {
        raised[i] = spec->settings[i];
    }
    for (size_t i = 0; i < ARRAY_LEN(floors); i++) {
        int64_t number;
        if (number_of(floor, floors[i].name, '=', &number) &&
            number > value_now(spec, floors[i].name, floors[i].fallback)) {
            raised[len++] =
                (EngineSetting){floors[i].name, arena_printf(arena, "%" PRId64, number)};
        }
    }
    spec->settings = raised;
    spec->settings_len = len;
}

void pg_floor_apply(Arena *arena, PgSpec *spec)
{
    Buf text;
    buf_init(&text, FLOOR_MAX);
    CLEANUP(mem_free_ptr) char *path = floor_path(spec);
    if (spec->follows && file_read(path, &text, NULL)) {
        pg_floor_raise(arena, buf_slice(&text), spec);
    }
    buf_done(&text);
}
