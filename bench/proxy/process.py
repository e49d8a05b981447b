"""Processes of a bench run: started in a folder and at an address of its own, ended whatever happens, and looked at in /proc."""
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

TICKS_PER_S = os.sysconf('SC_CLK_TCK')
PATIENCE_S = 30
ACCOUNT = 'postgres'  # of those that refuse to run as root


class Failure(Exception):
    """Why something could not be measured; the text goes into the report."""


# ---- /proc --------------------------------------------------------------------------------------

def stat_fields(pid):
    """The fields of /proc/PID/stat from the state on."""
    text = Path(f'/proc/{pid}/stat').read_text()
    return text[text.rindex(')') + 2:].split()


def tree_of(pid):
    """The process and all that it started."""
    children = {}
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            try:
                children.setdefault(int(stat_fields(entry)[1]), []).append(int(entry))
            except (OSError, ValueError):
                continue
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def process_cpu_s(pid):
    """CPU of the threads of one process to the nanosecond, and of its reaped children to the tick."""
    fields = stat_fields(pid)
    reaped = (int(fields[13]) + int(fields[14])) / TICKS_PER_S
    try:
        tasks = os.listdir(f'/proc/{pid}/task')
        running = sum(int(Path(f'/proc/{pid}/task/{task}/schedstat').read_text().split()[0]) for task in tasks) / 1e9
    except OSError:  # a kernel without schedstat
        running = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    return running + reaped


def process_anon_kib(pid):
    for line in Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines():
        if line.startswith('Pss_Anon:'):
            return int(line.split()[1])
    raise Failure('this kernel does not say what memory is anonymous')


def sum_over_tree(pid, look):
    total = 0
    for member in tree_of(pid):
        try:
            total += look(member)
        except (OSError, ValueError):  # it has just ended
            continue
    return total


def as_account(account):
    """setpriv's options to become the account, if we are root."""
    return ['--reuid', account, '--regid', account, '--init-groups'] if account and os.geteuid() == 0 else []


# ---- starting and ending ------------------------------------------------------------------------

class Process:
    """A server in the foreground, with its log beside its files."""

    def __init__(self, command, folder, account=None, end=signal.SIGTERM):
        self.log = folder / 'log'
        self.end = end
        # What we start ends with us, also where we are killed.
        prefix = ['setpriv', '--pdeathsig', end.name.removeprefix('SIG'), *as_account(account)]
        with open(self.log, 'wb') as log:
            self.popen = subprocess.Popen([*prefix, '--', *map(str, command)], stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, cwd=folder, start_new_session=True)

    @property
    def pid(self):
        return self.popen.pid

    def await_port(self, address, port):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if self.popen.poll() is not None:
                break
            try:
                socket.create_connection((address, port), 1).close()
                return self
            except OSError:
                time.sleep(0.02)
        raise Failure(f'does not start: {self.last_words()}')

    def last_words(self):
        lines = self.log.read_text('utf-8', 'replace').strip().splitlines()
        return lines[-1][:200] if lines else 'it says nothing'

    def cpu_s(self):
        return sum_over_tree(self.pid, process_cpu_s)

    def anon_kib(self):
        return sum_over_tree(self.pid, process_anon_kib)

    def stop(self):
        family = tree_of(self.pid) if self.popen.poll() is None else []
        if family:
            self.popen.send_signal(self.end)
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        for pid in family[1:]:  # what outlives its parent
            try:
                if os.getsid(pid) == self.pid:
                    os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


class Place:
    """The folder, the address and the processes of one run."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix='weir-bench-'))
        self.folder.chmod(0o711)
        self.address = '127.{}.{}.{}'.format(random.randrange(160, 200), random.randrange(256),
                                             random.randrange(1, 255))
        self.ports = iter(range(7000, 8000))
        self.processes = []

    def room(self, name, account=None):
        """A folder in the folder; the account's, where we may give it away."""
        path = self.folder / name
        path.mkdir()
        if account is not None and os.geteuid() == 0:
            user = pwd.getpwnam(account)
            os.chown(path, user.pw_uid, user.pw_gid)
        return path

    def start(self, command, folder, port, **options):
        process = Process(command, folder, **options)
        self.processes.append(process)
        return process.await_port(self.address, port)

    def stop(self, process):
        process.stop()
        self.processes.remove(process)

    def close(self):
        for process in reversed(self.processes):
            process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def write(path, text, account=None, mode=0o644):
    path.write_text(text)
    path.chmod(mode)
    if account is not None and os.geteuid() == 0:
        user = pwd.getpwnam(account)
        os.chown(path, user.pw_uid, user.pw_gid)
    return path
