"""A read whose server is lost before anything of its answer was passed on is sent again, once, and nothing else is."""
import contextlib
import os
import signal
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from support.engines import account_folder, stop
from support.pool import ANN, PORT, Postgres, authority, proxy, wait_for
from support.watch import wait_until
from support.wire import FLUSH, SYNC, Closed, Wire, bind, close, execute, parse, query

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope='module')
def postgres():
    with account_folder('postgres') as folder:
        server = Postgres(folder, settings=('max_prepared_transactions=2',))
        server.run('CREATE TABLE t (id serial PRIMARY KEY, v text); GRANT ALL ON t, t_id_seq TO ann, bob')
        yield server
        stop(server.process, signal.SIGINT)


@pytest.fixture
def pool(proxy):
    proxy.configure({'resend_reads': True, 'connection_borrow_timeout_s': 30}, workers=1)
    return proxy


@contextlib.contextmanager
def locked(postgres, table='t'):
    with postgres.admin('app') as admin:
        admin.execute(f'BEGIN; LOCK TABLE {table}')
        yield admin


def locks(postgres):
    return postgres.ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")[0][0]


def locks_seen(postgres):
    with contextlib.suppress(psycopg.Error):
        return locks(postgres)
    return None


def crash(postgres, waiting):
    """While so many wait for a lock: all of PostgreSQL ends, and comes again."""
    wait_until(lambda: postgres.process.poll() is None and locks_seen(postgres) == waiting, 'they wait', 60)
    postgres.kill()
    postgres.start()


READS = [({'prepare_threshold': None}, 'SELECT count(*) FROM t', ()),
         ({'prepare_threshold': None}, 'SELECT count(*) FROM t WHERE id > %s', (-1,)),
         ({'prepare_threshold': 0}, 'SELECT count(*) FROM t WHERE id > %s', (-1,))]


@pytest.mark.parametrize('options,query,parameters', READS, ids=['simple', 'unnamed', 'named'])
def test_a_read_is_answered_by_the_next_server(pool, postgres, options, query, parameters):
    with pool.connect(**options) as client, ThreadPoolExecutor() as threads:
        client.execute("SET application_name = 'mine'")
        with contextlib.suppress(psycopg.OperationalError), locked(postgres):
            answer = threads.submit(client.execute, query, parameters)
            crash(postgres, 1)
        assert len(answer.result(30).fetchall()) == 1
        assert client.execute('SHOW application_name').fetchone() == ('mine',)
        assert client.execute(query, parameters).fetchall()
    assert pool.await_status(lambda s: s['reads_resent'] == 1)


def test_what_is_not_sent_again(pool, postgres):
    """A write, a read in a transaction, one behind another: each hears its code, and nothing is done twice."""
    with ThreadPoolExecutor() as threads, contextlib.ExitStack() as stack:
        write, inside, two = [stack.enter_context(pool.connect()) for _ in range(3)]
        inside.execute('BEGIN')
        with contextlib.suppress(psycopg.OperationalError), locked(postgres):
            answers = [threads.submit(client.execute, query) for client, query in (
                (write, "INSERT INTO t (v) VALUES ('once')"), (inside, 'SELECT count(*) FROM t'),
                (two, 'SELECT 1; SELECT count(*) FROM t'))]
            crash(postgres, 3)
        assert [answer.exception(30).sqlstate for answer in answers] == ['08007', '40001', '08007']
        assert write.execute("SELECT count(*) FROM t WHERE v = 'once'").fetchone() == (0,)
    assert pool.await_status(lambda s: s['reads_resent'] == 0)


def test_a_read_that_writes_after_all(pool, postgres):
    """No text says what a view does. It may have been committed before the server was lost; so it is not done again."""
    postgres.run('CREATE TABLE IF NOT EXISTS seen (at timestamptz)',
                 "CREATE OR REPLACE FUNCTION sees() RETURNS bool LANGUAGE sql AS 'INSERT INTO seen VALUES (now()) "
                 "RETURNING true'", 'CREATE OR REPLACE VIEW looks AS SELECT sees(), count(*) FROM t',
                 'GRANT ALL ON seen, looks TO ann')
    with pool.connect() as client, ThreadPoolExecutor() as threads:
        client.execute('SELECT * FROM looks')
        with contextlib.suppress(psycopg.OperationalError), locked(postgres):
            answer = threads.submit(client.execute, 'SELECT * FROM looks')
            crash(postgres, 1)
        assert answer.exception(30).sqlstate == '08007'
        assert client.execute('SELECT count(*) FROM seen').fetchone() == (1,)
        client.execute('SELECT * FROM looks')  # nothing of it stays
        assert client.execute('SELECT count(*) FROM seen').fetchone() == (2,)
    assert pool.await_status(lambda s: s['reads_resent'] == 1)


def test_a_parse_that_was_told(pool, postgres):
    """The statement is there already, so that its ParseComplete is the proxy's own."""
    pool.configure({'max_connections_percent': 10})  # one
    named = parse('SELECT count(*) FROM t', 'mine')
    with Wire(pool.address, PORT, ANN['user'], ANN['password'], 'app') as wire:
        wire.ask(named, SYNC)
        wire.ask(close('S', 'mine'), SYNC)
        heard = len(wire.heard)
        with contextlib.suppress(psycopg.OperationalError), locked(postgres):
            wire.send(named, FLUSH)
            assert wire.hear()[0] == 'ParseComplete'
            wire.send(bind('mine'), execute(), SYNC)
            crash(postgres, 1)
        wire.settle()
        assert [answer[0] for answer in wire.heard[heard:]] == ['ParseComplete', 'ErrorResponse', 'ReadyForQuery']
    assert pool.await_status(lambda s: s['reads_resent'] == 0)


def test_a_transaction_that_has_only_begun(pool, postgres):
    """There is nothing in it yet; and it is one as any other then."""
    pool.configure({'max_connections_percent': 10})  # one
    with pool.connect() as client, ThreadPoolExecutor() as threads:
        pid = pool.pid_of(client)
        os.kill(pid, signal.SIGSTOP)
        answer = threads.submit(client.execute, 'BEGIN')
        wait_for(lambda: pool.await_status(lambda s: s['servers_borrowed'] == 1), 'it is sent')
        os.kill(postgres.process.pid, signal.SIGKILL)  # first: it would end the others, and what follows with them
        os.kill(pid, signal.SIGKILL)
        postgres.kill()
        postgres.start()
        assert answer.result(30).statusmessage == 'BEGIN'
        client.execute("INSERT INTO t (v) VALUES ('begun')")
        client.execute('COMMIT')
        assert client.execute("SELECT count(*) FROM t WHERE v = 'begun'").fetchone() == (1,)
    assert pool.await_status(lambda s: s['reads_resent'] == 1)


def test_an_answer_that_has_begun(pool, postgres):
    """What was passed on is not taken back."""
    with Wire(pool.address, PORT, ANN['user'], ANN['password'], 'app') as wire:
        wire.send(query('SELECT generate_series(1, 100000000)'))
        for _ in range(10):
            wire.hear()
        postgres.kill()
        postgres.start()
        with contextlib.suppress(Closed):  # where a row was cut in two
            assert dict(wire.until('ErrorResponse')[1])['code'] == '40001'
        assert pool.await_status(lambda s: s['reads_resent'] == 0)


def test_a_row_that_was_cut(pool, postgres):
    """Behind half of a row no words can be told: they would be taken for the rest of it."""
    with Wire(pool.address, PORT, ANN['user'], ANN['password'], 'app') as wire:
        wire.send(query("SELECT repeat('x', 10000000) FROM generate_series(1, 100)"))
        wire.hear()
        postgres.kill()
        rest = wire.rest()
        postgres.start()
    while len(rest) >= 5 and len(rest) >= 1 + struct.unpack('!I', rest[1:5])[0]:
        rest = rest[1 + struct.unpack('!I', rest[1:5])[0]:]
    assert rest[:1] == b'D' and set(rest[11:]) == set(b'x')


def test_one_that_was_cancelled(pool, postgres):
    with pool.connect() as client, ThreadPoolExecutor() as threads:
        with locked(postgres):
            answer = threads.submit(client.execute, 'SELECT count(*) FROM t')
            wait_for(lambda: locks(postgres) == 1, 'it waits')
            client.cancel()
            assert answer.exception(30).sqlstate == '57014'


def test_one_that_was_cancelled_before_it_was_lost(pool, postgres):
    """Its backend stands still, and does not come to say so."""
    with pool.connect() as client, ThreadPoolExecutor() as threads:
        with contextlib.suppress(psycopg.OperationalError), locked(postgres):
            answer = threads.submit(client.execute, 'SELECT count(*) FROM t')
            pid = wait_for(lambda: postgres.ask("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"),
                           'it waits')[0][0]
            os.kill(pid, signal.SIGSTOP)
            client.cancel()
            pool.await_status(lambda s: s['cancels'] == 1)
            os.kill(pid, signal.SIGKILL)
        assert answer.exception(30).sqlstate == '40001'
        wait_for(lambda: client.execute('SELECT 1').fetchone() == (1,), 'it does not come again')
    assert pool.await_status(lambda s: s['reads_resent'] == 0)


def test_what_postgresql_has_answered(pool, postgres):
    """Were it that it ends the connection."""
    with pool.connect() as client, ThreadPoolExecutor() as threads:
        with locked(postgres) as admin:
            answer = threads.submit(client.execute, 'SELECT count(*) FROM t')
            wait_for(lambda: locks(postgres) == 1, 'it waits')
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            assert 'terminating connection due to administrator command' in str(answer.exception(30))
    assert pool.await_status(lambda s: s['reads_resent'] == 0)


def test_once(pool, postgres):
    """What crashes the server must not crash each one that follows. A prepared transaction keeps its lock."""
    pool.configure({'max_connections_percent': 10})  # one: another one of the engine that dies would be the second loss
    postgres.run('CREATE TABLE IF NOT EXISTS held (); GRANT ALL ON held TO ann',
                 "BEGIN; LOCK TABLE held; PREPARE TRANSACTION 'held'")
    with pool.connect() as client, ThreadPoolExecutor() as threads:
        answer = threads.submit(client.execute, 'SELECT count(*) FROM held')
        crash(postgres, 1)
        wait_until(lambda: answer.done() or locks_seen(postgres) == 1, 'it is sent again', 60)
        assert not answer.done(), answer.exception()
        crash(postgres, 1)
        assert answer.exception(30).sqlstate == '40001'
        postgres.run("ROLLBACK PREPARED 'held'")
        assert client.execute('SELECT 1').fetchone() == (1,)
    assert pool.await_status(lambda s: s['reads_resent'] == 1)


def test_a_connection_from_before_is_not_lent_again(pool, postgres):
    """One that another client had when the first one was lost is of an engine that dies as well: the second loss would
    be told."""
    with pool.connect() as reader, pool.connect() as other, ThreadPoolExecutor() as threads:
        with contextlib.suppress(psycopg.OperationalError), locked(postgres):
            answer = threads.submit(reader.execute, 'SELECT count(*) FROM t')
            wait_until(lambda: locks(postgres) == 1, 'it waits')
            backend, = postgres.ask("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'")[0]
            busy = threads.submit(other.execute, 'SELECT pg_sleep(3)')
            wait_until(lambda: postgres.ask("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), 'it is busy')
            postgres.process.send_signal(signal.SIGSTOP)  # it does not see the end of the one, and ends the others
            os.kill(backend, signal.SIGKILL)
            busy.result(30)
            time.sleep(1)
            postgres.kill()
        postgres.start()
        assert len(answer.result(30).fetchall()) == 1
    assert pool.await_status(lambda s: s['reads_resent'] == 1)


@pytest.mark.parametrize('synchronous,code', [(False, '08007'), (True, '40001')], ids=['unread', 'read'])
def test_without_it_nothing_is_sent_again(proxy, postgres, synchronous, code):
    """Also where texts are read for something else, so that it is known what only reads."""
    proxy.config['pool']['target']['synchronous'] = synchronous
    proxy.configure(workers=1)
    with proxy.connect() as client, ThreadPoolExecutor() as threads:
        with contextlib.suppress(psycopg.OperationalError), locked(postgres):
            answer = threads.submit(client.execute, 'SELECT count(*) FROM t')
            crash(postgres, 1)
        assert answer.exception(30).sqlstate == code
        assert client.execute('SELECT 1').fetchone() == (1,)
    assert proxy.await_status(lambda s: s['reads_resent'] == 0)
