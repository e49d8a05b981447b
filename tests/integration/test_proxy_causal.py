"""The causal token at endpoints that read and write: what one session has written, another one reads, by whichever
process it comes, and from replicas only where they have it; before real streaming replicas that are held back."""
import asyncio
import contextlib
import random
import subprocess
import threading
import time

import asyncpg
import psycopg
import psycopg2
import pytest
from psycopg.rows import dict_row

from support.causal import (READ, SHOW, WHERE, Simple, await_replicas, database, held_back, is_handed_on, one, other,
                            parts_of, reader, replicas_of, split, tell, tell_and_read, token_of, write)
from support.pool import ANN, BOB, PORT, authority, wait_for
from support.replicas import cluster, proxy_before
from support.wire import SYNC, Wire, bind, describe, execute, parse, query

pytestmark = pytest.mark.timeout(180)

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


@pytest.mark.parametrize('text, why', [
    ("SET LOCAL weir.causal_token = ''", 'SET LOCAL weir.causal_token has no effect'),
    ('UPDATE k SET n = n WHERE id = 3; SHOW weir.causal_token', 'by a request of its own'),
    (f'SHOW weir.causal_token /* {"x" * 200000} */', 'by a shorter text')],
    ids=['local', 'several', 'long'])
def test_what_is_refused_by_name(split, text, why):
    with split.connect() as connection, pytest.raises(psycopg.OperationalError, match=why) as error:
        Simple(connection).execute(text)
    assert error.value.sqlstate in ('0A000', None)


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
