/*
 * `weir drill`: whether the tier does what it promises, tried on this tier: a load of its own, one
 * fault, when what happened, and what became of every row that was acknowledged.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/drill_priv.h"
#include "cli/login_priv.h"

#define WRITERS_DEFAULT 6
#define WARM_MS         2000
#define LOOK_MS         100
#define SETTLE_MS       2000 /* without an error, and with rows of everybody */
#define FAULT_MIN_MS    4000
#define RECOVER_MS      120000
#define HEAL_MS         300000

enum { OPTION_FAULT = 256, OPTION_WRITERS };

typedef struct Drill {
    const char *fault;
    int64_t writers;
    const char *name;     /* where the load goes: an instance, a proxy or an endpoint of one */
    const char *instance; /* whose primary has the fault; in the arena */
    char *node;
    int64_t fault_wall_ms;
    bool recovered;
    int64_t rate;      /* rows per second, before the fault */
    int64_t healed_ms; /* after the fault; -1: not in time */
    int64_t lost, alien, lost_again, alien_again;
    DrillLoad load;
} Drill;

/* ---- whose instance ----------------------------------------------------------------------------
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

static bool instance_find(Cli *cli, Arena *arena, Drill *drill, Err *err)
{
    CLEANUP(record_free_ptr) json_t *view = view_load(cli, err);
    if (view == NULL) {
        return false;
    }
    const json_t *endpoint =
        view_find(member_array(view, "endpoints"), "DBProxyEndpointName", drill->name);
    const char *proxy = endpoint != NULL ? member_str(endpoint, "DBProxyName", "") : drill->name;
    if (view_find(member_array(view, "instances"), "DBInstanceIdentifier", drill->name) != NULL) {
        drill->instance = drill->name;
        return true;
    }
    if (view_find(member_array(view, "proxies"), "DBProxyName", proxy) == NULL) {
        return err_set(err, ERR_NOT_FOUND,
                       "there is no instance, proxy or endpoint \"%s\": see `weir status`",
                       drill->name);
    }
    return instance_of_proxy(cli, arena, proxy, &drill->instance, err);
}

/* Whether it is as it was asked to be, with all of its nodes. */
static bool instance_is_whole(Cli *cli, const char *instance)
{
    const LeaderKind *kind = &leader_instance;
    bool whole = false;
    CLEANUP(record_free_ptr) json_t *nodes = cli_list(cli, "weir", "ListNodes", "Nodes", NULL);
    if (nodes == NULL || !leader_is_available(cli, kind, instance, &whole, NULL)) {
        return false;
    }
    size_t i;
    json_t *node;
    json_array_foreach (nodes, i, node) {
        bool ours = strcmp(member_str(node, "ResourceId", ""), instance) == 0 &&
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
    for (int64_t now = load->fault_ms; now - load->fault_ms < RECOVER_MS; now = time_mono_ms()) {
        drill_load_run(load, LOOK_MS);
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
    for (int64_t now = time_mono_ms(); now - load->fault_ms < HEAL_MS; now = time_mono_ms()) {
        if (instance_is_whole(cli, drill->instance)) {
            drill->healed_ms = now - load->fault_ms;
            return;
        }
        drill_load_run(load, LOOK_MS);
    }
}

static bool drill_run(Cli *cli, Drill *drill, Err *err)
{
    TRY(drill_load_start(&drill->load, (size_t)drill->writers, err));
    fprintf(stderr, "%" PRId64 " writers at %s; %s of %s, the primary of %s, in %d s\n",
            drill->writers, drill->name, drill->fault, drill->node, drill->instance,
            WARM_MS / 1000);
    drill_load_run(&drill->load, WARM_MS);
    if (drill->load.acked == 0) {
        return err_set(err, ERR_UNAVAILABLE, "no row was acknowledged before the fault");
    }
    TRY(fault_do(cli, drill, err));
    recover(drill);
    drill->load.measured = true;
    TRY(drill_load_verify(&drill->load, &drill->lost, &drill->alien, err));
    heal(cli, drill);
    drill_load_stop(&drill->load);
    return drill_load_verify(&drill->load, &drill->lost_again, &drill->alien_again, err);
}

/* ---- the report --------------------------------------------------------------------------------
 */

static json_t *codes_json(const DrillLoad *load)
{
    json_t *codes = json_object();
    for (size_t i = 0; i < load->codes_len; i++) {
        json_object_set_new(codes, load->codes[i].sqlstate, json_integer(load->codes[i].count));
    }
    return codes;
}

/* Since the fault: [{"ms": …, "what": …}], the oldest first. */
static json_t *timeline_new(Cli *cli, const Drill *drill)
{
    const DrillLoad *load = &drill->load;
    json_t *list = json_array();
    json_array_append_new(list, json_pack("{s:i, s:s}", "ms", 0, "what", drill->fault));
    if (load->gap_to_ms > 0) {
        json_array_append_new(list, json_pack("{s:I, s:s}", "ms",
                                              (json_int_t)(load->gap_from_ms - load->fault_ms),
                                              "what", "the last row before the gap"));
        json_array_append_new(list, json_pack("{s:I, s:s}", "ms",
                                              (json_int_t)(load->gap_to_ms - load->fault_ms),
                                              "what", "the first row behind it"));
    }
    CLEANUP(record_free_ptr)
    json_t *output = cli_call(cli, "weir", "ListEvents",
                              json_pack("{s:s}", "SourceIdentifier", drill->instance), NULL);
    size_t i;
    json_t *event;
    json_array_foreach (member_array(output, "Events"), i, event) {
        int64_t ms = member_int(event, "Time", 0) - drill->fault_wall_ms;
        if (ms >= 0) {
            json_array_append_new(list, json_pack("{s:I, s:s}", "ms", (json_int_t)ms, "what",
                                                  member_str(event, "Message", "")));
        }
    }
    if (drill->healed_ms >= 0) {
        json_array_append_new(list, json_pack("{s:I, s:s}", "ms", (json_int_t)drill->healed_ms,
                                              "what", "all nodes are there again"));
    }
    return list;
}

static int by_ms(const void *a, const void *b)
{
    int64_t left = member_int(*(json_t *const *)a, "ms", 0);
    int64_t right = member_int(*(json_t *const *)b, "ms", 0);
    return (left > right) - (left < right);
}

static json_t *timeline_sorted(Cli *cli, const Drill *drill)
{
    json_t *list = timeline_new(cli, drill);
    size_t len = json_array_size(list);
    json_t **items = mem_alloc(len * sizeof(json_t *));
    json_t *sorted = json_array();
    for (size_t i = 0; i < len; i++) {
        items[i] = json_array_get(list, i);
    }
    qsort(items, len, sizeof(json_t *), by_ms);
    for (size_t i = 0; i < len; i++) {
        json_array_append(sorted, items[i]);
    }
    mem_free(items);
    json_decref(list);
    return sorted;
}

static int64_t gap_ms(const Drill *drill)
{
    return drill->recovered ? drill->load.gap_to_ms - drill->load.gap_from_ms : -1;
}

static void print_text(const Drill *drill, const json_t *timeline)
{
    const DrillLoad *load = &drill->load;
    size_t i;
    json_t *item;
    json_array_foreach ((json_t *)(uintptr_t)timeline, i, item) {
        printf("%9" PRId64 " ms  %s\n", member_int(item, "ms", 0), member_str(item, "what", ""));
    }
    if (drill->recovered) {
        printf("\nFor %" PRId64 " ms no row was acknowledged; %" PRId64 " per second before.\n",
               gap_ms(drill), drill->rate);
    } else {
        printf("\nThe load did not recover within %d s.\n", RECOVER_MS / 1000);
    }
    printf("Statements that failed:");
    for (size_t code = 0; code < load->codes_len; code++) {
        printf(" %" PRId64 " × %s", load->codes[code].count, load->codes[code].sqlstate);
    }
    printf("%s; connections lost: %" PRId64 "\n", load->codes_len == 0 ? " none" : "",
           load->lost_connections);
    printf("Of %" PRId64 " acknowledged rows %" PRId64 " are lost, %" PRId64
           " when all nodes were there again; %" PRId64 " are there that nobody wrote.\n",
           load->acked, drill->lost, drill->lost_again, drill->alien + drill->alien_again);
}

/* Whether everything was as it is promised. */
static bool drill_report(Cli *cli, const Drill *drill)
{
    const DrillLoad *load = &drill->load;
    bool good = drill->recovered && drill->healed_ms >= 0 && drill->lost == 0 &&
                drill->lost_again == 0 && drill->alien == 0 && drill->alien_again == 0;
    json_t *timeline = timeline_sorted(cli, drill);
    if (cli->format == CLI_JSON) {
        cli_print_json(json_pack(
            "{s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:b}", "name",
            drill->name, "instance", drill->instance, "node", drill->node, "fault", drill->fault,
            "timeline", timeline, "gap_ms", (json_int_t)gap_ms(drill), "acknowledged",
            (json_int_t)load->acked, "lost", (json_int_t)drill->lost, "lost_again",
            (json_int_t)drill->lost_again, "alien", (json_int_t)(drill->alien + drill->alien_again),
            "lost_connections", (json_int_t)load->lost_connections, "errors", codes_json(load),
            "healed_ms", (json_int_t)drill->healed_ms, "good", (int)good));
    } else {
        print_text(drill, timeline);
        json_decref(timeline);
    }
    return good;
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
    bool ok = cli_connect(cli, &err) && instance_find(cli, arena, drill, &err) &&
              chaos_find_node(cli, &leader_instance, drill->instance, &drill->node, &err) &&
              login_psql_environment(cli, drill->name, &err) && drill_run(cli, drill, &err);
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
        .usage = "usage: weir drill NAME [--fault FAULT] [--writers N] [-o table|json]\n"
                 "                  [--data DIR]\n\n"
                 "Writes to an instance, a proxy or an endpoint, does a fault to the instance's\n"
                 "primary, and says in milliseconds what happened, and what became of each row\n"
                 "that was acknowledged: right after the recovery, and again when all nodes\n"
                 "are there. The tier must be up with --allow-chaos. The rows are in a table of\n"
                 "their own, which is removed. Exit status 1: something was lost, or did not\n"
                 "recover.\n"
                 "  --fault FAULT  one of `weir chaos --help`; kill-node\n"
                 "  --writers N    each a psql of its own; 6\n",
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
