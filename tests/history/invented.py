"""Histories of a database that keeps its promises, on invented time: what a checker must not complain about."""
import random

from history.lists import REPEATABLE_READ, SERIALIZABLE, Txn
from history.registers import Op

LOST = 0.1  # of all answers


def registers(seed, clients=4, steps=40, keys=2):
    """Each operation has its effect at one moment between its call and its answer, which may be lost."""
    dice = random.Random(seed)
    values, ops = {}, []
    waiting = {client: None for client in range(clients)}  # (call, key, kind, value, expected, result or None)
    free = list(range(clients))
    now = 0
    for number in range(steps * clients):
        now += 1
        client = dice.choice(free)
        if waiting[client] is None:
            kind = dice.choice(('read', 'write', 'cas', 'add'))
            waiting[client] = [now, dice.randrange(keys), kind, number, None, None]
            continue
        call, key, kind, value, expected, result = waiting[client]
        lost = dice.random() < LOST
        if result is None and (not lost or dice.random() < 0.5):
            old = values.get(key)
            expected = old if dice.random() < 0.5 else number
            result = {'read': old, 'write': None, 'cas': old == expected, 'add': (old or 0) + value}[kind]
            values[key] = {'read': old, 'write': value, 'cas': value if old == expected else old,
                           'add': result}[kind]
        done = dict(value=value, expected=expected)
        if lost:
            ops.append(Op(f'{client}/{number}', key, kind, call, None, 'unknown', **done))
        else:
            ops.append(Op(str(client), key, kind, call, now, result=result, **done))
        waiting[client] = None
    return ops


class Database:
    """Lists under snapshot isolation, or one transaction after the other where it is to be serializable."""

    def __init__(self, level):
        self.level = level
        self.lists = {}

    def begin(self):
        return dict(self.lists)

    def commit(self, snapshot, own):
        """Whether nobody was faster."""
        keys = own if self.level != SERIALIZABLE else {*own, *snapshot, *self.lists}
        if any(self.lists.get(key, ()) != snapshot.get(key, ()) for key in keys):
            return False
        for key, values in own.items():
            self.lists[key] = self.lists.get(key, ()) + values
        return True


def lists(seed, level, clients=5, steps=60, keys=3):
    """Transactions that run among each other; some fail, of some the answer is lost."""
    dice = random.Random(seed)
    database = Database(level if level == SERIALIZABLE else REPEATABLE_READ)
    running = {}  # client -> (Txn, snapshot, own appends)
    txns = []
    for now in range(1, steps * clients):
        client = dice.randrange(clients)
        if client not in running:
            running[client] = (Txn(str(client), now), database.begin(), {})
            continue
        txn, snapshot, own = running[client]
        key = dice.randrange(keys)
        if dice.random() < 0.7:
            if dice.random() < 0.5:
                own[key] = own.get(key, ()) + (now,)
                txn.ops.append(('append', key, now))
            else:
                txn.ops.append(('read', key, snapshot.get(key, ()) + own.get(key, ())))
            continue
        del running[client]
        lost = dice.random() < LOST
        done = (not lost or dice.random() < 0.5) and database.commit(snapshot, own)
        txn.outcome = 'unknown' if lost else 'ok' if done else 'failed'
        txn.completed = None if lost else now
        txns.append(txn)
    end = steps * clients
    return [*txns, Txn('last', end, end + 1, ops=[('read', key, database.lists.get(key, ())) for key in range(keys)])]
