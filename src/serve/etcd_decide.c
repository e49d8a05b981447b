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

static bool drains(const EtcdView *view, const char *host)
{
    for (size_t i = 0; i < view->hosts_len; i++) {
        if (strcmp(view->hosts[i].name, host) == 0) {
            return view->hosts[i].draining;
        }
    }
    return false;
}

/* Two that vote stop where either is lost; one that votes and one that learns, only where the
 * former is. So of two hosts one votes: one that stays, and then the first by name. */
static EtcdStep of_two(const EtcdView *view, const StoreMember *own)
{
    const StoreMember *other =
        own == &view->members.items[0] ? &view->members.items[1] : &view->members.items[0];
    bool own_drains = drains(view, own->name);
    bool first =
        own_drains != drains(view, other->name) ? !own_drains : strcmp(own->name, other->name) < 0;
    if (other->name[0] == '\0' || own->name[0] == '\0') { /* it has yet to start */
        return (EtcdStep){ETCD_STEP_NONE, NULL};
    }
    if (own->learner && first) {
        return (EtcdStep){ETCD_STEP_PROMOTE, own};
    }
    bool both = voters(&view->members) == 2;
    return (EtcdStep){both && !first ? ETCD_STEP_REMOVE : ETCD_STEP_NONE, own};
}

static EtcdStep without_one(const EtcdView *view)
{
    const StoreMember *learns = learner(&view->members);
    if (view->members.len >= ETCD_OWN_MEMBERS || !view->installed) {
        return (EtcdStep){view->has_data ? ETCD_STEP_CLEAR : ETCD_STEP_NONE, NULL};
    }
    /* One learns at a time. */
    return learns != NULL ? (EtcdStep){ETCD_STEP_PROMOTE, learns} : (EtcdStep){ETCD_STEP_ADD, NULL};
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
    bool two = view->hosts_len == 2 && view->members.len == 2;
    return two ? of_two(view, own) : (EtcdStep){ETCD_STEP_NONE, NULL};
}

bool etcd_is_last_voter(const StoreMembers *members, const StoreMember *member)
{
    return !member->learner && voters(members) == 1;
}
