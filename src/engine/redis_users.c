/*
 * The users of a running Redis. They change in place, one by one: ACL LOAD would disconnect
 * everybody who is logged in, ourselves and the replicas included. Who is a user no more is
 * disconnected by Redis as it is deleted, so that an engine whose host is none of the group's any
 * more neither streams nor confirms writes.
 */
#include "engine/engine_priv.h"
#include "wire/wire.h"

#define COMMAND_ARGS_MAX 64
#define ACL_MAX          ((size_t)1 << 20)
#define USERS_MAX        256

/* One line of the ACL file, "user NAME RULE…", as ACL SETUSER. */
static bool user_set(RedisAdmin *admin, Slice line, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *words[COMMAND_ARGS_MAX] = {"ACL", "SETUSER"};
    size_t count = 2;
    (void)slice_cut(&line, ' '); /* "user" */
    while (line.len > 0) {
        ASSERT(count + 2 < COMMAND_ARGS_MAX);
        words[count++] = arena_slice_str(arena, slice_cut(&line, ' '));
        if (count == 3) {
            words[count++] = "reset";
        }
    }
    return redis_admin_call(admin, words, err);
}

static Slice name_of(Slice line)
{
    (void)slice_cut(&line, ' ');
    return slice_cut(&line, ' ');
}

static bool is_wanted(Slice text, Slice name)
{
    while (text.len > 0) {
        if (slice_eq(name_of(slice_cut(&text, '\n')), name)) {
            return true;
        }
    }
    return false;
}

static bool users_set(RedisAdmin *admin, Slice text, Err *err)
{
    while (text.len > 0) {
        TRY(user_set(admin, slice_cut(&text, '\n'), err));
    }
    return true;
}

/* Who may replicate and is not in `text`; from the arena. */
static bool strangers_list(RedisAdmin *admin, Slice text, Arena *arena, const char **names,
                           size_t *ret_len, Err *err)
{
    static const char *const users[] = {"ACL", "USERS", NULL};
    TRY(redis_admin_call(admin, users, err));
    Slice in = buf_slice(&admin->reply);
    RespValue value;
    size_t len = 0;
    bool read = resp_value_read(&in, &value) == WIRE_DONE && value.type == '*';
    for (int64_t left = read ? value.count : 0; left > 0 && read; left--) {
        read = resp_value_read(&in, &value) == WIRE_DONE && len < USERS_MAX;
        if (read && slice_starts(value.text, REDIS_REPLICATION_USER) &&
            !is_wanted(text, value.text)) {
            names[len++] = arena_slice_str(arena, value.text);
        }
    }
    *ret_len = len;
    return read || err_set(err, ERR_INTERNAL, "Redis's list of users is not understood");
}

static bool strangers_drop(RedisAdmin *admin, Slice text, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *names[USERS_MAX];
    size_t len = 0;
    TRY(strangers_list(admin, text, arena, names, &len, err));
    for (size_t i = 0; i < len; i++) {
        const char *const drop[] = {"ACL", "DELUSER", names[i], NULL};
        TRY(redis_admin_call(admin, drop, err));
    }
    return true;
}

bool redis_users_apply(RedisAdmin *admin, const RedisSpec *spec, Err *err)
{
    Buf text;
    buf_init(&text, ACL_MAX);
    redis_acl_render(spec, &text);
    bool ok =
        users_set(admin, buf_slice(&text), err) && strangers_drop(admin, buf_slice(&text), err);
    buf_done(&text);
    return ok;
}
