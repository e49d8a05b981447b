/* What a node's job knows of other nodes: what could not be read is not what is not there. */
#include "../unit.h"

#include "agent/node/node_priv.h"

typedef struct Fixture {
    AgentOptions options;
    NodeWork work;
    NodeRun run;
    Err err;
} Fixture;

static int begin(void **state)
{
    Fixture *f = mem_alloc(sizeof(Fixture));
    f->options.store = store_open_memory(NULL);
    f->work.options = &f->options;
    f->run = (NodeRun){.work = &f->work, .arena = arena_new()};
    f->run.goal = json_pack("{s:s}", "cluster", "c");
    *state = f;
    return 0;
}

static int end(void **state)
{
    Fixture *f = *state;
    json_decref(f->run.goal);
    arena_free(f->run.arena);
    store_close(f->options.store);
    mem_free(f);
    return 0;
}

static void put(Fixture *f, const char *key, const char *value)
{
    assert_true(store_create(f->options.store, slice_of(key), slice_of(value), NULL, &f->err));
}

static void test_what_is_not_there_is_known(void **state)
{
    Fixture *f = *state;
    put(f, "node/n2/seen", "{\"ha\":\"following\"}");
    json_t *seen = node_neighbour(&f->run, "n2", "seen");
    assert_string_equal(member_str(seen, "ha", ""), "following");
    json_decref(seen);
    assert_null(node_neighbour(&f->run, "n3", "seen"));
    assert_null(node_neighbour(&f->run, "", "seen")); /* nobody has led yet */
    assert_true(node_neighbours_known(&f->run, &f->err));
}

static void test_what_cannot_be_read_is_not_gone(void **state)
{
    Fixture *f = *state;
    put(f, "node/n2/seen", "not JSON");
    assert_null(node_neighbour(&f->run, "n2", "seen"));
    assert_null(node_neighbour(&f->run, "n3", "seen"));
    assert_false(node_neighbours_known(&f->run, &f->err));
    assert_non_null(strstr(f->err.message, "seen of node n2"));
}

/* Else its slot would be dropped. */
static void test_who_cannot_be_read_follows(void **state)
{
    Fixture *f = *state;
    put(f, "node/n2/seen", "{\"incarnation\":\"i2\"}");
    assert_false(node_is_follower(&f->run, "i3"));
    assert_false(node_is_follower(&f->run, "i2"));
    put(f, "node/n2/goal", "not JSON");
    assert_true(node_is_follower(&f->run, "i2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_not_there_is_known, begin, end),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_read_is_not_gone, begin, end),
        cmocka_unit_test_setup_teardown(test_who_cannot_be_read_follows, begin, end),
    };
    return cmocka_run_group_tests_name("neighbours", tests, NULL, NULL);
}
