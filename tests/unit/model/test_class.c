/* Classes of machines, shares of a host, and engine versions. */
#include "../unit.h"

#include "model/model.h"

#define GIB ((int64_t)1 << 30)

static void test_known_classes(void **state)
{
    (void)state;
    static const InstanceClass cases[] = {
        {"db.r6g.large", 2, 16 * GIB},       {"db.t4g.micro", 2, GIB},
        {"db.m5.24xlarge", 96, 384 * GIB},   {"db.r7i.48xlarge", 192, 1536 * GIB},
        {"cache.r6g.large", 2, 14037181030}, {"cache.t3.micro", 2, 536870912},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        InstanceClass class;
        Err err;
        assert_true(instance_class_find(cases[i].name, &class, &err));
        assert_string_equal(class.name, cases[i].name);
        assert_int_equal(class.vcpus, cases[i].vcpus);
        assert_int_equal(class.memory_bytes, cases[i].memory_bytes);
    }
}

static void test_unknown_classes_name_near_ones(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *near;
    } cases[] = {
        {"db.r6g.huge", "db.r6g.large"},
        {"db.zz.large", "db.t2.micro"},
        {"cache.r6g.24xlarge", "cache.r6g.large"},
        {"large", "db.t4g.micro"},
        {"", "db.t4g.micro"},
        {"db.r6g.32xlarge", "db.r6g.16xlarge"},
        {"db.m7i.32xlarge", "db.m7i.large"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        InstanceClass class;
        Err err = {0};
        assert_false(instance_class_find(cases[i].name, &class, &err));
        assert_int_equal(err.code, ERR_INVALID);
        if (i != 5) { /* only the first few are named */
            assert_non_null(strstr(err.message, cases[i].near));
        }
    }
}

static void test_walk_is_complete_and_by_prefix(void **state)
{
    (void)state;
    InstanceClass class;
    size_t all = 0;
    size_t db = 0;
    size_t cache = 0;
    for (size_t cursor = 0; instance_class_next("", &cursor, &class); all++) {
        assert_true(class.vcpus > 0 && class.memory_bytes > 0);
    }
    for (size_t cursor = 0; instance_class_next("db.", &cursor, &class); db++) {
    }
    for (size_t cursor = 0; instance_class_next("cache.", &cursor, &class); cache++) {
    }
    assert_true(db > 100 && cache > 50);
    assert_int_equal(db + cache, all);
}

static void test_share_of_a_host(void **state)
{
    (void)state;
    InstanceClass class;
    Err err;
    char note[MODEL_NOTE_SIZE];
    assert_true(instance_class_find("db.r6g.large", &class, &err));
    assert_int_equal(memory_share(&class, 64 * GIB, 3, note), 16 * GIB);
    assert_string_equal(note, "");
    assert_int_equal(memory_share(&class, 28 * GIB, 7, note), 3 * GIB);
    assert_string_equal(note, "db.r6g.large has 16.0 GiB; this host gives it 3.0 GiB");
}

static const InstalledVersion installed[] = {
    {"postgres", "16.4"}, {"postgres", "15.18"}, {"redis", "7.0.15"}};

static void test_versions(void **state)
{
    (void)state;
    static const struct {
        const char *engine, *asked, *map, *version; /* version NULL: refused */
        bool mapped;
    } cases[] = {
        {"postgres", "15", NULL, "15.18", false},
        {"postgres", "15.18", NULL, "15.18", false},
        {"postgres", "16", NULL, "16.4", false},
        {"postgres", "", NULL, "15.18", false},
        {"postgres", "15.1", NULL, NULL, false},
        {"postgres", "14.5", NULL, NULL, false},
        {"postgres", "14.5", "14=15", "15.18", true},
        {"postgres", "14", " 13=15, 14 = 15", "15.18", true},
        {"postgres", "14.5", "14=17", NULL, false},
        {"postgres", "14.5", "=,14", NULL, false},
        {"postgres", "15.2", "15=15", "15.18", true},
        {"redis", "7.0", NULL, "7.0.15", false},
        {"redis", "7", NULL, "7.0.15", false},
        {"redis", "6.2", "6=7", NULL, false},
        {"mysql", "8", NULL, NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        EngineVersions versions = {installed, ARRAY_LEN(installed), cases[i].map};
        char version[MODEL_VERSION_SIZE];
        bool mapped;
        Err err = {0};
        bool ok = engine_version_resolve(&versions, cases[i].engine, cases[i].asked, version,
                                         &mapped, &err);
        assert_int_equal(ok, cases[i].version != NULL);
        if (ok) {
            assert_string_equal(version, cases[i].version);
            assert_int_equal(mapped, cases[i].mapped);
        }
    }
}

static void test_version_refusal_lists_what_is_there(void **state)
{
    (void)state;
    EngineVersions versions = {installed, ARRAY_LEN(installed), NULL};
    char version[MODEL_VERSION_SIZE];
    bool mapped;
    Err err = {0};
    assert_false(engine_version_resolve(&versions, "postgres", "14.5", version, &mapped, &err));
    assert_string_equal(
        err.message, "Cannot find version 14.5 for postgres. Installed: 16.4, 15.18. Write one of "
                     "those, or let 15 stand in: `weir up --engine-version-map 14=15`");
}

static void test_families(void **state)
{
    (void)state;
    EngineVersions versions = {installed, ARRAY_LEN(installed), "14=15"};
    Err err = {0};
    assert_string_equal(engine_family_resolve(&versions, "postgres15", &err)->name, "postgres15");
    assert_string_equal(engine_family_resolve(&versions, "postgres14", &err)->name, "postgres15");
    assert_string_equal(engine_family_resolve(&versions, "redis7", &err)->name, "redis7");
    assert_null(engine_family_resolve(&versions, "postgres17", &err));
    assert_non_null(strstr(err.message, "Installed: 16.4, 15.18"));
    assert_null(engine_family_resolve(&versions, "postgres16", &err)); /* no table yet */
    assert_non_null(strstr(err.message, "Weir has: postgres15, redis7"));
    assert_null(engine_family_resolve(&versions, "mysql8.0", &err));
    assert_null(engine_family_resolve(&versions, "postgres", &err));
    assert_null(parameter_family_of("postgres", "16.4"));
    assert_string_equal(parameter_family_of("postgres", "15.18")->name, "postgres15");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_classes),
        cmocka_unit_test(test_unknown_classes_name_near_ones),
        cmocka_unit_test(test_walk_is_complete_and_by_prefix),
        cmocka_unit_test(test_share_of_a_host),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_version_refusal_lists_what_is_there),
        cmocka_unit_test(test_families),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
