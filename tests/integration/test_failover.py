"""A Multi-AZ instance behind a proxy, under writers, while its nodes are killed, stopped and taken away: no
acknowledged row is ever lost, also not when the faulty node is back, and two nodes are there again without a human."""
import contextlib
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from support.inside import PASSWORD, Inside
from support.ledger import Ledger
from support.tier import Tier
from support.tier_proxy import create_proxy, proxy_endpoint
from support.watch import wait_until

TIMEOUT = 6  # exit status


@pytest.fixture(scope='module')
def live(weir):
    tier = Tier(weir)
    try:
        tier.up()
        rds = tier.aws('rds')
        rds.create_db_instance(
            DBInstanceIdentifier='main', Engine='postgres', DBInstanceClass='db.t3.micro', AllocatedStorage=20,
            MasterUsername='dbadmin', MasterUserPassword=PASSWORD, DBName='shop', MultiAZ=True)
        create_proxy(tier, 'main')
        inside = Inside(tier)
        inside.wait_settled('main')
        inside.endpoint = wait_until(lambda: proxy_endpoint(rds), 'the proxy is available')
        yield inside
        tier.down()
        tier.assert_stopped()
    finally:
        tier.remove()


def through_proxy(live, **options):
    env = live.tier.env()
    return psycopg.connect(host=live.endpoint, user='dbadmin', password=PASSWORD, dbname='shop', autocommit=True,
                           sslmode='verify-full', sslrootcert=env['PGSSLROOTCERT'], connect_timeout=30, **options)


def rows(live, node):
    return live.sql(node, 'SELECT writer, number FROM ledger', database='shop')


def leader(live):
    return live.node('main', 'primary')


def wait_other_leader(live, old):
    """While roles change there may be no word of a primary."""
    return wait_until(lambda: next((node for node in live.nodes('main') if node['Role'] == 'primary' and
                                    node['NodeId'] != old['NodeId']), None), 'another node leads')


def kill_postmaster(live, node):
    os.kill(live.engine(node), signal.SIGKILL)


def kill_guard(live, node):
    os.kill(live.guard(node), signal.SIGKILL)


def kill_node(live, node):
    for pid in [live.guard(node), *live.engine_processes(node)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def kill_walsender(live, node):
    """PostgreSQL ends with it as a whole, and lets nobody of its set go before (F7, F10)."""
    sender = live.value(node, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender'")
    os.kill(sender, signal.SIGKILL)


def stop_node(live, node):
    for pid in [live.guard(node), *live.engine_processes(node)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)


def has_all(live, node, ledger):
    with contextlib.suppress(psycopg.OperationalError):  # it may start again
        return set(rows(live, node)) >= ledger.acknowledged
    return False


def check_everywhere(live, ledger):
    """Twice: on who leads now, and on both when the faulty one is back."""
    ledger.check(rows(live, leader(live)))
    live.wait_settled('main')
    for role in ('primary', 'standby'):
        node = live.node('main', role)
        wait_until(lambda node=node: has_all(live, node, ledger), f'{role} has every row')
        ledger.check(rows(live, node))


@pytest.mark.parametrize('fault', [kill_postmaster, kill_walsender, kill_guard, kill_node, stop_node])
def test_the_leader_is_lost(live, fault, record_property):
    live.wait_settled('main')
    old = leader(live)
    with Ledger(lambda: through_proxy(live)) as ledger:
        since = time.monotonic()
        fault(live, old)
        wait_other_leader(live, old)
        ledger.wait_for(60)
        ledger.stop()
        record_property('gap_s', round(ledger.gap_s(since), 3))
        print(f'{fault.__name__}: {ledger.gap_s(since):.3f} s without an acknowledged row, '
              f'{len(ledger.errors)} errors: {sorted({str(code) for _, code, _ in ledger.errors})}')
    check_everywhere(live, ledger)


def test_what_clients_hear(live):
    """RULES F12: who may repeat a transaction hears 40001, who may not 08007, and both keep their connection; what a
    pinned session had is gone."""
    live.wait_settled('main')
    old = leader(live)
    idle, inside, running, writing, pinned = clients = [through_proxy(live) for _ in range(5)]
    idle.execute('CREATE TABLE heard (number int)')
    inside.execute('BEGIN')
    inside.execute('INSERT INTO heard VALUES (1)')
    running.execute('BEGIN')
    pinned.execute('CREATE TEMPORARY TABLE mine ()')
    with ThreadPoolExecutor() as pool:
        slow = [pool.submit(running.execute, 'SELECT pg_sleep(100)'),
                pool.submit(writing.execute, 'INSERT INTO heard SELECT 2 FROM pg_sleep(100)')]
        wait_until(lambda: live.value(old, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == 2,
                   'both are busy')
        kill_postmaster(live, old)
        assert [task.exception(30).sqlstate for task in slow] == ['40001', '08007']
    with pytest.raises(psycopg.errors.SerializationFailure):
        inside.execute('INSERT INTO heard VALUES (1)')
    for client in (idle, inside, running, writing):
        assert client.execute('SELECT count(*) FROM heard').fetchone() == (0,)  # a read is sent again
    with pytest.raises(psycopg.OperationalError, match='the state of this session'):
        pinned.execute('SELECT 1')
    for client in clients:
        client.close()


def test_a_wait_that_was_cut_short_is_no_success(live):
    """RULES F6: PostgreSQL answers a cancelled wait with success, and the standby may not have the row. The client
    hears of it when the standby has it."""
    with through_proxy(live) as client, ThreadPoolExecutor() as pool:
        client.execute('CREATE TABLE cut (number int)')
        wait_until(lambda: cut_a_wait(live, client, pool, 1, lambda leader: None) == 'held', 'one is held', 200)
        assert client.execute('SELECT count(*) > 0 FROM cut WHERE number = 1').fetchone() == (True,)
        standby = live.node('main', 'standby')
        wait_until(lambda: live.sql(standby, 'SELECT 1 FROM cut WHERE number = 1', database='shop'), 'it has the row')


def test_a_leader_that_is_lost_behind_a_cut_wait(live):
    """Nobody knows whether the standby has it, and so the client hears 08007. Where it hears of a success, because
    nobody was waited for any more, that lasts."""
    heard = []

    def is_lost():
        heard.append(cut_a_wait(live, client, pool, 2, lambda leader: kill_postmaster(live, leader)))
        return heard[-1] == '08007'

    with through_proxy(live) as client, ThreadPoolExecutor() as pool:
        wait_until(is_lost, 'one is cut before nobody is waited for', 200)
        told = [word for word in heard if word != '08007']
        assert set(told) <= {None, 'held'}
        assert client.execute('SELECT count(*) FROM cut WHERE number = 2').fetchone()[0] >= len(told)


def cut_a_wait(live, client, pool, number, then):
    """A commit waits for the standby, which stands still; its client cancels it; and `then` happens. What that hears:
    the code of an error, or `held` for a success that came when the standby went on. None where the set shrank first,
    so that nothing was waited for any more."""
    live.wait_settled('main')
    old = leader(live)
    with live.stopped(live.node('main', 'standby')):
        waiting = pool.submit(client.execute, f'INSERT INTO cut VALUES ({number})')
        wait_until(lambda: waiting.done() or live.sql(
            old, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND usename = 'dbadmin'"), 'it waits')
        client.cancel()
        time.sleep(0.2)
        held = not waiting.done()
        then(old)
    error = waiting.exception(30)
    live.wait_settled('main')
    return error.sqlstate if error is not None else 'held' if held else None


def test_the_standby_is_lost(live):
    live.wait_settled('main')
    standby = live.node('main', 'standby')
    with Ledger(lambda: through_proxy(live)) as ledger:
        kill_node(live, standby)
        ledger.wait_for(60)
    assert not ledger.errors
    assert leader(live)['NodeId'] != standby['NodeId']
    check_everywhere(live, ledger)


def test_a_planned_change(live):
    """Between transactions nobody notices: not one error."""
    live.wait_settled('main')
    old = leader(live)
    with Ledger(lambda: through_proxy(live)) as ledger:
        since = time.monotonic()
        answer = live.tier.json('failover', 'main')
        ledger.wait_for(60)
        ledger.stop()
        print(f'planned: {ledger.gap_s(since):.3f} s without an acknowledged row')
    assert answer['done'] and answer['before'] == old['NodeId'] and answer['after'] != old['NodeId']
    assert not ledger.errors
    check_everywhere(live, ledger)


def test_a_planned_change_that_nobody_could_take(live):
    """It is given up within some seconds, and all goes on as it was."""
    live.wait_settled('main')
    old, standby = leader(live), live.node('main', 'standby')
    data = live.folder(standby) / 'data'
    data.chmod(0o777)  # PostgreSQL does not start so
    try:
        kill_node(live, standby)
        answer = live.tier.command('failover', 'main', check=False)
        assert answer.returncode == TIMEOUT and 'nobody else was ready' in answer.stderr, answer
        assert leader(live)['NodeId'] == old['NodeId']
        assert any('planned failover was given up' in message for message in live.events('main'))
        with through_proxy(live) as client:
            assert client.execute('SELECT 1').fetchone() == (1,)
    finally:
        data.chmod(0o700)
    live.wait_settled('main')
    assert live.tier.json('failover', 'main')['done']


def has_in_ahead(live, node):
    with contextlib.suppress(psycopg.OperationalError):  # it is rewound, and starts again
        return {row[0] for row in live.sql(node, 'SELECT number FROM ahead', database='shop')}
    return None


def test_a_replica_that_is_ahead_is_taken_back(live):
    """It has got what the standby had not when that was promoted: no timeline of the leader's has it."""
    rds = live.tier.aws('rds')
    rds.create_db_instance_read_replica(DBInstanceIdentifier='reader', SourceDBInstanceIdentifier='main')
    live.wait_settled('main', 'reader')
    old, reader = leader(live), live.node('reader', 'replica')
    with through_proxy(live) as client:
        client.execute('CREATE TABLE ahead (number int)')
        sender = live.value(old, "SELECT pid FROM pg_stat_replication WHERE sync_state = 'sync'")
        with live.connect(old, database='shop') as inside:
            inside.execute('SET synchronous_commit = local')  # nobody is told that it is safe
            os.kill(sender, signal.SIGSTOP)
            inside.execute('INSERT INTO ahead VALUES (1)')
            wait_until(lambda: has_in_ahead(live, reader) == {1}, 'the replica has the row')
            kill_postmaster(live, old)
        wait_other_leader(live, old)
        wait_until(lambda: has_in_ahead(live, reader) == set(), 'the replica has lost the row')
        client.execute('INSERT INTO ahead VALUES (2)')
        wait_until(lambda: has_in_ahead(live, reader) == {2}, 'the replica follows again')
    assert any('follows again' in message for message in live.events('reader'))
    live.wait_settled('main', 'reader')
    rds.delete_db_instance(DBInstanceIdentifier='reader', SkipFinalSnapshot=True)


def test_reboot_with_failover(live):
    live.wait_settled('main')
    old = leader(live)
    rds = live.tier.aws('rds')
    answer = rds.reboot_db_instance(DBInstanceIdentifier='main', ForceFailover=True)
    assert answer['DBInstance']['DBInstanceStatus'] == 'rebooting'
    wait_other_leader(live, old)
    rds.get_waiter('db_instance_available').wait(DBInstanceIdentifier='main', WaiterConfig={'Delay': 1})


def test_events_tell_it(live):
    events = live.events('main')
    assert any('failover started' in message for message in events)
    assert any('failover completed' in message for message in events)
    assert any('follows again' in message for message in events)
