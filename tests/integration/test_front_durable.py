"""The front of a durable group: a write is acknowledged when a replica has it."""
import contextlib
import os
import signal
import threading
import time

import pytest
import redis

from support.front_group import GATE, PATIENCE_S, TOKEN, group_of, hear, talk, wait_for
from support.watch import is_sanitized

WAIT_MS = 1500
UNCONFIRMED = f'UNAVAILABLE Weir: no replica has confirmed this within {WAIT_MS} ms'


@pytest.fixture
def durable(weir):
    """A primary with one replica."""
    with group_of(weir, 2) as group:
        group.configure(durable={'user': GATE, 'wait_ms': WAIT_MS})
        yield group


@pytest.fixture
def patient(durable):
    """The same, where a replica is sure to come: on a loaded machine it takes its time."""
    durable.configure(durable={'user': GATE, 'wait_ms': 60000})
    return durable


@contextlib.contextmanager
def replica_stands_still(group):
    """It takes nothing more, and its link stays."""
    process = group.nodes[1].process
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def allow_alone(group, allowed):
    group.primary.admin().execute_command('ACL', 'SETUSER', GATE, '+echo' if allowed else '-echo')


def raw(group):
    """One that has a connection to the node: what it sends is carried out at once."""
    peer = group.raw()
    assert talk(peer, f'AUTH {TOKEN}\r\nPING\r\n', '+PONG\r\n') == '+OK\r\n+PONG\r\n'
    return peer


def silent(peer, seconds=0.4):
    """Nothing comes for so long."""
    peer.settimeout(seconds)
    try:
        return peer.recv(1) if seconds else b''
    except TimeoutError:
        return b''
    finally:
        peer.settimeout(PATIENCE_S)


# ---- while a replica has it ---------------------------------------------------------------------

def test_every_kind_of_command_passes(patient):
    client = patient.client()
    assert client.set('k', 'v') and client.get('k') == 'v'
    with client.pipeline(transaction=True) as pipe:
        pipe.incr('n').get('k').incr('n')
        assert pipe.execute() == [1, 'v', 2]
    with client.pipeline() as pipe:
        pipe.watch('n')
        patient.client().incr('n')
        pipe.multi()
        pipe.set('n', 'lost')
        with pytest.raises(redis.WatchError):
            pipe.execute()
    with client.pipeline(transaction=False) as pipe:
        for i in range(5000):
            pipe.set(f'k{i}', i).get(f'k{i}')
        assert pipe.execute()[1::2] == [str(i) for i in range(5000)]
    assert client.eval('redis.call("set", KEYS[1], ARGV[1]) return redis.call("get", KEYS[1])', 1, 's', 'x') == 'x'
    with pytest.raises(redis.ResponseError, match='WRONGTYPE'):
        client.lpush('k', 'x')
    assert client.blpop('none', timeout=1) is None
    value = 'x' * (20 << 20)
    assert client.set('big', value) and client.getset('big', 'small') == value
    assert client.publish('nobody', 'x') == 0
    with patient.client().pubsub() as listener:
        listener.subscribe('news')
        assert listener.get_message(timeout=PATIENCE_S)['type'] == 'subscribe'
        client.publish('news', 'hello')
        assert listener.get_message(timeout=PATIENCE_S)['data'] == 'hello'
    peer = raw(patient)
    assert talk(peer, 'SET a 1\r\nSET b 2\r\nGET a\r\nQUIT\r\n') == '+OK\r\n+OK\r\n$1\r\n1\r\n+OK\r\n'


def test_what_is_acknowledged_the_replica_has(patient):
    client = patient.client()
    replica = patient.nodes[1].admin()
    for i in range(300):
        client.set('k', i)
        assert replica.get('k') == str(i)
        with client.pipeline(transaction=True) as pipe:
            pipe.lpush('l', i).incr('n')
            pipe.execute()
        assert replica.get('n') == str(i + 1)
        client.eval('return redis.call("hset", KEYS[1], "f", ARGV[1])', 1, 'h', i)
        assert replica.hget('h', 'f') == str(i)


def test_what_a_blocked_client_takes_the_replica_has(patient):
    """It is carried out by another one's push."""
    replica = patient.nodes[1].admin()
    client = patient.client()
    for i in range(50):
        blocked = patient.blocked()
        client.rpush('queue', f'item-{i}')
        assert hear(blocked, f'item-{i}\r\n').startswith('*2')
        assert replica.llen('queue') == 0
        blocked.close()


# ---- while none has it --------------------------------------------------------------------------

WRITES = {
    'a command': ('SET k v\r\n', 1),
    'an inline one with quotes': ('"SET" k v\r\n', 1),
    'a subcommand': ('XGROUP CREATE s g $ MKSTREAM\r\n', 1),
    'a script': ('EVAL "return redis.call(\'set\', \'k\', \'v\')" 0\r\n', 1),
    'a script that answers as a queue does': (
        'EVAL "redis.call(\'set\', \'k\', \'v\') return redis.status_reply(\'QUEUED\')" 0\r\n', 1),
    'a pipeline': ('SET k v\r\nSET l v\r\nGET k\r\n', 3),
    'MULTI that is refused': ('MULTI x\r\nSET k v\r\n', 1),
}


@pytest.mark.parametrize('what', WRITES)
def test_a_write_that_no_replica_has_is_not_acknowledged(durable, what):
    text, errors = WRITES[what]
    peer = raw(durable)
    with replica_stands_still(durable):
        begin = time.monotonic()
        got = talk(peer, f'{text}PING\r\n', '-UNAVAILABLE')
        while got.count('\r\n') < errors + 1 + ('MULTI' in text):
            got += hear(peer, '\r\n')
        assert time.monotonic() - begin > WAIT_MS / 1000 * 0.9
        assert got.count(f'-{UNCONFIRMED}') == errors + 1, got  # PING came behind it
        assert durable.primary.admin().exists('k', 's') == 1  # it was carried out
        assert talk(peer, 'GET nothing\r\n', '\r\n') == '$-1\r\n'  # who only reads does not wait
    assert talk(peer, 'SET k w\r\n', '\r\n') == '+OK\r\n'
    peer.close()


def test_a_transaction_is_held_at_its_end(patient):
    peer = raw(patient)
    with replica_stands_still(patient):
        assert talk(peer, 'MULTI\r\nSET k v\r\nGET k\r\n', '+QUEUED\r\n+QUEUED\r\n') == '+OK\r\n+QUEUED\r\n+QUEUED\r\n'
        peer.sendall(b'EXEC\r\n')
        assert not silent(peer)
    assert hear(peer, '$1\r\nv\r\n') == '*2\r\n+OK\r\n$1\r\nv\r\n'
    peer.close()


def test_a_replica_that_comes_in_time_is_enough(patient):
    peer = raw(patient)
    with replica_stands_still(patient):
        peer.sendall(b'SET k v\r\nGET k\r\n')
        assert not silent(peer)
    assert hear(peer, 'v\r\n') == '+OK\r\n$1\r\nv\r\n'
    peer.close()


def test_what_a_pop_takes_is_not_given_out_before(patient):
    blocked = patient.blocked()
    pusher = raw(patient)
    with replica_stands_still(patient):
        pusher.sendall(b'RPUSH queue item\r\n')
        assert not silent(blocked)
        assert not silent(pusher, 0.1)
        assert patient.primary.admin().llen('queue') == 0
    assert 'item' in hear(blocked, 'item\r\n')
    assert hear(pusher, '\r\n') == ':1\r\n'
    for peer in (blocked, pusher):
        peer.close()


def test_who_subscribes_may_write(durable):
    """His replies are not counted: they wait as they come, and where no replica has it he is disconnected."""
    peer = durable.raw()
    talk(peer, f'HELLO 3 AUTH default {TOKEN}\r\nSUBSCRIBE news\r\n', 'subscribe\r\n$4\r\nnews\r\n:1\r\n')
    assert talk(peer, 'SET k v\r\n', '\r\n') == '+OK\r\n'
    with replica_stands_still(durable):
        durable.primary.admin().publish('news', 'one')  # he has written: whatever comes waits
        peer.sendall(b'SET k w\r\n')
        assert not silent(peer)
        assert hear(peer) == ''
    plain = raw(durable)
    talk(plain, 'SUBSCRIBE a\r\n', ':1\r\n')
    talk(plain, 'UNSUBSCRIBE\r\n', ':0\r\n')
    with replica_stands_still(durable):
        durable.primary.admin().publish('a', 'x')
        plain.sendall(b'SET k x\r\n')
        assert not silent(plain)
    assert hear(plain, '\r\n') == '+OK\r\n'
    plain.close()


def test_a_client_that_leaves_behind_its_write_hears_of_it(patient):
    peer = raw(patient)
    with replica_stands_still(patient):
        peer.sendall(b'SET k v\r\nQUIT\r\n')
        assert not silent(peer)
    assert hear(peer) == '+OK\r\n+OK\r\n'
    peer = raw(patient)
    with replica_stands_still(patient):
        peer.sendall(b'SET k v\r\nRESET\r\nPING\r\n')
        assert not silent(peer)
    assert hear(peer, 'required.\r\n').startswith('+OK\r\n+RESET\r\n-NOAUTH')
    peer.close()


def test_what_is_held_is_bounded(patient):
    """A client of which much is held is not read for; the rest stays with the node."""
    patient.primary.admin().set('big', 'x' * (1 << 20))
    peer = raw(patient)
    wanted = 60 * ((1 << 20) + len('$1048576\r\n\r\n')) + len('+OK\r\n')
    with replica_stands_still(patient):
        peer.sendall(b'SET k v\r\n' + b'GET big\r\n' * 60)
        assert not silent(peer)
        resident = int(next(line for line in open(f'/proc/{patient.front.process.pid}/status', encoding='ascii')
                            if line.startswith('VmRSS')).split()[1])
        assert is_sanitized(patient.front.process.pid) or resident < 40 << 10
    while wanted > 0:
        wanted -= len(peer.recv(1 << 20))
    assert wanted == 0
    peer.close()


def test_the_primary_ends_while_a_write_is_held(durable):
    """The client hears that it is not known, whatever the primary had answered."""
    peer = raw(durable)
    with replica_stands_still(durable):
        peer.sendall(b'SET k v\r\nGET k\r\n')
        assert not silent(peer)
        durable.primary.process.kill()
        durable.primary.process.wait()
        got = talk(peer, '', '\r\n')
        while got.count('\r\n') < 2:
            got += hear(peer, '\r\n')
        assert got.count('-UNAVAILABLE Weir: the connection to the node was lost; whether this was carried out is not '
                         'known\r\n') == 2
    peer.close()


def test_another_run_of_the_primary_confirms_nothing(durable):
    """What its last run had answered is unknown, however soon it is there again with a replica."""
    peer = raw(durable)
    with replica_stands_still(durable):
        peer.sendall(b'SET k v\r\n')
        assert not silent(peer)
        durable.primary.process.kill()
        durable.primary.process.wait()
        durable.primary.start()
    assert hear(peer, '\r\n').startswith('-UNAVAILABLE')
    wait_for(lambda: durable.client().set('k', 'w'), 'it serves again')
    peer.close()


@pytest.mark.parametrize('handed', [True, False])
def test_a_primary_that_hands_over_ends_its_gate(durable, handed):
    """Whether what is held will last is said with the roles."""
    first, second = durable.nodes
    durable.configure(durable={'user': GATE, 'wait_ms': 60000})
    peer = raw(durable)
    leaving = raw(durable)
    with replica_stands_still(durable):
        peer.sendall(b'SET k v\r\nGET k\r\n')
        assert not silent(peer)
        durable.configure(hold=True)
        first.admin().replicaof(second.address, 6379)  # which ends every WAIT
        assert not silent(peer)
    second.admin().replicaof('NO', 'ONE')
    wait_for(lambda: first.admin().info('replication')['master_link_status'] == 'up', 'they have changed')
    first.handed = handed
    durable.primary = second
    durable.nodes.reverse()
    durable.configure(hold=False)
    if handed:
        assert hear(peer, 'v\r\n') == '+OK\r\n$1\r\nv\r\n'
    else:
        got = hear(peer, '\r\n')
        while got.count('\r\n') < 2:
            got += hear(peer, '\r\n')
        assert got.count('-UNAVAILABLE') == 2
    assert talk(peer, 'SET k w\r\n', '\r\n') == '+OK\r\n'
    assert talk(leaving, 'GET k\r\n', 'w\r\n') == '$1\r\nw\r\n'
    for one in (peer, leaving):
        one.close()


def test_a_change_that_is_given_up(patient):
    """Its gate is lost, and nobody says that another one has it all."""
    peer = raw(patient)
    with replica_stands_still(patient):
        peer.sendall(b'SET k v\r\n')
        assert not silent(peer)
        patient.configure(hold=True)
        patient.primary.admin().execute_command('CLIENT', 'KILL', 'USER', GATE)
        assert not silent(peer)
        patient.configure(hold=False)
        assert hear(peer, '\r\n').startswith('-UNAVAILABLE')
    assert talk(peer, 'SET k w\r\n', '\r\n') == '+OK\r\n'
    peer.close()


# ---- alone --------------------------------------------------------------------------------------

def test_alone_only_where_the_node_allows_it(durable):
    client = durable.client()
    durable.nodes[1].stop(9)
    with pytest.raises(redis.ResponseError, match='no replica has confirmed'):
        client.set('k', 'v')
    peer = raw(durable)
    durable.configure(durable={'user': GATE, 'wait_ms': 60000})
    peer.sendall(b'SET k w\r\n')
    assert not silent(peer)
    allow_alone(durable, True)  # whoever waits goes on
    assert hear(peer, '\r\n') == '+OK\r\n'
    begin = time.monotonic()
    for i in range(100):
        client.set('k', i)
    assert time.monotonic() - begin < 5  # nobody is waited for any more
    allow_alone(durable, False)
    durable.configure(durable={'user': GATE, 'wait_ms': WAIT_MS})
    with pytest.raises(redis.ResponseError, match='no replica has confirmed'):
        client.set('k', 'x')
    durable.nodes[1].start()
    durable.nodes[1].admin().replicaof(durable.primary.address, 6379)
    wait_for(lambda: client.set('k', 'y'), 'the replica confirms again')
    assert durable.nodes[1].admin().get('k') == 'y'
    peer.close()


def test_it_is_turned_on_and_off(durable):
    client = durable.client()
    assert client.set('k', 'v')
    with replica_stands_still(durable):
        durable.more.pop('durable')
        durable.configure()
        assert client.set('k', 'w')
        durable.configure(durable={'user': GATE, 'wait_ms': WAIT_MS})
        with pytest.raises(redis.ResponseError, match='no replica has confirmed'):
            client.set('k', 'x')
    assert client.set('k', 'y')


def test_a_gate_that_is_refused(weir):
    with group_of(weir, 1) as group:
        group.configure(durable={'user': 'nobody'}, hold_ms=500)
        with pytest.raises(redis.RedisError):
            group.client().ping()
        assert any('gate' in event for event in group.front.agent.events)
        group.configure(durable={'user': GATE})
        wait_for(lambda: group.client().ping(), 'it serves')


def test_many_writers_share_its_rounds(patient):
    def work(number):
        client = patient.client()
        for i in range(100):
            client.set(f'k{number}', i)
    workers = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stats = patient.primary.admin().info('commandstats')
    assert stats['cmdstat_set']['calls'] >= 1000
    assert stats['cmdstat_wait']['calls'] < 900
    assert {patient.nodes[1].admin().get(f'k{number}') for number in range(10)} == {'99'}
