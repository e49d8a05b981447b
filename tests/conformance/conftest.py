"""One PostgreSQL and pools of one and two connections in front of it, for all that a file of tests plays on them."""
import pytest

from conformance.both import proxy_of
from support.certs import Authority
from support.engines import account_folder, own_address, stop
from support.pool import Postgres

INTERRUPT = 2  # PostgreSQL's fast shutdown


@pytest.fixture(scope='module')
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp('authority'))


@pytest.fixture(scope='module')
def database():
    """What clients find: items (a thousand rows, only read) and notes (empty; id, v, which may not be NULL)."""
    with account_folder('postgres') as folder:
        server = Postgres(folder, address=own_address())
        try:
            server.run('GRANT ALL ON SCHEMA public TO ann, bob', 'GRANT bob TO ann',
                       'CREATE TABLE items (id int PRIMARY KEY, v text)',
                       "INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 1000) n",
                       'CREATE TABLE notes (id serial PRIMARY KEY, v text NOT NULL)', 'CREATE SEQUENCE strangers',
                       'GRANT SELECT ON items TO ann', 'GRANT ALL ON notes, notes_id_seq, strangers TO ann')
            yield server
        finally:
            stop(server.process, INTERRUPT)


@pytest.fixture(scope='module')
def one(weir, tmp_path_factory, authority, database):
    """One server connection: whoever pins it keeps everybody else out, which the stranger notices."""
    with proxy_of(weir, tmp_path_factory.mktemp('one') / 'run', authority, database, 1) as proxy:
        yield proxy


@pytest.fixture(scope='module')
def two(weir, tmp_path_factory, authority, database):
    with proxy_of(weir, tmp_path_factory.mktemp('two') / 'run', authority, database, 2) as proxy:
        yield proxy
