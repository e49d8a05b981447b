"""The parts of a trial that need no tier: the faults that a seed tells, and what an error says of a transaction."""
import itertools
import random

import pytest
import redis

from history import faults, redis_clients
from history.notes import UNKNOWN_PER_KEY, Keys, Notes, outcome_of_error


def first_rounds(seed, count=50):
    return list(itertools.islice(faults.rounds(seed), count))


def test_a_seed_tells_the_same_again():
    assert first_rounds(7) == first_rounds(7) != first_rounds(8)


def test_all_kinds_come():
    struck = [fault for round_faults, _ in first_rounds(1, 300) for fault in round_faults]
    assert {(fault.kind, fault.role) for fault in struck} == {(kind, role) for kind, _, roles in faults.KINDS
                                                               for role in roles}
    assert {fault.resource for fault in struck} == {faults.DATABASE, faults.CACHE}
    assert all((fault.seconds > 0) == fault.kind.startswith('stop-') for fault in struck)
    assert all(0 <= fault.after_s <= 5 and 0 <= fault.choice < 1 for fault in struck)
    assert {len(round_faults) for round_faults, _ in first_rounds(1, 300)} == set(range(1, faults.BURST_MAX + 1))


@pytest.mark.parametrize('decided, sqlstate, outcome', [
    (False, '40001', 'failed'), (False, '08007', 'failed'), (False, None, 'failed'), (False, '57P01', 'failed'),
    (True, '40001', 'failed'), (True, '40P01', 'failed'), (True, '08001', 'failed'), (True, '08007', 'unknown'),
    (True, '57P01', 'unknown'), (True, None, 'unknown'), (True, '08006', 'unknown'),
])
def test_what_an_error_says(decided, sqlstate, outcome):
    assert outcome_of_error(decided, sqlstate) == outcome


@pytest.mark.parametrize('error, outcome', [
    (redis.BusyLoadingError('Weir has no primary for this at the moment; nothing was carried out'), 'failed'),
    (redis.ReadOnlyError("You can't write against a read only replica."), 'failed'),
    (redis.exceptions.ExecAbortError('Transaction discarded because of previous errors.'), 'failed'),
    (redis.ConnectionError('Error 111 connecting to 127.1.1.3:6379. Connection refused.'), 'failed'),
    (redis.ResponseError('UNAVAILABLE Weir: the connection to the node was lost; whether this was carried out is not '
                         'known'), 'unknown'),
    (redis.ConnectionError('Connection closed by server.'), 'unknown'),
    (redis.TimeoutError('Timeout reading from socket'), 'unknown'),
])
def test_what_an_error_of_a_cache_says(error, outcome):
    assert redis_clients.outcome_of_error(error) == outcome


def test_an_error_that_nobody_expects():
    with pytest.raises(AssertionError):
        redis_clients.outcome_of_error(redis.ResponseError('ERR EXEC without MULTI'))


def test_keys_take_turns():
    keys, dice = Keys(2, 10), random.Random(1)
    picked = [keys.pick(dice) for _ in range(100)]
    assert max(map(picked.count, picked)) <= 11 and len(set(picked)) > 5
    unsure = keys.pick(dice)
    for _ in range(UNKNOWN_PER_KEY):
        keys.unknown(unsure)
    for _ in range(20):
        keys.pick(dice)
    assert unsure not in [keys.pick(dice) for _ in range(20)]


def test_the_longest_gap():
    notes = Notes()
    assert notes.gap(1, 3_000_000_001) == (3, 1)
    notes.acknowledged += [5_000_000_000, 1_000_000_000, 2_000_000_000]
    assert notes.gap(500_000_000, 6_000_000_000) == (3, 2_000_000_000)
    assert notes.gap(500_000_000, 9_000_000_000) == (4, 5_000_000_000)
