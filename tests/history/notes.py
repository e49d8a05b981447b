"""What clients write down: each call with its answer, in the clock that all of them share; and which keys they use."""
import contextlib
import itertools
import threading
import time
from collections import Counter

from history.lists import LEVELS

# An answer that says that nothing was done, whatever had been sent (docs/proxy.md, "Errors of the proxy's own").
DEFINITE = {'40001', '40P01', '25P02', '08001', '53300', '57P03'}
# And those that leave it open, or come without a word, as a connection that ends.
UNKNOWN = {'08007', '08006', '57P01', None}

UNKNOWN_PER_KEY = 3  # then it is left alone: what is open for ever costs the checker


def now():
    return time.monotonic_ns()


def outcome_of_error(decided, sqlstate):
    """Of a transaction that failed; `decided`: its COMMIT, or a change outside of a transaction, had been sent."""
    return 'unknown' if decided and sqlstate not in DEFINITE else 'failed'


class Keys:
    """A few keys that many use, each for a while; then another one takes its place."""

    def __init__(self, active, uses):
        self.uses = uses
        self._numbers = itertools.count()
        self._active = [self._new() for _ in range(active)]
        self._lock = threading.Lock()

    def _new(self):
        return [next(self._numbers), 0, 0]  # the key, its uses, those whose outcome is unknown

    def pick(self, dice):
        with self._lock:
            at = dice.randrange(len(self._active))
            self._active[at][1] += 1
            if self._active[at][1] > self.uses or self._active[at][2] >= UNKNOWN_PER_KEY:
                self._active[at] = self._new()
            return self._active[at][0]

    def unknown(self, key):
        with self._lock:
            for entry in self._active:
                entry[2] += entry[0] == key


class Notes:
    """The history of one trial. Appending to a list is atomic in Python, so writers share these."""

    def __init__(self):
        self.registers = []                         # of Op
        self.lists = {level: [] for level in LEVELS}
        self.acknowledged = []                      # when each answer came
        self.errors = Counter()                     # (what was going on, code)
        self.cut = []                               # (when, who) whose connection ended, and should not have
        self.values = itertools.count(1)

    def gap(self, since, until):
        """The longest time without an acknowledgement: (seconds, when it began)."""
        times = [since, *sorted(time for time in self.acknowledged if since < time < until), until]
        longest, began = max((b - a, a) for a, b in zip(times, times[1:]))
        return longest / 1e9, began


class Client(threading.Thread):
    """Does step() again and again until it is told to end. connect() gives what it talks to the server with."""

    def __init__(self, name, dice, notes, keys, connect):
        super().__init__(name=name, daemon=True)
        self.dice = dice
        self.notes = notes
        self.keys = keys
        self.connect = connect
        self.connection = None
        self.life = 0  # of the process that the history knows: an unknown outcome ends it
        self.ended = threading.Event()
        self.failure = None  # what no client expects

    @property
    def process(self):
        return f'{self.name}.{self.life}'

    def run(self):
        try:
            while not self.ended.is_set():
                self.step()
                self.ended.wait(self.dice.random() * self.pause_s)
        except BaseException as error:  # pylint: disable=broad-except
            self.failure = error
        finally:
            self.close()

    pause_s = 0.02
    close_errors = ()  # what the end of a connection that is broken may raise

    def step(self):
        raise NotImplementedError

    def close(self):
        if self.connection is not None:
            with contextlib.suppress(*self.close_errors):
                self.connection.close()
        self.connection = None

    def acknowledged(self):
        time_ns = now()
        self.notes.acknowledged.append(time_ns)
        return time_ns
