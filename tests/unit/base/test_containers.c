/* Maps, lists and pools. */
#include <stdio.h>

#include "../unit.h"

static void test_map_basics(void **state)
{
    (void)state;
    int one = 1;
    int two = 2;
    Map *map = map_new();
    assert_null(map_get(map, SLICE("a")));
    assert_null(map_remove(map, SLICE("a")));
    assert_null(map_set(map, SLICE("a"), &one));
    assert_ptr_equal(map_set(map, SLICE("a"), &two), &one);
    assert_int_equal(map_len(map), 1);
    assert_null(map_set(map, slice_of(NULL), &one)); /* the empty key is a key */
    assert_null(map_set(map, slice_from("a\0b", 3), &one));
    assert_ptr_equal(map_get(map, SLICE("a")), &two);
    assert_ptr_equal(map_get(map, SLICE("")), &one);
    assert_int_equal(map_len(map), 3);
    assert_ptr_equal(map_remove(map, SLICE("a")), &two);
    assert_null(map_get(map, SLICE("a")));
    assert_ptr_equal(map_get(map, slice_from("a\0b", 3)), &one);
    map_free(map);
    map_free(NULL);
}

/* Against an array as the model, with so many removals that the table must be cleaned of them. */
static void test_map_against_model(void **state)
{
    (void)state;
    enum { KEYS = 500, STEPS = 60000 };
    static int values[KEYS];
    bool present[KEYS] = {false};
    size_t len = 0;
    uint32_t seed = 1;
    Map *map = map_new();
    for (int step = 0; step < STEPS; step++) {
        seed = seed * 1664525u + 1013904223u;
        size_t key = (seed >> 8) % KEYS;
        char name[16];
        snprintf(name, sizeof(name), "key-%zu", key);
        void *expected = present[key] ? &values[key] : NULL;
        if ((seed >> 28) % 2 == 0) {
            assert_ptr_equal(map_set(map, slice_of(name), &values[key]), expected);
            len += present[key] ? 0 : 1;
            present[key] = true;
        } else {
            assert_ptr_equal(map_remove(map, slice_of(name)), expected);
            len -= present[key] ? 1 : 0;
            present[key] = false;
        }
        assert_int_equal(map_len(map), len);
    }
    size_t cursor = 0;
    size_t seen = 0;
    Slice name;
    void *value;
    while (map_next(map, &cursor, &name, &value)) {
        uint64_t key;
        assert_true(str_to_u64(slice_skip(name, 4), &key));
        assert_true(key < KEYS && present[key]);
        assert_ptr_equal(value, &values[key]);
        seen++;
    }
    assert_int_equal(seen, len);
    map_free(map);
}

typedef struct Item {
    int number;
    ListNode node;
} Item;

static void test_list(void **state)
{
    (void)state;
    List list;
    list_init(&list);
    assert_null(list_first(&list));
    assert_null(list_pop_front(&list));
    Item items[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    list_push_back(&list, &items[1].node);
    list_push_back(&list, &items[2].node);
    list_push_front(&list, &items[0].node);
    assert_int_equal(list.len, 3);
    int expected = 0;
    LIST_FOR_EACH (&list, node) {
        assert_int_equal(CONTAINER_OF(node, Item, node)->number, expected++);
    }
    assert_int_equal(expected, 3);
    list_remove(&list, &items[1].node);
    assert_null(items[1].node.next);
    assert_ptr_equal(list_next(&list, &items[0].node), &items[2].node);
    assert_ptr_equal(list_pop_front(&list), &items[0].node);
    assert_ptr_equal(list_pop_front(&list), &items[2].node);
    assert_int_equal(list.len, 0);
    list_push_back(&list, &items[1].node); /* removed ones may come back */
    assert_int_equal(list.len, 1);
}

static void test_pool(void **state)
{
    (void)state;
    Pool *pool = pool_new(sizeof(int), 2);
    PoolHandle first;
    PoolHandle second;
    PoolHandle third = 77;
    int *a = pool_acquire(pool, &first);
    int *b = pool_acquire(pool, &second);
    assert_non_null(a);
    assert_non_null(b);
    assert_true(first != 0 && second != 0 && first != second);
    assert_null(pool_acquire(pool, &third));
    assert_int_equal(third, 77);
    assert_int_equal(pool_in_use(pool), 2);
    *a = 5;
    assert_ptr_equal(pool_get(pool, first), a);
    pool_release(pool, first);
    assert_null(pool_get(pool, first));
    const int *again = pool_acquire(pool, &third);
    assert_ptr_equal(again, a);
    assert_int_equal(*again, 0);
    assert_true(third != first);
    assert_null(pool_get(pool, first)); /* stale for ever, though the slot is in use again */
    assert_ptr_equal(pool_get(pool, third), a);
    assert_null(pool_get(pool, 0));
    assert_null(pool_get(pool, 3));
    assert_null(pool_get(pool, UINT64_MAX));
    pool_free(pool);
    pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_basics),
        cmocka_unit_test(test_map_against_model),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
