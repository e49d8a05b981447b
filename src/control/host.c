/* The hosts of the tier, and which of them a new engine goes to (docs/hosts.md). */
#include <stdio.h>

#include "control/control_priv.h"
#include "ha/ha.h"

#define NOTE_SIZE        256
#define HOST_PATIENCE_MS 10000 /* a host that has been silent for less may well be back */

static const ControlHost *host_find(const World *world, const char *name)
{
    for (size_t i = 0; i < world->facts->hosts_len; i++) {
        if (strcmp(world->facts->hosts[i].name, name) == 0) {
            return &world->facts->hosts[i];
        }
    }
    return NULL;
}

/* How many engines are there; of the cluster, where one is named. */
static int engines_on(const World *world, const char *host, const char *cluster)
{
    WorldKeys keys = world_keys(world, "node/");
    int engines = 0;
    for (size_t i = 0; i < keys.len; i++) {
        const json_t *goal = world_get(world, keys.items[i]);
        engines += slice_ends(slice_of(keys.items[i]), "/goal") &&
                   strcmp(member_str(goal, "host", ""), host) == 0 &&
                   (cluster == NULL || strcmp(member_str(goal, "cluster", ""), cluster) == 0);
    }
    return engines;
}

/* What would be lost with the host at once; less is better. */
static int64_t crowd(const World *world, const ControlHost *host, const HostWish *wish)
{
    bool apart = strcmp(host->name, wish->apart) != 0;
    return (apart ? 0 : (int64_t)1 << 15) + engines_on(world, host->name, wish->cluster);
}

/* Less is better; each reason outweighs all that come after it. */
static int64_t misfit(const World *world, const ControlHost *host, const HostWish *wish)
{
    bool fits = host->zone == 0 || host->zone == wish->zone;
    return (crowd(world, host, wish) << 33) + (fits ? 0 : (int64_t)1 << 32) +
           engines_on(world, host->name, NULL);
}

/* Of one that is there, or will be back. */
static bool is_open(const World *world, const ControlHost *host)
{
    return !host->draining && !host_is_removed(world, host->name);
}

static bool takes_nodes(const World *world, const ControlHost *host)
{
    return host->alive && is_open(world, host);
}

/* A host that is silent for a moment, and where the node would not be beside one of its kind: it
 * stays where it is placed, so it waits for that host for a while. NULL: there is none. */
static const ControlHost *worth_waiting(const World *world, const ControlHost *best,
                                        const HostWish *wish)
{
    for (size_t i = 0; i < world->facts->hosts_len; i++) {
        const ControlHost *host = &world->facts->hosts[i];
        if (!host->alive && is_open(world, host) && host->silent_ms < HOST_PATIENCE_MS &&
            crowd(world, host, wish) < crowd(world, best, wish)) {
            return host;
        }
    }
    return NULL;
}

const char *host_for(World *world, const char *current, const HostWish *wish, json_t *next)
{
    if (current[0] != '\0') {
        return current;
    }
    const ControlHost *best = NULL;
    for (size_t i = 0; i < world->facts->hosts_len; i++) {
        const ControlHost *host = &world->facts->hosts[i];
        if (takes_nodes(world, host) &&
            (best == NULL || misfit(world, host, wish) < misfit(world, best, wish))) {
            best = host;
        }
    }
    const ControlHost *awaited = best != NULL ? worth_waiting(world, best, wish) : NULL;
    if (best != NULL && awaited == NULL) {
        return best->name;
    }
    world->busy = true;
    json_object_set_new(next, "message",
                        awaited != NULL
                            ? json_sprintf("a node waits for host %s, which is silent, so as not "
                                           "to be on one host with another node of its kind",
                                           awaited->name)
                            : json_string("a node waits for a host that takes engines: all drain, "
                                          "or are silent; undrain or add one"));
    return NULL;
}

bool host_drains(const World *world, const char *host)
{
    const ControlHost *found = host_find(world, host);
    return found != NULL && found->draining;
}

bool host_lives(const World *world, const char *host)
{
    const ControlHost *found = host_find(world, host);
    return found != NULL && found->alive && !host_is_removed(world, host);
}

bool host_is_lost(const World *world, const char *host)
{
    const ControlHost *found = host_find(world, host);
    return found != NULL && !found->alive && found->silent_ms >= HOST_PATIENCE_MS;
}

bool host_node_counts(World *world, const char *node, bool before)
{
    const char *host = instance_node_host(world, node);
    const ControlHost *found = host_find(world, host);
    if (found == NULL || before) {
        return !host_is_lost(world, host);
    }
    const char *agent = member_str(world_getf(world, "node/%s/seen", node), "agent", "");
    return found->alive &&
           (found->agent == NULL || (found->agent[0] != '\0' && strcmp(found->agent, agent) == 0));
}

bool host_is_removed(const World *world, const char *host)
{
    return world_getf(world, "removed-host/%s", host) != NULL;
}

bool host_other(const World *world, const char *apart)
{
    for (size_t i = 0; i < world->facts->hosts_len; i++) {
        const ControlHost *host = &world->facts->hosts[i];
        if (takes_nodes(world, host) && strcmp(host->name, apart) != 0) {
            return true;
        }
    }
    return false;
}

const char *host_orphan(World *world, const char *cluster, const char *resource)
{
    const json_t *record = world_getf(world, "cluster/%s", cluster);
    const char *leader = member_str(record, "leader", "");
    const char *host = instance_node_host(world, leader);
    if (json_array_size(member_array(record, "set")) > 1 || !ha_record_may_have_begun(record) ||
        host_lives(world, host) || member_str(record, "admitted", "")[0] != '\0') {
        return NULL;
    }
    return arena_printf(world->arena,
                        "%s leads, and host %s is silent; nobody else is known to have all that it "
                        "has acknowledged. Bring the host back; or `weir failover %s "
                        "--allow-data-loss` lets another node lead without it",
                        leader, host, resource);
}

/* Whoever ran here runs there, too. */
static bool is_like(const World *world, const char *host, const ControlHost *other)
{
    const ControlHost *found = host_find(world, host);
    const char *here = found != NULL && found->engines != NULL ? found->engines : "";
    return strcmp(here, other->engines != NULL ? other->engines : "") == 0;
}

bool host_twin(const World *world, const char *host)
{
    for (size_t i = 0; i < world->facts->hosts_len; i++) {
        const ControlHost *other = &world->facts->hosts[i];
        if (takes_nodes(world, other) && strcmp(other->name, host) != 0 &&
            is_like(world, host, other)) {
            return true;
        }
    }
    return false;
}

bool host_crowds(const World *world, const char *host, const char *cluster)
{
    for (size_t i = 0; i < world->facts->hosts_len; i++) {
        const ControlHost *other = &world->facts->hosts[i];
        if (takes_nodes(world, other) && is_like(world, host, other) &&
            engines_on(world, other->name, cluster) == 0) {
            return engines_on(world, host, cluster) > 1;
        }
    }
    return false;
}

char host_zone(const World *world, const char *host, char zone)
{
    const ControlHost *found = host_find(world, host);
    return found != NULL && found->zone != 0 ? found->zone : zone;
}

int64_t hosts_memory(const World *world)
{
    int64_t least = 0;
    for (size_t i = 0; i < world->facts->hosts_len; i++) {
        int64_t bytes = world->facts->hosts[i].memory_bytes;
        least = bytes > 0 && (least == 0 || bytes < least) ? bytes : least;
    }
    ASSERT(least > 0); /* the host where control runs knows its own */
    return least;
}

/* ---- what is told of those that leave ----------------------------------------------------------
 */

void host_note(World *world, const char *host, const char *node, const char *format, ...)
{
    char text[NOTE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (json_object_get(world->leaving, host) == NULL) {
        json_object_set_new(world->leaving, host, json_object());
    }
    json_object_set_new(json_object_get(world->leaving, host), node, json_string(text));
    world->busy = true;
}

/* Words of its processes about planes that live on. */
static void forget(World *world, const char *host)
{
    const char *leaf = arena_printf(world->arena, "/seen/%s", host);
    WorldKeys keys = world_keys(world, "plane/");
    for (size_t i = 0; i < keys.len; i++) {
        if (slice_ends(slice_of(keys.items[i]), leaf)) {
            world_delete(world, keys.items[i]);
        }
    }
    world_delete(world, arena_printf(world->arena, "host/%s/beat", host));
}

void control_hosts(World *world)
{
    static const char statuses[] = "status/host/";
    static const char removed[] = "removed-host/";
    const char *host;
    json_t *nodes;
    json_object_foreach (world->leaving, host, nodes) {
        world_put(world, arena_printf(world->arena, "%s%s", statuses, host),
                  json_pack("{s:O}", "nodes", nodes));
    }
    WorldKeys keys = world_keys(world, statuses);
    for (size_t i = 0; i < keys.len; i++) {
        if (json_object_get(world->leaving, keys.items[i] + sizeof(statuses) - 1) == NULL) {
            world_delete(world, keys.items[i]);
        }
    }
    keys = world_keys(world, removed);
    for (size_t i = 0; i < keys.len; i++) {
        forget(world, keys.items[i] + sizeof(removed) - 1);
    }
}
