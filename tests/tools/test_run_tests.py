"""tools/run_tests.py: what it counts, and when it fails."""
import importlib.util
import os
import subprocess
import time

import pytest

PYTEST = '''<testsuites><testsuite name="pytest" errors="1" failures="0" skipped="0" tests="2">
<testcase classname="tests.integration.test_up" name="test_x"/>
<testcase classname="tests.integration.test_up" name="test_y"><error message="setup">trace</error>
<system-out>what it printed</system-out></testcase>
<testcase classname="tests.integration.test_up" name="test_z"><skipped message="not here">more</skipped></testcase>
</testsuite></testsuites>'''


@pytest.fixture(scope='module')
def runner(root):
    spec = importlib.util.spec_from_file_location('run_tests', root / 'tools/run_tests.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_counts_pytest(runner, tmp_path):
    count = runner.Count()
    (tmp_path / 'pytest.xml').write_text(PYTEST)
    assert count.add_junit(tmp_path / 'pytest.xml') == 1
    assert count.line() == '1 passed, 1 failed, 1 skipped'
    assert count.failed == [('integration.test_up.test_y', 'trace\nwhat it printed')]
    assert count.skipped == [('integration.test_up.test_z', 'not here')]


@pytest.mark.parametrize('result, output, line', [
    ('OK', '1..2\nok 1 - a\nok 2 - b\n# ok - all\n', '2 passed, 0 failed, 0 skipped'),
    ('OK', '1..2\n# SKIP a\nok 1 - a\nok 2 - b\n', '1 passed, 0 failed, 1 skipped'),
    ('ERROR', '1..2\nnot ok 1 - a\n# why\nok 2 - b\n# not ok - all\n', '1 passed, 1 failed, 0 skipped'),
    ('ERROR', '1..2\nok 1 - a\n', '1 passed, 1 failed, 0 skipped'),
    ('OK', '1..2\nok 1 - a\n', '1 passed, 1 failed, 0 skipped'),
    ('TIMEOUT', '1..1\nok 1 - a\n', '1 passed, 1 failed, 0 skipped'),
    ('OK', '12 inputs\n', '1 passed, 0 failed, 0 skipped'),
    ('FAIL', '', '0 passed, 1 failed, 0 skipped'),
    ('SKIP', '', '0 passed, 0 failed, 1 skipped'),
])
def test_counts_a_program(runner, result, output, line):
    count = runner.Count()
    count.add_program('base.mem', result, output)
    assert count.line() == line


def test_sanitizer_report_fails(runner, tmp_path):
    count = runner.Count()
    (tmp_path / 'report.1').write_text('ERROR: AddressSanitizer')
    (tmp_path / 'report.2').write_text('')
    runner.add_reports(tmp_path, count)
    assert [name for name, _ in count.failed] == ['sanitizer.report.1']


@pytest.mark.parametrize('passed, failed, code', [(1, 0, 0), (1, 1, 1), (0, 1, 1), (0, 0, 1)])
def test_exit_code(runner, capsys, passed, failed, code):
    count = runner.Count()
    count.passed = passed
    count.failed = [('a.test', 'text')] * failed
    assert runner.finish(count, 0.0, terse=False) == code
    assert capsys.readouterr().out.splitlines()[-1] == f'{passed} passed, {failed} failed, 0 skipped'


MESON_BUILD = '''project('weir', 'c')
test('good', find_program('sh'), args: ['-c', 'echo "1..1"; echo "ok 1 - fine"'], protocol: 'tap')
test('crash', find_program('sh'), args: ['-c', 'echo "1..2"; echo "ok 1 - fine"; kill -9 $$'], protocol: 'tap')
test('plain', find_program('false'))
'''


def test_programs_that_end_badly(runner, tmp_path):
    """A program that dies without naming a failed case is a failure all the same."""
    (tmp_path / 'meson.build').write_text(MESON_BUILD)
    subprocess.run(['meson', 'setup', 'build'], cwd=tmp_path, check=True, capture_output=True)
    count = runner.Count()
    runner.run_unit(tmp_path / 'build', dict(os.environ), count, quiet=True)
    assert count.passed == 2
    assert any('crash' in name for name, _ in count.failed)
    assert any('plain' in name for name, _ in count.failed)
    assert not list((tmp_path / 'build/meson-logs').glob('testlog-*'))


def run_all(runner, tmp_path, texts, deadline=None):
    """Of files of tests in processes of their own."""
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f'test_{number}.py')
        files[-1].write_text(text)
    count = runner.Count()
    runner.run_pytest([[str(path)] for path in files], dict(os.environ), count, tmp_path, deadline)
    return count


def test_files_run_side_by_side(runner, tmp_path, capsys):
    """Two wait for each other; what each one said stands together."""
    meet = """
import time
def test_meet():
    open({mine!r}, 'w').close()
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            return open({other!r}).close()
        except OSError:
            time.sleep(0.05)
    assert False
"""
    here, there = str(tmp_path / 'here'), str(tmp_path / 'there')
    count = run_all(runner, tmp_path, [meet.format(mine=here, other=there), meet.format(mine=there, other=here),
                                       'def test_bad():\n    print("words of its own")\n    assert False, "so it is"', 'import nothing_of_the_kind'])
    assert count.passed == 2
    assert len(count.failed) == 2
    assert any('words of its own' in text for _, text in count.failed)
    assert 'so it is' in capsys.readouterr().out


def test_what_takes_too_long_is_interrupted(runner, tmp_path):
    sleeps = 'import time\ndef test_sleeps():\n    time.sleep(60)'
    count = run_all(runner, tmp_path, [sleeps] * (runner.SIDE_BY_SIDE + 1), deadline=time.monotonic() + 1)
    reasons = [reason for name, reason in count.failed if name.startswith('pytest ')]
    assert sorted(reasons) == ['did not end in time'] * runner.SIDE_BY_SIDE + ['there was no time left for it']


def test_every_file_has_its_turn(runner, root):
    """Those that are run alone, and not once more with the others."""
    together, *alone = runner.parts()
    assert together[0] == 'tests'
    assert sorted(word.removeprefix('--ignore=') for word in together[1:]) == sorted(path for path, in alone)
    files = {str(path) for path in root.glob('tests/integration/test_*.py')}
    assert {path for path, in alone} < files
    assert str(root / 'tests/integration/test_example.py') not in {path for path, in alone}
