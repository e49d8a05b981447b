"""What an operator sees of `weir proxy`: the admin database by psql, psycopg and asyncpg, and the metrics in it."""
import asyncio
import contextlib
import json
import os
import socket
import struct
import subprocess
import threading

import asyncpg
import psycopg
import pytest

from support.engines import own_address
from support.pool import (ANN, BOB, PATIENCE_S, PORT, authority, pool, postgres, proxy, wait_for)

pytestmark = pytest.mark.timeout(120)

# Columns that dashboards and exporters for PgBouncer read, of its documentation ("SHOW commands").
POOLS = ['database', 'user', 'cl_active', 'cl_waiting', 'cl_active_cancel_req', 'cl_waiting_cancel_req', 'sv_active',
         'sv_active_cancel', 'sv_being_canceled', 'sv_idle', 'sv_used', 'sv_tested', 'sv_login', 'maxwait',
         'maxwait_us', 'pool_mode', 'load_balance_hosts']
CONNECTIONS = ['type', 'user', 'database', 'replication', 'state', 'addr', 'port', 'local_addr', 'local_port',
               'connect_time', 'request_time', 'wait', 'wait_us', 'close_needed', 'ptr', 'link', 'remote_pid', 'tls',
               'application_name', 'prepared_statements', 'id']
TOTALS = ['server_assignment_count', 'xact_count', 'query_count', 'bytes_received', 'bytes_sent', 'xact_time',
          'query_time', 'wait_time', 'client_parse_count', 'bind_count']
CHANGING = ['mem', 'lists', 'stats', 'stats_totals', 'stats_averages', 'totals', 'metrics', 'pool_metrics', 'clients',
            'servers', 'state']
TABLES = ['config', 'databases', 'users', 'lists', 'mem', 'version', 'state', 'stats', 'stats_totals',
          'stats_averages', 'totals', 'metrics', 'pool_metrics', 'pins', 'pools', 'clients', 'servers']


@pytest.fixture
def admin(proxy):
    """A proxy whose admin is bob, and where ann may look."""
    proxy.configure({'admin_users': ['bob'], 'stats_users': ['ann']})
    return proxy


@pytest.fixture
def narrow(proxy):
    """The same with one worker, and one server connection."""
    proxy.configure({'admin_users': ['bob'], 'max_connections_percent': 10}, workers=1)
    return proxy


def console(proxy, user=BOB, **more):
    return proxy.connect(user, dbname='weir', **more)


def show(connection, what):
    """The rows of a SHOW, each a dict."""
    cursor = connection.execute(f'SHOW {what}')
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row)) for row in cursor.fetchall()]


def query(text):
    body = text.encode() + b'\0'
    return b'Q' + struct.pack('>I', len(body) + 4) + body


def metrics(connection):
    return {row['name']: row for row in show(connection, 'METRICS')}


def row_of(connection, what, **keys):
    found = [row for row in show(connection, what) if all(row[key] == value for key, value in keys.items())]
    assert len(found) <= 1, found
    return found[0] if found else None


# ---- who may --------------------------------------------------------------------------------------

def test_who_may_look(admin):
    with console(admin, ANN) as connection:
        assert show(connection, 'VERSION')[0]['version'].startswith('weir ')
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match='admin access needed'):
            connection.execute('RELOAD')
        assert connection.execute('SHOW VERSION').fetchone()
    admin.configure({'stats_users': []})
    with pytest.raises(psycopg.OperationalError, match='not allowed'):
        console(admin, ANN)
    with pytest.raises(psycopg.OperationalError, match='password that was provided for the role bob is wrong'):
        console(admin, BOB, password='wrong')


def test_off_without_users(pool):
    with pytest.raises(psycopg.OperationalError, match='database "weir" does not exist'):
        console(pool)


def test_another_name(proxy):
    proxy.configure({'admin_users': ['bob'], 'admin_database': 'pgbouncer'})
    with proxy.connect(BOB, dbname='pgbouncer') as connection:
        assert connection.execute('SHOW VERSION').fetchone()
    with pytest.raises(psycopg.OperationalError, match='database "weir" does not exist'):
        console(proxy)


# ---- clients of every kind --------------------------------------------------------------------------

def psql(admin, *commands):
    arguments = [argument for command in commands for argument in ('-c', command)]
    return subprocess.run(['psql', '-XAt', *arguments, f'host={admin.address} user=bob dbname=weir sslmode=disable'],
                          env={**os.environ, 'PGPASSWORD': BOB['password']}, capture_output=True, text=True,
                          timeout=PATIENCE_S, check=False)


def test_psql(admin):
    done = psql(admin, 'show version', 'SHOW  Databases ;', 'SHOW HELP')
    assert done.returncode == 0 and done.stdout.startswith('weir '), done
    assert 'SHOW POOLS' in done.stderr and 'SHOW METRICS' in done.stderr
    done = psql(admin, 'DROP TABLE t')
    assert done.returncode == 1 and "invalid command 'DROP TABLE t', use SHOW HELP;" in done.stderr
    done = psql(admin, ';', '')
    assert (done.returncode, done.stderr) == (0, '')


def test_every_table_by_every_driver(admin):
    with admin.connect() as client, console(admin) as connection, console(admin, prepare_threshold=0) as prepared:
        client.execute('SELECT pg_advisory_lock(99)')  # so that a server connection is there, and a pin
        for table in TABLES:
            rows = show(connection, table)
            assert rows and list(rows[0]) == list(show(prepared, table)[0]), table
            cursor = connection.cursor(binary=True).execute(f'SHOW {table}')
            values = [dict(zip(rows[0], row)) for row in cursor.fetchall()]
            for row, other in zip(values, rows):  # what was empty may have got a value meanwhile
                assert all(None in (row[key], other[key]) or type(row[key]) is type(other[key]) for key in row), table
            assert len(values) == len(rows) or table in CHANGING
            assert table in CHANGING or values == rows, table

    async def ask():
        connection = await asyncpg.connect(host=admin.address, user='bob', password=BOB['password'], database='weir',
                                           ssl=False)
        try:
            rows = {row['name']: row['value'] for row in await connection.fetch('SHOW METRICS')}
            assert rows['MaxDatabaseConnectionsAllowed'] == 10 and rows['ClientConnections'] >= 1
            lists = {row['list']: row['items'] for row in await connection.fetch('SHOW LISTS')}
            assert lists['used_clients'] >= 1
            with pytest.raises(asyncpg.exceptions.PostgresSyntaxError):
                await connection.fetch('SELECT 1')
            assert await connection.fetchval('SHOW VERSION')
        finally:
            await connection.close()

    asyncio.run(ask())


def test_extended_errors_end_with_the_sync(admin):
    with console(admin, prepare_threshold=0) as connection:
        with pytest.raises(psycopg.errors.SyntaxError):
            connection.execute('SHOW NOTHING')
        with pytest.raises(psycopg.errors.FeatureNotSupported, match='PAUSE is not supported'):
            connection.execute('PAUSE')
        result = connection.pgconn.exec_params(b'SHOW VERSION', [b'1'])
        assert result.status == psycopg.pq.ExecStatus.FATAL_ERROR and b'no parameters' in result.error_message
        assert connection.execute('SHOW VERSION').fetchone()


@pytest.mark.parametrize('command', ['PAUSE', 'RESUME app', 'KILL app', 'SHUTDOWN', "SET x = '1'", 'DISABLE app'])
def test_what_is_refused(admin, command):
    with console(admin) as connection:
        with pytest.raises(psycopg.errors.FeatureNotSupported, match=f'^{command.split()[0]} is not supported'):
            connection.execute(command)


def test_a_pipeline_of_commands(admin):
    """Messages that wait behind a request that visits the workers are answered in their order."""
    with console(admin) as connection, connection.pipeline():
        cursors = [connection.execute('SHOW ' + table) for table in ('CLIENTS', 'VERSION', 'POOLS', 'SERVERS', 'LISTS')]
        for cursor in cursors:
            cursor.fetchall()
        assert [cursor.description[0].name for cursor in cursors] == ['type', 'version', 'database', 'type', 'list']


# ---- what it shows ----------------------------------------------------------------------------------

def test_columns_of_pgbouncer(admin):
    with console(admin) as connection, admin.connect() as client:
        client.execute('SELECT 1')
        assert list(show(connection, 'POOLS')[0])[:len(POOLS)] == POOLS
        assert list(show(connection, 'CLIENTS')[0])[:len(CONNECTIONS)] == CONNECTIONS
        assert list(show(connection, 'SERVERS')[0])[:len(CONNECTIONS)] == CONNECTIONS
        assert list(show(connection, 'STATS_TOTALS')[0]) == ['database', *TOTALS]
        assert list(show(connection, 'LISTS')[0]) == ['list', 'items']
        assert list(show(connection, 'CONFIG')[0]) == ['key', 'value', 'default', 'changeable']
        stats = list(show(connection, 'STATS')[0])
        assert stats[:3] == ['database', 'total_server_assignment_count', 'total_xact_count']
        assert {'total_received', 'total_sent', 'avg_query_time', 'avg_wait_time', 'avg_recv'} <= set(stats)


def test_pools_clients_and_servers_of_all_workers(admin):
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(console(admin))
        clients = [stack.enter_context(admin.connect(application_name='shown')) for _ in range(12)]
        for client in clients:
            client.execute('SELECT 1')
        clients[0].execute('BEGIN')
        clients[1].execute('SELECT pg_advisory_lock(99)')
        line = wait_for(lambda: (row := row_of(connection, 'POOLS', user='ann')) and row['sv_active'] == 2 and row,
                        'POOLS do not settle')
        assert (line['database'], line['cl_active'], line['cl_waiting'], line['sv_pinned']) == ('app', 12, 0, 1)
        shown = [row for row in show(connection, 'CLIENTS') if row['user'] == 'ann']
        assert len(shown) == 12 and len({row['ptr'] for row in shown}) == 12
        assert sorted(row['state'] for row in shown) == ['active'] * 2 + ['idle'] * 10
        assert {row['application_name'] for row in shown} == {'shown'}
        assert {row['addr'] for row in shown} == {row['local_addr'] for row in shown} == {admin.address} or \
            {row['local_addr'] for row in shown} == {admin.address}
        assert {row['tls'] for row in shown} == {'TLSv1.3'}
        assert [row['pinned'] for row in shown if row['pinned']] == ['advisory_lock']
        assert {row['id'] for row in shown} == {client.info.backend_pid for client in clients}
        own = [row for row in show(connection, 'CLIENTS') if row['database'] == 'weir']
        assert len(own) == 1 and own[0]['user'] == 'bob'
        servers = show(connection, 'SERVERS')
        linked = {row['link']: row for row in servers if row['state'] == 'active'}
        assert set(linked) == {row['ptr'] for row in shown if row['state'] == 'active'}
        assert clients[0].execute('SELECT pg_backend_pid()').fetchone()[0] in {
            row['remote_pid'] for row in linked.values()}
        assert row_of(connection, 'LISTS', list='used_clients')['items'] == 13
        assert row_of(connection, 'LISTS', list='login_clients')['items'] == 0
        assert row_of(connection, 'PINS')['reason'] == 'advisory_lock'
        assert row_of(connection, 'DATABASES', name='app')['current_client_connections'] == 12
        assert row_of(connection, 'USERS', name='ann')['current_client_connections'] == 12
        clients[0].execute('ROLLBACK')


def test_every_worker_is_asked(admin):
    """The pid that a client is told has the number of its worker in the upper bits."""
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(console(admin))
        clients = []

        def connect():
            clients.append(stack.enter_context(admin.connect(sslmode='disable')))

        while len({client.info.backend_pid >> 27 for client in clients}) < 2 and len(clients) < 500:
            threads = [threading.Thread(target=connect) for _ in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        shown = [row for row in show(connection, 'CLIENTS') if row['user'] == 'ann']
        assert {row['id'] for row in shown} == {client.info.backend_pid for client in clients}
        assert {row['id'] >> 27 for row in shown} == {0, 1}
        assert row_of(connection, 'POOLS', user='ann')['cl_active'] == len(clients)


def test_waiting_is_seen(narrow):
    with console(narrow) as connection, narrow.connect() as first, narrow.connect() as second:
        first.execute('BEGIN')
        thread = threading.Thread(target=second.execute, args=['SELECT 1'])
        thread.start()
        line = wait_for(lambda: (row := row_of(connection, 'POOLS', user='ann'))['cl_waiting'] == 1 and
                        row['maxwait_us'] > 0 and row, 'nobody waits')
        assert line['cl_active'] == 1
        assert metrics(connection)['ClientConnectionsWaiting']['value'] == 1
        first.execute('SELECT pg_sleep(0.3)')
        first.execute('COMMIT')
        thread.join()
        borrow = metrics(connection)['DatabaseConnectionsBorrowLatency']
        assert borrow['max'] >= 300_000 and borrow['p50'] < borrow['max'] and borrow['sum'] >= 300_000
        assert row_of(connection, 'STATS_TOTALS', database='app')['wait_time'] >= 300_000


def test_config_has_no_secrets(admin):
    with console(admin) as connection:
        rows = {row['key']: row['value'] for row in show(connection, 'CONFIG')}
        assert rows['max_client_conn'] == '10000' and rows['pool.admin_users'] == 'bob'
        assert rows['pool.target.socket_dir'] == admin.config['pool']['target']['socket_dir']
        assert not any(secret['password'] in str(row) for secret in (ANN, BOB) for row in rows.items())


# ---- metrics ----------------------------------------------------------------------------------------

def test_metrics_count(narrow):
    with console(narrow) as connection:
        before = metrics(connection)
        with narrow.connect() as client, narrow.connect(BOB, sslmode='disable') as plain:
            client.execute('SELECT 1')
            client.execute('SELECT %s::int', [2])
            with client.transaction():
                client.execute('SELECT pg_sleep(0.2)')
                inside = metrics(connection)
            plain.execute('SELECT 1')
        with pytest.raises(psycopg.OperationalError):
            narrow.connect(ANN, password='wrong')
        after = wait_for(lambda: (now := metrics(connection))['ClientConnections']['value'] == 1 and now,
                         'clients do not leave')
        values = {name: (after[name]['value'] or 0) - (before[name]['value'] or 0) for name in after
                  if after[name]['kind'] == 'counter'}
        assert values['QueryRequests'] == 6 and values['QueryRequestsTLS'] == 5 and values['QueryRequestsNoTLS'] == 1
        assert values['TransactionRequests'] == values['TransactionsEnded'] == 4
        assert values['ClientConnectionsReceived'] >= 3 and values['ClientConnectionsSetupSucceeded'] == 2
        assert values['ClientConnectionsSetupFailedAuth'] == 1 and values['ClientConnectionsClosed'] >= 3
        assert values['DatabaseConnectionsBorrowed'] == 4
        assert values['ClientBytesReceived'] > 50 and values['ClientBytesSent'] > 100
        assert values['DatabaseConnectionRequests'] >= values['DatabaseConnectionsSetupSucceeded'] >= 1
        assert inside['DatabaseConnectionsCurrentlyInTransaction']['value'] == 1
        assert inside['DatabaseConnectionsCurrentlyBorrowed']['value'] == 1
        assert inside['ClientConnectionsTLS']['value'] == 2 and inside['ClientConnectionsNoTLS']['value'] == 1
        assert after['DatabaseConnectionsCurrentlyInTransaction']['value'] == 0
        assert after['MaxDatabaseConnectionsAllowed']['value'] == 1
        assert after['AvailabilityPercentage']['value'] == 100 or after['AvailabilityPercentage']['value'] is None
        for name in ('QueryDatabaseResponseLatency', 'QueryResponseLatency'):
            assert after[name]['count'] == 6 and 200_000 <= after[name]['max'] < 2_000_000
            assert after[name]['p50'] < 100_000 and after[name]['sum'] >= 200_000
            assert after[name]['value'] == after[name]['sum'] // 6


def test_metrics_by_user_and_database(admin):
    with console(admin) as connection, admin.connect() as client, admin.connect(BOB) as other:
        for _ in range(3):
            client.execute('SELECT 1')
        other.execute('SELECT 1')
        rows = {(row['database'], row['user'], row['name']): row['value'] for row in show(connection, 'POOL_METRICS')}
        assert rows['app', 'ann', 'QueryRequests'] == 3 and rows['app', 'bob', 'QueryRequests'] == 1
        assert rows['app', 'ann', 'ClientConnections'] == 1
        assert ('app', 'ann', 'MaxDatabaseConnectionsAllowed') not in rows
        totals = row_of(connection, 'STATS_TOTALS', database='app')
        assert totals['query_count'] == 4 and totals['xact_count'] == 4 and totals['query_time'] > 0
        assert {row['name']: row['value'] for row in show(connection, 'TOTALS')}['total_query_count'] == 4


def test_a_transaction_that_its_client_leaves_is_ended(admin):
    with console(admin) as connection:
        client = admin.connect()
        client.execute('BEGIN')
        assert metrics(connection)['DatabaseConnectionsCurrentlyInTransaction']['value'] == 1
        client.close()
        wait_for(lambda: metrics(connection)['DatabaseConnectionsCurrentlyInTransaction']['value'] == 0,
                 'the transaction counts for ever')


def test_pipelines_are_timed(narrow):
    """Each answer of a pipeline counts from the one before it, and all of them are counted."""
    with console(narrow) as connection, narrow.connect(sslmode='disable') as client, \
            socket.socket(fileno=os.dup(client.fileno())) as raw:
        raw.setblocking(True)
        raw.settimeout(PATIENCE_S)
        raw.sendall(5 * query('SELECT pg_sleep(0.05)'))
        answer = b''
        while answer.count(b'Z\0\0\0\5I') < 5:
            answer += raw.recv(65536)
        rows = metrics(connection)
        database, whole = rows['QueryDatabaseResponseLatency'], rows['QueryResponseLatency']
        assert database['count'] == whole['count'] == 5
        assert database['p50'] >= 50_000 and 250_000 <= database['sum'] < 1_000_000, database
        totals = row_of(connection, 'STATS_TOTALS', database='app')
        assert totals['query_count'] == totals['xact_count'] == 5


def test_shared_requests_count_once(proxy):
    """What goes by a connection that several clients share is a query and a transaction like any other."""
    proxy.configure({'admin_users': ['bob'], 'shared_connections': 1, 'max_connections_percent': 30}, workers=1)
    texts = []
    with console(proxy) as connection, proxy.connect() as client:
        def shared():
            texts.append(f'SELECT {len(texts)} + {len(texts)}::int8' if len(texts) % 2 else 'SELECT 1')
            client.execute(texts[-1])
            return metrics(connection)['QueryRequestsShared']['value'] > 0
        wait_for(shared, 'nothing is shared')
        for text in ('SELECT 2 AS b', 'SELECT 3, 4', 'SELECT 1, pg_sleep(0.2)'):  # whichever way they go
            texts.append(text)
            client.execute(text)
        now = metrics(connection)
        for name in ('QueryRequests', 'TransactionRequests', 'TransactionsEnded'):
            assert now[name]['value'] == len(texts), (name, texts)
        for name in ('QueryDatabaseResponseLatency', 'QueryResponseLatency'):
            assert now[name]['count'] == len(texts) and 200_000 <= now[name]['max'] < 5_000_000, now[name]
        assert now['DatabaseConnectionsCurrentlyInTransaction']['value'] == 0


# ---- trouble ----------------------------------------------------------------------------------------

def raw_login(admin):
    """A client of the admin database whose socket is the test's."""
    connection = console(admin, sslmode='disable')
    return connection, socket.socket(fileno=os.dup(connection.fileno()))


def test_a_client_that_leaves_at_once(admin):
    with console(admin) as connection:
        for _ in range(60):
            other, raw = raw_login(admin)
            raw.setblocking(True)
            raw.sendall(query('SHOW CLIENTS') + query('SHOW POOLS'))
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            raw.close()
            other.close()
        wait_for(lambda: row_of(connection, 'LISTS', list='used_clients')['items'] == 1, 'clients stay')
        assert metrics(connection)['ClientConnectionsAdmin']['value'] == 1


def test_messages_that_are_none(admin):
    for junk in (b'Q\0\0\0\5x', b'!\0\0\0\4', b'Q' + struct.pack('>I', 100_000) + b'S' * 99_996, b'Q\0\0\0\1'):
        connection, raw = raw_login(admin)
        with raw:
            raw.setblocking(True)
            raw.settimeout(PATIENCE_S)
            raw.sendall(junk)
            answer = b''
            with contextlib.suppress(ConnectionError):
                while part := raw.recv(65536):
                    answer += part
            assert b'08P01' in answer, junk[:10]
        connection.close()
    with console(admin) as connection:
        assert connection.execute('SHOW VERSION').fetchone()


def test_many_clients_are_shown_in_turns(narrow):
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(console(narrow))
        for _ in range(600):
            stack.enter_context(narrow.connect(sslmode='disable'))
        shown = show(connection, 'CLIENTS')
        assert len(shown) == 601 and len({row['ptr'] for row in shown}) == 601


def test_stopping_while_it_is_asked(weir, admin):
    """The proxy ends in good order though somebody asks all the time."""
    stop = threading.Event()

    def ask():
        with contextlib.suppress(psycopg.Error), console(admin) as connection:
            while not stop.is_set():
                show(connection, 'CLIENTS')

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: admin.status().get('clients', 0) >= 4, 'nobody asks')
    assert admin.plane.close() == 0
    stop.set()
    for thread in threads:
        thread.join()


# ---- reload -----------------------------------------------------------------------------------------

def test_reload_in_a_tier_is_refused(admin):
    with console(admin) as connection:
        with pytest.raises(psycopg.errors.FeatureNotSupported, match='comes from its tier'):
            connection.execute('RELOAD')


def test_reload_alone(weir, tmp_path, postgres):
    address = own_address()
    path = tmp_path / 'proxy.json'
    config = {'kind': 'pool', 'listeners': [{'address': address, 'port': PORT}], 'max_clients': 50,
              'pool': {'users': [BOB], 'admin_users': ['bob'],
                       'target': {'socket_dir': str(postgres.folder), 'port': PORT}}}

    def write():
        path.touch(0o600)
        path.write_text(json.dumps(config))

    write()
    with subprocess.Popen([weir, 'proxy', '--config', path], stdin=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        try:
            settings = {'host': address, 'port': PORT, 'dbname': 'weir', 'sslmode': 'disable', 'autocommit': True}
            connection = wait_for(lambda: psycopg.connect(**settings, **BOB), 'the proxy does not start')
            with connection:
                config['max_clients'] = 60
                write()
                assert connection.execute('RELOAD').statusmessage == 'RELOAD'
                assert row_of(connection, 'CONFIG', key='max_clients')['value'] == '60'
                config['max_clients'] = -1
                write()
                with pytest.raises(psycopg.Error, match='max_clients'):
                    connection.execute('RELOAD')
                assert row_of(connection, 'CONFIG', key='max_clients')['value'] == '60'
        finally:
            process.terminate()
            assert process.wait(20) == 0
