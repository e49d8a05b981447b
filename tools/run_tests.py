#!/usr/bin/python3
"""Runs every test and counts.

    tools/run_tests.py [--build DIR] [--quick] [--limit-s N] [PYTEST ARGUMENT…]

Unit tests and fuzz regressions by meson, the rest by pytest (--quick leaves that out). Prints
progress, then each failure, and ends with the line "N passed, N failed, N skipped". The exit code is
0 only if nothing failed and something passed. Whatever is left of a sanitizer's report counts as a
failure as well. Several runs may go on side by side: all files it writes are its own.
"""
import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIDE_BY_SIDE = 3  # runs of pytest
SHARES_A_TIER = re.compile(r'^def test_\w+\([^)]*\b(tier|example_app)\b', re.M)  # of tests/integration/conftest.py
SAID_MAX = 1500  # characters of what a test that failed had printed
GRACE_S = 60  # for pytest to end by itself and to take down what it brought up


class Count:
    def __init__(self):
        self.passed = 0
        self.failed = []   # (name, text)
        self.skipped = []  # (name, reason)

    def add_junit(self, path):
        """Adds the test cases of pytest's JUnit file; returns how many failed."""
        failed_before = len(self.failed)
        for case in ElementTree.parse(path).getroot().iter('testcase'):
            name = f'{case.get("classname")}.{case.get("name")}'.removeprefix('tests.')
            bad = [child for child in case if child.tag in ('failure', 'error')]
            skip = case.find('skipped')
            if bad:
                said = [child.text or '' for child in case if child.tag in ('system-out', 'system-err')]
                text = '\n'.join(child.text or child.get('message') or '' for child in bad)
                self.failed.append((name, '\n'.join([text, *(words[-SAID_MAX:] for words in said)])))
            elif skip is not None:
                self.skipped.append((name, skip.get('message') or ''))
            else:
                self.passed += 1
        return len(self.failed) - failed_before

    def add_program(self, name, result, output):
        """Adds a program of meson's: its cases where it speaks TAP, otherwise itself as one."""
        plan = re.search(r'^1\.\.(\d+)$', output, re.M)
        failed = skipped = 0
        cases = re.findall(r'^(not )?ok \d+(?: - (\S+))?.*$', output, re.M) if plan else []
        skips = set(re.findall(r'^# SKIP (\S+)$', output, re.M))
        for bad, case in cases:
            if bad:
                failed += 1
                self.failed.append((f'{name}.{case}', ''))
            elif case in skips:
                skipped += 1
                self.skipped.append((f'{name}.{case}', 'not possible for this account or on this machine'))
        self.passed += len(cases) - failed - skipped
        ended_well = result in ('OK', 'SKIP')
        if not failed and not (ended_well and len(cases) == (int(plan.group(1)) if plan else 0)):
            self.failed.append((name, f'{output[-2000:]}\nended with {result}'))
        elif not plan and result == 'SKIP':
            self.skipped.append((name, ''))
        elif not plan:
            self.passed += 1

    def line(self):
        return f'{self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped'


def environment(build, scratch):
    """What the tests run with. Sanitizers report into files: engines and daemons have no terminal."""
    reports = scratch / 'reports'
    reports.mkdir()
    reports.chmod(0o1777)
    env = dict(os.environ, PYTHONDONTWRITEBYTECODE='1', WEIR_BUILD=str(build),
               WEIR_BIN=str(build / 'weir'))
    common = f'log_path={reports}/report:print_stacktrace=1'
    env['ASAN_OPTIONS'] = f'{common}:detect_stack_use_after_return=1'
    env['UBSAN_OPTIONS'] = f'{common}:halt_on_error=1'
    env['TSAN_OPTIONS'] = common
    return env, reports


def run_unit(build, env, count, quiet):
    """The programs that meson knows."""
    base = f'testlog-{os.getpid()}'
    logs = build / 'meson-logs'
    done = subprocess.run(
        ['meson', 'test', '-C', build, '--no-rebuild', '--logbase', base],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    try:
        programs = [json.loads(line) for line in (logs / f'{base}.json').read_text().splitlines()]
    except (OSError, ValueError) as error:
        count.failed.append(('unit', f'{error}\n{done.stdout}'))
        return
    finally:
        for path in logs.glob(f'{base}.*'):
            path.unlink()
    for program in programs:
        name = program['name'].split(' / ')[-1]
        output = program.get('stdout') or ''
        failed_before = len(count.failed)
        count.add_program(name, program['result'], output)
        if len(count.failed) > failed_before:
            print(f'unit: {name}: {program["result"]}\n{output}{program.get("stderr") or ""}', flush=True)
    if done.returncode != 0 and not count.failed:
        count.failed.append(('unit', f'meson test ended with {done.returncode}\n{done.stdout}'))
    if not quiet:
        print(f'unit: {len(programs)} programs, {count.line()}', flush=True)


def parts():
    """What pytest is run for, each time in a process of its own: files that bring up what they need, the long ones
    first, behind all others, of which some share a tier."""
    files = sorted(ROOT.glob('tests/integration/test_*.py'), key=lambda path: -path.stat().st_size)
    alone = [str(path) for path in files if not SHARES_A_TIER.search(path.read_text('utf-8'))]
    return [['tests', *(f'--ignore={path}' for path in alone)], *([path] for path in alone)]


class Run:
    """One process of pytest. What it says is printed at its end, unless it is the only one."""

    def __init__(self, arguments, env, stem, is_only):
        self.name = arguments[0]
        self.report = stem.with_suffix('.xml')
        self.log = None if is_only else stem.with_suffix('.log')
        command = ['/usr/bin/python3', '-m', 'pytest', '--junitxml', self.report, '-o', 'junit_logging=all',
                   '--color=no', '-v', '-p', 'no:cacheprovider', *arguments]
        with contextlib.ExitStack() as stack:
            said = self.log and stack.enter_context(open(self.log, 'w', encoding='utf-8'))
            self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=said)

    def has_ended(self):
        return self.process.poll() is not None

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def add_to(self, count, in_time):
        code = self.process.returncode
        if self.log:
            print(self.log.read_text('utf-8', 'replace'), flush=True)
        failed = count.add_junit(self.report) if self.report.exists() else 0
        if not in_time:
            count.failed.append((f'pytest {self.name}', 'did not end in time'))
        elif not self.report.exists():
            count.failed.append((f'pytest {self.name}', f'ended with {code} and without a report'))
        elif code != 0 and failed == 0:
            count.failed.append((f'pytest {self.name}', f'ended with {code}'))


def run_pytest(todo, env, count, scratch, deadline):
    """Tests mostly wait, so several go on side by side."""
    is_only = len(todo) == 1
    waiting = [(arguments, scratch / f'pytest-{number}') for number, arguments in enumerate(todo)]
    running = []
    while waiting or running:
        while waiting and len(running) < SIDE_BY_SIDE:
            running.append(Run(waiting[0][0], env, waiting.pop(0)[1], is_only))
        in_time = deadline is None or time.monotonic() < deadline
        if not in_time:
            print('run_tests: the time is up', file=sys.stderr, flush=True)
            count.failed += [(f'pytest {arguments[0]}', 'there was no time left for it') for arguments, _ in waiting]
            waiting = []
            for run in running:
                run.interrupt()
        for run in [run for run in running if run.has_ended()]:
            running.remove(run)
            run.add_to(count, in_time)
        time.sleep(0.1)


def add_reports(reports, count):
    for path in sorted(reports.iterdir()):
        text = path.read_text('utf-8', 'replace')
        if text.strip():
            count.failed.append((f'sanitizer.{path.name}', text[:6000]))


def finish(count, started, terse):
    for name, reason in count.skipped:
        print(f'SKIPPED {name}: {reason}')
    for name, text in count.failed:
        print(f'FAILED {name}')
        if not terse:
            print(re.sub('^', '    ', text.strip()[-6000:], flags=re.M))
    print(f'({time.monotonic() - started:.0f} s)')
    if not count.passed and not count.failed:
        print('no test ran')
    print(count.line(), flush=True)
    return 0 if count.passed and not count.failed else 1


def main():
    parser = argparse.ArgumentParser(description='runs every test and counts')
    parser.add_argument('--build', default='build')
    parser.add_argument('--quick', action='store_true', help='only the unit tests')
    parser.add_argument('--limit-s', type=int, help='interrupt what runs longer')
    options, arguments = parser.parse_known_args()
    started = time.monotonic()
    deadline = started + options.limit_s if options.limit_s else None
    build = (ROOT / options.build).resolve()
    count = Count()
    with tempfile.TemporaryDirectory(prefix='weir-tests-') as scratch:
        os.chmod(scratch, 0o711)
        env, reports = environment(build, Path(scratch))
        run_unit(build, env, count, options.quick)
        if not options.quick:
            run_pytest([arguments] if arguments else parts(), env, count, Path(scratch), deadline)
        add_reports(reports, count)
    return finish(count, started, options.quick)


if __name__ == '__main__':
    sys.exit(main())
