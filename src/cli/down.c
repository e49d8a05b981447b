/* `weir down`: the end of a tier, for now or for good. Whatever is removed goes through the API. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/up_priv.h"

enum { OPTION_DESTROY = 256, OPTION_YES };

typedef struct Down {
    bool destroy;
    bool yes;
} Down;

static bool on_down_option(void *user, int val, const char *argument)
{
    (void)argument;
    Down *down = user;
    *(val == OPTION_DESTROY ? &down->destroy : &down->yes) = true;
    return true;
}

/* Whether somebody else's tier is up cannot be seen. */
static bool is_ours(const Cli *cli, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/weir.lock", cli->data_dir);
    return access(path, R_OK | W_OK) == 0 || errno == ENOENT ||
           err_set_errno(err, errno, "cannot use the data directory %s", cli->data_dir);
}

/* A tier that is not up is brought up once more: so that its resources go through the API, and so
 * that what was left of it ends in good order. */
static bool down_connect(Cli *cli, bool destroy, TierStart *ret_start, Err *err)
{
    TRY(is_ours(cli, err));
    if (!tier_is_up(cli)) {
        CLEANUP(mem_free_ptr) char *store = mem_printf("%s/weir.sqlite", cli->data_dir);
        if (!destroy && !tier_is_left(cli)) {
            return err_set(err, ERR_NOT_FOUND, "no tier is up in %s", cli->data_dir);
        }
        if (!file_exists(store)) {
            return err_set(err, ERR_NOT_FOUND, "there is no tier in %s", cli->data_dir);
        }
        TRY(tier_start(cli, ret_start, err));
    }
    return tier_wait_for_api(cli, ret_start, err);
}

static int down_run(Cli *cli, const Down *down)
{
    Err err;
    CLEANUP(tier_start_done) TierStart start = {.pidfd = -1, .watch_fd = -1};
    if (down->destroy && !down->yes) {
        fprintf(
            stderr,
            "weir: --destroy removes every resource and all data of the tier in %s: add --yes to "
            "do it\n",
            cli->data_dir);
        return err_exit_code(ERR_INVALID);
    }
    if (!down_connect(cli, down->destroy, &start, &err)) {
        return cli_fail(&err);
    }
    if ((down->destroy && !up_destroy_all(cli, &err)) || !tier_stop(cli, &start, &err)) {
        return cli_fail(&err);
    }
    if (down->destroy && !up_folder_remove(cli->data_dir, &err)) {
        return cli_fail(&err);
    }
    if (down->destroy) {
        fputs("The tier is removed.\n", stderr);
        return 0;
    }
    CLEANUP(mem_free_ptr) char *up = cli_command_new(cli, "up");
    fprintf(stderr, "The tier is stopped; `%s` brings the same data back.\n", up);
    return 0;
}

int down_main(int argc, char **argv)
{
    static const struct option options[] = {{"destroy", no_argument, NULL, OPTION_DESTROY},
                                            {"yes", no_argument, NULL, OPTION_YES},
                                            {0}};
    Down down = {0};
    const CliSpec spec = {
        .usage = "usage: weir down [--destroy --yes] [--data DIR]\n\n"
                 "Stops the tier; its data stays.\n"
                 "  --destroy --yes  removes every resource first, protected ones included and\n"
                 "                   without final snapshots, and then the data directory\n",
        .options = options,
        .on_option = on_down_option,
        .user = &down};
    Cli cli;
    int status = cli_options(&cli, argc, argv, &spec) ? down_run(&cli, &down)
                 : cli.help                           ? 0
                                                      : err_exit_code(ERR_INVALID);
    cli_done(&cli);
    return status;
}
