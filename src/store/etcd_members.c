/*
 * Who keeps an etcd: its members, as its cluster service tells and changes them. Sources: etcd 3.4,
 * etcdserverpb/rpc.proto (Cluster) and Documentation/learning/design-learner.md.
 */
#include "store/etcd_priv.h"

#define BODY_MAX ((size_t)4 << 10)

static bool is_etcd(const Store *store, Err *err)
{
    return store->etcd != NULL ||
           err_set(err, ERR_UNSUPPORTED, "the store is not kept by etcd, and has no members");
}

/* Takes what is in the body; the reply is the caller's. Their revision is always 0. */
static bool ask(Store *store, const char *path, Buf *body, bool changes, json_t **ret_reply,
                Err *err)
{
    size_t tries;
    EtcdCall call = {.path = path, .body = buf_slice(body), .changes = changes, .weak = true};
    ASSERT(!body->overflowed);
    bool ok = etcd_call(store->etcd, &call, ret_reply, &tries, err);
    buf_done(body);
    return ok;
}

/* ---- looking -----------------------------------------------------------------------------------
 */

static bool member_read(const json_t *tree, Arena *arena, StoreMember *ret_member, Err *err)
{
    const char *id = json_string_value(json_object_get(tree, "ID"));
    const char *name = json_string_value(json_object_get(tree, "name"));
    const char *url = json_string_value(json_array_get(json_object_get(tree, "peerURLs"), 0));
    uint64_t number;
    if (id == NULL || url == NULL || !str_to_u64(slice_of(id), &number)) {
        return err_set(err, ERR_UNAVAILABLE, "etcd tells of a member without an id, or a URL");
    }
    *ret_member = (StoreMember){
        .id = number,
        .name = arena_slice_str(arena, slice_of(name != NULL ? name : "")),
        .peer_url = arena_slice_str(arena, slice_of(url)),
        .learner = json_is_true(json_object_get(tree, "isLearner")),
    };
    return true;
}

/* etcd's list is the asked member's own, and may be older than what is known elsewhere. A read that
 * needs a majority makes it catch up first: whoever is missing then is no member. */
static bool catch_up(Store *store, Arena *arena, Err *err)
{
    StoreItem item;
    return store_get(store, SLICE("tier"), arena, &item, err) || err->code == ERR_NOT_FOUND;
}

bool store_members(Store *store, Arena *arena, StoreMembers *ret_members, Err *err)
{
    json_t *reply;
    Buf body;
    TRY(is_etcd(store, err) && catch_up(store, arena, err));
    buf_init(&body, BODY_MAX);
    buf_append_str(&body, "{}");
    TRY(ask(store, "/v3/cluster/member/list", &body, false, &reply, err));
    const json_t *list = json_object_get(reply, "members");
    StoreMembers members = {.items = ARENA_ARRAY(arena, StoreMember, json_array_size(list))};
    bool ok = true;
    for (size_t i = 0; i < json_array_size(list) && ok; i++) {
        ok = member_read(json_array_get(list, i), arena, &members.items[members.len++], err);
    }
    json_decref(reply);
    if (ok) {
        *ret_members = members;
    }
    return ok;
}

/* ---- changing ----------------------------------------------------------------------------------
 */

static bool change(Store *store, const char *path, Buf *body, Err *err)
{
    json_t *reply;
    TRY(ask(store, path, body, true, &reply, err));
    json_decref(reply);
    return true;
}

/* URLs of ours have nothing that JSON would have escaped. */
bool store_member_add(Store *store, const char *peer_url, Err *err)
{
    Buf body;
    TRY(is_etcd(store, err));
    buf_init(&body, BODY_MAX);
    buf_printf(&body, "{\"peerURLs\":[\"%s\"],\"isLearner\":true}", peer_url);
    return change(store, "/v3/cluster/member/add", &body, err);
}

bool store_member_promote(Store *store, uint64_t id, Err *err)
{
    Buf body;
    TRY(is_etcd(store, err));
    buf_init(&body, BODY_MAX);
    buf_printf(&body, "{\"ID\":\"%llu\"}", (unsigned long long)id);
    return change(store, "/v3/cluster/member/promote", &body, err);
}

bool store_member_remove(Store *store, uint64_t id, Err *err)
{
    Buf body;
    TRY(is_etcd(store, err));
    buf_init(&body, BODY_MAX);
    buf_printf(&body, "{\"ID\":\"%llu\"}", (unsigned long long)id);
    return change(store, "/v3/cluster/member/remove", &body, err);
}
