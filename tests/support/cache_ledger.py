"""Clients of a replication group that know what they were told: counters, values, sessions, a queue, a stream and its
consumer group, a channel. At the end what is there is compared with what was acknowledged."""
import contextlib
import threading
import time

import redis

PIPELINE = 100
PAUSE_S = 0.01  # behind an error, before the next try
CONSUMERS = 'readers'


def key_of(entry):
    """How ids of a stream are ordered."""
    return tuple(int(part) for part in entry.split('-'))


class Worker:
    """A thread that does one thing again and again until it is told to end; what it says is kept."""

    def __init__(self, ledger, name, work):
        self.name = name
        self.errors = []
        self._ledger = ledger
        self._work = work
        self._client = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._ledger.ended.is_set():
            try:
                if self._client is None:
                    self._client = self._ledger.connect()
                self._work(self._client)
            except redis.RedisError as error:
                self.errors.append((time.monotonic(), f'{type(error).__name__}: {error}'))
                time.sleep(PAUSE_S)
        if self._client is not None:
            self._client.close()

    def join(self):
        self._thread.join(60)
        assert not self._thread.is_alive(), f'{self._thread.name} hangs'


class CacheLedger:
    """Writers of keys of their own and a counter each, sessions, a queue between two of them, a stream that two
    consumers share, a channel."""

    def __init__(self, connect, writers=4):
        self.connect = connect
        self.ended = threading.Event()
        self.times = []         # of acknowledged writes
        self.acknowledged = {}  # key -> the value that was acknowledged last
        self.attempted = {}     # key -> the value that was sent last
        self.added = []         # ids of the stream's entries that were acknowledged
        self.pushed = set()
        self.tried = set()
        self.popped = []
        self.sessions = {}      # key -> its fields, as they were acknowledged last
        self.asked = {}         # key -> as they were sent last
        self.acked = []         # ids of the stream's entries of which XACK was acknowledged
        self.delivered = []     # ids of those that a consumer was given, each time it was
        self.heard = []
        self._lock = threading.Lock()
        with contextlib.closing(connect()) as client:
            client.flushall()
            client.xgroup_create('stream', CONSUMERS, mkstream=True)
        works = [self._setter(number) for number in range(writers)]
        works += [self._counter(number) for number in range(2)]
        works += [self._pipeliner(), self._pusher(), self._popper(), self._streamer(), self._publisher(),
                  self._session()]
        works += [self._consumer(number) for number in range(2)]
        self.listener = connect().pubsub()
        self.listener.subscribe('news')
        self._listen = threading.Thread(target=self._hear, daemon=True)
        self._listen.start()
        self.workers = [Worker(self, work.__name__, work) for work in works]

    # ---- what they do --------------------------------------------------------------------------

    def _done(self, key, value):
        with self._lock:
            self.acknowledged[key] = value
            self.times.append(time.monotonic())

    def _setter(self, number):
        count = 0

        def setter(client):
            nonlocal count
            key, value = f'set:{number}:{count % 500}', str(count)
            count += 1
            self.attempted[key] = value
            client.set(key, value)
            self._done(key, value)
        return setter

    def _counter(self, number):
        key = f'count:{number}'

        def counter(client):
            self.attempted[key] = self.attempted.get(key, 0) + 1
            self._done(key, client.incr(key))
        return counter

    def _pipeliner(self):
        key = 'count:pipeline'

        def pipeliner(client):
            self.attempted[key] = self.attempted.get(key, 0) + PIPELINE
            with client.pipeline(transaction=False) as pipe:
                for _ in range(PIPELINE):
                    pipe.incr(key)
                answers = pipe.execute(raise_on_error=False)
            numbers = [answer for answer in answers if isinstance(answer, int)]
            if numbers:
                self._done(key, max(numbers))
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return pipeliner

    def _pusher(self):
        count = 0

        def pusher(client):
            nonlocal count
            item = str(count)
            count += 1
            self.tried.add(item)
            client.lpush('queue', item)
            self.pushed.add(item)
            time.sleep(0.002)
        return pusher

    def _popper(self):
        def popper(client):
            got = client.brpop('queue', timeout=1)
            if got is not None:
                self.popped.append(got[1])
        return popper

    def _streamer(self):
        count = 0

        def streamer(client):
            nonlocal count
            count += 1
            self.added.append(client.xadd('stream', {'n': str(count)}))
            time.sleep(0.002)
        return streamer

    def _session(self):
        """As web frameworks do: all of it in a transaction, with its end of life; read back by its next request."""
        count = 0

        def session(client):
            nonlocal count
            key = f'session:{count % 20}'
            fields = {'user': str(count % 20), 'visits': str(count)}
            count += 1
            self.asked[key] = fields
            with client.pipeline(transaction=True) as pipe:
                pipe.hset(key, mapping=fields).expire(key, 600)
                pipe.execute()
            self.sessions[key] = fields
            time.sleep(0.002)
        return session

    def _consumer(self, number):
        """What it was given and has not acknowledged it takes up again, first of all."""
        pending = True

        def consumer(client):
            nonlocal pending
            start = '0' if pending else '>'
            pending = True  # whatever an error leaves
            got = client.xreadgroup(CONSUMERS, f'consumer-{number}', {'stream': start}, count=10, block=500)
            entries = got[0][1] if got else []
            for entry, _ in entries:
                self.delivered.append(entry)
                client.xack('stream', CONSUMERS, entry)
                self.acked.append(entry)
            pending = start == '0' and bool(entries)
        return consumer

    def _publisher(self):
        count = 0

        def publisher(client):
            nonlocal count
            count += 1
            client.publish('news', str(count))
            time.sleep(0.005)
        return publisher

    def _hear(self):
        while not self.ended.is_set():
            with contextlib.suppress(redis.RedisError, OSError, ValueError):
                message = self.listener.get_message(timeout=0.2)
                if message is not None and message['type'] == 'message':
                    self.heard.append((time.monotonic(), message['data']))

    # ---- life ----------------------------------------------------------------------------------

    def __enter__(self):
        self.wait_for(200)
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.ended.set()
        for worker in self.workers:
            worker.join()
        self._listen.join(10)
        with contextlib.suppress(redis.RedisError, OSError):
            self.listener.close()

    @property
    def errors(self):
        return sorted(error for worker in self.workers for error in worker.errors)

    def errors_of(self, pipelined):
        """Of those that send several commands at once, a transaction's among them; or of all others."""
        return [text for worker in self.workers for _, text in worker.errors
                if (worker.name in ('pipeliner', 'session')) == pipelined]

    def wait_for(self, more, timeout_s=90):
        """Until so many more writes are acknowledged."""
        before = len(self.times)
        deadline = time.monotonic() + timeout_s
        while len(self.times) < before + more:
            assert time.monotonic() < deadline, f'no more writes after {timeout_s} s; errors: {self.errors[-3:]}'
            time.sleep(0.01)

    def gap_s(self, since):
        """The longest time without an acknowledged write that ended after `since`."""
        times = sorted(self.times)
        return max((b - a for a, b in zip(times, times[1:]) if b >= since), default=0)

    def _lost_sessions(self, client):
        lines = []
        for key, fields in self.sessions.items():
            found = client.hgetall(key)
            if not found or int(found['visits']) < int(fields['visits']):
                lines.append(f'{key} is {found}, and {fields} was acknowledged')
            assert not found or int(found['visits']) <= int(self.asked[key]['visits']), f'{key} is {found}'
            assert not found or client.ttl(key) > 0, f'{key} does not end: half of its transaction is there'
        return lines

    def _lost_of_consumers(self, client):
        """Entries that wait for a consumer although their XACK was acknowledged, and those that nobody would get any
        more. An entry may be delivered twice."""
        waiting = {entry['message_id'] for entry in client.xpending_range('stream', CONSUMERS, '-', '+', 100000)}
        last = client.xinfo_groups('stream')[0]['last-delivered-id']
        gone = {entry for entry in self.added if key_of(entry) <= key_of(last)} - waiting - set(self.delivered)
        # What was given out by an answer that was lost with its connection waits; nothing else may be missing.
        return [f'the XACK of {entry}' for entry in self.acked if entry in waiting] + [
            f'the entry {entry}, which no consumer got' for entry in gone]

    # ---- what became of it -----------------------------------------------------------------------

    def lost(self):
        """What was acknowledged and is not there, as texts."""
        with contextlib.closing(self.connect()) as client:
            lines = []
            for key, value in self.acknowledged.items():
                found = client.get(key)
                if found is None or int(found) < int(value):
                    lines.append(f'{key} is {found}, and {value} was acknowledged')
            for key, value in self.attempted.items():
                found = client.get(key)
                assert found is None or int(found) <= int(value), f'{key} is {found}, and nobody tried more than {value}'
            there = {entry for entry, _ in client.xrange('stream')}
            lines += [f'the entry {entry} of the stream' for entry in self.added if entry not in there]
            lines += self._lost_sessions(client) + self._lost_of_consumers(client)
            left = client.lrange('queue', 0, -1)
            assert len(left) == len(set(left)), 'an item is in the queue twice'
            gone = self.pushed - set(left) - set(self.popped)
            assert set(left) | set(self.popped) <= self.tried, 'an item that nobody pushed'
            # What was popped by a command whose answer was lost with its connection: one for each such error.
            unknown = sum('UNAVAILABLE' in text or 'Connection' in text for worker in self.workers
                          for _, text in worker.errors)
            lines += [f'the item {item} of the queue' for item in sorted(gone)[unknown:]]
            return lines
