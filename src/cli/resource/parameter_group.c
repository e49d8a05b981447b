/*
 * aws_db_parameter_group and aws_elasticache_parameter_group. The parameters are blocks; a call
 * takes at most 20 of them.
 */
#include "cli/resource/resource_tables_priv.h"

#define CALL_PARAMETERS_MAX 20
#define MANAGED_BY          "Managed by Terraform"

typedef struct Dialect {
    const ResourceKind *kind;
    const char *service;
    const char *describe, *items, *describe_parameters;
    const char *create, *modify, *reset, *destroy;
    const char *name, *arn;
    const char *parameters; /* member of modify and reset */
    bool has_method;
} Dialect;

static const Dialect db = {
    .kind = &kind_db_parameter_group,
    .service = "rds",
    .describe = "DescribeDBParameterGroups",
    .items = "DBParameterGroups",
    .describe_parameters = "DescribeDBParameters",
    .create = "CreateDBParameterGroup",
    .modify = "ModifyDBParameterGroup",
    .reset = "ResetDBParameterGroup",
    .destroy = "DeleteDBParameterGroup",
    .name = "DBParameterGroupName",
    .arn = "DBParameterGroupArn",
    .parameters = "Parameters",
    .has_method = true,
};

static const Dialect cache = {
    .kind = &kind_cache_parameter_group,
    .service = "elasticache",
    .describe = "DescribeCacheParameterGroups",
    .items = "CacheParameterGroups",
    .describe_parameters = "DescribeCacheParameters",
    .create = "CreateCacheParameterGroup",
    .modify = "ModifyCacheParameterGroup",
    .reset = "ResetCacheParameterGroup",
    .destroy = "DeleteCacheParameterGroup",
    .name = "CacheParameterGroupName",
    .arn = "ARN",
    .parameters = "ParameterNameValues",
};

static const KindAttribute db_attributes[] = {
    REQUIRED("name", STRING, RULE_KEY | RULE_LOWER, "DBParameterGroupName"),
    REQUIRED("family", STRING, RULE_REPLACES, "DBParameterGroupFamily"),
    OPTIONAL("description", STRING, RULE_REPLACES, "Description", "\"" MANAGED_BY "\""),
    READ_ONLY("id", STRING, "DBParameterGroupName"),
    READ_ONLY("arn", STRING, "DBParameterGroupArn"),
    REFUSED("name_prefix", STRING, NAME_PREFIX_REFUSED),
    REFUSED("skip_destroy", BOOL, "a group whose block is gone is removed"),
};

static const KindAttribute cache_attributes[] = {
    REQUIRED("name", STRING, RULE_KEY | RULE_LOWER, "CacheParameterGroupName"),
    REQUIRED("family", STRING, RULE_REPLACES, "CacheParameterGroupFamily"),
    OPTIONAL("description", STRING, RULE_REPLACES, "Description", "\"" MANAGED_BY "\""),
    READ_ONLY("id", STRING, "CacheParameterGroupName"),
    READ_ONLY("arn", STRING, "ARN"),
};

static const TfAttribute db_parameter[] = {
    {"name", TF_TYPE_STRING, TF_REQUIRED, NULL},
    {"value", TF_TYPE_STRING, TF_REQUIRED, NULL},
    {"apply_method", TF_TYPE_STRING, 0, NULL},
};

static const TfAttribute cache_parameter[] = {
    {"name", TF_TYPE_STRING, TF_REQUIRED, NULL},
    {"value", TF_TYPE_STRING, TF_REQUIRED, NULL},
};

static const KindBlock db_blocks[] = {
    {.tf = {.name = "parameter",
            .schema = {.attributes = db_parameter, .attributes_len = ARRAY_LEN(db_parameter)}},
     .split = split_parameters},
};

static const KindBlock cache_blocks[] = {
    {.tf = {.name = "parameter",
            .schema = {.attributes = cache_parameter,
                       .attributes_len = ARRAY_LEN(cache_parameter)}},
     .split = split_parameters},
};

/* ---- reading ----------------------------------------------------------------------------------
 */

static bool read_parameters(const Dialect *dialect, const Caller *caller, const char *group,
                            json_t **ret_blocks, Err *err)
{
    CLEANUP(record_free_ptr) json_t *items = NULL;
    TRY(caller_list(caller, dialect->service, dialect->describe_parameters,
                    json_pack("{s:s, s:s}", dialect->name, group, "Source", "user"), "Parameters",
                    &items, err));
    json_t *list = json_array();
    size_t i;
    const json_t *item;
    json_array_foreach (items, i, item) {
        json_t *block = json_pack("{s:s, s:s}", "name", member_str(item, "ParameterName", ""),
                                  "value", member_str(item, "ParameterValue", ""));
        if (dialect->has_method) {
            json_object_set_new(block, "apply_method",
                                json_string(member_str(item, "ApplyMethod", "immediate")));
        }
        json_array_append_new(list, block);
    }
    *ret_blocks = list;
    return true;
}

static bool read_one(const Dialect *dialect, const Caller *caller, const json_t *item,
                     PresentList *list, Err *err)
{
    CLEANUP(record_free_ptr) json_t *tags = NULL;
    const char *name = member_str(item, dialect->name, "");
    const char *arn = member_str(item, dialect->arn, "");
    json_t *parameters;
    TRY(caller_list(caller, dialect->service, "ListTagsForResource",
                    json_pack("{s:s}", "ResourceName", arn), "TagList", &tags, err) &&
        read_parameters(dialect, caller, name, &parameters, err));
    Present *present = present_add(list, dialect->kind, item, tags);
    present->key = text_lower_new(list->arena, name);
    present->handle = arena_strdup(list->arena, arn);
    json_object_set_new(present->attributes, "parameter", parameters);
    return true;
}

static bool dialect_read(const Dialect *dialect, const Caller *caller, const char *key,
                         PresentList *list, Err *err)
{
    CLEANUP(record_free_ptr) json_t *items = NULL;
    json_t *input = key != NULL ? json_pack("{s:s}", dialect->name, key) : NULL;
    TRY(caller_list(caller, dialect->service, dialect->describe, input, dialect->items, &items,
                    err));
    size_t i;
    const json_t *item;
    json_array_foreach (items, i, item) {
        bool own = !slice_starts(slice_of(member_str(item, dialect->name, "")), "default.");
        if (own && !read_one(dialect, caller, item, list, err)) {
            return false;
        }
    }
    return true;
}

/* ---- changing ---------------------------------------------------------------------------------
 */

static const json_t *block_named(const json_t *blocks, const char *name)
{
    size_t i;
    const json_t *block;
    json_array_foreach (blocks, i, block) {
        Slice other = slice_of(member_str(block, "name", ""));
        if (slice_is_nocase(other, name)) {
            return block;
        }
    }
    return NULL;
}

/* The API's default where nothing is written. */
static bool block_same(const json_t *a, const json_t *b)
{
    const char *method = member_str(a, "apply_method", NULL);
    return b != NULL && strcmp(member_str(a, "value", ""), member_str(b, "value", "")) == 0 &&
           (method == NULL || strcmp(method, member_str(b, "apply_method", "")) == 0);
}

static json_t *parameter_input(const Dialect *dialect, const json_t *block, bool with_value)
{
    json_t *item = json_pack("{s:s}", "ParameterName", member_str(block, "name", ""));
    if (with_value) {
        json_object_set(item, "ParameterValue", json_object_get(block, "value"));
    }
    const char *method = member_str(block, "apply_method", NULL);
    if (dialect->has_method && method != NULL) {
        json_object_set_new(item, "ApplyMethod", json_string(method));
    }
    return item;
}

/* Those of `blocks` that `others` has not; with values also those that differ. */
static json_t *parameters_beyond(const Dialect *dialect, const json_t *blocks, const json_t *others,
                                 bool with_value)
{
    json_t *list = json_array();
    size_t i;
    const json_t *block;
    json_array_foreach (blocks, i, block) {
        const json_t *other = block_named(others, member_str(block, "name", ""));
        if (with_value ? !block_same(block, other) : other == NULL) {
            json_array_append_new(list, parameter_input(dialect, block, with_value));
        }
    }
    return list;
}

static bool send_in_parts(const Dialect *dialect, Change *change, const char *operation,
                          const char *group, const json_t *parameters, Err *err)
{
    size_t len = json_array_size(parameters);
    for (size_t from = 0; from < len; from += CALL_PARAMETERS_MAX) {
        json_t *part = json_array();
        for (size_t i = from; i < len && i < from + CALL_PARAMETERS_MAX; i++) {
            json_array_append(part, json_array_get(parameters, i));
        }
        TRY(change_call(change, dialect->service, operation,
                        json_pack("{s:s, s:o}", dialect->name, group, dialect->parameters, part),
                        NULL, err));
    }
    return true;
}

static bool set_parameters(const Dialect *dialect, Change *change, const char *group,
                           const json_t *present, Err *err)
{
    const json_t *desired = json_object_get(change->desired, "parameter");
    CLEANUP(record_free_ptr) json_t *set = parameters_beyond(dialect, desired, present, true);
    CLEANUP(record_free_ptr) json_t *reset = parameters_beyond(dialect, present, desired, false);
    return send_in_parts(dialect, change, dialect->modify, group, set, err) &&
           send_in_parts(dialect, change, dialect->reset, group, reset, err);
}

static bool dialect_create(const Dialect *dialect, Change *change, Err *err)
{
    json_t *input = input_create_new(change, dialect->service, dialect->create);
    json_object_set_new(input, "Description",
                        json_string(desired_str(change, "description", MANAGED_BY)));
    json_object_set_new(input, "Tags", tags_desired_new(change));
    return change_call(change, dialect->service, dialect->create, input, NULL, err) &&
           set_parameters(dialect, change, desired_str(change, "name", ""), NULL, err);
}

static bool dialect_update(const Dialect *dialect, Change *change, Err *err)
{
    return !change_has(change, "parameter") ||
           set_parameters(dialect, change, change->present->key,
                          json_object_get(change->present->attributes, "parameter"), err);
}

static bool dialect_destroy(const Dialect *dialect, Change *change, Err *err)
{
    return change_call(change, dialect->service, dialect->destroy,
                       json_pack("{s:s}", dialect->name, change->present->key), NULL, err);
}

static bool db_read(const Caller *caller, const char *key, PresentList *list, Err *err)
{
    return dialect_read(&db, caller, key, list, err);
}

static bool db_create(Change *change, Err *err)
{
    return dialect_create(&db, change, err);
}

static bool db_update(Change *change, Err *err)
{
    return dialect_update(&db, change, err);
}

static bool db_destroy(Change *change, Err *err)
{
    return dialect_destroy(&db, change, err);
}

static bool cache_read(const Caller *caller, const char *key, PresentList *list, Err *err)
{
    return dialect_read(&cache, caller, key, list, err);
}

static bool cache_create(Change *change, Err *err)
{
    return dialect_create(&cache, change, err);
}

static bool cache_update(Change *change, Err *err)
{
    return dialect_update(&cache, change, err);
}

static bool cache_destroy(Change *change, Err *err)
{
    return dialect_destroy(&cache, change, err);
}

#define RANK       5
#define TIMEOUT_MS (60 * MS_PER_S)

static const char *const db_busy[] = {"InvalidDBParameterGroupState",
                                      "InvalidDBParameterGroupStateFault", NULL};
static const char *const cache_busy[] = {"InvalidCacheParameterGroupState",
                                         "InvalidCacheParameterGroupStateFault", NULL};

const ResourceKind kind_db_parameter_group = {
    .type = "aws_db_parameter_group",
    .noun = "DB parameter group",
    .model = RESOURCE_DB_PARAMETER_GROUP,
    .attributes = db_attributes,
    .attributes_len = ARRAY_LEN(db_attributes),
    .blocks = db_blocks,
    .blocks_len = ARRAY_LEN(db_blocks),
    .key = {"name"},
    .busy_faults = db_busy,
    .tags = TAGS_RDS,
    .destroy_rank = RANK,
    .timeout_ms = TIMEOUT_MS,
    .read = db_read,
    .create = db_create,
    .update = db_update,
    .destroy = db_destroy,
};

const ResourceKind kind_cache_parameter_group = {
    .type = "aws_elasticache_parameter_group",
    .noun = "cache parameter group",
    .model = RESOURCE_CACHE_PARAMETER_GROUP,
    .attributes = cache_attributes,
    .attributes_len = ARRAY_LEN(cache_attributes),
    .blocks = cache_blocks,
    .blocks_len = ARRAY_LEN(cache_blocks),
    .key = {"name"},
    .busy_faults = cache_busy,
    .tags = TAGS_CACHE,
    .destroy_rank = RANK,
    .timeout_ms = TIMEOUT_MS,
    .read = cache_read,
    .create = cache_create,
    .update = cache_update,
    .destroy = cache_destroy,
};
