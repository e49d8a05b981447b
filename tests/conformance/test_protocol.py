"""The protocol itself: the same messages directly and through a pool must bring the same answers.

The pool has one server connection, and a stranger uses it whenever the script's client has no transaction open. Where
the two conversations may differ stands in INTENDED, and in docs/pool.md under "Different from a direct connection".
"""
import threading

import pytest

import conformance.habits  # pylint: disable=unused-import
from conformance.both import Stranger, same, wire
from conformance.scripts import PINNED, SCRIPTS
from support.pool import Proxy, wait_for
from support.wire import SYNC, bind, execute, parse, query, run

pytestmark = pytest.mark.timeout(120)


def played(script, database, host, stranger=None):
    """What a client hears that plays the script, and what it has been told of its settings at the end."""
    database.run('TRUNCATE notes RESTART IDENTITY')
    with wire(host) as client:
        client.at_rest = stranger and stranger.visit
        script(client)
        assert client.owed == 0
        return in_order(client.heard), client.parameters


def in_order(heard):
    """Settings are told in any order."""
    ordered, told = [], []
    for answer in [*heard, None]:
        if answer and answer[0] == 'ParameterStatus':
            told.append(answer)
        else:
            ordered += [*sorted(told), answer]
            told = []
    return ordered[:-1]


def compare(script, database, proxy):
    theirs, theirs_told = played(script, database, database.folder)
    stranger = Stranger(proxy.address)
    with stranger.wire:
        ours, ours_told = played(script, database, proxy.address, stranger)
    same(theirs, ours)
    assert ours_told == theirs_told
    assert stranger.visits > 0 or script.__name__ in PINNED


@pytest.mark.parametrize('name', sorted(set(SCRIPTS) - PINNED))
def test_as_on_a_connection_of_its_own(name, database, one):
    compare(SCRIPTS[name], database, one)


@pytest.mark.parametrize('name', sorted(PINNED))
def test_in_a_session_that_is_pinned(name, database, two):
    compare(SCRIPTS[name], database, two)


@pytest.fixture(scope='module')
def relay(weir, tmp_path_factory, authority, database):
    """The endpoint of an instance: a server connection for each client."""
    proxy = Proxy(weir, tmp_path_factory.mktemp('relay') / 'run', authority, database)
    try:
        proxy.relay()
        yield proxy
    finally:
        assert proxy.plane.close() == 0


def test_by_an_endpoint(database, relay):
    """Nothing is changed there: all scripts, in one test."""
    for script in SCRIPTS.values():
        same(played(script, database, database.folder), played(script, database, relay.address))


@pytest.mark.parametrize('startup', [{}, {'TimeZone': 'Asia/Tokyo', 'application_name': 'ü'},
                                     {'options': '-c DateStyle=german -c work_mem=5MB', 'client_encoding': 'LATIN1'}])
def test_what_a_login_tells(startup, database, one):
    with wire(database.folder, **startup) as direct, wire(one.address, **startup) as pooled:
        assert pooled.parameters == direct.parameters
        assert pooled.rows('SHOW work_mem') == direct.rows('SHOW work_mem')


@pytest.mark.parametrize('how', ['simple', 'extended', 'in a transaction', 'copying'])
def test_cancel(how, database, one):
    """The same error, wherever it is met, and the session goes on; a request for nothing hits nobody."""
    def story(client, running):
        client.ask(query('BEGIN' if how == 'in a transaction' else 'SELECT 0'))
        client.cancel()
        sleep = {'extended': run('SELECT pg_sleep(60)') + SYNC, 'copying': query('COPY (SELECT pg_sleep(60)) TO STDOUT')}
        client.send(sleep.get(how, query('SELECT pg_sleep(60)')))
        wait_for(running, 'it runs')
        client.cancel()
        client.settle()
        client.ask(query('ROLLBACK' if how == 'in a transaction' else 'SELECT 1'))
        return client.heard

    def running():
        return database.ask("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    with wire(database.folder) as direct, wire(one.address) as pooled, wire(one.address) as other:
        theirs = story(direct, running)
        heard = threading.Thread(target=other.ask, args=(query('SELECT 2'),))
        wait_for(lambda: not running(), 'it has ended')
        ours = story(pooled, lambda: running() and (heard.is_alive() or not heard.start()))
        heard.join()
        same(theirs, ours)
        assert ('DataRow', (b'2',)) in other.heard and not [a for a in other.heard if a[0] == 'ErrorResponse']


# ---- where they differ ----------------------------------------------------------------------------

def gist(heard):
    """Values and SQLSTATEs: what the table below says of a conversation."""
    said = []
    for kind, *rest in heard:
        if kind == 'DataRow':
            said += [field if field is None else field.decode() for field in rest[0]]
        elif kind == 'ErrorResponse':
            said.append(dict(rest[0])['code'])
    return said


def named_before(c):
    c.ask(parse('SELECT 1', 'mine'), SYNC)


def ask(*texts, before=None):
    def script(c):
        if before:
            before(c)
        for text in texts:
            c.ask(query(text))
    return script


def an_unnamed_statement_for_later(c):
    c.ask(parse('SELECT 7'), bind(), execute(), SYNC)
    c.ask(bind(), execute(), SYNC)


def until_strangers_have_discarded_all(c):
    for _ in range(STRANGE_HABITS):
        c.ask(query('SELECT'))


def a_type_that_went(c):
    c.ask(query("CREATE TYPE mood AS ENUM ('sad')"))
    c.ask(parse('SELECT $1::mood', 'own'), SYNC)
    c.ask(query('DROP TYPE mood'))
    until_strangers_have_discarded_all(c)
    c.ask(bind('own', '', ['sad']), execute(), SYNC)


def a_literal_with_its_style(c):
    c.ask(query('SET DateStyle = german'))
    c.ask(parse("SELECT date '1.2.2026' - date '2026-01-01'", 'own'), SYNC)
    c.ask(query('RESET DateStyle'))
    until_strangers_have_discarded_all(c)
    c.ask(bind('own'), execute(), SYNC)


def a_custom_setting_that_failed(c):
    c.ask(query("SET work_mem = '5MB'"))
    c.ask(run("SET my.never = 'x'"), run('SELECT 1/0'), SYNC)
    c.ask(query("SELECT current_setting('my.never', true)"))


def the_pid(c):
    pid = str(int.from_bytes(c.key[:4], 'big'))
    c.ask(query(f'SELECT pg_backend_pid() = {pid}'))


STRANGE_HABITS = 7
MILLION = 'EXPLAIN SELECT FROM generate_series(1, 1000000)'
PLAN = 'Function Scan on generate_series  (cost=0.00..12'
# words of docs/pool.md, a script, what is heard directly, and what through the pool
INTENDED = [
    ('`pg_prepared_statements` shows the statements of the pool',
     ask("SELECT name LIKE 'weir:%' FROM pg_prepared_statements WHERE statement = 'SELECT 1'", before=named_before),
     ['f'], ['t']),
    ('An unnamed statement is gone after its transaction', an_unnamed_statement_for_later, ['7', '7'], ['7', '26000']),
    ('`SHOW` of a fraction (`random_page_cost`)', ask('SET jit = off', 'SET cpu_tuple_cost = 1.23456789', MILLION), [f'{PLAN}34567.89 rows=1000000 width=0)'],
     [f'{PLAN}34570.00 rows=1000000 width=0)']),
    ('is NULL again', a_custom_setting_that_failed, ['22012', ''], ['22012', None]),
    ('`pg_backend_pid()` changes between transactions', the_pid, ['t'], ['f']),
    ('uses a type that is gone since its Parse', a_type_that_went, ['XX000'], ['42704']),
    ('a literal in it is read', a_literal_with_its_style, ['31'], ['1']),
]
INTENDED_WHERE_PINNED = [
    ("SQL's `EXECUTE` does not know names of the protocol", ask('EXECUTE mine', before=named_before), ['1'], ['26000']),
    ('`lastval()` and `currval()` do not know of a `nextval()` in an earlier transaction', ask("SELECT nextval('notes_id_seq')", 'SELECT lastval()'),
     ['1', '1'], ['1', '55000']),
]


def check_difference(difference, root, database, proxy):
    words, script, directly, pooled = difference
    assert words in ' '.join((root / 'docs/pool.md').read_text().split())
    assert gist(played(script, database, database.folder)[0]) == directly
    stranger = Stranger(proxy.address)
    assert len(stranger.habits) == STRANGE_HABITS
    with stranger.wire:
        assert gist(played(script, database, proxy.address, stranger)[0]) == pooled


@pytest.mark.parametrize('difference', INTENDED, ids=lambda row: row[0])
def test_intended_differences(difference, root, database, one):
    check_difference(difference, root, database, one)


@pytest.mark.parametrize('difference', INTENDED_WHERE_PINNED, ids=lambda row: row[0])
def test_intended_differences_where_pinned(difference, root, database, two):
    check_difference(difference, root, database, two)


def test_behind_a_rollback_within_a_batch(database, one):
    def script(c):
        c.ask(run('SELECT 1'), run('ROLLBACK'), run('SHOW work_mem'), SYNC)
    stranger = Stranger(one.address)
    with stranger.wire:
        stranger.wire.ask(query("SET work_mem = '77MB'"))
        ours = played(script, database, one.address)[0]
    same(played(script, database, database.folder)[0], ours)
