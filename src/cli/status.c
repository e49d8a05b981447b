/* `weir status`, `weir events` and `weir logs`: looking at a tier. */
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "cli/up/up_priv.h"
#include "model/model.h"

#define FOLLOW_MS     500
#define LOG_LINES_MAX 10000 /* the API's */

/* ---- status ------------------------------------------------------------------------------------
 */

static void view_show(const Cli *cli, const json_t *view)
{
    if (view_is_empty(view)) {
        CLEANUP(mem_free_ptr) char *apply = cli_command_new(cli, "apply");
        printf("The tier is up and empty: `%s FILE` makes what the file says.\n", apply);
        return;
    }
    view_print_resources(view, true, stdout);
    if (json_array_size(member_array(view, "nodes")) > 0) {
        fputc('\n', stdout);
        view_print_nodes(view, stdout);
    }
}

int status_main(int argc, char **argv)
{
    static const CliSpec spec = {
        .usage = "usage: weir status [--data DIR] [-o table|json]\n\n"
                 "Shows the resources of the tier with their endpoints, and the processes behind\n"
                 "them.\n",
        .has_json = true};
    Cli cli;
    Err err;
    if (!cli_options(&cli, argc, argv, &spec)) {
        int status = cli.help ? 0 : err_exit_code(ERR_INVALID);
        cli_done(&cli);
        return status;
    }
    json_t *view = cli_connect(&cli, &err) ? view_load(&cli, &err) : NULL;
    int status = view == NULL ? cli_fail(&err) : 0;
    if (view != NULL && cli.format == CLI_JSON) {
        cli_print_json(view);
    } else if (view != NULL) {
        view_show(&cli, view);
        json_decref(view);
    }
    cli_done(&cli);
    return status;
}

/* ---- events ------------------------------------------------------------------------------------
 */

enum { OPTION_FOLLOW = 256, OPTION_SOURCE, OPTION_LINES };

typedef struct Looking {
    bool follow;
    const char *source;
    int64_t lines;
} Looking;

static bool on_looking_option(void *user, int val, const char *argument)
{
    Looking *looking = user;
    if (val == OPTION_FOLLOW) {
        looking->follow = true;
    } else if (val == OPTION_SOURCE) {
        looking->source = argument;
    } else if (!str_to_i64(slice_of(argument), &looking->lines) || looking->lines < 1 ||
               looking->lines > LOG_LINES_MAX) {
        fprintf(stderr, "weir: --lines takes a number from 1 to %d, not \"%s\"\n", LOG_LINES_MAX,
                argument);
        return false;
    }
    return true;
}

static void event_print(const json_t *event, size_t source_width, FILE *out)
{
    char when[TIME_ISO_SIZE];
    time_format_iso(member_int(event, "Time", 0), when);
    const char *number = member_str(event, "RdsEventId", "");
    fprintf(out, "%.19sZ  %-*s  %s%s%s%s\n", when, (int)source_width,
            member_str(event, "SourceIdentifier", ""), member_str(event, "Message", ""),
            number[0] != '\0' ? " [" : "", number, number[0] != '\0' ? "]" : "");
}

static void source_width_grow(const json_t *events, size_t *width)
{
    size_t i;
    json_t *event;
    json_array_foreach ((json_t *)(uintptr_t)events, i, event) {
        size_t len = strlen(member_str(event, "SourceIdentifier", ""));
        *width = len > *width ? len : *width;
    }
}

/* Those that follow one another are JSON each, a line of it. */
static void events_print(const Cli *cli, const Looking *looking, const json_t *output,
                         size_t *source_width, FILE *out)
{
    source_width_grow(member_array(output, "Events"), source_width);
    if (cli->format == CLI_JSON && !looking->follow) {
        cli_print_json(json_incref(member_array(output, "Events")));
        return;
    }
    size_t i;
    json_t *event;
    json_array_foreach (member_array(output, "Events"), i, event) {
        if (cli->format == CLI_JSON) {
            json_dumpf(event, out, JSON_COMPACT | JSON_SORT_KEYS);
            fputc('\n', out);
        } else {
            event_print(event, *source_width, out);
        }
    }
    fflush(out);
}

/* Prints what is new, and remembers how far it came. */
static bool events_once(Cli *cli, const Looking *looking, EventFeed *feed, FILE *out, Err *err)
{
    json_t *input = json_object();
    if (feed->after != NULL) {
        json_object_set_new(input, "After", json_string(feed->after));
    }
    if (looking->source != NULL) {
        json_object_set_new(input, "SourceIdentifier", json_string(looking->source));
    }
    json_t *output = cli_call(cli, "weir", "ListEvents", input, err);
    if (output == NULL) {
        return false;
    }
    if (out != NULL) {
        events_print(cli, looking, output, &feed->source_width, out);
    }
    const char *last = member_str(output, "Last", NULL);
    if (last != NULL && last[0] != '\0') {
        mem_free(feed->after);
        feed->after = mem_strdup(last);
    }
    json_decref(output);
    return true;
}

bool events_new(Cli *cli, EventFeed *feed, FILE *out, Err *err)
{
    const Looking looking = {.follow = true};
    return events_once(cli, &looking, feed, out, err);
}

void event_feed_done(EventFeed *feed)
{
    mem_free(feed->after);
    *feed = (EventFeed){0};
}

int events_main(int argc, char **argv)
{
    static const struct option options[] = {{"follow", no_argument, NULL, OPTION_FOLLOW},
                                            {"source", required_argument, NULL, OPTION_SOURCE},
                                            {0}};
    Looking looking = {0};
    const CliSpec spec = {
        .usage = "usage: weir events [--follow] [--source NAME] [--data DIR] [-o table|json]\n\n"
                 "Shows what happened to the tier, the oldest first, with RDS's id of an event\n"
                 "where it has one.\n"
                 "  --follow       goes on with what happens from now on; as JSON each event is\n"
                 "                 a line\n"
                 "  --source NAME  only of this resource\n",
        .has_json = true,
        .options = options,
        .on_option = on_looking_option,
        .user = &looking};
    Cli cli;
    Err err;
    EventFeed feed = {0};
    int status = 0;
    if (!cli_options(&cli, argc, argv, &spec)) {
        status = cli.help ? 0 : err_exit_code(ERR_INVALID);
    } else if (!cli_connect(&cli, &err) || !events_once(&cli, &looking, &feed, stdout, &err)) {
        status = cli_fail(&err);
    }
    const struct timespec pause = {.tv_nsec = FOLLOW_MS * 1000000};
    while (status == 0 && looking.follow) {
        nanosleep(&pause, NULL);
        if (!events_once(&cli, &looking, &feed, stdout, &err)) {
            status = cli_fail(&err);
        }
    }
    event_feed_done(&feed);
    cli_done(&cli);
    return status;
}

/* ---- logs --------------------------------------------------------------------------------------
 */

/* A node by its own name, or the first of a resource; NULL: neither. In the arena. */
static bool node_find(Cli *cli, Arena *arena, const char *name, const char **ret_id, Err *err)
{
    CLEANUP(record_free_ptr) json_t *nodes = cli_list(cli, "weir", "ListNodes", "Nodes", err);
    const char *of_resource = NULL;
    size_t i;
    json_t *node;
    json_array_foreach (nodes, i, node) {
        const char *id = member_str(node, "NodeId", "");
        if (strcmp(id, name) == 0) {
            of_resource = id;
            break;
        }
        if (of_resource == NULL && strcmp(member_str(node, "ResourceId", ""), name) == 0) {
            of_resource = id;
        }
    }
    *ret_id = arena_strdup(arena, of_resource);
    return nodes != NULL;
}

/* The process behind the name of a proxy or of an endpoint of one, or behind relay-INSTANCE; else
 * the name itself. */
static bool endpoint_find(Cli *cli, Arena *arena, const char *name, const char **ret_id, Err *err)
{
    CLEANUP(record_free_ptr) json_t *view = view_load(cli, err);
    size_t i;
    json_t *item;
    *ret_id = name;
    json_array_foreach (member_array(view, "proxies"), i, item) {
        if (strcmp(member_str(item, "DBProxyName", ""), name) == 0) {
            *ret_id = arena_printf(arena, "proxy-%s", name);
        }
    }
    json_array_foreach (member_array(view, "endpoints"), i, item) {
        if (strcmp(member_str(item, "DBProxyEndpointName", ""), name) == 0) {
            *ret_id = arena_printf(arena, "endpoint-%s", name);
        }
    }
    json_array_foreach (member_array(view, "instances"), i, item) {
        const char *relay =
            arena_printf(arena, "relay-%s", member_str(item, "DBInstanceIdentifier", ""));
        if (strcmp(relay, name) == 0) {
            *ret_id = arena_printf(arena, "relay-%s", member_str(item, "DbiResourceId", ""));
        }
    }
    return view != NULL;
}

static bool log_print(Cli *cli, const char *name, const Looking *looking, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *node;
    TRY(node_find(cli, arena, name, &node, err) &&
        (node != NULL || endpoint_find(cli, arena, name, &node, err)));
    json_t *output =
        cli_call(cli, "weir", "GetLog",
                 json_pack("{s:s, s:I}", "NodeId", node, "Lines", (json_int_t)looking->lines), err);
    if (output == NULL) {
        return err->code == ERR_NOT_FOUND
                   ? err_set(err, ERR_NOT_FOUND,
                             "there is no log of a node or resource \"%s\": see `weir status`",
                             name)
                   : false;
    }
    size_t i;
    json_t *line;
    if (cli->format == CLI_JSON) {
        cli_print_json(
            json_pack("{s:s, s:O}", "NodeId", node, "Lines", json_object_get(output, "Lines")));
    } else {
        json_array_foreach (member_array(output, "Lines"), i, line) {
            puts(json_string_value(line));
        }
    }
    json_decref(output);
    return true;
}

int logs_main(int argc, char **argv)
{
    static const struct option options[] = {{"lines", required_argument, NULL, OPTION_LINES}, {0}};
    Looking looking = {.lines = 100};
    const CliSpec spec = {
        .usage = "usage: weir logs [--lines N] [--data DIR] [-o table|json] NAME\n\n"
                 "Shows the end of a log. NAME is a node, an instance or a cache of `weir status`\n"
                 "for its engine, a proxy, an endpoint of one, or relay-INSTANCE or front-CACHE\n"
                 "for the process behind that endpoint.\n"
                 "  --lines N  this many lines (100), at most 10000 and the last 256 KiB\n",
        .operands_min = 1,
        .operands_max = 1,
        .has_json = true,
        .options = options,
        .on_option = on_looking_option,
        .user = &looking};
    Cli cli;
    Err err;
    int status = 0;
    if (!cli_options(&cli, argc, argv, &spec)) {
        status = cli.help ? 0 : err_exit_code(ERR_INVALID);
    } else if (!cli_connect(&cli, &err) || !log_print(&cli, argv[optind], &looking, &err)) {
        status = cli_fail(&err);
    }
    cli_done(&cli);
    return status;
}
