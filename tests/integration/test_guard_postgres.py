"""A real PostgreSQL under `weir guard`: what RULES F8 promises, and how its stop modes end."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from support.engines import account_folder, as_account, give, postgres_bin

PATIENCE_S = 20
BUSY = ("DO $$ DECLARE x bigint := 0; BEGIN FOR i IN 1..2000000000 LOOP x := x + i; END LOOP; END $$")


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise TimeoutError(what)


def processes_in(folder):
    """Pids of those whose working directory is the folder or below; zombies have none."""
    found = []
    for entry in Path('/proc').iterdir():
        if entry.name.isdigit():
            try:
                cwd = os.readlink(entry / 'cwd')
            except OSError:
                continue
            if cwd == str(folder) or cwd.startswith(f'{folder}/'):
                found.append(int(entry.name))
    return found


class Guarded:
    """One guard over one PostgreSQL in `folder`, listening on a Unix socket there."""

    def __init__(self, weir, folder):
        self.folder = folder
        self.data = folder / 'data'
        self.run = folder / 'run'
        self.log = folder / 'log'
        self.process = None
        self.weir = weir
        self.run.mkdir(mode=0o711, exist_ok=True)

    def start(self):
        user = as_account('postgres')
        account = []
        if user:
            info = self.folder.stat()
            account = ['--uid', str(info.st_uid), '--gid', str(info.st_gid)]
        self.process = subprocess.Popen(
            [self.weir, 'guard', '--node', 'pg', '--run', self.run, '--log', self.log,
             '--cwd', self.data, '--stop-signals', 'fast=INT,immediate=QUIT', '--death-signal', 'QUIT',
             *account, '--', postgres_bin() / 'postgres', '-D', self.data, '-k', self.folder,
             '-c', 'listen_addresses=', '-c', 'restart_after_crash=off'],
            stdin=subprocess.DEVNULL)
        wait_for(self.ready, 'the server does not answer')

    def ready(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            self.connect().close()
            return True
        except psycopg.OperationalError:
            return False

    def connect(self):
        return psycopg.connect(host=str(self.folder), user='postgres', autocommit=True)

    def busy_backend(self):
        """Sends a query that runs for minutes; returns the connection and the backend's pid."""
        connection = self.connect()
        connection.pgconn.send_query(BUSY.encode())
        return connection, connection.info.backend_pid

    def talk(self):
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(PATIENCE_S)
        peer.connect(str(self.run / 'guard' / 'pg.sock'))
        return peer.makefile('rw')

    def engine(self):
        lines = self.talk()
        lines.write('status\n')
        lines.flush()
        words = dict(word.split('=') for word in lines.readline().split()[1:])
        assert words['state'] == 'running'
        return int(words['engine'])

    def record(self):
        return (self.run / 'guard' / 'pg.exit').read_text()


@pytest.fixture
def guarded(weir):
    if not list(Path('/usr/lib/postgresql').glob('*/bin/postgres')):
        pytest.skip('postgresql is not installed')
    with account_folder('postgres') as folder:
        folder.chmod(0o711)
        subprocess.run([postgres_bin() / 'initdb', '-D', folder / 'data', '-U', 'postgres', '-A', 'trust', '-N',
                        '--no-locale'], check=True, stdout=subprocess.DEVNULL, cwd=folder, **as_account('postgres'))
        give(folder, 'postgres')
        guard = Guarded(weir, folder)
        yield guard
        if guard.process and guard.process.poll() is None:
            guard.process.kill()
            guard.process.wait()
        for pid in processes_in(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not processes_in(folder), 'processes are left')
        shutil.rmtree(folder / 'data', ignore_errors=True)


def test_a_killed_postmaster_takes_its_busy_backends_along(guarded):
    guarded.start()
    lines = guarded.talk()
    connection, backend = guarded.busy_backend()
    os.kill(guarded.engine(), signal.SIGKILL)
    told = lines.readline()
    assert not processes_in(guarded.data), 'told of the end before everything had died'
    with pytest.raises(ProcessLookupError):
        os.kill(backend, 0)
    assert told.startswith('exited code=-1 signal=9 asked=no ')
    assert guarded.record() == told
    assert guarded.process.wait(PATIENCE_S) == 0
    connection.close()
    guarded.start()  # at once: no shared memory is in the way
    guarded.process.terminate()
    assert guarded.process.wait(PATIENCE_S) == 0
    assert guarded.record().startswith('exited code=0 signal=0 asked=yes ')


def test_stop_modes(guarded):
    guarded.start()
    connection, _ = guarded.busy_backend()
    lines = guarded.talk()
    lines.write('stop fast 20000\n')
    lines.flush()
    assert lines.readline() == 'ok\n'
    assert lines.readline().startswith('exited code=0 signal=0 asked=yes ')
    connection.close()
    guarded.process.wait(PATIENCE_S)
    assert 'database system is shut down' in guarded.log.read_text()
    guarded.start()
    lines = guarded.talk()
    lines.write('stop immediate 20000\n')
    lines.flush()
    assert lines.readline() == 'ok\n'
    assert lines.readline().startswith('exited code=0 signal=0 asked=yes ')


def test_an_engine_never_outlives_its_guard(guarded):
    guarded.start()
    connection, _ = guarded.busy_backend()
    guarded.process.kill()
    begin = time.monotonic()
    wait_for(lambda: not processes_in(guarded.data), 'the engine outlives its guard')
    assert time.monotonic() - begin < 5
    connection.close()
    assert not (guarded.run / 'guard' / 'pg.exit').exists()
    guarded.start()
    with guarded.connect() as again:
        assert again.execute('SELECT 1').fetchone() == (1,)
