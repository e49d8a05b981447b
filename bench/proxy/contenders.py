"""Who is measured: how each is told to pool 20 connections to one server, and what it cannot do at all."""
import json
import os
import shutil
from pathlib import Path

from process import ACCOUNT, Failure, write
from servers import DATABASE, PASSWORD, USER, scram_verifier

SERVER_CONNECTIONS = 20
SHARED_CONNECTIONS = 2  # of them, where clients share
CLIENTS_MAX = 12000


class Contender:
    """One proxy. `start` runs it between a new port and a server, as a measure wants it."""
    name = ''
    program = ''

    def missing(self):
        """Why it cannot take part; None: it can."""
        return None if Path(self.program).exists() else f'{self.program} is not installed'

    def cannot(self, measure):
        """Why this measure makes no sense for it; None: it does, or the attempt will show."""
        return 'no client shares a server connection with others in flight' if measure.shared else None

    def start(self, place, certificate, server, measure):
        """(its process, its port)"""
        raise NotImplementedError


class Weir(Contender):
    name = 'weir'
    workers = 1
    io = 'epoll'

    def __init__(self, program):
        self.program = str(program)

    def cannot(self, measure):
        return None

    def start(self, place, certificate, server, measure):
        port = next(place.ports)
        folder = place.room(f'{self.name}-{port}')
        cert, key = certificate.copy(folder)
        target = {'max_connections': SERVER_CONNECTIONS}
        target.update({'socket_dir': str(server.socket_dir), 'port': server.socket_port} if measure.via_socket else
                      {'host': server.address, 'port': server.port})
        config = {
            'kind': 'pool', 'workers': self.workers, 'io': self.io, 'max_clients': CLIENTS_MAX,
            'listeners': [{'address': place.address, 'port': port, 'cert_file': str(cert), 'key_file': str(key)}],
            'pool': {'target': target, 'users': [{'user': USER, 'password': PASSWORD}],
                     'max_idle_connections_percent': 100, 'connection_borrow_timeout_s': 5,
                     'shared_connections': SHARED_CONNECTIONS if measure.shared else 0}}
        path = write(folder / 'proxy.json', json.dumps(config), mode=0o600)
        return place.start([self.program, 'proxy', '--config', path], folder, port), port


class WeirTwo(Weir):
    """The same with two threads: what more of them cost."""
    name = 'weir-2'
    workers = 2


class WeirUring(Weir):
    """The same by io_uring."""
    name = 'weir-uring'
    io = 'uring'


class PgBouncer(Contender):
    name = 'pgbouncer'
    program = '/usr/sbin/pgbouncer'

    def start(self, place, certificate, server, measure):
        port = next(place.ports)
        folder = place.room(f'{self.name}-{port}', ACCOUNT)
        cert, key = certificate.copy(folder, ACCOUNT)
        users = write(folder / 'users.txt', f'"{USER}" "{scram_verifier(PASSWORD)}"\n', ACCOUNT, 0o600)
        host, server_port = ((server.socket_dir, server.socket_port) if measure.via_socket else
                             (server.address, server.port))
        config = write(folder / 'pgbouncer.ini', f'''[databases]
{DATABASE} = host={host} port={server_port}
[pgbouncer]
listen_addr = {place.address}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {SERVER_CONNECTIONS}
max_client_conn = {CLIENTS_MAX}
listen_backlog = 4096
log_connections = 0
log_disconnections = 0
client_tls_sslmode = allow
client_tls_cert_file = {cert}
client_tls_key_file = {key}
''', ACCOUNT)
        return place.start([self.program, config], folder, port, account=ACCOUNT), port


class HaProxy(Contender):
    """TCP, without pooling: one server connection per client."""
    name = 'haproxy'
    program = '/usr/sbin/haproxy'
    connections_max = 4000  # twice as many descriptors, which it wants to see at its start

    def cannot(self, measure):
        if measure.server != 'postgres' and measure.tls:
            return 'passes TLS through to the server, and nullpg has none'
        return super().cannot(measure)

    def start(self, place, certificate, server, measure):
        port = next(place.ports)
        folder = place.room(f'{self.name}-{port}')
        target = (f'unix@{server.socket_dir}/.s.PGSQL.{server.socket_port}' if measure.via_socket else
                  f'{server.address}:{server.port}')
        config = write(folder / 'haproxy.cfg', f'''global
    maxconn {self.connections_max}
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen all
    bind {place.address}:{port}
    server one {target}
''')
        return place.start([self.program, '-db', '-f', config], folder, port), port


class PgPool(Contender):
    """A process per client, and a server connection for each."""
    name = 'pgpool2'
    program = '/usr/sbin/pgpool'
    children = 40

    def cannot(self, measure):
        if measure.server != 'postgres':
            return 'asks the server\'s catalogs, which nullpg has not'
        return super().cannot(measure)

    def start(self, place, certificate, server, measure):
        port = next(place.ports)
        folder = place.room(f'{self.name}-{port}', ACCOUNT)
        cert, key = certificate.copy(folder, ACCOUNT)
        host, server_port = ((server.socket_dir, server.socket_port) if measure.via_socket else
                             (server.address, server.port))
        config = write(folder / 'pgpool.conf', f'''backend_clustering_mode = 'raw'
listen_addresses = '{place.address}'
port = {port}
unix_socket_directories = '{folder}'
pcp_listen_addresses = '{place.address}'
pcp_port = {next(place.ports)}
pcp_socket_dir = '{folder}'
backend_hostname0 = '{host}'
backend_port0 = {server_port}
enable_pool_hba = on
pool_passwd = '{folder}/pool_passwd'
ssl = on
ssl_cert = '{cert}'
ssl_key = '{key}'
num_init_children = {self.children}
max_pool = 1
load_balance_mode = off
pid_file_name = '{folder}/pid'
logdir = '{folder}'
health_check_period = 0
''', ACCOUNT)
        hba = write(folder / 'pool_hba.conf', 'host all all all scram-sha-256\n', ACCOUNT)
        write(folder / 'pool_passwd', f'{USER}:TEXT{PASSWORD}\n', ACCOUNT, 0o600)
        pcp = write(folder / 'pcp.conf', '', ACCOUNT)
        return place.start([self.program, '-n', '-f', config, '-a', hba, '-F', pcp], folder, port, account=ACCOUNT), port


class Direct(Contender):
    """No proxy: the CPU is the server's own."""
    name = 'direct'

    def missing(self):
        return None

    def cannot(self, measure):
        if measure.server != 'postgres' and measure.tls:
            return 'nullpg has no TLS'
        if measure.via_socket:
            return 'clients come by TCP'
        return super().cannot(measure)

    def start(self, place, certificate, server, measure):
        return server.process, server.port


def all_contenders(build):
    return [Direct(), Weir(build / 'weir'), WeirTwo(build / 'weir'), WeirUring(build / 'weir'), PgBouncer(), HaProxy(), PgPool()]


DEFAULT = ['direct', 'weir', 'pgbouncer', 'haproxy', 'pgpool2']


def chosen(build, names):
    """Those of the names that can take part, and {name: why not} of the others."""
    known = {contender.name: contender for contender in all_contenders(build)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Failure(f'no contender is called {unknown[0]}: write some of {", ".join(known)}')
    reasons = {name: known[name].missing() for name in names}
    if os.geteuid() != 0 and shutil.which('setpriv') is None:
        raise Failure('setpriv is missing: run tools/install.sh bench')
    return ([known[name] for name in names if reasons[name] is None],
            {name: reason for name, reason in reasons.items() if reason})
