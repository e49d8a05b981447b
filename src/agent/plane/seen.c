/*
 * What a plane's process is seen to do: the report that its messages add up to, which a job writes
 * to plane/ID/seen/HOST, one at a time per plane; and the events that people read of it.
 */
#include "agent/plane/plane_parts_priv.h"

#define SEEN_INTERVAL_MS 1000

static bool seen_store(Plane *plane, Err *err)
{
    Store *store = plane->planes->options.store;
    CLEANUP(mem_free_ptr)
    char *key = mem_printf("plane/%s/seen/%s", plane->id, plane->planes->options.host);
    if (plane->seen_revision < 0) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        StoreItem item;
        bool there = store_get(store, slice_of(key), arena, &item, err);
        if (!there && err->code != ERR_NOT_FOUND) {
            return false;
        }
        plane->seen_revision = there ? item.mod_revision : 0;
    }
    Slice text = slice_of(plane->job_text);
    int64_t revision = 0;
    bool ok = plane->seen_revision == 0
                  ? store_create(store, slice_of(key), text, &revision, err)
                  : store_update(store, slice_of(key), plane->seen_revision, text, &revision, err);
    plane->seen_revision = ok ? revision : -1;
    return ok;
}

static void seen_job_run(void *arg, const Job *job)
{
    (void)job;
    Plane *plane = arg;
    Err err;
    plane->job_failed = !seen_store(plane, &err) && !seen_store(plane, &err);
    if (plane->job_failed) {
        log_warn("agent", "plane %s: cannot write what was seen: %s", plane->id, err.message);
    }
}

static void seen_job_done(void *arg)
{
    Plane *plane = arg;
    plane->in_job = false;
    plane->report_changed = plane->report_changed || plane->job_failed; /* once more */
}

void plane_seen_write(Plane *plane)
{
    int64_t now = loop_now_ms(plane->planes->options.loop);
    if (plane->orphan || !plane->report_changed || plane->in_job ||
        now - plane->seen_written_ms < SEEN_INTERVAL_MS) {
        return;
    }
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    mem_free(plane->job_text);
    plane->job_text = mem_printf("%.*s", SLICE_FMT(record_format(arena, plane->report)));
    plane->report_changed = false;
    plane->seen_written_ms = now;
    plane->in_job =
        jobs_submit(plane->planes->options.jobs, seen_job_run, seen_job_done, plane, NULL, NULL);
    plane->report_changed = !plane->in_job;
}

void plane_report(Plane *plane, const char *member, json_t *value, bool important)
{
    if (json_equal(json_object_get(plane->report, member), value)) {
        json_decref(value);
        return;
    }
    json_object_set_new(plane->report, member, value);
    plane->report_changed = true;
    if (important) {
        plane->seen_written_ms = 0;
        plane_seen_write(plane);
    }
}

void plane_tell(Plane *plane, const char *category, const char *message)
{
    const AgentOptions *options = &plane->planes->options;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *key = NULL;
    ResourceType type = RESOURCE_DB_PROXY;
    (void)resource_type_parse(slice_of(member_str(plane->goal, "resource", "")), &type);
    CLEANUP(record_free_ptr)
    json_t *record = event_new(arena, time_wall_ms(), type,
                               member_str(plane->goal, "identifier", ""), category, message, &key);
    Err err;
    if (!store_create(options->store, slice_of(key), record_format(arena, record), NULL, &err)) {
        log_warn("agent", "event not kept: %s", err.message);
    }
}
