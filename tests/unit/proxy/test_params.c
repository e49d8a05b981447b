/* What a start packet asks for, as a list of settings, and how that changes. */
#include "../unit.h"

#include "proxy/server/params_priv.h"

#define PACKET(text) ((Slice){(text), sizeof(text) - 1})

static void test_replication(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        Replication replication;
    } cases[] = {
        {"", REPLICATION_NONE},         {"false", REPLICATION_NONE},
        {"F", REPLICATION_NONE},        {"no", REPLICATION_NONE},
        {"of", REPLICATION_NONE},       {"0", REPLICATION_NONE},
        {"true", REPLICATION_PHYSICAL}, {"tR", REPLICATION_PHYSICAL},
        {"yes", REPLICATION_PHYSICAL},  {"on", REPLICATION_PHYSICAL},
        {"1", REPLICATION_PHYSICAL},    {"database", REPLICATION_LOGICAL},
        {"Database", REPLICATION_BAD},  {"o", REPLICATION_BAD},
        {"truely", REPLICATION_BAD},    {"2", REPLICATION_BAD},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Buf packet;
        buf_init(&packet, BUF_MAX_DEFAULT);
        pg_put_str(&packet, SLICE("user"));
        pg_put_str(&packet, SLICE("ann"));
        pg_put_str(&packet, i % 2 == 0 ? SLICE("replication") : SLICE("Replication"));
        pg_put_str(&packet, slice_of(cases[i].value));
        assert_int_equal(params_replication(buf_slice(&packet)), cases[i].replication);
        buf_done(&packet);
    }
    /* Whichever is said, the most counts. */
    assert_int_equal(params_replication(PACKET("replication\0true\0replication\0off\0")),
                     REPLICATION_PHYSICAL);
    assert_int_equal(params_replication(PACKET("user\0x\0")), REPLICATION_NONE);
}

static void test_own_business(void **state)
{
    (void)state;
    ParamList *list = params_of_start(
        PACKET("user\0ann\0USER\0postgres\0Database\0x\0Replication\0true\0_PQ_.x\0y\0"
               "Application_Name\0a\0TimeZone\0UTC\0"));
    Slice expected = PACKET("application_name\0a\0timezone\0UTC\0");
    assert_true(slice_eq(params_slice(list), expected));
    list = params_for_walsender(list);
    expected = PACKET("application_name\0weir-client\0replication\0database\0timezone\0UTC\0");
    assert_true(slice_eq(params_slice(list), expected));
    params_unref(list);
}

static void test_start_params(void **state)
{
    (void)state;
    ParamList *a = params_of_start(
        SLICE("user\0ann\0TimeZone\0UTC\0client_encoding\0UTF8\0database\0d\0timezone\0CET\0\0"));
    ParamList *b = params_of_start(
        SLICE("CLIENT_ENCODING\0UTF8\0user\0bob\0TIMEZONE\0CET\0_pq_.x\0001\0replication\0no\0\0"));
    assert_true(params_equal(a, b));
    assert_true(slice_eq(params_slice(a), SLICE("client_encoding\0UTF8\0timezone\0CET\0")));
    ParamList *c = params_of_start(SLICE("client_encoding\0LATIN1\0timezone\0CET\0\0"));
    assert_false(params_equal(a, c));
    params_unref(a);
    params_unref(b);
    params_unref(c);
}

static void test_param_changes(void **state)
{
    (void)state;
    ParamList *empty = params_new((Slice){0});
    ParamList *one = params_with(empty, SLICE("b"), SLICE("1"));
    ParamList *two = params_with(one, SLICE("a"), SLICE("2"));
    ParamList *three = params_with(two, SLICE("B"), SLICE("3"));
    assert_true(slice_eq(params_slice(two), SLICE("a\0002\0b\0001\0")));
    assert_slice(params_value(three, "b"), "3");
    assert_null(params_value(three, "x").data);
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    params_put_changes(two, two, &out);
    assert_int_equal(out.len, 0);
    params_put_changes(one, two, &out);
    assert_true(slice_eq(buf_slice(&out), SLICE("S\0\0\0\x8"
                                                "a\0002\0")));
    buf_clear(&out);
    params_put_changes(NULL, two, &out);
    assert_int_equal(out.len, 18);
    buf_done(&out);
    CLEANUP(mem_free_ptr) char *lengthy = mem_alloc(PARAMS_BYTES_MAX + 1);
    memset(lengthy, 'x', PARAMS_BYTES_MAX);
    assert_null(params_with(two, SLICE("c"), slice_of(lengthy)));
    ParamList *lists[] = {empty, one, two, three};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        params_unref(lists[i]);
    }
}

static void check_token(Slice packet, Slice left, const char *token)
{
    Buf value;
    buf_init(&value, BUF_MAX_DEFAULT);
    ParamList *list = params_take_token(params_of_start(packet), &value);
    assert_string_equal(buf_str(&value), token);
    assert_true(slice_eq(params_slice(list), left));
    params_unref(list);
    buf_done(&value);
}

/* The causal token makes no server connection different. */
static void test_token(void **state)
{
    (void)state;
    check_token(PACKET("options\0-c geqo=off\0timezone\0UTC\0"),
                PACKET("options\0-c geqo=off\0timezone\0UTC\0"), "");
    check_token(PACKET("Weir.Causal_Token\0a\0timezone\0UTC\0"), PACKET("timezone\0UTC\0"), "a");
    check_token(PACKET("options\0-c weir.causal_token=a\0"), (Slice){0}, "a");
    check_token(PACKET("options\0  -cWEIR.causal_token=a  \0"), (Slice){0}, "a");
    check_token(PACKET("options\0--weir.causal-token=a\0"), (Slice){0}, "a");
    check_token(PACKET("options\0-c geqo=off -c weir.causal_token=a  --jit=off\0"),
                PACKET("options\0-c geqo=off --jit=off\0"), "a");
    /* Spaces that a backslash keeps, in what is left, too; the last one counts. */
    check_token(PACKET("options\0-c a.b=c\\ d -c weir.causal_token=a\\ b\0"),
                PACKET("options\0-c a.b=c\\ d\0"), "a b");
    check_token(PACKET("options\0--weir.causal_token=a --weir.causal_token=b\0"), (Slice){0}, "b");
    check_token(PACKET("options\0--weir.causal_token=a\0weir.causal_token\0b\0"), (Slice){0}, "b");
    /* What only looks like it. */
    check_token(PACKET("options\0-c\0"), PACKET("options\0-c\0"), "");
    check_token(PACKET("options\0-c weir.causal_token\0"),
                PACKET("options\0-c weir.causal_token\0"), "");
    check_token(PACKET("options\0-c weir.causal_tokens=a -W weir.causal_token=a\0"),
                PACKET("options\0-c weir.causal_tokens=a -W weir.causal_token=a\0"), "");
    check_token(PACKET("options\0-c -c weir.causal_token=a\0"),
                PACKET("options\0-c -c weir.causal_token=a\0"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replication),  cmocka_unit_test(test_own_business),
        cmocka_unit_test(test_start_params), cmocka_unit_test(test_param_changes),
        cmocka_unit_test(test_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
