/*
 * What a node is seen to be: the record node/ID/seen, as a step changes it and as it stands in the
 * store; and the events that people read of it.
 */
#include "agent/node/node_priv.h"

void node_seen_error(NodeRun *run)
{
    const NodeWork *work = run->work;
    const char *error = work->complaint != NULL ? work->complaint : work->failure;
    if (error != NULL) {
        json_object_set_new(run->seen, "error", json_string(error));
    } else {
        json_object_del(run->seen, "error");
    }
}

void node_seen_set(NodeRun *run, const char *state, const char *incarnation)
{
    json_object_set_new(run->seen, "state", json_string(state));
    json_object_set_new(run->seen, "incarnation", json_string(incarnation));
    json_object_set_new(run->seen, "reboot_epoch", json_integer(run->work->reboot_epoch));
    if (run->work->started_ms > 0) {
        json_object_set_new(run->seen, "started_ms", json_integer(run->work->started_ms));
    }
    if (strcmp(state, "running") == 0) {
        run->work->served = true;
        mem_free(run->work->complaint);
        run->work->complaint = NULL;
    }
    node_seen_error(run);
}

int64_t node_seen_before(const NodeRun *run, const char *name, int64_t fallback)
{
    json_t *before = NULL;
    if (run->work->seen_text == NULL ||
        !record_parse(slice_of(run->work->seen_text), &before, NULL)) {
        return fallback;
    }
    int64_t value = member_int(before, name, fallback);
    json_decref(before);
    return value;
}

void node_seen_load(NodeRun *run)
{
    NodeWork *work = run->work;
    StoreItem item;
    const char *key = arena_printf(run->arena, "node/%s/seen", work->id);
    if (work->seen_text == NULL &&
        store_get(work->options->store, slice_of(key), run->arena, &item, NULL)) {
        work->seen_text = mem_printf("%.*s", SLICE_FMT(item.value));
        work->seen_revision = item.mod_revision;
    }
}

bool node_seen_write(NodeRun *run, Err *err)
{
    NodeWork *work = run->work;
    Slice text = record_format(run->arena, run->seen);
    if (work->seen_text != NULL && slice_is(text, work->seen_text)) {
        return true;
    }
    Slice key = slice_of(arena_printf(run->arena, "node/%s/seen", work->id));
    Store *store = work->options->store;
    int64_t revision = 0;
    bool ok = work->seen_revision == 0
                  ? store_create(store, key, text, &revision, err)
                  : store_update(store, key, work->seen_revision, text, &revision, err);
    if (!ok) {
        mem_free(work->seen_text); /* read it again before the next try */
        work->seen_text = NULL;
        work->seen_revision = 0;
        return false;
    }
    work->seen_revision = revision;
    mem_free(work->seen_text);
    work->seen_text = mem_printf("%.*s", SLICE_FMT(text));
    return true;
}

void node_event(NodeRun *run, const char *category, const char *message)
{
    const AgentOptions *options = run->work->options;
    const char *key = NULL;
    ResourceType type = RESOURCE_DB_INSTANCE;
    (void)resource_type_parse(slice_of(member_str(run->goal, "resource", "")), &type);
    log_warn("agent", "%s", message);
    CLEANUP(record_free_ptr)
    json_t *event = event_new(run->arena, time_wall_ms(), type,
                              member_str(run->goal, "identifier", ""), category, message, &key);
    Err err;
    if (!store_create(options->store, slice_of(key), record_format(run->arena, event), NULL,
                      &err)) {
        log_warn("agent", "event not kept: %s", err.message);
    }
}
