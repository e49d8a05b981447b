"""Session settings through a pool: they follow their client, and are nobody else's."""
import contextlib
import random
import threading
import time

import psycopg
import pytest

from support.pool import ANN, BOB, authority, one_server, pool, postgres, proxy

pytestmark = pytest.mark.timeout(120)
SHOWN = ('search_path', 'TimeZone', 'DateStyle', 'work_mem', 'statement_timeout', 'default_transaction_isolation',
         'default_transaction_read_only', 'application_name', 'client_encoding', 'role', 'xmloption', 'bytea_output')


def shown(connection):
    return [connection.execute(f'SHOW {name}').fetchone()[0] for name in SHOWN]


def unpinned(proxy):
    return proxy.await_status(lambda s: s['logins'] > 0)['pinned'] == {}


WAYS = [
    'SET search_path = elsewhere, "$user", "with ""quotes, and comma"', "SET search_path TO ''", "SET SCHEMA 'x'",
    "SET TIME ZONE 'Europe/Paris'", "SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE", 'SET TIME ZONE -3',
    'SET DateStyle = german, dmy', "SET SESSION work_mem = '7MB'", 'SET work_mem TO 4096',
    'SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY',
    r"SET application_name = 'it''s \ here'", "SET NAMES 'LATIN1'", 'SET ROLE bob', 'SET ROLE NONE',
    'SET XML OPTION DOCUMENT', "SELECT set_config('search_path', 'a, b', false)",
    "SELECT set_config('statement_timeout', '5s', true)", "SET statement_timeout = '5s'; SET work_mem = '6MB'",
    'SET work_mem FROM CURRENT', 'SET work_mem TO DEFAULT', 'RESET ALL', 'RESET search_path', 'RESET TIME ZONE',
    'DISCARD ALL', "BEGIN; SET work_mem = '9MB'; ROLLBACK", "BEGIN; SET work_mem = '9MB'; COMMIT",
    "BEGIN; SET LOCAL work_mem = '9MB'; COMMIT", 'SET SESSION AUTHORIZATION DEFAULT',
    "BEGIN; SET work_mem = '8MB'; SAVEPOINT s; SET work_mem = '9MB'; ROLLBACK TO s; COMMIT",
    'SET work_mem = nonsense', 'SET nonsense = 1', 'RESET nonsense',
]


@pytest.fixture(scope='module')
def member(postgres):
    postgres.ask('SELECT 1')
    with postgres.admin() as admin:
        admin.execute('GRANT bob TO ann')
    yield
    with postgres.admin() as admin:
        admin.execute('REVOKE bob FROM ann')


def story(connection, ways, meanwhile=lambda: None):
    """What a client sees that sets one after the other; and what it is told of them."""
    seen = []
    for way in ways:
        try:
            connection.execute(way)
            heard = None
        except psycopg.Error as error:
            heard = str(error)
        meanwhile()
        server = connection.pgconn
        seen.append((way, heard, shown(connection), [server.parameter_status(name) for name in (
            b'TimeZone', b'DateStyle', b'application_name', b'client_encoding', b'default_transaction_read_only')]))
    return seen


@pytest.mark.parametrize('seed', range(4))
def test_as_on_a_connection_of_its_own(proxy, postgres, member, seed):
    """In whichever order, on a server connection that another client uses in between."""
    one_server(proxy)
    ways = random.Random(seed).sample(WAYS, len(WAYS))
    with psycopg.connect(host=str(postgres.folder), dbname='app', autocommit=True, prepare_threshold=None,
                         **ANN) as direct, proxy.connect() as pooled, proxy.connect() as other:
        plain = shown(other)

        def others_are_plain():
            assert shown(other) == plain
        for theirs, ours in zip(story(direct, ways), story(pooled, ways, others_are_plain)):
            assert ours == theirs
    assert unpinned(proxy)


def test_prepared_with_whatever_a_driver_sends(proxy):
    """Named and unnamed statements, pipelines."""
    one_server(proxy)
    with proxy.connect(prepare_threshold=0) as one, proxy.connect(prepare_threshold=0) as other:
        for turn in range(3):
            one.execute(f"SET work_mem = '{5 + turn}MB'")
            other.execute("SELECT set_config('work_mem', %s, false)", (f'{9 + turn}MB',))
            assert one.execute('SHOW work_mem').fetchone() == (f'{5 + turn}MB',)
            assert other.execute('SHOW work_mem').fetchone() == (f'{9 + turn}MB',)
        with one.pipeline():
            one.execute("SET work_mem = '20MB'")
            first = one.execute('SHOW work_mem')
            one.execute("SET work_mem = '21MB'")
            second = one.execute('SHOW work_mem')
        assert (first.fetchone(), second.fetchone()) == (('20MB',), ('21MB',))
        assert other.execute('SHOW work_mem').fetchone() == ('11MB',)
    assert unpinned(proxy)


def test_in_transactions(proxy):
    one_server(proxy)
    with proxy.connect() as one, proxy.connect() as other:
        one.execute("SET work_mem = '5MB'")
        assert other.execute('SHOW work_mem').fetchone() == ('4MB',)
        for ending in ('COMMIT', 'ROLLBACK'):
            one.execute('BEGIN ISOLATION LEVEL SERIALIZABLE')  # the first thing in its transaction
            assert one.execute('SHOW work_mem').fetchone() == ('5MB',)
            one.execute(ending)
            assert one.execute('SHOW work_mem').fetchone() == ('5MB',)
            assert other.execute('SHOW work_mem').fetchone() == ('4MB',)
        with pytest.raises(psycopg.errors.DivisionByZero):
            one.execute('SELECT 1/0')  # takes the replay along
        assert other.execute('SHOW work_mem').fetchone() == ('4MB',)
        assert one.execute('SHOW work_mem').fetchone() == ('5MB',)
        assert other.execute('SHOW work_mem').fetchone() == ('4MB',)
        one.execute('VACUUM')  # must be alone in its transaction
        with pytest.raises(psycopg.errors.ActiveSqlTransaction):
            one.execute('BEGIN; VACUUM')
        one.execute('ROLLBACK')
    assert unpinned(proxy)


def test_what_counts_when_a_transaction_begins(proxy):
    """Changed within it, these would count for the next one only."""
    one_server(proxy)
    with proxy.connect() as one, proxy.connect() as other:
        one.execute('SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY')
        for _ in range(2):
            other.execute("INSERT INTO t (v) VALUES ('writes')")
            assert other.execute('SHOW transaction_isolation').fetchone() == ('read committed',)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                one.execute("INSERT INTO t (v) VALUES ('reads')")
            other.execute('SELECT 1')
            assert one.execute('SHOW transaction_isolation').fetchone() == ('serializable',)
        one.execute('RESET ALL')
        one.execute("SET statement_timeout = '50ms'")
        other.execute("SET statement_timeout = '10s'")
        for _ in range(2):
            other.execute('SELECT pg_sleep(0.1)')
            with pytest.raises(psycopg.errors.QueryCanceled):
                one.execute('SELECT pg_sleep(0.1)')
    assert unpinned(proxy)


def test_a_setting_that_is_refused_keeps_the_statement_from_running(proxy, postgres, member):
    """P1: sent by itself, SET ROLE would fail and the INSERT behind it run as the wrong role."""
    one_server(proxy)
    with postgres.admin('app') as admin, proxy.connect() as one, proxy.connect() as other:
        one.execute('CREATE TABLE IF NOT EXISTS whose (role text DEFAULT current_user); GRANT ALL ON whose TO bob')
        one.execute('SET ROLE bob')
        one.execute('INSERT INTO whose DEFAULT VALUES')
        assert other.execute('SELECT current_user').fetchone() == ('ann',)
        admin.execute('REVOKE bob FROM ann')
        for _ in range(2):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                one.execute('INSERT INTO whose DEFAULT VALUES')
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                one.execute('INSERT INTO whose VALUES (%s)', ('x',))
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                one.execute('VACUUM whose')
        assert other.execute('SELECT role FROM whose').fetchall() == [('bob',)]
        admin.execute('GRANT bob TO ann')
        assert one.execute('SELECT current_user').fetchone() == ('bob',)
        other.execute('DROP TABLE whose')


def test_custom_settings_are_only_for_who_named_them(proxy):
    """P2: there they leave '' behind where nothing was."""
    one_server(proxy)
    nothing = "SELECT current_setting('app.tenant', true)"
    with proxy.connect() as one, proxy.connect() as other, proxy.connect() as third:
        one.execute("SET app.tenant = 'one'")
        other.execute("SELECT set_config('app.tenant', 'other', false)")
        assert one.execute(nothing).fetchone() == ('one',)
        assert other.execute(nothing).fetchone() == ('other',)
        assert third.execute(nothing).fetchone() == (None,)
        with one.transaction():
            one.execute("SET LOCAL app.tenant = 'for now'")
            assert one.execute(nothing).fetchone() == ('for now',)
        assert one.execute(nothing).fetchone() == ('one',)
        assert third.execute(nothing).fetchone() == (None,)
        one.execute('RESET ALL')
        assert one.execute(nothing).fetchone() == ('',)
        assert other.execute(nothing).fetchone() == ('other',)
        with third.transaction(force_rollback=True):
            third.execute("SET app.tenant = 'never'")
        assert third.execute(nothing).fetchone() == ('',)
        assert other.execute(nothing).fetchone() == ('other',)
    assert unpinned(proxy)


def test_what_resets_of_connection_pools_leave(proxy):
    """asyncpg's and npgsql's, sent each time a connection goes back to the application's pool."""
    one_server(proxy)
    resets = ('SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;', 'DISCARD ALL',
              'CLOSE ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); DISCARD SEQUENCES; DISCARD TEMP; RESET ALL;')
    with proxy.connect() as one, proxy.connect() as other:
        for reset in resets:
            one.execute("SET work_mem = '5MB'")
            assert other.execute('SHOW work_mem').fetchone() == ('4MB',)
            one.execute(reset)
            assert one.execute('SHOW work_mem').fetchone() == ('4MB',)
    assert unpinned(proxy)


def test_statements_keep_to_the_settings_that_they_were_parsed_under(proxy):
    """P4: a shared one would keep the first client's DateStyle."""
    one_server(proxy)
    text = "SELECT date '1/2/2026'::text"
    with proxy.connect(prepare_threshold=0) as one, proxy.connect(prepare_threshold=0) as other:
        one.execute('SET DateStyle = ISO, DMY')
        for _ in range(3):
            assert one.execute(text).fetchone() == ('2026-02-01',)
            assert other.execute(text).fetchone() == ('2026-01-02',)
        with other.transaction():
            other.execute('SET LOCAL DateStyle = ISO, DMY')
            other.execute("SELECT date '3/4/2026'::text")
        assert other.execute("SELECT date '5/6/2026'::text").fetchone() == ('2026-05-06',)
    with proxy.connect(prepare_threshold=0) as third:
        assert third.execute("SELECT date '3/4/2026'::text").fetchone() == ('2026-03-04',)
        before = third.execute("SELECT 'now'::timestamptz").fetchone()
    time.sleep(0.01)
    with proxy.connect(prepare_threshold=0) as fourth:
        assert fourth.execute("SELECT 'now'::timestamptz").fetchone() != before


def test_encodings(proxy):
    """Texts are read in the encoding that the client has, wherever it runs."""
    one_server(proxy)
    with proxy.connect(client_encoding='utf8') as one, proxy.connect(client_encoding='utf8') as other:
        one.execute("SET client_encoding = 'LATIN1'")
        assert one.info.encoding == 'iso8859-1'
        for _ in range(2):
            assert one.execute("SELECT 'é', length('é'), %s::text", ('ü',)).fetchone() == ('é', 1, 'ü')
            assert other.execute("SELECT 'é€', length('é€')").fetchone() == ('é€', 2)
        assert unpinned(proxy)
        one.execute('SET standard_conforming_strings = off')
        assert other.execute(r"SELECT 'a\\b'").fetchone() == (r'a\\b',)
        assert one.execute(r"SELECT 'a\\b'").fetchone() == ('a\\b',)
        assert proxy.await_status(lambda s: s['clients_pinned'] == 1)['pinned'] == {'encoding': 1}


def test_many_clients_with_settings_of_their_own(pool):
    """Each looks at its own after each transaction, on a few server connections, and some leave in the middle."""
    pool.configure({'max_connections_percent': 50})
    errors = []

    def work(number):
        dice = random.Random(number)
        try:
            deadline = time.monotonic() + 6
            while time.monotonic() < deadline:
                visit(dice, number)
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)

    def visit(dice, number):
        with pool.connect(dice.choice([ANN, BOB]), prepare_threshold=dice.choice([None, 0])) as connection:
            own = {'work_mem': '4MB', 'TimeZone': connection.info.parameter_status('TimeZone')}
            for _ in range(dice.randrange(1, 12)):
                name, value = dice.choice([('work_mem', f'{5 + number}MB'), ('TimeZone', f'Etc/GMT+{number}')])
                how = dice.randrange(5)
                with contextlib.suppress(psycopg.errors.DivisionByZero):
                    if how == 0:
                        connection.execute(f"SET {name} = '{value}'")
                        own[name] = value
                    elif how == 1:
                        with connection.transaction():
                            connection.execute(f"SET {name} = '{value}'")
                            connection.execute('SELECT 1/0')
                    elif how == 2:
                        with connection.transaction():
                            connection.execute(f"SET LOCAL {name} = '{value}'")
                            assert connection.execute(f'SHOW {name}').fetchone() == (value,)
                    elif how == 3:
                        connection.execute('SELECT 1/0')
                assert {name: connection.execute(f'SHOW {name}').fetchone()[0] for name in own} == own
            if dice.randrange(4) == 0:
                connection.execute('BEGIN')
                connection.execute("SET work_mem = '1MB'")
                connection.pgconn.finish()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert unpinned(pool)
