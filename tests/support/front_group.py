"""A front between real Redis processes, with a test for an agent."""
import contextlib
import shutil
import socket
import ssl
import subprocess
import time

import redis

from support.certs import Authority
from support.engines import account_folder, as_account, give, own_address, stop, wait_port
from support.plane_agent import PlaneProcess

TOKEN = 'a-token-that-clients-know'
GATE = 'weir_gate'
BACKEND = {'user': 'weir_client', 'password': 'a-password-that-they-do-not'}
PATIENCE_S = 20


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(redis.RedisError, OSError):
            value = condition()
            if value:
                return value
        time.sleep(0.02)
    raise TimeoutError(what)


class Node:
    """One Redis process: TLS with client certificates, the default user off."""

    def __init__(self, authority, folder, name):
        self.name = name
        self.authority = authority
        self.folder = folder / name
        self.address = own_address()
        self.process = None
        self.available = True  # as far as the agent says
        self.handed = False
        self.folder.mkdir()
        cert, key = authority.issue(name, f'IP:{self.address}')
        for source, target in ((cert, 'tls.crt'), (key, 'tls.key'), (authority.ca, 'ca.crt')):
            shutil.copy(source, self.folder / target)
            give(self.folder / target, 'redis')
        (self.folder / 'users.acl').write_text(
            'user default off\n'
            f'user {BACKEND["user"]} on >{BACKEND["password"]} ~* &* +@all -psync -sync -shutdown\n'
            f'user {GATE} on >{BACKEND["password"]} +ping +wait +command\n'
            'user admin on >admin ~* &* +@all\n')
        (self.folder / 'redis.conf').write_text(
            f'bind {self.address}\nport 0\ntls-port 6379\ntls-cert-file tls.crt\ntls-key-file tls.key\n'
            f'tls-ca-cert-file ca.crt\ntls-auth-clients yes\ntls-replication yes\naclfile users.acl\n'
            f'masteruser admin\nmasterauth admin\nsave ""\nrepl-diskless-sync-delay 0\ndir {self.folder}\n')
        for path in (self.folder, self.folder / 'users.acl', self.folder / 'redis.conf'):
            give(path, 'redis')

    def start(self):
        self.process = subprocess.Popen(['redis-server', 'redis.conf'], stdout=subprocess.DEVNULL,
                                        cwd=self.folder, **as_account('redis'))
        wait_port(self.address, 6379, self.process)

    def stop(self, signal_number=15):
        if self.process is not None:
            stop(self.process, signal_number)

    def admin(self):
        return redis.Redis(self.address, 6379, username='admin', password='admin', ssl=True,
                           ssl_ca_certs=str(self.folder / 'ca.crt'), ssl_certfile=str(self.folder / 'tls.crt'),
                           ssl_keyfile=str(self.folder / 'tls.key'), decode_responses=True)

    def config(self, role='primary'):
        return {'id': self.name, 'address': self.address, 'port': 6379, 'role': role, 'available': self.available,
                'handed': self.handed}


class Group:
    """A front and its nodes."""

    def __init__(self, weir, folder, count, tls=True, tokens=(TOKEN,)):
        self.folder = folder
        self.authority = Authority(folder)
        self.tls = tls
        self.tokens = list(tokens)
        self.addresses = {'primary': own_address(), 'reader': own_address()}
        self.nodes = [Node(self.authority, folder, f'node-{i}') for i in range(count)]
        self.primary = self.nodes[0]
        self.rules = ['127.0.0.0/8']
        self.more = {}
        cert, key = self.authority.issue('front', ','.join(f'IP:{a}' for a in self.addresses.values()))
        self.cert, self.key = cert.read_text(), key.read_text()
        client_cert, client_key = self.authority.issue('weir_front', 'DNS:weir_front')
        self.backend = {**BACKEND, 'ca_pem': self.authority.ca.read_text(),
                        'cert_pem': client_cert.read_text(), 'key_pem': client_key.read_text()}
        self.front = PlaneProcess(weir, 'front', folder / 'run')

    def start(self):
        for node in self.nodes:
            node.start()
        self.follow()
        self.configure()

    def follow(self):
        """Makes every other node a replica of the primary, and waits until they are."""
        self.primary.admin().replicaof('NO', 'ONE')
        others = [node for node in self.nodes if node is not self.primary and node.process.poll() is None]
        for node in others:
            node.admin().replicaof(self.primary.address, 6379)
        for node in others:
            wait_for(lambda node=node: node.admin().info('replication')['master_link_status'] == 'up',
                     'a replica does not follow')

    def config(self):
        return {
            'kind': 'front',
            'listeners': [{'endpoint': endpoint, 'address': address, 'port': 6379, 'tls': self.tls,
                           **({'cert_pem': self.cert, 'key_pem': self.key} if self.tls else {})}
                          for endpoint, address in self.addresses.items()],
            'security_rules': [{'cidr': cidr} for cidr in self.rules],
            'auth_tokens': self.tokens,
            'nodes': [node.config('primary' if node is self.primary else 'replica') for node in self.nodes],
            'backend': self.backend,
            **self.more,
        }

    def configure(self, **more):
        self.more.update(more)
        self.front.agent.configure(self.config())

    def client(self, endpoint='primary', **options):
        if self.tls:
            options = {'ssl': True, 'ssl_ca_certs': str(self.authority.ca), **options}
        if self.tokens:
            options = {'password': TOKEN, **options}
        return redis.Redis(self.addresses[endpoint], 6379, decode_responses=True, socket_timeout=PATIENCE_S,
                           **options)

    def raw(self, endpoint='primary'):
        """A socket, for what no client library sends."""
        plain = socket.create_connection((self.addresses[endpoint], 6379), PATIENCE_S)
        if not self.tls:
            return plain
        context = ssl.create_default_context(cafile=str(self.authority.ca))
        return context.wrap_socket(plain, server_hostname=self.addresses[endpoint])

    def blocked(self):
        """A client that waits in BLPOP on the primary."""
        peer = self.raw()
        assert talk(peer, f'AUTH {TOKEN}\r\nBLPOP queue 0\r\n', '+OK\r\n') == '+OK\r\n'
        wait_for(lambda: int(self.primary.admin().info('clients')['blocked_clients']) == 1, 'nobody blocks')
        return peer

    def close(self):
        code = self.front.close()
        for node in self.nodes:
            node.stop(9)
        return code


@contextlib.contextmanager
def group_of(weir, count, **options):
    with account_folder('redis') as folder:
        folder.chmod(0o711)
        group = Group(weir, folder, count, **options)
        try:
            group.start()
            yield group
        finally:
            code = group.close()
        assert code == 0


def talk(peer, text, until=None):
    """Sends, and reads until a text has come (or the peer has closed)."""
    peer.sendall(text.encode())
    return hear(peer, until)


def hear(peer, until=None):
    got = b''
    while until is None or until.encode() not in got:
        piece = peer.recv(65536)
        if not piece:
            break
        got += piece
    return got.decode()
