/*
 * `weir up` and `weir down`: a tier begins and ends here. up starts the supervisor as a process of
 * its own, waits for the API, applies the files, shows the endpoints, and stays in front as a live
 * view; Ctrl-C stops the tier. Whatever is looked at or changed goes through the API.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/up_priv.h"
#include "loop/loop.h"
#include "model/model.h"

#define START_WAIT_MS 30000
#define STOP_WAIT_MS  90000
#define POLL_MS       50
#define VIEW_MS       1000
#define LOG_TAIL_MAX  ((size_t)64 << 10)

static void pause_ms(int64_t ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

/* ---- starting the supervisor -------------------------------------------------------------------
 */

static char *log_path(const Cli *cli)
{
    return mem_printf("%s/weir.log", cli->data_dir);
}

/* Whether a serve holds the folder's lock. */
static bool tier_is_up(const Cli *cli)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/weir.lock", cli->data_dir);
    CLEANUP(fd_close) int fd = open(path, O_RDWR | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static bool supervisor_start(const Cli *cli, int *ret_pidfd, off_t *ret_log_offset, Err *err)
{
    TRY(dir_make(cli->data_dir, 0711, err));
    CLEANUP(mem_free_ptr) char *program = realpath("/proc/self/exe", NULL);
    CLEANUP(mem_free_ptr) char *data_dir = realpath(cli->data_dir, NULL);
    CLEANUP(mem_free_ptr) char *path = log_path(cli);
    CLEANUP(fd_close) int log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (program == NULL || data_dir == NULL || log_fd < 0) {
        return err_set_errno(err, errno, "cannot use the data directory %s", cli->data_dir);
    }
    struct stat info;
    *ret_log_offset = fstat(log_fd, &info) == 0 ? info.st_size : 0;
    const char *const argv[] = {program, "supervise", "--data", data_dir, NULL};
    const SpawnSpec spec = {.argv = argv, .cwd = "/", .log_fd = log_fd};
    pid_t pid;
    return process_spawn(&spec, &pid, ret_pidfd, err);
}

static bool has_ended(int pidfd)
{
    struct pollfd ready = {.fd = pidfd, .events = POLLIN};
    return pidfd >= 0 && poll(&ready, 1, 0) > 0;
}

/* What the tier last complained of since `offset` in its log, as a sentence. */
static void log_complaint(const Cli *cli, off_t offset, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = log_path(cli);
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = mem_alloc(LOG_TAIL_MAX + 1);
    ssize_t len = fd >= 0 ? pread(fd, text, LOG_TAIL_MAX, offset) : -1;
    Slice rest = slice_from(text, len > 0 ? (size_t)len : 0);
    err_set(err, ERR_INTERNAL, "the tier did not start: see %s", path);
    while (rest.data != NULL) {
        Slice line = slice_cut(&rest, '\n');
        Slice after = line;
        (void)slice_cut(&after, ' '); /* the time */
        if (slice_starts(after, "error ")) {
            (void)slice_cut(&after, ':');
            err_set(err, ERR_INVALID, "%.*s", SLICE_FMT(slice_trim(after)));
        }
    }
    mem_free(text);
}

bool up_wait_for_api(Cli *cli, int pidfd, off_t log_offset, Err *err)
{
    for (int64_t end = time_mono_ms() + START_WAIT_MS; time_mono_ms() < end; pause_ms(POLL_MS)) {
        if (has_ended(pidfd)) {
            log_complaint(cli, log_offset, err);
            return false;
        }
        client_close(cli->client);
        cli->client = NULL;
        json_t *tier = tier_is_up(cli) && cli_connect(cli, err)
                           ? cli_call(cli, "weir", "DescribeTier", NULL, err)
                           : NULL;
        if (tier != NULL) {
            json_decref(tier);
            return true;
        }
    }
    CLEANUP(mem_free_ptr) char *path = log_path(cli);
    return err_set(err, ERR_TIMEOUT, "the API does not answer after %d s: see %s",
                   START_WAIT_MS / 1000, path);
}

/* ---- stopping ----------------------------------------------------------------------------------
 */

static bool stop_and_wait(Cli *cli, Err *err)
{
    json_t *output = cli_call(cli, "weir", "StopTier", NULL, err);
    if (output == NULL && err->code != ERR_UNSETTLED) {
        return false;
    }
    json_decref(output);
    for (int64_t end = time_mono_ms() + STOP_WAIT_MS; time_mono_ms() < end; pause_ms(POLL_MS)) {
        if (!tier_is_up(cli)) {
            return true;
        }
    }
    CLEANUP(mem_free_ptr) char *path = log_path(cli);
    return err_set(err, ERR_TIMEOUT, "the tier still stops after %d s: see %s", STOP_WAIT_MS / 1000,
                   path);
}

/* ---- the view in front -------------------------------------------------------------------------
 */

static void next_commands(const Cli *cli, const json_t *view)
{
    const char *database =
        member_str(json_array_get(member_array(view, "proxies"), 0), "DBProxyName", NULL);
    if (database == NULL) {
        database = member_str(json_array_get(member_array(view, "instances"), 0),
                              "DBInstanceIdentifier", "NAME");
    }
    bool named = getenv("WEIR_DATA") == NULL && strcmp(cli->data_dir, "/var/lib/weir") != 0 &&
                 strcmp(cli->data_dir, "./.weir") != 0;
    CLEANUP(mem_free_ptr)
    char *data = named ? mem_printf(" --data %s", cli->data_dir) : mem_strdup("");
    CLEANUP(mem_free_ptr) char *env = mem_printf("eval \"$(weir env%s)\"", data);
    CLEANUP(mem_free_ptr) char *psql = mem_printf("weir psql%s %s", data, database);
    CLEANUP(mem_free_ptr) char *status = mem_printf("weir status%s", data);
    const char *const rows[][2] = {
        {env, "# endpoints, keys and certificates for applications"},
        {psql, "# a database session"},
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

static bool endpoints_show(Cli *cli, Err *err)
{
    json_t *view = view_load(cli, err);
    if (view == NULL) {
        return false;
    }
    if (cli->format == CLI_JSON) {
        cli_print_json(view);
        return true;
    }
    if (json_array_size(member_array(view, "instances")) +
            json_array_size(member_array(view, "caches")) >
        0) {
        view_print_resources(view, stdout);
        fflush(stdout);
    }
    next_commands(cli, view);
    json_decref(view);
    return true;
}

/* Until a signal asks for the end: what happens, as it happens. */
static bool stay_in_front(Cli *cli, const sigset_t *signals)
{
    const struct timespec step = {.tv_sec = VIEW_MS / 1000};
    char *after = NULL;
    Err err;
    (void)!events_new(cli, &after, false, &err);
    fputs("\nThe tier is up. Ctrl-C stops it; what happens to it is shown here.\n", stderr);
    while (sigtimedwait(signals, NULL, &step) < 0) {
        if (!events_new(cli, &after, true, &err) && !tier_is_up(cli)) {
            mem_free(after);
            return false; /* somebody else stopped it */
        }
    }
    mem_free(after);
    return true;
}

/* ---- weir up -----------------------------------------------------------------------------------
 */

/* Whether a signal that ends it waits already. */
static bool is_ending(const sigset_t *signals)
{
    sigset_t pending;
    sigset_t both;
    return sigpending(&pending) == 0 && sigandset(&both, &pending, signals) == 0 &&
           sigisemptyset(&both) == 0;
}

static int up_run(Cli *cli, Up *up, char **files)
{
    Err err;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    CLEANUP(fd_close) int pidfd = -1;
    off_t log_offset = 0;
    int status = up_files_check(up, files);
    if (status != 0) {
        return status;
    }
    bool attached = tier_is_up(cli);
    if (!attached) {
        sigprocmask(SIG_BLOCK, &signals, NULL);
    }
    if ((!attached && !supervisor_start(cli, &pidfd, &log_offset, &err)) ||
        !up_wait_for_api(cli, pidfd, log_offset, &err)) {
        return cli_fail(&err);
    }
    status = up_files_apply(up, cli);
    bool ending = is_ending(&signals);
    if (!ending && (!up_wait_available(cli, &err) || !endpoints_show(cli, &err))) {
        return cli_fail(&err);
    }
    if (up->detach || attached) {
        return status;
    }
    if (stay_in_front(cli, &signals)) {
        fputs("\nStopping the tier…\n", stderr);
        if (!stop_and_wait(cli, &err)) {
            return cli_fail(&err);
        }
    }
    fputs("The tier is stopped; `weir up` brings the same data back.\n", stderr);
    return status;
}

enum { OPTION_DETACH = 256, OPTION_VAR, OPTION_VAR_FILE };

static bool on_up_option(void *user, int val, const char *argument)
{
    Up *up = user;
    if (val == OPTION_DETACH) {
        up->detach = true;
    } else if (val == OPTION_VAR) {
        vec_push(&up->vars, argument);
    } else {
        vec_push(&up->var_files, argument);
    }
    return true;
}

int up_main(int argc, char **argv)
{
    static const struct option options[] = {{"detach", no_argument, NULL, OPTION_DETACH},
                                            {"var", required_argument, NULL, OPTION_VAR},
                                            {"var-file", required_argument, NULL, OPTION_VAR_FILE},
                                            {0}};
    Up up = {0};
    const CliSpec spec = {
        .usage =
            "usage: weir up [--detach] [--var NAME=VALUE] [--var-file FILE] [--data DIR] "
            "[FILE…]\n\n"
            "Starts the tier in the data directory, applies the Terraform files, and stays in "
            "front until\nCtrl-C, which stops the tier. Without files it starts what was there, or "
            "an empty tier.\n"
            "  --detach          returns when everything is available; `weir down` stops the tier\n"
            "  --var NAME=VALUE  sets a variable of the files\n"
            "  --var-file FILE   reads variables\n"
            "  --data DIR        names the tier (WEIR_DATA; /var/lib/weir for root, else "
            "./.weir)\n",
        .options = options,
        .options_last = true,
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

/* ---- weir down ---------------------------------------------------------------------------------
 */

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

/* A tier that is not up is brought up once more, so that its resources go through the API. */
static bool down_connect(Cli *cli, bool destroy, Err *err)
{
    if (tier_is_up(cli)) {
        return up_wait_for_api(cli, -1, 0, err);
    }
    if (!destroy) {
        return err_set(err, ERR_NOT_FOUND, "no tier is up in %s", cli->data_dir);
    }
    CLEANUP(mem_free_ptr) char *store = mem_printf("%s/weir.sqlite", cli->data_dir);
    if (!file_exists(store)) {
        return err_set(err, ERR_NOT_FOUND, "there is no tier in %s", cli->data_dir);
    }
    CLEANUP(fd_close) int pidfd = -1;
    off_t log_offset = 0;
    return supervisor_start(cli, &pidfd, &log_offset, err) &&
           up_wait_for_api(cli, pidfd, log_offset, err);
}

static int down_run(Cli *cli, const Down *down)
{
    Err err;
    if (down->destroy && !down->yes) {
        fprintf(
            stderr,
            "weir: --destroy removes every resource and all data of the tier in %s: add --yes to "
            "do it\n",
            cli->data_dir);
        return err_exit_code(ERR_INVALID);
    }
    if (!down_connect(cli, down->destroy, &err)) {
        return cli_fail(&err);
    }
    if ((down->destroy && !up_destroy_all(cli, &err)) || !stop_and_wait(cli, &err)) {
        return cli_fail(&err);
    }
    if (down->destroy && !up_folder_remove(cli->data_dir, &err)) {
        return cli_fail(&err);
    }
    fputs(down->destroy ? "The tier is removed.\n"
                        : "The tier is stopped; `weir up` brings the same data back.\n",
          stderr);
    return 0;
}

int down_main(int argc, char **argv)
{
    static const struct option options[] = {{"destroy", no_argument, NULL, OPTION_DESTROY},
                                            {"yes", no_argument, NULL, OPTION_YES},
                                            {0}};
    Down down = {0};
    const CliSpec spec = {
        .usage =
            "usage: weir down [--destroy --yes] [--data DIR]\n\n"
            "Stops the tier; its data stays.\n"
            "  --destroy --yes  removes every resource first, protected ones included, without "
            "final\n                   snapshots, and then the data directory\n",
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
