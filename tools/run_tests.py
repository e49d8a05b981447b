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
                self.failed.append((name, '\n'.join(child.text or child.get('message') or '' for child in bad)))
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


def halves():
    """Tests mostly wait, so two runs go on side by side: the proxy alone, and the rest."""
    proxy = sorted(map(str, ROOT.glob('tests/integration/test_proxy_*.py')))
    return [['tests', *(f'--ignore={path}' for path in proxy)], proxy]


def run_pytest(arguments, env, count, scratch, deadline):
    """What the second run says comes behind the first one's."""
    parts = [arguments] if arguments else halves()
    with contextlib.ExitStack() as stack:
        runs = []
        for number, part in enumerate(parts):
            report = scratch / f'pytest-{number}.xml'
            said = stack.enter_context(open(scratch / f'pytest-{number}.log', 'w+', encoding='utf-8')) if number else None
            command = ['/usr/bin/python3', '-m', 'pytest', '--junitxml', report, '--color=no', '-v',
                       '-p', 'no:cacheprovider', *part]
            runs.append((stack.enter_context(subprocess.Popen(command, cwd=ROOT, env=env, stdout=said)), report, said))
        for process, report, said in runs:
            take_run(wait_until(process, deadline), report, said, count)


def take_run(code, report, said, count):
    if said is not None:
        said.seek(0)
        print(said.read(), flush=True)
    if not report.exists():
        count.failed.append(('pytest', f'ended with {code} and without a report'))
        return
    failed = count.add_junit(report)
    if code is None:
        count.failed.append(('pytest', 'did not end in time'))
    elif code != 0 and failed == 0:
        count.failed.append(('pytest', f'ended with {code}'))


def wait_until(process, deadline):
    """The exit code, or None where it had to be interrupted."""
    try:
        return process.wait(None if deadline is None else max(1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        print('run_tests: the time is up', file=sys.stderr, flush=True)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
    return None


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
            print(re.sub('^', '    ', text.strip()[-3000:], flags=re.M))
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
            run_pytest(arguments, env, count, Path(scratch), deadline)
        add_reports(reports, count)
    return finish(count, started, options.quick)


if __name__ == '__main__':
    sys.exit(main())
