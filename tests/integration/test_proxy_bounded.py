"""Clients that are slow, silent or many: each gets its due, the others do not notice, and nothing grows."""
import asyncio
import contextlib
import hashlib
import os
import resource
import socket
import struct
import threading
import time
from pathlib import Path

import psycopg
import pytest

from support.alone import PASSWORD, PORT, authority, proxy, server
from support.watch import is_sanitized, wait_until

pytestmark = pytest.mark.timeout(180)

STORM = 5000


def start_packet(user='ann', database='app'):
    body = struct.pack('!I', 196608) + f'user\0{user}\0database\0{database}\0\0'.encode()
    return struct.pack('!I', len(body) + 4) + body


def sockets(proxy):
    count = 0
    for fd in os.listdir(f'/proc/{proxy.process.pid}/fd'):
        with contextlib.suppress(OSError):
            count += os.readlink(f'/proc/{proxy.process.pid}/fd/{fd}').startswith('socket:')
    return count


def resident_kib(proxy):
    status = Path(f'/proc/{proxy.process.pid}/status').read_text()
    return int(status.split('VmRSS:')[1].split()[0])


@contextlib.contextmanager
def queries_go_on(proxy, slowest_s):
    """Meanwhile another client asks; its slowest answer is bounded."""
    stopping = threading.Event()
    times = []
    failures = []

    def ask():
        try:
            with proxy.connect() as connection:
                while not stopping.is_set():
                    began = time.monotonic()
                    connection.execute('SELECT 1')
                    times.append(time.monotonic() - began)
                    time.sleep(0.005)
        except Exception as error:  # pylint: disable=broad-except
            failures.append(repr(error))
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(30)
    assert not failures and len(times) > 10 and max(times) < slowest_s, (failures, len(times), max(times, default=0))


def test_a_byte_at_a_time(proxy):
    """A login and a query that come byte by byte hold nothing: one server connection serves the others."""
    proxy.pool['target']['max_connections'] = 1
    proxy.start()
    before = sockets(proxy)
    with queries_go_on(proxy, 2), contextlib.ExitStack() as stack:
        slow = []
        for _ in range(50):
            peer = stack.enter_context(socket.create_connection((proxy.address, PORT), 10))
            peer.settimeout(10)
            slow.append(peer)
        packet = start_packet()
        for byte in range(20):
            for peer in slow:
                peer.sendall(packet[byte:byte + 1])
            time.sleep(0.1)
        for peer in slow:
            peer.sendall(packet[20:])
            assert peer.recv(1) == b'R'  # it is asked for its proof
        with proxy.connect() as client:
            end = socket.socket(fileno=os.dup(client.fileno()))
            end.setblocking(True)
            text = b'SELECT 42\0'
            for byte in struct.pack('!cI', b'Q', len(text) + 4) + text[:-1]:
                end.sendall(bytes([byte]))
                assert proxy.ask('SELECT 1') == (1,)  # its query is not whole yet
            end.sendall(text[-1:])
            assert b'42' in end.recv(1000)
            end.close()
    wait_until(lambda: sockets(proxy) <= before + 1, 'all are closed', 10)


def test_a_slow_reader_of_much(proxy):
    """It is not read for: memory stays, and its server connection is its own until the result is through; when it
    leaves, the connection is free."""
    proxy.pool['target']['max_connections'] = 2
    proxy.start()
    assert proxy.ask('SELECT 1') == (1,)
    before = resident_kib(proxy)
    with proxy.connect() as reader, queries_go_on(proxy, 2):
        end = socket.socket(fileno=os.dup(reader.fileno()))
        end.setblocking(True)
        text = b"SELECT repeat('x', 100000) FROM generate_series(1, 5000)\0"  # 500 MB
        end.sendall(struct.pack('!cI', b'Q', len(text) + 4) + text)
        most = 0
        for _ in range(20):
            assert end.recv(4096)
            time.sleep(0.1)
            most = max(most, resident_kib(proxy))
        assert is_sanitized(proxy.process.pid) or most - before < 8192, f'{most - before} KiB more'
        end.close()
    wait_until(lambda: proxy.ask('SELECT 1'), 'the connection is free', 20)
    with proxy.connect() as one, proxy.connect() as two:
        with one.transaction(), two.transaction():
            assert one.execute('SELECT 1').fetchone() == two.execute('SELECT 1').fetchone()


def test_a_reader_that_takes_all_frees_its_connection(proxy):
    """What is still on its way to the client does not hold the server connection: the kernel has it."""
    proxy.pool['target']['max_connections'] = 1
    proxy.start()
    with proxy.connect() as reader:
        end = socket.socket(fileno=os.dup(reader.fileno()))
        end.setblocking(True)
        text = b"SELECT repeat('x', 100000)\0"
        end.sendall(struct.pack('!cI', b'Q', len(text) + 4) + text)
        assert proxy.ask('SELECT 1') == (1,)  # with the only server connection; nobody has read the result yet
        end.close()


async def log_in(address, gate):
    """By md5, which costs the test little; returns the SQLSTATE, or '' for a login."""
    await gate.wait()
    reader, writer = await asyncio.open_connection(address, PORT)
    try:
        writer.write(start_packet())
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(struct.unpack('!I', head[1:])[0] - 4)
            if head[:1] == b'E':
                return next(field[1:].decode() for field in body.split(b'\0') if field[:1] == b'C')
            if head[:1] == b'R' and struct.unpack('!I', body[:4])[0] == 5:
                inner = hashlib.md5(f'{PASSWORD}ann'.encode()).hexdigest().encode()
                proof = b'md5' + hashlib.md5(inner + body[4:8]).hexdigest().encode() + b'\0'
                writer.write(b'p' + struct.pack('!I', len(proof) + 4) + proof)
            if head[:1] == b'Z':
                writer.write(b'X\0\0\0\4')
                return ''
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def storm(address, count):
    gate = asyncio.Event()
    tasks = [asyncio.create_task(log_in(address, gate)) for _ in range(count)]
    await asyncio.sleep(0)
    gate.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize('max_clients', [10000, 200])
def test_a_storm_of_logins(proxy, max_clients):
    """All are served, or told clearly."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * STORM + 1000), hard))
    proxy.pool['client_password_auth'] = 'md5'
    proxy.config['max_clients'] = max_clients
    try:
        proxy.start()
        assert proxy.ask('SELECT 1') == (1,)
        before, kib = sockets(proxy), resident_kib(proxy)
        with queries_go_on(proxy, 10):
            ends = asyncio.run(storm(proxy.address, STORM))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    told = [end for end in ends if isinstance(end, str)]
    assert set(told) <= {'', '53300'}
    if max_clients > STORM:
        assert told == [''] * STORM, [end for end in ends if not isinstance(end, str)][:3]
    else:
        assert told.count('') > 0
        assert all(isinstance(end, (str, asyncio.IncompleteReadError, ConnectionError)) for end in ends)
    wait_until(lambda: sockets(proxy) <= before + 2, 'no descriptor is lost', 20)
    assert proxy.ask('SELECT 1') == (1,)
    assert resident_kib(proxy) - kib < 100 * 1024


def test_reloads_under_load(proxy):
    """Nobody notices, and nothing grows."""
    proxy.start()
    assert proxy.ask('SELECT 1') == (1,)
    before, kib = sockets(proxy), None
    with queries_go_on(proxy, 5):
        for number in range(60):
            proxy.pool['connection_borrow_timeout_s'] = 5 + number % 2
            proxy.reload('is in force')
            if number == 10:
                kib = resident_kib(proxy)
            if number % 10 == 0:
                assert proxy.ask('SELECT 1') == (1,)
    wait_until(lambda: sockets(proxy) <= before + 2, 'no descriptor is lost', 20)
    assert is_sanitized(proxy.process.pid) or resident_kib(proxy) - kib < 4096
