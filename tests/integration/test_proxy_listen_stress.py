"""Listeners that come and go, change what they listen to, roll back and notify themselves, among many notifiers: each
hears exactly what it would hear on a connection of its own.

A listener beside the proxy hears everything, and so knows the order in which transactions committed. What one behind
the proxy has heard must be that list, cut to its channels from each change of them to the next. Where exactly a change
took effect is not known; but it is not after it was answered, nor, where there was nothing before, before it was sent.
(PostgreSQL applies later changes to what a session has not read yet, too. The test passes without a proxy:
WEIR_DIRECT=1.)"""
import json
import os
import random
import select
import sys
import threading
import time
import traceback

import psycopg

from support.pool import authority, pool, postgres, proxy  # noqa: F401  pylint: disable=unused-import

SECONDS = float(os.environ.get('WEIR_LISTEN_SECONDS', '12'))
SEED = int(os.environ.get('WEIR_SEED', str(random.randrange(1 << 30))))
CHANNELS = ['a', 'b', 'B c', 'd"e']
LISTENERS = 10


def quoted(channel):
    return '"' + channel.replace('"', '""') + '"'


class History:
    """What was notified: numbers, begun and done."""

    def __init__(self):
        self.lock = threading.Lock()
        self.last = 0
        self.begun, self.done = set(), set()
        self.stop = threading.Event()
        self.problems = []

    def begin(self):
        with self.lock:
            self.last += 1
            self.begun.add(self.last)
            return self.last

    def finish(self, numbers):
        with self.lock:
            self.done.update(numbers)

    def look(self):
        with self.lock:
            return frozenset(self.done), frozenset(self.begun)


def take_notes(connection, into, seconds):
    """Everything that has come, and what comes meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        while note := connection.pgconn.notifies():
            into.append((note.relname.decode(), int(note.extra.split()[0]), note.be_pid))
        left = deadline - time.monotonic()
        if left <= 0:
            return
        if select.select([connection.fileno()], [], [], left)[0]:
            connection.pgconn.consume_input()


class Listener:
    """One connection through the proxy: its epochs, and what it has heard."""

    def __init__(self, history, proxy, dice):
        self.history = history
        self.dice = dice
        self.connection = proxy.connect()
        self.pid = self.connection.info.backend_pid
        self.channels = frozenset()
        self.heard = []
        self.own = set()
        self.before = frozenset()  # what was done before the last time that it did something
        self.connection.add_notify_handler(  # those that come while it runs something
            lambda note: self.heard.append((note.channel, int(note.payload.split()[0]), note.pid)))
        self.epochs = []  # (channels, what was done before it was sent, what was begun when it was answered)

    def run(self, *texts, channels=None):
        """The texts, one by one; with them the channels become these."""
        done, _ = self.history.look()
        for text in texts:
            self.connection.execute(text)
        _, begun = self.history.look()
        if channels is not None:
            self.epochs.append((frozenset(channels), self.before if self.channels else done, begun, texts))
            self.channels = frozenset(channels)
        self.before = done

    def notify(self):
        number = self.history.begin()
        self.own.add(number)
        return number, f"NOTIFY {quoted(self.dice.choice(CHANNELS))}, '{number} own'"

    def change(self):
        """One of the things that listeners do."""
        channel = self.dice.choice(CHANNELS)
        more, less = self.channels | {channel}, self.channels - {channel}
        listen, unlisten = f'LISTEN {quoted(channel)}', f'UNLISTEN {quoted(channel)}'
        what = self.dice.randrange(16)
        if what < 3:
            self.run(listen, channels=more)
        elif what < 5:
            self.run(unlisten, channels=less)
        elif what == 5:
            self.run(self.dice.choice(['UNLISTEN *', 'DISCARD ALL']), channels=())
        elif what == 6:
            self.run('BEGIN', listen, 'SELECT 1', 'COMMIT', channels=more)
        elif what == 7:
            self.run('BEGIN', listen, unlisten, 'UNLISTEN *', 'ROLLBACK')
        elif what == 8:
            self.run('BEGIN', 'SAVEPOINT s', 'UNLISTEN *', 'ROLLBACK TO s', unlisten, 'COMMIT', channels=less)
        elif what == 9:
            self.run(f'BEGIN; UNLISTEN *; {listen}; COMMIT', channels={channel})
        elif what == 10:
            number, text = self.notify()
            self.run(text)
            self.history.finish([number])
        elif what == 11:
            number, text = self.notify()
            self.run('BEGIN', text, listen, 'COMMIT', channels=more)
            self.history.finish([number])
        elif what == 12:
            number, text = self.notify()
            self.run(f'{unlisten}; {text}', channels=less)
            self.history.finish([number])
        elif what == 13:
            got = {row[0] for row in self.connection.execute('SELECT pg_listening_channels()')}
            assert got == self.channels, (got, self.channels)
        elif what == 14:
            self.run('INSERT INTO t (v) VALUES (1)', 'BEGIN', 'SELECT count(*) FROM t', 'COMMIT')
        else:
            self.run('SELECT 1')

    def live(self, until):
        while not until():
            self.change()
            take_notes(self.connection, self.heard, self.dice.choice([0, 0, 0.005, 0.05]))
        done, _ = self.history.look()
        take_notes(self.connection, self.heard, 0.5)
        self.connection.close()
        self.epochs.append((frozenset(), done, self.history.look()[1], ['close']))


def cuts_of(epoch, index, size):
    """Where in the order of commits the epoch may have begun."""
    _, done, begun, _ = epoch
    first = max((index[number] for number in done if number in index), default=-1) + 1
    last = min((place for number, place in index.items() if number not in begun), default=size)
    return first, max(first, last)


def explain(listener, order, index):
    """None where what was heard fits; else what does not."""
    states = {(0, 0)}  # (place in the order, heard so far)
    channels = frozenset()
    for epoch in listener.epochs:
        first, last = cuts_of(epoch, index, len(order))
        after = set()
        best, reached = 0, 0
        for place, at in states:
            while True:
                if first <= place <= last:
                    after.add((place, at))
                if place >= last or place == len(order):
                    break
                channel, number = order[place]
                if channel in channels:
                    if at == len(listener.heard) or listener.heard[at][:2] != (channel, number):
                        break
                    at += 1
                place += 1
            best, reached = max((best, reached), (at, place))
        if not after:
            return (f'{set(channels)} became {set(epoch[0])} by {epoch[3]} within {first}..{last}: behind '
                    f'{listener.heard[max(0, best - 2):best]} it heard {listener.heard[best:best + 4]}, but commits from '
                    f'{reached} on were {order[reached:reached + 6]}')
        states = after
        channels = epoch[0]
    if all(at != len(listener.heard) for _, at in states):
        return f'too much was heard: {listener.heard[max(at for _, at in states):][:3]}'
    wrong = [note for note in listener.heard if (note[1] in listener.own) != (note[2] == listener.pid)]
    return f'pids: {wrong[:3]}, own {listener.pid}' if wrong else None


def notifier(history, connect, seed):
    dice = random.Random(seed)
    with connect() as connection:
        while not history.stop.is_set():
            numbers = [history.begin() for _ in range(dice.choice([1, 1, 1, 4]))]
            texts = [f"NOTIFY {quoted(dice.choice(CHANNELS))}, '{number}'" for number in numbers]
            if dice.random() < 0.1:
                connection.execute(f"BEGIN; {'; '.join(texts)}; ROLLBACK")
            else:
                connection.execute('; '.join(texts))
                history.finish(numbers)
            time.sleep(dice.choice([0, 0.001, 0.01]))


def listen_for_long(history, pool, seed, listeners):
    dice = random.Random(seed)
    while not history.stop.is_set():
        listener = Listener(history, pool, dice)
        listeners.append(listener)
        end = time.monotonic() + dice.choice([0.2, 1, 4, SECONDS])
        listener.live(lambda: history.stop.is_set() or time.monotonic() > end)  # pylint: disable=cell-var-from-loop


def guarded(history, function, *arguments):
    try:
        function(history, *arguments)
    except Exception as problem:  # pylint: disable=broad-exception-caught
        history.problems.append(repr(problem))
        history.stop.set()


def await_end(threads, listeners, pool, postgres):
    """All end by themselves: where one does not, what it waits for is told."""
    deadline = time.monotonic() + 60
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    stuck = [thread for thread in threads if thread.is_alive()]
    if stuck:
        frames = sys._current_frames()  # pylint: disable=protected-access
        for thread in stuck:
            print(thread.name, *traceback.format_stack(frames[thread.ident])[-4:], sep='\n')
        for listener in listeners:
            if not listener.connection.closed:
                print(listener.pid, listener.connection.info.transaction_status, listener.epochs[-2:])
        print(json.dumps(pool.status()))
        with postgres.admin('app') as admin:
            print(*admin.execute('SELECT pid, state, wait_event, query FROM pg_stat_activity'), sep='\n')
    assert not stuck


def test_everybody_hears_what_a_connection_of_its_own_would(pool, postgres):
    history = History()
    listeners, order = [], []
    pool.configure({'max_connections_percent': 80, 'shared_listeners': True})
    if os.environ.get('WEIR_DIRECT'):
        pool.connect = lambda: psycopg.connect(host=str(postgres.folder), user='postgres', dbname='app', autocommit=True,
                                               prepare_threshold=None)
    print('seed', SEED)
    with postgres.admin('app') as witness:
        for channel in CHANNELS:
            witness.execute(f'LISTEN {quoted(channel)}')
        threads = [threading.Thread(target=guarded, args=(history, notifier, connect, SEED + number))
                   for number, connect in enumerate([lambda: postgres.admin('app'), pool.connect, pool.connect])]
        threads += [threading.Thread(target=guarded, args=(history, listen_for_long, pool, SEED + 100 + number,
                                                           listeners)) for number in range(LISTENERS)]
        for thread in threads:
            thread.daemon = True
            thread.start()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and not history.stop.is_set():
            take_notes(witness, order, 0.2)
        history.stop.set()
        await_end(threads, listeners, pool, postgres)
        take_notes(witness, order, 0.5)
    assert not history.problems, history.problems
    order = [note[:2] for note in order]
    index = {number: place for place, (_, number) in enumerate(order)}
    wrong = [problem for problem in (explain(listener, order, index) for listener in listeners) if problem]
    total = sum(len(listener.heard) for listener in listeners)
    print(f'{len(listeners)} listeners heard {total} of {len(order)} notifications')
    assert not wrong, wrong
    assert total > len(order)
