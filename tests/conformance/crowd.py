"""A crowd of clients that lie idle, and a look at what the proxy's process holds meanwhile."""
import os
import resource
import select
import statistics
import threading
import time

import pytest

from conformance.both import wire

FILES_BESIDE = 600  # of the tests, and of the proxy, beside a file for each client
STIR_S = 0.01      # between two of the crowd that ask something


def want_files(count):
    """Raises the limit of open files, which the proxy inherits; a test skips by name where that is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = count + FILES_BESIDE
    if soft < want:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (want, max(hard, want)))
        except (OSError, ValueError):
            pytest.skip(f'needs {want} open files: raise "ulimit -n", which ends at {hard} here')


def said(end):
    try:
        return end.recv(1000)
    except OSError as error:
        return error


class Crowd:
    """They have logged in and say nothing, but for one after the other that asks for its own number."""

    def __init__(self, address, size):
        self.wires = []
        try:
            for number in range(size):
                self.wires.append(wire(address))
                assert self.wires[-1].status == 'I', number
        except BaseException:
            self.close()
            raise

    def ask(self, number):
        assert self.wires[number].rows(f'SELECT {number}') == [(str(number),)], f'number {number} of the crowd'
        del self.wires[number].heard[:]

    def addressed(self):
        """Those whom the proxy has said something unasked, or closed; and what it said."""
        poll = select.poll()
        of = {one.end.fileno(): number for number, one in enumerate(self.wires)}
        for file in of:
            poll.register(file, select.POLLIN)
        return [(of[file], what, said(self.wires[of[file]].end)) for file, what in poll.poll(0)]

    def ask_all(self):
        for number in range(len(self.wires)):
            self.ask(number)

    def stir(self, over):
        """Until `over` is set."""
        number = 0
        while self.wires and not over.wait(STIR_S):
            self.ask(number % len(self.wires))
            number += 1

    def close(self):
        for one in self.wires:
            one.finish()


def is_sanitized(pid):
    with open(f'/proc/{pid}/maps', encoding='ascii') as maps:
        text = maps.read()
    return 'libasan' in text or 'libtsan' in text


class Watch:
    """Resident memory and open files of a process, each second."""

    def __init__(self, pid):
        self.pid = pid
        self.resident_kib = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look)

    def files(self):
        return len(os.listdir(f'/proc/{self.pid}/fd'))

    def _resident_kib(self):
        with open(f'/proc/{self.pid}/statm', encoding='ascii') as statm:
            return int(statm.read().split()[1]) * resource.getpagesize() // 1024

    def _look(self):
        while not self.over.wait(1):
            self.resident_kib.append(self._resident_kib())

    def __enter__(self):
        self.began = time.monotonic()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def growth_kib(self):
        """From the second quarter of the time to the last: what is there from the beginning has come by then."""
        quarter = max(len(self.resident_kib) // 4, 1)
        return statistics.median(self.resident_kib[-quarter:]) - statistics.median(self.resident_kib[quarter:2 * quarter])
