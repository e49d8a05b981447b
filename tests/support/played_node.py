"""A node that the test plays: it says of itself which of its commands write, and everything else, byte by byte and
round by round, is the test's. For what no real Redis does when it is wanted."""
import contextlib
import queue
import socket
import threading

from support.engines import own_address
from support.front_group import GATE, PATIENCE_S
from support.plane_agent import PlaneProcess

PORT = 6379


def command_table():
    """What COMMAND answers: name, arity, flags, keys, categories, and what nobody looks at."""
    said = {'get': (['readonly'], []), 'set': (['write'], []), 'ping': (['fast'], []), 'multi': (['fast'], []),
            'exec': (['noscript'], []), 'eval': (['noscript'], ['@scripting']), 'subscribe': (['pubsub'], []),
            'unsubscribe': (['pubsub'], []), 'watch': (['fast'], []), 'blpop': (['write', 'blocking'], [])}
    words = []
    for name, (flags, categories) in said.items():
        words.append(f'*10\r\n${len(name)}\r\n{name}\r\n:-1\r\n')
        words.append(f'*{len(flags)}\r\n' + ''.join(f'+{flag}\r\n' for flag in flags))
        words.append(':0\r\n:0\r\n:0\r\n')
        words.append(f'*{len(categories)}\r\n' + ''.join(f'+{category}\r\n' for category in categories))
        words.append('*0\r\n*0\r\n*0\r\n')
    return f'*{len(said)}\r\n' + ''.join(words)


class Link:
    """One connection of the front's to the node."""

    def __init__(self, node, peer):
        self.node = node
        self.peer = peer
        self.known = False
        self.gate = False

    def say(self, text):
        self.peer.sendall(text.encode())

    def close(self):
        with contextlib.suppress(OSError):
            self.peer.shutdown(socket.SHUT_RDWR)
        self.peer.close()

    def serve(self):
        with contextlib.suppress(OSError, ValueError), self.peer.makefile('rb') as lines:
            while line := lines.readline():
                args = [line.decode().strip()]
                if line.startswith(b'*'):
                    args = [lines.read(int(lines.readline()[1:]) + 2)[:-2].decode() for _ in range(int(line[1:]))]
                self.take(args)

    def take(self, args):
        name = args[0].upper()
        if name == 'AUTH' and not self.known:
            self.known = True
            self.gate = args[1] == GATE
            self.say('+OK\r\n')
        elif self.gate:
            self.take_of_gate(name)
        else:
            self.node.commands.put((self, ' '.join(args)))

    def take_of_gate(self, name):
        if name == 'COMMAND':
            self.say(command_table())
        elif name == 'PING':
            self.say(self.node.pong)
        elif name == 'ECHO':
            self.say('$5\r\nalone\r\n' if self.node.alone else
                     '-NOPERM this user has no permissions to run the \'echo\' command\r\n')
        elif name == 'WAIT':
            self.node.rounds.put(self)


class PlayedNode:
    def __init__(self, name):
        self.name = name
        self.address = own_address()
        self.handed = False
        self.pong = '+PONG\r\n'  # to the gate
        self.alone = False         # its gate may ECHO
        self.links = []
        self.commands = queue.Queue()  # of clients: the link, and the command
        self.rounds = queue.Queue()    # of the gate: its links, one for each WAIT
        self.listener = socket.create_server((self.address, PORT))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                link = Link(self, self.listener.accept()[0])
                self.links.append(link)
                threading.Thread(target=link.serve, daemon=True).start()

    def command(self, wanted):
        """The link on which it came; it must be the next one."""
        link, text = self.commands.get(timeout=PATIENCE_S)
        assert text == wanted
        return link

    def round(self, answer=None):
        """The next WAIT, which is answered with that; None: it is left open."""
        link = self.rounds.get(timeout=PATIENCE_S)
        if answer is not None:
            link.say(answer)
        return link

    def close(self):
        for link in self.links:
            link.close()
        self.listener.close()


class PlayedGroup:
    """A front of a durable group whose nodes are played."""

    def __init__(self, weir, folder, count, **more):
        self.address = own_address()
        self.nodes = [PlayedNode(f'node-{number}') for number in range(count)]
        self.primary = self.nodes[0]
        self.more = {'durable': {'user': GATE, 'wait_ms': 60000}, **more}
        self.front = PlaneProcess(weir, 'front', folder / 'run')

    def configure(self, primary='as before', **more):
        self.primary = self.primary if primary == 'as before' else primary
        self.more.update(more)
        self.front.agent.configure({
            'kind': 'front', 'security_rules': [{'cidr': '127.0.0.0/8'}], 'auth_tokens': [],
            'listeners': [{'endpoint': 'primary', 'address': self.address, 'port': PORT, 'tls': False}],
            'nodes': [{'id': node.name, 'address': node.address, 'port': PORT, 'available': True,
                       'role': 'primary' if node is self.primary else 'replica', 'handed': node.handed}
                      for node in self.nodes],
            'backend': {'user': 'weir_client', 'password': 'a-password'}, **self.more})

    def client(self):
        return socket.create_connection((self.address, PORT), PATIENCE_S)


@contextlib.contextmanager
def played_group(weir, folder, count=2, **more):
    group = PlayedGroup(weir, folder, count, **more)
    try:
        group.configure()
        yield group
    finally:
        for node in group.nodes:
            node.close()
        code = group.front.close()
    assert code == 0
