"""What functions, triggers, views and operators of a database do to a session: nobody else meets it (RULES P2)."""
import contextlib

import psycopg
import pytest

from support.pool import authority, one_server, pool, postgres, proxy, wait_for

pytestmark = pytest.mark.timeout(120)

HIDES = [
    "CREATE SCHEMA hides", 'GRANT ALL ON SCHEMA hides TO ann, bob', 'SET search_path = hides',
    "CREATE FUNCTION sets() RETURNS text LANGUAGE sql AS $$ SELECT set_config('work_mem', '7MB', false) $$",
    'CREATE FUNCTION sets_too() RETURNS text LANGUAGE plpgsql AS $$ BEGIN -- a comment\n RETURN hides.sets(); END $$',
    'CREATE FUNCTION listens() RETURNS int LANGUAGE plpgsql AS $$ BEGIN LISTEN hidden; RETURN 1; END $$',
    "CREATE FUNCTION locks() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_lock(99); RETURN 1; END $$",
    'CREATE FUNCTION dynamic() RETURNS int LANGUAGE plpgsql AS $$ BEGIN'
    " EXECUTE 'CREATE TEMP TABLE ' || 'leaked (a int)'; RETURN 1; END $$",
    'CREATE FUNCTION plain(a int) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN a + 1; END $$',
    'CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM hides.sets(); RETURN new; END $$',
    'CREATE TABLE fired (a int)', 'CREATE TRIGGER t BEFORE INSERT ON fired FOR EACH ROW EXECUTE FUNCTION fires()',
    'CREATE TABLE routed (a int) PARTITION BY LIST (a)',
    'CREATE TABLE routed_1 PARTITION OF routed FOR VALUES IN (1)',
    'CREATE TRIGGER t BEFORE INSERT ON routed_1 FOR EACH ROW EXECUTE FUNCTION fires()',
    'CREATE VIEW looks AS SELECT sets_too() AS a',
    'CREATE FUNCTION defaults() RETURNS text LANGUAGE sql AS $$ SELECT hides.sets() $$',
    'CREATE TABLE defaulted (a int, b text DEFAULT hides.defaults())',
    'GRANT ALL ON ALL TABLES IN SCHEMA hides TO ann, bob',
]


@pytest.fixture(scope='module')
def hides(postgres):
    postgres.run(*HIDES)
    yield
    postgres.run('DROP SCHEMA hides CASCADE')


def state(connection):
    """What a hidden function may have left."""
    return connection.execute(
        "SELECT current_setting('work_mem'), (SELECT count(*) FROM pg_listening_channels()),"
        " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),"
        " to_regclass('leaked')::text").fetchone()


CLEAN = ('4MB', 0, 0, None)
REACHING = ['SELECT hides.sets()', 'SELECT "hides"."sets_too"()', 'SELECT hides.listens()', 'SELECT hides.locks()',
            'SELECT hides.dynamic()', 'INSERT INTO hides.fired VALUES (1)', 'INSERT INTO hides.routed VALUES (1)',
            'SELECT * FROM hides.looks', 'INSERT INTO hides.defaulted (a) VALUES (1)']


def known(proxy):
    """Once a client is pinned for it, the proxy has learnt what the database hides."""
    def look():
        with proxy.connect() as connection:
            connection.execute('SELECT hides.sets()')
            return proxy.pid_of(connection) == proxy.pid_of(connection) and proxy.await_status(
                lambda s: s['logins'] > 0)['pinned'].get('hidden_state')
    wait_for(look, 'the catalog is not learnt')


@pytest.mark.parametrize('text', REACHING)
def test_whoever_reaches_it_is_pinned(pool, hides, text):
    known(pool)
    with pool.connect() as one:
        one.execute(text)
        pid, left = pool.pid_of(one), state(one)
        assert left != CLEAN
        with pool.connect() as other:
            for _ in range(3):
                assert pool.pid_of(other) != pid
                assert state(other) == CLEAN
        assert state(one) == left


def test_prepared_before_it_was_known(pool, hides, postgres):
    """A statement keeps its name, and is looked at anew when the database has other functions."""
    postgres.run('CREATE FUNCTION hides.changes() RETURNS text LANGUAGE sql STABLE AS $$ SELECT \'\'::text $$')
    with pool.connect(prepare_threshold=0) as connection:
        for _ in range(3):
            connection.execute('SELECT hides.changes()')
        assert pool.await_status(lambda s: s['logins'] > 0)['pinned'] == {}
        with pool.connect() as other:
            with postgres.admin('app') as admin:
                admin.execute('GRANT CREATE ON SCHEMA hides TO ann; ALTER FUNCTION hides.changes() OWNER TO ann')
            other.execute("CREATE OR REPLACE FUNCTION hides.changes() RETURNS text LANGUAGE sql AS"
                          " $$ SELECT set_config('work_mem', '8MB', false) $$")

        def pinned():
            connection.execute('SELECT hides.changes()')
            return pool.await_status(lambda s: s['logins'] > 0)['pinned'].get('hidden_state')
        wait_for(pinned, 'the statement is not looked at anew')


def test_nothing_is_left_where_it_cannot_be_named(proxy, hides, postgres):
    """Behind an operator: no word tells. The server connection is cleaned when it changes hands."""
    postgres.run("CREATE FUNCTION hides.op(int, int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN"
                 " PERFORM hides.sets(), hides.locks(), hides.listens(); RETURN 1; END $$",
                 'CREATE OPERATOR hides.<-> (LEFTARG = int, RIGHTARG = int, FUNCTION = hides.op)')
    try:
        one_server(proxy)
        with proxy.connect() as one, proxy.connect() as other:
            other.execute("SET work_mem = '6MB'; SET app.x = '1'")
            for _ in range(3):
                one.execute('SELECT 1 OPERATOR(hides.<->) 2')
                assert state(other) == ('6MB', 0, 0, None)
                assert other.execute('SHOW app.x').fetchone() == ('1',)
        assert 'hidden_state' not in proxy.status().get('pinned', {})
    finally:
        postgres.run('DROP OPERATOR hides.<-> (int, int)', 'DROP FUNCTION hides.op')


@pytest.fixture
def nothing_hidden(postgres):
    """A database with nothing to hide: there, nothing is cleaned for nothing."""
    postgres.run('CREATE DATABASE nothing_hidden OWNER ann', database='postgres')
    yield 'nothing_hidden'
    postgres.run('DROP DATABASE nothing_hidden WITH (FORCE)', database='postgres')


def test_nothing_is_left_of_what_was_just_made(proxy, nothing_hidden):
    """A function that a client makes and another calls at once."""
    one_server(proxy)
    for number in range(4):
        with proxy.connect(dbname=nothing_hidden) as one, proxy.connect(dbname=nothing_hidden) as other:
            assert state(other) == CLEAN
            one.execute(f"CREATE FUNCTION sets_{number}() RETURNS text LANGUAGE sql AS"
                        f" $$ SELECT set_config('work_mem', '{10 + number}MB', false) $$")
            with proxy.connect(dbname=nothing_hidden) as third:
                third.execute(f'SELECT sets_{number}()')
            assert state(other) == CLEAN
            one.execute(f'DROP FUNCTION sets_{number}')


def test_what_was_known_still_pins(pool, hides, postgres):
    """Somebody else's DDL does not make the proxy forget what it knew until it has asked again."""
    postgres.run('GRANT CREATE ON SCHEMA hides TO ann')
    known(pool)
    with pool.connect() as other, contextlib.ExitStack() as stack:
        for number, one in enumerate([stack.enter_context(pool.connect()) for _ in range(6)]):
            one.execute('SELECT 1')
            other.execute(f'CREATE TABLE hides.made_{number} (a int)')
            one.execute('SELECT hides.sets()')
            other.execute(f'DROP TABLE hides.made_{number}')
            assert state(one)[0] == '7MB'


def test_what_a_client_makes_it_can_use_at_once(pool, hides, postgres):
    postgres.run('GRANT CREATE ON SCHEMA hides TO ann')
    known(pool)
    for number in range(4):
        with pool.connect() as one, pool.connect() as other:
            other.execute('SELECT 1')
            one.execute(f"CREATE FUNCTION hides.made_{number}() RETURNS text LANGUAGE sql AS"
                        f" $$ SELECT set_config('work_mem', '{20 + number}MB', false) $$")
            one.execute(f'SELECT hides.made_{number}()')
            other.execute('SELECT 1')
            assert state(one)[0] == f'{20 + number}MB'
            one.execute(f'DROP FUNCTION hides.made_{number}')


def test_who_leaves_while_it_is_asked(proxy, nothing_hidden):
    """Nobody waits for what the proxy asks then, and the server connection is used again."""
    one_server(proxy)
    with proxy.connect(dbname=nothing_hidden) as other:
        pid = proxy.pid_of(other)
        for number in range(10):
            with proxy.connect(dbname=nothing_hidden) as one:
                one.execute(f'CREATE TABLE made_{number} (a int)')
            assert proxy.pid_of(other) == pid


def test_who_rests_does_not_notice_that_it_fails(proxy, postgres, nothing_hidden):
    """All that a client has asked for is answered, and only what the proxy asks is not: no loss of the client's."""
    asked = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    one_server(proxy)
    with proxy.connect(dbname=nothing_hidden) as one, postgres.admin(nothing_hidden) as admin:
        for _ in range(3):
            with admin.transaction():
                admin.execute('LOCK TABLE pg_cast IN ACCESS EXCLUSIVE MODE')
                one.execute('CREATE VIEW made AS SELECT 1')
                pid = wait_for(lambda: postgres.ask(asked, nothing_hidden), 'the proxy asks')[0][0]
                postgres.ask('SELECT pg_terminate_backend(%s, 5000)', pid)
            assert proxy.pid_of(one) != pid
            one.execute('DROP VIEW made')


def test_sequences_that_functions_move(proxy, postgres, nothing_hidden):
    postgres.run('CREATE SEQUENCE moved', 'GRANT ALL ON SEQUENCE moved TO ann',
                 "CREATE FUNCTION moves() RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('moved') $$",
                 database=nothing_hidden)
    one_server(proxy)
    with proxy.connect(dbname=nothing_hidden) as one, proxy.connect(dbname=nothing_hidden) as other:
        other.execute('SELECT 1')
        one.execute('SELECT moves()')
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            other.execute('SELECT lastval()')


def test_plain_functions_do_not_pin(pool, hides):
    with pool.connect() as connection:
        for number in range(5):
            assert connection.execute('SELECT hides.plain(%s)', (number,)).fetchone() == (number + 1,)
    assert pool.await_status(lambda s: s['logins'] > 0)['clients_pinned'] == 0
