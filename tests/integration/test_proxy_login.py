"""Who may log in to a pool of `weir proxy`, and by which proof: md5, certificates, passwords that are being changed,
and what becomes of those who guess."""
import asyncio
import contextlib
import hashlib
import select
import socket
import struct
import threading
import time

import asyncpg
import psycopg
import pytest

from support.certs import Authority
from support.plane_agent import Refused
from support.pool import ANN, BOB, PORT, authority, pool, postgres, proxy, wait_for

pytestmark = pytest.mark.timeout(120)

WRONG = 'The password that was provided for the role ann is wrong.'
UNKNOWN = 'This RDS proxy has no credentials for the role eve. Check the credentials for this role and try again.'
RATE = 'Rate of connection to proxy exceeded 16.'


def denied(proxy, user=ANN, **more):
    """What asyncpg makes of the refusal: its fields are there."""
    async def connect():
        await asyncpg.connect(host=proxy.address, port=PORT, user=user['user'], password=more.pop('password', None),
                              database='app', ssl=more.pop('ssl', False), **more)
    with pytest.raises(asyncpg.PostgresError) as error:
        asyncio.run(connect())
    return error.value


# ---- by hand ------------------------------------------------------------------------------------

def start_packet(user):
    body = struct.pack('!I', 196608) + b''.join(text.encode() + b'\0' for text in (
        'user', user, 'database', 'app', ''))
    return struct.pack('!I', len(body) + 4) + body


class Login:
    """A login over a plain socket, step by step, from an address of one's choice."""

    def __init__(self, proxy, user, source='127.0.0.1'):
        self.user = user
        self.socket = socket.create_connection((proxy.address, PORT), 20, (source, 0))
        self.reader = self.socket.makefile('rb')
        self.socket.sendall(start_packet(user))
        self.kind, self.body = self.message()
        self.method = struct.unpack('!I', self.body[:4])[0] if self.kind == b'R' else None

    def message(self):
        head = self.reader.read(5)
        return head[:1], self.reader.read(struct.unpack('!I', head[1:])[0] - 4)

    def prove(self, password):
        if self.kind == b'E':
            return self  # it was refused before it was asked
        def digest(data):
            return hashlib.md5(data).hexdigest().encode()
        salt = self.body[4:8]
        self.say(b'md5' + digest(digest(password.encode() + self.user.encode()) + salt) + b'\0')
        return self

    def say(self, body):
        self.socket.sendall(b'p' + struct.pack('!I', len(body) + 4) + body)

    def verdict(self):
        """'ok', or the message of the error; and its SQLSTATE."""
        kind, body = (self.kind, self.body) if self.kind == b'E' else self.message()
        if kind == b'R':
            self.close()
            return 'ok', None
        assert self.reader.read() == b'', 'that is all'
        self.close()
        fields = {field[:1]: field[1:].decode() for field in body.split(b'\0') if field}
        return fields[b'M'], fields[b'C']

    def is_answered(self):
        return bool(select.select([self.socket], [], [], 0)[0])

    def close(self):
        self.reader.close()
        self.socket.close()


def attempt(proxy, user, password, source='127.0.0.1'):
    """The verdict's message, and how long it took."""
    began = time.monotonic()
    said, _ = Login(proxy, user, source).prove(password).verdict()
    return said, time.monotonic() - began


# ---- md5 ----------------------------------------------------------------------------------------

@pytest.fixture
def md5(proxy):
    proxy.configure({'client_password_auth': 'md5'}, workers=1)
    return proxy


def test_md5(md5):
    for user in (ANN, BOB):
        with md5.connect(user) as connection:
            assert connection.execute('SELECT current_user').fetchone() == (user['user'],)

    async def ask():
        connection = await asyncpg.connect(host=md5.address, port=PORT, database='app', **BOB)  # it wants ASCII here
        assert await connection.fetchval('SELECT 1') == 1
        await connection.close()
    asyncio.run(ask())
    with pytest.raises(psycopg.OperationalError, match='channel binding'):
        md5.connect(channel_binding='require')
    md5.configure({'client_password_auth': 'scram-sha-256'})
    md5.connect(channel_binding='require').close()


def test_who_may_not_log_in_by_md5(md5):
    """An unknown role is asked for a password as the others are, and hears of it behind it."""
    for user, said in (('ann', WRONG), ('eve', UNKNOWN)):
        login = Login(md5, user)
        assert (login.kind, login.method, len(login.body)) == (b'R', 5, 8)
        assert login.prove('wrong').verdict() == (said, '28P01')
        assert Login(md5, user).prove('').verdict() == (said, '28P01')
    again = Login(md5, 'ann'), Login(md5, 'ann')
    assert again[0].body[4:] != again[1].body[4:], 'each has a salt of its own'
    again[0].body = again[1].body
    assert again[0].prove(ANN['password']).verdict()[0] == WRONG
    again[1].say(b'no end')
    assert again[1].verdict() == ('malformed PasswordMessage', '08P01')
    clear = Login(md5, 'ann')
    clear.say(ANN['password'].encode() + b'\0')
    assert clear.verdict()[0] == WRONG


def test_each_role_has_its_own_proof(proxy):
    """One by md5, the other by SCRAM, and back: what an unknown role is asked for is the pool's."""
    def asked(*users):
        return [Login(proxy, user).method for user in users]
    proxy.configure({'users': [{**ANN, 'client_password_auth': 'md5'}, BOB]}, workers=1)
    assert asked('ann', 'bob', 'eve') == [5, 10, 10]
    for user in (ANN, BOB):
        proxy.connect(user).close()
    with pytest.raises(psycopg.OperationalError, match=WRONG):
        proxy.connect(ANN, password='wrong')
    proxy.configure({'client_password_auth': 'md5', 'users': [{**ANN, 'client_password_auth': 'scram-sha-256'}, BOB]})
    assert asked('ann', 'bob', 'eve') == [10, 5, 5]
    proxy.connect(ANN, channel_binding='require').close()
    proxy.connect(BOB).close()


def test_a_verifier_does_not_go_with_md5(proxy, postgres):
    verifier = postgres.ask("SELECT rolpassword FROM pg_authid WHERE rolname = 'ann'")[0][0]
    with pytest.raises(Refused, match='ann has a SCRAM verifier'):
        proxy.configure({'client_password_auth': 'md5', 'users': [{'user': 'ann', 'verifier': verifier}]})
    proxy.configure({'client_password_auth': 'scram-sha-256'})
    proxy.connect().close()


# ---- certificates -------------------------------------------------------------------------------

@pytest.fixture
def certs(proxy, authority):
    """ann shows a certificate, bob has a password."""
    proxy.config['listeners'][0]['client_ca_pem'] = authority.ca.read_text()
    proxy.configure({'users': [{**ANN, 'auth': 'cert'}, BOB]}, workers=1)
    return proxy


def shown(authority, name):
    cert, key = authority.issue(name, f'DNS:{name}')
    return {'sslcert': str(cert), 'sslkey': str(key)}


def test_certificate(certs, authority):
    with certs.connect({'user': 'ann'}, **shown(authority, 'ann')) as connection:
        assert connection.execute('SELECT current_user').fetchone() == ('ann',)
    # Nobody else needs one, and who shows one still proves the password.
    certs.connect(BOB).close()
    certs.connect(BOB, **shown(authority, 'bob')).close()
    with pytest.raises(psycopg.OperationalError, match='for the role bob is wrong'):
        certs.connect({'user': 'bob', 'password': 'wrong'}, **shown(authority, 'bob'))


def test_without_the_right_certificate(certs, authority, tmp_path):
    missing = 'connection requires a valid client certificate'
    hint = 'This role logs in over TLS with a client certificate (sslcert, sslkey) whose common name is "ann".'
    with pytest.raises(psycopg.OperationalError, match=missing):
        certs.connect()
    for password in (None, ANN['password']):
        error = denied(certs, password=password)
        assert (error.sqlstate, error.message, error.hint) == ('28000', missing, hint)
    with pytest.raises(psycopg.OperationalError) as other:
        certs.connect(ANN, **shown(authority, 'bob'))
    assert 'certificate authentication failed for user "ann"' in str(other.value)
    assert 'The certificate\'s common name is "bob".' in str(other.value) and hint in str(other.value)
    for name in ('Ann', 'anna', 'an'):
        with pytest.raises(psycopg.OperationalError, match='certificate authentication failed'):
            certs.connect(ANN, **shown(authority, name))
    stranger = Authority(tmp_path)
    for user in (ANN, BOB):
        with pytest.raises(psycopg.OperationalError, match='unknown ca|unexpectedly|decrypt'):
            certs.connect(user, **shown(stranger, 'ann'))
    assert certs.await_status(lambda s: s.get('auth_failed') == 7)


def test_certificate_of_another_name(certs, authority):
    certs.configure({'users': [{**ANN, 'auth': 'cert', 'cert_name': 'service 1'}]})
    certs.connect({'user': 'ann'}, **shown(authority, 'service 1')).close()
    with pytest.raises(psycopg.OperationalError, match='whose common name is "service 1"'):
        certs.connect({'user': 'ann'}, **shown(authority, 'ann'))


def test_certificate_and_no_password_for_the_server(certs, authority):
    certs.configure({'users': [{'user': 'ann', 'auth': 'cert'}]})
    with pytest.raises(psycopg.OperationalError, match='the proxy has none of this role'):
        certs.connect({'user': 'ann'}, **shown(authority, 'ann'))


def test_certificates_need_an_authority(certs):
    del certs.config['listeners'][0]['client_ca_pem']
    with pytest.raises(Refused, match='ann has auth cert, and no listener has a client_ca_file'):
        certs.configure()
    certs.config['listeners'][0]['client_ca_pem'] = 'no certificate'
    with pytest.raises(Refused, match="the clients' authority"):
        certs.configure()


# ---- passwords that are being changed -----------------------------------------------------------

NEW = {'user': 'ann', 'password': 'the new one'}


@pytest.fixture
def changing(postgres):
    """Sets ann's password at the server; it is the old one in the end."""
    def change(password):
        with postgres.admin() as admin:
            admin.execute('ALTER ROLE ann PASSWORD ' + psycopg.sql.Literal(password).as_string(admin))
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ann'")
    yield change
    change(ANN['password'])


def both(proxy):
    proxy.configure({'users': [{**NEW, 'previous_password': ANN['password']}, BOB]})


def test_files(proxy, authority, tmp_path):
    new, old = tmp_path / 'new', tmp_path / 'old'
    for path, text in ((new, NEW['password']), (old, ANN['password'])):
        path.write_text(text + '\n')
        path.chmod(0o600)
    proxy.config['listeners'][0]['client_ca_file'] = str(authority.ca)
    users = [{'user': 'ann', 'password_file': str(new), 'previous_password_file': str(old)}, {**BOB, 'auth': 'cert'}]
    proxy.configure({'users': users})
    proxy.connect(NEW).close()
    proxy.connect(ANN).close()
    proxy.connect({'user': 'bob'}, **shown(authority, 'bob')).close()
    old.chmod(0o644)
    with pytest.raises(Refused, match=f'chmod o= {old}'):
        proxy.configure(max_clients=100)
    proxy.config['listeners'][0]['client_ca_file'] = str(tmp_path / 'nowhere')
    old.chmod(0o600)
    with pytest.raises(Refused, match='nowhere: No such file'):
        proxy.configure()


@pytest.mark.parametrize('method', ['scram-sha-256', 'md5'])
def test_either_password(proxy, changing, method):
    proxy.configure({'client_password_auth': method, 'users': [NEW, BOB]})
    with pytest.raises(psycopg.OperationalError, match=WRONG):
        proxy.connect(ANN)
    both(proxy)
    for password in (NEW['password'], ANN['password']):
        with proxy.connect(NEW, password=password) as connection:
            assert connection.execute('SELECT current_user').fetchone() == ('ann',)
    with pytest.raises(psycopg.OperationalError, match=WRONG):
        proxy.connect(NEW, password='older')
    with pytest.raises(psycopg.OperationalError, match='for the role bob is wrong'):
        proxy.connect(BOB, password=ANN['password'])


def test_rotation(proxy, postgres, changing):
    """From one password to the other, at the proxy, at the server, and at the clients: nobody is turned away."""
    proxy.configure()
    with proxy.connect(BOB) as bob, proxy.connect() as stays:
        both(proxy)
        assert stays.execute('SELECT 1').fetchone() == (1,)
        proxy.connect(NEW).close()
        for password in (NEW['password'], ANN['password'], NEW['password']):
            changing(password)
            wait_for(lambda: not postgres.backends(), 'its connections are gone')
            for client in (NEW, ANN):
                with proxy.connect(client) as connection:
                    assert connection.execute('SELECT 1').fetchone() == (1,)
            assert stays.execute('SELECT 1').fetchone() == (1,)
            assert bob.execute('SELECT 1').fetchone() == (1,)
            assert proxy.await_status(lambda s: True)['targets'][0]['state'] == 'AVAILABLE'
        proxy.configure({'users': [NEW, BOB]})
        assert stays.execute('SELECT 1').fetchone() == (1,)
        proxy.connect(NEW).close()
        with pytest.raises(psycopg.OperationalError, match=WRONG):
            proxy.connect(ANN)


def test_many_at_once_during_a_rotation(proxy, postgres, changing):
    """Logins at the server that are refused together count as one try of that password."""
    both(proxy)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(proxy.connect(NEW)) for _ in range(12)]
        for password in (NEW['password'], ANN['password']):
            changing(password)
            wait_for(lambda: not postgres.backends(), 'its connections are gone')
            errors = []

            def work(client):
                try:
                    assert client.execute('SELECT pg_sleep(0.1)').fetchone()
                except BaseException as error:  # pylint: disable=broad-except
                    errors.append(error)
            threads = [threading.Thread(target=work, args=(client,)) for client in clients]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert not errors


def test_neither_password_at_the_server(proxy, changing):
    changing('another one')
    both(proxy)
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError, match='could not log in to the database'):
            proxy.connect(NEW)
    proxy.await_status(lambda s: s['targets'][0]['reason'] == 'AUTH_FAILURE')
    changing(NEW['password'])
    proxy.connect(NEW).close()
    proxy.await_status(lambda s: s['targets'][0]['state'] == 'AVAILABLE')


def test_nobody_uses_it_during_a_rotation(proxy):
    """Who looks whether the target lives has the same two passwords."""
    both(proxy)
    proxy.await_status(lambda s: s['targets'][0]['state'] == 'AVAILABLE')
    assert not any(s['targets'][0]['reason'] == 'AUTH_FAILURE' for s in proxy.plane.agent.statuses)


def test_a_password_that_is_put_right(proxy, postgres, changing):
    """The role's salt at the server is the same as before, and yet what was derived from the wrong one is not used."""
    proxy.configure(workers=1)
    with proxy.connect() as one, proxy.connect() as other:
        changing('right')
        wait_for(lambda: not postgres.backends(), 'its connections are gone')
        proxy.configure({'users': [{'user': 'ann', 'password': 'wrong'}]})
        with pytest.raises(psycopg.OperationalError, match='could not log in to the database'):
            one.execute('SELECT 1')
        proxy.configure({'users': [{'user': 'ann', 'password': 'right'}]})
        assert other.execute('SELECT 1').fetchone() == (1,)


# ---- guessing -----------------------------------------------------------------------------------

OTHER = '127.0.0.77'
FREE = 10


def guess(proxy, times, user='ann', source='127.0.0.1'):
    """Logins that wait for their verdict; another one, behind the proof, is of no interest."""
    logins = [Login(proxy, user, source).prove('wrong') for _ in range(times)]
    for login in logins:
        if login.kind == b'R':
            login.socket.sendall(start_packet('bob'))
    return logins


def test_answers_come_later_and_later(md5):
    for _ in range(FREE):
        assert attempt(md5, 'ann', 'wrong')[0] == WRONG
    for user, said, at_least_s in (('ann', WRONG, 0.25), ('eve', UNKNOWN, 0.5), ('ann', WRONG, 1)):
        waiting = guess(md5, 1, user)[0]
        began = time.monotonic()
        assert waiting.verdict() == (said, '28P01')
        assert time.monotonic() - began >= at_least_s - 0.05
    status = md5.await_status(lambda s: s.get('auth_failed') == FREE + 3)
    assert status['auth_delayed'] == 3
    # Meanwhile the others are served: with the right password from there, and any from elsewhere.
    slowest = guess(md5, 6)[-1]
    for who, source in ((ANN, '127.0.0.1'), (BOB, '127.0.0.1'), (ANN, OTHER)):
        assert attempt(md5, who['user'], who['password'], source)[0] == 'ok'
    assert attempt(md5, 'ann', 'wrong', OTHER)[0] == WRONG
    assert not slowest.is_answered()
    slowest.verdict()
    assert md5.await_status(lambda s: s['clients'] == 0)


def test_scram_and_certificates_are_delayed_as_well(certs):
    for _ in range(FREE):
        denied(certs)
    began = time.monotonic()
    denied(certs)
    assert time.monotonic() - began >= 0.2
    with pytest.raises(psycopg.OperationalError, match='for the role bob is wrong'):
        certs.connect(BOB, password='wrong')
    assert time.monotonic() - began >= 0.7


def test_who_does_not_wait_for_the_answer(md5):
    """A guess by another connection is not looked at, not even if it is right, while so many answers are on their
    way; and hanging up does not make room."""
    def full():
        for login in guess(md5, 16):
            login.close()
        return attempt(md5, 'ann', ANN['password'])[0] == RATE
    wait_for(full, 'it is refused')
    assert Login(md5, 'ann').prove(ANN['password']).verdict() == (RATE, '53300')
    # Neither its neighbours nor the same role from elsewhere are in this.
    for who, source in ((BOB, '127.0.0.1'), (ANN, OTHER)):
        assert attempt(md5, who['user'], who['password'], source)[0] == 'ok'
    assert md5.await_status(lambda s: s.get('refused_by_limit', 0) >= 2)
    wait_for(lambda: attempt(md5, 'ann', ANN['password'])[0] == 'ok', 'it is over')


def test_proofs_that_were_kept_back(md5):
    """Whoever opens many logins first and proves them all at once gains nothing."""
    for login in guess(md5, 20):
        login.verdict()
    opened = [Login(md5, 'ann') for _ in range(40)]
    for login in opened:
        login.prove('wrong')
    said = [login.verdict()[0] for login in opened]
    assert said.count(WRONG) == 16 and said.count(RATE) == 24


def test_certificates_are_limited_as_well(certs):
    def work():
        said.append(denied(certs).message)
    said = []
    for _ in range(2):
        threads = [threading.Thread(target=work) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert RATE in said and set(said) == {RATE, 'connection requires a valid client certificate'}


def test_how_many_connections_are_held_back(md5):
    """Those of all sources together; more are answered at once."""
    for number in range(24):
        for user, times in (('ann', FREE + 16), ('bob', 16), ('eve', 16)):
            for login in guess(md5, times, user, f'127.0.7.{number}'):
                login.close()
    md5.await_status(lambda s: s.get('auth_delayed', 0) >= 512)
    assert max(s['clients'] for s in md5.plane.agent.statuses) <= 512 + 1
    assert attempt(md5, 'ann', ANN['password'])[0] == 'ok'
    md5.await_status(lambda s: s['clients'] == 0)
    assert attempt(md5, 'ann', 'wrong', '127.0.7.0')[1] > 0.2, 'there is room again'


def test_it_stops_while_answers_are_on_their_way(md5):
    waiting = guess(md5, FREE + 5)
    for login in waiting[:FREE]:
        login.verdict()
    md5.await_status(lambda s: s.get('auth_delayed') == 5)
    assert md5.plane.close() == 0
    assert {login.verdict()[0] for login in waiting[FREE:]} <= {WRONG, 'terminating connection due to administrator '
                                                               'command'}
