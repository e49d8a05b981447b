/* Which engines this host has, as the API names them. */
#include "engine/engine.h"

EngineVersions engine_versions_find(Arena *arena, void (*on_missing)(const Err *err))
{
    PgInstalls postgres = {0};
    RedisInstall redis = {0};
    Err err;
    if (!pg_installs_find(arena, &postgres, &err) && on_missing != NULL) {
        on_missing(&err);
    }
    bool has_redis = redis_install_find(arena, &redis, &err);
    if (!has_redis && on_missing != NULL) {
        on_missing(&err);
    }
    InstalledVersion *items = ARENA_ARRAY(arena, InstalledVersion, postgres.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < postgres.len; i++) {
        items[len++] = (InstalledVersion){"postgres", postgres.items[i].version};
    }
    if (has_redis) {
        items[len++] = (InstalledVersion){"redis", redis.version};
    }
    return (EngineVersions){.items = items, .len = len};
}

bool engine_all_installed(Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    PgInstalls postgres = {0};
    RedisInstall redis = {0};
    return pg_installs_find(arena, &postgres, err) && redis_install_find(arena, &redis, err);
}
