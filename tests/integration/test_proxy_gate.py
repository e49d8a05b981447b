"""Where commits wait for a standby, no success is passed on that a cut wait could have produced (RULES F6), and it is
known how long the primary may still answer (F9): `weir proxy` in front of a PostgreSQL whose standby is a stream of WAL
that the tests stop and continue."""
import contextlib
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from support.engines import account_folder, as_account, give, postgres_bin, stop
from support.pool import ANN, BOB, PORT, Postgres, Proxy, authority, wait_for
from support.wire import Wire, query

pytestmark = pytest.mark.timeout(180)

STANDBY = 'standby'
HELD_S = 0.7  # so long nothing is heard of what is held


class Standby:
    """What PostgreSQL waits for with each commit."""

    def __init__(self, postgres):
        self.postgres = postgres
        self.process = None
        self.begin()

    def begin(self):
        folder = self.postgres.folder / f'wal-{time.monotonic_ns()}'
        folder.mkdir()
        give(folder, 'postgres')
        self.process = subprocess.Popen(
            [postgres_bin() / 'pg_receivewal', '-D', folder, '--synchronous', '--status-interval', '1', '-d',
             f'host={self.postgres.folder} user=postgres application_name={STANDBY}'],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_account('postgres'))
        wait_for(lambda: self.postgres.ask("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"),
                 'it does not stream')

    @contextlib.contextmanager
    def stopped(self):
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def end(self):
        self.process.send_signal(signal.SIGCONT)
        stop(self.process, signal.SIGINT)


@pytest.fixture(scope='module')
def postgres():
    with account_folder('postgres') as folder:
        server = Postgres(folder, settings=(f'synchronous_standby_names={STANDBY}', 'synchronous_commit=local',
                                            'wal_sender_timeout=0', 'max_wal_size=64MB'))
        server.run('CREATE TABLE t (id serial PRIMARY KEY, v text); GRANT ALL ON t, t_id_seq TO ann, bob',
                   'GRANT ALL ON SCHEMA public TO ann, bob', 'ALTER ROLE ann SET synchronous_commit = on',
                   'CREATE ROLE pulse LOGIN', 'ALTER ROLE pulse SET client_min_messages = error',
                   'ALTER ROLE pulse SET statement_timeout = 1',
                   'ALTER ROLE pulse SET default_transaction_read_only = on')
        (server.data / 'pg_hba.conf').write_text(
            'local all,replication postgres,pulse trust\nlocal all all scram-sha-256\n')
        server.run('SELECT pg_reload_conf()')
        server.standby = Standby(server)
        yield server
        server.standby.end()
        stop(server.process, signal.SIGINT)


@pytest.fixture(params=['pool', 'relay'])
def proxy(request, weir, tmp_path, authority, postgres):
    made = Proxy(weir, tmp_path / 'run', authority, postgres)
    made.config['pool']['target'].update(synchronous=True, probe_user='pulse')
    if request.param == 'relay':
        made.relay()
    else:
        made.configure(workers=1)
    wait_for(lambda: postgres.ask("SELECT 1 FROM pg_stat_activity WHERE usename = 'pulse'"), 'there is no pulse')
    yield made
    assert made.plane.close() == 0


def waits(postgres, user='ann'):
    return postgres.ask("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND usename = %s", user)


def cut(postgres):
    """As PostgreSQL's own function does it, which nobody tells the proxy."""
    pid = wait_for(lambda: waits(postgres), 'the commit waits')[0][0]
    postgres.ask('SELECT pg_cancel_backend(%s)', pid)
    wait_for(lambda: not waits(postgres), 'it still waits')


def rows(postgres):
    with postgres.admin('app') as admin:
        return admin.execute('SELECT count(*) FROM t').fetchone()[0]


def is_unknown(error):
    """08007, which psycopg does not tell where the connection ends with it."""
    return error.sqlstate == '08007' or 'the transaction may have been committed' in str(error)


def gated(proxy):
    return proxy.await_status(lambda s: 'gated' in s)['gated']


# ---- successes ----------------------------------------------------------------------------------

LOUD = [("INSERT INTO t (v) VALUES ('x')",),
        ('BEGIN', "INSERT INTO t (v) VALUES ('x')", 'COMMIT'),
        ("BEGIN; INSERT INTO t (v) VALUES ('x'); COMMIT",),
        ("SELECT 1; INSERT INTO t (v) VALUES ('x')",)]
SILENT = [("SET client_min_messages = 'error'", "INSERT INTO t (v) VALUES ('x')"),
          ("SET client_min_messages TO ERROR; INSERT INTO t (v) VALUES ('x')",),
          ('BEGIN', 'SET LOCAL client_min_messages = error', "INSERT INTO t (v) VALUES ('x')", 'COMMIT'),
          ('BEGIN', "SELECT set_config('client_min_messages', 'error', true)", "INSERT INTO t (v) VALUES ('x')",
           'COMMIT'),
          ("DO $$ BEGIN PERFORM set_config('client_min_messages', 'error', true); INSERT INTO t (v) VALUES ('x'); "
           "END $$",)]


def run(connection, texts):
    for text in texts:
        answer = connection.execute(text)
    return answer.statusmessage


@pytest.mark.parametrize('texts', LOUD + SILENT, ids=str)
def test_a_cut_wait_is_held_until_the_standby_has_it(proxy, postgres, texts):
    before = rows(postgres)
    with proxy.connect() as client, ThreadPoolExecutor() as pool:
        assert client.execute('SELECT 1').fetchone() == (1,)
        with postgres.standby.stopped():
            answer = pool.submit(run, client, texts)
            cut(postgres)
            time.sleep(HELD_S)
            assert not answer.done()
        assert answer.result(20) is not None
        assert rows(postgres) == before + 1
        assert client.execute('SELECT 1').fetchone() == (1,)
        assert not client.closed


@pytest.mark.parametrize('options', ['-c client_min_messages=error'])
def test_a_session_that_begins_silent(proxy, postgres, options):
    with proxy.connect(options=options) as client, ThreadPoolExecutor() as pool:
        client.execute('SELECT 1')
        with postgres.standby.stopped():
            answer = pool.submit(client.execute, "INSERT INTO t (v) VALUES ('x')")
            cut(postgres)
            time.sleep(HELD_S)
            assert not answer.done()
        answer.result(20)


def test_prepared_statements_are_held(proxy, postgres):
    """Where CommandComplete comes in front of the commit."""
    with proxy.connect(prepare_threshold=0) as client, ThreadPoolExecutor() as pool:
        client.execute("INSERT INTO t (v) VALUES (%s)", ('a',))
        for level in ('notice', 'error'):
            client.execute(f'SET client_min_messages = {level}')
            with postgres.standby.stopped():
                answer = pool.submit(client.execute, 'INSERT INTO t (v) VALUES (%s)', ('b',))
                cut(postgres)
                time.sleep(HELD_S)
                assert not answer.done(), level
            answer.result(20)


def test_what_was_parsed_before_is_held(proxy, postgres):
    """An unnamed statement may be parsed in one batch, and run in another one."""
    with proxy.connect(options='-c client_min_messages=error') as client, ThreadPoolExecutor() as pool:
        client.pgconn.prepare(b'', b"INSERT INTO t (v) VALUES ('x')")
        with postgres.standby.stopped():
            answer = pool.submit(client.pgconn.exec_prepared, b'', [])
            cut(postgres)
            time.sleep(HELD_S)
            assert not answer.done()
        assert answer.result(20).command_status == b'INSERT 0 1'


def test_what_is_held_outlives_an_upgrade(proxy, postgres):
    """By a pulse of the process that leaves."""
    with proxy.connect() as client, ThreadPoolExecutor() as pool:
        client.execute('SELECT 1')
        with postgres.standby.stopped():
            answer = pool.submit(client.execute, "INSERT INTO t (v) VALUES ('x')")
            cut(postgres)
            proxy.plane.upgrade()
            time.sleep(HELD_S)
            assert not answer.done()
        assert answer.result(20).statusmessage == 'INSERT 0 1'


def worker_of(client):
    return client.info.backend_pid >> 27


def test_what_is_held_when_the_process_ends(weir, tmp_path, authority, postgres):
    """The first worker, whose the pulse is, has nobody left; the other one has."""
    proxy = Proxy(weir, tmp_path / 'run', authority, postgres)
    proxy.config['pool']['target'].update(synchronous=True, probe_user='pulse')
    proxy.configure(workers=2)
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
        clients = {}
        while set(clients) != {0, 1}:  # many at once, for one that is idle takes them all
            for client in pool.map(lambda _: proxy.connect(), range(8)):
                stack.enter_context(client)
                clients.setdefault(worker_of(client), client)
        client = clients[1]
        client.execute('SELECT 1')
        with postgres.standby.stopped():
            answer = pool.submit(client.execute, "INSERT INTO t (v) VALUES ('x')")
            cut(postgres)
            time.sleep(HELD_S)
            assert not answer.done()
            end = pool.submit(proxy.plane.close)
            time.sleep(HELD_S)
            assert not answer.done()
        assert answer.result(20).statusmessage == 'INSERT 0 1'
        assert end.result(20) == 0


def test_a_procedure_that_runs_into_its_timeout(proxy, postgres):
    """statement_timeout does fire in the wait inside CALL, and nobody hears a warning of it where the procedure keeps
    them to itself."""
    with proxy.connect() as client:
        client.execute("""CREATE OR REPLACE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN
            PERFORM set_config('client_min_messages', 'error', true);
            INSERT INTO t (v) VALUES ('x'); COMMIT; END $$""")
    with proxy.connect(options='-c statement_timeout=400ms') as client, ThreadPoolExecutor() as pool:
        client.execute('SELECT 1')
        with postgres.standby.stopped():
            answer = pool.submit(client.execute, 'CALL commits()')
            wait_for(lambda: waits(postgres), 'it waits')
            wait_for(lambda: not waits(postgres), 'it ran into its timeout')
            time.sleep(HELD_S)
            assert not answer.done()
        answer.result(20)


def test_a_cancel_that_was_passed_on(proxy, postgres):
    with proxy.connect() as client, ThreadPoolExecutor() as pool:
        client.execute('SELECT 1')
        with postgres.standby.stopped():
            answer = pool.submit(client.execute, "INSERT INTO t (v) VALUES ('x')")
            wait_for(lambda: waits(postgres), 'the commit waits')
            client.cancel()
            wait_for(lambda: not waits(postgres), 'it was cut')
            time.sleep(HELD_S)
            assert not answer.done()
        answer.result(20)


def test_a_cancel_that_nobody_is_warned_of(proxy, postgres):
    """A function keeps the warning to itself, and its text does not say so."""
    with proxy.connect() as client:
        client.execute("""CREATE OR REPLACE FUNCTION quietly() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
            PERFORM set_config('client_min_messages', 'error', true);
            INSERT INTO t (v) VALUES ('x'); RETURN 1; END $$""")
    with proxy.connect() as client, ThreadPoolExecutor() as pool:
        client.execute('SELECT 1')
        with postgres.standby.stopped():
            answer = pool.submit(client.execute, 'SELECT quietly()')
            wait_for(lambda: waits(postgres), 'the commit waits')
            client.cancel()
            wait_for(lambda: not waits(postgres), 'it was cut')
            time.sleep(HELD_S)
            assert not answer.done()
        assert answer.result(20).fetchone() == (1,)


def test_what_is_not_proven_in_time(proxy, postgres):
    """The standby stays away: after 5 s the client hears that nobody knows."""
    with proxy.connect() as client, ThreadPoolExecutor() as pool:
        client.execute('SELECT 1')
        with postgres.standby.stopped():
            answer = pool.submit(client.execute, "INSERT INTO t (v) VALUES ('x')")
            cut(postgres)
            since = time.monotonic()
            assert is_unknown(answer.exception(20))
            assert time.monotonic() - since > 3
        if 'pool' in proxy.config:
            assert client.execute('SELECT 1').fetchone() == (1,)


@pytest.mark.parametrize('function', ['pg_cancel_backend', 'pg_terminate_backend'])
def test_a_pulse_that_is_cut_proves_nothing(proxy, postgres, function):
    with proxy.connect() as client, ThreadPoolExecutor() as pool:
        client.execute('SELECT 1')
        with postgres.standby.stopped():
            answer = pool.submit(client.execute, "INSERT INTO t (v) VALUES ('x')")
            cut(postgres)
            for _ in range(2):
                pid = wait_for(lambda: waits(postgres, 'pulse'), 'the pulse waits')[0][0]
                postgres.ask(f'SELECT {function}(%s)', pid)
                time.sleep(HELD_S)
                assert not answer.done()
        assert answer.result(20).statusmessage == 'INSERT 0 1'


def test_who_hears_warnings_waits_for_nothing(proxy, postgres):
    with proxy.connect() as client:
        client.execute('SET client_min_messages = warning')
        for _ in range(20):
            client.execute("INSERT INTO t (v) VALUES ('x')")
        client.execute('CREATE TEMPORARY TABLE mine ()')
        client.execute("INSERT INTO t (v) VALUES ('x')")
    with proxy.connect(options='-c client_min_messages=error') as client:
        client.execute('SELECT 1')
        time.sleep(1.2)
        assert gated(proxy) == 0
        client.execute("INSERT INTO t (v) VALUES ('x')")
    proxy.await_status(lambda s: s['gated'] == 1)


def test_the_pulse_rests_with_the_primary(proxy, postgres):
    """Each is a transaction number: nobody who needs none pays for them."""
    with proxy.connect() as client:
        client.execute('SELECT 1')
        first = xid(postgres)
        wait_for(lambda: xid(postgres) >= first + 4, 'there is none')
        wait_for(at_rest(postgres), 'it goes on')
        client.execute('SELECT 1')
        resting = xid(postgres)
        wait_for(lambda: xid(postgres) >= resting + 2, 'it does not begin again')


def xid(postgres):
    return int(postgres.ask('SELECT pg_snapshot_xmax(pg_current_snapshot())')[0][0])


def at_rest(postgres):
    def is_so():
        before = xid(postgres)
        time.sleep(1)
        return xid(postgres) == before
    return is_so


def test_the_engine_is_lost(proxy, postgres):
    """What another engine acknowledges proves nothing: also one that was started anew in the same place."""
    with proxy.connect() as client, ThreadPoolExecutor() as pool:
        client.execute('SELECT 1')
        with postgres.standby.stopped():
            answer = pool.submit(client.execute, "INSERT INTO t (v) VALUES ('x')")
            cut(postgres)
            time.sleep(HELD_S)
            assert not answer.done()
            postgres.kill()
            postgres.start()
        postgres.standby.end()
        postgres.standby.begin()
        assert is_unknown(answer.exception(20))


@pytest.fixture
def other():
    with account_folder('postgres') as folder:
        server = Postgres(folder)
        server.run('CREATE ROLE pulse LOGIN', database='postgres')
        (server.data / 'pg_hba.conf').write_text('local all postgres,pulse trust\nlocal all all scram-sha-256\n')
        server.run('SELECT pg_reload_conf()')
        yield server
        stop(server.process, signal.SIGINT)


def test_another_engine_leads(proxy, postgres, other):
    """The former one lives, and so does the session on it: what the new one acknowledges proves nothing of it."""
    with proxy.connect() as client, ThreadPoolExecutor() as pool:
        client.execute('SELECT 1')
        with postgres.standby.stopped():
            answer = pool.submit(client.execute, "INSERT INTO t (v) VALUES ('x')")
            cut(postgres)
            time.sleep(HELD_S)
            assert not answer.done()
            proxy.config[proxy.config['kind']]['target']['socket_dir'] = str(other.folder)
            proxy.plane.agent.configure(proxy.config)
            assert is_unknown(answer.exception(20))


# ---- the right to answer ---------------------------------------------------------------------------

def test_the_right_is_enforced(weir, tmp_path, authority, postgres):
    """Past it nothing is passed on, and nobody begins; and nothing was lost when it is back."""
    proxy = Proxy(weir, tmp_path / 'run', authority, postgres)
    proxy.config['pool']['target'].update(synchronous=True, probe_user='pulse', right_to_answer='enforced')
    proxy.configure()
    try:
        with proxy.connect() as idle, proxy.connect() as busy, ThreadPoolExecutor() as pool:
            busy.execute('BEGIN')
            assert busy.execute('SELECT 1').fetchone() == (1,)
            assert idle.execute('SELECT 1').fetchone() == (1,)
            with postgres.standby.stopped():
                time.sleep(1.3)
                answers = [pool.submit(busy.execute, 'SELECT 2'), pool.submit(idle.execute, 'SELECT 3')]
                time.sleep(HELD_S)
                assert not any(answer.done() for answer in answers)
            assert [answer.result(20).fetchone() for answer in answers] == [(2,), (3,)]
    finally:
        assert proxy.plane.close() == 0


@pytest.fixture
def enforced(weir, tmp_path, authority, postgres):
    made = Proxy(weir, tmp_path / 'run', authority, postgres)
    made.config['pool']['target'].update(synchronous=True, probe_user='pulse', right_to_answer='enforced')
    made.configure(workers=1)
    yield made
    assert made.plane.close() == 0


def test_who_may_not_answer_for_long_is_lost(enforced, postgres):
    with enforced.connect() as client, ThreadPoolExecutor() as pool:
        client.execute('BEGIN')
        with postgres.standby.stopped():
            time.sleep(1.3)
            since = time.monotonic()
            answer = pool.submit(client.execute, 'SELECT 2')
            assert answer.exception(30).sqlstate == '40001'
            assert time.monotonic() - since > 8
        assert client.execute('SELECT 3').fetchone() == (3,)


@pytest.mark.parametrize('after', [{'right_to_answer': 'measured'}, {}])
def test_the_right_is_not_enforced_any_more(enforced, postgres, after):
    """What is held for it goes on at once, also where nobody asks any more whether it is there."""
    with enforced.connect() as client, ThreadPoolExecutor() as pool:
        client.execute('BEGIN')
        with postgres.standby.stopped():
            time.sleep(1.3)
            answer = pool.submit(client.execute, 'SELECT 2')
            time.sleep(HELD_S)
            assert not answer.done()
            target = enforced.config['pool']['target']
            for key in ('right_to_answer', 'synchronous', 'probe_user'):
                target.pop(key)
            target.update({'synchronous': True, 'probe_user': 'pulse', **after} if after else {})
            enforced.configure()
            assert answer.result(3).fetchone() == (2,)


def pulses(postgres):
    return [pid for (pid,) in postgres.ask("SELECT pid FROM pg_stat_activity WHERE usename = 'pulse'")]


def test_the_session_that_asks_is_lost(enforced, postgres):
    """What it has proven stays so for as long as it would have; and another one goes on."""
    with enforced.connect() as client, ThreadPoolExecutor() as pool:
        client.execute('BEGIN')
        for _ in range(8):  # this may be slower than the right lasts
            wait_for(lambda: pulses(postgres), 'there is no pulse')
            time.sleep(0.5)
            with postgres.standby.stopped():
                postgres.ask('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s', 'pulse')
                answer = pool.submit(client.execute, 'SELECT 2')
                time.sleep(0.3)
                kept = answer.done()
            assert answer.result(20).fetchone() == (2,)
            if kept:
                return
        assert kept


def fill(postgres):
    """Connections of somebody else's, until there is no room for one more."""
    taken = []
    while True:
        try:
            taken.append(psycopg.connect(host=str(postgres.folder), dbname='app', **BOB))
        except psycopg.OperationalError:
            return taken


def backends(admin):
    """(pids of the pulse's, of clients'). PostgreSQL may be too full to be asked by another connection."""
    rows = admin.execute("SELECT pid, application_name = 'weir pulse' FROM pg_stat_activity "
                         "WHERE application_name = 'weir pulse' OR usename = 'ann'").fetchall()
    return [pid for pid, pulse in rows if pulse], [pid for pid, pulse in rows if not pulse]


def ask_until_answered(proxy):
    """A client that does not give up."""
    for _ in range(2000):
        with contextlib.suppress(psycopg.OperationalError), proxy.connect() as client:
            return client.execute('SELECT 1').fetchone()
        time.sleep(0.02)
    raise TimeoutError('no answer')


def refused(proxy):
    """How often PostgreSQL has let nobody in, a second ago at most."""
    seen = len(proxy.plane.agent.statuses)
    wait_for(lambda: len(proxy.plane.agent.statuses) > seen, 'a status')
    return proxy.status()['servers_failed']


def test_what_becomes_free_is_the_pulse_s(proxy, postgres):
    """PostgreSQL is full, and others would like to have it: nobody else is let in from here until the pulse is."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool, postgres.admin() as admin:
        taken = fill(postgres)
        stack.callback(lambda: [connection.close() for connection in taken])
        while backends(admin)[0]:
            admin.execute('SELECT pg_terminate_backend(%s)', backends(admin)[0])
            taken += fill(postgres)
        answers = [pool.submit(ask_until_answered, proxy) for _ in range(8)]
        time.sleep(1)
        before = refused(proxy)
        time.sleep(2)
        assert refused(proxy) - before < 20, 'clients still ask PostgreSQL'
        taken.pop().close()
        wait_for(lambda: backends(admin)[0], 'the pulse has it')
        stack.close()
        assert [answer.result(30) for answer in answers] == [(1,)] * 8


def test_the_session_that_asks_hangs(enforced, postgres):
    """Another one asks as well, and no third."""
    with enforced.connect() as client:
        client.execute('BEGIN')
        stuck = wait_for(lambda: pulses(postgres), 'there is no pulse')
        os.kill(stuck[0], signal.SIGSTOP)
        try:
            for _ in range(12):
                time.sleep(0.5)
                assert client.execute('SELECT 2').fetchone() == (2,)
                assert len(pulses(postgres)) <= 2
            assert len(pulses(postgres)) == 2
        finally:
            os.kill(stuck[0], signal.SIGCONT)
        wait_for(lambda: len(pulses(postgres)) == 1, 'the other one stays')
        assert client.execute('SELECT 2').fetchone() == (2,)


def test_a_slow_reader_and_the_right(enforced, postgres):
    """What it drains makes a server be read again that is held: nothing is lost or told twice."""
    with Wire(enforced.address, PORT, ANN['user'], ANN['password'], 'app') as wire, ThreadPoolExecutor() as pool:
        wire.send(query("SELECT i, repeat('x', 2000) FROM generate_series(1, 100000) AS i"))
        wire.hear()
        hearing = pool.submit(wire.settle)
        for _ in range(3):
            with postgres.standby.stopped():
                time.sleep(1.5)
            time.sleep(0.1)
        hearing.result(60)
        numbers = [int(heard[1][0]) for heard in wire.heard if heard[0] == 'DataRow']
        assert numbers == list(range(1, 100001))


def test_who_waits_for_a_limit_begins_with_the_right(enforced, postgres):
    """The only connection that the role may have lies idle."""
    enforced.configure({'users': [{**ANN, 'max_connections': 1}]})
    with enforced.connect() as client, ThreadPoolExecutor() as pool:
        client.execute('SELECT 1')
        with postgres.standby.stopped():
            time.sleep(1.3)
            answer = pool.submit(client.execute, 'SELECT 2')
            time.sleep(HELD_S)
            assert not answer.done()
        assert answer.result(3).fetchone() == (2,)


def test_after_a_rest_the_first_use_waits_for_a_pulse(weir, tmp_path, authority, postgres):
    proxy = Proxy(weir, tmp_path / 'run', authority, postgres)
    proxy.config['pool']['target'].update(synchronous=True, probe_user='pulse', right_to_answer='enforced')
    proxy.configure()
    try:
        with proxy.connect() as client:
            client.execute('SELECT 1')
            wait_for(at_rest(postgres), 'it goes on')
            before = proxy.await_status(lambda s: s['borrows'] > 0)
            since = time.monotonic()
            assert client.execute('SELECT 1').fetchone() == (1,)
            assert time.monotonic() - since < 0.2
            after = proxy.await_status(lambda s: s['borrows'] > before['borrows'])
            assert after['servers_opened'] == before['servers_opened']  # what lies idle is enough
    finally:
        assert proxy.plane.close() == 0
