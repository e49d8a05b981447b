/*
 * Moving an instance off a host that drains, and its standby off the host of its leader where there
 * is another one (docs/hosts.md). Nothing of it is remembered: each round says anew, from the
 * records alone, which node leaves its host now, so that control may be killed, and the host
 * undrained, at any point. What is taken away is never the leader: it hands over first.
 */
#include "control/instance_priv.h"
#include "ha/ha.h"

bool instance_serves(World *world, const char *dbi)
{
    const char *leader = instance_leader(world, dbi);
    const json_t *seen = instance_node_seen(world, leader);
    const char *phase = member_str(world_getf(world, "cluster/%s", dbi), "phase", "leading");
    return strcmp(phase, "leading") == 0 && strcmp(member_str(seen, "state", ""), "running") == 0 &&
           member_bool(seen, "open", false) && host_lives(world, instance_node_host(world, leader));
}

static bool is_stopped(const Instance *instance)
{
    return strcmp(member_str(instance->spec, "desired_state", "running"), "stopped") == 0;
}

static void note(const Instance *instance, const char *node, const char *text)
{
    World *world = instance->world;
    const char *host = instance_node_host(world, node);
    if (host_drains(world, host)) {
        host_note(world, host, node, "%s", text);
    }
}

/* Why the instance's data cannot be copied to another node now; NULL: it can. */
static const char *why_no_copy(const Instance *instance)
{
    if (is_stopped(instance)) {
        return "it waits: the instance is stopped, and its nodes move while it runs; start it";
    }
    if (!instance_serves(instance->world, instance->dbi)) {
        return "it waits: the instance does not serve";
    }
    return instance_change_is_over(instance) ? NULL : "it waits: a planned change is under way";
}

/* Of one that leaves: its host's agent has to say that nothing of it is left. */
static const char *how_it_leaves(const Instance *instance, const char *node)
{
    if (!instance_serves(instance->world, instance->dbi)) {
        return "it waits: the instance does not serve, and its data may be needed";
    }
    return host_lives(instance->world, instance_node_host(instance->world, node))
               ? "it leaves, and is made anew on another host"
               : "it waits: the host is silent";
}

/* ---- the node that does not lead ---------------------------------------------------------------
 */

/* Why it stays where it is for now; NULL: it leaves. */
static const char *why_standby_stays(const Instance *instance, const char *first,
                                     const char *second)
{
    World *world = instance->world;
    if (instance_node_leaves(world, second)) {
        return NULL;
    }
    if (!host_lives(world, instance_node_host(world, second))) {
        return "it waits: the host is silent";
    }
    if (!host_other(world, instance_node_host(world, first))) {
        return "it waits: no other host could take the standby";
    }
    return why_no_copy(instance);
}

/* A standby of another instance is on its way: one at a time, for while it is nobody could take
 * over there, and all of them would be copied at once. One that leaves stays as long as nobody
 * serves there. */
static bool another_moves(World *world, const char *second)
{
    WorldKeys keys = world_keys(world, "node/");
    for (size_t i = 0; i < keys.len; i++) {
        const json_t *goal = world_get(world, keys.items[i]);
        Slice rest = slice_of(keys.items[i]);
        (void)slice_cut(&rest, '/');
        const char *node = arena_slice_str(world->arena, slice_cut(&rest, '/'));
        const char *state = member_str(instance_node_seen(world, node), "state", "");
        bool standby = slice_is(rest, "goal") && strcmp(node, second) != 0 &&
                       strcmp(member_str(goal, "role", ""), "standby") == 0 &&
                       member_bool(goal, "run", true);
        bool leaves = member_bool(goal, "gone", false);
        bool waits = leaves && !instance_serves(world, member_str(goal, "cluster", ""));
        if (standby && !waits && (leaves || strcmp(state, "running") != 0)) {
            return true;
        }
    }
    return false;
}

/* Beside its leader, where both would be lost at once, as long as no other host was there. */
static bool sits_beside(const Instance *instance, const char *first, const char *second)
{
    World *world = instance->world;
    const char *host = instance_node_host(world, second);
    return host[0] != '\0' && strcmp(host, instance_node_host(world, first)) == 0 &&
           host_twin(world, host) && why_standby_stays(instance, first, second) == NULL &&
           (instance_node_leaves(world, second) || !another_moves(world, second));
}

static void move_second(Instance *instance, const char *first, const char *second)
{
    World *world = instance->world;
    const char *host = instance_node_host(world, second);
    if (host_is_removed(world, host)) {
        instance->second_leaves = true;
    } else if (host_drains(world, host)) {
        const char *why = why_standby_stays(instance, first, second);
        instance->second_leaves = why == NULL;
        note(instance, second, why != NULL ? why : how_it_leaves(instance, second));
    } else if (sits_beside(instance, first, second)) {
        instance->second_leaves = true;
        host_note(world, host, second, "%s", how_it_leaves(instance, second));
    }
}

/* ---- the leader --------------------------------------------------------------------------------
 */

/* An instance of one node has a second one for as long as it takes to lead elsewhere. */
static void pair_up(Instance *instance, const char *first, const char *second)
{
    World *world = instance->world;
    const char *why = NULL;
    if (instance_node_host(world, second)[0] == '\0') {
        why = why_no_copy(instance);
        if (why == NULL && !host_other(world, instance_node_host(world, first))) {
            why = "it waits: there is no other host";
        }
    }
    instance->paired = why == NULL;
    if (why != NULL) {
        note(instance, first, why);
    }
}

static void hand_over(Instance *instance, const char *first, const char *second)
{
    World *world = instance->world;
    const char *to = instance_node_host(world, second);
    if (is_stopped(instance)) {
        note(instance, first, why_no_copy(instance));
    } else if (instance->second_leaves || host_drains(world, to)) {
        note(instance, first, "it waits for the standby to move");
    } else if (!instance_standby_joined(instance)) {
        note(instance, first, "it waits for the standby to join");
    } else {
        instance->hands_over =
            instance_serves(world, instance->dbi) && instance_change_is_over(instance);
        note(instance, first, "it hands over to its standby");
    }
}

/* What led before stays until the new leader serves, also where its host was undrained meanwhile.
 */
static bool former_is_needed(const Instance *instance, const char *second)
{
    World *world = instance->world;
    return instance_node_goal(world, second) != NULL && !instance_node_leaves(world, second) &&
           !is_stopped(instance) && !instance_serves(world, instance->dbi);
}

/* Its data is nowhere else; only one that has none yet begins elsewhere. */
static void forget_first(Instance *instance, const char *first)
{
    const json_t *record = world_getf(instance->world, "cluster/%s", instance->dbi);
    instance->first_leaves = !ha_record_may_have_begun(record);
    if (!instance->first_leaves) {
        json_object_set_new(instance->next, "message",
                            json_sprintf("the data was on host %s, which was removed",
                                         instance_node_host(instance->world, first)));
    }
}

/* ---- replicas ----------------------------------------------------------------------------------
 */

static const char *why_replica_stays(const Instance *instance, const char *node)
{
    World *world = instance->world;
    const char *leader = instance_leader(world, instance->source);
    if (instance_node_leaves(world, node)) {
        return NULL;
    }
    if (!host_lives(world, instance_node_host(world, node))) {
        return "it waits: the host is silent";
    }
    if (host_drains(world, instance_node_host(world, leader))) {
        return "it waits for its source to move";
    }
    if (!host_other(world, "")) {
        return "it waits: there is no other host";
    }
    return instance_serves(world, instance->source) ? NULL : "it waits: its source does not serve";
}

static void move_replica(Instance *instance, const char *node)
{
    World *world = instance->world;
    const char *host = instance_node_host(world, node);
    if (host_is_removed(world, host)) {
        instance->first_leaves = true;
    } else if (host_drains(world, host)) {
        const char *why = why_replica_stays(instance, node);
        instance->first_leaves = why == NULL;
        note(instance, node, why != NULL ? why : how_it_leaves(instance, node));
    }
}

/* ---- all together ------------------------------------------------------------------------------
 */

void instance_move(Instance *instance)
{
    World *world = instance->world;
    const char *first = instance_node(instance, instance_first(world, instance->dbi));
    const char *second = instance_second(instance);
    const char *host = instance_node_host(world, first);
    if (instance->source[0] != '\0') {
        move_replica(instance, first);
        return;
    }
    if (host_is_removed(world, host)) {
        forget_first(instance, first);
        return;
    }
    bool drains = host_drains(world, host);
    if (drains && !instance->multi_az) {
        pair_up(instance, first, second);
    } else if (former_is_needed(instance, second)) {
        instance->paired = true;
    }
    if (instance->paired) {
        move_second(instance, first, second);
    } else {
        note(instance, second, "it leaves");
    }
    if (drains && instance->paired) {
        hand_over(instance, first, second);
    }
}
