"""Reads that are split while replicas die, stand still, are another's, or refuse: the clients notice as little as can be."""
import signal
import threading
import time

import psycopg
import pytest

from support.pool import authority, wait_for
from support.replicas import await_states, own_cluster, proxy_before, states

pytestmark = pytest.mark.timeout(180)


def all_at_once(work, connections):
    """What each has got, or the error, once all have an end."""
    results = [None] * len(connections)

    def one(number):
        try:
            results[number] = work(connections[number])
        except psycopg.Error as error:
            results[number] = error
    threads = [threading.Thread(target=one, args=(number,), daemon=True) for number in range(len(connections))]
    for thread in threads:
        thread.start()
    return threads, results


def signal_all(replicas, number):
    for replica in replicas:
        replica.signal(number)


def test_a_replica_dies_while_settings_settle(weir, tmp_path, authority, own_cluster):
    """What counts when a transaction begins waits for its own round trip, which has no end here."""
    with proxy_before(weir, tmp_path / 'run', authority, own_cluster, 'split') as proxy:
        connections = [proxy.connect() for _ in range(4)]
        for number, connection in enumerate(connections):
            connection.execute('SELECT count(*) FROM t')
            connection.execute(f"SET statement_timeout = '{100 + number}s'")
        own_cluster.catch_up()
        signal_all(own_cluster.replicas, signal.SIGSTOP)
        threads, results = all_at_once(lambda connection: connection.execute('SELECT count(*) FROM t').fetchone(),
                                       connections)
        time.sleep(1)  # they are under way
        signal_all(own_cluster.replicas, signal.SIGKILL)
        for thread in threads:
            thread.join(30)
        assert results == [(0,)] * 4
        for connection in connections:
            connection.close()


def test_nobody_reads_another_history(weir, tmp_path, authority, own_cluster):
    """A replica stays with the old primary, further on than the new one has come: what is written now it never gets."""
    primary, one, two = own_cluster.primary, own_cluster.one, own_cluster.two
    primary.run('CREATE TABLE f (n int)', 'INSERT INTO f VALUES (0)', 'GRANT ALL ON f TO ann')
    own_cluster.catch_up()
    with proxy_before(weir, tmp_path / 'run', authority, own_cluster, 'split') as proxy:
        proxy.configure({'replicas': [two.target('r-2')]})
        await_states(proxy, {'db-1': 'AVAILABLE', 'r-2': 'AVAILABLE'})
        one.ask('SELECT pg_promote()')
        wait_for(lambda: not one.ask('SELECT pg_is_in_recovery()')[0][0], 'it is not promoted')
        primary.run("CREATE TABLE big AS SELECT g, repeat('x', 500) FROM generate_series(1, 50000) AS g")
        two.catch_up()
        with proxy.connect() as connection:
            connection.execute('SELECT n FROM f')
            proxy.configure({'target': one.target('db-2')})
            deadline = time.monotonic() + 3
            turn = 0
            while time.monotonic() < deadline:
                turn += 1
                connection.execute('UPDATE f SET n = %s', (turn,))
                assert connection.execute('SELECT n FROM f').fetchone() == (turn,)
        await_states(proxy, {'db-2': 'AVAILABLE', 'r-2': 'UNAVAILABLE'})


def test_a_wal_switch_lets_nobody_fall_behind(weir, tmp_path, authority, own_cluster):
    """The primary then says that it is behind the header of a page which no replica has any use for."""
    with proxy_before(weir, tmp_path / 'run', authority, own_cluster, 'split', max_replica_lag_ms=1500) as proxy:
        own_cluster.primary.run('CREATE TABLE made (v int)', 'CHECKPOINT', 'SELECT pg_switch_wal()')
        time.sleep(5)
        assert states(proxy) == {'db-1': 'AVAILABLE', 'r-1': 'AVAILABLE', 'r-2': 'AVAILABLE'}


def test_what_a_replicas_configuration_says_of_transactions(weir, tmp_path, authority, own_cluster):
    """It is not what they are at the primary."""
    for replica in own_cluster.replicas:
        for setting in ('default_transaction_read_only = on', 'default_transaction_isolation = serializable'):
            replica.run(f'ALTER SYSTEM SET {setting}', 'SELECT pg_reload_conf()')
    with proxy_before(weir, tmp_path / 'run', authority, own_cluster, 'split') as proxy:
        with proxy.connect() as connection:
            for turn in range(6):
                assert connection.execute('SELECT count(*) FROM t').fetchone() == (turn,)
                connection.execute("INSERT INTO t (v) VALUES ('x')")

            def there():
                connection.execute('BEGIN READ ONLY')
                found = connection.execute('SELECT count(*), pg_is_in_recovery() FROM t').fetchone()
                connection.execute('COMMIT')
                return found == (6, True)
            wait_for(there, 'no replica serves a transaction')
        status = proxy.await_status(lambda status: status['clients'] == 0 and status['borrows'] >= 12)
        assert status['reads_again'] == 0


def test_a_line_asks_the_primary_for_what_its_replica_lacks(weir, tmp_path, authority, own_cluster):
    with proxy_before(weir, tmp_path / 'run', authority, own_cluster, 'split', shared_connections=1) as proxy:
        stop = threading.Event()

        def busy(connection):
            while not stop.is_set():
                connection.execute('SELECT count(*) FROM generate_series(1, 2000) AS g')
        connections = [proxy.connect() for _ in range(12)]
        threads, results = all_at_once(busy, connections)
        assert proxy.await_status(lambda status: status['shared'] > 100)
        with own_cluster.one.held_back(), own_cluster.two.held_back(), proxy.connect() as connection:
            own_cluster.primary.run('CREATE TABLE late (i int)', 'GRANT ALL ON late TO ann')
            for _ in range(40):
                assert connection.execute('SELECT count(*) FROM late').fetchone() == (0,)
        stop.set()
        for thread in threads:
            thread.join()
        assert results == [None] * 12
        for connection in connections:
            connection.close()


def test_ddl_sends_nobody_to_the_primary_for_good(weir, tmp_path, authority, own_cluster):
    """What a statement prepared before it answers is another row; it is prepared anew."""
    own_cluster.primary.run('CREATE TABLE k (id int)', 'GRANT ALL ON k TO ann', 'INSERT INTO k VALUES (1)')
    own_cluster.catch_up()
    with proxy_before(weir, tmp_path / 'run', authority, own_cluster, 'split', workers=1) as proxy:
        with proxy.connect(prepare_threshold=0) as connection:
            for _ in range(8):
                assert connection.execute('SELECT * FROM k').fetchone() == (1,)
            with connection.transaction():  # the primary has a plan of it as well
                assert connection.execute('SELECT * FROM k').fetchone() == (1,)
            own_cluster.primary.run('ALTER TABLE k ADD COLUMN n int')
            own_cluster.catch_up()
            for _ in range(50):
                connection.execute('SELECT * FROM k')
        status = proxy.await_status(lambda status: status['clients'] == 0 and status['borrows'] >= 50)
        assert 1 <= status['reads_again'] <= 4
        assert status['replica_borrows'] >= 50


def test_replicas_that_stand_still(weir, tmp_path, authority, own_cluster):
    """Nothing is lost for the kernel; but an answer never comes."""
    with proxy_before(weir, tmp_path / 'run', authority, own_cluster, 'split') as proxy:
        connections = [proxy.connect() for _ in range(5)]
        for connection in connections:
            connection.execute('SELECT count(*) FROM t')
        connections[0].execute('BEGIN READ ONLY')
        assert connections[0].execute('SELECT pg_is_in_recovery()').fetchone() == (True,)
        signal_all(own_cluster.replicas, signal.SIGSTOP)
        try:
            threads, results = all_at_once(lambda connection: connection.execute('SELECT count(*) FROM t').fetchone(),
                                           connections)
            for thread in threads:
                thread.join(60)
            assert results[1:] == [(0,)] * 4
            assert isinstance(results[0], psycopg.OperationalError) and 'was lost' in str(results[0])
        finally:
            signal_all(own_cluster.replicas, signal.SIGCONT)
        await_states(proxy, {'db-1': 'AVAILABLE', 'r-1': 'AVAILABLE', 'r-2': 'AVAILABLE'})
        for connection in connections:
            connection.close()
