"""The guide's tier with iam_auth = "REQUIRED": applications log in to the proxy with tokens."""
import json
import time
from pathlib import Path

import psycopg
import pytest

pytestmark = pytest.mark.timeout(300)

FAILED = 'The IAM authentication failed for the role dbadmin'


def aws(tier, *words, **env):
    return tier.awscli(*words, **env).stdout.strip()


def token(tier, host, **env):
    return aws(tier, 'rds', 'generate-db-auth-token', '--hostname', host, '--port', '5432', '--username', 'dbadmin',
               **env)


def refusal(tier, host, password):
    with pytest.raises(psycopg.OperationalError) as error:
        tier.postgres(host, password=password)
    return str(error.value)


def test_tokens_of_the_tier(new_tier, root, tmp_path):
    text = (root / 'examples/guide.tf').read_text()
    assert text.count('iam_auth    = "DISABLED"') == 1
    tier = new_tier(text.replace('iam_auth    = "DISABLED"', 'iam_auth    = "REQUIRED"'))
    proxy, = json.loads(aws(tier, 'rds', 'describe-db-proxies'))['DBProxies']
    assert [auth['IAMAuth'] for auth in proxy['Auth']] == ['REQUIRED']
    host = proxy['Endpoint']
    made = token(tier, host)
    with tier.postgres(host, password=made) as connection:
        assert connection.execute('SELECT session_user::text').fetchone() == ('dbadmin',)
    assert FAILED in refusal(tier, host, token(tier, '127.0.0.1'))
    assert FAILED in refusal(tier, host, token(tier, host, AWS_SECRET_ACCESS_KEY='x' * 40))
    instance = json.loads(aws(tier, 'rds', 'describe-db-instances'))['DBInstances'][0]['Endpoint']['Address']
    tier.postgres(instance).close()  # the password is still PostgreSQL's own
    with pytest.raises(psycopg.OperationalError, match=FAILED):
        tier.postgres(host)
    no_secret_in_logs(tier, made)
    assert tier.command('plan', '--detailed-exitcode', tmp_path / '0.tf', check=False).returncode == 0
    changed_back(tier, proxy, host)


def no_secret_in_logs(tier, made):
    signature = made.rpartition('=')[2]
    secret = tier.env()['AWS_SECRET_ACCESS_KEY']
    for folder in (*tier.run_folders, tier.data):
        for path in Path(folder).rglob('*.log'):
            log = path.read_text(errors='replace')
            assert signature not in log and secret not in log, path


def changed_back(tier, proxy, host):
    """By awscli, while it runs: the password counts again."""
    auth = {'AuthScheme': 'SECRETS', 'SecretArn': proxy['Auth'][0]['SecretArn'], 'IAMAuth': 'DISABLED'}
    aws(tier, 'rds', 'modify-db-proxy', '--db-proxy-name', proxy['DBProxyName'], '--auth', json.dumps([auth]))
    deadline = time.monotonic() + 30
    while True:
        try:
            tier.postgres(host).close()
            return
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
