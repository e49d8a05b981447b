"""What the front of a durable group holds, and lets go, round by round, with nodes that the test plays. With real ones:
test_front_durable.py."""
import contextlib
import os
import signal
import socket
import struct
import threading
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


def errors(peer, count):
    got = ''
    while got.count('\r\n') < count:
        got += hear(peer, '\r\n')
    return got.split('\r\n')[:-1]


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
        assert all(line.startswith('-UNAVAILABLE Weir: no replica') for line in errors(peer, 2))
        link.say(PIECE + '\r\n+PONG\r\n')
        assert hear(peer, '\r\n') == '+PONG\r\n'


def test_a_reply_that_was_given_up_is_lost_with_its_node(group):
    """It had its error."""
    group.configure(durable={'user': 'weir_gate', 'wait_ms': 500})
    with group.client() as peer:
        link, _ = held_write(group, peer, 'GET big\r\nPING\r\n')
        group.primary.command('GET big')
        group.primary.command('PING')
        link.say(f'${2 * len(PIECE)}\r\n{PIECE}')
        errors(peer, 2)
        link.close()
        assert errors(peer, 1) == ['-UNAVAILABLE Weir: the connection to the node was lost; whether this was carried out '
                                   'is not known']
        assert silent(peer)


def test_a_round_whose_ping_was_refused_is_none(group):
    """A script ran, and had ended when its WAIT came: that waited for what was there before the script."""
    group.primary.pong = '-BUSY Redis is busy running a script.\r\n'
    with group.client() as peer:
        _, gate = held_write(group, peer)
        gate.say(':1\r\n')
        assert silent(peer)
        group.primary.pong = '+PONG\r\n'
        group.primary.round(':1\r\n')  # it was sent before
        group.primary.round(':1\r\n')
        assert hear(peer, '\r\n') == '+OK\r\n'


def test_alone_is_not_for_ever(group):
    group.primary.alone = True
    with group.client() as peer:
        peer.sendall(b'SET k v\r\n')
        group.primary.command('SET k v').say('+OK\r\n')
        group.primary.round(':0\r\n')
        assert hear(peer, '\r\n') == '+OK\r\n'
        peer.sendall(b'SET k v\r\n')
        group.primary.command('SET k v').say('+OK\r\n')
        assert hear(peer, '\r\n') == '+OK\r\n'
        group.primary.alone = False
        held_write(group, peer)
        assert group.primary.rounds.empty()


# ---- the order of replies -------------------------------------------------------------------------

def test_what_the_front_says_itself_comes_in_its_turn(group):
    with group.client() as peer:
        link, gate = held_write(group, peer)
        peer.sendall(b'AUTH wrong\r\n')
        assert group.primary.commands.get(timeout=20)[1].startswith('AUTH weir_client')
        link.say('-WRONGPASS\r\n')
        assert silent(peer)
        gate.say(':1\r\n')
        hear(peer, '+OK\r\n')
        group.primary.round(':1\r\n')
        hear(peer, '-WRONGPASS\r\n')


def test_a_refusal_behind_what_is_held_is_not_sent_again(group):
    """Else what is held would go with its node."""
    with group.client() as peer:
        link, gate = held_write(group, peer)
        peer.sendall(b'SET l w\r\n')
        group.primary.command('SET l w')
        link.say('-READONLY You can\'t write against a read only replica.\r\n')
        assert silent(peer)
        gate.say(':1\r\n')
        hear(peer, '+OK\r\n')
        group.primary.round(':1\r\n')
        assert hear(peer, '\r\n').startswith('-READONLY')


def test_a_push_stays_in_its_place(group):
    """What is not asked for comes behind what is held; and where that is given up, nobody can say in whose place an
    error would be."""
    push = '>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n'
    with group.client() as peer:
        link, gate = held_write(group, peer, 'GET k\r\n')
        group.primary.command('GET k')
        link.say(f'{push}$1\r\nv\r\n')
        assert silent(peer)
        gate.say(':1\r\n')
        hear(peer, '+OK\r\n')
        group.primary.round(':1\r\n')
        assert hear(peer, '\r\nv\r\n') == f'{push}$1\r\nv\r\n'
        group.configure(durable={'user': 'weir_gate', 'wait_ms': 500})
        link, _ = held_write(group, peer)
        link.say(push)
        assert hear(peer) == ''


def test_who_is_told_of_no_replies(group):
    """CLIENT REPLY: which command a reply is for is not known, so all of them wait once he has written."""
    with group.client() as peer:
        peer.sendall(b'CLIENT REPLY OFF\r\nSET k v\r\nCLIENT REPLY ON\r\n')
        for wanted in ('CLIENT REPLY OFF', 'SET k v'):
            group.primary.command(wanted)
        group.primary.command('CLIENT REPLY ON').say('+OK\r\n')
        gate = group.primary.round()
        assert silent(peer)
        gate.say(':1\r\n')
        assert hear(peer, '\r\n') == '+OK\r\n'


# ---- clients that leave, and a front that does ------------------------------------------------------

def test_a_client_that_is_gone_while_something_is_held(group):
    peer = group.client()
    _, gate = held_write(group, peer)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    peer.close()  # by a reset
    with group.client() as other:
        time.sleep(0.2)
        gate.say(':1\r\n')
        held_write(group, other)
        group.primary.links[-1].close()


def test_who_waits_for_a_replica_is_not_idle(group):
    group.configure(idle_timeout_s=1)
    with group.client() as peer:
        _, gate = held_write(group, peer)
        assert silent(peer, 2.5)
        gate.say(':1\r\n')
        assert hear(peer, '\r\n') == '+OK\r\n'


def test_an_upgrade_leaves_what_is_held(group):
    """With the process that holds it, which goes on asking."""
    with group.client() as peer:
        _, gate = held_write(group, peer)
        group.front.upgrade()
        with group.client() as other:
            link, other_gate = held_write(group, other)
            gate.say(':1\r\n')
            assert hear(peer, '\r\n') == '+OK\r\n'
            assert silent(other)
            other_gate.say(':1\r\n')
            assert hear(other, '\r\n') == '+OK\r\n'
            assert link is not None


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


@pytest.mark.parametrize('handed', [True, False])
def test_who_has_said_good_bye_before_a_change(group, handed):
    """The former primary has ended the connection, as it was asked to; what it had acknowledged goes out if it lasts."""
    with group.client() as peer:
        link, gate = held_write(group, peer)
        peer.sendall(b'QUIT\r\n')
        group.primary.command('QUIT')
        link.say('+OK\r\n')
        link.close()
        assert silent(peer)
        group.configure(hold=True)
        gate.say('-UNBLOCKED force unblock\r\n')
        for _ in change(group, handed=handed):
            pass
        assert hear(peer) == ('+OK\r\n+OK\r\n' if handed else '')


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


@contextlib.contextmanager
def front_stands_still(group):
    os.kill(group.front.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(group.front.process.pid, signal.SIGCONT)


def test_a_front_that_hears_of_both_at_once(group):
    """That another one leads, and behind it what the former one refuses: that is read before it is called unknown."""
    with group.client() as peer:
        peer.sendall(b'SET k v\r\n')
        link = group.primary.command('SET k v')
        group.configure(hold=True)
        told = threading.Thread(target=group.configure, kwargs={'primary': group.nodes[1], 'hold': False})
        with front_stands_still(group):
            told.start()
            time.sleep(0.3)
            link.say('-READONLY You can\'t write against a read only replica.\r\n')
            time.sleep(0.1)
        told.join(20)
        group.nodes[1].command('SET k v').say('+OK\r\n')
        group.nodes[1].round(':1\r\n')
        assert hear(peer, '\r\n') == '+OK\r\n'


def test_a_front_that_has_missed_the_end_of_a_run(group):
    """The primary died, came back, led again, and handed over, while the front stood still: what its first run had
    acknowledged it did not hand over."""
    with group.client() as peer:
        link, _ = held_write(group, peer)
        group.nodes[0].handed = True
        told = threading.Thread(target=group.configure, kwargs={'primary': group.nodes[1]})
        with front_stands_still(group):
            told.start()
            time.sleep(0.3)
            link.close()
            time.sleep(0.1)
        told.join(20)
        assert hear(peer, '\r\n').startswith('-UNAVAILABLE')


def test_who_is_bound_to_the_former_primary_is_told_at_once(group):
    with group.client() as peer:
        peer.sendall(b'MULTI\r\n')
        group.primary.command('MULTI').say('+OK\r\n')
        assert hear(peer, '\r\n') == '+OK\r\n'
        peer.sendall(b'GET k\r\n')
        group.primary.command('GET k')
        group.configure(primary=None, hold_ms=60000)
        assert hear(peer).startswith('-UNAVAILABLE')
    with group.client() as peer:
        group.configure(primary=group.nodes[0])
        peer.sendall(b'WATCH k\r\n')
        group.primary.command('WATCH k').say('+OK\r\n')
        assert hear(peer, '\r\n') == '+OK\r\n'
        peer.sendall(b'GET k\r\n')
        group.primary.command('GET k')
        group.configure(primary=None)
        assert hear(peer).startswith('-UNAVAILABLE')


def test_a_group_that_is_durable_no_more(group):
    """Whoever has something held there is told at once, and nobody is left without his gate."""
    with group.client() as peer:
        held_write(group, peer)
        group.more.pop('durable')
        group.configure(primary=None)
        assert 'whether this was carried out is not known' in hear(peer, '\r\n')


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
