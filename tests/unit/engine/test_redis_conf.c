/* What Weir writes for Redis: TLS only, ours win, passwords as digests in the ACL file. */
#include "../folder.h"

#include "engine/engine.h"

static const char *const hosts[] = {"h1", "h3"};

static RedisSpec spec_new(Arena *arena)
{
    return (RedisSpec){
        .paths = engine_paths(arena, "/d", "/run", "s"),
        .listen_address = "127.1.128.1",
        .host = "h1",
        .hosts = hosts,
        .hosts_len = ARRAY_LEN(hosts),
        .admin_password = "adminpw",
        .replication_password = "replpw\"x",
        .client_password = "clientpw",
        .maxmemory_bytes = 1000,
    };
}

static char *rendered(Arena *arena, const RedisSpec *spec, void (*render)(const RedisSpec *, Buf *))
{
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    render(spec, &out);
    char *text = arena_strdup(arena, buf_str(&out));
    buf_done(&out);
    return text;
}

static void test_conf(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    RedisSpec spec = spec_new(arena);
    const EngineSetting settings[] = {{"port", "6379"}, {"maxmemory-policy", "allkeys-lru"}};
    spec.settings = settings;
    spec.settings_len = ARRAY_LEN(settings);
    const char *conf = rendered(arena, &spec, redis_conf_render);
    const char *theirs = strstr(conf, "port \"6379\"");
    const char *ours = strstr(conf, "port \"0\"");
    assert_non_null(theirs);
    assert_non_null(ours);
    assert_true(ours > theirs);
    assert_non_null(strstr(conf, "maxmemory-policy \"allkeys-lru\""));
    assert_non_null(strstr(conf, "masterauth \"replpw\\\"x\""));
    assert_non_null(strstr(conf, "masteruser \"weir_replication_h1\""));
    assert_null(strstr(conf, "replicaof"));
    spec.source_address = "127.1.128.2";
    assert_non_null(
        strstr(rendered(arena, &spec, redis_conf_render), "replicaof 127.1.128.2 6379\n"));
    arena_free(arena);
}

static void test_acl(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    RedisSpec spec = spec_new(arena);
    const char *acl = rendered(arena, &spec, redis_acl_render);
    assert_true(slice_starts(slice_of(acl), "user default off resetpass ~* &* +@all\n"));
    assert_null(strstr(acl, "adminpw"));
    assert_null(strstr(acl, "clientpw"));
    /* sha256 of "clientpw" */
    char hex[SHA256_HEX_SIZE];
    sha256_hex(SLICE("clientpw"), hex);
    assert_non_null(strstr(acl, arena_printf(arena, "user " REDIS_CLIENT_USER " on #%s ", hex)));
    assert_non_null(strstr(acl, "-config"));
    assert_non_null(strstr(acl, "user weir_replication_h1 on "));
    assert_non_null(strstr(acl, "user weir_replication_h3 on "));
    assert_null(strstr(acl, "weir_replication "));
    arena_free(arena);
}

/* What lets a primary acknowledge alone is never in the files that an engine starts with. */
static void test_the_gates_user(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    char *folder = folder_make();
    RedisSpec spec = spec_new(arena);
    const char *rule = "resetchannels -@all +ping +wait +command";
    assert_non_null(
        strstr(rendered(arena, &spec, redis_acl_render), arena_printf(arena, "%s\n", rule)));
    spec.alone = true;
    assert_non_null(
        strstr(rendered(arena, &spec, redis_acl_render), arena_printf(arena, "%s +echo\n", rule)));
    spec.paths = engine_paths(arena, folder, "/run", "s");
    bool changed = false;
    Err err = {0};
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    assert_true(dir_make(spec.paths.conf, 0700, &err));
    assert_true(redis_configure(&spec, &changed, &err));
    assert_true(changed);
    const char *path = arena_printf(arena, "%s/users.acl", spec.paths.conf);
    assert_true(file_read(path, &text, &err));
    assert_non_null(strstr(buf_str(&text), rule));
    assert_null(strstr(buf_str(&text), "echo"));
    buf_done(&text);
    folder_remove(folder);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conf),
        cmocka_unit_test(test_acl),
        cmocka_unit_test(test_the_gates_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
