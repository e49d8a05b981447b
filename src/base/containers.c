/*
 * Maps, intrusive lists and slot pools. A map owns copies of its keys, never its values; a list
 * owns nothing; a pool owns the memory of its objects, and hands out generation-checked handles.
 */
#include "base/base.h"

/* ---- map: open addressing, SipHash-1-3 keyed per map ---------------------------------------- */

typedef struct MapSlot {
    uint64_t hash;
    char *key; /* NULL: not in use */
    size_t key_len;
    void *value;
    bool gone; /* not in use, but a search must go on behind it */
} MapSlot;

struct Map {
    uint64_t seed[2];
    size_t len;
    size_t used; /* len and removed ones */
    size_t cap;  /* a power of two */
    MapSlot *slots;
};

static uint64_t rotate_left(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

static void sip_round(uint64_t v[static 4])
{
    v[0] += v[1];
    v[1] = rotate_left(v[1], 13) ^ v[0];
    v[0] = rotate_left(v[0], 32);
    v[2] += v[3];
    v[3] = rotate_left(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate_left(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate_left(v[1], 17) ^ v[2];
    v[2] = rotate_left(v[2], 32);
}

/* SipHash-1-3 (Aumasson, Bernstein: SipHash, a fast short-input PRF, 2012; reduced rounds). */
static uint64_t sip_hash(const uint64_t seed[static 2], Slice key)
{
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                     seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u};
    size_t whole = key.len & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word;
        memcpy(&word, key.data + i, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)key.len << 56;
    for (size_t i = whole; i < key.len; i++) {
        last |= (uint64_t)(uint8_t)key.data[i] << (8 * (i - whole));
    }
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

Map *map_new(void)
{
    Map *map = mem_alloc(sizeof(Map));
    random_bytes(map->seed, sizeof(map->seed));
    return map;
}

void map_free(Map *map)
{
    if (map == NULL) {
        return;
    }
    for (size_t i = 0; i < map->cap; i++) {
        if (map->slots[i].key != NULL) {
            mem_free(map->slots[i].key);
        }
    }
    mem_free(map->slots);
    mem_free(map);
}

size_t map_len(const Map *map)
{
    return map->len;
}

/* The slot that holds the key, or else the one where it would go; cap > used. */
static MapSlot *map_find(const Map *map, Slice key, uint64_t hash)
{
    MapSlot *free_slot = NULL;
    for (size_t i = (size_t)hash & (map->cap - 1);; i = (i + 1) & (map->cap - 1)) {
        MapSlot *slot = &map->slots[i];
        if (slot->key == NULL && !slot->gone) {
            return free_slot != NULL ? free_slot : slot;
        }
        if (slot->gone) {
            free_slot = free_slot != NULL ? free_slot : slot;
        } else if (slot->hash == hash && slice_eq((Slice){slot->key, slot->key_len}, key)) {
            return slot;
        }
    }
}

static void map_resize(Map *map, size_t cap)
{
    MapSlot *old = map->slots;
    size_t old_cap = map->cap;
    map->slots = mem_alloc(cap * sizeof(MapSlot));
    map->cap = cap;
    map->used = map->len;
    for (size_t i = 0; i < old_cap; i++) {
        if (old[i].key != NULL) {
            *map_find(map, (Slice){old[i].key, old[i].key_len}, old[i].hash) = old[i];
        }
    }
    mem_free(old);
}

void *map_get(const Map *map, Slice key)
{
    if (map->len == 0) {
        return NULL;
    }
    MapSlot *slot = map_find(map, key, sip_hash(map->seed, key));
    return slot->key != NULL ? slot->value : NULL;
}

void *map_set(Map *map, Slice key, void *value)
{
    if ((map->used + 1) * 4 > map->cap * 3) {
        map_resize(map,
                   map->len * 2 + 8 > map->cap ? (map->cap > 0 ? map->cap * 2 : 16) : map->cap);
    }
    uint64_t hash = sip_hash(map->seed, key);
    MapSlot *slot = map_find(map, key, hash);
    if (slot->key != NULL) {
        void *old = slot->value;
        slot->value = value;
        return old;
    }
    map->used += slot->gone ? 0 : 1;
    map->len++;
    char *copy = mem_alloc(key.len + 1);
    if (key.len > 0) {
        memcpy(copy, key.data, key.len);
    }
    *slot = (MapSlot){.hash = hash, .key = copy, .key_len = key.len, .value = value};
    return NULL;
}

void *map_remove(Map *map, Slice key)
{
    if (map->len == 0) {
        return NULL;
    }
    MapSlot *slot = map_find(map, key, sip_hash(map->seed, key));
    if (slot->key == NULL) {
        return NULL;
    }
    void *old = slot->value;
    mem_free(slot->key);
    *slot = (MapSlot){.gone = true};
    map->len--;
    return old;
}

bool map_next(const Map *map, size_t *cursor, Slice *ret_key, void **ret_value)
{
    for (; *cursor < map->cap; (*cursor)++) {
        const MapSlot *slot = &map->slots[*cursor];
        if (slot->key != NULL) {
            *ret_key = (Slice){slot->key, slot->key_len};
            *ret_value = slot->value;
            (*cursor)++;
            return true;
        }
    }
    return false;
}

/* ---- lists ------------------------------------------------------------------------------- */

void list_init(List *list)
{
    list->head.prev = list->head.next = &list->head;
    list->len = 0;
}

static void list_link(List *list, ListNode *node, ListNode *prev, ListNode *next)
{
    ASSERT(node->next == NULL);
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
    list->len++;
}

void list_push_back(List *list, ListNode *node)
{
    list_link(list, node, list->head.prev, &list->head);
}

void list_push_front(List *list, ListNode *node)
{
    list_link(list, node, &list->head, list->head.next);
}

void list_insert_after(List *list, ListNode *before, ListNode *node)
{
    list_link(list, node, before, before->next);
}

void list_remove(List *list, ListNode *node)
{
    ASSERT(node->next != NULL && list->len > 0);
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->prev = node->next = NULL;
    list->len--;
}

ListNode *list_first(const List *list)
{
    return list->len == 0 ? NULL : list->head.next;
}

ListNode *list_next(const List *list, const ListNode *node)
{
    return node->next == &list->head ? NULL : node->next;
}

ListNode *list_pop_front(List *list)
{
    ListNode *node = list_first(list);
    if (node != NULL) {
        list_remove(list, node);
    }
    return node;
}

/* ---- pools ------------------------------------------------------------------------------- */

/* Slots are allocated one by one at their first use, so that a large maximum costs nothing until
 * it is needed, and an object never moves. A handle is generation << 32 | (index + 1). */
typedef struct PoolSlot {
    void *object;
    uint32_t generation;
    uint32_t next_free; /* index + 1; 0 ends */
    bool in_use;
} PoolSlot;

struct Pool {
    size_t object_size;
    size_t objects_max;
    size_t in_use;
    uint32_t first_free; /* index + 1 */
    VEC(PoolSlot) slots;
};

Pool *pool_new(size_t object_size, size_t objects_max)
{
    ASSERT(objects_max < UINT32_MAX);
    Pool *pool = mem_alloc(sizeof(Pool));
    pool->object_size = object_size;
    pool->objects_max = objects_max;
    return pool;
}

void pool_free(Pool *pool)
{
    if (pool != NULL) {
        for (size_t i = 0; i < pool->slots.len; i++) {
            mem_free(pool->slots.items[i].object);
        }
        vec_done(&pool->slots);
        mem_free(pool);
    }
}

void *pool_acquire(Pool *pool, PoolHandle *ret_handle)
{
    uint32_t number = pool->first_free;
    if (number == 0) {
        if (pool->slots.len == pool->objects_max) {
            return NULL;
        }
        PoolSlot fresh = {.object = mem_alloc(pool->object_size)};
        vec_push(&pool->slots, fresh);
        number = (uint32_t)pool->slots.len;
    } else {
        pool->first_free = pool->slots.items[number - 1].next_free;
    }
    PoolSlot *slot = &pool->slots.items[number - 1];
    memset(slot->object, 0, pool->object_size);
    slot->in_use = true;
    pool->in_use++;
    *ret_handle = (PoolHandle)slot->generation << 32 | number;
    return slot->object;
}

static PoolSlot *pool_slot(const Pool *pool, PoolHandle handle)
{
    uint32_t number = (uint32_t)handle;
    if (number == 0 || number > pool->slots.len) {
        return NULL;
    }
    PoolSlot *slot = &pool->slots.items[number - 1];
    return slot->in_use && slot->generation == (uint32_t)(handle >> 32) ? slot : NULL;
}

void *pool_get(const Pool *pool, PoolHandle handle)
{
    PoolSlot *slot = pool_slot(pool, handle);
    return slot == NULL ? NULL : slot->object;
}

void pool_release(Pool *pool, PoolHandle handle)
{
    PoolSlot *slot = pool_slot(pool, handle);
    ASSERT(slot != NULL);
    slot->in_use = false;
    slot->generation++;
    slot->next_free = pool->first_free;
    pool->first_free = (uint32_t)handle;
    pool->in_use--;
}

size_t pool_in_use(const Pool *pool)
{
    return pool->in_use;
}
