#!/usr/bin/python3
"""Measures weir proxy beside its peers, and prints a table.

    bench/proxy/bench.py [--rounds N] [--seconds S] [--measures a,b] [--contenders a,b] [--out FILE] [--build DIR]

Each round takes every measure with every contender in turn, so that whatever else the machine does
meets all alike. docs/bench.md says how to read the result. It leaves no process and no file, but
FILE with the raw numbers.
"""
import argparse
import json
import os
import resource
import signal
import statistics
import sys
import time
from pathlib import Path

import contenders
import measures
from process import Failure, Place
from servers import WIDE_BYTES, Certificate, start_nullpg, start_postgres

ROOT = Path(__file__).resolve().parent.parent.parent


class Bench:
    """One run: servers and proxies are started when they are first needed."""

    def __init__(self, place, build, seconds):
        self.place = place
        self.tools = build / 'bench/proxy'
        self.seconds = seconds
        self.certificate = Certificate(place)
        self.servers = {}
        self.proxies = {}

    def server(self, name):
        if name not in self.servers:
            self.servers[name] = (start_postgres(self.place, self.certificate) if name == 'postgres' else
                                  start_nullpg(self.place, self.tools, name, WIDE_BYTES if name == 'wide' else 1))
        return self.servers[name]

    def proxy(self, contender, measure):
        """(process, port). Memory is measured of one that has served nobody yet."""
        key = (contender.name, measure.server, measure.via_socket, measure.shared)
        if measure.once and contender.name != 'direct':
            old = self.proxies.pop(key, None)
            if old is not None:
                self.place.stop(old[0])
        if key not in self.proxies:
            self.proxies[key] = contender.start(self.place, self.certificate, self.server(measure.server),
                                                measure)
        return self.proxies[key]

    def take(self, contender, measure):
        reason = contender.cannot(measure)
        if reason:
            raise Failure(reason)
        process, port = self.proxy(contender, measure)
        gauge = measures.Gauge(self.tools, self.place.folder, process, self.place.address, port, self.seconds)
        return measure.how(gauge, measure, **measure.arguments)


class Results:
    """{(measure, contender): {round: value}}, and why there is none."""

    def __init__(self):
        self.values = {}
        self.reasons = {}

    def add(self, key, number, value):
        self.values.setdefault(key, {})[number] = value

    def fail(self, key, reason):
        """What has worked before is not given up for one failure."""
        if key not in self.values:
            self.reasons[key] = reason

    def of(self, measure, contender):
        return self.values.get((measure, contender), {})

    def ratio(self, measure, contender, base_measure, base):
        """The median of what each round says by itself; None: there is none."""
        mine, theirs = self.of(measure, contender), self.of(base_measure, base)
        ratios = [mine[number] / theirs[number] for number in mine if number in theirs]
        return statistics.median(ratios) if ratios else None


def run(bench, chosen_measures, chosen_contenders, rounds, results):
    for number in range(1, rounds + 1):
        for measure in chosen_measures:
            for contender in chosen_contenders:
                key = (measure.name, contender.name)
                if key in results.reasons or (measure.once and number > 1):
                    continue
                said = f'round {number}: {measure.name}: {contender.name}'
                try:
                    value = bench.take(contender, measure)
                except Failure as failure:
                    results.fail(key, str(failure))
                    print(f'{said}: {failure}', file=sys.stderr)
                    continue
                results.add(key, number, value)
                print(f'{said}: {number_text(value)} {measure.unit}', file=sys.stderr, flush=True)


# ---- the report ---------------------------------------------------------------------------------

def number_text(value):
    return f'{value:,.0f}' if value >= 1000 else f'{value:.3g}'


def cell(results, measure, contender):
    values = results.of(measure.name, contender.name).values()
    if not values:
        return '–'
    median = number_text(statistics.median(values))
    return f'{median} ± {number_text((max(values) - min(values)) / 2)}' if len(values) > 1 else median


def ratio_cell(results, measure, contender):
    ratio = results.ratio(measure.name, contender, measure.base_measure or measure.name, measure.base)
    return '–' if ratio is None else f'{ratio:.2f}'


def report(results, chosen_measures, chosen_contenders, absent):
    ours = next((c.name for c in chosen_contenders if c.name.startswith('weir')), None)
    lines = ['| measure | unit | ' + ' | '.join(c.name for c in chosen_contenders) + f' | ratio of {ours} | goal |',
             '|---' * (len(chosen_contenders) + 4) + '|']
    for measure in chosen_measures:
        cells = [cell(results, measure, contender) for contender in chosen_contenders]
        lines.append(f'| {measure.title} | {measure.unit} | ' + ' | '.join(cells) +
                     f' | {ratio_cell(results, measure, ours)} | {measure.goal} |')
    notes = [f'{contender}: {reason}' for contender, reason in absent.items()]
    together = {}
    for (measure, contender), reason in results.reasons.items():
        together.setdefault((contender, reason), []).append(measure)
    notes += [f'{contender}, {", ".join(names)}: {reason}' for (contender, reason), names in together.items()]
    return '\n'.join(lines + ([''] + [f'- {note}' for note in notes] if notes else []))


def heading(options):
    model = next((line.split(':', 1)[1].strip() for line in Path('/proc/cpuinfo').read_text().splitlines()
                  if line.startswith('model name')), 'a processor without a name')
    return (f'{time.strftime("%Y-%m-%d")}, {os.cpu_count()} × {model}, Linux {os.uname().release}, load '
            f'{os.getloadavg()[0]:.1f}; {options.rounds} rounds of {options.seconds:g} s, medians ± half of the range')


def options_read():
    parser = argparse.ArgumentParser(description='measures weir proxy beside its peers')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--seconds', type=float, default=1, help='of each measurement')
    parser.add_argument('--measures', help='some of ' + ', '.join(m.name for m in measures.ALL))
    parser.add_argument('--contenders', default=','.join(contenders.DEFAULT))
    parser.add_argument('--out', type=Path, help='where the raw numbers go, as JSON')
    parser.add_argument('--build', type=Path, default=ROOT / 'build')
    return parser.parse_args()


def write_numbers(path, results, options):
    path.write_text(json.dumps({
        'about': heading(options),
        'values': [{'measure': measure, 'contender': contender, 'rounds': list(values.values())}
                   for (measure, contender), values in results.values.items()],
        'reasons': [{'measure': measure, 'contender': contender, 'reason': reason}
                    for (measure, contender), reason in results.reasons.items()]}, indent=1) + '\n')


def main():
    options = options_read()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results = Results()
    place = Place()
    try:
        build = options.build.resolve()
        names = options.measures.split(',') if options.measures else [measure.name for measure in measures.ALL]
        chosen_measures = measures.chosen(names)
        chosen_contenders, absent = contenders.chosen(build, options.contenders.split(','))
        about = heading(options)
        run(Bench(place, build, options.seconds), chosen_measures, chosen_contenders, options.rounds, results)
    except Failure as failure:
        print(f'bench: {failure}', file=sys.stderr)
        return 1
    finally:
        place.close()
    print(f'{about}\n\n{report(results, chosen_measures, chosen_contenders, absent)}')
    if options.out is not None:
        write_numbers(options.out, results, options)
    return 0


if __name__ == '__main__':
    sys.exit(main())
