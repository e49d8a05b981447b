"""A tier that grows by tokens: its hosts run etcd themselves, on networks of 127/8."""
import base64
import contextlib
import json
import random
import signal
import socket
import ssl
import threading
import urllib.request

from support.tier_hosts import Host
from support.watch import wait_until


def net_of_nobody():
    """A /16 of 127/8 that this test keeps also while its host is down, when whoever looks for one could take it."""
    while True:
        number = random.randrange(130, 250)  # those that look begin at 1
        with contextlib.suppress(OSError), socket.create_server((f'127.{number}.0.1', 4566)):
            return f'127.{number}'


class TierJoined:
    """h1 in zone a from the beginning; others join. `with` removes whatever is left."""

    def __init__(self, weir):
        self.weir = weir
        self.hosts = [Host(weir, 'h1')]
        self.nets = set()

    def _net(self):
        net = net_of_nobody()
        while net in self.nets:
            net = net_of_nobody()
        self.nets.add(net)
        return net

    def __getitem__(self, number):
        return self.hosts[number]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for host in self.hosts:
            host.remove()

    def begin(self, *files):
        self.hosts[0].command('up', '--detach', '--name', 'h1', '--zone', 'a', '--net', self._net(), *files)
        self.hosts[0].learn_run_folders()

    def token(self, host=None):
        return (host or self.hosts[0]).command('host', 'token').stdout.strip()

    def join(self, name, zone, token=None, words=(), **options):
        """A further host, which is up; the command where it is not to be checked."""
        host = Host(self.weir, name)
        self.hosts.append(host)
        done = host.command('up', '--detach', '--join', token or self.token(), '--name', name, '--zone', zone, '--net',
                            self._net(), *words,
                            **options)
        host.learn_run_folders()
        return done if 'check' in options else host

    def endpoints(self, host):
        return json.loads((host.data / 'host.json').read_text())['etcd']['endpoints']

    def members(self, host):
        """{name: votes} of etcd, as the first member that it asks tells."""
        folder = host.data / 'etcd'
        context = ssl.create_default_context(cafile=folder / 'ca.pem')
        context.load_cert_chain(folder / 'host.pem')
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        request = urllib.request.Request(self.endpoints(host)[0] + '/v3/cluster/member/list', b'{}')
        try:
            with opener.open(request, timeout=5) as reply:
                members = json.loads(reply.read())['members']
        except OSError:
            return {}
        return {member.get('name', ''): not member.get('isLearner', False) for member in members}

    def await_members(self, host, want, limit_s=120):
        """All of `want` ({name: votes}), and every host that has a member knows those that vote."""
        wait_until(lambda: self.members(host) == want, f'the members are {want}', timeout_s=limit_s)
        wait_until(lambda: all(self.knows(other, want) for other in self.hosts if other.name in want),
                   f'everybody knows {want}', timeout_s=limit_s)

    def knows(self, host, want):
        """It asks those that vote, its own member first; its own that learns last."""
        endpoints = self.endpoints(host)
        own = f'https://{json.loads((host.data / "host.json").read_text())["net"]}.0.1:2379'
        votes = want[host.name]
        return len(endpoints) == sum(want.values()) + (not votes) and endpoints[0 if votes else -1] == own

    def end(self):
        """Everything is removed, and then nothing of any host runs."""
        self.hosts[0].destroy('--all-hosts')
        for host in self.hosts[1:]:
            host.down()
            host.assert_stopped()
        self.hosts[0].assert_gone()


def forged(token):
    """The same token, of another tier by its digest."""
    head, digest = token.rsplit('/', 1)
    return f'{head}/{digest[::-1]}'


def key_of(host):
    return base64.b16decode((host.data / 'master.key').read_text().strip(), casefold=True)


class Ender(threading.Thread):
    """Ends a host's `weir serve` again and again, a little later each time."""

    def __init__(self, host):
        super().__init__(daemon=True)
        self.host, self.stop, self.count = host, threading.Event(), 0

    def run(self):
        pause_s = 0.05
        while not self.stop.wait(pause_s):
            for pid in self.host.find('weir serve --data'):
                Host.signal_one(pid, signal.SIGKILL)
                self.count += 1
            pause_s += 0.15

    def end(self):
        self.stop.set()
        self.join()
