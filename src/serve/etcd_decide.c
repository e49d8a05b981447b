/*
 * Which hosts have a member of etcd, and which of those vote (docs/hosts.md, "etcd under guard").
 * Pure: what is known in one look, and the one step of this host's that follows from it. The
 * members themselves are the record of how far everything is.
 */
#include "serve/etcd_own_priv.h"

static size_t voters(const StoreMembers *members)
{
    size_t count = 0;
    for (size_t i = 0; i < members->len; i++) {
        count += !members->items[i].learner;
    }
    return count;
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

/* By its name, or, as long as it has not started, by where it is to be. */
const StoreMember *etcd_member_own(const EtcdView *view)
{
    for (size_t i = 0; i < view->members.len; i++) {
        const StoreMember *member = &view->members.items[i];
        if (strcmp(member->name, view->host) == 0 ||
            (member->name[0] == '\0' && strcmp(member->peer_url, view->url) == 0)) {
            return member;
        }
    }
    return NULL;
}

static bool is_some_host_s(const EtcdView *view, const char *url)
{
    for (size_t i = 0; i < view->hosts_len; i++) {
        if (strcmp(view->hosts[i].url, url) == 0) {
            return true;
        }
    }
    return false;
}

/* Of a host that was removed, or one that never started where no host is any more. */
static const StoreMember *left_over(const EtcdView *view)
{
    for (size_t i = 0; i < view->members.len; i++) {
        const StoreMember *member = &view->members.items[i];
        bool removed = view->removed != NULL && member->name[0] != '\0' &&
                       strcmp(member->name, view->removed) == 0;
        if (removed || (member->name[0] == '\0' && !is_some_host_s(view, member->peer_url))) {
            return member;
        }
    }
    return NULL;
}

/* Of a member: by its name, or, as long as it has not started, by where it is to be. */
static const EtcdHost *host_of(const EtcdView *view, const StoreMember *member)
{
    for (size_t i = 0; i < view->hosts_len; i++) {
        const EtcdHost *host = &view->hosts[i];
        if (strcmp(host->name, member->name) == 0 ||
            (member->name[0] == '\0' && strcmp(host->url, member->peer_url) == 0)) {
            return host;
        }
    }
    return NULL;
}

/* Some host is there that could have a member, and has none. */
static bool somebody_waits(const EtcdView *view)
{
    for (size_t i = 0; i < view->hosts_len; i++) {
        const EtcdHost *host = &view->hosts[i];
        bool has = false;
        for (size_t k = 0; k < view->members.len; k++) {
            has = has || host_of(view, &view->members.items[k]) == host;
        }
        if (host->alive && host->seat && !has) {
            return true;
        }
    }
    return false;
}

/* Of two: one that does not drain, then whoever was there first. */
static bool comes_first(const EtcdView *view, const StoreMember *own, const StoreMember *other)
{
    static const EtcdHost unknown = {.draining = true};
    const EtcdHost *a = host_of(view, own);
    const EtcdHost *b = host_of(view, other);
    a = a != NULL ? a : &unknown;
    b = b != NULL ? b : &unknown;
    if (a->draining != b->draining) {
        return !a->draining;
    }
    return a->joined_ms != b->joined_ms ? a->joined_ms < b->joined_ms
                                        : strcmp(own->name, other->name) < 0;
}

/* Two that vote stop where either is lost; one that votes and one that learns, only where the
 * former is. So of two one votes, unless a third one is there to come: then both do. Only who
 * learns itself makes itself vote, for it is certainly alive. */
static EtcdStep of_two(const EtcdView *view, const StoreMember *own)
{
    const StoreMember *other =
        own == &view->members.items[0] ? &view->members.items[1] : &view->members.items[0];
    if (other->name[0] == '\0' || own->name[0] == '\0') { /* it has yet to start */
        return (EtcdStep){ETCD_STEP_NONE, NULL};
    }
    bool wants = somebody_waits(view);
    bool first = comes_first(view, own, other);
    if (own->learner) {
        return (EtcdStep){wants || first ? ETCD_STEP_PROMOTE : ETCD_STEP_NONE, own};
    }
    bool both = voters(&view->members) == 2;
    return (EtcdStep){both && !first && !wants ? ETCD_STEP_REMOVE : ETCD_STEP_NONE, own};
}

/* One learns at a time; one that is lost would hold up all others. */
static EtcdStep without_one(const EtcdView *view)
{
    const StoreMember *learns = learner(&view->members);
    if (view->members.len >= ETCD_OWN_MEMBERS || !view->installed) {
        return (EtcdStep){view->has_data ? ETCD_STEP_CLEAR : ETCD_STEP_NONE, NULL};
    }
    if (learns == NULL) {
        return (EtcdStep){ETCD_STEP_ADD, NULL};
    }
    const EtcdHost *host = host_of(view, learns);
    return (EtcdStep){host == NULL || host->gone ? ETCD_STEP_REMOVE : ETCD_STEP_NONE, learns};
}

EtcdStep etcd_decide(const EtcdView *view)
{
    const StoreMember *own = etcd_member_own(view);
    const StoreMember *left = left_over(view);
    if (left != NULL) {
        return (EtcdStep){ETCD_STEP_REMOVE, left};
    }
    if (own == NULL) {
        return without_one(view);
    }
    if (own->name[0] != '\0' && !view->has_data) { /* lost: it must not pass for the same one */
        return (EtcdStep){ETCD_STEP_REMOVE, own};
    }
    if (!view->runs) {
        return (EtcdStep){ETCD_STEP_START, own};
    }
    if (own->learner && view->members.len >= ETCD_OWN_MEMBERS) {
        return (EtcdStep){ETCD_STEP_PROMOTE, own};
    }
    return view->members.len == 2 ? of_two(view, own) : (EtcdStep){ETCD_STEP_NONE, NULL};
}

bool etcd_is_last_voter(const StoreMembers *members, const StoreMember *member)
{
    return !member->learner && voters(members) == 1;
}

HostStoreMember etcd_member_kind(const StoreMembers *members, const StoreMember *member)
{
    return member->learner                       ? HOST_MEMBER_LEARNER
           : etcd_is_last_voter(members, member) ? HOST_MEMBER_SOLE_VOTER
                                                 : HOST_MEMBER_VOTER;
}
