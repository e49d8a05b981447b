/*
 * The hosts of the tier, and whose agents are alive (docs/hosts.md). Each agent beats: it changes
 * its host's record again and again; whoever sees that judges by his own clock, since the last
 * change that he saw (RULES F11). A tier of one host has nothing to compare, and no beats.
 *
 * The loop's thread follows the store; jobs of nodes ask, behind a lock. What this host says of
 * itself is self.c.
 */
#include <stdio.h>

#include "agent/hosts/hosts_parts_priv.h"

#define RANGE_MAX 100

/* ---- the table ---------------------------------------------------------------------------------
 */

HostEntry *host_entry_find(Hosts *hosts, Slice name)
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
    HostEntry *entry = host_entry_find(hosts, name);
    if (entry != NULL || name.len == 0 || name.len >= HOST_NAME_SIZE) {
        return entry;
    }
    if (hosts->len == HOSTS_MAX) { /* none joins where there are as many */
        log_error("agent", "the host %.*s is one too many: %d are known", SLICE_FMT(name),
                  HOSTS_MAX);
        return NULL;
    }
    entry = &hosts->items[hosts->len++];
    *entry = (HostEntry){.heard_ms = time_boot_ms()};
    memcpy(entry->host.name, name.data, name.len);
    return entry;
}

static void entry_drop(Hosts *hosts, Slice name)
{
    HostEntry *entry = host_entry_find(hosts, name);
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
    entry->host.seat = member_bool(record, "seat", false);
    entry->host.joined_ms = member_int(record, "joined_ms", 0);
    snprintf(entry->host.engines, sizeof(entry->host.engines), "%s",
             member_str(record, "engines", ""));
    entry->joined_ms = member_int(record, "joined_ms", 0);
}

static void entry_beat(HostEntry *entry, const json_t *record, int64_t revision)
{
    const char *agent = member_str(record, "agent", "");
    int64_t count = member_int(record, "count", 0);
    if (count != entry->count || strcmp(agent, entry->agent) != 0) {
        entry->heard_ms = time_boot_ms();
        entry->missed = 0;
        entry->beats = entry->revision != 0;
    }
    entry->count = count;
    entry->revision = revision;
    snprintf(entry->agent, sizeof(entry->agent), "%s", agent);
    entry->host.memory_bytes = member_int(record, "memory_bytes", 0);
}

static bool is_own(const Hosts *hosts, Slice name)
{
    return slice_is(name, hosts->options->host);
}

/* "host/NAME/spec" or "host/NAME/beat". */
static void hosts_change(Hosts *hosts, const StoreChange *change)
{
    Slice rest = slice_skip(change->item.key, strlen(HOSTS_PREFIX));
    Slice name = slice_cut(&rest, '/');
    CLEANUP(record_free_ptr) json_t *record = NULL;
    bool there = change->kind == STORE_PUT && record_parse(change->item.value, &record, NULL);
    pthread_mutex_lock(&hosts->mutex);
    HostEntry *known = host_entry_find(hosts, name);
    if (slice_is(rest, "spec") && is_own(hosts, name)) {
        hosts->lost = !there; /* it stays in the table as it was */
    }
    if (slice_is(rest, "spec") && !there && !is_own(hosts, name)) {
        entry_drop(hosts, name);
    } else if (slice_is(rest, "beat") && !there && known != NULL && !known->joined &&
               !is_own(hosts, name)) {
        entry_drop(hosts, name); /* the last that there was of it */
    } else if (there) {
        HostEntry *entry = entry_make(hosts, name);
        if (entry != NULL && slice_is(rest, "spec")) {
            entry_spec(entry, record);
        } else if (entry != NULL && slice_is(rest, "beat")) {
            entry_beat(entry, record, change->item.mod_revision);
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
        if (is_own(hosts, slice_of(entry->host.name))) {
            hosts->lost = true;
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
        TRY(store_range(hosts->options->store, SLICE(HOSTS_PREFIX), after, RANGE_MAX, arena, &range,
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

static void on_watch(void *user, uint32_t events)
{
    (void)events;
    Hosts *hosts = user;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreChange change;
    StoreWatchResult result;
    bool changed = false;
    while ((result = store_watch_next(hosts->watch, arena, &change)) != STORE_WATCH_NOTHING) {
        int64_t revision;
        Err err;
        changed = changed || result != STORE_WATCH_CHANGE ||
                  slice_ends(change.item.key, "/spec"); /* not with each beat */
        if (result == STORE_WATCH_CHANGE) {
            hosts_change(hosts, &change);
        } else if (!hosts_load(hosts, &revision, &err)) {
            log_error("agent", "cannot read the hosts again: %s", err.message);
        }
        arena_reset(arena);
    }
    host_self_judge(hosts);
    if (changed) {
        hosts->changed(hosts->user);
    }
}

/* ---- life --------------------------------------------------------------------------------------
 */

/* Who stood still has not listened: what others said meanwhile is still to be read. */
static void count_turn(Hosts *hosts)
{
    pthread_mutex_lock(&hosts->mutex);
    for (size_t i = 0; i < hosts->len; i++) {
        hosts->items[i].missed++;
    }
    pthread_mutex_unlock(&hosts->mutex);
}

static void on_timer(void *user)
{
    Hosts *hosts = user;
    count_turn(hosts);
    host_self_judge(hosts);
    host_self_beat(hosts);
}

bool hosts_new(const AgentOptions *options, LoopFn *changed, void *user, Hosts **ret_hosts,
               Err *err)
{
    Hosts *hosts = mem_alloc(sizeof(Hosts));
    *hosts = (Hosts){.options = options, .changed = changed, .user = user, .beat_revision = -1};
    pthread_mutex_init(&hosts->mutex, NULL);
    HostEntry *own = entry_make(hosts, slice_of(options->host));
    snprintf(own->host.net, sizeof(own->host.net), "%s", options->net);
    own->host.memory_bytes = host_self_memory_bytes();
    own->joined = true;
    int64_t revision;
    if (!hosts_load(hosts, &revision, err) ||
        !store_watch(options->store, SLICE(HOSTS_PREFIX), revision, &hosts->watch, err) ||
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
    const HostEntry *entry = host_entry_find(hosts, slice_of(name));
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
    return is_own(hosts, slice_of(entry->host.name)) ? 0 : time_boot_ms() - entry->heard_ms;
}

int64_t hosts_silent_ms(Hosts *hosts, const char *name)
{
    pthread_mutex_lock(&hosts->mutex);
    const HostEntry *entry = host_entry_find(hosts, slice_of(name));
    int64_t silent_ms = entry != NULL ? entry_silent_ms(hosts, entry) : 0;
    pthread_mutex_unlock(&hosts->mutex);
    return silent_ms;
}

bool hosts_beat(Hosts *hosts, const char *name, HostBeat *ret_beat)
{
    pthread_mutex_lock(&hosts->mutex);
    const HostEntry *entry = host_entry_find(hosts, slice_of(name));
    bool there = entry != NULL && entry->revision != 0 && strcmp(name, hosts->options->host) != 0;
    if (there) {
        int64_t listened_ms = time_boot_ms() - entry->missed * BEAT_MS;
        *ret_beat =
            (HostBeat){.revision = entry->revision,
                       .seen_ms = listened_ms > entry->heard_ms ? listened_ms : entry->heard_ms};
        snprintf(ret_beat->key, sizeof(ret_beat->key), HOSTS_PREFIX "%s/beat", entry->host.name);
    }
    pthread_mutex_unlock(&hosts->mutex);
    return there;
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
        lives = lives || (entry->joined && entry->beats && strcmp(entry->agent, agent) == 0 &&
                          !is_own(hosts, slice_of(entry->host.name)) &&
                          entry_silent_ms(hosts, entry) < HA_WITNESS_MS);
    }
    pthread_mutex_unlock(&hosts->mutex);
    return lives;
}

static void entry_agent(const Hosts *hosts, const HostEntry *entry, char out[AGENT_ID_SIZE])
{
    bool own = is_own(hosts, slice_of(entry->host.name));
    snprintf(out, AGENT_ID_SIZE, "%s",
             own            ? hosts->options->agent_id
             : entry->beats ? entry->agent
                            : "");
}

size_t hosts_list(Hosts *hosts, AgentHost out[static HOSTS_MAX])
{
    pthread_mutex_lock(&hosts->mutex);
    size_t len = 0;
    for (size_t i = 0; i < hosts->len && !hosts->removed; i++) {
        if (hosts->items[i].joined) {
            out[len] = hosts->items[i].host;
            int64_t silent_ms = entry_silent_ms(hosts, &hosts->items[i]);
            int64_t listened_ms = hosts->items[i].missed * BEAT_MS;
            out[len].silent_ms = silent_ms < listened_ms ? silent_ms : listened_ms;
            out[len].alive = silent_ms < HA_WITNESS_MS;
            entry_agent(hosts, &hosts->items[i], out[len].agent);
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
