/* What up.c needs of plan and apply, and of status. */
#ifndef WEIR_CLI_UP_PRIV_H
#define WEIR_CLI_UP_PRIV_H

#include <sys/types.h>

#include "cli/cli_priv.h"

typedef struct Up {
    bool detach;
    VEC(const char *) vars; /* NAME=VALUE */
    VEC(const char *) var_files;
    char **files; /* up_files_check's; NULL-terminated */
} Up;

/* Reads the files (NULL-terminated) before anything is started; says all that is wrong with them
 * and returns 2, or 0. */
int up_files_check(Up *up, char **files);
/* Applies them with progress; the exit status. */
int up_files_apply(Up *up, Cli *cli);
/* Removes every resource, protected ones included, and says what it removed. */
NODISCARD bool up_destroy_all(Cli *cli, Err *err);
/* Removes what a stopped tier leaves in its folder, and the folder when nothing else is in it. */
NODISCARD bool up_folder_remove(const char *data_dir, Err *err);

/* Waits until the API of the folder's tier answers; gives up when the process behind pidfd (-1:
 * none) has ended. */
NODISCARD bool up_wait_for_api(Cli *cli, int pidfd, off_t log_offset, Err *err);

/* Waits until every resource is available, or stays as it was asked to. */
NODISCARD bool up_wait_available(Cli *cli, Err *err);

/* Events since *after, which it moves on; the first call with NULL gives all there are. */
NODISCARD bool events_new(Cli *cli, char **after, bool print, Err *err);

#endif
