"""Writers that know what they were told, with a deadline of their own for every step: what the users of a cluster see.

Each inserts rows of its own, one after the other, each in a commit of its own, and never tries a row again.
"""
import select
import threading
import time

import psycopg
from psycopg import pq

CONNECT_S = 1
STATEMENT_S = 2
PAUSE_S = 0.02   # behind an error
BETWEEN_S = 0.005
TABLE = 'failover_meter'


class Lost(Exception):
    """A step failed, or took too long."""


def wait_fd(fd, writes, deadline):
    poll = select.poll()
    poll.register(fd, select.POLLOUT if writes else select.POLLIN)
    left = deadline - time.monotonic()
    if left <= 0 or not poll.poll(left * 1000):
        raise Lost('timeout')


class Client:
    """A connection by libpq, without blocking in it."""

    def __init__(self, conninfo):
        deadline = time.monotonic() + CONNECT_S
        self.connection = pq.PGconn.connect_start(conninfo.encode())
        while True:
            state = self.connection.connect_poll()
            if state == pq.PollingStatus.OK:
                break
            if state == pq.PollingStatus.FAILED:
                raise Lost(f'connect: {self.message()}')
            wait_fd(self.connection.socket, state == pq.PollingStatus.WRITING, deadline)
        self.connection.nonblocking = 1

    def message(self):
        return self.connection.error_message.decode('utf-8', 'replace').strip()[:120]

    def close(self):
        self.connection.finish()

    def run(self, sql, deadline_s=STATEMENT_S):
        """The rows of one statement, as lists of bytes."""
        deadline = time.monotonic() + deadline_s
        rows = []
        try:
            self.connection.send_query_params(sql.encode(), None)
            while self.connection.flush():
                wait_fd(self.connection.socket, True, deadline)
            while True:
                while self.connection.is_busy():
                    wait_fd(self.connection.socket, False, deadline)
                    self.connection.consume_input()
                result = self.connection.get_result()
                if result is None:
                    return rows
                if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
                    raise Lost((result.error_field(pq.DiagnosticField.SQLSTATE) or b'lost').decode())
                rows += [[result.get_value(row, column) for column in range(result.nfields)]
                         for row in range(result.ntuples)]
        except psycopg.Error as error:
            raise Lost(self.message()) from error


def run_anywhere(conninfos, sql, patience_s=120):
    """On whichever server takes writes."""
    deadline = time.monotonic() + patience_s
    while True:
        for conninfo in conninfos:
            try:
                client = Client(conninfo)
                try:
                    if client.run('SELECT pg_is_in_recovery()') == [[b'f']]:
                        return client.run(sql, 60)
                finally:
                    client.close()
            except (Lost, psycopg.Error) as error:
                last = error
        if time.monotonic() > deadline:
            raise Lost(f'nobody takes writes: {last}')
        time.sleep(0.2)


class Writer(threading.Thread):
    def __init__(self, number, conninfos, halt):
        super().__init__(daemon=True)
        self.number = number
        self.conninfos = conninfos
        self.halt = halt
        self.tried = 0
        self.acked = []   # (when, number)
        self.errors = []  # (when, text)

    def run(self):
        client = None
        at = 0
        while not self.halt.is_set():
            try:
                if client is None:
                    client = Client(self.conninfos[at % len(self.conninfos)])
                self.tried += 1
                client.run(f'INSERT INTO {TABLE} VALUES ({self.number}, {self.tried})')
                self.acked.append((time.monotonic(), self.tried))
                self.halt.wait(BETWEEN_S)
            except (Lost, psycopg.Error) as error:
                self.errors.append((time.monotonic(), str(error)))
                if client is not None:
                    client.close()
                client = None
                at += 1
                self.halt.wait(PAUSE_S)
        if client is not None:
            client.close()


class Meter:
    """A crowd of writers on a cluster, and a fault."""

    def __init__(self, conninfos, writers=6):
        self.conninfos = conninfos
        self.halt = threading.Event()
        run_anywhere(conninfos, f'DROP TABLE IF EXISTS {TABLE}')
        run_anywhere(conninfos, f'CREATE TABLE {TABLE} (writer int, number bigint)')
        self.writers = [Writer(number, conninfos, self.halt) for number in range(writers)]

    def warm(self, seconds):
        for writer in self.writers:
            writer.start()
        time.sleep(seconds)
        if not all(writer.acked for writer in self.writers):
            raise Lost(f'no row was acknowledged before the fault: {self.writers[0].errors[-1:]}')

    def recover(self, since, settle_s=2, patience_s=180):
        """Until each writer has rows acknowledged again, and none has had an error for a while; whether it did."""
        while time.monotonic() < since + patience_s:
            now = time.monotonic()
            back = all(writer.acked[-1][0] > max(since, now - 0.7) for writer in self.writers)
            quiet = all(not writer.errors or writer.errors[-1][0] < now - settle_s for writer in self.writers)
            if back and quiet and now > since + 2 * settle_s:
                return True
            time.sleep(0.1)
        return False

    def stop(self):
        self.halt.set()
        for writer in self.writers:
            if writer.ident is not None:
                writer.join(CONNECT_S + STATEMENT_S + 5)

    def gap_s(self, since):
        """The longest time without any acknowledgement that ended after `since`."""
        times = sorted(when for writer in self.writers for when, _ in writer.acked)
        return max((b - a for a, b in zip(times, times[1:]) if b >= since), default=0)

    def lost(self):
        """(acknowledged and not there, there and never tried, there twice)"""
        rows = [(int(writer), int(number)) for writer, number in
                run_anywhere(self.conninfos, f'SELECT writer, number FROM {TABLE}')]
        there = set(rows)
        acked = {(writer.number, number) for writer in self.writers for _, number in writer.acked}
        alien = sum(1 for writer, number in there
                    if writer >= len(self.writers) or number > self.writers[writer].tried)
        return len(acked - there), alien, len(rows) - len(there)

    def errors(self):
        return sum(len(writer.errors) for writer in self.writers)
