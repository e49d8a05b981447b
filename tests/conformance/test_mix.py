"""Many clients that do everything at random on few server connections, and each sees only what is its own.

WEIR_MIX_CLIENTS, WEIR_MIX_SECONDS and WEIR_MIX_SEED say how many, how long and which; `make soak` is the long one.
"""
import os
import threading
import time

import pytest

from conformance.both import proxy_of, wire
from conformance.mixed import CUSTOM, EVERYDAY, PINNING, SEQUENCE_STEP, Client
from support.pool import wait_for

CLIENTS = int(os.environ.get('WEIR_MIX_CLIENTS', 24))
SECONDS = float(os.environ.get('WEIR_MIX_SECONDS', 10))
SEED = os.environ.get('WEIR_MIX_SEED') or str(time.time_ns())
SERVERS = 6 if CLIENTS < 100 else 10
pytestmark = pytest.mark.timeout(SECONDS + 240)


@pytest.fixture
def pool(weir, tmp_path, authority, database):
    database.run('CREATE TABLE ledger (owner int)', 'CREATE INDEX ON ledger (owner)', 'GRANT ALL ON ledger TO ann, bob',
                 *(f'CREATE SEQUENCE seq_{number} START {number * SEQUENCE_STEP}; GRANT ALL ON seq_{number} TO ann, bob'
                   for number in range(1, CLIENTS + 1)))
    with proxy_of(weir, tmp_path / 'run', authority, database, SERVERS, workers=2) as proxy:
        proxy.configure({'connection_borrow_timeout_s': 60})
        yield proxy


class Mix:
    """The clients, a thread each, until the time is over or one of them has seen something strange."""

    def __init__(self, address):
        self.over = threading.Event()
        self.failures = []
        self.clients = [Client(number, lambda: wire(address), SEED) for number in range(1, CLIENTS + 1)]

    def _live(self, client):
        try:
            while not self.over.is_set():
                client.visit()
        except BaseException as error:  # pylint: disable=broad-except
            self.failures.append((client.number, client.steps, error))
            self.over.set()

    def run(self):
        threads = [threading.Thread(target=self._live, args=(client,)) for client in self.clients]
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
    mix = Mix(pool.address)
    mix.run()
    assert not mix.failures, f'seed {SEED}: {mix.failures}'
    counts = mix.done()
    print(f'{CLIENTS} clients, {SECONDS:.0f} s, {sum(counts.values())} steps, seed {SEED}: {counts}')
    habits = {habit.__name__ for habit in (*EVERYDAY, *CUSTOM, *PINNING)}
    assert len(set(counts) & habits) > 0.8 * len(habits), 'too short to say anything'
    status = pool.await_status(lambda s: s['clients'] == 0)
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
