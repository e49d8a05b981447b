"""Proxies that take each other's place at the same sockets (docs/upgrade.md)."""
import json
import os
import re
import signal
import socket
import subprocess
import threading

import psycopg

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
