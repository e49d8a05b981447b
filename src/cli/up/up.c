/*
 * `weir up`: a tier begins here. It starts the supervisor as a process of its own, waits for the
 * API, applies the files, shows the endpoints, and stays in front as a live view. Ctrl-C stops the
 * tier at whatever moment it comes, so that nothing runs which nobody looks after; the next `weir
 * up` goes on from what is kept. Whatever is looked at or changed goes through the API.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/up/up_priv.h"
#include "model/model.h"

#define VIEW_MS 1000

/* ---- the view in front -------------------------------------------------------------------------
 */

typedef struct Use {
    const char *command, *operand, *comment;
} Use;

/* What to look into first. */
static Use first_use(const json_t *view)
{
    const json_t *cache = json_array_get(member_array(view, "caches"), 0);
    const json_t *instance = json_array_get(member_array(view, "instances"), 0);
    const json_t *proxy = json_array_get(member_array(view, "proxies"), 0);
    const char *database =
        member_str(proxy, "DBProxyName", member_str(instance, "DBInstanceIdentifier", NULL));
    if (database != NULL) {
        return (Use){"psql", database, "# a database session"};
    }
    if (cache != NULL) {
        return (Use){"redis-cli", member_str(cache, "ReplicationGroupId", ""), "# a cache session"};
    }
    return (Use){"apply", "FILE", "# makes what the file says"};
}

static void next_commands(const Cli *cli, const json_t *view)
{
    Use first = first_use(view);
    CLEANUP(mem_free_ptr) char *env = cli_command_new(cli, "env");
    CLEANUP(mem_free_ptr) char *eval = mem_printf("eval \"$(%s)\"", env);
    CLEANUP(mem_free_ptr) char *verb = cli_command_new(cli, first.command);
    CLEANUP(mem_free_ptr) char *use = mem_printf("%s %s", verb, first.operand);
    CLEANUP(mem_free_ptr) char *status = cli_command_new(cli, "status");
    const char *const rows[][2] = {
        {eval, "# endpoints, keys and certificates for applications"},
        {use, first.comment},
        {status, "# resources, and the processes behind them"},
    };
    Table table;
    table_init(&table, 3, TABLE_NO_STATE);
    fputs("\nNext:\n", stderr);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *const cells[] = {"", rows[i][0], rows[i][1]};
        table_row(&table, cells);
    }
    table_print(&table, stderr);
    table_done(&table);
}

/* With what to do next, unless something went wrong: then that is what counts. What is not yet in
 * effect was part of the plan, where there was one. */
static bool endpoints_show(Cli *cli, bool planned, bool next, Err *err)
{
    json_t *view = view_load(cli, err);
    if (view == NULL) {
        return false;
    }
    if (cli->format == CLI_JSON) {
        cli_print_json(view);
        return true;
    }
    if (!view_is_empty(view)) {
        view_print_resources(view, !planned, stdout);
        fflush(stdout);
    }
    if (next) {
        next_commands(cli, view);
    }
    json_decref(view);
    return true;
}

/* Until a signal asks for the end. */
static bool stay_in_front(Cli *cli, TierStart *start, const sigset_t *signals, bool failed)
{
    const struct timespec step = {.tv_sec = VIEW_MS / 1000};
    CLEANUP(live_done) Live live;
    Err err;
    live_init(&live);
    fprintf(stderr, "\nThe tier is up%s. Ctrl-C stops it; what happens to it is shown here.\n",
            failed ? " without what failed" : "");
    (void)!live_show(cli, &live, false, &err);
    while (sigtimedwait(signals, NULL, &step) < 0) {
        if (live_show(cli, &live, true, &err) || tier_is_up(cli)) {
            continue;
        }
        if (tier_is_left(cli)) { /* killed, and whoever looks after it, too */
            tier_start_done(start);
            (void)!tier_start(cli, start, &err);
        } else {
            return false; /* somebody else stopped it */
        }
    }
    return true;
}

/* ---- weir up -----------------------------------------------------------------------------------
 */

static bool option_put(Cli *cli, const char *name, const char *value, Err *err)
{
    json_t *output = cli_call(cli, "weir", "PutTierOption",
                              json_pack("{s:s, s:s}", "Name", name, "Value", value), err);
    json_decref(output);
    return output != NULL;
}

/* Of the tier, not of the files. The map stays when the next `weir up` does not say it; that faults
 * may be injected holds until the tier is brought up without. */
static bool options_put(Cli *cli, const Up *up, bool ours, Err *err)
{
    TRY(up->version_map == NULL || option_put(cli, "engine_version_map", up->version_map, err));
    if (up->allow_chaos) {
        return option_put(cli, "allow_chaos", "yes", err);
    }
    CLEANUP(record_free_ptr) json_t *output = cli_call(cli, "weir", "DescribeTier", NULL, err);
    const json_t *options = member_object(member_object(output, "Tier"), "Options");
    bool take_back = ours && json_object_get(options, "allow_chaos") != NULL;
    return output != NULL && (!take_back || option_put(cli, "allow_chaos", "", err));
}

/* Until everything is there and shown. The exit status, also where that was interrupted; what it
 * may be interrupted by waits as a signal. *ret_up: the API answers. */
static int up_bring(Cli *cli, Up *up, const TierStart *start, bool *ret_up)
{
    Err err;
    if (!tier_wait_for_api(cli, start, &err)) {
        return interrupt_waits() ? err_exit_code(ERR_UNAVAILABLE) : cli_fail(&err);
    }
    *ret_up = true;
    if (!options_put(cli, up, start->pidfd >= 0, &err)) {
        return cli_fail(&err);
    }
    int status = up_files_apply(up, cli);
    if (interrupt_waits()) {
        return err_exit_code(ERR_UNAVAILABLE);
    }
    bool tell_all = start->pidfd >= 0 && up->files[0] == NULL; /* nobody else has told of it */
    if (up_wait_available(cli, tell_all, &err) &&
        endpoints_show(cli, up->files[0] != NULL, status == 0, &err)) {
        return status;
    }
    return interrupt_waits() ? err_exit_code(ERR_UNAVAILABLE) : cli_fail(&err);
}

/* Whatever happens meanwhile: a second Ctrl-C is held back like the first. */
static int up_stop(Cli *cli, const Up *up, const TierStart *start, int status)
{
    Err err;
    if (!tier_stop(cli, start, &err)) {
        return cli_fail(&err);
    }
    bool same_files = status != 0 && up->files[0] != NULL;
    CLEANUP(mem_free_ptr) char *again = cli_command_new(cli, "up");
    fprintf(stderr, "The tier is stopped; `%s` %s.\n", again,
            same_files ? "with the same files goes on from its data" : "brings the same data back");
    return status;
}

/* Of a tier that did not come up: a folder that was made for it goes, unless the reason is to be
 * looked for in its log. */
static int up_take_back(Cli *cli, const TierStart *start, int status)
{
    Err err;
    bool explained = status >= err_exit_code(ERR_INVALID);
    if (!tier_stop(cli, start, &err) ||
        (explained && start->made_folder && !up_folder_remove(cli->data_dir, &err))) {
        return cli_fail(&err);
    }
    return status;
}

/* This command does not stay in front, since the tier is not its own. */
static void say_who_watches(const Cli *cli)
{
    CLEANUP(mem_free_ptr) char *down = cli_command_new(cli, "down");
    if (tier_is_watched(cli)) {
        fprintf(stderr, "The tier in %s is up already; another `weir up` looks after it.\n",
                cli->data_dir);
    } else {
        fprintf(stderr, "The tier in %s is up already, detached; `%s` stops it.\n", cli->data_dir,
                down);
    }
}

/* Whoever was told of errors would not expect a tier. */
static void say_what_stays(const Cli *cli, int status)
{
    CLEANUP(mem_free_ptr) char *down = cli_command_new(cli, "down");
    if (status != 0) {
        fprintf(stderr, "weir: the tier is up without what failed; `%s` stops it\n", down);
    }
}

static int up_run(Cli *cli, Up *up, char **files)
{
    Err err;
    sigset_t signals;
    CLEANUP(tier_start_done) TierStart start = tier_start_none(cli);
    int status = up_files_check(up, cli, files);
    if (status != 0) {
        return status;
    }
    bool attached = tier_is_up(cli);
    bool made_folder = !file_exists(cli->data_dir);
    if ((attached || tier_is_supervised(cli)) && up_host_is_asked(up)) {
        err_set(&err, ERR_CONFLICT,
                "the tier in %s is up already: `weir down` first, to change what host it is",
                cli->data_dir);
        return cli_fail(&err);
    }
    if (!attached && !up_host_prepare(up, cli, &err)) {
        Err ignored;
        (void)!(!made_folder || up_folder_remove(cli->data_dir, &ignored));
        return cli_fail(&err);
    }
    interrupt_hold(&signals);
    if (attached) {
        say_who_watches(cli);
    }
    if (!attached && !tier_start(cli, &start, &err)) {
        return cli_fail(&err);
    }
    start.made_folder = start.made_folder || made_folder;
    bool is_up = false;
    status = up_bring(cli, up, &start, &is_up);
    if (attached) {
        if (interrupt_waits()) {
            fputs("\nInterrupted; the tier stays up, and what was asked of it goes on.\n", stderr);
        }
        return status;
    }
    if (interrupt_waits()) {
        fputs("\nInterrupted; stopping the tier…\n", stderr);
        return up_stop(cli, up, &start, status);
    }
    if (!is_up) {
        return up_take_back(cli, &start, status);
    }
    if (up->detach) {
        say_what_stays(cli, status);
        return status;
    }
    if (stay_in_front(cli, &start, &signals, status != 0)) {
        fputs("\nStopping the tier…\n", stderr);
    }
    return up_stop(cli, up, &start, status);
}

enum {
    OPTION_DETACH = 256,
    OPTION_VAR,
    OPTION_VAR_FILE,
    OPTION_VERSION_MAP,
    OPTION_CHAOS,
    OPTION_JOIN,
    OPTION_NAME,
    OPTION_ZONE,
    OPTION_NET,
    OPTION_NO_ENGINES
};

static bool on_up_option(void *user, int val, const char *argument)
{
    Up *up = user;
    Err err;
    if (val == OPTION_DETACH) {
        up->detach = true;
    } else if (val == OPTION_CHAOS) {
        up->allow_chaos = true;
    } else if (val == OPTION_VERSION_MAP) {
        up->version_map = argument;
        if (!engine_version_map_check(argument, &err)) {
            fprintf(stderr, "weir: %s\n", err.message);
            return false;
        }
    } else if (val == OPTION_JOIN) {
        up->join = argument;
    } else if (val == OPTION_NAME) {
        up->name = argument;
    } else if (val == OPTION_ZONE) {
        up->zone = argument;
    } else if (val == OPTION_NET) {
        up->net = argument;
    } else if (val == OPTION_NO_ENGINES) {
        up->no_engines = true;
    } else if (val == OPTION_VAR) {
        vec_push(&up->vars, argument);
    } else {
        vec_push(&up->var_files, argument);
    }
    return true;
}

int up_main(int argc, char **argv)
{
    static const struct option options[] = {
        {"detach", no_argument, NULL, OPTION_DETACH},
        {"var", required_argument, NULL, OPTION_VAR},
        {"var-file", required_argument, NULL, OPTION_VAR_FILE},
        {"engine-version-map", required_argument, NULL, OPTION_VERSION_MAP},
        {"allow-chaos", no_argument, NULL, OPTION_CHAOS},
        {"join", required_argument, NULL, OPTION_JOIN},
        {"name", required_argument, NULL, OPTION_NAME},
        {"zone", required_argument, NULL, OPTION_ZONE},
        {"net", required_argument, NULL, OPTION_NET},
        {"no-engines", no_argument, NULL, OPTION_NO_ENGINES},
        {0}};
    Up up = {0};
    const CliSpec spec = {
        .usage =
            "usage: weir up [--detach] [--var NAME=VALUE] [--var-file FILE]\n"
            "               [--engine-version-map MAP] [--allow-chaos] [-o table|json]\n"
            "               [--join TOKEN] [--name NAME] [--zone ZONE] [--net NET]\n"
            "               [--no-engines]\n"
            "               [--data DIR] [FILE…]\n\n"
            "Starts the tier in the data directory, applies the Terraform files, and stays in\n"
            "front until Ctrl-C, which stops the tier. Without files it starts what was\n"
            "there, or an empty tier.\n"
            "  --detach          returns when everything is available, but for what is led on\n"
            "                    another host that is silent\n"
            "  --var NAME=VALUE  sets a variable of the files\n"
            "  --var-file FILE   reads variables\n"
            "  --engine-version-map MAP\n"
            "                    lets an installed major version of PostgreSQL stand in for\n"
            "                    one that is not: 14=15, or 13=15,14=15. The tier keeps it;\n"
            "                    '' takes it back\n"
            "  --allow-chaos     lets weir chaos and weir drill inject faults\n"
            "  --join TOKEN      makes this a further host of the tier whose\n"
            "                    `weir host token` printed it (or @FILE, or - to read it),\n"
            "                    with its --name, its --zone (a, b or c) and its --net\n"
            "  --net A.B         the /16 of this host's endpoints and engines, which must\n"
            "                    lead here (ip route add local A.B.0.0/16 dev lo). Without\n"
            "                    it a free one of 127/8, which no other machine reaches\n"
            "  --no-engines      the host that joins has a vote in the store alone\n"
            "  --name, --zone    of the first host, too, where others are to join\n"
            "  --data DIR        names the tier (WEIR_DATA, else /var/lib/weir for root and\n"
            "                    ./.weir for others)\n",
        .operands_max = CLI_OPERANDS_ANY,
        .has_json = true,
        .options = options,
        .on_option = on_up_option,
        .user = &up};
    Cli cli;
    int status = cli_options(&cli, argc, argv, &spec) ? up_run(&cli, &up, argv + optind)
                 : cli.help                           ? 0
                                                      : err_exit_code(ERR_INVALID);
    vec_done(&up.vars);
    vec_done(&up.var_files);
    cli_done(&cli);
    return status;
}
