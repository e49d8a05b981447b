"""Writers that know what they were told: each row is tried once, and at the end every acknowledged one is there."""
import contextlib
import threading
import time

import psycopg

PAUSE_S = 0.02  # behind an error, before the next try


class Ledger:
    """Some threads that insert rows of their own, one after the other, each in a commit of its own, through
    connections that connect() makes. A row is never tried again, so nothing may be there twice."""

    def __init__(self, connect, writers=6):
        self.connect = connect
        self.acknowledged = set()
        self.attempted = set()
        self.errors = []  # (when, SQLSTATE or None, text)
        self.times = []   # of acknowledgements
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,), daemon=True)
                         for number in range(writers)]
        with self.connect() as connection:
            connection.execute('DROP TABLE IF EXISTS ledger')
            connection.execute('CREATE TABLE ledger (writer int, number int, PRIMARY KEY (writer, number))')

    def _write(self, writer):
        connection = None
        number = 0
        while not self._end.is_set():
            row = (writer, number)
            try:
                if connection is None or connection.closed:
                    connection = self.connect()
                self.attempted.add(row)
                number += 1
                connection.execute('INSERT INTO ledger VALUES (%s, %s)', row)
                with self._lock:
                    self.acknowledged.add(row)
                    self.times.append(time.monotonic())
            except psycopg.Error as error:
                with self._lock:
                    self.errors.append((time.monotonic(), getattr(error, 'sqlstate', None), str(error)))
                if connection is not None and connection.info.transaction_status != 0:
                    with contextlib.suppress(psycopg.Error):
                        connection.close()
                time.sleep(PAUSE_S)
        if connection is not None:
            connection.close()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.wait_for(len(self._threads) * 5)
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._end.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), 'a writer hangs'

    def wait_for(self, more, timeout_s=120):
        """Until so many more rows are acknowledged."""
        before = len(self.times)
        deadline = time.monotonic() + timeout_s
        while len(self.times) < before + more:
            assert time.monotonic() < deadline, f'no more rows after {timeout_s} s; errors: {self.errors[-3:]}'
            time.sleep(0.01)

    def gap_s(self, since):
        """The longest time without an acknowledgement that ended after `since`."""
        times = sorted(self.times)
        return max((b - a for a, b in zip(times, times[1:]) if b >= since), default=0)

    def check(self, rows):
        """`rows` is what is there: nothing that was acknowledged is missing, nothing is there that nobody tried."""
        found = set(rows)
        assert len(found) == len(rows), 'a row is there twice'
        lost = self.acknowledged - found
        assert not lost, f'{len(lost)} acknowledged rows are lost, as {sorted(lost)[:5]}'
        assert not found - self.attempted, 'a row is there that nobody tried'
