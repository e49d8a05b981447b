"""Limits of single users and databases: who is turned away, who waits, and who goes on meanwhile."""
import concurrent.futures
import contextlib
import itertools
import os
import signal
import threading
import time

import psycopg
import pytest

from support.pool import ANN, BOB, authority, pool, postgres, proxy, wait_for

pytestmark = pytest.mark.timeout(120)

DEADLINE_S = 5


def users(ann=None, bob=None):
    return [{**ANN, **(ann or {})}, {**BOB, **(bob or {})}]


def database(name='app', **limits):
    return [{'database': name, **limits}]


def refused(connect):
    with pytest.raises(psycopg.OperationalError) as error:
        connect()
    return str(error.value)


@contextlib.contextmanager
def held(pool, *who, **more):
    """Connections that are in a transaction, and so have a server connection each."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(contextlib.closing(pool.connect(user, **more))) for user in who]
        for connection in connections:
            connection.execute('BEGIN')
        yield connections


def quickly(work):
    """Runs it on a thread, so that a connection that never comes fails the test, and returns how long it took."""
    began = time.monotonic()
    problems = []

    def run():
        try:
            work()
        except BaseException as error:  # pylint: disable=broad-except
            problems.append(error)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(DEADLINE_S)
    assert not thread.is_alive(), f'nothing has come of it in {DEADLINE_S} s'
    assert not problems, problems
    return time.monotonic() - began


class Watch:
    """The most connections that ever were there at once to the database app, as PostgreSQL counts them: the proxy's own
    looks at the target go to another one."""

    def __init__(self, postgres, *names):
        # The view is no snapshot: one that began behind the query may stand beside one that ended in it.
        self.query = ("SELECT count(*) FROM pg_stat_activity WHERE backend_start < now() AND datname = 'app' AND "
                      f"usename IN ({', '.join(repr(name) for name in names)})")
        self.admin = postgres.admin()
        self.most = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.ended.wait(0.005):
            self.most = max(self.most, self.admin.execute(self.query).fetchone()[0])

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.admin.close()


def on_workers(pool, stack, wanted, kind='same'):
    """Connections of ann's, so many on each worker: the key that a client gets says where it is. Those that come at once
    are taken by both."""
    names = (kind.format(number) for number in itertools.count())
    found = [[] for _ in wanted]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        while any(len(have) < want for have, want in zip(found, wanted)):
            for connection in [made.result() for made in [
                    threads.submit(pool.connect, application_name=next(names)) for _ in range(8)]]:
                worker = connection.info.backend_pid >> 27
                if len(found[worker]) < wanted[worker]:
                    found[worker].append(stack.enter_context(contextlib.closing(connection)))
                else:
                    connection.close()
    return found


# ---- clients ------------------------------------------------------------------------------------

def test_clients_of_a_user(pool):
    pool.configure({'users': users({'max_clients': 2})})
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(pool.connect())
        stack.enter_context(pool.connect())
        said = refused(pool.connect)
        assert 'The maximum number of client connections for the role ann exceeded 2.' in said
        assert 'The limit is max_clients of this role in pool.users.' in said
        with pytest.raises(psycopg.OperationalError, match='password .* is wrong'):
            pool.connect(ANN, password='wrong')  # who is not ann does not hear of her clients
        for _ in range(3):
            stack.enter_context(pool.connect(BOB))
        status = pool.await_status(lambda s: s['refused_by_limit'] == 1)
        assert status['clients'] == 5
        first.close()
        wait_for(lambda: stack.enter_context(pool.connect()), 'the place of who has left is free')
        pool.configure({'users': users({'max_clients': 1})})  # who is there stays
        assert refused(pool.connect)
        pool.configure({'users': users()})
        stack.enter_context(pool.connect())
        stack.enter_context(pool.connect())
    assert pool.await_status(lambda s: s['clients'] == 0)


def test_clients_of_a_database(pool):
    pool.configure({'databases': database(max_clients=2)})
    with pool.connect(), pool.connect(BOB):
        said = refused(pool.connect)
        assert 'The maximum number of client connections to the database app exceeded 2.' in said
        assert 'The limit is max_clients of this database in pool.databases.' in said
        pool.connect(dbname='postgres').close()
        # A limit that the user has left is not used up by the database's refusal.
        pool.configure({'users': users({'max_clients': 2})})
        for _ in range(3):
            assert refused(pool.connect)
        pool.connect(dbname='postgres').close()


# ---- server connections -------------------------------------------------------------------------

def test_nobody_waits_behind_a_user_with_a_limit(pool, postgres):
    """ann has what she may have, and others of hers wait; bob has what he wants."""
    pool.configure({'users': users({'max_connections': 2})})
    with held(pool, ANN, ANN) as (one, _):
        waiting = pool.connect()
        done = threading.Event()
        thread = threading.Thread(target=lambda: (waiting.execute('SELECT 1'), done.set()))
        thread.start()
        assert pool.await_status(lambda s: s['clients_waiting'] == 1)
        assert quickly(lambda: [pool.connect(BOB).execute('SELECT 1') for _ in range(3)]) < 1
        with held(pool, *[BOB] * 8):  # the rest of the budget
            assert not done.is_set()
            assert len(postgres.backends('ann')) == 2
            one.execute('COMMIT')
            assert done.wait(DEADLINE_S)
        thread.join()
        waiting.close()


@contextlib.contextmanager
def waiting(pool, number):
    """So many clients of ann's that wait for their turn."""
    clients = [pool.connect() for _ in range(number)]
    threads = [threading.Thread(target=client.execute, args=('SELECT 1',)) for client in clients]
    for thread in threads:
        thread.start()
    assert pool.await_status(lambda s: s['clients_waiting'] == number)
    yield
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()


def test_what_they_cannot_have_stays_where_it_is(pool, postgres):
    """The budget is full, and many have waited for long, but for a limit: bob keeps his connections."""
    pool.configure({'users': users({'max_connections': 1}), 'max_connections_percent': 30})
    with held(pool, ANN, BOB, BOB) as (ann, *bobs), waiting(pool, 8):
        pids = postgres.backends('bob')
        time.sleep(0.2)  # longer than bob will
        for _ in range(20):
            for bob in bobs:
                bob.execute('COMMIT')
                bob.execute('BEGIN')
        assert postgres.backends('bob') == pids
        ann.execute('COMMIT')


def test_one_makes_room_for_one(proxy, postgres):
    """Who waits for a limit is not counted where idle connections are closed for the budget's sake."""
    pool = proxy
    pool.configure({'users': users({'max_connections': 1}), 'max_connections_percent': 50}, workers=1)
    with held(pool, *[BOB] * 4):
        pass
    idle = [pid for pid, in postgres.backends('bob')]
    assert len(idle) == 4
    with held(pool, ANN) as (ann,), waiting(pool, 6):
        for pid in idle:
            os.kill(pid, signal.SIGSTOP)  # one that is told to go stays for a while
        try:
            thread = threading.Thread(target=lambda: pool.connect(BOB, application_name='other').close())
            thread.start()
            time.sleep(0.5)
        finally:
            for pid in idle:
                os.kill(pid, signal.SIGCONT)
        thread.join()
        assert len(set(idle) & {pid for pid, in postgres.backends('bob')}) == 3
        ann.execute('COMMIT')


def test_what_is_short_is_named(pool):
    pool.configure({'users': users({'max_connections': 2}), 'databases': database(max_connections=3),
                    'connection_borrow_timeout_s': 1})
    with held(pool, ANN, ANN):
        with contextlib.closing(pool.connect()) as third, pytest.raises(psycopg.OperationalError) as error:
            third.execute('SELECT 1')
        assert 'All 2 connections that the role ann may have are in use.' in str(error.value)
        with held(pool, BOB), contextlib.closing(pool.connect(BOB)) as second, \
                pytest.raises(psycopg.OperationalError) as error:
            second.execute('SELECT 1')
        assert 'All 3 connections that the database app may have are in use.' in str(error.value)


def test_a_database(pool, postgres):
    pool.configure({'databases': database(max_connections=2)})
    with held(pool, ANN, BOB), Watch(postgres, 'ann', 'bob') as watch:
        third = pool.connect()
        thread = threading.Thread(target=third.execute, args=('SELECT 1',))
        thread.start()
        assert pool.await_status(lambda s: s['clients_waiting'] == 1)
        assert quickly(lambda: pool.connect(dbname='postgres').execute('SELECT 1')) < 1
    thread.join()
    third.close()
    assert watch.most == 2


@pytest.mark.parametrize('limits', [{'users': users({'max_connections': 1})},
                                    {'databases': database(max_connections=1)},
                                    {'users': users({'max_connections': 1}), 'databases': database(max_connections=1)}])
def test_idle_ones_give_way(pool, postgres, limits):
    """Every client wants a connection of its own kind, on either worker, and there may be one at a time."""
    pool.configure(limits)
    with contextlib.ExitStack() as stack, Watch(postgres, 'ann') as watch:
        clients = [client for pair in zip(*on_workers(pool, stack, (4, 4), 'kind {}')) for client in pair]
        times = [quickly(lambda client=client: client.execute('SELECT 1')) for client in clients * 3]
    assert watch.most == 1
    assert sum(times) < 3, 'idle ones are asked for, and not only found by and by'


def test_everybody_has_a_turn(pool, postgres):
    """More clients of a limited user than it may have connections, on both workers and of several kinds; and bob."""
    pool.configure({'users': users({'max_connections': 2})})
    turns, slowest, errors = {}, [0], []
    end = time.monotonic() + 4

    def work(name, user, kind):
        try:
            with contextlib.closing(pool.connect(user, application_name=kind)) as connection:
                while time.monotonic() < end:
                    began = time.monotonic()
                    connection.execute('SELECT pg_sleep(0.01)')
                    turns[name] = turns.get(name, 0) + 1
                    if user is BOB:
                        slowest[0] = max(slowest[0], time.monotonic() - began)
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)
    threads = [threading.Thread(target=work, args=(number, ANN, f'kind {number % 2}')) for number in range(12)]
    threads.append(threading.Thread(target=work, args=('bob', BOB, 'bob')))
    with Watch(postgres, 'ann') as watch:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors
    assert watch.most == 2
    assert min(turns.get(number, 0) for number in range(12)) >= 3, turns
    assert slowest[0] < 1 and turns['bob'] > 40, (slowest, turns)


def test_a_reload_changes_it(pool, postgres):
    pool.configure({'users': users({'max_connections': 5})})
    with held(pool, *[ANN] * 5):
        pass
    assert len(postgres.backends('ann')) == 5
    pool.configure({'users': users({'max_connections': 2})})
    # Each worker closes its own; the last one above the limit may be two workers' at the same moment.
    wait_for(lambda: 0 < len(postgres.backends('ann')) <= 2, 'idle ones above the limit are closed')
    with held(pool, ANN, ANN):
        third = pool.connect()
        thread = threading.Thread(target=third.execute, args=('SELECT 1',))
        thread.start()
        assert pool.await_status(lambda s: s['clients_waiting'] == 1)
        pool.configure({'users': users()})
        assert quickly(thread.join) < 2
        third.close()
        pool.configure({'users': users({'max_connections': 1})})
    wait_for(lambda: len(postgres.backends('ann')) == 1, 'so are those that become free')


@pytest.mark.parametrize('limits', [{'users': users({'max_connections': 1})}, {'max_connections_percent': 10}])
def test_one_against_many(pool, limits):
    """A single client on one worker has its turns beside a crowd on the other, where the only connection is."""
    pool.configure(limits)
    turns, errors = {}, []
    with contextlib.ExitStack() as stack:
        crowd, (single,) = on_workers(pool, stack, (6, 1))
        end = time.monotonic() + 4

        def work(connection):
            try:
                while time.monotonic() < end:
                    connection.execute('SELECT pg_sleep(0.01)')
                    turns[connection] = turns.get(connection, 0) + 1
            except BaseException as error:  # pylint: disable=broad-except
                errors.append(error)
        threads = [threading.Thread(target=work, args=(connection,)) for connection in [*crowd, single]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors
    opened = pool.await_status(lambda s: s['clients'] == 0)['servers_opened']
    assert turns[single] >= 5, turns.values()
    # It goes to the other worker and back: nobody opens one just to find that it is somebody else's turn.
    assert opened <= 3 * turns[single] + 5, (opened, turns.values())
