/*
 * `weir run COMMAND`: an application that was written for AWS runs on the tier as it is. It becomes
 * the command: same ids, folder, streams, signals and exit status, with the environment of `weir
 * env`.
 *
 * SDKs that ignore AWS_ENDPOINT_URL connect to names like rds.eu-west-1.amazonaws.com at port 443.
 * Where the tier listens there, the command gets an /etc/hosts of its own that leads these names to
 * it. Where that cannot be, the one such SDK that can be told otherwise is: aws-sdk v2, by a
 * preload of Node.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli_priv.h"
#include "cli/run/run_priv.h"
#include "model/model.h"

#define EXIT_CANNOT_RUN 126 /* as shells, env and nohup have it */
#define EXIT_NO_COMMAND 127
#define PORT_OF_AWS     443
#define PORT_ANSWER_MS  5000
#define SCRIPT_HEAD_MAX 256

typedef enum RunHosts { RUN_HOSTS_TRY, RUN_HOSTS_MUST, RUN_HOSTS_NOT } RunHosts;

typedef struct Run {
    Cli cli;
    RunHosts hosts;
    char **command; /* ended by NULL */
    Arena *arena;
    json_t *vars;             /* env_load's */
    const char *address;      /* of the tier's API */
    const char *const *names; /* that shall lead there */
    const char *data_dir;     /* absolute */
} Run;

static const char usage[] =
    "usage: weir run [--aws-hosts | --no-aws-hosts] [--data DIR]\n"
    "                [--] COMMAND [ARGUMENT…]\n\n"
    "Runs an application that was written for AWS on the tier, unchanged: with the\n"
    "environment of `weir env`, and otherwise as if COMMAND had been typed, with its\n"
    "exit status (126: it cannot be run, 127: it is not there). Variables that would\n"
    "lead an SDK elsewhere (AWS_PROFILE, AWS_SESSION_TOKEN, AWS_ENDPOINT_URL_…) are\n"
    "not passed on.\n\n"
    "Some SDKs ignore AWS_ENDPOINT_URL: aws-sdk v2 for JavaScript, awscli and boto3\n"
    "of Debian 12. For them COMMAND sees an /etc/hosts of its own, in which\n"
    "secretsmanager.REGION.amazonaws.com and its like are the tier. For that the tier\n"
    "must be listening at port 443: root's does, and an ordinary user's does after\n"
    "  sysctl -w net.ipv4.ip_unprivileged_port_start=443\n"
    "and a new start. Where it is not possible, aws-sdk v2 is told the endpoint by a\n"
    "preload of Node (NODE_OPTIONS), and a note says that other such SDKs do not\n"
    "reach the tier.\n"
    "  --aws-hosts     fails where an /etc/hosts of its own is not possible\n"
    "  --no-aws-hosts  sets the environment, and does nothing else\n";

/* ---- whether the tier is at port 443 ------------------------------------------------------ */

static int first_free_port(void)
{
    Buf text;
    buf_init(&text, 64);
    uint64_t port;
    bool ok = file_read("/proc/sys/net/ipv4/ip_unprivileged_port_start", &text, NULL) &&
              str_to_u64(slice_trim(buf_slice(&text)), &port);
    buf_done(&text);
    return ok && port <= UINT16_MAX ? (int)port : 1024;
}

/* Asks it, for somebody else's web server may be there. */
static bool port_answers(const Run *run, Err *err)
{
    ClientSettings settings;
    Client *client = NULL;
    TRY(client_settings_load(run->cli.data_dir, &settings, err));
    mem_free(settings.endpoint);
    settings.endpoint = mem_printf("https://%s:%d", run->address, PORT_OF_AWS);
    settings.patience_ms = 0;
    settings.timeout_ms = PORT_ANSWER_MS;
    json_t *output = NULL;
    bool ok = client_open(&settings, &client, err) &&
              client_call(client, "weir", "DescribeTier", NULL, &output, NULL, err);
    json_decref(output);
    client_close(client);
    client_settings_done(&settings);
    return ok;
}

static bool port_check(const Run *run, Err *err)
{
    Err problem;
    if (port_answers(run, &problem)) {
        return true;
    }
    if (geteuid() != 0 && first_free_port() > PORT_OF_AWS) {
        return err_set(err, ERR_DENIED,
                       "the tier may not listen at port 443: run `sysctl -w "
                       "net.ipv4.ip_unprivileged_port_start=443` as root, then `weir down` and "
                       "`weir up`");
    }
    return err_set(err, problem.code, "the tier is not at %s:443 (%s): see %s/weir.log",
                   run->address, problem.message, run->data_dir);
}

/* ---- an /etc/hosts of its own ------------------------------------------------------------- */

static bool hosts_use(Run *run, Err *err)
{
    TRY(port_check(run, err));
    Buf real;
    Buf text;
    buf_init(&real, BUF_MAX_DEFAULT);
    buf_init(&text, BUF_MAX_DEFAULT);
    bool ok = file_read("/etc/hosts", &real, err);
    if (ok) {
        run_hosts_text(buf_slice(&real), run->address, run->names, &text);
        ok = !text.overflowed || err_set(err, ERR_LIMIT, "/etc/hosts is too large");
    }
    const RunSpace space = {.hosts = buf_slice(&text),
                            .folder = run->data_dir,
                            .name = run->names[0],
                            .address = run->address};
    ok = ok && run_space_try(&space, err) && run_space_enter(&space, err);
    buf_done(&real);
    buf_done(&text);
    return ok;
}

/* ---- Node --------------------------------------------------------------------------------- */

static bool is_node_script(const char *path)
{
    char head[SCRIPT_HEAD_MAX];
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t len = fd >= 0 ? read(fd, head, sizeof(head)) : -1;
    return len > 0 && run_node_is_script(slice_from(head, (size_t)len));
}

static bool is_node(Arena *arena, const char *command)
{
    if (run_node_is_name(command)) {
        return true;
    }
    if (strchr(command, '/') != NULL) {
        return is_node_script(command);
    }
    Slice rest = slice_of(getenv("PATH"));
    while (rest.data != NULL) {
        Slice folder = slice_cut(&rest, ':');
        const char *path = arena_printf(arena, "%.*s/%s", SLICE_FMT(folder), command);
        if (folder.len > 0 && access(path, X_OK) == 0) {
            return is_node_script(path);
        }
    }
    return false;
}

/* The file stays as long as the tier: the command's children may start Node later. */
static bool preload_use(const Run *run, Err *err)
{
    const char *path = arena_printf(run->arena, "%s/node-preload.cjs", run->data_dir);
    Slice wanted = slice_of(run_node_preload);
    Buf there;
    buf_init(&there, BUF_MAX_DEFAULT);
    bool same = file_read(path, &there, NULL) && slice_eq(buf_slice(&there), wanted);
    buf_done(&there);
    if (!same) {
        TRY(file_write(path, wanted, 0644, err));
    }
    CLEANUP(mem_free_ptr) char *options = run_node_options(getenv("NODE_OPTIONS"), path);
    setenv("NODE_OPTIONS", options, 1);
    return true;
}

/* ---- all of it ---------------------------------------------------------------------------- */

static bool names_use(Run *run, Err *err)
{
    Err problem;
    if (run->hosts == RUN_HOSTS_NOT || hosts_use(run, &problem)) {
        return true;
    }
    if (run->hosts == RUN_HOSTS_MUST) {
        return err_set(err, problem.code, "--aws-hosts: %s", problem.message);
    }
    if (!is_node(run->arena, run->command[0])) {
        fprintf(stderr,
                "weir: note: SDKs that ignore AWS_ENDPOINT_URL, as awscli and boto3 of "
                "Debian 12 do, will not reach the tier: %s\n",
                problem.message);
    }
    return preload_use(run, err);
}

static bool run_prepare(Run *run, Err *err)
{
    TRY(cli_connect(&run->cli, err));
    run->vars = env_load(&run->cli, run->arena, NULL, err);
    if (run->vars == NULL) {
        return false;
    }
    run->data_dir = member_str(run->vars, "WEIR_DATA", "");
    run->names = aws_public_hosts(run->arena, member_str(run->vars, "AWS_REGION", ""));
    run->address = run_endpoint_address(run->arena, member_str(run->vars, "AWS_ENDPOINT_URL", ""));
    if (run->address == NULL) {
        return err_set(err, ERR_INTERNAL, "the tier's endpoint is not https://ADDRESS:PORT");
    }
    const char *const here[] = {run->address, NULL};
    run_env_apply(run->vars, here);
    return names_use(run, err);
}

static int command_execute(char **command)
{
    fflush(NULL);
    execvp(command[0], command);
    int problem = errno;
    fprintf(stderr, "weir: cannot run %s: %s\n", command[0], strerror(problem));
    return problem == ENOENT ? EXIT_NO_COMMAND : EXIT_CANNOT_RUN;
}

enum { OPTION_HOSTS = 256, OPTION_NO_HOSTS };

static bool on_run_option(void *user, int val, const char *argument)
{
    (void)argument;
    Run *run = user;
    run->hosts = val == OPTION_HOSTS ? RUN_HOSTS_MUST : RUN_HOSTS_NOT;
    return true;
}

int run_main(int argc, char **argv)
{
    static const struct option options[] = {{"aws-hosts", no_argument, NULL, OPTION_HOSTS},
                                            {"no-aws-hosts", no_argument, NULL, OPTION_NO_HOSTS},
                                            {0}};
    Run run = {.arena = arena_new()};
    const CliSpec spec = {.usage = usage,
                          .options = options,
                          .options_first = true,
                          .operands_min = 1,
                          .operands_max = CLI_OPERANDS_ANY,
                          .on_option = on_run_option,
                          .user = &run};
    Err err;
    int status = 0;
    if (!cli_options(&run.cli, argc, argv, &spec)) {
        status = run.cli.help ? 0 : err_exit_code(ERR_INVALID);
    } else {
        run.command = argv + optind;
        status = run_prepare(&run, &err) ? 0 : cli_fail(&err);
        cli_done(&run.cli);
        status = status == 0 ? command_execute(run.command) : status;
    }
    cli_done(&run.cli);
    json_decref(run.vars);
    arena_free(run.arena);
    return status;
}
