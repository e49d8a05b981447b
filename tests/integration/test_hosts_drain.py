"""Hosts leave a tier: their engines move under writers, and what is removed does not come back."""
import contextlib
import os
import re
import signal
import threading
import time

import pytest

from support.blocks import cache, db_instance, proxy, secret
from support.cache_group import TOKEN, CacheGroup, make_group
from support.etcd import present
from support.host_writer import CacheWriter, Writer
from support.inside import Inside
from support.lasting import takes_minutes
from support.tier_hosts import TierHosts
from support.watch import is_sanitized, wait_until

pytestmark = [pytest.mark.timeout(900), pytest.mark.skipif(not present(), reason='needs etcd')]

USAGE, MISSING, DENIED, CONFLICT = 2, 3, 4, 5
DRAIN_S = 300
WRONG = {MISSING: ['drain h9', 'list h9', 'remove h9'],
         USAGE: ['drain', 'move h1', 'undrain h1 --wait', 'remove h1 -o json', 'list h1 h2']}


def target(pool, instance):
    return f'''
resource "aws_db_proxy_target" "{pool}" {{
  db_proxy_name          = aws_db_proxy.{pool}.name
  target_group_name      = "default"
  db_instance_identifier = aws_db_instance.{instance}.identifier
}}
'''


SOLO = db_instance('solo', db_name='shop') + secret('login', 'dbadmin', 'password-1') + proxy('side', 'login') + target('side', 'solo')
MAIN = db_instance('main', db_name='shop', multi_az=True) + proxy('pool', 'login') + target('pool', 'main') + '''
resource "aws_db_instance" "first" {
  identifier          = "first"
  replicate_source_db = aws_db_instance.main.identifier
  instance_class      = "db.t3.micro"
  skip_final_snapshot = true
}
'''


@pytest.fixture
def made(weir, tmp_path):
    """Hosts with what a file says on them; the last host that was removed goes with the test."""
    with contextlib.ExitStack() as stack:
        def make(text, count=3):
            hosts = stack.enter_context(TierHosts(weir, tmp_path, count=count))
            if text:
                path = tmp_path / 'main.tf'
                path.write_text(text)
                hosts[0].command('apply', path, timeout_s=DRAIN_S)
            return hosts
        yield make


def host_of(asked, name):
    return next(host for host in asked.json('host', 'list') if host['HostName'] == name)


def notes(asked, name):
    return ' '.join(node.get('Note', '') for node in host_of(asked, name)['Nodes'])


def placed(asked, resource):
    return {node['NodeId'][-1]: node['Host'] for node in Inside(asked).nodes(resource)}


def removed(hosts, lost, asked):
    """It ends by itself, and cannot come back under its name."""
    asked.command('host', 'remove', lost.name)
    lost.assert_stopped()
    refused(hosts, lost)
    assert [host['HostName'] for host in asked.json('host', 'list')] == [host.name for host in hosts]


def refused(hosts, lost):
    """Nor does it leave anything."""
    again = lost.command('up', '--detach', check=False)
    assert again.returncode == DENIED and f'the host {lost.name} was removed from its tier' in again.stderr
    lost.assert_stopped()
    hosts.hosts.remove(lost)
    lost.remove()


def deaths(asked, writer):
    """Ends that nobody planned, as of an engine that gets no processor on a loaded machine: only those may be heard of;
    and of a plane that got none for a second, when its engine had handed over."""
    name = {'pool': 'main', 'side': 'solo'}[writer.proxy]
    ends = sum(f'The primary of {name} ' in event for event in Inside(asked).events(name))
    late = sum('the primary may not answer any more' in error for error in writer.errors)
    loaded = is_sanitized(Inside(asked).serve()) or os.getloadavg()[0] > 6 * os.cpu_count()
    return ends + (late if loaded else 0)


class Killer(threading.Thread):
    """Ends `weir serve` (api, control, agent) of one host after the other, at any moment."""

    def __init__(self, hosts):
        super().__init__(daemon=True)
        self.hosts, self.stop, self.count = hosts, threading.Event(), 0

    def run(self):
        while not self.stop.wait(3):
            for pid in self.hosts[self.count % len(self.hosts)].find('weir serve --data'):
                os.kill(pid, signal.SIGKILL)
            self.count += 1

    def end(self):
        self.stop.set()
        self.join()


def test_an_instance_of_one_node_leaves(made):
    """It has a second node for as long as that takes; writers hear nothing of it, and the host is removed then."""
    hosts = made(SOLO, 2)
    lost = hosts.of(Inside(hosts[0]).node('solo', 'primary'))
    other = next(host for host in hosts if host is not lost)
    said = other.command('host', 'remove', lost.name, check=False)
    assert said.returncode == CONFLICT and 'drain it first' in said.stderr
    writer = Writer(other, proxy='side')
    writer.start()
    other.command('host', 'drain', lost.name, '--wait', timeout_s=DRAIN_S)
    wait_until(lambda: Inside(other).is_settled('solo'), 'solo is settled')
    done = len(writer.acknowledged)
    wait_until(lambda: len(writer.acknowledged) > done + 10, 'it takes writes')
    assert len(placed(other, 'solo')) == 1 and set(placed(other, 'solo').values()) == {other.name}
    said = other.command('host', 'drain', other.name, check=False)
    assert said.returncode == CONFLICT and 'No other host is alive and takes engines' in said.stderr
    for status, commands in WRONG.items():
        for words in commands:
            assert other.command('host', *words.split(), check=False).returncode == status, words
    table = other.command('host', 'list').stdout
    assert re.search(rf'^{lost.name} .* alive +drains +0', table, re.M), table
    removed(hosts, lost, other)
    writer.end()
    print(f'longest gap {writer.gap_s:.2f} s, {len(writer.acknowledged)} acknowledged, {writer.errors}')
    assert len(writer.errors) <= deaths(other, writer), other.command('events').stdout
    writer.check(*hosts)


def test_all_that_a_host_has_leaves(made):
    """A Multi-AZ instance's leader, an instance of one node and a cache's primary, under writers. The two hosts that
    are left then keep what has no third one to go to."""
    hosts = made(SOLO + MAIN + cache('cache', 2))
    Inside(hosts[0]).wait_settled('main', 'first', 'solo', 'cache')
    lost = hosts.of(Inside(hosts[0]).node('main', 'primary'))
    other = next(host for host in hosts if host is not lost)
    writers = [Writer(other), Writer(other, proxy='side')]
    keys = CacheWriter(other, ssl=False)
    for writer in (*writers, keys):
        writer.start()
    lost.command('host', 'drain', lost.name, '--wait', timeout_s=DRAIN_S)  # it serves the API as before
    assert not host_of(other, lost.name)['Nodes']
    Inside(other).wait_settled('main', 'first', 'solo', 'cache')
    for name in ('main', 'cache'):
        assert len(set(placed(other, name).values())) == 2, placed(other, name)
    lost.command('host', 'undrain', lost.name)
    time.sleep(2)
    assert not host_of(other, lost.name)['Nodes'], 'nothing moves back'
    lost.command('host', 'drain', lost.name)
    removed(hosts, lost, other)
    keeps = hosts.of(Inside(other).node('main', 'standby'))
    other.command('host', 'drain', keeps.name)
    wait_until(lambda: 'no other host could take the standby' in notes(other, keeps.name), 'the standby waits')
    wait_until(lambda: keeps.name not in (placed(other, 'first') | placed(other, 'solo')).values(), 'the others leave', DRAIN_S)
    other.command('host', 'undrain', keeps.name)
    Inside(other).wait_settled('main', 'first', 'solo', 'cache')
    keys.end()
    print(f'{len(keys.acknowledged)} keys, {keys.errors}')
    assert len(keys.acknowledged) > 100
    keys.check(*hosts)  # what is planned loses nothing, in no group
    for writer in writers:
        writer.end()
        print(f'longest gap {writer.gap_s:.2f} s, {len(writer.acknowledged)} acknowledged, {writer.errors}')
        assert len(writer.errors) <= deaths(other, writer), other.command('events').stdout
        writer.check(*hosts)


@takes_minutes
def test_control_may_be_killed(made):
    """At any point, and the agents with it: the move goes on, and nothing that was acknowledged is lost."""
    hosts = made(SOLO + MAIN)
    Inside(hosts[0]).wait_settled('main', 'first', 'solo')
    lost = hosts.of(Inside(hosts[0]).node('main', 'primary'))
    other = next(host for host in hosts if host is not lost)
    writers = [Writer(other), Writer(other, proxy='side')]
    killer = Killer(list(hosts))
    for thread in (*writers, killer):
        thread.start()
    try:
        other.command('host', 'drain', lost.name)
        wait_until(lambda: killer.count > 6, 'some were killed', 120)
        killed = killer.count
    finally:
        killer.end()
    other.command('host', 'drain', lost.name, '--wait', timeout_s=DRAIN_S)
    Inside(other).wait_settled('main', 'first', 'solo')
    for writer in writers:
        writer.end()
        print(f'{killed} killed: longest gap {writer.gap_s:.2f} s, {len(writer.acknowledged)} acknowledged, {writer.errors}')
        writer.check(*hosts)
    removed(hosts, lost, other)


@takes_minutes
def test_a_host_is_gone_for_good(made):
    """What others have is made anew; what only it had is refused by name; and it does not come back."""
    hosts = made(SOLO + MAIN)
    Inside(hosts[0]).wait_settled('main', 'first', 'solo')
    lost = hosts.of(Inside(hosts[0]).node('solo', 'primary'))
    assert lost is hosts.of(Inside(hosts[0]).node('main', 'primary'))
    other = next(host for host in hosts if host is not lost)
    writer = Writer(other)
    writer.start()
    time.sleep(1)
    lost.die()
    wait_until(lambda: host_of(other, lost.name)['State'] == 'silent', 'it is missed')
    early = other.command('host', 'remove', lost.name, check=False)
    assert early.returncode == CONFLICT and 's only and may come back' in early.stderr
    wait_until(lambda: 'has the leader of solo' in other.command('host', 'remove', lost.name, check=False).stderr,
               'refused by name')
    other.aws('rds').delete_db_instance(DBInstanceIdentifier='solo', SkipFinalSnapshot=True)
    other.command('host', 'remove', lost.name)
    refused(hosts, lost)
    Inside(other).wait_settled('main', 'first', timeout_s=300)
    assert len(set(placed(other, 'main').values())) == 2
    assert not Inside(other).nodes('solo')

    frozen = hosts.of(Inside(other).node('main', 'standby'))
    asked = next(host for host in hosts if host is not frozen)
    frozen.signal_all(signal.SIGSTOP)
    wait_until(lambda: asked.command('host', 'remove', frozen.name, check=False).returncode == 0, 'it is removed', 60)
    Inside(asked).wait_settled('main', 'first', timeout_s=300)
    frozen.signal_all(signal.SIGCONT)
    wait_until(lambda: not frozen.processes(), 'all that it had has ended', 120)
    frozen.assert_stopped()
    refused(hosts, frozen)
    writer.end()
    print(f'longest gap {writer.gap_s:.2f} s, {len(writer.acknowledged)} acknowledged, {writer.errors}')
    assert len(writer.unknown) <= 4, writer.errors
    writer.check(asked)


@takes_minutes
def test_a_removed_engine_confirms_nothing(made):
    """A replica of a durable group that goes on although its host was removed: its primary does not let it in, so that
    what is acknowledged is on one that could lead."""
    hosts = made('')
    api = hosts[0].aws('elasticache')
    api.create_cache_parameter_group(CacheParameterGroupName='durable', CacheParameterGroupFamily='redis7', Description='x')
    api.modify_cache_parameter_group(CacheParameterGroupName='durable', ParameterNameValues=[
        {'ParameterName': 'weir.durable', 'ParameterValue': 'available'}])
    make_group(hosts[0], 'cache', 2, CacheParameterGroupName='durable')
    group = CacheGroup(Inside(hosts[0]), 'cache')
    lost, replica = hosts.of(group.replica()), group.replica()
    other = hosts.of(group.leader())
    keys = CacheWriter(other, password=TOKEN)
    keys.start()
    lost.signal_all(signal.SIGSTOP)
    wait_until(lambda: other.command('host', 'remove', lost.name, check=False).returncode == 0, 'it is removed', 60)
    wait_until(lambda: len(placed(other, 'cache')) == 2 and Inside(other).is_settled('cache'), 'it has another one', 300)
    assert lost.name not in placed(other, 'cache').values()
    engine, = lost.find('^/usr/bin/redis-server')  # not its guard
    os.kill(engine, signal.SIGCONT)  # it alone
    log = Inside(lost).folder(replica) / 'log/engine.log'
    wait_until(lambda: 'WRONGPASS' in log.read_text('utf-8', 'replace'), 'it is refused')
    seen = keys.client.info('replication')
    assert seen['connected_slaves'] == 1, seen
    keys.end()
    keys.check(*(host for host in hosts if host is not lost))
    lost.signal_all(signal.SIGCONT)
    wait_until(lambda: not lost.processes(), 'all that it had has ended', 120)
    refused(hosts, lost)
