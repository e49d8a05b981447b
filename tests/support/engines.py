"""Plain PostgreSQL and Redis with TLS, without Weir: what tests compare with, and stand on."""
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path


def own_address():
    """A loopback address that nobody else is likely to use; tiers take theirs from the low end."""
    return '127.{}.{}.{}'.format(random.randrange(210, 255), random.randrange(256), random.randrange(1, 255))


@contextmanager
def account_folder(account):
    """A folder that belongs to the account, if we are root."""
    folder = Path(tempfile.mkdtemp(prefix='weir-test-'))
    try:
        if os.geteuid() == 0:
            user = pwd.getpwnam(account)
            os.chown(folder, user.pw_uid, user.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def give(path, account):
    if os.geteuid() == 0:
        user = pwd.getpwnam(account)
        os.chown(path, user.pw_uid, user.pw_gid)


def as_account(account):
    """Popen's arguments to run as the account, if we are root."""
    if os.geteuid() != 0:
        return {}
    return {'user': account, 'group': account, 'extra_groups': []}


def wait_port(address, port, process, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        assert process.poll() is None, 'the engine ended'
        try:
            socket.create_connection((address, port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(f'nobody listens on {address}:{port}')


def stop(process, signal_number):
    if process.poll() is None:
        process.send_signal(signal_number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def postgres_bin():
    """The newest PostgreSQL that Debian installed."""
    return max(Path('/usr/lib/postgresql').glob('*/bin'), key=lambda path: int(path.parent.name))


@contextmanager
def postgres(authority, address, port, user, password, database, kind='hostssl'):
    """A server on address:port with TLS only (`kind` host: with and without) and SCRAM; yields its process."""
    with account_folder('postgres') as folder:
        account = as_account('postgres')
        data = folder / 'data'
        secret = folder / 'password'
        secret.write_text(password)
        give(secret, 'postgres')
        quiet = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.STDOUT, 'cwd': folder, **account}
        subprocess.run([postgres_bin() / 'initdb', '-D', data, '-U', user, '-A', 'scram-sha-256', '-E', 'UTF8',
                        '--no-locale', '-N', f'--pwfile={secret}'], check=True, **quiet)
        cert, key = authority.issue(f'postgres-{port}', f'IP:{address}')
        for source, name in ((cert, 'server.crt'), (key, 'server.key')):
            shutil.copy(source, data / name)
            (data / name).chmod(0o600)
            give(data / name, 'postgres')
        (data / 'pg_hba.conf').write_text('local all all trust\n%s all all all scram-sha-256\n' % kind)
        with subprocess.Popen(
                [postgres_bin() / 'postgres', '-D', data, '-h', address, '-p', str(port), '-k', folder, '-c', 'ssl=on',
                 '-c', 'shared_buffers=16MB', '-c', 'fsync=off', '-c', 'log_min_messages=fatal'], **quiet) as process:
            try:
                wait_port(address, port, process)
                subprocess.run(['createdb', '-h', folder, '-p', str(port), '-U', user, database], check=True, **quiet)
                yield process
            finally:
                stop(process, 2)


@contextmanager
def redis(authority, address, port, password):
    """A server on address:port with TLS only and a password; yields its process."""
    with account_folder('redis') as folder:
        cert, key = authority.issue(f'redis-{port}', f'IP:{address}')
        for source, name in ((cert, 'tls.crt'), (key, 'tls.key'), (authority.ca, 'ca.crt')):
            shutil.copy(source, folder / name)
            give(folder / name, 'redis')
        config = folder / 'redis.conf'
        config.write_text(f'bind {address}\nport 0\ntls-port {port}\ntls-cert-file {folder}/tls.crt\n'
                          f'tls-key-file {folder}/tls.key\ntls-ca-cert-file {folder}/ca.crt\ntls-auth-clients no\n'
                          f'requirepass {password}\nsave ""\ndir {folder}\n')
        give(config, 'redis')
        with subprocess.Popen(['redis-server', config], stdout=subprocess.DEVNULL, cwd=folder,
                              **as_account('redis')) as process:
            try:
                wait_port(address, port, process)
                yield process
            finally:
                stop(process, 15)
