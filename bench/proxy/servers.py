"""What stands behind the proxies: nullpg, which costs nothing, and PostgreSQL; and who may log in."""
import base64
import hashlib
import hmac
import signal
import subprocess
from pathlib import Path

from process import ACCOUNT, as_account, write

USER = DATABASE = PASSWORD = 'bench'
SCALE = 10  # of pgbench: a million rows
WIDE_BYTES = 16384
SOCKET_PORT = 5432


def scram_verifier(password, salt=b'weir bench salt!', iterations=4096):
    """What PostgreSQL keeps of a password."""
    salted = hashlib.pbkdf2_hmac('sha256', password.encode(), salt, iterations)

    def key(name):
        return hmac.digest(salted, name, 'sha256')

    stored = hashlib.sha256(key(b'Client Key')).digest()
    salt, stored, server = (base64.b64encode(part).decode() for part in (salt, stored, key(b'Server Key')))
    return f'SCRAM-SHA-256${iterations}:{salt}${stored}:{server}'


class Certificate:
    """One for all who listen: P-256, self-signed."""

    def __init__(self, place):
        folder = place.room('certificate')
        folder.chmod(0o755)
        self.cert, self.key = folder / 'cert.pem', folder / 'key.pem'
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                        '-days', '2', '-subj', '/CN=bench', '-keyout', self.key, '-out', self.cert], check=True,
                       capture_output=True)
        self.key.chmod(0o600)

    def copy(self, folder, account=None):
        """A copy that the account may use: PostgreSQL and others want the key to be theirs."""
        return (write(folder / 'cert.pem', self.cert.read_text(), account),
                write(folder / 'key.pem', self.key.read_text(), account, 0o600))


class Server:
    """Where a proxy's connections go: by TCP, and by a Unix socket in `socket_dir`."""

    def __init__(self, name, process, address, port, socket_dir, socket_port):
        self.name = name
        self.process = process
        self.address = address
        self.port = port
        self.socket_dir = socket_dir
        self.socket_port = socket_port


def start_nullpg(place, tools, name, row_bytes):
    folder = place.room(name)
    folder.chmod(0o755)
    port = next(place.ports)
    path = folder / f'.s.PGSQL.{SOCKET_PORT}'
    process = place.start([tools / 'nullpg', '-a', place.address, '-p', port, '-u', path, '-r', row_bytes], folder, port)
    path.chmod(0o777)
    return Server(name, process, place.address, port, folder, SOCKET_PORT)


def postgres_bin():
    """The newest PostgreSQL that Debian installed."""
    return max(Path('/usr/lib/postgresql').glob('*/bin'), key=lambda path: int(path.parent.name))


def start_postgres(place, certificate):
    """With the tables of pgbench; durable it need not be."""
    folder = place.room('postgres', ACCOUNT)
    folder.chmod(0o755)
    data, port = folder / 'data', next(place.ports)
    initdb = [postgres_bin() / 'initdb', '-D', data, '-U', USER, '-A', 'trust', '-E', 'UTF8', '--no-locale', '-N']
    subprocess.run(['setpriv', *as_account(ACCOUNT), '--', *initdb], check=True, capture_output=True, cwd=folder)
    certificate.copy(data, ACCOUNT)
    write(data / 'pg_hba.conf', 'local postgres all trust\nlocal all all scram-sha-256\nhost all all all scram-sha-256\n',
          ACCOUNT)
    settings = ['listen_addresses=' + place.address, f'port={port}', 'max_connections=400', 'shared_buffers=256MB',
                'fsync=off', 'synchronous_commit=off', 'full_page_writes=off', 'autovacuum=off', 'ssl=on',
                'ssl_cert_file=cert.pem', 'ssl_key_file=key.pem', f'unix_socket_directories={folder}']
    command = [postgres_bin() / 'postgres', '-D', data, *(word for text in settings for word in ('-c', text))]
    process = place.start(command, folder, port, account=ACCOUNT, end=signal.SIGINT)
    admin = ['psql', '-XqAt', '-h', folder, '-p', str(port), '-U', USER, '-d', 'postgres']
    subprocess.run([*admin, '-c', f"ALTER ROLE {USER} PASSWORD '{scram_verifier(PASSWORD)}'",
                    '-c', f'CREATE DATABASE {DATABASE}'], check=True, capture_output=True)
    server = Server('postgres', process, place.address, port, folder, port)
    subprocess.run([postgres_bin() / 'pgbench', '-i', '-q', '-s', str(SCALE), conninfo(place.address, port)], check=True,
                   capture_output=True)
    return server


def conninfo(address, port, tls=False):
    return (f'host={address} port={port} user={USER} password={PASSWORD} dbname={DATABASE} gssencmode=disable '
            f'sslmode={"require" if tls else "disable"} connect_timeout=20')
