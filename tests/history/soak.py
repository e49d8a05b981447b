"""Trials one after the other, on some tiers side by side: `make soak`, or

    cd tests && /usr/bin/python3 -m history.soak [--tiers N] [--seconds N] [--seed N] [--rounds N]

Each trial has a seed of its own, counted from --seed on, and the tiers take turns at them. A seed that has failed is
tried alone with `--tiers 1 --seconds 1 --seed N`, and the same --rounds. Ends with 1 where something was wrong.
"""
import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from history.trial import Trial, tier_under_trial

ROUNDS = 4
WEIR = Path(os.environ.get('WEIR_BIN', Path(__file__).resolve().parents[2] / 'build/weir'))


def soak(seed, step, seconds, rounds):
    """The trials of one tier."""
    good = True
    deadline = time.monotonic() + seconds
    with tier_under_trial(WEIR) as inside:
        while True:
            verdict = Trial(inside, seed).run(rounds)
            print(verdict, flush=True)
            good = good and not verdict.problems
            if verdict.problems or time.monotonic() > deadline:
                return good
            seed += step


def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also in the background
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--tiers', type=int, default=2)
    parser.add_argument('--seconds', type=float, default=600)
    parser.add_argument('--seed', type=int, default=int(time.time()))
    parser.add_argument('--rounds', type=int, default=ROUNDS, help='of faults, in each trial')
    parser.add_argument('--step', type=int, help='a single tier, which takes every so many-th seed')
    options = parser.parse_args()
    if options.step:
        return 0 if soak(options.seed, options.step, options.seconds, options.rounds) else 1
    runs = [subprocess.Popen([sys.executable, '-m', 'history.soak', '--step', str(options.tiers), '--seed',
                              str(options.seed + number), '--seconds', str(options.seconds), '--rounds',
                              str(options.rounds)])
            for number in range(options.tiers)]
    try:
        codes = [run.wait() for run in runs]
    finally:
        for run in runs:
            if run.poll() is None:
                run.terminate()
                run.wait()
    print(f'{options.tiers} tiers, {options.seconds:.0f} s, seeds from {options.seed} on: '
          f'{"good" if not any(codes) else "NOT GOOD"}')
    return 1 if any(codes) else 0


if __name__ == '__main__':
    sys.exit(main())
