"""While a proxy takes the place of another: what one of both has the other one has not (docs/upgrade.md)."""
import contextlib
import threading
import time

import psycopg
import pytest

from support.alone import PASSWORD, PORT, authority, server
from support.rolling import Watch, proxy
from support.watch import wait_until
from support.wire import Wire

pytestmark = pytest.mark.timeout(180)

# ---- connections to the database ------------------------------------------------------------------

def test_the_budget_spans_both(proxy, server):
    """What one has the other has not; whoever waits gets it when it is free, here and there."""
    proxy.pool['target']['max_connections'] = 2
    proxy.pool['connection_borrow_timeout_s'] = 2
    proxy.start()
    with Watch(server) as watch, contextlib.ExitStack() as stack:
        old = [stack.enter_context(proxy.connect()) for _ in range(3)]
        old[0].execute('BEGIN')
        old[1].execute('BEGIN')
        proxy.upgrade()
        new = []
        with pytest.raises(psycopg.OperationalError, match='Timed-out waiting'):
            old[2].execute('SELECT 1')  # there is none in its own process
        with pytest.raises(psycopg.OperationalError, match='Timed-out waiting'):
            proxy.connect()  # nor in the new one, for which the first login needs one
        old[0].execute('COMMIT')
        new.append(stack.enter_context(proxy.connect()))
        new[0].execute('BEGIN')
        with pytest.raises(psycopg.OperationalError, match='Timed-out waiting'):
            with proxy.connect() as third:
                third.execute('SELECT 1')
        old[1].execute('COMMIT')  # the place goes to and fro
        for _ in range(3):
            assert old[0].execute('SELECT 1').fetchone() == (1,)
            with proxy.connect() as third:
                assert third.execute('SELECT 1').fetchone() == (1,)
        new[0].execute('COMMIT')
    assert watch.most <= 2 and watch.looks > 50


def test_fair_between_both(proxy, server):
    """Both processes have more to do than they may: nobody starves."""
    proxy.pool['target']['max_connections'] = 2
    proxy.pool['connection_borrow_timeout_s'] = 10
    proxy.start()
    counts = {'old': 0, 'new': 0}
    failures = []
    stopping = threading.Event()

    def work(name):
        try:
            with proxy.connect() as connection:
                ready.wait(30)
                while not stopping.is_set():
                    connection.execute('SELECT pg_sleep(0.005)')
                    counts[name] += 1
        except Exception as error:  # pylint: disable=broad-except
            failures.append(repr(error))

    ready = threading.Barrier(9)
    threads = [threading.Thread(target=work, args=('old',)) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: ready.n_waiting == 4, 'four are in', 20)
    proxy.upgrade()
    threads += [threading.Thread(target=work, args=('new',)) for _ in range(4)]
    for thread in threads[4:]:
        thread.start()
    with Watch(server) as watch:
        ready.wait(30)
        time.sleep(5)
        stopping.set()
        for thread in threads:
            thread.join(30)
    assert not failures and watch.most <= 2
    assert min(counts.values()) > 0.2 * max(counts.values()), counts


def test_fair_among_four(proxy):
    """Three that leave and the one that serves have more to do than they may: nobody starves."""
    proxy.pool['target']['max_connections'] = 3
    proxy.pool['connection_borrow_timeout_s'] = 20
    proxy.start()
    counts = []
    failures = []
    stopping = threading.Event()

    def work(slot):
        try:
            with proxy.connect() as connection:
                while not stopping.is_set():
                    connection.execute('SELECT pg_sleep(0.005)')
                    counts[slot] += 1
        except Exception as error:  # pylint: disable=broad-except
            failures.append(repr(error))

    threads = []
    for generation in range(4):
        if generation > 0:
            proxy.upgrade()
        for _ in range(4):
            counts.append(0)
            threads.append(threading.Thread(target=work, args=(len(counts) - 1,)))
            threads[-1].start()
        wait_until(lambda: min(counts) > 0 or failures, 'all are in', 20)
    before = list(counts)
    time.sleep(6)
    after = list(counts)
    stopping.set()
    for thread in threads:
        thread.join(30)
    done = [now - then for now, then in zip(after, before)]
    sums = [sum(done[i:i + 4]) for i in range(0, 16, 4)]
    assert not failures
    assert min(sums) > 0.2 * max(sums), (sums, done)


def test_limits_of_a_user_span_both(proxy, server):
    proxy.pool['users'][0].update(max_connections=1, max_clients=3)
    proxy.pool['connection_borrow_timeout_s'] = 2
    proxy.start()
    with Watch(server) as watch, proxy.connect() as old:
        old.execute('BEGIN')
        old.execute('SELECT 1')
        proxy.upgrade()
        with pytest.raises(psycopg.OperationalError, match='Timed-out waiting'):
            proxy.connect()
        old.execute('COMMIT')
        with proxy.connect() as one:
            one.execute('BEGIN')
            with pytest.raises(psycopg.OperationalError, match='Timed-out waiting'):
                old.execute('SELECT 1')
            one.execute('COMMIT')
            with proxy.connect() as two, proxy.connect() as three:
                with pytest.raises(psycopg.OperationalError, match='for the role ann exceeded 3'):
                    proxy.connect()
                assert two.execute('SELECT 1').fetchone() == three.execute('SELECT 1').fetchone()
    assert watch.most <= 1


# ---- clients --------------------------------------------------------------------------------------

def comes_in(proxy):
    with contextlib.suppress(psycopg.OperationalError):
        return proxy.ask('SELECT 1')
    return None


def test_clients_span_both(proxy):
    proxy.config['max_clients'] = 3
    proxy.start()
    with contextlib.ExitStack() as stack:
        old = [stack.enter_context(proxy.connect()) for _ in range(2)]
        proxy.upgrade()
        stack.enter_context(proxy.connect())
        with pytest.raises(psycopg.OperationalError, match='client connections to the proxy exceeded 3'):
            proxy.connect()
        old[0].close()
        wait_until(lambda: comes_in(proxy), 'one has gone, and one comes', 20)


class SlowLogin(Wire):
    """A client that says who it is, and proves it when it is told to."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.gate = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self._begin)
        self.thread.start()
        time.sleep(0.3)

    def _begin(self):
        try:
            super().__init__(self.proxy.address, PORT, 'ann', PASSWORD, 'app')
            self.error = ''
        except ConnectionRefusedError as error:
            self.error = str(error)

    def _next(self):
        self.gate.wait(20)
        return super()._next()

    def done(self):
        self.gate.set()
        self.thread.join(20)
        return self.error


def test_who_was_logging_in_counts(proxy):
    """A client that the old process accepted, and that proves who it is when the new one counts."""
    proxy.pool['users'][0]['max_clients'] = 1
    proxy.start()
    slow = SlowLogin(proxy)
    proxy.upgrade()
    with proxy.connect():
        assert 'for the role ann exceeded 1' in slow.done()
    slow = SlowLogin(proxy)
    proxy.upgrade()
    assert slow.done() == ''
    with pytest.raises(psycopg.OperationalError, match='for the role ann exceeded 1'):
        proxy.connect()
    slow.finish()
    wait_until(lambda: comes_in(proxy), 'its place is free', 20)
