"""Waiting for what a test expects, with generous limits and without fixed pauses."""
import time

PAUSE_S = 0.05


def wait_until(look, what, timeout_s=90):
    """Calls look() until it gives something true, and returns that; `what` says what was waited for."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f'after {timeout_s} s still not: {what}'
        time.sleep(PAUSE_S)


def is_sanitized(pid):
    """Its memory is not what Weir takes: sanitizers keep what is freed."""
    with open(f'/proc/{pid}/maps', encoding='ascii') as maps:
        text = maps.read()
    return 'libasan' in text or 'libtsan' in text
