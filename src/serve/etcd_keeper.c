/*
 * Keeps this host's etcd running, and the members of etcd those of the tier's hosts: the first
 * three have one (docs/hosts.md, "etcd under guard"). Each look does what is missing, one step of
 * it; the members themselves are the only record of how far it is. Any serve may be killed at any
 * step.
 */
#include <stdio.h>

#include "client/client.h"
#include "serve/etcd_own_priv.h"
#include "serve/serve_priv.h"

#define LOOK_MS       1000
#define MEMBERS_EVERY 3 /* looks */

struct EtcdKeeper {
    Loop *loop;
    Jobs *jobs;
    const Tier *tier;
    LoopFn *again;
    void *user;
    LoopTimer timer;
    LoopTimer renew;
    bool in_job;
    bool changed; /* the job's: host.json has other endpoints than we run with */
    unsigned looks;
    char told[sizeof((Err){0}.message)]; /* the last trouble, so that it is said once */
};

/* ---- who is a member ---------------------------------------------------------------------------
 */

/* This host's, by where it is, or by its name where its net has changed; NULL: none. */
static const StoreMember *member_own(const Tier *tier, const StoreMembers *members)
{
    CLEANUP(mem_free_ptr) char *url = etcd_own_peer_url(tier->net);
    for (size_t i = 0; i < members->len; i++) {
        const StoreMember *member = &members->items[i];
        if (strcmp(member->peer_url, url) == 0 || strcmp(member->name, tier->host) == 0) {
            return member;
        }
    }
    return NULL;
}

static const StoreMember *learner(const StoreMembers *members)
{
    for (size_t i = 0; i < members->len; i++) {
        if (members->items[i].learner) {
            return &members->items[i];
        }
    }
    return NULL;
}

/* ERR_NOT_FOUND is an answer, and so "no". */
static bool is_removed(const Tier *tier, const char *host, bool *ret_removed, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreItem item;
    *ret_removed = store_get(tier->store, slice_of(arena_printf(arena, "removed-host/%s", host)),
                             arena, &item, err);
    return *ret_removed || err->code == ERR_NOT_FOUND;
}

/* Somebody else may have been faster. */
static bool remove_removed(const Tier *tier, const StoreMembers *members, bool *ret_changed,
                           Err *err)
{
    for (size_t i = 0; i < members->len; i++) {
        const StoreMember *member = &members->items[i];
        bool removed = false;
        if (member->name[0] == '\0' || strcmp(member->name, tier->host) == 0) {
            continue;
        }
        TRY(is_removed(tier, member->name, &removed, err));
        if (removed) {
            log_info("serve", "host %s was removed, and its member of etcd with it", member->name);
            TRY(store_member_remove(tier->store, member->id, err) || err->code == ERR_NOT_FOUND);
            *ret_changed = true;
        }
    }
    return true;
}

/* ---- becoming one ------------------------------------------------------------------------------
 */

/* "h1=https://10.101.0.1:2380,…"; what has not started has no name yet. */
static const char *cluster_text(const Tier *tier, const StoreMembers *members, Arena *arena)
{
    const StoreMember *own = member_own(tier, members);
    const char *text = "";
    for (size_t i = 0; i < members->len; i++) {
        const StoreMember *member = &members->items[i];
        const char *name = member == own             ? tier->host
                           : member->name[0] != '\0' ? member->name
                                                     : "unnamed";
        text = arena_printf(arena, "%s%s%s=%s", text, i > 0 ? "," : "", name, member->peer_url);
    }
    return text;
}

/* What an earlier membership left is of no use to a new one. */
static bool become(const Tier *tier, Err *err)
{
    CLEANUP(mem_free_ptr) char *url = etcd_own_peer_url(tier->net);
    log_info("serve", "this host gets a member of etcd");
    TRY(etcd_own_installed(err) && etcd_own_data_remove(tier, err));
    return store_member_add(tier->store, url, err);
}

/* One that has everything votes once there are three. */
static bool promote(const Tier *tier, const StoreMember *member, Err *err)
{
    if (!store_member_promote(tier->store, member->id, err)) {
        return err->code == ERR_EXISTS;
    }
    log_info("serve", "the member of etcd at %s votes from now on", member->peer_url);
    return true;
}

/* One step at most. */
static bool members_step(const Tier *tier, const StoreMembers *members, Arena *arena, Err *err)
{
    CLEANUP(mem_free_ptr) char *url = etcd_own_peer_url(tier->net);
    const StoreMember *own = member_own(tier, members);
    const StoreMember *learns = learner(members);
    if (own == NULL) {
        if (members->len >= ETCD_OWN_MEMBERS) { /* also where somebody took ours out */
            return !etcd_own_has_data(tier) || etcd_own_data_remove(tier, err);
        }
        return learns != NULL ? promote(tier, learns, err) : become(tier, err);
    }
    if (strcmp(own->peer_url, url) != 0) {
        return store_member_move(tier->store, own->id, url, err);
    }
    if (!etcd_own_runs(tier)) {
        const char *cluster = etcd_own_has_data(tier) ? NULL : cluster_text(tier, members, arena);
        return etcd_own_start(tier, cluster, false, err);
    }
    return !own->learner || members->len < ETCD_OWN_MEMBERS || promote(tier, own, err);
}

/* ---- where the store is asked ------------------------------------------------------------------
 */

/* This host's member first; who learns is not asked. */
static json_t *endpoints_of(const Tier *tier, const StoreMembers *members)
{
    json_t *endpoints = json_array();
    const StoreMember *own = member_own(tier, members);
    for (size_t i = 0; i < members->len; i++) {
        const StoreMember *member = &members->items[i];
        CLEANUP(mem_free_ptr) char *endpoint = etcd_own_endpoint(member->peer_url);
        if (member->learner) {
            continue;
        }
        if (member == own) {
            json_array_insert_new(endpoints, 0, json_string(endpoint));
        } else {
            json_array_append_new(endpoints, json_string(endpoint));
        }
    }
    return endpoints;
}

static bool endpoints_write(const Tier *tier, json_t *endpoints, Err *err)
{
    HostFile file;
    TRY(host_file_load(tier->data_dir, &file, err));
    json_object_set(file.etcd, "endpoints", endpoints);
    bool ok = host_file_save(tier->data_dir, &file, err);
    host_file_done(&file);
    return ok;
}

static bool endpoints_keep(EtcdKeeper *keeper, const StoreMembers *members, Err *err)
{
    const Tier *tier = keeper->tier;
    CLEANUP(record_free_ptr) json_t *endpoints = endpoints_of(tier, members);
    size_t len = json_array_size(endpoints);
    if (len == 0 || len > CLIENT_ETCD_MAX ||
        json_equal(endpoints, member_array(tier->etcd, "endpoints"))) {
        return true;
    }
    TRY(endpoints_write(tier, endpoints, err));
    keeper->changed = true;
    return true;
}

/* ---- looking -----------------------------------------------------------------------------------
 */

static bool members_look(EtcdKeeper *keeper, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const Tier *tier = keeper->tier;
    StoreMembers members;
    bool changed = false;
    bool removed = false;
    TRY(store_members(tier->store, arena, &members, err) &&
        remove_removed(tier, &members, &changed, err) &&
        is_removed(tier, tier->host, &removed, err));
    return removed || changed ||
           (members_step(tier, &members, arena, err) && endpoints_keep(keeper, &members, err));
}

static void look_run(void *arg, const Job *job)
{
    (void)job;
    EtcdKeeper *keeper = arg;
    const Tier *tier = keeper->tier;
    Err err = {0};
    bool ok = !etcd_own_has_data(tier) || etcd_own_start(tier, NULL, false, &err);
    etcd_own_log_bound(tier);
    if (ok && keeper->looks++ % MEMBERS_EVERY == 0) {
        ok = members_look(keeper, &err);
    }
    if (!ok && strcmp(err.message, keeper->told) != 0) {
        log_warn("serve", "etcd on this host: %s", err.message);
    }
    snprintf(keeper->told, sizeof(keeper->told), "%s", ok ? "" : err.message);
}

static void look_done(void *arg)
{
    EtcdKeeper *keeper = arg;
    keeper->in_job = false;
    if (keeper->changed) {
        keeper->changed = false;
        log_info("serve", "the members of etcd have changed: serve starts again with them");
        keeper->again(keeper->user);
    }
}

static void on_look(void *user)
{
    EtcdKeeper *keeper = user;
    if (!keeper->in_job) {
        keeper->in_job = jobs_submit(keeper->jobs, look_run, look_done, keeper, NULL, NULL);
    }
}

static void renew_run(void *arg, const Job *job)
{
    (void)job;
    const EtcdKeeper *keeper = arg;
    Err err;
    if (!etcd_own_certs_renew(keeper->tier, &err)) {
        log_warn("serve", "etcd keeps its certificate: %s", err.message);
    }
}

static void renew_done(void *arg)
{
    (void)arg;
}

static void on_renew(void *user)
{
    EtcdKeeper *keeper = user;
    if (!jobs_submit(keeper->jobs, renew_run, renew_done, keeper, NULL, NULL)) {
        log_warn("serve", "etcd keeps its certificate: too much to do");
    }
}

void etcd_keeper_new(Loop *loop, Jobs *jobs, const Tier *tier, LoopFn *again, void *user,
                     EtcdKeeper **ret_keeper)
{
    EtcdKeeper *keeper = mem_alloc(sizeof(EtcdKeeper));
    *keeper = (EtcdKeeper){.loop = loop, .jobs = jobs, .tier = tier, .again = again, .user = user};
    loop_timer_start(loop, &keeper->timer, LOOK_MS, LOOK_MS, on_look, keeper);
    loop_timer_start(loop, &keeper->renew, CERT_RENEW_MS, CERT_RENEW_MS, on_renew, keeper);
    *ret_keeper = keeper;
}

void etcd_keeper_free(EtcdKeeper *keeper)
{
    if (keeper != NULL) {
        loop_timer_stop(&keeper->timer);
        loop_timer_stop(&keeper->renew);
        mem_free(keeper);
    }
}
