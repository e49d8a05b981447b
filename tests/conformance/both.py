"""A client's two ways to PostgreSQL, directly and through a pool, and the stranger with whom it shares the second."""
import contextlib
import difflib

import pytest

from support.pool import ANN, PORT, Proxy
from support.wire import SYNC, Wire, bind, close, execute, parse, query, run


def wire(host, user=ANN, **startup):
    return Wire(host, PORT, user['user'], user['password'], 'app', **startup)


class Place:
    """Where a client connects to."""

    def __init__(self, host, ca=None):
        self.host = str(host)
        self.ca = ca  # of the proxy's certificate; None: no TLS

    def settings(self, user=ANN):
        """As libpq calls them."""
        tls = {'sslmode': 'verify-full', 'sslrootcert': str(self.ca)} if self.ca else {'sslmode': 'disable'}
        return {'host': self.host, 'port': PORT, 'dbname': 'app', 'connect_timeout': 10, **tls, **user}

    def environment(self, user=ANN):
        """For programs."""
        names = {'host': 'PGHOST', 'port': 'PGPORT', 'dbname': 'PGDATABASE', 'user': 'PGUSER', 'password': 'PGPASSWORD',
                 'sslmode': 'PGSSLMODE', 'sslrootcert': 'PGSSLROOTCERT'}
        return {names[key]: str(setting) for key, setting in self.settings(user).items() if key in names}


class Stranger:
    """Another client on the same server connection. Each visit leaves what would disturb somebody else."""

    def __init__(self, host, **startup):
        self.wire = wire(host, **startup)
        self.visits = 0
        self.habits = [self.sets, self.takes_names, self.only_reads, self.fails, self.uses_what_has_no_name,
                       self.moves_a_sequence, self.resets]

    def visit(self):
        self.habits[self.visits % len(self.habits)]()
        self.visits += 1

    def sets(self):
        self.wire.ask(query("SET work_mem = '77MB'; SET TimeZone = 'Etc/GMT+7'; SET search_path = 'strange'"))
        assert self.wire.rows('SHOW work_mem') == [('77MB',)]

    def only_reads(self):
        self.wire.ask(query('SET default_transaction_read_only = on'))

    def takes_names(self):
        for name in ('s', 'z', 'n', 'f', 'set', 'own', 'ch', '__asyncpg_stmt_1__', '_pg3_0', 'S_1', 'node', '_p1', 's0',
                     'sqlx_s_1', 'ecto_0', 'a1', 'pdo_stmt_00000001'):
            self.wire.ask(close('S', name), parse("SELECT 'strange'", name), bind(name, 'p'), execute('p'), SYNC)

    def fails(self):
        self.wire.ask(query('BEGIN; DECLARE c CURSOR FOR SELECT 1; SET DateStyle = sql; SELECT 1/0'))
        self.wire.ask(query('ROLLBACK'))

    def uses_what_has_no_name(self):
        self.wire.ask(run("SELECT 'strange', $1", ['x']), SYNC)

    def moves_a_sequence(self):
        self.wire.ask(query('RESET default_transaction_read_only'))
        self.wire.ask(query("SELECT nextval('public.strangers')"))

    def resets(self):
        self.wire.ask(query('DISCARD ALL'))


@contextlib.contextmanager
def proxy_of(weir, folder, authority, database, servers, workers=1):
    """A pool of so many server connections."""
    proxy = Proxy(weir, folder, authority, database)
    try:
        proxy.configure({'max_connections_percent': 10 * servers, 'connection_borrow_timeout_s': 10}, workers=workers)
        yield proxy
    finally:
        code = proxy.plane.close()
    assert code == 0, f'the proxy ended with {code}'


def same(theirs, ours):
    """Fails with what differs, in the form of a patch."""
    if ours != theirs:
        before, after = ([repr(step)[:300] for step in story] for story in (theirs, ours))
        pytest.fail('\n'.join(difflib.unified_diff(before, after, 'directly', 'through the pool', n=4, lineterm='')))


def told_twice(story, database, proxy, **startup):
    """A story is a function of a place and of what it calls when it has no transaction open; it returns what it saw.
    `startup` is what its driver logs in with, for only those with the same share server connections."""
    database.run('TRUNCATE notes RESTART IDENTITY')
    theirs = story(Place(database.address), lambda: None)
    database.run('TRUNCATE notes RESTART IDENTITY')
    stranger = Stranger(proxy.address, **startup)
    with stranger.wire:
        ours = story(Place(proxy.address, proxy.authority.ca), stranger.visit)
    same(theirs, ours)
