"""What all tests in Python share: where things are, and how to run a program."""
import os
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What runs in the background or under nohup ignores these, and so would every program started here.
for ignored in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(ignored) == signal.SIG_IGN:
        signal.signal(ignored, signal.SIG_DFL if ignored == signal.SIGHUP else signal.default_int_handler)


@pytest.fixture(scope='session')
def root():
    """The repository."""
    return ROOT


@pytest.fixture(scope='session')
def weir():
    """The program under test: WEIR_BIN, or build/weir."""
    path = Path(os.environ.get('WEIR_BIN', ROOT / 'build' / 'weir'))
    if not path.exists():
        pytest.fail(f'{path} is not built: run "make" first')
    return path


@pytest.fixture(scope='session')
def run():
    """Runs a command to its end and returns it with its output as text."""
    def run_command(*command, timeout=60, **options):
        return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                              timeout=timeout, check=False, **options)
    return run_command
