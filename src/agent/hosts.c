/*
 * The hosts of the tier, and whose agents are alive (docs/hosts.md). Each agent beats: it changes
 * its host's record again and again; whoever sees that judges by his own clock, since the last
 * change that he saw (RULES F11). A tier of one host has nothing to compare, and no beats.
 *
 * The loop's thread follows the store; jobs of nodes ask, behind a lock.
 */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/hosts_priv.h"

#define BEAT_MS   400
#define PREFIX    "host/"
#define RANGE_MAX 100

typedef struct HostEntry {
    AgentHost host;
    bool joined;               /* it has a spec: what others say of themselves counts for nothing */
    bool read;                 /* by the load in progress */
    char agent[AGENT_ID_SIZE]; /* of the beat that was seen last */
    int64_t count;
    int64_t heard_ms; /* of CLOCK_BOOTTIME: when it changed */
} HostEntry;

struct Hosts {
    const AgentOptions *options;
    pthread_mutex_t mutex;
    HostEntry items[HOSTS_MAX];
    size_t len;
    StoreWatch *watch;
    LoopFd *watch_fd;
    LoopTimer timer;
    bool in_job;
    bool removed; /* this host is none of the tier any more */
    /* of the job in progress, else of the loop's thread */
    int64_t beat_revision; /* -1: not known */
    int64_t beat_count;
    int64_t beat_ms; /* when the last one was begun that the store took; 0: none was */
};

/* ---- the table ---------------------------------------------------------------------------------
 */

/* With the lock held. NULL: there is none. */
static HostEntry *entry_find(Hosts *hosts, Slice name)
{
    for (size_t i = 0; i < hosts->len; i++) {
        if (slice_is(name, hosts->items[i].host.name)) {
            return &hosts->items[i];
        }
    }
    return NULL;
}

static HostEntry *entry_make(Hosts *hosts, Slice name)
{
    HostEntry *entry = entry_find(hosts, name);
    if (entry != NULL || hosts->len == HOSTS_MAX || name.len == 0 || name.len >= HOST_NAME_SIZE) {
        return entry;
    }
    entry = &hosts->items[hosts->len++];
    *entry = (HostEntry){.heard_ms = time_boot_ms()};
    memcpy(entry->host.name, name.data, name.len);
    return entry;
}

static void entry_drop(Hosts *hosts, Slice name)
{
    HostEntry *entry = entry_find(hosts, name);
    if (entry != NULL) {
        *entry = hosts->items[--hosts->len];
    }
}

static void entry_spec(HostEntry *entry, const json_t *record)
{
    snprintf(entry->host.net, sizeof(entry->host.net), "%s", member_str(record, "net", ""));
    entry->joined = entry->read = true;
    entry->host.zone = member_str(record, "zone", "")[0];
    entry->host.draining = member_bool(record, "draining", false);
}

static void entry_beat(HostEntry *entry, const json_t *record)
{
    const char *agent = member_str(record, "agent", "");
    int64_t count = member_int(record, "count", 0);
    if (count != entry->count || strcmp(agent, entry->agent) != 0) {
        entry->heard_ms = time_boot_ms();
    }
    entry->count = count;
    snprintf(entry->agent, sizeof(entry->agent), "%s", agent);
    entry->host.memory_bytes = member_int(record, "memory_bytes", 0);
}

/* "host/NAME/spec" or "host/NAME/beat". */
static void hosts_change(Hosts *hosts, const StoreChange *change)
{
    Slice rest = slice_skip(change->item.key, strlen(PREFIX));
    Slice name = slice_cut(&rest, '/');
    CLEANUP(record_free_ptr) json_t *record = NULL;
    bool there = change->kind == STORE_PUT && record_parse(change->item.value, &record, NULL);
    pthread_mutex_lock(&hosts->mutex);
    HostEntry *known = entry_find(hosts, name);
    if (slice_is(rest, "spec") && !there && slice_is(name, hosts->options->host)) {
        known->joined = false;
    } else if (slice_is(rest, "spec") && !there) {
        entry_drop(hosts, name);
    } else if (slice_is(rest, "beat") && !there && known != NULL && !known->joined &&
               !slice_is(name, hosts->options->host)) {
        entry_drop(hosts, name); /* the last that there was of it */
    } else if (there) {
        HostEntry *entry = entry_make(hosts, name);
        if (entry != NULL && slice_is(rest, "spec")) {
            entry_spec(entry, record);
        } else if (entry != NULL && slice_is(rest, "beat")) {
            entry_beat(entry, record);
        }
    }
    pthread_mutex_unlock(&hosts->mutex);
}

static void load_begin(Hosts *hosts)
{
    pthread_mutex_lock(&hosts->mutex);
    for (size_t i = 0; i < hosts->len; i++) {
        hosts->items[i].read = false;
    }
    pthread_mutex_unlock(&hosts->mutex);
}

/* Those that were not read are gone; of this one, its owner is told. */
static void load_end(Hosts *hosts)
{
    pthread_mutex_lock(&hosts->mutex);
    for (size_t i = hosts->len; i > 0; i--) {
        HostEntry *entry = &hosts->items[i - 1];
        if (entry->read) {
            continue;
        }
        if (strcmp(entry->host.name, hosts->options->host) == 0) {
            entry->joined = false;
        } else {
            entry_drop(hosts, slice_of(entry->host.name));
        }
    }
    pthread_mutex_unlock(&hosts->mutex);
}

static bool hosts_load(Hosts *hosts, int64_t *ret_revision, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreRange range = {.more = true};
    Slice after = {0};
    load_begin(hosts);
    for (bool first = true; range.more; first = false) {
        TRY(store_range(hosts->options->store, SLICE(PREFIX), after, RANGE_MAX, arena, &range,
                        err));
        if (first) {
            *ret_revision = range.revision;
        }
        for (size_t i = 0; i < range.len; i++) {
            const StoreChange change = {.kind = STORE_PUT, .item = range.items[i]};
            hosts_change(hosts, &change);
            after = range.items[i].key;
        }
    }
    load_end(hosts);
    return true;
}

/* This host's record is gone. That it was removed is said by another one: a store that has lost
 * what it had is no reason to stop engines. */
static void judge_own(Hosts *hosts)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreItem item;
    Err err;
    const char *key = arena_printf(arena, "removed-host/%s", hosts->options->host);
    bool removed = store_get(hosts->options->store, slice_of(key), arena, &item, &err);
    if (!removed && err.code != ERR_NOT_FOUND) {
        return; /* the next look tells */
    }
    pthread_mutex_lock(&hosts->mutex);
    hosts->removed = removed;
    if (!removed) {
        log_error("agent", "the record of this host is gone from the store; it goes on");
        entry_find(hosts, slice_of(hosts->options->host))->joined = true;
    }
    pthread_mutex_unlock(&hosts->mutex);
    if (removed && hosts->options->on_removed != NULL) {
        hosts->options->on_removed(hosts->options->user);
    }
}

static void look_removed(Hosts *hosts)
{
    pthread_mutex_lock(&hosts->mutex);
    bool gone = !entry_find(hosts, slice_of(hosts->options->host))->joined && !hosts->removed;
    pthread_mutex_unlock(&hosts->mutex);
    if (gone) {
        judge_own(hosts);
    }
}

static void on_watch(void *user, uint32_t events)
{
    (void)events;
    Hosts *hosts = user;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreChange change;
    StoreWatchResult result;
    while ((result = store_watch_next(hosts->watch, arena, &change)) != STORE_WATCH_NOTHING) {
        int64_t revision;
        Err err;
        if (result == STORE_WATCH_CHANGE) {
            hosts_change(hosts, &change);
        } else if (!hosts_load(hosts, &revision, &err)) {
            log_error("agent", "cannot read the hosts again: %s", err.message);
        }
        arena_reset(arena);
    }
    look_removed(hosts);
}

static int64_t memory_bytes(void)
{
    return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

/* ---- beating -----------------------------------------------------------------------------------
 */

static bool beat_revision_read(Hosts *hosts, const char *key, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreItem item;
    bool there = store_get(hosts->options->store, slice_of(key), arena, &item, err);
    hosts->beat_revision = there ? item.mod_revision : 0;
    return there || err->code == ERR_NOT_FOUND;
}

static bool beat_write(Hosts *hosts, Err *err)
{
    const AgentOptions *options = hosts->options;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *key = arena_printf(arena, PREFIX "%s/beat", options->host);
    CLEANUP(record_free_ptr)
    json_t *record =
        json_pack("{s:s, s:I, s:I}", "agent", options->agent_id, "count",
                  (json_int_t)++hosts->beat_count, "memory_bytes", (json_int_t)memory_bytes());
    Slice text = record_format(arena, record);
    TRY(hosts->beat_revision >= 0 || beat_revision_read(hosts, key, err));
    int64_t revision;
    bool ok = hosts->beat_revision == 0
                  ? store_create(options->store, slice_of(key), text, &revision, err)
                  : store_update(options->store, slice_of(key), hosts->beat_revision, text,
                                 &revision, err);
    hosts->beat_revision = ok ? revision : -1;
    return ok;
}

static void beat_run(void *arg, const Job *job)
{
    (void)job;
    Hosts *hosts = arg;
    int64_t begun_ms = time_boot_ms();
    Err err;
    if (beat_write(hosts, &err)) {
        pthread_mutex_lock(&hosts->mutex);
        hosts->beat_ms = begun_ms;
        pthread_mutex_unlock(&hosts->mutex);
    } else {
        log_warn("agent", "this host's beat: %s", err.message);
    }
}

static void beat_done(void *arg)
{
    Hosts *hosts = arg;
    hosts->in_job = false;
}

static void on_timer(void *user)
{
    Hosts *hosts = user;
    look_removed(hosts);
    if (hosts->in_job || hosts->removed || !hosts_are_several(hosts)) {
        return;
    }
    hosts->in_job = jobs_submit(hosts->options->jobs, beat_run, beat_done, hosts, NULL, NULL);
}

/* ---- life --------------------------------------------------------------------------------------
 */

bool hosts_new(const AgentOptions *options, Hosts **ret_hosts, Err *err)
{
    Hosts *hosts = mem_alloc(sizeof(Hosts));
    hosts->options = options;
    hosts->beat_revision = -1;
    pthread_mutex_init(&hosts->mutex, NULL);
    HostEntry *own = entry_make(hosts, slice_of(options->host));
    snprintf(own->host.net, sizeof(own->host.net), "%s", options->net);
    own->host.memory_bytes = memory_bytes();
    own->joined = true;
    int64_t revision;
    if (!hosts_load(hosts, &revision, err) ||
        !store_watch(options->store, SLICE(PREFIX), revision, &hosts->watch, err) ||
        !loop_fd_add(options->loop, store_watch_fd(hosts->watch), EPOLLIN, on_watch, hosts,
                     &hosts->watch_fd, err)) {
        hosts_free(hosts);
        return false;
    }
    loop_timer_start(options->loop, &hosts->timer, 1, BEAT_MS, on_timer, hosts);
    *ret_hosts = hosts;
    return true;
}

void hosts_free(Hosts *hosts)
{
    if (hosts == NULL) {
        return;
    }
    loop_timer_stop(&hosts->timer);
    loop_fd_remove(hosts->watch_fd);
    store_watch_close(hosts->watch);
    pthread_mutex_destroy(&hosts->mutex);
    mem_free(hosts);
}

/* ---- questions ---------------------------------------------------------------------------------
 */

bool hosts_are_several(Hosts *hosts)
{
    pthread_mutex_lock(&hosts->mutex);
    size_t joined = 0;
    for (size_t i = 0; i < hosts->len; i++) {
        joined += hosts->items[i].joined;
    }
    bool several = joined > 1;
    pthread_mutex_unlock(&hosts->mutex);
    return several;
}

bool hosts_net(Hosts *hosts, const char *name, char out[static HOST_NET_SIZE])
{
    pthread_mutex_lock(&hosts->mutex);
    const HostEntry *entry = entry_find(hosts, slice_of(name));
    if (entry != NULL) {
        memcpy(out, entry->host.net, HOST_NET_SIZE);
    }
    pthread_mutex_unlock(&hosts->mutex);
    return entry != NULL;
}

char *hosts_node_address(const AgentOptions *options, Arena *arena, const json_t *goal)
{
    const char *host = member_str(goal, "host", "");
    char net[HOST_NET_SIZE];
    if (strcmp(host, options->host) == 0 || !hosts_net(options->hosts, host, net)) {
        snprintf(net, sizeof(net), "%s", options->net);
    }
    return arena_printf(arena, "%s.%s", net, member_str(goal, "address", ""));
}

/* With the lock held. */
static int64_t entry_silent_ms(const Hosts *hosts, const HostEntry *entry)
{
    return strcmp(entry->host.name, hosts->options->host) == 0 ? 0
                                                               : time_boot_ms() - entry->heard_ms;
}

int64_t hosts_silent_ms(Hosts *hosts, const char *name)
{
    pthread_mutex_lock(&hosts->mutex);
    const HostEntry *entry = entry_find(hosts, slice_of(name));
    int64_t silent_ms = entry != NULL ? entry_silent_ms(hosts, entry) : 0;
    pthread_mutex_unlock(&hosts->mutex);
    return silent_ms;
}

bool hosts_agent_lives(Hosts *hosts, const char *agent)
{
    if (strcmp(agent, hosts->options->agent_id) == 0) {
        return true;
    }
    pthread_mutex_lock(&hosts->mutex);
    bool lives = false;
    for (size_t i = 0; i < hosts->len && agent[0] != '\0'; i++) {
        const HostEntry *entry = &hosts->items[i];
        lives = lives || (entry->joined && strcmp(entry->agent, agent) == 0 &&
                          strcmp(entry->host.name, hosts->options->host) != 0 &&
                          entry_silent_ms(hosts, entry) < HA_WITNESS_MS);
    }
    pthread_mutex_unlock(&hosts->mutex);
    return lives;
}

size_t hosts_list(Hosts *hosts, AgentHost out[static HOSTS_MAX])
{
    pthread_mutex_lock(&hosts->mutex);
    size_t len = 0;
    for (size_t i = 0; i < hosts->len && !hosts->removed; i++) {
        if (hosts->items[i].joined) {
            out[len] = hosts->items[i].host;
            out[len].silent_ms = entry_silent_ms(hosts, &hosts->items[i]);
            out[len].alive = out[len].silent_ms < HA_WITNESS_MS;
            len++;
        }
    }
    pthread_mutex_unlock(&hosts->mutex);
    return len;
}

int64_t hosts_taken_ms(Hosts *hosts)
{
    pthread_mutex_lock(&hosts->mutex);
    int64_t beat_ms = hosts->beat_ms;
    pthread_mutex_unlock(&hosts->mutex);
    return beat_ms;
}
