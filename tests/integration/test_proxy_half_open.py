"""Hosts that vanish without a word, on either side of the proxy (docs/proxy.md, "Hosts that vanish"): found out in time,
told by the right code, and nobody else is held up."""
import contextlib
import os
import select
import signal
import socket
import threading
import time

import psycopg
import pytest

from support.alone import Proxy
from support.engines import account_folder, stop
from support.hosts import Hosts, can_be
from support.pool import ANN, PORT, Postgres, wait_for
from support.watch import wait_until

WHY_NOT = can_be()
pytestmark = [pytest.mark.skipif(WHY_NOT != '', reason=WHY_NOT), pytest.mark.timeout(240)]

SILENCE_S = 5
LATEST_S = SILENCE_S + 2  # a look a second, and what the machine is late by
LIMIT_S = LATEST_S + 4


@pytest.fixture(scope='module')
def hosts():
    with Hosts('client', 'server') as made:
        yield made


@pytest.fixture(scope='module')
def postgres(hosts):
    """On its host; for the tests themselves it has a Unix socket."""
    with account_folder('postgres') as folder:
        with hosts.inside('server'):
            server = Postgres(folder, address=hosts.addresses['server'])
        with server.admin('app') as admin:
            admin.execute('CREATE TABLE t (id serial PRIMARY KEY, v text); GRANT ALL ON t, t_id_seq TO ann')
            admin.execute("INSERT INTO t VALUES (0, '')")
        yield server
        stop(server.process, signal.SIGINT)


class Target:
    def __init__(self, address):
        self.address = address

    def target(self):
        return {'host': self.address, 'port': PORT, 'max_connections': 3}


class Far(Proxy):
    """On a host of its own; clients are on another one, or beside it."""

    def __init__(self, weir, folder, hosts, postgres):
        super().__init__(weir, folder, Target(hosts.addresses['server']))
        self.hosts = hosts
        self.postgres = postgres
        self.address = hosts.addresses['proxy']
        self.config['listeners'][0]['address'] = self.address
        self.config.update(silent_client_timeout_s=SILENCE_S, silent_server_timeout_s=SILENCE_S, workers=1)
        self.pool.update(users=[ANN], connection_borrow_timeout_s=30, stats_users=['ann'])

    def start(self):
        with self.hosts.inside('proxy'):
            super().start()
        self.least = self.descriptors()
        return self

    def settings(self, **more):
        return super().settings(password=ANN['password'], connect_timeout=60, **more)

    def of(self, host, **more):
        with self.hosts.inside(host):
            return self.connect(**more)

    def descriptors(self):
        return len(os.listdir(f'/proc/{self.process.pid}/fd'))

    def count(self, what, host):
        """Of its `what` ('CLIENTS', 'SERVERS'), how many are of that host."""
        with self.of('proxy', dbname='weir') as admin:
            cursor = admin.execute(f'SHOW {what}')
            addr = [column.name for column in cursor.description].index('addr')
            return sum(row[addr] == self.hosts.addresses[host] for row in cursor)

    def sessions(self, where='true'):
        return self.postgres.ask(f"SELECT count(*) FROM pg_stat_activity WHERE usename = 'ann' AND {where}")[0][0]


@pytest.fixture(params=['epoll', 'uring'])
def proxy(request, weir, tmp_path, hosts, postgres):
    made = Far(weir, tmp_path, hosts, postgres)
    made.config['io'] = request.param
    try:
        made.start()
    except AssertionError:
        if request.param == 'uring' and any('io_uring' in line for line in made.lines):
            pytest.skip('no io_uring here')
        raise
    yield made
    for host in ('client', 'server'):
        hosts.back(host)
    assert made.process.poll() is None, made.lines
    most = made.least + 3 + 1  # what lies idle, and a look at the target
    wait_until(lambda: made.descriptors() <= most, f'{made.descriptors()} descriptors are {most} at most', LIMIT_S)
    made.stop()
    # It knows of nothing, where it was cut off; by itself it would look in two hours.
    postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ann'")
    wait_for(lambda: made.sessions() == 0, 'nothing is left at PostgreSQL')


class Neighbour:
    """A client beside the proxy, which is answered all the time."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.connection = proxy.of('proxy')
        self.slowest_s = 0
        self.count = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.stopping.wait(0.01):
            began = time.monotonic()
            self.connection.execute('SELECT 1')
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self.count += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(30)
        self.connection.close()


CODES = {'the transaction was not committed': '40001', 'the transaction may have been committed': '08007',
         'and with it the state of this session': '57P01', 'The connection to the database was lost.': '08006'}


def lost(connection, command):
    """What the client reads when its server connection is lost (libpq keeps the text of what is FATAL), and how long that
    took."""
    began = time.monotonic()
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(command)
    text = str(caught.value)
    return next((code for words, code in CODES.items() if words in text), text), time.monotonic() - began


def cut(connection):
    """Ends whatever waits for the connection, here and now."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.pgconn.socket)) as end:
        end.shutdown(socket.SHUT_RDWR)


# ---- clients --------------------------------------------------------------------------------------

def test_a_client_that_vanishes_in_a_transaction(proxy, hosts):
    with Neighbour(proxy) as neighbour:
        gone = proxy.of('client')
        gone.execute('BEGIN')
        gone.execute("UPDATE t SET v = 'never' WHERE id = 0")
        began = time.monotonic()
        with hosts.vanished('client'):
            waits = proxy.of('proxy')
            waits.execute("UPDATE t SET v = 'done' WHERE id = 0")  # for the row
            took_s = time.monotonic() - began
            assert SILENCE_S / 2 < took_s < LIMIT_S
            waits.close()
            assert proxy.count('CLIENTS', 'client') == 0
        assert proxy.sessions("starts_with(state, 'idle in transaction')") == 0
        cut(gone)
    assert neighbour.count > 20 and neighbour.slowest_s < 2, neighbour.slowest_s


def test_a_client_that_vanishes_while_it_reads(proxy, hosts):
    """Bytes are under way to it: no probe is sent, and the system would try for a quarter of an hour. Until it is found out
    PostgreSQL waits for room; then the query goes on to its end, as for any client that leaves."""
    waits = "wait_event = 'ClientWrite' AND starts_with(query, 'COPY')"
    with Neighbour(proxy) as neighbour:
        gone = proxy.of('client')
        read = threading.Event()

        def run():
            with contextlib.suppress(psycopg.Error):
                with gone.cursor().copy("COPY (SELECT repeat('x', 1000), generate_series(1, 100000000)) "
                                        "TO STDOUT") as copy:
                    for _ in copy:
                        read.set()
        thread = threading.Thread(target=run)
        thread.start()
        assert read.wait(20)
        began = time.monotonic()
        with hosts.vanished('client'):
            wait_until(lambda: proxy.count('CLIENTS', 'client') == 0, 'it is let go', LIMIT_S)
            assert time.monotonic() - began > SILENCE_S - 1
            wait_until(lambda: proxy.sessions(waits) == 0, 'PostgreSQL waits for nobody', 10)
        cut(gone)
        thread.join(20)
    assert neighbour.count > 20 and neighbour.slowest_s < 2, neighbour.slowest_s


def test_a_client_that_does_not_read_is_there(proxy):
    """Its host acknowledges that it has no room: for three times as long, and then it reads all of it."""
    with proxy.of('client') as slow:
        rows = 200000
        with slow.cursor().copy(f"COPY (SELECT repeat('x', 200) FROM generate_series(1, {rows})) TO STDOUT") as copy:
            reader = iter(copy)
            next(reader)
            time.sleep(3 * SILENCE_S)
            read = 1 + sum(bytes(block).count(b'\n') for block in reader)
        assert read == rows
        assert slow.execute('SELECT 1').fetchone() == (1,)


def test_a_client_that_waits_for_a_connection_vanishes(proxy, hosts):
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(proxy.of('proxy')) for _ in range(3)]
        for client in busy:
            client.execute('BEGIN')
            client.execute('SELECT 1')
        gone = proxy.of('client')
        thread = threading.Thread(target=lost, args=(gone, 'SELECT 1'))
        thread.start()
        time.sleep(0.3)
        with hosts.vanished('client'):
            wait_until(lambda: proxy.count('CLIENTS', 'client') == 0, 'it waits no longer', LIMIT_S)
        cut(gone)
        thread.join(20)


# ---- targets --------------------------------------------------------------------------------------

def test_a_target_that_vanishes_in_mid_query(proxy, hosts):
    """RULES of codes that invite nobody to do a thing twice, and all within the time."""
    commands = {'transaction': ('BEGIN', 'SELECT pg_sleep(60)', '40001'),
                'write': (None, "INSERT INTO t (v) SELECT pg_sleep(60)::text", '08007')}
    results = {}

    def run(name, connection, command):
        results[name] = lost(connection, command)
    with contextlib.ExitStack() as stack:
        pinned = stack.enter_context(proxy.of('client'))
        pinned.execute('CREATE TEMP TABLE own (id int)')
        idle = stack.enter_context(proxy.of('client'))
        threads = []
        for name, (first, command, _) in commands.items():
            connection = stack.enter_context(proxy.of('client'))
            if first is not None:
                connection.execute(first)
            threads.append(threading.Thread(target=run, args=(name, connection, command)))
            threads[-1].start()
        wait_until(lambda: proxy.sessions("state = 'active' AND strpos(query, 'pg_sleep') > 0") == 2, 'they run', 20)
        with hosts.vanished('server'):
            code, took_s = lost(pinned, 'SELECT 1')  # sent, and never acknowledged
            assert code == '08007' and took_s < LIMIT_S
            for thread in threads:
                thread.join(LIMIT_S)
        assert {name: result[0] for name, result in results.items()} == \
            {name: code for name, (_, _, code) in commands.items()}
        assert all(SILENCE_S / 2 < took_s < LIMIT_S for _, took_s in results.values()), results
        assert idle.execute('SELECT 1').fetchone() == (1,)  # it had nothing there
        assert [proxy.of('client').execute('SELECT 1').fetchone() for _ in range(3)] == [(1,)] * 3


def test_a_target_that_vanishes_while_its_connections_lie_idle(proxy, hosts):
    clients = [proxy.of('client') for _ in range(3)]
    for client in clients:
        client.execute('BEGIN')
    for client in clients:
        client.execute('SELECT 1')
    for client in clients:
        client.execute('COMMIT')
    assert proxy.count('SERVERS', 'server') == 3
    pinned = proxy.of('client')
    pinned.execute('CREATE TEMP TABLE own (id int)')
    with hosts.vanished('server'):
        assert select.select([pinned.pgconn.socket], [], [], LIMIT_S)[0], 'at rest, it is told'
        assert lost(pinned, 'SELECT 1')[0] == '57P01'
        wait_until(lambda: proxy.count('SERVERS', 'server') == 0, 'none is left', LIMIT_S)
    assert [client.execute('SELECT 1').fetchone() for client in clients] == [(1,)] * 3
    for client in clients:
        client.close()

