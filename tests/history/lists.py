"""Whether what clients saw of lists, appended to and read in transactions, keeps to an isolation level: the idea of
Elle (Kingsbury & Alvaro, 2020). Pure.

Each value is appended once, so a list tells all that happened to it: its order is the order of its versions, and who
wrote each. From these come the edges between transactions, and from real time, and a cycle is an anomaly:
    ww  appended behind what the other had appended
    wr  read what the other had appended, as the last of it
    rw  read, and did not see what the other appended next
    rt  was called after the other was answered
Each level says what an edge means for the moments at which a transaction takes its snapshot (s) and commits (c):
    serializable      there is one moment, s = c; with rt that is strict serializability
    repeatable read   snapshot isolation: ww and wr: c before s; rw: s before c; rt: c before s
    read committed    ww and wr: c before c; rw: s before c, where s is the call: nothing is read that was gone by then
so that exactly what a level forbids is a cycle.
"""
import bisect
from collections import defaultdict
from dataclasses import dataclass, field

from history.cycles import Graph

SERIALIZABLE, REPEATABLE_READ, READ_COMMITTED = 'serializable', 'repeatable read', 'read committed'
LEVELS = (SERIALIZABLE, REPEATABLE_READ, READ_COMMITTED)
# The first that has a cycle gives it its name.
STAGES = (('ww',), ('ww', 'wr'), ('ww', 'wr', 'rw'), ('ww', 'rt'), ('ww', 'wr', 'rt'), ('ww', 'wr', 'rw', 'rt'))
SHOWN = 5  # of what is wrong in the same way, and of a list's end


@dataclass(eq=False)
class Txn:
    """ops: ('append', key, value) and ('read', key, values or None where there was no answer), in their order.
    outcome: ok, failed (has had no effect), unknown. Times are of one clock."""
    process: str
    invoked: int
    completed: int = None
    outcome: str = 'ok'
    ops: list = field(default_factory=list)

    def appends(self):
        return [(key, value) for kind, key, value in self.ops if kind == 'append']

    def __str__(self):
        def shown(kind, key, what):
            if kind == 'append':
                return f'append {key} {what}'
            end = '?' if what is None else ' '.join(map(str, what[-SHOWN:]))
            return f'read {key} = [{"… " if what and len(what) > SHOWN else ""}{end}]'
        until = self.completed if self.outcome == 'ok' else self.outcome
        return f'[{self.invoked} .. {until}] {self.process}: ' + ', '.join(shown(*op) for op in self.ops)


@dataclass(frozen=True)
class Anomaly:
    name: str
    text: str

    def __str__(self):
        return f'{self.name}: {self.text}'


def check_lists(txns, level):
    """All that is wrong with a history; of what is wrong in the same way the first few."""
    return _History(txns, level).check()


class _History:
    def __init__(self, txns, level):
        assert level in LEVELS
        self.txns = txns
        self.level = level
        self.anomalies = []
        self.counts = defaultdict(int)
        self.writers = {}                   # (key, value) -> Txn
        self.last = {}                      # (Txn, key) -> its last value there
        self.order = {}                     # key -> the longest list that was read
        self.reads = []                     # (Txn, key, what it read from others)
        self.until = {}                     # Txn -> when it had committed for sure
        self.committed = set()

    def found(self, name, text):
        self.counts[name] += 1
        if self.counts[name] <= SHOWN:
            self.anomalies.append(Anomaly(name, text))

    def check(self):
        self._index()
        self._find_committed()
        for txn in self.txns:
            if txn in self.committed:
                self._read(txn)
        self._order_versions()
        self._look_for_lost()
        self._look_for_cycle()
        more = [Anomaly(name, f'{count - SHOWN} more') for name, count in self.counts.items() if count > SHOWN]
        return self.anomalies + more

    def _index(self):
        for txn in self.txns:
            for key, value in txn.appends():
                assert (key, value) not in self.writers, f'the workload appends {value} to {key} twice'
                self.writers[key, value] = txn
                self.last[txn, key] = value

    def _find_committed(self):
        """Those of unknown outcome of which something was seen have been committed, too."""
        todo = [txn for txn in self.txns if txn.outcome == 'ok']
        self.committed = set(todo)
        self.until = {txn: txn.completed for txn in todo}
        seen = set()
        while todo:
            for kind, key, values in todo.pop().ops:
                for value in reversed(values or () if kind == 'read' else ()):
                    if (key, value) in seen:
                        break  # as is what stands in front of it, where it is the same list
                    seen.add((key, value))
                    writer = self.writers.get((key, value))
                    if writer is not None and writer.outcome == 'unknown' and writer not in self.committed:
                        self.committed.add(writer)
                        todo.append(writer)

    # ---- what a transaction read ---------------------------------------------------------------

    def _read(self, txn):
        own, before = defaultdict(tuple), {}
        for kind, key, what in txn.ops:
            if kind == 'append':
                own[key] += (what,)
            elif what is not None:
                values, mine = tuple(what), own[key]
                if values[len(values) - len(mine):] != mine:
                    self.found('internal', f'its own append is not at the end: {txn}')
                    continue
                of_others = values[:len(values) - len(mine)]
                if self.level != READ_COMMITTED and before.setdefault(key, of_others) != of_others:
                    self.found('internal', f'two reads of {key} differ: {txn}')
                self._read_of_others(txn, key, of_others)

    def _read_of_others(self, txn, key, values):
        if len(set(values)) != len(values):
            self.found('duplicate append', f'twice in {key}: '
                       f'{sorted({v for v in values if values.count(v) > 1})[:SHOWN]}, read by {txn}')
            return
        for value in values:
            writer = self.writers.get((key, value))
            if writer is None:
                self.found('alien', f'nobody appended {value} to {key}, read by {txn}')
                return
            if writer.outcome == 'failed':
                self.found('aborted read (G1a)',
                           f'{value} of {key} is of a transaction that failed\n  {writer}\n  {txn}')
                return
        if values:
            writer = self.writers[key, values[-1]]
            if writer is not txn and self.last[writer, key] != values[-1]:
                self.found('intermediate read (G1b)', f'{values[-1]} is not the last of\n  {writer}\n  {txn}')
        self.reads.append((txn, key, values))

    def _order_versions(self):
        """Keeps the reads that agree with the longest one of their key."""
        for txn, key, values in self.reads:
            longest, _ = self.order.get(key, ((), None))
            if len(values) > len(longest):
                self.order[key] = (values, txn)
        agreeing = []
        for txn, key, values in self.reads:
            longest, by = self.order.get(key, ((), None))
            if longest[:len(values)] == values:
                agreeing.append((txn, key, values))
            else:
                self.found('incompatible order', f'of {key}\n  {by}\n  {txn}')
        self.reads = agreeing
        self.order = {key: values for key, (values, _) in self.order.items()}

    def _look_for_lost(self):
        """What is in no list of its key, though one was read later."""
        self._date_unknown()
        read_from = defaultdict(int)
        for txn, key, _ in self.reads:
            if txn.outcome == 'ok':
                read_from[key] = max(read_from[key], txn.invoked)
        there = {key: set(values) for key, values in self.order.items()}
        for (key, value), txn in self.writers.items():
            if (txn in self.committed and value not in there.get(key, ()) and
                    self.until.get(txn, read_from[key]) < read_from[key]):
                self.found('lost append', f'{value} of {key}: {txn}')

    def _date_unknown(self):
        """One of unknown outcome had committed when the first who saw it was answered."""
        for txn, key, values in self.reads:
            if txn.outcome == 'ok':
                for value in reversed(values):
                    writer = self.writers[key, value]
                    if writer.outcome == 'unknown':
                        self.until[writer] = min(self.until.get(writer, txn.completed), txn.completed)

    # ---- cycles --------------------------------------------------------------------------------

    def _look_for_cycle(self):
        graph, at = self._graph()
        if not graph.components({*STAGES[-1], ''}):
            return
        for labels in STAGES:
            wanted = {*labels, ''}
            components = graph.components(wanted)
            for component in components:
                self._tell_cycle(graph.cycle(component, wanted), at)
            if components:
                return

    def _graph(self):
        """The graph, and whose each vertex is."""
        txns = [txn for txn in self.txns if txn in self.committed]
        graph = Graph(0)
        moment, at = {}, {}
        for txn in txns:
            start = graph.vertex()
            commit = start if self.level == SERIALIZABLE else graph.vertex()
            graph.edge(start, commit, '')
            moment[txn] = (start, commit)
            at[start] = at[commit] = txn
        later = 1 if self.level == READ_COMMITTED else 0  # the moment that a version that is seen is in front of
        for source, target, label in self._edges():
            if source not in moment or target not in moment:
                continue  # its order is told of already
            if label == 'rw':
                graph.edge(moment[source][0], moment[target][1], label)
            else:
                graph.edge(moment[source][1], moment[target][later], label)
        self._real_time(graph, txns, moment)
        return graph, at

    def _edges(self):
        for key, values in self.order.items():
            writers = [self.writers[key, value] for value in values]
            for source, target in zip(writers, writers[1:]):
                if source is not target:
                    yield source, target, 'ww'
        for txn, key, values in self.reads:
            longest = self.order.get(key, ())
            if values and self.writers[key, values[-1]] is not txn:
                yield self.writers[key, values[-1]], txn, 'wr'
            if len(values) < len(longest) and self.writers[key, longest[len(values)]] is not txn:
                yield txn, self.writers[key, longest[len(values)]], 'rw'

    def _real_time(self, graph, txns, moment):
        """By a line of answers, each of which comes before the next: an edge for each pair would be too many."""
        answered = sorted((self.until[txn], moment[txn][1]) for txn in txns if txn in self.until)
        line = [graph.vertex() for _ in answered]
        for vertex, following in zip(line, line[1:]):
            graph.edge(vertex, following, '')
        for (_, commit), vertex in zip(answered, line):
            graph.edge(commit, vertex, 'rt')
        times = [time for time, _ in answered]
        for txn in txns:
            count = bisect.bisect_left(times, txn.invoked)
            if count:
                graph.edge(line[count - 1], moment[txn][0], 'rt')

    def _tell_cycle(self, cycle, at):
        labels = [label for _, label in cycle]
        anti = labels.count('rw')
        name = 'G0' if set(labels) <= {'ww', 'rt', ''} else 'G1c' if not anti else 'G-single' if anti == 1 else 'G2'
        lines = [f'  {at[vertex]}\n    {label}' for vertex, label in cycle if vertex in at and label]
        self.found(name + ('-realtime' if 'rt' in labels else ''), 'each before the next, the last before the first\n' +
                   '\n'.join(lines))
