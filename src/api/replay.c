/*
 * Replies to changes, kept for a while: a client that did not see the reply sends the same call
 * again, and must get the same answer instead of "already exists". AWS SDKs mark attempts of one
 * call by one amz-sdk-invocation-id. Bounded in time, number and bytes; the oldest goes first.
 */
#include "api/api_priv.h"

#define REPLAY_MS        (10 * 60 * MS_PER_S)
#define REPLAY_MAX       1024
#define REPLAY_BYTES_MAX ((size_t)8 << 20)
#define REPLAY_BODY_MAX  ((size_t)256 << 10)

typedef struct Replay {
    ListNode node;
    char *key;
    int64_t made_ms;
    int status;
    const char *content_type;
    char request_id[MODEL_ID_SIZE];
    char *body;
    size_t body_len;
} Replay;

struct ReplayCache {
    Map *by_key;
    List by_age; /* oldest first */
    size_t bytes;
};

ReplayCache *replay_new(void)
{
    ReplayCache *cache = mem_alloc(sizeof(*cache));
    cache->by_key = map_new();
    list_init(&cache->by_age);
    return cache;
}

static void replay_drop(ReplayCache *cache, Replay *replay)
{
    list_remove(&cache->by_age, &replay->node);
    map_remove(cache->by_key, slice_of(replay->key));
    cache->bytes -= replay->body_len;
    mem_free(replay->key);
    mem_free(replay->body);
    mem_free(replay);
}

static Replay *replay_oldest(ReplayCache *cache)
{
    ListNode *node = list_first(&cache->by_age);
    return node != NULL ? CONTAINER_OF(node, Replay, node) : NULL;
}

void replay_free(ReplayCache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (Replay *replay; (replay = replay_oldest(cache)) != NULL;) {
        replay_drop(cache, replay);
    }
    map_free(cache->by_key);
    mem_free(cache);
}

static void replay_expire(ReplayCache *cache, int64_t now_ms, size_t room)
{
    Replay *oldest;
    while ((oldest = replay_oldest(cache)) != NULL &&
           (now_ms - oldest->made_ms >= REPLAY_MS || map_len(cache->by_key) >= REPLAY_MAX ||
            cache->bytes + room > REPLAY_BYTES_MAX)) {
        replay_drop(cache, oldest);
    }
}

bool replay_find(ReplayCache *cache, const char *key, int64_t now_ms, ApiReply *reply)
{
    Replay *replay = map_get(cache->by_key, slice_of(key));
    if (replay == NULL || now_ms - replay->made_ms >= REPLAY_MS) {
        return false;
    }
    reply->status = replay->status;
    reply->content_type = replay->content_type;
    memcpy(reply->request_id, replay->request_id, sizeof(reply->request_id));
    buf_clear(&reply->body);
    buf_append(&reply->body, replay->body, replay->body_len);
    reply->replayed = true;
    return true;
}

void replay_add(ReplayCache *cache, const char *key, int64_t now_ms, const ApiReply *reply)
{
    Slice body = buf_slice(&reply->body);
    if (body.len > REPLAY_BODY_MAX || map_get(cache->by_key, slice_of(key)) != NULL) {
        return;
    }
    replay_expire(cache, now_ms, body.len);
    Replay *replay = mem_alloc(sizeof(*replay));
    replay->key = mem_strdup(key);
    replay->made_ms = now_ms;
    replay->status = reply->status;
    replay->content_type = reply->content_type;
    memcpy(replay->request_id, reply->request_id, sizeof(replay->request_id));
    replay->body = mem_alloc(body.len + 1);
    if (body.len > 0) {
        memcpy(replay->body, body.data, body.len);
    }
    replay->body_len = body.len;
    cache->bytes += body.len;
    list_push_back(&cache->by_age, &replay->node);
    map_set(cache->by_key, slice_of(replay->key), replay);
}
