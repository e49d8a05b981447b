"""A proxy that is to take the place of another and fails, and one that is killed: somebody serves (docs/upgrade.md)."""
import contextlib
import os
import subprocess
import time

import psycopg
import pytest

from support.alone import PORT, authority, server
from support.engines import as_account
from support.rolling import Impostor, Load, Watch, gone, proxy
from support.watch import wait_until

pytestmark = pytest.mark.timeout(180)


def serves(proxy, process):
    assert process.poll() is None
    assert proxy.ask('SELECT 1') == (1,)


# ---- who comes ------------------------------------------------------------------------------------

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


# ---- who is killed --------------------------------------------------------------------------------

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
