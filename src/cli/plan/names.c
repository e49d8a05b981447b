/*
 * Names that blocks write instead of referring: what bears them is among the files or in the tier,
 * or the plan is refused before anything is made. And what only two blocks together tell: the
 * parameter group of a Multi-AZ instance.
 */
#include "cli/plan/plan_check_priv.h"

/* Which attribute names which kind; a list of ids where it is a security group. */
typedef struct NameRule {
    const ResourceKind *of;
    const char *attribute;
    const ResourceKind *named;
} NameRule;

static const NameRule name_rules[] = {
    {&kind_db_instance, "parameter_group_name", &kind_db_parameter_group},
    {&kind_db_instance, "db_subnet_group_name", &kind_db_subnet_group},
    {&kind_db_instance, "replicate_source_db", &kind_db_instance},
    {&kind_db_instance, "vpc_security_group_ids", &kind_security_group},
    {&kind_db_proxy, "vpc_security_group_ids", &kind_security_group},
    {&kind_db_proxy_endpoint, "db_proxy_name", &kind_db_proxy},
    {&kind_db_proxy_endpoint, "vpc_security_group_ids", &kind_security_group},
    {&kind_db_proxy_options, "db_proxy_name", &kind_db_proxy},
    {&kind_db_proxy_target_group, "db_proxy_name", &kind_db_proxy},
    {&kind_db_proxy_target, "db_proxy_name", &kind_db_proxy},
    {&kind_db_proxy_target, "db_instance_identifier", &kind_db_instance},
    {&kind_secret_version, "secret_id", &kind_secret},
    {&kind_replication_group, "parameter_group_name", &kind_cache_parameter_group},
    {&kind_replication_group, "subnet_group_name", &kind_cache_subnet_group},
    {&kind_replication_group, "security_group_ids", &kind_security_group},
};

typedef VEC(const char *) NameList;

typedef struct Names {
    const Plan *plan;
    TfDiagnostics *diagnostics;
} Names;

/* ---- what there is ----------------------------------------------------------------------------
 */

static const char *group_id(const Present *present)
{
    return member_str(present->attributes, "id", "");
}

/* The names, or ids of security groups, of the files' and of the tier's. */
static NameList names_of(const Names *names, const ResourceKind *kind)
{
    const Plan *plan = names->plan;
    bool by_id = kind == &kind_security_group;
    NameList list = {0};
    for (size_t i = 0; i < plan->items.len && !by_id; i++) {
        const PlanItem *item = plan->items.items[i];
        if (item->kind == kind && item->key != NULL) {
            arena_vec_push(plan->arena, &list, item->key);
        }
    }
    for (size_t i = 0; i < plan->present.list.len; i++) {
        const Present *present = plan->present.list.items[i];
        if (present->kind == kind) {
            const char *name = by_id ? group_id(present) : present->key;
            arena_vec_push(plan->arena, &list, name);
        }
    }
    return list;
}

/* What every tier has from its first moment on. */
static bool is_built_in(const ResourceKind *kind, const char *name)
{
    Slice rest = slice_of(name);
    if (kind == &kind_db_parameter_group || kind == &kind_cache_parameter_group) {
        return slice_starts(rest, "default.") &&
               parameter_family_find(name + strlen("default.")) != NULL;
    }
    if (kind == &kind_db_subnet_group || kind == &kind_cache_subnet_group) {
        return slice_is(rest, MODEL_DEFAULT_SUBNET_GROUP);
    }
    return kind == &kind_security_group && slice_is(rest, MODEL_DEFAULT_SECURITY_GROUP_ID);
}

/* ---- one name ---------------------------------------------------------------------------------
 */

static const char *name_hint(const Names *names, const ResourceKind *kind, const char *name,
                             const NameList *there)
{
    const char *nearest = tf_nearest(name, there->items, there->len);
    if (nearest != NULL) {
        return arena_printf(names->plan->arena, "did you mean \"%s\"?", nearest);
    }
    const char *attribute = kind == &kind_security_group ? "id" : kind->key[0];
    return arena_printf(names->plan->arena, "write %s.NAME.%s, and a block %s \"NAME\"", kind->type,
                        attribute, kind->type);
}

static void check_name(const Names *names, const PlanItem *item, const NameRule *rule,
                       const TfValue *value)
{
    Arena *arena = names->plan->arena;
    if (value->kind != TF_STRING || value->string.len == 0) {
        return;
    }
    const KindAttribute *attribute = kind_attribute(item->kind, rule->attribute);
    const char *name = kind_normal(arena, attribute, value->string.data, &names->plan->present);
    NameList there = names_of(names, rule->named);
    for (size_t i = 0; i < there.len; i++) {
        if (strcmp(there.items[i], name) == 0) {
            return;
        }
    }
    if (!is_built_in(rule->named, name)) {
        tf_diagnose(names->diagnostics, TF_ERROR, tf_instance_pos(item->instance, rule->attribute),
                    arena_printf(arena,
                                 "there is no %s \"%s\", neither in the files nor in the tier",
                                 rule->named->noun, name),
                    name_hint(names, rule->named, name, &there));
    }
}

static void check_rule(const Names *names, const PlanItem *item, const NameRule *rule)
{
    const TfValue *value = tf_get(item->desired, rule->attribute);
    if (value == NULL) {
        return;
    }
    bool is_list = value->kind == TF_LIST || value->kind == TF_SET;
    for (size_t i = 0; is_list && i < value->list.len; i++) {
        check_name(names, item, rule, value->list.items[i]);
    }
    if (!is_list) {
        check_name(names, item, rule, value);
    }
}

/* ---- the group of a Multi-AZ instance ---------------------------------------------------------
 */

static void check_level(const Names *names, const PlanItem *instance, TfPos pos, const char *name,
                        const char *value)
{
    Err err;
    if (name == NULL || value == NULL || !slice_is_nocase(slice_of(name), "synchronous_commit")) {
        return;
    }
    CLEANUP(record_free_ptr)
    json_t *parameters = json_pack("{s:{s:s}}", "synchronous_commit", "value", value);
    if (!parameters_check_multi_az(parameters, &err)) {
        Arena *arena = names->plan->arena;
        tf_diagnose(names->diagnostics, TF_ERROR, pos,
                    arena_printf(arena,
                                 "synchronous_commit = %s cannot be used for %s, which is "
                                 "Multi-AZ: a failover would lose acknowledged commits",
                                 value, instance->address),
                    "write \"on\" or \"remote_apply\"; a transaction may lower it for itself");
    }
}

/* The group in the files: the error is its line. */
static void check_group(const Names *names, const PlanItem *instance, const PlanItem *group)
{
    const TfValue *list = tf_get(group->desired, "parameter");
    bool walkable = list != NULL && (list->kind == TF_LIST || list->kind == TF_SET);
    for (size_t i = 0; walkable && i < list->list.len; i++) {
        const char *path = arena_printf(names->plan->arena, "parameter.%zu.value", i);
        check_level(names, instance, tf_instance_pos(group->instance, path),
                    member_text(list->list.items[i], "name"),
                    member_text(list->list.items[i], "value"));
    }
}

/* One that only the tier has: the error is the line that names it. */
static void check_present_group(const Names *names, const PlanItem *instance, const Present *group)
{
    size_t i;
    const json_t *parameter;
    json_array_foreach (json_object_get(group->attributes, "parameter"), i, parameter) {
        check_level(names, instance, tf_instance_pos(instance->instance, "parameter_group_name"),
                    member_str(parameter, "name", NULL), member_str(parameter, "value", NULL));
    }
}

static void check_multi_az(const Names *names, const PlanItem *instance)
{
    const Plan *plan = names->plan;
    const TfValue *multi_az = tf_get(instance->desired, "multi_az");
    const char *written = member_text(instance->desired, "parameter_group_name");
    if (written == NULL || multi_az == NULL || multi_az->kind != TF_BOOL || !multi_az->boolean) {
        return;
    }
    const char *name = text_lower_new(plan->arena, written);
    const Present *present = present_find(&plan->present, &kind_db_parameter_group, name);
    for (size_t i = 0; i < plan->items.len; i++) {
        const PlanItem *item = plan->items.items[i];
        if (item->kind == &kind_db_parameter_group && item->key != NULL &&
            strcmp(item->key, name) == 0) {
            check_group(names, instance, item);
            return;
        }
    }
    if (present != NULL) {
        check_present_group(names, instance, present);
    }
}

/* ---- all of them ------------------------------------------------------------------------------
 */

void check_names(const Plan *plan, TfDiagnostics *diagnostics)
{
    const Names names = {plan, diagnostics};
    for (size_t i = 0; i < plan->items.len; i++) {
        const PlanItem *item = plan->items.items[i];
        for (size_t k = 0; k < ARRAY_LEN(name_rules); k++) {
            if (name_rules[k].of == item->kind) {
                check_rule(&names, item, &name_rules[k]);
            }
        }
        if (item->kind == &kind_db_instance) {
            check_multi_az(&names, item);
        }
    }
}
