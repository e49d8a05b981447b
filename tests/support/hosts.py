"""Hosts that can vanish: network namespaces on a bridge, which is in that of the proxy. Nothing of it is in the machine's
own namespace. Needs root."""
import contextlib
import ctypes
import os
import subprocess

import pytest

NETWORK = '10.88.0'
CLONE_NEWNET = 0x40000000


def ip(*words):
    subprocess.run(['ip', *words], check=True, stdin=subprocess.DEVNULL, capture_output=True)


def can_be():
    """Why not; '' if they can."""
    if os.geteuid() != 0:
        return 'needs root, for network namespaces'
    try:
        name = f'weir-{os.getpid()}-try'
        ip('netns', 'add', name)
        ip('netns', 'del', name)
    except (OSError, subprocess.CalledProcessError) as error:
        return f'no network namespaces: {error}'
    return ''


class Hosts:
    """`proxy` has .1, and each of `others` the next address."""

    def __init__(self, *others):
        self.others = others
        self.addresses = {name: f'{NETWORK}.{i}' for i, name in enumerate(('proxy', *others), 1)}
        self.libc = ctypes.CDLL(None, use_errno=True)

    @staticmethod
    def netns(host):
        return f'weir-{os.getpid()}-{host}'

    def __enter__(self):
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self):
        here = self.netns('proxy')
        ip('netns', 'add', here)
        ip('-n', here, 'link', 'set', 'lo', 'up')
        ip('-n', here, 'link', 'add', 'bridge', 'type', 'bridge')
        ip('-n', here, 'addr', 'add', f'{self.addresses["proxy"]}/24', 'dev', 'bridge')
        ip('-n', here, 'link', 'set', 'bridge', 'up')
        for host in self.others:
            there = self.netns(host)
            ip('netns', 'add', there)
            ip('-n', here, 'link', 'add', host, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', there)
            ip('-n', here, 'link', 'set', host, 'master', 'bridge', 'up')
            ip('-n', there, 'addr', 'add', f'{self.addresses[host]}/24', 'dev', 'eth0')
            ip('-n', there, 'link', 'set', 'lo', 'up')
            ip('-n', there, 'link', 'set', 'eth0', 'up')

    def __exit__(self, *_):
        for host in ('proxy', *self.others):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip('netns', 'del', self.netns(host))

    @contextlib.contextmanager
    def inside(self, host):
        """Sockets that this thread makes, and processes that it starts, are of that host."""
        def enter(path):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if self.libc.setns(fd, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f'entering {path}')
            finally:
                os.close(fd)
        home = os.open('/proc/thread-self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
        enter(f'/run/netns/{self.netns(host)}')
        try:
            yield
        finally:
            enter(f'/proc/self/fd/{home}')
            os.close(home)

    def vanish(self, host):
        """Its cable is pulled where the proxy does not see it: what is sent to it is lost, and so is what it sends."""
        ip('-n', self.netns('proxy'), 'link', 'set', host, 'down')

    def back(self, host):
        ip('-n', self.netns('proxy'), 'link', 'set', host, 'up')

    @contextlib.contextmanager
    def vanished(self, host):
        self.vanish(host)
        try:
            yield
        finally:
            self.back(host)


@contextlib.contextmanager
def three_hosts():
    """h1, h2 and h3, whose cables end where the caller is from then on; skips where there can be none."""
    why = can_be()
    if why:
        pytest.skip(why)
    with Hosts('h1', 'h2', 'h3') as made, made.inside('proxy'):
        yield made
