/*
 * A node that has led, and was deposed, follows again. What it wrote and nobody else has is not
 * thrown away: the WAL from where the timelines part stays in root/diverged-TIME, for pg_waldump.
 * Then pg_rewind copies from the source what differs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine_priv.h"

#define DIVERGED_PREFIX "diverged-"
#define SEGMENT_BYTES   ((uint64_t)16 << 20) /* initdb's default, which ours is */
#define DUMP_WAIT_MS    (60 * MS_PER_S)
#define FOLDERS_MAX     64

/* ---- what is kept ------------------------------------------------------------------------------
 */

/* The name of the segment that has this position. */
static const char *segment_name(Arena *arena, int64_t timeline, uint64_t lsn)
{
    uint64_t number = lsn / SEGMENT_BYTES;
    uint64_t per_file = ((uint64_t)1 << 32) / SEGMENT_BYTES;
    return arena_printf(arena, "%08" PRIX64 "%08" PRIX64 "%08" PRIX64, (uint64_t)timeline,
                        number / per_file, number % per_file);
}

static bool is_segment(const char *name)
{
    return strlen(name) == 24 && strspn(name, "0123456789ABCDEF") == 24;
}

bool pg_wal_timeline(const EnginePaths *paths, int64_t *ret_timeline, Err *err)
{
    CLEANUP(mem_free_ptr) char *wal = mem_printf("%s/pg_wal", paths->data);
    DIR *dir = opendir(wal);
    if (dir == NULL) {
        return err_set_errno(err, errno, "cannot read %s", wal);
    }
    int64_t newest = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char digits[9] = {0};
        memcpy(digits, entry->d_name, is_segment(entry->d_name) ? 8 : 0);
        int64_t timeline = (int64_t)strtoul(digits, NULL, 16);
        newest = timeline > newest ? timeline : newest;
    }
    closedir(dir);
    if (newest == 0) {
        return err_set(err, ERR_NOT_FOUND, "there is no WAL in %s", wal);
    }
    *ret_timeline = newest;
    return true;
}

static bool copy_all(int from, int to)
{
    ssize_t count;
    do {
        count = copy_file_range(from, NULL, to, NULL, SEGMENT_BYTES, 0);
    } while (count > 0 || (count < 0 && errno == EINTR));
    return count == 0;
}

/* A copy and no second name: pg_rewind writes into files of WAL that the source has, too. */
static bool segment_copy(const PgSpec *spec, const char *from, const char *to, Err *err)
{
    CLEANUP(fd_close) int source = open(from, O_RDONLY | O_CLOEXEC);
    CLEANUP(fd_close) int target = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = source >= 0 && target >= 0 && copy_all(source, target) &&
              (geteuid() != 0 || fchown(target, spec->account.uid, spec->account.gid) == 0);
    return ok || err_set_errno(err, errno, "cannot keep %s", from);
}

static bool wal_keep(const PgSpec *spec, const char *folder, const char *first, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *wal = arena_printf(arena, "%s/pg_wal", spec->paths.data);
    TRY(engine_dir_make(folder, &spec->account, spec->account.gid, 0700, err));
    DIR *dir = opendir(wal);
    if (dir == NULL) {
        return err_set_errno(err, errno, "cannot read %s", wal);
    }
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(dir)) != NULL;) {
        if (is_segment(entry->d_name) && strcmp(entry->d_name, first) >= 0) {
            const char *from = arena_printf(arena, "%s/%s", wal, entry->d_name);
            const char *to = arena_printf(arena, "%s/%s", folder, entry->d_name);
            ok = segment_copy(spec, from, to, err);
        }
    }
    closedir(dir);
    return ok;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The oldest go. */
static bool kept_trim(const PgSpec *spec, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *names[FOLDERS_MAX];
    size_t len = 0;
    DIR *dir = opendir(spec->paths.root);
    for (struct dirent *entry;
         dir != NULL && len < FOLDERS_MAX && (entry = readdir(dir)) != NULL;) {
        if (strncmp(entry->d_name, DIVERGED_PREFIX, sizeof(DIVERGED_PREFIX) - 1) == 0) {
            names[len++] = arena_strdup(arena, entry->d_name);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    qsort(names, len, sizeof(*names), compare_names);
    for (size_t i = 0; i + PG_DIVERGED_MAX < len; i++) {
        TRY(tree_remove(arena_printf(arena, "%s/%s", spec->paths.root, names[i]), err));
    }
    return true;
}

/* How much there is behind the fork: pg_waldump says where it ends. -1: it does not. */
static int64_t bytes_behind(const PgSpec *spec, int64_t timeline, uint64_t fork_lsn)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *argv[] = {
        arena_printf(arena, "%s/pg_waldump", spec->install.bin_dir),
        arena_printf(arena, "--path=%s/pg_wal", spec->paths.data),
        arena_printf(arena, "--timeline=%" PRId64, timeline),
        arena_printf(arena, "--start=%" PRIX64 "/%" PRIX64, fork_lsn >> 32, fork_lsn & UINT32_MAX),
        "--stats",
        NULL};
    CommandResult result;
    Err ignored;
    /* It ends with an error where the WAL does, however well it has read it. */
    bool read = pg_program_run(spec, argv, DUMP_WAIT_MS, &result, &ignored) || result.out.len > 0;
    /* "WAL statistics between 0/3000060 and 0/3000148:" */
    static const char before[] = " and ";
    bool nothing = strstr(buf_str(&result.err), "could not find a valid record") != NULL;
    int64_t bytes = nothing ? 0 : -1;
    const char *at = read ? strstr(buf_str(&result.out), before) : NULL;
    uint64_t end;
    Slice rest = slice_of(at != NULL ? at + sizeof(before) - 1 : "");
    if (pg_lsn_parse(slice_cut(&rest, ':'), &end) && end >= fork_lsn) {
        bytes = (int64_t)(end - fork_lsn);
    }
    command_result_done(&result);
    return bytes;
}

/* ---- taking it back ----------------------------------------------------------------------------
 */

static bool rewind_data(const PgSpec *spec, int64_t timeout_ms, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Buf conninfo;
    buf_init(&conninfo, BUF_MAX_DEFAULT);
    pg_conninfo_render(spec, "weir_rejoin", &conninfo);
    buf_append_str(&conninfo, " dbname='postgres'");
    const char *argv[] = {arena_printf(arena, "%s/pg_rewind", spec->install.bin_dir),
                          "--target-pgdata",
                          spec->paths.data,
                          "--source-server",
                          buf_str(&conninfo),
                          "--config-file",
                          arena_printf(arena, "%s/postgresql.conf", spec->paths.conf),
                          NULL};
    bool ok = pg_program_run(spec, argv, timeout_ms, NULL, err);
    buf_done(&conninfo);
    if (!ok && err->code == ERR_INTERNAL) {
        err->code = ERR_CONFLICT;
    }
    return ok || err_wrap(err, "rewinding to what %s has", spec->source_address);
}

bool pg_rejoin(const PgSpec *spec, int64_t timeline, uint64_t fork_lsn, int64_t timeout_ms,
               int64_t *ret_bytes, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    int64_t bytes = bytes_behind(spec, timeline, fork_lsn);
    if (bytes != 0) {
        const char *folder = arena_printf(arena, "%s/" DIVERGED_PREFIX "%013" PRId64,
                                          spec->paths.root, time_wall_ms());
        TRY(wal_keep(spec, folder, segment_name(arena, timeline, fork_lsn), err));
        TRY(kept_trim(spec, err));
    }
    /* A single-user server, by which pg_rewind recovers what crashed, refuses it. */
    const char *standby = arena_printf(arena, "%s/standby.signal", spec->paths.data);
    if (unlink(standby) != 0 && errno != ENOENT) {
        return err_set_errno(err, errno, "cannot remove %s", standby);
    }
    TRY(pg_stale_locks_remove(&spec->paths, err));
    TRY(rewind_data(spec, timeout_ms, err));
    *ret_bytes = bytes;
    return true;
}
