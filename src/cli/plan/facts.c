/* What plans need to know of the tier: installed engine versions, and the operator's map of them.
 */
#include "cli/plan/plan_priv.h"

typedef VEC(InstalledVersion) Versions;

static bool add_versions(Arena *arena, const Caller *caller, const char *service,
                         const char *operation, const char *member, Versions *versions, Err *err)
{
    CLEANUP(record_free_ptr) json_t *items = NULL;
    TRY(caller_list(caller, service, operation, NULL, member, &items, err));
    size_t i;
    const json_t *item;
    json_array_foreach (items, i, item) {
        InstalledVersion version = {arena_strdup(arena, member_str(item, "Engine", "")),
                                    arena_strdup(arena, member_str(item, "EngineVersion", ""))};
        arena_vec_push(arena, versions, version);
    }
    return true;
}

bool facts_load(Arena *arena, const Caller *caller, Facts *ret_facts, Err *err)
{
    CLEANUP(record_free_ptr) json_t *tier = NULL;
    Versions versions = {0};
    TRY(add_versions(arena, caller, "rds", "DescribeDBEngineVersions", "DBEngineVersions",
                     &versions, err) &&
        add_versions(arena, caller, "elasticache", "DescribeCacheEngineVersions",
                     "CacheEngineVersions", &versions, err) &&
        caller_call(caller, "weir", "DescribeTier", json_object(), &tier, NULL, err));
    const json_t *options = member_object(member_object(tier, "Tier"), "Options");
    const char *map = member_str(options, "engine_version_map", NULL);
    *ret_facts = (Facts){.versions = {.items = versions.items,
                                      .len = versions.len,
                                      .map = map != NULL ? arena_strdup(arena, map) : NULL}};
    return true;
}
