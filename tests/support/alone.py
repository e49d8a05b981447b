"""`weir proxy --config FILE` in front of a PostgreSQL that is reached by TCP, for tests of the proxy alone."""
import json
import re
import signal
import subprocess
import threading

import psycopg
import pytest

from support.certs import Authority
from support.engines import own_address, postgres
from support.watch import wait_until

PORT = 5432
PASSWORD = "ann's pässword"


class Server:
    """A PostgreSQL with and without TLS: the role ann and the database app."""

    def __init__(self, authority):
        self.authority = authority
        self.address = own_address()

    def target(self, **more):
        return {'host': self.address, 'port': PORT, 'max_connections': 10, **more}

    def settings(self, **more):
        return {'host': self.address, 'port': PORT, 'user': 'ann', 'password': PASSWORD, 'dbname': 'app', **more}

    def ask(self, query):
        with psycopg.connect(**self.settings(), autocommit=True) as admin:
            return admin.execute(query).fetchone()


class Proxy:
    """A proxy with a configuration file of its own; the file's members are in `config`."""

    def __init__(self, weir, folder, server):
        self.weir = weir
        self.folder = folder
        self.path = folder / 'proxy.json'
        self.address = own_address()
        self.process = None
        self.lines = []
        self.config = {
            'kind': 'pool',
            'listeners': [{'address': self.address, 'port': PORT}],
            'pool': {'target': server.target(), 'users': [{'user': 'ann', 'password': PASSWORD}],
                     'connection_borrow_timeout_s': 5},
        }

    @property
    def pool(self):
        return self.config['pool']

    def file(self, name, text, mode=0o600):
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def write(self, mode=0o600):
        return self.file(self.path.name, json.dumps(self.config), mode)

    def check(self):
        return subprocess.run([self.weir, 'proxy', '--check', '--config', self.write()], capture_output=True,
                              text=True, timeout=20, check=False)

    def start(self):
        self.process = subprocess.Popen([self.weir, 'proxy', '--config', self.write()], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self._hear, daemon=True).start()
        self.await_line('proxy.json is in force')
        return self

    def _hear(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def await_line(self, pattern, skip=0):
        """The first line of the log behind `skip` that the pattern is found in."""
        return wait_until(lambda: next((line for line in self.lines[skip:] if re.search(pattern, line)), None),
                          f'{pattern} in {self.lines}', 20)

    def reload(self, pattern):
        before = len(self.lines)
        self.write()
        self.process.send_signal(signal.SIGHUP)
        return self.await_line(pattern, before)

    def settings(self, **more):
        return {'host': self.address, 'port': PORT, 'user': 'ann', 'password': PASSWORD, 'dbname': 'app',
                'connect_timeout': 10, **more}

    def connect(self, **more):
        return psycopg.connect(**self.settings(**more), autocommit=True, prepare_threshold=None)

    def ask(self, query, **more):
        with self.connect(**more) as connection:
            return connection.execute(query).fetchone()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0


@pytest.fixture(scope='module')
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp('authority'))


@pytest.fixture(scope='module')
def server(authority):
    made = Server(authority)
    with postgres(authority, made.address, PORT, 'ann', PASSWORD, 'app', kind='host'):
        yield made


@pytest.fixture
def proxy(weir, tmp_path, server):
    made = Proxy(weir, tmp_path, server)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.stop()
