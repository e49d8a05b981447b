"""`weir proxy` between psycopg, asyncpg, pgbench and a real PostgreSQL, with a test for an agent."""
import asyncio
import contextlib
import os
import random
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import asyncpg
import psycopg
import pytest

from support.engines import account_folder, own_address, stop
from support.plane_agent import PlaneProcess, Refused
from support.pool import (ANN, BOB, PATIENCE_S, PORT, Postgres, Proxy, authority, backends_of, one_server, pool,
                          postgres, proxy, wait_for)

pytestmark = pytest.mark.timeout(120)

# ---- logging in ---------------------------------------------------------------------------------

def test_login_with_verified_tls(pool):
    with pool.connect() as connection:
        assert connection.execute('SELECT current_user, current_database()').fetchone() == ('ann', 'app')
        assert connection.info.parameter_status('server_encoding') == 'UTF8'
        assert connection.info.backend_pid > 0
    with pool.connect(BOB, channel_binding='require') as connection:
        assert connection.execute('SELECT current_user').fetchone() == ('bob',)
    with pool.connect(sslmode='disable') as connection:
        assert connection.execute('SELECT 1').fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match='certificate verify failed'):
        pool.connect(sslrootcert='/etc/ssl/certs/ca-certificates.crt')


def test_who_may_not_log_in(pool):
    with pytest.raises(psycopg.OperationalError) as wrong:
        pool.connect(ANN, password='wrong')
    assert 'The password that was provided for the role ann is wrong.' in str(wrong.value)
    with pytest.raises(psycopg.OperationalError) as unknown:
        pool.connect({'user': 'eve', 'password': 'x'})
    assert ('This RDS proxy has no credentials for the role eve. Check the credentials for this role and try again.'
            in str(unknown.value))
    with pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'):
        pool.connect(dbname='nowhere')
    with pytest.raises(psycopg.OperationalError, match='invalid value for parameter "TimeZone"'):
        pool.connect(options='-c TimeZone=Nowhere/Land')
    assert pool.await_status(lambda s: s.get('auth_failed') == 2)


def test_tls_can_be_required(proxy):
    proxy.configure(require_tls=True)
    with pytest.raises(psycopg.OperationalError, match='This RDS Proxy requires TLS connections.'):
        proxy.connect(sslmode='disable')
    proxy.connect().close()


def test_replication_is_refused(pool):
    with pytest.raises(psycopg.OperationalError, match="currently doesn't support streaming replication mode"):
        pool.connect(replication='true')


def test_server_with_md5(proxy):
    proxy.configure({'users': [{'user': 'md5user', 'password': 'md5 password'}]})
    with proxy.connect({'user': 'md5user', 'password': 'md5 password'}) as connection:
        assert connection.execute('SELECT current_user').fetchone() == ('md5user',)


def test_credentials_that_the_database_refuses(proxy):
    proxy.configure({'users': [{'user': 'ann', 'password': 'outdated'}]})
    with pytest.raises(psycopg.OperationalError, match='could not log in to the database'):
        proxy.connect({'user': 'ann', 'password': 'outdated'})
    status = proxy.await_status(lambda s: s['targets'][0]['state'] == 'UNAVAILABLE')
    assert status['targets'][0]['reason'] == 'AUTH_FAILURE'


def test_startup_settings_are_kept_apart(pool):
    with pool.connect(application_name='one', options='-c timezone=Asia/Tokyo') as one, \
            pool.connect(application_name='two') as two:
        for _ in range(3):
            assert one.execute('SHOW timezone').fetchone() == ('Asia/Tokyo',)
            assert two.execute('SHOW timezone').fetchone() != ('Asia/Tokyo',)
            assert one.execute('SHOW application_name').fetchone() == ('one',)
        assert one.info.parameter_status('TimeZone') == 'Asia/Tokyo'


# ---- sharing ------------------------------------------------------------------------------------

def test_more_clients_than_servers(pool, postgres):
    pool.configure({'max_connections_percent': 30})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(pool.connect()) for _ in range(40)]
        seen = set()
        for _ in range(3):
            for client in clients:
                seen.add(pool.pid_of(client))
        assert len(seen) <= 3
        with clients[0].transaction(), clients[1].transaction():
            assert pool.pid_of(clients[0]) != pool.pid_of(clients[1])
        status = pool.await_status(lambda s: s['clients'] == 40)
        assert status['servers'] <= 3 and status['clients_pinned'] == 0
        assert len(postgres.backends()) <= 3


def test_many_at_once(pool):
    pool.configure({'max_connections_percent': 30})
    errors = []

    def work(number):
        try:
            with pool.connect(ANN if number % 2 else BOB) as connection:
                for turn in range(20):
                    with connection.transaction():
                        assert connection.execute('SELECT %s::text, %s', (f'{number}', turn)).fetchone() == (
                            f'{number}', turn)
                        connection.execute('SELECT pg_sleep(0.001)')
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_what_pins(pool):
    with pool.connect() as connection:
        connection.execute("PREPARE mine AS SELECT 'mine'")
        pid = pool.pid_of(connection)
        with pool.connect() as other:
            for _ in range(5):
                assert pool.pid_of(other) != pid
                assert other.execute('SELECT count(*) FROM pg_prepared_statements').fetchone() == (0,)
        assert connection.execute('EXECUTE mine').fetchone() == ('mine',)
        assert pool.pid_of(connection) == pid
        assert pool.await_status(lambda s: s['clients_pinned'] == 1)['pinned'] == {'sql_prepare': 1}
    # Its server connection went with it.
    with pool.connect() as other:
        assert pool.pid_of(other) != pid
    assert pool.await_status(lambda s: s['clients_pinned'] == 0)


@pytest.mark.parametrize('pin, end', [
    ('SELECT pg_advisory_lock(7)', 'SELECT pg_advisory_unlock(7)'),
    ('SELECT pg_advisory_lock(7)', 'SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL'),
    ('CREATE TEMP TABLE unpins (a int)', 'DROP TABLE unpins'),
    ('CREATE TEMP TABLE unpins (a int)', 'DISCARD TEMP'),
    ('BEGIN; CREATE TEMP TABLE unpins (a int) ON COMMIT DROP', 'COMMIT'),
    ('BEGIN; CREATE TEMP TABLE unpins (a int)', 'ROLLBACK'),
    ('CREATE TEMP TABLE unpins AS SELECT 1/(SELECT 0)', 'SELECT 1'),
    ('CREATE FUNCTION pg_temp.unpins() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$', 'DROP FUNCTION pg_temp.unpins()'),
    ('LISTEN unpins', 'UNLISTEN unpins'),
    ("DECLARE unpins CURSOR WITH HOLD FOR SELECT 1", 'CLOSE unpins'),
    ('PREPARE unpins AS SELECT 1', 'DEALLOCATE unpins'),
    ('PREPARE unpins AS SELECT 1', 'DISCARD ALL'),
])
def test_unpinned_when_what_pins_is_gone(proxy, pin, end):
    one_server(proxy)
    with proxy.connect() as connection:
        connection.execute("SET work_mem = '5MB'")
        with contextlib.suppress(psycopg.errors.DivisionByZero):
            connection.execute(pin)
        connection.execute(end)
        with proxy.connect() as other:  # gets the only server connection
            assert other.execute('SHOW work_mem').fetchone() == ('4MB',)
        expected = '4MB' if 'ALL' in end and 'DEALLOCATE' not in end else '5MB'
        assert connection.execute('SHOW work_mem').fetchone() == (expected,)
        assert proxy.await_status(lambda s: s['clients'] == 1)['clients_pinned'] == 0


def test_each_reason_of_a_text_is_counted(pool):
    """And one that stays keeps the session pinned when the other one is gone."""
    with pool.connect() as connection:
        connection.execute('SELECT pg_advisory_lock(7), setseed(0.5)')
        pid = pool.pid_of(connection)
        connection.execute('SELECT pg_advisory_unlock(7)')
        with pool.connect() as other:
            assert all(pool.pid_of(other) != pid for _ in range(5))
        assert pool.pid_of(connection) == pid
        assert pool.await_status(lambda s: s['clients_pinned'] == 1)['pinned'] == {'advisory_lock': 1, 'state_function': 1}


def test_what_is_still_there_stays_pinned(pool):
    with pool.connect() as connection:
        connection.execute('SELECT pg_advisory_lock(7), pg_advisory_lock(8)')
        pid = pool.pid_of(connection)
        connection.execute('SELECT pg_advisory_unlock(7)')
        with pool.connect() as other:
            assert pool.pid_of(other) != pid
            assert other.execute('SELECT pg_try_advisory_lock(7), pg_try_advisory_lock(8)').fetchone() == (True, False)
        assert pool.pid_of(connection) == pid


def test_temporary_tables_and_listen_pin(pool):
    with pool.connect() as connection, pool.connect() as other:
        connection.execute('CREATE TEMP TABLE mine (a int)')
        connection.execute('INSERT INTO mine VALUES (1)')
        connection.execute('LISTEN news')
        other.execute("NOTIFY news, 'hello'")
        notified = next(connection.notifies())
        assert connection.execute('SELECT a FROM mine').fetchone() == (1,)
        assert (notified.channel, notified.payload) == ('news', 'hello')
        with pytest.raises(psycopg.errors.UndefinedTable):
            other.execute('SELECT a FROM mine')


def test_sequences_are_not_a_strangers(proxy):
    pool = one_server(proxy)
    with pool.connect() as writer, pool.connect() as reader:
        writer.execute("INSERT INTO t (v) VALUES ('x')")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            reader.execute('SELECT lastval()')
    with pool.connect() as writer:
        with writer.transaction():
            writer.execute("INSERT INTO t (v) VALUES ('y')")
            own = writer.execute('SELECT lastval(), max(id) FROM t').fetchone()
        assert own[0] == own[1]


class Visitor:
    """A client that leaves state wherever it can, and looks for that of others."""

    def __init__(self, pool, number):
        self.pool = pool
        self.mark = f'mark {number}'
        self.number = number
        self.random = random.Random(number)

    def visit(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self.pool.connect(self.random.choice([ANN, BOB]), prepare_threshold=self.random.choice([None, 0])) as c:
                for _ in range(self.random.randrange(1, 8)):
                    self.random.choice([self.local, self.session, self.table, self.prepared, self.sequence, self.plain,
                                        self.rolled_back])(c)

    def plain(self, c):
        assert c.execute('SELECT %s::text', (self.mark,)).fetchone() == (self.mark,)
        assert c.execute("SHOW work_mem").fetchone()[0] in ('4MB', self.own_memory())

    def own_memory(self):
        return f'{1000 + self.number}kB'

    def local(self, c):
        with c.transaction():
            c.execute(f"SET LOCAL work_mem = '{self.own_memory()}'")
            assert c.execute('SHOW work_mem').fetchone() == (self.own_memory(),)

    def session(self, c):
        if self.random.randrange(4) == 0:
            c.execute(f"SET work_mem = '{self.own_memory()}'")
            for _ in range(3):
                assert c.execute('SHOW work_mem').fetchone() == (self.own_memory(),)

    def table(self, c):
        if self.random.randrange(4) == 0:
            c.execute('CREATE TEMP TABLE IF NOT EXISTS visitors AS SELECT %s::text AS mark', (self.mark,))
            assert c.execute('SELECT mark FROM visitors').fetchall() == [(self.mark,)]

    def prepared(self, c):
        if self.random.randrange(4) == 0:
            c.execute(f"PREPARE same_name AS SELECT '{self.mark}'")
            assert c.execute('EXECUTE same_name').fetchone() == (self.mark,)
            c.execute('DEALLOCATE same_name')

    def sequence(self, c):
        with contextlib.suppress(psycopg.errors.ObjectNotInPrerequisiteState):
            own = c.execute('INSERT INTO t (v) VALUES (%s) RETURNING id', (self.mark,)).fetchone()
            assert c.execute('SELECT lastval()').fetchone() == own

    def rolled_back(self, c):
        with pytest.raises(psycopg.errors.DivisionByZero):
            with c.transaction():
                c.execute(f"SET LOCAL work_mem = '{self.own_memory()}'")
                c.execute('SELECT 1/0')


def test_nobody_sees_anothers_state(pool):
    pool.configure({'max_connections_percent': 60})
    errors = []

    def visit(number):
        try:
            Visitor(pool, number).visit(6)
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(pool.status()['pinned']) >= 3


# ---- the protocol -------------------------------------------------------------------------------

def test_copy_both_ways(pool):
    rows = [(number, f'row {number}\t\n' * 3) for number in range(5000)]
    with pool.connect() as connection:
        connection.execute('DROP TABLE IF EXISTS c; CREATE TABLE c (a int, b text)')
        with connection.cursor() as cursor:
            with cursor.copy('COPY c FROM STDIN') as copy:
                for row in rows:
                    copy.write_row(row)
            with cursor.copy('COPY (SELECT * FROM c ORDER BY a) TO STDOUT') as copy:
                copy.set_types(['int4', 'text'])
                assert list(copy.rows()) == rows
            with pytest.raises(psycopg.errors.InvalidTextRepresentation):
                with cursor.copy('COPY c FROM STDIN') as copy:
                    copy.write('no number\tx\n' * 100000)
        assert connection.execute('SELECT count(*) FROM c').fetchone() == (5000,)
        connection.execute('DROP TABLE c')
    assert pool.await_status(lambda s: s['borrows'] > 0)['pinned'] == {}


def test_large_rows_and_slow_readers(pool):
    with pool.connect() as connection:
        big = 'x' * (20 << 20)
        assert connection.execute('SELECT %s::text', (big,)).fetchone()[0] == big
        # A reader that does not read holds the server, not the proxy's memory.
        before = memory_of(pool.plane.process.pid)
        connection.pgconn.send_query(b"SELECT repeat('y', 1000000) FROM generate_series(1, 100)")
        time.sleep(1)
        assert memory_of(pool.plane.process.pid) - before < 20 << 20
        count = 0
        while (result := connection.pgconn.get_result()) is not None:
            count += result.ntuples
        assert count == 100


def memory_of(pid):
    with open(f'/proc/{pid}/status', encoding='ascii') as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith('VmRSS'))


def test_pipelines(pool):
    with pool.connect() as connection:
        with connection.pipeline():
            cursors = [connection.execute('SELECT %s::int', (number,)) for number in range(1000)]
        assert [cursor.fetchone()[0] for cursor in cursors] == list(range(1000))
        with pytest.raises(psycopg.errors.DivisionByZero):
            with connection.pipeline():
                connection.execute('SELECT 1')
                connection.execute('SELECT 1/0')
                connection.execute('SELECT 2')
        assert connection.execute('SELECT 3').fetchone() == (3,)
    assert pool.await_status(lambda s: s['borrows'] > 0)['pinned'] == {}


def test_asyncpg(pool):
    async def session():
        connection = await asyncpg.connect(f'postgres://{pool.address}:{PORT}/app', user='bob', password=BOB['password'],
                                           ssl='require', statement_cache_size=0)
        assert await connection.fetchval('SELECT $1::int + 1', 41) == 42
        async with connection.transaction():
            await connection.execute('CREATE TABLE a (x int, y text)')
            await connection.copy_records_to_table('a', records=[(n, str(n)) for n in range(1000)])
            assert await connection.fetchval('SELECT sum(x) FROM a') == 499500
            numbers = [row['x'] async for row in connection.cursor('SELECT x FROM a ORDER BY x')]
            assert numbers == list(range(1000))
        await connection.execute('DROP TABLE a')
        await connection.close()
    asyncio.run(session())


@pytest.mark.parametrize('mode', ['simple', 'extended', 'prepared'])
def test_pgbench(pool, postgres, mode):
    environment = {**os.environ, 'PGPASSWORD': ANN['password'], 'PGSSLMODE': 'verify-full',
                   'PGSSLROOTCERT': str(pool.authority.ca)}
    if not postgres.ask("SELECT 1 FROM pg_database WHERE datname = 'bench'"):
        postgres.ask('SELECT 1')
        with postgres.admin() as admin:
            admin.execute('CREATE DATABASE bench OWNER ann')
        subprocess.run(['pgbench', '-i', '-q', '-h', pool.address, '-U', 'ann', 'bench'], env=environment, check=True,
                       capture_output=True, timeout=60)
    done = subprocess.run(['pgbench', '-n', '-c', '8', '-t', '50', '-M', mode, '-h', pool.address, '-U', 'ann', 'bench'],
                          env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and 'number of failed transactions: 0' in done.stdout, done.stderr


def test_cancel(pool):
    with pool.connect() as connection, pool.connect() as other:
        timer = threading.Timer(0.3, connection.cancel)
        timer.start()
        began = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute('SELECT pg_sleep(30)')
        assert time.monotonic() - began < 10
        timer.join()
        # A cancel with nothing to cancel, or with a wrong key, hits nobody.
        connection.cancel()
        wrong = struct.pack('!IIII', 16, 80877102, other.info.backend_pid, 12345)
        timer = threading.Timer(0.1, lambda: raw(pool, wrong))
        timer.start()
        assert other.execute('SELECT 1 FROM pg_sleep(0.5)').fetchone() == (1,)
        timer.join()
        assert connection.execute('SELECT 2').fetchone() == (2,)


def raw(proxy, data):
    """Sends bytes and returns what comes until the end."""
    with socket.create_connection((proxy.address, PORT), 10) as end:
        end.sendall(data)
        answer = b''
        while chunk := end.recv(65536):
            answer += chunk
        return answer


def start_packet(protocol=196608, **settings):
    body = struct.pack('!I', protocol)
    for name, value in settings.items():
        body += name.encode() + b'\0' + value.encode() + b'\0'
    return struct.pack('!I', len(body) + 5) + body + b'\0'


def test_strange_packets(pool):
    assert b'supports only version 3.0' in raw(pool, start_packet(0x20000))
    assert b'A user name is missing' in raw(pool, start_packet(database='app'))
    assert raw(pool, b'GET / HTTP/1.1\r\n\r\n') == b''
    assert raw(pool, struct.pack('!II', 8, 80877104)[:7] + b'\x30' + b'\0\0\0\4') == b'N'
    assert b'08P01' in raw(pool, start_packet(user='ann') + b'Q\0\0\0\5\0')
    # A newer minor version is negotiated down.
    answer = raw(pool, start_packet(196610, user='ann', **{'_pq_.nothing': 'x'}) + b'X\0\0\0\4')
    assert answer[:1] == b'v' and b'_pq_.nothing\0' in answer


# ---- limits -------------------------------------------------------------------------------------

def test_borrow_times_out(pool):
    pool.configure({'max_connections_percent': 10, 'connection_borrow_timeout_s': 1})
    with pool.connect() as holder, pool.connect() as waiter:
        with holder.transaction():
            holder.execute('SELECT 1')
            began = time.monotonic()
            with pytest.raises(psycopg.OperationalError) as late:
                waiter.execute('SELECT 1')
            assert 0.9 < time.monotonic() - began < 5
            assert 'Timed-out waiting to acquire database connection.' in str(late.value)
        assert holder.execute('SELECT 1').fetchone() == (1,)
    assert pool.await_status(lambda s: s['timeouts'] == 1)


def test_waiters_are_served_in_turn(pool):
    """Also across workers: nobody waits much longer than the others."""
    pool.configure({'max_connections_percent': 20})
    waits = []

    def work():
        with pool.connect() as connection:
            for _ in range(15):
                began = time.monotonic()
                connection.execute('SELECT pg_sleep(0.01)')
                waits.append(time.monotonic() - began)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(waits) == 240 and max(waits) < 1.5


def test_idle_clients_are_closed(proxy):
    proxy.configure(idle_client_timeout_s=1)
    with proxy.connect() as idle, proxy.connect() as busy:
        for _ in range(4):
            time.sleep(0.5)
            busy.execute('SELECT 1')
        busy.execute('SELECT pg_sleep(1.5)')
        with pytest.raises(psycopg.OperationalError, match='idle'):
            idle.execute('SELECT 1')


def test_idle_servers_are_closed(proxy, postgres):
    proxy.configure({'max_idle_connections_percent': 10, 'idle_server_timeout_s': 1})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(proxy.connect()) for _ in range(5)]
        for client in clients:
            stack.enter_context(client.transaction())
            client.execute('SELECT 1')
        assert len(postgres.backends()) == 5
    wait_for(lambda: len(postgres.backends()) == 1, 'idle connections stay')


def test_too_many_clients(proxy):
    proxy.configure(max_clients=2)
    with proxy.connect(), proxy.connect():
        with pytest.raises(psycopg.OperationalError, match='client connections to the proxy exceeded 2'):
            proxy.connect()
    wait_for(lambda: proxy.connect().close() is None, 'the limit does not end')


def open_files(pool):
    """Without the connections to PostgreSQL, which come and go as they are needed."""
    return len(os.listdir(f'/proc/{pool.plane.process.pid}/fd')) - pool.status()['servers']


def test_five_hundred_idle_clients(pool):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(pool.connect(sslmode='disable')) for _ in range(500)]
        pool.await_status(lambda s: s['clients'] == 500)
        files = open_files(pool)
        for client in clients[::50]:
            assert client.execute('SELECT 1').fetchone() == (1,)
    pool.await_status(lambda s: s['clients'] == 0)
    wait_for(lambda: open_files(pool) <= files - 500, 'descriptors stay')


# ---- the server goes away -----------------------------------------------------------------------

def test_server_killed_and_back(weir, tmp_path, authority):
    with account_folder('postgres') as folder:
        server = Postgres(folder)
        proxy = Proxy(weir, tmp_path / 'run', authority, server)
        try:
            proxy.configure()
            with proxy.connect() as idle, proxy.connect() as busy:
                idle.execute('SELECT 1')
                with pytest.raises(psycopg.OperationalError, match='connection'):
                    with busy.transaction():
                        busy.execute('SELECT 1')
                        server.kill()
                        busy.execute('SELECT 1')
                proxy.await_status(lambda s: s['targets'][0]['state'] == 'UNAVAILABLE')
                results = []
                waiter = threading.Thread(target=lambda: results.append(idle.execute('SELECT 2').fetchone()))
                waiter.start()
                server.start()
                waiter.join(15)
                assert results == [(2,)]
                proxy.await_status(lambda s: s['targets'][0]['state'] == 'AVAILABLE')
        finally:
            assert proxy.plane.close() == 0
            stop(server.process, signal.SIGINT)


def test_one_backend_ended(pool, postgres):
    with pool.connect() as connection, pool.connect() as other:
        pid = pool.pid_of(connection)
        postgres.ask('SELECT pg_terminate_backend(%s, 5000)', pid)
        assert pool.pid_of(connection) != pid  # nothing was under way: it notices nothing
        with pytest.raises(psycopg.OperationalError, match='terminating connection'):
            with other.transaction():
                postgres.ask('SELECT pg_terminate_backend(%s)', pool.pid_of(other))
                other.execute('SELECT 1')


def leave(connection):
    """Ends it as a killed program does: without a word."""
    with socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)
    connection.close()


def test_clients_that_leave_in_the_middle(proxy):
    """What they began is brought to an end, and their server connection serves the next."""
    pool = one_server(proxy)
    with pool.connect() as other:
        pid = pool.pid_of(other)
        leaver = pool.connect()
        leaver.execute('BEGIN')
        leaver.execute("INSERT INTO t (v) VALUES ('left')")
        leave(leaver)
        assert other.execute("SELECT count(*), pg_backend_pid() FROM t WHERE v = 'left'").fetchone() == (0, pid)
        leaver = pool.connect()
        with contextlib.suppress(psycopg.Error):
            leaver.execute('BEGIN')
            leaver.execute('SELECT 1/0')
        leave(leaver)
        assert pool.pid_of(other) == pid
        leaver = pool.connect()
        leaver.pgconn.send_query(b'SELECT pg_sleep(0.5)')
        time.sleep(0.1)
        leave(leaver)
        assert pool.pid_of(other) == pid
        leaver = pool.connect()
        leaver.pgconn.enter_pipeline_mode()
        leaver.pgconn.send_query_params(b'SELECT pg_sleep(0.2)', None)
        leaver.pgconn.send_flush_request()
        leaver.pgconn.flush()
        time.sleep(0.1)
        leave(leaver)
        assert pool.pid_of(other) == pid
        # COPY data is missing: nobody can send it, so that connection ends.
        leaver = pool.connect()
        leaver.execute('CREATE TABLE l (a int)')
        leaver.pgconn.exec_(b'COPY l FROM STDIN')
        leave(leaver)
        assert pool.pid_of(other) != pid
        other.execute('DROP TABLE l')


def test_waiters_that_leave_are_let_go(proxy):
    pool = one_server(proxy)
    with pool.connect() as holder:
        with holder.transaction():
            pid = pool.pid_of(holder)
            waiters = [pool.connect() for _ in range(10)]
            for waiter in waiters:
                waiter.pgconn.send_query(b"INSERT INTO t (v) VALUES ('nobody waits for this')")
                waiter.pgconn.flush()
            pool.await_status(lambda s: s['clients_waiting'] == 10)
            for waiter in waiters:
                leave(waiter)
            pool.await_status(lambda s: s['clients_waiting'] == 0)
        assert pool.pid_of(holder) == pid
        assert holder.execute("SELECT count(*) FROM t WHERE v LIKE 'nobody%'").fetchone() == (0,)
        assert pool.status()['servers_opened'] == 1


# ---- configuration ------------------------------------------------------------------------------

def test_reload_keeps_clients(pool, authority):
    with pool.connect() as connection:
        pid = connection.info.backend_pid
        pool.configure({'users': [BOB, {'user': 'ann', 'password': 'new password'}]})
        assert connection.execute('SELECT 1').fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match='is wrong'):
            pool.connect()
        pool.configure({'users': [BOB]})
        with pytest.raises(psycopg.OperationalError, match='no credentials for the role ann'):
            pool.connect()
        # Another certificate, another address.
        more = own_address()
        cert, key = authority.issue('other', f'IP:{pool.address}')
        pool.configure({'users': [ANN, BOB]}, listeners=[
            {'address': pool.address, 'port': PORT, 'cert_pem': cert.read_text(), 'key_pem': key.read_text()},
            {'address': more, 'port': PORT}])
        pool.connect().close()
        psycopg.connect(**pool.settings(host=more, sslmode='disable')).close()
        pool.configure(listeners=pool.config['listeners'][:1])
        with pytest.raises(psycopg.OperationalError, match='refused'):
            psycopg.connect(**pool.settings(host=more, sslmode='disable'))
        assert connection.execute('SELECT 1').fetchone() == (1,)
        assert connection.info.backend_pid == pid


def test_bad_configurations_change_nothing(pool):
    good = dict(pool.config)
    for change, text in (({'listeners': [{'address': 'nowhere'}]}, 'nowhere'),
                         ({'workers': 5}, 'workers'),
                         ({'listeners': [{**good['listeners'][0], 'key_pem': 'x'}]}, 'certificate'),
                         ({'surprise': 1}, 'surprise')):
        with pytest.raises(Refused, match=text):
            pool.configure(**change)
        pool.config = dict(good)
        pool.connect().close()


def test_security_rules(proxy):
    proxy.configure(security_rules=[{'cidr': '10.0.0.0/8'}])
    with socket.create_connection((proxy.address, PORT), 10) as end:
        with contextlib.suppress(ConnectionResetError):
            assert end.recv(100) == b''
    proxy.await_status(lambda s: s['refused_by_rule'] == 1)
    proxy.configure(security_rules=[{'cidr': '127.0.0.0/8', 'from_port': 1, 'to_port': 5000}])
    with pytest.raises(psycopg.OperationalError):
        proxy.connect()
    proxy.configure(security_rules=[{'cidr': '127.0.0.0/8'}])
    proxy.connect().close()


def test_another_target(pool, weir, tmp_path):
    with account_folder('postgres') as folder:
        second = Postgres(folder)
        try:
            with pool.connect() as connection:
                first = connection.execute('SELECT system_identifier FROM pg_control_system()').fetchone()
                pool.configure({'target': {**pool.config['pool']['target'], 'id': 'db-2',
                                           'socket_dir': str(folder)}})
                assert connection.execute('SELECT system_identifier FROM pg_control_system()').fetchone() != first
                pool.await_status(lambda s: s['targets'][0]['id'] == 'db-2')
        finally:
            stop(second.process, signal.SIGINT)


def test_init_query(proxy):
    proxy.configure({'init_query': "SET statement_timeout = '7s'; SELECT 1"})
    with proxy.connect() as connection:
        assert connection.execute('SHOW statement_timeout').fetchone() == ('7s',)
        connection.execute('RESET ALL')  # would undo it for the next client: pins
        assert proxy.await_status(lambda s: s['clients_pinned'] == 1)
    proxy.configure({'init_query': 'SELECT nothing'})
    with pytest.raises(psycopg.OperationalError, match='initialization query failed'):
        proxy.connect()


def test_the_agent_comes_and_goes(pool):
    agent = pool.plane.agent
    with pool.connect() as connection:
        agent.close()
        assert connection.execute('SELECT 1').fetchone() == (1,)
        agent.open()
        agent.wait(lambda: len(agent.hellos) == 2)
        agent.wait(lambda: {'applied': agent.epoch} in agent.answers[1:])
        assert connection.execute('SELECT 1').fetchone() == (1,)


def test_stop_drains(pool):
    with pool.connect() as idle, pool.connect() as busy:
        busy.execute('BEGIN')
        threading.Timer(0.3, pool.plane.agent.stop).start()
        assert busy.execute('SELECT 1 FROM pg_sleep(1)').fetchone() == (1,)
        busy.execute("INSERT INTO t (v) VALUES ('drained')")
        busy.execute('COMMIT')
        with pytest.raises(psycopg.OperationalError, match='administrator command'):
            idle.execute('SELECT 1')
        with pytest.raises(psycopg.OperationalError):
            busy.execute('SELECT 1')
    assert pool.plane.process.wait(10) == 0


SLOW_COMMIT = '''
    CREATE TABLE slow (v int);
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(6); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle();
    GRANT ALL ON slow TO ann'''


def test_stop_does_not_say_that_a_commit_may_be_repeated(pool, postgres):
    """What takes longer than a drain: behind a COMMIT, in a transaction, a write of its own, a read."""
    postgres.run(SLOW_COMMIT)
    pool.configure({'resend_reads': True})  # so that reads are told from writes
    texts = [['BEGIN', 'INSERT INTO slow VALUES (1)', 'COMMIT'], ['BEGIN', 'SELECT pg_sleep(20)'], ['INSERT INTO slow VALUES (2)'],
             ["SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 1000000) b"]]
    told = [None] * len(texts)

    def work(number, connection):
        try:
            for text in texts[number]:
                connection.execute(text)
        except psycopg.OperationalError as error:
            told[number] = error.sqlstate or str(error)
    connections = [pool.connect() for _ in texts]
    threads = [threading.Thread(target=work, args=each) for each in enumerate(connections)]
    try:
        for thread in threads:
            thread.start()
        wait_for(lambda: len(postgres.ask("SELECT 1 FROM pg_stat_activity WHERE usename = 'ann' AND state = 'active'")) >= 4,
                 'they do not run')
        pool.plane.agent.stop()
        for thread in threads:
            thread.join(15)
        assert ['may have been committed' in said or said == '08007' for said in told] == [True, False, True, False], told
        assert ['administrator command' in said or said == '57P01' for said in told] == [False, True, False, True], told
        assert pool.plane.process.wait(10) == 0
    finally:
        for connection in connections:
            connection.close()
        postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ann'", 'DROP TABLE slow', 'DROP FUNCTION dawdle')


# ---- relays -------------------------------------------------------------------------------------

def test_relay(proxy, postgres):
    proxy.relay()
    with proxy.connect() as connection, proxy.connect(BOB) as other:
        assert connection.execute('SELECT current_user').fetchone() == ('ann',)
        connection.execute("SET search_path = 'mine'")
        connection.execute('CREATE TEMP TABLE x AS SELECT 1 AS a')
        assert connection.execute('SHOW search_path').fetchone() == ('mine',)
        assert connection.execute('SELECT a FROM x').fetchone() == (1,)
        pid = proxy.pid_of(connection)
        assert pid != connection.info.backend_pid  # the key is ours
        timer = threading.Timer(0.3, connection.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute('SELECT pg_sleep(30)')
        timer.join()
        with connection.pipeline():
            cursors = [connection.execute('SELECT %s::int', (number,), prepare=True) for number in range(100)]
        assert [cursor.fetchone()[0] for cursor in cursors] == list(range(100))
        assert proxy.pid_of(connection) == pid != proxy.pid_of(other)
        with pytest.raises(psycopg.OperationalError, match='password authentication failed'):
            proxy.connect(ANN, password='wrong')
        with pytest.raises(psycopg.OperationalError, match='create a read replica instead'):
            proxy.connect(replication='yes')
        postgres.ask('SELECT pg_terminate_backend(%s)', pid)
        with pytest.raises(psycopg.OperationalError, match='terminating connection'):
            connection.execute('SELECT 1')
        assert other.execute('SELECT 1').fetchone() == (1,)


def test_relay_requires_tls_as_pg_hba_does(proxy):
    proxy.relay(require_tls=True)
    with pytest.raises(psycopg.OperationalError, match=r'no pg_hba.conf entry .* no encryption'):
        proxy.connect(sslmode='disable')
    proxy.connect().close()


def test_relay_without_server(proxy):
    proxy.relay()
    proxy.config['relay']['target']['socket_dir'] = '/nowhere'
    proxy.configure_relay()
    with pytest.raises(psycopg.OperationalError, match='The instance db-1 is not available'):
        proxy.connect()
    proxy.config['relay']['target'] = None
    proxy.configure_relay()
    with pytest.raises(psycopg.OperationalError, match='is not available'):
        proxy.connect()


# ---- nobody wants it ------------------------------------------------------------------------------


@pytest.mark.parametrize('kind', ['proxy', 'front'])
def test_without_its_lock_it_ends(weir, tmp_path, kind):
    """A process that starts slowly may miss that its resource, or the whole tier, has gone meanwhile."""
    lock = tmp_path / 'plane/late.lock'
    with subprocess.Popen([weir, kind, '--id', 'late', '--run', tmp_path]) as process:
        try:
            wait_for(lock.exists, 'the lock')
            time.sleep(0.5)  # it looks for its agent meanwhile
            assert process.poll() is None
            lock.unlink()
            assert process.wait(20) == 0
        finally:
            process.kill()


# ---- another process takes its place ------------------------------------------------------------

@pytest.mark.parametrize('kind', ['pool', 'relay'])
def test_upgraded_under_its_clients(proxy, kind):
    """As the agent does it; long transactions stay, and a cancel request finds its process."""
    if kind == 'pool':
        proxy.configure()
    else:
        proxy.relay()
    with proxy.connect() as old, proxy.connect() as idle:
        old.execute('BEGIN')
        pid = proxy.pid_of(old)
        for _ in range(3):
            before = proxy.plane.upgrade()
            assert proxy.pid_of(old) == pid
            with proxy.connect() as new:
                assert new.execute('SELECT 1').fetchone() == (1,)
        assert before.poll() is not None or before.wait(PATIENCE_S) == 0  # nobody was with it
        timer = threading.Timer(0.3, old.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            old.execute('SELECT pg_sleep(20)')
        timer.join()
        old.execute('ROLLBACK')
        assert idle.execute('SELECT 1').fetchone() == (1,)
    assert proxy.plane.former[0].wait(PATIENCE_S) == 0


def test_a_file_that_has_changed_is_read_again(proxy, tmp_path, authority):
    """The same configuration, after the agent was away: the certificate that it names is another one."""
    listener = proxy.config['listeners'][0]
    (tmp_path / 'cert.pem').write_text(listener.pop('cert_pem'))
    (tmp_path / 'key.pem').write_text(listener.pop('key_pem'))
    (tmp_path / 'key.pem').chmod(0o600)
    proxy.configure(listeners=[{**listener, 'cert_file': str(tmp_path / 'cert.pem'),
                                'key_file': str(tmp_path / 'key.pem')}])

    def serial():
        context = ssl.create_default_context(cafile=str(authority.ca))
        with socket.create_connection((proxy.address, PORT), PATIENCE_S) as plain:
            plain.sendall(struct.pack('!II', 8, 80877103))
            assert plain.recv(1) == b'S'
            with context.wrap_socket(plain, server_hostname=proxy.address) as peer:
                return peer.getpeercert()['serialNumber']

    first = serial()
    cert, key = authority.issue('another', f'IP:{proxy.address}')
    (tmp_path / 'cert.pem').write_text(cert.read_text())
    (tmp_path / 'key.pem').write_text(key.read_text())
    proxy.plane.agent.close()
    proxy.plane.agent.open()
    wait_for(lambda: serial() != first, 'the file is read again')
