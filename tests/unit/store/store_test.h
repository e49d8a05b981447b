/* A store of any kind on a clock that the test moves, in a folder of the test's own. */
#ifndef WEIR_TESTS_STORE_TEST_H
#define WEIR_TESTS_STORE_TEST_H

#include <stdatomic.h>

#include "../folder.h"
#include "etcd_servers.h"
#include "store/store.h"

typedef enum FixtureKind { FIXTURE_MEMORY, FIXTURE_SQLITE, FIXTURE_ETCD } FixtureKind;

typedef struct Fixture {
    FixtureKind kind;
    const EtcdServers *servers; /* of etcd */
    int64_t base;               /* the revision before the first change */
    char *folder;
    char *path;
    atomic_llong now_ms;
    size_t history_max;
    Store *store;
    Arena *arena;
    Err err;
} Fixture;

static inline int64_t fixture_now(void *clock)
{
    return (int64_t)atomic_load(&((Fixture *)clock)->now_ms);
}

static inline StoreOptions fixture_options(Fixture *f)
{
    return (StoreOptions){.now_ms = fixture_now, .clock = f, .history_max = f->history_max};
}

static inline void fixture_open(Fixture *f)
{
    StoreOptions options = fixture_options(f);
    bool ok = true;
    if (f->kind == FIXTURE_MEMORY) {
        f->store = store_open_memory(&options);
    } else if (f->kind == FIXTURE_SQLITE) {
        ok = store_open_sqlite(f->path, &options, &f->store, &f->err);
    } else {
        StoreEtcdOptions etcd = etcd_servers_options(f->servers, f->path);
        ok = store_open_etcd(&etcd, &options, &f->store, &f->err);
    }
    if (!ok) {
        fail_msg("%s", f->err.message);
    }
}

static inline Fixture *fixture_new(FixtureKind kind)
{
    Fixture *f = mem_alloc(sizeof(Fixture));
    f->kind = kind;
    f->folder = folder_make();
    f->path = mem_printf(kind == FIXTURE_ETCD ? "%s/" : "%s/weir.sqlite", f->folder);
    f->arena = arena_new();
    atomic_store(&f->now_ms, 1000);
    return f;
}

static inline int fixture_free(void **state)
{
    Fixture *f = *state;
    store_close(f->store);
    arena_free(f->arena);
    folder_remove(f->folder);
    mem_free(f->path);
    mem_free(f);
    return 0;
}

static inline void must(Fixture *f, bool ok)
{
    if (!ok) {
        fail_msg("%s: %s", err_code_name(f->err.code), f->err.message);
    }
}

static inline void must_fail(Fixture *f, bool ok, ErrCode code)
{
    assert_false(ok);
    assert_string_equal(err_code_name(f->err.code), err_code_name(code));
}

static inline int64_t fixture_create(Fixture *f, const char *key, const char *value)
{
    int64_t revision;
    must(f, store_create(f->store, slice_of(key), slice_of(value), &revision, &f->err));
    return revision;
}

static inline StoreItem fixture_get(Fixture *f, const char *key)
{
    StoreItem item;
    must(f, store_get(f->store, slice_of(key), f->arena, &item, &f->err));
    return item;
}

static inline bool fixture_has(Fixture *f, const char *key)
{
    StoreItem item;
    bool has = store_get(f->store, slice_of(key), f->arena, &item, &f->err);
    assert_true(has || f->err.code == ERR_NOT_FOUND);
    return has;
}

#endif
