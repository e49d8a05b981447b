"""`weir psql NAME` and `weir redis-cli NAME` where there are several of each: every name leads to its own endpoint, with
its own user, database, password or token."""
import os
import subprocess

import pytest

from support.blocks import db_instance, proxy, secret
from support.tier import tier_of

FILE = db_instance('first', db_name='shop') + db_instance('second', password='password:2') + secret(
    'second', 'dbadmin', 'password:2') + proxy('pool', 'second') + '''
resource "aws_db_proxy_target" "pool" {
  db_proxy_name          = aws_db_proxy.pool.name
  target_group_name      = "default"
  db_instance_identifier = aws_db_instance.second.identifier
}

resource "aws_elasticache_replication_group" "cache" {
  for_each = {
    one  = { tls = true, token = "token-of-cache-one" }
    two  = { tls = true, token = "token-of-cache-two" }
    tls  = { tls = true, token = null }
    open = { tls = false, token = null }
  }
  replication_group_id       = each.key
  description                = each.key
  node_type                  = "cache.t3.micro"
  num_cache_clusters         = 1
  transit_encryption_enabled = each.value.tls
  auth_token                 = each.value.token
}
'''


@pytest.fixture(scope='module')
def several(weir, tmp_path_factory):
    file = tmp_path_factory.mktemp('several') / 'main.tf'
    file.write_text(FILE)
    with tier_of(weir, file) as tier:
        yield tier


def client(tier, command, *words, env=None, **options):
    return subprocess.run([tier.weir, command, '--data', tier.data, *words], env={**os.environ, **(env or {})},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False, **options)


def psql(tier, *words, **options):
    return client(tier, 'psql', *words, '-wAtc', 'SELECT current_user, current_database(), '
                  "(SELECT count(*) FROM pg_tables WHERE schemaname = 'public')", **options)


@pytest.fixture(scope='module')
def marked(several):
    """A table tells the second instance from the first."""
    done = client(several, 'psql', 'second', '-wqc', 'CREATE TABLE IF NOT EXISTS mark ()')
    assert done.returncode == 0, done.stderr
    return several


@pytest.mark.parametrize('name, there', [
    ('first', 'dbadmin|shop|0'), ('second', 'dbadmin|postgres|1'), ('pool', 'dbadmin|postgres|1')])
def test_psql(marked, name, there):
    done = psql(marked, name)
    assert (done.stdout, done.returncode) == (f'{there}\n', 0), done.stderr


def test_psql_takes_a_database_as_psql_does(marked):
    done = psql(marked, 'first', 'template1', env={'PGHOSTADDR': '127.0.0.9', 'PGSERVICE': 'elsewhere'})
    assert (done.stdout, done.stderr) == ('dbadmin|template1|0\n', '')


def test_the_password_file_has_all(marked):
    """An application's libpq finds the password of each endpoint."""
    view = marked.json('status')
    hosts = [item['Endpoint']['Address'] for item in view['instances']] + [view['proxies'][0]['Endpoint']]
    assert len(set(hosts)) == 3
    for host in hosts:
        marked.postgres(host, dbname='postgres').close()


@pytest.mark.parametrize('name', ['one', 'two', 'tls', 'open'])
def test_redis_cli(several, name):
    """Also where the caller's environment has a token of another cache."""
    done = client(several, 'redis-cli', name, 'SET', 'name', name, env={'REDISCLI_AUTH': 'token-of-another'})
    assert (done.stdout, done.stderr, done.returncode) == ('OK\n', '', 0)
    assert client(several, 'redis-cli', name, 'GET', 'name').stdout == f'{name}\n'


@pytest.mark.parametrize('command, name', [('psql', 'one'), ('psql', 'none'), ('redis-cli', 'first')])
def test_a_name_that_is_none(several, command, name):
    done = client(several, command, name)
    assert done.returncode == 3
    assert f'"{name}"' in done.stderr and '`weir status`' in done.stderr
