"""What a client of libpq's asynchronous functions can take: it reads once for each time that its socket is readable, into
a buffer with room for 8 KB at least. What is left of a longer TLS record lies in OpenSSL, and select() knows nothing of it."""
import contextlib
import signal
import socket
import threading
import time

import pytest

from support.engines import own_address
from support.pool import PORT, authority, postgres, proxy  # noqa: F401

pytestmark = pytest.mark.timeout(60)
RECORD_MOST = 8192 + 256  # with what encryption adds (RFC 8446, 5.2)
HEADER = 5
SIZES = range(2, 13)
ROW = 6000
STANDS_S = 0.3


class Tap:
    """Passes one connection on, and knows how long the TLS records are that come from the server."""

    def __init__(self, to):
        self.to, self.lengths, self.rest = to, [], b''
        self.listener = socket.create_server((own_address(), 0))
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        near, _ = self.listener.accept()
        far = socket.create_connection((self.to, PORT))
        threading.Thread(target=self._pass, args=(near, far, lambda data: None), daemon=True).start()
        self._pass(far, near, self._count)

    @staticmethod
    def _pass(source, target, look):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                look(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def _count(self, data):
        self.rest += data
        if not self.lengths:
            assert self.rest[:1] == b'S', self.rest  # the answer to SSLRequest
            self.rest = self.rest[1:]
            self.lengths.append(0)
        while len(self.rest) >= HEADER and len(self.rest) >= (end := HEADER + int.from_bytes(self.rest[3:5], 'big')):
            self.lengths.append(end - HEADER)
            self.rest = self.rest[end:]


def rows(connection, count):
    return connection.execute(f"SELECT repeat('x', {ROW}) FROM generate_series(1, {count})").fetchall()


def test_no_record_is_longer_than_a_client_has_room(proxy):  # noqa: F811
    """Not even where all of an answer comes in one turn."""
    proxy.configure()
    tap = Tap(proxy.address)
    host, port = tap.listener.getsockname()
    with proxy.connect(hostaddr=host, port=port) as connection:
        for count in SIZES:
            assert len(rows(connection, count)) == count
        assert connection.execute("SELECT repeat('x', 1000000)").fetchone()
    assert len(tap.lengths) > 100 and max(tap.lengths) > 4096
    assert max(tap.lengths) <= RECORD_MOST


def test_a_client_that_reads_once(proxy):  # noqa: F811
    """The proxy stands still while PostgreSQL answers, and has all of it at once."""
    proxy.configure()
    with proxy.connect() as connection:
        for count in SIZES:
            timers = [threading.Timer(STANDS_S / 3, proxy.plane.process.send_signal, (signal.SIGSTOP,)),
                      threading.Timer(STANDS_S * 2, proxy.plane.process.send_signal, (signal.SIGCONT,))]
            for timer in timers:
                timer.start()
            begun = time.monotonic()
            answer = connection.execute(f"SELECT repeat('x', {ROW}), pg_sleep(CASE WHEN n = 1 THEN {STANDS_S} END)"
                                        f" FROM generate_series(1, {count}) n").fetchall()
            assert len(answer) == count and time.monotonic() - begun > STANDS_S
            for timer in timers:
                timer.join()
