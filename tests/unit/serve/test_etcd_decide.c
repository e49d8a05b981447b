/* Which host's etcd does what next: tables of members, and the step that follows. */
#include "../unit.h"

#include "serve/etcd_own_priv.h"

#define URL(n) "https://127." #n ".0.1:2380"

static EtcdHost all_hosts[4];
static const char *const names[] = {"local", "h2", "h3", "h4"}; /* not by the alphabet */
static const char *const urls[] = {URL(1), URL(2), URL(3), URL(4)};

/* Of hN, which has a member that runs. */
static EtcdView view_of(size_t number, StoreMember *members, size_t len, size_t hosts)
{
    for (size_t i = 0; i < ARRAY_LEN(all_hosts); i++) {
        all_hosts[i] = (EtcdHost){.name = names[i],
                                  .url = urls[i],
                                  .seat = true,
                                  .alive = true,
                                  .joined_ms = (int64_t)i + 1};
    }
    return (EtcdView){.host = all_hosts[number - 1].name,
                      .url = all_hosts[number - 1].url,
                      .members = {members, len},
                      .hosts = all_hosts,
                      .hosts_len = hosts,
                      .installed = true,
                      .has_data = true,
                      .runs = true};
}

static void assert_step(const EtcdView *view, EtcdStepKind kind, const StoreMember *member)
{
    EtcdStep step = etcd_decide(view);
    assert_int_equal(step.kind, kind);
    if (member != NULL) {
        assert_ptr_equal(step.member, member);
    }
}

static void test_the_second_learns(void **state)
{
    (void)state;
    StoreMember members[] = {{1, "local", URL(1), false}, {2, "", URL(2), true}};
    EtcdView first = view_of(1, members, 1, 2);
    assert_step(&first, ETCD_STEP_NONE, NULL);
    EtcdView second = view_of(2, members, 1, 2);
    second.has_data = second.runs = false;
    assert_step(&second, ETCD_STEP_ADD, NULL);
    second.members.len = 2;
    assert_step(&second, ETCD_STEP_START, &members[1]);
    second.has_data = second.runs = true;
    assert_step(&second, ETCD_STEP_NONE, NULL);
    members[1].name = "h2";
    assert_step(&second, ETCD_STEP_NONE, NULL);
    first.members.len = 2;
    assert_step(&first, ETCD_STEP_NONE, NULL);
}

static void test_the_third_makes_three_vote(void **state)
{
    (void)state;
    StoreMember members[] = {
        {1, "local", URL(1), false}, {2, "h2", URL(2), true}, {3, "", URL(3), true}};
    EtcdView third = view_of(3, members, 2, 3);
    EtcdView second = view_of(2, members, 2, 3);
    third.has_data = third.runs = false;
    assert_step(&third, ETCD_STEP_NONE, NULL); /* one learns at a time */
    all_hosts[2].seat = false;                 /* a third one that could not have a member */
    assert_step(&second, ETCD_STEP_NONE, NULL);
    all_hosts[2].seat = true;
    all_hosts[2].alive = false; /* or that is not there */
    assert_step(&second, ETCD_STEP_NONE, NULL);
    all_hosts[2].alive = true;
    assert_step(&second, ETCD_STEP_PROMOTE, &members[1]);
    members[1].learner = false;
    assert_step(&second, ETCD_STEP_NONE, NULL);
    assert_step(&third, ETCD_STEP_ADD, NULL);
    all_hosts[2].alive = false; /* it was lost before it came to that: then one votes again */
    assert_step(&second, ETCD_STEP_REMOVE, &members[1]);
    all_hosts[2].alive = true;
    third.members.len = 3;
    assert_step(&third, ETCD_STEP_START, &members[2]);
    third.has_data = third.runs = true;
    assert_step(&third, ETCD_STEP_PROMOTE, &members[2]);
    members[2] = (StoreMember){3, "h3", URL(3), false};
    assert_step(&third, ETCD_STEP_NONE, NULL);
    EtcdView fourth = view_of(4, members, 3, 4);
    fourth.has_data = fourth.runs = false;
    assert_step(&fourth, ETCD_STEP_NONE, NULL);
}

/* It is never made to vote by others, and makes room where its host is gone. */
static void test_a_lost_learner(void **state)
{
    (void)state;
    StoreMember members[] = {{1, "local", URL(1), false}, {2, "h2", URL(2), true}};
    EtcdView third = view_of(3, members, 2, 3);
    EtcdView first = view_of(1, members, 2, 3);
    third.has_data = third.runs = false;
    all_hosts[1].alive = false; /* a moment ago */
    assert_step(&third, ETCD_STEP_NONE, NULL);
    all_hosts[1].gone = true;
    assert_step(&third, ETCD_STEP_REMOVE, &members[1]);
    assert_step(&first, ETCD_STEP_NONE, NULL);
    third.members.len = 1;
    assert_step(&third, ETCD_STEP_ADD, NULL);
}

/* Who came later learns again where no third host is. */
static void test_two_are_left(void **state)
{
    (void)state;
    StoreMember members[] = {{1, "local", URL(1), false}, {2, "h2", URL(2), false}};
    EtcdView first = view_of(1, members, 2, 2);
    EtcdView second = view_of(2, members, 2, 2);
    assert_step(&first, ETCD_STEP_NONE, NULL);
    assert_step(&second, ETCD_STEP_REMOVE, &members[1]);
    second.members.len = 1;
    assert_step(&second, ETCD_STEP_ADD, NULL);
}

static void test_what_is_left_over_goes(void **state)
{
    (void)state;
    StoreMember members[] = {
        {1, "local", URL(1), false}, {2, "h2", URL(2), true}, {9, "", URL(9), true}};
    EtcdView first = view_of(1, members, 3, 2);
    assert_step(&first, ETCD_STEP_REMOVE, &members[2]); /* of no host */
    members[2] = (StoreMember){3, "", URL(3), true};
    first.hosts_len = 3;
    assert_step(&first, ETCD_STEP_NONE, NULL); /* of one that is to start it */
    first.removed = "h2";
    assert_step(&first, ETCD_STEP_REMOVE, &members[1]);
}

static void test_one_that_lost_its_data_is_another(void **state)
{
    (void)state;
    StoreMember members[] = {
        {1, "local", URL(1), false}, {2, "h2", URL(2), false}, {3, "h3", URL(3), false}};
    EtcdView view = view_of(2, members, 3, 3);
    view.has_data = view.runs = false;
    assert_step(&view, ETCD_STEP_REMOVE, &members[1]);
    view.has_data = true;
    assert_step(&view, ETCD_STEP_START, &members[1]);
}

static void test_data_of_no_member(void **state)
{
    (void)state;
    StoreMember members[] = {
        {1, "local", URL(1), false}, {2, "h2", URL(2), false}, {3, "h3", URL(3), false}};
    EtcdView view = view_of(4, members, 3, 4);
    assert_step(&view, ETCD_STEP_CLEAR, NULL);
}

/* Who drains hands the store over before it is removed. */
static void test_the_vote_leaves_a_host_that_drains(void **state)
{
    (void)state;
    StoreMember members[] = {{1, "local", URL(1), false}, {2, "h2", URL(2), true}};
    EtcdView first = view_of(1, members, 2, 2);
    EtcdView second = view_of(2, members, 2, 2);
    all_hosts[0].draining = true;
    assert_true(etcd_is_last_voter(&first.members, &members[0]));
    assert_step(&first, ETCD_STEP_NONE, NULL);
    assert_step(&second, ETCD_STEP_PROMOTE, &members[1]);
    members[1].learner = false;
    assert_step(&second, ETCD_STEP_NONE, NULL);
    assert_step(&first, ETCD_STEP_REMOVE, &members[0]);
    members[0].learner = true;
    assert_step(&first, ETCD_STEP_NONE, NULL);
    assert_step(&second, ETCD_STEP_NONE, NULL);
    assert_false(etcd_is_last_voter(&first.members, &members[0]));
    assert_true(etcd_is_last_voter(&first.members, &members[1]));
}

static void test_what_a_member_is(void **state)
{
    (void)state;
    StoreMember members[] = {{1, "local", URL(1), false}, {2, "h2", URL(2), true}};
    const StoreMembers both = {members, 2};
    assert_int_equal(etcd_member_kind(&both, &members[0]), HOST_MEMBER_SOLE_VOTER);
    assert_int_equal(etcd_member_kind(&both, &members[1]), HOST_MEMBER_LEARNER);
    members[1].learner = false;
    assert_int_equal(etcd_member_kind(&both, &members[0]), HOST_MEMBER_VOTER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_second_learns),
        cmocka_unit_test(test_the_third_makes_three_vote),
        cmocka_unit_test(test_a_lost_learner),
        cmocka_unit_test(test_two_are_left),
        cmocka_unit_test(test_what_is_left_over_goes),
        cmocka_unit_test(test_one_that_lost_its_data_is_another),
        cmocka_unit_test(test_data_of_no_member),
        cmocka_unit_test(test_the_vote_leaves_a_host_that_drains),
        cmocka_unit_test(test_what_a_member_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
