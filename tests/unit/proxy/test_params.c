/* What a start packet asks for. */
#include "../unit.h"

#include "proxy/params_priv.h"

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
        cmocka_unit_test(test_replication),
        cmocka_unit_test(test_own_business),
        cmocka_unit_test(test_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
