"""Patroni of Debian: one etcd, three nodes, HAProxy in front, synchronous_mode on; as it comes, and as tight as it goes.

Two timings: `ttl` 30, `loop_wait` 10, `retry_timeout` 10 are the defaults; 5, 1 and 2 are below what Patroni
documents as the least, and the tightest that worked.
"""
import json
import shutil
import signal
import urllib.error
import urllib.request

from clusters import Tended, send, wait_for
from process import ACCOUNT, Failure, write
from servers import postgres_bin

NODES = range(3)
DEFAULT = {'ttl': 30, 'loop_wait': 10, 'retry_timeout': 10, 'primary_start_timeout': 300, 'inter': '3s'}
TIGHT = {'ttl': 5, 'loop_wait': 1, 'retry_timeout': 2, 'primary_start_timeout': 0, 'inter': '300ms'}


class Patroni(Tended):
    def __init__(self, name, timing):
        super().__init__()
        self.name = name
        self.timing = timing
        self.tenders = {}
        self.others = []

    def missing(self):
        gone = [program for program in ('patroni', 'etcd', 'haproxy') if shutil.which(program) is None]
        return f'{gone[0]} is not installed' if gone else None

    # ---- starting ----

    def start(self, place):
        self.place = place
        self.folder = place.room(self.name, ACCOUNT)
        self.folder.chmod(0o755)
        self.ports = {node: next(place.ports) for node in NODES}
        self.rest = {node: next(place.ports) for node in NODES}
        self.etcd, self.etcd_peer, self.front = next(place.ports), next(place.ports), next(place.ports)
        self.serve(['etcd', '--name', 'e', '--data-dir', self.folder / 'etcd', '--enable-v2',
                  '--listen-client-urls', self.url(self.etcd), '--advertise-client-urls', self.url(self.etcd),
                  '--listen-peer-urls', self.url(self.etcd_peer), '--initial-advertise-peer-urls',
                  self.url(self.etcd_peer), '--initial-cluster', f'e={self.url(self.etcd_peer)}'], self.etcd)
        for node in NODES:
            write(self.folder / f'{node}.yml', self.settings(node), ACCOUNT)
            self.tender_start(node)
            if node == 0:
                wait_for('a leader', lambda: self.leader() == 'n0')
        self.serve(['haproxy', '-db', '-f', write(self.folder / 'haproxy.cfg', self.haproxy(), ACCOUNT)], self.front)
        wait_for('the cluster as a whole', self.is_whole)

    def url(self, port):
        return f'http://{self.place.address}:{port}'

    def serve(self, command, port):
        process = self.place.start(command, self.room(command[0]), port, account=ACCOUNT)
        self.others.append(process)

    def room(self, name):
        folder = self.folder / f'{name}-{len(list(self.folder.iterdir()))}'
        folder.mkdir()
        shutil.chown(folder, ACCOUNT, ACCOUNT)
        return folder

    def tender_start(self, node):
        number = int(str(node).removeprefix('n'))
        self.tenders[f'n{number}'] = self.place.start(['env', f'HOME={self.folder}', 'patroni', self.folder / f'{number}.yml'],
                                                      self.room('patroni'), self.rest[number], account=ACCOUNT)

    def tender(self, node):
        return self.tenders[node]

    def data(self, node):
        return self.folder / f'data-{node}'

    def settings(self, node):
        at = self.place.address
        timing = '\n'.join(f'    {name}: {value}' for name, value in self.timing.items() if name != 'inter')
        return f'''scope: bench
name: n{node}
restapi: {{listen: '{at}:{self.rest[node]}', connect_address: '{at}:{self.rest[node]}'}}
etcd3: {{host: '{at}:{self.etcd}'}}
bootstrap:
  dcs:
{timing}
    maximum_lag_on_failover: 1048576
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      use_slots: true
      parameters: {{max_connections: 100, wal_log_hints: 'on', wal_keep_size: 128MB, shared_buffers: 64MB, hot_standby: 'on'}}
  initdb: [{{encoding: UTF8}}, data-checksums]
  pg_hba: ['local all all trust', 'host all all {at}/32 trust', 'host replication all {at}/32 trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']
postgresql:
  listen: '{at}:{self.ports[node]}'
  connect_address: '{at}:{self.ports[node]}'
  data_dir: {self.data(f'n{node}')}
  bin_dir: {postgres_bin()}
  authentication: {{superuser: {{username: postgres}}, replication: {{username: replicator}}, rewind: {{username: postgres}}}}
  parameters: {{unix_socket_directories: '{self.folder}'}}
watchdog: {{mode: off}}
'''

    def haproxy(self):
        servers = '\n'.join(f'  server n{node} {self.place.address}:{self.ports[node]} check port {self.rest[node]}'
                            for node in NODES)
        return f'''global
  maxconn 500
defaults
  mode tcp
  retries 2
  timeout client 30m
  timeout connect 4s
  timeout server 30m
  timeout check 5s
listen rw
  bind {self.place.address}:{self.front}
  option httpchk GET /primary
  http-check expect status 200
  default-server inter {self.timing['inter']} fall 3 rise 2 on-marked-down shutdown-sessions
{servers}
'''

    # ---- what it says ----

    def ask(self, node, path):
        try:
            with urllib.request.urlopen(f'{self.url(self.rest[node])}{path}', timeout=1) as answer:
                return json.load(answer)
        except (OSError, ValueError, urllib.error.URLError):
            return {}

    def leader(self):
        for node in NODES:
            said = self.ask(node, '/patroni')
            if said.get('role') in ('master', 'primary') and said.get('state') == 'running':
                return f'n{node}'
        return None

    def is_whole(self):
        leader = self.leader()
        members = self.ask(int(leader[1:]), '/cluster').get('members', []) if leader else []
        return (len(members) == len(NODES) and all(one['state'] in ('running', 'streaming') for one in members) and
                any(one['role'] == 'sync_standby' for one in members) and
                len({one.get('timeline') for one in members}) == 1)

    def plan(self, node):
        members = self.ask(int(node[1:]), '/cluster')['members']
        candidate = next(one['name'] for one in members if one['role'] == 'sync_standby')
        request = urllib.request.Request(
            f'{self.url(self.rest[int(node[1:])])}/switchover', method='POST',
            data=json.dumps({'leader': node, 'candidate': candidate}).encode(),
            headers={'Content-Type': 'application/json'})
        try:
            urllib.request.urlopen(request, timeout=120).close()
        except OSError as error:
            raise Failure(f'the switchover: {error}') from error

    def conninfos(self):
        return [f'host={self.place.address} port={self.front} dbname=postgres user=postgres sslmode=disable']

    def stop(self):
        for node in self.tenders:
            send(self.pids(node), signal.SIGCONT)
            send(self.pids(node), signal.SIGKILL)
        for process in (*self.tenders.values(), *self.others):
            self.place.stop(process)
