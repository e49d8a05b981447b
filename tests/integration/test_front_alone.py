"""`weir front` between redis-py and real Redis processes, with a test for an agent."""
import socket
import threading
import time

import pytest
import redis

from support.certs import Authority
from support.engines import own_address
from support.front_group import BACKEND, PATIENCE_S, TOKEN, group_of, hear, talk, wait_for
from support.plane_agent import Refused


@pytest.fixture(scope='module')
def group(weir):
    """Three nodes, for tests that leave them as they are."""
    with group_of(weir, 3) as group:
        yield group


@pytest.fixture
def own_group(weir):
    """Two nodes, for tests that break them."""
    with group_of(weir, 2) as group:
        yield group


@pytest.fixture
def db(group):
    client = group.client()
    client.flushall()
    return client


# ---- every command passes -----------------------------------------------------------------------

def test_strings_and_errors(db):
    assert db.set('k', 'v')
    assert db.get('k') == 'v'
    assert db.get('none') is None
    with pytest.raises(redis.ResponseError, match='WRONGTYPE'):
        db.lpush('k', 'x')
    with pytest.raises(redis.ResponseError, match='unknown command'):
        db.execute_command('NO-SUCH-COMMAND', 'x')
    with pytest.raises(redis.ResponseError, match='NOPERM|permission'):
        db.execute_command('SHUTDOWN')
    assert db.ping()


def test_transactions(group, db):
    with db.pipeline(transaction=True) as pipe:
        pipe.incr('n').incr('n').get('n')
        assert pipe.execute() == [1, 2, '2']
    with db.pipeline() as pipe:
        pipe.watch('n')
        assert pipe.get('n') == '2'
        group.client().incr('n')
        pipe.multi()
        pipe.set('n', 'lost')
        with pytest.raises(redis.WatchError):
            pipe.execute()
    assert db.get('n') == '3'


def test_blocking(group, db):
    got = []
    blocked = threading.Thread(target=lambda: got.append(group.client().blpop('queue', timeout=PATIENCE_S)))
    blocked.start()
    wait_for(lambda: int(db.info('clients')['blocked_clients']) == 1, 'nobody blocks')
    db.rpush('queue', 'item')
    blocked.join()
    assert got == [('queue', 'item')]
    assert db.blpop('queue', timeout=1) is None


def test_a_blocked_client_that_leaves_takes_nothing(group, db):
    group.blocked().close()
    wait_for(lambda: int(db.info('clients')['blocked_clients']) == 0, 'it still blocks')
    db.rpush('queue', 'item')
    assert db.lpop('queue') == 'item'


def test_streams(db):
    db.xgroup_create('s', 'g', mkstream=True)
    first = db.xadd('s', {'a': '1'})
    assert db.xreadgroup('g', 'me', {'s': '>'}, count=10, block=1000) == [['s', [(first, {'a': '1'})]]]
    assert db.xack('s', 'g', first) == 1
    assert db.xread({'s': '$'}, block=50) == []


def test_publish_and_subscribe(group, db):
    with group.client().pubsub() as listener:
        listener.subscribe('news', 'more')
        listener.psubscribe('p*')
        for _ in range(3):
            assert listener.get_message(timeout=PATIENCE_S)['type'] in ('subscribe', 'psubscribe')
        assert db.publish('news', 'hello') == 1
        assert db.publish('pattern', 'there') == 1
        assert listener.get_message(timeout=PATIENCE_S)['data'] == 'hello'
        assert listener.get_message(timeout=PATIENCE_S)['data'] == 'there'
        listener.unsubscribe('more')
        assert listener.get_message(timeout=PATIENCE_S)['type'] == 'unsubscribe'


def test_scripts_and_functions(db):
    assert db.eval('return {KEYS[1], ARGV[1], 7}', 1, 'k', 'a') == ['k', 'a', 7]
    script = db.register_script('return redis.call("incrby", KEYS[1], ARGV[1])')
    assert script(keys=['n'], args=[5]) == 5
    with pytest.raises(redis.exceptions.NoScriptError):
        db.evalsha('0' * 40, 0)
    db.execute_command('FUNCTION', 'LOAD', 'REPLACE',
                       "#!lua name=lib\nredis.register_function('f', function(k, a) return a[1] end)")
    assert db.execute_command('FCALL', 'f', 0, 'x') == 'x'


def test_big_values(db):
    value = 'x' * (20 << 20)
    db.set('big', value)
    assert db.get('big') == value
    with db.pipeline(transaction=False) as pipe:
        for _ in range(5):
            pipe.get('big')
        assert [len(text) for text in pipe.execute()] == [len(value)] * 5


def test_long_pipelines(group, db):
    with db.pipeline(transaction=False) as pipe:
        for i in range(20000):
            pipe.set(f'k{i}', i)
            pipe.get(f'k{i}')
        replies = pipe.execute()
    assert replies[1::2] == [str(i) for i in range(20000)]
    assert group.client().dbsize() == 20000


def test_a_client_that_does_not_read_is_waited_for(group, db):
    """Nothing is lost, and the front does not keep it all in memory."""
    db.set('big', 'x' * (1 << 20))
    peer = group.raw()
    talk(peer, f'AUTH {TOKEN}\r\n', '+OK\r\n')
    peer.sendall(b'GET big\r\n' * 100)
    # It stays where it is: with the node, but for what sockets hold.
    wait_for(lambda: max(int(client['omem']) for client in db.client_list()) > 80 << 20, 'the front takes it all')
    left = 100 * ((1 << 20) + len('$1048576\r\n\r\n'))
    while left > 0:
        left -= len(peer.recv(1 << 20))
    assert left == 0
    assert talk(peer, 'PING\r\n', '\r\n') == '+PONG\r\n'
    peer.close()


def test_many_clients_at_once(group, db):
    def work(number):
        client = group.client()
        for i in range(50):
            client.incr('n')
            assert client.echo(f'{number}-{i}') == f'{number}-{i}'
    workers = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert db.get('n') == '1000'


# ---- the protocol's corners ---------------------------------------------------------------------

def test_resp3_with_tracking(group, db):
    peer = group.raw()
    hello = talk(peer, f'HELLO 3 AUTH default {TOKEN} SETNAME me\r\n', 'modules')
    hello += hear(peer, '*0\r\n') if not hello.endswith('*0\r\n') else ''
    assert hello.startswith('%7\r\n') and '$4\r\nrole\r\n$6\r\nmaster\r\n' in hello
    assert talk(peer, 'CLIENT TRACKING ON\r\n', '\r\n') == '+OK\r\n'
    db.set('k', 'v')
    assert talk(peer, 'GET k\r\n', 'v\r\n') == '$1\r\nv\r\n'
    db.set('k', 'w')
    assert hear(peer, '$1\r\nk\r\n').startswith('>2\r\n$10\r\ninvalidate\r\n')
    assert talk(peer, 'CLIENT GETNAME\r\n', 'me\r\n') == '$2\r\nme\r\n'
    assert talk(peer, 'SUBSCRIBE a b\r\n', '$1\r\nb\r\n:2\r\n').startswith('>3\r\n$9\r\nsubscribe\r\n')
    assert talk(peer, 'PING\r\n', '\r\n') == '+PONG\r\n'
    peer.close()


def test_inline_and_pieces(group):
    peer = group.raw()
    for byte in f'\r\n  AUTH "{TOKEN}"\r\n*1\r\n$4\r\nPING\r\nping\r\n':
        peer.sendall(byte.encode())
        time.sleep(0.001)
    assert hear(peer, '+PONG\r\n+PONG\r\n') == '+OK\r\n+PONG\r\n+PONG\r\n'
    assert talk(peer, 'SELECT 3\r\nCLIENT SETNAME x\r\nQUIT\r\nPING\r\n') == '+OK\r\n+OK\r\n+OK\r\n'


def test_reset_starts_over(group):
    peer = group.raw()
    assert talk(peer, 'RESET\r\n', 'RESET\r\n') == '+RESET\r\n'
    talk(peer, f'AUTH {TOKEN}\r\n', '+OK\r\n')
    got = talk(peer, 'SELECT 5\r\nMULTI\r\nSET k v\r\nRESET\r\nPING\r\n', 'required.\r\n')
    assert got == '+OK\r\n+OK\r\n+QUEUED\r\n+RESET\r\n-NOAUTH Authentication required.\r\n'
    got = talk(peer, f'AUTH {TOKEN}\r\nSUBSCRIBE a\r\n', ':1\r\n')
    assert talk(peer, 'RESET\r\n', '+RESET\r\n') == '+RESET\r\n'
    assert talk(peer, f'AUTH {TOKEN}\r\nCLIENT INFO\r\n', 'cmd=').count('db=0') == 1
    peer.close()


def test_broken_protocol(group):
    peer = group.raw()
    assert 'Protocol error' in talk(peer, '*1\r\n+PING\r\n')
    peer = group.raw()
    got = talk(peer, f'AUTH {TOKEN}\r\nPING\r\n*1\r\n+PING\r\n')
    assert got.startswith('+OK\r\n+PONG\r\n-ERR Protocol error')
    peer = group.raw()
    assert talk(peer, 'POST / HTTP/1.1\r\n') == ''


# ---- who may come in ----------------------------------------------------------------------------

def test_tokens(group):
    for wrong in ({'password': 'wrong'}, {'password': TOKEN, 'username': 'somebody'}):
        with pytest.raises(redis.ResponseError, match='WRONGPASS'):
            group.client(**wrong).ping()
    assert group.client(username='default').ping()
    peer = group.raw()
    assert talk(peer, 'PING\r\n', '\r\n') == '-NOAUTH Authentication required.\r\n'
    assert talk(peer, 'SUBSCRIBE a\r\n', '\r\n') == '-NOAUTH Authentication required.\r\n'
    assert talk(peer, 'HELLO 3\r\n', '\r\n').startswith('-NOAUTH HELLO must be called')
    assert talk(peer, 'HELLO 3 AUTH default nope\r\n', '\r\n').startswith('-WRONGPASS ')
    assert talk(peer, 'HELLO 9\r\n', '\r\n').startswith('-NOPROTO ')
    assert talk(peer, 'AUTH\r\n', '\r\n').startswith('-ERR wrong number')
    assert talk(peer, 'AUTH a b c\r\n', '\r\n').startswith('-ERR syntax')
    assert talk(peer, f'AUTH {BACKEND["user"]} {BACKEND["password"]}\r\n', '\r\n').startswith('-WRONGPASS ')
    big = 'x' * 100000
    assert talk(peer, f'*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n{big}\r\n', '\r\n').startswith('-NOAUTH')
    assert talk(peer, f'AUTH {TOKEN}\r\n', '\r\n') == '+OK\r\n'
    assert talk(peer, 'PING\r\n', '\r\n') == '+PONG\r\n'
    # Once inside, too, and in the order of the commands.
    got = talk(peer, f'ECHO a\r\nAUTH no\r\nECHO b\r\nAUTH {TOKEN}\r\nHELLO 2 AUTH default no\r\nECHO c\r\n', 'c\r\n')
    lines = [line for line in got.split('\r\n') if not line.startswith('$')]
    assert [line.split()[0] if line else '' for line in lines] == ['a', '-WRONGPASS', 'b', '+OK', '-WRONGPASS', 'c',
                                                                   '']
    # A token is never taken for the node's.
    assert talk(peer, 'ACL WHOAMI\r\n', '\r\nweir_client\r\n')
    peer.close()


def test_an_endless_login_is_cut_off(group):
    peer = group.raw()
    assert 'too big' in talk(peer, '*2\r\n$4\r\nAUTH\r\n$1000000\r\n' + 'x' * 20000)


def test_tokens_rotate(own_group):
    client = own_group.client()
    assert client.ping()
    own_group.tokens = ['another', TOKEN]
    own_group.configure()
    assert own_group.client(password='another').ping()
    own_group.tokens = ['another']
    own_group.configure()
    assert client.ping()  # who is in stays in
    with pytest.raises(redis.ResponseError, match='WRONGPASS'):
        own_group.client(password=TOKEN).ping()


def test_without_tokens_and_tls(weir):
    with group_of(weir, 1, tls=False, tokens=()) as group:
        assert group.client().ping()
        peer = group.raw()
        assert talk(peer, 'AUTH x\r\n', '\r\n').startswith('-ERR AUTH <password> called without')
        assert talk(peer, 'AUTH default x\r\n', '\r\n') == '+OK\r\n'
        assert talk(peer, 'HELLO 3\r\nPING\r\n', '+PONG\r\n').startswith('%7\r\n')
        assert talk(peer, 'RESET\r\nPING\r\n', '+PONG\r\n') == '+RESET\r\n+PONG\r\n'
        # With one node alone the reader endpoint leads to it.
        assert group.client('reader').set('k', 'v')
        group.configure(clients_max=2)
        clients = [socket.create_connection((group.addresses['primary'], 6379), PATIENCE_S) for _ in range(2)]
        assert hear(clients[1]) == '-ERR max number of clients reached\r\n'
        for client in clients:
            client.close()
        peer.close()
        group.rules = ['10.0.0.0/8']
        group.configure(clients_max=100)
        with pytest.raises(redis.ConnectionError):
            group.client().ping()
        group.rules = ['10.0.0.0/8', '127.0.0.1/32']
        group.configure()
        assert group.client().ping()


def test_tls_is_what_it_says(group):
    with pytest.raises(redis.ConnectionError):
        group.client(ssl=False).ping()
    other = group.folder / 'other'
    other.mkdir(exist_ok=True)
    with pytest.raises(redis.ConnectionError, match='(?i)certificate'):
        group.client(ssl_ca_certs=str(Authority(other).ca)).ping()


def test_idle_clients_are_closed(own_group):
    own_group.configure(idle_timeout_s=1)
    idle = own_group.raw()
    talk(idle, f'AUTH {TOKEN}\r\n', '+OK\r\n')
    blocked = own_group.blocked()
    assert hear(idle) == ''
    own_group.client().rpush('queue', 'item')
    assert 'item' in hear(blocked, 'item')
    blocked.close()


# ---- nodes that change --------------------------------------------------------------------------

def switch(group, to):
    group.primary = to
    to.admin().replicaof('NO', 'ONE')
    group.configure()
    group.follow()


def test_readers_are_spread_over_the_replicas(group, db):
    db.set('k', 'v')
    readers = [group.client('reader') for _ in range(6)]
    for reader in readers:
        wait_for(lambda reader=reader: reader.get('k') == 'v', 'the replica does not have it')
        with pytest.raises(redis.ReadOnlyError):
            reader.set('k', 'w')

    def spread():
        """A status is of one moment; a link that was made anew may not be in it yet."""
        status = group.front.agent.statuses[-1]
        by_node = {node['id']: node['connections'] for node in status['nodes']}
        return status['clients']['reader'] == 6 and by_node['node-1'] == by_node['node-2'] == 3
    group.front.agent.wait(spread)


def test_a_switch_of_the_primary(own_group):
    client = own_group.client(db=2, client_name='me')
    client.set('k', 'v')
    assert client.wait(1, 10000) == 1
    watcher = own_group.client()
    pipe = watcher.pipeline()
    pipe.watch('k')
    quiet = own_group.raw()
    talk(quiet, f'AUTH {TOKEN}\r\nSELECT 4\r\nCLIENT SETNAME raw\r\n', '+OK\r\n+OK\r\n+OK\r\n')
    blocked = own_group.blocked()
    listener = own_group.client().pubsub()
    listener.subscribe('news')
    assert listener.get_message(timeout=PATIENCE_S)['type'] == 'subscribe'
    switch(own_group, own_group.nodes[1])
    # What was under way is told so; the connection goes on with the new primary.
    assert hear(blocked, 'known\r\n').startswith('-UNAVAILABLE Weir: the primary has changed; whether')
    assert talk(blocked, 'PING\r\n', '\r\n') == '+PONG\r\n'
    info = talk(quiet, 'CLIENT INFO\r\n', 'cmd=')
    assert 'db=4' in info and 'name=raw' in info
    assert client.get('k') == 'v' and client.set('k', 'w')
    assert own_group.nodes[1].admin().info('replication')['role'] == 'master'
    pipe.multi()
    pipe.set('k', 'lost')
    with pytest.raises(redis.WatchError):  # what was watched is not known there: never a silent success
        pipe.execute()
    # Subscribers are disconnected, and their libraries subscribe again by themselves.
    wait_for(lambda: listener.get_message(timeout=1), 'the listener does not come back')
    assert client.publish('news', 'hello') == 1
    assert listener.get_message(timeout=PATIENCE_S)['data'] == 'hello'
    assert client.get('k') == 'w'
    for peer in (quiet, blocked):
        peer.close()


def test_a_killed_primary(own_group):
    client = own_group.client()
    client.set('k', 'v')
    assert client.wait(1, 10000) == 1
    blocked = own_group.blocked()
    own_group.primary.process.kill()
    own_group.primary.process.wait()
    assert hear(blocked, 'known\r\n').startswith('-UNAVAILABLE Weir: the connection to the node was lost')
    waiting = threading.Thread(target=lambda: client.set('k', 'waited'))
    waiting.start()  # held until there is a primary
    time.sleep(0.3)
    assert waiting.is_alive()
    switch(own_group, own_group.nodes[1])
    waiting.join(PATIENCE_S)
    assert client.get('k') == 'waited'
    blocked.close()


def test_a_primary_that_is_restarted_in_its_place(own_group):
    client = own_group.client()
    assert client.ping()
    own_group.primary.process.kill()
    own_group.primary.process.wait()
    held = [own_group.raw() for _ in range(40)]
    for peer in held:
        talk(peer, f'AUTH {TOKEN}\r\n', '+OK\r\n')
        peer.sendall(b'*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n' * 2)
    own_group.primary.start()
    for peer in held:
        hear(peer, '\r\n')
        peer.close()
    assert int(client.get('n')) == 80
    assert own_group.front.agent.wait(lambda: [e for e in own_group.front.agent.events if 'again' in e])


def test_without_a_primary_commands_wait_for_a_bounded_time(own_group):
    own_group.configure(hold_ms=300)
    own_group.primary.process.kill()
    own_group.primary.process.wait()
    peer = own_group.raw()
    talk(peer, f'AUTH {TOKEN}\r\n', '+OK\r\n')
    begin = time.monotonic()
    big = 'x' * 300000
    got = talk(peer, f'SET k v\r\nGET k\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$300000\r\n{big}\r\n'
                     f'AUTH {TOKEN}\r\n', '+OK\r\n')
    assert 0.3 <= time.monotonic() - begin < 5
    assert got.count('-LOADING Weir has no primary for this at the moment; nothing was carried out\r\n') == 4
    own_group.primary.start()
    wait_for(lambda: own_group.client().ping(), 'the primary is not used again')
    assert talk(peer, 'GET k\r\n', '\r\n') == '$-1\r\n'
    peer.close()


def test_commands_are_held_while_the_primary_hands_over(own_group):
    """Those that have not been sent; a transaction that was begun may end, and what is under way goes on."""
    blocked = own_group.blocked()
    client = own_group.client(single_connection_client=True)
    client.set('n', 0)
    within = own_group.raw()
    talk(within, f'AUTH {TOKEN}\r\nMULTI\r\nINCR n\r\n', '+QUEUED\r\n')
    own_group.configure(hold=True)
    assert talk(within, 'EXEC\r\n', ':1\r\n').endswith(':1\r\n')
    waiting = threading.Thread(target=lambda: client.incr('n'))
    waiting.start()
    time.sleep(0.3)
    assert waiting.is_alive()
    assert own_group.primary.admin().get('n') == '1'
    own_group.configure(hold=False)
    waiting.join(PATIENCE_S)
    assert own_group.primary.admin().get('n') == '2'
    own_group.primary.admin().rpush('queue', 'item')
    assert 'item' in hear(blocked, 'item')
    own_group.configure(hold=True, hold_ms=200)  # and whoever forgets to end it holds nobody for ever
    assert client.incr('n') == 3
    within.close()
    blocked.close()


def refused(node, command):
    return node.admin().info('commandstats').get(f'cmdstat_{command}', {}).get('rejected_calls', 0)


def is_left_alone(node, command):
    before = refused(node, command)
    time.sleep(0.3)
    return refused(node, command) == before


def test_what_a_former_primary_refuses_is_sent_again(own_group):
    """Its roles have changed, and the front has not heard of it yet."""
    first, second = own_group.nodes
    client = own_group.client(single_connection_client=True)
    client.set('n', 0)
    assert client.wait(1, 10000) == 1
    blocked = own_group.blocked()
    second.admin().replicaof('NO', 'ONE')
    first.admin().replicaof(second.address, 6379)
    waiting = [threading.Thread(target=lambda: client.incr('n'))]
    waiting[0].start()
    wait_for(lambda: refused(first, 'incrby'), 'the former primary refuses it')
    own_group.configure(hold=True)  # so that nothing is on its way there when the other one leads
    wait_for(lambda: is_left_alone(first, 'incrby'), 'it is not sent again while the primary hands over')
    assert waiting[0].is_alive()
    own_group.primary = second
    own_group.configure(hold=False)
    waiting[0].join(PATIENCE_S)
    assert client.get('n') == '1'
    assert client.rpush('queue', 'item') == 1
    assert hear(blocked, 'item\r\n') == '*2\r\n$5\r\nqueue\r\n$4\r\nitem\r\n'
    blocked.close()


def test_what_a_node_refuses_for_good_is_told(own_group):
    """Behind hold_ms; and never more than one command: what was sent behind it must stay behind it."""
    first, second = own_group.nodes
    own_group.configure(hold_ms=300)
    peer = own_group.raw()
    talk(peer, f'AUTH {TOKEN}\r\nPING\r\n', '+PONG\r\n')
    first.admin().replicaof(second.address, 6379)
    begin = time.monotonic()
    assert talk(peer, 'INCR n\r\n', '\r\n').startswith(('-READONLY', '-LOADING'))
    assert 0.2 <= time.monotonic() - begin < 10
    got = talk(peer, 'INCR n\r\nINCR m\r\nPING\r\n', '+PONG\r\n')
    assert got.count('-READONLY') == 2
    peer.close()


def test_a_replica_that_dies(own_group):
    """Readers go to the primary, and back to a replica that is there again, but for those that it would cost
    something."""
    replica = own_group.nodes[1]
    reader = own_group.client('reader', single_connection_client=True)
    assert reader.role()[0] == 'slave'
    replica.stop(9)
    assert wait_for(lambda: reader.role()[0] == 'master', 'the primary answers')
    assert reader.set('k', 'v')
    replica.available = False
    own_group.configure()
    with own_group.client('reader').pubsub() as listener:
        listener.subscribe('news')
        assert listener.get_message(timeout=PATIENCE_S)['type'] == 'subscribe'
        replica.start()
        own_group.follow()
        time.sleep(1.5)
        assert reader.role()[0] == 'master'  # it is not said to run yet
        replica.available = True
        own_group.configure()
        assert reader.role()[0] == 'slave'
        own_group.primary.admin().publish('news', 'still')
        assert listener.get_message(timeout=PATIENCE_S)['data'] == 'still'
    replica.stop(9)  # and where nobody has said so yet
    assert wait_for(lambda: reader.role()[0] == 'master', 'the primary answers')
    replica.start()
    own_group.follow()
    wait_for(lambda: reader.role()[0] == 'slave', 'the replica is used again')


# ---- the process --------------------------------------------------------------------------------

def test_it_serves_while_the_agent_is_away(own_group):
    client = own_group.client()
    assert client.ping()
    agent = own_group.front.agent
    agent.close()
    assert client.ping() and own_group.client().ping()
    agent.open()
    agent.wait(lambda: len(agent.hellos) == 2)
    assert agent.hellos[1]['pid'] == own_group.front.process.pid
    own_group.configure()


def test_bad_configurations_are_refused_by_name(own_group):
    agent = own_group.front.agent
    good = own_group.config()
    taken = socket.create_server((own_address(), 6379))
    node = own_group.nodes[0].config()
    bad = [({'nodes': [node, {**node, 'id': 'x'}]}, 'both the primary'),
           ({'nodes': [{**node, 'role': 'leader'}]}, r'nodes\[0\].role'),
           ({'nodes': [{**node, 'port': 0}]}, r'nodes\[0\].port'),
           ({'security_rules': [{'cidr': '10.0.0.0'}]}, r'security_rules\[0\].*10.0.0.0'),
           ({'auth_tokens': ['']}, r'auth_tokens\[0\]'),
           ({'backend': {'user': 'x'}}, 'backend.password'),
           ({'listeners': [{**good['listeners'][0], 'cert_pem': 'nonsense'}]}, r'listeners\[0\]'),
           ({'listeners': [*good['listeners'], {**good['listeners'][0], 'address': taken.getsockname()[0]}]},
            '(?i)in use'),
           ({'surprise': 1}, 'config.surprise')]
    for change, said in bad:
        with pytest.raises(Refused, match=said):
            agent.configure({**good, **change})
    assert own_group.client().ping()
    taken.close()
    own_group.configure()


def test_stop_lets_commands_end(own_group):
    own_group.client().rpush('other', 'x')
    blocked = own_group.raw()
    talk(blocked, f'AUTH {TOKEN}\r\nBLPOP queue 1\r\n', '+OK\r\n')
    idle = own_group.raw()
    talk(idle, f'AUTH {TOKEN}\r\n', '+OK\r\n')
    own_group.front.agent.stop()
    assert hear(idle) == ''
    assert hear(blocked) == '*-1\r\n'
    assert own_group.front.process.wait(PATIENCE_S) == 0


# ---- another process takes its place ------------------------------------------------------------------

def test_upgraded_under_its_clients(own_group):
    """New clients and old ones, one that waits in a command, a limit that spans all, and a failover for all."""
    group = own_group
    failures = []
    stopping = threading.Event()

    def come_and_go():
        while not stopping.is_set():
            try:
                with group.client() as client:
                    assert client.ping()
            except Exception as error:  # pylint: disable=broad-except
                failures.append(repr(error))
                return

    comers = [threading.Thread(target=come_and_go) for _ in range(2)]
    old = group.client(single_connection_client=True)
    old.set('key', 'value')
    blocked = group.blocked()
    for thread in comers:
        thread.start()
    for _ in range(5):
        group.front.upgrade()
        assert old.get('key') == 'value'
    stopping.set()
    for thread in comers:
        thread.join(PATIENCE_S)
    assert not failures
    pusher = group.client()
    pusher.rpush('queue', 'it')
    pusher.connection_pool.disconnect()
    assert 'it' in talk(blocked, '', 'it\r\n')
    blocked.close()
    wait_for(lambda: sum(process.poll() is None for process in group.front.former) == 1, 'the others have left')

    group.configure(clients_max=2)
    new = wait_for(lambda: group.client(single_connection_client=True), 'there is room for a second client')
    assert new.get('key') == 'value'
    with pytest.raises((redis.RedisError, OSError)):
        group.client(single_connection_client=True).ping()

    group.nodes[0].stop(9)
    group.primary = group.nodes[1]
    group.follow()
    group.configure()
    wait_for(lambda: old.set('key', 'again'), 'the old process follows')
    assert new.get('key') == 'again'
    old.connection_pool.disconnect()
    wait_for(lambda: all(process.poll() == 0 for process in group.front.former), 'all have left')
    new.connection_pool.disconnect()


def test_the_successor_is_killed(own_group):
    old = own_group.client(single_connection_client=True)
    old.set('key', 'value')
    first = own_group.front.upgrade()
    own_group.front.process.kill()
    own_group.front.process.wait()
    wait_for(lambda: own_group.client().get('key') == 'value', 'it serves again')
    assert old.get('key') == 'value'
    own_group.front.former.remove(first)
    own_group.front.process = first
    old.connection_pool.disconnect()
