"""What its agent tells a proxy, played by the test: configurations under its clients, a stop, a successor."""
import contextlib
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import psycopg
import pytest

from support.engines import account_folder, own_address, stop
from support.plane_agent import Refused
from support.pool import ANN, BOB, PATIENCE_S, PORT, Postgres, authority, pool, postgres, proxy, wait_for

pytestmark = pytest.mark.timeout(120)

# ---- configuration ------------------------------------------------------------------------------

def test_reload_keeps_clients(pool, authority):
    with pool.connect() as connection:
        pid = connection.info.backend_pid
        pool.configure({'users': [BOB, {'user': 'ann', 'password': 'new password'}]})
        assert connection.execute('SELECT 1').fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match='is wrong'):
            pool.connect()
        pool.configure({'users': [BOB]})
        with pytest.raises(psycopg.OperationalError, match='no credentials for the role ann'):
            pool.connect()
        # Another certificate, another address.
        more = own_address()
        cert, key = authority.issue('other', f'IP:{pool.address}')
        pool.configure({'users': [ANN, BOB]}, listeners=[
            {'address': pool.address, 'port': PORT, 'cert_pem': cert.read_text(), 'key_pem': key.read_text()},
            {'address': more, 'port': PORT}])
        pool.connect().close()
        psycopg.connect(**pool.settings(host=more, sslmode='disable')).close()
        pool.configure(listeners=pool.config['listeners'][:1])
        with pytest.raises(psycopg.OperationalError, match='refused'):
            psycopg.connect(**pool.settings(host=more, sslmode='disable'))
        assert connection.execute('SELECT 1').fetchone() == (1,)
        assert connection.info.backend_pid == pid


def test_bad_configurations_change_nothing(pool):
    good = dict(pool.config)
    for change, text in (({'listeners': [{'address': 'nowhere'}]}, 'nowhere'),
                         ({'workers': 5}, 'workers'),
                         ({'listeners': [{**good['listeners'][0], 'key_pem': 'x'}]}, 'certificate'),
                         ({'surprise': 1}, 'surprise')):
        with pytest.raises(Refused, match=text):
            pool.configure(**change)
        pool.config = dict(good)
        pool.connect().close()


def test_security_rules(proxy):
    proxy.configure(security_rules=[{'cidr': '10.0.0.0/8'}])
    with socket.create_connection((proxy.address, PORT), 10) as end:
        with contextlib.suppress(ConnectionResetError):
            assert end.recv(100) == b''
    proxy.await_status(lambda s: s['refused_by_rule'] == 1)
    proxy.configure(security_rules=[{'cidr': '127.0.0.0/8', 'from_port': 1, 'to_port': 5000}])
    with pytest.raises(psycopg.OperationalError):
        proxy.connect()
    proxy.configure(security_rules=[{'cidr': '127.0.0.0/8'}])
    proxy.connect().close()


def test_another_target(pool, weir, tmp_path):
    with account_folder('postgres') as folder:
        second = Postgres(folder)
        try:
            with pool.connect() as connection:
                first = connection.execute('SELECT system_identifier FROM pg_control_system()').fetchone()
                pool.configure({'target': {**pool.config['pool']['target'], 'id': 'db-2',
                                           'socket_dir': str(folder)}})
                assert connection.execute('SELECT system_identifier FROM pg_control_system()').fetchone() != first
                pool.await_status(lambda s: s['targets'][0]['id'] == 'db-2')
        finally:
            stop(second.process, signal.SIGINT)


def test_init_query(proxy):
    proxy.configure({'init_query': "SET statement_timeout = '7s'; SELECT 1"})
    with proxy.connect() as connection:
        assert connection.execute('SHOW statement_timeout').fetchone() == ('7s',)
        connection.execute('RESET ALL')  # would undo it for the next client: pins
        assert proxy.await_status(lambda s: s['clients_pinned'] == 1)
    proxy.configure({'init_query': 'SELECT nothing'})
    with pytest.raises(psycopg.OperationalError, match='initialization query failed'):
        proxy.connect()


def test_a_file_that_has_changed_is_read_again(proxy, tmp_path, authority):
    """The same configuration, after the agent was away: the certificate that it names is another one."""
    listener = proxy.config['listeners'][0]
    (tmp_path / 'cert.pem').write_text(listener.pop('cert_pem'))
    (tmp_path / 'key.pem').write_text(listener.pop('key_pem'))
    (tmp_path / 'key.pem').chmod(0o600)
    proxy.configure(listeners=[{**listener, 'cert_file': str(tmp_path / 'cert.pem'),
                                'key_file': str(tmp_path / 'key.pem')}])

    def serial():
        context = ssl.create_default_context(cafile=str(authority.ca))
        with socket.create_connection((proxy.address, PORT), PATIENCE_S) as plain:
            plain.sendall(struct.pack('!II', 8, 80877103))
            assert plain.recv(1) == b'S'
            with context.wrap_socket(plain, server_hostname=proxy.address) as peer:
                return peer.getpeercert()['serialNumber']

    first = serial()
    cert, key = authority.issue('another', f'IP:{proxy.address}')
    (tmp_path / 'cert.pem').write_text(cert.read_text())
    (tmp_path / 'key.pem').write_text(key.read_text())
    proxy.plane.agent.close()
    proxy.plane.agent.open()
    wait_for(lambda: serial() != first, 'the file is read again')


# ---- the agent ----------------------------------------------------------------------------------

def test_the_agent_comes_and_goes(pool):
    agent = pool.plane.agent
    with pool.connect() as connection:
        agent.close()
        assert connection.execute('SELECT 1').fetchone() == (1,)
        agent.open()
        agent.wait(lambda: len(agent.hellos) == 2)
        agent.wait(lambda: {'applied': agent.epoch} in agent.answers[1:])
        assert connection.execute('SELECT 1').fetchone() == (1,)


@pytest.mark.parametrize('kind', ['proxy', 'front'])
def test_without_its_lock_it_ends(weir, tmp_path, kind):
    """A process that starts slowly may miss that its resource, or the whole tier, has gone meanwhile."""
    lock = tmp_path / 'plane/late.lock'
    with subprocess.Popen([weir, kind, '--id', 'late', '--run', tmp_path]) as process:
        try:
            wait_for(lock.exists, 'the lock')
            time.sleep(0.5)  # it looks for its agent meanwhile
            assert process.poll() is None
            lock.unlink()
            assert process.wait(20) == 0
        finally:
            process.kill()


@pytest.mark.parametrize('kind', ['pool', 'relay'])
def test_upgraded_under_its_clients(proxy, kind):
    """As the agent does it; long transactions stay, and a cancel request finds its process."""
    if kind == 'pool':
        proxy.configure()
    else:
        proxy.relay()
    with proxy.connect() as old, proxy.connect() as idle:
        old.execute('BEGIN')
        pid = proxy.pid_of(old)
        for _ in range(3):
            before = proxy.plane.upgrade()
            assert proxy.pid_of(old) == pid
            with proxy.connect() as new:
                assert new.execute('SELECT 1').fetchone() == (1,)
        assert before.poll() is not None or before.wait(PATIENCE_S) == 0  # nobody was with it
        timer = threading.Timer(0.3, old.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            old.execute('SELECT pg_sleep(20)')
        timer.join()
        old.execute('ROLLBACK')
        assert idle.execute('SELECT 1').fetchone() == (1,)
    assert proxy.plane.former[0].wait(PATIENCE_S) == 0


# ---- a stop -------------------------------------------------------------------------------------

def test_stop_drains(pool):
    with pool.connect() as idle, pool.connect() as busy:
        busy.execute('BEGIN')
        threading.Timer(0.3, pool.plane.agent.stop).start()
        assert busy.execute('SELECT 1 FROM pg_sleep(1)').fetchone() == (1,)
        busy.execute("INSERT INTO t (v) VALUES ('drained')")
        busy.execute('COMMIT')
        with pytest.raises(psycopg.OperationalError, match='administrator command'):
            idle.execute('SELECT 1')
        with pytest.raises(psycopg.OperationalError):
            busy.execute('SELECT 1')
    assert pool.plane.process.wait(10) == 0


SLOW_COMMIT = '''
    CREATE TABLE slow (v int);
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(6); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle();
    GRANT ALL ON slow TO ann'''


def test_stop_does_not_say_that_a_commit_may_be_repeated(pool, postgres):
    """What takes longer than a drain: behind a COMMIT, in a transaction, a write of its own, a read."""
    postgres.run(SLOW_COMMIT)
    pool.configure({'resend_reads': True})  # so that reads are told from writes
    texts = [['BEGIN', 'INSERT INTO slow VALUES (1)', 'COMMIT'], ['BEGIN', 'SELECT pg_sleep(20)'], ['INSERT INTO slow VALUES (2)'],
             ["SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 1000000) b"]]
    told = [None] * len(texts)

    def work(number, connection):
        try:
            for text in texts[number]:
                connection.execute(text)
        except psycopg.OperationalError as error:
            told[number] = error.sqlstate or str(error)
    connections = [pool.connect() for _ in texts]
    threads = [threading.Thread(target=work, args=each) for each in enumerate(connections)]
    try:
        for thread in threads:
            thread.start()
        wait_for(lambda: len(postgres.ask("SELECT 1 FROM pg_stat_activity WHERE usename = 'ann' AND state = 'active'")) >= 4,
                 'they do not run')
        pool.plane.agent.stop()
        for thread in threads:
            thread.join(15)
        assert ['may have been committed' in said or said == '08007' for said in told] == [True, False, True, False], told
        assert ['administrator command' in said or said == '57P01' for said in told] == [False, True, False, True], told
        assert pool.plane.process.wait(10) == 0
    finally:
        for connection in connections:
            connection.close()
        postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ann'", 'DROP TABLE slow', 'DROP FUNCTION dawdle')
