/*
 * Waiting until everything of the tier is available, with a line per change: what happens to each
 * resource, and how long it has taken. What apply waits for by itself is not waited for again.
 */
#include <stdio.h>
#include <time.h>

#include "cli/up_priv.h"
#include "model/model.h"

#define POLL_MS 200
#define WAIT_MS (600 * MS_PER_S)

typedef struct Kind {
    const char *list;   /* in the view */
    const char *name;   /* the member that names the resource */
    const char *status; /* the member that says how it is */
} Kind;

static const Kind kinds[] = {
    {"instances", "DBInstanceIdentifier", "DBInstanceStatus"},
    {"proxies", "DBProxyName", "Status"},
    {"caches", "ReplicationGroupId", "Status"},
};

static bool is_settled(const char *status)
{
    return strcmp(status, "available") == 0 || strcmp(status, "stopped") == 0 ||
           strcmp(status, "deleting") == 0;
}

static void report(Map *states, const char *name, const char *status, int64_t started_ms)
{
    char *before = map_get(states, slice_of(name));
    if (before != NULL && strcmp(before, status) == 0) {
        return;
    }
    mem_free(before);
    map_set(states, slice_of(name), mem_strdup(status));
    if (before != NULL || !is_settled(status)) {
        fprintf(stderr, "%6.1f s  %-28s %s\n", (double)(time_mono_ms() - started_ms) / 1000.0, name,
                status);
    }
}

/* True when every resource of the view has settled. */
static bool look(Map *states, const json_t *view, int64_t started_ms)
{
    bool settled = true;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        size_t i;
        json_t *resource;
        json_array_foreach (member_array(view, kinds[k].list), i, resource) {
            const char *status = member_str(resource, kinds[k].status, "");
            report(states, member_str(resource, kinds[k].name, ""), status, started_ms);
            settled = settled && is_settled(status);
        }
    }
    return settled;
}

static void states_free(Map *states)
{
    size_t cursor = 0;
    Slice key;
    void *value;
    while (map_next(states, &cursor, &key, &value)) {
        mem_free(value);
    }
    map_free(states);
}

bool up_wait_available(Cli *cli, Err *err)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000};
    int64_t started_ms = time_mono_ms();
    Map *states = map_new();
    bool ok = false;
    for (;;) {
        CLEANUP(record_free_ptr) json_t *view = view_load(cli, err);
        ok = view != NULL && look(states, view, started_ms);
        if (ok || view == NULL) {
            break;
        }
        if (time_mono_ms() - started_ms > WAIT_MS) {
            err_set(err, ERR_TIMEOUT, "not everything is available after %d s: see `weir status`",
                    (int)(WAIT_MS / MS_PER_S));
            break;
        }
        if (up_is_interrupted()) {
            err_set(err, ERR_UNAVAILABLE, "interrupted");
            break;
        }
        nanosleep(&pause, NULL);
    }
    states_free(states);
    return ok;
}
