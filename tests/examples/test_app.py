"""The example application on plain engines: it needs nothing of Weir, as it needs nothing of AWS but its API."""
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from support.certs import Authority
from support.engines import own_address, postgres, redis
from support.node import app_folder
from support.secretsmanager import secrets_manager

PASSWORD = 'correct horse battery staple'
TOKEN = 'a-token-of-more-than-16-characters'
SECRET = 'arn:aws:secretsmanager:eu-central-1:000000000000:secret:app-db-credentials-AbCdEf'


@pytest.fixture(scope='module')
def engines(tmp_path_factory):
    """PostgreSQL, Redis and Secrets Manager at an address of their own; yields what the test may touch."""
    authority = Authority(tmp_path_factory.mktemp('certs'))
    address = own_address()
    secrets = {SECRET: json.dumps({'username': 'dbadmin', 'password': PASSWORD})}
    with postgres(authority, address, 5432, 'dbadmin', PASSWORD, 'app_database'), \
            redis(authority, address, 6379, TOKEN) as cache, \
            secrets_manager(address, secrets) as manager:
        env = {
            'PATH': os.environ['PATH'], 'DB_PROXY_ENDPOINT': address, 'REDIS_HOST': address,
            'REDIS_AUTH_TOKEN': TOKEN, 'DB_SECRET_ARN': SECRET, 'AWS_ENDPOINT_URL': manager.url,
            'AWS_REGION': 'eu-central-1', 'AWS_ACCESS_KEY_ID': 'AKIAEXAMPLE', 'AWS_SECRET_ACCESS_KEY': 'example',
            'NODE_EXTRA_CA_CERTS': str(authority.ca),
        }
        yield {'env': env, 'manager': manager, 'secrets': secrets, 'redis': cache}


@pytest.fixture(scope='module')
def app(root, tmp_path_factory):
    return app_folder(root / 'examples/app', root / 'build/node', tmp_path_factory.mktemp('app') / 'app')


@pytest.fixture
def node(app, engines, run):
    def run_node(program, **env):
        return run('node', program, cwd=app, env={**engines['env'], **env}, timeout=60)
    return run_node


def test_demo(node):
    done = node('demo.js')
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    lines = done.stdout.splitlines()
    assert [line.rsplit('from the ', 1)[1].split()[0] for line in lines if 'from the' in line] == [
        'database', 'cache', 'database', 'cache']
    assert 'Ada Lovelace' in lines[-1]


def test_migrate_twice(node):
    for _ in range(2):
        assert node('migrate.js').returncode == 0


@pytest.mark.parametrize('env, message', [
    ({'DB_SECRET_ARN': ''}, 'DB_SECRET_ARN is not set'),
    ({'CACHE_TTL_S': 'long'}, 'CACHE_TTL_S must be a whole number'),
    ({'DB_SECRET_ARN': 'unknown'}, 'no such secret'),
    ({'NODE_EXTRA_CA_CERTS': '/dev/null'}, 'certificate'),
])
def test_refusals(node, env, message):
    done = node('demo.js', **env)
    assert done.returncode == 1
    assert message in done.stderr


class Service:
    def __init__(self, process, port):
        self.process = process
        self.base = f'http://127.0.0.1:{port}'

    def call(self, method, path, body=None):
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, json.load(response), response.headers.get('x-source')
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error), None


@pytest.fixture
def service(app, engines, node):
    assert node('migrate.js').returncode == 0
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(['node', 'server.js'], cwd=app, env={**engines['env'], 'PORT': str(port)},
                          stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == f'listening on {port}\n'
        yield Service(process, port)
        process.kill()


def test_service(service):
    status, user, _ = service.call('POST', '/users', {'name': 'Grace', 'email': f'{time.time()}@example.com'})
    assert status == 201
    path = f'/users/{user["id"]}'
    assert service.call('GET', path) == (200, user, 'database')
    assert service.call('GET', path) == (200, user, 'cache')
    status, changed, _ = service.call('PUT', path, {'name': 'Grace Hopper', 'email': user['email']})
    assert (status, changed['name']) == (200, 'Grace Hopper')
    assert changed['updated_at'] > user['updated_at']
    assert service.call('GET', path) == (200, changed, 'database')
    assert service.call('POST', '/users', {'name': 'Else', 'email': user['email']})[0] == 409
    assert service.call('GET', '/health')[:2] == (200, {'database': 'ok', 'cache': 'ok'})


@pytest.mark.parametrize('method, path, body, status', [
    ('GET', '/users/999999999', None, 404),
    ('PUT', '/users/999999999', {'name': 'a', 'email': 'b'}, 404),
    ('GET', '/users/0', None, 404),
    ('GET', "/users/1'--", None, 404),
    ('DELETE', '/users/1', None, 404),
    ('POST', '/users', {'name': 'a'}, 400),
    ('POST', '/users', b'{', 400),
    ('POST', '/users', b' ' * 70_000, 413),
])
def test_service_refuses(service, method, path, body, status):
    assert service.call(method, path, body)[0] == status


def test_service_ends(service):
    service.call('GET', '/health')
    started = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(10) == 0
    assert time.monotonic() - started < 5


def test_secret_is_kept(service, engines):
    before = len(engines['manager'].requests)
    for _ in range(5):
        service.call('GET', '/users/999999998')
    assert len(engines['manager'].requests) == before


def test_without_cache(service, engines):
    """A stopped Redis makes reads slower, never wrong."""
    _, user, _ = service.call('POST', '/users', {'name': 'Joan', 'email': f'{time.time()}@example.com'})
    engines['redis'].send_signal(signal.SIGSTOP)
    try:
        assert service.call('GET', f'/users/{user["id"]}') == (200, user, 'database')
        assert service.call('GET', '/health')[0] == 503
    finally:
        engines['redis'].send_signal(signal.SIGCONT)
