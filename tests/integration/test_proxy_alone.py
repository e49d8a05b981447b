"""`weir proxy` between psycopg, asyncpg, pgbench and a real PostgreSQL, with a test for an agent."""
import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import threading
import time

import asyncpg
import psycopg
import pytest

from support.pool import ANN, BOB, PORT, authority, pool, postgres, proxy, wait_for

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
