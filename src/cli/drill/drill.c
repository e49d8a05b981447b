/*
 * `weir drill`: whether the tier does what it promises, tried on this tier: a load of its own, one
 * fault, when what happened, and what became of everything that was acknowledged.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/drill/drill_priv.h"
#include "cli/login_priv.h"

#define WRITERS_DEFAULT 6
#define WARM_MS         2000
#define LOOK_MS         100
#define SETTLE_MS       2000 /* without an error, and with something of everybody acknowledged */
#define FAULT_MIN_MS    4000
#define HEAL_MS         300000

enum { OPTION_FAULT = 256, OPTION_WRITERS };

/* ---- kinds -------------------------------------------------------------------------------------
 */

static bool login_psql(Cli *cli, Arena *arena, const char *name, const char *const **ret_program,
                       Err *err)
{
    static const char *const program[] = {"psql", NULL};
    (void)arena;
    TRY(login_psql_environment(cli, name, err));
    *ret_program = program;
    return true;
}

static const DrillKind instances = {
    .leader = &leader_instance, .word = "instance", .protocol = &drill_psql, .login = login_psql};
static const DrillKind caches = {
    .leader = &leader_group, .word = "cache", .protocol = &drill_redis, .login = login_redis_cli};

/* ---- whose primary -----------------------------------------------------------------------------
 */

static bool instance_of_proxy(Cli *cli, Arena *arena, const char *proxy, const char **ret_instance,
                              Err *err)
{
    CLEANUP(record_free_ptr)
    json_t *output = cli_call(cli, "rds", "DescribeDBProxyTargets",
                              json_pack("{s:s}", "DBProxyName", proxy), err);
    const json_t *target = json_array_get(member_array(output, "Targets"), 0);
    *ret_instance = arena_strdup(arena, member_str(target, "RdsResourceId", ""));
    return output != NULL &&
           (target != NULL ||
            err_set(err, ERR_CONFLICT, "the proxy %s has no target to try anything on", proxy));
}

/* Of an instance and a cache of one name, the instance, as for `weir failover`. */
static bool resource_find(Cli *cli, Arena *arena, Drill *drill, Err *err)
{
    CLEANUP(record_free_ptr) json_t *view = view_load(cli, err);
    if (view == NULL) {
        return false;
    }
    const char *name = drill->name;
    const json_t *endpoint =
        view_find(member_array(view, "endpoints"), "DBProxyEndpointName", name);
    const char *proxy = endpoint != NULL ? member_str(endpoint, "DBProxyName", "") : name;
    drill->kind = &instances;
    drill->resource = name;
    if (view_find(member_array(view, "instances"), "DBInstanceIdentifier", name) != NULL) {
        return true;
    }
    if (view_find(member_array(view, "proxies"), "DBProxyName", proxy) != NULL) {
        return instance_of_proxy(cli, arena, proxy, &drill->resource, err);
    }
    drill->kind = &caches;
    return view_find(member_array(view, "caches"), "ReplicationGroupId", name) != NULL ||
           err_set(err, ERR_NOT_FOUND,
                   "there is no instance, proxy, endpoint or cache \"%s\": see `weir status`",
                   name);
}

/* Whether it is as it was asked to be, with all of its nodes. */
static bool is_whole(Cli *cli, const Drill *drill)
{
    const LeaderKind *kind = drill->kind->leader;
    bool whole = false;
    CLEANUP(record_free_ptr) json_t *nodes = cli_list(cli, "weir", "ListNodes", "Nodes", NULL);
    if (nodes == NULL || !leader_is_available(cli, kind, drill->resource, &whole, NULL)) {
        return false;
    }
    size_t i;
    json_t *node;
    json_array_foreach (nodes, i, node) {
        bool ours = strcmp(member_str(node, "ResourceId", ""), drill->resource) == 0 &&
                    strcmp(member_str(node, "ResourceType", ""), kind->type) == 0;
        whole = whole && (!ours || strcmp(member_str(node, "State", ""), "running") == 0);
    }
    return whole;
}

/* ---- the run -----------------------------------------------------------------------------------
 */

static bool fault_do(Cli *cli, Drill *drill, Err *err)
{
    int64_t processes = 0;
    drill->rate = drill->load.acked * MS_PER_S / WARM_MS;
    drill->load.fault_ms = time_mono_ms();
    drill->fault_wall_ms = time_wall_ms();
    return chaos_ask(cli, drill->fault, drill->node, &processes, err);
}

static bool is_quiet(const DrillLoad *load)
{
    int64_t since = time_mono_ms() - SETTLE_MS;
    return load->last_error_ms < since && drill_load_all_since(load, since);
}

static void recover(Drill *drill)
{
    DrillLoad *load = &drill->load;
    for (int64_t now = load->fault_ms; now - load->fault_ms < DRILL_RECOVER_MS;
         now = time_mono_ms()) {
        drill_load_run(load, LOOK_MS);
        if (interrupt_waits()) {
            return;
        }
        drill->recovered = now - load->fault_ms >= FAULT_MIN_MS && is_quiet(load);
        if (drill->recovered) {
            return;
        }
    }
}

/* With the load going on: a node that comes back finds the others at work. */
static void heal(Cli *cli, Drill *drill)
{
    DrillLoad *load = &drill->load;
    Err err;
    int64_t ignored;
    const char *back = chaos_way_back(drill->fault);
    if (back != NULL && !chaos_ask(cli, back, drill->node, &ignored, &err)) {
        fprintf(stderr, "weir: %s: %s\n", back, err.message);
    }
    drill->healed_ms = -1;
    for (int64_t now = time_mono_ms(); now - load->fault_ms < HEAL_MS && !interrupt_waits();
         now = time_mono_ms()) {
        if (is_whole(cli, drill)) {
            drill->healed_ms = now - load->fault_ms;
            return;
        }
        drill_load_run(load, LOOK_MS);
    }
}

/* Half a drill says nothing: all that is left to do is to take back. */
static bool go_on(Err *err)
{
    return !interrupt_waits() ||
           err_set(err, ERR_UNAVAILABLE, "interrupted: nothing was found out");
}

static bool drill_run(Cli *cli, Drill *drill, const char *const *program, Err *err)
{
    DrillLoad *load = &drill->load;
    const DrillProtocol *protocol = drill->kind->protocol;
    sigset_t held;
    interrupt_hold(&held);
    TRY(drill_load_start(load, protocol, program, (size_t)drill->writers, err));
    fprintf(stderr, "%" PRId64 " writers at %s; %s of %s, the primary of %s, in %d s\n",
            drill->writers, drill->name, drill->fault, drill->node, drill->resource,
            WARM_MS / 1000);
    drill_load_run(load, WARM_MS);
    TRY(go_on(err));
    if (load->acked == 0) {
        return err_set(err, ERR_UNAVAILABLE, "no %s was acknowledged before the fault",
                       protocol->unit);
    }
    TRY(fault_do(cli, drill, err));
    recover(drill);
    load->measured = true;
    bool seen = !drill->recovered || drill_load_verify(load, &drill->lost, &drill->alien, err);
    heal(cli, drill);
    drill_load_stop(load);
    TRY(seen && go_on(err) &&
        drill_load_verify(load, &drill->lost_again, &drill->alien_again, err));
    drill->lost = drill->recovered ? drill->lost : drill->lost_again;
    return true;
}

/* ---- the command -------------------------------------------------------------------------------
 */

static bool on_drill_option(void *user, int val, const char *argument)
{
    Drill *drill = user;
    if (val == OPTION_FAULT) {
        drill->fault = argument;
    } else if (!str_to_i64(slice_of(argument), &drill->writers) || drill->writers < 1 ||
               drill->writers > DRILL_WRITERS_MAX) {
        fprintf(stderr, "weir: --writers is a number from 1 to %d\n", DRILL_WRITERS_MAX);
        return false;
    }
    return true;
}

static int drill_do(Cli *cli, Drill *drill)
{
    Err err;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *const *program;
    bool ok = cli_connect(cli, &err) && resource_find(cli, arena, drill, &err) &&
              chaos_find_node(cli, drill->kind->leader, drill->resource, &drill->node, &err) &&
              drill->kind->login(cli, arena, drill->name, &program, &err) &&
              drill_run(cli, drill, program, &err);
    int status = !ok ? cli_fail(&err) : drill_report(cli, drill) ? 0 : 1;
    drill_load_done(&drill->load);
    return status;
}

int drill_main(int argc, char **argv)
{
    static const struct option options[] = {{"fault", required_argument, NULL, OPTION_FAULT},
                                            {"writers", required_argument, NULL, OPTION_WRITERS},
                                            {0}};
    Drill drill = {.fault = "kill-node", .writers = WRITERS_DEFAULT};
    const CliSpec spec = {
        .usage =
            "usage: weir drill NAME [--fault FAULT] [--writers N] [-o table|json]\n"
            "                  [--data DIR]\n\n"
            "Writes to an instance, a proxy, an endpoint of one, or a cache, does a fault to\n"
            "the primary, and says in milliseconds what happened, and what became of each\n"
            "write that was acknowledged: right after the recovery, and again when all nodes\n"
            "are there. The tier must be up with --allow-chaos. What is written is in a\n"
            "table, or in keys, of its own, which are removed; Ctrl-C removes it at once, and\n"
            "takes the fault back. Exit status 1: something was lost, or did not recover.\n"
            "  --fault FAULT  one of `weir chaos --help`; kill-node\n"
            "  --writers N    each a psql or a redis-cli of its own; 6\n",
        .operands_min = 1,
        .operands_max = 1,
        .has_json = true,
        .options = options,
        .on_option = on_drill_option,
        .user = &drill};
    Cli cli;
    int status = 0;
    if (!cli_options(&cli, argc, argv, &spec)) {
        status = cli.help ? 0 : err_exit_code(ERR_INVALID);
    } else {
        drill.name = argv[optind];
        status = drill_do(&cli, &drill);
    }
    mem_free(drill.node);
    cli_done(&cli);
    return status;
}
