"""The two ways in which a proxy waits for its connections: `io` epoll and uring."""
import contextlib
import ctypes
import json
import random
import subprocess
import threading

import psycopg
import pytest

from support.pool import ANN, authority, postgres, proxy  # noqa: F401 (fixtures)

SYSCALL_IO_URING_SETUP = 425


def why_no_uring():
    """None: this system has io_uring as the proxy needs it."""
    libc = ctypes.CDLL(None, use_errno=True)
    parameters = (ctypes.c_uint32 * 30)(0, 0, 1 << 12 | 1 << 13)  # SINGLE_ISSUER, DEFER_TASKRUN
    fd = libc.syscall(SYSCALL_IO_URING_SETUP, 8, parameters)
    if fd < 0:
        return f'io_uring_setup: errno {ctypes.get_errno()}'
    with contextlib.closing(open(fd, 'rb', buffering=0)):
        return None


@pytest.fixture(params=['epoll', 'uring'])
def either(request, proxy):
    """A pool by each of them."""
    if request.param == 'uring' and why_no_uring():
        pytest.skip(why_no_uring())
    proxy.configure({'max_connections_percent': 40, 'admin_users': ['ann']}, io=request.param, workers=2)
    return proxy


def test_it_is_what_is_asked_for(either):
    with either.connect(dbname='weir') as admin:
        rows = {row[0]: row for row in admin.execute('SHOW CONFIG')}
        assert rows['io'] == ('io', either.config['io'], 'epoll', 'no')
    either.config['io'] = 'auto'
    with pytest.raises(AssertionError, match='io cannot change while the proxy runs'):
        either.configure()


def test_large_both_ways_with_and_without_tls(either):
    """More than any buffer: rows, parameters and COPY."""
    text = 'x' * 3_000_000
    for sslmode in ('disable', 'verify-full'):
        with either.connect(sslmode=sslmode) as client:
            assert client.execute('SELECT %s::text', (text,)).fetchone() == (text,)
            rows = client.execute("SELECT repeat('y', 16384) FROM generate_series(1, 300)").fetchall()
            assert rows == [('y' * 16384,)] * 300
            with client.cursor() as cursor, client.transaction():
                cursor.execute('CREATE TEMP TABLE wide (v text) ON COMMIT DROP')
                with cursor.copy('COPY wide FROM STDIN') as copy:
                    for _ in range(300):
                        copy.write_row((text[:20000],))
                assert cursor.execute('SELECT count(*), sum(length(v)) FROM wide').fetchone() == (300, 6_000_000)


def test_a_reader_that_stops_and_one_that_leaves(either):
    """What is under way for one who does not read holds nobody else up, and ends with him."""
    query = "SELECT repeat('z', 100000) FROM generate_series(1, 400)"
    with contextlib.closing(either.connect()) as lazy, either.connect() as other:
        lazy.pgconn.send_query(query.encode())
        for i in range(50):
            assert other.execute('SELECT %s::int', (i,)).fetchone() == (i,)
        received = 0
        while (result := lazy.pgconn.get_result()) is not None:
            received += result.ntuples
        assert received == 400
        lazy.pgconn.send_query(query.encode())
        assert other.execute('SELECT 1').fetchone() == (1,)
    either.await_status(lambda status: status['servers_borrowed'] == 0)


def test_clients_that_come_and_go(either):
    """Each does something and is closed in a way of its own; nobody gets another's answer."""
    wrong = []

    def client(seed):
        chance = random.Random(seed)
        for turn in range(12):
            mark = seed * 1000 + turn
            try:
                connection = either.connect(sslmode=chance.choice(['disable', 'verify-full']))
                for _ in range(chance.randrange(1, 6)):
                    if connection.execute('SELECT %s::int', (mark,)).fetchone() != (mark,):
                        wrong.append(mark)
                how = chance.randrange(3)
                if how == 0:
                    connection.close()
                elif how == 1:
                    connection.pgconn.send_query(b"SELECT pg_sleep(0.02), repeat('q', 200000)")
                    connection.pgconn.finish()
                else:
                    with contextlib.closing(connection), connection.pipeline():
                        for _ in range(20):
                            connection.execute('SELECT 1')
            except psycopg.Error as error:
                wrong.append(error)

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    either.await_status(lambda status: status['clients'] == 0 and status['servers_borrowed'] == 0)


def test_auto_goes_on_where_it_is_forbidden(weir, tmp_path):
    """Without io_uring `auto` is epoll, and `uring` is refused, by name and with what helps."""
    preload = tmp_path / 'none.so'
    subprocess.run(['cc', '-shared', '-fPIC', '-o', preload, '-x', 'c', '-'], check=True, text=True, input='''
        #include <errno.h>
        int io_uring_queue_init_params(unsigned n, void *ring, void *params)
        { (void)n; (void)ring; (void)params; return -EPERM; }''')
    linked = subprocess.run(['ldd', weir], capture_output=True, text=True, check=True).stdout
    if 'liburing' not in linked:
        pytest.skip('this weir was built without liburing')
    if 'libasan' in linked or 'libtsan' in linked:
        pytest.skip('a sanitizer wants to be the first library')

    def check(how):
        path = tmp_path / 'proxy.json'
        path.write_text(json.dumps({
            'kind': 'pool', 'io': how, 'listeners': [{'address': '127.0.0.1', 'port': 1}],
            'pool': {'target': {'host': '127.0.0.1'}, 'users': [ANN]}}))
        path.chmod(0o600)
        return subprocess.run([weir, 'proxy', '--check', '--config', path], capture_output=True, text=True,
                              env={'LD_PRELOAD': str(preload)}, timeout=20, check=False)

    assert check('auto').returncode == 0
    refused = check('uring')
    assert refused.returncode == 2
    assert 'io uring' in refused.stderr and 'kernel.io_uring_disabled' in refused.stderr, refused.stderr
    wrong = check('kqueue')
    assert wrong.returncode == 2 and 'io must be epoll, auto or uring, not kqueue' in wrong.stderr
