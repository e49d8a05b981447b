/* The hosts of the tier, and which of them a new engine goes to (docs/hosts.md). */
#include "control/control_priv.h"

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

/* Less is better; each reason outweighs all that come after it. */
static int64_t misfit(const World *world, const ControlHost *host, char zone, const char *cluster)
{
    bool fits = host->zone == 0 || host->zone == zone;
    return ((int64_t)engines_on(world, host->name, cluster) << 33) + (fits ? 0 : (int64_t)1 << 32) +
           engines_on(world, host->name, NULL);
}

const char *host_for(const World *world, const char *current, char zone, const char *cluster)
{
    if (host_find(world, current) != NULL) {
        return current;
    }
    const ControlHost *best = NULL;
    for (size_t i = 0; i < world->facts->hosts_len; i++) {
        const ControlHost *host = &world->facts->hosts[i];
        if (host->alive && !host->draining &&
            (best == NULL ||
             misfit(world, host, zone, cluster) < misfit(world, best, zone, cluster))) {
            best = host;
        }
    }
    return best != NULL ? best->name : world->facts->host;
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
