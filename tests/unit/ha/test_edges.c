/* The tables of steps, of instances and of replication groups: no dead end, and docs/failover.md
 * draws them as they are. */
#include "../unit.h"

#include <stdlib.h>

#include "group/group.h"

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

static bool reaches(const HaTable *table, HaDuty duty, HaState from)
{
    const HaEdge *edges = table->edges;
    bool seen[HA_STATES] = {false};
    seen[from] = true;
    for (size_t round = 0; round < HA_STATES; round++) {
        for (size_t i = 0; i < table->len; i++) {
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

static void check_reached(const HaTable *table, HaDuty duty, HaState from)
{
    if (!reaches(table, duty, from)) {
        fail_msg("%s is not reached from %s", ha_duty_name(duty), ha_state_name(from));
    }
}

static void test_every_duty_is_reached_from_every_state(void **state)
{
    (void)state;
    for (size_t duty = 0; duty < HA_DUTIES; duty++) {
        for (size_t from = 0; from < HA_STATES; from++) {
            check_reached(&ha_table, (HaDuty)duty, (HaState)from);
            if (from != HA_STATE_PROMOTING) { /* Redis does it in one step */
                check_reached(&group_table, (HaDuty)duty, (HaState)from);
            }
        }
    }
}

static void test_states_have_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < HA_STATES; i++) {
        HaState read;
        assert_true(ha_state_parse(slice_of(ha_state_name((HaState)i)), &read));
        assert_int_equal(read, i);
    }
    HaState read;
    assert_false(ha_state_parse(SLICE("running"), &read));
}

/* With WEIR_DRAW=1 the text is printed, to be put there. */
static void check_drawn(const HaTable *table)
{
    Buf text;
    Buf document;
    Err err;
    buf_init(&text, BUF_MAX_DEFAULT);
    buf_init(&document, BUF_MAX_DEFAULT);
    ha_table_draw(table, &text);
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

static void test_the_document_has_the_diagrams(void **state)
{
    (void)state;
    check_drawn(&ha_table);
    check_drawn(&group_table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_duty_is_reached_from_every_state),
        cmocka_unit_test(test_states_have_names),
        cmocka_unit_test(test_the_document_has_the_diagrams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
