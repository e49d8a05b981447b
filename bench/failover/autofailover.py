"""pg_auto_failover of Debian: a monitor and two nodes; clients know both addresses. As it comes, and tight."""
import os
import shutil
import signal
import subprocess

from clusters import Tended, is_alive, postmaster_of, send, wait_for
from process import ACCOUNT, Failure, as_account, tree_of
from servers import postgres_bin

NODES = ('n0', 'n1')
HOST = '127.0.0.1'  # it wants an address of an interface
TIGHT = '''
pgautofailover.health_check_period = 500
pgautofailover.health_check_timeout = 500
pgautofailover.health_check_max_retries = 1
pgautofailover.health_check_retry_delay = 250
pgautofailover.node_considered_unhealthy_timeout = 2000
pgautofailover.primary_demote_timeout = 2000
pgautofailover.startup_grace_period = 1000
'''
LEADS = ('primary', 'wait_primary', 'single', 'join_primary')


class AutoFailover(Tended):
    def __init__(self, name, settings=''):
        super().__init__()
        self.name = name
        self.settings = settings
        self.tenders = {}
        self.monitor = None

    def missing(self):
        return None if shutil.which('pg_autoctl') else 'pg_autoctl is not installed'

    # ---- starting ----

    def start(self, place):
        self.place = place
        self.folder = place.room(self.name, ACCOUNT)
        self.folder.chmod(0o755)
        self.ports = {node: next(place.ports) for node in NODES}
        self.monitor_port = next(place.ports)
        self.environment = {'PATH': f'{postgres_bin()}:{os.environ["PATH"]}', 'HOME': str(self.folder),
                            'XDG_CONFIG_HOME': f'{self.folder}/config', 'XDG_DATA_HOME': f'{self.folder}/share',
                            'XDG_RUNTIME_DIR': f'{self.folder}/run', 'LC_ALL': 'C.UTF-8'}
        self.do(['mkdir', self.folder / 'run'])
        self.do(['pg_autoctl', 'create', 'monitor', '--pgdata', self.data('monitor'), '--pgport',
                 str(self.monitor_port), '--hostname', HOST, '--auth', 'trust', '--no-ssl'])
        with open(self.data('monitor') / 'postgresql.conf', 'a') as conf:
            conf.write(self.settings)
        self.monitor = self.tend('monitor', self.monitor_port)
        for count, node in enumerate(NODES, 1):
            self.do(['pg_autoctl', 'create', 'postgres', '--pgdata', self.data(node), '--pgport',
                     str(self.ports[node]), '--hostname', HOST, '--name', node, '--monitor',
                     f'postgres://autoctl_node@{HOST}:{self.monitor_port}/pg_auto_failover?sslmode=disable',
                     '--auth', 'trust', '--no-ssl', '--dbname', 'postgres', '--pghost', HOST])
            self.tender_start(node)
            wait_for(node, lambda count=count: len(self.state()) == count and self.is_settled())
        wait_for('the cluster as a whole', self.is_whole)

    def do(self, command, patience_s=120):
        done = subprocess.run(['setpriv', *as_account(ACCOUNT), '--', *map(str, command)], env=self.environment,
                              cwd=self.folder, capture_output=True, text=True, check=False, timeout=patience_s)
        if done.returncode != 0:
            raise Failure(f'{command[0]} {command[1]}: {(done.stderr or done.stdout).strip()[-300:]}')
        return done.stdout

    def tend(self, name, port):
        environment = [f'{name}={value}' for name, value in self.environment.items()]
        room = self.folder / f'{name}-{len(list(self.folder.iterdir()))}'
        self.do(['mkdir', room])
        return self.place.start(['env', *environment, 'pg_autoctl', 'run', '--pgdata', self.data(name)], room, port,
                                account=ACCOUNT)

    def tender_start(self, node):
        self.tenders[node] = self.tend(node, self.ports[node])

    def tender(self, node):
        return self.tenders[node]

    def data(self, node):
        return self.folder / f'data-{node}'

    # ---- what it says ----

    def state(self):
        """[[port, reported, wanted, health, timeline]]"""
        sql = ("SELECT nodeport, reportedstate, goalstate, health, reportedtli FROM pgautofailover.node "
               "ORDER BY nodeport")
        try:
            said = self.do(['psql', '-XAtqF ', '-h', HOST, '-p', self.monitor_port, '-U', 'autoctl_node',
                            '-d', 'pg_auto_failover', '-c', sql], 10)
        except (Failure, subprocess.TimeoutExpired):
            return []
        return [line.split(' ') for line in said.splitlines()]

    def is_settled(self):
        return all(reported == wanted for _, reported, wanted, *_ in self.state())

    def leader(self):
        for port, reported, wanted, *_ in self.state():
            if wanted in LEADS and reported == wanted:
                return next(name for name, its in self.ports.items() if its == int(port))
        return None

    def is_whole(self):
        state = self.state()
        return (sorted(wanted for _, _, wanted, *_ in state) == ['primary', 'secondary'] and
                all(reported == wanted and health == '1' for _, reported, wanted, health, _ in state) and
                len({timeline for *_, timeline in state}) == 1)

    def plan(self, node):
        self.do(['pg_autoctl', 'perform', 'switchover', '--pgdata', self.data('monitor')])

    def conninfos(self):
        return [f'host={HOST} port={port} dbname=postgres user=postgres sslmode=disable '
                'target_session_attrs=read-write' for port in self.ports.values()]

    def stop(self):
        for node in self.tenders:
            send(self.pids(node), signal.SIGCONT)
            send(self.pids(node), signal.SIGKILL)
        send([pid for pid in tree_of(postmaster_of(self.data('monitor')) or -1) if is_alive(pid)], signal.SIGKILL)
        for process in (*self.tenders.values(), self.monitor):
            if process is not None:
                self.place.stop(process)
