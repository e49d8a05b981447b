"""Whether what clients saw of registers can have happened one after the other, each operation at some moment between
its call and its answer: linearizability, after Wing & Gong and Lowe. Pure.

Keys are judged alone, as linearizability is local. Within a key the operations are walked through in the order of
calls and answers with every *configuration* that is possible so far: the register's value, and which of the open
operations have had their effect. The set of them is the memo: no configuration is looked at twice for one answer. An
operation whose outcome is unknown stays open for ever: it may have its effect at any time from its call on, or never.
"""
from collections import defaultdict
from dataclasses import dataclass

CONFIGURATIONS_MAX = 200_000  # for one answer; more is no verdict
SHOWN = 12                    # operations in front of the one that cannot be


@dataclass(frozen=True)
class Op:
    """kind: read (result: the value), write (value), cas (expected, value; result: whether it was done), add (value;
    result: the new one), at times of one clock. outcome: ok, failed (has had no effect), unknown."""
    process: str
    key: object
    kind: str
    invoked: int
    completed: int = None
    outcome: str = 'ok'
    value: object = None
    expected: object = None
    result: object = None

    def __str__(self):
        what = {'read': f'read = {self.result}', 'write': f'write {self.value}',
                'cas': f'cas {self.expected} -> {self.value} = {self.result}',
                'add': f'add {self.value} = {self.result}'}[self.kind]
        until = self.completed if self.outcome == 'ok' else self.outcome
        return f'[{self.invoked} .. {until}] {self.process} {self.key}: {what}'


class TooMany(Exception):
    """No verdict: too much is open at once."""


@dataclass(frozen=True)
class NotLinearizable:
    """The first answer that no order explains."""
    op: Op
    values: tuple  # that the register can have had in front of it
    before: tuple  # the operations of the key in front of it, and those that were open

    def __str__(self):
        lines = '\n'.join(f'    {op}' for op in self.before)
        return (f'not linearizable: {self.op}\n  the register was one of {list(self.values)[:SHOWN]}, after\n{lines}')


def step(value, op):
    """The register's value behind the operation, as a tuple of one; None where the answer cannot be."""
    if op.kind == 'read':
        return (value,) if value == op.result else None
    if op.kind == 'write':
        return (op.value,)
    if op.kind == 'cas':
        done = value == op.expected
        if op.outcome == 'ok' and op.result != done:
            return None
        return (op.value if done else value,)
    assert op.kind == 'add'
    added = (value or 0) + op.value
    return (added,) if op.outcome != 'ok' or op.result == added else None


def only_looks(op):
    return op.kind == 'read' or (op.kind == 'cas' and op.outcome == 'ok' and not op.result)


def _explain(configurations, op, number, opened):
    """The configurations in which `op` has had its effect, which is then no longer open."""
    done, seen = set(), set()
    todo = list(configurations)
    while todo:
        value, effective = todo.pop()
        still = [(other, step(value, opened[other])) for other in opened if other not in effective]
        # Who only looks, and fits, takes nothing from anybody: he goes first, and in no other order.
        effective = effective.union(other for other, after in still if after is not None and only_looks(opened[other]))
        if number in effective:
            done.add((value, effective - {number}))
            continue
        if (value, effective) in seen:
            continue
        seen.add((value, effective))
        if len(seen) > CONFIGURATIONS_MAX:
            raise TooMany(f'more than {CONFIGURATIONS_MAX} configurations at {op}, with {len(opened)} open')
        todo += [(after[0], effective | {other}) for other, after in still
                 if after is not None and other not in effective]
    return done


def _events(ops):
    """(time, 0 for a call and 1 for an answer, number), as they came; at the same time calls are first."""
    events = []
    for number, op in enumerate(ops):
        events.append((op.invoked, 0, number))
        if op.outcome == 'ok':
            events.append((op.completed, 1, number))
    return sorted(events)


def _counts(op):
    return op.outcome == 'ok' or (op.outcome == 'unknown' and op.kind != 'read')


def check_register(ops, initial=None):
    """The operations of one register; None where there is an order."""
    ops = [op for op in ops if _counts(op)]
    configurations = {(initial, frozenset())}
    opened = {}
    for _, answer, number in _events(ops):
        op = ops[number]
        if not answer:
            opened[number] = op
            continue
        after = _explain(configurations, op, number, opened)
        if not after:
            return _failure(ops, op, configurations, opened)
        configurations = after
        del opened[number]
    return None


def _failure(ops, op, configurations, opened):
    behind = sorted((other for other in ops if other.outcome == 'ok' and other.completed < op.completed),
                    key=lambda other: other.completed)[-SHOWN:]
    before = [*behind, *(other for other in opened.values() if other is not op)]
    return NotLinearizable(op, tuple(sorted({value for value, _ in configurations}, key=repr)), tuple(before))


def check_registers(ops, initial=None):
    """Of many registers: a list with what is wrong with each that is not linearizable."""
    by_key = defaultdict(list)
    for op in ops:
        by_key[op.key].append(op)
    found = (check_register(of_key, initial) for of_key in by_key.values())
    return [failure for failure in found if failure is not None]
