"""src/client against an HTTPS server that answers as the test says, and checks each signature with
botocore's own signer."""
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from support.certs import Authority

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get('WEIR_BUILD', ROOT / 'build'))
KEYS = Credentials('AKIATEST', 'secret/key+text')
REGION = 'local-1'
ADDRESS = '127.213.7.1'

EMPTY = (200, '{}')
THROTTLED = (400, '{"__type": "ThrottlingException", "message": "later"}')
UNAVAILABLE = (503, '{"__type": "ServiceUnavailable", "message": "starting"}')
BROKEN = (500, '{"__type": "InternalFailure", "message": "broken"}')
MISSING = (400, '{"__type": "ResourceNotFoundException", "Message": "no such secret"}')


class Server(http.server.ThreadingHTTPServer):
    """Answers with what stands in `script`, then with its last line. None: hangs up."""
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port, certificate, script):
        super().__init__((ADDRESS, port), Handler)
        self.script, self.seen = list(script), []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True,
                                          do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that hangs up is no news."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):  # the name that http.server calls
        body = self.rfile.read(int(self.headers['Content-Length']))
        server = self.server
        server.seen.append((self.path, dict(self.headers.items()), body, signed_well(self, body)))
        answer = server.script.pop(0) if len(server.script) > 1 else server.script[0]
        if answer == 'slow':
            time.sleep(2)
        if answer in (None, 'slow'):
            self.close_connection = True
            self.connection.close()
            return
        status, text = answer
        self.send_response(status)
        self.send_header('Content-Length', str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass




def signed_well(handler, body):
    """Signs the same headers again with botocore and compares."""
    sent = handler.headers['Authorization']
    names = sent.split('SignedHeaders=')[1].split(',')[0].split(';')
    service = sent.split('/')[3]
    request = AWSRequest('POST', f'https://{handler.headers["Host"]}{handler.path}', data=body,
                         headers={name: handler.headers[name] for name in names
                                  if name not in ('host', 'x-amz-date')})
    request.headers['X-Amz-Date'] = request.context['timestamp'] = handler.headers['X-Amz-Date']
    signer = botocore.auth.SigV4Auth(KEYS, service, REGION)
    canonical = signer.canonical_request(request)
    expected = signer.signature(signer.string_to_sign(request, canonical), request)
    return sent.endswith('Signature=' + expected)


@pytest.fixture(scope='module')
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp('ca'))


@pytest.fixture(scope='module')
def certificate(authority):
    return authority.issue('api', f'IP:{ADDRESS}')


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return probe.getsockname()[1]


@pytest.fixture
def serve(port, certificate):
    servers = []

    def start(*script):
        servers.append(Server(port, certificate, script))
        return servers[-1]
    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def call(port, authority, tmp_path):
    (tmp_path / 'client.json').write_text(json.dumps({
        'endpoint': f'https://{ADDRESS}:{port}', 'region': REGION, 'access_key': KEYS.access_key,
        'secret_key': KEYS.secret_key, 'ca': str(authority.ca)}))

    def run(service, operation, value=None, patience_ms=0, timeout_ms=5000):
        done = subprocess.run(
            [BUILD / 'tests' / 'integration' / 'client_call', tmp_path, str(patience_ms),
             str(timeout_ms), service, operation, json.dumps(value or {})],
            capture_output=True, text=True, check=True, timeout=60,
            env={**os.environ, 'https_proxy': 'http://127.0.0.1:1'})
        return json.loads(done.stdout)
    return run


def test_json_call(call, serve):
    server = serve((200, '{"Name": "ä", "CreatedDate": 1769860800.5}'))
    assert call('secretsmanager', 'DescribeSecret', {'SecretId': 'a'}) == {
        'output': {'Name': 'ä', 'CreatedDate': 1769860800500}}
    path, headers, body, signed = server.seen[0]
    assert signed
    assert path == '/'
    assert headers['X-Amz-Target'] == 'secretsmanager.DescribeSecret'
    assert headers['Content-Type'] == 'application/x-amz-json-1.1'
    assert headers['User-Agent'].startswith('weir/')
    assert headers['amz-sdk-invocation-id']
    assert body == b'{"SecretId":"a"}'


def test_query_call(call, serve):
    server = serve((200, '<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances>'
                         '<DBInstance><DBName>x</DBName></DBInstance></DBInstances>'
                         '</DescribeDBInstancesResult></DescribeDBInstancesResponse>'))
    assert call('rds', 'DescribeDBInstances', {'DBInstanceIdentifier': 'a b'}) == {
        'output': {'DBInstances': [{'DBName': 'x'}]}}
    _, headers, body, signed = server.seen[0]
    assert signed
    assert 'X-Amz-Target' not in headers
    assert body == b'Action=DescribeDBInstances&Version=2014-10-31&DBInstanceIdentifier=a%20b'


def test_fault(call, serve):
    server = serve(MISSING)
    assert call('secretsmanager', 'DescribeSecret', {'SecretId': 'a'}) == {
        'error': 'ResourceNotFoundException: no such secret', 'kind': 'not found',
        'fault': 'ResourceNotFoundException', 'status': 400}
    assert len(server.seen) == 1


def test_not_an_aws_reply(call, serve):
    serve((200, '<html>'))
    assert call('weir', 'DescribeTier')['kind'] == 'invalid'


@pytest.mark.parametrize('first', [THROTTLED, UNAVAILABLE])
def test_throttled_changes_are_sent_again_as_the_same_call(call, serve, first):
    server = serve(first, first, EMPTY)
    assert call('weir', 'PutTierOption', {'Name': 'a', 'Value': 'b'}) == {'output': {}}
    assert len(server.seen) == 3
    assert all(signed for *_, signed in server.seen)
    assert len({headers['amz-sdk-invocation-id'] for _, headers, *_ in server.seen}) == 1
    assert [headers['amz-sdk-request'] for _, headers, *_ in server.seen] == \
        ['attempt=1', 'attempt=2', 'attempt=3']


def test_lost_reads_are_sent_again(call, serve):
    server = serve(None, BROKEN, EMPTY)
    assert call('weir', 'ListNodes') == {'output': {}}
    assert len(server.seen) == 3


@pytest.mark.parametrize('answer', [None, 'slow'])
def test_a_lost_change_is_unsettled(call, serve, answer):
    server = serve(answer, EMPTY)
    done = call('weir', 'StopTier', timeout_ms=700)
    assert done['kind'] == 'unsettled'
    assert 'StopTier was sent, and whether it took place is unknown' in done['error']
    assert len(server.seen) == 1


def test_a_broken_change_is_not_sent_again(call, serve):
    server = serve(BROKEN, EMPTY)
    done = call('weir', 'StopTier')
    assert (done['fault'], done['status'], done['kind']) == ('InternalFailure', 500, 'internal')
    assert len(server.seen) == 1


def test_nobody_listens(call, port):
    started = time.monotonic()
    done = call('weir', 'DescribeTier', patience_ms=0)
    assert time.monotonic() - started < 2
    assert done['kind'] == 'unavailable'
    assert f'{ADDRESS}:{port}' in done['error'] and 'is the tier up?' in done['error']


def test_waits_for_a_server_that_restarts(call, serve):
    timer = threading.Timer(0.7, serve, args=(EMPTY,))
    timer.start()
    assert call('weir', 'StopTier', patience_ms=5000) == {'output': {}}
    timer.join()


def test_another_certificate_is_refused(call, port, tmp_path_factory):
    stranger = Authority(tmp_path_factory.mktemp('stranger')).issue('api', f'IP:{ADDRESS}')
    server = Server(port, stranger, [EMPTY])
    try:
        done = call('weir', 'DescribeTier', patience_ms=2000)
        assert done['kind'] == 'denied'
        assert 'was not issued by' in done['error']
        assert server.seen == []
    finally:
        server.stop()


def test_another_name_is_refused(call, port, authority):
    server = Server(port, authority.issue('other', 'IP:127.213.7.2'), [EMPTY])
    try:
        assert call('weir', 'DescribeTier')['kind'] == 'denied'
        assert server.seen == []
    finally:
        server.stop()
