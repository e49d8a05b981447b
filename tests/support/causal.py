"""Sessions that hand each other causal tokens, by endpoints of several processes before the same replicas."""
import contextlib

import psycopg
import pytest

from support.pool import wait_for
from support.replicas import proxy_before

SHOW = 'SHOW weir.causal_token'
READ = 'SELECT n FROM k WHERE id = 1'
WHERE = 'SELECT folder FROM here'


@pytest.fixture(scope='module', autouse=True)
def database(cluster):
    prepare(cluster)


def prepare(cluster):
    """`here` tells where one is, and is a read like any other."""
    cluster.primary.run('CREATE VIEW here AS SELECT current_setting(\'data_directory\') AS folder',
                        'GRANT SELECT ON here TO ann, bob', 'GRANT pg_read_all_settings TO ann, bob',
                        'CREATE TABLE k (id int PRIMARY KEY, n bigint)', 'GRANT ALL ON k TO ann, bob',
                        'INSERT INTO k SELECT g, 0 FROM generate_series(1, 50) AS g')
    cluster.catch_up()


@pytest.fixture
def split(weir, tmp_path, authority, cluster):
    with proxy_before(weir, tmp_path / 'split', authority, cluster, 'split') as proxy:
        yield proxy


@pytest.fixture
def other(weir, tmp_path, authority, cluster):
    """Another process, of which the first one knows nothing."""
    with proxy_before(weir, tmp_path / 'other', authority, cluster, 'split') as proxy:
        yield proxy


@pytest.fixture
def reader(weir, tmp_path, authority, cluster):
    with proxy_before(weir, tmp_path / 'reader', authority, cluster, 'replicas', connection_borrow_timeout_s=2) as proxy:
        yield proxy


# ---- replicas -------------------------------------------------------------------------------------

@contextlib.contextmanager
def held_back(cluster):
    with cluster.one.held_back(), cluster.two.held_back():
        yield


def replicas_of(cluster):
    return {str(replica.data) for replica in cluster.replicas}


def await_replicas(connection, cluster):
    """One that was held back counts as behind until it is asked."""
    wait_for(lambda: {one(connection, WHERE) for _ in range(20)} == replicas_of(cluster), 'replicas do not serve')


# ---- what sessions say ----------------------------------------------------------------------------

def one(connection, text, *parameters):
    return connection.execute(text, *parameters).fetchone()[0]


def write(connection):
    """What it has become, and the token."""
    n = one(connection, 'UPDATE k SET n = n + 1 WHERE id = 1 RETURNING n')
    return n, one(connection, SHOW)


def tell(connection, token):
    connection.execute(f"SET weir.causal_token = '{token}'")


def tell_and_read(connection, token):
    with connection:
        tell(connection, token)
        one(connection, READ)


class Simple(psycopg.ClientCursor):
    """Sends a text as it is."""


# ---- tokens ---------------------------------------------------------------------------------------

def parts_of(token):
    version, system, timeline, position = token.split('-')
    assert (version, len(token)) == ('w1', 45)
    return int(system, 16), int(timeline, 16), int(position, 16)


def token_of(system, timeline, position):
    return f'w1-{system:016x}-{timeline:08x}-{position:016x}'


def is_handed_on(shown, token):
    """It may ask for the end of the page before, where nothing of the next one was written."""
    return parts_of(shown)[:2] == parts_of(token)[:2] and 0 <= parts_of(token)[2] - parts_of(shown)[2] <= 40
