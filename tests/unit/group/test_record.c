/* A group's record: there and back, and what is refused; the table has no dead end, and
 * docs/failover.md draws it as it is. */
#include "../unit.h"

#include "group/group.h"

static void test_there_and_back(void **state)
{
    (void)state;
    Err err;
    GroupRecord record = {.term = 7,
                          .leader = ha_id("app-002"),
                          .phase = HA_PHASE_YIELDING,
                          .history = "73202cc74de7fd4a5f8980a2a0ee36113bccdd93",
                          .heir = ha_id("app-001"),
                          .former = ha_id("app-003"),
                          .handover = 3,
                          .writes = 9};
    HaId member = ha_id("i2");
    ha_set_add(&record.set, &member);
    json_t *json = json_pack("{s:s}", "admin_password", "sealed");
    group_record_put(&record, json);
    assert_string_equal(json_string_value(json_object_get(json, "admin_password")), "sealed");
    GroupRecord read;
    assert_true(group_record_parse(json, &read, &err));
    assert_int_equal(read.term, 7);
    assert_string_equal(read.leader.text, "app-002");
    assert_int_equal(read.phase, HA_PHASE_YIELDING);
    assert_string_equal(read.history, record.history);
    assert_string_equal(read.heir.text, "app-001");
    assert_string_equal(read.former.text, "app-003");
    assert_int_equal(read.handover, 3);
    assert_int_equal(read.writes, 9);
    assert_true(ha_set_eq(&read.set, &record.set));
    json_decref(json);
}

static void test_a_record_of_the_past(void **state)
{
    (void)state;
    GroupRecord record = {.term = 7,
                          .leader = ha_id("app-002"),
                          .phase = HA_PHASE_FREE,
                          .heir = ha_id("app-001"),
                          .former = ha_id("app-003"),
                          .history = "abc"};
    HaSet others = {.len = 0};
    HaId members[] = {ha_id("i2"), ha_id("i1")};
    ha_set_add(&record.set, &members[0]);
    ha_set_add(&record.set, &members[1]);
    group_record_reset(&record);
    assert_int_equal(record.term, 7 + HA_TERMS_UNSURE);
    assert_int_equal(record.phase, HA_PHASE_LEADING);
    assert_true(ha_id_is_empty(&record.heir) && ha_id_is_empty(&record.former));
    assert_int_equal(record.set.len, 1);
    assert_string_equal(record.history, "abc");
    ha_set_add(&others, &members[1]);
    group_record_let_lead(&record, &others);
    assert_int_equal(record.set.len, 2);
    assert_string_equal(record.set.items[0].text, "i2");
    assert_string_equal(record.history, "");
    assert_int_equal(record.term, 7 + HA_TERMS_UNSURE);
    assert_int_equal(record.writes, 2);
}

static void test_as_control_makes_it(void **state)
{
    (void)state;
    Err err;
    GroupRecord read;
    json_t *json = json_pack("{s:i, s:s, s:[]}", "term", 1, "leader", "app-001", "set");
    assert_true(group_record_parse(json, &read, &err));
    assert_int_equal(read.phase, HA_PHASE_LEADING);
    assert_int_equal(read.set.len, 0);
    assert_string_equal(read.history, "");
    json_decref(json);
}

static void test_what_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"phase\": \"dancing\"}",
        "{\"leader\": 5}",
        "{\"set\": [\"a\", 5]}",
        "{\"history\": \"12345678901234567890123456789012345678901\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        Err err;
        GroupRecord read;
        json_t *json = json_loads(texts[i], 0, NULL);
        assert_false(group_record_parse(json, &read, &err));
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_a_record_of_the_past),
        cmocka_unit_test(test_as_control_makes_it),
        cmocka_unit_test(test_what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
