/* A tier of three hosts, one in each zone, and what the tests of moving see and ask of it. */
#ifndef WEIR_TESTS_UNIT_CONTROL_TIER_H
#define WEIR_TESTS_UNIT_CONTROL_TIER_H

#include "harness.h"

#define SPEC                                                                                       \
    "\"DBInstanceIdentifier\":\"app\",\"DbiResourceId\":\"db-app\",\"Engine\":\"postgres\","       \
    "\"EngineVersion\":\"15.1\",\"DBInstanceClass\":\"db.t3.small\",\"AllocatedStorage\":20,"      \
    "\"MasterUsername\":\"dbadmin\",\"master_password\":\"x\",\"password_epoch\":1,"               \
    "\"DbInstancePort\":5432,\"generation\":1,\"reboot_epoch\":0,"

static const char single[] = "{" SPEC "\"MultiAZ\":false,\"desired_state\":\"running\"}";
static const char stopped[] = "{" SPEC "\"MultiAZ\":false,\"desired_state\":\"stopped\"}";
static const char multi_az[] = "{" SPEC "\"MultiAZ\":true,\"desired_state\":\"running\"}";
static const char replica[] =
    "{\"DBInstanceIdentifier\":\"app-r\",\"DbiResourceId\":\"db-r\",\"Engine\":\"postgres\","
    "\"EngineVersion\":\"15.1\",\"DBInstanceClass\":\"db.t3.small\",\"AllocatedStorage\":20,"
    "\"MasterUsername\":\"dbadmin\",\"DbInstancePort\":5432,\"source\":\"db-app\","
    "\"generation\":1,\"desired_state\":\"running\",\"reboot_epoch\":0}";
static const char cache[] =
    "{\"ReplicationGroupId\":\"c\",\"CacheNodeType\":\"cache.t3.micro\",\"Engine\":\"redis\","
    "\"EngineVersion\":\"7.0.15\",\"Port\":6379,\"generation\":1,"
    "\"members\":[{\"CacheClusterId\":\"c-001\",\"zone\":\"a\"},"
    "{\"CacheClusterId\":\"c-002\",\"zone\":\"b\"}]}";

typedef struct Tier {
    Store *store;
    ControlHost hosts[3];
} Tier;

static inline Tier tier_of_hosts(void)
{
    Tier tier = {.store = store_open_memory(NULL),
                 .hosts = {{.name = "h1", .zone = 'a', .alive = true, .memory_bytes = 64 * GIB},
                           {.name = "h2", .zone = 'b', .alive = true, .memory_bytes = 64 * GIB},
                           {.name = "h3", .zone = 'c', .alive = true, .memory_bytes = 64 * GIB}}};
    return tier;
}

static inline void look(Tier *tier)
{
    round_of(tier->store, tier->hosts, 3);
}

static inline Tier tier_with(const char *key, const char *spec)
{
    Tier tier = tier_of_hosts();
    put(tier.store, key, spec);
    round_of(tier.store, tier.hosts, 3);
    return tier;
}

/* As long as there was no other host everything was placed on the first one. */
static inline Tier tier_crowded(const char *key, const char *spec)
{
    Tier tier = tier_of_hosts();
    tier.hosts[1].alive = tier.hosts[2].alive = false;
    tier.hosts[1].silent_ms = tier.hosts[2].silent_ms = 60000;
    put(tier.store, key, spec);
    round_of(tier.store, tier.hosts, 3);
    return tier;
}

/* ---- what is seen ------------------------------------------------------------------------------
 */

/* The leader's agent: it serves, and sees this standby ("": none). */
static inline void see_leader(Tier *tier, const char *node, const char *incarnation,
                              const char *standby)
{
    char *more =
        standby[0] != '\0'
            ? mem_printf(",\"standbys\":[{\"name\":\"weir_%s\",\"sync_state\":\"sync\"}]", standby)
            : mem_strdup("");
    see_node(tier->store, node, incarnation, more);
    mem_free(more);
}

/* Its process runs on each host. */
static inline void see_plane_everywhere(Tier *tier, const char *plane)
{
    CLEANUP(mem_free_ptr) char *goal = mem_printf("plane/%s/goal", plane);
    CLEANUP(mem_free_ptr)
    char *text = mem_printf("{\"state\":\"running\",\"applied\":%lld}",
                            (long long)revision_of(tier->store, goal));
    for (size_t i = 0; i < ARRAY_LEN(tier->hosts); i++) {
        CLEANUP(mem_free_ptr)
        char *key = mem_printf("plane/%s/seen/%s", plane, tier->hosts[i].name);
        put(tier->store, key, text);
    }
}

static inline Tier tier_single(void)
{
    Tier tier = tier_with("spec/db-instance/app", single);
    see_leader(&tier, "db-app-1", "a", "");
    put(tier.store, "cluster/db-app", "{\"leader\":\"db-app-1\",\"set\":[\"a\"],\"term\":1}");
    return tier;
}

static inline Tier tier_multi_az(void)
{
    Tier tier = tier_with("spec/db-instance/app", multi_az);
    see_leader(&tier, "db-app-1", "a", "b");
    see_node(tier.store, "db-app-2", "b", "");
    put(tier.store, "cluster/db-app", "{\"leader\":\"db-app-1\",\"set\":[\"a\",\"b\"],\"term\":1}");
    return tier;
}

static inline Tier tier_replica(void)
{
    Tier tier = tier_multi_az();
    put(tier.store, "spec/db-instance/app-r", replica);
    look(&tier);
    see_leader(&tier, "db-app-1", "a", "b");
    see_node(tier.store, "db-app-2", "b", "");
    assert_node(tier.store, "db-r-1", "h3", "c");
    return tier;
}

/* ---- what has become of it ---------------------------------------------------------------------
 */

static inline bool is_gone(Tier *tier, const char *node)
{
    char *key = mem_printf("node/%s/goal", node);
    json_t *goal = get(tier->store, key);
    bool gone = member_bool(goal, "gone", false);
    json_decref(goal);
    mem_free(key);
    return gone;
}

static inline bool exists(Tier *tier, const char *key)
{
    return revision_of(tier->store, key) > 0;
}

/* What is told of a node on a host that drains holds this. */
static inline void assert_note(Tier *tier, const char *host, const char *node, const char *part)
{
    char *key = mem_printf("status/host/%s", host);
    json_t *status = get(tier->store, key);
    const char *note = member_str(member_object(status, "nodes"), node, "(nothing)");
    if (strstr(note, part) == NULL) {
        fail_msg("%s says of %s: %s", key, node, note);
    }
    json_decref(status);
    mem_free(key);
}

static inline void assert_peers(Tier *tier, const char *node, size_t count)
{
    char *key = mem_printf("node/%s/goal", node);
    json_t *goal = get(tier->store, key);
    assert_int_equal(json_array_size(member_array(goal, "peers")), count);
    json_decref(goal);
    mem_free(key);
}

static inline int64_t handover_asked(Tier *tier, const char *node)
{
    char *key = mem_printf("node/%s/goal", node);
    json_t *goal = get(tier->store, key);
    int64_t asked = member_int(goal, "handover", 0);
    json_decref(goal);
    mem_free(key);
    return asked;
}

#endif
