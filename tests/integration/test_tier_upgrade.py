"""A tier whose program was replaced: each data-plane process is upgraded under its clients (docs/upgrade.md)."""
import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from support.inside import Inside, is_alive
from support.tier import Tier, ending
from support.watch import wait_until

pytestmark = pytest.mark.timeout(600)

def renamed(weir, version, **changes):
    """The program with another version in it."""
    data = Path(weir).read_bytes()
    here = subprocess.run([weir, '--version'], capture_output=True, text=True, check=True).stdout.split()[1]
    changes = {here: version, **changes}
    for before, after in changes.items():
        assert len(before) == len(after) and before.encode() in data
        data = data.replace(before.encode(), after.encode())
    return data


class Upgraded(Inside):
    """A tier with a program of its own, which is replaced."""

    def put(self, data):
        new = self.tier.weir.with_suffix('.new')
        new.write_bytes(data)
        new.chmod(0o755)
        new.rename(self.tier.weir)

    def planes(self):
        return self.tier.find(r'weir (proxy|front) --id')

    def restart(self):
        serve = self.serve()
        os.kill(serve, signal.SIGKILL)
        wait_until(lambda: self.serve() not in (None, serve), 'another serve')

    def told(self, pattern):
        return [event['Message'] for event in self.tier.json('events') if pattern in event['Message']]


class Clients:
    """One at each endpoint that stays, and one after the other that comes."""

    def __init__(self, tier):
        view = tier.json('status')
        self.tier = tier
        self.hosts = [view['instances'][0]['Endpoint']['Address'], view['proxies'][0]['Endpoint']]
        self.cache = view['caches'][0]['NodeGroups'][0]['PrimaryEndpoint']['Address']
        self.failures = []
        self.rounds = 0
        self.stopping = threading.Event()
        works = [(self.postgres, host, stays) for host in self.hosts for stays in (True, False)]
        works += [(self.redis, self.cache, stays) for stays in (True, False)]
        self.threads = [threading.Thread(target=self._run, args=work) for work in works]

    def _run(self, work, host, stays):
        while not self.stopping.is_set():
            try:
                with work(host) as ask:
                    ask()
                    while stays and not self.stopping.is_set():
                        ask()
                        time.sleep(0.01)
                self.rounds += 1
            except Exception as error:  # pylint: disable=broad-except
                self.failures.append(f'{work.__name__} {host} {"stays" if stays else "comes"}: {error!r}')
                return
            time.sleep(0.02)

    @contextlib.contextmanager
    def postgres(self, host):
        with self.tier.postgres(host) as connection:
            yield lambda: connection.execute('SELECT 1').fetchone()

    @contextlib.contextmanager
    def redis(self, host):
        client = self.tier.redis(host, retry_on_error=[], retry_on_timeout=False)
        try:
            yield lambda: client.set('key', 'value')
        finally:
            client.connection_pool.disconnect()  # which its close() leaves to chance

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)


@pytest.fixture(scope='module')
def live(weir, root):
    tier = Tier(weir)
    data = Path(weir).read_bytes()
    tier.weir = tier.folder / 'weir'
    inside = Upgraded(tier)
    inside.put(data)
    with ending(tier):
        tier.up(root / 'examples/guide.tf')
        inside.original = weir
        yield inside


def test_every_endpoint_is_upgraded(live):
    before = live.planes()
    with Clients(live.tier) as clients:
        live.put(renamed(live.original, '9.9.1'))
        live.restart()
        wait_until(lambda: len(live.told('was upgraded from version')) >= 5, 'all are upgraded', 120)
        time.sleep(1)
    assert not clients.failures
    assert clients.rounds > 5
    wait_until(lambda: not any(is_alive(pid) for pid in before), 'the old ones have left', 60)
    assert len(live.planes()) == 5
    view = live.tier.json('status')
    assert view['proxies'][0]['Status'] == 'available'


BROKEN = {
    'ends': lambda *_: b'#!/bin/sh\nexit 7\n',
    'is no program': lambda *_: b'nothing that could be run',
    'is of another version': lambda original, _: renamed(original, '9.9.9'),
    'refuses': lambda original, version: renamed(original, version, idle_client_timeout_s='idle_client_timeout_x'),
}


@pytest.mark.parametrize('how', sorted(BROKEN))
def test_a_bad_program_changes_nothing(live, how):
    """The control plane is new, and what stands at its path by then is broken."""
    version = f'9.9.{sorted(BROKEN).index(how) + 2}'
    processes = wait_until(lambda: len(live.planes()) == 5 and live.planes(), 'each endpoint has one process')
    good = renamed(live.original, version)
    bad = BROKEN[how](live.original, version)
    live.put(good)
    with Clients(live.tier) as clients:
        for pid in processes:  # nobody says hello to the new one before its program is broken
            os.kill(pid, signal.SIGSTOP)
        try:
            live.restart()
            live.put(bad)
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)
        wait_until(lambda: f'could not be upgraded to {version}' in (live.tier.data / 'weir.log').read_text(),
                   'it is told', 150)
        time.sleep(2)
        if how != 'refuses':  # only the pool has that member
            assert all(is_alive(pid) for pid in processes)
    assert not clients.failures
    live.put(good)
    live.restart()
    wait_until(lambda: len(live.told(f'to {version}.')) >= 5, 'and then it is upgraded', 180)
    assert live.told(f'could not be upgraded to {version}')
