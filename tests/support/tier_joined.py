"""A tier that grows by tokens: its hosts run etcd themselves, on networks of 127/8."""
import base64
import json
import ssl
import urllib.request

from support.tier_hosts import Host
from support.watch import wait_until


class TierJoined:
    """h1 in zone a from the beginning; others join. `with` removes whatever is left."""

    def __init__(self, weir):
        self.weir = weir
        self.hosts = [Host(weir, 'h1')]

    def __getitem__(self, number):
        return self.hosts[number]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for host in self.hosts:
            host.remove()

    def begin(self, *files):
        self.hosts[0].command('up', '--detach', '--name', 'h1', '--zone', 'a', *files)
        self.hosts[0].learn_run_folders()

    def token(self, host=None):
        return (host or self.hosts[0]).command('host', 'token').stdout.strip()

    def join(self, name, zone, token=None, words=(), **options):
        """A further host, which is up; the command where it is not to be checked."""
        host = Host(self.weir, name)
        self.hosts.append(host)
        done = host.command('up', '--detach', '--join', token or self.token(), '--name', name, '--zone', zone, *words,
                            **options)
        host.learn_run_folders()
        return done if 'check' in options else host

    def endpoints(self, host):
        return json.loads((host.data / 'host.json').read_text())['etcd']['endpoints']

    def members(self, host):
        """{name: votes} of etcd, as the first member that it asks tells."""
        folder = host.data / 'etcd'
        context = ssl.create_default_context(cafile=folder / 'ca.pem')
        context.load_cert_chain(folder / 'cert.pem', folder / 'key.pem')
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
        voters = sum(want.values())
        wait_until(lambda: all(len(self.endpoints(other)) == voters for other in self.hosts if other.name in want),
                   f'everybody knows {voters} members', timeout_s=limit_s)

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
