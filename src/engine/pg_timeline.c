/*
 * Which number the next timeline gets. PostgreSQL takes the first one behind its own of which it
 * has no history file. Where others have begun timelines that it has not followed, theirs are
 * passed over: two of one number are one and the same for pg_rewind and for whoever follows. A file
 * without a line stands for each of them. It stays, for whoever follows asks for the files of all
 * numbers up to the leader's; but where the promotion did not come about, a start would take it for
 * a timeline that it should reach, and fail.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/engine_priv.h"

#define MARK       "# passed over by Weir\n"
#define BYTES_MAX  ((size_t)64 << 10)
#define NAME_BYTES 16 /* "0000000A.history" */

bool pg_timelines_pass_over(const PgSpec *spec, int64_t timeline, int64_t count, Err *err)
{
    const ProcessAccount *account = &spec->account;
    for (int64_t i = 1; i <= count; i++) {
        CLEANUP(mem_free_ptr)
        char *path = mem_printf("%s/pg_wal/%08" PRIX64 ".history", spec->paths.data,
                                (uint64_t)(timeline + i));
        TRY(file_exists(path) ||
            (account->drop ? file_write_as(path, SLICE(MARK), 0600, account->uid, account->gid, err)
                           : file_write(path, SLICE(MARK), 0600, err)));
    }
    return true;
}

static bool is_mark(const char *path)
{
    CLEANUP(buf_done) Buf text;
    buf_init(&text, BYTES_MAX);
    return file_read(path, &text, NULL) && slice_is(buf_slice(&text), MARK);
}

/* The timeline of "0000000A.history"; 0: it is another file. */
static int64_t number_of(const char *name)
{
    bool history = strlen(name) == NAME_BYTES && slice_ends(slice_of(name), ".history");
    return history ? (int64_t)strtoul(name, NULL, 16) : 0;
}

/* The newest timeline that was begun; and of those that were passed over, the ones behind `behind`,
 * if that is not negative, go. */
static bool look(const char *folder, int64_t behind, int64_t *ret_newest, Err *err)
{
    DIR *dir = opendir(folder);
    *ret_newest = 0;
    if (dir == NULL) {
        return errno == ENOENT || err_set_errno(err, errno, "cannot read %s", folder);
    }
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(dir)) != NULL;) {
        CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", folder, entry->d_name);
        int64_t number = number_of(entry->d_name);
        bool passed = number > 0 && is_mark(path);
        *ret_newest = !passed && number > *ret_newest ? number : *ret_newest;
        if (passed && behind >= 0 && number > behind && unlink(path) != 0) {
            ok = err_set_errno(err, errno, "cannot remove %s", path);
        }
    }
    closedir(dir);
    return ok;
}

bool pg_timelines_forget(const EnginePaths *paths, Err *err)
{
    CLEANUP(mem_free_ptr) char *folder = mem_printf("%s/pg_wal", paths->data);
    int64_t newest;
    return look(folder, -1, &newest, err) && look(folder, newest, &newest, err);
}
