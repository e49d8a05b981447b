/*
 * `weir failover`: a planned change of who leads an instance or a replication group; and, where
 * nobody may lead, somebody's word that one may all the same.
 */
#include <stdio.h>
#include <time.h>

#include "cli/cli_priv.h"

enum { OPTION_ALLOW_DATA_LOSS = 256, OPTION_NODE, OPTION_YES };

#define LOOK_MS    100
#define WAIT_MS    (120 * MS_PER_S)
#define STARTED_MS 3000 /* within which it says that it has begun */

const LeaderKind leader_instance = {"db-instance",         "instance",    "rds",
                                    "DescribeDBInstances", "DBInstances", "DBInstanceIdentifier",
                                    "DBInstanceStatus"};
const LeaderKind leader_group = {
    "replication-group",  "group", "elasticache", "DescribeReplicationGroups", "ReplicationGroups",
    "ReplicationGroupId", "Status"};

typedef struct Change {
    const char *name;
    const LeaderKind *kind;
    char *before; /* the node that led */
    char *after;
    int64_t took_ms;
    bool loses;       /* --allow-data-loss */
    const char *node; /* --node; NULL: whoever could */
    bool yes;
} Change;

/* ---- who leads ---------------------------------------------------------------------------------
 */

/* The node that leads; the caller's, NULL where there is no word of one. Where nothing else is
 * known of the name, its nodes say what it is: of an instance and a group, the instance. */
static bool leader_find(Cli *cli, Change *change, char **ret_node, Err *err)
{
    CLEANUP(record_free_ptr) json_t *nodes = cli_list(cli, "weir", "ListNodes", "Nodes", err);
    size_t i;
    json_t *node;
    *ret_node = NULL;
    json_array_foreach (nodes, i, node) {
        if (strcmp(member_str(node, "ResourceId", ""), change->name) != 0) {
            continue;
        }
        bool cache = strcmp(member_str(node, "ResourceType", ""), leader_group.type) == 0;
        if (change->kind == NULL || (change->before == NULL && !cache)) {
            change->kind = cache ? &leader_group : &leader_instance;
        }
    }
    change->kind = change->kind != NULL ? change->kind : &leader_instance;
    json_array_foreach (nodes, i, node) {
        if (*ret_node == NULL && strcmp(member_str(node, "ResourceId", ""), change->name) == 0 &&
            strcmp(member_str(node, "ResourceType", ""), change->kind->type) == 0 &&
            strcmp(member_str(node, "Role", ""), "primary") == 0) {
            *ret_node = mem_strdup(member_str(node, "NodeId", ""));
        }
    }
    return nodes != NULL;
}

/* ---- in order ----------------------------------------------------------------------------------
 */

bool leader_is_available(Cli *cli, const LeaderKind *kind, const char *name, bool *ret_is, Err *err)
{
    json_t *input = json_pack("{s:s}", kind->name, name);
    CLEANUP(record_free_ptr)
    json_t *output = cli_call(cli, kind->service, kind->describe, input, err);
    const json_t *found = json_array_get(member_array(output, kind->list), 0);
    *ret_is = strcmp(member_str(found, kind->status, ""), "available") == 0;
    return output != NULL;
}

static bool change_wait(Cli *cli, Change *change, Err *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    int64_t begun_ms = time_mono_ms();
    for (;;) {
        bool available = false;
        TRY(leader_is_available(cli, change->kind, change->name, &available, err));
        mem_free(change->after);
        TRY(leader_find(cli, change, &change->after, err));
        change->took_ms = time_mono_ms() - begun_ms;
        if (available && change->after != NULL &&
            (strcmp(change->after, change->before) != 0 || change->took_ms > STARTED_MS)) {
            return true;
        }
        if (change->took_ms > WAIT_MS) {
            return err_set(err, ERR_TIMEOUT,
                           "%s is not available again after %ld s: see weir status", change->name,
                           WAIT_MS / MS_PER_S);
        }
        nanosleep(&pause, NULL);
    }
}

static json_t *change_ask(Cli *cli, const Change *change, Err *err)
{
    if (change->kind == &leader_group) {
        json_t *input =
            json_pack("{s:s, s:s}", leader_group.name, change->name, "NodeGroupId", "0001");
        return cli_call(cli, "elasticache", "TestFailover", input, err);
    }
    json_t *input = json_pack("{s:s, s:b}", leader_instance.name, change->name, "ForceFailover", 1);
    return cli_call(cli, "rds", "RebootDBInstance", input, err);
}

/* ---- without what the leader alone has ----------------------------------------------------------
 */

/* "main-2 (host h2)"; of several, whoever has most. */
static char *nodes_text(Arena *arena, const json_t *nodes)
{
    char *text = arena_strdup(arena, "");
    size_t i;
    json_t *node;
    json_array_foreach (nodes, i, node) {
        text = arena_printf(arena, "%s%s%s (host %s)", text, i > 0 ? " or " : "",
                            member_str(node, "NodeId", ""), member_str(node, "Host", ""));
    }
    return json_array_size(nodes) > 1 ? arena_printf(arena, "%s, whoever has most,", text) : text;
}

/* Of an instance: who could lead instead; "" where no other node has data. */
static const char *others_text(Arena *arena, const json_t *others)
{
    const char *text = "";
    size_t i;
    json_t *other;
    json_array_foreach (others, i, other) {
        const char *name = member_str(other, "NodeId", "");
        text = arena_printf(arena, "%s. Or --node %s: that one (host %s) has data, too%s", text,
                            name, member_str(other, "Host", ""),
                            member_bool(other, "HasLed", false) ? ", but went another way" : "");
    }
    return text;
}

static const char *silent_text(Arena *arena, const json_t *plan)
{
    char when[TIME_ISO_SIZE];
    if (json_object_get(plan, "LeaderSilentSince") == NULL) {
        return "";
    }
    time_format_iso(member_int(plan, "LeaderSilentSince", 0), when);
    return arena_printf(arena, ", silent since %.19sZ at least", when);
}

static bool refuse_unsure(const Change *change, const json_t *plan, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const json_t *nodes = member_array(plan, "Nodes");
    const json_t *first = json_array_get(nodes, 0);
    const char *leader = member_str(plan, "LeaderNodeId", "");
    const char *others = others_text(arena, member_array(plan, "Others"));
    if (strcmp(member_str(first, "NodeId", ""), leader) == 0) {
        return err_set(err, ERR_INVALID,
                       "%s would lead %s with other data than the store knows of: it goes on from "
                       "an old copy. What others have acknowledged since is lost, and no other "
                       "node must run. Make sure of that, and add --yes%s",
                       leader, change->name, others);
    }
    const char *all = member_bool(first, "HasLed", false)
                          ? ", which is all of its time: the other went another way before it"
                          : "";
    const char *host =
        arena_printf(arena, "%s%s", member_str(plan, "LeaderHost", ""), silent_text(arena, plan));
    return err_set(err, ERR_INVALID,
                   "%s would lead %s with what it has. What %s (host %s) has acknowledged without "
                   "it is lost%s; and %s must not run any more: else both would take writes. "
                   "Make sure of that, and add --yes%s",
                   nodes_text(arena, nodes), change->name, leader, host, all, leader, others);
}

/* Whether one of those that may leads; its name is change->after then. */
static bool force_look(Cli *cli, Change *change, const json_t *may, Err *err)
{
    CLEANUP(record_free_ptr) json_t *nodes = cli_list(cli, "weir", "ListNodes", "Nodes", err);
    size_t i;
    json_t *one;
    json_array_foreach (may, i, one) {
        const char *name = member_str(one, "NodeId", "");
        const json_t *node = view_find(nodes, "NodeId", name);
        if (change->after == NULL && strcmp(member_str(node, "Role", ""), "primary") == 0 &&
            strcmp(member_str(node, "State", ""), "running") == 0) {
            change->after = mem_strdup(name);
        }
    }
    return nodes != NULL;
}

static bool force_wait(Cli *cli, Change *change, const json_t *may, Err *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    int64_t begun_ms = time_mono_ms();
    while (change->after == NULL) {
        TRY(force_look(cli, change, may, err));
        change->took_ms = time_mono_ms() - begun_ms;
        if (change->took_ms > WAIT_MS) {
            return err_set(err, ERR_TIMEOUT,
                           "nobody leads %s after %ld s: `weir status` and `weir events --source "
                           "%s` say why",
                           change->name, WAIT_MS / MS_PER_S, change->name);
        }
        nanosleep(&pause, NULL);
    }
    return true;
}

static bool force_make(Cli *cli, Change *change, Err *err)
{
    char *leader;
    TRY(leader_find(cli, change, &leader, err)); /* of what kind it is */
    mem_free(leader);
    json_t *input =
        json_pack("{s:s, s:s, s:s*, s:b}", "ResourceType", change->kind->type, "ResourceId",
                  change->name, "NodeId", change->node, "AllowDataLoss", change->yes);
    CLEANUP(record_free_ptr) json_t *output = cli_call(cli, "weir", "ForceFailover", input, err);
    if (output == NULL) {
        return false;
    }
    const json_t *plan = member_object(output, "Failover");
    change->before = mem_strdup(member_str(plan, "LeaderNodeId", ""));
    return change->yes ? force_wait(cli, change, member_array(plan, "Nodes"), err)
                       : refuse_unsure(change, plan, err);
}

/* ---- the command -------------------------------------------------------------------------------
 */

static bool change_make(Cli *cli, Change *change, Err *err)
{
    if (change->loses) {
        return force_make(cli, change, err);
    }
    TRY(leader_find(cli, change, &change->before, err));
    CLEANUP(record_free_ptr) json_t *output = change_ask(cli, change, err);
    if (output == NULL) {
        return false;
    }
    if (change->before == NULL) {
        change->before = mem_strdup("");
    }
    return change_wait(cli, change, err);
}

static int change_print(const Cli *cli, const Change *change)
{
    bool done = change->loses || strcmp(change->before, change->after) != 0;
    if (cli->format == CLI_JSON) {
        cli_print_json(json_pack("{s:s, s:s, s:s, s:b, s:I}", change->kind->word, change->name,
                                 "before", change->before, "after", change->after, "done", done,
                                 "ms", (json_int_t)change->took_ms));
    } else if (change->loses) {
        printf("%s: %s leads after %.1f s.\n", change->name, change->after,
               (double)change->took_ms / MS_PER_S);
    } else if (done) {
        printf("%s: %s leads in the place of %s; available with its %s after %.1f s.\n",
               change->name, change->after, change->before,
               change->kind == &leader_group ? "replicas" : "standby",
               (double)change->took_ms / MS_PER_S);
    } else {
        fprintf(stderr,
                "weir: %s still leads %s: nobody else was ready to. `weir status` and `weir events "
                "--source %s` say why.\n",
                change->after, change->name, change->name);
    }
    return done ? 0 : err_exit_code(ERR_TIMEOUT); /* nobody was ready in time */
}

static bool on_option(void *user, int val, const char *argument)
{
    Change *change = user;
    change->node = val == OPTION_NODE ? argument : change->node;
    change->loses = change->loses || val == OPTION_ALLOW_DATA_LOSS;
    change->yes = change->yes || val == OPTION_YES;
    return true;
}

int failover_main(int argc, char **argv)
{
    Change change = {0};
    static const struct option options[] = {
        {"allow-data-loss", no_argument, NULL, OPTION_ALLOW_DATA_LOSS},
        {"node", required_argument, NULL, OPTION_NODE},
        {"yes", no_argument, NULL, OPTION_YES},
        {NULL, 0, NULL, 0}};
    const CliSpec spec = {
        .usage = "usage: weir failover NAME [--allow-data-loss [--node NODE] [--yes]]\n"
                 "                     [--data DIR] [-o table|json]\n\n"
                 "Lets the standby of a Multi-AZ instance lead, or a replica of a replication\n"
                 "group, in order: new transactions and commands wait, running ones may end, the\n"
                 "other node has everything, and then it goes on there. Returns when all is\n"
                 "available again, with a standby. Exit status 6: nobody was ready, and nothing\n"
                 "has changed.\n\n"
                 "  --allow-data-loss  where the primary is lost for good, and nobody may lead,\n"
                 "                     since none is known to have all that it acknowledged: one\n"
                 "                     leads without it. Says which, and what that means\n"
                 "  --node NODE        this one, of several\n"
                 "  --yes              and does it\n",
        .options = options,
        .on_option = on_option,
        .user = &change,
        .operands_min = 1,
        .operands_max = 1,
        .has_json = true};
    Cli cli;
    Err err;
    int status = 0;
    if (!cli_options(&cli, argc, argv, &spec)) {
        status = cli.help ? 0 : err_exit_code(ERR_INVALID);
    } else if ((change.yes || change.node != NULL) && !change.loses) {
        err_set(&err, ERR_INVALID,
                "--node and --yes belong to --allow-data-loss: without it, "
                "whoever is ready leads, and nothing is lost");
        status = cli_fail(&err);
    } else {
        change.name = argv[optind];
        status = cli_connect(&cli, &err) && change_make(&cli, &change, &err)
                     ? change_print(&cli, &change)
                     : cli_fail(&err);
    }
    mem_free(change.before);
    mem_free(change.after);
    cli_done(&cli);
    return status;
}
