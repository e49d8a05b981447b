"""A tier grows: hosts join by tokens, its store goes from SQLite to an etcd that Weir runs, and hosts leave again."""
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

from support.blocks import db_instance, proxy, secret
from support.cache_group import CacheGroup, make_group
from support.etcd import present
from support.host_writer import Writer
from support.inside import Inside
from support.lasting import takes_minutes
from support.tier_hosts import Host
from support.tier_joined import Ender, TierJoined, forged, key_of
from support.watch import wait_until

pytestmark = [pytest.mark.timeout(1800), pytest.mark.skipif(not present(), reason='needs etcd')]

USAGE, DENIED, CONFLICT = 2, 4, 5
VOTES, LEARNS = True, False
POOL = secret('login', 'dbadmin', 'password-1') + proxy('pool', 'login') + '''
resource "aws_db_proxy_target" "pool" {
  db_proxy_name          = aws_db_proxy.pool.name
  target_group_name      = "default"
  db_instance_identifier = aws_db_instance.main.identifier
}
'''
MAIN = db_instance('main', db_name='shop') + POOL


@pytest.fixture
def tier(weir):
    with TierJoined(weir) as made:
        yield made


@pytest.fixture
def main_tf(tmp_path):
    path = tmp_path / 'main.tf'
    path.write_text(MAIN)
    return path


def names(host):
    return [seen['HostName'] for seen in host.json('host', 'list')]


def engine_on(host):
    """The pid of main's only engine, which is there."""
    inside = Inside(host)
    pid = inside.engine(inside.node('main', 'primary'))
    assert pid
    return pid


def members_shown(asked):
    return {host['HostName']: host.get('StoreMember') for host in asked.json('host', 'list')}


def etcd_pids(host):
    return host.find('^/usr/bin/etcd ')


@takes_minutes
def test_it_grows_to_three_and_shrinks_again(tier, main_tf):
    tier.begin(main_tf)
    h1 = tier[0]
    engine = engine_on(h1)
    writer = Writer(h1)
    writer.start()
    h2 = tier.join('h2', 'b')
    assert names(h1) == names(h2) == ['h1', 'h2']
    assert key_of(h1) == key_of(h2)
    tier.await_members(h1, {'h1': VOTES, 'h2': LEARNS})
    assert not (h1.data / 'weir.sqlite').exists() and (h1.data / 'weir.sqlite.left').exists()
    h3 = tier.join('h3', 'c')
    tier.await_members(h1, {'h1': VOTES, 'h2': VOTES, 'h3': VOTES})
    writer.end()
    assert engine_on(h1) == engine, 'the engine was started again'
    assert writer.acknowledged and not writer.errors
    writer.check(*tier.hosts)

    # The store outlives each host, and so its member.
    for host in tier.hosts:
        for pid in etcd_pids(host):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda host=host: etcd_pids(host), f'{host.name} has its etcd again')
    h3.die()
    h2.command('apply', '--yes', main_tf)
    h3.up()
    tier.await_members(h1, {'h1': VOTES, 'h2': VOTES, 'h3': VOTES})

    # All of them stop, and the first that comes back waits for another.
    for host in tier.hosts:
        host.down()
        host.assert_stopped()
    with h1.start('up', '--detach', stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        line = first.stderr.readline()
        assert 'waiting until another one is brought up' in line, line + first.stderr.read()
        h2.up()
        assert first.wait(120) == 0, first.stderr.read()
    h1.learn_run_folders()
    h3.up()
    writer.check(*tier.hosts)

    # A host goes, and the next one has its member.
    h3.command('host', 'drain', 'h3', '--wait')
    h1.command('host', 'remove', 'h3')
    h3.assert_stopped()
    tier.hosts.remove(h3)
    h3.remove()
    tier.await_members(h1, {'h1': VOTES, 'h2': LEARNS})  # of two one votes
    tier.join('h4', 'c')
    tier.await_members(h1, {'h1': VOTES, 'h2': VOTES, 'h4': VOTES})
    refused = h1.command('down', '--destroy', '--yes', check=False)
    assert refused.returncode == CONFLICT and 'stands on 3 hosts' in refused.stderr
    assert Inside(h1).nodes('main')
    tier.end()


def places(asked, resource):
    """{role: host} of its nodes, but for those of silent hosts, once all of them run."""
    nodes = [node for node in Inside(asked).nodes(resource) if node['State'] != 'unknown']
    return {node['Role']: node['Host'] for node in nodes} if all(node['State'] == 'running' for node in nodes) else {}


def test_two_hosts_and_a_small_third_one(tier, tmp_path):
    """What stood on one host is on two once there are two, and outlives either; the third one has a vote alone."""
    path = tmp_path / 'main.tf'
    path.write_text(db_instance('main', db_name='shop', multi_az=True) + POOL)
    tier.begin(path)
    h1 = tier[0]
    make_group(h1, 'cache', 2)
    CacheGroup(Inside(h1), 'cache')
    assert places(h1, 'main') == {'primary': 'h1', 'standby': 'h1'}
    writer = Writer(h1)
    writer.start()
    h2 = tier.join('h2', 'b')
    wait_until(lambda: places(h1, 'main') == {'primary': 'h1', 'standby': 'h2'}, 'the standby is on h2', 180)
    wait_until(lambda: places(h1, 'cache') == {'primary': 'h1', 'replica': 'h2'}, 'the replica is on h2', 180)
    tier.join('h3', 'c', words=['--no-engines'])
    tier.await_members(h1, {'h1': VOTES, 'h2': VOTES, 'h3': VOTES})
    assert [host['Draining'] for host in h2.json('host', 'list')] == [False, False, True]
    Inside(h2).wait_settled('main', 'cache')
    writer.end()
    assert writer.acknowledged and not writer.errors
    h1.die()
    wait_until(lambda: places(h2, 'main').get('primary') == 'h2', 'h2 leads')
    writer.check(h2)
    h1.up()
    Inside(h1).wait_settled('main', 'cache')
    writer.check(*tier.hosts)
    an_endpoint_goes_while_a_host_is_away(h1, h2)
    tier.end()


def an_endpoint_goes_while_a_host_is_away(asked, away):
    """Its process there ends once the host looks again."""
    def gone():
        pids = away.find('weir (supervise|serve --data)')
        for signum in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                Host.signal_one(pid, signum)
        return not pids
    before = away.find('weir proxy --id')
    wait_until(gone, 'nobody looks there')  # the kernel continues who is stopped when its parent ends: it may start one
    asked.aws('rds').delete_db_proxy(DBProxyName='pool')
    wait_until(lambda: not asked.json('status')['proxies'], 'the proxy is gone')
    assert away.find('weir proxy --id') == before
    away.up()
    wait_until(lambda: len(away.find('weir proxy --id')) == len(before) - 1, 'its process has ended, too')


@takes_minutes
def test_the_first_host_is_replaced(tier, main_tf):
    """It is the only one that votes, until it drains."""
    tier.begin(main_tf)
    h1 = tier[0]
    h2 = tier.join('h2', 'b')
    tier.await_members(h1, {'h1': VOTES, 'h2': LEARNS})
    itself = h1.command('host', 'remove', 'h1', check=False)
    assert itself.returncode == CONFLICT and 'is the one that is asked' in itself.stderr
    writer = Writer(h2)
    writer.start()
    wait_until(lambda: members_shown(h2) == {'h1': 'sole-voter', 'h2': 'learner'}, 'the list says who votes')
    h2.command('host', 'drain', 'h1', '--wait')
    assert members_shown(h2)['h2'] == 'sole-voter'  # the vote has left, too
    tier.await_members(h2, {'h1': LEARNS, 'h2': VOTES})
    h2.command('host', 'remove', 'h1')
    h1.assert_stopped()
    tier.hosts.remove(h1)
    h1.remove()
    tier.await_members(h2, {'h2': VOTES})
    tier.join('h3', 'c', tier.token(h2))
    tier.await_members(h2, {'h2': VOTES, 'h3': LEARNS})
    writer.end()
    assert writer.acknowledged and not writer.errors
    writer.check(*tier.hosts)
    tier.end()


def test_tokens(tier):
    tier.begin()
    token = tier.token()
    assert token.count('\n') == 0 and token.count('/') == 4
    wrong = tier.join('h2', 'b', forged(token), check=False)
    assert wrong.returncode == DENIED and 'not that of the token' in wrong.stderr
    assert not (tier[1].data / 'host.json').exists()
    tier.hosts.pop().remove()
    tier.join('h2', 'b', token)
    used = tier.join('h3', 'c', token, check=False)
    assert used.returncode == CONFLICT and 'used, by host h2' in used.stderr
    tier.hosts.pop().remove()
    named = tier.join('h1', 'c', check=False)
    assert named.returncode == CONFLICT and 'has a host h1 already' in named.stderr
    tier.hosts.pop().remove()
    net = json.loads((tier[1].data / 'host.json').read_text())['net']
    same = ['up', '--detach', '--join', token, '--name', 'h2', '--zone', 'b', '--net', net]
    again = tier[1].command(*same, check=False)
    assert again.returncode == CONFLICT and 'is up already' in again.stderr
    tier[1].down()
    tier[1].command(*same)  # it has joined: this brings it up
    assert names(tier[0]) == ['h1', 'h2']
    wait_until(lambda: members_shown(tier[0]) == {'h1': 'sole-voter', 'h2': 'learner'}, 'the list says who votes')
    assert 'votes alone' in tier[0].command('host', 'list').stdout
    assert 'no majority' not in tier[1].command('down').stderr
    assert 'no majority' in tier[0].command('down').stderr
    tier[0].up()
    tier[1].up()
    tier.end()


@pytest.mark.parametrize('options,status,says', [
    (['--join', 'x'], USAGE, '--join needs'),
    (['--join', 'x', '--name', 'h2', '--zone', 'b'], USAGE, 'not a token'),
    (['--zone', 'q'], USAGE, 'one of the letters'),
    (['--no-engines'], USAGE, 'for a host that joins'),
    (['--net', '10.1'], USAGE, 'say the --zone'),
    (['--name', 'H 1', '--zone', 'a'], USAGE, 'small letters'),
    (['--net', '10', '--zone', 'a'], USAGE, '/16'),
])
def test_what_up_refuses(weir, options, status, says):
    host = Host(weir, 'h1')
    try:
        done = host.command('up', '--detach', *options, check=False)
        assert done.returncode == status and says in done.stderr, done.stderr
        assert not host.data.exists() or not list(host.data.iterdir())
    finally:
        host.remove()


def test_a_tier_with_data_keeps_its_name(tier):
    tier.begin()
    h1 = tier[0]
    h1.down()
    renamed = h1.command('up', '--detach', '--name', 'other', check=False)
    assert renamed.returncode == CONFLICT and 'this host is h1' in renamed.stderr
    joins = h1.command('up', '--detach', '--join', 'x', '--name', 'h1', '--zone', 'a', check=False)
    assert joins.returncode == CONFLICT
    h1.command('up', '--detach', '--zone', 'b')
    assert h1.json('host', 'list')[0]['Zone'] == 'b'
    h1.destroy()
    h1.assert_gone()


def test_a_store_that_moves_is_cut_off_anywhere(tier, main_tf):
    """Whenever serve ends, one store counts, and all of it is there."""
    tier.begin(main_tf)
    h1 = tier[0]
    engine = engine_on(h1)
    token = tier.token()
    ender = Ender(h1)
    joiner = threading.Thread(target=tier.join, args=('h2', 'b', token))
    ender.start()
    joiner.start()
    wait_until(lambda: ender.count >= 8, 'it was ended often')
    ender.end()
    joiner.join()
    assert names(tier[1]) == ['h1', 'h2']
    assert engine_on(h1) == engine
    tier.await_members(h1, {'h1': VOTES, 'h2': LEARNS})
    with h1.postgres(h1.aws('rds').describe_db_instances()['DBInstances'][0]['Endpoint']['Address'], dbname='shop') as client:
        assert client.execute('SELECT 1').fetchone() == (1,)
    tier.end()


@takes_minutes
def test_a_store_that_cannot_move_stays(tier, main_tf):
    """etcd's port is somebody else's: the join is refused with the reason, and the tier goes on over SQLite."""
    tier.begin(main_tf)
    h1 = tier[0]
    address = h1.env()['AWS_ENDPOINT_URL'].split('/')[2].split(':')[0]
    with socket.create_server((address, 2379)):
        refused = tier.join('h2', 'b', check=False)
    assert refused.returncode == CONFLICT and 'stays where it is' in refused.stderr, refused.stderr
    tier.hosts.pop().remove()
    assert (h1.data / 'weir.sqlite').exists() and not etcd_pids(h1)
    assert h1.json('status')['instances'][0]['DBInstanceStatus'] == 'available'
    tier.join('h2', 'b')  # now that nobody has it
    tier.end()
