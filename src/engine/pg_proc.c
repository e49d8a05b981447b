/*
 * PostgreSQL's own programs: which are installed, initdb, pg_basebackup. They run as the engine's
 * account, die with us, and what they leave half-made is wiped by the next run.
 */
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/engine_priv.h"

#define INSTALL_ROOT     "/usr/lib/postgresql"
#define INSTALLS_MAX     16
#define VERSION_WAIT_MS  (10 * MS_PER_S)
#define VERSION_FILE_MAX ((size_t)64)

/* "postgres (PostgreSQL) 15.18 (Debian …)" -> "15.18" */
static const char *version_of(Arena *arena, Slice output)
{
    static const char before[] = "(PostgreSQL) ";
    const char *at = output.len > 0 ? strstr(output.data, before) : NULL;
    if (at == NULL) {
        return NULL;
    }
    Slice rest = slice_of(at + sizeof(before) - 1);
    Slice line = slice_cut(&rest, '\n');
    return arena_slice_str(arena, slice_cut(&line, ' '));
}

static bool install_probe(Arena *arena, int major, PgInstall *ret_install)
{
    const char *bin_dir = arena_printf(arena, INSTALL_ROOT "/%d/bin", major);
    const char *program = arena_printf(arena, "%s/postgres", bin_dir);
    if (access(program, X_OK) != 0) {
        return false;
    }
    const char *const argv[] = {program, "--version", NULL};
    const CommandSpec spec = {.argv = argv, .timeout_ms = VERSION_WAIT_MS};
    CommandResult result;
    const char *version = NULL;
    if (command_run(&spec, &result, NULL)) {
        version = version_of(arena, buf_slice(&result.out));
    }
    command_result_done(&result);
    *ret_install = (PgInstall){.major = major, .version = version, .bin_dir = bin_dir};
    return version != NULL;
}

static int compare_installs(const void *a, const void *b)
{
    const PgInstall *left = a;
    const PgInstall *right = b;
    return right->major - left->major;
}

bool pg_installs_find(Arena *arena, PgInstalls *ret_installs, Err *err)
{
    PgInstall *items = ARENA_ARRAY(arena, PgInstall, INSTALLS_MAX);
    size_t len = 0;
    DIR *dir = opendir(INSTALL_ROOT);
    for (struct dirent *entry;
         dir != NULL && (entry = readdir(dir)) != NULL && len < INSTALLS_MAX;) {
        uint64_t major;
        if (str_to_u64(slice_of(entry->d_name), &major) && major < 1000 &&
            install_probe(arena, (int)major, &items[len])) {
            len++;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    if (len == 0) {
        return err_set(err, ERR_NOT_FOUND,
                       "no PostgreSQL is installed: run `apt-get install postgresql`");
    }
    qsort(items, len, sizeof(*items), compare_installs);
    *ret_installs = (PgInstalls){items, len};
    return true;
}

static bool data_fresh(const PgSpec *spec, Err *err)
{
    TRY(tree_remove(spec->paths.data, err));
    return engine_dir_make(spec->paths.data, &spec->account, spec->account.gid, 0700, err);
}

bool pg_program_run(const PgSpec *spec, const char *const *argv, int64_t timeout_ms,
                    CommandResult *result, Err *err)
{
    static const char *const env[] = {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", NULL};
    const CommandSpec command = {.argv = argv,
                                 .env = env,
                                 .cwd = "/",
                                 .account = spec->account,
                                 .timeout_ms = timeout_ms,
                                 .job = spec->job};
    CommandResult own;
    bool ok = command_run(&command, result != NULL ? result : &own, err);
    if (result == NULL) {
        command_result_done(&own);
    }
    return ok;
}

bool pg_version_check(const PgSpec *spec, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/PG_VERSION", spec->paths.data);
    Buf text;
    buf_init(&text, VERSION_FILE_MAX);
    int64_t major = 0;
    bool ok = file_read(path, &text, err) && str_to_i64(slice_trim(buf_slice(&text)), &major);
    buf_done(&text);
    if (ok && major != spec->install.major) {
        return err_set(err, ERR_CONFLICT,
                       "the data directory %s is of PostgreSQL %lld, and this instance runs %d: "
                       "install postgresql-%lld, or move the directory away",
                       spec->paths.data, (long long)major, spec->install.major, (long long)major);
    }
    return ok || err_wrap(err, "the version of the data directory %s", spec->paths.data);
}

bool pg_initdb(const PgSpec *spec, int64_t timeout_ms, Err *err)
{
    TRY(data_fresh(spec, err));
    CLEANUP(mem_free_ptr) char *program = mem_printf("%s/initdb", spec->install.bin_dir);
    const char *const argv[] = {program,
                                "--pgdata",
                                spec->paths.data,
                                "--username=" PG_SUPERUSER,
                                "--encoding=UTF8",
                                "--locale=C.UTF-8",
                                "--data-checksums",
                                "--auth=reject",
                                NULL};
    return pg_program_run(spec, argv, timeout_ms, NULL, err) ||
           err_wrap(err, "making the data directory");
}

bool pg_clone(const PgSpec *spec, int64_t timeout_ms, Err *err)
{
    ASSERT(spec->source_address != NULL && spec->incarnation[0] != '\0');
    TRY(data_fresh(spec, err));
    char slot[PG_STANDBY_NAME_SIZE];
    pg_standby_name(spec->incarnation, slot);
    Buf conninfo;
    buf_init(&conninfo, BUF_MAX_DEFAULT);
    /* Not the standby's own name: what receives the WAL of a base backup keeps no promise (F4). */
    pg_conninfo_render(spec, "weir_clone", &conninfo);
    CLEANUP(mem_free_ptr) char *program = mem_printf("%s/pg_basebackup", spec->install.bin_dir);
    const char *const argv[] = {program,
                                "--pgdata",
                                spec->paths.data,
                                "--dbname",
                                buf_str(&conninfo),
                                "--wal-method=stream",
                                "--checkpoint=fast",
                                "--create-slot",
                                "--slot",
                                slot,
                                NULL};
    bool ok = pg_program_run(spec, argv, timeout_ms, NULL, err);
    buf_done(&conninfo);
    return ok || err_wrap(err, "cloning from %s", spec->source_address);
}
