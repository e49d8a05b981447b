"""A tier on three hosts: every one serves every endpoint, and one of them may be lost."""
import signal
import subprocess
import time

import pytest

from support.blocks import db_instance, proxy, secret
from support.etcd import present
from support.host_writer import Writer, endpoint
from support.hosts import three_hosts
from support.inside import Inside
from support.lasting import takes_minutes
from support.tier_hosts import TierHosts
from support.watch import wait_until

pytestmark = [pytest.mark.timeout(900), pytest.mark.skipif(not present(), reason='needs etcd')]

CONFLICT = 5  # exit status
FILE = (db_instance('main', db_name='shop', multi_az=True) + secret('login', 'dbadmin', 'password-1') +
        proxy('pool', 'login') + '''
resource "aws_db_proxy_target" "pool" {
  db_proxy_name          = aws_db_proxy.pool.name
  target_group_name      = "default"
  db_instance_identifier = aws_db_instance.main.identifier
}

resource "aws_db_instance" "first" {
  identifier          = "first"
  replicate_source_db = aws_db_instance.main.identifier
  instance_class      = "db.t3.micro"
  skip_final_snapshot = true
}
''')


@pytest.fixture(scope='module')
def hosts(weir, tmp_path_factory):
    folder = tmp_path_factory.mktemp('hosts')
    path = folder / 'main.tf'
    path.write_text(FILE)
    with TierHosts(weir, folder) as made:
        made[0].command('apply', path)
        yield made


def settled(host):
    Inside(host).wait_settled('main', 'first')


def sql(host, name, text):
    return subprocess.run([host.weir, 'psql', '--data', host.data, name, '-wAtc', text], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def leads(hosts, asked, host):
    return any(node['Role'] == 'primary' and hosts.of(node) is host for node in Inside(asked).nodes('main'))


def served(host, name):
    try:
        return sql(host, name, 'SELECT pg_is_in_recovery(), current_user')
    except subprocess.CalledProcessError as error:  # it may start again
        print(host.name, name, error.stderr)
        return None


def test_every_host_serves_every_endpoint(hosts):
    settled(hosts[2])
    assert {node['Host'] for node in Inside(hosts[0]).nodes()} == {'h1', 'h2', 'h3'}
    for host in hosts:
        for name, recovers in (('pool', 'f'), ('main', 'f'), ('first', 't')):
            wait_until(lambda: served(host, name) == f'{recovers}|dbadmin', f'{host.name} serves {name}')  # pylint: disable=cell-var-from-loop
    nets = {host.name: endpoint(host) for host in hosts}
    assert len(set(nets.values())) == 3  # each has an address of its own for it


@pytest.mark.parametrize('fault', ['killed', 'stopped'])
def test_a_host_is_lost(hosts, fault, record_property):
    """Applications on the others go on, at the standby; it comes back by itself, and nothing is lost."""
    settled(hosts[0])
    lost = hosts.of(Inside(hosts[0]).node('main', 'primary'))
    standby = hosts.of(Inside(hosts[0]).node('main', 'standby'))
    other = next(host for host in hosts if host not in (lost, standby))
    writer = Writer(other)
    writer.start()
    time.sleep(1)
    if fault == 'killed':
        lost.die()
    else:
        lost.signal_all(signal.SIGSTOP)
    wait_until(lambda: leads(hosts, other, standby), 'the standby leads')
    done = len(writer.acknowledged)
    wait_until(lambda: len(writer.acknowledged) > done + 10, 'it takes writes')
    if fault == 'killed':
        lost.up()
    else:
        lost.signal_all(signal.SIGCONT)
    settled(other)
    writer.end()
    record_property('gap_s', round(writer.gap_s, 2))
    print(f'{fault}: longest gap {writer.gap_s:.2f} s, {len(writer.acknowledged)} acknowledged, {writer.errors}')
    assert len(writer.unknown) <= 2, writer.errors
    writer.check(*hosts)


def test_a_primary_that_led_alone_is_lost(hosts):
    """Nobody may lead; somebody lets the standby all the same, without what it has missed. Who led is back as a standby."""
    settled(hosts[0])
    lost = hosts.of(Inside(hosts[0]).node('main', 'primary'))
    node = Inside(hosts[0]).node('main', 'standby')
    standby = hosts.of(node)
    other = next(host for host in hosts if host not in (lost, standby))
    before = int(sql(other, 'pool', 'SELECT timeline_id FROM pg_control_checkpoint()'))
    kept = set(lost.data.glob('zone-*/*/diverged-*'))
    sql(other, 'pool', 'CREATE TABLE alone (number int); INSERT INTO alone VALUES (1)')
    standby.die()
    sql(other, 'pool', 'INSERT INTO alone VALUES (2)')  # waits until the set is without it
    serves = other.command('failover', 'main', '--allow-data-loss', check=False)
    assert serves.returncode == CONFLICT and 'leads main, and serves' in serves.stderr
    lost.die()
    standby.up()  # while nobody leads it waits neither for that nor for the read replica
    wait_until(lambda: 'would lead main' in other.command('failover', 'main', '--allow-data-loss', check=False).stderr,
               'the standby could lead', 120)
    assert leads(hosts, other, lost)
    done = other.json('failover', 'main', '--allow-data-loss', '--yes')
    assert done['after'] == node['NodeId'] and done['done']
    wait_until(lambda: served(other, 'pool') == 'f|dbadmin', 'it serves')
    sql(other, 'pool', 'INSERT INTO alone VALUES (3)')
    assert sql(other, 'pool', 'SELECT * FROM alone') == '1\n3'
    assert int(sql(other, 'pool', 'SELECT timeline_id FROM pg_control_checkpoint()')) > before + 1, 'who led before may have begun the next one'
    lost.up()
    settled(other)
    for host in hosts:
        assert sql(host, 'main', 'SELECT * FROM alone') == '1\n3'
    assert set(lost.data.glob('zone-*/*/diverged-*')) - kept, 'what is lost is kept'
    assert any(text.startswith('Somebody has allowed') for text in Inside(other).events('main'))


@takes_minutes
def test_one_that_led_before_is_let_lead(hosts):
    """It went another way than the one that led behind it, and all that is left is what it has."""
    settled(hosts[0])
    node = Inside(hosts[0]).node('main', 'primary')
    first = hosts.of(node)
    second = hosts.of(Inside(hosts[0]).node('main', 'standby'))
    other = next(host for host in hosts if host not in (first, second))
    kept = set(second.data.glob('zone-*/*/diverged-*'))
    sql(other, 'pool', 'CREATE TABLE before (number int); INSERT INTO before VALUES (1)')
    first.die()
    wait_until(lambda: leads(hosts, other, second) and served(other, 'pool') == 'f|dbadmin', 'the standby serves')
    sql(other, 'pool', 'INSERT INTO before VALUES (2)')
    second.die()
    first.up()
    wait_until(lambda: 'went another way' in other.command('failover', 'main', '--allow-data-loss', check=False).stderr,
               'the one before could lead', 120)
    done = other.json('failover', 'main', '--allow-data-loss', '--yes')
    assert done['after'] == node['NodeId'] and done['done']
    wait_until(lambda: served(other, 'pool') == 'f|dbadmin', 'it serves')
    sql(other, 'pool', 'INSERT INTO before VALUES (3)')
    second.up()
    settled(other)
    for host in hosts:
        assert sql(host, 'main', 'SELECT * FROM before') == '1\n3'
    assert set(second.data.glob('zone-*/*/diverged-*')) - kept, 'what is lost is kept'


@takes_minutes
def test_the_store_is_away(hosts):
    """Nothing changes hands; the standby's acknowledgement is the primary's right to go on."""
    settled(hosts[0])
    leader = Inside(hosts[0]).node('main', 'primary')
    writer = Writer(hosts[2])
    writer.start()
    try:
        for member in range(3):
            hosts.etcd.signal(member, signal.SIGSTOP)
        time.sleep(8)  # longer than a fence lasts by itself
        done = len(writer.acknowledged)
        wait_until(lambda: len(writer.acknowledged) > done + 10, 'it takes writes')
    finally:
        for member in range(3):
            hosts.etcd.signal(member, signal.SIGCONT)
    settled(hosts[0])
    writer.end()
    assert not writer.errors and Inside(hosts[0]).node('main', 'primary')['NodeId'] == leader['NodeId']
    writer.check(*hosts)


@pytest.fixture(scope='module')
def network():
    with three_hosts() as made:
        yield made


@pytest.fixture(scope='module')
def wired(weir, network, tmp_path_factory):
    folder = tmp_path_factory.mktemp('wired')
    path = folder / 'main.tf'
    path.write_text(FILE)
    with TierHosts(weir, folder, network) as made:
        made[0].command('apply', path)
        made[0].aws('ec2').authorize_security_group_ingress(
            GroupId=made[0].aws('rds').describe_db_proxies()['DBProxies'][0]['VpcSecurityGroupIds'][0],
            IpPermissions=[{'IpProtocol': 'tcp', 'FromPort': 5432, 'ToPort': 5432, 'IpRanges': [{'CidrIp': '10.0.0.0/8'}]}])
        yield made


@takes_minutes
def test_a_host_is_cut_off(wired, network, record_property):
    """With its primary and with clients of its own: what they are told is true, and the others go on."""
    settled(wired[0])
    primary = Inside(wired[0]).node('main', 'primary')
    lost = wired.of(primary)
    standby = wired.of(Inside(wired[0]).node('main', 'standby'))
    other = next(host for host in wired if host not in (lost, standby))
    outer = Writer(other)
    with network.inside(lost.name):
        inner = Writer(lost, 'cut_off')
        inner.start()
    outer.start()
    time.sleep(1)
    with network.vanished(lost.name):
        wait_until(lambda: leads(wired, other, standby), 'the standby leads')
        done = len(outer.acknowledged)
        wait_until(lambda: len(outer.acknowledged) > done + 10, 'it takes writes')
        cut = len(inner.acknowledged)
        wait_until(lambda: not Inside(lost).engine_processes(primary), 'its guard has ended it')
        assert len(inner.acknowledged) == cut, 'nobody acknowledges what the others do not have'
    settled(other)
    for writer in (inner, outer):
        writer.end()
        print(f'longest gap {writer.gap_s:.2f} s, {len(writer.acknowledged)} acknowledged, {writer.errors}')
        writer.check(*wired)
    record_property('gap_s', round(outer.gap_s, 2))
