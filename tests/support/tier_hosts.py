"""A tier on several hosts: data folders, networks and processes of their own on this machine, over one etcd. With
network namespaces a host can be cut off, too."""
import contextlib
import json
import os
import secrets
import signal
import subprocess

from support.certs import Authority
from support.etcd import Etcd
from support.hosts import ip
from support.inside import Inside
from support.tier import Tier, TierError
from support.watch import wait_until

standing = []  # every TierHosts that is up


class Host(Tier):
    """A host: a Tier in all that a command does."""

    def __init__(self, weir, name):
        super().__init__(weir)
        self.name = name

    def write(self, name, text):
        """A file in its folder, before it is up."""
        self.data.mkdir(mode=0o711, exist_ok=True)
        path = self.data / name
        path.write_text(text)
        path.chmod(0o600)

    @staticmethod
    def signal_one(pid, signum):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)

    def signal_all(self, signum):
        pids = list(self.processes())
        for pid in pids:
            self.signal_one(pid, signum)
        return pids

    def die(self):
        """Everything of it at once: none of them sees another's end."""
        while self.signal_all(signal.SIGSTOP) != self.signal_all(signal.SIGSTOP):
            pass
        wait_until(lambda: not self.signal_all(signal.SIGKILL), f'{self.name} is dead')


def host_over(weir, etcd, number, key, net=''):
    """A host over an etcd of the operator's."""
    host = Host(weir, f'h{number + 1}')
    host.write('master.key', key)
    host.write('host.json', json.dumps({'name': host.name, 'zone': 'abc'[number], 'net': net, 'etcd': {
        'endpoints': etcd.endpoints[number:] + etcd.endpoints[:number],  # its own first
        'ca': str(etcd.ca), 'cert': str(etcd.cert), 'key': str(etcd.key)}}))
    return host


class EtcdOnHosts(Etcd):
    """One member on each host of a network."""

    def __init__(self, folder, network, names):
        super().__init__(folder, len(names))
        self.network, self.names = network, names
        addresses = [network.addresses[name] for name in names]
        self.endpoints = [f'https://{address}:2379' for address in addresses]
        self.peers = [f'https://{address}:2380' for address in addresses]
        authority = Authority(folder)
        self.ca = authority.ca
        self.cert, self.key = authority.issue('end', ','.join(f'IP:{address}' for address in addresses))

    def start(self, number):
        with self.network.inside(self.names[number]):
            super().start(number)


class TierHosts:
    """h1, h2 and h3 in the zones a, b and c; `with` brings them up, and takes them down with all that they have."""

    def __init__(self, weir, folder, network=None, count=3):
        key = secrets.token_hex(32)
        names = [f'h{number + 1}' for number in range(count)]
        self.network = network
        self.etcd = Etcd(folder, count) if network is None else EtcdOnHosts(folder, network, names)
        self.hosts = [host_over(weir, self.etcd, number, key, '' if network is None else self.net(number))
                      for number in range(count)]

    @staticmethod
    def net(number):
        return f'10.{101 + number}'

    def __getitem__(self, number):
        return self.hosts[number]

    def inside(self, host):
        """What is started here is started there."""
        return contextlib.nullcontext() if self.network is None else self.network.inside(host.name)

    def up(self, host):
        with self.inside(host):
            host.up()

    def _routes(self):
        """Each net leads to its host, from everywhere."""
        for number, host in enumerate(self.hosts):
            net = f'{self.net(number)}.0.0/16'
            for name, address in self.network.addresses.items():
                there = ('-n', self.network.netns(name), 'route', 'add')
                if name == host.name:
                    ip(*there, 'local', net, 'dev', 'lo')
                else:
                    ip(*there, net, 'via', self.network.addresses[host.name])

    def __enter__(self):
        if self.network is not None:
            self._routes()
        standing.append(self)
        try:
            self.etcd.__enter__()
            for host in self.hosts:
                self.up(host)
            return self
        except BaseException:
            self.remove()
            raise

    def remove(self):
        standing.remove(self)
        for host in self.hosts:
            host.remove()
        self.etcd.__exit__()

    def told(self):
        """How things stand, by the first host that answers, and who waits for what: for a test that failed."""
        for asked in map(Inside, self.hosts):
            with contextlib.suppress(TierError, subprocess.TimeoutExpired):
                return '\n'.join((asked.told(), *(
                    f'{node["NodeId"]}\n{Inside(self.of(node)).sessions(node)}'
                    for node in asked.nodes() if node['NodeId'].startswith('db-'))))
        return 'no host answers'

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                for host in self.hosts[1:]:
                    self.up(host)
                with self.inside(self.hosts[0]):
                    self.hosts[0].destroy('--all-hosts')
                for host in self.hosts[1:]:
                    with self.inside(host):
                        host.down()
                    host.assert_stopped()
                self.hosts[0].assert_gone()
        finally:
            self.remove()

    def of(self, node):
        """The host where a node of `weir status` is."""
        return next(host for host in self.hosts if node['Host'] == host.name)
