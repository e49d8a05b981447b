/* How a Redis is, by its INFO, and what its folder holds. */
#include <stdio.h>

#include "engine/engine_priv.h"
#include "wire/wire.h"

/* The value of a field, without blanks; empty where there is none. */
static Slice info_text(Slice info, const char *field)
{
    while (info.len > 0) {
        Slice line = slice_cut(&info, '\n');
        if (slice_is(slice_cut(&line, ':'), field)) {
            return slice_trim(line);
        }
    }
    return (Slice){0};
}

static int64_t number_of(Slice text, int64_t fallback)
{
    int64_t value;
    return str_to_i64(text, &value) ? value : fallback;
}

static void copy_text(Slice text, char *out, size_t size)
{
    snprintf(out, size, "%.*s", SLICE_FMT(text));
}

/* "ip=127.1.128.2,port=6379,state=online,offset=1120,lag=0" */
static RedisReplica replica_of(Slice text)
{
    RedisReplica replica = {0};
    while (text.len > 0) {
        Slice value = slice_cut(&text, ',');
        Slice name = slice_cut(&value, '=');
        if (slice_is(name, "ip")) {
            copy_text(value, replica.address, sizeof(replica.address));
        } else if (slice_is(name, "state")) {
            replica.online = slice_is(value, "online");
        } else if (slice_is(name, "lag")) {
            replica.lag_s = number_of(value, 0);
        } else if (slice_is(name, "offset")) {
            replica.offset = number_of(value, 0);
        }
    }
    return replica;
}

static void replicas_read(Slice info, RedisSeen *seen)
{
    for (size_t i = 0; i < REDIS_REPLICAS_MAX; i++) {
        char field[16];
        snprintf(field, sizeof(field), "slave%zu", i);
        Slice text = info_text(info, field);
        if (text.len > 0) {
            seen->replicas[seen->replicas_len++] = replica_of(text);
        }
    }
}

static void info_read(Slice info, RedisSeen *seen)
{
    seen->is_replica = slice_is(info_text(info, "role"), "slave");
    seen->link_up = slice_is(info_text(info, "master_link_status"), "up");
    const char *offset = seen->is_replica ? "slave_repl_offset" : "master_repl_offset";
    seen->offset = number_of(info_text(info, offset), 0);
    copy_text(info_text(info, "master_host"), seen->source, sizeof(seen->source));
    copy_text(info_text(info, "master_replid"), seen->history, sizeof(seen->history));
    replicas_read(info, seen);
}

static bool ask(RedisAdmin *admin, const char *part, Slice *ret_info, Err *err)
{
    const char *const info[] = {"INFO", part, NULL};
    TRY(redis_admin_call(admin, info, err));
    Slice in = buf_slice(&admin->reply);
    RespValue value;
    if (resp_value_read(&in, &value) != WIRE_DONE) {
        return err_set(err, ERR_INTERNAL, "Redis's INFO is not understood");
    }
    *ret_info = value.text;
    return true;
}

static int64_t changes_of(Slice info)
{
    return number_of(info_text(info, "rdb_changes_since_last_save"), -1);
}

bool redis_admin_changes(RedisAdmin *admin, int64_t *ret_changes, Err *err)
{
    Slice info;
    TRY(ask(admin, "persistence", &info, err));
    *ret_changes = changes_of(info);
    return true;
}

/* Behind a full copy Redis starts a log of what it has now; until that is there it writes aside,
 * and a start would load the one of before. */
static bool log_is_aside(const EnginePaths *paths)
{
    CLEANUP(mem_free_ptr)
    char *aside = mem_printf("%s/appendonlydir/temp-appendonly.aof.incr", paths->data);
    return file_exists(aside);
}

bool redis_observe(const RedisSpec *spec, int64_t patience_ms, RedisSeen *ret_seen, Err *err)
{
    RedisAdmin admin;
    RedisSeen seen = {0};
    Slice info;
    TRY(redis_admin_open(spec, patience_ms, &admin, err));
    bool ok = ask(&admin, "persistence", &info, err);
    if (ok) { /* first: what is written in between is in the offset, and another change */
        seen.changes = changes_of(info);
        seen.loading = number_of(info_text(info, "loading"), 0) != 0;
        seen.whole = number_of(info_text(info, "aof_rewrite_scheduled"), 0) == 0 &&
                     !log_is_aside(&spec->paths);
        ok = ask(&admin, "replication", &info, err);
    }
    if (ok) {
        info_read(info, &seen);
        *ret_seen = seen;
    }
    redis_admin_done(&admin);
    return ok;
}

bool redis_data_is_there(const EnginePaths *paths)
{
    CLEANUP(mem_free_ptr) char *log = mem_printf("%s/appendonlydir", paths->data);
    return file_exists(log);
}
