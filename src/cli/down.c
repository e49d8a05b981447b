/* `weir down`: the end of a tier, for now or for good. Whatever is removed goes through the API. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/up_priv.h"

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

/* The store is asked here alone, says what this host knows. */
static bool votes_alone(const HostFile *file)
{
    CLEANUP(mem_free_ptr) char *here = mem_printf("https://%s.0.1:", file->net);
    const json_t *endpoints = member_array(file->etcd, "endpoints");
    const char *first = json_string_value(json_array_get(endpoints, 0));
    return member_bool(file->etcd, "own", false) && json_array_size(endpoints) == 1 &&
           slice_starts(slice_of(first), here);
}

/* How many hosts the tier has; 0: nobody says. It is not worth to wait for. */
static size_t hosts_count(const Cli *cli)
{
    ClientSettings settings;
    Client *client = NULL;
    Err ignored;
    CLEANUP(record_free_ptr) json_t *output = NULL;
    if (!client_settings_load(cli->data_dir, &settings, &ignored)) {
        return 0;
    }
    settings.patience_ms = 0;
    settings.timeout_ms = HOSTS_TIMEOUT_MS;
    bool ok = client_open(&settings, &client, &ignored) &&
              client_call(client, "weir", "ListHosts", NULL, &output, NULL, &ignored);
    client_close(client);
    client_settings_done(&settings);
    return ok ? json_array_size(member_array(output, "Hosts")) : 0;
}

/* Those that stay up go on as they are; but none of them can decide anything. */
static void warn_of_others(const Cli *cli)
{
    HostFile file;
    if (!host_file_load(cli->data_dir, &file, NULL)) {
        return;
    }
    if (votes_alone(&file) && hosts_count(cli) > 1) {
        fprintf(stderr,
                "weir: host %s alone votes in the tier's store: until it is up again nothing is "
                "taken over on the other hosts, and their API is silent. To take it away for "
                "longer: `weir up`, and `weir host drain %s --wait`\n",
                file.name, file.name);
    }
    host_file_done(&file);
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
