"""Full load on everything, and no fault: nothing may change hands. `make soak-calm SOAK_SECONDS=3600`, or

    cd tests && /usr/bin/python3 -m history.calm [--seconds N]

pgbench writes and reads through a proxy, redis-benchmark at a cache, with more clients than there are processors. At
the end each process is the one that it was, each engine in its role, there is no event, and no statement has failed.
"""
import argparse
import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from history.faults import CACHE, DATABASE
from history.trial import TOKEN, is_settled, tier_under_trial
from support.inside import PASSWORD
from support.watch import wait_until

WEIR = Path(os.environ.get('WEIR_BIN', Path(__file__).resolve().parents[2] / 'build/weir'))
PATIENCE_S = 120


def processes(inside):
    """What each engine is and which process, and which processes serve."""
    found = {node['NodeId']: (node['Role'], inside.engine(node)) for name in (DATABASE, CACHE) for node in inside.nodes(name)}
    return {**found, 'weir': inside.tier.find('weir (serve --data|proxy|front|supervise)')}


def busy_share(since):
    """Of the processors' time since then, and what to ask with next time."""
    fields = [int(word) for word in Path('/proc/stat').read_text().split('\n', 1)[0].split()[1:9]]
    now = (sum(fields), fields[3] + fields[4])
    total, idle = now[0] - since[0], now[1] - since[1]
    return (1 - idle / total if total else 0), now


def pgbench(host, *words, **options):
    env = {**os.environ, 'PGHOST': host, 'PGUSER': 'dbadmin', 'PGPASSWORD': PASSWORD, 'PGDATABASE': 'shop',
           'PGSSLMODE': 'require'}
    return subprocess.Popen(['pgbench', *words], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, **options)


def redis_benchmark(inside):
    return subprocess.Popen(
        ['redis-benchmark', '-h', inside.front, '-p', '6379', '--tls', '--cacert', inside.tier.env()['AWS_CA_BUNDLE'],
         '-a', TOKEN, '-c', '50', '-n', '100000', '-r', '100000', '-d', '100', '-t', 'set,get,incr,lpush,lpop', '-q', '-l'],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def load(inside, seconds):
    """Runs it, and returns what pgbench said, how busy the processors were, and problems."""
    problems = []
    said = []
    with contextlib.ExitStack() as runs:
        def begin(run):
            runs.callback(run.wait)
            runs.callback(run.kill)
            return run
        ready = begin(pgbench(inside.relay, '-i', '-s', '10', '-q'))
        text = ready.communicate(timeout=PATIENCE_S)[0]
        assert ready.returncode == 0, text
        _, since = busy_share((0, 0))
        pools = {'writers': begin(pgbench(inside.proxy, '-n', '-M', 'prepared', '-c', '32', '-j', '2', '-T', str(seconds))),
                 'readers': begin(pgbench(inside.proxy, '-n', '-S', '-c', '16', '-T', str(seconds)))}
        cache = begin(redis_benchmark(inside))
        for name, run in pools.items():
            text = run.communicate(timeout=seconds + PATIENCE_S)[0]
            if run.returncode != 0 or 'number of failed transactions: 0 ' not in text:
                problems.append(f'{name} failed:\n{text}')
            said.append(f'{name} {"".join(re.findall(r"tps = [0-9.]+", text))}')
        if cache.poll() is not None:
            problems.append(f'redis-benchmark has ended with {cache.returncode}')
        busy = busy_share(since)[0]
    return said, busy, problems


def calm(inside, seconds):
    wait_until(lambda: is_settled(inside), 'everything is there')
    before = processes(inside)
    told = {event['EventId'] for event in inside.tier.json('events')}
    said, busy, problems = load(inside, seconds)
    after = processes(inside)
    problems += [f'{name}: {was} is {after.get(name)}' for name, was in before.items() if after.get(name) != was]
    problems += [] if is_settled(inside) else ['not everything is as it was asked to be']
    problems += [event['Message'] for event in inside.tier.json('events') if event['EventId'] not in told]
    print(f'{seconds} s, {busy:.0%} of the processors: {", ".join(said)}; '
          f'{"nothing has happened" if not problems else "NOT GOOD"}', *problems, sep='\n')
    return not problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seconds', type=int, default=3600)
    options = parser.parse_args()
    with tier_under_trial(WEIR) as inside:
        return 0 if calm(inside, options.seconds) else 1


if __name__ == '__main__':
    sys.exit(main())
