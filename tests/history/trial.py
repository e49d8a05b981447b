"""One trial: a tier under clients and under the faults of a seed; then everything is there again, and what the clients
saw is judged."""
import functools
import itertools
import random
import shutil
import tempfile
import time
import traceback
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import redis

from history import redis_clients, sql_clients
from history.faults import CACHE, DATABASE, rounds
from history.lists import LEVELS, READ_COMMITTED, SERIALIZABLE, check_lists
from history.notes import Keys, Notes, now
from history.registers import check_registers
from history.striker import TRY_S, Striker
from support.inside import PASSWORD, Inside
from support.tier import Tier
from support.tier_proxy import create_proxy, proxy_endpoint
from support.watch import wait_until

TOKEN = 'a-token-that-is-long-enough'
BEGIN_S = 300      # for a tier to come up
CONVERGE_S = 150   # from the last fault until everything is there again
STAYS_S = 1.5      # what has just died may not have been noticed yet
JOIN_S = 200       # a client may wait for a server connection, which has a limit of 120 s
REGISTER_CLIENTS = 4
LIST_CLIENTS = {SERIALIZABLE: 3, 'repeatable read': 2, READ_COMMITTED: 2}
CACHE_CLIENTS = 3  # of each kind
RELAYED = 0.2      # of all connections
ENOUGH = 100       # acknowledgements of each, without which a trial says nothing
CUT_S = 20         # for so long behind its end clients may hear that a proxy has ended
TRIES = 5          # at the end, when everything is there again


@contextmanager
def tier_under_trial(weir):
    """A tier that may be struck, with an instance of two nodes behind a proxy, and a group of three."""
    tier = Tier(weir)
    try:
        tier.up('--allow-chaos')
        rds = tier.aws('rds')
        rds.create_db_instance(
            DBInstanceIdentifier=DATABASE, Engine='postgres', DBInstanceClass='db.t3.micro', AllocatedStorage=20,
            MasterUsername='dbadmin', MasterUserPassword=PASSWORD, DBName='shop', MultiAZ=True, BackupRetentionPeriod=0)
        create_proxy(tier, DATABASE)
        cache = tier.aws('elasticache')
        cache.create_replication_group(
            ReplicationGroupId=CACHE, ReplicationGroupDescription='x', Engine='redis', CacheNodeType='cache.t3.micro',
            NumCacheClusters=3, AutomaticFailoverEnabled=True, TransitEncryptionEnabled=True, AuthToken=TOKEN)
        inside = Inside(tier)
        wait_until(lambda: is_settled(inside), 'everything is there', BEGIN_S)
        inside.proxy = wait_until(lambda: proxy_endpoint(rds), 'the proxy is available')
        inside.relay = rds.describe_db_instances(DBInstanceIdentifier=DATABASE)['DBInstances'][0]['Endpoint']['Address']
        group = cache.describe_replication_groups(ReplicationGroupId=CACHE)['ReplicationGroups'][0]
        inside.front = group['NodeGroups'][0]['PrimaryEndpoint']['Address']
        yield inside
        tier.destroy()
        tier.assert_gone()
    finally:
        tier.remove()


def is_settled(inside):
    try:
        return inside.is_settled(DATABASE, CACHE)
    except AssertionError:  # a weir serve that was killed is not back yet
        return False


def told(errors):
    return ', '.join(f'{count} × {code or "no word"} ({doing})' for (doing, code), count in
                     sorted(errors.items(), key=str)) or 'none'


@dataclass
class Verdict:
    seed: int
    problems: list = field(default_factory=list)  # texts
    lines: list = field(default_factory=list)     # what was seen, for people
    kept: str = ''                                # the folder with the history, where there are problems

    def __str__(self):
        lines = [*self.lines, *(f'PROBLEM {text}' for text in self.problems)]
        kept = [f'the history is in {self.kept}'] if self.kept else []
        return '\n'.join([f'seed {self.seed}:', *(f'  {line}' for line in lines), *kept])


class Trial:
    def __init__(self, inside, seed):
        self.inside = inside
        self.seed = seed
        self.verdict = Verdict(seed)
        self.dice = random.Random(f'endpoints {seed}')
        self.sql, self.cache = Notes(), Notes()
        self.striker = Striker(inside)
        self.clients = []

    # ---- clients -------------------------------------------------------------------------------

    def connect_sql(self, **options):
        """Through the proxy, and now and then through the instance's own endpoint."""
        env = self.inside.tier.env()
        host = self.inside.relay if self.dice.random() < RELAYED else self.inside.proxy
        connection = psycopg.connect(host=host, user='dbadmin', password=PASSWORD, dbname='shop', autocommit=True,
                                     sslmode='verify-full', sslrootcert=env['PGSSLROOTCERT'], connect_timeout=30,
                                     **options)
        return connection, host == self.inside.relay

    def connect_cache(self):
        return self.inside.tier.redis(self.inside.front, password=TOKEN)

    def _make_clients(self):
        def add(kind, notes, keys, connect, name, count, **more):
            for number in range(count):
                who = f'{name}-{number}'
                self.clients.append(kind(who, random.Random(f'{self.seed} {who}'), notes, keys, connect, **more))
        add(sql_clients.RegisterClient, self.sql, Keys(3, 150), self.connect_sql, 'register', REGISTER_CLIENTS)
        for level, count in LIST_CLIENTS.items():
            add(sql_clients.ListClient, self.sql, Keys(4, 60), self.connect_sql, level, count, level=level)
        add(redis_clients.RegisterClient, self.cache, Keys(3, 150), self.connect_cache, 'cache', CACHE_CLIENTS)
        add(redis_clients.ListClient, self.cache, Keys(4, 60), self.connect_cache, 'cache-list', CACHE_CLIENTS)

    # ---- the run -------------------------------------------------------------------------------

    def run(self, count):
        """So many rounds of faults; then the verdict."""
        try:
            self._run(count)
        except (AssertionError, psycopg.Error, redis.RedisError):
            self.problem(traceback.format_exc())
        if self.verdict.problems:
            self._keep()
        return self.verdict

    def _run(self, count):
        with self.connect_sql()[0] as connection, closing(self.connect_cache()) as cache:
            sql_clients.make_tables(connection)
            cache.flushall()
        self._make_clients()
        self.striker.begin()
        for client in self.clients:
            client.start()
        whole = self._strike(itertools.islice(rounds(self.seed), count))
        until = now()
        self._stop_clients()
        self._tell(until)
        if whole:
            self._look_at_what_is_there()
        self._judge()

    def problem(self, text):
        self.verdict.problems.append(text)

    def _strike(self, all_rounds):
        """Whether everything is there again at the end."""
        longest = 0
        for faults, quiet_s in all_rounds:
            for fault in faults:
                self.striker.pause(fault.after_s)
                if not self.striker.strike(fault) and fault.role != 'other':  # which may be made anew
                    self.problem(f'nobody was there to be struck for {TRY_S} s: {fault}')
            self.striker.heal()
            took_s = self._converge()
            if took_s is None:
                return False
            longest = max(longest, took_s)
            time.sleep(quiet_s)
            if any(client.failure for client in self.clients):
                break
        self.verdict.lines.append(f'{self.striker.count} faults; everything was there again after '
                                  f'{longest:.1f} s at most')
        return True

    def _converge(self):
        """How long it took until everything was there again, and stayed so."""
        began = time.monotonic()
        since = None
        while time.monotonic() < began + CONVERGE_S:
            if not is_settled(self.inside):
                since = None
            elif since is None:
                since = time.monotonic()
            elif time.monotonic() > since + STAYS_S:
                return since - began
            time.sleep(0.1)
        self.problem(f'not everything is there again after {CONVERGE_S} s\n'
                     f'{self.inside.tier.command("status", check=False).stdout}')
        return None

    def _stop_clients(self):
        for client in self.clients:
            client.ended.set()
        for client in self.clients:
            client.join(JOIN_S)
            if client.is_alive():
                self.problem(f'{client.name} hangs')
            elif client.failure is not None:
                self.problem(f'{client.name}: {type(client.failure).__name__}: {client.failure}')

    def _tell(self, until):
        self.verdict.lines += self.striker.done
        for name, notes in (('PostgreSQL', self.sql), ('Redis', self.cache)):
            count = len(notes.acknowledged)
            gap_s, began = notes.gap(self.striker.began, until)
            unknown = sum(op.outcome == 'unknown' for op in notes.registers) + sum(
                txn.outcome == 'unknown' for txns in notes.lists.values() for txn in txns)
            self.verdict.lines.append(
                f'{name}: {count} acknowledged, {unknown} unknown, at most {gap_s:.2f} s without an '
                f'acknowledgement, from {(began - self.striker.began) / 1e9:.2f} on; errors: {told(notes.errors)}')
            if count < ENOUGH:
                self.problem(f'{name}: too little was done to say anything')
        for when, who in self.sql.cut:
            if not any(when - CUT_S * 1e9 <= end <= when for end in self.striker.proxy_ends):
                self.problem(f'a connection that should have stayed was lost: {who}')

    # ---- what is there -------------------------------------------------------------------------

    def _look_at_what_is_there(self):
        """Through the endpoints; and on each node there is the same."""
        there = self._again(self._read_sql)
        self._again(self._read_cache)
        for node in self.inside.nodes(DATABASE):
            try:
                wait_until(lambda node=node: self._on_node(node) == there, f'{node["NodeId"]} has the same', 30)
            except AssertionError as error:
                self.problem(str(error))

    def _read_sql(self):
        with self.connect_sql()[0] as connection:
            return sql_clients.read_all(lambda text: connection.execute(text).fetchall(), self.sql, 'the end')

    def _read_cache(self):
        with closing(self.connect_cache()) as cache:
            redis_clients.read_all(cache, self.cache, 'the end')
            if cache.wait(2, 20000) != 2:
                self.problem('a replica does not follow')

    def _again(self, read):
        """As clients do: with a pause, and what failed is told."""
        for _ in range(TRIES):
            try:
                return read()
            except (psycopg.Error, redis.RedisError) as error:
                self.verdict.lines.append(f'at the end: {type(error).__name__}: {error}')
                time.sleep(1)
        return read()

    def _on_node(self, node):
        try:
            return sql_clients.read_all(functools.partial(self.inside.sql, node, database='shop'), Notes(), '')
        except psycopg.Error as error:
            return error

    def _judge(self):
        for name, notes in (('PostgreSQL', self.sql), ('Redis', self.cache)):
            for failure in check_registers(notes.registers):
                self.problem(f'{name}: {failure}')
            for level in LEVELS:
                for anomaly in check_lists(notes.lists[level], level):
                    self.problem(f'{name}, {level}: {anomaly}')

    def _keep(self):
        """What was done and seen, and all logs, in a folder, for whoever looks into it."""
        tier = self.inside.tier
        folder = Path(tempfile.mkdtemp(prefix=f'weir-history-{self.seed}-'))
        self.verdict.kept = str(folder)
        lines = [str(self.verdict), f'began at {self.striker.began_at}']
        lines += [tier.command(word, check=False).stdout for word in ('events', 'status')]
        for name, notes in (('PostgreSQL', self.sql), ('Redis', self.cache)):
            lines += [f'---- {name}, registers', *map(str, sorted(notes.registers, key=lambda op: op.invoked))]
            for level in LEVELS:
                lines += [f'---- {name}, {level}', *map(str, sorted(notes.lists[level], key=lambda txn: txn.invoked))]
        (folder / 'history.txt').write_text('\n'.join(lines))
        for log in [tier.data / 'weir.log', *Path(tier.run_folder()).glob('log/*'), *tier.data.glob('zone-*/*/log/*')]:
            with suppress(OSError):
                shutil.copy(log, folder / '-'.join(log.parts[-3:]))
