"""PostgreSQL's protocol 3.0 by hand: messages exactly as a test writes them, and what comes back, in plain words.

A client library sends what its makers found sensible. This one sends anything, in any order and in pieces of any size,
and keeps each answer as a tuple that compares: ('DataRow', (b'1',)), ('ReadyForQuery', 'I'). What differs between two
servers without meaning anything (process ids, keys, object ids of what a test made) does not appear in it.
"""
import base64
import contextlib
import functools
import hashlib
import hmac
import os
import socket
import struct

PROTOCOL = 196608
CANCEL = 80877102
FIRST_OWN_OID = 16384  # below it are PostgreSQL's own
PATIENCE_S = 10
FIELDS = {'S': 'severity', 'C': 'code', 'M': 'message', 'D': 'detail', 'H': 'hint', 'P': 'position', 'W': 'where',
          't': 'table', 'c': 'column', 'n': 'constraint'}
PLAIN = {'1': 'ParseComplete', '2': 'BindComplete', '3': 'CloseComplete', 'n': 'NoData', 's': 'PortalSuspended',
         'I': 'EmptyQueryResponse', 'c': 'CopyDone'}


class Closed(ConnectionError):
    """The other side has ended the connection."""


# ---- what a client sends --------------------------------------------------------------------------

def message(kind, *parts):
    body = b''.join(part.encode() + b'\0' if isinstance(part, str) else part for part in parts)
    return kind.encode() + struct.pack('!I', len(body) + 4) + body


def int16(*numbers):
    return struct.pack(f'!{len(numbers)}h', *numbers)


def int32(*numbers):
    return struct.pack(f'!{len(numbers)}i', *numbers)


def value(data):
    """A parameter: its length and its bytes, or NULL."""
    if data is None:
        return int32(-1)
    data = data.encode() if isinstance(data, str) else data
    return int32(len(data)) + data


def query(text):
    return message('Q', text)


def parse(text, name='', types=()):
    return message('P', name, text, int16(len(types)), int32(*types))


def bind(name='', portal='', parameters=(), formats=(), results=()):
    return message('B', portal, name, int16(len(formats), *formats), int16(len(parameters)),
                   *map(value, parameters), int16(len(results), *results))


def describe(kind='S', name=''):
    return message('D', kind.encode(), name)


def close(kind='S', name=''):
    return message('C', kind.encode(), name)


def execute(portal='', rows=0):
    return message('E', portal, int32(rows))


def function_call(oid, arguments=(), formats=(1,), result=1):
    return message('F', int32(oid), int16(len(formats), *formats), int16(len(arguments)), *map(value, arguments),
                   int16(result))


def copy_data(data):
    return message('d', data)


def copy_fail(reason):
    return message('f', reason)


SYNC = message('S')
FLUSH = message('H')
COPY_DONE = message('c')
TERMINATE = message('X')


def run(text, parameters=(), name='', **how):
    """Parse, Bind, Describe of the portal and Execute, as most drivers send it; without Sync."""
    return parse(text, name) + bind(name, parameters=parameters, **how) + describe('P') + execute()


# ---- what a server answers ------------------------------------------------------------------------

class Reader:
    """Takes a message apart, from front to back."""

    def __init__(self, body):
        self.body = body

    def bytes(self, count):
        taken, self.body = self.body[:count], self.body[count:]
        return taken

    def number(self, form):
        return struct.unpack(f'!{form}', self.bytes(struct.calcsize(form)))[0]

    def text(self):
        taken, _, self.body = self.body.partition(b'\0')
        return taken.decode('utf-8', 'replace')

    def value(self):
        length = self.number('i')
        return None if length < 0 else self.bytes(length)


class Names:
    """Object ids of what tests make, in the order in which they turn up: they differ from run to run."""

    def __init__(self):
        self.seen = []

    def of(self, oid):
        if oid < FIRST_OWN_OID:
            return oid
        if oid not in self.seen:
            self.seen.append(oid)
        return f'oid {self.seen.index(oid) + 1}'


def fields_of(reader):
    """The fields of an error or a notice that mean the same everywhere; a position only where it is given."""
    fields = {}
    while reader.body and reader.body[:1] != b'\0':
        kind = reader.bytes(1).decode()
        text = reader.text()
        if kind in FIELDS:
            fields[FIELDS[kind]] = text
    return tuple(sorted(fields.items()))


def columns_of(reader, names):
    columns = []
    for _ in range(reader.number('h')):
        name = reader.text()
        table, column = names.of(reader.number('I')), reader.number('h')
        type_oid = names.of(reader.number('I'))
        columns.append((name, table, column, type_oid, reader.number('h'), reader.number('i'), reader.number('h')))
    return tuple(columns)


def answer_of(kind, body, names):
    """A message in plain words, or None for one that says nothing that compares."""
    reader = Reader(body)
    if kind in PLAIN:
        return (PLAIN[kind],)
    if kind == 'Z':
        return ('ReadyForQuery', body.decode())
    if kind == 'C':
        return ('CommandComplete', reader.text())
    if kind == 'D':
        return ('DataRow', tuple(reader.value() for _ in range(reader.number('h'))))
    if kind == 'T':
        return ('RowDescription', columns_of(reader, names))
    if kind == 't':
        return ('ParameterDescription', tuple(names.of(reader.number('I')) for _ in range(reader.number('h'))))
    if kind in 'EN':
        return ('ErrorResponse' if kind == 'E' else 'NoticeResponse', fields_of(reader))
    if kind == 'S':
        return ('ParameterStatus', reader.text(), reader.text())
    if kind == 'A':
        reader.number('I')
        return ('NotificationResponse', reader.text(), reader.text())
    if kind in 'GHW':
        copy = {'G': 'CopyInResponse', 'H': 'CopyOutResponse', 'W': 'CopyBothResponse'}[kind]
        return (copy, reader.number('b'), tuple(reader.number('h') for _ in range(reader.number('h'))))
    if kind == 'd':
        return ('CopyData', body)
    if kind == 'V':
        return ('FunctionCallResponse', reader.value())
    return (f'message {kind!r}', body)


# ---- a connection ---------------------------------------------------------------------------------

class Wire:
    """A connection that is logged in. `heard` is everything that came since, `status` the last ReadyForQuery's."""

    def __init__(self, host, port, user, password, dbname, **startup):
        self.place = (host, port)
        self.unread = b''
        self.names = Names()
        self.status = None
        self.parameters = {}
        self.key = None
        self.heard = []
        self.owed = 0       # ReadyForQuery messages that are still to come
        self.piece = None   # bytes per write; None: all at once
        self.at_rest = None  # called when everything is answered and no transaction is open
        self.end = self.dial()
        try:
            self._login(user, password, {'user': user, 'database': dbname, **startup})
        except BaseException:
            self.end.close()
            raise

    def dial(self):
        host, port = self.place
        if str(host).startswith('/'):
            end = socket.socket(socket.AF_UNIX)
            end.settimeout(PATIENCE_S)
            end.connect(f'{host}/.s.PGSQL.{port}')
            return end
        end = socket.create_connection((host, port), PATIENCE_S)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return end

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.finish()

    def finish(self):
        with contextlib.suppress(OSError):
            self.end.sendall(TERMINATE)
        self.end.close()

    def drop(self):
        """Goes without a word."""
        self.end.close()

    def _login(self, user, password, startup):
        body = int32(PROTOCOL) + b''.join(f'{key}\0{setting}\0'.encode() for key, setting in startup.items()) + b'\0'
        self.end.sendall(struct.pack('!I', len(body) + 4) + body)
        scram = Scram(password)
        while self.status is None:
            kind, body = self._next()
            if kind == 'R':
                answer = scram.answer(body)
                if answer:
                    self.end.sendall(message('p', answer))
            elif kind == 'K':
                self.key = body
            elif kind == 'S':
                _, name, setting = answer_of(kind, body, self.names)
                self.parameters[name] = setting
            elif kind == 'Z':
                self.status = body.decode()
            elif kind == 'E':
                raise ConnectionRefusedError(dict(fields_of(Reader(body)))['message'])

    def _next(self):
        head = self._take(5)
        kind, length = chr(head[0]), struct.unpack('!I', head[1:])[0]
        return kind, self._take(length - 4)

    def rest(self):
        """All bytes that come until the connection is closed, as they are."""
        pieces = [self.unread]
        with contextlib.suppress(ConnectionResetError):
            while pieces[-1] or len(pieces) == 1:
                pieces.append(self.end.recv(1 << 18))
        self.unread = b''
        return b''.join(pieces)

    def _take(self, count):
        pieces, missing = [], count
        while missing:
            if not self.unread:
                self.unread = self.end.recv(1 << 18)
                if not self.unread:
                    raise Closed('the connection was closed')
            piece, self.unread = self.unread[:missing], self.unread[missing:]
            pieces.append(piece)
            missing -= len(piece)
        return b''.join(pieces)

    # -- sending and hearing --

    def send(self, *messages, owed=None):
        """Sends messages and counts the ReadyForQuery that they will bring; `owed` says it where a COPY eats some."""
        data = b''.join(messages)
        self.owed += sum(kind in (b'Q', b'S', b'F') for kind in kinds_of(data)) if owed is None else owed
        self._write(data)

    def _write(self, data):
        step = self.piece or len(data)
        for start in range(0, len(data), step):
            self.end.sendall(data[start:start + step])

    def hear(self):
        """The next message, which is kept; a status of a setting and a notice count as any other."""
        kind, body = self._next()
        heard = answer_of(kind, body, self.names)
        self.heard.append(heard)
        if kind == 'Z':
            self.status = body.decode()
            self.owed -= 1
        elif kind == 'S':
            self.parameters[heard[1]] = heard[2]
        return heard

    def until(self, name):
        """Hears up to a message of this name, where nothing else ends what was sent; an error ends it, too."""
        while True:
            heard = self.hear()
            if heard[0] in (name, 'ErrorResponse'):
                return heard

    def settle(self):
        """Hears everything that is owed."""
        while self.owed > 0:
            self.hear()
        if self.status == 'I' and self.at_rest is not None:
            self.at_rest()

    def ask(self, *messages, owed=None):
        """Sends messages that end in a Sync or are queries, and returns what came."""
        before = len(self.heard)
        self.send(*messages, owed=owed)
        self.settle()
        return self.heard[before:]

    def rows(self, text):
        """What a simple query gives, as text."""
        heard = self.ask(query(text))
        for answer in heard:
            if answer[0] == 'ErrorResponse':
                raise RuntimeError(dict(answer[1])['message'])
        return [tuple(None if field is None else field.decode() for field in answer[1])
                for answer in heard if answer[0] == 'DataRow']

    def cancel(self):
        """A cancel request for this connection; returns when the server has taken it."""
        end = self.dial()
        try:
            end.sendall(int32(16, CANCEL) + self.key)
            while end.recv(1024):
                pass
        finally:
            end.close()


def kinds_of(data):
    """The types of whole messages."""
    while data:
        yield data[:1]
        data = data[1 + struct.unpack('!I', data[1:5])[0]:]


# ---- SCRAM-SHA-256 (RFC 7677), the client's side without channel binding ----------------------------

@functools.lru_cache
def salted(password, salt, iterations):
    """The dear part, which is the same each time."""
    return hashlib.pbkdf2_hmac('sha256', password, salt, iterations)


class Scram:
    def __init__(self, password):
        self.password = password.encode()  # as SASLprep leaves those of our tests
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        self.first = f'n=,r={self.nonce}'

    def answer(self, request):
        kind = struct.unpack('!I', request[:4])[0]
        if kind == 10:
            first = f'n,,{self.first}'.encode()
            return b'SCRAM-SHA-256\0' + int32(len(first)) + first
        if kind == 11:
            return self._proof(request[4:].decode())
        if kind not in (0, 12):
            raise ConnectionRefusedError(f'authentication {kind} is not spoken here')
        return None

    def _proof(self, challenge):
        parts = dict(part.split('=', 1) for part in challenge.split(','))
        key = hmac.digest(salted(self.password, base64.b64decode(parts['s']), int(parts['i'])), b'Client Key', 'sha256')
        bare = f'c=biws,r={parts["r"]}'
        signed = f'{self.first},{challenge},{bare}'.encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, 'sha256')
        proof = bytes(a ^ b for a, b in zip(key, signature))
        return f'{bare},p={base64.b64encode(proof).decode()}'.encode()
