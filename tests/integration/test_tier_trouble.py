"""What keeps a tier from being served, and what ends it all the same: a port that somebody has, everything of Weir
killed, a supervisor killed, an engine that does not start, an endpoint that does not."""
import contextlib
import os
import signal
import socket
import subprocess
import time

import psycopg
import pytest

from support.inside import PASSWORD, Inside, is_alive
from support.tier import Tier, tier_of
from support.watch import wait_until


@pytest.fixture
def main(weir):
    """A tier with one instance; the test may break what it likes, at the end nothing may be left."""
    tier = Tier(weir)
    try:
        tier.up()
        tier.aws('rds').create_db_instance(
            DBInstanceIdentifier='main', Engine='postgres', DBInstanceClass='db.t3.micro', AllocatedStorage=20,
            MasterUsername='dbadmin', MasterUserPassword=PASSWORD, DBName='shop', BackupRetentionPeriod=0)
        inside = Inside(tier)
        inside.wait_settled('main')
        yield inside
        if inside.serve():
            tier.down()
        tier.assert_stopped()
    finally:
        tier.remove()


@contextlib.contextmanager
def holding(address, port, patience_s=10):
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def bound():  # the last thread of a killed process may end a moment after the first
            with contextlib.suppress(OSError):
                held.bind((address, port))
                return True
            return False
        wait_until(bound, f'port {port} is free', patience_s)
        held.listen(1)
        yield


def test_without_its_port_no_engine_is_started(main):
    tier = main.tier
    api = tier.env()['AWS_ENDPOINT_URL'].split('//')[1].split(':')[0]
    tier.down()
    with holding(api, 4566):
        done = tier.command('up', '--detach', check=False, timeout_s=60)
        assert done.returncode != 0
        assert f'{api}:4566' in done.stderr and 'in use' in done.stderr
        assert not tier.processes()
        with tier_of(tier.weir) as new:  # the first network of which no tier has the lock is that one
            assert new.env()['AWS_ENDPOINT_URL'] != f'https://{api}:4566'
    tier.up()
    main.wait_settled('main')


def test_down_ends_what_was_left(main):
    engine = main.engine(main.node('main', 'primary'))
    main.kill_all_but_guards()
    assert is_alive(engine)
    main.tier.down()
    assert not is_alive(engine)


def test_a_stop_needs_no_serve(main):
    """Serve cannot be started, and the tier shall end: then it ends without."""
    tier = main.tier
    engine = main.engine(main.node('main', 'primary'))
    api = tier.env()['AWS_ENDPOINT_URL'].split('//')[1].split(':')[0]
    supervisor = tier.find('weir supervise')[0]
    os.kill(main.serve(), signal.SIGSTOP)  # the port is free only when it has gone: first nobody may start another
    os.kill(supervisor, signal.SIGSTOP)
    os.kill(main.serve(), signal.SIGKILL)
    wait_until(lambda: not main.serve() or not is_alive(main.serve()), 'serve has ended')
    with holding(api, 4566):
        os.kill(supervisor, signal.SIGTERM)
        os.kill(supervisor, signal.SIGCONT)
        wait_until(lambda: not is_alive(supervisor), 'the supervisor ends')
        assert not is_alive(engine)
        wait_until(lambda: not tier.find('weir (guard|proxy|serve)'), 'nothing of it is left')
    tier.up()
    main.wait_settled('main')


def test_a_killed_supervisor_is_back(main):
    tier = main.tier
    first, = tier.find('weir supervise')
    serve = main.serve()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: [pid for pid in tier.find('weir supervise') if pid != first], 'another supervisor')
    assert main.serve() == serve
    os.kill(serve, signal.SIGKILL)
    wait_until(lambda: main.serve() not in (None, serve), 'another serve')
    main.wait_settled('main')
    tier.down()
    tier.assert_stopped()


def test_in_front_up_looks_after_a_tier_that_was_killed(main):
    tier = main.tier
    tier.down()
    environ = {**os.environ, 'WEIR_TEST_MARK': tier.mark, 'NO_COLOR': '1'}
    with subprocess.Popen([tier.weir, 'up', '--data', tier.data], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, env=environ, start_new_session=True) as front:
        try:
            wait_until(lambda: main.serve() and tier.command('status', check=False).returncode == 0, 'the tier is up')
            main.wait_settled('main')
            engine = main.engine(main.node('main', 'primary'))
            main.kill_all_but_guards()
            wait_until(main.serve, 'serve is back')
            wait_until(lambda: tier.command('status', check=False).returncode == 0, 'the API answers')
            main.wait_settled('main')
            assert main.engine(main.node('main', 'primary')) == engine
        finally:
            front.send_signal(signal.SIGINT)
            words, _ = front.communicate(timeout=90)
        assert 'The tier is stopped' in words
    assert not tier.processes()


def test_why_an_engine_does_not_start_is_said(main):
    tier = main.tier
    node = main.node('main', 'primary')
    version = main.folder(node) / 'data/PG_VERSION'
    tier.down()
    version.write_text('9\n')
    with subprocess.Popen([tier.weir, 'up', '--detach', '--data', tier.data], stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.STDOUT, env={**os.environ, 'WEIR_TEST_MARK': tier.mark}) as waits:
        try:
            wait_until(lambda: 'is of PostgreSQL 9' in tier.command('status', check=False).stdout, 'the reason')
        finally:
            waits.send_signal(signal.SIGINT)
            waits.communicate(timeout=90)
    version.write_text('15\n')
    tier.up()
    main.wait_settled('main')
    assert 'PostgreSQL 9' not in tier.command('status').stdout


def take_port(stack, main, host):
    """Takes the port of an endpoint whose process is killed until the port is ours. The pids of those that were."""
    killed = set()

    def look():
        pid = main.plane('relay-')
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        with contextlib.suppress(AssertionError):  # the next process was faster: that one is killed, too
            stack.enter_context(holding(host, 5432, patience_s=0.2))
            return True
        return False
    wait_until(look, 'the port is ours')
    return killed


def test_an_endpoint_that_cannot_listen_says_so_once(main):
    tier = main.tier
    host = tier.json('status')['instances'][0]['Endpoint']['Address']
    with contextlib.ExitStack() as stack:
        killed = take_port(stack, main, host)
        wait_until(lambda: '5432' in tier.command('status').stdout and 'in use' in tier.command('status').stdout,
                   'the reason')
        time.sleep(4)
        assert len([word for word in main.events('main') if 'started again' in word]) <= len(killed)
    wait_until(lambda: answers(tier, host), 'the endpoint answers')
    wait_until(lambda: 'in use' not in tier.command('status').stdout, 'no complaint is left')


def answers(tier, host):
    with contextlib.suppress(psycopg.OperationalError):
        with tier.postgres(host, dbname='shop', password=PASSWORD, passfile='/dev/null') as connection:
            return connection.execute('SELECT 1').fetchone() == (1,)
