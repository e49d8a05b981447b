"""Real PostgreSQL replicas, streaming from a test's own primary, and a proxy in front of all of them."""
import contextlib
import os
import signal
import subprocess
import time

import pytest

from support.engines import account_folder, as_account, postgres_bin, stop
from support.pool import PORT, Postgres, Proxy, backends_of, wait_for


class Replica(Postgres):
    """A copy of the primary that streams from it; it accepts reads."""

    def __init__(self, folder, primary):  # pylint: disable=super-init-not-called
        self.folder = folder
        self.address = ''
        self.data = folder / 'data'
        self.primary = primary
        self.settings = [*primary.settings, '-c', 'hot_standby_feedback=off', '-c', 'max_standby_streaming_delay=200ms',
                         '-c', 'wal_receiver_status_interval=1s', '-c', 'wal_retrieve_retry_interval=200ms']
        subprocess.run([postgres_bin() / 'pg_basebackup', '-h', primary.folder, '-U', 'postgres', '-D', self.data,
                        '-R', '-X', 'stream', '-c', 'fast', '--no-sync'], check=True, cwd=folder,
                       stdout=subprocess.DEVNULL, **as_account('postgres'))
        self.start()

    def target(self, name, max_connections=10):
        return {'id': name, 'socket_dir': str(self.folder), 'port': PORT, 'max_connections': max_connections}

    def catch_up(self):
        self.catch_up_with(self.primary)

    def catch_up_with(self, primary):
        position = primary.ask('SELECT pg_current_wal_flush_lsn()::text')[0][0]
        wait_for(lambda: self.ask('SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn', position)[0][0],
                 'the replica does not catch up')

    @contextlib.contextmanager
    def held_back(self):
        """Receives, and replays nothing."""
        self.ask('SELECT pg_wal_replay_pause()')
        wait_for(lambda: self.ask('SELECT pg_get_wal_replay_pause_state()')[0][0] == 'paused', 'replay goes on')
        try:
            yield
        finally:
            self.ask('SELECT pg_wal_replay_resume()')

    def signal(self, number):
        """To all of its processes: a postmaster alone leaves backends behind, which first end what they do."""
        for pid in backends_of(self.data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), number)

    def end(self):
        stop(self.process, signal.SIGINT)


class Cluster:
    def __init__(self, primary, one, two):
        self.primary, self.one, self.two = primary, one, two
        self.replicas = [one, two]

    def catch_up(self):
        for replica in self.replicas:
            replica.catch_up()

    def targets(self, **options):
        return [self.one.target('r-1', **options), self.two.target('r-2', **options)]


@contextlib.contextmanager
def cluster_of():
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(account_folder('postgres')) for _ in range(3)]
        primary = Postgres(folders[0])
        stack.callback(lambda: stop(primary.process, signal.SIGINT))
        with primary.admin('app') as admin:
            admin.execute('CREATE TABLE t (id serial PRIMARY KEY, v text); GRANT ALL ON t, t_id_seq TO ann, bob')
            admin.execute('GRANT ALL ON SCHEMA public TO ann, bob')
        replicas = []
        for folder in folders[1:]:
            replicas.append(Replica(folder, primary))
            stack.callback(replicas[-1].end)
        made = Cluster(primary, *replicas)
        made.catch_up()
        yield made


@pytest.fixture(scope='module')
def cluster():
    """For tests that leave it as they found it."""
    with cluster_of() as made:
        yield made


@pytest.fixture
def own_cluster():
    with cluster_of() as made:
        yield made


def states(proxy):
    return {target['id']: target['state'] for target in proxy.status().get('targets', [])}


def await_states(proxy, wanted):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if states(proxy) == wanted:
            return
        time.sleep(0.05)
    raise TimeoutError(f'the targets are {proxy.status().get("targets")}, and not {wanted}')


@contextlib.contextmanager
def proxy_before(weir, run, authority, cluster, reads, workers=2, **pool):
    """A proxy with both replicas, once it knows them."""
    made = Proxy(weir, run, authority, cluster.primary)
    made.configure({'reads': reads, 'replicas': cluster.targets(), **pool}, workers=workers)
    try:
        wanted = {'r-1': 'AVAILABLE', 'r-2': 'AVAILABLE'}
        if reads == 'split':
            wanted['db-1'] = 'AVAILABLE'
        await_states(made, wanted)
        yield made
    finally:
        code = made.plane.close()
    assert code == 0, f'the proxy ended with {code}'
