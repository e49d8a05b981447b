/* The hosts of the tier as one of them sees them: who counts, and when this one is removed. */
#include <unistd.h>

#include "../unit.h"

#include "agent/hosts/hosts_priv.h"

#define PATIENCE_MS 5000

typedef struct Here {
    Loop *loop;
    Jobs *jobs;
    Store *store;
    AgentOptions options;
    Hosts *hosts;
    int removed; /* how often it was told */
    int changes;
} Here;

static void on_removed(void *user)
{
    ((Here *)user)->removed++;
}

static void on_change(void *user)
{
    ((Here *)user)->changes++;
}

static void put(Here *here, const char *key, const char *text)
{
    Err err;
    if (!store_create(here->store, slice_of(key), slice_of(text), NULL, &err)) {
        fail_msg("%s: %s", key, err.message);
    }
}

static void drop(Here *here, const char *key)
{
    Arena *arena = arena_new();
    StoreItem item;
    assert_true(store_get(here->store, slice_of(key), arena, &item, NULL));
    assert_true(store_remove(here->store, slice_of(key), item.mod_revision, NULL, NULL));
    arena_free(arena);
}

/* In place: the options are pointed to. */
static void here_open(Here *here)
{
    Err err;
    *here = (Here){.store = store_open_memory(NULL)};
    assert_true(loop_new(&here->loop, &err));
    assert_true(jobs_new(here->loop, 1, 8, &here->jobs, &err));
    here->options = (AgentOptions){.loop = here->loop,
                                   .jobs = here->jobs,
                                   .store = here->store,
                                   .host = "h1",
                                   .net = "127.9",
                                   .agent_id = "me",
                                   .on_removed = on_removed,
                                   .user = here};
    put(here, "host/h1/spec", "{\"zone\":\"a\",\"net\":\"127.9\"}");
    put(here, "host/h2/spec", "{\"zone\":\"b\",\"net\":\"127.8\",\"draining\":true}");
    put(here, "host/h2/beat", "{\"agent\":\"two\",\"count\":1}");
    put(here, "host/h9/beat", "{\"agent\":\"nine\",\"count\":1}"); /* of one that was removed */
    assert_true(hosts_new(&here->options, on_change, here, &here->hosts, &err));
}

static void here_close(Here *here)
{
    jobs_free(here->jobs);
    hosts_free(here->hosts);
    loop_free(here->loop);
    store_close(here->store);
}

static void turn(Here *here, int64_t for_ms)
{
    for (int64_t end = time_mono_ms() + for_ms; time_mono_ms() < end;) {
        loop_turn(here->loop, 20);
    }
}

static size_t known(Here *here)
{
    AgentHost list[HOSTS_MAX];
    return hosts_list(here->hosts, list);
}

static void test_beats_without_a_spec_count_for_nothing(void **state)
{
    (void)state;
    Here here;
    here_open(&here);
    AgentHost list[HOSTS_MAX];
    assert_int_equal(hosts_list(here.hosts, list), 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(list[i].draining, strcmp(list[i].name, "h2") == 0);
        assert_true(list[i].alive);
        assert_string_equal(list[i].agent, strcmp(list[i].name, "h2") == 0 ? "" : "me");
    }
    assert_false(hosts_agent_lives(here.hosts, "two")); /* it may have been there long ago */
    drop(&here, "host/h2/beat");
    put(&here, "host/h2/beat", "{\"agent\":\"two\",\"count\":7}");
    for (int64_t end = time_mono_ms() + PATIENCE_MS;
         !hosts_agent_lives(here.hosts, "two") && time_mono_ms() < end;) {
        turn(&here, 20);
    }
    assert_true(hosts_agent_lives(here.hosts, "two"));
    assert_int_equal(hosts_list(here.hosts, list), 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(list[i].agent, strcmp(list[i].name, "h2") == 0 ? "two" : "me");
    }
    assert_false(hosts_agent_lives(here.hosts, "nine"));
    drop(&here, "host/h2/spec"); /* it was removed, too */
    for (int64_t end = time_mono_ms() + PATIENCE_MS; known(&here) > 1 && time_mono_ms() < end;) {
        turn(&here, 20);
    }
    assert_int_equal(known(&here), 1);
    assert_false(hosts_are_several(here.hosts));
    drop(&here, "host/h2/beat");
    put(&here, "host/h2/beat", "{\"agent\":\"two\",\"count\":2}");
    turn(&here, 100);
    assert_int_equal(known(&here), 1);
    assert_false(hosts_agent_lives(here.hosts, "two"));
    here_close(&here);
}

static AgentHost host_of(Here *here, const char *name)
{
    AgentHost list[HOSTS_MAX];
    size_t len = hosts_list(here->hosts, list);
    for (size_t i = 0; i < len; i++) {
        if (strcmp(list[i].name, name) == 0) {
            return list[i];
        }
    }
    fail_msg("no host %s", name);
    return (AgentHost){0};
}

/* Who stood still has not heard, which is no word on others. */
static void test_silence_is_what_was_listened_to(void **state)
{
    (void)state;
    Here here;
    here_open(&here);
    usleep((HA_WITNESS_MS + 500) * 1000);
    assert_false(host_of(&here, "h2").alive); /* as a witness it does not count */
    assert_true(host_of(&here, "h2").silent_ms < HA_WITNESS_MS);
    turn(&here, HA_WITNESS_MS + 500);
    assert_true(host_of(&here, "h2").silent_ms >= HA_WITNESS_MS - 500);
    assert_int_equal(host_of(&here, "h1").silent_ms, 0);
    here_close(&here);
}

static void test_this_host_is_removed(void **state)
{
    (void)state;
    Here here;
    here_open(&here);
    put(&here, "removed-host/h1", "{\"removed_ms\":1}");
    turn(&here, 100);
    assert_int_equal(here.removed, 0);
    drop(&here, "host/h1/spec");
    for (int64_t end = time_mono_ms() + PATIENCE_MS; here.removed == 0 && time_mono_ms() < end;) {
        turn(&here, 20);
    }
    turn(&here, 1000);
    assert_int_equal(here.removed, 1);
    assert_int_equal(known(&here), 0);
    here_close(&here);
}

static void assert_text(Here *here, const char *key, const char *expected)
{
    Arena *arena = arena_new();
    StoreItem item;
    for (int64_t end = time_mono_ms() + PATIENCE_MS; time_mono_ms() < end; turn(here, 20)) {
        if (store_get(here->store, slice_of(key), arena, &item, NULL) &&
            slice_is(item.value, expected)) {
            break;
        }
    }
    assert_true(store_get(here->store, slice_of(key), arena, &item, NULL));
    assert_string_equal(arena_slice_str(arena, item.value), expected);
    arena_free(arena);
}

/* A store that has lost a record is no reason to stop what runs here: it is written again, for the
 * others know a host by it. */
static void test_a_record_that_is_lost(void **state)
{
    (void)state;
    Here here;
    here_open(&here);
    static const char text[] =
        "{\"draining\":true,\"joined_ms\":7,\"net\":\"127.9\",\"zone\":\"a\"}";
    drop(&here, "host/h1/spec");
    put(&here, "host/h1/spec", text);
    turn(&here, 100);
    drop(&here, "host/h1/spec");
    assert_text(&here, "host/h1/spec", text);
    assert_int_equal(here.removed, 0);
    assert_int_equal(known(&here), 2);
    assert_true(host_of(&here, "h1").draining);
    here_close(&here);
}

/* Planes are told where hosts are; not with each beat. */
static void test_another_net_is_told(void **state)
{
    (void)state;
    Here here;
    here_open(&here);
    int before = here.changes;
    drop(&here, "host/h2/beat");
    put(&here, "host/h2/beat", "{\"agent\":\"two\",\"count\":2}");
    turn(&here, 100);
    assert_int_equal(here.changes, before);
    drop(&here, "host/h2/spec");
    put(&here, "host/h2/spec", "{\"zone\":\"b\",\"net\":\"127.7\"}");
    for (int64_t end = time_mono_ms() + PATIENCE_MS;
         here.changes == before && time_mono_ms() < end;) {
        turn(&here, 20);
    }
    assert_true(here.changes > before);
    turn(&here, 100);
    char net[HOST_NET_SIZE];
    assert_true(hosts_net(here.hosts, "h2", net));
    assert_string_equal(net, "127.7");
    here_close(&here);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beats_without_a_spec_count_for_nothing),
        cmocka_unit_test(test_silence_is_what_was_listened_to),
        cmocka_unit_test(test_this_host_is_removed),
        cmocka_unit_test(test_a_record_that_is_lost),
        cmocka_unit_test(test_another_net_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
