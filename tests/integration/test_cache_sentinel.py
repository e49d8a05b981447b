"""Clients of other people that find a group through its Sentinel listener, and stay with it when roles change. redis-py
is in test_cache_failover.py."""
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from support.cache_group import TOKEN, CacheGroup, delete_group, make_group, tier_alone

NAME = 'app'
PROGRAMS = Path(__file__).parent / 'sentinel_clients'
PATIENCE_S = 60


def ruby():
    if shutil.which('ruby') is None or subprocess.run(['ruby', '-e', 'require "redis"'], capture_output=True,
                                                      check=False).returncode != 0:
        pytest.skip('needs ruby-redis')
    return ['ruby', PROGRAMS / 'counter.rb'], {}


@pytest.fixture(params=['ioredis', 'redis-rb'])
def client(request):
    """A command, and what it wants in its environment."""
    if request.param == 'redis-rb':
        return ruby()
    modules = request.getfixturevalue('example_app') / 'node_modules'
    return ['node', PROGRAMS / 'counter.js'], {'NODE_PATH': str(modules)}


@pytest.fixture(scope='module')
def group(weir):
    with tier_alone(weir) as live:
        live.tier.aws('elasticache').create_cache_parameter_group(
            CacheParameterGroupName='durable', CacheParameterGroupFamily='redis7', Description='x')
        live.tier.aws('elasticache').modify_cache_parameter_group(
            CacheParameterGroupName='durable',
            ParameterNameValues=[{'ParameterName': 'weir.durable', 'ParameterValue': 'available'}])
        make_group(live.tier, NAME, 2, CacheParameterGroupName='durable')
        yield CacheGroup(live, NAME)
        delete_group(live, NAME)


class Counter:
    """The program, and what it has said so far."""

    def __init__(self, group, command, env):
        self.lines = []
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
            env={**os.environ, 'HOST': group.endpoints[0], 'NAME': NAME, 'TOKEN': TOKEN,
                 'CA': group.live.tier.env()['AWS_CA_BUNDLE'], **env})
        self.thread = threading.Thread(target=self._hear, daemon=True)
        self.thread.start()

    def _hear(self):
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def said(self, word):
        return [line.removeprefix(f'{word} ') for line in list(self.lines) if line.startswith(f'{word} ')]

    def wait_for(self, more):
        before = len(self.said('count'))
        deadline = time.monotonic() + PATIENCE_S
        while len(self.said('count')) < before + more:
            assert time.monotonic() < deadline and self.process.poll() is None, self.lines[-5:]
            time.sleep(0.01)

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(PATIENCE_S) == 0
        self.thread.join(PATIENCE_S)
        return int(self.said('last')[0])


def test_they_stay_over_changes(group, client):
    group.settle()
    with group.client() as own:
        own.delete('counter')
    counter = Counter(group, *client)
    try:
        counter.wait_for(50)
        assert counter.said('roles') == ['master slave']
        assert group.live.tier.json('failover', NAME)['done']
        counter.wait_for(50)
        assert not counter.said('error')  # it waits for one reply at a time
        group.settle()
        old = group.leader()
        group.kill_redis(old)
        group.wait_other_leader(old)
        counter.wait_for(50)
        last = counter.end()
    finally:
        counter.process.kill()
        counter.process.wait()
    told = [int(number) for number in counter.said('count')]
    assert told == sorted(set(told)) and last >= told[-1]
    # What was not acknowledged may have been carried out: once for each error.
    assert last - len(told) <= len(counter.said('error'))
    print(f'{len(told)} counted, {counter.said("error")}')
