/*
 * A tier that is yet to be made, as its API would describe it: nothing is in it, and the engines
 * are those of this host. Files are planned against it, so that all that is wrong with them is said
 * before anything is started.
 */
#include "cli/up/up_priv.h"
#include "engine/engine.h"

/* Of one engine; one that is missing has no version. */
static json_t *versions_new(const char *engine)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    EngineVersions versions = engine_versions_find(arena, NULL);
    json_t *list = json_array();
    for (size_t i = 0; i < versions.len; i++) {
        const InstalledVersion *installed = &versions.items[i];
        if (strcmp(installed->engine, engine) == 0) {
            json_array_append_new(list, json_pack("{s:s, s:s}", "Engine", engine, "EngineVersion",
                                                  installed->version));
        }
    }
    return list;
}

static json_t *options_new(const char *version_map)
{
    return version_map != NULL ? json_pack("{s:s}", "engine_version_map", version_map)
                               : json_object();
}

static bool call_fresh(void *context, const char *service, const char *operation,
                       const json_t *input, json_t **ret_output, AwsFault *fault, Err *err)
{
    (void)service;
    (void)input;
    if (strcmp(operation, "DescribeDBEngineVersions") == 0) {
        *ret_output = json_pack("{s:o}", "DBEngineVersions", versions_new("postgres"));
    } else if (strcmp(operation, "DescribeCacheEngineVersions") == 0) {
        *ret_output = json_pack("{s:o}", "CacheEngineVersions", versions_new("redis"));
    } else if (strcmp(operation, "DescribeTier") == 0) {
        *ret_output = json_pack("{s:{s:o}}", "Tier", "Options", options_new(context));
    } else {
        *fault = (AwsFault){.code = "NotFound"};
        return err_set(err, ERR_NOT_FOUND, "%s: nothing is there yet", operation);
    }
    return true;
}

Caller fresh_caller(const char *version_map)
{
    return (Caller){call_fresh, (void *)(uintptr_t)version_map};
}
