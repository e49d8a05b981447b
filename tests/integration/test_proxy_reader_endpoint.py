"""A READ_ONLY endpoint of a proxy in a tier: it leads to the read replicas of the proxy's target, as they come and go."""
import contextlib
import subprocess

import psycopg
import pytest

from support.blocks import db_instance
from support.inside import Inside
from support.tier import tier_of
from support.watch import wait_until

pytestmark = pytest.mark.timeout(600)

FILE = db_instance('main', db_name='shop', backup_retention_period=1) + '''
resource "aws_db_instance" "first" {
  identifier          = "first"
  replicate_source_db = aws_db_instance.main.identifier
  instance_class      = "db.t3.micro"
  skip_final_snapshot = true
}

resource "aws_secretsmanager_secret" "login" {
  name = "login"
}

resource "aws_secretsmanager_secret_version" "login" {
  secret_id     = aws_secretsmanager_secret.login.id
  secret_string = jsonencode({ username = "dbadmin", password = "password-1" })
}

resource "aws_db_proxy" "pool" {
  name           = "pool"
  engine_family  = "POSTGRESQL"
  role_arn       = "arn:aws:iam::000000000000:role/proxy"
  vpc_subnet_ids = ["subnet-0000000000000000a", "subnet-0000000000000000b"]

  auth {
    auth_scheme = "SECRETS"
    secret_arn  = aws_secretsmanager_secret.login.arn
  }
}

resource "aws_db_proxy_default_target_group" "pool" {
  db_proxy_name = aws_db_proxy.pool.name

  connection_pool_config {
    connection_borrow_timeout = 20
    init_query                = "SET lock_timeout = '50s'"
  }
}

resource "aws_db_proxy_target" "pool" {
  db_proxy_name          = aws_db_proxy.pool.name
  target_group_name      = "default"
  db_instance_identifier = aws_db_instance.main.identifier
}

resource "aws_db_proxy_endpoint" "reader" {
  db_proxy_name          = aws_db_proxy.pool.name
  db_proxy_endpoint_name = "reader"
  target_role            = "READ_ONLY"
  vpc_subnet_ids         = aws_db_proxy.pool.vpc_subnet_ids
}
'''
WHICH = 'SELECT pg_postmaster_start_time()::text'  # which engine answers


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp('reader') / 'main.tf'
    path.write_text(FILE)
    return path


@pytest.fixture(scope='module')
def live(weir, file):
    with tier_of(weir, file) as tier:
        wait_until(lambda: targets(tier).get('first') == ('READ_ONLY', 'AVAILABLE'), 'the replica is a target')
        yield Inside(tier)


def targets(tier):
    return {item['RdsResourceId']: (item['Role'], item['TargetHealth']['State'])
            for item in tier.aws('rds').describe_db_proxy_targets(DBProxyName='pool')['Targets']}


def psql(tier, name, text, *more):
    return subprocess.run([tier.weir, 'psql', '--data', tier.data, name, *more, '-wAtc', text],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)


def sql(tier, name, text, *more):
    done = psql(tier, name, text, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def reader(tier):
    return tier.json('status')['endpoints'][0]['Endpoint']


def test_it_reads_from_the_replica(live):
    tier = live.tier
    sql(tier, 'pool', 'CREATE TABLE note AS SELECT 1 AS id')
    wait_until(lambda: psql(tier, 'first', 'SELECT id FROM note').stdout.strip() == '1', 'the row arrives')
    assert sql(tier, 'reader', 'SELECT pg_is_in_recovery(), id FROM note') == 't|1'
    assert sql(tier, 'reader', WHICH) == sql(tier, 'first', WHICH)
    assert sql(tier, 'pool', WHICH) == sql(tier, 'main', WHICH)
    assert sql(tier, 'reader', 'SHOW lock_timeout') == sql(tier, 'pool', 'SHOW lock_timeout') == '50s'
    done = psql(tier, 'reader', 'INSERT INTO note VALUES (2)')
    assert done.returncode != 0 and 'read-only transaction' in done.stderr


def test_what_is_shown(live, file):
    tier = live.tier
    assert targets(tier) == {'main': ('READ_WRITE', 'AVAILABLE'), 'first': ('READ_ONLY', 'AVAILABLE')}
    assert 'proxy, reader endpoint' in tier.command('status').stdout
    assert tier.env(fresh=True)['DB_PROXY_READER_ENDPOINT'] == reader(tier)
    assert 'No changes.' in tier.command('plan', file).stdout
    assert sql(tier, 'reader', 'SHOW DATABASES', 'weir')


def test_a_replica_is_not_registered_besides(live, file, tmp_path):
    """It is a target by itself; a block that registers it is refused, not taken for what is there."""
    other = tmp_path / 'main.tf'
    other.write_text(file.read_text() + '''
resource "aws_db_proxy_target" "first" {
  db_proxy_name          = aws_db_proxy.pool.name
  target_group_name      = "default"
  db_instance_identifier = aws_db_instance.first.identifier
}
''')
    done = live.tier.command('apply', other, check=False)
    assert done.returncode != 0
    assert 'more than one target' in done.stderr + done.stdout or 'read replica' in done.stderr + done.stdout


OPTIONS = '''
resource "weir_db_proxy_options" "pool" {
  db_proxy_name      = aws_db_proxy.pool.name
  reads              = "split"
  shared_connections = 2
  shared_listeners   = true
}
'''


def from_replica(session):
    return session.execute('SELECT away FROM here').fetchone()[0]


def test_reads_are_split(live, file, tmp_path):
    """One endpoint for both: what only reads goes to the replica, and sees what its session has written."""
    tier = live.tier
    other = tmp_path / 'main.tf'
    other.write_text(file.read_text() + OPTIONS)
    assert '1 created, 0 changed, 0 destroyed' in tier.command('apply', other).stderr
    assert 'No changes.' in tier.command('plan', other).stdout
    sql(tier, 'main', 'CREATE VIEW here AS SELECT pg_is_in_recovery() AS away')  # a read like any other
    endpoint = tier.aws('rds').describe_db_proxies(DBProxyName='pool')['DBProxies'][0]['Endpoint']
    with tier.postgres(endpoint, dbname='shop') as session:
        wait_until(lambda: from_replica(session), 'a read goes to the replica')
        for number in range(10, 60):
            session.execute('INSERT INTO note VALUES (%s)', (number,))
            assert session.execute('SELECT count(*) FROM note WHERE id = %s', (number,)).fetchone() == (1,)
        with session.transaction():
            assert not from_replica(session)
    other.write_text(file.read_text() + OPTIONS.replace('"split"', '"sometimes"'))
    done = tier.command('plan', other, check=False)
    assert done.returncode == 2 and 'write "primary" or "split"' in done.stderr
    assert '0 created, 0 changed, 1 destroyed' in tier.command('apply', file).stderr
    with tier.postgres(endpoint, dbname='shop') as session:
        wait_until(lambda: not from_replica(session), 'the defaults are back')


def test_replicas_come_and_go(live):
    """A session that is open meanwhile goes on."""
    tier, rds = live.tier, live.tier.aws('rds')
    with tier.postgres(reader(tier), dbname='shop') as session:
        rds.create_db_instance_read_replica(DBInstanceIdentifier='second', SourceDBInstanceIdentifier='main',
                                            DBInstanceClass='db.t3.micro')
        wait_until(lambda: targets(tier).get('second') == ('READ_ONLY', 'AVAILABLE'), 'the second is a target', 180)
        first, second = sql(tier, 'first', WHICH), sql(tier, 'second', WHICH)

        def engines():
            """Which engines two transactions at a time get to."""
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(tier.postgres(reader(tier), dbname='shop', autocommit=False))
                           for _ in range(4)]
                return {client.execute(WHICH).fetchone()[0] for client in clients}
        wait_until(lambda: engines() == {first, second}, 'both are used')
        assert session.execute('SELECT pg_is_in_recovery()').fetchone() == (True,)
        rds.delete_db_instance(DBInstanceIdentifier='first', SkipFinalSnapshot=True)
        wait_until(lambda: 'first' not in targets(tier), 'the first is none any more')
        wait_until(lambda: engines() == {second}, 'only the second is left')
        assert session.execute(WHICH).fetchone() == (second,)
    messages = live.events('pool')
    assert any('addition of the DB instance second' in message for message in messages)
    assert any('deletion of the DB instance first' in message for message in messages)


def test_without_a_replica(live):
    """The last: it says so, and so do clients' errors, once they have waited for one."""
    tier, rds = live.tier, live.tier.aws('rds')
    rds.delete_db_instance(DBInstanceIdentifier='second', SkipFinalSnapshot=True)
    wait_until(lambda: set(targets(tier)) == {'main'}, 'there is no replica')
    wait_until(lambda: 'main has no read replica yet' in tier.command('status').stdout, 'it says so')

    with pytest.raises(psycopg.OperationalError, match='No replica can serve reads'):
        tier.postgres(reader(tier), dbname='shop', connect_timeout=60).execute('SELECT 1')
    assert sql(tier, 'pool', 'SELECT 1') == '1'
