"""A proxy takes the place of another at the same sockets, under clients that do not pause (docs/upgrade.md)."""
import contextlib
import os
import signal
import socket
import struct
import subprocess
import time

import psycopg
import pytest

from support.alone import PASSWORD, PORT, authority, server
from support.engines import own_address
from support.inside import is_alive
from support.rolling import Load, Watch, gone, proxy
from support.watch import wait_until
from support.wire import CANCEL, Wire, query

pytestmark = pytest.mark.timeout(180)

# ---- nobody notices -------------------------------------------------------------------------------

@pytest.mark.parametrize('tls', [False, True])
def test_ten_in_a_row(proxy, server, tls):
    if tls:
        proxy.tls()
    proxy.pool['target']['max_connections'] = 5
    proxy.pool['connection_borrow_timeout_s'] = 20
    proxy.start()
    options = {'sslmode': 'verify-full', 'sslrootcert': str(server.authority.ca)} if tls else {}
    with Watch(server) as watch, Load(proxy, **options) as load, proxy.connect(**options) as long:
        with long.transaction():
            pid = long.execute('SELECT pg_backend_pid()').fetchone()
            for _ in range(10):
                proxy.upgrade()
                time.sleep(0.3)
                assert long.execute('SELECT pg_backend_pid()').fetchone() == pid
        assert long.execute('SELECT 1').fetchone() == (1,)
    assert not load.failures
    assert load.connects > 100 and load.queries > 200
    assert watch.looks > 100 and watch.most <= 5
    for old in proxy.processes[:-1]:
        gone(old)
        assert old.returncode == 0


def test_pgbench_goes_on(proxy, server):
    proxy.pool['target']['max_connections'] = 6
    proxy.pool['connection_borrow_timeout_s'] = 20
    proxy.start()
    environment = {**os.environ, 'PGPASSWORD': PASSWORD}
    folder = proxy.folder
    # A thread for each client: one that waits must not keep those from going on that have a connection.
    (folder / 'one.sql').write_text('BEGIN;\nSELECT 1;\nSELECT pg_sleep(0.002);\nCOMMIT;\n')
    runs = [subprocess.Popen(['pgbench', '-n', '-h', proxy.address, '-U', 'ann', '-c', '4', '-j', '4', '-T', '8',
                              '-M', mode, '-f', folder / 'one.sql', *more, 'app'], env=environment, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
            for mode, more in (('extended', ['-C']), ('prepared', []))]
    with Watch(server) as watch:
        for _ in range(10):
            proxy.upgrade()
            time.sleep(0.3)
        outputs = [run.communicate(timeout=60)[0] for run in runs]
    for run, output in zip(runs, outputs):
        assert run.returncode == 0, output
        assert 'number of failed transactions: 0' in output and 'ERROR' not in output, output
    assert watch.most <= 6


# ---- by a signal ----------------------------------------------------------------------------------

def test_sigusr2_starts_the_successor(proxy, tmp_path):
    """What stands at the path by then; a service manager hears of it."""
    real, path = proxy.weir, tmp_path / 'weir'
    path.symlink_to(real)
    proxy.weir = path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / 'notify'))
        told.settimeout(20)
        proxy.environment = {'NOTIFY_SOCKET': str(tmp_path / 'notify')}
        proxy.start()
        assert told.recv(100) == b'READY=1'
        path.unlink()
        path.write_text(f'#!/bin/sh\necho "a new one" >&2\nexec {real} "$@"\n')
        path.chmod(0o755)
        with proxy.connect() as client:
            proxy.process.send_signal(signal.SIGUSR2)
            proxy.await_line('a new one')
            proxy.await_line('is leaving: another process accepts, 1 clients stay')
            lines = {told.recv(100), told.recv(100)}
            assert b'READY=1' in lines
            successor = int((lines - {b'READY=1'}).pop().removeprefix(b'MAINPID='))
            assert client.execute('SELECT 1').fetchone() == (1,)
            assert proxy.ask('SELECT 1') == (1,)
    gone(proxy.process)
    os.kill(successor, signal.SIGTERM)
    wait_until(lambda: not is_alive(successor), 'the successor ends', 20)


def test_there_is_nobody_to_take_over_from(proxy):
    proxy.start('--take-over')
    assert proxy.ask('SELECT 1') == (1,)


def test_without_take_over_the_address_is_in_use(proxy):
    proxy.start()
    second = proxy.launch()
    assert second.wait(20) == 1
    second.ear.join(5)
    assert '--take-over' in second.log[-1], second.log
    assert proxy.ask('SELECT 1') == (1,)
    proxy.processes.remove(second)


# ---- cancelling -----------------------------------------------------------------------------------

def wire(proxy):
    return Wire(proxy.address, PORT, 'ann', PASSWORD, 'app')


@contextlib.contextmanager
def to_be_cancelled(connection):
    """A query that runs; at the end it must have been cancelled, and soon."""
    connection.send(query('SELECT pg_sleep(20)'))
    time.sleep(0.3)
    began = time.monotonic()
    yield
    answer = connection.until('CommandComplete')
    assert answer[0] == 'ErrorResponse' and dict(answer[1])['code'] == '57014', answer
    assert time.monotonic() - began < 10
    connection.settle()
    assert connection.rows('SELECT 1') == [('1',)]


def test_a_cancel_finds_its_process(proxy):
    proxy.start()
    with wire(proxy) as first:
        with to_be_cancelled(first):
            proxy.upgrade()
            first.cancel()  # comes to the new process, and goes to the old one
        with wire(proxy) as second:
            with to_be_cancelled(second):
                proxy.upgrade()
                second.cancel()
            with to_be_cancelled(first):  # two generations back
                first.cancel()
            with wire(proxy) as third, to_be_cancelled(third):
                third.cancel()


@pytest.mark.parametrize('upgrades', [1, 2])
def test_a_cancel_that_came_to_the_old_process(proxy, upgrades):
    """It was accepted before its client's process was there: it goes to the process that serves, and from there on
    where that has left, too."""
    proxy.start()
    with socket.create_connection((proxy.address, PORT), 10) as early:
        early.settimeout(20)
        early.sendall(b'\0\0\0')
        time.sleep(0.3)
        proxy.upgrade()
        with wire(proxy) as client, to_be_cancelled(client):
            for _ in range(upgrades - 1):
                proxy.upgrade()
            early.sendall(struct.pack('!BI', 16, CANCEL) + client.key)
            assert early.recv(1) == b''


def test_a_wrong_key_cancels_nothing(proxy):
    proxy.start()
    with wire(proxy) as client:
        proxy.upgrade()
        right, client.key = client.key, client.key[:4] + bytes(byte ^ 1 for byte in client.key[4:])
        client.send(query('SELECT pg_sleep(1)'))
        time.sleep(0.2)
        client.cancel()
        client.settle()
        assert client.rows('SELECT 1') == [('1',)]
        client.key = right


# ---- the configuration, the end -------------------------------------------------------------------

def test_who_leaves_follows_the_configuration(proxy, server):
    """A target that changes is a new one for everybody."""
    proxy.start()
    with proxy.connect() as old:
        old.execute('SELECT 1')
        proxy.upgrade()
        proxy.pool['init_query'] = "SET application_name = 'changed'"
        proxy.reload('is in force')
        wait_until(lambda: old.execute('SHOW application_name').fetchone() == ('changed',), 'the change is there', 20)


def test_the_drain_has_an_end(proxy):
    proxy.config['upgrade_drain_s'] = 2
    proxy.start()
    with proxy.connect() as idle, proxy.connect() as busy:
        busy.execute('BEGIN')
        old = proxy.upgrade()
        assert idle.execute('SELECT 1').fetchone() == (1,)
        time.sleep(2.3)
        with pytest.raises(psycopg.OperationalError, match='administrator command'):
            idle.execute('SELECT 1')
        assert busy.execute('SELECT 1').fetchone() == (1,)
        busy.execute('COMMIT')  # transactions may end
        gone(old)
        assert old.returncode == 0
    assert proxy.ask('SELECT 1') == (1,)


def test_a_stop_is_for_all(proxy):
    proxy.start()
    with proxy.connect() as idle:
        old = proxy.upgrade()
        proxy.process.send_signal(signal.SIGTERM)
        gone(proxy.process)
        with pytest.raises(psycopg.OperationalError, match='administrator command'):
            idle.execute('SELECT 1')
        gone(old)
    with pytest.raises(OSError):
        socket.create_connection((proxy.address, PORT), 1)


def test_one_socket_less_and_one_more(proxy):
    other = own_address()
    proxy.start()
    with proxy.connect() as old:
        proxy.config['listeners'].append({'address': other, 'port': PORT})
        proxy.upgrade()
        assert proxy.ask('SELECT 1', host=other) == (1,)
        proxy.config['listeners'].pop(0)
        before, proxy.address = proxy.address, other
        proxy.reload('is in force')
        with pytest.raises(OSError):  # the old process does not keep it open either
            wait_until(lambda: socket.create_connection((before, PORT), 1).close(), 'it is closed', 5)
        assert old.execute('SELECT 1').fetchone() == (1,)
