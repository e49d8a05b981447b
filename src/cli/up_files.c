/* The Terraform files of `weir up`, and the end of everything they made. */
#include <stdio.h>

#include "cli/up_priv.h"

int up_files_check(Up *up, char **files)
{
    (void)up;
    if (files[0] != NULL) {
        fputs("weir: Terraform files are not applied yet: make resources through the API\n",
              stderr);
        return err_exit_code(ERR_UNSUPPORTED);
    }
    return 0;
}

int up_files_apply(Up *up, Cli *cli)
{
    (void)up;
    (void)cli;
    return 0;
}

void up_files_done(Up *up)
{
    (void)up;
}
