"""The agent's side of a data-plane process (docs/state.md), without an agent."""
import json
import socket
import subprocess
import threading
import time


class Refused(AssertionError):
    """The process refused a configuration."""


class PlaneAgent:
    """Listens on RUN/agent.sock and tells one process its configuration."""

    def __init__(self, run):
        self.run = run
        self.config = None
        self.epoch = 0
        self.hellos = []
        self.answers = []   # applied and refused, as they came
        self.statuses = []
        self.events = []
        self.peer = None
        self.changed = threading.Condition()
        self.listener = None
        self.open()

    def open(self):
        path = self.run / 'agent.sock'
        path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        path.chmod(0o666)
        self.listener.listen()
        threading.Thread(target=self._serve, args=(self.listener,), daemon=True).start()

    def close(self):
        """Goes away, as an agent that is restarted."""
        with self.changed:
            listener, self.listener = self.listener, None
            peer, self.peer = self.peer, None
        for end in (listener, peer):
            if end is not None:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                end.close()

    def _serve(self, listener):
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with self.changed:
                self.peer = peer
                if self.config is not None:
                    self._send({'config': self.config, 'epoch': self.epoch})
            threading.Thread(target=self._hear, args=(peer,), daemon=True).start()

    def _hear(self, peer):
        with peer.makefile('r') as lines:
            try:
                for line in lines:
                    self._take(json.loads(line))
            except OSError:
                pass

    def _take(self, message):
        with self.changed:
            if 'hello' in message:
                self.hellos.append(message['hello'])
            elif 'status' in message:
                self.statuses.append(message['status'])
            elif 'event' in message:
                self.events.append(message['event']['message'])
            else:
                self.answers.append(message)
            self.changed.notify_all()

    def _send(self, message):
        self.peer.sendall(json.dumps(message).encode() + b'\n')

    def configure(self, config, timeout_s=20):
        """Sends it and waits until it is in force."""
        with self.changed:
            self.config = config
            self.epoch += 1
            if self.peer is not None:
                self._send({'config': config, 'epoch': self.epoch})
            epoch = self.epoch
        answer = self.wait(lambda: next((a for a in self.answers
                                         if epoch in (a.get('applied'), a.get('refused'))), None), timeout_s)
        if 'refused' in answer:
            raise Refused(answer['error'])

    def stop(self):
        with self.changed:
            if self.peer is not None:
                self._send({'stop': True})

    def wait(self, condition, timeout_s=20):
        deadline = time.monotonic() + timeout_s
        with self.changed:
            while True:
                value = condition()
                if value:
                    return value
                left = deadline - time.monotonic()
                if left <= 0 or not self.changed.wait(left):
                    raise TimeoutError('the process does not say what was waited for')


class PlaneProcess:
    """`weir KIND --id ID --run RUN` and the agent that it talks to."""

    def __init__(self, weir, kind, run, plane_id='plane-1', **options):
        run.mkdir(exist_ok=True)
        self.agent = PlaneAgent(run)
        self.command = [weir, kind, '--id', plane_id, '--run', run]
        self.options = options
        self.former = []  # processes whose place another one took
        self.process = self._start()

    def _start(self):
        return subprocess.Popen(self.command, stdin=subprocess.DEVNULL, **self.options)

    def upgrade(self):
        """Another process takes the place of the one that serves; returns that one."""
        before = len(self.agent.answers)
        self.former.append(self.process)
        self.process = self._start()
        answer = self.agent.wait(lambda: self.agent.answers[before:])[0]
        assert 'applied' in answer, answer
        return self.former[-1]

    def close(self, timeout_s=20):
        """Stops it and returns its exit code."""
        if self.process.poll() is None:
            self.agent.stop()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for process in self.former:
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.agent.close()
        return self.process.returncode
