"""Weir as an ordinary user has it: commands that run as an account without rights."""
import contextlib
import os
import shutil
import signal
import subprocess
import time

import pytest

from support.tier import processes
from support.watch import wait_until

UID = 64123  # nobody's account
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason='takes root')


class Account:
    """An ordinary user's tier: commands run as that user, in a network of its own where `port_start` says from which
    port on it may listen."""

    def __init__(self, weir, folder, uid=UID, port_start=None):
        self.folder = folder
        self.uid = uid
        self.data = folder / 'data'
        (folder / 'run').mkdir()
        shutil.copy(weir, folder / 'weir')
        os.chown(folder, uid, uid)
        os.chown(folder / 'run', uid, uid)
        self.prefix = ['setpriv', f'--reuid={uid}', f'--regid={uid}', '--clear-groups', '--']
        self.holder = None
        if port_start is not None:
            self.holder = subprocess.Popen(
                ['unshare', '--net', 'sh', '-c', 'ip link set lo up && '
                 f'echo {port_start} >/proc/sys/net/ipv4/ip_unprivileged_port_start && echo && read end'],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.holder.stdout.readline()
            self.prefix = ['nsenter', f'--net=/proc/{self.holder.pid}/ns/net', *self.prefix]

    def __call__(self, *words, env=None, timeout_s=60, prefix=None):
        return subprocess.run([*(prefix or self.prefix), *map(str, words)], cwd=self.folder, capture_output=True,
                              env={'PATH': os.environ['PATH'], 'HOME': str(self.folder), 'NO_COLOR': '1',
                                   'XDG_RUNTIME_DIR': str(self.folder / 'run'), **(env or {})},
                              text=True, stdin=subprocess.DEVNULL, timeout=timeout_s, check=False)

    def weir(self, command, *words, **more):
        return self(self.folder / 'weir', command, '--data', self.data, *words, **more)

    def processes(self):
        """The pids of what runs of it."""
        return [pid for pid, _, command, cwd in processes()
                if str(self.folder) in command or cwd.startswith(str(self.folder))]

    def close(self):
        """For the end, whatever happened."""
        while left := self.processes():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        if self.holder is not None:
            self.holder.stdin.close()
            self.holder.wait(10)
            self.holder.stdout.close()


@contextlib.contextmanager
def account_tier(weir, folder, *files, **options):
    """An account with its tier up, destroyed at the end: nothing of it may be left."""
    folder.chmod(0o755)
    account = Account(weir, folder, **options)
    try:
        up = account.weir('up', '--detach', *files, timeout_s=240)
        assert up.returncode == 0, up.stderr
        yield account
        down = account.weir('down', '--destroy', '--yes', timeout_s=240)
        assert down.returncode == 0, down.stderr
        assert not account.data.exists(), sorted(account.data.iterdir())
        assert not list((folder / 'run').glob('*/*'))
        wait_until(lambda: not account.processes(), 'nothing runs any more')
    finally:
        account.close()
