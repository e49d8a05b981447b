"""The guide's own program, as printed, under `weir run`: it comes as far as its own known bug (pg.Client has no
release()) and no other. The repository does not hold the program: it is taken out of the guide where that is present."""
import json
import os
import re
import socket
import ssl
import subprocess
import uuid
from pathlib import Path

import pytest

from support.node import app_folder

KNOWN_BUG = 'TypeError: dbClient.release is not a function'
TTL_S = 600
TABLE = '''CREATE TABLE IF NOT EXISTS users (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE,
             updated_at timestamptz NOT NULL DEFAULT now())'''


@pytest.fixture(scope='module')
def printed(root):
    """The text of the program."""
    guide = Path(os.environ.get('WEIR_GUIDE', root.parent / 'shared' / 'guide.md'))
    if not guide.is_file():
        pytest.skip('the guide is not here: WEIR_GUIDE names it')
    blocks = re.findall(r'^```javascript\n(.*?)^```$', guide.read_text('utf-8'), re.M | re.S)
    assert len(blocks) == 1
    return blocks[0]


@pytest.fixture
def row(tier):
    """(id, email) of a user that is there while the test runs."""
    email = f'{uuid.uuid4()}@example.com'
    with tier.postgres(tier.env()['DB_PROXY_ENDPOINT']) as connection:
        connection.execute(TABLE)
        made = connection.execute('INSERT INTO users (name, email) VALUES (%s, %s) RETURNING id', ['Ada', email])
        identity = made.fetchone()[0]
        yield identity, email
        connection.execute('DELETE FROM users WHERE id = %s', [identity])
    tier.redis(tier.env()['REDIS_HOST']).delete(f'user:{identity}')


@pytest.fixture
def program(printed, root, tmp_path):
    folder = app_folder(root / 'tests/integration/guide_app', root / 'build/node', tmp_path / 'app')
    (folder / 'app.js').write_text(f"{printed}\nrequire('./driver.js')({{ redis, getUserData, updateUserData }});\n")
    return folder / 'app.js'


def test_guide_program(tier, program, row):
    identity, email = row
    done = subprocess.run(
        [tier.weir, 'run', '--data', tier.data, '--', 'node', program], capture_output=True, text=True, timeout=120,
        check=False, cwd=tier.folder, env={
            'PATH': os.environ['PATH'], 'HOME': str(tier.folder), 'AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE': '1',
            'DRIVER_ID': str(identity), 'DRIVER_EMAIL': f'new-{email}'})
    assert (done.returncode, done.stderr) == (0, '')
    said = [line for line in done.stdout.splitlines() if not line.startswith('{')]
    assert [line.split(' - ')[0] for line in said] == [
        'Cache miss', 'Cache hit', 'Cache miss', 'Cache hit', 'Cache miss', 'Cache miss']

    steps = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{')]
    # Every path that uses the database ends in the bug, whatever came of it.
    assert [(step['step'], step.get('error')) for step in steps] == [
        ('miss', KNOWN_BUG), ('hit', None), ('update', KNOWN_BUG), ('miss', KNOWN_BUG), ('hit', None),
        ('nobody', KNOWN_BUG), ('bad id', KNOWN_BUG)]

    old, new = steps[0]['cached'], steps[3]['cached']
    assert (old['id'], old['name'], old['email']) == (str(identity), 'Ada', email)
    assert (new['name'], new['email']) == ('Ada Lovelace', f'new-{email}')
    assert [step['cached'] for step in steps] == [old, old, None, new, new, new, new]
    assert [step.get('value') for step in steps if step['step'] == 'hit'] == [old, new]
    assert all(TTL_S - 60 < step['ttl'] <= TTL_S for step in steps if step['cached'])

    with tier.postgres(tier.env()['DB_PROXY_ENDPOINT']) as connection:
        stored = connection.execute('SELECT name, email FROM users WHERE id = %s', [identity]).fetchone()
    assert stored == ('Ada Lovelace', f'new-{email}')


def test_certificates_are_for_localhost_as_well(tier):
    """Drivers that are given an address for a host check the certificate against localhost: pg for Node before 8.23.1, for one."""
    proxy, cache = tier.env()['DB_PROXY_ENDPOINT'], tier.env()['REDIS_HOST']
    with tier.postgres('localhost', hostaddr=proxy, password=json.loads(tier.aws('secretsmanager').get_secret_value(
            SecretId=tier.env()['DB_SECRET_ARN'])['SecretString'])['password']) as connection:
        assert connection.execute('SELECT 1').fetchone() == (1,)
    context = ssl.create_default_context(cafile=tier.env()['AWS_CA_BUNDLE'])
    with socket.create_connection((cache, 6379), 10) as plain, context.wrap_socket(plain, server_hostname='localhost'):
        pass
