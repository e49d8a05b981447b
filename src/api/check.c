/* Checks that services share: how many there may be, classes and versions of engines. */
#include "api/check_priv.h"

bool quota_check(ApiContext *ctx, ResourceType type, size_t max, const char *code)
{
    return spec_list(ctx, type).len < max
               ? true
               : refuse(ctx, code, "This tier holds at most %zu resources of the type %s.", max,
                        resource_type_name(type));
}

bool class_check(ApiContext *ctx, const char *name, const char *prefix)
{
    InstanceClass class;
    Err err;
    if (!slice_starts(slice_of(name), prefix)) {
        return refuse(ctx, "InvalidParameterValue",
                      "Invalid instance class: %s. Classes here start with %s", name, prefix);
    }
    return instance_class_find(name, &class, &err) ? true : refuse_err(ctx, &err);
}

bool version_check(ApiContext *ctx, const char *engine, const char *requested, json_t *spec)
{
    EngineVersions versions = engine_versions(ctx);
    char version[MODEL_VERSION_SIZE];
    bool mapped;
    Err err;
    const char *asked = requested != NULL ? requested : "";
    if (!engine_version_resolve(&versions, engine, asked, version, &mapped, &err)) {
        return refuse(ctx, "InvalidParameterCombination", "%s", err.message);
    }
    json_object_set_new(spec, "EngineVersion", json_string(version));
    if (requested != NULL && strcmp(requested, version) != 0) {
        json_object_set_new(spec, "engine_version_requested", json_string(requested));
    }
    return true;
}
