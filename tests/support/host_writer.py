"""Who writes through the endpoints of a host, and knows what came of it."""
import contextlib
import threading
import time

import psycopg
import redis

from support.cache_group import endpoints


def endpoint(host, name='pool'):
    return host.aws('rds').describe_db_proxies(DBProxyName=name)['DBProxies'][0]['Endpoint']


class Writer(threading.Thread):
    """Inserts numbers through a host's proxy; what was acknowledged, what was refused, and what is not known."""

    def __init__(self, host, table='note', proxy='pool'):
        super().__init__(daemon=True)
        self.host, self.table, self.proxy, self.stop = host, table, proxy, threading.Event()
        self.acknowledged, self.unknown, self.errors, self.gap_s = set(), set(), [], 0
        self.address = endpoint(host, proxy)
        with host.postgres(self.address, dbname='shop') as connection:
            connection.execute(f'CREATE TABLE IF NOT EXISTS {table} (id bigint PRIMARY KEY)')
            self.first = connection.execute(f'SELECT coalesce(max(id), 0) + 1 FROM {table}').fetchone()[0]

    def run(self):
        connection, last_s = None, time.monotonic()
        for number in iter(lambda: self.first + len(self.acknowledged) + len(self.errors), None):
            if self.stop.is_set():
                break
            try:
                connection = connection or self.host.postgres(self.address, dbname='shop')
                connection.execute(f'INSERT INTO {self.table} VALUES (%s)', (number,))
                self.acknowledged.add(number)
                self.gap_s, last_s = max(self.gap_s, time.monotonic() - last_s), time.monotonic()
            except psycopg.Error as error:
                self.errors.append(f'{error.sqlstate} {error}')
                self.unknown.add(number)
                if connection is not None and connection.closed:
                    connection = None

    def end(self):
        self.stop.set()
        self.join()

    def check(self, *hosts):
        """On every host, by its own endpoints: nothing is lost, and nothing came from elsewhere."""
        for host in hosts:
            with host.postgres(endpoint(host, self.proxy), dbname='shop') as connection:
                rows = {row[0] for row in connection.execute(f'SELECT id FROM {self.table} WHERE id >= %s', (self.first,))}
            assert self.acknowledged <= rows <= self.acknowledged | self.unknown


class CacheWriter(threading.Thread):
    """Sets keys, one by one, through a host's endpoint of a replication group; what was acknowledged."""

    def __init__(self, host, name='cache', **options):
        super().__init__(daemon=True)
        self.name_of_group, self.options, self.stop = name, options, threading.Event()
        self.acknowledged, self.tried, self.errors = set(), 0, []
        self.client = self._client_of(host)

    def _client_of(self, host):
        return host.redis(endpoints(host, self.name_of_group)[0], **self.options)

    def run(self):
        while not self.stop.is_set():
            self.tried += 1
            try:
                self.client.set(f'key:{self.tried}', self.tried)
                self.acknowledged.add(self.tried)
            except redis.RedisError as error:
                self.errors.append(f'{type(error).__name__}: {error}')
            time.sleep(0.005)

    def end(self):
        self.stop.set()
        self.join()
        self.client.close()

    def check(self, *hosts):
        """On every host, by its own endpoint: nothing is lost, and nothing came from elsewhere."""
        for host in hosts:
            with contextlib.closing(self._client_of(host)) as client:
                found = {int(key.removeprefix('key:')) for key in client.scan_iter('key:*', count=1000)}
            assert self.acknowledged <= found <= set(range(1, self.tried + 1)), self.errors
