/* What a drill has to report: when what happened, and what became of what was acknowledged. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/drill/drill_priv.h"

/* ---- when what happened ------------------------------------------------------------------------
 */

static void timeline_add(json_t *list, int64_t ms, const char *what)
{
    json_array_append_new(list, json_pack("{s:I, s:s}", "ms", (json_int_t)ms, "what", what));
}

static void timeline_add_gap(json_t *list, const DrillLoad *load)
{
    const char *unit = load->protocol->unit;
    CLEANUP(mem_free_ptr) char *before = mem_printf("the last %s before the gap", unit);
    CLEANUP(mem_free_ptr) char *behind = mem_printf("the first %s behind it", unit);
    timeline_add(list, load->gap_from_ms - load->fault_ms, before);
    timeline_add(list, load->gap_to_ms - load->fault_ms, behind);
}

/* Since the fault: [{"ms": …, "what": …}]. */
static json_t *timeline_new(Cli *cli, const Drill *drill)
{
    json_t *list = json_array();
    timeline_add(list, 0, drill->fault);
    if (drill->load.gap_to_ms > 0) {
        timeline_add_gap(list, &drill->load);
    }
    CLEANUP(record_free_ptr)
    json_t *output = cli_call(cli, "weir", "ListEvents",
                              json_pack("{s:s, s:s}", "SourceType", drill->kind->leader->type,
                                        "SourceIdentifier", drill->resource),
                              NULL);
    size_t i;
    json_t *event;
    json_array_foreach (member_array(output, "Events"), i, event) {
        int64_t ms = member_int(event, "Time", 0) - drill->fault_wall_ms;
        if (ms >= 0) {
            timeline_add(list, ms, member_str(event, "Message", ""));
        }
    }
    if (drill->healed_ms >= 0) {
        timeline_add(list, drill->healed_ms, "all nodes are there again");
    }
    return list;
}

static int by_ms(const void *a, const void *b)
{
    int64_t left = member_int(*(json_t *const *)a, "ms", 0);
    int64_t right = member_int(*(json_t *const *)b, "ms", 0);
    return (left > right) - (left < right);
}

/* The oldest first. */
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

/* ---- what became of it -------------------------------------------------------------------------
 */

/* Whether its parameter group says that a write is acknowledged when a replica has it
 * (docs/failover.md). Without an answer it counts as such. */
static bool is_durable(Cli *cli, const Drill *drill)
{
    CLEANUP(record_free_ptr)
    json_t *described = cli_call(cli, "elasticache", "DescribeCacheClusters",
                                 json_pack("{s:s}", "CacheClusterId", drill->node), NULL);
    const json_t *cluster = json_array_get(member_array(described, "CacheClusters"), 0);
    const char *group =
        member_str(member_object(cluster, "CacheParameterGroup"), "CacheParameterGroupName", NULL);
    if (group == NULL) {
        return true;
    }
    CLEANUP(record_free_ptr)
    json_t *output =
        cli_call(cli, "elasticache", "DescribeCacheParameters",
                 json_pack("{s:s, s:s}", "CacheParameterGroupName", group, "Source", "user"), NULL);
    const json_t *durable =
        view_find(member_array(output, "Parameters"), "ParameterName", "weir.durable");
    return output == NULL || strcmp(member_str(durable, "ParameterValue", "off"), "off") != 0;
}

static int64_t gap_ms(const Drill *drill)
{
    return drill->recovered ? drill->load.gap_to_ms - drill->load.gap_from_ms : -1;
}

static json_t *codes_json(const DrillLoad *load)
{
    json_t *codes = json_object();
    for (size_t i = 0; i < load->codes_len; i++) {
        json_object_set_new(codes, load->codes[i].text, json_integer(load->codes[i].count));
    }
    return codes;
}

static void print_errors(const DrillLoad *load)
{
    printf("Errors:%s", load->codes_len == 0 ? " none" : "");
    for (size_t i = 0; i < load->codes_len; i++) {
        printf(" %" PRId64 " × %s", load->codes[i].count, load->codes[i].text);
    }
    printf("; connections lost: %" PRId64 "\n", load->lost_connections);
}

static void print_text(Cli *cli, const Drill *drill, const json_t *timeline)
{
    const DrillLoad *load = &drill->load;
    const char *unit = load->protocol->unit;
    size_t i;
    json_t *item;
    json_array_foreach ((json_t *)(uintptr_t)timeline, i, item) {
        printf("%9" PRId64 " ms  %s\n", member_int(item, "ms", 0), member_str(item, "what", ""));
    }
    if (drill->recovered) {
        printf("\nFor %" PRId64 " ms no %s was acknowledged; %" PRId64 " per second before.\n",
               gap_ms(drill), unit, drill->rate);
    } else {
        printf("\nThe load did not recover within %d s.\n", DRILL_RECOVER_MS / 1000);
    }
    print_errors(load);
    printf("Of %" PRId64 " acknowledged %ss %" PRId64 " are lost, %" PRId64
           " when all nodes were there again; %" PRId64 " are there that nobody wrote.\n",
           load->acked, unit, drill->lost, drill->lost_again, drill->alien + drill->alien_again);
    if (drill->kind->leader == &leader_group && drill->lost + drill->lost_again > 0 &&
        !is_durable(cli, drill)) {
        printf("A plain group may lose what was acknowledged right before the fault; weir.durable "
               "in its parameter group prevents that.\n");
    }
}

bool drill_report(Cli *cli, const Drill *drill)
{
    const DrillLoad *load = &drill->load;
    bool good = drill->recovered && drill->healed_ms >= 0 && drill->lost == 0 &&
                drill->lost_again == 0 && drill->alien == 0 && drill->alien_again == 0;
    json_t *timeline = timeline_sorted(cli, drill);
    if (cli->format == CLI_JSON) {
        cli_print_json(json_pack(
            "{s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:b}", "name",
            drill->name, drill->kind->word, drill->resource, "node", drill->node, "fault",
            drill->fault, "timeline", timeline, "gap_ms", (json_int_t)gap_ms(drill), "acknowledged",
            (json_int_t)load->acked, "lost", (json_int_t)drill->lost, "lost_again",
            (json_int_t)drill->lost_again, "alien", (json_int_t)(drill->alien + drill->alien_again),
            "lost_connections", (json_int_t)load->lost_connections, "errors", codes_json(load),
            "healed_ms", (json_int_t)drill->healed_ms, "good", (int)good));
    } else {
        print_text(cli, drill, timeline);
        json_decref(timeline);
    }
    return good;
}
