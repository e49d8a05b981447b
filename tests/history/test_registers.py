"""The checker of registers: it finds what no order explains, and nothing else."""
import dataclasses
import itertools
import random

import pytest

from history import invented, registers
from history.registers import Op, TooMany, check_register, check_registers, step


def op(text, invoked, completed, *words):
    """read VALUE | write VALUE | cas OLD NEW DONE | add N RESULT; completed None: unknown."""
    kind, *rest = words
    fields = {'read': ('result',), 'write': ('value',), 'cas': ('expected', 'value', 'result'),
              'add': ('value', 'result')}[kind]
    return Op(text, 'x', kind, invoked, completed, 'ok' if completed is not None else 'unknown',
              **dict(zip(fields, rest)))


GOOD = {
    'nothing': [],
    'one after the other': [op('a', 1, 2, 'write', 1), op('b', 3, 4, 'read', 1)],
    'a read beside a write sees it': [op('a', 1, 9, 'write', 1), op('b', 2, 3, 'read', 1)],
    'a read beside a write does not see it': [op('a', 1, 9, 'write', 1), op('b', 2, 3, 'read', None)],
    'two writes in the order that a read tells': [op('a', 1, 9, 'write', 1), op('b', 1, 9, 'write', 2),
                                                  op('c', 10, 11, 'read', 1)],
    'an unknown write has its effect late': [op('a', 1, None, 'write', 1), op('b', 3, 4, 'read', None),
                                             op('b', 5, 6, 'read', None), op('b', 7, 8, 'read', 1)],
    'an unknown write never has one': [op('a', 1, None, 'write', 1), op('b', 3, 4, 'read', None)],
    'an unknown cas': [op('a', 1, 2, 'write', 1), op('b', 3, None, 'cas', 1, 2), op('c', 4, 5, 'read', 2)],
    'a cas beside another': [op('a', 1, 2, 'write', 1), op('b', 3, 9, 'cas', 1, 2, True),
                             op('c', 3, 9, 'cas', 1, 3, False)],
    'counted': [op('a', 1, 9, 'add', 1, 2), op('b', 1, 9, 'add', 1, 1), op('c', 10, 11, 'read', 2)],
    'an unknown one was counted': [op('a', 1, None, 'add', 1), op('b', 3, 4, 'add', 1, 2)],
    'a read between two writes of which one was answered': [op('r', 1, 20, 'read', 1), op('a', 2, 3, 'write', 1),
                                                            op('b', 4, 5, 'write', 2), op('c', 6, 7, 'read', 2)],
}
BAD = {
    'a lost write': [op('a', 1, 2, 'write', 1), op('b', 3, 4, 'read', None)],
    'a stale read': [op('a', 1, 2, 'write', 1), op('a', 3, 4, 'write', 2), op('b', 5, 6, 'read', 1)],
    'a read of what nobody wrote': [op('a', 1, 2, 'write', 1), op('b', 3, 4, 'read', 7)],
    'a read before the call': [op('b', 1, 2, 'read', 1), op('a', 3, 4, 'write', 1)],
    'there and gone': [op('a', 1, 9, 'write', 1), op('b', 2, 3, 'read', 1), op('b', 4, 5, 'read', None)],
    'an unknown write there and gone': [op('a', 1, None, 'write', 1), op('b', 2, 3, 'read', 1),
                                        op('b', 4, 5, 'read', None)],
    'two readers see two orders': [op('a', 1, 20, 'write', 1), op('b', 1, 20, 'write', 2), op('c', 2, 3, 'read', 1),
                                   op('c', 4, 5, 'read', 2), op('d', 6, 7, 'read', 1), op('e', 21, 22, 'read', 1)],
    'two cas of the same value': [op('a', 1, 2, 'write', 1), op('b', 3, 9, 'cas', 1, 2, True),
                                  op('c', 3, 9, 'cas', 1, 3, True)],
    'a cas that should have been done': [op('a', 1, 2, 'write', 1), op('b', 3, 4, 'cas', 1, 2, False)],
    'counted twice': [op('a', 1, 2, 'add', 1, 1), op('b', 3, 4, 'add', 1, 3)],
    'not counted': [op('a', 1, 2, 'add', 1, 1), op('b', 3, 4, 'add', 1, 1)],
    'an unknown write has its effect twice': [op('a', 1, None, 'write', 1), op('b', 2, 3, 'read', 1),
                                              op('c', 4, 5, 'write', 2), op('b', 6, 7, 'read', 1)],
}


@pytest.mark.parametrize('name', GOOD)
def test_good(name):
    assert check_register(GOOD[name]) is None


@pytest.mark.parametrize('name', BAD)
def test_bad(name):
    failure = check_register(BAD[name])
    assert failure is not None
    assert str(failure.op) in str(failure)


def test_what_failed_had_no_effect():
    failed = dataclasses.replace(op('a', 1, None, 'write', 1), outcome='failed')
    assert check_register([failed, op('b', 3, 4, 'read', None)]) is None
    assert check_register([failed, op('b', 3, 4, 'read', 1)]) is not None


def test_a_read_without_an_answer_says_nothing():
    assert check_register([op('a', 1, None, 'read', 7), op('b', 3, 4, 'read', None)]) is None


def test_keys_are_judged_alone():
    ops = [dataclasses.replace(one, key=name) for name, history in {**GOOD, **BAD}.items() for one in history]
    assert {failure.op.key for failure in check_registers(ops)} == set(BAD)


def test_no_false_alarm():
    for seed in range(300):
        assert not check_registers(invented.registers(seed)), seed


def is_possible(ops):
    """By trying every order, and for each unknown operation that it never was."""
    known = [one for one in ops if one.outcome == 'ok']
    unknown = [one for one in ops if one.outcome == 'unknown' and one.kind != 'read']
    for count in range(len(unknown) + 1):
        for some in itertools.combinations(unknown, count):
            for order in itertools.permutations([*known, *some]):
                if fits(order):
                    return True
    return False


def fits(order):
    for number, one in enumerate(order):
        if any(later.outcome == 'ok' and later.completed < one.invoked for later in order[number + 1:]):
            return False
    value = None
    for one in order:
        after = step(value, one)
        if after is None:
            return False
        value, = after
    return True


def a_small_history(seed):
    dice = random.Random(seed)
    ops = []
    for number in range(6):
        kind = dice.choice(('read', 'write', 'cas', 'add'))
        invoked = dice.randrange(12)
        unknown = dice.random() < 0.2
        small = [dice.choice((None, 1, 2)) if kind == 'read' else dice.choice((1, 2)) for _ in range(3)]
        ops.append(Op(str(number), 'x', kind, invoked, None if unknown else invoked + 1 + dice.randrange(8),
                      'unknown' if unknown else 'ok', small[0], small[1],
                      dice.random() < 0.5 if kind == 'cas' else small[2]))
    return ops


def test_the_same_as_trying_every_order():
    good = 0
    for seed in range(400):
        ops = a_small_history(seed)
        assert (check_register(ops) is None) == is_possible(ops), seed
        good += is_possible(ops)
    assert 50 < good < 350


def test_too_much_at_once_is_no_verdict(monkeypatch):
    monkeypatch.setattr(registers, 'CONFIGURATIONS_MAX', 1000)
    ops = [op(str(number), 1, None, 'write', number) for number in range(12)]
    with pytest.raises(TooMany):
        check_register([*ops, op('b', 3, 4, 'read', 100)])
