"""Replication groups of a tier: made, reached, and their nodes killed and stopped."""
import contextlib
import os
import signal
import time

from support.inside import Inside
from support.tier import Tier
from support.watch import wait_until

TOKEN = 'a-token-that-is-long-enough'
LOOK_S = 1  # a replica whose log is whole is one that could lead when its agent, and then its leader's, has looked


def make_group(tier, name, nodes, failover=True, **more):
    tier.aws('elasticache').create_replication_group(
        ReplicationGroupId=name, ReplicationGroupDescription='x', Engine='redis', CacheNodeType='cache.t3.micro',
        NumCacheClusters=nodes, AutomaticFailoverEnabled=failover, TransitEncryptionEnabled=True, AuthToken=TOKEN,
        **more)


def delete_group(live, name):
    live.tier.aws('elasticache').delete_replication_group(ReplicationGroupId=name)
    wait_until(lambda: not live.nodes(name), f'{name} is gone')


def endpoints(tier, name):
    """The addresses of the primary endpoint and of the reader endpoint."""
    group = tier.aws('elasticache').describe_replication_groups(ReplicationGroupId=name)['ReplicationGroups'][0]
    shard = group['NodeGroups'][0]
    return shard['PrimaryEndpoint']['Address'], shard['ReaderEndpoint']['Address']


@contextlib.contextmanager
def tier_alone(weir):
    """A tier with nothing in it, from within."""
    tier = Tier(weir)
    try:
        tier.up()
        yield Inside(tier)
        tier.down()
        tier.assert_stopped()
    finally:
        tier.remove()


class CacheGroup:
    """One group, which is there."""

    def __init__(self, live, name):
        self.live = live
        self.name = name
        live.wait_settled(name)
        self.endpoints = endpoints(live.tier, name)

    def client(self, number=0, **options):
        return self.live.tier.redis(self.endpoints[number], password=TOKEN, **options)

    def leader(self):
        return self.live.node(self.name, 'primary')

    def replica(self):
        return self.live.node(self.name, 'replica')

    def wait_other_leader(self, old):
        return wait_until(lambda: next((node for node in self.live.nodes(self.name) if node['Role'] == 'primary' and
                                        node['NodeId'] != old['NodeId']), None), 'another node leads')

    def status(self):
        api = self.live.tier.aws('elasticache')
        return api.describe_replication_groups(ReplicationGroupId=self.name)['ReplicationGroups'][0]['Status']

    def settle(self):
        """Everything is back, and said to be: all replicas have what the leader has."""
        self.live.wait_settled(self.name)
        wait_until(lambda: self.status() == 'available', f'{self.name} is available')
        replicas = len(self.live.nodes(self.name)) - 1
        with contextlib.closing(self.client()) as primary:
            primary.set('settled', time.monotonic())
            assert primary.wait(replicas, 20000) == replicas
        wait_until(lambda: not any(self.is_log_aside(node) for node in self.live.nodes(self.name)), 'all logs are whole')
        time.sleep(LOOK_S)

    def is_log_aside(self, node):
        """Behind a full copy, until its log is written anew: it does not count as one that could lead."""
        return (self.live.folder(node) / 'data/appendonlydir/temp-appendonly.aof.incr').exists()

    # ---- faults --------------------------------------------------------------------------------

    def pids(self, node):
        """Between two starts there may be none."""
        return [pid for pid in (self.live.guard(node), *self.live.engine_processes(node)) if pid is not None]

    def kill_redis(self, node):
        os.kill(self.live.engine(node), signal.SIGKILL)

    def kill_guard(self, node):
        os.kill(self.live.guard(node), signal.SIGKILL)

    def kill_node(self, node):
        send(self.pids(node), signal.SIGKILL)

    def stop_redis(self, node):
        os.kill(self.live.engine(node), signal.SIGSTOP)

    def stop_node(self, node):
        send(self.pids(node), signal.SIGSTOP)


def send(pids, sign):
    """To those that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
