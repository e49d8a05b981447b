"""Faults on purpose: `weir chaos` does them where they are allowed, `weir drill` says what they cost."""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from support.cache_group import CacheGroup, delete_group, make_group
from support.cache_ledger import CacheLedger
from support.inside import PASSWORD, Inside, stat_fields
from support.tier import Tier
from support.watch import wait_until

pytestmark = pytest.mark.timeout(400)
needs_nft = pytest.mark.skipif(os.geteuid() != 0 or shutil.which('nft') is None, reason='needs root and nft')
DRILL_KEYS = 'weir_drill_*'


def create_instance(tier, **more):
    tier.aws('rds').create_db_instance(
        DBInstanceIdentifier='main', Engine='postgres', DBInstanceClass='db.t3.micro', AllocatedStorage=20,
        MasterUsername='dbadmin', MasterUserPassword=PASSWORD, DBName='shop', BackupRetentionPeriod=0, **more)


@pytest.fixture(scope='module')
def live(weir):
    tier = Tier(weir)
    try:
        tier.up('--allow-chaos')
        create_instance(tier, MultiAZ=True)
        inside = Inside(tier)
        inside.wait_settled('main')
        yield inside
        tier.down()
        tier.assert_stopped()
    finally:
        tier.remove()


@pytest.fixture(scope='module')
def cache(live):
    """Durable: a write is acknowledged when the replica has it."""
    api = live.tier.aws('elasticache')
    api.create_cache_parameter_group(CacheParameterGroupName='kept', CacheParameterGroupFamily='redis7',
                                     Description='x')
    api.modify_cache_parameter_group(
        CacheParameterGroupName='kept',
        ParameterNameValues=[{'ParameterName': 'weir.durable', 'ParameterValue': 'available'}])
    make_group(live.tier, 'cache', 2, CacheParameterGroupName='kept')
    yield CacheGroup(live, 'cache')
    delete_group(live, 'cache')


@pytest.fixture
def plain(live):
    make_group(live.tier, 'plain', 1, failover=False)
    yield CacheGroup(live, 'plain')
    delete_group(live, 'plain')


def is_cut(node):
    tables = subprocess.run(['nft', 'list', 'tables'], capture_output=True, text=True, check=True).stdout
    return node in tables


def drill_tables(live):
    return live.sql(live.node('main', 'primary'), "SELECT relname FROM pg_class WHERE relname LIKE 'weir\\_drill%'",
                    database='shop')


@pytest.mark.parametrize('fault', ['kill-engine', 'kill-guard', 'kill-node', 'stop-node'])
def test_a_drill_loses_nothing(live, fault):
    old = live.node('main', 'primary')['NodeId']
    done = live.tier.json('drill', 'main', '--fault', fault)
    print({name: done[name] for name in ('gap_ms', 'healed_ms', 'acknowledged', 'errors')})
    assert done['good'] and done['node'] == old and done['fault'] == fault
    assert done['acknowledged'] > 100 and done['lost'] == done['lost_again'] == done['alien'] == 0
    assert done['gap_ms'] > 0 and done['healed_ms'] > 0
    assert [step['what'] for step in done['timeline']].count(fault) == 1
    assert live.node('main', 'primary')['NodeId'] != old
    assert drill_tables(live) == []


def test_what_is_taken_back(live):
    """By itself after --for; at the standby, so that nothing else changes."""
    standby = live.node('main', 'standby')
    done = live.tier.command('chaos', 'stop-node', standby['NodeId'], '--for', '1')
    assert 'continue-node follows in 1 s' in done.stdout and done.stdout.count('\n') == 2
    live.wait_settled('main')


def test_a_drill_that_is_interrupted_takes_its_fault_back(live):
    """Ctrl-C reaches its writers as well. A guard that stood still for good would never be running again."""
    guard = live.guard(live.node('main', 'primary'))
    with live.tier.start('drill', 'main', '--fault', 'stop-node', stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         process_group=0) as drill:
        wait_until(lambda: (stat_fields(guard) or 'gone')[0] == 'T', 'it stands still')
        os.killpg(drill.pid, signal.SIGINT)
        out, err = drill.communicate(timeout=100)
    assert drill.returncode == 1 and out == '' and 'interrupted' in err, out + err
    assert (stat_fields(guard) or 'gone')[0] != 'T'
    live.wait_settled('main')
    assert drill_tables(live) == []


def test_a_fault_that_is_interrupted(live):
    """Whatever reads what it says has gone, too."""
    standby = live.node('main', 'standby')
    with live.tier.start('chaos', 'stop-node', standby['NodeId'], '--for', '300', stdout=subprocess.PIPE) as chaos:
        wait_until(lambda: stat_fields(live.guard(standby))[0] == 'T', 'it stands still')
        chaos.stdout.close()
        chaos.send_signal(signal.SIGTERM)
        assert chaos.wait(60) == 0
    live.wait_settled('main')


@needs_nft
def test_a_link_that_is_cut(live):
    """The primary's commits wait for the standby for a second; nothing changes hands, and nothing is lost."""
    old = live.node('main', 'primary')['NodeId']
    done = live.tier.json('drill', 'main', '--fault', 'cut-link')
    print({name: done[name] for name in ('gap_ms', 'healed_ms', 'acknowledged', 'errors')})
    assert done['good'] and done['lost'] == done['lost_again'] == done['alien'] == 0
    assert done['gap_ms'] > 500, 'the standby was not missed: the link was not cut'
    assert live.node('main', 'primary')['NodeId'] == old
    live.wait_settled('main')
    assert not is_cut(old)


# ---- caches ---------------------------------------------------------------------------------------

@pytest.mark.parametrize('fault', ['kill-node', 'stop-node'])
def test_a_drill_of_a_cache_loses_nothing(cache, fault):
    cache.settle()
    old = cache.leader()['NodeId']
    done = cache.live.tier.json('drill', cache.name, '--fault', fault)
    print({name: done[name] for name in ('gap_ms', 'healed_ms', 'acknowledged', 'errors', 'lost_connections')})
    assert done['good'] and (done['cache'], done['node'], done['fault']) == (cache.name, old, fault)
    assert done['acknowledged'] > 100 and done['lost'] == done['lost_again'] == done['alien'] == 0
    assert done['gap_ms'] > 0 and done['healed_ms'] > 0
    told = [step['what'] for step in done['timeline']]
    assert told.count(fault) == 1 and any('Failover from primary node' in text for text in told)
    assert cache.leader()['NodeId'] != old
    with contextlib.closing(cache.client()) as client:
        assert not list(client.scan_iter(DRILL_KEYS))


@contextlib.contextmanager
def drilled(group, *words):
    """A drill that goes on, its keys, and a client to look at them."""
    with group.live.tier.start('drill', group.name, '--fault', 'kill-engine', *words, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE) as drill, contextlib.closing(group.client()) as client:
        yield drill, wait_until(lambda: sorted(client.scan_iter(DRILL_KEYS)), 'there are keys'), client


def lose_some(group):
    """What a drill says that finds less than was acknowledged: the keys of one of its writers are taken away."""
    group.settle()
    with drilled(group) as (drill, keys, client):
        wait_until(lambda: client.strlen(keys[0]) > 10, 'it has written')
        client.unlink(keys[0])
        out, err = drill.communicate(timeout=200)
    assert drill.returncode == 1, out + err
    return out


def test_what_is_lost_is_told(plain):
    out = lose_some(plain)
    print(out)
    assert ' 0 are lost' not in out and 'the last write before the gap' in out
    assert 'weir.durable' in out


def test_a_durable_group_is_not_advised_to_be_one(cache):
    assert 'weir.durable' not in lose_some(cache)


def test_writers_that_lose_their_connections(cache):
    """Others take their places."""
    cache.settle()
    with drilled(cache, '-o', 'json') as (drill, keys, client):
        wait_until(lambda: all(client.strlen(key) for key in keys), 'all have written')
        os.kill(cache.live.plane(f'front-{cache.name} '), signal.SIGKILL)
        out, err = drill.communicate(timeout=200)
    done = json.loads(out)
    assert drill.returncode == 0 and done['good'], out + err
    assert done['lost_connections'] >= 6 and done['lost'] == done['lost_again'] == 0, out


def test_a_drill_that_is_killed_leaves_nothing_for_ever(cache):
    cache.settle()
    with drilled(cache) as (drill, keys, client):
        drill.kill()
        drill.communicate(timeout=60)
        assert len(keys) == 6 and all(0 < client.ttl(key) <= 86400 for key in keys)
        wait_until(lambda: not cache.live.tier.find('redis-cli'), 'its writers have ended')
        client.unlink(*keys)


@needs_nft
def test_a_cache_whose_link_is_cut(cache):
    """Nobody writes meanwhile, since nobody reaches the primary; nothing changes hands, and nothing is lost."""
    cache.settle()
    old = cache.leader()['NodeId']
    with CacheLedger(cache.client) as ledger:
        since = time.monotonic()
        cache.live.tier.command('chaos', 'cut-link', cache.name, '--for', '3')
        ledger.wait_for(200)
        ledger.stop()
        print(f'{ledger.gap_s(since):.3f} s, errors: {sorted({text[:60] for _, text in ledger.errors})}')
        assert ledger.gap_s(since) > 2, 'the link was not cut'
        assert not ledger.lost()
    assert not is_cut(old)
    cache.settle()
    assert cache.leader()['NodeId'] == old


def test_what_is_refused(live):
    tier = live.tier
    no_fault = tier.command('chaos', 'burn-node', 'main', check=False)
    assert no_fault.returncode == 2 and 'kill-engine' in no_fault.stderr
    no_node = tier.command('chaos', 'kill-node', 'nobody', check=False)
    assert no_node.returncode == 3 and 'weir status' in no_node.stderr
    no_way_back = tier.command('chaos', 'kill-node', 'main', '--for', '3', check=False)
    assert no_way_back.returncode == 2 and 'not taken back' in no_way_back.stderr
    no_name = tier.command('drill', 'nobody', check=False)
    assert no_name.returncode == 3 and '"nobody"' in no_name.stderr and 'weir status' in no_name.stderr
    if os.stat(tier.data).st_dev == os.stat('/').st_dev:
        own_disk = tier.command('chaos', 'fill-disk', 'main', check=False)
        assert own_disk.returncode != 0 and "the host's own disk" in own_disk.stderr
    assert live.is_settled('main')


def test_not_allowed(weir):
    """Neither without the option, nor any more once the tier was brought up without it."""
    tier = Tier(weir)
    try:
        tier.up('--allow-chaos')
        create_instance(tier)
        inside = Inside(tier)
        inside.wait_settled('main')
        tier.down()
        tier.up()
        inside.wait_settled('main')
        engine = inside.engine(inside.node('main', 'primary'))
        refused = tier.command('chaos', 'kill-engine', 'main', check=False)
        assert refused.returncode != 0 and '--allow-chaos' in refused.stderr
        assert inside.engine(inside.node('main', 'primary')) == engine
        tier.destroy()
    finally:
        tier.remove()
