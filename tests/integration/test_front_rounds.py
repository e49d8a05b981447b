"""What the front of a durable group holds, and lets go, round by round, with nodes that the test plays. With real ones:
test_front_durable.py."""
import time

import pytest

from support.front_group import hear
from support.played_node import played_group

PIECE = 'x' * 1000


@pytest.fixture
def group(weir, tmp_path):
    tmp_path.chmod(0o755)
    with played_group(weir, tmp_path) as group:
        yield group


def silent(peer, seconds=0.3):
    timeout = peer.gettimeout()
    peer.settimeout(seconds)
    try:
        return not peer.recv(1)
    except TimeoutError:
        return True
    finally:
        peer.settimeout(timeout)


def held_write(group, peer, more=''):
    """A SET that the primary has answered, and whose round is open. Returns the links of the client and of the gate."""
    peer.sendall(f'SET k v\r\n{more}'.encode())
    link = group.primary.command('SET k v')
    link.say('+OK\r\n')
    gate = group.primary.round()
    assert silent(peer)
    return link, gate


# ---- rounds -------------------------------------------------------------------------------------

def test_a_round_covers_what_came_before_it(group):
    with group.client() as peer:
        link, gate = held_write(group, peer, 'SET l w\r\n')
        group.primary.command('SET l w')
        link.say('+LATER\r\n')
        assert silent(peer)
        gate.say(':1\r\n')
        assert hear(peer, '\r\n') == '+OK\r\n'
        assert silent(peer)
        group.primary.round(':1\r\n')
        assert hear(peer, '\r\n') == '+LATER\r\n'


def test_a_reply_in_pieces_over_rounds(group):
    """Its rest goes with its beginning: of what has begun to go out nothing can be taken back."""
    group.configure(durable={'user': 'weir_gate', 'wait_ms': 1000})
    with group.client() as peer:
        link, gate = held_write(group, peer, 'GET big\r\nPING\r\n')
        group.primary.command('GET big')
        group.primary.command('PING')
        link.say(f'${4 * len(PIECE)}\r\n{PIECE}')
        assert silent(peer)
        gate.say(':1\r\n')
        assert hear(peer, '\r\n') == '+OK\r\n'
        gate = group.primary.round()
        link.say(PIECE)
        assert silent(peer)
        gate.say(':1\r\n')
        got = hear(peer, 2 * PIECE)
        time.sleep(1.2)  # nobody answers another round, if there is one
        link.say(2 * PIECE + '\r\n+PONG\r\n')
        got += hear(peer, '+PONG\r\n')
        assert got == f'${4 * len(PIECE)}\r\n{4 * PIECE}\r\n+PONG\r\n'


def test_a_reply_that_comes_in_part_and_is_given_up(group):
    """Each command has one error, and what comes of its reply behind that is for nobody."""
    group.configure(durable={'user': 'weir_gate', 'wait_ms': 500})
    with group.client() as peer:
        link, _ = held_write(group, peer, 'GET big\r\nPING\r\n')
        group.primary.command('GET big')
        group.primary.command('PING')
        link.say(f'${2 * len(PIECE)}\r\n{PIECE}')
        got = ''
        while got.count('\r\n') < 2:
            got += hear(peer, '\r\n')
        assert got.count('-UNAVAILABLE Weir: no replica') == 2
        link.say(PIECE + '\r\n+PONG\r\n')
        assert hear(peer, '\r\n') == '+PONG\r\n'


# ---- which commands write -------------------------------------------------------------------------

@pytest.mark.parametrize('begin', ['MULTI\r\n', '"MULTI"\r\n', '*1\r\n$5\r\nmulti\r\n'])
def test_the_end_of_a_transaction_is_held(group, begin):
    """However its beginning was written."""
    with group.client() as peer:
        peer.sendall(f'{begin}SET k v\r\nEXEC\r\n'.encode())
        for _ in range(2):
            group.primary.commands.get(timeout=20)
        link = group.primary.command('EXEC')
        link.say('+OK\r\n+QUEUED\r\n')
        if begin.startswith('"'):
            group.primary.round(':1\r\n')  # who can tell what that was
        assert hear(peer, '+QUEUED\r\n') == '+OK\r\n+QUEUED\r\n'
        link.say('*1\r\n+OK\r\n')
        assert silent(peer)
        group.primary.round(':1\r\n')
        assert hear(peer, '*1\r\n+OK\r\n') == '*1\r\n+OK\r\n'


def test_a_transaction_that_a_subscriber_could_not_begin(group):
    """It is refused there, with RESP 2; whatever he writes when he listens to nothing any more is no part of it."""
    with group.client() as peer:
        peer.sendall(b'SUBSCRIBE a\r\n')
        link = group.primary.command('SUBSCRIBE a')
        link.say('*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n')
        hear(peer, ':1\r\n')
        peer.sendall(b'MULTI\r\nUNSUBSCRIBE\r\nSET k v\r\n')
        for wanted in ('MULTI', 'UNSUBSCRIBE', 'SET k v'):
            group.primary.command(wanted)
        link.say('-ERR Can\'t execute \'multi\'\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n+OK\r\n')
        assert silent(peer)
        group.primary.round(':1\r\n')
        assert hear(peer, '+OK\r\n').endswith(':0\r\n+OK\r\n')


# ---- a planned change -----------------------------------------------------------------------------

def change(group, *, handed):
    """The former primary is a replica, nobody leads yet; then the other one does."""
    former, heir = group.nodes
    group.configure(primary=None, hold=False)
    yield former
    former.handed = handed
    group.configure(primary=heir)
    yield heir


def test_what_is_held_waits_for_the_heir(group):
    """Between the two of them nobody leads, and that says nothing of what the former one had acknowledged."""
    with group.client() as peer:
        _, gate = held_write(group, peer)
        group.configure(hold=True)
        gate.say('-UNBLOCKED force unblock\r\n')
        steps = change(group, handed=True)
        next(steps)
        assert silent(peer)
        next(steps)
        assert hear(peer, '\r\n') == '+OK\r\n'
        peer.sendall(b'GET k\r\n')
        group.nodes[1].command('GET k').say('$1\r\nv\r\n')
        assert hear(peer, 'v\r\n') == '$1\r\nv\r\n'


def test_what_is_held_is_unknown_where_another_one_takes_over(group):
    with group.client() as peer:
        _, gate = held_write(group, peer)
        group.configure(hold=True)
        gate.say('-UNBLOCKED force unblock\r\n')
        for _ in change(group, handed=False):
            pass
        assert 'whether this was carried out is not known' in hear(peer, '\r\n')


def test_a_front_that_hears_of_a_change_from_the_node(group):
    """Its WAIT has ended before the word that the primary would hand over."""
    with group.client() as peer:
        _, gate = held_write(group, peer)
        gate.say('-UNBLOCKED force unblock\r\n')
        assert silent(peer)
        group.configure(hold=True)
        for _ in change(group, handed=True):
            pass
        assert hear(peer, '\r\n') == '+OK\r\n'


@pytest.mark.parametrize('durable', [True, False])
def test_what_the_former_primary_refuses_while_nobody_leads(group, durable):
    """A command that was under way when the roles changed: the former primary says that it was not carried out, and
    that may come behind the word that it leads no more."""
    if not durable:
        group.more.pop('durable')
        group.configure()
    with group.client() as peer:
        peer.sendall(b'SET k v\r\n')
        link = group.primary.command('SET k v')
        group.configure(hold=True)
        steps = change(group, handed=True)
        next(steps)
        link.say('-READONLY You can\'t write against a read only replica.\r\n')
        assert silent(peer)
        next(steps)
        group.nodes[1].command('SET k v').say('+OK\r\n')
        if durable:
            group.nodes[1].round(':1\r\n')
        assert hear(peer, '\r\n') == '+OK\r\n'


def test_nobody_waits_for_a_former_primary_for_ever(group):
    group.configure(hold_ms=700)
    with group.client() as peer:
        peer.sendall(b'SET k v\r\n')
        group.primary.command('SET k v')
        group.configure(primary=None)
        assert silent(peer)
        assert 'whether this was carried out is not known' in hear(peer, '\r\n')
        peer.sendall(b'GET k\r\n')
        assert hear(peer, '\r\n').startswith('-LOADING')


def test_a_hold_that_nobody_ends(group):
    """The gate was lost meanwhile, and nothing more is told: the group serves again behind hold_ms."""
    group.configure(hold_ms=700)
    with group.client() as peer:
        _, gate = held_write(group, peer)
        group.configure(hold=True)
        gate.close()
        assert 'whether this was carried out is not known' in hear(peer, '\r\n')
        with group.client() as other:
            other.sendall(b'GET k\r\n')
            group.primary.command('GET k').say('$1\r\nv\r\n')
            assert hear(other, 'v\r\n') == '$1\r\nv\r\n'
