/*
 * The settings of an instance's nodes: from its parameter group, its class with its share of the
 * memory, and, of a replica, what its source has.
 */
#include "control/instance_priv.h"

#define PLAN_ENGINES_MIN 8 /* memory is shared out as if there were at least so many engines */

static int engines_planned(World *world)
{
    WorldKeys nodes = world_keys(world, "node/");
    int engines = (int)nodes.len / 2 + 1; /* a goal and a seen each */
    return engines > PLAN_ENGINES_MIN ? engines : PLAN_ENGINES_MIN;
}

/* The memory share is computed when the class is new, and kept: it must not move with neighbours.
 */
static int64_t memory_for(Instance *instance, InstanceClass *ret_class)
{
    const char *class_name = member_str(instance->spec, "DBInstanceClass", "");
    Err err;
    if (!instance_class_find(class_name, ret_class, &err)) {
        json_object_set_new(instance->next, "message", json_string(err.message));
        *ret_class = (InstanceClass){.vcpus = 1, .memory_bytes = (int64_t)1 << 30};
    }
    if (strcmp(member_str(instance->next, "memory_class", ""), class_name) != 0) {
        char note[MODEL_NOTE_SIZE];
        int64_t bytes = memory_share(ret_class, hosts_memory(instance->world),
                                     engines_planned(instance->world), note);
        json_object_set_new(instance->next, "memory_class", json_string(class_name));
        json_object_set_new(instance->next, "memory_bytes", json_integer(bytes));
        json_object_set_new(instance->next, "notes",
                            note[0] != '\0' ? json_pack("[s]", note) : json_array());
    }
    return member_int(instance->next, "memory_bytes", 0);
}

json_t *instance_parameters(const Instance *instance)
{
    const char *name = member_str(instance->spec, "DBParameterGroupName", "");
    const json_t *group = world_getf(instance->world, "spec/db-parameter-group/%s", name);
    return member_object(group, "parameters");
}

/* A dynamic parameter that was set with pending-reboot keeps its old value until then. */
static bool keep_until_reboot(const Instance *instance, const ParameterFamily *family,
                              const json_t *old_goal, json_t *settings)
{
    bool kept = false;
    const json_t *old = member_object(old_goal, "settings");
    const char *name;
    json_t *parameter;
    json_object_foreach (instance_parameters(instance), name, parameter) {
        const ParameterInfo *info = parameter_find(family, name);
        json_t *before = json_object_get(old, name);
        if (info == NULL || info->is_static ||
            strcmp(member_str(parameter, "method", "immediate"), "pending-reboot") != 0 ||
            json_equal(before, json_object_get(settings, name))) {
            continue;
        }
        kept = true;
        if (before != NULL) {
            json_object_set(settings, name, before);
        } else {
            json_object_del(settings, name);
        }
    }
    return kept;
}

/* A standby refuses to run with less than its primary where PostgreSQL says "at least as much". */
static void raise_to_source(const ParameterFamily *family, const json_t *source_goal,
                            json_t *settings)
{
    const char *name;
    json_t *value;
    json_t *source_settings = member_object(source_goal, "settings");
    json_object_foreach (source_settings, name, value) {
        const ParameterInfo *info = parameter_find(family, name);
        if (info != NULL && info->standby_at_least &&
            text_int(member_str(settings, name, "0"), 0) <
                text_int(member_str(source_settings, name, "0"), 0)) {
            json_object_set(settings, name, value);
        }
    }
}

json_t *instance_settings_new(Instance *instance, const json_t *old_goal)
{
    InstanceClass class;
    const FormulaFacts facts = {
        .memory_bytes = memory_for(instance, &class),
        .vcpus = class.vcpus,
        .storage_bytes = member_int(instance->spec, "AllocatedStorage", 0) << 30,
        .port = (int)member_int(instance->spec, "DbInstancePort", 5432),
    };
    const ParameterFamily *family =
        parameter_family_of("postgres", member_str(instance->spec, "EngineVersion", ""));
    json_t *settings = NULL;
    Err err;
    if (family == NULL ||
        !parameters_resolve_new(family, instance_parameters(instance), &facts, &settings, &err)) {
        json_object_set_new(instance->next, "message",
                            json_string(family == NULL ? "unknown parameter family" : err.message));
        return old_goal != NULL ? json_deep_copy(member_object(old_goal, "settings"))
                                : json_object();
    }
    bool reboot =
        member_int(old_goal, "reboot_epoch", 0) != member_int(instance->spec, "reboot_epoch", 0);
    instance->kept_until_reboot =
        old_goal != NULL && !reboot && keep_until_reboot(instance, family, old_goal, settings);
    if (instance->source[0] != '\0') {
        const char *leader = instance_leader(instance->world, instance->source);
        raise_to_source(family, instance_node_goal(instance->world, leader), settings);
    }
    return settings;
}
