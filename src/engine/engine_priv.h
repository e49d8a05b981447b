/* Shared by the files of engine. */
#ifndef WEIR_ENGINE_PRIV_H
#define WEIR_ENGINE_PRIV_H

#include "crypto/crypto.h"
#include "engine/engine.h"
#include "loop/loop.h"

/* Makes a folder of the engine's account with exactly this group and mode. */
NODISCARD bool engine_dir_make(const char *path, const ProcessAccount *account, gid_t group,
                               mode_t mode, Err *err);
/* Replaces the file where its text differs, and then sets *changed (which it never clears). The
 * engine's account may read it. */
NODISCARD bool engine_file_update(const char *path, Slice text, const ProcessAccount *account,
                                  bool *changed, Err *err);
/* The same for a file that is the engine's own, in its data directory. */
NODISCARD bool engine_data_file_update(const char *path, Slice text, const ProcessAccount *account,
                                       bool *changed, Err *err);
/* A program of the engine's, as its account. *result as command_run leaves it; NULL: nobody asks.
 */
NODISCARD bool pg_program_run(const PgSpec *spec, const char *const *argv, int64_t timeout_ms,
                              CommandResult *result, Err *err);
/* What pg_controldata says, appended to `out`. */
NODISCARD bool pg_control_read(const PgSpec *spec, Buf *out, Err *err);
/* What is behind "LABEL SEPARATOR" at the start of a line of it; "" where there is no such line. */
Slice pg_control_value(Slice text, const char *label, char separator);
/* The connection string by which spec's node reaches its source, under this walsender name. */
void pg_conninfo_render(const PgSpec *spec, const char *name, Buf *out);

/* Text cells in row order, from the arena; NULL reads as "". */
typedef struct PgRows {
    const char **cells;
    size_t rows;
    size_t columns;
} PgRows;

NODISCARD bool pg_rows(PgSession *session, Arena *arena, const char *sql, const char *const *params,
                       size_t params_len, PgRows *ret_rows, Err *err);
char *pg_ident_quote(PgSession *session, Arena *arena, const char *name);
char *pg_literal_quote(PgSession *session, Arena *arena, const char *text);

/* A connection of REDIS_ADMIN_USER. All that is said over it has to be answered by `until_ms`. */
typedef struct RedisAdmin {
    int fd;
    int64_t until_ms; /* of CLOCK_MONOTONIC */
    Buf reply;        /* the last one, as it came */
} RedisAdmin;

NODISCARD bool redis_admin_open(const RedisSpec *spec, int64_t patience_ms, RedisAdmin *ret_admin,
                                Err *err);
/* One command, its words ended by NULL. An error reply is an error. */
NODISCARD bool redis_admin_call(RedisAdmin *admin, const char *const *words, Err *err);
void redis_admin_done(RedisAdmin *admin);
/* As RedisSeen has it. */
NODISCARD bool redis_admin_changes(RedisAdmin *admin, int64_t *ret_changes, Err *err);

/* ---- users (redis_users.c) ---- */

/* As the ACL file has them; who may replicate and is not in it is deleted, and disconnected. */
NODISCARD bool redis_users_apply(RedisAdmin *admin, const RedisSpec *spec, Err *err);
/* As whom an engine of this host follows its primary; the caller's. */
char *redis_replication_user(const char *host);

#endif
