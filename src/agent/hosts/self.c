/*
 * What this host says of itself: its beat, while there are others; and its record, where the store
 * has lost that. A host that was removed says nothing more.
 */
#include <unistd.h>

#include "agent/hosts/hosts_parts_priv.h"

/* ---- its record --------------------------------------------------------------------------------
 */

static json_t *record_new(Hosts *hosts)
{
    pthread_mutex_lock(&hosts->mutex);
    const HostEntry *own = host_entry_find(hosts, slice_of(hosts->options->host));
    const char zone[] = {own->host.zone, '\0'};
    json_t *record = json_pack("{s:s, s:s, s:I}", "zone", zone, "net", own->host.net, "joined_ms",
                               (json_int_t)own->joined_ms);
    if (own->host.draining) {
        json_object_set_new(record, "draining", json_true());
    }
    pthread_mutex_unlock(&hosts->mutex);
    return record;
}

/* Unless it was removed meanwhile. The watch tells that it is there; until then it is tried again.
 */
static void record_write(Hosts *hosts, Arena *arena, const char *removed_key)
{
    CLEANUP(record_free_ptr) json_t *record = record_new(hosts);
    const char *key = arena_printf(arena, HOSTS_PREFIX "%s/spec", hosts->options->host);
    const StoreCompare absent[] = {{.key = slice_of(key)}, {.key = slice_of(removed_key)}};
    const StoreWrite write = {
        .kind = STORE_PUT, .key = slice_of(key), .value = record_format(arena, record)};
    const StoreTxn txn = {
        .compares = absent, .compares_len = ARRAY_LEN(absent), .writes = &write, .writes_len = 1};
    bool done = false;
    int64_t revision;
    Err err;
    if (!store_txn(hosts->options->store, &txn, &done, &revision, &err)) {
        log_error("agent", "the record of this host is gone from the store: %s", err.message);
    } else if (done) {
        log_error("agent", "the record of this host was gone from the store: it is written again");
    }
}

/* That it was removed is said by another record: a store that has lost what it had is no reason to
 * stop engines. */
void host_self_judge(Hosts *hosts)
{
    pthread_mutex_lock(&hosts->mutex);
    bool gone = hosts->lost && !hosts->removed;
    pthread_mutex_unlock(&hosts->mutex);
    if (!gone) {
        return;
    }
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreItem item;
    Err err;
    const char *key = arena_printf(arena, "removed-host/%s", hosts->options->host);
    bool removed = store_get(hosts->options->store, slice_of(key), arena, &item, &err);
    if (!removed && err.code != ERR_NOT_FOUND) {
        return; /* the next look tells */
    }
    if (!removed) {
        record_write(hosts, arena, key);
        return;
    }
    pthread_mutex_lock(&hosts->mutex);
    hosts->removed = true;
    pthread_mutex_unlock(&hosts->mutex);
    if (hosts->options->on_removed != NULL) {
        hosts->options->on_removed(hosts->options->user);
    }
}

/* ---- beating -----------------------------------------------------------------------------------
 */

int64_t host_self_memory_bytes(void)
{
    return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

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
    const char *key = arena_printf(arena, HOSTS_PREFIX "%s/beat", options->host);
    CLEANUP(record_free_ptr)
    json_t *record = json_pack("{s:s, s:I, s:I}", "agent", options->agent_id, "count",
                               (json_int_t)++hosts->beat_count, "memory_bytes",
                               (json_int_t)host_self_memory_bytes());
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

void host_self_beat(Hosts *hosts)
{
    if (!hosts->in_job && !hosts->removed && hosts_are_several(hosts)) {
        hosts->in_job = jobs_submit(hosts->options->jobs, beat_run, beat_done, hosts, NULL, NULL);
    }
}
