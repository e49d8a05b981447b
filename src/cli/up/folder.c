/* What a destroyed tier leaves: exactly the files that Weir made, and the folder where it can
 * go. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/up/up_priv.h"

/* A folder with files of others in it, one that is a disk of its own, and one in a folder where we
 * may not remove anything. */
static bool stays(int os_errno)
{
    return os_errno == ENOTEMPTY || os_errno == EEXIST || os_errno == EBUSY || os_errno == EACCES ||
           os_errno == EPERM || os_errno == ENOENT;
}

bool up_folder_remove(const char *data_dir, Err *err)
{
    static const char *const ours[] = {"weir.sqlite",     "weir.sqlite-wal",
                                       "weir.sqlite-shm", "weir.sqlite.left",
                                       "weir.lock",       "weir.log",
                                       "master.key",      "host.json",
                                       "store.moves",     "etcd",
                                       "supervise.lock",  "client.json",
                                       "ca.pem",          "net",
                                       "pgpass",          "node-preload.cjs",
                                       "zone-a",          "zone-b",
                                       "zone-c"};
    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", data_dir, ours[i]);
        TRY(tree_remove(path, err));
        file_write_sweep(path);
    }
    if (rmdir(data_dir) != 0 && !stays(errno)) {
        return err_set_errno(err, errno, "cannot remove %s", data_dir);
    }
    return true;
}
