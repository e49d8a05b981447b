"""Clients share server connections, and nobody meets what somebody else has left: what stays behind on a connection pins
its session, as long as it is there."""
import contextlib
import random
import threading
import time

import psycopg
import pytest

from support.pool import ANN, BOB, authority, one_server, pool, postgres, proxy

pytestmark = pytest.mark.timeout(120)


def test_more_clients_than_servers(pool, postgres):
    pool.configure({'max_connections_percent': 30})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(pool.connect()) for _ in range(40)]
        seen = set()
        for _ in range(3):
            for client in clients:
                seen.add(pool.pid_of(client))
        assert len(seen) <= 3
        with clients[0].transaction(), clients[1].transaction():
            assert pool.pid_of(clients[0]) != pool.pid_of(clients[1])
        status = pool.await_status(lambda s: s['clients'] == 40)
        assert status['servers'] <= 3 and status['clients_pinned'] == 0
        assert len(postgres.backends()) <= 3


def test_many_at_once(pool):
    pool.configure({'max_connections_percent': 30})
    errors = []

    def work(number):
        try:
            with pool.connect(ANN if number % 2 else BOB) as connection:
                for turn in range(20):
                    with connection.transaction():
                        assert connection.execute('SELECT %s::text, %s', (f'{number}', turn)).fetchone() == (
                            f'{number}', turn)
                        connection.execute('SELECT pg_sleep(0.001)')
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


# ---- what pins ----------------------------------------------------------------------------------

def test_what_pins(pool):
    with pool.connect() as connection:
        connection.execute("PREPARE mine AS SELECT 'mine'")
        pid = pool.pid_of(connection)
        with pool.connect() as other:
            for _ in range(5):
                assert pool.pid_of(other) != pid
                assert other.execute('SELECT count(*) FROM pg_prepared_statements').fetchone() == (0,)
        assert connection.execute('EXECUTE mine').fetchone() == ('mine',)
        assert pool.pid_of(connection) == pid
        assert pool.await_status(lambda s: s['clients_pinned'] == 1)['pinned'] == {'sql_prepare': 1}
    # Its server connection went with it.
    with pool.connect() as other:
        assert pool.pid_of(other) != pid
    assert pool.await_status(lambda s: s['clients_pinned'] == 0)


@pytest.mark.parametrize('pin, end', [
    ('SELECT pg_advisory_lock(7)', 'SELECT pg_advisory_unlock(7)'),
    ('SELECT pg_advisory_lock(7)', 'SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL'),
    ('CREATE TEMP TABLE unpins (a int)', 'DROP TABLE unpins'),
    ('CREATE TEMP TABLE unpins (a int)', 'DISCARD TEMP'),
    ('BEGIN; CREATE TEMP TABLE unpins (a int) ON COMMIT DROP', 'COMMIT'),
    ('BEGIN; CREATE TEMP TABLE unpins (a int)', 'ROLLBACK'),
    ('CREATE TEMP TABLE unpins AS SELECT 1/(SELECT 0)', 'SELECT 1'),
    ('CREATE FUNCTION pg_temp.unpins() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$', 'DROP FUNCTION pg_temp.unpins()'),
    ('LISTEN unpins', 'UNLISTEN unpins'),
    ("DECLARE unpins CURSOR WITH HOLD FOR SELECT 1", 'CLOSE unpins'),
    ('PREPARE unpins AS SELECT 1', 'DEALLOCATE unpins'),
    ('PREPARE unpins AS SELECT 1', 'DISCARD ALL'),
])
def test_unpinned_when_what_pins_is_gone(proxy, pin, end):
    one_server(proxy)
    with proxy.connect() as connection:
        connection.execute("SET work_mem = '5MB'")
        with contextlib.suppress(psycopg.errors.DivisionByZero):
            connection.execute(pin)
        connection.execute(end)
        with proxy.connect() as other:  # gets the only server connection
            assert other.execute('SHOW work_mem').fetchone() == ('4MB',)
        expected = '4MB' if 'ALL' in end and 'DEALLOCATE' not in end else '5MB'
        assert connection.execute('SHOW work_mem').fetchone() == (expected,)
        assert proxy.await_status(lambda s: s['clients'] == 1)['clients_pinned'] == 0


def test_each_reason_of_a_text_is_counted(pool):
    """And one that stays keeps the session pinned when the other one is gone."""
    with pool.connect() as connection:
        connection.execute('SELECT pg_advisory_lock(7), setseed(0.5)')
        pid = pool.pid_of(connection)
        connection.execute('SELECT pg_advisory_unlock(7)')
        with pool.connect() as other:
            assert all(pool.pid_of(other) != pid for _ in range(5))
        assert pool.pid_of(connection) == pid
        assert pool.await_status(lambda s: s['clients_pinned'] == 1)['pinned'] == {'advisory_lock': 1, 'state_function': 1}


def test_what_is_still_there_stays_pinned(pool):
    with pool.connect() as connection:
        connection.execute('SELECT pg_advisory_lock(7), pg_advisory_lock(8)')
        pid = pool.pid_of(connection)
        connection.execute('SELECT pg_advisory_unlock(7)')
        with pool.connect() as other:
            assert pool.pid_of(other) != pid
            assert other.execute('SELECT pg_try_advisory_lock(7), pg_try_advisory_lock(8)').fetchone() == (True, False)
        assert pool.pid_of(connection) == pid


def test_temporary_tables_and_listen_pin(pool):
    with pool.connect() as connection, pool.connect() as other:
        connection.execute('CREATE TEMP TABLE mine (a int)')
        connection.execute('INSERT INTO mine VALUES (1)')
        connection.execute('LISTEN news')
        other.execute("NOTIFY news, 'hello'")
        notified = next(connection.notifies())
        assert connection.execute('SELECT a FROM mine').fetchone() == (1,)
        assert (notified.channel, notified.payload) == ('news', 'hello')
        with pytest.raises(psycopg.errors.UndefinedTable):
            other.execute('SELECT a FROM mine')


# ---- what strangers leave -----------------------------------------------------------------------

def test_sequences_are_not_a_strangers(proxy):
    pool = one_server(proxy)
    with pool.connect() as writer, pool.connect() as reader:
        writer.execute("INSERT INTO t (v) VALUES ('x')")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            reader.execute('SELECT lastval()')
    with pool.connect() as writer:
        with writer.transaction():
            writer.execute("INSERT INTO t (v) VALUES ('y')")
            own = writer.execute('SELECT lastval(), max(id) FROM t').fetchone()
        assert own[0] == own[1]


class Visitor:
    """A client that leaves state wherever it can, and looks for that of others."""

    def __init__(self, pool, number):
        self.pool = pool
        self.mark = f'mark {number}'
        self.number = number
        self.random = random.Random(number)

    def visit(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self.pool.connect(self.random.choice([ANN, BOB]), prepare_threshold=self.random.choice([None, 0])) as c:
                for _ in range(self.random.randrange(1, 8)):
                    self.random.choice([self.local, self.session, self.table, self.prepared, self.sequence, self.plain,
                                        self.rolled_back])(c)

    def plain(self, c):
        assert c.execute('SELECT %s::text', (self.mark,)).fetchone() == (self.mark,)
        assert c.execute("SHOW work_mem").fetchone()[0] in ('4MB', self.own_memory())

    def own_memory(self):
        return f'{1000 + self.number}kB'

    def local(self, c):
        with c.transaction():
            c.execute(f"SET LOCAL work_mem = '{self.own_memory()}'")
            assert c.execute('SHOW work_mem').fetchone() == (self.own_memory(),)

    def session(self, c):
        if self.random.randrange(4) == 0:
            c.execute(f"SET work_mem = '{self.own_memory()}'")
            for _ in range(3):
                assert c.execute('SHOW work_mem').fetchone() == (self.own_memory(),)

    def table(self, c):
        if self.random.randrange(4) == 0:
            c.execute('CREATE TEMP TABLE IF NOT EXISTS visitors AS SELECT %s::text AS mark', (self.mark,))
            assert c.execute('SELECT mark FROM visitors').fetchall() == [(self.mark,)]

    def prepared(self, c):
        if self.random.randrange(4) == 0:
            c.execute(f"PREPARE same_name AS SELECT '{self.mark}'")
            assert c.execute('EXECUTE same_name').fetchone() == (self.mark,)
            c.execute('DEALLOCATE same_name')

    def sequence(self, c):
        with contextlib.suppress(psycopg.errors.ObjectNotInPrerequisiteState):
            own = c.execute('INSERT INTO t (v) VALUES (%s) RETURNING id', (self.mark,)).fetchone()
            assert c.execute('SELECT lastval()').fetchone() == own

    def rolled_back(self, c):
        with pytest.raises(psycopg.errors.DivisionByZero):
            with c.transaction():
                c.execute(f"SET LOCAL work_mem = '{self.own_memory()}'")
                c.execute('SELECT 1/0')


def test_nobody_sees_anothers_state(pool):
    pool.configure({'max_connections_percent': 60})
    errors = []

    def visit(number):
        try:
            Visitor(pool, number).visit(6)
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(pool.status()['pinned']) >= 3
