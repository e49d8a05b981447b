/* A plan for people, and as JSON for programs. Sensitive values appear in neither. */
#include "cli/plan/plan_priv.h"

const char *plan_action_name(PlanAction action)
{
    static const char *const names[] = {"unchanged", "create", "change", "replace", "destroy"};
    return names[action];
}

static const char *action_sign(PlanAction action)
{
    static const char *const signs[] = {" ", "+", "~", "-/+", "-"};
    return signs[action];
}

static const char *action_color(PlanAction action)
{
    static const char *const colors[] = {"", "\033[32m", "\033[33m", "\033[35m", "\033[31m"};
    return colors[action];
}

static void show_value(const TfValue *value, Buf *out)
{
    if (value == NULL) {
        buf_append_str(out, "(none)");
    } else {
        tf_show(value, out);
    }
}

static void show_difference(const Difference *difference, Buf *out)
{
    buf_printf(out, "      %s: ", difference->label);
    show_value(difference->before, out);
    buf_append_str(out, " -> ");
    show_value(difference->after, out);
    if (difference->replaces) {
        buf_append_str(out, "  (takes a new resource)");
    }
    buf_append_char(out, '\n');
}

#define NOTE_INDENT  "      "
#define LATER_INDENT "  "

/* Once per kind, with what some of its blocks have. */
static void show_later(const Plan *plan, size_t columns, Buf *out)
{
    size_t len;
    const ResourceKind *const *kinds = kinds_all(&len);
    bool any = false;
    for (size_t k = 0; k < len; k++) {
        const char *list = NULL;
        for (size_t i = 0; i < plan->items.len; i++) {
            const PlanItem *item = plan->items.items[i];
            if (item->kind == kinds[k] && item->later != NULL) {
                list = text_merge(plan->arena, list, item->later);
            }
        }
        if (list != NULL) {
            buf_append_str(out, any ? "" : "Not yet in effect:\n");
            text_wrap(arena_printf(plan->arena, "%s: %s", kinds[k]->type, list), LATER_INDENT,
                      columns, out);
            any = true;
        }
    }
    if (any) {
        buf_append_char(out, '\n');
    }
}

static void show_item(const PlanItem *item, size_t width, bool colors, size_t columns, Buf *out)
{
    if (item->action == PLAN_NONE && item->notes.len == 0) {
        return;
    }
    bool colored = colors && item->action != PLAN_NONE;
    buf_printf(out, "%s%3s %-*s  %s%s\n", colored ? action_color(item->action) : "",
               action_sign(item->action), (int)width, item->address, plan_action_name(item->action),
               colored ? "\033[0m" : "");
    for (size_t i = 0; i < item->differences.list.len; i++) {
        show_difference(&item->differences.list.items[i], out);
    }
    if (item->refusal != NULL) {
        buf_printf(out, "      refused: %s\n", item->refusal);
    }
    for (size_t i = 0; i < item->notes.len; i++) {
        text_wrap(item->notes.items[i], NOTE_INDENT, columns, out);
    }
}

static size_t address_width(const Plan *plan)
{
    size_t width = 0;
    for (size_t i = 0; i < plan->items.len; i++) {
        const PlanItem *item = plan->items.items[i];
        size_t len = strlen(item->address);
        bool shown = item->action != PLAN_NONE || item->notes.len > 0;
        width = shown && len > width ? len : width;
    }
    return width;
}

static void show_counts(const Plan *plan, Buf *out)
{
    buf_printf(out, "%zu to create, %zu to change, ", plan->count[PLAN_CREATE],
               plan->count[PLAN_UPDATE]);
    if (plan->count[PLAN_REPLACE] > 0) {
        buf_printf(out, "%zu to replace, ", plan->count[PLAN_REPLACE]);
    }
    buf_printf(out, "%zu to destroy.\n", plan->count[PLAN_DESTROY]);
}

void plan_format(const Plan *plan, bool colors, size_t columns, Buf *out)
{
    size_t width = address_width(plan);
    size_t before = out->len;
    for (size_t i = 0; i < plan->items.len; i++) {
        show_item(plan->items.items[i], width, colors, columns, out);
    }
    if (out->len > before) {
        buf_append_char(out, '\n');
    }
    show_later(plan, columns, out);
    if (plan_is_empty(plan)) {
        buf_append_str(out, "No changes. The tier is as the files say.\n");
    } else {
        show_counts(plan, out);
    }
}

/* ---- JSON -------------------------------------------------------------------------------------
 */

/* {"value": …}, {"sensitive": true} or {"unknown": true}; null for nothing. */
static json_t *value_json(const TfValue *value)
{
    if (value == NULL) {
        return json_null();
    }
    if (value->holds_sensitive) {
        return json_pack("{s:b}", "sensitive", 1);
    }
    if (value->holds_unknown) {
        return json_pack("{s:b}", "unknown", 1);
    }
    json_t *tree = tf_to_value_new(value);
    return json_pack("{s:o}", "value", tree != NULL ? tree : json_null());
}

static json_t *differences_json(const PlanItem *item)
{
    json_t *list = json_array();
    for (size_t i = 0; i < item->differences.list.len; i++) {
        const Difference *difference = &item->differences.list.items[i];
        json_array_append_new(
            list, json_pack("{s:s, s:o, s:o, s:b}", "attribute", difference->label, "before",
                            value_json(difference->before), "after", value_json(difference->after),
                            "replaces", difference->replaces ? 1 : 0));
    }
    return list;
}

static json_t *item_json(const PlanItem *item)
{
    json_t *notes = json_array();
    for (size_t i = 0; i < item->notes.len; i++) {
        json_array_append_new(notes, json_string(item->notes.items[i]));
    }
    if (item->later != NULL) {
        json_array_append_new(notes, json_sprintf("not yet in effect: %s", item->later));
    }
    json_t *tree = json_pack("{s:s, s:s, s:s, s:o, s:o}", "address", item->address, "type",
                             item->kind->type, "action", plan_action_name(item->action), "changes",
                             differences_json(item), "notes", notes);
    if (item->refusal != NULL) {
        json_object_set_new(tree, "refused", json_string(item->refusal));
    }
    return tree;
}

json_t *outputs_to_json_new(const TfOutput *outputs, size_t len)
{
    json_t *tree = json_object();
    for (size_t i = 0; i < len; i++) {
        json_object_set_new(tree, outputs[i].name, value_json(outputs[i].value));
    }
    return tree;
}

json_t *plan_to_json_new(const Plan *plan)
{
    json_t *items = json_array();
    json_t *counts = json_object();
    for (size_t i = 0; i < plan->items.len; i++) {
        json_array_append_new(items, item_json(plan->items.items[i]));
    }
    for (PlanAction action = PLAN_NONE; action <= PLAN_DESTROY; action++) {
        json_object_set_new(counts, plan_action_name(action),
                            json_integer((json_int_t)plan->count[action]));
    }
    return json_pack("{s:o, s:o}", "resources", items, "counts", counts);
}
