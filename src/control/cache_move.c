/*
 * Moving the nodes of a replication group off hosts that drain, and off those that have several of
 * them while another has none (docs/hosts.md): one replica at a time is removed and made anew
 * elsewhere, and then the primary hands over to one of them. As with instances, each round says
 * anew from the records what is to be done next.
 */
#include "control/cache_priv.h"

static const char *node_of(const json_t *member)
{
    return member_str(member, "CacheClusterId", "");
}

static bool leads(const Group *group, const char *node)
{
    return strcmp(node, member_str(cache_cluster_of(group), "leader", "")) == 0;
}

/* Another one of its members is on its way already. */
static bool another_leaves(const Group *group, const char *node)
{
    size_t i;
    json_t *member;
    json_array_foreach (member_array(group->spec, "members"), i, member) {
        if (strcmp(node_of(member), node) != 0 &&
            (cache_node_leaves(group, node_of(member)) ||
             instance_node_leaves(group->world, node_of(member)))) {
            return true;
        }
    }
    return false;
}

/* Every member but `node` follows, or leads: what one has, the others have. */
static bool others_are_in_set(const Group *group, const char *node)
{
    World *world = group->world;
    size_t i;
    json_t *member;
    json_array_foreach (member_array(group->spec, "members"), i, member) {
        const json_t *seen = world_getf(world, "node/%s/seen", node_of(member));
        if (strcmp(node_of(member), node) != 0 &&
            !member_has(cache_cluster_of(group), "set", member_str(seen, "incarnation", "-"))) {
            return false;
        }
    }
    return true;
}

static const char *why_group_waits(const Group *group)
{
    const char *leader = member_str(cache_cluster_of(group), "leader", "");
    if (!cache_leader_serves(group) ||
        !host_lives(group->world, instance_node_host(group->world, leader))) {
        return "it waits: the group does not serve";
    }
    return cache_change_is_asked(group) ? "it waits: a planned change is under way" : NULL;
}

/* ---- replicas ----------------------------------------------------------------------------------
 */

static const char *why_replica_stays(const Group *group, const char *node)
{
    World *world = group->world;
    const char *leader = member_str(cache_cluster_of(group), "leader", "");
    if (instance_node_leaves(world, node)) {
        return NULL;
    }
    if (!host_lives(world, instance_node_host(world, node))) {
        return "it waits: the host is silent";
    }
    if (!host_other(world, instance_node_host(world, leader))) {
        return "it waits: no other host could take the replica";
    }
    if (another_leaves(group, node) || !others_are_in_set(group, node)) {
        return "it waits for another node of the group";
    }
    if (strcmp(cache_durable(group), "strict") == 0 &&
        json_array_size(member_array(group->spec, "members")) < 3) {
        return "it waits: the group is strict and has one replica, without which it takes no "
               "writes; add a replica";
    }
    return why_group_waits(group);
}

static void move_replica(Group *group, const char *node)
{
    const char *why = why_replica_stays(group, node);
    if (why == NULL) {
        group->leavers[group->leavers_len++] = node;
        why = "it leaves, and is made anew on another host";
    }
    host_note(group->world, instance_node_host(group->world, node), node, "%s", why);
}

/* ---- the primary -------------------------------------------------------------------------------
 */

static bool replica_drains(const Group *group, const char *leader)
{
    size_t i;
    json_t *member;
    json_array_foreach (member_array(group->spec, "members"), i, member) {
        if (strcmp(node_of(member), leader) != 0 &&
            host_drains(group->world, instance_node_host(group->world, node_of(member)))) {
            return true;
        }
    }
    return false;
}

static const char *why_primary_stays(const Group *group, const char *node)
{
    if (json_array_size(member_array(group->spec, "members")) < 2) {
        return "it waits: the group has one node, and nobody could take over; add a replica";
    }
    if (replica_drains(group, node) || another_leaves(group, node) ||
        !others_are_in_set(group, node)) {
        return "it waits for the replicas of the group";
    }
    return why_group_waits(group);
}

static void move_primary(Group *group, const char *node)
{
    const char *why = why_primary_stays(group, node);
    group->hands_over = why == NULL;
    host_note(group->world, instance_node_host(group->world, node), node, "%s",
              why != NULL ? why : "it hands over to a replica");
}

/* ---- all together ------------------------------------------------------------------------------
 */

/* Nobody is there who could say that it is gone. What only a leader had is not anywhere else. */
static void leave_removed(Group *group, const char *node)
{
    bool has_data = json_array_size(member_array(cache_cluster_of(group), "set")) > 0;
    if (!leads(group, node) || !has_data) {
        group->leavers[group->leavers_len++] = node;
        return;
    }
    json_object_set_new(group->next, "message",
                        json_sprintf("the data was on host %s, which was removed",
                                     instance_node_host(group->world, node)));
}

bool cache_node_leaves(const Group *group, const char *node)
{
    for (size_t i = 0; i < group->leavers_len; i++) {
        if (strcmp(group->leavers[i], node) == 0) {
            return true;
        }
    }
    return false;
}

/* One that leaves goes on leaving, also where the other host is silent for a moment. */
static bool spreads(const Group *group, const char *node, const char *host)
{
    return host[0] != '\0' && (instance_node_leaves(group->world, node) ||
                               host_crowds(group->world, host, cache_cluster_name(group)));
}

void cache_move(Group *group)
{
    const json_t *members = member_array(group->spec, "members");
    group->leavers = ARENA_ARRAY(group->world->arena, const char *, json_array_size(members) + 1);
    size_t i;
    json_t *member;
    json_array_foreach (members, i, member) {
        const char *node = node_of(member);
        const char *host = instance_node_host(group->world, node);
        if (host_is_removed(group->world, host)) {
            leave_removed(group, node);
        } else if (host_drains(group->world, host) && !leads(group, node)) {
            move_replica(group, node);
        } else if (host_drains(group->world, host)) {
            move_primary(group, node);
        } else if (!leads(group, node) && spreads(group, node, host) &&
                   why_replica_stays(group, node) == NULL) {
            move_replica(group, node);
        }
    }
}
