/* The cluster's record: JSON there and back, and who has left the leader's history. */
#include "../unit.h"

#include "ha/ha.h"
#include "model/model.h"

static HaRecord full_record(void)
{
    HaRecord record = {.term = 7,
                       .leader = ha_id("db-x-2"),
                       .phase = HA_PHASE_YIELDING,
                       .proven = true,
                       .strict = true,
                       .admitted = ha_id("cccc"),
                       .heir = ha_id("db-x-1"),
                       .handover = 3,
                       .writes = 41,
                       .history_len = 2,
                       .unsure = true,
                       .history_term = 7};
    HaId a = ha_id("aaaa");
    HaId b = ha_id("bbbb");
    ha_set_add(&record.set, &a);
    ha_set_add(&record.set, &b);
    record.history[0] = (HaFork){.timeline = 2, .lsn = 0x16B3740};
    record.history[1] = (HaFork){.timeline = 3, .lsn = 0xAB00000028};
    return record;
}

static void test_there_and_back(void **state)
{
    (void)state;
    HaRecord record = full_record();
    HaRecord read;
    Err err;
    json_t *json = json_pack("{s:s}", "secret", "stays");
    ha_record_put(&record, json);
    assert_string_equal(member_str(json, "secret", ""), "stays");
    assert_true(ha_record_parse(json, &read, &err));
    assert_memory_equal(&read, &record, sizeof(record));
    json_decref(json);
}

/* What was decided since is not known; the data of its leader is on the timeline that it had. */
static void test_a_record_of_the_past(void **state)
{
    (void)state;
    HaRecord record = full_record();
    record.unsure = false;
    ha_record_reset(&record);
    assert_int_equal(record.term, 7 + HA_TERMS_UNSURE);
    assert_int_equal(record.writes, 42);
    assert_string_equal(record.leader.text, "db-x-2");
    assert_int_equal(record.phase, HA_PHASE_LEADING);
    assert_int_equal(record.set.len, 1);
    assert_string_equal(record.set.items[0].text, "aaaa");
    assert_true(ha_id_is_empty(&record.heir) && ha_id_is_empty(&record.admitted));
    assert_false(record.proven);
    assert_true(record.unsure);
    assert_int_equal(ha_record_timeline(&record), 3);
    assert_int_equal(record.history_len, 2);
    record.history_term = 6; /* it had not told yet */
    ha_record_reset(&record);
    assert_int_equal(ha_record_timeline(&record), 0);
    record.set.len = 0; /* nobody has led yet */
    ha_record_reset(&record);
    assert_int_equal(record.set.len, 0);
}

/* Others may have begun timelines that a leader has not followed: it takes none of their numbers.
 */
static void test_numbers_of_timelines_that_are_passed_over(void **state)
{
    (void)state;
    HaRecord record = full_record();
    record.unsure = false;
    assert_int_equal(ha_record_passed_over(&record, 2), 0);
    record.unsure = true;
    assert_int_equal(ha_record_passed_over(&record, 2), 1 + HA_TIMELINES_UNSURE);
    assert_int_equal(ha_record_passed_over(&record, 3), HA_TIMELINES_UNSURE);
    record.history_len = 0;
    assert_int_equal(ha_record_passed_over(&record, 1), HA_TIMELINES_UNSURE);
}

static void test_a_record_of_before(void **state)
{
    (void)state;
    HaRecord read;
    Err err;
    json_t *json =
        json_pack("{s:i, s:s, s:[s], s:i}", "term", 1, "leader", "n-1", "set", "aaaa", "writes", 4);
    assert_true(ha_record_parse(json, &read, &err));
    assert_int_equal(read.phase, HA_PHASE_LEADING);
    assert_true(read.proven);
    assert_int_equal(ha_record_timeline(&read), 0);
    json_decref(json);
}

static void test_what_is_no_record(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"phase\": \"dancing\"}",
        "{\"set\": [1]}",
        "{\"leader\": 5}",
        "{\"set\": [\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\"]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        HaRecord read;
        Err err;
        json_t *json = NULL;
        assert_true(record_parse(slice_of(texts[i]), &json, &err));
        assert_false(ha_record_parse(json, &read, &err));
        json_decref(json);
    }
}

static void test_who_has_diverged(void **state)
{
    (void)state;
    HaRecord record = full_record();
    assert_false(ha_record_diverged(&record, 1, 0x16B3740)); /* all of it is in timeline 2 */
    assert_true(ha_record_diverged(&record, 1, 0x16B3741));
    assert_false(ha_record_diverged(&record, 2, 0xAB00000028));
    assert_true(ha_record_diverged(&record, 2, 0xAB00000029));
    assert_false(ha_record_diverged(&record, 3, UINT64_MAX)); /* the leader's own */
    assert_true(ha_record_diverged(&record, 4, 1)); /* a timeline that the leader has never had */
    record.term++; /* of a new leader, who has not said yet which one is its own */
    assert_false(ha_record_diverged(&record, 4, 1));
    assert_true(ha_record_diverged(&record, 1, 0x16B3741));
    record.history_len = 0;
    assert_false(ha_record_diverged(&record, 4, 1)); /* nothing is known */
}

/* Of timelines that are older than all that the record remembers nothing can be said for certain.
 */
static void test_a_history_that_is_full_forgets(void **state)
{
    (void)state;
    HaRecord record = {.term = 30, .history_term = 30, .history_len = HA_HISTORY_MAX};
    for (size_t i = 0; i < HA_HISTORY_MAX; i++) {
        record.history[i] = (HaFork){.timeline = (int64_t)i + 5, .lsn = 100 * (i + 1)};
    }
    assert_true(ha_record_diverged(&record, 3, 1));
    assert_false(ha_record_diverged(&record, 4, 100));
    assert_true(ha_record_diverged(&record, 4, 101));
    record.history_len--;
    assert_false(ha_record_diverged(&record, 3, 100));
}

static void test_the_timeline_of_the_term(void **state)
{
    (void)state;
    HaRecord record = full_record();
    assert_int_equal(ha_record_timeline(&record), 3);
    record.term++;
    assert_int_equal(ha_record_timeline(&record), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_a_record_of_the_past),
        cmocka_unit_test(test_numbers_of_timelines_that_are_passed_over),
        cmocka_unit_test(test_a_record_of_before),
        cmocka_unit_test(test_what_is_no_record),
        cmocka_unit_test(test_who_has_diverged),
        cmocka_unit_test(test_a_history_that_is_full_forgets),
        cmocka_unit_test(test_the_timeline_of_the_term),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
