"""Prepared statements of the protocol through a pool: shared, never a stranger's, and with errors as from PostgreSQL."""
import threading

import psycopg
import pytest

from support.pool import ANN, BOB, authority, one_server, pool, postgres, proxy

pytestmark = pytest.mark.timeout(120)


def test_named_statements_are_shared_and_do_not_pin(proxy):
    """Eight clients on two server connections, each with names of its own for texts that some share."""
    proxy.configure({'max_connections_percent': 20}, workers=1)
    failures = []

    def work(number):
        try:
            with proxy.connect(ANN if number % 2 else BOB, prepare_threshold=0) as connection:
                for turn in range(60):
                    text = f'SELECT %s::int + {turn % (3 + number)}'
                    assert connection.execute(text, (turn,)).fetchone() == (turn + turn % (3 + number),)
        except Exception as error:  # noqa: BLE001  whatever it is, the test shows it
            failures.append(error)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert proxy.await_status(lambda s: s['clients'] == 0)['pinned'] == {}
    assert proxy.status()['servers'] <= 2


def test_a_name_means_what_its_own_client_said(proxy):
    one_server(proxy)
    with proxy.connect() as one, proxy.connect() as other:
        for connection, text in ((one, b"SELECT 'one'"), (other, b"SELECT 'other'")):
            assert connection.pgconn.prepare(b'mine', text).status == psycopg.pq.ExecStatus.COMMAND_OK
        for _ in range(3):
            assert one.pgconn.exec_prepared(b'mine', []).get_value(0, 0) == b'one'
            assert other.pgconn.exec_prepared(b'mine', []).get_value(0, 0) == b'other'
        assert other.pgconn.describe_prepared(b'mine').nfields == 1


def test_statements_fail_as_on_a_direct_connection(proxy, postgres):
    one_server(proxy)

    def story(connection):
        """What a client hears that does things wrong, message by message."""
        server, heard = connection.pgconn, []

        def note(result):
            heard.append((result.status, bytes(result.error_message or b'')))
        note(server.prepare(b's', b'SELECT 1'))
        note(server.prepare(b's', b'SELECT 2'))           # the name is taken
        note(server.exec_prepared(b's', []))
        note(server.exec_prepared(b'unknown', []))
        note(server.describe_prepared(b'unknown'))
        note(server.prepare(b'bad', b'SELEC 1'))
        note(server.exec_prepared(b'bad', []))            # it never was
        note(server.exec_(b'BEGIN'))
        note(server.exec_(b'SELECT 1/0'))
        note(server.prepare(b'late', b'SELECT 3'))        # in a failed transaction
        note(server.exec_(b'ROLLBACK'))
        note(server.exec_prepared(b'late', []))
        note(server.exec_(b'DEALLOCATE s'))
        note(server.exec_prepared(b's', []))
        note(server.prepare(b's', b'SELECT 4'))           # the name is free again
        note(server.exec_(b'DISCARD ALL'))
        note(server.exec_prepared(b's', []))
        note(server.prepare(b's', b'SELECT 5'))
        note(server.exec_prepared(b's', []))
        return heard
    with postgres.admin('app') as direct, proxy.connect() as pooled:
        assert story(pooled) == story(direct)
    with proxy.connect() as after:
        assert after.execute('SELECT count(*) FROM pg_prepared_statements WHERE name !~ \'^weir:\'').fetchone() == (0,)
    assert proxy.await_status(lambda s: s['logins'] > 0)['pinned'] == {}


def test_drivers_that_deallocate(pool):
    """psycopg keeps some statements and lets the others go by SQL."""
    with pool.connect(prepare_threshold=0) as connection:
        connection.prepared_max = 2
        for turn in range(20):
            assert connection.execute(f'SELECT %s::int + {turn % 5}', (1,)).fetchone() == (1 + turn % 5,)
    assert pool.await_status(lambda s: s['logins'] > 0)['pinned'] == {}


def test_a_changed_table_is_seen(proxy):
    one_server(proxy)  # another one has no plan that could be of yesterday
    with proxy.connect(prepare_threshold=0) as connection, proxy.connect() as other:
        other.execute('CREATE TABLE changing (a int)')
        other.execute('INSERT INTO changing VALUES (1)')
        try:
            assert connection.execute('SELECT * FROM changing').fetchone() == (1,)
            other.execute('ALTER TABLE changing ADD b int')
            with pytest.raises(psycopg.errors.FeatureNotSupported):  # as from PostgreSQL itself
                connection.execute('SELECT * FROM changing')
            assert connection.execute('SELECT * FROM changing').fetchone() == (1, None)
        finally:
            other.execute('DROP TABLE changing')


def test_more_statements_than_a_server_keeps(proxy):
    one_server(proxy)
    with proxy.connect(prepare_threshold=0) as connection, proxy.connect() as other:
        connection.prepared_max = 1000
        for turn in (*range(250), *range(250)):
            assert connection.execute(f'SELECT %s::int + {turn}', (1,)).fetchone() == (1 + turn,)
        assert 100 < other.execute('SELECT count(*) FROM pg_prepared_statements').fetchone()[0] <= 200


def test_pipelined_statements(proxy):
    one_server(proxy)
    with proxy.connect(prepare_threshold=0) as connection:
        for _ in range(3):
            with connection.pipeline():
                cursors = [connection.execute(f'SELECT %s::int + {turn % 4}', (turn,)) for turn in range(40)]
            assert [cursor.fetchone()[0] for cursor in cursors] == [turn + turn % 4 for turn in range(40)]
        with pytest.raises(psycopg.errors.DivisionByZero), connection.pipeline():
            for divisor in (1, 0, 2):
                connection.execute('SELECT 1 / %s::int', (divisor,))
        assert connection.execute('SELECT 1 / %s::int', (1,)).fetchone() == (1,)
    assert proxy.await_status(lambda s: s['logins'] > 0)['pinned'] == {}
