"""A proxy with replicas takes the place of another: the budget of each target spans both processes, which number the
targets by themselves, and tell each other their addresses (docs/upgrade.md)."""
import contextlib
import fcntl
import os
import signal
import socket
import threading
import time

import psycopg
import pytest

from support.pool import ANN, PORT, wait_for
from support.replicas import cluster
from support.rolling import Impostor, Rolling, Watch, gone
from support.watch import wait_until

pytestmark = pytest.mark.timeout(180)


class Behind:
    """One PostgreSQL of the cluster, as a target and for who watches it."""

    def __init__(self, postgres, name, max_connections):
        self.folder = postgres.folder
        self.name = name
        self.max_connections = max_connections

    def target(self):
        return {'id': self.name, 'socket_dir': str(self.folder), 'port': PORT, 'max_connections': self.max_connections}

    def settings(self, **more):
        return {'host': str(self.folder), 'user': 'postgres', 'dbname': 'postgres', **more}

    @property
    def at(self):
        """What names it between processes."""
        return f'{self.folder}/.s.PGSQL.{PORT}'.encode().hex()


class Split(Rolling):
    """In front of a primary and two replicas that may have different numbers of connections."""

    def __init__(self, weir, folder, cluster):
        self.primary = Behind(cluster.primary, 'db-1', 3)
        self.one = Behind(cluster.one, 'r-1', 1)
        self.two = Behind(cluster.two, 'r-2', 2)
        super().__init__(weir, folder, self.primary)
        self.pool.update(users=[ANN], reads='split', replicas=[self.one.target(), self.two.target()],
                         connection_borrow_timeout_s=20)

    def settings(self, **more):
        return super().settings(password=ANN['password'], **more)

    def await_replicas(self, count=2):
        wait_until(lambda: sum('the replica' in line and 'is available' in line for line in self.process.log) >= count,
                   f'replicas in {self.process.log}', 20)

    def targets(self):
        """As the serving process counts: server connections, of all processes, and how many there may be."""
        with self.connect(dbname='weir') as admin:
            cursor = admin.execute('SHOW TARGETS')
            names = [column.name for column in cursor.description]
            rows = [dict(zip(names, row)) for row in cursor]
        return {row['id']: (row['servers'], row['max_servers']) for row in rows}

    def start(self, *more):
        super().start(*more)
        self.await_replicas(len(self.pool['replicas']))
        return self


@pytest.fixture
def proxy(weir, tmp_path, cluster):
    made = Split(weir, tmp_path, cluster)
    yield made
    ends = made.close()
    assert all(end in (0, -signal.SIGKILL) for end in ends), (ends, made.lines)


class Load:
    """Clients that stay, and read and write in transactions without a pause; every failure is kept."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.failures = []
        self.counts = []
        self.stopping = threading.Event()
        self.threads = []

    def read(self, connection):
        connection.execute('BEGIN READ ONLY')
        connection.execute('SELECT pg_sleep(0.005)')
        connection.execute('COMMIT')

    def write(self, connection):
        connection.execute('BEGIN')
        connection.execute("UPDATE t SET v = 'x' WHERE id = -1")
        connection.execute('SELECT pg_sleep(0.005)')
        connection.execute('COMMIT')

    def _run(self, work, slot):
        try:
            with self.proxy.connect() as connection:
                while not self.stopping.is_set():
                    work(connection)
                    self.counts[slot] += 1
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(f'{work.__name__}: {error!r}')

    def more(self):
        """Three that read and three that write."""
        for work in (self.read, self.write) * 3:
            self.counts.append(0)
            self.threads.append(threading.Thread(target=self._run, args=(work, len(self.counts) - 1)))
            self.threads[-1].start()

    def __enter__(self):
        self.more()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)


# ---- the budgets ----------------------------------------------------------------------------------

def test_each_budget_spans_all(proxy, cluster):
    """In each generation the replicas stand in another order, so that its numbers are others."""
    proxy.start()
    with contextlib.ExitStack() as stack:
        watches = [stack.enter_context(Watch(behind)) for behind in (proxy.primary, proxy.one, proxy.two)]
        with Load(proxy) as load:
            for _ in range(3):
                time.sleep(0.5)
                proxy.pool['replicas'].reverse()
                proxy.upgrade()
                load.more()
            wait_until(lambda: load.failures or min(load.counts) > 5, 'everybody gets on')
    assert not load.failures
    assert [watch.most for watch in watches] == [3, 1, 2], 'none has more than it may, and each is made use of'
    assert all(watch.looks > 100 for watch in watches)


def test_a_place_goes_from_process_to_process(proxy, cluster):
    """What one holds at a replica the other has not, and that alone."""
    proxy.pool.update(reads='replicas', replicas=[proxy.one.target()])
    proxy.start()
    with Watch(proxy.one) as watch, proxy.connect() as old:
        old.execute('BEGIN')
        old.execute('SELECT 1')
        proxy.pool.update(replicas=[proxy.two.target(), proxy.one.target()], connection_borrow_timeout_s=5)
        proxy.upgrade()
        with contextlib.ExitStack() as stack:
            new = [stack.enter_context(proxy.connect()) for _ in range(3)]
            for connection in new[:2]:
                connection.execute('BEGIN')
                assert connection.execute('SELECT 1').fetchone() == (1,)
            with pytest.raises(psycopg.OperationalError, match='All 1 connections|All 2 connections'):
                new[2].execute('SELECT 1')
            old.execute('COMMIT')
        wait_for(lambda: proxy.ask('SELECT 1') == (1,), 'the place is free')
    assert watch.most <= 1


def test_a_replica_that_only_who_leaves_knows(proxy, cluster):
    """It follows the configuration of its successor: its clients go on elsewhere, and nothing is left of that one."""
    proxy.start()
    with proxy.connect() as old:
        old.execute('BEGIN READ ONLY')
        old.execute('SELECT 1')
        with proxy.connect() as other:
            other.execute('BEGIN READ ONLY')
            other.execute('SELECT 1')
            proxy.pool['replicas'] = [proxy.two.target()]
            proxy.upgrade()
            for client in (old, other):
                assert client.execute('SELECT 1').fetchone() == (1,)  # to the end of its transaction
                client.execute('COMMIT')
        with psycopg.connect(**proxy.one.settings(), autocommit=True) as admin:
            wait_until(lambda: admin.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'ann'"
                                             ).fetchone() == (0,), 'nobody is there any more', 20)
        for _ in range(10):
            assert old.execute('SELECT 1').fetchone() == (1,)


def test_what_is_held_at_no_target_of_ours_is_in_no_budget(proxy, cluster):
    proxy.pool.update(reads='replicas', replicas=[proxy.one.target()], stats_users=['ann'])
    proxy.start()
    with proxy.connect() as old:
        old.execute('BEGIN')
        old.execute('SELECT 1')
        proxy.pool['replicas'] = [proxy.two.target()]
        proxy.upgrade()
        assert proxy.targets() == {'r-2': (0, 2)}
        with proxy.connect() as one, proxy.connect() as two:
            for client in (one, two):
                client.execute('BEGIN')
                assert client.execute('SELECT 1').fetchone() == (1,)
            assert proxy.targets() == {'r-2': (2, 2)}
            proxy.pool['replicas'].append(proxy.one.target())
            proxy.reload('is in force')
            assert proxy.targets() == {'r-2': (2, 2), 'r-1': (1, 1)}  # and now it is one of ours
            old.execute('COMMIT')
            wait_until(lambda: proxy.targets()['r-1'] == (0, 1), 'it is given back', 20)


def test_who_stands_still_is_counted(proxy, cluster):
    """It does not come to the next one to serve, but its connections are there."""
    proxy.pool.update(reads='replicas', replicas=[{**proxy.two.target(), 'max_connections': 1}], stats_users=['ann'])
    proxy.start()
    first = proxy.process
    with proxy.connect() as old:
        old.execute('BEGIN')
        old.execute('SELECT 1')
        proxy.upgrade()
        first.send_signal(signal.SIGSTOP)
        try:
            proxy.upgrade()
            time.sleep(6)
            assert proxy.targets() == {'r-2': (1, 1)}
        finally:
            first.send_signal(signal.SIGCONT)
        proxy.await_log(proxy.process, 'generation 1, which is leaving, has joined')
        assert proxy.targets() == {'r-2': (1, 1)}
        old.execute('COMMIT')
        wait_until(lambda: proxy.targets() == {'r-2': (0, 1)}, 'it is given back', 20)


def test_who_serves_again_hears_first_what_others_hold(proxy, cluster):
    proxy.pool.update(reads='replicas', replicas=[{**proxy.two.target(), 'max_connections': 1}])
    proxy.start()
    first = proxy.process
    with Watch(proxy.two) as watch, proxy.connect() as old:
        proxy.upgrade()
        second = proxy.process
        with proxy.connect() as waits:
            old.execute('BEGIN')
            old.execute('SELECT 1')
            proxy.upgrade()
            first.send_signal(signal.SIGSTOP)
            try:
                proxy.process.kill()
                gone(proxy.process)
                proxy.process = second
                proxy.await_log(second, 'serves again')
                results = []
                thread = threading.Thread(target=lambda: results.append(waits.execute('SELECT 1').fetchone()))
                thread.start()
                time.sleep(2)
                assert not results
            finally:
                first.send_signal(signal.SIGCONT)
            proxy.await_log(second, 'generation 1, which is leaving, has joined')
            time.sleep(0.5)
            assert not results
            old.execute('COMMIT')
            thread.join(20)
            assert results == [(1,)]
            assert proxy.ask('SELECT 1') == (1,)  # and it accepts
    assert watch.most == 1


# ---- what processes say to each other -------------------------------------------------------------

class Serving(Impostor):
    """It has taken the place, and is told what the other one holds and wants."""

    def __init__(self, proxy):
        super().__init__(proxy)
        self.say(take_over=1)
        self.books = []
        assert 'offer' in self.hear()
        self.say(ready=True)
        while True:
            message = self.hear()
            if 'commit' in message:
                break
            self.books.append(message['book'])
        self.say(serving=True)

    def places(self):
        """By target, of all books: how many server connections."""
        held = {}
        for book in self.books:
            for _, _, servers, _, target in book['places']:
                held[target] = held.get(target, 0) + servers
        return {target: servers for target, servers in held.items() if servers > 0}

    def hear_ask(self):
        while True:
            message = self.hear()
            if 'ask' in message:
                return message


class Meanwhile(Impostor):
    """It was told to take the place, has the seat, and does not say yet that it serves."""

    def __init__(self, proxy):
        super().__init__(proxy)
        self.say(take_over=1)
        assert 'offer' in self.hear()
        self.say(ready=True)
        while 'commit' not in self.hear():
            pass
        self.door, self.seat = self.fds[:2]
        fcntl.lockf(self.seat, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)

    def serve(self):
        """The process before it leaves, and one before that comes to the door: what it holds, and its link."""
        self.say(serving=True)
        with socket.socket(fileno=os.dup(self.door)) as door:
            door.settimeout(20)
            other = Impostor.__new__(Impostor)
            other.end, other.fds = door.accept()[0], []
        other.end.settimeout(20)
        books = other.hear()['books']
        return other, [place for _ in range(books) for place in other.hear()['book']['places']]


def test_who_hands_over_grants_nothing_any_more(proxy, cluster):
    """What it holds is written down by then: a place that becomes free is not its own to give."""
    proxy.pool.update(reads='replicas', replicas=[proxy.two.target()])
    proxy.start()
    with contextlib.ExitStack() as stack:
        first, waits = (stack.enter_context(proxy.connect()) for _ in range(2))
        first.execute('BEGIN')
        first.execute('SELECT 1')
        proxy.upgrade()
        second = stack.enter_context(proxy.connect())
        second.execute('BEGIN')
        second.execute('SELECT 1')
        results = []
        thread = threading.Thread(target=lambda: results.append(waits.execute('SELECT 1').fetchone()))
        thread.start()
        time.sleep(0.3)  # it waits, and has asked
        between = Meanwhile(proxy)
        stack.callback(between.close)
        second.execute('COMMIT')  # and its connection is closed for whoever waits longest
        with psycopg.connect(**proxy.two.settings(), autocommit=True) as admin:
            wait_until(lambda: admin.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'ann' AND "
                                             "application_name <> 'weir proxy'").fetchone() == (1,), 'one is left', 20)
        time.sleep(0.5)
        assert not results
        oldest, places = between.serve()
        stack.callback(oldest.close)
        assert sum(place[2] for place in places) == 1
        ask = wait_until(lambda: oldest.hear(), 'it asks again')
        oldest.say(grant=ask['ask'])
        thread.join(20)
        assert results == [(1,)]


def test_books_and_asks_name_targets_by_address(proxy, cluster):
    proxy.config['workers'] = 1  # each has a connection of its own for the first login
    # And no second one, while the first still asks what the database hides.
    proxy.pool.update(target={**proxy.primary.target(), 'max_connections': 1}, replicas=[proxy.two.target()])
    proxy.start()
    with proxy.connect() as writer, proxy.connect() as reader, proxy.connect() as second, proxy.connect() as third:
        writer.execute('BEGIN')
        writer.execute('SELECT 1')
        reader.execute('BEGIN READ ONLY')
        reader.execute('SELECT 1')
        proxy.pool.update(connection_borrow_timeout_s=6)  # somebody is to wait for its end
        proxy.reload('is in force')
        serving = Serving(proxy)
        assert serving.places() == {proxy.primary.at: 1, proxy.two.at: 1}
        results = {}

        def read(name, client):
            try:
                client.execute('BEGIN READ ONLY')
                results[name] = client.execute('SELECT 1').fetchone()
            except psycopg.OperationalError as error:
                results[name] = str(error)

        thread = threading.Thread(target=read, args=('granted', second))
        thread.start()
        ask = serving.hear_ask()
        assert bytes.fromhex(ask['target']) == bytes.fromhex(proxy.two.at)
        serving.say(grant=ask['ask'])
        thread.join(10)
        assert results['granted'] == (1,)
        # A target that the serving process does not have: it is asked for again each second.
        thread = threading.Thread(target=read, args=('refused', third))
        thread.start()
        began = time.monotonic()
        for _ in range(2):
            ask = serving.hear_ask()
            serving.say(refused=ask['ask'])
        assert time.monotonic() - began > 0.5
        thread.join(20)
        assert 'the process that serves now has no target at this address' in results['refused']
        assert reader.execute('SELECT 1').fetchone() == (1,)
        serving.close()  # and the process serves again
        reader.execute('COMMIT')
        proxy.await_log(proxy.process, 'serves again')
        assert reader.execute('SELECT 1').fetchone() == (1,)
