"""Hosts leave a tier: their engines move under writers, and what is removed does not come back."""
import os
import signal
import threading
import time

import pytest

from support.blocks import db_instance, proxy, secret
from support.etcd import present
from support.host_writer import Writer
from support.inside import Inside
from support.tier_hosts import TierHosts
from support.watch import wait_until

takes_minutes = pytest.mark.skipif(not os.environ.get('WEIR_CONFORMANCE'), reason='takes minutes: make conformance')
pytestmark = [pytest.mark.timeout(1800), pytest.mark.skipif(not present(), reason='needs etcd')]

DENIED, CONFLICT = 4, 5
DRAIN_S = 600


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
    def make(text, count=3):
        path = tmp_path / 'main.tf'
        path.write_text(text)
        hosts.append(TierHosts(weir, tmp_path, count=count))
        hosts[0].__enter__()
        hosts[0][0].command('apply', path)
        return hosts[0]
    hosts = []
    failed = True
    try:
        yield make
        failed = False
    finally:
        for tier in hosts:
            tier.__exit__(AssertionError if failed else None)


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
    assert [host['HostName'] for host in asked.json('host', 'list')] == [
        host.name for host in hosts if host is not lost]
    again = lost.command('up', '--detach', check=False)
    assert again.returncode == DENIED and f'the host {lost.name} was removed from its tier' in again.stderr
    lost.assert_stopped()
    hosts.hosts.remove(lost)
    lost.remove()


class Killer(threading.Thread):
    """Ends `weir serve` (api, control, agent) of one host after the other, at any moment."""

    def __init__(self, hosts):
        super().__init__()
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
    refused = other.command('host', 'remove', lost.name, check=False)
    assert refused.returncode == CONFLICT and 'drain it first' in refused.stderr
    writer = Writer(other, proxy='side')
    writer.start()
    other.command('host', 'drain', lost.name, '--wait', timeout_s=DRAIN_S)
    wait_until(lambda: Inside(other).is_settled('solo'), 'solo is settled')
    done = len(writer.acknowledged)
    wait_until(lambda: len(writer.acknowledged) > done + 10, 'it takes writes')
    assert len(placed(other, 'solo')) == 1 and set(placed(other, 'solo').values()) == {other.name}
    refused = other.command('host', 'drain', other.name, check=False)
    assert refused.returncode == CONFLICT and 'No other host is alive and takes engines' in refused.stderr
    removed(hosts, lost, other)
    writer.end()
    print(f'longest gap {writer.gap_s:.2f} s, {len(writer.acknowledged)} acknowledged, {writer.errors}')
    assert not writer.errors
    writer.check(*hosts)
