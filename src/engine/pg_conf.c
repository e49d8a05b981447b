/*
 * PostgreSQL's configuration files. They live outside the data directory (RULES F13); the parameter
 * group's settings come first and ours after them, so that ours win; and nothing of a clone's
 * postgresql.auto.conf survives.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine_priv.h"

#define CONF_MAX ((size_t)1 << 20)

void pg_standby_name(const char *incarnation, char out[static PG_STANDBY_NAME_SIZE])
{
    snprintf(out, PG_STANDBY_NAME_SIZE, "weir_%s", incarnation);
}

/* 'text' as PostgreSQL's configuration language quotes it. */
static void conf_quote(Buf *out, const char *text)
{
    buf_append_char(out, '\'');
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\'' || *at == '\\') {
            buf_append_char(out, *at);
        }
        buf_append_char(out, *at == '\n' || *at == '\r' ? ' ' : *at);
    }
    buf_append_char(out, '\'');
}

static void conf_set(Buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s = ", name);
    conf_quote(out, value);
    buf_append_char(out, '\n');
}

/* What the promises rest on, and what belongs to this host. No parameter group can change it. */
static void conf_fixed(Buf *out)
{
    static const EngineSetting fixed[] = {
        {"port", "5432"},
        {"fsync", "on"},
        {"full_page_writes", "on"},
        {"restart_after_crash", "off"}, /* F7 */
        {"wal_level", "replica"},
        {"hot_standby", "on"},
        {"max_wal_senders", "20"},
        {"max_replication_slots", "20"},
        {"wal_sender_timeout", "2s"},
        {"wal_receiver_timeout", "2s"},
        {"wal_receiver_status_interval", "1s"},
        {"wal_retrieve_retry_interval", "100ms"},
        {"recovery_target_timeline", "latest"},
        {"password_encryption", "scram-sha-256"},
        {"lc_messages", "C"},
        {"log_destination", "stderr"},
        {"logging_collector", "off"}, /* the guard owns the log file */
        {"log_line_prefix", "%m [%p] %q%u@%d "},
        {"log_timezone", "UTC"},
        {"ssl", "on"},
        {"unix_socket_permissions", "0777"}, /* the folder decides who reaches it */
        {"update_process_title", "on"},
    };
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        conf_set(out, fixed[i].name, fixed[i].value);
    }
}

static void conf_path(Buf *out, const char *name, const char *dir, const char *file)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", dir, file);
    conf_set(out, name, path);
}

/* A value inside a libpq connection string inside the configuration language. */
static void conninfo_add(Buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s%s='", out->len > 0 ? " " : "", name);
    for (const char *at = value; *at != '\0'; at++) {
        if (*at == '\'' || *at == '\\') {
            buf_append_char(out, '\\');
        }
        buf_append_char(out, *at);
    }
    buf_append_char(out, '\'');
}

void pg_conninfo_render(const PgSpec *spec, const char *name, Buf *out)
{
    char port[8];
    snprintf(port, sizeof(port), "%d", PG_PORT);
    CLEANUP(mem_free_ptr) char *cert = mem_printf("%s/client.crt", spec->paths.tls);
    CLEANUP(mem_free_ptr) char *key = mem_printf("%s/client.key", spec->paths.tls);
    CLEANUP(mem_free_ptr) char *ca = mem_printf("%s/ca.crt", spec->paths.tls);
    conninfo_add(out, "host", spec->source_address);
    conninfo_add(out, "port", port);
    conninfo_add(out, "user", PG_REPLICATION_USER);
    conninfo_add(out, "application_name", name);
    conninfo_add(out, "sslmode", "verify-full");
    conninfo_add(out, "sslcert", cert);
    conninfo_add(out, "sslkey", key);
    conninfo_add(out, "sslrootcert", ca);
    conninfo_add(out, "gssencmode", "disable");
    conninfo_add(out, "connect_timeout", "5");
}

static void conf_replication(const PgSpec *spec, Buf *out)
{
    if (!spec->follows) {
        conf_set(out, "synchronous_standby_names", spec->synchronous_standby_names);
        return;
    }
    conf_set(out, "synchronous_standby_names", "");
    if (spec->source_address == NULL) {
        return;
    }
    char name[PG_STANDBY_NAME_SIZE];
    pg_standby_name(spec->incarnation, name);
    Buf conninfo;
    buf_init(&conninfo, CONF_MAX);
    pg_conninfo_render(spec, name, &conninfo);
    conf_set(out, "primary_conninfo", buf_str(&conninfo));
    conf_set(out, "primary_slot_name", name);
    buf_done(&conninfo);
}

void pg_conf_render(const PgSpec *spec, Buf *out)
{
    buf_append_str(out, "# Written by Weir at each start. Change the parameter group instead.\n");
    for (size_t i = 0; i < spec->settings_len; i++) {
        conf_set(out, spec->settings[i].name, spec->settings[i].value);
    }
    buf_append_str(out, "\n# Set by Weir; these win.\n");
    conf_fixed(out);
    conf_set(out, "cluster_name", spec->cluster_name);
    conf_set(out, "listen_addresses", spec->listen_address);
    conf_set(out, "unix_socket_directories", spec->paths.socket_dir);
    conf_path(out, "hba_file", spec->paths.conf, "pg_hba.conf");
    conf_path(out, "ident_file", spec->paths.conf, "pg_ident.conf");
    conf_path(out, "ssl_cert_file", spec->paths.tls, "server.crt");
    conf_path(out, "ssl_key_file", spec->paths.tls, "server.key");
    conf_path(out, "ssl_ca_file", spec->paths.tls, "ca.crt");
    conf_replication(spec, out);
}

/* Clients come through the data plane over the Unix socket, and so does the data plane itself, to
 * ask whether commits reach their standbys; over TCP only a standby with a
 * certificate of ours gets in, to replicate (F4), and to look at what it must rewind. */
static const char hba_text[] =
    "# Written by Weir.\n"
    "local   all          " PG_SUPERUSER "                              peer map=weir\n"
    "local   all          " PG_REPLICATION_USER "                       reject\n"
    "local   replication  all                                   reject\n"
    "local   postgres     " PG_PULSE_USER "                         peer map=weir-plane\n"
    "local   all          " PG_PULSE_USER "                         reject\n"
    "local   all          all                                   scram-sha-256\n"
    "hostssl replication  " PG_REPLICATION_USER "    all              cert\n"
    "hostssl postgres     " PG_REPLICATION_USER "    all              cert\n";

bool pg_is_own_role(const char *name)
{
    static const char *const roles[] = {PG_SUPERUSER, PG_REPLICATION_USER, PG_PULSE_USER};
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        if (strcmp(roles[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool conf_file(const PgSpec *spec, const char *name, Slice text, bool *changed, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", spec->paths.conf, name);
    return engine_file_update(path, text, &spec->account, changed, err);
}

/* The two files inside the data directory that decide what a start does. */
static bool data_files(const PgSpec *spec, bool *changed, Err *err)
{
    if (!file_exists(spec->paths.data)) {
        return true;
    }
    CLEANUP(mem_free_ptr) char *auto_conf = mem_printf("%s/postgresql.auto.conf", spec->paths.data);
    CLEANUP(mem_free_ptr) char *standby = mem_printf("%s/standby.signal", spec->paths.data);
    TRY(engine_data_file_update(auto_conf, SLICE("# Weir keeps this file empty.\n"), &spec->account,
                                changed, err));
    /* Never taken away here: a promotion does that, when it has its timeline. */
    return !spec->follows ||
           engine_data_file_update(standby, SLICE(""), &spec->account, changed, err);
}

bool pg_configure(const PgSpec *spec, bool *ret_changed, Err *err)
{
    Buf conf;
    buf_init(&conf, CONF_MAX);
    pg_conf_render(spec, &conf);
    CLEANUP(mem_free_ptr)
    char *ident = mem_printf("weir \"%s\" " PG_SUPERUSER "\nweir-plane \"%s\" " PG_PULSE_USER "\n",
                             spec->admin_account, spec->plane_account);
    bool changed = false;
    bool ok = !conf.overflowed &&
              conf_file(spec, "postgresql.conf", buf_slice(&conf), &changed, err) &&
              conf_file(spec, "pg_hba.conf", slice_of(hba_text), &changed, err) &&
              conf_file(spec, "pg_ident.conf", slice_of(ident), &changed, err) &&
              data_files(spec, &changed, err);
    if (conf.overflowed) {
        err_set(err, ERR_LIMIT, "the configuration is larger than %zu bytes", CONF_MAX);
    }
    buf_done(&conf);
    if (ok) {
        *ret_changed = changed;
    }
    return ok;
}

static bool lock_remove(const char *folder, const char *name, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", folder, name);
    return unlink(path) == 0 || errno == ENOENT ||
           err_set_errno(err, errno, "cannot remove %s", path);
}

bool pg_stale_locks_remove(const EnginePaths *paths, Err *err)
{
    char name[32];
    snprintf(name, sizeof(name), ".s.PGSQL.%d.lock", PG_PORT);
    return lock_remove(paths->data, "postmaster.pid", err) &&
           lock_remove(paths->socket_dir, name, err);
}

const char *const *pg_argv(Arena *arena, const PgSpec *spec)
{
    const char **argv = ARENA_ARRAY(arena, const char *, 6);
    argv[0] = arena_printf(arena, "%s/postgres", spec->install.bin_dir);
    argv[1] = "-D";
    argv[2] = spec->paths.data;
    argv[3] = "-c";
    argv[4] = arena_printf(arena, "config_file=%s/postgresql.conf", spec->paths.conf);
    return argv;
}
