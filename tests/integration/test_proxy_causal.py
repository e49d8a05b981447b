"""The causal token: what one session has written, another one reads, by whichever process it comes, and from replicas
only where they have it; before real streaming replicas that are held back."""
import asyncio
import contextlib
import os
import random
import subprocess
import threading
import time

import asyncpg
import psycopg
import psycopg2
import pytest
from psycopg.rows import dict_row

from support.pool import ANN, BOB, PORT, authority, wait_for
from support.replicas import await_states, cluster, own_cluster, proxy_before
from support.wire import SYNC, Wire, bind, describe, execute, parse, query

pytestmark = pytest.mark.timeout(180)

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


@contextlib.contextmanager
def held_back(cluster):
    with cluster.one.held_back(), cluster.two.held_back():
        yield


def one(connection, text, *parameters):
    return connection.execute(text, *parameters).fetchone()[0]


def replicas_of(cluster):
    return {str(replica.data) for replica in cluster.replicas}


def await_replicas(connection, cluster):
    """One that was held back counts as behind until it is asked."""
    wait_for(lambda: {one(connection, WHERE) for _ in range(20)} == replicas_of(cluster), 'replicas do not serve')


def write(connection):
    """What it has become, and the token."""
    n = one(connection, 'UPDATE k SET n = n + 1 WHERE id = 1 RETURNING n')
    return n, one(connection, SHOW)


def parts_of(token):
    version, system, timeline, position = token.split('-')
    assert (version, len(token)) == ('w1', 45)
    return int(system, 16), int(timeline, 16), int(position, 16)


def token_of(system, timeline, position):
    return f'w1-{system:016x}-{timeline:08x}-{position:016x}'


def is_handed_on(shown, token):
    """It may ask for the end of the page before, where nothing of the next one was written."""
    return parts_of(shown)[:2] == parts_of(token)[:2] and 0 <= parts_of(token)[2] - parts_of(shown)[2] <= 40


def tell(connection, token):
    connection.execute(f"SET weir.causal_token = '{token}'")


# ---- one endpoint for both ------------------------------------------------------------------------

def test_another_process_reads_what_was_written(split, other, cluster):
    with split.connect() as writer, other.connect(BOB) as told, other.connect() as untold:
        before = one(told, READ)
        with held_back(cluster):
            n, token = write(writer)
            assert n == before + 1
            assert one(told, READ) == one(untold, READ) == before  # replicas have nothing of it yet
            tell(told, token)
            started = time.monotonic()
            for _ in range(10):
                assert one(told, READ) == n
                assert one(told, WHERE) == str(cluster.primary.data)
            assert time.monotonic() - started < 5
            assert one(untold, READ) == before
        cluster.catch_up()
        await_replicas(told, cluster)
        assert one(told, READ) == n


def test_one_replica_that_has_it_is_enough(split, other, cluster):
    with split.connect() as writer, other.connect() as told, cluster.one.held_back():
        n, token = write(writer)
        cluster.two.catch_up()
        tell(told, token)
        assert {(one(told, READ), one(told, WHERE)) for _ in range(10)} == {(n, str(cluster.two.data))}


def ways_to_set(proxy):
    def plain(token):
        connection = proxy.connect()
        tell(connection, token)
        return connection

    def parameter(token):
        connection = proxy.connect()
        connection.execute("SELECT set_config('weir.causal_token', %s, false)", (token,))
        return connection

    def prepared(token):
        connection = proxy.connect(prepare_threshold=0)
        for value in ('', token, ''):  # which takes nothing back
            connection.execute("SELECT set_config('weir.causal_token', %s, false)", (value,))
        return connection

    def transaction(token):
        connection = proxy.connect(autocommit=False)
        tell(connection, token)
        connection.commit()
        return connection

    def options(token):
        return proxy.connect(options=f'-c work_mem=2MB -c weir.causal_token={token}')

    return [plain, parameter, prepared, transaction, options]


@pytest.mark.parametrize('way', range(5))
def test_each_way_to_set_it(split, other, cluster, way):
    with split.connect() as writer, held_back(cluster):
        n, token = write(writer)
        with ways_to_set(other)[way](token) as told:
            assert one(told, READ) == n
            told.commit()
            assert is_handed_on(one(told, SHOW), token)


def shown_by_psycopg(proxy, **more):
    def show():
        with proxy.connect(**more) as connection:
            n = one(connection, 'UPDATE k SET n = n + 1 WHERE id = 1 RETURNING n')
            connection.commit()
            tokens = [connection.execute(text, binary=more.get('binary')).fetchone()[0]
                      for text in (SHOW, SHOW, "SELECT current_setting('weir.causal_token')")]
            connection.commit()
            return n, tokens
    return show


def shown_by_psycopg2(proxy):
    def show():
        connection = psycopg2.connect(**proxy.settings())
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute('UPDATE k SET n = n + 1 WHERE id = 1 RETURNING n')
            n = cursor.fetchone()[0]
            connection.commit()
            cursor.execute(SHOW)
            token = cursor.fetchone()[0]
            connection.commit()
            return n, [token]
    return show


def shown_by_asyncpg(proxy, **more):
    """It prepares, describes, and runs later."""
    async def work():
        connection = await asyncpg.connect(host=proxy.address, port=PORT, database='app', **BOB, **more)
        try:
            n = await connection.fetchval('UPDATE k SET n = n + $1 WHERE id = 1 RETURNING n', 1)
            return n, [await connection.fetchval(SHOW) for _ in range(3)]
        finally:
            await connection.close()
    return lambda: asyncio.run(work())


def ways_to_show(proxy):
    return [shown_by_psycopg(proxy), shown_by_psycopg(proxy, prepare_threshold=0), shown_by_psycopg(proxy, autocommit=False),
            shown_by_psycopg2(proxy), shown_by_asyncpg(proxy), shown_by_asyncpg(proxy, statement_cache_size=0)]


@pytest.mark.parametrize('way', range(6))
def test_each_way_to_show_it(split, other, cluster, way):
    with other.connect() as told:
        for _ in range(3):  # by other server connections, too
            with held_back(cluster):
                n, tokens = ways_to_show(split)[way]()
                assert {parts_of(token)[0] for token in tokens} == {
                    int(cluster.primary.ask('SELECT system_identifier FROM pg_control_system()')[0][0])}
                tell(told, tokens[-1])
                assert one(told, READ) == n
            cluster.catch_up()


def test_what_has_no_token(split, other):
    with split.connect() as connection, other.connect() as told:
        assert one(connection, SHOW) == ''
        assert one(connection, READ) >= 0
        assert one(connection, SHOW) == ''  # reads write nothing
        tell(told, '')
        assert one(told, SHOW) == ''
        _, token = write(connection)
        tell(told, token)
        tell(told, '')  # a token is never taken back
        told.execute('RESET weir.causal_token; RESET ALL')
        told.execute('DISCARD ALL')
        assert parts_of(one(told, SHOW)) >= parts_of(token) or is_handed_on(one(told, SHOW), token)
        _, later = write(told)
        assert parts_of(later) > parts_of(token)
        tell(told, token)  # nor is what it has written itself
        assert parts_of(one(told, SHOW)) >= parts_of(later)


def test_what_is_rolled_back_is_not_told(split, other, cluster):
    with split.connect() as writer, other.connect() as told:
        _, token = write(writer)
        told.execute('BEGIN')
        tell(told, token)
        told.execute('ROLLBACK')
        assert one(told, SHOW) == ''


def test_a_transaction_that_writes_has_no_token_yet(split):
    """Its commit is still to come: an error that says so, and the connection goes on."""
    with split.connect() as connection:
        for _ in range(3):
            connection.execute('BEGIN')
            assert one(connection, SHOW) is not None
            connection.execute('UPDATE k SET n = n + 1 WHERE id = 2')
            with pytest.raises(psycopg.Error, match='causal token of what is not committed: ask behind COMMIT'):
                connection.execute(SHOW)
            connection.execute('ROLLBACK')
        with pytest.raises(psycopg.Error, match='ask behind COMMIT'), connection.pipeline():
            connection.execute('UPDATE k SET n = n + 1 WHERE id = 2')
            connection.execute(SHOW)
        assert write(connection)[1] != ''


def test_a_pipeline_of_batches(split, other, authority, cluster):
    """Nobody waits for answers: the token has what was written in front of it."""
    with Wire(split.address, PORT, ANN['user'], ANN['password'], 'app') as wire, other.connect() as told:
        for turn in range(5):
            heard = wire.ask(query('UPDATE k SET n = n + 1 WHERE id = 1 RETURNING n'), query(SHOW),
                             parse('UPDATE k SET n = n + 1 WHERE id = 1 RETURNING n'), bind(), execute(), SYNC,
                             parse(SHOW, 'shown' if turn == 0 else f'shown{turn}'), describe(name='shown'), SYNC,
                             bind('shown'), execute(), SYNC)
            rows = [answer[1][0].decode() for answer in heard if answer[0] == 'DataRow']
            assert [answer for answer in heard if answer[0] == 'ErrorResponse'] == []
            assert parts_of(rows[1]) < parts_of(rows[3])
            with held_back(cluster):
                last = wire.ask(query('UPDATE k SET n = n + 1 WHERE id = 1 RETURNING n'), query(SHOW))
                n, token = [answer[1][0].decode() for answer in last if answer[0] == 'DataRow']
                tell(told, token)
                assert one(told, READ) == int(n) == int(rows[2]) + 1
            cluster.catch_up()


def test_what_stands_behind_one_that_shows_none(split):
    """In the same pipeline: the error is that of the one Query, and each has its answer."""
    with Wire(split.address, PORT, ANN['user'], ANN['password'], 'app') as wire:
        for _ in range(3):
            before, = wire.rows('SELECT n FROM k WHERE id = 4')
            heard = wire.ask(query('BEGIN'), query('UPDATE k SET n = n + 10 WHERE id = 4'), query(SHOW), query(SHOW), query('ROLLBACK'),
                             query('UPDATE k SET n = n + 1 WHERE id = 4 RETURNING n'), query(SHOW), query('SELECT n FROM k WHERE id = 4'))
            assert [answer[1] for answer in heard if answer[0] == 'ReadyForQuery'] == ['T', 'T', 'E', 'E', 'I', 'I', 'I', 'I']
            errors = [dict(answer[1])['message'] for answer in heard if answer[0] == 'ErrorResponse']
            assert 'ask behind COMMIT' in errors[0] and 'current transaction is aborted' in errors[1] and len(errors) == 2
            rows = [answer[1][0].decode() for answer in heard if answer[0] == 'DataRow']
            assert rows[0] == rows[2] == str(int(before[0]) + 1) and parts_of(rows[1])


def test_pairs_of_writers_and_readers(split, other, cluster):
    """Each reader, in the other process, reads at once what its writer has just told it; many reads are the replicas'."""
    errors, folders = [], []

    def work(number):
        dice = random.Random(number)
        try:
            with split.connect(prepare_threshold=dice.choice([None, 0])) as writer, other.connect(dice.choice([ANN, BOB])) as told:
                for turn in range(1, 40):
                    writer.execute('UPDATE k SET n = %s WHERE id = %s', (turn, number))
                    tell(told, one(writer, SHOW))
                    time.sleep(dice.choice([0, 0, 0.003]))
                    folder, n = told.execute('SELECT folder, n FROM here, k WHERE id = %s', (number,)).fetchone()
                    assert n == turn, f'{number} wrote {turn}, and {n} is read in {folder}'
                    folders.append(folder)
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(11, 19)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
    assert len(set(folders) & replicas_of(cluster)) == 2


def test_nothing_is_left_for_strangers(weir, tmp_path, authority, cluster, split):
    """Neither on the connection where it was set nor where it was shown; and it parts no server connections."""
    cluster.primary.run("CREATE VIEW left_here AS SELECT coalesce(current_setting('weir.causal_token', true), '') AS token",
                        'GRANT SELECT ON left_here TO ann')
    hidden = 'SELECT token FROM left_here'
    with proxy_before(weir, tmp_path / 'other', authority, cluster, 'split', workers=1, max_connections_percent=10) as other, \
            split.connect() as writer, other.connect() as told, other.connect() as stranger:
        _, token = write(writer)
        for _ in range(3):
            tell(told, token)
            at_the_primary(stranger, hidden)
            assert one(told, SHOW) != ''
            at_the_primary(stranger, hidden)
            assert one(stranger, SHOW) == ''
        assert other.await_status(lambda status: status['tokens_set'] == 3)['servers_opened'] <= 4  # to three servers, and a probe


def at_the_primary(connection, hidden):
    connection.execute('BEGIN')
    assert one(connection, hidden) == ''
    connection.execute('COMMIT')


def test_a_statement_that_sets_it_and_pins(split, reader):
    """It shows only in the answer that the session has to stay: at a replica it ends, at the primary it goes on."""
    both = "SELECT set_config('search_path', %s, false), set_config('weir.causal_token', %s, false)"
    with split.connect() as writer, split.connect() as told:
        n, token = write(writer)
        told.execute(both, ('pg_temp, public', token))
        assert one(told, READ) == n
        with reader.connect() as told_there:
            told_there.execute(both, ('pg_temp, public', token))
            with pytest.raises(psycopg.OperationalError, match='a replica was chosen already'):
                one(told_there, READ)


def test_a_prepared_statement_whose_name_is_not_followed(split, reader):
    setting = "SELECT set_config('weir.causal_token', %s, false)"
    with split.connect() as writer, split.connect(client_encoding='SJIS', prepare_threshold=0) as told:
        n, token = write(writer)
        told.execute(setting, (token,))
        assert one(told, READ) == n
        with reader.connect(client_encoding='SJIS', prepare_threshold=0) as told_there, \
                pytest.raises(psycopg.OperationalError, match='name the proxy does not follow, where'):
            told_there.execute(setting, (token,))


# ---- tokens that are none, or of something else ---------------------------------------------------

@pytest.mark.parametrize('bad', ['x', 'w1-', '0/3000060', 'w2-0123456789abcdef-00000001-0000000003000060'])
def test_what_is_no_token(split, bad):
    for connect in (lambda: tell_and_read(split.connect(), bad), lambda: split.connect(options=f'-c weir.causal_token={bad}')):
        with pytest.raises(psycopg.OperationalError, match='it is no token.*\n.*Set it to what SHOW'):
            connect()
    split.await_status(lambda status: status['tokens_refused'] == 2)


def set_by(connection, token):
    tell(connection, token)
    return connection


def tell_and_read(connection, token):
    with connection:
        tell(connection, token)
        one(connection, READ)


@pytest.mark.parametrize('text, why', [
    ("SET LOCAL weir.causal_token = ''", 'SET LOCAL weir.causal_token has no effect'),
    ('UPDATE k SET n = n WHERE id = 3; SHOW weir.causal_token', 'by a request of its own'),
    (f'SHOW weir.causal_token /* {"x" * 200000} */', 'by a shorter text')],
    ids=['local', 'several', 'long'])
def test_what_is_refused_by_name(split, text, why):
    with split.connect() as connection, pytest.raises(psycopg.OperationalError, match=why) as error:
        Simple(connection).execute(text)
    assert error.value.sqlstate in ('0A000', None)


class Simple(psycopg.ClientCursor):
    """Sends a text as it is."""


def test_tokens_of_elsewhere_ask_for_all_there_is(split, other, cluster):
    """Far ahead, of another cluster, of another timeline: the read is right, nobody waits, and replicas serve again."""
    with split.connect() as writer:
        system, timeline, position = parts_of(write(writer)[1])
        strange = [token_of(system, timeline, position + (1 << 40)), token_of(system, timeline, (1 << 64) - 1),
                   token_of(system + 1, timeline, position), token_of(system, timeline + 1, 1), token_of(system, timeline + 7, position << 8)]
        for token in strange:
            with other.connect() as told:
                with held_back(cluster):
                    n, _ = write(writer)
                    tell(told, token)
                    started = time.monotonic()
                    for _ in range(10):
                        assert one(told, READ) == n
                    assert time.monotonic() - started < 5
                cluster.catch_up()
                await_replicas(told, cluster)
                assert parts_of(one(told, SHOW))[:2] == (system, timeline)  # it is not handed on


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


# ---- endpoints that only read ---------------------------------------------------------------------

def test_a_read_only_endpoint(split, reader, cluster):
    with split.connect() as writer, reader.connect() as told, reader.connect() as untold, cluster.one.held_back():
        before = one(untold, READ)
        n, token = write(writer)
        cluster.two.catch_up()
        tell(told, token)
        assert {(one(told, READ), one(told, WHERE)) for _ in range(10)} == {(n, str(cluster.two.data))}
        assert {one(untold, READ) for _ in range(10)} == {before, n}
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


# ---- what is to be seen of it ---------------------------------------------------------------------

def test_metrics_and_the_admin_database(split, reader):
    split.configure({'stats_users': ['ann'], 'admin_database': 'weir'})
    with split.connect() as writer, split.connect(dbname='weir', row_factory=dict_row) as admin:
        _, token = write(writer)
        tell(writer, token)
        one(writer, READ)
        metrics = {row['name']: row['value'] for row in admin.execute('SHOW METRICS').fetchall()}
        assert (int(metrics['CausalTokensShown']), int(metrics['CausalTokensSet'])) == (1, 1)
        assert {'ReplicaWaits', 'ReplicaWaitsExpired', 'CausalTokensRefused'} <= set(metrics)
        wait_for(lambda: min(parts_of(row['causal_token']) for row in admin.execute('SHOW TARGETS').fetchall()) >= parts_of(token),
                 'the targets are not there')


def test_explain(weir):
    done = subprocess.run([weir, 'proxy', 'explain', SHOW, "SELECT set_config('weir.causal_token', $1, false)"],
                          capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert lines[0].endswith('multiplexes: SHOW weir.causal_token -- shows what the session has written, as a token')
    assert 'from the next transaction on replicas must have what the token says' in lines[1]
    assert done.returncode == 0
