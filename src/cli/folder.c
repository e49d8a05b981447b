/* What a destroyed tier leaves: exactly the files that Weir made, and the folder only when nothing
 * of anybody else is in it. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/up_priv.h"

bool up_folder_remove(const char *data_dir, Err *err)
{
    static const char *const ours[] = {
        "weir.sqlite",      "weir.sqlite-wal", "weir.sqlite-shm", "weir.lock", "weir.log",
        "master.key",       "client.json",     "ca.pem",          "net",       "pgpass",
        "node-preload.cjs", "zone-a",          "zone-b",          "zone-c"};
    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", data_dir, ours[i]);
        TRY(tree_remove(path, err));
        file_write_sweep(path);
    }
    if (rmdir(data_dir) != 0 && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT) {
        return err_set_errno(err, errno, "cannot remove %s", data_dir);
    }
    return true;
}
