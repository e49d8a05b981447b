/* What Weir writes for PostgreSQL: who wins, what is quoted, what a clone must not bring along. */
#include <stdio.h>
#include <unistd.h>

#include "../folder.h"

#include "engine/engine.h"

static PgSpec spec_new(Arena *arena, const char *root)
{
    return (PgSpec){
        .paths = engine_paths(arena, root, "/run", "s"),
        .cluster_name = "app's db",
        .listen_address = "127.1.128.1",
        .incarnation = "abc",
        .admin_account = "root",
        .plane_account = "weir",
        .synchronous_standby_names = "FIRST 1 (weir_x)",
    };
}

static char *rendered(Arena *arena, const PgSpec *spec)
{
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_conf_render(spec, &out);
    char *text = arena_strdup(arena, buf_str(&out));
    buf_done(&out);
    return text;
}

/* The last line that sets `name` is the one that PostgreSQL takes. */
static const char *last_value(Arena *arena, const char *conf, const char *name)
{
    const char *found = NULL;
    Slice rest = slice_of(conf);
    while (rest.data != NULL) {
        Slice line = slice_cut(&rest, '\n');
        Slice key = slice_trim(slice_cut(&line, '='));
        if (slice_is(key, name)) {
            found = arena_slice_str(arena, slice_trim(line));
        }
    }
    return found;
}

static void test_ours_win(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    PgSpec spec = spec_new(arena, "/d");
    const EngineSetting settings[] = {{"fsync", "off"},
                                      {"restart_after_crash", "on"},
                                      {"synchronous_standby_names", ""},
                                      {"hba_file", "/tmp/evil"},
                                      {"work_mem", "64MB"}};
    spec.settings = settings;
    spec.settings_len = ARRAY_LEN(settings);
    const char *conf = rendered(arena, &spec);
    assert_string_equal(last_value(arena, conf, "fsync"), "'on'");
    assert_string_equal(last_value(arena, conf, "restart_after_crash"), "'off'");
    assert_string_equal(last_value(arena, conf, "synchronous_standby_names"), "'FIRST 1 (weir_x)'");
    assert_string_equal(last_value(arena, conf, "hba_file"), "'/d/s/conf/pg_hba.conf'");
    assert_string_equal(last_value(arena, conf, "work_mem"), "'64MB'");
    arena_free(arena);
}

static void test_quoting(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    PgSpec spec = spec_new(arena, "/d");
    const EngineSetting settings[] = {{"search_path", "a'; fsync = off\nfsync = 'off\\"}};
    spec.settings = settings;
    spec.settings_len = 1;
    const char *conf = rendered(arena, &spec);
    assert_string_equal(last_value(arena, conf, "cluster_name"), "'app''s db'");
    assert_string_equal(last_value(arena, conf, "fsync"), "'on'");
    assert_non_null(strstr(conf, "search_path = 'a''; fsync = off fsync = ''off\\\\'\n"));
    arena_free(arena);
}

static void test_a_follower(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    PgSpec spec = spec_new(arena, "/d");
    spec.follows = true;
    spec.source_address = "127.1.128.2";
    const char *conf = rendered(arena, &spec);
    assert_string_equal(last_value(arena, conf, "synchronous_standby_names"), "''");
    assert_string_equal(last_value(arena, conf, "primary_slot_name"), "'weir_abc'");
    assert_non_null(strstr(conf, "host=''127.1.128.2''"));
    assert_non_null(strstr(conf, "application_name=''weir_abc''"));
    assert_non_null(strstr(conf, "sslmode=''verify-full''"));
    arena_free(arena);
}

static char *file_text(Arena *arena, const char *path)
{
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    char *copy = file_read(path, &text, NULL) ? arena_strdup(arena, buf_str(&text)) : NULL;
    buf_done(&text);
    return copy;
}

/* F13: a clone carries its source's names in postgresql.auto.conf. */
static void test_configure(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    char *root = folder_make();
    PgSpec spec = spec_new(arena, root);
    spec.follows = true;
    spec.source_address = "127.1.128.2";
    assert_true(dir_make(spec.paths.data, 0700, NULL));
    assert_true(dir_make(spec.paths.conf, 0700, NULL));
    const char *auto_conf = arena_printf(arena, "%s/postgresql.auto.conf", spec.paths.data);
    const char *signal = arena_printf(arena, "%s/standby.signal", spec.paths.data);
    const char *conf = arena_printf(arena, "%s/postgresql.conf", spec.paths.conf);
    assert_true(file_write(auto_conf, SLICE("synchronous_standby_names = 'me'\n"), 0600, NULL));
    bool changed = false;
    Err err;
    assert_true(pg_configure(&spec, &changed, &err));
    assert_true(changed);
    assert_null(strstr(file_text(arena, auto_conf), "synchronous_standby_names"));
    assert_true(file_exists(signal));
    assert_string_equal(file_text(arena, conf), rendered(arena, &spec));

    assert_true(pg_configure(&spec, &changed, &err));
    assert_false(changed);
    spec.follows = false; /* a promotion takes the file away, nobody else */
    assert_true(pg_configure(&spec, &changed, &err));
    assert_true(changed);
    assert_true(file_exists(signal));
    folder_remove(root);
    arena_free(arena);
}

static void test_only_standbys_get_in_by_tcp(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    char *root = folder_make();
    PgSpec spec = spec_new(arena, root);
    assert_true(dir_make(spec.paths.conf, 0700, NULL));
    bool changed = false;
    assert_true(pg_configure(&spec, &changed, NULL));
    const char *hba = file_text(arena, arena_printf(arena, "%s/pg_hba.conf", spec.paths.conf));
    Slice rest = slice_of(hba);
    int tcp_lines = 0;
    while (rest.data != NULL) {
        Slice line = slice_trim(slice_cut(&rest, '\n'));
        if (slice_starts(line, "host")) {
            tcp_lines++;
            assert_true(slice_starts(line, "hostssl replication") ||
                        slice_starts(line, "hostssl postgres"));
            assert_non_null(strstr(line.data, " " PG_REPLICATION_USER " "));
            assert_true(slice_ends(line, "cert"));
        }
        assert_false(slice_ends(line, "trust"));
    }
    assert_int_equal(tcp_lines, 2);
    folder_remove(root);
    arena_free(arena);
}

static const char control_data[] = "pg_control version number:            1300\n"
                                   "wal_level setting:                    replica\n"
                                   "max_connections setting:              112\n"
                                   "max_worker_processes setting:         8\n"
                                   "max_wal_senders setting:              20\n"
                                   "max_prepared_xacts setting:           5\n"
                                   "max_locks_per_xact setting:           64\n";

/* Recovery ends for good where a follower has less than its primary had. */
static void test_a_follower_has_what_its_primary_had(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    Buf floor;
    buf_init(&floor, BUF_MAX_DEFAULT);
    pg_floor_render(slice_of(control_data), &floor);
    assert_string_equal(buf_str(&floor), "max_connections = 112\nmax_worker_processes = 8\n"
                                         "max_prepared_transactions = 5\n"
                                         "max_locks_per_transaction = 64\n");
    PgSpec spec = spec_new(arena, "/d");
    spec.follows = true;
    spec.source_address = "127.1.128.2";
    const EngineSetting settings[] = {
        {"max_connections", "60"}, {"max_worker_processes", "12"}, {"work_mem", "8192"}};
    spec.settings = settings;
    spec.settings_len = ARRAY_LEN(settings);
    pg_floor_raise(arena, buf_slice(&floor), &spec);
    const char *conf = rendered(arena, &spec);
    assert_string_equal(last_value(arena, conf, "max_connections"), "'112'");
    assert_string_equal(last_value(arena, conf, "max_worker_processes"), "'12'");
    assert_string_equal(last_value(arena, conf, "max_prepared_transactions"), "'5'");
    assert_null(last_value(arena, conf, "max_locks_per_transaction"));
    assert_string_equal(last_value(arena, conf, "work_mem"), "'8192'");
    pg_floor_raise(arena, SLICE(""), &spec);
    pg_floor_raise(arena, SLICE("max_connections = much\nmax_connections"), &spec);
    assert_string_equal(last_value(arena, rendered(arena, &spec), "max_connections"), "'112'");
    buf_done(&floor);
    arena_free(arena);
}

static void test_up_to_where_a_follower_has_come(void **state)
{
    (void)state;
    int64_t timeline;
    uint64_t lsn;
    pg_recovered_parse(SLICE("Minimum recovery ending location:     1/5165100\n"
                             "Min recovery ending loc's timeline:   2\n"),
                       &timeline, &lsn);
    assert_int_equal(timeline, 2);
    assert_int_equal(lsn, 0x105165100);
    pg_recovered_parse(SLICE("Minimum recovery ending location:     0/0\n"
                             "Min recovery ending loc's timeline:   0\n"),
                       &timeline, &lsn);
    assert_int_equal(timeline, 0);
    pg_recovered_parse(SLICE("Minimum recovery ending location:     0/5165100\n"), &timeline, &lsn);
    assert_int_equal(timeline, 0);
    assert_int_equal(lsn, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ours_win),
        cmocka_unit_test(test_a_follower_has_what_its_primary_had),
        cmocka_unit_test(test_up_to_where_a_follower_has_come),
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_a_follower),
        cmocka_unit_test(test_configure),
        cmocka_unit_test(test_only_standbys_get_in_by_tcp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
