#!/usr/bin/python3
"""Hurts Weir and its peers under six writers, and prints how long nothing was acknowledged, and what was lost.

    bench/failover/bench.py [--rounds N] [--faults a,b] [--clusters a,b] [--out FILE] [--build DIR]

Each round takes every fault with every cluster in turn, so that whatever else the machine does meets all alike. After
each fault the cluster heals; rows are counted twice, after the recovery and when all nodes are there again.
docs/bench.md says how to read the result. It leaves no process and no file, but FILE with the numbers of each round.
"""
import argparse
import json
import os
import signal
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(1, str(ROOT / 'bench/proxy'))

import meter  # noqa: E402
from autofailover import TIGHT as AUTO_TIGHT, AutoFailover  # noqa: E402
from clusters import FAULTS  # noqa: E402
from patroni import DEFAULT, TIGHT, Patroni  # noqa: E402
from process import Failure, Place  # noqa: E402
from weir import Weir  # noqa: E402

WARM_S = 3


def known_clusters(build):
    return [Weir(build / 'weir'), Patroni('patroni', DEFAULT), Patroni('patroni-tight', TIGHT),
            AutoFailover('pg_auto_failover'), AutoFailover('pg_auto_failover-tight', AUTO_TIGHT)]


def take(cluster, fault):
    """One fault under writers: {gap_s, lost, errors, …}"""
    writers = meter.Meter(cluster.conninfos())
    try:
        writers.warm(WARM_S)
        since = time.monotonic()
        cluster.fault(fault)
        recovered = writers.recover(since)
        writers.stop()
        first = writers.lost()
        cluster.heal()
        again = writers.lost()
    finally:
        writers.stop()
    return {'gap_s': round(writers.gap_s(since), 3) if recovered else None, 'lost': max(first[0], again[0]),
            'alien': max(first[1], again[1]), 'twice': max(first[2], again[2]), 'errors': writers.errors()}


def run(clusters, faults, rounds, results):
    for number in range(1, rounds + 1):
        for cluster in clusters:
            for fault in faults:
                said = f'round {number}: {cluster.name}: {fault}'
                try:
                    result = take(cluster, fault)
                except (Failure, meter.Lost) as failure:
                    results['failures'].append(f'{said}: {failure}')
                    print(f'{said}: {failure}', file=sys.stderr, flush=True)
                    continue
                results['runs'].append({'round': number, 'cluster': cluster.name, 'fault': fault, **result})
                print(f'{said}: {result}', file=sys.stderr, flush=True)


# ---- the report ---------------------------------------------------------------------------------

def cell(results, cluster, fault):
    runs = [one for one in results['runs'] if one['cluster'] == cluster and one['fault'] == fault]
    gaps = [one['gap_s'] for one in runs if one['gap_s'] is not None]
    if not gaps:
        return '–'
    stuck = len(runs) - len(gaps)
    return f'{statistics.median(gaps):.2f} ({max(gaps):.2f})' + (f', {stuck} stuck' if stuck else '')


def lost_cell(results, cluster):
    runs = [one for one in results['runs'] if one['cluster'] == cluster]
    return f'{sum(one["lost"] for one in runs)} in {len(runs)} runs'


def report(results, clusters, faults, rounds):
    names = [cluster.name for cluster in clusters]
    print(f'{time.strftime("%Y-%m-%d")}, {os.cpu_count()} CPUs, load {os.getloadavg()[2]:.1f}; {rounds} rounds; seconds '
          'without an acknowledged row, median (maximum)\n')
    print('| fault | ' + ' | '.join(names) + ' |')
    print('|---|' + '---|' * len(names))
    for fault in faults:
        print(f'| {fault} | ' + ' | '.join(cell(results, name, fault) for name in names) + ' |')
    print('| acknowledged rows lost | ' + ' | '.join(lost_cell(results, name) for name in names) + ' |')
    for failure in results['failures']:
        print(f'\n- {failure}')


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=10)
    parser.add_argument('--faults', default=','.join(FAULTS))
    parser.add_argument('--clusters', default='')
    parser.add_argument('--out', type=Path)
    parser.add_argument('--build', type=Path, default=ROOT / 'build')
    return parser.parse_args()


def start_all(place, wanted, results):
    """Those that there are."""
    started = []
    for cluster in wanted:
        reason = cluster.missing()
        if reason:
            results['failures'].append(f'{cluster.name}: {reason}')
            continue
        print(f'starting {cluster.name}', file=sys.stderr, flush=True)
        try:
            cluster.start(place)
            started.append(cluster)
        except Failure as failure:
            results['failures'].append(f'{cluster.name}: {failure}')
            cluster.stop()
    return started


def on_end(signo, _frame):
    sys.exit(128 + signo)


def main():
    chosen = options()
    faults = [fault for fault in chosen.faults.split(',') if fault]
    known = known_clusters(chosen.build.resolve())
    names = chosen.clusters.split(',') if chosen.clusters else [cluster.name for cluster in known]
    wrong = [name for name in names if name not in [cluster.name for cluster in known]]
    wrong += [fault for fault in faults if fault not in FAULTS]
    if wrong:
        sys.exit(f'bench.py: there is no {wrong[0]}; clusters: {", ".join(one.name for one in known)}; '
                 f'faults: {", ".join(FAULTS)}')
    signal.signal(signal.SIGTERM, on_end)
    results = {'runs': [], 'failures': []}
    place = Place()
    started = []
    try:
        started = start_all(place, [cluster for cluster in known if cluster.name in names], results)
        run(started, faults, chosen.rounds, results)
    finally:
        for cluster in started:
            cluster.stop()
        place.close()
    report(results, started, faults, chosen.rounds)
    if chosen.out is not None:
        chosen.out.write_text(json.dumps(results, indent=1))


if __name__ == '__main__':
    main()
