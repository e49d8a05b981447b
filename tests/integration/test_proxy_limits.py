"""Limits of single users and databases: who is turned away, who waits, and who goes on meanwhile."""
import contextlib
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
    """The most server connections that ever were there at once, as PostgreSQL counts them."""

    def __init__(self, postgres, condition):
        self.query = f'SELECT count(*) FROM pg_stat_activity WHERE {condition}'
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


def test_a_full_budget_does_not_mix_them_up(pool, postgres):
    """Many wait for a limit, one for the budget: what becomes free goes to that one at once, and stays with bob."""
    pool.configure({'users': users({'max_connections': 1}), 'max_connections_percent': 30})
    with held(pool, ANN, BOB, BOB) as (_, one, two):
        crowd = [pool.connect() for _ in range(6)]
        threads = [threading.Thread(target=client.execute, args=('SELECT 1',)) for client in crowd]
        for thread in threads:
            thread.start()
        assert pool.await_status(lambda s: s['clients_waiting'] == 6)
        pids = {pid for pid, in postgres.backends('bob')}
        time.sleep(0.2)  # they have waited longer than bob will
        for turn in range(20):
            one.execute('COMMIT')
            one.execute('BEGIN')
        two.execute('COMMIT')
        third = pool.connect(BOB)
        assert quickly(lambda: third.execute('SELECT 1')) < 1
        assert {pid for pid, in postgres.backends('bob')} == pids, 'nobody closed one for who cannot have it'
        third.close()
        _.execute('COMMIT')
        for thread in threads:
            thread.join()
        for client in crowd:
            client.close()


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
    with held(pool, ANN, BOB), Watch(postgres, "datname = 'app' AND usename IN ('ann', 'bob')") as watch:
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
    with contextlib.ExitStack() as stack, Watch(postgres, "usename = 'ann'") as watch:
        clients = [stack.enter_context(contextlib.closing(pool.connect(application_name=f'kind {number}')))
                   for number in range(8)]
        for _ in range(3):
            for client in clients:
                assert quickly(lambda client=client: client.execute('SELECT 1')) < 2
    assert watch.most == 1


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
    with Watch(postgres, "usename = 'ann'") as watch:
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
    wait_for(lambda: len(postgres.backends('ann')) == 2, 'idle ones above the limit are closed')
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
