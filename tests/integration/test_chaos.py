"""Faults on purpose: `weir chaos` does them where they are allowed, `weir drill` says what they cost."""
import os
import shutil
import subprocess

import pytest

from support.inside import PASSWORD, Inside
from support.tier import Tier

pytestmark = pytest.mark.timeout(400)


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
    left = live.sql(live.node('main', 'primary'), "SELECT relname FROM pg_class WHERE relname LIKE 'weir\\_drill%'",
                    database='shop')
    assert left == []


def test_what_is_taken_back(live):
    """By itself after --for; at the standby, so that nothing else changes."""
    standby = live.node('main', 'standby')
    done = live.tier.command('chaos', 'stop-node', standby['NodeId'], '--for', '1')
    assert 'continue-node follows in 1 s' in done.stdout and done.stdout.count('\n') == 2
    live.wait_settled('main')


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which('nft') is None, reason='needs root and nft')
def test_a_link_that_is_cut(live):
    """The primary's commits wait for the standby for a second; nothing changes hands, and nothing is lost."""
    old = live.node('main', 'primary')['NodeId']
    done = live.tier.json('drill', 'main', '--fault', 'cut-link')
    print({name: done[name] for name in ('gap_ms', 'healed_ms', 'acknowledged', 'errors')})
    assert done['good'] and done['lost'] == done['lost_again'] == done['alien'] == 0
    assert done['gap_ms'] > 500, 'the standby was not missed: the link was not cut'
    assert live.node('main', 'primary')['NodeId'] == old
    live.wait_settled('main')
    tables = subprocess.run(['nft', 'list', 'tables'], capture_output=True, text=True, check=True).stdout
    assert old not in tables


def test_what_is_refused(live):
    tier = live.tier
    no_fault = tier.command('chaos', 'burn-node', 'main', check=False)
    assert no_fault.returncode == 2 and 'kill-engine' in no_fault.stderr
    no_node = tier.command('chaos', 'kill-node', 'nobody', check=False)
    assert no_node.returncode == 3 and 'weir status' in no_node.stderr
    no_way_back = tier.command('chaos', 'kill-node', 'main', '--for', '3', check=False)
    assert no_way_back.returncode == 2 and 'not taken back' in no_way_back.stderr
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
