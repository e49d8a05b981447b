"""Logical replication through a pool and through a relay: by pg_recvlogical, psycopg2, a subscription, and by hand;
and that nobody's stream can pass for a standby."""
import contextlib
import os
import select
import signal
import struct
import subprocess
import threading
import time

import psycopg
import psycopg2
import psycopg2.extras
import pytest

from support.engines import account_folder, as_account, own_address, postgres_bin, stop
from support.pool import ANN, PORT, Postgres, Proxy, authority, wait_for
from support.wire import Closed, Wire, copy_data, query

NAME = 'weir-client'
STANDBY = 'weir_a1b2c3d4'
ROGUE = 'rogue'
SLOT = 'CREATE_REPLICATION_SLOT {} TEMPORARY LOGICAL test_decoding NOEXPORT_SNAPSHOT'
START = 'START_REPLICATION SLOT {} LOGICAL 0/0'
EPOCH_US = 946684800 * 1000000


@pytest.fixture(scope='module')
def postgres():
    with account_folder('postgres') as folder:
        server = Postgres(folder, address=own_address(), settings=['wal_level=logical', 'max_replication_slots=20'])
        server.run('CREATE TABLE t (id int PRIMARY KEY, v text)', 'GRANT ALL ON t TO ann, bob',
                   'GRANT ALL ON SCHEMA public TO ann', 'ALTER ROLE ann REPLICATION',
                   'CREATE PUBLICATION pub FOR TABLE t')
        yield server
        stop(server.process, signal.SIGINT)


@pytest.fixture(params=['pool', 'relay'])
def proxy(request, weir, tmp_path, authority, postgres):
    made = Proxy(weir, tmp_path / 'run', authority, postgres)
    if request.param == 'relay':
        made.relay()
    else:
        made.configure({'admin_users': ['ann']})
    made.kind = request.param
    yield made
    code = made.plane.close()
    assert code == 0, f'the proxy ended with {code}'


def walsenders(postgres):
    return postgres.ask('SELECT application_name, state, flush_lsn FROM pg_stat_replication')


def wire_of(proxy, **startup):
    return Wire(proxy.address, PORT, ANN['user'], ANN['password'], 'app', replication='database', **startup)


def reply(lsn):
    """A standby status update: everything up to there is written, flushed and applied."""
    return copy_data(b'r' + struct.pack('!QQQQB', lsn, lsn, lsn, int(time.time() * 1000000) - EPOCH_US, 1))


def lsn_of(postgres):
    high, low = postgres.ask('SELECT pg_current_wal_insert_lsn()::text')[0][0].split('/')
    return (int(high, 16) << 32) + int(low, 16) + 8


def conninfo(settings, **more):
    return psycopg.conninfo.make_conninfo(**{**settings, **more})


def literal(text):
    return "'" + text.replace("'", "''") + "'"


@contextlib.contextmanager
def recvlogical(settings, slot, *arguments, env=None, **more):
    command = [postgres_bin() / 'pg_recvlogical', '-d', conninfo(settings, **more), '--slot', slot, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, **(env or {})}) as process:
        try:
            yield process
        finally:
            stop(process, signal.SIGINT)


def line_of(process, patience_s=15):
    late = threading.Timer(patience_s, process.kill)
    late.start()
    try:
        return process.stdout.readline()
    finally:
        late.cancel()


# ---- clients --------------------------------------------------------------------------------------

def test_pg_recvlogical(proxy, postgres):
    """Makes a slot, streams, and drops it; by then the place at PostgreSQL is free again."""
    settings = proxy.settings()
    for action in ('--create-slot', '--drop-slot'):
        if action == '--drop-slot':
            with recvlogical(settings, 'recv', '--start', '-f', '-', '-o', 'include-xids=0') as process:
                postgres.run("INSERT INTO t VALUES (1, 'one') ON CONFLICT (id) DO UPDATE SET v = 'one'")
                assert line_of(process) == 'BEGIN\n'
                assert "v[text]:'one'" in line_of(process)
                assert walsenders(postgres)[0][:2] == (NAME, 'streaming')
                counted = proxy.await_status(lambda status: status['clients_replication'] == 1)
                assert proxy.kind == 'relay' or counted['clients_pinned'] == 1
        with recvlogical(settings, 'recv', action, '-P', 'test_decoding') as process:
            assert process.wait(20) == 0, process.stderr.read()
    wait_for(lambda: walsenders(postgres) == [], 'walsenders stay')
    proxy.await_status(lambda status: status['clients_replication'] == 0)


def test_psycopg2(proxy, postgres):
    """Keepalives, replies, SQL in the same connection before and behind the stream."""
    connection = psycopg2.connect(conninfo(proxy.settings(application_name='mine')),
                                  connection_factory=psycopg2.extras.LogicalReplicationConnection)
    cursor = connection.cursor()
    cursor.execute('IDENTIFY_SYSTEM')
    assert cursor.fetchone()[3] == 'app'
    cursor.execute('SHOW application_name')
    assert cursor.fetchone() == (NAME,)
    cursor.execute(SLOT.format('py'))
    cursor.start_replication(slot_name='py', decode=True, status_interval=1)
    postgres.run("INSERT INTO t VALUES (2, 'two') ON CONFLICT (id) DO UPDATE SET v = 'two'")
    got = []
    while len(got) < 3:
        message = cursor.read_message()
        if message is None:
            select.select([cursor], [], [], 0.2)
            continue
        got.append(message.payload)
        cursor.send_feedback(flush_lsn=message.data_start, reply=True)
    assert "v[text]:'two'" in got[1]
    wait_for(lambda: walsenders(postgres)[0][2] is not None, 'the flush is not reported')
    connection.close()


def test_subscription(proxy, postgres):
    """Another PostgreSQL subscribes through the proxy: copies the table, and follows."""
    if proxy.kind == 'pool':
        proxy.configure({'target': {**proxy.config['pool']['target'], 'max_connections': 20}})
    with account_folder('postgres') as folder:
        follower = Postgres(folder, settings=['wal_level=logical'])
        try:
            follower.run('CREATE TABLE t (id int PRIMARY KEY, v text)')
            postgres.run("INSERT INTO t VALUES (3, 'three') ON CONFLICT (id) DO UPDATE SET v = 'three'")
            ca = folder / 'ca.crt'
            ca.write_bytes(proxy.authority.ca.read_bytes())
            ca.chmod(0o644)
            info = literal(conninfo({**proxy.settings(), 'sslrootcert': str(ca), 'sslcert': str(folder / 'none')}))
            follower.run(f'CREATE SUBSCRIPTION sub CONNECTION {info} PUBLICATION pub')
            wait_for(lambda: read(follower, 3) == [('three',)], 'the table is not copied')
            postgres.run("UPDATE t SET v = 'drei' WHERE id = 3")
            wait_for(lambda: read(follower, 3) == [('drei',)], 'the change does not come')
            assert {name for name, _, _ in walsenders(postgres)} == {NAME}
            follower.run('DROP SUBSCRIPTION sub')
            assert postgres.ask('SELECT count(*) FROM pg_replication_slots') == [(0,)]
        finally:
            stop(follower.process, signal.SIGINT)


def read(server, number):
    with server.admin('app') as admin:
        return admin.execute('SELECT v FROM t WHERE id = %s', [number]).fetchall()


# ---- nobody passes for a standby ------------------------------------------------------------------

def stream(wire, slot, *before):
    """Begins a stream, with what stands in front of it in the same write."""
    if slot != ROGUE:
        wire.ask(query(SLOT.format(slot)))
    wire.send(*map(query, before), query(START.format(slot)))
    assert wire.until('CopyBothResponse')[0] == 'CopyBothResponse', wire.heard
    return wire


RENAMES = {
    'SET': [f"SET application_name = '{STANDBY}'"],
    'set_config': [f"SELECT set_config('application_name', '{STANDBY}', false)"],
    'a comment': [f"/* */ sEt application_name to '{STANDBY}' -- "],
    'DO': [f"DO $$ BEGIN PERFORM set_config('application_' || 'name', '{STANDBY}', false); END $$"],
    'pg_settings': [f"UPDATE pg_settings SET setting = '{STANDBY}' WHERE name = 'application_name'"],
    'a function': ['SELECT rename_me()'],
    'a transaction': ['BEGIN', f"SET application_name = '{STANDBY}'", 'COMMIT'],
    'two statements': [f"SELECT 1; SET application_name = '{STANDBY}'"],
    'RESET': ['RESET application_name'],
    'DISCARD': ['DISCARD ALL'],
    'authorization': ['SET SESSION AUTHORIZATION ann', f"SET application_name = '{STANDBY}'"],
}


def rogues(proxy):
    """Streams by every way in which a client could call itself the standby."""
    renamed = {'application_name': STANDBY}
    yield 'start packet', lambda: stream(wire_of(proxy, **renamed), ROGUE)
    yield 'its case', lambda: stream(wire_of(proxy, Application_Name=STANDBY, APPLICATION_NAME=STANDBY), ROGUE)
    yield 'options', lambda: stream(wire_of(proxy, options=f'-c application_name={STANDBY}'), ROGUE)
    yield 'long options', lambda: stream(wire_of(proxy, options=f'--application-name={STANDBY}', **renamed), ROGUE)
    for name, commands in RENAMES.items():
        yield name, lambda c=commands: stream(wire_of(proxy, **renamed), ROGUE, *c)
    yield 'a second stream', lambda: second_stream(wire_of(proxy, **renamed))


def second_stream(wire):
    """Behind one that was cancelled: PostgreSQL 15 ends any that comes behind a CopyDone."""
    stream(wire, ROGUE)
    wire.cancel()
    wire.settle()
    return stream(wire, ROGUE, f"SET application_name = '{STANDBY}'")


@contextlib.contextmanager
def roles_renamed(postgres):
    """The settings of the role, of the database and of both say so, too."""
    places = ('ROLE ann', 'ROLE ann IN DATABASE app', 'DATABASE app')
    postgres.run(*(f"ALTER {place} SET application_name = '{STANDBY}'" for place in places),
                 'CREATE OR REPLACE FUNCTION rename_me() RETURNS void LANGUAGE plpgsql AS $$ BEGIN '
                 f"PERFORM set_config('application_name', '{STANDBY}', false); END $$")
    try:
        yield
    finally:
        postgres.run(*(f'ALTER {place} RESET application_name' for place in places))


@contextlib.contextmanager
def standby_away(postgres):
    """Commits wait for a standby that is not there."""
    postgres.run(f"ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 ({STANDBY})'", 'SELECT pg_reload_conf()')
    wait_for(lambda: postgres.ask('SHOW synchronous_standby_names') != [('',)], 'the names are not read')
    try:
        yield
    finally:
        with psycopg.connect(host=str(postgres.folder), user='postgres', dbname='app', autocommit=True,
                             options='-c synchronous_commit=local') as admin:
            admin.execute('ALTER SYSTEM RESET synchronous_standby_names')
            admin.execute('SELECT pg_reload_conf()')


def commit(postgres, done):
    with postgres.admin('app') as admin:
        admin.execute("INSERT INTO t VALUES (99, '') ON CONFLICT (id) DO UPDATE SET v = ''")
        done.set()


def acknowledge(postgres, wire):
    """Claims everything, until PostgreSQL has heard it in a stream that has caught up."""
    def heard():
        wire.send(reply(lsn_of(postgres)))
        seen = postgres.ask("SELECT state = 'streaming' AND flush_lsn >= pg_current_wal_flush_lsn(), sync_state,"
                            " application_name FROM pg_stat_replication")
        return seen and seen[0][0] and seen[0]
    return wait_for(heard, 'the reply is not heard')


def test_no_stream_releases_a_commit(proxy, postgres):
    """Commits wait for a standby that is away; replies of streams through the proxy do not pass for its own,
    whatever their clients say."""
    done = threading.Event()
    # Made before: while a transaction waits for its commit, a new slot would wait for that.
    postgres.run(f"SELECT pg_create_logical_replication_slot('{ROGUE}', 'test_decoding')")
    with roles_renamed(postgres), standby_away(postgres):
        waiting = threading.Thread(target=commit, args=(postgres, done))
        waiting.start()
        wait_for(lambda: postgres.ask("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"), 'no wait')
        for name, begin in rogues(proxy):
            with begin() as wire:
                assert acknowledge(postgres, wire)[1:] == ('async', NAME), name
                assert not done.wait(0.2), name
            wait_for(lambda: walsenders(postgres) == [], name)
        # The same to PostgreSQL itself: so this test would see it.
        with stream(Wire(postgres.folder, PORT, ANN['user'], ANN['password'], 'app', replication='database',
                         application_name=STANDBY), ROGUE) as wire:
            wait_for(lambda: wire.send(reply(lsn_of(postgres))) or done.wait(0.2), 'the test proves nothing')
        waiting.join()
    wait_for(lambda: postgres.ask('SHOW synchronous_standby_names') == [('',)], 'the names are not read')
    wait_for(lambda: postgres.ask('SELECT pg_drop_replication_slot(%s)', ROGUE), 'the slot stays')


# ---- what is refused ------------------------------------------------------------------------------

@pytest.mark.parametrize('value', ['true', '1', 'on', 'YES', 't'])
def test_physical_is_refused(proxy, value):
    with pytest.raises(ConnectionRefusedError, match='replication'):
        Wire(proxy.address, PORT, ANN['user'], ANN['password'], 'app', replication=value)
    with pytest.raises(ConnectionRefusedError, match='replication'):
        Wire(proxy.address, PORT, ANN['user'], ANN['password'], 'app', Replication=value)


@pytest.mark.parametrize('command', [
    'BASE_BACKUP', 'base_backup LABEL \'x\'', 'START_REPLICATION 0/0', 'START_REPLICATION SLOT s PHYSICAL 0/0',
    'START_REPLICATION SLOT "logical" 0/0', 'CREATE_REPLICATION_SLOT s PHYSICAL', 'TIMELINE_HISTORY 1',
    'CREATE_REPLICATION_SLOT s TEMPORARY PHYSICAL', ' \n\tBASE_BACKUP', 'READ_REPLICATION_SLOT s',
    ' ' * 20000 + 'BASE_BACKUP'])
def test_physical_commands_are_refused(proxy, postgres, command):
    with wire_of(proxy) as wire:
        heard = wire.ask(query('SELECT 1'))
        wire.send(query(command))
        fields = dict(wire.until('ErrorResponse')[1])
        assert (fields['severity'], fields['code']) in (('FATAL', '0A000'), ('FATAL', '54000')), heard
        with pytest.raises(Closed):
            wire.hear()


def test_start_in_a_transaction(proxy):
    with wire_of(proxy) as wire:
        wire.ask(query(SLOT.format('late')))
        wire.send(query('BEGIN'), query(f"SET application_name = '{STANDBY}'"), query(START.format('late')))
        assert dict(wire.until('ErrorResponse')[1])['code'] == '25001'


def test_role_without_the_attribute(proxy):
    """PostgreSQL's own words."""
    with pytest.raises(ConnectionRefusedError, match='replication role'):
        Wire(proxy.address, PORT, 'bob', "b'o$b", 'app', replication='database')


def test_other_users_name_in_capitals(proxy, postgres):
    """Names that count in lower case only are not made to count."""
    if proxy.kind == 'relay':
        pytest.skip('a relay passes them on as they are')
    with Wire(proxy.address, PORT, ANN['user'], ANN['password'], 'app', USER='postgres', DATABASE='postgres') as wire:
        assert wire.rows('SELECT session_user, current_database()') == [('ann', 'app')]


# ---- a stream lives with the proxy ----------------------------------------------------------------

def test_idle_streams_stay(proxy, postgres):
    proxy.configure(idle_client_timeout_s=1) if proxy.kind == 'pool' else \
        proxy.configure_relay(idle_client_timeout_s=1)
    with recvlogical(proxy.settings(), 'idle', '--create-slot', '-P', 'test_decoding') as process:
        assert process.wait(20) == 0
    with recvlogical(proxy.settings(), 'idle', '--start', '-f', '-', '-s', '0', '-F', '0') as process:
        wait_for(lambda: walsenders(postgres), 'it does not stream')
        pid = postgres.ask('SELECT pid FROM pg_stat_replication')
        time.sleep(2.5)
        assert postgres.ask('SELECT pid FROM pg_stat_replication') == pid
    with recvlogical(proxy.settings(), 'idle', '--drop-slot') as process:
        assert process.wait(20) == 0
    with wire_of(proxy) as wire:  # between commands it is as idle as any other
        with pytest.raises(Closed):
            while True:
                wire.hear()
        assert dict(wire.heard[-1][1])['code'] == '57P05'


def test_slow_consumer_holds_its_walsender_up(proxy, postgres):
    """Not the proxy's memory: what is not read stays at PostgreSQL."""
    with stream(wire_of(proxy), 'slow') as wire:
        postgres.run("INSERT INTO t SELECT 1000 + i, repeat('x', 8000) FROM generate_series(1, 8000) i")
        time.sleep(2)
        held = rss_of(proxy.plane.process.pid)
        assert held < 80000, f'{held} KiB'
        postgres.run('DELETE FROM t WHERE id >= 1000')
        rows = 0
        while rows < 8000:
            kind, body = wire._next()  # nothing is kept of 64 MB
            rows += kind == 'd' and b'table public.t: INSERT' in body[:80]
            if kind == 'd' and body[:1] == b'k' and body[-1]:
                wire.send(reply(0))


def rss_of(pid):
    with open(f'/proc/{pid}/status') as file:
        return next(int(line.split()[1]) for line in file if line.startswith('VmRSS'))


def test_cancel(proxy, postgres):
    with stream(wire_of(proxy), 'cancelled') as wire:
        wire.cancel()
        assert dict(wire.until('ErrorResponse')[1])['code'] == '57014'
        wire.settle()
        assert wire.rows('SELECT 1') == [('1',)]


def test_stop_tells_streams(proxy, postgres):
    """At once: a stream has no end to wait for."""
    with stream(wire_of(proxy), 'stopped') as wire:
        started = time.monotonic()
        proxy.plane.process.send_signal(signal.SIGTERM)
        assert dict(wire.until('ErrorResponse')[1])['code'] == '57P01'
        assert time.monotonic() - started < 2


def test_lost_server(proxy, postgres):
    with stream(wire_of(proxy), 'lost') as wire:
        postgres.ask('SELECT pg_terminate_backend(pid) FROM pg_stat_replication')
        assert dict(wire.until('ErrorResponse')[1])['code'] == '57P01'


def test_what_the_console_shows(proxy, postgres):
    if proxy.kind == 'relay':
        pytest.skip('a relay has none')
    with stream(wire_of(proxy), 'shown'), proxy.connect(dbname='weir') as console:
        console.row_factory = psycopg.rows.dict_row
        for command in ('SHOW CLIENTS', 'SHOW SERVERS'):
            rows = [row for row in console.execute(command).fetchall() if row['replication'] == 'logical']
            assert [(row['state'], row['application_name'], row['pinned']) for row in rows] == \
                [('active', NAME, 'replication')]
        metrics = {row['name']: row['value'] for row in console.execute('SHOW METRICS').fetchall()}
        assert metrics['ClientConnectionsReplication'] == 1
        assert metrics['DatabaseConnectionsCurrentlySessionPinned'] == 1
        assert metrics['DatabaseConnectionsCurrentlyInTransaction'] == 0


def test_streams_count_in_the_budget(proxy, postgres):
    """Each has a server connection of its own; one too many waits, and hears why."""
    if proxy.kind == 'relay':
        pytest.skip('a relay has no budget')
    proxy.configure({'max_connections_percent': 10, 'connection_borrow_timeout_s': 1})
    with wire_of(proxy) as first:
        assert first.rows('SELECT 1') == [('1',)]
        for make in (lambda: wire_of(proxy), lambda: proxy.connect().execute('SELECT 1')):
            with pytest.raises((ConnectionRefusedError, psycopg.OperationalError), match='Timed-out'):
                make()
    wait_for(lambda: walsenders(postgres) == [], 'the walsender stays')
    with proxy.connect() as connection:
        assert connection.execute('SELECT 1').fetchone() == (1,)
