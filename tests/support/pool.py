"""A `weir proxy` of its own between the tests' clients and a real PostgreSQL, with a test for an agent."""
import contextlib
import os
import signal
import subprocess
import time

import psycopg
import pytest

from support.certs import Authority
from support.engines import account_folder, as_account, own_address, postgres_bin, stop
from support.plane_agent import PlaneProcess

PORT = 5432
ANN = {'user': 'ann', 'password': 'ann pässword'}
BOB = {'user': 'bob', 'password': "b'o$b"}
PATIENCE_S = 20
TEST_IO = os.environ.get('WEIR_TEST_IO', 'epoll')  # the back end of every proxy that does not say otherwise


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(psycopg.Error, OSError):
            value = condition()
            if value:
                return value
        time.sleep(0.02)
    raise TimeoutError(what)


class Postgres:
    """A server on a Unix socket, and at an address if it is given one, with SCRAM for everybody but the superuser
    `postgres`."""

    def __init__(self, folder, max_connections=40, address='', settings=()):
        self.folder = folder
        self.address = address
        self.data = folder / 'data'
        self.process = None
        quiet = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.STDOUT, 'cwd': folder, **as_account('postgres')}
        subprocess.run([postgres_bin() / 'initdb', '-D', self.data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8',
                        '--no-locale', '-N'], check=True, **quiet)
        (self.data / 'pg_hba.conf').write_text('local all,replication postgres trust\nlocal all md5user md5\n'
                                               'local all all scram-sha-256\nhost all all all scram-sha-256\n')
        self.settings = ['-c', f'listen_addresses={address}', '-c', f'max_connections={max_connections}',
                         '-c', 'shared_buffers=16MB', '-c', 'fsync=off', '-c', 'log_min_messages=fatal',
                         *(word for setting in settings for word in ('-c', setting))]
        self.start()
        with self.admin() as admin:
            for user in (ANN, BOB):
                admin.execute(f"CREATE ROLE {user['user']} LOGIN PASSWORD " +
                              psycopg.sql.Literal(user['password']).as_string(admin))
            admin.execute("SET password_encryption = md5; CREATE ROLE md5user LOGIN PASSWORD 'md5 password'")
            admin.execute('GRANT pg_signal_backend TO ann')
            admin.execute('CREATE DATABASE app OWNER ann')
            admin.execute('GRANT ALL ON DATABASE app TO bob, md5user')

    def start(self):
        self.process = subprocess.Popen([postgres_bin() / 'postgres', '-D', self.data, '-k', self.folder,
                                         *self.settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        cwd=self.folder, **as_account('postgres'))
        wait_for(lambda: self.admin().close() is None, 'PostgreSQL does not start')

    def admin(self, database='postgres'):
        return psycopg.connect(host=str(self.folder), user='postgres', dbname=database, autocommit=True)

    def ask(self, query, *parameters):
        with self.admin() as admin:
            return admin.execute(query, parameters).fetchall()

    def run(self, *commands, database='app'):
        """As the superuser, one by one."""
        with self.admin(database) as admin:
            for command in commands:
                admin.execute(command)

    def backends(self, user='ann'):
        return self.ask("SELECT pid FROM pg_stat_activity WHERE usename = %s", user)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        (self.data / 'postmaster.pid').unlink(missing_ok=True)
        # What a killed postmaster leaves behind ends by itself.
        wait_for(lambda: not backends_of(self.data), 'backends survive their postmaster')


def backends_of(folder):
    found = []
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if os.readlink(f'/proc/{entry}/cwd') == str(folder):
                    found.append(entry)
    return found


@pytest.fixture(scope='module')
def postgres():
    with account_folder('postgres') as folder:
        server = Postgres(folder)
        with server.admin('app') as admin:
            admin.execute('CREATE TABLE t (id serial PRIMARY KEY, v text); GRANT ALL ON t, t_id_seq TO ann, bob')
            admin.execute('GRANT ALL ON SCHEMA public TO ann, bob')
        yield server
        stop(server.process, signal.SIGINT)


@pytest.fixture(scope='module')
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp('authority'))


class Proxy:
    """A proxy process on an address of its own, and ways to connect through it."""

    def __init__(self, weir, run, authority, postgres):
        self.address = own_address()
        self.authority = authority
        cert, key = authority.issue(f'proxy-{self.address}', f'IP:{self.address},DNS:proxy.test')
        self.config = {
            'kind': 'pool',
            'io': TEST_IO,
            'listeners': [{'address': self.address, 'port': PORT, 'cert_pem': cert.read_text(),
                           'key_pem': key.read_text()}],
            'pool': {'users': [ANN, BOB], 'connection_borrow_timeout_s': 10,
                     'target': {'id': 'db-1', 'socket_dir': str(postgres.folder), 'port': PORT,
                                'max_connections': 10}},
        }
        self.plane = PlaneProcess(weir, 'proxy', run)

    def configure(self, pool=None, **members):
        self.config.update(members)
        self.config['pool'].update(pool or {})
        self.plane.agent.configure(self.config)

    def relay(self, **members):
        self.config['kind'] = 'relay'
        self.config['relay'] = {'target': {key: value for key, value in self.config.pop('pool')['target'].items()
                                           if key != 'max_connections'}}
        self.configure_relay(**members)

    def configure_relay(self, **members):
        self.config.update(members)
        self.plane.agent.configure(self.config)

    def settings(self, user=ANN, **more):
        return {'host': self.address, 'port': PORT, 'dbname': 'app', 'sslmode': 'verify-full', 'connect_timeout': 10,
                'sslrootcert': str(self.authority.ca), **user, **more}

    def connect(self, user=ANN, **more):
        more.setdefault('autocommit', True)
        more.setdefault('prepare_threshold', None)
        return psycopg.connect(**self.settings(user, **more))

    def status(self):
        return self.plane.agent.statuses[-1] if self.plane.agent.statuses else {}

    def await_status(self, condition):
        return self.plane.agent.wait(lambda: self.status() and condition(self.status()) and self.status())

    def pid_of(self, connection):
        return connection.execute('SELECT pg_backend_pid()').fetchone()[0]


@pytest.fixture
def proxy(weir, tmp_path, authority, postgres):
    made = Proxy(weir, tmp_path / 'run', authority, postgres)
    yield made
    code = made.plane.close()
    assert code == 0, f'the proxy ended with {code}'


@pytest.fixture
def pool(proxy):
    proxy.configure()
    return proxy


def one_server(proxy):
    """One connection, on one worker: everybody has the same."""
    proxy.configure({'max_connections_percent': 10}, workers=1)
    return proxy
