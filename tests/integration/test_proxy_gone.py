"""Servers and clients that go away in the middle: what they began is brought to an end, and everybody else goes on."""
import contextlib
import os
import signal
import socket
import threading
import time

import psycopg
import pytest

from support.engines import account_folder, stop
from support.pool import Postgres, Proxy, authority, one_server, pool, postgres, proxy

pytestmark = pytest.mark.timeout(120)

# ---- servers ------------------------------------------------------------------------------------

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


# ---- clients ------------------------------------------------------------------------------------

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
