"""Further endpoints of a proxy in a tier: addresses, security groups and processes of their own, credentials and targets
of their proxy's; and who may look into its admin database."""
import json
import os
import signal
import subprocess

import psycopg
import pytest

from support.blocks import db_instance, proxy, secret
from support.inside import Inside
from support.tier import tier_of
from support.watch import wait_until

BASE = db_instance('main', db_name='shop') + secret('master', 'dbadmin', 'password-1') + secret(
    'app', 'app', 'password-a') + proxy('pool', 'master', 'app', more='require_tls = true\n') + '''
resource "aws_db_proxy_target" "pool" {
  db_proxy_name          = aws_db_proxy.pool.name
  target_group_name      = "default"
  db_instance_identifier = aws_db_instance.main.identifier
}
'''

ENDPOINT = '''
resource "aws_db_proxy_endpoint" "web" {
  db_proxy_name          = aws_db_proxy.pool.name
  db_proxy_endpoint_name = "web"
  vpc_subnet_ids         = aws_db_proxy.pool.vpc_subnet_ids
}
'''


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """The tier without and with the endpoint."""
    folder = tmp_path_factory.mktemp('files')
    without, with_it = folder / 'without.tf', folder / 'with.tf'
    without.write_text(BASE)
    with_it.write_text(BASE + ENDPOINT)
    return without, with_it


@pytest.fixture(scope='module')
def live(weir, files):
    with tier_of(weir, files[1]) as tier:
        sql(tier, 'pool', "CREATE ROLE app LOGIN PASSWORD 'password-a'")
        yield Inside(tier)


def psql(tier, *words):
    return subprocess.run([tier.weir, 'psql', '--data', tier.data, *words], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False)


def sql(tier, name, text, *more):
    done = psql(tier, name, *more, '-wAtc', text)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def hosts(tier):
    view = tier.json('status')
    return view['proxies'][0]['Endpoint'], view['endpoints'][0]['Endpoint']


def metric(tier, name, wanted):
    rows = sql(tier, name, 'SHOW METRICS', 'weir').splitlines()
    return next(row for row in rows if wanted in row)


# ---- what is there -----------------------------------------------------------------------------


def test_an_endpoint_is_served_as_its_proxy(live):
    own, web = hosts(live.tier)
    assert own != web
    assert live.plane('endpoint-web ') not in (None, live.plane('proxy-pool '))
    assert sql(live.tier, 'web', 'SELECT current_user, current_database()') == 'dbadmin|shop'
    with live.tier.postgres(web, dbname='shop', user='app', password='password-a') as client:
        assert client.execute('SELECT current_user').fetchone() == ('app',)
    with pytest.raises(psycopg.OperationalError, match='requires TLS'):
        live.tier.postgres(web, dbname='shop', sslmode='disable')
    shown = live.tier.command('status').stdout
    assert [line.split() for line in shown.splitlines() if line.startswith('web')] == [
        ['web', 'proxy,', 'endpoint', 'available', f'{web}:5432', 'of', 'pool']]
    assert 'endpoint-web is running' in live.tier.command('logs', 'web').stdout
    assert any('RDS created endpoint web for DB proxy pool.' == message for message in live.events('pool'))


def test_a_certificate_has_the_name(live):
    """Also where the client knows the endpoint by its name, as in /etc/hosts."""
    _, web = hosts(live.tier)
    live.tier.postgres('web', hostaddr=web, dbname='shop', password='password-1').close()


def allowed(live):
    """By PostgreSQL, to others than superusers."""
    return int(sql(live.tier, 'main', 'SHOW max_connections')) - int(sql(live.tier, 'main', 'SHOW superuser_reserved_connections'))


def test_what_may_be_had_of_the_target_is_divided(live):
    limit = allowed(live)
    for name in ('pool', 'web'):
        assert f'|{limit // 2}' in metric(live.tier, name, 'MaxDatabaseConnectionsAllowed').replace('.0', '')


@pytest.mark.parametrize('name', ['pool', 'web'])
def test_the_master_user_looks_into_the_admin_database(live, name):
    assert sql(live.tier, name, 'SHOW POOLS', 'weir').startswith('shop|')
    done = psql(live.tier, name, 'weir', '-wAtc', 'RELOAD')
    assert done.returncode != 0 and 'tier' in done.stderr, done.stderr
    own, web = hosts(live.tier)
    with pytest.raises(psycopg.OperationalError, match='not allowed'):
        live.tier.postgres(own if name == 'pool' else web, dbname='weir', user='app', password='password-a')


# ---- what changes --------------------------------------------------------------------------------


def reaches(tier, host):
    try:
        tier.postgres(host, dbname='shop').close()
    except psycopg.OperationalError:
        return False
    return True


def test_security_groups_are_its_own(live):
    rds, ec2 = live.tier.aws('rds'), live.tier.aws('ec2')
    own, web = hosts(live.tier)
    group = ec2.create_security_group(GroupName='closed', Description='x')['GroupId']
    before = rds.describe_db_proxy_endpoints(DBProxyEndpointName='web')['DBProxyEndpoints'][0]['VpcSecurityGroupIds']
    rds.modify_db_proxy_endpoint(DBProxyEndpointName='web', VpcSecurityGroupIds=[group])
    wait_until(lambda: not reaches(live.tier, web), 'nobody is let in')
    assert reaches(live.tier, own)
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[
        {'IpProtocol': 'tcp', 'FromPort': 5432, 'ToPort': 5432, 'IpRanges': [{'CidrIp': '127.0.0.0/8'}]}])
    wait_until(lambda: reaches(live.tier, web), 'the rule lets in')
    rds.modify_db_proxy_endpoint(DBProxyEndpointName='web', VpcSecurityGroupIds=before)
    ec2.delete_security_group(GroupId=group)


def logs_in(tier, host, password):
    try:
        tier.postgres(host, dbname='shop', user='app', password=password).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_secret_of_the_proxy_reaches_it(live):
    _, web = hosts(live.tier)
    secrets = live.tier.aws('secretsmanager')
    for password in ('password-b', 'password-a'):
        sql(live.tier, 'main', f"ALTER ROLE app PASSWORD '{password}'")
        secrets.put_secret_value(SecretId='app', SecretString=json.dumps({'username': 'app', 'password': password}))
        wait_until(lambda word=password: logs_in(live.tier, web, word), 'the new password')


def test_a_killed_process_is_back(live):
    _, web = hosts(live.tier)
    pid = live.plane('endpoint-web ')
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: live.plane('endpoint-web ') not in (None, pid), 'another process')
    wait_until(lambda: reaches(live.tier, web), 'it serves')
    wait_until(lambda: any('endpoint-web' in message for message in live.events('web')), 'the event')


def test_a_session_stays_while_serve_is_away(live):
    _, web = hosts(live.tier)
    with live.tier.postgres(web, dbname='shop') as session:
        serve = live.serve()
        os.kill(serve, signal.SIGKILL)
        assert session.execute('SELECT 1').fetchone() == (1,)
        wait_until(lambda: live.serve() not in (None, serve), 'another weir serve')
        wait_until(lambda: live.tier.command('status', check=False).returncode == 0, 'the API answers')
        assert session.execute('SELECT 2').fetchone() == (2,)


def test_plan_and_apply(live, files):
    """The last but one: the endpoint goes and comes back."""
    without, with_it = files
    assert 'endpoint' not in live.tier.command('plan', with_it).stdout
    live.tier.command('apply', without, '--yes')
    assert live.tier.json('status')['endpoints'] == []
    assert live.plane('endpoint-web ') is None
    limit = allowed(live)
    wait_until(lambda: f'|{limit}' in metric(live.tier, 'pool', 'MaxDatabaseConnectionsAllowed'), 'all of them')
    assert any('RDS deleted endpoint web for DB proxy pool.' == message for message in live.events('pool'))
    live.tier.command('apply', with_it, '--yes')
    assert sql(live.tier, 'web', 'SELECT 1') == '1'
    assert 'No changes.' in live.tier.command('plan', with_it).stdout


def test_it_goes_with_its_proxy(live):
    live.tier.aws('rds').delete_db_proxy(DBProxyName='pool')
    wait_until(lambda: live.tier.json('status')['proxies'] == [], 'the proxy is gone')
    assert live.tier.json('status')['endpoints'] == []
    assert live.plane('endpoint-web ') is None and live.plane('proxy-pool ') is None
