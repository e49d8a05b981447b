/* Remarks on the state of resources: what is said of them, and when. */
#include "fixture.h"

static void test_found(void **state)
{
    (void)state;
    CLEANUP(record_free_ptr)
    json_t *remarks = json_pack(
        "[{s:s, s:s, s:s, s:s}, {s:s, s:s, s:s, s:s}, {s:s, s:s, s:s, s:s}]", "ResourceType",
        "db-instance", "ResourceId", "main", "Kind", "note", "Message", "small", "ResourceType",
        "db-proxy", "ResourceId", "main", "Kind", "state", "Message", "other", "ResourceType",
        "db-instance", "ResourceId", "main", "Kind", "state", "Message", "no space");
    assert_non_null(remarks);
    assert_string_equal(remark_of_state(remarks, RESOURCE_DB_INSTANCE, "Main"), "no space");
    assert_null(remark_of_state(remarks, RESOURCE_DB_INSTANCE, "mai"));
    assert_null(remark_of_state(remarks, RESOURCE_REPLICATION_GROUP, "main"));
    assert_null(remark_of_state(NULL, RESOURCE_DB_INSTANCE, "main"));
}

/* What has stood for a second is shown once; what passes is not shown. */
static void test_due(void **state)
{
    (void)state;
    static const struct {
        int64_t now_ms;
        const char *text;
        bool due;
    } steps[] = {
        {0, NULL, false},    {100, "a", false},  {1099, "a", false},  {1100, "a", true},
        {9000, "a", false},  {9100, "b", false}, {9200, NULL, false}, {9300, "b", false},
        {10299, "b", false}, {10300, "b", true}, {10400, "a", false}, {11400, "a", true},
    };
    RemarkWatch watch = {0};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        if (remark_is_due(&watch, steps[i].text, steps[i].now_ms) != steps[i].due) {
            fail_msg("step %zu", i);
        }
    }
    remark_watch_done(&watch);
}

/* Nobody waits for the end of a timeout without knowing why. */
static void test_told_while_apply_waits(void **state)
{
    Fixture *fixture = *state;
    fixture->held = "main";
    harness_put(fixture->harness, "status/db-instance/main",
                "{'DBInstanceStatus': 'creating', 'message': 'node main-1: no space'}");
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    assert_false(fixture_apply(fixture,
                               "resource \"aws_db_instance\" \"main\" {\n"
                               "  identifier = \"main\"\n"
                               "  engine = \"postgres\"\n"
                               "  instance_class = \"db.t3.micro\"\n"
                               "  allocated_storage = 20\n"
                               "  username = \"dbadmin\"\n"
                               "  password = \"password-1\"\n"
                               "  timeouts { create = \"2s\" }\n"
                               "}\n",
                               &out));
    assert_int_equal(strncmp(buf_str(&out), "aws_db_instance.main: node main-1: no space\n", 44),
                     0);
    assert_null(strstr(buf_str(&out) + 44, "no space"));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_due),
        cmocka_unit_test_setup_teardown(test_told_while_apply_waits, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
