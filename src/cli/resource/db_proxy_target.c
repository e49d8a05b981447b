/*
 * aws_db_proxy_default_target_group and aws_db_proxy_target. The group comes and goes with its
 * proxy; a target is registered there, and the address of its block is a tag of the proxy.
 */
#include "cli/resource/resource_tables_priv.h"

/* ---- the default target group -----------------------------------------------------------------
 */

static const KindAttribute group_attributes[] = {
    REQUIRED("db_proxy_name", STRING, RULE_KEY | RULE_LOWER, "DBProxyName"),
    READ_ONLY("id", STRING, "DBProxyName"),
    READ_ONLY("arn", STRING, "TargetGroupArn"),
    READ_ONLY("name", STRING, "TargetGroupName"),
};

static const TfAttribute pool[] = {
    {"connection_borrow_timeout", TF_TYPE_INTEGER, 0, NULL},
    {"init_query", TF_TYPE_STRING, 0, NULL},
    {"max_connections_percent", TF_TYPE_INTEGER, 0, NULL},
    {"max_idle_connections_percent", TF_TYPE_INTEGER, 0, NULL},
    {"session_pinning_filters", TF_TYPE_STRING_SET, 0,
     "there are none for PostgreSQL: leave it out"},
};

static const char *const pool_members[] = {"ConnectionBorrowTimeout", "InitQuery",
                                           "MaxConnectionsPercent", "MaxIdleConnectionsPercent",
                                           NULL};

static const KindBlock group_blocks[] = {
    {.tf = {.name = "connection_pool_config",
            .schema = {.attributes = pool, .attributes_len = ARRAY_LEN(pool)},
            .max = 1},
     .split = split_pool},
};

static json_t *pool_translate(const json_t *from, bool to_api)
{
    json_t *copy = json_object();
    for (size_t i = 0; i < ARRAY_LEN(pool); i++) {
        const char *member = pool_members[i];
        json_t *value =
            member != NULL ? json_object_get(from, to_api ? pool[i].name : member) : NULL;
        if (value != NULL) {
            json_object_set(copy, to_api ? member : pool[i].name, value);
        }
    }
    return copy;
}

static bool group_read(const Caller *caller, const char *key, PresentList *list, Err *err)
{
    CLEANUP(record_free_ptr) json_t *items = NULL;
    if (key == NULL) {
        return true;
    }
    TRY(caller_list(caller, "rds", "DescribeDBProxyTargetGroups",
                    json_pack("{s:s}", "DBProxyName", key), "TargetGroups", &items, err));
    size_t i;
    const json_t *item;
    json_array_foreach (items, i, item) {
        Present *present = present_add(list, &kind_db_proxy_target_group, item, NULL);
        present->key = arena_strdup(list->arena, key);
        present->handle = arena_strdup(list->arena, member_str(item, "TargetGroupArn", ""));
        present->status = arena_strdup(list->arena, member_str(item, "Status", ""));
        json_object_set_new(
            present->attributes, "connection_pool_config",
            json_pack("[o]", pool_translate(json_object_get(item, "ConnectionPoolConfig"), false)));
    }
    return true;
}

static bool group_put(Change *change, Err *err)
{
    const json_t *block =
        json_array_get(member_array(change->desired, "connection_pool_config"), 0);
    if (block == NULL) {
        return true;
    }
    json_t *config = pool_translate(block, true);
    if (json_object_get(config, "MaxConnectionsPercent") == NULL) {
        json_object_set_new(config, "MaxConnectionsPercent", json_integer(100));
    }
    if (json_object_get(config, "ConnectionBorrowTimeout") == NULL) {
        json_object_set_new(config, "ConnectionBorrowTimeout", json_integer(120));
    }
    if (json_object_get(config, "InitQuery") == NULL) {
        json_object_set_new(config, "InitQuery", json_string(""));
    }
    return change_call(change, "rds", "ModifyDBProxyTargetGroup",
                       json_pack("{s:s, s:s, s:o}", "DBProxyName",
                                 desired_str(change, "db_proxy_name", ""), "TargetGroupName",
                                 "default", "ConnectionPoolConfig", config),
                       NULL, err);
}

void split_pool(Atoms *atoms, const char *name, const TfValue *value)
{
    if ((value->kind != TF_LIST && value->kind != TF_SET) || value->list.len == 0) {
        atoms_add(atoms, name, value->kind == TF_UNKNOWN ? value : NULL);
        return;
    }
    static const struct {
        const char *name;
        int64_t fallback; /* -1: none */
        bool computed;
    } parts[] = {{"max_connections_percent", 100, false},
                 {"connection_borrow_timeout", 120, false},
                 {"max_idle_connections_percent", -1, true},
                 {"init_query", -1, false}};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const char *label = arena_printf(atoms->arena, "%s.%s", name, parts[i].name);
        const TfValue *part = tf_get(value->list.items[0], parts[i].name);
        bool unset = part == NULL || part->kind == TF_NULL;
        if (unset && parts[i].computed) {
            atoms_leave_open(atoms, label);
        } else {
            atoms_add(atoms, label,
                      unset && parts[i].fallback >= 0 ? tf_int(atoms->arena, parts[i].fallback)
                                                      : part);
        }
    }
}

static const char *const ready[] = {"available", NULL};
static const char *const busy_faults[] = {"InvalidDBProxyStateFault", NULL};

const ResourceKind kind_db_proxy_target_group = {
    .type = "aws_db_proxy_default_target_group",
    .noun = "target group",
    .model = -1,
    .attributes = group_attributes,
    .attributes_len = ARRAY_LEN(group_attributes),
    .blocks = group_blocks,
    .blocks_len = ARRAY_LEN(group_blocks),
    .key = {"db_proxy_name"},
    .parent_type = "aws_db_proxy",
    .parent_attribute = "db_proxy_name",
    .ready = ready,
    .busy_faults = busy_faults,
    .by_key_only = true,
    .timeout_ms = 30 * 60 * MS_PER_S,
    .read = group_read,
    .create = group_put,
    .update = group_put,
};

/* ---- targets ----------------------------------------------------------------------------------
 */

static const KindAttribute target_attributes[] = {
    REQUIRED("db_proxy_name", STRING, RULE_KEY | RULE_LOWER, NULL),
    REQUIRED("target_group_name", STRING, RULE_ONCE, NULL),
    REQUIRED("db_instance_identifier", STRING, RULE_KEY | RULE_INSTANCE, "RdsResourceId"),
    READ_ONLY("id", STRING, NULL),
    READ_ONLY("endpoint", STRING, "Endpoint"),
    READ_ONLY("port", INTEGER, "Port"),
    READ_ONLY("rds_resource_id", STRING, "RdsResourceId"),
    READ_ONLY("target_arn", STRING, "TargetArn"),
    READ_ONLY("tracked_cluster_id", STRING, "TrackedClusterId"),
    READ_ONLY("type", STRING, "Type"),
    REFUSED("db_cluster_identifier", STRING, "there are no clusters: write db_instance_identifier"),
};

/* "UNAVAILABLE" and why. */
static const char *health_detail(Arena *arena, const json_t *health)
{
    const char *reason = member_str(health, "Reason", "");
    const char *description = member_str(health, "Description", "");
    return reason[0] != '\0' && description[0] != '\0'
               ? arena_printf(arena, "%s: %s", reason, description)
               : arena_printf(arena, "%s%s", reason, description);
}

/* The identifier at the end of the instance's ARN; else the text that was registered. */
static const char *target_instance(const json_t *item)
{
    const char *arn = member_str(item, "TargetArn", "");
    const char *last = strrchr(arn, ':');
    return last != NULL && last[1] != '\0' ? last + 1 : member_str(item, "RdsResourceId", "");
}

static void read_target(const char *proxy, const char *proxy_arn, const json_t *proxy_tags,
                        const json_t *item, PresentList *list)
{
    Arena *arena = list->arena;
    const char *instance = target_instance(item);
    const char *tag = arena_printf(arena, TAG_TARGET_PREFIX "%s", instance);
    const char *address = NULL;
    size_t i;
    const json_t *each;
    json_array_foreach (proxy_tags, i, each) {
        address = strcmp(member_str(each, "Key", ""), tag) == 0 ? member_str(each, "Value", NULL)
                                                                : address;
    }
    CLEANUP(record_free_ptr)
    json_t *tags = address != NULL ? json_pack("[{s:s, s:s}]", "Key", tag, "Value", address) : NULL;
    Present *present = present_add(list, &kind_db_proxy_target, item, tags);
    const json_t *health = member_object(item, "TargetHealth");
    present->key = arena_printf(arena, "%s/%s", proxy, instance);
    present->address = address != NULL ? arena_strdup(arena, address) : NULL;
    present->handle = arena_strdup(arena, proxy_arn);
    present->status = text_lower_new(arena, member_str(health, "State", "available"));
    present->detail = health_detail(arena, health);
    json_object_set_new(present->attributes, "db_proxy_name", json_string(proxy));
    json_object_set_new(present->attributes, "target_group_name", json_string("default"));
    json_object_set_new(present->attributes, "id", json_string(present->key));
}

/* All targets of one proxy; `instance` NULL, or the one that counts. Replicas are there by
 * themselves. */
static bool read_of_proxy(const Caller *caller, const json_t *proxy, const char *instance,
                          PresentList *list, Err *err)
{
    CLEANUP(record_free_ptr) json_t *items = NULL;
    CLEANUP(record_free_ptr) json_t *tags = NULL;
    const char *name = text_lower_new(list->arena, member_str(proxy, "DBProxyName", ""));
    const char *arn = member_str(proxy, "DBProxyArn", "");
    TRY(caller_list(caller, "rds", "DescribeDBProxyTargets",
                    json_pack("{s:s}", "DBProxyName", name), "Targets", &items, err) &&
        caller_list(caller, "rds", "ListTagsForResource", json_pack("{s:s}", "ResourceName", arn),
                    "TagList", &tags, err));
    size_t i;
    const json_t *item;
    json_array_foreach (items, i, item) {
        bool registered = strcmp(member_str(item, "Role", ""), "READ_ONLY") != 0;
        if (registered && (instance == NULL || strcmp(target_instance(item), instance) == 0)) {
            read_target(name, arn, tags, item, list);
        }
    }
    return true;
}

static bool target_read(const Caller *caller, const char *key, PresentList *list, Err *err)
{
    CLEANUP(record_free_ptr) json_t *proxies = NULL;
    const char *slash = key != NULL ? strchr(key, '/') : NULL;
    json_t *input = slash != NULL
                        ? json_pack("{s:s}", "DBProxyName",
                                    arena_strndup(list->arena, key, (size_t)(slash - key)))
                        : NULL;
    TRY(caller_list(caller, "rds", "DescribeDBProxies", input, "DBProxies", &proxies, err));
    size_t i;
    const json_t *proxy;
    json_array_foreach (proxies, i, proxy) {
        TRY(read_of_proxy(caller, proxy, slash != NULL ? slash + 1 : NULL, list, err));
    }
    return true;
}

static json_t *target_input(const char *proxy, const char *instance)
{
    return json_pack("{s:s, s:s, s:[s]}", "DBProxyName", proxy, "TargetGroupName", "default",
                     "DBInstanceIdentifiers", instance);
}

static bool target_create(Change *change, Err *err)
{
    json_t *input = target_input(desired_str(change, "db_proxy_name", ""),
                                 desired_str(change, "db_instance_identifier", ""));
    return change_call(change, "rds", "RegisterDBProxyTargets", input, NULL, err);
}

static bool target_update(Change *change, Err *err)
{
    (void)change; /* nothing of a target can differ but its tag */
    (void)err;
    return true;
}

static bool target_destroy(Change *change, Err *err)
{
    const json_t *have = change->present->attributes;
    const char *instance = strchr(change->present->key, '/') + 1;
    json_t *input = target_input(member_str(have, "db_proxy_name", ""),
                                 member_str(have, "db_instance_identifier", instance));
    return change_call(change, "rds", "DeregisterDBProxyTargets", input, NULL, err) &&
           change_call(change, "rds", "RemoveTagsFromResource",
                       json_pack("{s:s, s:[o]}", "ResourceName", change->present->handle, "TagKeys",
                                 json_string(arena_printf(change->arena, TAG_TARGET_PREFIX "%s",
                                                          instance))),
                       NULL, err);
}

const ResourceKind kind_db_proxy_target = {
    .type = "aws_db_proxy_target",
    .noun = "proxy target",
    .model = -1,
    .attributes = target_attributes,
    .attributes_len = ARRAY_LEN(target_attributes),
    .key = {"db_proxy_name", "db_instance_identifier"},
    .parent_type = "aws_db_proxy",
    .parent_attribute = "db_proxy_name",
    .ready = ready,
    .busy_faults = busy_faults,
    .tags = TAGS_PROXY,
    .destroy_rank = 0,
    .timeout_ms = 10 * 60 * MS_PER_S,
    .read = target_read,
    .create = target_create,
    .update = target_update,
    .destroy = target_destroy,
};
