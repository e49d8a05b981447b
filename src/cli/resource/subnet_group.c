/* aws_db_subnet_group and aws_elasticache_subnet_group: the same in two dialects. */
#include "cli/resource/resource_tables_priv.h"

typedef struct Dialect {
    const ResourceKind *kind;
    const char *service;
    const char *describe, *items;
    const char *create, *modify, *destroy;
    const char *name, *description, *arn;
} Dialect;

static const Dialect db = {
    .kind = &kind_db_subnet_group,
    .service = "rds",
    .describe = "DescribeDBSubnetGroups",
    .items = "DBSubnetGroups",
    .create = "CreateDBSubnetGroup",
    .modify = "ModifyDBSubnetGroup",
    .destroy = "DeleteDBSubnetGroup",
    .name = "DBSubnetGroupName",
    .description = "DBSubnetGroupDescription",
    .arn = "DBSubnetGroupArn",
};

static const Dialect cache = {
    .kind = &kind_cache_subnet_group,
    .service = "elasticache",
    .describe = "DescribeCacheSubnetGroups",
    .items = "CacheSubnetGroups",
    .create = "CreateCacheSubnetGroup",
    .modify = "ModifyCacheSubnetGroup",
    .destroy = "DeleteCacheSubnetGroup",
    .name = "CacheSubnetGroupName",
    .description = "CacheSubnetGroupDescription",
    .arn = "ARN",
};

#define DESCRIPTION "\"Managed by Terraform\"" /* as the provider does */

static const KindAttribute db_attributes[] = {
    REQUIRED("name", STRING, RULE_KEY | RULE_LOWER, "DBSubnetGroupName"),
    OPTIONAL("description", STRING, 0, "DBSubnetGroupDescription", DESCRIPTION),
    REQUIRED("subnet_ids", STRING_SET, 0, "Subnets.*.SubnetIdentifier"),
    READ_ONLY("id", STRING, "DBSubnetGroupName"),
    READ_ONLY("arn", STRING, "DBSubnetGroupArn"),
    READ_ONLY("vpc_id", STRING, "VpcId"),
    READ_ONLY("supported_network_types", STRING_SET, "SupportedNetworkTypes"),
    REFUSED("name_prefix", STRING, NAME_PREFIX_REFUSED),
};

static const KindAttribute cache_attributes[] = {
    REQUIRED("name", STRING, RULE_KEY | RULE_LOWER, "CacheSubnetGroupName"),
    OPTIONAL("description", STRING, 0, "CacheSubnetGroupDescription", DESCRIPTION),
    REQUIRED("subnet_ids", STRING_SET, 0, "Subnets.*.SubnetIdentifier"),
    READ_ONLY("id", STRING, "CacheSubnetGroupName"),
    READ_ONLY("arn", STRING, "ARN"),
    READ_ONLY("vpc_id", STRING, "VpcId"),
};

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
        const char *arn = member_str(item, dialect->arn, "");
        CLEANUP(record_free_ptr) json_t *tags = NULL;
        TRY(caller_list(caller, dialect->service, "ListTagsForResource",
                        json_pack("{s:s}", "ResourceName", arn), "TagList", &tags, err));
        Present *present = present_add(list, dialect->kind, item, tags);
        present->key = text_lower_new(list->arena, member_str(item, dialect->name, ""));
        present->handle = arena_strdup(list->arena, arn);
        present->fixed = strcmp(present->key, MODEL_DEFAULT_SUBNET_GROUP) == 0;
    }
    return true;
}

static bool dialect_create(const Dialect *dialect, Change *change, Err *err)
{
    json_t *input = input_create_new(change, dialect->service, dialect->create);
    json_object_set_new(input, dialect->description,
                        json_string(desired_str(change, "description", "Managed by Terraform")));
    json_object_set_new(input, "Tags", tags_desired_new(change));
    return change_call(change, dialect->service, dialect->create, input, NULL, err);
}

static bool dialect_update(const Dialect *dialect, Change *change, Err *err)
{
    json_t *input = input_modify_new(change, dialect->service, dialect->modify);
    if (json_object_size(input) == 0) {
        json_decref(input);
        return true;
    }
    json_object_set_new(input, dialect->name, json_string(change->present->key));
    input_set(input, "SubnetIds", change, "subnet_ids");
    return change_call(change, dialect->service, dialect->modify, input, NULL, err);
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

static const char *const db_busy[] = {"InvalidDBSubnetGroupStateFault", NULL};
static const char *const cache_busy[] = {"CacheSubnetGroupInUse", NULL};

const ResourceKind kind_db_subnet_group = {
    .type = "aws_db_subnet_group",
    .noun = "DB subnet group",
    .model = RESOURCE_DB_SUBNET_GROUP,
    .attributes = db_attributes,
    .attributes_len = ARRAY_LEN(db_attributes),
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

const ResourceKind kind_cache_subnet_group = {
    .type = "aws_elasticache_subnet_group",
    .noun = "cache subnet group",
    .model = RESOURCE_CACHE_SUBNET_GROUP,
    .attributes = cache_attributes,
    .attributes_len = ARRAY_LEN(cache_attributes),
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
