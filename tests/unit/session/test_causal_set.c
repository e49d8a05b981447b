/* The causal token where it is set: what the server is asked behind it, and what a replica that was
 * chosen before does not run. */
#include "causal_talk.h"

#define OTHER "w1-0123456789abcdef-0000000b-00000000fedcba99"

static void put_value(Buf *row, const char *value)
{
    pg_put_u32(row, (uint32_t)strlen(value));
    buf_append_str(row, value);
}

static void answer(Talk *t, const char *value)
{
    Buf row;
    buf_init(&row, BUF_MAX_DEFAULT);
    pg_put_u16(&row, 2);
    put_value(&row, value);
    put_value(&row, ""); /* what it is from now on */
    says(t, 'T', SLICE(""));
    says(t, 'D', buf_slice(&row));
    done(t, "SELECT 1");
    assert_true(ready(t, 'I') == STEP_DROP);
    buf_done(&row);
}

/* Sets it by a request of its own, of which PostgreSQL then says that it is `value`. */
static CausalNews sets(Talk *t, const char *text, const char *value)
{
    assert_true(client(t, 'Q', "", text) == STEP_FORWARD);
    done(t, "SET");
    assert_true(ready(t, 'I') == STEP_FORWARD && !t->out.at_rest);
    assert_true(slice_has(buf_slice(&t->sent), "current_setting('weir.causal_token', true)"));
    assert_true(slice_has(buf_slice(&t->sent), "set_config('weir.causal_token', '', false)"));
    answer(t, value);
    assert_true(t->out.at_rest);
    return t->out.causal;
}

static void test_set(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *value; /* as PostgreSQL says */
        CausalNews news;
    } cases[] = {
        {"set weir.causal_token = '" TOKEN "'", TOKEN, CAUSAL_SET},
        {"select set_config('weir.causal_token', $1, false)", OTHER, CAUSAL_SET},
        {"set weir.causal_token = 'x'", "x", CAUSAL_MALFORMED},
        {"set weir.causal_token = ''", "", CAUSAL_NO_NEWS},
        {"reset weir.causal_token", "", CAUSAL_NO_NEWS},
    };
    for (int standby = 0; standby < 2; standby++) {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            Talk *t = talk_new(standby == 1);
            assert_int_equal(sets(t, cases[i].text, cases[i].value), cases[i].news);
            char text[CAUSAL_TOKEN_LEN + 1];
            causal_token_format(&t->exchange.causal.set, text);
            assert_string_equal(text, cases[i].news == CAUSAL_SET ? cases[i].value : "");
            /* It is none of its settings, nor of the server connection's. */
            assert_null(t->session.settings);
            assert_null(t->exchange.applied);
            assert_true(exchange_is_clean(&t->exchange));
            assert_int_equal(t->session.pin, PIN_NONE);
            talk_free(t);
        }
    }
}

/* Beside settings that are the session's. */
static void test_set_with_others(void **state)
{
    (void)state;
    Talk *t = talk_new(false);
    Buf row;
    client(t, 'Q', "", "set a = 1; set weir.causal_token = 'x'; set b = 2");
    done(t, "SET");
    ready(t, 'I');
    buf_init(&row, BUF_MAX_DEFAULT);
    pg_put_u16(&row, 4);
    put_value(&row, "1");
    put_value(&row, TOKEN);
    put_value(&row, "2");
    put_value(&row, "");
    says(t, 'D', buf_slice(&row));
    done(t, "SELECT 1");
    ready(t, 'I');
    buf_done(&row);
    assert_true(t->out.at_rest && t->out.causal == CAUSAL_SET);
    assert_true(slice_is(settings_value(t->session.settings, SLICE("a")), "1"));
    assert_true(slice_is(settings_value(t->session.settings, SLICE("b")), "2"));
    assert_int_equal(t->session.settings->count, 2);
    talk_free(t);
}

/* A replica that was chosen before it was known what it must have. */
static void test_what_a_replica_does_not_run(void **state)
{
    (void)state;
    static const struct {
        char type;
        const char *name, *text;
        bool runs;
    } cases[] = {
        {'Q', "", "commit", true},
        {'Q', "", "rollback", true},
        {'Q', "", "set weir.causal_token = 'x'", true},
        {'P', "", "commit", true},
        {'Q', "", "select 1", false},
        {'Q', "", "show weir.causal_token", false},
        {'Q', "", "set a = 1", false},
        {'Q', "", "commit; select 1", false},
        {'Q', "", "set weir.causal_token = 'x'; select 1", false},
        {'Q', "", "call p()", false},
        {'Q', "", "do 'x'", false},
        {'P', "", "select 1", false},
        {'B', "a", "", false},
        {'B', "nobody", "", false},
        {'F', "", "", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int standby = 0; standby < 2; standby++) {
            Talk *t = talk_new(standby == 1);
            client(t, 'Q', "", "begin");
            done(t, "BEGIN");
            ready(t, 'T');
            client(t, 'P', "a", "select 1");
            client(t, 'S', "", "");
            says(t, '3', SLICE(""));
            says(t, '1', SLICE(""));
            ready(t, 'T');
            client(t, 'Q', "", "set weir.causal_token = 'x'");
            done(t, "SET");
            ready(t, 'T');
            SessionStep step = client(t, cases[i].type, cases[i].name, cases[i].text);
            if (cases[i].runs || standby == 0) { /* the primary has everything */
                assert_true(step == STEP_FORWARD);
            } else {
                assert_true(step == STEP_REFUSE);
                assert_string_equal(t->out.sqlstate, "0A000");
            }
            talk_free(t);
        }
    }
}

/* That the session stays where it is shows only in what PostgreSQL says of its settings. */
static void test_what_pins_in_the_answer(void **state)
{
    (void)state;
    for (int standby = 0; standby < 2; standby++) {
        Talk *t = talk_new(standby == 1);
        Buf row;
        client(t, 'Q', "",
               "select set_config('search_path', $1, false),"
               " set_config('weir.causal_token', $2, false)");
        done(t, "SELECT 1");
        ready(t, 'I');
        assert_int_equal(t->session.pin, PIN_NONE);
        buf_init(&row, BUF_MAX_DEFAULT);
        pg_put_u16(&row, 3);
        put_value(&row, "pg_temp");
        put_value(&row, TOKEN);
        put_value(&row, "");
        says(t, 'D', buf_slice(&row));
        buf_done(&row);
        done(t, "SELECT 1");
        ready(t, 'I');
        assert_int_equal(t->session.pin, PIN_TEMPORARY);
        assert_int_equal(t->out.causal, CAUSAL_SET);
        if (standby == 0) { /* which has everything */
            assert_true(client(t, 'Q', "", "select 1") == STEP_FORWARD);
        } else {
            assert_true(client(t, 'Q', "", "select 1") == STEP_REFUSE);
            assert_string_equal(t->out.sqlstate, "0A000");
        }
        talk_free(t);
    }
}

/* When it runs, by a name that is not followed, nobody knows. */
static void test_statements_whose_names_are_not_followed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool primary, standby;
    } cases[] = {
        {"select 1", true, true},
        {"set weir.causal_token = 'x'", true, false},
        {"select set_config('weir.causal_token', $1, false)", true, false},
        {"set local weir.causal_token = 'x'", false, false},
        {"show weir.causal_token", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int standby = 0; standby < 2; standby++) {
            Talk *t = talk_new(standby == 1);
            t->exchange.dialect.unsafe_encoding = true;
            bool runs = standby == 1 ? cases[i].standby : cases[i].primary;
            assert_int_equal(client(t, 'P', "a", cases[i].text), runs ? STEP_FORWARD : STEP_REFUSE);
            assert_true(runs || strcmp(t->out.sqlstate, "0A000") == 0);
            talk_free(t);
        }
    }
}

/* The unnamed statement may have been parsed before. */
static void test_a_replica_and_the_unnamed_statement(void **state)
{
    (void)state;
    Talk *t = talk_new(true);
    client(t, 'P', "a", "set weir.causal_token = 'x'");
    client(t, 'P', "", "select 1");
    client(t, 'B', "a", "");
    client(t, 'E', "", "");
    assert_true(client(t, 'B', "", "") == STEP_REFUSE);
    talk_free(t);
    t = talk_new(true);
    client(t, 'P', "", "set weir.causal_token = 'x'");
    assert_true(client(t, 'B', "", "") == STEP_FORWARD);
    assert_true(client(t, 'E', "", "") == STEP_FORWARD);
    talk_free(t);
}

/* What comes behind it waits until it is known where it may go. */
static void test_what_comes_behind(void **state)
{
    (void)state;
    for (int standby = 0; standby < 2; standby++) {
        Talk *t = talk_new(standby == 1);
        client(t, 'Q', "", "set weir.causal_token = 'x'");
        assert_true(client(t, 'Q', "", "select 1") == STEP_WAIT);
        done(t, "SET");
        ready(t, 'I');
        assert_true(client(t, 'Q', "", "select 1") == STEP_WAIT);
        answer(t, TOKEN);
        assert_true(t->out.at_rest && t->out.causal == CAUSAL_SET);
        talk_free(t);
    }
}

/* A question is under way that does not have it. */
static void test_set_behind_another_setting(void **state)
{
    (void)state;
    Talk *t = talk_new(true);
    Buf row;
    client(t, 'Q', "", "set a = 1");
    done(t, "SET");
    ready(t, 'I');
    assert_true(client(t, 'Q', "", "set weir.causal_token = 'x'") == STEP_FORWARD);
    buf_init(&row, BUF_MAX_DEFAULT);
    pg_put_u16(&row, 1);
    put_value(&row, "1");
    says(t, 'D', buf_slice(&row));
    buf_done(&row);
    done(t, "SELECT 1");
    assert_true(ready(t, 'I') == STEP_DROP && !t->out.at_rest);
    assert_true(client(t, 'Q', "", "select 1") == STEP_WAIT);
    done(t, "SET");
    ready(t, 'I');
    answer(t, TOKEN);
    assert_true(t->out.at_rest && t->out.causal == CAUSAL_SET);
    talk_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_set_with_others),
        cmocka_unit_test(test_what_a_replica_does_not_run),
        cmocka_unit_test(test_what_pins_in_the_answer),
        cmocka_unit_test(test_statements_whose_names_are_not_followed),
        cmocka_unit_test(test_a_replica_and_the_unnamed_statement),
        cmocka_unit_test(test_what_comes_behind),
        cmocka_unit_test(test_set_behind_another_setting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
