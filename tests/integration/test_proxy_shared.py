"""Reads of several clients in flight on one server connection: each gets its own answer, and nothing but speed differs."""
import random
import threading
import time

import psycopg
import pytest

from support.pool import ANN, BOB, authority, one_server, pool, postgres, proxy, wait_for

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def shared(proxy):
    proxy.configure({'max_connections_percent': 30, 'shared_connections': 1}, workers=1)
    return proxy


def counted(proxy):
    """So far; nobody is in the middle of something."""
    seen = len(proxy.plane.agent.statuses)

    def look():
        recent = proxy.plane.agent.statuses[seen:]
        return recent and recent[-1]['clients_waiting'] == 0
    with proxy.connect() as connection:  # a change, so that there is another status
        connection.execute('SHOW work_mem')
        wait_for(look, 'another status')
        return proxy.status()['shared']


def becomes_shared(proxy, text='SELECT 1', **settings):
    """Once something is known of the database, and a connection is idle."""
    with proxy.connect(**settings) as connection:
        def look():
            connection.execute(text)
            return proxy.await_status(lambda s: s['logins'] > 0)['shared']
        wait_for(look, f'{text} is not shared')


def run_all(work, count):
    errors = []

    def one(number):
        try:
            work(number)
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)
    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors


def test_everybody_gets_the_own_answer(shared, postgres):
    becomes_shared(shared)
    before = counted(shared)

    def work(number):
        dice = random.Random(number)
        with shared.connect(dice.choice([ANN, BOB]), prepare_threshold=dice.choice([None, 0])) as connection:
            for turn in range(150):
                rows = dice.randrange(1, 40)
                assert connection.execute('SELECT %s::text, g FROM generate_series(1, %s) AS g', (
                    f'{number}:{turn}', rows)).fetchall() == [(f'{number}:{turn}', row + 1) for row in range(rows)]
                if turn % 40 == 0:
                    with pytest.raises(psycopg.errors.DivisionByZero):
                        connection.execute('SELECT 1 / (%s - %s)', (turn, turn))
                if turn % 50 == 0:
                    connection.execute('INSERT INTO t (v) VALUES (%s)', (f'{number}:{turn}',))
                    assert connection.execute('SELECT count(*) FROM t WHERE v = %s', (
                        f'{number}:{turn}',)).fetchone()[0] >= 1
    run_all(work, 16)
    assert shared.await_status(lambda s: s['clients'] == 0)['shared'] > before + 1000
    assert shared.status()['pinned'] == {}


@pytest.mark.parametrize('text', [
    'SELECT nextval(\'t_id_seq\')', 'SELECT * FROM t FOR UPDATE', 'SELECT pg_advisory_xact_lock(1)', 'SELECT random()',
    'SELECT * FROM pg_settings', "SELECT set_config('work_mem', '5MB', true)", 'SELECT 1; SELECT 2', 'BEGIN; COMMIT',
    'SHOW work_mem', 'SELECT pg_backend_pid()', 'WITH a AS (INSERT INTO t (v) VALUES (1) RETURNING id) SELECT * FROM a',
    'SELECT * FROM information_schema.tables LIMIT 1',
])
def test_what_is_not_shared(shared, text):
    becomes_shared(shared)
    before = counted(shared)
    with shared.connect() as connection:
        for _ in range(3):
            connection.execute(text)
    assert shared.await_status(lambda s: s['clients'] == 0)['shared'] == before


def test_a_write_that_was_not_recognized(shared, postgres):
    """A view that moves a sequence: refused by the line, which only reads, and run on a connection of its own."""
    postgres.run('CREATE SEQUENCE hits', 'GRANT ALL ON SEQUENCE hits TO ann',
                 "CREATE VIEW counting AS SELECT nextval('hits') AS hit", 'GRANT SELECT ON counting TO ann')
    try:
        becomes_shared(shared)
        with shared.connect() as connection:
            assert [connection.execute('SELECT hit FROM counting').fetchone()[0] for _ in range(5)] == [1, 2, 3, 4, 5]
            before = counted(shared)
            for _ in range(5):
                connection.execute('SELECT hit FROM counting')
        assert shared.await_status(lambda s: s['clients'] == 0)['shared'] == before  # it has been learnt
    finally:
        postgres.run('DROP VIEW counting', 'DROP SEQUENCE hits')


def test_wide_and_slow_answers_go_their_own_way(shared):
    becomes_shared(shared)
    wide = 'SELECT repeat(%s, 200000), g FROM generate_series(1, 3) AS g'
    slow = "SELECT count(*) FROM generate_series(1, 400000) AS g"
    with shared.connect() as connection, shared.connect() as other:
        assert [len(row[0]) for row in connection.execute(wide, ('x',)).fetchall()] == [200000] * 3
        for _ in range(4):
            assert connection.execute(slow).fetchone() == (400000,)
        before = counted(shared)
        assert [len(row[0]) for row in connection.execute(wide, ('y',)).fetchall()] == [200000] * 3
        assert connection.execute(slow).fetchone() == (400000,)
        other.execute('SELECT 1')
        assert shared.await_status(lambda s: s['shared'] > before)['shared'] == before + 1


def test_the_time_of_the_line_is_not_the_clients(shared):
    """What takes longer than a line gives it is asked again; a client's own limit holds there."""
    becomes_shared(shared)
    text = 'SELECT count(*) FROM generate_series(1, 12000000) AS g'
    with shared.connect() as connection:
        assert connection.execute(text).fetchone() == (12000000,)
        connection.execute("SET statement_timeout = '100ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(text)
        assert connection.execute('SHOW default_transaction_read_only').fetchone() == ('off',)
        connection.execute("INSERT INTO t (v) VALUES ('writes')")


def test_a_cancel_is_only_the_own(shared):
    becomes_shared(shared)
    stop = threading.Event()

    def reads():
        with shared.connect() as connection:
            while not stop.is_set():
                assert connection.execute('SELECT count(*) FROM generate_series(1, 1000) AS g').fetchone() == (1000,)
    readers = [threading.Thread(target=reads) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        with shared.connect() as connection:
            for number in range(4):
                timer = threading.Timer(0.1, connection.cancel)
                timer.start()
                with pytest.raises(psycopg.errors.QueryCanceled):
                    connection.execute(f'SELECT count(a.*), {number} AS n{number}'
                                       ' FROM generate_series(1, 30000000) AS a')
                timer.join()
                assert connection.execute('SELECT 1').fetchone() == (1,)
    finally:
        stop.set()
        for reader in readers:
            reader.join()


def test_a_line_that_dies(shared, postgres):
    """What was in flight is asked again, and nobody notices."""
    becomes_shared(shared)
    stop = threading.Event()
    errors = []

    def reads():
        try:
            with shared.connect() as connection:
                while not stop.is_set():
                    assert connection.execute('SELECT count(*) FROM generate_series(1, 2000) AS g').fetchone() == (2000,)
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)
    readers = [threading.Thread(target=reads) for _ in range(6)]
    for reader in readers:
        reader.start()
    for _ in range(10):
        time.sleep(0.1)
        postgres.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ann'"
                     " ORDER BY query_start DESC LIMIT 1")
    stop.set()
    for reader in readers:
        reader.join()
    # Alone on a connection of its own, a query is lost with it, as anywhere.
    assert all('terminating connection' in str(error) or 'was lost' in str(error) for error in errors), errors
    assert len(errors) < 6


def test_settings_share_with_their_like(shared):
    with shared.connect() as one, shared.connect() as other:
        one.execute('SET DateStyle = ISO, DMY')
        for _ in range(20):
            assert one.execute("SELECT '1/2/2026'::date::text").fetchone() == ('2026-02-01',)
            assert other.execute("SELECT '1/2/2026'::date::text").fetchone() == ('2026-01-02',)


def test_settings_that_nobody_is_told_of(shared):
    with shared.connect() as one, shared.connect() as other:
        one.execute('SET extra_float_digits = 0')
        for _ in range(20):
            assert other.execute('SELECT (0.1::float8 + 0.2)::text').fetchone() == ('0.30000000000000004',)
            assert one.execute('SELECT (0.1::float8 + 0.2)::text').fetchone() == ('0.3',)


def test_one_connection_for_all(proxy):
    """A line gives way to who needs a connection of its own."""
    proxy.configure({'max_connections_percent': 10, 'shared_connections': 2}, workers=1)

    def work(number):
        with proxy.connect() as connection:
            for turn in range(30):
                with connection.transaction():
                    connection.execute('INSERT INTO t (v) VALUES (%s)', (f'{number}',))
                assert connection.execute('SELECT %s::int', (turn,)).fetchone() == (turn,)
    run_all(work, 6)
