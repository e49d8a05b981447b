/* Takes members of etcd out: one as a step of the keeper (etcd_keeper.c), and that of a host before
 * the host is removed, unless nobody would vote without it. */
#include "serve/etcd_own_priv.h"

bool etcd_member_remove(const Tier *tier, const StoreMember *member, Err *err)
{
    if (!store_member_remove(tier->store, member->id, err)) {
        return err->code == ERR_NOT_FOUND;
    }
    log_info("serve", "the member of etcd at %s is taken out", member->peer_url);
    return true;
}

static const StoreMember *member_named(const StoreMembers *members, const char *host)
{
    for (size_t i = 0; i < members->len; i++) {
        if (strcmp(members->items[i].name, host) == 0) {
            return &members->items[i];
        }
    }
    return NULL;
}

/* The answer may come from the very one that goes: whether it is gone the others say. */
bool etcd_member_release(const Tier *tier, const char *host, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreMembers members;
    Err failed;
    TRY(store_members(tier->store, arena, &members, err));
    const StoreMember *member = member_named(&members, host);
    if (member == NULL) {
        return true;
    }
    if (etcd_is_last_voter(&members, member)) {
        return err_set(err, ERR_UNAVAILABLE,
                       "host %s still keeps the tier's store alone: a host that drains hands it to "
                       "another one; try again in a moment",
                       host);
    }
    if (etcd_member_remove(tier, member, &failed)) {
        return true;
    }
    TRY(store_members(tier->store, arena, &members, err));
    ErrCode code = failed.code == ERR_UNSETTLED ? ERR_UNAVAILABLE : failed.code; /* look again */
    return member_named(&members, host) == NULL ||
           err_set(err, code, "host %s keeps its part of the store: %s", host, failed.message);
}
