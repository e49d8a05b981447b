"""The checker of lists: it finds each anomaly by its name at the levels that forbid it, and nothing else."""
import copy

import pytest

from history import invented
from history.cycles import Graph
from history.lists import LEVELS, READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE, Txn, check_lists

ALL = set(LEVELS)
SNAPSHOTS = {SERIALIZABLE, REPEATABLE_READ}


def txn(text, invoked=1, completed=100, outcome='ok'):
    """'a x1 r x=1,2': appends 1 to x, reads x as [1, 2]. Called and answered at the same time as all others, where
    nothing is said."""
    ops = []
    for word in text.split():
        key, rest = word[0], word[1:]
        if rest.startswith('='):
            ops.append(('read', key, tuple(int(value) for value in rest[1:].split(',') if value)))
        else:
            ops.append(('append', key, int(rest)))
    return Txn('p', invoked, completed if outcome == 'ok' else None, outcome, ops)


# name: (transactions, {level: the name of what is found there})
BAD = {
    'lost': ([txn('x1', 1, 2), txn('x=', 3, 4)], {level: 'lost append' for level in LEVELS}),
    'lost later': ([txn('x1', 1, 2), txn('x2', 3, 4), txn('x=1', 5, 6)], {level: 'lost append' for level in LEVELS}),
    'lost of an unknown one that was seen': (
        [txn('x1 y1', 1, outcome='unknown'), txn('x=1', 2, 3), txn('y=', 4, 5)],
        {level: 'lost append' for level in LEVELS}),
    'there and gone': ([txn('x1', 1), txn('x=1', 2, 3), txn('x=', 4, 5)],
                       {level: 'G-single-realtime' for level in LEVELS}),
    'duplicate': ([txn('x1'), txn('x=1,1')], {level: 'duplicate append' for level in LEVELS}),
    'alien': ([txn('x1'), txn('x=1,7')], {level: 'alien' for level in LEVELS}),
    'of another list': ([txn('x1'), txn('y=1')], {level: 'alien' for level in LEVELS}),
    'aborted read': ([txn('x1', outcome='failed'), txn('x=1')], {level: 'aborted read (G1a)' for level in LEVELS}),
    'intermediate read': ([txn('x1 x2'), txn('x=1'), txn('x=1,2')],
                          {level: 'intermediate read (G1b)' for level in LEVELS}),
    'a fork': ([txn('x1'), txn('x2'), txn('x=1'), txn('x=2')], {level: 'incompatible order' for level in LEVELS}),
    'does not see itself': ([txn('x1 x='), txn('x=1', 101, 102)], {level: 'internal' for level in LEVELS}),
    'two reads differ': ([txn('x1'), txn('x= x=1')], {level: 'internal' for level in SNAPSHOTS}),
    'G0': ([txn('x1 y1'), txn('x2 y2'), txn('x=1,2'), txn('y=2,1')], {level: 'G0' for level in LEVELS}),
    'G1c': ([txn('x1 y=1'), txn('y1 x=1')], {level: 'G1c' for level in LEVELS}),
    'half of it seen': ([txn('x1 y1'), txn('x=1 y='), txn('y=1')], {level: 'G-single' for level in SNAPSHOTS}),
    'a lost update': ([txn('x=1 x2'), txn('x=1 x3'), txn('x1'), txn('x=1,2,3', 101, 102)],
                      {level: 'G-single' for level in SNAPSHOTS}),
    'write skew': ([txn('x= y1'), txn('y= x1'), txn('x=1'), txn('y=1')], {SERIALIZABLE: 'G2'}),
    'a long fork': ([txn('x1'), txn('y1'), txn('x=1 y='), txn('x= y=1')], {level: 'G2' for level in SNAPSHOTS}),
    'a stale read': ([txn('x1', 1, 2), txn('x=1', 1, 9), txn('x=', 3, 4)],
                     {level: 'G-single-realtime' for level in LEVELS}),
    'read from the future': ([txn('x=1', 1, 2), txn('x1', 3, 4)], {level: 'G1c-realtime' for level in LEVELS}),
    'written in front of what was answered': ([txn('x1', 1, 2), txn('x2', 3, 4), txn('x=2,1', 5, 6)],
                                              {level: 'G0-realtime' for level in LEVELS}),
    'an unknown one in front of what was answered': (
        [txn('x1', 1, 2), txn('x2', 3, outcome='unknown'), txn('x=2,1', 5, 6)],
        {level: 'G0-realtime' for level in LEVELS}),
}
GOOD = {
    'nothing': ([], ALL),
    'one after the other': ([txn('x1', 1, 2), txn('x=1 x2', 3, 4), txn('x=1,2', 5, 6)], ALL),
    'an unknown one was': ([txn('x1', 1, outcome='unknown'), txn('x=', 2, 3), txn('x=1', 4, 5)], ALL),
    'an unknown one was not': ([txn('x1', 1, outcome='unknown'), txn('x=', 2, 3), txn('x=', 4, 5)], ALL),
    'a failed one was not': ([txn('x1', 1, outcome='failed'), txn('x=', 4, 5)], ALL),
    'an append that a read beside it does not see': ([txn('x1', 1, 9), txn('x=', 2, 3)], ALL),
    'sees itself': ([txn('x1 x=1 x2 x=1,2')], ALL),
    'not between its own': ([txn('x1 x2'), txn('x=1,2')], ALL),
    'write skew': ([txn('x= y1'), txn('y= x1'), txn('x=1'), txn('y=1')], {REPEATABLE_READ, READ_COMMITTED}),
    'two reads differ': ([txn('x1'), txn('x= x=1')], {READ_COMMITTED}),
    'a lost update': ([txn('x=1 x2'), txn('x=1 x3'), txn('x1'), txn('x=1,2,3', 101, 102)], {READ_COMMITTED}),
    'half of it seen': ([txn('x1 y1'), txn('x=1 y='), txn('y=1')], {READ_COMMITTED}),
}


def names(txns, level):
    return {anomaly.name for anomaly in check_lists(txns, level)}


@pytest.mark.parametrize('level', LEVELS)
@pytest.mark.parametrize('name', BAD)
def test_bad(name, level):
    txns, expected = BAD[name]
    if level in expected:
        assert check_lists(txns, level)[0].name == expected[level]


@pytest.mark.parametrize('level', LEVELS)
@pytest.mark.parametrize('name', GOOD)
def test_good(name, level):
    txns, levels = GOOD[name]
    assert (names(txns, level) == set()) == (level in levels), check_lists(txns, level)


@pytest.mark.parametrize('level', LEVELS)
def test_no_false_alarm(level):
    for seed in range(100):
        assert check_lists(invented.lists(seed, level), level) == [], seed


def test_snapshots_are_not_serializable():
    """What keeps to the weaker level alone is found to break the stronger one, often enough."""
    broken = sum(bool(check_lists(invented.lists(seed, REPEATABLE_READ), SERIALIZABLE)) for seed in range(60))
    assert broken > 30


@pytest.mark.parametrize('level', LEVELS)
def test_one_lost_append_is_found_wherever_it_is(level):
    txns = invented.lists(1, level)
    for key, values in [(key, values) for kind, key, values in txns[-1].ops]:
        for value in values:
            writer = next(one for one in txns if (key, value) in one.appends())
            if writer.outcome != 'ok':
                continue
            changed = [copy.copy(one) for one in txns]
            for one in changed:
                one.ops = [(kind, at, tuple(v for v in what if v != value) if kind == 'read' and at == key else what)
                           for kind, at, what in one.ops]
            assert {'lost append', 'internal'} & names(changed, level)


def test_many_of_a_kind_are_counted():
    txns = [*(txn(f'x{value}', value, value + 1) for value in range(1, 20)), txn('x=', 50, 51)]
    found = check_lists(txns, SERIALIZABLE)
    assert [anomaly.name for anomaly in found] == ['lost append'] * 6 and found[-1].text == '14 more'


def test_a_cycle_says_who_and_why():
    anomaly, = check_lists(BAD['write skew'][0], SERIALIZABLE)
    assert str(anomaly).count('\n    rw') == 2 and 'read x = []' in str(anomaly)


def test_components():
    graph = Graph(6)
    for source, target, label in [(0, 1, 'a'), (1, 2, 'a'), (2, 0, 'b'), (2, 3, 'a'), (3, 4, 'a'), (4, 3, 'a'),
                                  (5, 5, 'a')]:
        graph.edge(source, target, label)
    assert sorted(map(sorted, graph.components({'a', 'b'}))) == [[0, 1, 2], [3, 4]]
    assert graph.components({'a'}) == [{3, 4}]
    assert graph.cycle({0, 1, 2}, {'a', 'b'}) == [(0, 'a'), (1, 'a'), (2, 'b')]


def test_a_long_line_is_no_recursion():
    graph = Graph(100_000)
    for vertex in range(99_999):
        graph.edge(vertex, vertex + 1, 'a')
    assert graph.components({'a'}) == []
    graph.edge(99_999, 0, 'a')
    assert len(graph.components({'a'})[0]) == 100_000
