"""A tier seen from its host: nodes and their processes, engines through their Unix sockets."""
import os
import signal
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from support.watch import wait_until

ADMIN = 'rdsadmin'  # the engine's own superuser; only Weir's account gets in as it
PASSWORD = 'first-Password.1'
SESSIONS = ('SELECT usename, application_name, state, wait_event, now() - state_change, query FROM pg_stat_activity'
            " WHERE backend_type IN ('client backend', 'walsender')")


def stat_fields(pid):
    """The fields of /proc/PID/stat from the state on, or None when there is no such process."""
    with suppress(OSError):
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return None


def is_alive(pid):
    fields = stat_fields(pid)
    return fields is not None and fields[0] not in 'ZX'


class Inside:
    """What is behind one tier."""

    def __init__(self, tier):
        self.tier = tier

    # ---- nodes ---------------------------------------------------------------------------------

    def nodes(self, resource=None):
        return [node for node in self.tier.json('status')['nodes'] if resource in (None, node['ResourceId'])]

    def node(self, resource, role, number=0):
        """While roles change there may be no word of who has one."""
        return wait_until(lambda: [node for node in self.nodes(resource) if node['Role'] == role][number:],
                          f'{resource} has a {role}')[0]

    def is_settled(self, *resources):
        """The resources are available, every node runs, and every standby is synchronous."""
        view = self.tier.json('status')
        words = {item['DBInstanceIdentifier']: item['DBInstanceStatus'] for item in view['instances']}
        words.update({item['ReplicationGroupId']: item['Status'] for item in view['caches']})
        nodes = [node for node in view['nodes'] if node['ResourceId'] in resources]
        return {node['ResourceId'] for node in nodes} == set(resources) and all(
            words.get(name) == 'available' for name in resources) and all(
                node.get('State') == 'running' and (node['Role'] != 'standby' or node.get('SyncState') == 'sync')
                for node in nodes)

    def wait_until(self, look, what, timeout_s=90):
        """A failure says how the tier was."""
        try:
            return wait_until(look, what, timeout_s)
        except AssertionError as error:
            raise AssertionError(f'{error}\n{self.told()}{self.tier.engine_logs()}') from None

    def told(self):
        """What a user is told of it."""
        return '\n'.join(self.tier.command(*words, check=False).stdout for words in (['status'], ['events']))

    def wait_settled(self, *resources, timeout_s=120):
        self.wait_until(lambda: self.is_settled(*resources), f'{resources} settled', timeout_s)

    # ---- processes -----------------------------------------------------------------------------

    def folder(self, node):
        return self.tier.data / f'zone-{node["Zone"]}' / node['NodeId']

    def engine_processes(self, node):
        """Every process of the node's engine, which all stand in its data directory. The guard is not one."""
        data = str(self.folder(node) / 'data')
        guard = self.guard(node)
        pids = []
        for entry in Path('/proc').iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and int(entry.name) != guard and os.readlink(entry / 'cwd') == data:
                    pids.append(int(entry.name))
        return sorted(pids)

    def guard(self, node):
        """The pid of the node's guard, or None."""
        found = self.tier.find(rf'weir guard --node {node["NodeId"]} ')
        return found[0] if found else None

    def engine(self, node):
        """The pid of the engine's first process, whose parent is the guard; None while there is none. (What a
        killed one leaves becomes the guard's child, too, until it is reaped.)"""
        guard = self.guard(node)
        for pid in self.engine_processes(node):
            fields = stat_fields(pid)
            with suppress(OSError):
                title = Path(f'/proc/{pid}/cmdline').read_bytes()  # of a zombie: nothing
                if fields and guard and int(fields[1]) == guard and title and not title.startswith(b'postgres: '):
                    return pid
        return None

    def plane(self, pattern):
        """The pid of a data-plane process, or None."""
        found = self.tier.find(rf'weir (proxy|front) --id {pattern}')
        return found[0] if found else None

    def serve(self):
        found = self.tier.find(r'weir serve --data')
        return found[0] if found else None

    def kill_all_but_guards(self):
        """They look after each other: none of them may see another's end. `weir up` in front does, and starts
        others."""
        def killed():
            everybody = self.tier.find('weir (supervise|serve --data|proxy|front)')
            for sign in (signal.SIGSTOP, signal.SIGKILL):
                for pid in everybody:
                    with suppress(ProcessLookupError):  # a command of a second
                        os.kill(pid, sign)
            return not everybody
        wait_until(killed, 'they are gone')  # the kernel continues who is stopped when its parent ends: it may start one

    @contextmanager
    def stopped(self, node):
        """While the block runs the node's engine stands still."""
        pids = self.engine_processes(node)
        assert pids
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    # ---- engines -------------------------------------------------------------------------------

    def connect(self, node, user=ADMIN, database='postgres', **options):
        arguments = {'password': PASSWORD} if user != ADMIN else {}
        return psycopg.connect(host=f'{self.tier.run_folder()}/node/{node["NodeId"]}', user=user, dbname=database,
                               connect_timeout=15, autocommit=True, **arguments, **options)

    def sql(self, node, statement, **options):
        """All rows of a statement, or None where it has none."""
        with self.connect(node, **options) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else None

    def value(self, node, statement, **options):
        return self.sql(node, statement, **options)[0][0]

    def sessions(self, node):
        """Who is connected to an engine of PostgreSQL, and what for."""
        with suppress(psycopg.Error):
            return '\n'.join(str(row) for row in self.sql(node, SESSIONS))
        return 'it does not answer'

    # ---- events --------------------------------------------------------------------------------

    def events(self, resource):
        return [event['Message'] for event in self.tier.json('events', '--source', resource)]
