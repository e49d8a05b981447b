"""Cycles in a graph whose edges say why they are there. Pure."""
from collections import deque

STARTS_MAX = 200  # vertices of a component from which the shortest way back is looked for


def _pop_until(vertex, stack):
    popped = {stack.pop()}
    while vertex not in popped:
        popped.add(stack.pop())
    return popped


class Graph:
    """Vertices are numbers from 0; each edge has a label. Several between two vertices are fine."""

    def __init__(self, vertices):
        self.out = [[] for _ in range(vertices)]

    def vertex(self):
        self.out.append([])
        return len(self.out) - 1

    def edge(self, source, target, label):
        if source != target:
            self.out[source].append((target, label))

    def components(self, labels):
        """Sets of more than one vertex that all reach each other by edges of these labels (Tarjan, without
        recursion)."""
        index, low, on_stack = {}, {}, set()
        stack, found = [], []
        for root in range(len(self.out)):
            if root in index:
                continue
            index[root] = low[root] = len(index)
            stack.append(root)
            on_stack.add(root)
            work = [(root, iter(self.out[root]))]
            while work:
                vertex, edges = work[-1]
                for target, label in edges:
                    if label not in labels:
                        continue
                    if target not in index:
                        index[target] = low[target] = len(index)
                        stack.append(target)
                        on_stack.add(target)
                        work.append((target, iter(self.out[target])))
                        break
                    if target in on_stack:
                        low[vertex] = min(low[vertex], index[target])
                else:
                    work.pop()
                    if work:
                        low[work[-1][0]] = min(low[work[-1][0]], low[vertex])
                    if low[vertex] == index[vertex]:
                        component = _pop_until(vertex, stack)
                        on_stack -= component
                        if len(component) > 1:
                            found.append(component)
        return found

    def cycle(self, component, labels):
        """A short cycle within a component: [(vertex, label of the edge to the next one), …]."""
        best = None
        for start in sorted(component)[:STARTS_MAX]:
            way = self._way_back(start, component, labels)
            if best is None or len(way) < len(best):
                best = way
        return best

    def _way_back(self, start, component, labels):
        before = {}
        queue = deque([start])
        while queue:
            vertex = queue.popleft()
            for target, label in self.out[vertex]:
                if label not in labels or target not in component:
                    continue
                if target == start:
                    way = [(vertex, label)]
                    while vertex != start:
                        vertex, label = before[vertex]
                        way.append((vertex, label))
                    return way[::-1]
                if target not in before:
                    before[target] = (vertex, label)
                    queue.append(target)
        raise AssertionError('not a component')
