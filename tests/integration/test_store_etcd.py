"""The store in etcd while its members are killed and stopped under load: no acknowledged change is lost, every
change is told once and in order, and what has an unknown outcome is said to have one, and can be settled."""
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.etcd import Etcd, present
from support.lasting import takes_minutes

BUILD = Path(os.environ.get('WEIR_BUILD', Path(__file__).resolve().parents[2] / 'build'))
pytestmark = pytest.mark.skipif(not present(), reason='no etcd in PATH (package etcd-server)')


class Load:
    """tests/integration/store_load.c for so many seconds."""

    def __init__(self, etcd, seconds):
        self.process = subprocess.Popen(
            [BUILD / 'tests/integration/store_load', '/weir/t/', etcd.ca, etcd.cert, etcd.key, str(seconds),
             *etcd.endpoints], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        assert self.process.stdout.readline() == 'runs\n', self.process.stderr.read()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def result(self):
        out, err = self.process.communicate(timeout=200)
        assert self.process.returncode == 0, err
        result = json.loads(out)
        print(result)
        assert result['acknowledged'] > 10  # some hundreds, where the machine does nothing else
        assert result['told'] >= result['acknowledged']
        return result


@pytest.mark.timeout(300)
def test_a_member_that_is_killed_and_comes_back(tmp_path):
    with Etcd(tmp_path, 1) as etcd, Load(etcd, 20) as load:
        for _ in range(4):
            time.sleep(2)
            etcd.kill(0)
            time.sleep(1)
            etcd.start(0)
            etcd.wait()
        assert load.result()['longest_ms'] < 30000


@pytest.mark.timeout(300)
@takes_minutes
def test_members_of_three_that_stand_still(tmp_path):
    with Etcd(tmp_path, 3) as etcd, Load(etcd, 40) as load:
        for leads in (False, True, False, True):
            time.sleep(2)
            leader = etcd.leader()
            number = leader if leads else (leader + 1) % 3
            etcd.signal(number, signal.SIGSTOP)
            time.sleep(6)
            etcd.signal(number, signal.SIGCONT)
        assert load.result()['longest_ms'] < 30000


@pytest.mark.timeout(300)
@takes_minutes
def test_leaders_that_are_killed(tmp_path):
    with Etcd(tmp_path, 3) as etcd, Load(etcd, 30) as load:
        for _ in range(4):
            time.sleep(2)
            leader = etcd.leader()
            etcd.kill(leader)
            time.sleep(3)
            etcd.start(leader)
        assert load.result()['longest_ms'] < 30000


@pytest.mark.timeout(300)
@takes_minutes
def test_a_majority_that_is_gone_for_a_while(tmp_path):
    """What is refused meanwhile has not taken place, and it goes on by itself."""
    with Etcd(tmp_path, 3) as etcd, Load(etcd, 25) as load:
        time.sleep(2)
        etcd.kill(0)
        etcd.kill(1)
        time.sleep(5)
        etcd.start(0)
        time.sleep(5)
        etcd.signal(0, signal.SIGSTOP)
        etcd.signal(2, signal.SIGSTOP)
        etcd.start(1)
        time.sleep(3)
        etcd.signal(0, signal.SIGCONT)
        etcd.signal(2, signal.SIGCONT)
        load.result()
