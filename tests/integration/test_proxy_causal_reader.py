"""The causal token at endpoints that only read: who waits for a replica that has what the token asks for, who is refused,
and what holds where replicas do not say what they have."""
import contextlib
import os
import subprocess
import threading
import time

import psycopg
import pytest
from psycopg.rows import dict_row

from support.causal import (READ, SHOW, WHERE, Simple, await_replicas, database, held_back, is_handed_on, one, parts_of,
                            prepare, reader, replicas_of, split, tell, tell_and_read, token_of, write)
from support.pool import ANN, BOB, PORT, authority, wait_for
from support.replicas import await_states, cluster, own_cluster, proxy_before
from support.wire import Wire, query

pytestmark = pytest.mark.timeout(180)


def test_a_read_only_endpoint(split, reader, cluster):
    with split.connect() as writer, reader.connect() as told, reader.connect() as untold, cluster.one.held_back():
        before = one(untold, READ)
        n, token = write(writer)
        cluster.two.catch_up()
        tell(told, token)
        assert {(one(told, READ), one(told, WHERE)) for _ in range(10)} == {(n, str(cluster.two.data))}
        assert {one(untold, READ) for _ in range(10)} <= {before, n}  # the one that lags less comes first, once that is seen
        with cluster.one.admin('app') as stale:
            assert stale.execute(READ).fetchone()[0] == before
        assert is_handed_on(one(told, SHOW), token) and one(untold, SHOW) == ''
    cluster.catch_up()


def test_a_writer_without_replicas_has_tokens_too(weir, tmp_path, authority, cluster, reader):
    """An endpoint that knows of the primary alone, and one that knows of the replicas alone."""
    with proxy_before_primary(weir, tmp_path / 'primary', authority, cluster) as primary, \
            primary.connect() as writer, reader.connect() as told:
        for _ in range(10):
            n, token = write(writer)
            tell(told, token)
            assert one(told, READ) == n
        tell(writer, token)  # it has everything
        assert one(writer, READ) == n


@contextlib.contextmanager
def proxy_before_primary(weir, run, authority, cluster):
    with proxy_before(weir, run, authority, cluster, 'split') as proxy:
        proxy.configure({'reads': 'primary', 'replicas': []})
        yield proxy


def test_it_waits_for_a_replica(split, reader, cluster):
    with split.connect() as writer, reader.connect() as told, contextlib.ExitStack() as stack:
        stack.enter_context(held_back(cluster))
        n, token = write(writer)
        tell(told, token)
        timer = threading.Timer(0.7, stack.close)
        timer.start()
        started = time.monotonic()
        assert one(told, READ) == n
        assert 0.5 < time.monotonic() - started < 2
        timer.join()
    assert reader.await_status(lambda status: status['replica_waits'] > 0)['replica_waits_expired'] == 0


def set_by(connection, token):
    tell(connection, token)
    return connection


def test_it_does_not_wait_for_ever(split, reader, cluster):
    with split.connect() as writer, held_back(cluster):
        _, token = write(writer)
        for connect in (lambda: set_by(reader.connect(), token), lambda: reader.connect(options=f'-c weir.causal_token={token}')):
            with connect() as told, reader.connect() as untold:
                started = time.monotonic()
                with pytest.raises(psycopg.OperationalError, match='(?s)Timed-out waiting for a replica.*The token asks for '
                                   r'[0-9A-F]+/[0-9A-F]+ of timeline 1; r-1 has .*; r-2 has .*Try again later') as error:
                    one(told, READ)
                assert 1.5 < time.monotonic() - started < 4
                assert error.value.sqlstate in ('08001', None)
                assert one(untold, READ) >= 0
    reader.await_status(lambda status: status['replica_waits_expired'] == 2)


def test_a_token_of_another_cluster_is_refused_where_nobody_writes(split, reader):
    with split.connect() as writer:
        system, timeline, position = parts_of(write(writer)[1])
    foreign = token_of(system + 1, timeline, position)
    for connect in (lambda: tell_and_read(reader.connect(), foreign), lambda: reader.connect(options=f'-c weir.causal_token={foreign}')):
        with pytest.raises(psycopg.OperationalError, match=f'(?s)it is of another cluster.*{system + 1}'):
            connect()


def test_what_comes_right_behind_at_a_replica(split, reader, cluster):
    """A replica was chosen before the token was known: what comes behind waits, or is refused; it never reads less."""
    reader.configure({'connection_borrow_timeout_s': 20})  # who is refused leaves a server connection to be closed
    with split.connect() as writer, cluster.one.held_back():
        for _ in range(10):
            n, token = write(writer)
            cluster.two.catch_up()
            with Wire(reader.address, PORT, ANN['user'], ANN['password'], 'app') as wire:
                heard = wire.ask(query(f"SET weir.causal_token = '{token}'"), query(READ), query(READ))
                assert [answer[1][0].decode() for answer in heard if answer[0] == 'DataRow'] == [str(n)] * 2
            with reader.connect() as told:
                told.execute('BEGIN')
                tell(told, token)
                told.execute('COMMIT')
                assert one(told, READ) == n
            with reader.connect() as told:
                told.execute('BEGIN')
                tell(told, token)
                with pytest.raises(psycopg.OperationalError, match='weir.causal_token was set where a replica was chosen already'):
                    one(told, READ)
            with reader.connect() as told, pytest.raises(psycopg.OperationalError, match='a replica was chosen already'):
                Simple(told).execute(f"SET weir.causal_token = '{token}'; {READ}")
    cluster.catch_up()


def test_programs_that_take_options(split, reader, cluster):
    """psql shows it, and psql and pg_dump take it from the environment, at an endpoint where one replica has it."""
    def run(proxy, program, *words, **more):
        environment = {**os.environ, 'PGPASSWORD': ANN['password'], 'PGSSLMODE': 'disable', **more}
        done = subprocess.run([program, '-h', proxy.address, '-p', str(PORT), '-U', 'ann', '-d', 'app', *words], env=environment,
                              capture_output=True, text=True, check=True)
        return done.stdout.split('\n')
    with cluster.one.held_back():
        n, _, token, *_ = run(split, 'psql', '-Atc', 'UPDATE k SET n = n + 1 WHERE id = 1 RETURNING n', '-c', SHOW)
        cluster.two.catch_up()
        for _ in range(4):
            assert run(reader, 'psql', '-Atc', READ, PGOPTIONS=f'-c weir.causal_token={token}')[0] == n
            assert f'1\t{n}' in run(reader, 'pg_dump', '-a', '-t', 'k', PGOPTIONS=f'-c weir.causal_token={token}')
    cluster.catch_up()


# ---- who reads is another one ---------------------------------------------------------------------

def test_an_endpoint_that_does_not_split_any_more(split, cluster):
    """Of replicas only a token asks for something: a session without one goes on, whatever it has written before."""
    with split.connect() as writer, split.connect() as told, split.connect() as late:
        tell(late, write(writer)[1])
        cluster.catch_up()
        with contextlib.ExitStack() as stack:
            stack.enter_context(held_back(cluster))
            n, token = write(writer)
            tell(told, token)
            for connection in (writer, told, late):
                wait_for(lambda: one(connection, WHERE) in {str(cluster.primary.data), *replicas_of(cluster)}, 'nobody reads')
            assert one(writer, READ) == one(told, READ) == n
            split.configure({'reads': 'replicas', 'max_replica_lag_ms': 0})
            wait_for(lambda: one(writer, WHERE) in replicas_of(cluster), 'the configuration is not there')
            assert {one(writer, READ) for _ in range(5)} == {one(late, READ)} == {n - 1}
            started = time.monotonic()
            timer = threading.Timer(0.5, stack.close)
            timer.start()
            assert one(told, READ) == n  # waits, and goes on
            assert time.monotonic() - started > 0.4
            timer.join()
            assert is_handed_on(one(told, SHOW), token)
        cluster.catch_up()


def test_over_a_failover(weir, tmp_path, authority, own_cluster):
    """A token of the timeline before, at both kinds of endpoints, and one of the new timeline."""
    prepare(own_cluster)
    primary, promoted, follower = own_cluster.primary, own_cluster.one, own_cluster.two
    with proxy_before(weir, tmp_path / 'split', authority, own_cluster, 'split') as split, \
            proxy_before(weir, tmp_path / 'reader', authority, own_cluster, 'replicas', connection_borrow_timeout_s=20) as reader:
        with split.connect() as writer:
            n, old = write(writer)
        own_cluster.catch_up()
        primary.kill()
        promoted.ask('SELECT pg_promote()')
        wait_for(lambda: not promoted.ask('SELECT pg_is_in_recovery()')[0][0], 'it is not promoted')
        follower.run(f"ALTER SYSTEM SET primary_conninfo = 'host={promoted.folder} port={PORT} user=postgres'",
                     'SELECT pg_reload_conf()')
        for proxy in (split, reader):
            proxy.configure({'target': promoted.target('db-2'), 'replicas': [follower.target('r-2')]})
        await_states(reader, {'r-2': 'AVAILABLE'})
        with reader.connect() as told:
            tell(told, old)
            assert one(told, READ) == n  # which goes on from there
        with split.connect() as writer:
            tell(writer, old)
            assert one(writer, READ) == n
            assert parts_of(one(writer, SHOW))[1] == parts_of(old)[1] + 1
            n, new = write(writer)
        assert parts_of(new)[1] == parts_of(old)[1] + 1
        with split.connect() as also:
            tell(also, new)
            assert one(also, READ) == n
        promoted.run('CHECKPOINT')
        follower.catch_up_with(promoted)
        follower.run('CHECKPOINT')  # from then on it tells everybody which timeline it is on
        with reader.connect() as told:
            tell(told, new)
            assert one(told, READ) == n


# ---- replicas that do not say it ------------------------------------------------------------------

def places(admin):
    return {row['id']: row['causal_token'] for row in admin.execute('SHOW TARGETS').fetchall()}


def test_a_role_that_may_not_ask_which_cluster_it_is(weir, tmp_path, authority, own_cluster):
    """Replicas serve as before there were tokens; who asks for what nobody can tell is told so; a GRANT is enough."""
    prepare(own_cluster)
    functions = ('pg_control_system()', 'pg_control_recovery()')
    own_cluster.primary.run(*[f'REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC' for function in functions], database='postgres')
    own_cluster.catch_up()
    with proxy_before(weir, tmp_path / 'split', authority, own_cluster, 'split', admin_database='weir', stats_users=['ann']) as split, \
            proxy_before(weir, tmp_path / 'reader', authority, own_cluster, 'replicas', connection_borrow_timeout_s=1) as reader, \
            split.connect(dbname='weir', row_factory=dict_row) as admin, split.connect() as writer, split.connect() as told:
        n, token = write(writer)
        own_cluster.catch_up()
        await_replicas(writer, own_cluster)
        assert set(places(admin).values()) == {None}
        tell(told, token)
        assert one(told, READ) == n
        assert one(writer, READ) == n
        with pytest.raises(psycopg.Error, match='at a replica that does not say of which cluster it is: ask in a transaction that may write'):
            writer.execute('BEGIN READ ONLY')
            writer.execute(SHOW)
        writer.execute('ROLLBACK')
        assert one(writer, SHOW) != ''
        with reader.connect() as there, pytest.raises(psycopg.OperationalError, match='r-1 does not say of which cluster it is; r-2 does'):
            tell(there, token)
            one(there, READ)
        own_cluster.primary.run(*[f'GRANT EXECUTE ON FUNCTION {function} TO ann' for function in functions], database='postgres')
        wait_for(lambda: None not in places(admin).values(), 'nobody asks again')
        with reader.connect() as there:
            tell(there, token)
            assert one(there, READ) == n


def test_a_replica_that_lets_nobody_measure_it(weir, tmp_path, authority, own_cluster):
    """It serves where nobody cares how far behind it is; what it had before counts for nothing."""
    prepare(own_cluster)
    with proxy_before(weir, tmp_path / 'split', authority, own_cluster, 'split') as split, split.connect() as writer:
        _, token = write(writer)
    own_cluster.catch_up()
    with proxy_before(weir, tmp_path / 'reader', authority, own_cluster, 'replicas', connection_borrow_timeout_s=1, max_replica_lag_ms=0,
                      admin_database='weir', stats_users=['bob']) as reader, \
            reader.connect(BOB, dbname='weir', row_factory=dict_row) as admin, reader.connect(BOB) as untold:
        wait_for(lambda: None not in places(admin).values(), 'they do not answer')
        own_cluster.primary.run('ALTER ROLE ann NOLOGIN')
        own_cluster.catch_up()
        for replica in own_cluster.replicas:
            replica.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ann'")
        wait_for(lambda: set(places(admin).values()) == {None}, 'it is still measured')
        wait_for(lambda: one(untold, READ) >= 0, 'nobody serves')
        with reader.connect(BOB) as told, pytest.raises(psycopg.OperationalError, match='r-1 has not answered; r-2 has not answered'):
            tell(told, token)
            one(told, READ)
