"""A disk that is full: what `weir up` says of it, and that the tier goes on once there is room."""
import os
import re
import subprocess

import pytest

from support.account import needs_root
from support.blocks import db_instance
from support.tier import Tier, ending
from support.watch import wait_until

pytestmark = needs_root  # it takes a disk of a size of our own
REMARK = re.compile(r'aws_db_instance\.main: node .*?No\s+space\s+left\s+on\s+device', re.S)


class Disk:
    """A disk in memory at the tier's data folder, which ends with the processes that see it."""

    def __init__(self, tier):
        self.tier = tier
        tier.data.mkdir(mode=0o711)
        self.holder = subprocess.Popen(['unshare', '--mount', 'sh', '-c',
                                        'mount -t tmpfs -o mode=711 weir-test "$DISK" && echo && read end'],
                                       env={**os.environ, 'DISK': str(tier.data)},
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.holder.stdout.readline()
        tier.prefix = ['nsenter', f'--mount=/proc/{self.holder.pid}/ns/mnt']

    def resize(self, size):
        subprocess.run([*self.tier.prefix, 'mount', '-o', f'remount,size={size}', self.tier.data], check=True)

    def close(self):
        self.holder.stdin.close()
        self.holder.wait(10)
        self.holder.stdout.close()


@pytest.fixture
def disk(weir):
    tier = Tier(weir)
    disk = Disk(tier)
    try:
        with ending(tier):
            yield disk
    finally:
        disk.close()


def test_a_tier_that_cannot_be_made(disk):
    disk.resize('16k')
    done = disk.tier.command('up', '--detach', check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f'weir: cannot set up {disk.tier.data}/weir.sqlite: the disk is full'
    assert not disk.tier.processes()
    disk.resize('64m')
    disk.tier.up()
    assert disk.tier.json('status')['instances'] == []


def test_a_standby_that_does_not_fit(disk, tmp_path):
    """It is said of the instance, and `weir up` goes on by itself."""
    (tmp_path / 'main.tf').write_text(db_instance(multi_az=True))
    disk.resize('90m')
    with open(tmp_path / 'said', 'w+', encoding='utf-8') as said, disk.tier.start(
            'up', tmp_path / 'main.tf', '--detach', stdout=subprocess.DEVNULL, stderr=said) as up:
        wait_until(lambda: REMARK.search((tmp_path / 'said').read_text('utf-8')), 'the full disk is told of')
        wait_until(lambda: 'No space left on device' in ' '.join(disk.tier.command('status').stdout.split()),
                   'so does the status')  # a clone has other words for it at times
        assert up.poll() is None
        disk.resize('1g')
        assert up.wait(disk.tier.timeout_s) == 0
    assert [it['DBInstanceStatus'] for it in disk.tier.json('status')['instances']] == ['available']
