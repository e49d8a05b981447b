"""What is measured, and how. A measure returns one number in its unit, for one contender, once."""
import json
import re
import subprocess
import time
from collections import namedtuple

from process import Failure
from servers import conninfo, postgres_bin

# name; what the report calls it; its unit; which server stands behind, by which way; TLS for clients; how; the
# arguments of `how`; whose column the ratio is to (None: no ratio), of which measure; what Weir is meant to reach;
# whether once per run is enough; whether clients share server connections in flight.
Measure = namedtuple('Measure', 'name title unit server via_socket tls how arguments base base_measure goal once '
                     'shared', defaults=(None, False, False, None, {}, 'pgbouncer', None, '', False, False))

LOGIN_CLIENTS = 16
IDLE_FIRST = 100
IDLE_CLIENTS = 2000
REPLY_S = 60


class Gauge:
    """A contender's process between a measure's clients and its server."""

    def __init__(self, tools, folder, process, address, port, seconds):
        self.tools = tools
        self.folder = folder
        self.process = process
        self.address = address
        self.port = port
        self.seconds = seconds

    def conninfo(self, tls):
        return conninfo(self.address, self.port, tls)


# ---- pgload -------------------------------------------------------------------------------------

def converse(command):
    """The program with its streams; it says "ready" when it is."""
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    if process.stdout.readline().strip() != 'ready':
        farewell(process)
    return process


def farewell(process):
    """Raises what it said at its end."""
    _, errors = process.communicate(timeout=REPLY_S)
    lines = errors.strip().splitlines()
    raise Failure(lines[0].removeprefix('pgload: ')[:200] if lines else f'the load ended with {process.returncode}')


def query_cpu_us(gauge, measure, mode='simple', clients=32, depth=1):
    """CPU of the proxy per query."""
    load = converse([gauge.tools / 'pgload', '-d', gauge.conninfo(measure.tls), '-m', mode, '-c', clients, '-k', depth,
                     '-s', gauge.seconds])
    before = gauge.process.cpu_s()
    load.stdin.write('\n')
    load.stdin.flush()
    line = load.stdout.readline()
    used = gauge.process.cpu_s() - before
    if not line:
        farewell(load)
    load.communicate(timeout=REPLY_S)
    return used * 1e6 / json.loads(line)['queries']


# ---- pgbench ------------------------------------------------------------------------------------

def pgbench(gauge, tls, *arguments):
    """(transactions, TPS)"""
    done = subprocess.run([postgres_bin() / 'pgbench', '-n', '-T', str(max(1, round(gauge.seconds))), *arguments,
                           gauge.conninfo(tls)], capture_output=True, text=True, timeout=gauge.seconds + REPLY_S,
                          check=False)
    count = re.search(r'^number of transactions actually processed: (\d+)', done.stdout, re.M)
    rate = re.search(r'^tps = ([\d.]+)', done.stdout, re.M)
    if done.returncode != 0 or count is None or int(count.group(1)) == 0:
        lines = [line for line in done.stderr.splitlines() if 'error' in line] or ['pgbench failed']
        raise Failure(lines[0][:200])
    return int(count.group(1)), float(rate.group(1))


def login_cpu_us(gauge, measure):
    """CPU of the proxy per connection: SCRAM, one query, goodbye."""
    script = gauge.folder / 'one.sql'
    script.write_text('SELECT 1;\n')
    before = gauge.process.cpu_s()
    count, _ = pgbench(gauge, measure.tls, '-C', '-c', str(LOGIN_CLIENTS), '-f', script)
    return (gauge.process.cpu_s() - before) * 1e6 / count


def pgbench_tps(gauge, measure):
    return pgbench(gauge, measure.tls, '-S', '-c', '32', '-j', '1')[1]


# ---- memory -------------------------------------------------------------------------------------

def idle_kib(gauge, measure):
    """Of a process that has just been started, and has a few clients: what each further one adds to it."""
    def idle(count):
        clients = converse([gauge.tools / 'idle', '-d', gauge.conninfo(measure.tls), '-n', count])
        time.sleep(0.5)
        return clients

    crowd = []
    try:
        crowd.append(idle(IDLE_FIRST))
        before = gauge.process.anon_kib()
        crowd.append(idle(IDLE_CLIENTS))
        return (gauge.process.anon_kib() - before) / IDLE_CLIENTS
    finally:
        for clients in crowd:
            clients.communicate(timeout=REPLY_S)


# ---- the list -----------------------------------------------------------------------------------

US = 'µs'
ALL = [
    Measure('simple', 'simple', US, 'null', how=query_cpu_us, goal='≤ 0.92'),
    Measure('extended', 'extended', US, 'null', how=query_cpu_us, arguments={'mode': 'extended'}, goal='≤ 0.92'),
    Measure('simple-256', 'simple, 256 clients', US, 'null', how=query_cpu_us, arguments={'clients': 256},
            goal='≤ 0.75'),
    Measure('prepared', 'named prepared', US, 'null', how=query_cpu_us, arguments={'mode': 'prepared'},
            base='weir', base_measure='simple', goal='≤ 1.05 of its simple'),
    Measure('simple-16', 'simple, 16 pipelined', US, 'null', how=query_cpu_us, arguments={'depth': 16}, goal='≤ 0.95'),
    Measure('prepared-16', 'prepared, 16 pipelined', US, 'null', how=query_cpu_us,
            arguments={'mode': 'prepared', 'depth': 16}, goal='≤ 1.3 µs'),
    Measure('wide', 'one 16 KiB row', US, 'wide', how=query_cpu_us, goal='≤ 0.36'),
    Measure('simple-unix', 'simple, server on a Unix socket', US, 'null', via_socket=True, how=query_cpu_us,
            base_measure='simple', goal='≤ 0.8 of simple'),
    Measure('shared', 'simple, shared connections', US, 'null', how=query_cpu_us, base_measure='simple', shared=True,
            goal='≤ 0.7 of simple'),
    Measure('shared-256', 'simple, shared connections, 256 clients', US, 'null', how=query_cpu_us,
            arguments={'clients': 256}, base_measure='simple-256', shared=True, goal='≤ 0.45 of simple'),
    Measure('simple-tls', 'simple, clients on TLS', US, 'null', tls=True, how=query_cpu_us, goal='≤ simple + 4 µs'),
    Measure('wide-tls', 'one 16 KiB row, clients on TLS', US, 'wide', tls=True, how=query_cpu_us,
            goal='≤ 16 KiB row + 9 µs'),
    Measure('login', 'login, SCRAM', US, 'postgres', how=login_cpu_us, goal='≤ 0.8'),
    Measure('login-tls', 'login, SCRAM over TLS', US, 'postgres', tls=True, how=login_cpu_us, goal='≤ 0.55'),
    Measure('idle', 'idle client', 'KiB', 'null', how=idle_kib, goal='≤ 0.7 KiB', once=True),
    Measure('idle-tls', 'idle client on TLS', 'KiB', 'null', tls=True, how=idle_kib, goal='≤ 16 KiB', once=True),
    Measure('pgbench', 'pgbench -S', 'TPS', 'postgres', how=pgbench_tps, base='direct', goal='≥ 0.85 of direct'),
    Measure('pgbench-unix', 'pgbench -S, server on a Unix socket', 'TPS', 'postgres', via_socket=True, how=pgbench_tps,
            base='direct', base_measure='pgbench', goal='≥ 0.95 of direct'),
    Measure('pgbench-shared', 'pgbench -S, shared connections', 'TPS', 'postgres', how=pgbench_tps, base='direct',
            base_measure='pgbench', shared=True, goal='≥ 1.3 of direct'),
]


def chosen(names):
    known = {measure.name: measure for measure in ALL}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Failure(f'no measure is called {unknown[0]}: write some of {", ".join(known)}')
    return [known[name] for name in names]
