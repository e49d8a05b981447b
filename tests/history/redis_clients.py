"""Clients of a replication group that do what the checkers can judge: registers by single commands and a script, lists
by single commands and transactions. Nothing is tried twice."""
import re

import redis

from history.lists import SERIALIZABLE, Txn
from history.notes import Client, now
from history.registers import Op

RECONNECT_S = 0.05
CAS = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) return 1 end return 0"
# What says that nothing was carried out (docs/front.md); Redis's own words for a transaction that it gives up.
DEFINITE = ('nothing was carried out', "can't write against a read only replica", 'Transaction discarded because of',
            'Transaction contains write commands but instance is now a read-only replica', 'is loading the dataset',
            ' connecting to ')
UNKNOWN = ('is not known',)
CONNECTION = (redis.ConnectionError, redis.TimeoutError)


def outcome_of_error(error):
    if any(word in str(error) for word in DEFINITE):
        return 'failed'
    assert isinstance(error, CONNECTION) or any(word in str(error) for word in UNKNOWN), repr(error)
    return 'unknown'


def said(error):
    return re.sub(r'[\d.]+:\d+', '…', f'{type(error).__name__} {error}')[:60]


class RedisClient(Client):
    """connect() gives a client whose answers are text."""

    close_errors = (redis.RedisError, OSError)

    def is_connected(self):
        if self.connection is None:
            try:
                self.connection = self.connect()
                self.connection.ping()
            except redis.RedisError as error:
                self.notes.errors['connect', said(error)] += 1
                self.close()
                self.ended.wait(RECONNECT_S)
        return self.connection is not None

    def after_error(self, doing, error):
        self.notes.errors[doing, said(error)] += 1
        outcome = outcome_of_error(error)
        if isinstance(error, CONNECTION):
            self.close()
        self.life += outcome == 'unknown'
        return outcome


class RegisterClient(RedisClient):
    def step(self):
        if not self.is_connected():
            return
        key = self.keys.pick(self.dice)
        kind = self.dice.choices(('read', 'write', 'cas', 'add'), (4, 3, 1, 2))[0]
        value = next(self.notes.values)
        expected = self.dice.randrange(max(1, value - 50), value + 1)
        call = {'process': self.process, 'key': key, 'kind': kind, 'invoked': now(), 'value': value,
                'expected': expected}
        try:
            result = self._do(kind, f'register:{key}', value, expected)
            completed = self.acknowledged()
        except redis.RedisError as error:
            outcome = self.after_error(kind, error)
            self.notes.registers.append(Op(**call, outcome=outcome))
            if outcome == 'unknown':
                self.keys.unknown(key)
            return
        self.notes.registers.append(Op(**call, completed=completed, result=result))

    def _do(self, kind, name, value, expected):
        if kind == 'read':
            return as_number(self.connection.get(name))
        if kind == 'write':
            self.connection.set(name, value)
            return None
        if kind == 'cas':
            return bool(self.connection.eval(CAS, 1, name, expected, value))
        return self.connection.incrby(name, value)


def as_number(text):
    return None if text is None else int(text)


def as_list(texts):
    return tuple(int(text) for text in texts)


class ListClient(RedisClient):
    def step(self):
        if not self.is_connected():
            return
        keys = [self.keys.pick(self.dice) for _ in range(self.dice.choice((1, 1, 2, 3)))]
        plan = [('append', key, next(self.notes.values)) if self.dice.random() < 0.5 else ('read', key, None)
                for key in keys]
        txn = Txn(self.process, now(), ops=list(plan))
        try:
            answers = self._do(plan)
            txn.completed = self.acknowledged()
        except redis.RedisError as error:
            txn.outcome = self.after_error('transaction' if len(plan) > 1 else plan[0][0], error)
            answers = []
        for number, answer in enumerate(answers):
            kind, key, _ = plan[number]
            if kind == 'read':
                txn.ops[number] = (kind, key, as_list(answer))
        self.notes.lists[SERIALIZABLE].append(txn)

    def _do(self, plan):
        if len(plan) == 1:
            return [self._call(self.connection, *plan[0])]
        with self.connection.pipeline(transaction=True) as pipe:
            for op in plan:
                self._call(pipe, *op)
            return pipe.execute()

    @staticmethod
    def _call(target, kind, key, value):
        return target.rpush(f'list:{key}', value) if kind == 'append' else target.lrange(f'list:{key}', 0, -1)


def read_all(client, notes, name):
    """Everything that is there, as reads that everybody's history has. Returns it."""
    found = {}
    for key in {op.key for op in notes.registers}:
        invoked = now()
        value = as_number(client.get(f'register:{key}'))
        notes.registers.append(Op(name, key, 'read', invoked, now(), result=value))
        found['register', key] = value
    for key in {key for txn in notes.lists[SERIALIZABLE] for _, key, _ in txn.ops}:
        invoked = now()
        values = as_list(client.lrange(f'list:{key}', 0, -1))
        notes.lists[SERIALIZABLE].append(Txn(name, invoked, now(), ops=[('read', key, values)]))
        found['list', key] = values
    return found
