"""Who writes through the proxy of a host, and knows what came of it."""
import threading
import time

import psycopg


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
