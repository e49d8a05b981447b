"""A proxy takes the place of another at the same sockets, under clients that do not pause (docs/upgrade.md)."""
import contextlib
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import psycopg
import pytest

from support.alone import PASSWORD, PORT, authority, server
from support.engines import as_account, own_address
from support.inside import is_alive
from support.rolling import Impostor, Rolling, Watch, gone
from support.watch import wait_until
from support.wire import CANCEL, Wire, query

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def proxy(weir, tmp_path, server):
    made = Rolling(weir, tmp_path, server)
    made.server = server
    yield made
    ends = made.close()
    assert all(end in (0, -signal.SIGKILL) for end in ends), (ends, made.lines)
    assert f'@weir-proxy/{made.address}' not in open('/proc/net/unix', encoding='ascii').read()


class Load:
    """Clients that connect and query without a pause; every failure is kept."""

    def __init__(self, proxy, **options):
        self.proxy = proxy
        self.options = options
        self.failures = []
        self.connects = self.queries = 0
        self.stopping = threading.Event()
        self.threads = []

    def _run(self, work, number):
        while not self.stopping.is_set():
            try:
                work(number)
            except Exception as error:  # pylint: disable=broad-except
                self.failures.append(f'{work.__name__}: {error!r}')
                return

    def short(self, number):
        """A connection for two queries."""
        with self.proxy.connect(**self.options) as connection:
            self.connects += 1
            assert connection.execute('SELECT %s::int', (number,)).fetchone() == (number,)
            with connection.transaction():
                assert connection.execute('SELECT 2').fetchone() == (2,)
            self.queries += 2

    def steady(self, number):
        """A connection that stays, whichever process it is with."""
        with self.proxy.connect(**self.options) as connection:
            while not self.stopping.is_set():
                assert connection.execute('SELECT %s::int', (number,)).fetchone() == (number,)
                self.queries += 1
                time.sleep(0.001)

    def raw(self, _):
        """A connect and the first byte of an answer, as fast as it goes."""
        with socket.create_connection((self.proxy.address, PORT), 10) as peer:
            peer.settimeout(10)
            peer.sendall(b'\0\0\0\x08\x04\xd2\x16\x2f')
            assert peer.recv(1) in (b'S', b'N')
            self.connects += 1
        time.sleep(0.002)

    def __enter__(self):
        for work, count in ((self.short, 3), (self.steady, 3), (self.raw, 1)):
            for number in range(count):
                thread = threading.Thread(target=self._run, args=(work, number))
                thread.start()
                self.threads.append(thread)
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)


class SlowLogin(Wire):
    """A client that says who it is, and proves it when it is told to."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.gate = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self._begin)
        self.thread.start()
        time.sleep(0.3)

    def _begin(self):
        try:
            super().__init__(self.proxy.address, PORT, 'ann', PASSWORD, 'app')
            self.error = ''
        except ConnectionRefusedError as error:
            self.error = str(error)

    def _next(self):
        self.gate.wait(20)
        return super()._next()

    def done(self):
        self.gate.set()
        self.thread.join(20)
        return self.error


# ---- nobody notices -------------------------------------------------------------------------------

@pytest.mark.parametrize('tls', [False, True])
def test_ten_in_a_row(proxy, server, tls):
    if tls:
        proxy.tls()
    proxy.pool['target']['max_connections'] = 5
    proxy.pool['connection_borrow_timeout_s'] = 20
    proxy.start()
    options = {'sslmode': 'verify-full', 'sslrootcert': str(server.authority.ca)} if tls else {}
    with Watch(server) as watch, Load(proxy, **options) as load, proxy.connect(**options) as long:
        with long.transaction():
            pid = long.execute('SELECT pg_backend_pid()').fetchone()
            for _ in range(10):
                proxy.upgrade()
                time.sleep(0.3)
                assert long.execute('SELECT pg_backend_pid()').fetchone() == pid
        assert long.execute('SELECT 1').fetchone() == (1,)
    assert not load.failures
    assert load.connects > 100 and load.queries > 200
    assert watch.looks > 100 and watch.most <= 5
    for old in proxy.processes[:-1]:
        gone(old)
        assert old.returncode == 0


def test_pgbench_goes_on(proxy, server):
    proxy.pool['target']['max_connections'] = 6
    proxy.pool['connection_borrow_timeout_s'] = 20
    proxy.start()
    environment = {**os.environ, 'PGPASSWORD': PASSWORD}
    folder = proxy.folder
    # A thread for each client: one that waits must not keep those from going on that have a connection.
    (folder / 'one.sql').write_text('BEGIN;\nSELECT 1;\nSELECT pg_sleep(0.002);\nCOMMIT;\n')
    runs = [subprocess.Popen(['pgbench', '-n', '-h', proxy.address, '-U', 'ann', '-c', '4', '-j', '4', '-T', '8',
                              '-M', mode, '-f', folder / 'one.sql', *more, 'app'], env=environment, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
            for mode, more in (('extended', ['-C']), ('prepared', []))]
    with Watch(server) as watch:
        for _ in range(10):
            proxy.upgrade()
            time.sleep(0.3)
        outputs = [run.communicate(timeout=60)[0] for run in runs]
    for run, output in zip(runs, outputs):
        assert run.returncode == 0, output
        assert 'number of failed transactions: 0' in output and 'ERROR' not in output, output
    assert watch.most <= 6


# ---- by a signal ----------------------------------------------------------------------------------

def test_sigusr2_starts_the_successor(proxy, tmp_path):
    """What stands at the path by then; a service manager hears of it."""
    real, path = proxy.weir, tmp_path / 'weir'
    path.symlink_to(real)
    proxy.weir = path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / 'notify'))
        told.settimeout(20)
        proxy.environment = {'NOTIFY_SOCKET': str(tmp_path / 'notify')}
        proxy.start()
        assert told.recv(100) == b'READY=1'
        path.unlink()
        path.write_text(f'#!/bin/sh\necho "a new one" >&2\nexec {real} "$@"\n')
        path.chmod(0o755)
        with proxy.connect() as client:
            proxy.process.send_signal(signal.SIGUSR2)
            proxy.await_line('a new one')
            proxy.await_line('is leaving: another process accepts, 1 clients stay')
            lines = {told.recv(100), told.recv(100)}
            assert b'READY=1' in lines
            successor = int((lines - {b'READY=1'}).pop().removeprefix(b'MAINPID='))
            assert client.execute('SELECT 1').fetchone() == (1,)
            assert proxy.ask('SELECT 1') == (1,)
    gone(proxy.process)
    os.kill(successor, signal.SIGTERM)
    wait_until(lambda: not is_alive(successor), 'the successor ends', 20)


def test_there_is_nobody_to_take_over_from(proxy):
    proxy.start('--take-over')
    assert proxy.ask('SELECT 1') == (1,)


def test_without_take_over_the_address_is_in_use(proxy):
    proxy.start()
    second = proxy.launch()
    assert second.wait(20) == 1
    second.ear.join(5)
    assert '--take-over' in second.log[-1], second.log
    assert proxy.ask('SELECT 1') == (1,)
    proxy.processes.remove(second)


# ---- cancelling -----------------------------------------------------------------------------------

def wire(proxy):
    return Wire(proxy.address, PORT, 'ann', PASSWORD, 'app')


@contextlib.contextmanager
def to_be_cancelled(connection):
    """A query that runs; at the end it must have been cancelled, and soon."""
    connection.send(query('SELECT pg_sleep(20)'))
    time.sleep(0.3)
    began = time.monotonic()
    yield
    answer = connection.until('CommandComplete')
    assert answer[0] == 'ErrorResponse' and dict(answer[1])['code'] == '57014', answer
    assert time.monotonic() - began < 10
    connection.settle()
    assert connection.rows('SELECT 1') == [('1',)]


def test_a_cancel_finds_its_process(proxy):
    proxy.start()
    with wire(proxy) as first:
        with to_be_cancelled(first):
            proxy.upgrade()
            first.cancel()  # comes to the new process, and goes to the old one
        with wire(proxy) as second:
            with to_be_cancelled(second):
                proxy.upgrade()
                second.cancel()
            with to_be_cancelled(first):  # two generations back
                first.cancel()
            with wire(proxy) as third, to_be_cancelled(third):
                third.cancel()


@pytest.mark.parametrize('upgrades', [1, 2])
def test_a_cancel_that_came_to_the_old_process(proxy, upgrades):
    """It was accepted before its client's process was there: it goes to the process that serves, and from there on
    where that has left, too."""
    proxy.start()
    with socket.create_connection((proxy.address, PORT), 10) as early:
        early.settimeout(20)
        early.sendall(b'\0\0\0')
        time.sleep(0.3)
        proxy.upgrade()
        with wire(proxy) as client, to_be_cancelled(client):
            for _ in range(upgrades - 1):
                proxy.upgrade()
            early.sendall(struct.pack('!BI', 16, CANCEL) + client.key)
            assert early.recv(1) == b''


def test_a_wrong_key_cancels_nothing(proxy):
    proxy.start()
    with wire(proxy) as client:
        proxy.upgrade()
        right, client.key = client.key, client.key[:4] + bytes(byte ^ 1 for byte in client.key[4:])
        client.send(query('SELECT pg_sleep(1)'))
        time.sleep(0.2)
        client.cancel()
        client.settle()
        assert client.rows('SELECT 1') == [('1',)]
        client.key = right


def comes_in(proxy):
    with contextlib.suppress(psycopg.OperationalError):
        return proxy.ask('SELECT 1')
    return None


# ---- limits ---------------------------------------------------------------------------------------

def test_the_budget_spans_both(proxy, server):
    """What one has the other has not; whoever waits gets it when it is free, here and there."""
    proxy.pool['target']['max_connections'] = 2
    proxy.pool['connection_borrow_timeout_s'] = 2
    proxy.start()
    with Watch(server) as watch, contextlib.ExitStack() as stack:
        old = [stack.enter_context(proxy.connect()) for _ in range(3)]
        old[0].execute('BEGIN')
        old[1].execute('BEGIN')
        proxy.upgrade()
        new = []
        with pytest.raises(psycopg.OperationalError, match='Timed-out waiting'):
            old[2].execute('SELECT 1')  # there is none in its own process
        with pytest.raises(psycopg.OperationalError, match='Timed-out waiting'):
            proxy.connect()  # nor in the new one, for which the first login needs one
        old[0].execute('COMMIT')
        new.append(stack.enter_context(proxy.connect()))
        new[0].execute('BEGIN')
        with pytest.raises(psycopg.OperationalError, match='Timed-out waiting'):
            with proxy.connect() as third:
                third.execute('SELECT 1')
        old[1].execute('COMMIT')  # the place goes to and fro
        for _ in range(3):
            assert old[0].execute('SELECT 1').fetchone() == (1,)
            with proxy.connect() as third:
                assert third.execute('SELECT 1').fetchone() == (1,)
        new[0].execute('COMMIT')
    assert watch.most <= 2 and watch.looks > 50


def test_fair_between_both(proxy, server):
    """Both processes have more to do than they may: nobody starves."""
    proxy.pool['target']['max_connections'] = 2
    proxy.pool['connection_borrow_timeout_s'] = 10
    proxy.start()
    counts = {'old': 0, 'new': 0}
    failures = []
    stopping = threading.Event()

    def work(name):
        try:
            with proxy.connect() as connection:
                ready.wait(30)
                while not stopping.is_set():
                    connection.execute('SELECT pg_sleep(0.005)')
                    counts[name] += 1
        except Exception as error:  # pylint: disable=broad-except
            failures.append(repr(error))

    ready = threading.Barrier(9)
    threads = [threading.Thread(target=work, args=('old',)) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: ready.n_waiting == 4, 'four are in', 20)
    proxy.upgrade()
    threads += [threading.Thread(target=work, args=('new',)) for _ in range(4)]
    for thread in threads[4:]:
        thread.start()
    with Watch(server) as watch:
        ready.wait(30)
        time.sleep(5)
        stopping.set()
        for thread in threads:
            thread.join(30)
    assert not failures and watch.most <= 2
    assert min(counts.values()) > 0.2 * max(counts.values()), counts


def test_fair_among_four(proxy):
    """Three that leave and the one that serves have more to do than they may: nobody starves."""
    proxy.pool['target']['max_connections'] = 3
    proxy.pool['connection_borrow_timeout_s'] = 20
    proxy.start()
    counts = []
    failures = []
    stopping = threading.Event()

    def work(slot):
        try:
            with proxy.connect() as connection:
                while not stopping.is_set():
                    connection.execute('SELECT pg_sleep(0.005)')
                    counts[slot] += 1
        except Exception as error:  # pylint: disable=broad-except
            failures.append(repr(error))

    threads = []
    for generation in range(4):
        if generation > 0:
            proxy.upgrade()
        for _ in range(4):
            counts.append(0)
            threads.append(threading.Thread(target=work, args=(len(counts) - 1,)))
            threads[-1].start()
        wait_until(lambda: min(counts) > 0 or failures, 'all are in', 20)
    before = list(counts)
    time.sleep(6)
    after = list(counts)
    stopping.set()
    for thread in threads:
        thread.join(30)
    done = [now - then for now, then in zip(after, before)]
    sums = [sum(done[i:i + 4]) for i in range(0, 16, 4)]
    assert not failures
    assert min(sums) > 0.2 * max(sums), (sums, done)


def test_limits_of_a_user_span_both(proxy, server):
    proxy.pool['users'][0].update(max_connections=1, max_clients=3)
    proxy.pool['connection_borrow_timeout_s'] = 2
    proxy.start()
    with Watch(server) as watch, proxy.connect() as old:
        old.execute('BEGIN')
        old.execute('SELECT 1')
        proxy.upgrade()
        with pytest.raises(psycopg.OperationalError, match='Timed-out waiting'):
            proxy.connect()
        old.execute('COMMIT')
        with proxy.connect() as one:
            one.execute('BEGIN')
            with pytest.raises(psycopg.OperationalError, match='Timed-out waiting'):
                old.execute('SELECT 1')
            one.execute('COMMIT')
            with proxy.connect() as two, proxy.connect() as three:
                with pytest.raises(psycopg.OperationalError, match='for the role ann exceeded 3'):
                    proxy.connect()
                assert two.execute('SELECT 1').fetchone() == three.execute('SELECT 1').fetchone()
    assert watch.most <= 1


def test_clients_span_both(proxy):
    proxy.config['max_clients'] = 3
    proxy.start()
    with contextlib.ExitStack() as stack:
        old = [stack.enter_context(proxy.connect()) for _ in range(2)]
        proxy.upgrade()
        stack.enter_context(proxy.connect())
        with pytest.raises(psycopg.OperationalError, match='client connections to the proxy exceeded 3'):
            proxy.connect()
        old[0].close()
        wait_until(lambda: comes_in(proxy), 'one has gone, and one comes', 20)


def test_who_was_logging_in_counts(proxy):
    """A client that the old process accepted, and that proves who it is when the new one counts."""
    proxy.pool['users'][0]['max_clients'] = 1
    proxy.start()
    slow = SlowLogin(proxy)
    proxy.upgrade()
    with proxy.connect():
        assert 'for the role ann exceeded 1' in slow.done()
    slow = SlowLogin(proxy)
    proxy.upgrade()
    assert slow.done() == ''
    with pytest.raises(psycopg.OperationalError, match='for the role ann exceeded 1'):
        proxy.connect()
    slow.finish()
    wait_until(lambda: comes_in(proxy), 'its place is free', 20)


# ---- the configuration, the end -------------------------------------------------------------------

def test_who_leaves_follows_the_configuration(proxy, server):
    """A target that changes is a new one for everybody."""
    proxy.start()
    with proxy.connect() as old:
        old.execute('SELECT 1')
        proxy.upgrade()
        proxy.pool['init_query'] = "SET application_name = 'changed'"
        proxy.reload('is in force')
        wait_until(lambda: old.execute('SHOW application_name').fetchone() == ('changed',), 'the change is there', 20)


def test_the_drain_has_an_end(proxy):
    proxy.config['upgrade_drain_s'] = 2
    proxy.start()
    with proxy.connect() as idle, proxy.connect() as busy:
        busy.execute('BEGIN')
        old = proxy.upgrade()
        assert idle.execute('SELECT 1').fetchone() == (1,)
        time.sleep(2.3)
        with pytest.raises(psycopg.OperationalError, match='administrator command'):
            idle.execute('SELECT 1')
        assert busy.execute('SELECT 1').fetchone() == (1,)
        busy.execute('COMMIT')  # transactions may end
        gone(old)
        assert old.returncode == 0
    assert proxy.ask('SELECT 1') == (1,)


def test_a_stop_is_for_all(proxy):
    proxy.start()
    with proxy.connect() as idle:
        old = proxy.upgrade()
        proxy.process.send_signal(signal.SIGTERM)
        gone(proxy.process)
        with pytest.raises(psycopg.OperationalError, match='administrator command'):
            idle.execute('SELECT 1')
        gone(old)
    with pytest.raises(OSError):
        socket.create_connection((proxy.address, PORT), 1)


def test_one_socket_less_and_one_more(proxy):
    other = own_address()
    proxy.start()
    with proxy.connect() as old:
        proxy.config['listeners'].append({'address': other, 'port': PORT})
        proxy.upgrade()
        assert proxy.ask('SELECT 1', host=other) == (1,)
        proxy.config['listeners'].pop(0)
        before, proxy.address = proxy.address, other
        proxy.reload('is in force')
        with pytest.raises(OSError):  # the old process does not keep it open either
            wait_until(lambda: socket.create_connection((before, PORT), 1).close(), 'it is closed', 5)
        assert old.execute('SELECT 1').fetchone() == (1,)


# ---- what fails -----------------------------------------------------------------------------------

def serves(proxy, process):
    assert process.poll() is None
    assert proxy.ask('SELECT 1') == (1,)


def test_a_bad_successor_changes_nothing(proxy):
    proxy.start()
    with Load(proxy) as load:
        good = proxy.path.read_text()
        for text in ('{', '{"kind": "pool"}', good.replace('"port"', '"prot"')):
            proxy.path.write_text(text)
            bad = proxy.launch('--take-over')
            assert bad.wait(20) == 2
            proxy.processes.remove(bad)
        proxy.path.write_text(good.replace(proxy.address + '"', '192.0.2.1"'))  # cannot be bound
        bad = proxy.launch('--take-over')
        assert bad.wait(20) == 1
        proxy.processes.remove(bad)
        serves(proxy, proxy.process)
        proxy.path.write_text(good)
        proxy.upgrade()
        serves(proxy, proxy.process)
    assert not load.failures


@pytest.mark.parametrize('step', ['connected', 'offered', 'ready', 'committed'])
def test_an_heir_that_dies(proxy, step):
    """At each step: who serves goes on, and loses nothing."""
    proxy.start()
    with Load(proxy) as load:
        heir = Impostor(proxy)
        if step != 'connected':
            heir.say(take_over=1)
            assert heir.hear()['names'] == [f'{proxy.address}:{PORT}']
            second = Impostor(proxy)
            second.say(take_over=1)
            assert 'already' in second.hear()['refused']
            second.close()
        if step in ('ready', 'committed'):
            heir.say(ready=True)
        while step == 'committed' and 'commit' not in heir.hear():
            pass
        heir.close()
        time.sleep(0.5)
        serves(proxy, proxy.process)
        old = proxy.upgrade()
        serves(proxy, proxy.process)
    assert not load.failures
    gone(old)


def test_nothing_is_left_open(proxy):
    """Neither by heirs that die nor from process to process."""
    def descriptors():
        links = []
        for fd in os.listdir(f'/proc/{proxy.process.pid}/fd'):
            with contextlib.suppress(OSError):
                links.append(os.readlink(f'/proc/{proxy.process.pid}/fd/{fd}').split(':')[0])
        return sorted(links)

    proxy.pool['target']['max_connections'] = 1
    proxy.start()
    assert proxy.ask('SELECT 1') == (1,)
    time.sleep(2.5)  # until the last client's socket is closed on both sides
    before = descriptors()
    for _ in range(30):
        heir = Impostor(proxy)
        heir.say(take_over=1)
        assert heir.hear()['offer'] == 1
        heir.close()
    assert proxy.ask('SELECT 1') == (1,)
    wait_until(lambda: descriptors() == before, f'{before} after heirs, not {descriptors()}', 10)
    for _ in range(5):
        gone(proxy.upgrade())
        assert proxy.ask('SELECT 1') == (1,)
    wait_until(lambda: descriptors() == before, f'{before} after upgrades, not {descriptors()}', 10)


def test_a_door_is_for_the_same_account_only(proxy):
    if os.geteuid() != 0:
        pytest.skip('needs another account')
    proxy.start()
    code = f"""
import socket
end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
end.settimeout(10)
end.connect('\\0weir-proxy/{proxy.address}:{PORT}')
try:
    end.send(b'{{"take_over":1}}')
    print(end.recv(1000))
except OSError:
    print(b'')
"""
    done = subprocess.run(['/usr/bin/python3', '-c', code], capture_output=True, text=True, check=True, timeout=20,
                          **as_account('daemon'))
    assert done.stdout == "b''\n"
    proxy.await_line('another account')
    serves(proxy, proxy.process)


def test_the_old_process_is_killed(proxy, server):
    """What it held is free at once; its clients are gone with it, and nobody else."""
    proxy.pool['target']['max_connections'] = 1
    proxy.config['max_clients'] = 2
    proxy.start()
    old = proxy.connect()
    old.execute('BEGIN')
    before = proxy.upgrade()
    before.kill()
    gone(before)
    with proxy.connect() as one, proxy.connect() as two:
        assert one.execute('SELECT 1').fetchone() == two.execute('SELECT 1').fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError):
        old.execute('SELECT 1')


def test_the_new_process_is_killed(proxy):
    """The old one has the sockets still, and serves again; then it is upgraded again."""
    proxy.start()
    with proxy.connect() as oldest, Load(proxy) as load:
        first = proxy.process
        for _ in range(3):
            proxy.upgrade()
            time.sleep(0.2)
            load.stopping.set()
            for thread in load.threads:
                thread.join(30)
            proxy.process.kill()
            gone(proxy.process)
            proxy.await_log(first, 'serves again')
            assert proxy.ask('SELECT 1') == (1,)
            assert oldest.execute('SELECT 1').fetchone() == (1,)
            first.log.clear()
        assert not load.failures
    proxy.process = first
    proxy.upgrade()
    gone(first)
    assert proxy.ask('SELECT 1') == (1,)


def test_one_of_several_leaving_ones_serves_again(proxy, server):
    """The others join it, and limits hold on."""
    proxy.pool['target']['max_connections'] = 3
    proxy.pool['connection_borrow_timeout_s'] = 2
    proxy.start()
    with Watch(server) as watch, contextlib.ExitStack() as stack:
        clients = []
        for _ in range(3):
            clients.append(stack.enter_context(proxy.connect()))
            clients[-1].execute('BEGIN')
            clients[-1].execute('SELECT 1')
            proxy.upgrade()
        proxy.process.kill()
        gone(proxy.process)
        wait_until(lambda: sum('serves again' in line for line in proxy.lines) == 1, 'one serves again', 20)
        wait_until(lambda: sum('has joined' in line for line in proxy.lines[-20:]) >= 2, 'the others join', 20)
        with pytest.raises(psycopg.OperationalError, match='Timed-out waiting'):
            proxy.ask('SELECT 1')
        for client in clients:
            client.execute('COMMIT')
        assert proxy.ask('SELECT 1') == (1,)
        for client in clients:
            assert client.execute('SELECT 1').fetchone() == (1,)
    assert watch.most <= 3
