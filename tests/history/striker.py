"""Does faults to a tier: those that `weir chaos` knows by it, the others by signals."""
import contextlib
import json
import os
import signal
import time

from history.faults import CACHE, DATABASE, STOPPED_MAX_S
from history.notes import now
from support.inside import is_alive

TRY_S = 60    # for a fault that finds nobody to strike: no primary at the moment, no weir serve
TRY_OTHER_S = 10
RETRY_S = 0.1
PLANES = {DATABASE: 'proxy-pool ', CACHE: 'front-app '}


class Striker:
    """Whoever was stopped goes on by itself, at the latest at heal()."""

    def __init__(self, inside):
        self.inside = inside
        self.tier = inside.tier
        self.count = 0      # of faults that struck
        self.done = []      # lines: when, what, how it went
        self.began, self.began_at = now(), ''
        self.proxy_ends = []  # when the proxy was killed
        self._commands = []  # (fault, node, a process of weir) that go on behind the next faults
        self._stopped = []   # (when it goes on, pid)

    def begin(self):
        """Its times count from now on."""
        self.began, self.began_at = now(), time.strftime('%H:%M:%S')

    def strike(self, fault):
        """Tries again while there is nobody to strike. Whether it struck."""
        deadline = time.monotonic() + (TRY_OTHER_S if fault.role == 'other' else TRY_S)
        while (said := self._try(fault)) is None and time.monotonic() < deadline:
            self.pause(RETRY_S)
        self.done.append(f'{(now() - self.began) / 1e9:8.3f}  {fault}: {said or "found nobody"}')
        self.count += said is not None
        return said is not None

    def pause(self, seconds):
        """Lets who stood still long enough go on meanwhile."""
        deadline = time.monotonic() + seconds
        while True:
            self._continue(time.monotonic())
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, RETRY_S))

    def heal(self):
        """All that goes on is over, and everybody goes on who stands still."""
        while self._stopped:
            self.pause(RETRY_S)
        for fault, node, process in self._commands:
            with process:
                said, error = process.communicate(timeout=STOPPED_MAX_S + 4 * TRY_S)
            self.done.append(f'          {fault}: {(said + error).strip()}')
            if process.returncode != 0 and fault.kind == 'stop-node':
                self._go_on(node)
        self._commands.clear()

    def _continue(self, now):
        for when, pid in [one for one in self._stopped if one[0] <= now]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
            self._stopped.remove((when, pid))

    def _go_on(self, node):
        """The command that should have done it did not find weir serve."""
        deadline = time.monotonic() + TRY_S
        while self._command('chaos', 'continue-node', node) is None and time.monotonic() < deadline:
            time.sleep(RETRY_S)

    # ---- one try, which says what it did, or None ------------------------------------------------

    def _try(self, fault):
        kind = 'kill-engine' if fault.kind == 'kill-child' and fault.resource == CACHE else fault.kind
        if fault.role in ('serve', 'supervise', 'plane'):
            return self._signal(self._process(fault), fault)
        if kind == 'planned':
            return self._start(fault, None, 'failover', fault.resource)
        node = self._node(fault)
        if node is None:
            return None
        if kind == 'stop-node':
            return self._start(fault, node['NodeId'], 'chaos', kind, node['NodeId'], '--for', fault.seconds)
        if kind == 'kill-child':
            return self._signal(self._child(node, fault.choice), fault)
        return self._command('chaos', kind, node['NodeId'])

    def _command(self, *words):
        done = self.tier.command(*words, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def _start(self, fault, node, *words):
        self._commands.append((fault, node, self.tier.start(*words, stdout=-1, stderr=-1)))
        return 'begun'

    def _node(self, fault):
        view = self._command('status', '-o', 'json')
        found = [node for node in json.loads(view)['nodes'] if node['ResourceId'] == fault.resource and
                 (node['Role'] == 'primary') == (fault.role == 'primary')] if view else []
        return found[int(fault.choice * len(found))] if found else None

    def _child(self, node, choice):
        children = [pid for pid in self.inside.engine_processes(node) if pid != self.inside.engine(node)]
        return children[int(choice * len(children))] if children else None

    def _process(self, fault):
        if fault.role == 'plane':
            return self.inside.plane(PLANES[fault.resource])
        return self.inside.serve() if fault.role == 'serve' else next(iter(self.tier.find('weir supervise')), None)

    def _signal(self, pid, fault):
        if pid is None or not is_alive(pid):
            return None
        if fault.kind == 'kill-plane' and fault.resource == DATABASE:
            self.proxy_ends.append(now())
        try:
            os.kill(pid, signal.SIGSTOP if fault.seconds else signal.SIGKILL)
        except ProcessLookupError:
            return None
        if fault.seconds:
            self._stopped.append((time.monotonic() + fault.seconds, pid))
        return f'pid {pid}'
