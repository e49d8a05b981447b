"""LISTEN through a pool: channels are on the client's server connection while it may change them, and on a shared one
while it does not; the client cannot tell."""
import contextlib
import os
import select
import signal
import time

import psycopg
import pytest

from support.pool import ANN, BOB, PORT, one_server, wait_for
from support.pool import authority, pool, postgres, proxy  # noqa: F401  pylint: disable=unused-import
from support.wire import SYNC, Wire, bind, execute, parse, query, run

QUIET_S = 0.2


def shared(proxy, count=1):
    """Waits until so many clients listen by a shared connection; the status is of a second ago."""
    time.sleep(1.2)
    return proxy.await_status(lambda status: status['clients_listening'] == count and status['clients_pinned'] == 0)


def notes(connection, until, seconds):
    """What is heard while nothing is asked, until there are so many, or for so long."""
    got = []
    deadline = time.monotonic() + seconds
    while True:
        while note := connection.pgconn.notifies():
            got.append(note)
        left = deadline - time.monotonic()
        if len(got) >= until or left <= 0:
            return got
        if select.select([connection.fileno()], [], [], left)[0]:
            connection.pgconn.consume_input()


def heard(connection, count):
    """The next notifications, so many."""
    got = notes(connection, count, 5)
    assert len(got) == count, got
    return [(note.relname.decode(), note.extra.decode()) for note in got]


def silent(connection):
    got = notes(connection, 1, QUIET_S)
    assert not got, got


def test_a_listening_client_does_not_keep_its_connection(pool, postgres):
    with pool.connect() as one, pool.connect() as two:
        one.execute('LISTEN jobs')
        two.execute('LISTEN "Jobs and more"')
        shared(pool, 2)
        postgres.run("NOTIFY jobs, 'a'", "NOTIFY \"Jobs and more\", 'b'", "NOTIFY jobs, 'c'")
        assert heard(one, 2) == [('jobs', 'a'), ('jobs', 'c')]
        assert heard(two, 1) == [('Jobs and more', 'b')]
        assert one.execute('SELECT 1').fetchone() == (1,)
        postgres.run("NOTIFY jobs, 'd'")
        assert heard(one, 1) == [('jobs', 'd')]
        one.execute('UNLISTEN jobs')
        postgres.run("NOTIFY jobs, 'e'")
        silent(one)
        shared(pool, 1)


def test_settings_and_transactions_of_a_listening_client(pool, postgres):
    """It is shared again after each, and hears what committed meanwhile before the end of its transaction."""
    with pool.connect(autocommit=False) as connection:
        connection.execute("SET work_mem = '5MB'")
        connection.execute('LISTEN mine')
        connection.rollback()
        postgres.run("NOTIFY mine, 'rolled back'")
        connection.execute("SET work_mem = '5MB'")
        connection.execute('LISTEN mine')
        connection.commit()
        shared(pool)
        connection.execute('SELECT 1')
        postgres.run("NOTIFY mine, 'in between'")
        silent(connection)
        connection.pgconn.exec_(b'COMMIT')
        assert [note.extra for note in notes(connection, 1, 0)] == [b'in between']
        shared(pool)
        assert connection.execute('SHOW work_mem').fetchone() == ('5MB',)
        connection.execute('UNLISTEN mine')
        connection.rollback()
        shared(pool)
        postgres.run("NOTIFY mine, 'still'")
        assert heard(connection, 1) == [('mine', 'still')]


def test_what_a_client_sees_of_itself(pool):
    long = 'L' * 80
    with pool.connect() as connection:
        connection.execute(f'LISTEN "{long}"; LISTEN "a""B"; LISTEN Small')
        shared(pool)
        channels = {row[0] for row in connection.execute('SELECT pg_listening_channels()')}
        assert channels == {'L' * 63, 'a"B', 'small'}
        shared(pool)
        connection.pgconn.exec_(b'NOTIFY small, \'own\'')
        note = connection.pgconn.notifies()  # in front of the ReadyForQuery
        assert (note.extra, note.be_pid) == (b'own', connection.info.backend_pid)
        shared(pool)
        with pool.connect() as other:
            other.execute("NOTIFY small, 'not own'")
        note = notes(connection, 1, 5)[0]
        assert note.extra == b'not own' and note.be_pid != connection.info.backend_pid
        connection.execute('DISCARD ALL')
        assert pool.await_status(lambda s: s['clients_listening'] == 0 and s['clients_pinned'] == 0)


def raw(pool):  # pylint: disable=redefined-outer-name
    return Wire(pool.address, PORT, 'ann', ANN['password'], 'app')


def test_raw_protocol(pool, postgres):
    with raw(pool) as wire:
        wire.ask(run('LISTEN x'), SYNC)
        shared(pool)
        # One that was begun without: more is fine, less is refused by name.
        wire.ask(parse('SELECT 1'), bind(), execute(), run('LISTEN y'), SYNC)
        postgres.run("NOTIFY x, '1'", "NOTIFY y, '2'")
        assert sorted(wire.hear()[-1] for _ in range(2)) == ['1', '2']
        wire.ask(query('SELECT pg_listening_channels()'))
        shared(pool)
        with pytest.raises(ConnectionError):
            answers = wire.ask(parse('SELECT 1'), bind(), execute(), run('UNLISTEN y'), SYNC)
            assert 'cannot be followed' in str(answers)
            wire.hear()


@pytest.fixture(autouse=True)
def opted_in(proxy):  # pylint: disable=redefined-outer-name
    proxy.config['pool']['shared_listeners'] = True


def one_worker(proxy, **pool):  # pylint: disable=redefined-outer-name
    proxy.configure(pool, workers=1)
    return proxy


def test_many_share_one_connection(proxy, postgres):
    pool = one_worker(proxy, max_connections_percent=50)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(pool.connect()) for _ in range(60)]
        for number, client in enumerate(clients):
            client.execute(f'LISTEN all_of_them; LISTEN own_{number}')
        status = shared(pool, 60)
        assert status['servers_listening'] == 1 and status['servers'] <= 5
        postgres.run('NOTIFY all_of_them', 'NOTIFY own_7')
        for number, client in enumerate(clients):
            expected = ['all_of_them'] + (['own_7'] if number == 7 else [])
            assert [channel for channel, _ in heard(client, len(expected))] == expected
        listening = [row for row in postgres.ask("SELECT query FROM pg_stat_activity WHERE usename = 'ann'")
                     if row[0].startswith('LISTEN')]
        assert len(listening) == 1


def test_nobody_is_left(proxy, postgres):
    """Channels that nobody listens to are given up."""
    pool = one_worker(proxy)
    with pool.connect() as one:
        one.execute('LISTEN a; LISTEN b')
        shared(pool)
        with pool.connect() as two:
            two.execute('LISTEN b; LISTEN c')
            shared(pool, 2)
        shared(pool, 1)
        wait_for(lambda: postgres.ask("SELECT FROM pg_stat_activity WHERE usename = 'ann' AND query = 'UNLISTEN \"c\"'"),
                 'UNLISTEN does not come')


def hub_pid(postgres):
    return postgres.ask("SELECT pid FROM pg_stat_activity WHERE usename = 'ann' AND starts_with(query, 'LISTEN')")[0][0]


def test_a_listener_that_is_slow_to_begin(pool):
    """A client's connection becomes the shared one, and has not run a word as that when the client wants its channels
    back: nothing that this waits for is missed."""
    for encoding in ('UTF8', 'LATIN1', 'LATIN2', 'WIN1252'):  # a shared connection each
        with Wire(pool.address, PORT, 'ann', ANN['password'], 'app', client_encoding=encoding) as wire:
            wire.ask(query('BEGIN'))
            pid = int(wire.rows('SELECT pg_backend_pid()')[0][0])
            wire.ask(query('LISTEN a'), query('COMMIT'))
            time.sleep(0.01)
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(0.1)
                wire.send(query('LISTEN b'))
                time.sleep(0.3)
            finally:
                os.kill(pid, signal.SIGCONT)
            wire.settle()
            assert sorted(row[0] for row in wire.rows('SELECT pg_listening_channels()')) == ['a', 'b']


def test_a_lost_listener_closes_its_clients(pool, postgres):
    with raw(pool) as wire, pool.connect() as quiet:
        quiet.execute('SELECT 1')
        wire.ask(query('LISTEN a'))
        shared(pool)
        postgres.ask('SELECT pg_terminate_backend(%s)', hub_pid(postgres))
        error = dict(wire.hear()[1])
        assert (error['code'], error['message']) == ('57P01', 'terminating connection due to administrator command')
        assert 'missed' in error['detail']
        with pytest.raises(ConnectionError):
            wire.hear()
        assert quiet.execute('SELECT 1').fetchone() == (1,)


def test_or_keeps_them(pool, postgres):
    pool.configure({'keep_listening': True})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(pool.connect()) for _ in range(8)]
        for client in clients:
            client.execute('LISTEN a')
        shared(pool, 8)
        for number in range(2):
            before = {pid for pid, in postgres.backends()}
            postgres.ask('SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid', list(before))
            wait_for(lambda: not before & {pid for pid, in postgres.backends()}, 'backends do not end')  # pylint: disable=cell-var-from-loop
            shared(pool, 8)
            postgres.run(f"NOTIFY a, '{number}'")
            for client in clients:
                assert heard(client, 1) == [('a', str(number))]


def test_a_slow_reader_is_closed(pool, postgres):
    with pool.connect() as slow, pool.connect() as quick:
        slow.execute('LISTEN a')
        quick.execute('LISTEN a')
        shared(pool, 2)
        for number in range(1, 40):
            postgres.run(*[f"NOTIFY a, '{number} {part} {'x' * 7900}'" for part in range(50)])
            notes(quick, 50, 5)
            if pool.status()['clients'] == 1:
                break
        with pytest.raises(psycopg.OperationalError, match='does not read its notifications|closed'):
            notes(slow, 1 << 20, 5)
        assert quick.execute('SELECT 1').fetchone() == (1,)


def test_nobody_is_shared_where_that_leaves_too_few(proxy, postgres):
    """A listening connection of a pool of one would leave none."""
    one_server(proxy)
    with proxy.connect() as connection:
        connection.execute('LISTEN a')
        status = proxy.await_status(lambda status: status['clients_pinned'] == 1)
        assert status['servers_listening'] == 0
        postgres.run("NOTIFY a, '1'")
        assert heard(connection, 1) == [('a', '1')]


def test_a_function_that_listens_keeps_its_connection(pool, postgres):
    with pool.connect() as connection:
        connection.execute('LISTEN a')
        shared(pool)
        connection.execute("DO $$ BEGIN EXECUTE 'LISTEN b'; EXECUTE 'UNLISTEN a'; END $$")
        assert pool.await_status(lambda status: status['clients_pinned'] == 1)['clients_listening'] == 0
        postgres.run("NOTIFY a, '1'", "NOTIFY b, '2'")
        assert heard(connection, 1) == [('b', '2')]


def test_two_encodings(pool, postgres):
    with pool.connect() as utf8, pool.connect(client_encoding='LATIN1') as latin1:
        utf8.execute('LISTEN "ä"')
        latin1.execute('LISTEN "ä"')
        shared(pool, 2)
        postgres.run('NOTIFY "ä", \'ö\'')
        assert (notes(utf8, 1, 5)[0].extra, notes(latin1, 1, 5)[0].extra) == ('ö'.encode(), 'ö'.encode('latin1'))


def test_the_console_shows_it(pool):
    pool.configure({'admin_users': ['bob']})
    with pool.connect() as connection, pool.connect(BOB, dbname='weir') as console:
        connection.execute('LISTEN a; LISTEN b')
        shared(pool)
        console.row_factory = psycopg.rows.dict_row
        client = next(row for row in console.execute('SHOW CLIENTS') if row['user'] == 'ann')
        server = next(row for row in console.execute('SHOW SERVERS') if row['state'] == 'listening')
        assert (client['state'], client['pinned'], client['listens'], server['listens']) == ('idle', '', 2, 2)
        metrics = {row['name']: row['value'] for row in console.execute('SHOW METRICS')}
        assert metrics['ClientConnectionsListening'] == metrics['DatabaseConnectionsListening'] == 1
