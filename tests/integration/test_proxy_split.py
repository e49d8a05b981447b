"""One endpoint: reads go to real streaming replicas, all else to the primary, and a session sees what it has written."""
import random
import signal
import threading
import time
from pathlib import Path

import psycopg
import pytest

from support.causal import prepare
from support.pool import ANN, BOB, PORT, authority, wait_for
from support.replicas import await_states, cluster, own_cluster, proxy_before
from support.watch import is_sanitized
from support.wire import Wire

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope='module', autouse=True)
def database(cluster):
    prepare(cluster)


@pytest.fixture
def split(weir, tmp_path, authority, cluster):
    with proxy_before(weir, tmp_path / 'run', authority, cluster, 'split') as proxy:
        yield proxy


def where(connection, text='SELECT folder FROM here'):
    return connection.execute(text).fetchone()[0]


def replicas_of(cluster):
    return {str(cluster.one.data), str(cluster.two.data)}


def test_reads_go_to_replicas_and_writes_do_not(split, cluster):
    with split.connect() as connection, split.connect(prepare_threshold=0) as prepared:
        assert {where(connection) for _ in range(20)} == replicas_of(cluster)
        connection.execute("INSERT INTO t (v) VALUES ('x')")
        assert {where(prepared) for _ in range(20)} >= replicas_of(cluster)  # the first one parses, anywhere


@pytest.mark.parametrize('begin', ['BEGIN READ ONLY', 'START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY',
                                   'begin isolation level read committed read only'])
def test_read_only_transactions_as_a_whole(split, cluster, begin):
    with split.connect() as connection:
        for _ in range(6):
            connection.execute(begin)
            assert len({where(connection) for _ in range(5)} & replicas_of(cluster)) == 1
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                connection.execute("INSERT INTO t (v) VALUES ('x')")
            connection.execute('ROLLBACK')


@pytest.mark.parametrize('begin', ['BEGIN', 'BEGIN READ WRITE', 'BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY',
                                   'START TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE, DEFERRABLE'])
def test_other_transactions_go_to_the_primary(split, cluster, begin):
    with split.connect() as connection:
        for _ in range(4):
            connection.execute(begin)
            assert where(connection) == str(cluster.primary.data)
            connection.execute('COMMIT')


@pytest.mark.parametrize('text', [
    'SELECT folder FROM here, k WHERE id = 1 FOR SHARE OF k', 'SELECT folder, pg_advisory_xact_lock(1) FROM here', 'SELECT folder, random() FROM here',
    'WITH a AS (INSERT INTO t (v) VALUES (1) RETURNING id) SELECT folder FROM here', 'SELECT folder FROM here; SELECT 1',
    "SELECT folder, nextval('t_id_seq') FROM here", "SELECT folder, pg_try_advisory_lock(5), pg_advisory_unlock(5) FROM here"])
def test_what_is_no_read(split, cluster, text):
    for _ in range(3):
        with split.connect() as connection:
            assert where(connection, text) == str(cluster.primary.data)


def test_sessions_that_are_read_only_or_serializable(split, cluster):
    with split.connect() as connection:
        connection.execute('SET default_transaction_read_only = on')
        elsewhere = [where(connection, "SELECT current_setting('data_directory')") for _ in range(10)]
        assert set(elsewhere[1:]) <= replicas_of(cluster)  # the first one may have come behind the SET at once
        with connection.transaction():
            assert where(connection) in replicas_of(cluster)
        connection.execute('BEGIN READ WRITE')
        assert where(connection) == str(cluster.primary.data)
        connection.execute('COMMIT')
        connection.execute('SET default_transaction_read_only = off')
        connection.execute('SET default_transaction_isolation = serializable')
        assert {where(connection) for _ in range(6)} == {str(cluster.primary.data)}
        connection.execute('BEGIN READ ONLY')
        assert where(connection) == str(cluster.primary.data)
        connection.execute('COMMIT')
    with split.connect(options='-c default_transaction_isolation=serializable') as connection:
        assert {where(connection) for _ in range(6)} == {str(cluster.primary.data)}


@pytest.mark.parametrize('user', [ANN, BOB])  # as the first of them the proxy watches
def test_who_is_serializable_by_role(weir, tmp_path, authority, cluster, user):
    cluster.primary.run(f"ALTER ROLE {user['user']} SET default_transaction_isolation = serializable")
    cluster.catch_up()
    try:
        with proxy_before(weir, tmp_path / 'run', authority, cluster, 'split') as proxy, proxy.connect(user) as connection:
            assert {where(connection) for _ in range(6)} == {str(cluster.primary.data)}
            connection.execute('BEGIN READ ONLY')
            assert where(connection) == str(cluster.primary.data)
            connection.execute('COMMIT')
            connection.execute("SET default_transaction_isolation = 'read committed'")
            assert {where(connection) for _ in range(20)} >= replicas_of(cluster)
    finally:
        cluster.primary.run(f"ALTER ROLE {user['user']} RESET ALL")
        cluster.catch_up()


def test_who_reads_only_by_role(weir, tmp_path, authority, cluster):
    cluster.primary.run('ALTER ROLE bob SET default_transaction_read_only = on')
    cluster.catch_up()
    try:
        with proxy_before(weir, tmp_path / 'run', authority, cluster, 'split') as proxy, proxy.connect(BOB) as connection:
            with connection.transaction():
                assert where(connection) in replicas_of(cluster)
            assert connection.execute('SHOW default_transaction_read_only').fetchone() == ('on',)
            connection.execute('BEGIN READ WRITE')
            connection.execute('UPDATE k SET n = n WHERE id = 46')
            connection.execute('COMMIT')
    finally:
        cluster.primary.run('ALTER ROLE bob RESET ALL')
        cluster.catch_up()


def test_advisory_locks_of_a_transaction_on_a_replica_are_refused(split):
    """They would keep nobody out."""
    for text in ('SELECT pg_advisory_xact_lock(1)', "SELECT pg_try_advisory_lock(1) /* %s */" % ('x' * 30000)):
        with split.connect() as connection:
            connection.execute('BEGIN READ ONLY')
            with pytest.raises(psycopg.OperationalError, match='advisory locks cannot be taken'):
                connection.execute(text)
    with split.connect() as connection:
        assert connection.execute('SELECT 1').fetchone() == (1,)


@pytest.mark.parametrize('text', ['PREPARE p AS SELECT 1', 'DECLARE c CURSOR WITH HOLD FOR SELECT 1', "LOAD 'plpgsql'",
                                  'SELECT setseed(0.5)', 'DO $$BEGIN END$$'])
def test_what_pins_in_a_transaction_on_a_replica_is_refused(split, text):
    """The session would stay there, and could not write any more."""
    with split.connect() as connection:
        connection.execute('BEGIN READ ONLY')
        connection.execute('SELECT count(*) FROM k')
        with pytest.raises(psycopg.OperationalError, match='what pins the session cannot be done'):
            connection.execute(text)
    with split.connect() as connection:
        connection.execute('BEGIN READ ONLY')
        with pytest.raises(psycopg.errors.SyntaxError):
            connection.execute('SELCT 1')  # nobody knows that, and it pins nothing
        connection.execute('ROLLBACK')
        connection.execute('UPDATE k SET n = n WHERE id = 45')


def test_a_pinned_session_stays_where_it_is(split, cluster):
    with split.connect() as connection:
        connection.execute('CREATE TEMP TABLE mine (id int)')
        assert {where(connection) for _ in range(6)} == {str(cluster.primary.data)}


def test_who_listens_by_a_shared_connection(weir, tmp_path, authority, cluster):
    """It is the primary's. Reads go on being the replicas'; transactions, with which the channels come along, are not."""
    with proxy_before(weir, tmp_path / 'run', authority, cluster, 'split', shared_listeners=True) as proxy:
        with proxy.connect() as listener, proxy.connect(prepare_threshold=0) as other:
            listener.execute('LISTEN c')
            assert proxy.await_status(lambda status: status['clients_listening'] == 1 and status['clients_pinned'] == 0)
            cluster.catch_up()
            assert replicas_of(cluster) & {where(listener) for _ in range(20)}
            assert proxy.status()['clients_listening'] == 1
            listener.execute('BEGIN READ ONLY')
            assert where(listener) == str(cluster.primary.data)
            listener.execute('COMMIT')
            other.execute("NOTIFY c, 'one'")
            heard = wait_for(lambda: listener.pgconn.consume_input() or listener.pgconn.notifies(), 'nothing is heard')
            assert heard.extra == b'one'


def test_logical_replication_comes_from_the_primary(split, cluster):
    cluster.primary.run('ALTER ROLE bob REPLICATION')
    cluster.catch_up()
    with Wire(split.address, PORT, BOB['user'], BOB['password'], 'app', replication='database') as walsender:
        assert walsender.rows("SELECT current_setting('data_directory')") == [(str(cluster.primary.data),)]
    cluster.primary.run('ALTER ROLE bob NOREPLICATION')
    cluster.catch_up()


def test_the_endpoint_says_that_it_takes_writes(split):
    with split.connect(target_session_attrs='read-write') as connection:
        for _ in range(10):
            connection.execute('SELECT v FROM t LIMIT 1')
        assert connection.info.parameter_status('in_hot_standby') == 'off'


def test_everybody_reads_the_own_writes(split, cluster):
    """Writers whose reads come at once behind; many reads are the replicas'."""
    errors = []
    folders = []

    def work(number):
        try:
            dice = random.Random(number)
            with split.connect(dice.choice([ANN, BOB]), prepare_threshold=dice.choice([None, 0])) as connection:
                for turn in range(1, 60):
                    connection.execute('UPDATE k SET n = %s WHERE id = %s', (turn, number))
                    folder, n = connection.execute('SELECT folder, n FROM here, k WHERE id = %s', (number,)).fetchone()
                    assert n == turn, f'{number} wrote {turn} and reads {n} in {folder}'
                    folders.append(folder)
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
    assert len(set(folders) & replicas_of(cluster)) == 2


def test_behind_replicas_the_primary_answers(split, cluster):
    """Both replay nothing: a wait with an end, and the right answer; who wrote nothing reads what they have."""
    with split.connect() as connection, split.connect() as other, cluster.one.held_back(), cluster.two.held_back():
        before = other.execute('SELECT n FROM k WHERE id = 50').fetchone()[0]
        started = time.monotonic()
        for turn in range(1, 6):
            connection.execute('UPDATE k SET n = n + 1 WHERE id = 50')
            assert connection.execute('SELECT n FROM k WHERE id = 50').fetchone()[0] == before + turn
        assert time.monotonic() - started < 5
        assert other.execute('SELECT folder, n FROM here, k WHERE id = 50').fetchone()[1] == before


def test_a_table_is_there_for_who_made_it(split):
    with split.connect() as connection:
        for number in range(10):
            connection.execute(f'CREATE TABLE made_{number} (v int)')
            assert connection.execute(f'SELECT count(*) FROM made_{number}').fetchone() == (0,)
            connection.execute(f'DROP TABLE made_{number}')
            with pytest.raises(psycopg.errors.UndefinedTable):
                connection.execute(f'SELECT count(*) FROM made_{number}')


def test_a_write_that_looks_like_a_read(split, cluster):
    """A view that moves a sequence: the replica refuses it, the primary runs it, once, and it is learnt."""
    cluster.primary.run('CREATE SEQUENCE hits', 'GRANT ALL ON SEQUENCE hits TO ann',
                        "CREATE VIEW counting AS SELECT nextval('hits') AS hit", 'GRANT SELECT ON counting TO ann')
    cluster.catch_up()
    try:
        for threshold in (None, 0):
            with split.connect(prepare_threshold=threshold) as connection:
                hits = [connection.execute('SELECT hit FROM counting').fetchone()[0] for _ in range(8)]
                assert hits == list(range(hits[0], hits[0] + 8))
        again = split.await_status(lambda s: s['clients'] == 0 and s['reads_again'] > 0)['reads_again']
        assert again <= 2 * 2  # once per worker, and text: that of Parse has no end
    finally:
        cluster.primary.run('DROP VIEW counting', 'DROP SEQUENCE hits')


def test_a_conflict_with_recovery_is_not_seen(split, cluster):
    """A long read on a replica, and a VACUUM on the primary that removes what it would see."""
    cluster.primary.run('CREATE TABLE c AS SELECT g AS id FROM generate_series(1, 2000) AS g', 'GRANT ALL ON c TO ann')
    cluster.catch_up()
    slow = 'SELECT count(*) FROM c AS a, c AS b, generate_series(1, 4) AS g WHERE a.id + b.id > g'
    stop = threading.Event()

    def disturb():
        while not stop.is_set():
            cluster.primary.run('DELETE FROM c WHERE id > 1000', 'VACUUM c',
                                'INSERT INTO c SELECT g FROM generate_series(1001, 2000) AS g')
            cluster.primary.run('BEGIN; LOCK TABLE c IN ACCESS EXCLUSIVE MODE; COMMIT')
    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        with split.connect() as connection:
            for _ in range(12):
                connection.execute(slow)
    finally:
        stop.set()
        thread.join()
        cluster.primary.run('DROP TABLE c')
    assert split.await_status(lambda s: s['reads_again'] > 0)


def test_a_cancel_is_the_clients_own(split):
    with split.connect() as connection:
        for _ in range(3):
            timer = threading.Timer(0.3, connection.cancel)
            timer.start()
            with pytest.raises(psycopg.errors.QueryCanceled):
                connection.execute('SELECT count(*) FROM generate_series(1, 3000000) a, generate_series(1, 100) b')
            timer.join()
        connection.execute("SET statement_timeout = '100ms'")
        with pytest.raises(psycopg.errors.QueryCanceled, match='statement timeout'):
            connection.execute('SELECT count(*) FROM generate_series(1, 3000000) a, generate_series(1, 100) b')
    assert split.await_status(lambda s: s['clients'] == 0)['reads_again'] == 0


def test_reads_in_flight_survive_a_replica(weir, tmp_path, authority, own_cluster):
    """It is killed in the middle: nobody hears of it; with both gone the primary does it all."""
    with proxy_before(weir, tmp_path / 'run', authority, own_cluster, 'split') as proxy:
        stop = threading.Event()
        errors = []
        counts = [0] * 6

        def reads(number):
            try:
                with proxy.connect() as connection:
                    while not stop.is_set():
                        text = f'SELECT count(*), {number} FROM generate_series(1, 20000) AS g'
                        assert connection.execute(text).fetchone() == (20000, number)
                        counts[number] += 1
            except BaseException as error:  # pylint: disable=broad-except
                errors.append(error)
        readers = [threading.Thread(target=reads, args=(number,)) for number in range(6)]
        for reader in readers:
            reader.start()
        for _ in range(8):  # a kill that meets nobody in the middle shows nothing
            time.sleep(1)
            own_cluster.one.signal(signal.SIGKILL)
            own_cluster.one.kill()
            time.sleep(1)
            own_cluster.one.start()
            await_states(proxy, {'db-1': 'AVAILABLE', 'r-1': 'AVAILABLE', 'r-2': 'AVAILABLE'})
            if proxy.await_status(lambda s: True)['reads_again'] > 0:
                break
        own_cluster.one.kill()
        own_cluster.two.kill()
        before = list(counts)
        wait_for(lambda: errors or all(now > then + 3 for now, then in zip(counts, before)), 'they do not go on')
        stop.set()
        for reader in readers:
            reader.join()
        assert not errors, errors
        assert proxy.await_status(lambda s: s['reads_again'] > 0)


def test_pipelines_keep_their_order(split, authority):
    """Reads and writes behind one another without waiting: each sees what stands in front of it."""
    with split.connect() as connection:
        for turn in range(10):
            with connection.pipeline():
                cursors = [connection.execute('UPDATE k SET n = %s WHERE id = 49', (turn,)),
                           connection.execute('SELECT n FROM k WHERE id = 49')]
                for add in range(5):
                    cursors.append(connection.execute('UPDATE k SET n = n + 1 WHERE id = 49 RETURNING n + %s * 0', (add,)))
                    cursors.append(connection.execute('SELECT n FROM k WHERE id = 49'))
            assert [cursor.fetchone()[0] for cursor in cursors[1:]] == [
                turn] + [turn + 1 + step // 2 for step in range(10)]


def test_what_follows_a_transaction_at_once(split, cluster):
    """A write in the pipeline behind a READ ONLY transaction, and one right behind its SET, go to the primary."""
    with split.connect() as connection:
        for turn in range(10):
            with connection.pipeline():
                connection.execute('BEGIN READ ONLY')
                folder = connection.execute('SELECT folder FROM here')
                connection.execute('COMMIT')
                connection.execute('UPDATE k SET n = %s WHERE id = 47', (turn,))
                n = connection.execute('SELECT n FROM k WHERE id = 47')
            assert folder.fetchone()[0] in replicas_of(cluster) | {str(cluster.primary.data)}
            assert n.fetchone()[0] == turn
            connection.execute('BEGIN READ ONLY')
            connection.execute(f"SET work_mem = '{turn + 1}MB'")
            connection.execute('COMMIT')
            connection.execute('UPDATE k SET n = n + 1 WHERE id = 47')
            assert connection.execute('SHOW work_mem').fetchone() == (f'{turn + 1}MB',)


def test_large_answers_and_errors_of_their_own(split):
    with split.connect() as connection:
        rows = connection.execute('SELECT repeat(%s, 1000), g FROM generate_series(1, 5000) AS g', ('x',)).fetchall()
        assert len(rows) == 5000 and all(len(row[0]) == 1000 for row in rows)
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute('SELECT 1 / (n - n) FROM k')
        with pytest.raises(psycopg.errors.UndefinedColumn):
            connection.execute('SELECT nothing FROM k')
        assert connection.execute('SELECT 1').fetchone() == (1,)


def test_idle_clients_keep_nothing_of_their_reads(split):
    def memory_kib():
        lines = Path(f'/proc/{split.plane.process.pid}/status').read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith('VmRSS'))
    connections = [split.connect() for _ in range(200)]
    for connection in connections:
        connection.execute('SELECT 1')
    before = memory_kib()
    for connection in connections:
        connection.execute(f"SELECT 1 /* {'x' * 7000} */")
    assert is_sanitized(split.plane.process.pid) or memory_kib() - before < 200 * 4
    for connection in connections:
        connection.close()


def test_lines_are_of_a_target(weir, tmp_path, authority, cluster):
    with proxy_before(weir, tmp_path / 'run', authority, cluster, 'split', shared_connections=1) as proxy:
        errors = []

        def work(number):
            try:
                with proxy.connect() as connection:
                    for turn in range(1, 80):
                        if turn % 10 == 0:
                            connection.execute('UPDATE k SET n = %s WHERE id = %s', (turn, number))
                        folder, n = connection.execute('SELECT folder, n FROM here, k WHERE id = %s', (number,)).fetchone()
                        assert n == turn - turn % 10 or turn < 10, (n, turn, folder)
            except BaseException as error:  # pylint: disable=broad-except
                errors.append(error)
        threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors, errors
        assert proxy.await_status(lambda s: s['shared'] > 0 and s['replica_borrows'] > 0)


def test_reads_change_while_it_runs(split, cluster):
    with split.connect() as connection:
        split.configure({'reads': 'replicas'})
        assert where(connection) in replicas_of(cluster)
        split.configure({'reads': 'split'})
        await_states(split, {'db-1': 'AVAILABLE', 'r-1': 'AVAILABLE', 'r-2': 'AVAILABLE'})
        connection.execute('UPDATE k SET n = n WHERE id = 48')  # it has heard last that it only reads
        where(connection)
        split.configure({'reads': 'primary'})
        assert {where(connection) for _ in range(5)} == {str(cluster.primary.data)}
        connection.execute('UPDATE k SET n = 4711 WHERE id = 48')
        split.configure({'reads': 'split'})
        assert connection.execute('SELECT n FROM k WHERE id = 48').fetchone() == (4711,)
        await_states(split, {'db-1': 'AVAILABLE', 'r-1': 'AVAILABLE', 'r-2': 'AVAILABLE'})
        wait_for(lambda: where(connection) in replicas_of(cluster), 'nothing is split')
