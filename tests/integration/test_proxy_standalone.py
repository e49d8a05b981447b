"""`weir proxy --config FILE`: the pooler alone, between psycopg, psql and a PostgreSQL reached by TCP."""
import contextlib
import ipaddress
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import psycopg
import pytest

from support.alone import PASSWORD, PORT, authority, proxy, server
from support.certs import Authority
from support.engines import own_address

pytestmark = pytest.mark.timeout(120)


def over_tls(proxy, **more):
    """Whether the server connection behind a client is encrypted."""
    return proxy.ask('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()', **more)[0]


# ---- the target ---------------------------------------------------------------------------------

def test_plain_tcp(proxy, server):
    proxy.start()
    assert proxy.ask('SELECT current_user, current_database()') == ('ann', 'app')
    assert not over_tls(proxy)
    pids = {proxy.ask('SELECT pg_backend_pid()')[0] for _ in range(5)}
    # One of each worker; and another while one of them, of all, asks what the database hides.
    assert len(pids) <= 3, 'clients that come one after the other share connections'
    done = subprocess.run(['psql', '-XAtqc', 'SELECT 40 + 2', f'host={proxy.address} user=ann dbname=app'],
                          env={**os.environ, 'PGPASSWORD': PASSWORD}, capture_output=True, text=True, timeout=20,
                          check=True)
    assert done.stdout == '42\n'
    proxy.await_line('the target is available')


def test_host_name(proxy, server):
    """A name goes to the resolver: this one is the address in a form that only the resolver reads."""
    number = int(ipaddress.ip_address(server.address))
    proxy.pool['target']['host'] = f'127.{number & 0xffffff}'
    proxy.start()
    assert proxy.ask('SELECT 1') == (1,)


@pytest.mark.parametrize('mode', ['require', 'verify-ca', 'verify-full'])
def test_tls_to_the_server(proxy, server, mode):
    trusted = {} if mode == 'require' else {'ca_file': str(server.authority.ca)}
    proxy.pool['target'] = server.target(tls=mode, **trusted)
    proxy.start()
    assert over_tls(proxy)
    with proxy.connect() as connection:
        cancelled = threading.Timer(0.3, connection.cancel)
        cancelled.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute('SELECT pg_sleep(30)')
        cancelled.join()
        assert connection.execute('SELECT 1').fetchone() == (1,)


def test_impostors_are_not_spoken_to(proxy, server, tmp_path):
    other = Authority(tmp_path)
    proxy.pool['connection_borrow_timeout_s'] = 1
    proxy.pool['target'] = server.target(tls='verify-ca', ca_file=str(other.ca))
    proxy.start()
    with pytest.raises(psycopg.OperationalError, match='certificate'):
        proxy.connect()
    proxy.await_line('the target is not available: UNREACHABLE: .*certificate')
    number = int(ipaddress.ip_address(server.address))
    proxy.pool['target'] = server.target(tls='verify-full', ca_file=str(server.authority.ca))
    proxy.pool['target']['host'] = f'127.{number & 0xffffff}'  # not what the certificate says
    proxy.reload('is in force')
    with pytest.raises(psycopg.OperationalError, match='certificate'):
        proxy.connect()
    proxy.pool['target']['tls'] = 'verify-ca'
    proxy.reload('is in force')
    assert over_tls(proxy)


def test_server_without_tls(proxy):
    address = own_address()
    with socket.create_server((address, PORT)) as listener:
        def answer():
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    with peer:
                        peer.recv(8)
                        peer.sendall(b'N')
                        peer.recv(1)
        threading.Thread(target=answer, daemon=True).start()
        proxy.pool['connection_borrow_timeout_s'] = 1
        proxy.pool['target'].update(host=address, tls='require')
        proxy.start()
        with pytest.raises(psycopg.OperationalError, match='PostgreSQL does not offer TLS'):
            proxy.connect()
        proxy.stop()
        listener.shutdown(socket.SHUT_RDWR)


def test_password_in_clear_text_is_not_sent(proxy):
    address = own_address()
    heard = []
    with socket.create_server((address, PORT)) as listener:
        def ask():
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    with peer:
                        peer.recv(1000)
                        peer.sendall(b'R\0\0\0\x08\0\0\0\x03')
                        heard.append(peer.recv(1000))
        threading.Thread(target=ask, daemon=True).start()
        proxy.pool['target'].update(host=address)
        proxy.start()
        with pytest.raises(psycopg.OperationalError, match='clear text, without TLS'):
            proxy.connect()
        proxy.stop()
        listener.shutdown(socket.SHUT_RDWR)
    assert not any(PASSWORD.encode() in words for words in heard)


def test_relay(proxy, server):
    """One server connection per client, and the server's own authentication."""
    target = server.target()
    proxy.config.update(kind='relay', relay={'target': target})
    del proxy.config['pool']
    proxy.start()
    assert proxy.ask('SELECT current_user') == ('ann',)
    with pytest.raises(psycopg.OperationalError, match='password authentication failed for user "ann"'):
        proxy.connect(password='wrong')


# ---- users --------------------------------------------------------------------------------------

def test_password_file(proxy):
    proxy.pool['users'] = [{'user': 'ann', 'password_file': proxy.file('ann', PASSWORD + '\n')}]
    proxy.start()
    assert proxy.ask('SELECT 1') == (1,)
    with pytest.raises(psycopg.OperationalError, match='The password that was provided for the role ann is wrong'):
        proxy.connect(password='wrong')


def test_verifier_alone(proxy, server):
    """What clients prove to the verifier logs in at the server that has the same one: no password is kept."""
    verifier = server.ask("SELECT rolpassword FROM pg_authid WHERE rolname = 'ann'")[0]
    proxy.pool['users'] = [{'user': 'ann', 'verifier': verifier}]
    proxy.start()
    assert proxy.ask('SELECT current_user') == ('ann',)
    with pytest.raises(psycopg.OperationalError, match='The password that was provided for the role ann is wrong'):
        proxy.connect(password='wrong')
    proxy.await_line('the target is available')


def test_verifier_with_another_password(proxy, server):
    """Clients have a password of the proxy's own."""
    with psycopg.connect(**server.settings(), autocommit=True) as admin:
        admin.execute("CREATE ROLE mirror PASSWORD 'of the proxy'")
        verifier = admin.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'mirror'").fetchone()[0]
        admin.execute('DROP ROLE mirror')
    proxy.pool['users'] = [{'user': 'ann', 'verifier': verifier, 'password': PASSWORD}]
    proxy.start()
    assert proxy.ask('SELECT current_user', password='of the proxy') == ('ann',)
    with pytest.raises(psycopg.OperationalError, match='The password that was provided'):
        proxy.connect()


# ---- the file -----------------------------------------------------------------------------------

def refused(proxy, code=2):
    done = proxy.check()
    assert (done.returncode, done.stdout) == (code, '')
    assert PASSWORD not in done.stderr
    return done.stderr


def test_check(proxy, run, weir):
    done = proxy.check()
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.endswith('proxy.json is in order\n')
    proxy.config['wat'] = 1
    assert 'proxy.wat is not known here' in refused(proxy)
    del proxy.config['wat']
    proxy.pool['target']['host'] = 'no-such-host.invalid'
    assert 'resolving "no-such-host.invalid"' in refused(proxy, 1)
    done = run(weir, 'proxy', '--check', '--config', '/nowhere/proxy.json')
    assert (done.returncode, done.stderr) == (3, 'weir proxy: cannot read /nowhere/proxy.json: '
                                                 'No such file or directory\n')


def test_broken_json_shows_no_secret(proxy, run, weir):
    path = proxy.file('broken.json', '{\n  "pool": {"users": [{"password": "s3cret\n')
    done = run(weir, 'proxy', '--check', '--config', path)
    assert done.returncode == 2
    assert 'broken.json:2:' in done.stderr and 's3cret' not in done.stderr


def test_who_may_read(proxy, server, run, weir):
    """Secrets lie in files that not everybody reads; a file without any may be read by all."""
    for mode in (0o644, 0o604):
        done = run(weir, 'proxy', '--config', proxy.write(mode))
        assert done.returncode == 2
        assert f'chmod o= {proxy.path}' in done.stderr
    password = proxy.file('ann', PASSWORD)
    proxy.pool['users'] = [{'user': 'ann', 'password_file': password}]
    assert run(weir, 'proxy', '--check', '--config', proxy.write(0o644)).returncode == 0
    proxy.file('ann', PASSWORD, 0o644)
    assert f'chmod o= {password}' in refused(proxy)
    proxy.file('ann', PASSWORD)
    cert, key = server.authority.issue('modes', f'IP:{proxy.address}')
    proxy.config['listeners'][0].update(cert_file=str(cert), key_file=str(key))
    assert proxy.check().returncode == 0
    key.chmod(0o644)
    assert f'chmod o= {key}' in refused(proxy)


def test_reload(proxy, server):
    cert, key = server.authority.issue('first', f'IP:{proxy.address}')
    proxy.config['listeners'][0].update(cert_file=str(cert), key_file=str(key))
    proxy.start()
    trusted = {'sslmode': 'verify-full', 'sslrootcert': str(server.authority.ca)}
    with proxy.connect(**trusted) as stays:
        proxy.pool['users'] = []
        proxy.config['wat'] = 1
        assert 'refused, what was in force stays: ' in proxy.reload('proxy.wat is not known here')
        assert proxy.ask('SELECT 1', **trusted) == (1,)
        del proxy.config['wat']
        proxy.reload('is in force')
        with pytest.raises(psycopg.OperationalError, match='has no credentials for the role ann'):
            proxy.connect(**trusted)
        proxy.pool['users'] = [{'user': 'ann', 'password': PASSWORD}]
        proxy.config['workers'] = 3
        proxy.reload('refused, .* cannot change while the proxy runs')
        del proxy.config['workers']
        proxy.reload('is in force')
        assert stays.execute('SELECT 1').fetchone() == (1,)
    # The same path holds another certificate now.
    other = Authority(proxy.folder)
    for new, path in zip(other.issue('second', f'IP:{proxy.address}'), (cert, key)):
        path.write_text(new.read_text())
    proxy.reload('is in force')
    assert proxy.ask('SELECT 1', sslmode='verify-full', sslrootcert=str(other.ca)) == (1,)


def test_status_and_end(proxy):
    proxy.start()
    proxy.ask('SELECT 1')
    proxy.process.send_signal(signal.SIGUSR1)
    status = json.loads(proxy.await_line('"logins"').split('proxy: ', 1)[1])
    assert status['logins'] == 1 and status['targets'][0]['state'] == 'AVAILABLE'
    with proxy.connect() as busy, busy.transaction():
        busy.execute('SELECT 1')
        proxy.process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert busy.execute('SELECT 2').fetchone() == (2,), 'a transaction may end'
    assert proxy.process.wait(20) == 0


def test_address_in_use(proxy, run, weir):
    with socket.create_server((proxy.address, PORT)):
        done = run(weir, 'proxy', '--config', proxy.write())
    assert done.returncode != 0
    assert 'Address already in use' in done.stderr


def test_unix_socket(proxy, server):
    """The server's socket, too, as in a tier."""
    folder = server.ask("SELECT current_setting('unix_socket_directories')")[0]
    proxy.pool['target'] = {'socket_dir': folder, 'port': PORT}
    proxy.start()
    assert proxy.ask('SELECT inet_server_addr()') == (None,)


def test_example(proxy, server, root):
    """examples/proxy.json, with files and addresses of the test's own."""
    proxy.config = json.loads((root / 'examples/proxy.json').read_text())
    cert, key = server.authority.issue('example', f'IP:{proxy.address}')
    proxy.config['listeners'][0].update(address=proxy.address, port=PORT, cert_file=str(cert), key_file=str(key))
    proxy.pool['target'].update(host=server.address, ca_file=str(server.authority.ca))
    proxy.pool['users'][0].update(user='ann', password_file=proxy.file('password', PASSWORD))
    proxy.start()
    assert over_tls(proxy, sslmode='verify-full', sslrootcert=str(server.authority.ca))


@pytest.mark.parametrize('arguments, said', [
    ([], 'usage: weir proxy --config FILE'), (['--check'], 'usage: '), (['--wat'], "unrecognized option '--wat'"),
    (['--config', 'f', 'more'], 'usage: ')])
def test_usage(weir, run, arguments, said):
    done = run(weir, 'proxy', *arguments)
    assert (done.returncode, done.stdout) == (2, '')
    assert said in done.stderr
