"""What a cluster of the bench is: a primary and who takes its place, made on this machine, and hurt."""
import os
import signal
import time
from pathlib import Path

from process import Failure, stat_fields, tree_of

FAULTS = ('kill-postmaster', 'kill-node', 'stop-node', 'planned')


def is_alive(pid):
    try:
        return stat_fields(pid)[0] not in 'ZX'
    except (OSError, ValueError):
        return False


def postmaster_of(data):
    """0: none runs."""
    try:
        pid = int((Path(data) / 'postmaster.pid').read_text().split('\n')[0])
    except (OSError, ValueError):
        return 0
    return pid if is_alive(pid) else 0


def send(pids, signo):
    for pid in pids:
        try:
            os.kill(pid, signo)
        except ProcessLookupError:
            continue


def wait_for(what, look, patience_s=180):
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    raise Failure(f'{what} does not come about within {patience_s} s')


class Cluster:
    """One system with its nodes. `name` names its column."""
    name = ''

    def missing(self):
        """Why it cannot take part; None: it can."""
        raise NotImplementedError

    def start(self, place):
        raise NotImplementedError

    def conninfos(self):
        """Where clients connect to, one after the other."""
        raise NotImplementedError

    def fault(self, fault):
        """Does it to the leader, and returns at once."""
        raise NotImplementedError

    def heal(self):
        """Takes back what can be taken back, and returns when all nodes are there again."""
        raise NotImplementedError

    def stop(self):
        raise NotImplementedError


class Tended(Cluster):
    """Nodes of which each has a tender, a process of ours, that starts a postmaster. A subclass says who leads, starts
    a tender, and plans a change."""

    def __init__(self):
        self.place = None
        self.hurt = None  # (fault, node)

    def leader(self):
        raise NotImplementedError

    def tender_start(self, node):
        raise NotImplementedError

    def tender(self, node):
        """Its Process."""
        raise NotImplementedError

    def data(self, node):
        raise NotImplementedError

    def is_whole(self):
        raise NotImplementedError

    def plan(self, node):
        """A planned change away from the node."""
        raise NotImplementedError

    def pids(self, node):
        roots = [self.tender(node).pid, postmaster_of(self.data(node))]
        return sorted({pid for root in roots if root and is_alive(root) for pid in tree_of(root)})

    def fault(self, fault):
        node = wait_for('a leader', lambda: self.leader() or False)
        self.hurt = (fault, node)
        if fault == 'kill-postmaster':
            send([postmaster_of(self.data(node))], signal.SIGKILL)
        elif fault == 'kill-node':
            pids = self.pids(node)
            send(pids, signal.SIGSTOP)
            send(pids, signal.SIGKILL)
        elif fault == 'stop-node':
            send(self.pids(node), signal.SIGSTOP)
        else:
            self.plan(node)

    def heal(self):
        fault, node = self.hurt
        if fault == 'stop-node':  # as a machine that is reset: it does not wake up with what it believed
            pids = self.pids(node)
            send(pids, signal.SIGKILL)
            send(pids, signal.SIGCONT)
            wait_for('the end of the stopped node', lambda: not any(map(is_alive, pids)), 20)
        tender = self.tender(node)
        if tender.popen.poll() is not None:
            self.tender_start(node)
        wait_for('the cluster as a whole', self.is_whole)
