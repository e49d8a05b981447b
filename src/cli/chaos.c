/* `weir chaos`: a fault on purpose, for a time where it is one that can be taken back. */
#include <stdio.h>
#include <time.h>

#include "cli/cli_priv.h"

#define SECONDS_DEFAULT 10
#define SECONDS_MAX     3600

enum { OPTION_FOR = 256 };

/* What takes a fault back; the others have no way back but Weir's own. */
static const struct {
    const char *fault, *back;
} ways_back[] = {
    {"stop-node", "continue-node"}, {"cut-link", "mend-link"}, {"fill-disk", "empty-disk"}};

typedef struct Chaos {
    int64_t seconds; /* 0: not said */
    const char *fault;
    char *node;
} Chaos;

const char *chaos_way_back(const char *fault)
{
    for (size_t i = 0; i < ARRAY_LEN(ways_back); i++) {
        if (strcmp(fault, ways_back[i].fault) == 0) {
            return ways_back[i].back;
        }
    }
    return NULL;
}

bool chaos_find_node(Cli *cli, const LeaderKind *kind, const char *name, char **ret_node, Err *err)
{
    CLEANUP(record_free_ptr) json_t *nodes = cli_list(cli, "weir", "ListNodes", "Nodes", err);
    const char *found = NULL;
    size_t i;
    json_t *node;
    if (nodes == NULL) {
        return false;
    }
    json_array_foreach (nodes, i, node) {
        const char *id = member_str(node, "NodeId", "");
        bool fits = kind == NULL || strcmp(member_str(node, "ResourceType", ""), kind->type) == 0;
        bool leads = strcmp(member_str(node, "Role", ""), "primary") == 0 &&
                     strcmp(member_str(node, "ResourceId", ""), name) == 0;
        found = fits && (leads || strcmp(id, name) == 0) ? id : found;
    }
    if (found == NULL) {
        return err_set(err, ERR_NOT_FOUND,
                       "%s is no node, and no instance or cache with a primary: see weir status",
                       name);
    }
    *ret_node = mem_strdup(found);
    return true;
}

bool chaos_ask(Cli *cli, const char *fault, const char *node, int64_t *ret_processes, Err *err)
{
    CLEANUP(record_free_ptr)
    json_t *output = cli_call(cli, "weir", "InjectFault",
                              json_pack("{s:s, s:s}", "Fault", fault, "NodeId", node), err);
    *ret_processes = member_int(output, "Processes", 0);
    return output != NULL;
}

static void say_done(const Chaos *chaos, const char *fault, int64_t processes)
{
    printf("%s: %s", chaos->node, fault);
    if (processes > 0) {
        printf(", %ld process%s", (long)processes, processes > 1 ? "es" : "");
    }
}

static bool chaos_run(Cli *cli, Chaos *chaos, const char *name, Err *err)
{
    const char *back = chaos_way_back(chaos->fault);
    int64_t processes = 0;
    if (chaos->seconds > 0 && back == NULL) {
        return err_set(err, ERR_INVALID, "%s is not taken back: leave out --for", chaos->fault);
    }
    TRY(chaos_find_node(cli, NULL, name, &chaos->node, err));
    sigset_t held;
    interrupt_hold(&held);
    TRY(chaos_ask(cli, chaos->fault, chaos->node, &processes, err));
    say_done(chaos, chaos->fault, processes);
    if (back == NULL) {
        printf("\n");
        return true;
    }
    int64_t seconds = chaos->seconds > 0 ? chaos->seconds : SECONDS_DEFAULT;
    printf("; %s follows in %ld s, or at Ctrl-C\n", back, (long)seconds);
    fflush(stdout);
    const struct timespec limit = {.tv_sec = seconds};
    sigtimedwait(&held, NULL, &limit);
    TRY(chaos_ask(cli, back, chaos->node, &processes, err));
    say_done(chaos, back, processes);
    printf("\n");
    return true;
}

static bool on_chaos_option(void *user, int val, const char *argument)
{
    (void)val;
    Chaos *chaos = user;
    if (!str_to_i64(slice_of(argument), &chaos->seconds) || chaos->seconds < 1 ||
        chaos->seconds > SECONDS_MAX) {
        fprintf(stderr, "weir: --for is a number of seconds, 1 to %d\n", SECONDS_MAX);
        return false;
    }
    return true;
}

int chaos_main(int argc, char **argv)
{
    static const struct option options[] = {{"for", required_argument, NULL, OPTION_FOR}, {0}};
    Chaos chaos = {0};
    const CliSpec spec = {
        .usage =
            "usage: weir chaos FAULT NAME [--for SECONDS] [--data DIR]\n\n"
            "Does one fault to a node of a tier that was brought up with --allow-chaos.\n"
            "NAME is a node of `weir status`, or an instance or a cache: then its primary.\n"
            "  kill-engine   its postmaster or redis-server is killed (SIGKILL)\n"
            "  kill-guard    the guard of the engine is\n"
            "  kill-node     all its processes are\n"
            "  stop-node     all its processes stand still (SIGSTOP), and go on later\n"
            "  cut-link      nobody reaches it over the network until later; by root, with\n"
            "                nft. Whom it reaches itself, it still does: a standby its leader\n"
            "  fill-disk     its file system is filled, and emptied later; not where it is\n"
            "                the host's own\n"
            "  --for SECONDS until what can be taken back is taken back; 10. Ctrl-C does it\n"
            "                at once\n"
            "`weir events --follow` shows what the tier does about it.\n",
        .operands_min = 2,
        .operands_max = 2,
        .options = options,
        .on_option = on_chaos_option,
        .user = &chaos};
    Cli cli;
    Err err;
    int status = 0;
    if (!cli_options(&cli, argc, argv, &spec)) {
        status = cli.help ? 0 : err_exit_code(ERR_INVALID);
    } else {
        chaos.fault = argv[optind];
        bool ok = cli_connect(&cli, &err) && chaos_run(&cli, &chaos, argv[optind + 1], &err);
        status = ok ? 0 : cli_fail(&err);
    }
    mem_free(chaos.node);
    cli_done(&cli);
    return status;
}
