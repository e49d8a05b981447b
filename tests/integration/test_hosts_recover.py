"""The host that votes in the store is lost for good, and a tier goes on from the copy that another one has."""
import json
import shutil
import signal

import pytest

from support.blocks import db_instance, proxy, secret
from support.cache_group import CacheGroup, make_group
from support.etcd import present
from support.host_writer import Writer
from support.inside import Inside
from support.lasting import takes_minutes
from support.tier_joined import Ender, TierJoined
from support.watch import wait_until

pytestmark = [pytest.mark.timeout(900), pytest.mark.skipif(not present(), reason='needs etcd'),
              pytest.mark.skipif(shutil.which('etcdctl') is None, reason='needs etcdctl')]

UNAVAILABLE, USAGE, DENIED, CONFLICT = 6, 2, 4, 5
VOTES, LEARNS = True, False
MAIN = db_instance('main', db_name='shop', multi_az=True) + secret('login', 'dbadmin', 'password-1') + \
    proxy('pool', 'login') + '''
resource "aws_db_proxy_target" "pool" {
  db_proxy_name          = aws_db_proxy.pool.name
  target_group_name      = "default"
  db_instance_identifier = aws_db_instance.main.identifier
}
'''


@pytest.fixture
def tier(weir):
    with TierJoined(weir) as made:
        yield made


def recover(host, *words, **options):
    return host.command('host', 'recover', *words, **options)


def places(asked, resource):
    """{role: host} of its nodes, but for those of silent hosts, once all of them run."""
    nodes = [node for node in Inside(asked).nodes(resource) if node['State'] != 'unknown']
    return {node['Role']: node['Host'] for node in nodes} if all(node['State'] == 'running' for node in nodes) else {}


def lead(host, name):
    """Who led is lost with its host. What it decided last is not known, so that nobody may lead by himself."""
    def ask(*words):
        return host.command('failover', name, '--allow-data-loss', *words, check=False)
    wait_until(lambda: f'would lead {name}' in ask().stderr, 'somebody could lead')
    wait_until(lambda: f'weir failover {name} --allow-data-loss' in ' '.join(host.command('status').stdout.split()), 'it is told')
    assert ask().returncode == USAGE
    done = ask('--yes')
    assert done.returncode == 0 and f'{name}: ' in done.stdout and ' leads after ' in done.stdout, done.stderr


def test_the_only_host_that_votes_is_lost(tier, tmp_path):
    """What was acknowledged is there, another host joins, and the tier has two of everything again."""
    path = tmp_path / 'main.tf'
    path.write_text(MAIN)
    tier.begin(path)
    h1 = tier[0]
    make_group(h1, 'cache', 2)
    CacheGroup(Inside(h1), 'cache')
    alone = recover(h1, '--yes', check=False)
    assert alone.returncode == CONFLICT and 'stands on one host' in alone.stderr
    writer = Writer(h1)
    writer.start()
    h2 = tier.join('h2', 'b')
    wait_until(lambda: places(h1, 'main') == {'primary': 'h1', 'standby': 'h2'}, 'the standby is on h2', 180)
    wait_until(lambda: places(h1, 'cache') == {'primary': 'h1', 'replica': 'h2'}, 'the replica is on h2', 180)
    Inside(h1).wait_settled('main', 'cache')
    tier.await_members(h1, {'h1': VOTES, 'h2': LEARNS})
    alive = recover(h2, '--yes', check=False)
    assert alive.returncode == CONFLICT and 'answers: it is not lost' in alive.stderr
    itself = recover(h1, '--yes', check=False)
    assert itself.returncode == CONFLICT and 'needs no other' in itself.stderr

    h1.die()
    writer.end()
    unsure = recover(h2, check=False)
    assert unsure.returncode == USAGE and '--yes' in unsure.stderr
    engines = Inside(h2).tier.find('/postgres -D')
    assert engines
    recover(h2, '--yes')
    h2.learn_run_folders()
    assert Inside(h2).tier.find('/postgres -D') == engines, 'an engine was started again'
    for name in ('main', 'cache'):
        lead(h2, name)
    wait_until(lambda: places(h2, 'main').get('primary') == 'h2', 'h2 leads main', 120)
    wait_until(lambda: places(h2, 'cache').get('primary') == 'h2', 'h2 leads the cache', 120)
    assert writer.acknowledged
    writer.check(h2)
    back = h1.command('up', '--detach', check=False)
    assert back.returncode == DENIED and 'what is here is the past' in back.stderr, back.stderr
    h1.assert_stopped()
    wait_until(lambda: h2.command('host', 'remove', 'h1', check=False).returncode == 0, 'h1 has been silent for long')
    tier.hosts.remove(h1)
    h1.remove()
    h3 = tier.join('h3', 'a', tier.token(h2))
    tier.await_members(h2, {'h2': VOTES, 'h3': LEARNS})
    wait_until(lambda: places(h2, 'main') == {'primary': 'h2', 'standby': 'h3'}, 'main has two nodes again', 180)
    wait_until(lambda: places(h2, 'cache') == {'primary': 'h2', 'replica': 'h3'}, 'the cache has, too', 180)
    Inside(h2).wait_settled('main', 'cache')
    writer.check(h2, h3)
    tier.end()


def test_a_recovery_is_cut_off_anywhere(tier):
    """Whenever serve ends, the next one goes on, from what there was at first. A host that stands still is not lost."""
    tier.begin()
    h1 = tier[0]
    token = tier.token()
    h2 = tier.join('h2', 'b', token)
    tier.await_members(h1, {'h1': VOTES, 'h2': LEARNS})
    h1.signal_all(signal.SIGSTOP)
    still = recover(h2, '--yes', check=False)
    assert still.returncode == CONFLICT and 'answers: it is not lost' in still.stderr
    h1.die()
    ender = Ender(h2)
    ender.start()
    done = recover(h2, '--yes', check=False)
    wait_until(lambda: ender.count >= 5, 'it was ended often')
    ender.end()
    assert done.returncode in (0, UNAVAILABLE), done.stderr
    wait_until(lambda: h2.command('host', 'list', check=False).returncode == 0, 'the API answers')
    assert [seen['HostName'] for seen in h2.json('host', 'list')] == ['h1', 'h2']
    assert tier.endpoints(h2) == [f'https://{h2.json("host", "list")[1]["Network"].split(".0.0/")[0]}.0.1:2379']
    assert len(list((h2.data / 'etcd').glob('data.left-*'))) == 1
    tier.hosts.remove(h1)
    h1.remove()
    h2.destroy('--all-hosts')
    h2.assert_gone()


def test_who_was_lost_is_there_again(tier):
    """By the time that the tier comes up here: nothing is replaced."""
    tier.begin()
    h1 = tier[0]
    h2 = tier.join('h2', 'b')
    tier.await_members(h1, {'h1': VOTES, 'h2': LEARNS})
    h2.down()
    h1.die()
    named = recover(h2, 'h1', '--yes', check=False)
    assert named.returncode == USAGE and 'take out the name' in named.stderr
    assert 'unless one of the others answers' in recover(h2, '--yes').stdout
    h1.up()
    h2.up()
    tier.await_members(h1, {'h1': VOTES, 'h2': LEARNS})
    assert 'recover' not in json.loads((h2.data / 'host.json').read_text())['etcd']
    assert not list((h2.data / 'etcd').glob('data.left-*'))
    tier.end()


@takes_minutes
def test_only_one_comes_back(tier, tmp_path):
    """The power has failed, and the host that votes stays away: what stands on the other one starts by somebody's word."""
    path = tmp_path / 'main.tf'
    path.write_text(MAIN)
    tier.begin(path)
    h1 = tier[0]
    make_group(h1, 'cache', 2)
    h2 = tier.join('h2', 'b')
    wait_until(lambda: places(h1, 'main') == {'primary': 'h1', 'standby': 'h2'}, 'the standby is on h2', 180)
    wait_until(lambda: places(h1, 'cache') == {'primary': 'h1', 'replica': 'h2'}, 'the replica is on h2', 180)
    Inside(h1).wait_settled('main', 'cache')
    tier.await_members(h1, {'h1': VOTES, 'h2': LEARNS})
    writer = Writer(h1)
    writer.start()
    wait_until(lambda: len(writer.acknowledged) > 10, 'it writes')
    h1.die()  # the other one cannot decide anything then
    h2.die()
    writer.end()
    assert 'unless one of the others answers' in recover(h2, '--yes').stdout
    h2.up()
    for name in ('main', 'cache'):
        lead(h2, name)
    wait_until(lambda: places(h2, 'main').get('primary') == 'h2', 'h2 leads main', 120)
    writer.check(h2)
    early = h2.command('down', '--destroy', '--yes', '--all-hosts', check=False)
    assert early.returncode != 0 and 'weir host remove h1' in early.stderr, early.stderr
    wait_until(lambda: h2.command('host', 'remove', 'h1', check=False).returncode == 0, 'h1 is removed')
    tier.hosts.remove(h1)
    h1.remove()
    h2.destroy()
    h2.assert_gone()


@takes_minutes
def test_another_host_is_alive(tier):
    """It has no member, finds that the store is another one, and is part of the tier again."""
    tier.begin()
    hosts = [tier[0], *(tier.join(name, zone) for name, zone in (('h2', 'b'), ('h3', 'c')))]
    tier.await_members(tier[0], {'h1': VOTES, 'h2': VOTES, 'h3': VOTES})
    h4 = tier.join('h4', 'a')
    for lost in hosts[:2]:
        lost.die()
    h3 = hosts[2]
    recover(h3, '--yes')

    def states():
        done = h4.command('host', 'list', '-o', 'json', check=False)
        return {seen['HostName']: seen['State'] for seen in json.loads(done.stdout)} if done.returncode == 0 else {}
    wait_until(lambda: states().get('h3') == states().get('h4') == 'alive', 'h4 is there')
    for lost in hosts[:2]:
        wait_until(lambda lost=lost: h3.command('host', 'remove', lost.name, check=False).returncode == 0, 'it is removed')
        tier.hosts.remove(lost)
        lost.remove()
    tier.await_members(h3, {'h3': VOTES, 'h4': LEARNS})
    h3.destroy('--all-hosts')
    h4.down()
    h3.assert_gone()
    h4.assert_stopped()
