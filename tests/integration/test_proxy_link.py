"""A relay's link: how processes of other hosts reach an instance that stands on this one."""
import os
import signal
import socket
import ssl
import threading
import time

import psycopg
import pytest

from support.alone import PASSWORD, PORT, Proxy, authority, server
from support.certs import Authority
from support.watch import wait_until

pytestmark = pytest.mark.timeout(120)
LINK_PORT = 5433
USER = {'user': 'ann', 'password': PASSWORD, 'dbname': 'app'}


class Hosts:
    """The relay of the host where the instance is, and what its link takes."""

    def __init__(self, weir, folder, server):
        self.authority = Authority(folder)
        self.plane = self.authority.issue('weir-plane', 'DNS:weir-plane')
        self.weir, self.folder, self.server = weir, folder, server
        self.proxies = []
        self.near = self.make('near', {})
        cert, key = self.authority.issue('near', f'IP:{self.near.address}')
        self.near.config['listeners'].append({
            'address': self.near.address, 'port': LINK_PORT, 'link': True, 'cert_pem': cert.read_text(),
            'key_pem': key.read_text(), 'client_ca_pem': self.authority.ca.read_text()})
        self.near.config.update({'kind': 'relay', 'relay': {'target': server.target()}, 'security_rules': []})
        del self.near.config['relay']['target']['max_connections']

    def make(self, name, config):
        folder = self.folder / name
        folder.mkdir()
        proxy = Proxy(self.weir, folder, self.server)
        del proxy.config['pool']
        proxy.config.update(config)
        self.proxies.append(proxy)
        return proxy

    def target(self, cert=None):
        cert, key = cert or self.plane
        return {'id': 'db', 'host': self.near.address, 'port': LINK_PORT,
                'link': {'ca_pem': self.authority.ca.read_text(), 'cert_pem': cert.read_text(), 'key_pem': key.read_text()}}

    def stop(self):
        for proxy in self.proxies:
            if proxy.process is not None:
                proxy.stop()


@pytest.fixture
def hosts(weir, tmp_path, server):
    made = Hosts(weir, tmp_path, server)
    yield made
    made.stop()


def local(server):
    """Where the server's Unix socket is: a link leads to nothing else."""
    return {'id': 'db', 'socket_dir': server.ask('SHOW unix_socket_directories')[0].split(',')[0], 'port': PORT}


@pytest.fixture(scope='module', autouse=True)
def passwords(server):
    """Also at the Unix socket, but of the role that asks whether commits wait."""
    file = server.ask('SHOW hba_file')[0]
    rules = ("('local postgres pulse trust')", "('local all all scram-sha-256')", "('host all all all scram-sha-256')")
    with psycopg.connect(**server.settings(), autocommit=True) as admin:
        admin.execute('DROP ROLE IF EXISTS pulse')
        admin.execute('CREATE ROLE pulse LOGIN')
        admin.execute(f"COPY (VALUES {', '.join(rules)}) TO '{file}'")
        admin.execute('SELECT pg_reload_conf()')


def connect(proxy, **more):
    return psycopg.connect(host=proxy.address, port=PORT, autocommit=True, **{**USER, **more})


def check_cancels(proxy):
    with connect(proxy) as connection:
        timer = threading.Timer(0.3, connection.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute('SELECT pg_sleep(60)')
        timer.join()
        assert connection.execute('SELECT 1').fetchone() == (1,)


@pytest.fixture
def linked(hosts, server):
    hosts.near.config['relay']['target'] = local(server)
    hosts.near.start()
    return hosts


def test_a_relay_of_another_host(linked):
    """Its clients prove their passwords to PostgreSQL itself; the rules of the link's host are not theirs."""
    far = linked.make('far', {'kind': 'relay', 'relay': {'target': linked.target()}}).start()
    with connect(far) as connection:
        assert connection.execute('SELECT current_user, inet_server_addr() IS NULL').fetchone() == ('ann', True)
    with pytest.raises(psycopg.OperationalError, match='password authentication failed'):
        connect(far, password='wrong')
    check_cancels(far)
    with pytest.raises(psycopg.OperationalError):  # nobody is let in by the rules here
        connect(linked.near)


def test_a_pool_of_another_host(linked):
    far = linked.make('far', {'kind': 'pool', 'pool': {
        'target': {**linked.target(), 'max_connections': 5}, 'users': [{'user': 'ann', 'password': PASSWORD}],
        'connection_borrow_timeout_s': 5}}).start()
    with connect(far) as connection:
        assert connection.execute('SELECT current_user, inet_server_addr() IS NULL').fetchone() == ('ann', True)
    check_cancels(far)


def test_what_is_lost_behind_a_link(linked, server):
    """As if PostgreSQL itself were lost: who is in a transaction hears so and stays, and a read is sent again."""
    far = linked.make('far', {'kind': 'pool', 'pool': {
        'target': {**linked.target(), 'max_connections': 5}, 'users': [{'user': 'ann', 'password': PASSWORD}],
        'connection_borrow_timeout_s': 30, 'resend_reads': True}}).start()
    with connect(far) as connection:
        def lose_soon():
            backend, = connection.execute('SELECT pg_backend_pid()').fetchone()
            threading.Timer(0.3, os.kill, (backend, signal.SIGKILL)).start()

        def recovered():  # PostgreSQL ends all others, too
            time.sleep(0.5)
            wait_until(lambda: psycopg.connect(**server.settings()).close() is None, 'PostgreSQL has recovered')

        connection.execute('BEGIN')
        lose_soon()
        with pytest.raises(psycopg.errors.SerializationFailure, match='was not committed'):
            connection.execute('SELECT pg_sleep(60)')
        assert not connection.closed
        recovered()
        lose_soon()
        assert connection.execute('SELECT count(*) FROM generate_series(1, 10000000)').fetchone() == (10000000,)
    recovered()


PULSE = {'synchronous': True, 'probe_user': 'pulse', 'right_to_answer': 'enforced'}


@pytest.mark.parametrize('kind', ['pool', 'relay'])
def test_the_right_to_answer_is_asked_for_by_the_link(hosts, server, kind):
    """Without an answer nobody gets one; and by the role that asks, only a process of the tier comes in."""
    hosts.near.config['relay'] = {'target': {**local(server), **PULSE}, 'reserved_users': ['pulse']}
    hosts.near.start()
    target = {**hosts.target(), **PULSE}
    if kind == 'relay':
        config = {'kind': 'relay', 'relay': {'target': target, 'reserved_users': ['pulse']}}
    else:
        target['max_connections'] = 5
        config = {'kind': 'pool', 'pool': {'target': target, 'users': [{'user': 'ann', 'password': PASSWORD}],
                                           'connection_borrow_timeout_s': 5}}
    far = hosts.make('far', config).start()
    with connect(far) as connection:
        assert connection.execute('SELECT current_user').fetchone() == ('ann',)
    wait_until(lambda: server.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = 'pulse'")[0] >= 2,
               'both processes ask')
    if kind == 'relay':
        with pytest.raises(psycopg.OperationalError, match='pg_hba.conf rejects connection .* "pulse", .* no encryption'):
            connect(far, user='pulse', dbname='postgres')
    target['probe_user'] = 'nobody'
    blind = hosts.make('blind', config).start()
    with pytest.raises(psycopg.OperationalError, match='not available|may not answer|timed out|borrow'):
        connect(blind).execute('SELECT 1')


@pytest.mark.parametrize('trusts', [False, True])
def test_whom_postgresql_asks_for_nothing(hosts, server, trusts):
    """A relay shows PostgreSQL who the relay is, not who its client is."""
    hosts.near.config['relay'] = {'target': local(server), 'allow_trust': trusts}
    del hosts.near.config['security_rules']
    hosts.near.start()
    if trusts:
        with connect(hosts.near, user='pulse', dbname='postgres') as connection:
            assert connection.execute('SELECT current_user').fetchone() == ('pulse',)
        return
    with pytest.raises(psycopg.OperationalError, match='cannot log in through this endpoint'):
        connect(hosts.near, user='pulse', dbname='postgres')
    wait_until(lambda: server.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = 'pulse'") == (0,), 'it is gone')
    connect(hosts.near).close()


@pytest.mark.parametrize('name', ['somebody', 'weir-plane of others'])
def test_nobody_else_comes_in(linked, tmp_path, name):
    """Not without a certificate, not with another name, not with another authority's."""
    authority = linked.authority
    if name == 'somebody':
        cert = authority.issue('somebody', 'DNS:somebody')
    else:
        folder = tmp_path / 'others'
        folder.mkdir()
        cert = Authority(folder).issue('weir-plane', 'DNS:weir-plane')
    far = linked.make('far', {'kind': 'relay', 'relay': {'target': linked.target(cert)}}).start()
    with pytest.raises(psycopg.OperationalError, match='not available|was lost'):
        connect(far)
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.set_alpn_protocols(['postgresql'])
    for wrapped in (True, False):
        with socket.create_connection((linked.near.address, LINK_PORT), timeout=10) as plain:
            stream = context.wrap_socket(plain, server_hostname=linked.near.address) if wrapped else plain
            stream.sendall(bytes.fromhex('0000001000030000') + b'user\0ann\0\0'[:8])
            try:
                assert stream.recv(1) == b''
            except (ssl.SSLError, ConnectionResetError):
                pass


def test_it_does_not_lead_further(hosts, server):
    """The instance has moved, and not everybody knows: a query is refused, not passed to and fro."""
    hosts.near.config['relay']['target'] = {'id': 'db', **{name: server.target()[name] for name in ('host', 'port')}}
    hosts.near.start()
    far = hosts.make('far', {'kind': 'relay', 'relay': {'target': hosts.target()}}).start()
    with pytest.raises(psycopg.OperationalError, match='another host'):
        connect(far)


def test_what_a_link_needs(hosts):
    far = hosts.make('far', {'kind': 'relay', 'relay': {'target': {'id': 'db', 'socket_dir': '/tmp', **{
        'link': hosts.target()['link']}}}})
    assert 'link takes a host' in far.check().stderr
    del hosts.near.config['listeners'][1]['client_ca_pem']
    assert 'link takes client_ca_pem' in hosts.near.check().stderr
