"""A tier on several hosts: data folders, networks and processes of their own on this machine, over one etcd."""
import contextlib
import json
import os
import secrets
import signal

from support.etcd import Etcd
from support.tier import Tier
from support.watch import wait_until


class Host(Tier):
    """A host: a Tier in all that a command does."""

    def __init__(self, weir, etcd, name, zone, key):
        super().__init__(weir)
        self.name = name
        self.data.mkdir(mode=0o711)
        self._write('master.key', key)
        self._write('host.json', json.dumps({'name': name, 'zone': zone, 'etcd': {
            'endpoints': etcd.endpoints, 'ca': str(etcd.ca), 'cert': str(etcd.cert), 'key': str(etcd.key)}}))

    def _write(self, name, text):
        path = self.data / name
        path.write_text(text)
        path.chmod(0o600)

    def signal_all(self, signum):
        pids = list(self.processes())
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
        return pids

    def die(self):
        """Everything of it at once: none of them sees another's end."""
        while self.signal_all(signal.SIGSTOP) != self.signal_all(signal.SIGSTOP):
            pass
        self.signal_all(signal.SIGKILL)
        wait_until(lambda: not self.processes(), f'{self.name} is dead')


class Hosts:
    """h1, h2 and h3 in the zones a, b and c; `with` brings them up, and takes them down with all that they have."""

    def __init__(self, weir, folder, count=3):
        key = secrets.token_hex(32)
        self.etcd = Etcd(folder, count)
        self.hosts = [Host(weir, self.etcd, f'h{number + 1}', 'abc'[number], key) for number in range(count)]

    def __getitem__(self, number):
        return self.hosts[number]

    def __enter__(self):
        self.etcd.__enter__()
        try:
            for host in self.hosts:
                host.up()
            return self
        except BaseException:
            self.remove()
            raise

    def remove(self):
        for host in self.hosts:
            host.remove()
        self.etcd.__exit__()

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                for host in self.hosts[1:]:
                    host.up()
                self.hosts[0].destroy()
                for host in self.hosts[1:]:
                    host.down()
                    host.assert_stopped()
                self.hosts[0].assert_gone()
        finally:
            self.remove()

    def of(self, node):
        """The host where a node of `weir status` is."""
        return next(host for host in self.hosts if node['Host'] == host.name)
