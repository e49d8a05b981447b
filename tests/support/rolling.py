"""Proxies that take each other's place at the same sockets (docs/upgrade.md)."""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import psycopg
import pytest

from support.alone import PORT, Proxy
from support.watch import wait_until


class Rolling(Proxy):
    """A proxy that is upgraded: its processes, the one that serves last."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.processes = []
        self.environment = {}

    def launch(self, *more):
        """One more process; its log is in `lines`, as that of all."""
        process = subprocess.Popen([self.weir, 'proxy', '--config', self.path, *more], stdin=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, env={**os.environ, **self.environment})
        process.log = []

        def hear():
            for line in process.stderr:
                process.log.append(line)
                self.lines.append(line)
        process.ear = threading.Thread(target=hear, daemon=True)
        process.ear.start()
        self.processes.append(process)
        return process

    @staticmethod
    def await_log(process, pattern, timeout_s=20):
        return wait_until(lambda: next((line for line in list(process.log) if re.search(pattern, line)), None),
                          f'{pattern} in {process.log}', timeout_s)

    def start(self, *more):
        self.write()
        self.process = self.launch(*more)
        self.await_log(self.process, 'proxy.json is in force')
        return self

    def upgrade(self):
        """By a second command; returns the process that served before."""
        before = self.process
        self.start('--take-over')
        return before

    def tls(self):
        cert, key = self.server.authority.issue(f'proxy-{self.address}', f'IP:{self.address}')
        self.config['listeners'][0].update(cert_file=str(cert), key_file=self.file('key.pem', key.read_text()))

    def close(self):
        alive = [process for process in self.processes if process.poll() is None]
        for process in alive:
            process.send_signal(signal.SIGTERM)
        ends = []
        for process in self.processes:
            try:
                ends.append(process.wait(20))
            except subprocess.TimeoutExpired:
                process.kill()
                ends.append('hangs')
            process.ear.join(5)
            process.stderr.close()
        return ends


class Load:
    """Clients that connect and query without a pause; every failure is kept."""

    def __init__(self, proxy, **options):
        self.proxy = proxy
        self.options = options
        self.failures = []
        self.connects = self.queries = 0
        self.stopping = threading.Event()
        self.threads = []

    def _run(self, work, number):
        while not self.stopping.is_set():
            try:
                work(number)
            except Exception as error:  # pylint: disable=broad-except
                self.failures.append(f'{work.__name__}: {error!r}')
                return

    def short(self, number):
        """A connection for two queries."""
        with self.proxy.connect(**self.options) as connection:
            self.connects += 1
            assert connection.execute('SELECT %s::int', (number,)).fetchone() == (number,)
            with connection.transaction():
                assert connection.execute('SELECT 2').fetchone() == (2,)
            self.queries += 2

    def steady(self, number):
        """A connection that stays, whichever process it is with."""
        with self.proxy.connect(**self.options) as connection:
            while not self.stopping.is_set():
                assert connection.execute('SELECT %s::int', (number,)).fetchone() == (number,)
                self.queries += 1
                time.sleep(0.001)

    def raw(self, _):
        """A connect and the first byte of an answer, as fast as it goes."""
        with socket.create_connection((self.proxy.address, PORT), 10) as peer:
            peer.settimeout(10)
            peer.sendall(b'\0\0\0\x08\x04\xd2\x16\x2f')
            assert peer.recv(1) in (b'S', b'N')
            self.connects += 1
        time.sleep(0.002)

    def __enter__(self):
        for work, count in ((self.short, 3), (self.steady, 3), (self.raw, 1)):
            for number in range(count):
                thread = threading.Thread(target=self._run, args=(work, number))
                thread.start()
                self.threads.append(thread)
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)


class Watch:
    """Looks again and again how many connections a PostgreSQL has from the proxy, of those that were there at the look
    before as well: a backend shows itself a moment before its application_name. Those that watch a target are in no
    budget."""

    def __init__(self, server, user='ann'):
        self.server = server
        self.most = 0
        self.looks = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(user,))

    def _run(self, user):
        before = set()
        with psycopg.connect(**self.server.settings(application_name='watch'), autocommit=True) as admin:
            while not self.stopping.is_set():
                now = {pid for pid, in admin.execute(
                    "SELECT pid FROM pg_stat_activity WHERE usename = %s AND backend_type = 'client backend' "
                    "AND application_name NOT IN ('watch', 'weir proxy')", (user,))}
                self.most = max(self.most, len(before & now))
                before = now
                self.looks += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(20)


class Impostor:
    """A process that asks for the place by hand, and stops at a step."""

    def __init__(self, proxy):
        self.end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.settimeout(20)
        self.end.connect(f'\0weir-proxy/{proxy.address}:{PORT}')
        self.fds = []

    def say(self, **message):
        self.end.send(json.dumps(message).encode())

    def hear(self):
        data, fds, _, _ = socket.recv_fds(self.end, 1 << 17, 30)
        self.fds += fds
        return json.loads(data) if data else None

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.end.close()


def gone(process):
    return wait_until(lambda: process.poll() is not None, f'{process.pid} ends: {process.log}', 20)


@pytest.fixture
def proxy(weir, tmp_path, server):
    made = Rolling(weir, tmp_path, server)
    made.server = server
    yield made
    ends = made.close()
    assert all(end in (0, -signal.SIGKILL) for end in ends), (ends, made.lines)
    assert f'@weir-proxy/{made.address}' not in open('/proc/net/unix', encoding='ascii').read()
