/*
 * Waiting until everything of the tier is available, with a line per change: what happens to each
 * resource, and how long it has taken. What apply has waited for by itself is not told again.
 */
#include <stdio.h>
#include <time.h>

#include "cli/up/up_priv.h"
#include "model/model.h"

#define POLL_MS   200
#define WAIT_MS   (600 * MS_PER_S)
#define SILENT_MS (10 * MS_PER_S) /* a host that has been silent for less may well be back */

/* What was last told of a resource. */
typedef struct Told {
    char *status;
    RemarkWatch remark;
    bool held_up;
} Told;

static bool is_settled(const char *status)
{
    return strcmp(status, "available") == 0 || strcmp(status, "stopped") == 0 ||
           strcmp(status, "deleting") == 0;
}

/* The node that leads the resource, or is the read replica; where none of a group leads, one whose
 * host is silent. NULL: there is none. */
static const json_t *standing_node(const json_t *view, ResourceType type, const char *name)
{
    const json_t *found = NULL;
    size_t i;
    json_t *node;
    json_array_foreach (member_array(view, "nodes"), i, node) {
        const char *role = member_str(node, "Role", "");
        bool leads = strcmp(role, "primary") == 0;
        bool may =
            leads ||
            (strcmp(role, "replica") == 0 &&
             (type == RESOURCE_DB_INSTANCE || json_object_get(node, "HostSilentSince") != NULL));
        if (may && (leads || found == NULL) &&
            strcmp(member_str(node, "ResourceType", ""), resource_type_name(type)) == 0 &&
            strcmp(member_str(node, "ResourceId", ""), name) == 0) {
            found = node;
        }
    }
    return found;
}

static const char *silent_host(const json_t *node)
{
    int64_t since_ms = member_int(node, "HostSilentSince", 0);
    return since_ms != 0 && time_wall_ms() - since_ms >= SILENT_MS ? member_str(node, "Host", "")
                                                                   : NULL;
}

/* The host that holds it up, its own or its source's: when that will be back nobody knows. */
static const char *held_up_by(const json_t *view, ResourceType type, const json_t *resource,
                              const char *name)
{
    const char *own = silent_host(standing_node(view, type, name));
    const char *source = member_str(resource, "ReadReplicaSourceDBInstanceIdentifier", "");
    return own != NULL ? own : silent_host(standing_node(view, type, source));
}

/* Its host may yet be heard: what its status says is of before. */
static bool is_unknown(const json_t *view, ResourceType type, const char *name)
{
    return strcmp(member_str(standing_node(view, type, name), "State", ""), "unknown") == 0;
}

typedef struct Watch {
    Map *all;       /* a Told per resource */
    int name_width; /* the longest name's */
    bool tell_all;  /* also what had settled before the first look */
    int64_t started_ms;
} Watch;

static void say(const Watch *watch, const char *name, const char *text)
{
    fprintf(stderr, "%6.1f s  %-*s  %s\n", (double)(time_mono_ms() - watch->started_ms) / 1000.0,
            watch->name_width, name, text);
}

static Told *told_of(Map *all, const ViewKind *kind, const char *name)
{
    CLEANUP(mem_free_ptr) char *key = mem_printf("%s/%s", kind->list, name);
    Told *told = map_get(all, slice_of(key));
    if (told == NULL) {
        told = mem_alloc(sizeof(Told));
        map_set(all, slice_of(key), told);
    }
    return told;
}

static void report(const Watch *watch, Told *told, const char *name, const char *status,
                   const char *remark)
{
    if (told->status == NULL || strcmp(told->status, status) != 0) {
        if (told->status != NULL || !is_settled(status) || watch->tell_all) {
            say(watch, name, status);
        }
        mem_free(told->status);
        told->status = mem_strdup(status);
    }
    if (!is_settled(status) && remark_is_due(&told->remark, remark, time_mono_ms())) {
        say(watch, name, remark);
    }
}

static void report_held_up(const Watch *watch, Told *told, const char *name, const char *host)
{
    if (host != NULL && !told->held_up) {
        CLEANUP(mem_free_ptr)
        char *text = mem_printf("is not waited for: host %s is silent", host);
        say(watch, name, text);
    }
    told->held_up = host != NULL;
}

static int longest_name(const json_t *view)
{
    size_t longest = 0;
    for (size_t k = 0; k < ARRAY_LEN(view_kinds); k++) {
        size_t i;
        json_t *resource;
        json_array_foreach (member_array(view, view_kinds[k].list), i, resource) {
            size_t len = strlen(member_str(resource, view_kinds[k].name, ""));
            longest = len > longest ? len : longest;
        }
    }
    return (int)longest;
}

/* True when every resource of the view has settled. */
static bool look(Watch *watch, const json_t *view)
{
    bool settled = true;
    watch->name_width = longest_name(view);
    for (size_t k = 0; k < ARRAY_LEN(view_kinds); k++) {
        size_t i;
        json_t *resource;
        json_array_foreach (member_array(view, view_kinds[k].list), i, resource) {
            const char *name = member_str(resource, view_kinds[k].name, "");
            const char *status = member_str(resource, view_kinds[k].status, "");
            const char *remark =
                remark_of_state(json_object_get(view, "remarks"), view_kinds[k].type, name);
            Told *told = told_of(watch->all, &view_kinds[k], name);
            report(watch, told, name, status, remark);
            const char *host = held_up_by(view, view_kinds[k].type, resource, name);
            bool is = is_settled(status) && !is_unknown(view, view_kinds[k].type, name);
            report_held_up(watch, told, name, is ? NULL : host);
            settled = settled && (is || host != NULL);
        }
    }
    return settled;
}

static void told_free(Map *all)
{
    size_t cursor = 0;
    Slice key;
    void *value;
    while (map_next(all, &cursor, &key, &value)) {
        Told *told = value;
        mem_free(told->status);
        remark_watch_done(&told->remark);
        mem_free(told);
    }
    map_free(all);
}

bool up_wait_available(Cli *cli, bool tell_all, Err *err)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000};
    Watch watch = {.all = map_new(), .tell_all = tell_all, .started_ms = time_mono_ms()};
    bool ok = false;
    for (;;) {
        CLEANUP(record_free_ptr) json_t *view = view_load(cli, err);
        ok = view != NULL && look(&watch, view);
        if (ok || view == NULL) {
            break;
        }
        if (time_mono_ms() - watch.started_ms > WAIT_MS) {
            err_set(err, ERR_TIMEOUT, "not everything is available after %d s: see `weir status`",
                    (int)(WAIT_MS / MS_PER_S));
            break;
        }
        if (interrupt_waits()) {
            err_set(err, ERR_UNAVAILABLE, "interrupted");
            break;
        }
        nanosleep(&pause, NULL);
    }
    told_free(watch.all);
    return ok;
}
