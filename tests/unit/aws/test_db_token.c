/* IAM database tokens as botocore makes them (tests/data/sigv4.json, by
 * tools/aws_sigv4_vectors.py), and everything that must not pass. */
#include <stdlib.h>

#include "aws_test.h"

typedef struct Vectors {
    json_t *root;
    Secret secret;
    int64_t now_ms;
} Vectors;

static const char *const hosts[] = {"db.test", "127.1.2.3", "[::1]", "other.test:6000"};

static int vectors_open(void **state)
{
    const char *root = getenv("WEIR_SOURCE_ROOT");
    assert_non_null(root);
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/tests/data/sigv4.json", root);
    Vectors *vectors = mem_alloc(sizeof(Vectors));
    vectors->root = json_load_file(path, 0, NULL);
    assert_non_null(vectors->root);
    vectors->now_ms = json_integer_value(json_object_get(vectors->root, "now_ms"));
    secret_set(&vectors->secret,
               slice_of(json_string_value(json_object_get(vectors->root, "secret_key"))));
    *state = vectors;
    return 0;
}

static int vectors_close(void **state)
{
    Vectors *vectors = *state;
    json_decref(vectors->root);
    secret_done(&vectors->secret);
    mem_free(vectors);
    return 0;
}

static const Secret *find_key(void *context, Slice access_key)
{
    const Vectors *vectors = context;
    const char *known = json_string_value(json_object_get(vectors->root, "access_key"));
    return slice_is(access_key, known) ? &vectors->secret : NULL;
}

static AwsDbTokenWant want_of(Vectors *vectors, const char *user)
{
    return (AwsDbTokenWant){.user = slice_of(user),
                            .region = SLICE("eu-west-1"),
                            .hosts = hosts,
                            .host_count = ARRAY_LEN(hosts),
                            .port = 5432,
                            .find = find_key,
                            .context = vectors};
}

static const json_t *vector(const Vectors *vectors, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach (json_object_get(vectors->root, "tokens"), i, item) {
        if (strcmp(json_string_value(json_object_get(item, "name")), name) == 0) {
            return item;
        }
    }
    fail_msg("no vector %s", name);
    return NULL;
}

static Slice token_of(const Vectors *vectors, const char *name)
{
    return slice_of(json_string_value(json_object_get(vector(vectors, name), "token")));
}

static void assert_verdict(const AwsDbTokenWant *want, Slice token, int64_t now_ms,
                           const char *problem)
{
    Err err = {0};
    bool ok = aws_db_token_verify(token, want, now_ms, &err);
    if (ok != (problem == NULL) || (!ok && strstr(err.message, problem) == NULL)) {
        fail_msg("%.*s: %s", SLICE_FMT(token), ok ? "passes" : err.message);
    }
    assert_true(ok || strstr(err.message, "X-Amz") == NULL);
}

static void test_vectors(void **state)
{
    Vectors *vectors = *state;
    static const struct {
        const char *name;
        const char *problem; /* NULL: it passes */
        uint16_t port;       /* 0: 5432 */
    } cases[] = {
        {"plain", NULL, 0},
        {"address", NULL, 0},
        {"capitals", NULL, 0},
        {"ipv6", NULL, 0},
        {"https port", NULL, 443},
        {"odd user", NULL, 0},
        {"session token", NULL, 0},
        {"by hand", NULL, 0},
        {"a minute", NULL, 0},
        {"other port", NULL, 6432},
        {"other port", "another host or port", 0},
        {"plain", "another host or port", 6432},
        {"https port", "another host or port", 0},
        {"other region", "another region", 0},
        {"other key", "does not match", 0},
        {"other secret", "does not match", 0},
        {"an hour", "more than 15 minutes", 0},
        {"other service", "something else", 0},
        {"other action", "something else", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const json_t *item = vector(vectors, cases[i].name);
        AwsDbTokenWant want = want_of(vectors, json_string_value(json_object_get(item, "user")));
        want.port = cases[i].port != 0 ? cases[i].port : want.port;
        assert_verdict(&want, token_of(vectors, cases[i].name), vectors->now_ms, cases[i].problem);
    }
}

static void test_user(void **state)
{
    Vectors *vectors = *state;
    static const char *const others[] = {"", "ap", "appl", "App", "app ", "postgres"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        AwsDbTokenWant want = want_of(vectors, others[i]);
        assert_verdict(&want, token_of(vectors, "plain"), vectors->now_ms, "another user");
    }
}

static void test_hosts(void **state)
{
    Vectors *vectors = *state;
    AwsDbTokenWant want = want_of(vectors, "app");
    static const char *const none[] = {"db.tes", "test", "db.test:", "db.test:6432", ""};
    static const char *const exact[] = {"x", "DB.TEST:5432"};
    want.hosts = none;
    want.host_count = ARRAY_LEN(none);
    assert_verdict(&want, token_of(vectors, "plain"), vectors->now_ms, "another host");
    want.hosts = exact;
    want.host_count = ARRAY_LEN(exact);
    want.port = 6000;
    assert_verdict(&want, token_of(vectors, "plain"), vectors->now_ms, NULL);
    want.host_count = 0;
    assert_verdict(&want, token_of(vectors, "plain"), vectors->now_ms, "another host");
}

static void test_time(void **state)
{
    Vectors *vectors = *state;
    AwsDbTokenWant want = want_of(vectors, "app");
    Slice token = token_of(vectors, "plain");
    int64_t made_ms = vectors->now_ms;
    assert_verdict(&want, token, made_ms + 900000, NULL);
    assert_verdict(&want, token, made_ms + 900001, "expired");
    assert_verdict(&want, token, made_ms - AWS_CLOCK_SKEW_MS, NULL);
    assert_verdict(&want, token, made_ms - AWS_CLOCK_SKEW_MS - 1, "future");
    assert_verdict(&want, token_of(vectors, "a minute"), made_ms + 60000, NULL);
    assert_verdict(&want, token_of(vectors, "a minute"), made_ms + 60001, "expired");
}

/* Cut anywhere, or with any byte changed, it is worth nothing. But letters' case does not count in
 * a host, nor in %2f. */
static void test_bytes(void **state)
{
    Vectors *vectors = *state;
    AwsDbTokenWant want = want_of(vectors, "app");
    Slice token = token_of(vectors, "plain");
    for (size_t len = 0; len < token.len; len++) {
        assert_false(aws_db_token_verify((Slice){token.data, len}, &want, vectors->now_ms, NULL));
    }
    CLEANUP(mem_free_ptr) char *copy = mem_strdup(token.data);
    for (size_t i = 0; i < token.len; i++) {
        copy[i] = token.data[i] == 'x' ? 'y' : 'x';
        assert_false(aws_db_token_verify(slice_of(copy), &want, vectors->now_ms, NULL));
        copy[i] = token.data[i];
    }
    assert_true(aws_db_token_verify(slice_of(copy), &want, vectors->now_ms, NULL));
}

static void test_shapes(void **state)
{
    Vectors *vectors = *state;
    AwsDbTokenWant want = want_of(vectors, "app");
    Slice token = token_of(vectors, "plain");
    static const struct {
        const char *before, *behind;
    } around[] = {{"https://", ""},
                  {"/", ""},
                  {" ", ""},
                  {"", "&DBUser=app"},
                  {"", "&Action=connect"},
                  {"", "&DBUser=x"},
                  {"", "&"},
                  {"", "&y=z"},
                  {"", "&X-Amz-SignedHeaders=host"}};
    for (size_t i = 0; i < ARRAY_LEN(around); i++) {
        CLEANUP(mem_free_ptr)
        char *text = mem_printf("%s%s%s", around[i].before, token.data, around[i].behind);
        bool same = strcmp(around[i].behind, "&") == 0; /* an empty parameter is none */
        assert_int_equal(aws_db_token_verify(slice_of(text), &want, vectors->now_ms, NULL), same);
    }
    static const char *const texts[] = {"", "secret", "/?", "db.test:5432/?", "?", "db.test:5432"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_verdict(&want, slice_of(texts[i]), vectors->now_ms, "no token");
    }
    CLEANUP(mem_free_ptr) char *endless = mem_alloc(AWS_DB_TOKEN_MAX + 1);
    assert_verdict(&want, (Slice){endless, AWS_DB_TOKEN_MAX + 1}, vectors->now_ms, "no token");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors), cmocka_unit_test(test_user),  cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_time),    cmocka_unit_test(test_bytes), cmocka_unit_test(test_shapes),
    };
    return cmocka_run_group_tests(tests, vectors_open, vectors_close);
}
