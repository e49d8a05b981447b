"""One tier with everything in it, and what may happen to it: a standby that stands still, every process killed
with -9, a changed parameter, a master user who wants more, `weir down` and `weir up`."""
import contextlib
import os
import signal
import threading

import psycopg
import pytest
import redis

from support.inside import PASSWORD, Inside, is_alive
from support.tier import Tier
from support.tier_proxy import create_proxy
from support.watch import wait_until

TOKEN = '0123456789abcdef-token'


def create_instance(rds, name, **more):
    rds.create_db_instance(**{
        'DBInstanceIdentifier': name, 'Engine': 'postgres', 'DBInstanceClass': 'db.t3.micro', 'AllocatedStorage': 20,
        'MasterUsername': 'dbadmin', 'MasterUserPassword': PASSWORD, 'DBName': 'shop', 'BackupRetentionPeriod': 1,
        **more})


def create_all(tier):
    """A Multi-AZ instance with parameters of its own, a replica of it, a proxy, and a cache of three nodes."""
    rds = tier.aws('rds')
    rds.create_db_parameter_group(DBParameterGroupName='tuned', DBParameterGroupFamily='postgres15', Description='x')
    create_instance(rds, 'main', MultiAZ=True, DBParameterGroupName='tuned')
    rds.create_db_instance_read_replica(DBInstanceIdentifier='reader', SourceDBInstanceIdentifier='main')
    tier.aws('elasticache').create_replication_group(
        ReplicationGroupId='cache', ReplicationGroupDescription='x', Engine='redis', CacheNodeType='cache.t3.micro',
        NumCacheClusters=3, AutomaticFailoverEnabled=True, TransitEncryptionEnabled=True, AuthToken=TOKEN)
    create_proxy(tier, 'main')


@pytest.fixture(scope='module')
def live(weir):
    """A tier that is up with all of that; at the end nothing of it may still run."""
    tier = Tier(weir)
    try:
        tier.up()
        create_all(tier)
        inside = Inside(tier)
        inside.wait_settled('main', 'reader', 'cache')
        tier.env(fresh=True)
        main = inside.node('main', 'primary')
        inside.sql(main, 'CREATE TABLE note (id int PRIMARY KEY, text text)', user='dbadmin', database='shop')
        inside.sql(main, "INSERT INTO note SELECT i, 'row ' || i FROM generate_series(1, 100) i", user='dbadmin',
                   database='shop')
        yield inside
        tier.down()
        tier.assert_stopped()
    finally:
        tier.remove()


def when_up(look):
    """What look() gives, or None while the engine takes no connections."""
    try:
        return look()
    except psycopg.OperationalError:
        return None


def rows(live, node):
    return live.value(node, 'SELECT count(*) FROM note', database='shop')


# ---- what is there -----------------------------------------------------------------------------


def test_the_standby_is_synchronous_and_elsewhere(live):
    main, standby = live.node('main', 'primary'), live.node('main', 'standby')
    assert live.sql(main, "SELECT application_name, sync_state FROM pg_stat_replication WHERE sync_state = 'sync'") == [
        (f'weir_{standby["Incarnation"]}', 'sync')]
    assert live.value(main, 'SHOW synchronous_standby_names') == f'FIRST 1 (weir_{standby["Incarnation"]})'
    assert live.value(main, 'SHOW synchronous_commit') == 'on'
    assert live.value(main, 'SHOW fsync') == 'on'
    assert live.value(main, 'SHOW data_checksums') == 'on'
    assert main['Zone'] != standby['Zone']


def test_every_copy_has_the_rows(live):
    for name, role in (('main', 'standby'), ('reader', 'replica')):
        node = live.node(name, role)
        wait_until(lambda node=node: rows(live, node) == 100, f'{role} has every row')
        assert live.value(node, 'SELECT pg_is_in_recovery()')
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            live.sql(node, 'CREATE TABLE other ()', user='dbadmin', database='shop')


def test_passwords_and_ways_in(live):
    main = live.node('main', 'primary')
    assert live.value(main, "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'dbadmin'")
    for options in ({'password': 'wrong'}, {'password': ''}):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(host=f'{live.tier.run_folder()}/node/{main["NodeId"]}', user='dbadmin', dbname='shop',
                            connect_timeout=10, **options)
    with pytest.raises(psycopg.OperationalError):  # over TCP only standbys with a certificate get in
        psycopg.connect(host=main['Address'], user='dbadmin', password=PASSWORD, dbname='shop', connect_timeout=10)
    for path in (live.tier.data / 'weir.sqlite', live.tier.data / 'weir.sqlite-wal', live.tier.data / 'weir.log'):
        assert PASSWORD.encode() not in path.read_bytes()
        assert TOKEN.encode() not in path.read_bytes()


# ---- commits wait for the standby ----------------------------------------------------------------


def test_commits_wait_for_a_standby_that_stands_still_until_it_is_out_of_the_set(live):
    """And not a moment longer: it is out once the store has it so, and nobody can promote it then (RULES F10). Its own
    agent ends it as well; where it is back before that, it has the row."""
    main, standby = live.node('main', 'primary'), live.node('main', 'standby')
    told, stood = len(live.events('main')), live.engine(standby)
    with live.connect(main, user='dbadmin', database='shop') as connection:
        pid = connection.execute('SELECT pg_backend_pid()').fetchone()[0]
        writer = threading.Thread(target=connection.execute, args=("INSERT INTO note VALUES (1001, 'waits')",))
        with live.stopped(standby):
            writer.start()
            wait_until(lambda: live.sql(main, 'SELECT wait_event FROM pg_stat_activity WHERE wait_event = '
                                              f"'SyncRep' AND pid = {pid}"), 'the commit waits')
            assert {node['ResourceId'] for node in live.nodes()} == {'main', 'reader', 'cache'}  # the API answers
            writer.join(10)
            assert not writer.is_alive()
            out = any(message.startswith('The standby is gone') for message in live.events('main')[told:])
            assert out or live.engine(standby) != stood
    live.wait_settled('main')
    assert [live.node('main', role)['NodeId'] for role in ('primary', 'standby')] == [main['NodeId'], standby['NodeId']]
    assert live.value(main, 'SHOW synchronous_standby_names').startswith('FIRST 1 (weir_')
    wait_until(lambda: live.sql(standby, 'SELECT 1 FROM note WHERE id = 1001', database='shop'), 'the row arrives')
    live.sql(main, 'DELETE FROM note WHERE id = 1001', user='dbadmin', database='shop')


# ---- whatever is killed comes back ----------------------------------------------------------------

ENGINES = [('main', 'primary'), ('main', 'standby'), ('reader', 'replica'), ('cache', 'primary'),
           ('cache', 'replica')]


def wait_back(live, node, old_pid):
    """Until the node runs with another first process; gives its pid."""
    pid = wait_until(lambda: (found := live.engine(node)) and found != old_pid and found,
                     f'{node["NodeId"]} has another process')
    live.wait_settled('main', 'reader', 'cache')
    return pid


def recoveries(live, node):
    return [message for message in live.events(node['ResourceId'])
            if node['NodeId'] in message and ('started again' in message or 'takes over' in message)]


def failovers(live, node):
    return [message for message in live.events(node['ResourceId']) if 'failover completed' in message]


def now(live, node):
    """The node as it is now."""
    found, = [other for other in live.nodes() if other['NodeId'] == node['NodeId']]
    return found


@pytest.mark.parametrize('resource, role', ENGINES)
def test_a_killed_engine_is_back(live, resource, role):
    node = live.node(resource, role)
    led = (resource, role) == ('main', 'primary')
    told, changes = len(recoveries(live, node)), len(failovers(live, node))
    pid = live.engine(node)
    os.kill(pid, signal.SIGKILL)
    wait_back(live, node, pid)
    wait_until(lambda: len(recoveries(live, node)) == told + 1, 'the event')
    assert f'The {role} of {resource}' in recoveries(live, node)[-1]
    assert 'signal 9' in recoveries(live, node)[-1] or 'SIGKILL' in recoveries(live, node)[-1]
    assert len(failovers(live, node)) == changes + led
    if resource != 'cache':  # there a replica may lead now, and the data stays what it was
        assert now(live, node)['Role'] == ('standby' if led else role)
    assert led or now(live, node)['Incarnation'] == node['Incarnation']
    if node['Kind'] == 'postgres':
        wait_until(lambda: rows(live, node) == 100, 'every row')


@pytest.mark.parametrize('resource, role', [('main', 'primary'), ('cache', 'primary')])
def test_an_engine_ends_with_its_guard_and_is_back(live, resource, role):
    node = live.node(resource, role)
    told = len(recoveries(live, node))
    pid = live.engine(node)
    os.kill(live.guard(node), signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), 'the engine ends with its guard', timeout_s=20)
    wait_back(live, node, pid)
    wait_until(lambda: len(recoveries(live, node)) == told + 1, 'the event')


def test_a_killed_backend_takes_the_engine_along_and_it_is_back(live):
    """restart_after_crash is off (RULES F7): the guard sees the end, and the standby takes over."""
    main = live.node('main', 'primary')
    pid = live.engine(main)
    with live.connect(main, user='dbadmin', database='shop') as connection:
        backend = connection.execute('SELECT pg_backend_pid()').fetchone()[0]
        os.kill(backend, signal.SIGKILL)
        wait_back(live, main, pid)
    assert rows(live, main) == 100


def test_serve_is_killed_and_engines_and_clients_stay(live):
    engines = {node['NodeId']: live.engine(node) for node in live.nodes()}
    assert all(engines.values())
    view = live.tier.json('status')
    cache = view['caches'][0]['NodeGroups'][0]['PrimaryEndpoint']['Address']
    pool = view['proxies'][0]['Endpoint']
    link_losses = [log.read_text().count('Connection with replica') for log in redis_logs(live)]
    with live.tier.redis(cache, single_connection_client=True) as client, \
            live.tier.postgres(pool, dbname='shop') as session:
        connection = client.client_id()
        session.execute("SET application_name = 'stays'")
        serve = live.serve()
        os.kill(serve, signal.SIGKILL)
        wait_until(lambda: live.serve() not in (None, serve), 'another weir serve')
        wait_until(lambda: live.tier.command('status', check=False).returncode == 0, 'the API answers')
        live.wait_settled('main', 'reader', 'cache')
        assert client.client_id() == connection  # it would connect again where it was cut
        assert session.execute('SHOW application_name').fetchone() == ('stays',)
    assert {node['NodeId']: live.engine(node) for node in live.nodes()} == engines
    assert [log.read_text().count('Connection with replica') for log in redis_logs(live)] == link_losses


def redis_logs(live):
    return sorted(live.tier.data.glob('zone-*/cache-*/log/engine.log'))


def test_after_a_start_clients_see_only_what_the_set_has(live):
    """RULES F7: a commit that waited for the standby is there after a restart, and must not be seen before the
    standby has it as well, or is out of the set: then it can never lead without it."""
    main, standby = live.node('main', 'primary'), live.node('main', 'standby')
    host = live.tier.json('status')['instances'][0]['Endpoint']['Address']
    engine = live.engine(main)
    told = len(live.events('main'))

    def insert():
        with contextlib.suppress(psycopg.OperationalError), live.tier.postgres(host, dbname='shop') as connection:
            connection.execute("INSERT INTO note VALUES (3000, 'nobody was told')")
    writer = threading.Thread(target=insert)
    with live.stopped(standby):
        writer.start()
        wait_until(lambda: live.sql(main, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"),
                   'the commit waits')
        os.kill(engine, signal.SIGKILL)
        writer.join(60)
        wait_until(lambda: reads(live, host, 'SELECT count(*) FROM note WHERE id = 3000') == 1, 'clients are let in')
        assert any(message.startswith('The standby is gone') for message in live.events('main')[told:]) or \
            live.value(standby, 'SELECT count(*) FROM note WHERE id = 3000', database='shop') == 1
    live.wait_settled('main')
    assert live.node('main', 'primary')['NodeId'] == main['NodeId']
    assert live.value(standby, 'SELECT count(*) FROM note WHERE id = 3000', database='shop') == 1
    live.sql(main, 'DELETE FROM note WHERE id = 3000', user='dbadmin', database='shop')


def test_everything_is_killed_at_once(live):
    main = live.node('main', 'primary')
    before = {node['NodeId']: live.engine(node) for node in live.nodes()}
    for pid in [live.serve(), *(live.guard(node) for node in live.nodes())]:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: live.tier.command('status', check=False).returncode == 0, 'the API answers')
    wait_until(lambda: all((pid := live.engine(node)) and pid != before[node['NodeId']] for node in live.nodes()),
               'every engine was started again')
    live.wait_settled('main', 'reader', 'cache')
    assert rows(live, main) == 100


def reads(live, host, statement):
    """The value that a client of the endpoint gets, or None while it is not served."""
    def look():
        with live.tier.postgres(host, dbname='shop') as connection:
            return connection.execute(statement).fetchone()[0]
    return when_up(look)


def reads_rows(live, host):
    """True when a client of the endpoint gets every row."""
    return reads(live, host, 'SELECT count(*) FROM note') == 100


def answers(live, host):
    """True when a client of the cache's endpoint may write and read."""
    try:
        with live.tier.redis(host) as client:
            return client.set('key', 'value') and client.get('key') == 'value'
    except redis.RedisError:
        return None


def endpoints(live):
    """Per data-plane process: the pattern of its id, its resource, and a look through its endpoint."""
    view = live.tier.json('status')
    hosts = {item['DBInstanceIdentifier']: item['Endpoint']['Address'] for item in view['instances']}
    pool = view['proxies'][0]['Endpoint']
    primary = view['caches'][0]['NodeGroups'][0]['PrimaryEndpoint']['Address']
    dbi = live.node('main', 'primary')['NodeId'].rpartition('-')[0]
    return {'relay': (f'relay-{dbi} ', 'main', lambda: reads_rows(live, hosts['main'])),
            'proxy': ('proxy-pool ', 'pool', lambda: reads_rows(live, pool)),
            'front': ('front-cache ', 'cache', lambda: answers(live, primary))}


@pytest.mark.parametrize('kind', ['relay', 'proxy', 'front'])
def test_a_killed_endpoint_is_back(live, kind):
    pattern, resource, look = endpoints(live)[kind]
    wait_until(look, f'the {kind} answers')
    told = len(live.events(resource))
    pid = live.plane(pattern)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: live.plane(pattern) not in (None, pid), f'another {kind}')
    wait_until(look, f'the {kind} answers')
    wait_until(lambda: any('started again' in message for message in live.events(resource)[told:]), 'the event')


# ---- the master user -----------------------------------------------------------------------------


def test_the_master_user_is_an_rds_superuser(live):
    main = live.node('main', 'primary')
    as_master = {'user': 'dbadmin', 'database': 'shop'}
    assert live.sql(main, 'SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles '
                          "WHERE rolname = 'dbadmin'", **as_master) == [(False, True, True, False, False)]
    assert live.value(main, "SELECT pg_has_role('dbadmin', 'rds_superuser', 'MEMBER')", **as_master)
    for statement in ("CREATE ROLE app LOGIN PASSWORD 'x'", 'CREATE DATABASE other', 'CREATE SCHEMA inner_part',
                      'CREATE EXTENSION pgcrypto', 'SELECT * FROM pg_stat_activity', 'CHECKPOINT',
                      'DROP EXTENSION pgcrypto', 'DROP SCHEMA inner_part', 'DROP DATABASE other', 'DROP ROLE app'):
        live.sql(main, statement, **as_master)


@pytest.mark.parametrize('statement', [
    'ALTER ROLE dbadmin SUPERUSER', 'ALTER ROLE dbadmin REPLICATION', 'ALTER ROLE dbadmin BYPASSRLS',
    'CREATE ROLE boss SUPERUSER', 'CREATE ROLE follower REPLICATION',
    'GRANT pg_execute_server_program TO dbadmin', 'GRANT pg_read_server_files TO dbadmin',
    'GRANT pg_write_server_files TO dbadmin', 'GRANT rdsadmin TO dbadmin', 'SET ROLE rdsadmin',
    'SET SESSION AUTHORIZATION rdsadmin', 'GRANT rdsrepladmin TO dbadmin', 'ALTER ROLE rdsrepladmin PASSWORD \'x\'',
    'ALTER ROLE rdsrepladmin RENAME TO mine', 'DROP ROLE rdsrepladmin', 'ALTER ROLE rdsadmin PASSWORD \'x\'',
    "COPY (SELECT 1) TO PROGRAM 'cat'", "COPY (SELECT 1) TO '/tmp/weir-test-never'",
    "SELECT pg_read_file('/etc/passwd')", "SELECT pg_ls_dir('/')", "SELECT lo_import('/etc/passwd')",
    'ALTER SYSTEM SET fsync = off', 'CREATE FUNCTION f() RETURNS int LANGUAGE c AS \'libc\', \'getpid\'',
    "LOAD '/tmp/x.so'", 'CREATE EXTENSION file_fdw',
    "SELECT pg_reload_conf()", "SELECT pg_promote()", "SELECT pg_create_physical_replication_slot('mine')",
    "UPDATE pg_authid SET rolsuper = true WHERE rolname = 'dbadmin'", 'SET synchronous_standby_names = \'\'',
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rdsadmin'",
    'DROP DATABASE postgres', 'ALTER DATABASE postgres ALLOW_CONNECTIONS false',
    'ALTER DATABASE template1 ALLOW_CONNECTIONS false', 'DROP ROLE rdsproxyadmin',
    'SET SESSION AUTHORIZATION rdsproxyadmin',
])
def test_the_master_user_cannot_become_more(live, statement):
    with pytest.raises(psycopg.Error):
        live.sql(live.node('main', 'primary'), statement, user='dbadmin', database='shop')


@pytest.mark.parametrize('role', ['rdsadmin', 'rdsproxyadmin', 'rdsrepladmin'])
def test_nobody_comes_as_a_role_of_weirs_own(live, role):
    """The endpoint's process may, for what it is; who reaches the endpoint may not."""
    main = next(item for item in live.tier.json('status')['instances'] if item['DBInstanceIdentifier'] == 'main')
    with pytest.raises(psycopg.OperationalError, match='pg_hba.conf rejects connection'):
        psycopg.connect(host=main['Endpoint']['Address'], user=role, dbname='postgres', password='x', sslmode='require')


def test_nobody_else_cuts_a_wait_short(live):
    """RULES F6, in databases that were there before, and in those that are made of any template."""
    main = live.node('main', 'primary')
    as_master = {'user': 'dbadmin', 'database': 'shop'}
    live.sql(main, "CREATE ROLE meddler LOGIN PASSWORD 'x'", **as_master)
    for template in ('template0', 'template1'):
        live.sql(main, f'CREATE DATABASE later TEMPLATE {template}', user='dbadmin', database='postgres')
        for database in ('later', 'postgres', 'shop'):
            may = "SELECT has_function_privilege('{}', 'pg_cancel_backend(int)', 'EXECUTE')"
            assert live.value(main, may.format('meddler'), database=database) is False, (template, database)
            assert live.value(main, may.format('dbadmin'), database=database) is True, (template, database)
        live.sql(main, 'DROP DATABASE later', user='dbadmin', database='postgres')
    live.sql(main, 'DROP ROLE meddler', **as_master)
    assert live.value(main, "SELECT datallowconn FROM pg_database WHERE datname = 'template0'") is False


# ---- parameter groups ----------------------------------------------------------------------------


def set_parameter(live, name, value, method):
    live.tier.aws('rds').modify_db_parameter_group(DBParameterGroupName='tuned', Parameters=[
        {'ParameterName': name, 'ParameterValue': value, 'ApplyMethod': method}])


def apply_status(live):
    instance, = live.tier.aws('rds').describe_db_instances(DBInstanceIdentifier='main')['DBInstances']
    return instance['DBParameterGroups'][0]['ParameterApplyStatus']


def nodes_show(live, name, value):
    return all(live.value(node, f'SHOW {name}') == value for node in live.nodes('main'))


def test_an_immediate_parameter_reaches_the_engine_by_reload(live):
    engine = live.engine(live.node('main', 'primary'))
    set_parameter(live, 'work_mem', '8192', 'immediate')
    wait_until(lambda: nodes_show(live, 'work_mem', '8MB'), 'both nodes have it')
    assert live.engine(live.node('main', 'primary')) == engine
    wait_until(lambda: apply_status(live) == 'in-sync', 'in-sync')


@pytest.mark.parametrize('name, value, shown', [('work_mem', '4096', '4MB'), ('max_connections', '60', '60'), ('max_connections', '150', '150')])
def test_a_parameter_waits_for_the_reboot(live, name, value, shown):
    """A dynamic one that was asked to wait, and a static one, which cannot do otherwise. Its value goes down and
    up: recovery ends where a follower has less than its primary had, also in a replica that nobody rebooted."""
    main = live.node('main', 'primary')
    before = live.value(main, f'SHOW {name}')
    set_parameter(live, name, value, 'pending-reboot')
    wait_until(lambda: apply_status(live) == 'pending-reboot', 'pending-reboot')
    live.wait_settled('main')
    assert live.value(main, f'SHOW {name}') == before
    live.tier.aws('rds').reboot_db_instance(DBInstanceIdentifier='main')
    live.wait_settled('main', 'reader')
    assert live.value(main, f'SHOW {name}') == shown
    wait_until(lambda: apply_status(live) == 'in-sync', 'in-sync')
    live.sql(main, "INSERT INTO note VALUES (2000, 'after the reboot')", user='dbadmin', database='shop')
    for follower in (live.node('main', 'standby'), live.node('reader', 'replica')):
        wait_until(lambda node=follower: when_up(lambda: rows(live, node)) == 101, 'the row arrives')
    live.sql(main, 'DELETE FROM note WHERE id = 2000', user='dbadmin', database='shop')


def test_the_password_is_changed(live):
    main = live.node('main', 'primary')
    rds = live.tier.aws('rds')

    def logs_in(password):
        try:
            psycopg.connect(host=f'{live.tier.run_folder()}/node/{main["NodeId"]}', user='dbadmin', dbname='shop',
                            password=password, connect_timeout=10).close()
        except psycopg.OperationalError as error:
            assert 'password authentication failed' in str(error)
            return False
        return True
    rds.modify_db_instance(DBInstanceIdentifier='main', MasterUserPassword='second-Password.2', ApplyImmediately=True)
    wait_until(lambda: logs_in('second-Password.2'), 'the new password opens')
    assert not logs_in(PASSWORD)
    rds.modify_db_instance(DBInstanceIdentifier='main', MasterUserPassword=PASSWORD, ApplyImmediately=True)
    wait_until(lambda: logs_in(PASSWORD), 'the first password opens again')


def test_a_password_that_its_user_changed_stays(live):
    """Weir sets the master password when somebody asks Weir for it, not at each start."""
    main = live.node('main', 'primary')
    host = live.tier.json('status')['instances'][0]['Endpoint']['Address']
    with live.tier.postgres(host, dbname='shop') as connection:
        connection.execute("ALTER ROLE dbadmin PASSWORD 'third-Password.3'")
    engine = live.engine(main)
    os.kill(engine, signal.SIGKILL)
    wait_back(live, main, engine)
    live.tier.postgres(host, dbname='shop', password='third-Password.3', passfile='/dev/null').close()
    with pytest.raises(psycopg.OperationalError, match='password authentication failed'):
        live.tier.postgres(host, dbname='shop')
    live.tier.aws('rds').modify_db_instance(DBInstanceIdentifier='main', MasterUserPassword=PASSWORD,
                                            ApplyImmediately=True)
    wait_until(lambda: reads(live, host, 'SELECT 1'), 'the password that Weir was asked for opens')


# ---- down and up ---------------------------------------------------------------------------------


def test_down_and_up_bring_the_same_data_back(live):
    tier = live.tier
    before = {(node['NodeId'], node['Incarnation']) for node in live.nodes()}
    tier.down()
    tier.assert_stopped()
    done = tier.down(check=False)
    assert done.returncode != 0
    assert f'no tier is up in {tier.data}' in done.stderr
    tier.up()
    live.wait_settled('main', 'reader', 'cache')
    assert {(node['NodeId'], node['Incarnation']) for node in live.nodes()} == before
    assert all(rows(live, node) == 100 for node in [*live.nodes('main'), *live.nodes('reader')])
    tier.env(fresh=True)
    for kind, (_, _, look) in endpoints(live).items():
        wait_until(look, f'the {kind} answers')
