/*
 * What `weir up` shows while it stays in front: what happens, as it happens, and below it on a
 * terminal how everything is, a line per resource.
 */
#include <stdio.h>

#include "cli/up/up_priv.h"
#include "model/model.h"

void live_init(Live *live)
{
    *live = (Live){.below = mem_strdup("")};
    screen_init(&live->screen, stdout);
}

void live_done(Live *live)
{
    mem_free(live->below);
    event_feed_done(&live->feed);
}

/* "primary a, standby b (sync)": where each runs, or how it is instead. */
static const char *nodes_text(Arena *arena, const json_t *view, const char *type, const char *id)
{
    const char *text = "";
    size_t i;
    json_t *node;
    json_array_foreach (member_array(view, "nodes"), i, node) {
        if (strcmp(member_str(node, "ResourceType", ""), type) != 0 ||
            strcmp(member_str(node, "ResourceId", ""), id) != 0) {
            continue;
        }
        const char *state = member_str(node, "State", "");
        bool runs = strcmp(state, "running") == 0;
        bool sync = runs && strcmp(member_str(node, "SyncState", ""), "sync") == 0;
        text = arena_printf(arena, "%s%s%s %s%s%s%s", text, text[0] != '\0' ? ", " : "",
                            member_str(node, "Role", ""), member_str(node, "Zone", ""),
                            runs ? "" : " ", runs ? "" : state, sync ? " (sync)" : "");
    }
    return text;
}

/* A line per resource. The caller frees it. */
static char *status_text(const json_t *view, FILE *screen)
{
    static const char *const head[] = {"NAME", "STATUS", "NODES", "NOTE"};
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Table table;
    table_init(&table, ARRAY_LEN(head), 1);
    table_row(&table, head);
    for (size_t k = 0; k < ARRAY_LEN(view_kinds); k++) {
        const ViewKind *kind = &view_kinds[k];
        size_t i;
        json_t *resource;
        json_array_foreach (member_array(view, kind->list), i, resource) {
            const char *name = member_str(resource, kind->name, "");
            const char *remark =
                remark_of_state(json_object_get(view, "remarks"), kind->type, name);
            const char *const cells[] = {
                name, member_str(resource, kind->status, ""),
                nodes_text(arena, view, resource_type_name(kind->type), name), remark};
            table_row(&table, cells);
        }
    }
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    ASSERT(out != NULL);
    fputc('\n', out);
    table_print_colored(&table, cli_colors(screen), out);
    fclose(out);
    table_done(&table);
    return text;
}

/* What is to stand below; NULL while the API does not answer. The caller frees it. */
static char *below_new(Cli *cli, const Screen *screen)
{
    Err err;
    if (!screen->live || cli->format == CLI_JSON) {
        return mem_strdup("");
    }
    CLEANUP(record_free_ptr) json_t *view = view_load(cli, &err);
    if (view == NULL) {
        return NULL;
    }
    CLEANUP(mem_free_ptr) char *text = view_is_empty(view) ? NULL : status_text(view, screen->out);
    Buf fitted;
    buf_init(&fitted, BUF_MAX_DEFAULT);
    screen_fit(screen, text != NULL ? text : "", &fitted);
    char *below = mem_strdup(buf_str(&fitted));
    buf_done(&fitted);
    return below;
}

bool live_show(Cli *cli, Live *live, bool events, Err *err)
{
    CLEANUP(mem_free_ptr) char *news = NULL;
    size_t len;
    FILE *out = open_memstream(&news, &len);
    ASSERT(out != NULL);
    bool ok = events_new(cli, &live->feed, events ? out : NULL, err);
    fclose(out);
    CLEANUP(mem_free_ptr) char *below = below_new(cli, &live->screen);
    bool changed = below != NULL && strcmp(below, live->below) != 0;
    if (changed) {
        mem_free(live->below);
        live->below = mem_strdup(below);
    }
    if (changed || len > 0) {
        screen_put(&live->screen, news, live->below);
    }
    return ok;
}
