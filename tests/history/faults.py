"""Which faults strike a tier, and when: told by a seed, so that the same seed tells the same again. And the one who
does them."""
import json
import os
import random
import signal
import time
from dataclasses import dataclass

from support.inside import is_alive

DATABASE, CACHE = 'main', 'app'
# What strikes, how often, and whom: a node of a role, or a process of the tier.
KINDS = (
    ('planned', 3, ('primary',)),
    ('kill-engine', 4, ('primary', 'primary', 'other')),
    ('kill-guard', 2, ('primary', 'primary', 'other')),
    ('kill-node', 4, ('primary', 'primary', 'other')),
    ('stop-node', 4, ('primary', 'primary', 'other')),
    ('kill-serve', 2, ('',)),
    ('kill-supervise', 1, ('',)),
    ('kill-plane', 2, ('',)),
)
BURST_MAX = 3         # faults in a row, before everything is there again
STOPPED_MAX_S = 5
TRY_S = 40            # for a fault that finds nobody to strike: no primary at the moment, no weir serve
RETRY_S = 0.1


@dataclass(frozen=True)
class Fault:
    after_s: float  # since the one before
    kind: str
    resource: str
    role: str
    seconds: int    # how long, where it is one that is taken back

    def __str__(self):
        who = ' '.join(word for word in (self.resource, self.role) if word)
        return f'{self.after_s:.2f} s, {self.kind} {who}' + (f' for {self.seconds} s' if self.seconds else '')


def rounds(seed):
    """Rounds without end: the faults of each, and how many seconds of quiet follow once everything is there again."""
    dice = random.Random(f'faults {seed}')
    while True:
        faults = [_fault(dice) for _ in range(dice.randint(1, BURST_MAX))]
        yield faults, dice.uniform(0.2, 2)


def _fault(dice):
    kind, _, roles = dice.choices(KINDS, [weight for _, weight, _ in KINDS])[0]
    after_s = dice.choice((dice.uniform(0, 0.3), dice.uniform(0.3, 2), dice.uniform(2, 5)))
    resource = dice.choice((DATABASE, DATABASE, CACHE))
    seconds = dice.randint(1, STOPPED_MAX_S) if kind == 'stop-node' else 0
    return Fault(after_s, kind, resource, dice.choice(roles), seconds)


class Striker:
    """Does faults to a tier. Whoever was stopped goes on by itself, at the latest at heal()."""

    def __init__(self, inside):
        self.inside = inside
        self.tier = inside.tier
        self.done = []       # lines: when, what, how it went
        self.began = time.monotonic()
        self._stopping = []  # (node, process of `weir chaos`)

    def strike(self, fault):
        """Tries again while there is nobody to strike; a fault that finds nobody in all that time is noted."""
        deadline = time.monotonic() + TRY_S
        while True:
            said = self._try(fault)
            if said is not None or time.monotonic() > deadline:
                break
            time.sleep(RETRY_S)
        self.done.append(f'{time.monotonic() - self.began:8.3f}  {fault}: {said or "found nobody"}')

    def _try(self, fault):
        if fault.kind in ('kill-serve', 'kill-supervise', 'kill-plane'):
            return self._kill(fault)
        if fault.kind == 'planned':
            return self._command('failover', fault.resource)
        node = self._node(fault)
        if node is None:
            return None
        if fault.kind == 'stop-node':
            self._stopping.append((node, self.tier.start('chaos', fault.kind, node, '--for', fault.seconds,
                                                         stdout=-1, stderr=-1)))
            return node
        return self._command('chaos', fault.kind, node)

    def _command(self, *words):
        done = self.tier.command(*words, check=False)
        return done.stdout.strip().replace('\n', '; ') if done.returncode == 0 else None

    def _node(self, fault):
        done = self.tier.command('status', '-o', 'json', check=False)
        if done.returncode != 0:
            return None
        found = [node['NodeId'] for node in json.loads(done.stdout)['nodes'] if node['ResourceId'] == fault.resource and
                 (node['Role'] == 'primary') == (fault.role == 'primary')]
        return found[0] if found else None

    def _kill(self, fault):
        pid = {'kill-serve': self.inside.serve,
               'kill-supervise': lambda: next(iter(self.tier.find('weir supervise')), None),
               'kill-plane': lambda: self.inside.plane({DATABASE: 'proxy-pool ', CACHE: 'front-app '}[fault.resource]),
               }[fault.kind]()
        if pid is None or not is_alive(pid):
            return None
        os.kill(pid, signal.SIGKILL)
        return f'pid {pid}'

    def heal(self):
        """Everybody goes on who still stands still."""
        for node, process in self._stopping:
            with process:
                process.communicate(timeout=STOPPED_MAX_S + TRY_S)
            if process.returncode != 0:
                self._go_on(node)
        self._stopping.clear()

    def _go_on(self, node):
        """The command that should have done it did not find weir serve."""
        deadline = time.monotonic() + TRY_S
        while self._command('chaos', 'continue-node', node) is None and time.monotonic() < deadline:
            time.sleep(RETRY_S)
