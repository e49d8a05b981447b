"""Clients of PostgreSQL that do what the checkers can judge. A transaction is tried once: whoever repeats it makes
another one, with values of its own."""
import contextlib

import psycopg

from history.lists import LEVELS, READ_COMMITTED, Txn
from history.notes import DEFINITE, UNKNOWN, Client, now, outcome_of_error
from history.registers import Op

TABLES = {level: f'lists_{number}' for number, level in enumerate(LEVELS)}
PINNED = 0.15    # of all connections: they have a temporary table
AT_ONCE = 0.25   # of all transactions: in one text
TOUCHED_MAX = 4  # lists in one transaction
RECONNECT_S = 0.05
# What ends a connection that nothing binds, with a word: nobody is there in time; PostgreSQL's own, where a planned
# change waits for a transaction no longer.
ENDING = {'08001', '53300', '57P03', '57P01'}

READ = 'SELECT value FROM registers WHERE key = %s'
WRITE = ('INSERT INTO registers VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value')
CAS = 'UPDATE registers SET value = %s WHERE key = %s AND value = %s'
ADD = ('INSERT INTO registers VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = registers.value + excluded.value '
       'RETURNING value')


def make_tables(connection):
    connection.execute('DROP TABLE IF EXISTS registers')
    connection.execute('CREATE TABLE registers (key bigint PRIMARY KEY, value bigint)')
    for table in TABLES.values():
        connection.execute(f'DROP TABLE IF EXISTS {table}')
        connection.execute(f'CREATE TABLE {table} (key bigint PRIMARY KEY, items bigint[])')


class SqlClient(Client):
    """connect(cursor_factory) gives a connection in autocommit, and whether a node that is lost may take it along."""

    close_errors = (psycopg.Error,)

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.bound = False  # to a server connection, and ends with it

    def is_connected(self):
        if self.connection is not None and not self.connection.closed:
            return True
        try:
            simple = self.dice.random() < 0.5
            factory = psycopg.ClientCursor if simple else psycopg.Cursor
            self.connection, self.bound = self.connect(cursor_factory=factory)
            if self.dice.random() < PINNED:
                self.bound = True
                self.connection.execute('CREATE TEMPORARY TABLE mine ()')
        except psycopg.Error as error:
            self.note_error('connect', error)
            self.close()
            self.ended.wait(RECONNECT_S)
            return False
        return True

    def note_error(self, doing, error):
        self.notes.errors[doing, error.sqlstate] += 1
        known = error.sqlstate in DEFINITE or error.sqlstate in UNKNOWN
        assert known or doing == 'connect', f'{self.name}, {doing}: {error.sqlstate}: {error}'

    def after_error(self, doing, decided, error):
        """The outcome; the connection is as new, or gone."""
        self.note_error(doing, error)
        with contextlib.suppress(psycopg.Error):
            if not self.connection.closed and self.connection.info.transaction_status:
                self.connection.execute('ROLLBACK')
        if self.connection.closed and not self.bound and error.sqlstate not in ENDING:
            self.notes.cut.append((now(), f'{self.name}, {doing}: {error.sqlstate}: {error}'))
        outcome = outcome_of_error(decided, error.sqlstate)
        self.life += outcome == 'unknown'
        return outcome


class RegisterClient(SqlClient):
    """Statements outside of transactions."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.seen = {}  # what it knows of its keys, for a cas that may succeed

    def step(self):
        if not self.is_connected():
            return
        key = self.keys.pick(self.dice)
        kind = self.dice.choices(('read', 'write', 'cas', 'add'), (4, 3, 2, 1))[0]
        value = next(self.notes.values)
        expected = self.seen.get(key) or 0
        process, invoked = self.process, now()
        call = {'process': process, 'key': key, 'kind': kind, 'invoked': invoked, 'value': value, 'expected': expected}
        try:
            result = self._do(kind, key, value, expected)
            completed = self.acknowledged()
        except psycopg.Error as error:
            outcome = self.after_error(kind, kind != 'read', error)
            self.notes.registers.append(Op(**call, outcome=outcome))
            if outcome == 'unknown':
                self.keys.unknown(key)
            return
        self.notes.registers.append(Op(**call, completed=completed, result=result))
        written = kind == 'write' or (kind == 'cas' and result)
        self.seen[key] = value if written else result if kind != 'cas' else expected

    def _do(self, kind, key, value, expected):
        run = self.connection.execute
        if kind == 'read':
            row = run(READ, (key,)).fetchone()
            return row and row[0]
        if kind == 'write':
            run(WRITE, (key, value))
            return None
        if kind == 'cas':
            return run(CAS, (value, key, expected)).rowcount == 1
        return run(ADD, (key, value)).fetchone()[0]


class ListClient(SqlClient):
    """Transactions of one isolation level."""

    def __init__(self, *arguments, level):
        super().__init__(*arguments)
        self.level = level
        self.table = TABLES[level]

    def _plan(self):
        """[(kind, key, value or None)]; mostly in the order of keys, so that few block each other."""
        keys = [self.keys.pick(self.dice) for _ in range(self.dice.randint(1, TOUCHED_MAX))]
        if self.dice.random() < 0.9:
            keys.sort()
        return [('append', key, next(self.notes.values)) if self.dice.random() < 0.5 else ('read', key, None)
                for key in keys]

    def _statement(self, kind, key, value):
        if kind == 'read':
            return f'SELECT items FROM {self.table} WHERE key = %s', (key,)
        return (f'INSERT INTO {self.table} VALUES (%s, ARRAY[%s::bigint]) ON CONFLICT (key) DO UPDATE '
                f'SET items = {self.table}.items || excluded.items', (key, value))

    def step(self):
        if not self.is_connected():
            return
        plan = self._plan()
        txn = Txn(self.process, now(), ops=list(plan))
        one = self.level == READ_COMMITTED and len(plan) == 1
        way = self._alone if one else self._at_once if self.dice.random() < AT_ONCE else self._by_steps
        self.doing, self.decided = 'begin', False
        try:
            way(txn, plan)
            txn.completed = self.acknowledged()
        except psycopg.Error as error:
            txn.outcome = self.after_error(self.doing, self.decided, error)
        self.notes.lists[self.level].append(txn)

    def _take(self, txn, number, cursor):
        kind, key, _ = txn.ops[number]
        if kind == 'read':
            row = cursor.fetchone()
            txn.ops[number] = (kind, key, tuple(row[0]) if row else ())

    def _alone(self, txn, plan):
        self.doing, self.decided = 'alone', True
        self._take(txn, 0, self.connection.execute(*self._statement(*plan[0])))

    def _by_steps(self, txn, plan):
        self.connection.execute(f'BEGIN ISOLATION LEVEL {self.level}')
        self.doing = 'within'
        for number, op in enumerate(plan):
            self._take(txn, number, self.connection.execute(*self._statement(*op)))
        self.doing, self.decided = 'commit', True
        self.connection.execute('COMMIT')

    def _at_once(self, txn, plan):
        """In one text, whose end is sent with its beginning."""
        cursor = psycopg.ClientCursor(self.connection)
        texts = [cursor.mogrify(*self._statement(*op)) for op in plan]
        self.doing, self.decided = 'at once', True
        cursor.execute('; '.join([f'BEGIN ISOLATION LEVEL {self.level}', *texts, 'COMMIT']))
        for number in range(len(plan)):
            cursor.nextset()
            self._take(txn, number, cursor)


def read_all(run, notes, name):
    """Everything that is there, as reads that everybody's history has; run(statement) gives its rows. Returns it."""
    found = {}
    invoked = now()
    found['registers'] = dict(run('SELECT key, value FROM registers'))
    completed = now()
    for key in {op.key for op in notes.registers}:
        notes.registers.append(Op(name, key, 'read', invoked, completed, result=found['registers'].get(key)))
    for level, table in TABLES.items():
        txn = Txn(name, now())
        found[table] = {key: tuple(items) for key, items in run(f'SELECT key, items FROM {table}')}
        txn.completed = now()
        keys = {key for other in notes.lists[level] for _, key, _ in other.ops}
        txn.ops = [('read', key, found[table].get(key, ())) for key in keys]
        notes.lists[level].append(txn)
    return found
