/* A group's record: there and back, and what is refused; the table has no dead end, and
 * docs/failover.md draws it as it is. */
#include "../unit.h"

#include <stdlib.h>

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
    assert_int_equal(read.handover, 3);
    assert_int_equal(read.writes, 9);
    assert_true(ha_set_eq(&read.set, &record.set));
    json_decref(json);
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

/* ---- the table ---------------------------------------------------------------------------------
 */

static bool is_goal(HaDuty duty, HaState state)
{
    switch (duty) {
    case HA_DUTY_LEAD:
        return state == HA_STATE_LEADING;
    case HA_DUTY_FOLLOW:
        return state == HA_STATE_FOLLOWING;
    case HA_DUTY_REST:
        return state == HA_STATE_DOWN || state == HA_STATE_EMPTY;
    case HA_DUTY_LEAVE:
        return state == HA_STATE_EMPTY;
    }
    return false;
}

static bool reaches(HaDuty duty, HaState from)
{
    size_t len;
    const GroupEdge *edges = group_edges(&len);
    bool seen[HA_STATES] = {false};
    seen[from] = true;
    for (size_t round = 0; round < HA_STATES; round++) {
        for (size_t i = 0; i < len; i++) {
            if (edges[i].duty == duty && seen[edges[i].state]) {
                seen[edges[i].then] = true;
            }
        }
    }
    for (size_t state = 0; state < HA_STATES; state++) {
        if (seen[state] && is_goal(duty, (HaState)state)) {
            return true;
        }
    }
    return false;
}

static void test_every_duty_is_reached_from_every_state(void **state)
{
    (void)state;
    for (size_t duty = 0; duty < HA_DUTIES; duty++) {
        for (size_t from = 0; from < HA_STATES; from++) {
            if (from != HA_STATE_PROMOTING && !reaches((HaDuty)duty, (HaState)from)) {
                fail_msg("%s is not reached from %s", ha_duty_name((HaDuty)duty),
                         ha_state_name((HaState)from));
            }
        }
    }
}

/* With WEIR_DRAW=1 the text is printed, to be put there. */
static void test_the_document_has_the_diagrams(void **state)
{
    (void)state;
    Buf text;
    Buf document;
    Err err;
    buf_init(&text, BUF_MAX_DEFAULT);
    buf_init(&document, BUF_MAX_DEFAULT);
    group_edges_draw(&text);
    if (getenv("WEIR_DRAW") != NULL) {
        printf("%s", buf_str(&text));
    }
    CLEANUP(mem_free_ptr)
    char *path = mem_printf("%s/docs/failover.md", getenv("WEIR_SOURCE_ROOT"));
    assert_true(file_read(path, &document, &err));
    assert_non_null(strstr(buf_str(&document), buf_str(&text)));
    buf_done(&text);
    buf_done(&document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_as_control_makes_it),
        cmocka_unit_test(test_what_is_none),
        cmocka_unit_test(test_every_duty_is_reached_from_every_state),
        cmocka_unit_test(test_the_document_has_the_diagrams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
