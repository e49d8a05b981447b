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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replication),
        cmocka_unit_test(test_own_business),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
