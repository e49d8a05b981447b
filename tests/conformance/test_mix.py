"""Many clients that do everything at random on few server connections, and each sees only what is its own; and a crowd
of idle ones, which is there all the time. What the proxy's process holds in memory and files stays the same.

WEIR_MIX_CLIENTS, WEIR_MIX_IDLE, WEIR_MIX_SECONDS and WEIR_MIX_SEED say how many, how long and which; `make soak` is the
long one.
"""
import os
import threading
import time

import pytest

from conformance.both import proxy_of, wire
from conformance.crowd import Crowd, Watch, is_sanitized, want_files
from conformance.mixed import CUSTOM, EVERYDAY, PINNING, SEQUENCE_STEP, Client
from support.pool import wait_for

CLIENTS = int(os.environ.get('WEIR_MIX_CLIENTS', 24))
IDLE = int(os.environ.get('WEIR_MIX_IDLE', 100))
SECONDS = float(os.environ.get('WEIR_MIX_SECONDS', 10))
SEED = os.environ.get('WEIR_MIX_SEED') or str(time.time_ns())
SERVERS = 6 if CLIENTS < 100 else 10
FLAT_FROM_S = 120        # before, not everything has happened once
GROWTH_MAX_KIB = 4096
pytestmark = pytest.mark.timeout(SECONDS + 240 + IDLE / 10)


@pytest.fixture
def pool(weir, tmp_path, authority, database):
    database.run('CREATE TABLE ledger (owner int)', 'CREATE INDEX ON ledger (owner)', 'GRANT ALL ON ledger TO ann, bob',
                 *(f'CREATE SEQUENCE seq_{number} START {number * SEQUENCE_STEP}; GRANT ALL ON seq_{number} TO ann, bob'
                   for number in range(1, CLIENTS + 1)))
    want_files(2 * CLIENTS + IDLE)
    with proxy_of(weir, tmp_path / 'run', authority, database, SERVERS, workers=2) as proxy:
        proxy.configure({'connection_borrow_timeout_s': 60}, max_clients=2 * CLIENTS + IDLE)
        yield proxy


class Mix:
    """The clients, a thread each, until the time is over or one of them has seen something strange."""

    def __init__(self, address, crowd):
        self.over = threading.Event()
        self.failures = []
        self.crowd = crowd
        self.clients = [Client(number, lambda: wire(address), SEED) for number in range(1, CLIENTS + 1)]

    def _live(self, client):
        try:
            while not self.over.is_set():
                client.visit()
        except BaseException as error:  # pylint: disable=broad-except
            self.failures.append((client.number, client.steps, error))
            self.over.set()

    def _stir(self):
        try:
            self.crowd.stir(self.over)
        except BaseException as error:  # pylint: disable=broad-except
            self.failures.append(('the crowd', error))
            self.over.set()

    def run(self):
        threads = [threading.Thread(target=self._live, args=(client,)) for client in self.clients]
        threads.append(threading.Thread(target=self._stir))
        for thread in threads:
            thread.start()
        self.over.wait(SECONDS)
        self.over.set()
        for thread in threads:
            thread.join()

    def done(self):
        """How often each thing was done, by all of them."""
        counts = {}
        for client in self.clients:
            for habit, count in client.done.items():
                counts[habit] = counts.get(habit, 0) + count
        return counts


def test_nobody_sees_anothers_state(pool, database):
    process = pool.plane.process.pid
    watch = Watch(process)
    files = watch.files()
    crowd = Crowd(pool.address, IDLE)
    mix = Mix(pool.address, crowd)
    with watch:
        mix.run()
    try:
        assert not mix.failures, f'seed {SEED}: {mix.failures[:3]}'
        assert not crowd.addressed()[:5]
        crowd.ask_all()
        assert pool.await_status(lambda s: s['clients'] == IDLE)
    finally:
        crowd.close()
    counts = mix.done()
    print(f'{IDLE} idle; resident: {watch.resident_kib[:1]} KiB at first, at most {max(watch.resident_kib)} KiB, '
          f'grew by {watch.growth_kib()} KiB')
    print(f'{CLIENTS} clients, {SECONDS:.0f} s, {sum(counts.values())} steps, seed {SEED}: {counts}')
    habits = {habit.__name__ for habit in (*EVERYDAY, *CUSTOM, *PINNING)}
    assert len(set(counts) & habits) > 0.8 * len(habits), 'too short to say anything'
    status = pool.await_status(lambda s: s['clients'] == 0)
    wait_for(lambda: watch.files() <= files + pool.status()['servers'], 'no file is left open')
    assert SECONDS < FLAT_FROM_S or is_sanitized(process) or watch.growth_kib() < GROWTH_MAX_KIB
    # A session is counted with what pinned it first, and a busy machine gets to few of them.
    assert len(status['pinned'].keys() & {'listen', 'temporary_object', 'advisory_lock', 'hold_cursor',
                                          'sql_prepare'}) >= 3
    assert not status['pinned'].keys() & {'unknown_statement', 'conversation', 'setting', 'encoding'}
    assert status['timeouts'] == 0 and status['servers'] <= SERVERS
    entries = {client.number: client.entries for client in mix.clients if client.entries}
    wait_for(lambda: ledger(database) == entries, 'what was rolled back is gone')


def ledger(database):
    with database.admin('app') as admin:
        return dict(admin.execute('SELECT owner, count(*) FROM ledger GROUP BY owner').fetchall())
