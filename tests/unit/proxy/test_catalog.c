/* What is known of a database: rows, who learns, and what is known in the meantime. */
#include "../unit.h"

#include "proxy/server/catalog_priv.h"

static void add(CatalogNames *names, const char *kind, const char *name)
{
    Buf row;
    buf_init(&row, BUF_MAX_DEFAULT);
    pg_put_u16(&row, 2);
    pg_put_u32(&row, (uint32_t)strlen(kind));
    buf_append_str(&row, kind);
    pg_put_u32(&row, (uint32_t)strlen(name));
    buf_append_str(&row, name);
    assert_true(catalog_names_take_row(names, buf_slice(&row)));
    for (size_t len = 0; len < row.len; len++) {
        assert_false(catalog_names_take_row(names, (Slice){row.data, len}));
    }
    buf_done(&row);
}

static PinReason pin_of(const CatalogNames *names, const char *text, bool *ret_writes)
{
    SqlScan scan;
    sql_scan_begin(&scan, (SqlDialect){.names = &names->names});
    sql_scan_feed(&scan, slice_of(text));
    sql_scan_end(&scan);
    *ret_writes = scan.effects.writes;
    return scan.effects.pin;
}

static void test_names(void **state)
{
    (void)state;
    bool writes;
    CatalogNames *names = catalog_names_new();
    add(names, "w", "moves");
    assert_false(names->hidden);
    add(names, "h", "Sets");
    add(names, "w", "sets");
    assert_true(names->hidden);
    assert_int_equal(pin_of(names, "select 1 from t", &writes), PIN_NONE);
    assert_false(writes);
    assert_int_equal(pin_of(names, "select MOVES()", &writes), PIN_NONE);
    assert_true(writes);
    assert_int_equal(pin_of(names, "select a.\"Sets\"()", &writes), PIN_HIDDEN_STATE);
    assert_int_equal(pin_of(names, "select 'sets'", &writes), PIN_NONE);
    catalog_names_unref(names);
    names = catalog_names_new();
    add(names, "x", ""); /* something without a name */
    assert_true(names->hidden);
    assert_int_equal(map_len(names->names.map), 0);
    catalog_names_unref(names);
}

static CatalogNames *one_name(const char *name)
{
    CatalogNames *names = catalog_names_new();
    add(names, "h", name);
    return names;
}

static CatalogLearning begin(CatalogEntry *entry, int64_t now_ms)
{
    assert_true(catalog_entry_is_due(entry, now_ms, 0));
    return catalog_entry_begin(entry, now_ms);
}

static void learnt(CatalogEntry *entry, CatalogLearning *learning, CatalogNames *names,
                   int64_t now_ms)
{
    catalog_names_unref(learning->names);
    learning->names = names;
    catalog_entry_learnt(entry, learning, now_ms);
    assert_null(learning->names);
}

static void test_learning(void **state)
{
    (void)state;
    CatalogLearning learning;
    Catalogs catalogs;
    CatalogNames *names = NULL;
    bool fresh = false;
    uint64_t seen = 0;
    catalogs_init(&catalogs);
    CatalogEntry *entry = catalogs_entry(&catalogs, SLICE("app"));
    assert_ptr_equal(catalogs_entry(&catalogs, SLICE("app")), entry);
    learning = begin(entry, 1000);
    assert_false(catalog_entry_is_due(entry, 1000, 0)); /* somebody is at it */
    catalog_entry_read(entry, &names, &fresh, &seen);
    assert_null(names);
    learnt(entry, &learning, one_name("a"), 1000);
    catalog_entry_read(entry, &names, &fresh, &seen);
    assert_non_null(names);
    assert_false(catalog_entry_is_due(entry, 1000 + CATALOG_MS - 1, 0));
    learning = begin(entry, 1000 + CATALOG_MS);
    const CatalogNames *before = names;
    learnt(entry, &learning, one_name("a"), 20000); /* the same again */
    catalog_entry_read(entry, &names, &fresh, &seen);
    assert_ptr_equal(names, before);
    learning = begin(entry, 40000);
    learnt(entry, &learning, NULL, 40000); /* it failed */
    catalog_entry_read(entry, &names, &fresh, &seen);
    assert_ptr_equal(names, before);
    assert_true(fresh);
    /* What was learnt while something changed may be older than that. What was known still pins. */
    learning = begin(entry, 60000);
    catalog_entry_stale(entry, 60000);
    catalog_entry_read(entry, &names, &fresh, &seen);
    assert_ptr_equal(names, before);
    assert_false(fresh);
    learnt(entry, &learning, one_name("b"), 60000);
    catalog_entry_read(entry, &names, &fresh, &seen);
    assert_non_null(map_get(names->names.map, SLICE("b")));
    assert_false(fresh);
    learning = begin(entry, 60000); /* at once */
    learnt(entry, &learning, one_name("b"), 60000);
    catalog_entry_read(entry, &names, &fresh, &seen);
    assert_non_null(names);
    assert_true(fresh);
    /* A server that may not have replayed the DDL yet is of no use. */
    assert_false(catalog_entry_is_due(entry, 80000, 20000));
    assert_true(catalog_entry_is_due(entry, 80001, 20000));
    catalogs_forget(&catalogs);
    catalog_entry_read(entry, &names, &fresh, &seen);
    assert_null(names);
    assert_false(fresh);
    catalogs_done(&catalogs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_learning),
    };
    return cmocka_run_group_tests_name("catalog", tests, NULL, NULL);
}
