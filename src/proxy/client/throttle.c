/* Failed logins by source: a map, and a list in the order of the last failure. */
#include <netinet/in.h>

#include "proxy/client/throttle_priv.h"

#define KEY_BYTES       9 /* the family, and what tells sources of it apart */
#define IPV6_NETWORK    8 /* bytes of a /64, which one client may have to itself */
#define IPV4_MAPPED_OFF 12

/* An answer on its way. */
typedef struct Answer {
    int64_t due_ms;
    uint32_t role;
} Answer;

typedef struct Source {
    ListNode node; /* in throttle->sources, the one that failed last at the end */
    char key[KEY_BYTES];
    uint32_t failures;
    int64_t since_ms; /* failures are forgiven from then on */
    Answer answers[AUTH_SOURCE_ANSWERS_MAX];
} Source;

struct Throttle {
    Map *by_key;
    List sources;
};

Throttle *throttle_new(void)
{
    Throttle *throttle = mem_alloc(sizeof(Throttle));
    throttle->by_key = map_new();
    list_init(&throttle->sources);
    return throttle;
}

void throttle_free(Throttle *throttle)
{
    if (throttle == NULL) {
        return;
    }
    for (ListNode *node; (node = list_pop_front(&throttle->sources)) != NULL;) {
        mem_free(CONTAINER_OF(node, Source, node));
    }
    map_free(throttle->by_key);
    mem_free(throttle);
}

size_t throttle_source_count(const Throttle *throttle)
{
    return throttle->sources.len;
}

/* An IPv4 address that came in over IPv6 counts as the IPv4 address. Whoever has no address of the
 * internet is one source. */
static void key_of(const NetAddr *peer, char key[static KEY_BYTES])
{
    memset(key, 0, KEY_BYTES);
    if (peer->storage.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)&peer->storage;
        key[0] = 4;
        memcpy(key + 1, &in->sin_addr, sizeof(in->sin_addr));
    } else if (peer->storage.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)&peer->storage;
        bool mapped = IN6_IS_ADDR_V4MAPPED(&in->sin6_addr);
        key[0] = mapped ? 4 : 6;
        memcpy(key + 1, in->sin6_addr.s6_addr + (mapped ? IPV4_MAPPED_OFF : 0),
               mapped ? sizeof(in_addr_t) : IPV6_NETWORK);
    }
}

static Source *source_find(const Throttle *throttle, const NetAddr *peer)
{
    char key[KEY_BYTES];
    key_of(peer, key);
    return map_get(throttle->by_key, slice_from(key, KEY_BYTES));
}

static void source_drop(Throttle *throttle, Source *source)
{
    list_remove(&throttle->sources, &source->node);
    map_remove(throttle->by_key, slice_from(source->key, KEY_BYTES));
    mem_free(source);
}

/* Of this source; with room for one more. */
static Source *source_for(Throttle *throttle, const NetAddr *peer)
{
    Source *source = source_find(throttle, peer);
    if (source != NULL) {
        list_remove(&throttle->sources, &source->node);
    } else {
        if (throttle->sources.len >= AUTH_SOURCES_MAX) {
            source_drop(throttle, CONTAINER_OF(list_first(&throttle->sources), Source, node));
        }
        source = mem_alloc(sizeof(Source));
        key_of(peer, source->key);
        map_set(throttle->by_key, slice_from(source->key, KEY_BYTES), source);
    }
    list_push_back(&throttle->sources, &source->node);
    return source;
}

static void forgive(Source *source, int64_t now_ms)
{
    int64_t forgiven = (now_ms - source->since_ms) / AUTH_FORGIVE_MS;
    if (forgiven >= source->failures) {
        source->failures = 0;
        source->since_ms = now_ms;
    } else if (forgiven > 0) {
        source->failures -= (uint32_t)forgiven;
        source->since_ms += forgiven * AUTH_FORGIVE_MS;
    }
}

static int64_t delay_of(uint32_t failures)
{
    if (failures <= AUTH_FREE_FAILURES) {
        return 0;
    }
    int64_t delay_ms = AUTH_DELAY_MIN_MS;
    for (uint32_t i = AUTH_FREE_FAILURES + 1; i < failures && delay_ms < AUTH_DELAY_MAX_MS; i++) {
        delay_ms *= 2;
    }
    return delay_ms < AUTH_DELAY_MAX_MS ? delay_ms : AUTH_DELAY_MAX_MS;
}

/* In the place of the one that is due first. */
static void answer_add(Source *source, uint32_t role, int64_t due_ms)
{
    Answer *first = &source->answers[0];
    for (size_t i = 1; i < AUTH_SOURCE_ANSWERS_MAX; i++) {
        if (source->answers[i].due_ms < first->due_ms) {
            first = &source->answers[i];
        }
    }
    *first = (Answer){.due_ms = due_ms, .role = role};
}

bool throttle_admits(const Throttle *throttle, const NetAddr *peer, uint32_t role, int64_t now_ms)
{
    const Source *source = source_find(throttle, peer);
    size_t of_role = 0;
    size_t of_all = 0;
    for (size_t i = 0; source != NULL && i < AUTH_SOURCE_ANSWERS_MAX; i++) {
        if (source->answers[i].due_ms > now_ms) {
            of_all++;
            of_role += source->answers[i].role == role ? 1 : 0;
        }
    }
    return of_role < AUTH_ROLE_ANSWERS_MAX && of_all < AUTH_SOURCE_ANSWERS_MAX;
}

int64_t throttle_failed(Throttle *throttle, const NetAddr *peer, uint32_t role, int64_t now_ms)
{
    Source *source = source_for(throttle, peer);
    forgive(source, now_ms);
    source->failures += source->failures < AUTH_FAILURES_MAX ? 1 : 0;
    int64_t delay_ms = delay_of(source->failures);
    if (delay_ms > 0) {
        answer_add(source, role, now_ms + delay_ms);
    }
    return delay_ms;
}
