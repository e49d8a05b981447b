"""Ctrl-C in front of `weir up`, at whatever moment it comes: the tier is stopped, nothing of it runs, and the next
`weir up` with the same files goes on. In front of `weir apply`: what was not begun is not begun."""
import contextlib
import os
import re
import signal
import subprocess
import time

import pytest

from support.blocks import cache, db_instance
from support.watch import wait_until

FILE = db_instance(db_name='shop', multi_az=True) + '\n' + cache(nodes=2)
STOPPED = 'The tier is stopped; `'


@pytest.fixture
def file(tmp_path):
    (tmp_path / 'main.tf').write_text(FILE)
    return tmp_path / 'main.tf'


class Front:
    """A `weir up`, or another command, with a process group of its own, as a shell makes one for what it puts in front."""

    def __init__(self, tier, *words, command='up', **options):
        self.tier = tier
        self.text = ''
        self.process = subprocess.Popen(
            [tier.weir, command, '--data', tier.data, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, process_group=0, cwd=tier.folder,
            **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def wait_for(self, words):
        """Until it has printed them; None: until the supervisor is there, which is before it prints anything."""
        if words is None:
            wait_until(lambda: self.tier.find('weir supervise'), 'the supervisor')
        while words is not None and not re.search(words, self.text):
            line = self.process.stdout.readline()
            self.text += line
            assert line and 'The tier is up.' not in self.text or re.search(words, self.text), self.text

    def interrupt(self, signo=signal.SIGINT):
        os.killpg(self.process.pid, signo)

    def end(self):
        self.text += self.process.communicate(timeout=100)[0]
        return self.process.returncode


def nothing_runs(tier):
    tier.learn_run_folders()
    tier.assert_stopped()


def is_whole(tier, file):
    """The rest was made by the next `weir up`."""
    tier.up(file)
    view = tier.json('status')
    assert [item['DBInstanceStatus'] for item in view['instances']] == ['available']
    assert [item['Status'] for item in view['caches']] == ['available']
    assert tier.command('plan', file, '--detailed-exitcode', check=False).returncode == 0
    tier.destroy()


def test_at_any_moment(bare_tier, file):
    """One after the other on the same tier, each a little further than the one before. A second Ctrl-C changes
    nothing."""
    for words, statuses in [(None, {1}), ('to create', {1}), ('creating', {1}), ('available after', {0, 1}),
                            ('Applied in|No changes', {0, 1}), ('NAME', {0}), (r'The tier is up\.', {0})]:
        with Front(bare_tier, file) as front:
            front.wait_for(words)
            front.interrupt()
            front.interrupt()
            status = front.end()
            assert status in statuses, f'{words}\n{front.text}'
            assert front.text.count(STOPPED) == 1, front.text
            assert front.text.splitlines()[-1].startswith(STOPPED)
            assert status == 0 or 'with the same files' in front.text
            assert 'what was asked for goes on' not in front.text
        nothing_runs(bare_tier)
    is_whole(bare_tier, file)


@pytest.mark.parametrize('signo', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_detached(bare_tier, file, signo):
    with Front(bare_tier, '--detach', file) as front:
        front.wait_for('creating')
        front.interrupt(signo)
        assert front.end() == 1
        assert STOPPED in front.text
    nothing_runs(bare_tier)
    if signo == signal.SIGINT:
        is_whole(bare_tier, file)


def test_nobody_reads_what_it_prints(bare_tier, file):
    """`weir up | tee`: Ctrl-C ends both, and up still has a tier to stop."""
    with Front(bare_tier, file) as front:
        front.wait_for('creating')
        front.process.stdout.close()
        front.interrupt()
        assert front.process.wait(100) == 1
    nothing_runs(bare_tier)


def test_who_looks_after_a_tier(bare_tier):
    """A second `weir up` says so, since it does not stay in front."""
    with Front(bare_tier) as front:
        front.wait_for(r'The tier is up\.')
        said = bare_tier.command('up').stderr
        assert said.startswith(f'The tier in {bare_tier.data} is up already; another `weir up` looks after it.\n')
        front.interrupt()
        assert front.end() == 0
    bare_tier.up()
    said = bare_tier.command('up').stderr
    assert said.startswith(f'The tier in {bare_tier.data} is up already, detached; '
                           f'`{bare_tier.weir} down --data {bare_tier.data}` stops it.\n')
    bare_tier.destroy()


def test_a_tier_that_was_up_stays_up(bare_tier, file):
    bare_tier.up()
    with Front(bare_tier, file) as front:
        front.wait_for('creating')
        front.interrupt()
        assert front.end() == 1
        assert 'the tier stays up' in front.text and STOPPED not in front.text
    assert bare_tier.command('status').returncode == 0
    is_whole(bare_tier, file)


def test_a_signal_that_is_ignored(bare_tier):
    """nohup's."""
    with Front(bare_tier, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as front:
        front.wait_for(r'The tier is up\.')
        front.interrupt(signal.SIGHUP)
        time.sleep(1.5)  # longer than it looks away
        assert front.process.poll() is None
        front.interrupt(signal.SIGTERM)
        assert front.end() == 0
    nothing_runs(bare_tier)


def test_apply(bare_tier, file):
    """Until somebody looks, what is asked for may have been all."""
    bare_tier.up()
    with Front(bare_tier, file, command='apply') as front:
        front.wait_for('creating')
        front.interrupt()
        assert front.end() == 1, front.text
        told = front.text.splitlines()[-1]
        assert told.startswith('Interrupted; ') and 'apply --data' in told, front.text
    is_whole(bare_tier, file)
