"""The tier of examples/guide.tf as a user meets it: applied again, looked at, used, and changed from outside."""
import re
import shutil
import subprocess
import time

import psycopg
import pytest


@pytest.fixture(scope='module')
def example(root):
    return root / 'examples/guide.tf'


def test_everything_is_available(tier):
    view = tier.json('status')
    assert {i['DBInstanceStatus'] for i in view['instances']} == {'available'}
    assert len(view['instances']) == 3
    assert [p['Status'] for p in view['proxies']] == ['available']
    assert [c['Status'] for c in view['caches']] == ['available']
    assert len(view['nodes']) == 7
    assert [n['SyncState'] for n in view['nodes'] if n.get('Role') == 'standby'] == ['sync']


def test_a_second_apply_changes_nothing(tier, example):
    done = tier.command('apply', example)
    assert 'No changes.' in done.stdout + done.stderr
    plan = tier.command('plan', '--detailed-exitcode', example, check=False)
    assert plan.returncode == 0, plan.stdout


def test_a_change_from_outside_is_the_only_difference(tier, example):
    rds = tier.aws('rds')
    rds.modify_db_proxy(DBProxyName='app-db-proxy', IdleClientTimeout=900)
    try:
        plan = tier.command('plan', '--detailed-exitcode', example, check=False)
        assert plan.returncode == 2
        changes = [line.strip() for line in plan.stdout.splitlines() if '->' in line]
        assert len(changes) == 1 and changes[0].startswith('idle_client_timeout'), plan.stdout
    finally:
        tier.command('apply', example)
    assert tier.command('plan', '--detailed-exitcode', example, check=False).returncode == 0


@pytest.mark.parametrize('name, node', [
    ('app-primary-db', r'db-\w+-\d+'), ('app-redis-cluster', 'app-redis-cluster-.*'),
    ('app-db-proxy', 'proxy-app-db-proxy'), ('front-app-redis-cluster', 'front-app-redis-cluster'),
    ('relay-app-primary-db', r'relay-db-\w+')])
def test_each_process_has_a_log(tier, name, node):
    log = tier.json('logs', name, '--lines', '1')
    assert re.fullmatch(node, log['NodeId']), log
    assert tier.command('logs', log['NodeId']).returncode == 0
    assert name.startswith('front-') or [line for line in log['Lines'] if line]  # a front has nothing to complain of


def endpoint_of(view, identifier):
    return next(i['Endpoint']['Address'] for i in view['instances'] if i['DBInstanceIdentifier'] == identifier)


def test_rows_are_the_same_on_all_four(tier):
    """Primary, both replicas and the standby, which nobody but its superuser can ask."""
    view = tier.json('status')
    with tier.postgres(tier.env()['DB_PROXY_ENDPOINT']) as proxy:
        proxy.execute('CREATE TABLE IF NOT EXISTS four (n int)')
        proxy.execute('TRUNCATE four')
        proxy.execute('INSERT INTO four SELECT generate_series(1, 1000)')
        digest = "SELECT md5(string_agg(n::text, ',' ORDER BY n)) FROM four"
        expected = proxy.execute(digest).fetchone()
    for name in ('app-primary-db', 'app-read-replica-0', 'app-read-replica-1'):
        with tier.postgres(endpoint_of(view, name)) as instance:
            for _ in range(100):
                try:
                    seen = instance.execute(digest).fetchone()
                except psycopg.errors.UndefinedTable:
                    seen = None
                if seen == expected:
                    break
                time.sleep(0.1)
            assert seen == expected, name
            assert instance.execute('SELECT pg_is_in_recovery()').fetchone() == (name != 'app-primary-db',)
    standby = next(n['NodeId'] for n in view['nodes'] if n.get('Role') == 'standby')
    with psycopg.connect(host=f'{tier.run_folder()}/node/{standby}', user='rdsadmin', dbname='app_database') as own:
        assert own.execute(digest).fetchone() == expected


def test_the_application(tier, example_app):
    if shutil.which('node') is None:
        pytest.skip('node is not installed')
    for command in (['node', 'migrate.js'], ['node', 'demo.js']):
        done = subprocess.run(command, cwd=example_app, env=tier.app_env(), text=True, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    assert 'from the database' in done.stdout and 'from the cache' in done.stdout


def test_a_security_group_without_the_caller_refuses(tier):
    """The group of the database loses its rule: the endpoint closes before a byte, and opens again."""
    view = tier.json('status')
    host = endpoint_of(view, 'app-primary-db')
    primary = next(i for i in view['instances'] if i['DBInstanceIdentifier'] == 'app-primary-db')
    group = primary['VpcSecurityGroups'][0]['VpcSecurityGroupId']
    ec2 = tier.aws('ec2')
    rules = ec2.describe_security_groups(GroupIds=[group])['SecurityGroups'][0]['IpPermissions']
    tier.postgres(host).close()
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=rules)
    try:
        wait(lambda: refuses(tier, host))
    finally:
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rules)
    wait(lambda: not refuses(tier, host))


def refuses(tier, host):
    try:
        tier.postgres(host).close()
        return False
    except psycopg.OperationalError:
        return True


def wait(condition, limit_s=30):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
