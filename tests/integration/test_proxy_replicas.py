"""A READ_ONLY pool: transactions go to real streaming replicas, and whatever happens to one of those stays unseen."""
import threading
import time

import psycopg
import pytest

from support.certs import Authority
from support.pool import ANN, BOB, PORT, Postgres, Proxy, authority, wait_for
from support.replicas import await_states, cluster, own_cluster, proxy_before

pytestmark = pytest.mark.timeout(180)
WHERE = 'SELECT current_setting(\'data_directory\'), pg_is_in_recovery()'


@pytest.fixture
def reading(weir, tmp_path, authority, cluster):
    with proxy_before(weir, tmp_path / 'run', authority, cluster, 'replicas') as proxy:
        yield proxy


@pytest.fixture(scope='module', autouse=True)
def readable(cluster):
    """Where one is, everybody may see."""
    cluster.primary.run('GRANT pg_read_all_settings TO ann')
    cluster.catch_up()


def folder_of(connection):
    folder, recovery = connection.execute(WHERE).fetchone()
    assert recovery
    return folder


def test_transactions_go_to_replicas_in_turn(reading, cluster):
    with reading.connect() as connection, reading.connect() as other:
        seen = {folder_of(connection) for _ in range(20)} | {folder_of(other) for _ in range(20)}
        assert seen == {str(replica.data) for replica in cluster.replicas}
        with connection.transaction():
            assert len({folder_of(connection) for _ in range(5)}) == 1


def test_writes_fail_in_postgresqls_own_words(reading, cluster):
    with reading.connect() as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match='cannot execute INSERT in a read-only'):
            connection.execute("INSERT INTO t (v) VALUES ('x')")
        assert connection.execute('SELECT 1').fetchone() == (1,)
    assert cluster.primary.backends() == []  # nobody goes there for anything


def test_logical_replication_is_refused(reading):
    with pytest.raises(psycopg.OperationalError, match='logical replication through a read-only endpoint'):
        reading.connect(replication='database')


def test_without_a_target(reading, cluster):
    """It needs no primary, not even its name; and goes on with the same connections."""
    reading.configure({'target': None})
    with reading.connect() as connection:
        folder_of(connection)
    assert [target['role'] for target in reading.await_status(lambda s: len(s['targets']) == 2)['targets']] == [
        'READ_ONLY', 'READ_ONLY']


def test_settings_and_prepared_statements_follow_from_replica_to_replica(reading, cluster):
    with reading.connect(prepare_threshold=0) as connection, reading.connect(prepare_threshold=0) as other:
        connection.execute("SET work_mem = '5MB'")
        other.execute("SET search_path = pg_catalog")
        folders = set()
        for turn in range(40):
            folder, work_mem, value = connection.execute(
                "SELECT current_setting('data_directory'), current_setting('work_mem'), %s::int", (turn,)).fetchone()
            assert (work_mem, value) == ('5MB', turn)
            folders.add(folder)
            assert other.execute("SELECT current_setting('search_path'), %s::text", (str(turn),)).fetchone() == (
                'pg_catalog', str(turn))
        assert len(folders) == 2


def test_the_limit_is_that_of_each_replica(reading, cluster):
    reading.configure({'replicas': cluster.targets(max_connections=3), 'connection_borrow_timeout_s': 1})
    connections = [reading.connect(autocommit=False) for _ in range(6)]
    for connection in connections:
        folder_of(connection)  # each is in a transaction now
    assert [len(replica.ask("SELECT pid FROM pg_stat_activity WHERE usename = 'ann' AND datname = 'app'"))
            for replica in cluster.replicas] == [3, 3]
    with reading.connect() as one_more:
        with pytest.raises(psycopg.OperationalError, match='All 3 connections are in use'):
            one_more.execute('SELECT 1')
    for connection in connections:
        connection.close()


def test_a_session_that_is_pinned_stays_where_it_is(reading, cluster):
    with reading.connect() as connection:
        connection.execute('PREPARE here AS ' + WHERE)
        assert len({connection.execute('EXECUTE here').fetchone() for _ in range(10)}) == 1


def test_a_cancel_reaches_the_right_server(reading):
    for _ in range(4):
        with reading.connect() as connection:
            timer = threading.Timer(0.2, connection.cancel)
            timer.start()
            with pytest.raises(psycopg.errors.QueryCanceled):
                connection.execute('SELECT pg_sleep(10)')
            timer.join()


def test_what_is_under_way_at_a_replica_that_left_the_configuration(reading):
    """It is shown by its name, and a cancel finds it."""
    reading.configure({'stats_users': ['ann']})
    with reading.connect() as connection:
        with connection.transaction(force_rollback=True):
            connection.execute('SELECT 1')
            reading.configure({'replicas': []})
            with reading.connect(dbname='weir') as admin:
                assert {row[-1] for row in admin.execute('SHOW SERVERS').fetchall()} <= {'r-1', 'r-2'}
            timer = threading.Timer(0.5, connection.cancel)
            timer.start()
            with pytest.raises(psycopg.errors.QueryCanceled):
                connection.execute('SELECT pg_sleep(60)')
            timer.join()


def test_a_replica_that_is_behind_is_left_out(weir, tmp_path, authority, cluster):
    with proxy_before(weir, tmp_path / 'run', authority, cluster, 'replicas', max_replica_lag_ms=1500) as proxy:
        with proxy.connect() as connection, cluster.one.held_back():
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:  # it falls behind as the primary goes on
                cluster.primary.run("INSERT INTO t (v) VALUES ('on')")
                state = {t['id']: t for t in proxy.status()['targets']}['r-1']
                if state['state'] == 'UNAVAILABLE':
                    break
                time.sleep(0.1)
            assert state['reason'] == 'INVALID_REPLICATION_STATE' and 'ms behind' in state['description'], state
            assert {folder_of(connection) for _ in range(20)} == {str(cluster.two.data)}
        await_states(proxy, {'r-1': 'AVAILABLE', 'r-2': 'AVAILABLE'})
        with proxy.connect() as connection:
            wait_for(lambda: folder_of(connection) == str(cluster.one.data), 'it does not come back')


def test_an_idle_primary_lets_nobody_fall_behind(weir, tmp_path, authority, cluster):
    cluster.primary.run("INSERT INTO t (v) VALUES ('last')")
    with proxy_before(weir, tmp_path / 'run', authority, cluster, 'replicas', max_replica_lag_ms=1000) as proxy:
        time.sleep(4)
        assert {t['state'] for t in proxy.status()['targets']} == {'AVAILABLE'}


def test_a_replica_dies_and_comes_back(weir, tmp_path, authority, own_cluster):
    """Clients between transactions notice nothing; when none is left they wait, and are told why."""
    own_cluster.primary.run('GRANT pg_read_all_settings TO ann')
    own_cluster.catch_up()
    with proxy_before(weir, tmp_path / 'run', authority, own_cluster, 'replicas',
                      connection_borrow_timeout_s=3) as proxy:
        connections = [proxy.connect() for _ in range(4)]
        for _ in range(10):
            for connection in connections:
                folder_of(connection)
        own_cluster.one.kill()
        for _ in range(10):
            for connection in connections:
                assert folder_of(connection) == str(own_cluster.two.data)
        await_states(proxy, {'r-1': 'UNAVAILABLE', 'r-2': 'AVAILABLE'})
        own_cluster.one.start()
        await_states(proxy, {'r-1': 'AVAILABLE', 'r-2': 'AVAILABLE'})
        wait_for(lambda: folder_of(connections[0]) == str(own_cluster.one.data), 'it does not come back')

        own_cluster.one.kill()
        own_cluster.two.kill()
        started = time.monotonic()
        with pytest.raises(psycopg.OperationalError, match='No replica can serve reads: r-1: .*; r-2: '):
            connections[0].execute('SELECT 1')
        assert 2 < time.monotonic() - started < 8

        def back():
            time.sleep(1)
            own_cluster.two.start()
        thread = threading.Thread(target=back)
        thread.start()
        assert folder_of(connections[1]) == str(own_cluster.two.data)  # it waited
        thread.join()
        with proxy.connect() as late:
            assert folder_of(late) == str(own_cluster.two.data)


def test_a_replica_that_is_promoted_serves_no_more(weir, tmp_path, authority, own_cluster):
    own_cluster.primary.run('GRANT pg_read_all_settings TO ann')
    own_cluster.catch_up()
    with proxy_before(weir, tmp_path / 'run', authority, own_cluster, 'replicas') as proxy:
        with proxy.connect() as connection:
            own_cluster.one.ask('SELECT pg_promote()')
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                    connection.execute("INSERT INTO t (v) VALUES ('into the wrong history')")
            assert folder_of(connection) == str(own_cluster.two.data)
        await_states(proxy, {'r-1': 'UNAVAILABLE', 'r-2': 'AVAILABLE'})
        state = {t['id']: t for t in proxy.status()['targets']}['r-1']
        assert state['reason'] == 'INVALID_REPLICATION_STATE'


def test_replicas_come_and_go_with_the_configuration(reading, cluster):
    with reading.connect() as connection:
        for _ in range(10):
            folder_of(connection)
        before = reading.await_status(lambda s: s['servers_opened'] >= 2)['servers_opened']
        reading.configure({'replicas': [cluster.two.target('r-2')]})
        assert {folder_of(connection) for _ in range(10)} == {str(cluster.two.data)}
        reading.configure({'replicas': cluster.targets()})
        await_states(reading, {'r-1': 'AVAILABLE', 'r-2': 'AVAILABLE'})
        wait_for(lambda: folder_of(connection) == str(cluster.one.data), 'it is not used')
        opened = reading.await_status(lambda s: s['clients'] == 1)['servers_opened']
        assert opened - before <= 3  # those to r-2 have stayed


def test_the_admin_database_knows_them(reading):
    reading.configure({'stats_users': ['ann'], 'admin_database': 'weir'})
    with reading.connect() as connection:
        for _ in range(10):
            folder_of(connection)
        with reading.connect(dbname='weir') as admin:
            servers = admin.execute('SHOW SERVERS').fetchall()
            assert {row[-1] for row in servers} == {'r-1', 'r-2'}
            state = dict(admin.execute('SHOW STATE').fetchall())
            assert state['replica.r-1'] == 'AVAILABLE' and int(state['replica.r-1_lag_ms']) >= 0
            targets = {row[0]: row[1:] for row in admin.execute('SHOW TARGETS').fetchall()}
            assert set(targets) == {'r-1', 'r-2'}
            role, state, reason, _, lag, servers, most, borrows, right, place = targets['r-1']
            assert (role, state, reason, most) == ('READ_ONLY', 'AVAILABLE', '', 10) and place.startswith('w1-')
            assert lag >= 0 and servers >= 1 and borrows >= 3 and right is None
            config = {row[0]: row[1] for row in admin.execute('SHOW CONFIG').fetchall()}
            assert (config['pool.reads'], config['pool.replicas']) == ('replicas', 'r-1,r-2')


@pytest.mark.parametrize('reads, target', [('replicas', {'id': 'db-1', 'socket_dir': '/nonexistent', 'port': PORT}),
                                           ('split', None)])
def test_logins_while_the_target_changes(weir, tmp_path, authority, cluster, reads, target):
    """All connections to replicas are taken, and stay; what servers say at a login is known still, or they tell."""
    with proxy_before(weir, tmp_path / 'run', authority, cluster, reads, workers=1, connection_borrow_timeout_s=60,
                      replicas=cluster.targets(max_connections=1)) as proxy:
        stop = threading.Event()
        errors = []

        def work(connection):
            try:
                while not stop.is_set():
                    connection.execute('SELECT count(*) FROM (TABLE t LIMIT 1) AS one, generate_series(1, 300000)')
                    connection.execute('SELECT count(*) FROM generate_series(1, 300000)')
            except psycopg.Error as error:
                errors.append(error)
        connections = [proxy.connect() for _ in range(6)]
        threads = [threading.Thread(target=work, args=(connection,)) for connection in connections]
        for thread in threads:
            thread.start()
        assert proxy.await_status(lambda status: status['clients_waiting'] == 4)
        proxy.configure({'target': target})
        for _ in range(3):
            with proxy.connect() as connection:
                assert connection.execute('SELECT 1').fetchone() == (1,)
        stop.set()
        for thread in threads:
            thread.join()
        assert not errors, errors


@pytest.mark.parametrize('reads', ['replicas', 'split'])
def test_a_role_that_may_have_few_connections_takes_no_replica_from_others(weir, tmp_path, authority, cluster, reads):
    """PostgreSQL refuses one more (53300), and is as well as before."""
    cluster.primary.run('ALTER ROLE bob CONNECTION LIMIT 2', 'GRANT SELECT ON t TO bob')
    cluster.catch_up()
    try:
        with proxy_before(weir, tmp_path / 'run', authority, cluster, reads, workers=1) as proxy:
            stop = threading.Event()
            errors = []

            def work(connection):
                try:
                    while not stop.is_set():
                        connection.execute('SELECT count(*) FROM t, generate_series(1, 20000)')
                except psycopg.Error as error:
                    errors.append(error)
            connections = [proxy.connect(BOB) for _ in range(8)]
            threads = [threading.Thread(target=work, args=(connection,)) for connection in connections]
            for thread in threads:
                thread.start()
            seen = len(proxy.plane.agent.statuses)
            assert proxy.await_status(lambda status: status['servers_failed'] > 0)
            time.sleep(3)
            stop.set()
            for thread in threads:
                thread.join()
            assert not errors, errors
            down = [target for status in proxy.plane.agent.statuses[seen:] for target in status['targets']
                    if target['state'] != 'AVAILABLE']
            assert not down, down
    finally:
        cluster.primary.run('ALTER ROLE bob CONNECTION LIMIT -1')
        cluster.catch_up()
