"""`weir up` in front, on a terminal: how everything is stands at its end, and what happens scrolls above it."""
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading

from support.blocks import cache
from support.watch import wait_until

BELOW = ['', 'NAME   STATUS     NODES', 'cache  available  primary a, replica b', '']


def screen_of(text):
    """The lines that a terminal shows, of which Weir moves the cursor up and clears lines."""
    lines, row = [''], 0
    for part in re.findall(r'\x1b\[1A|\x1b\[2K|\n|[^\x1b\n]+', text.replace('\r', '')):
        if part == '\x1b[1A':
            row -= 1
        elif part == '\x1b[2K':
            lines[row] = ''
        elif part == '\n':
            row += 1
            if row == len(lines):
                lines.append('')
        else:
            lines[row] += part
    return lines


class Terminal:
    """A command on a terminal of 24 rows and 100 columns."""

    def __init__(self, tier, *words):
        self.text = b''
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 100, 0, 0))
        self.process = subprocess.Popen([tier.weir, *words, '--data', tier.data], stdin=subprocess.DEVNULL, stdout=slave,
                                        stderr=slave, env={**os.environ, 'NO_COLOR': '1', 'TERM': 'xterm'})
        os.close(slave)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        with contextlib.suppress(OSError):  # the end of a terminal
            while part := os.read(self.master, 4096):
                self.text += part

    def lines(self):
        return screen_of(self.text.decode(errors='ignore'))

    def end(self, sign):
        self.process.send_signal(sign)
        status = self.process.wait(120)
        self.reader.join(10)
        os.close(self.master)
        return status


def test_how_everything_is(bare_tier, tmp_path):
    (tmp_path / 'main.tf').write_text(cache(nodes=2))
    terminal = Terminal(bare_tier, 'up', tmp_path / 'main.tf')
    try:
        wait_until(lambda: terminal.lines()[-4:] == BELOW, 'the status below')
        os.kill(bare_tier.find(r'^\S*redis-server')[0], signal.SIGKILL)

        def told():
            lines = terminal.lines()
            return any('was killed by signal 9' in line for line in lines[:-4]) and lines[-4:] == BELOW
        wait_until(told, 'what happened above the status')
        assert any('redis-cli' in line and '# a cache session' in line for line in terminal.lines())
        assert sum(line.startswith('NAME ') and 'NODES' in line for line in terminal.lines()) == 1
    finally:
        status = terminal.end(signal.SIGINT)
    assert status == 0 and 'Stopping the tier…' in terminal.lines()
    bare_tier.up()
    bare_tier.destroy()
