/* Whether a node may begin with an empty data directory: not where its cluster counts on the one
 * that is not there. */
#include "../unit.h"

#include "agent/node/node_priv.h"

static bool may_begin(const char *id, const char *record, Err *err)
{
    AgentOptions options = {.store = store_open_memory(NULL)};
    NodeWork work = {.options = &options};
    NodeRun run = {.work = &work, .arena = arena_new(), .paths.root = "/r"};
    snprintf(work.id, sizeof(work.id), "%s", id);
    if (record != NULL) {
        assert_true(store_create(options.store, SLICE("cluster/c"), slice_of(record), NULL, NULL));
    }
    bool ok = node_may_begin_anew(&run, "c", err);
    arena_free(run.arena);
    store_close(options.store);
    return ok;
}

static void test_beginning_anew(void **state)
{
    (void)state;
    Err err;
    assert_true(may_begin("n1", NULL, &err));
    assert_true(may_begin("n1", "{\"leader\":\"n1\",\"set\":[]}", &err));
    assert_true(may_begin("n2", "{\"leader\":\"n1\",\"set\":[\"i1\"]}", &err));
    assert_false(may_begin("n1", "{\"leader\":\"n1\",\"set\":[\"i1\"]}", &err));
    assert_int_equal(err.code, ERR_DENIED);
    assert_non_null(strstr(err.message, "is a volume not mounted?"));
    /* A copy of the store may be from before it led. */
    assert_false(may_begin("n1", "{\"leader\":\"n1\",\"set\":[],\"unsure\":true}", &err));
    assert_int_equal(err.code, ERR_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_beginning_anew)};
    return cmocka_run_group_tests_name("node_mark", tests, NULL, NULL);
}
