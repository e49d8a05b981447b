/* `weir down`: the end of a tier, for now or for good. Whatever is removed goes through the API. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/up/up_priv.h"

#define HOSTS_TIMEOUT_MS 2000

enum { OPTION_DESTROY = 256, OPTION_YES, OPTION_ALL_HOSTS };

typedef struct Down {
    bool destroy;
    bool yes;
    bool all_hosts;
} Down;

static bool on_down_option(void *user, int val, const char *argument)
{
    (void)argument;
    Down *down = user;
    *(val == OPTION_DESTROY ? &down->destroy
      : val == OPTION_YES   ? &down->yes
                            : &down->all_hosts) = true;
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
    if (!destroy && tier_is_supervised(cli)) {
        return true;
    }
    if (!tier_is_up(cli)) {
        if (!destroy && !tier_is_left(cli)) {
            return err_set(err, ERR_NOT_FOUND, "no tier is up in %s", cli->data_dir);
        }
        if (!tier_has_store(cli)) {
            return err_set(err, ERR_NOT_FOUND, "there is no tier in %s", cli->data_dir);
        }
        TRY(tier_start(cli, ret_start, err));
    }
    return tier_wait_for_api(cli, ret_start, err);
}

/* The resources are those of all hosts. */
static bool check_alone(Cli *cli, Err *err)
{
    CLEANUP(record_free_ptr) json_t *output = cli_call(cli, "weir", "ListHosts", NULL, err);
    size_t hosts = json_array_size(member_array(output, "Hosts"));
    return output != NULL &&
           (hosts <= 1 ||
            err_set(
                err, ERR_CONFLICT,
                "the tier stands on %zu hosts, and nothing was removed: take this one out of it "
                "with `weir host drain` and `weir host remove`, or add --all-hosts to remove "
                "every resource of the tier, wherever it is, and then this host's data",
                hosts));
}

/* The caller's; NULL: nobody says, and it is not worth to wait for. */
static json_t *hosts_ask(const Cli *cli)
{
    ClientSettings settings;
    Client *client = NULL;
    Err ignored;
    CLEANUP(record_free_ptr) json_t *output = NULL;
    if (!client_settings_load(cli->data_dir, &settings, &ignored)) {
        return NULL;
    }
    settings.patience_ms = 0;
    settings.timeout_ms = HOSTS_TIMEOUT_MS;
    bool ok = client_open(&settings, &client, &ignored) &&
              client_call(client, "weir", "ListHosts", NULL, &output, NULL, &ignored);
    client_close(client);
    client_settings_done(&settings);
    return ok ? json_incref(member_array(output, "Hosts")) : NULL;
}

/* Without this host those that vote and are there are no majority; with it they are. */
static bool is_needed(const json_t *hosts, const char *name)
{
    size_t i;
    json_t *host;
    size_t voters = 0, alive = 0;
    bool votes = false;
    json_array_foreach ((json_t *)(uintptr_t)hosts, i, host) {
        const char *member = member_str(host, "StoreMember", "");
        if (strcmp(member, "voter") == 0 || strcmp(member, "sole-voter") == 0) {
            bool own = strcmp(member_str(host, "HostName", ""), name) == 0;
            voters++;
            alive += strcmp(member_str(host, "State", ""), "alive") == 0;
            votes = votes || own;
        }
    }
    return votes && alive > voters / 2 && alive - 1 <= voters / 2;
}

/* Those that stay up go on as they are; but none of them can decide anything. */
static void warn_of_others(const Cli *cli)
{
    HostFile file;
    if (!host_file_load(cli->data_dir, &file, NULL)) {
        return;
    }
    CLEANUP(record_free_ptr)
    json_t *hosts = member_bool(file.etcd, "own", false) ? hosts_ask(cli) : NULL;
    if (json_array_size(hosts) > 1 && is_needed(hosts, file.name)) {
        fprintf(stderr,
                "weir: without host %s the tier's store has no majority: until it is up again "
                "nothing is taken over on the other hosts, and their API is silent. To take it "
                "away for longer: `weir up`, and `weir host drain %s --wait`\n",
                file.name, file.name);
    }
    host_file_done(&file);
}

static int down_run(Cli *cli, const Down *down)
{
    Err err;
    CLEANUP(tier_start_done) TierStart start = tier_start_none(cli);
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
    if (down->destroy && !down->all_hosts && !check_alone(cli, &err)) {
        Err ignored; /* what we brought up to ask goes again */
        (void)!(start.pidfd < 0 || tier_stop(cli, &start, &ignored));
        return cli_fail(&err);
    }
    if (!down->destroy) {
        warn_of_others(cli);
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
                                            {"all-hosts", no_argument, NULL, OPTION_ALL_HOSTS},
                                            {0}};
    Down down = {0};
    const CliSpec spec = {
        .usage = "usage: weir down [--destroy --yes [--all-hosts]] [--data DIR]\n\n"
                 "Stops the tier; its data stays.\n"
                 "  --destroy --yes  removes every resource first, protected ones included and\n"
                 "                   without final snapshots, and then the data directory\n"
                 "  --all-hosts      also where the tier has other hosts, whose engines are\n"
                 "                   removed, too; `weir down` stops what is left of each\n",
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
