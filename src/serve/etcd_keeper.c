/*
 * Keeps this host's etcd running, and carries out what is decided of its members (etcd_decide.c):
 * one step at each look. Any serve may be killed at any step.
 */
#include <pthread.h>
#include <stdio.h>

#include "client/client.h"
#include "serve/etcd_own_priv.h"
#include "serve/serve_priv.h"

#define LOOK_MS       1000
#define MEMBERS_EVERY 3 /* looks */
#define PAST_EVERY    10
#define CERT_EVERY    86400
#define GONE_MS       10000 /* so long silent: another host may have its place */

/* What a host is to the store. */
typedef struct HostMember {
    char host[HOST_NAME_SIZE];
    HostStoreMember kind;
} HostMember;

struct EtcdKeeper {
    Jobs *jobs; /* its own: requests may hold up all others */
    const Tier *tier;
    Agent *agent; /* knows the hosts */
    EtcdKeeperEvents events;
    LoopTimer timer;
    bool in_job;
    /* The job's. */
    bool past;         /* the tier has gone on without this host */
    bool other;        /* the store that was opened is not there any more */
    json_t *endpoints; /* where the store is asked */
    bool ran;          /* at the last look */
    unsigned looks;
    char told[sizeof((Err){0}.message)]; /* the last trouble, so that it is said once */
    /* Of the last look; any thread's, under the lock. */
    pthread_mutex_t lock;
    bool looked;
    HostMember members[ETCD_OWN_MEMBERS];
    size_t members_len;
};

/* ---- what is known -----------------------------------------------------------------------------
 */

/* ERR_NOT_FOUND is an answer, and so "no". */
static bool is_removed(const Tier *tier, Arena *arena, const char *host, bool *ret_removed,
                       Err *err)
{
    StoreItem item;
    *ret_removed = store_get(tier->store, slice_of(arena_printf(arena, "removed-host/%s", host)),
                             arena, &item, err);
    return *ret_removed || err->code == ERR_NOT_FOUND;
}

static bool removed_find(const Tier *tier, Arena *arena, EtcdView *view, Err *err)
{
    for (size_t i = 0; i < view->members.len && view->removed == NULL; i++) {
        const char *name = view->members.items[i].name;
        bool removed = false;
        TRY(name[0] == '\0' || is_removed(tier, arena, name, &removed, err));
        view->removed = removed ? name : NULL;
    }
    return true;
}

static void host_add(Arena *arena, const AgentHost *seen, EtcdHost *host)
{
    CLEANUP(mem_free_ptr) char *url = etcd_own_peer_url(seen->net);
    *host = (EtcdHost){.name = arena_slice_str(arena, slice_of(seen->name)),
                       .url = arena_slice_str(arena, slice_of(url)),
                       .seat = seen->seat,
                       .draining = seen->draining,
                       .alive = seen->alive,
                       .gone = !seen->alive && seen->silent_ms > GONE_MS,
                       .joined_ms = seen->joined_ms};
}

/* What is here last: the members may have been long in coming. */
static bool view_take(EtcdKeeper *keeper, Arena *arena, EtcdView *view, Err *err)
{
    const Tier *tier = keeper->tier;
    CLEANUP(mem_free_ptr) char *url = etcd_own_peer_url(tier->net);
    AgentHost seen[HOSTS_MAX];
    EtcdHost *hosts = ARENA_ARRAY(arena, EtcdHost, HOSTS_MAX);
    *view = (EtcdView){.host = tier->host, .url = arena_slice_str(arena, slice_of(url))};
    TRY(store_members(tier->store, arena, &view->members, err) &&
        removed_find(tier, arena, view, err));
    view->hosts = hosts;
    view->hosts_len = agent_hosts(keeper->agent, seen);
    for (size_t i = 0; i < view->hosts_len; i++) {
        host_add(arena, &seen[i], &hosts[i]);
    }
    view->installed = etcd_own_installed(tier, NULL);
    view->has_data = etcd_own_has_data(tier);
    view->runs = etcd_own_runs(tier);
    return true;
}

/* For whoever asks. NULL: they could not be looked at. */
static void members_show(EtcdKeeper *keeper, const StoreMembers *members)
{
    size_t len = members != NULL ? members->len : 0;
    pthread_mutex_lock(&keeper->lock);
    keeper->looked = members != NULL;
    keeper->members_len = 0;
    for (size_t i = 0; i < len && keeper->members_len < ETCD_OWN_MEMBERS; i++) {
        const StoreMember *member = &members->items[i];
        HostMember *shown = &keeper->members[keeper->members_len++];
        snprintf(shown->host, sizeof(shown->host), "%s", member->name);
        shown->kind = etcd_member_kind(members, member);
    }
    pthread_mutex_unlock(&keeper->lock);
}

HostStoreMember etcd_keeper_member(EtcdKeeper *keeper, const char *host)
{
    pthread_mutex_lock(&keeper->lock);
    HostStoreMember kind = keeper->looked ? HOST_MEMBER_NONE : HOST_MEMBER_UNKNOWN;
    for (size_t i = 0; i < keeper->members_len; i++) {
        kind = strcmp(keeper->members[i].host, host) == 0 ? keeper->members[i].kind : kind;
    }
    pthread_mutex_unlock(&keeper->lock);
    return kind;
}

/* ---- carrying it out ---------------------------------------------------------------------------
 */

/* "h1=https://10.101.0.1:2380,…"; what has not started has no name yet, and needs none here. */
static const char *cluster_text(const EtcdView *view, Arena *arena)
{
    const StoreMember *own = etcd_member_own(view);
    const char *text = "";
    for (size_t i = 0; i < view->members.len; i++) {
        const StoreMember *member = &view->members.items[i];
        const char *name = member == own             ? view->host
                           : member->name[0] != '\0' ? member->name
                                                     : "unnamed";
        text = arena_printf(arena, "%s%s%s=%s", text, i > 0 ? "," : "", name, member->peer_url);
    }
    return text;
}

static bool member_promote(const Tier *tier, const StoreMember *member, Err *err)
{
    if (!store_member_promote(tier->store, member->id, err)) {
        return err->code == ERR_EXISTS;
    }
    log_info("serve", "the member of etcd at %s votes from now on", member->peer_url);
    return true;
}

/* What an earlier membership left is of no use to a new one. */
static bool member_add(const Tier *tier, const EtcdView *view, Err *err)
{
    TRY(etcd_own_data_remove(tier, err) && store_member_add(tier->store, view->url, err));
    log_info("serve", "this host gets a member of etcd");
    return true;
}

static bool step_take(const Tier *tier, const EtcdView *view, EtcdStep step, Arena *arena, Err *err)
{
    switch (step.kind) {
    case ETCD_STEP_NONE:
        return true;
    case ETCD_STEP_REMOVE:
        return etcd_member_remove(tier, step.member, err);
    case ETCD_STEP_PROMOTE:
        return member_promote(tier, step.member, err);
    case ETCD_STEP_ADD:
        return member_add(tier, view, err);
    case ETCD_STEP_START:
        return view->has_data ? etcd_own_go_on(tier, ETCD_OWN_PORT, err)
                              : etcd_own_join(tier, cluster_text(view, arena), err);
    case ETCD_STEP_CLEAR:
        return etcd_own_data_remove(tier, err);
    }
    UNREACHABLE();
}

/* ---- where the store is asked ------------------------------------------------------------------
 */

/* Those that vote, this host's first. One that learns serves nobody, but may vote at any moment,
 * and then be the only one: this host's comes last until then. */
static json_t *endpoints_of(const EtcdView *view)
{
    json_t *endpoints = json_array();
    const StoreMember *own = etcd_member_own(view);
    for (size_t i = 0; i < view->members.len; i++) {
        const StoreMember *member = &view->members.items[i];
        CLEANUP(mem_free_ptr) char *endpoint = etcd_own_endpoint(member->peer_url);
        if (!member->learner) {
            json_array_insert_new(endpoints, member == own ? 0 : json_array_size(endpoints),
                                  json_string(endpoint));
        }
    }
    if (own != NULL && own->learner) {
        CLEANUP(mem_free_ptr) char *endpoint = etcd_own_endpoint(own->peer_url);
        json_array_append_new(endpoints, json_string(endpoint));
    }
    return endpoints;
}

/* For the next start. */
static bool endpoints_write(const Tier *tier, json_t *endpoints, Err *err)
{
    HostFile file;
    TRY(host_file_load(tier->data_dir, &file, err));
    bool same = json_equal(endpoints, member_array(file.etcd, "endpoints"));
    json_object_set(file.etcd, "endpoints", endpoints);
    bool ok = same || host_file_save(tier->data_dir, &file, err);
    host_file_done(&file);
    return ok;
}

/* One that has gone is passed over until then. */
static bool endpoints_keep(EtcdKeeper *keeper, const EtcdView *view, Err *err)
{
    const Tier *tier = keeper->tier;
    CLEANUP(record_free_ptr) json_t *endpoints = endpoints_of(view);
    size_t len = json_array_size(endpoints);
    if (len == 0 || len > CLIENT_ETCD_MAX || json_equal(endpoints, keeper->endpoints)) {
        return true;
    }
    TRY(endpoints_write(tier, endpoints, err));
    const StoreMember *own = etcd_member_own(view);
    for (size_t i = 0; i < len; i++) {
        bool first = i == 0 && own != NULL && !own->learner;
        TRY(store_endpoint_add(tier->store, json_string_value(json_array_get(endpoints, i)), first,
                               err));
    }
    json_decref(keeper->endpoints);
    keeper->endpoints = json_incref(endpoints);
    return true;
}

/* ---- looking -----------------------------------------------------------------------------------
 */

static bool members_look(EtcdKeeper *keeper, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const Tier *tier = keeper->tier;
    EtcdView view;
    Err failed;
    bool removed = false;
    bool taken = view_take(keeper, arena, &view, err);
    keeper->other = !taken && err->code == ERR_EXISTS;
    members_show(keeper, taken ? &view.members : NULL);
    TRY(taken && is_removed(tier, arena, tier->host, &removed, err));
    if (removed || view.hosts_len == 0) {
        return true;
    }
    /* Where to ask comes first: the step may take away whoever was asked. */
    bool kept = endpoints_keep(keeper, &view, &failed);
    EtcdStep step = etcd_decide(&view);
    TRY((!kept && step.kind == ETCD_STEP_REMOVE) || step_take(tier, &view, step, arena, err));
    return kept || err_set(err, failed.code, "%s", failed.message);
}

/* Without a word of the store: it may be this host's that is missing. */
static bool process_look(EtcdKeeper *keeper, Err *err)
{
    const Tier *tier = keeper->tier;
    etcd_own_log_bound(tier);
    if (!etcd_own_has_data(tier)) {
        return true;
    }
    if (keeper->ran && !etcd_own_runs(tier)) {
        log_warn("serve", "etcd on this host has ended (%s/etcd/log), and is started again",
                 tier->data_dir);
    }
    TRY(etcd_own_go_on(tier, ETCD_OWN_PORT, err));
    keeper->ran = true;
    return true;
}

/* Of those that are silent here it may be they who are heard. */
static bool silent_look(EtcdKeeper *keeper, Err *err)
{
    AgentHost seen[HOSTS_MAX];
    size_t len = agent_hosts(keeper->agent, seen);
    for (size_t i = 0; i < len; i++) {
        if (seen[i].alive || strcmp(seen[i].name, keeper->tier->host) == 0) {
            continue;
        }
        TRY(past_look(keeper->tier, seen[i].name, seen[i].net, &keeper->past, err));
        if (keeper->past) {
            return false;
        }
    }
    return true;
}

static void look_run(void *arg, const Job *job)
{
    (void)job;
    EtcdKeeper *keeper = arg;
    Err err = {0};
    unsigned look = keeper->looks++;
    bool ok = (look % CERT_EVERY != 0 || etcd_own_cert_keep(keeper->tier, &err)) &&
              process_look(keeper, &err) &&
              (look % MEMBERS_EVERY != 0 || members_look(keeper, &err)) &&
              (look % PAST_EVERY != 0 || silent_look(keeper, &err));
    if (!ok && strcmp(err.message, keeper->told) != 0) {
        log_warn("serve", "etcd on this host: %s", err.message);
    }
    snprintf(keeper->told, sizeof(keeper->told), "%s", ok ? "" : err.message);
}

static void look_done(void *arg)
{
    EtcdKeeper *keeper = arg;
    keeper->in_job = false;
    if (keeper->past) {
        keeper->events.past(keeper->events.user);
    } else if (keeper->other) {
        keeper->events.other(keeper->events.user);
    }
}

static void on_look(void *user)
{
    EtcdKeeper *keeper = user;
    if (!keeper->in_job) {
        keeper->in_job = jobs_submit(keeper->jobs, look_run, look_done, keeper, NULL, NULL);
    }
}

EtcdKeeper *etcd_keeper_new(Loop *loop, const Tier *tier, Agent *agent,
                            const EtcdKeeperEvents *events, Err *err)
{
    Jobs *jobs;
    if (!jobs_new(loop, 1, 1, &jobs, err)) {
        return NULL;
    }
    EtcdKeeper *keeper = mem_alloc(sizeof(EtcdKeeper));
    *keeper = (EtcdKeeper){.jobs = jobs, .tier = tier, .agent = agent, .events = *events};
    pthread_mutex_init(&keeper->lock, NULL);
    keeper->endpoints = json_deep_copy(member_array(tier->etcd, "endpoints"));
    loop_timer_start(loop, &keeper->timer, LOOK_MS, LOOK_MS, on_look, keeper);
    return keeper;
}

void etcd_keeper_free(EtcdKeeper *keeper)
{
    if (keeper != NULL) {
        loop_timer_stop(&keeper->timer);
        jobs_free(keeper->jobs);
        pthread_mutex_destroy(&keeper->lock);
        json_decref(keeper->endpoints);
        mem_free(keeper);
    }
}
