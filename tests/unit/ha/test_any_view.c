/* What holds of each decision, whatever a snapshot may say. */
#include "views.h"

#define TRIES 300000

/* ---- snapshots ---------------------------------------------------------------------------------
 */

static uint64_t roll(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static bool coin(uint64_t *seed)
{
    return roll(seed) % 2 == 0;
}

static int64_t time_of(uint64_t *seed)
{
    static const int64_t times[] = {0, 1, 250, 999, 1000, 1250, 1500, 3000, 9999, 10000, 30000};
    return times[roll(seed) % ARRAY_LEN(times)];
}

static HaSet set_of(uint64_t *seed)
{
    HaSet set = {.len = 0};
    static const char *const ids[] = {"i1", "i2", "i3", "i9"};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        if (coin(seed)) {
            HaId id = ha_id(ids[i]);
            ha_set_add(&set, &id);
        }
    }
    return set;
}

static HaView any_view(uint64_t *seed)
{
    static const char *const nodes[] = {"", "n1", "n2", "n3"};
    HaView view = {.run = roll(seed) % 8 != 0,
                   .gone = roll(seed) % 8 == 0,
                   .deleted = coin(seed),
                   .replica = roll(seed) % 8 == 0,
                   .strict = coin(seed),
                   .heir = ha_id(nodes[roll(seed) % 4]),
                   .handover = (int64_t)(roll(seed) % 3),
                   .claimed = coin(seed),
                   .fresh = coin(seed),
                   .phase_ms = time_of(seed),
                   .self = ha_id("n1"),
                   .incarnation = ha_id(coin(seed) ? "i1" : ""),
                   .state = (HaState)(roll(seed) % HA_STATES),
                   .data = (HaData)(roll(seed) % 3),
                   .asked = coin(seed),
                   .diverged = coin(seed),
                   .busy = coin(seed),
                   .heard = coin(seed),
                   .state_ms = time_of(seed),
                   .timeline = (int64_t)(roll(seed) % 3),
                   .names = set_of(seed),
                   .names_set = coin(seed),
                   .open = coin(seed),
                   .disk_ms = time_of(seed),
                   .cut_off_ms = time_of(seed),
                   .link_up = coin(seed),
                   .link_ms = time_of(seed),
                   .source_right = coin(seed),
                   .leader_serves = coin(seed),
                   .leader_here = coin(seed),
                   .leader_ms = time_of(seed),
                   .peers_len = roll(seed) % 3};
    if (view.state == HA_STATE_EMPTY) {
        view.incarnation = ha_id("");
    }
    view.joining = ha_id(coin(seed) ? "i2" : "");
    view.wish_ms = time_of(seed);
    view.record = (HaRecord){.term = 3,
                             .leader = ha_id(nodes[1 + roll(seed) % 3]),
                             .phase = (HaPhase)(roll(seed) % 3),
                             .proven = coin(seed),
                             .strict = coin(seed),
                             .set = set_of(seed),
                             .admitted = ha_id(coin(seed)   ? ""
                                               : coin(seed) ? "i1"
                                                            : "i2"),
                             .heir = ha_id(nodes[roll(seed) % 4]),
                             .handover = (int64_t)(roll(seed) % 3),
                             .history_len = roll(seed) % 2,
                             .unsure = coin(seed),
                             .history_term = (int64_t)(2 + roll(seed) % 2)};
    view.record.history[0] = (HaFork){.timeline = 1};
    for (size_t i = 0; i < view.peers_len; i++) {
        view.peers[i] = (HaPeer){.node = ha_id(nodes[2 + i]),
                                 .incarnation = ha_id(coin(seed) ? ""
                                                      : i == 0   ? "i2"
                                                                 : "i3"),
                                 .wanted = coin(seed),
                                 .follows = coin(seed),
                                 .ended = coin(seed),
                                 .hears = coin(seed),
                                 .streaming = coin(seed),
                                 .bound = coin(seed)};
        view.peers[i].gone_ms = view.peers[i].streaming ? 0 : time_of(seed);
    }
    return view;
}

#define MIX(field)                                                                                 \
    if (roll(seed) % 8 == 0) {                                                                     \
        view.field = other.field;                                                                  \
    }

/* All is well, but for a few things. */
static HaView near_view(uint64_t *seed)
{
    HaView other = any_view(seed);
    HaView view = coin(seed) ? leader_view() : follower_view();
    MIX(strict)
    MIX(heir)
    MIX(handover)
    MIX(wish_ms)
    MIX(record.phase)
    MIX(record.admitted)
    MIX(record.proven)
    MIX(record.set)
    MIX(record.strict)
    MIX(record.history_term)
    MIX(claimed)
    MIX(fresh)
    MIX(phase_ms)
    MIX(state)
    MIX(data)
    MIX(asked)
    MIX(diverged)
    MIX(state_ms)
    MIX(timeline)
    MIX(names)
    MIX(joining)
    MIX(names_set)
    MIX(open)
    MIX(disk_ms)
    MIX(link_up)
    MIX(link_ms)
    MIX(leader_ms)
    for (size_t i = 0; i < view.peers_len && i < other.peers_len; i++) {
        MIX(peers[i].wanted)
        MIX(peers[i].follows)
        MIX(peers[i].streaming)
        MIX(peers[i].bound)
    }
    if (view.state == HA_STATE_EMPTY) {
        view.incarnation = ha_id("");
    }
    return view;
}

/* ---- what holds --------------------------------------------------------------------------------
 */

static bool includes(const HaSet *all, const HaSet *part)
{
    for (size_t i = 0; i < part->len; i++) {
        if (!ha_set_has(all, &part->items[i])) {
            return false;
        }
    }
    return true;
}

static const HaPeer *peer_of(const HaView *view, const HaId *incarnation)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        if (ha_id_eq(&view->peers[i].incarnation, incarnation)) {
            return &view->peers[i];
        }
    }
    return NULL;
}

static bool is_admitted(const HaView *view)
{
    return view->incarnation.text[0] != '\0' &&
           ha_id_eq(&view->record.admitted, &view->incarnation);
}

/* Of what is written: terms only grow, with the leader; who is let in has it all; the set of a new
 * term is its leader alone, and that one was in the set before, or admitted. */
static void check_write(const HaView *view, const HaRecord *next)
{
    const HaRecord *record = &view->record;
    assert_int_equal(next->writes, record->writes + 1);
    if (next->term != record->term) {
        assert_int_equal(next->term, record->term + 1);
        assert_string_equal(next->leader.text, view->self.text);
        assert_int_equal(next->set.len, 1);
        assert_true(ha_set_has(&record->set, &view->incarnation) || is_admitted(view));
        assert_true(ha_id_is_empty(&next->admitted));
        assert_true(!view->diverged || is_admitted(view));
        assert_int_equal(view->state, HA_STATE_FOLLOWING);
        assert_true(next->proven == (record->phase == HA_PHASE_FREE));
        return;
    }
    assert_string_equal(next->leader.text, record->leader.text);
    assert_string_equal(record->leader.text, view->self.text);
    for (size_t i = 0; i < next->set.len; i++) {
        const HaId *member = &next->set.items[i];
        if (!ha_set_has(&record->set, member) && !ha_id_eq(member, &view->incarnation)) {
            const HaPeer *peer = peer_of(view, member);
            assert_non_null(peer);
            assert_true(peer->bound && peer->streaming && view->claimed &&
                        ha_set_has(&view->names, member));
        }
    }
    if (next->phase == HA_PHASE_FREE) {
        assert_true(view->state == HA_STATE_DOWN || view->state == HA_STATE_EMPTY);
    }
}

static void check_decision(const HaView *view)
{
    HaDecision decision = ha_decide(view); /* which asserts that the table has it */
    const HaRecord *record = &view->record;
    HaSet standbys = ha_standbys(record, &view->incarnation, &decision.joining);
    switch (decision.step) {
    case HA_STEP_WRITE:
        check_write(view, &decision.record);
        break;
    case HA_STEP_START_LEADING:
    case HA_STEP_PROMOTE:
        assert_true(view->claimed && ha_duty(view) == HA_DUTY_LEAD);
        assert_true(record->set.len == 0 || ha_set_has(&record->set, &view->incarnation) ||
                    is_admitted(view));
        assert_true(record->phase != HA_PHASE_FREE);
        break;
    case HA_STEP_NAMES:
        assert_true(view->claimed);
        assert_true(view->fresh || (view->names_set && includes(&standbys, &view->names)));
        break;
    case HA_STEP_OPEN:
        assert_true(ha_id_is_empty(&record->admitted));
        assert_true(view->claimed && record->phase == HA_PHASE_LEADING);
        assert_int_equal(view->timeline, ha_record_timeline(record));
        assert_true(ha_set_eq(&standbys, &view->names) || !ha_id_is_empty(&view->joining));
        for (size_t i = 0; i < standbys.len; i++) {
            assert_true(peer_of(view, &standbys.items[i])->bound);
        }
        assert_true(record->proven ||
                    view->state_ms + view->cut_off_ms >= HA_RIGHT_MS + HA_MARGIN_MS);
        break;
    case HA_STEP_REJOIN:
    case HA_STEP_COPY:
    case HA_STEP_REMOVE: /* while nobody leads it may be all that is left */
        assert_true(decision.step != HA_STEP_REMOVE || view->deleted || view->leader_serves ||
                    view->replica || (record->set.len == 0 && !record->unsure) ||
                    view->state == HA_STATE_EMPTY);
        assert_true(view->deleted || (!ha_set_has(&record->set, &view->incarnation) &&
                                      (!is_admitted(view) || view->replica)));
        break;
    case HA_STEP_MAKE:
        assert_true(record->set.len == 0 && !record->unsure);
        break;
    case HA_STEP_WAIT:
    case HA_STEP_START_FOLLOWING:
    case HA_STEP_SOURCE:
    case HA_STEP_STOP:
    case HA_STEP_KILL:
        break;
    }
}

static void test_whatever_the_snapshot_says(void **state)
{
    (void)state;
    uint64_t seed = 0x9e3779b97f4a7c15U;
    size_t steps[HA_STEPS] = {0};
    for (int i = 0; i < TRIES; i++) {
        HaView view = i % 2 == 0 ? any_view(&seed) : near_view(&seed);
        check_decision(&view);
        steps[ha_decide(&view).step]++;
    }
    for (size_t i = 0; i < HA_STEPS; i++) { /* and each step was there */
        if (steps[i] == 0) {
            fail_msg("never: %s", ha_step_name((HaStep)i));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whatever_the_snapshot_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
