"""A replication group on three hosts: it outlives the host of its primary, and a store that is away."""
import signal
import threading
import time

import pytest
import redis

from support.cache_group import CacheGroup, make_group
from support.cache_ledger import CacheLedger
from support.etcd import present
from support.hosts import three_hosts
from support.inside import Inside
from support.lasting import takes_minutes
from support.tier_hosts import TierHosts
from support.watch import wait_until

pytestmark = [pytest.mark.timeout(900), pytest.mark.skipif(not present(), reason='needs etcd')]

GROUPS = ('plain', 'durable')


def make_groups(hosts):
    api = hosts[0].aws('elasticache')
    api.create_cache_parameter_group(CacheParameterGroupName='durable', CacheParameterGroupFamily='redis7', Description='x')
    api.modify_cache_parameter_group(CacheParameterGroupName='durable', ParameterNameValues=[
        {'ParameterName': 'weir.durable', 'ParameterValue': 'available'}])
    make_group(hosts[0], 'plain', 3)
    make_group(hosts[0], 'durable', 3, CacheParameterGroupName='durable')


@pytest.fixture(scope='module')
def hosts(weir, tmp_path_factory):
    with TierHosts(weir, tmp_path_factory.mktemp('hosts')) as made:
        make_groups(made)
        yield made


def group_on(hosts, name, away_from_primary):
    """The group as another host than its primary's serves it; or as the primary's does."""
    Inside(hosts[0]).wait_settled(name)
    primary = hosts.of(Inside(hosts[0]).node(name, 'primary'))
    host = next(host for host in hosts if (host is not primary) == away_from_primary)
    group = CacheGroup(Inside(host), name)
    group.settle()
    return group


def test_each_node_has_a_host_of_its_own(hosts):
    for name in GROUPS:
        Inside(hosts[0]).wait_settled(name)
        assert {node['Host'] for node in Inside(hosts[1]).nodes(name)} == {'h1', 'h2', 'h3'}


@pytest.mark.parametrize('fault', ['killed', 'stopped'])
@pytest.mark.parametrize('name', GROUPS)
def test_the_primary_s_host_is_lost(hosts, name, fault, record_property):
    group = group_on(hosts, name, away_from_primary=True)
    old = group.leader()
    lost = hosts.of(old)
    with CacheLedger(group.client) as ledger:
        since = time.monotonic()
        if fault == 'killed':
            lost.die()
        else:
            lost.signal_all(signal.SIGSTOP)
        group.wait_other_leader(old)
        ledger.wait_for(500)
        if fault == 'killed':
            lost.up()
        else:
            lost.signal_all(signal.SIGCONT)
        ledger.wait_for(300)
        ledger.stop()
        gap_s, missing = ledger.gap_s(since), ledger.lost()
        record_property('gap_s', round(gap_s, 2))
        print(f'{name} {fault}: {gap_s:.2f} s without an acknowledged write, {len(ledger.times)} writes, '
              f'{len(missing)} lost, {len(ledger.errors)} errors: {sorted({text[:70] for _, text in ledger.errors})}')
    assert name == 'plain' or not missing, missing[:5]
    group.settle()  # the old one is a replica
    assert name == 'plain' or not ledger.lost()
    assert any('its host is lost' in message for message in group.live.events(name))


def test_the_store_is_away(hosts):
    """Nothing changes hands: that its replicas follow is the primary's right to go on."""
    group = group_on(hosts, 'plain', away_from_primary=True)
    old = group.leader()
    with CacheLedger(group.client) as ledger:
        try:
            for member in range(3):
                hosts.etcd.signal(member, signal.SIGSTOP)
            time.sleep(8)  # longer than a fence lasts by itself
            ledger.wait_for(300)
        finally:
            for member in range(3):
                hosts.etcd.signal(member, signal.SIGCONT)
        ledger.stop()
        assert not ledger.lost() and not ledger.errors
    group.settle()
    assert group.leader()['NodeId'] == old['NodeId']


def test_a_lost_agent_does_not_keep_its_primary(hosts):
    """Nobody is left on its host who could say that it may run: its guard ends it."""
    group = group_on(hosts, 'durable', away_from_primary=True)
    old = group.leader()
    lost = hosts.of(old)
    engine = Inside(lost).engine_processes(old)
    served = [pid for pid, command in lost.processes().items() if ' serve ' in command or ' supervise ' in command]
    with CacheLedger(group.client) as ledger:
        for pid in served:
            lost.signal_one(pid, signal.SIGSTOP)
        group.wait_other_leader(old)
        wait_until(lambda: not set(engine) & set(Inside(lost).engine_processes(old)), 'its guard has ended it')
        for pid in served:
            lost.signal_one(pid, signal.SIGCONT)
        ledger.wait_for(300)
        ledger.stop()
        assert not ledger.lost()
    group.settle()


# ---- a host that is cut off ----------------------------------------------------------------------

@pytest.fixture(scope='module')
def network():
    with three_hosts() as made:
        yield made


@pytest.fixture(scope='module')
def wired(weir, network, tmp_path_factory):
    with TierHosts(weir, tmp_path_factory.mktemp('wired'), network) as made:
        ec2 = made[0].aws('ec2')
        ec2.authorize_security_group_ingress(
            GroupId=ec2.describe_security_groups()['SecurityGroups'][0]['GroupId'],
            IpPermissions=[{'IpProtocol': 'tcp', 'FromPort': 6379, 'ToPort': 6379, 'IpRanges': [{'CidrIp': '10.0.0.0/8'}]}])
        make_groups(made)
        yield made


class InnerWriter(threading.Thread):
    """A client on the host that is cut off: which of its writes it was told are done."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client, self.ended, self.acknowledged = client, threading.Event(), []

    def run(self):
        number = 0
        while not self.ended.is_set():
            number += 1
            try:
                self.client.set(f'inner:{number}', number)
                self.acknowledged.append(number)
            except redis.RedisError:
                time.sleep(0.05)

    def end(self):
        self.ended.set()
        self.join()


@takes_minutes
@pytest.mark.parametrize('name', GROUPS)
def test_the_primary_s_host_is_cut_off(wired, network, name):
    """With clients of its own. What they are told is true of a durable group; of a plain one until it is cut off."""
    group = group_on(wired, name, away_from_primary=True)
    old = group.leader()
    lost = wired.of(old)
    with CacheLedger(group.client) as ledger:
        with network.inside(lost.name):
            inner = InnerWriter(CacheGroup(Inside(lost), name).client())
            inner.start()
        wait_until(lambda: len(inner.acknowledged) > 50, 'it writes there, too')
        since = time.monotonic()
        with network.vanished(lost.name):
            group.wait_other_leader(old)
            ledger.wait_for(300)
            wait_until(lambda: not Inside(lost).engine_processes(old), 'its guard has ended it')
            told = len(inner.acknowledged)
            ledger.wait_for(100)
            assert len(inner.acknowledged) == told, 'nobody acknowledges what the others do not have'
        wait_until(lambda: len(inner.acknowledged) > told, 'its clients go on')
        inner.end()
        ledger.stop()
        missing = ledger.lost()
        print(f'{name}: {ledger.gap_s(since):.2f} s without an acknowledged write, {len(missing)} lost')
        assert name == 'plain' or not missing
        group.settle()
        there = {int(key.split(':')[1]) for key in group.client().scan_iter('inner:*')}
        assert name == 'plain' or set(inner.acknowledged) <= there
        assert not name == 'plain' or len(set(inner.acknowledged) - there) < len(inner.acknowledged)
