"""IAM tokens in the place of passwords, at a pool of `weir proxy`: of awscli and of boto3, and what must not pass."""
import os
import shutil
import subprocess
import time
from datetime import datetime, timedelta
from unittest import mock

import botocore.auth
import botocore.session
import psycopg
import pytest
from botocore.signers import generate_db_auth_token

from support.plane_agent import Refused
from support.pool import ANN, BOB, PORT, authority, postgres, proxy
from support.wire import Wire

pytestmark = pytest.mark.timeout(120)

REGION = 'eu-west-1'
KEY = {'access_key_id': 'AKIAWEIRTEST', 'secret_access_key': 'weir secret/+ä'}
FAILED = 'The IAM authentication failed for the role ann. Check the IAM token for this role and try again.'


@pytest.fixture
def iam(proxy):
    return with_iam(proxy)


def with_iam(proxy, **members):
    proxy.configure({'users': [{**ANN, 'auth': 'iam'}, BOB],
                     'iam': {'region': REGION, 'hosts': [proxy.address, 'proxy.test'], 'keys': [KEY]}}, **members)
    return proxy


def token(proxy, ago_s=0, **more):
    """As boto3 makes it, so long ago."""
    want = {'host': proxy.address, 'port': PORT, 'user': 'ann', 'region': REGION,
            'key': KEY['access_key_id'], 'secret': KEY['secret_access_key'], **more}
    client = botocore.session.get_session().create_client(
        'rds', REGION, aws_access_key_id=want['key'], aws_secret_access_key=want['secret'])

    class Clock(datetime):
        @classmethod
        def utcnow(cls):
            return datetime.utcfromtimestamp(time.time()) - timedelta(seconds=ago_s)

    with mock.patch('botocore.auth.datetime.datetime', Clock):
        return generate_db_auth_token(client, want['host'], want['port'], want['user'], Region=want['region'])


def refusal(proxy, password, user='ann', **more):
    with pytest.raises(psycopg.OperationalError) as error:
        proxy.connect({'user': user, 'password': password}, **more)
    return str(error.value)


def test_awscli(iam):
    """The token of the command that AWS's documentation names, by a real client."""
    aws = shutil.which('aws')
    made = subprocess.run([aws, 'rds', 'generate-db-auth-token', '--hostname', iam.address, '--port', str(PORT),
                           '--username', 'ann', '--region', REGION], check=True, capture_output=True, text=True,
                          env={**os.environ, 'AWS_ACCESS_KEY_ID': KEY['access_key_id'],
                               'AWS_SECRET_ACCESS_KEY': KEY['secret_access_key']}).stdout.strip()
    for _ in range(2):  # within its 15 minutes it may be used again
        with iam.connect({'user': 'ann', 'password': made}) as connection:
            assert connection.execute('SELECT session_user::text').fetchone() == ('ann',)


def test_boto3(iam):
    iam.connect({'user': 'ann', 'password': token(iam)}).close()
    iam.connect({'user': 'ann', 'password': token(iam, host='PROXY.test')}).close()
    iam.connect({'user': 'ann', 'password': token(iam, ago_s=890)}).close()
    iam.connect(BOB).close()  # the others have passwords


@pytest.mark.parametrize('more, detail', [
    ({'user': 'bob'}, 'another user'), ({'port': 6432}, 'another host or port'),
    ({'host': 'other.test'}, 'another host or port'), ({'region': 'us-east-1'}, 'another region'),
    ({'key': 'AKIAOTHER'}, 'does not match'), ({'secret': 'other'}, 'does not match'),
    ({'ago_s': 910}, 'expired'), ({'ago_s': -1000}, 'future')])
def test_other_tokens(iam, more, detail):
    text = refusal(iam, token(iam, **more))
    assert FAILED in text and detail in text


def test_passwords_do_not_pass(iam):
    for password in (ANN['password'], '', 'x' * 7000):
        assert FAILED in refusal(iam, password) or password == ''
    assert 'is wrong' in refusal(iam, token(iam, user='bob'), 'bob')
    iam.await_status(lambda status: status['auth_failed'] >= 3)


def test_over_tls_only(iam):
    """A token is not even asked for in clear text."""
    text = refusal(iam, token(iam), sslmode='disable')
    assert 'IAM authentication is allowed only with SSL connections.' in text
    with pytest.raises(ConnectionRefusedError, match='allowed only with SSL'):
        Wire(iam.address, PORT, 'ann', '', 'app')


def test_keys_change(iam):
    """A reload counts from the next login; sessions go on."""
    with iam.connect({'user': 'ann', 'password': token(iam)}) as connection:
        other = {'access_key_id': 'AKIANEW', 'secret_access_key': 'new'}
        iam.configure({'iam': {'region': REGION, 'hosts': [iam.address], 'keys': [other]}})
        assert FAILED in refusal(iam, token(iam))
        iam.connect({'user': 'ann', 'password': token(iam, key='AKIANEW', secret='new')}).close()
        assert connection.execute('SELECT 1').fetchone() == (1,)


def test_secret_file(proxy, tmp_path):
    secret = tmp_path / 'secret'
    secret.write_text(KEY['secret_access_key'] + '\n')
    secret.chmod(0o644)
    keys = [{'access_key_id': KEY['access_key_id'], 'secret_access_key_file': str(secret)}]
    pool = {'users': [{**ANN, 'auth': 'iam'}], 'iam': {'region': REGION, 'hosts': [proxy.address], 'keys': keys}}
    proxy.configure()  # a process whose first configuration is refused ends
    with pytest.raises(Refused, match='chmod'):
        proxy.configure(pool)
    secret.chmod(0o600)
    proxy.configure(pool)
    proxy.connect({'user': 'ann', 'password': token(proxy)}).close()


def test_guesses_are_slowed_down(proxy):
    """As of passwords; each worker counts those that came to it."""
    iam = with_iam(proxy, workers=1)
    for _ in range(14):
        refusal(iam, 'guess')
    iam.await_status(lambda status: status['auth_delayed'] >= 1)
    iam.connect({'user': 'ann', 'password': token(iam)}).close()


def test_console(iam):
    """A token opens it, too; what it shows has no key."""
    iam.configure({'admin_users': ['ann']})
    with iam.connect({'user': 'ann', 'password': token(iam)}, dbname='weir') as console:
        shown = dict(row[:2] for row in console.execute('SHOW CONFIG').fetchall())
        assert (shown['pool.iam.region'], shown['pool.iam.hosts']) == (REGION, f'{iam.address},proxy.test')
        assert KEY['secret_access_key'] not in str(shown)


def test_replication(iam, postgres):
    """The ways in are the same."""
    postgres.run('ALTER ROLE ann REPLICATION')
    settings = iam.settings({'user': 'ann', 'password': token(iam)}, replication='database')
    try:
        with psycopg.connect(**settings, autocommit=True, prepare_threshold=None) as connection:
            result = connection.pgconn.exec_(b'IDENTIFY_SYSTEM')
            assert result.get_value(0, 3) == b'app'
    finally:
        postgres.run('ALTER ROLE ann NOREPLICATION')
