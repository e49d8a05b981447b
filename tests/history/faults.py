"""Which faults strike a tier, and when: told by a seed, so that the same seed tells the same again."""
import random
from dataclasses import dataclass

DATABASE, CACHE = 'main', 'app'
NODE = ('primary', 'primary', 'other')
# What strikes, how often, and whom: a node of a role, or a process of the tier.
KINDS = (
    ('planned', 4, ('primary',)),
    ('kill-engine', 4, NODE),
    ('kill-guard', 2, NODE),
    ('kill-node', 4, NODE),
    ('kill-child', 2, NODE),      # any process of an engine but its first; of Redis's, which has one, that
    ('stop-node', 4, NODE),
    ('kill-serve', 2, ('serve',)),
    ('stop-serve', 1, ('serve',)),
    ('kill-supervise', 1, ('supervise',)),
    ('kill-plane', 2, ('plane',)),
    ('stop-plane', 1, ('plane',)),
)
BURST_MAX = 4       # faults in a row, before everything is there again
STOPPED_MAX_S = 5
QUIET_S = (0.2, 2)  # once everything is there again


@dataclass(frozen=True)
class Fault:
    after_s: float   # since the one before
    kind: str
    resource: str
    role: str
    seconds: int     # how long, where it is one that is taken back
    choice: float    # which of several, from 0 to 1

    def __str__(self):
        lasting = f' for {self.seconds} s' if self.seconds else ''
        return f'after {self.after_s:.2f} s {self.kind}, {self.resource} {self.role}{lasting}'


def rounds(seed):
    """Rounds without end: the faults of each, and how many seconds of quiet follow once everything is there again."""
    dice = random.Random(f'faults {seed}')
    while True:
        yield [_fault(dice) for _ in range(dice.randint(1, BURST_MAX))], dice.uniform(*QUIET_S)


def _fault(dice):
    kind, _, roles = dice.choices(KINDS, [weight for _, weight, _ in KINDS])[0]
    after_s = dice.choice((dice.uniform(0, 0.3), dice.uniform(0.3, 2), dice.uniform(2, 5)))
    resource = dice.choice((DATABASE, DATABASE, CACHE))
    seconds = dice.randint(1, STOPPED_MAX_S) if kind.startswith('stop-') else 0
    return Fault(after_s, kind, resource, dice.choice(roles), seconds, dice.random())
