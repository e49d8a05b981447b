"""`weir proxy explain`: what it says, and that a real pool does what it says."""
import collections
import contextlib
import json
import socket
import subprocess

import pytest

from support.pool import authority, pool, postgres, proxy

pytestmark = pytest.mark.timeout(120)

NOTE = 'Not known here: names behind which a database hides state (hidden_state), for it is not asked.\n'


@pytest.fixture
def explain(weir):
    def ask(*words, text=''):
        return subprocess.run([weir, 'proxy', 'explain', *words], input=text, capture_output=True, text=True,
                              check=False)
    return ask


def test_a_file(explain, tmp_path):
    path = tmp_path / 'app.sql'
    path.write_text("-- the application\nSELECT 1; SET TIME ZONE 'UTC';\n\nLISTEN\n  jobs;\nLOAD 'x';\n")
    done = explain(path)
    assert done.stdout == (
        f"{path}:2: multiplexes: SELECT 1\n"
        f"{path}:2: multiplexes: SET TIME ZONE 'UTC' -- sets timezone\n"
        f"{path}:4: multiplexes: LISTEN jobs -- listens, which pins without shared_listeners\n"
        f"{path}:6: pins: LOAD 'x' -- load, to the end of the session: SQL loaded a library.\n" + NOTE)
    assert (done.stderr, done.returncode) == ('', 1)


def test_nothing_pins(explain):
    done = explain('SELECT 1', 'BEGIN;\nCOMMIT', 'SELECT 2')
    assert [line.split(': ')[0] for line in done.stdout.splitlines()[:-1]] == ['sql:1', 'sql:2', 'sql:3', 'sql:4']
    assert (done.stderr, done.returncode) == ('', 0)
    assert explain(text='\n\nSELECT 1').stdout.startswith('stdin:3: multiplexes')
    done = explain('-', text='-- nothing')
    assert (done.stdout, done.returncode) == (NOTE, 0)


def test_standard_input_needs_no_path(weir):
    """Of a socket /dev/stdin cannot be opened; and in a bare root it is not there."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b'SELECT 1')
        ours.shutdown(socket.SHUT_WR)
        done = subprocess.run([weir, 'proxy', 'explain'], stdin=theirs, capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ('', 0)
    assert done.stdout.startswith('stdin:1: multiplexes: SELECT 1')


def test_json(explain):
    done = explain('-o', 'json', "SET a.b = 1; SELECT pg_advisory_lock(1)")
    found = json.loads(done.stdout)
    assert found['login'] is None and found['note'] == NOTE.strip()
    first, second = found['statements']
    assert (first['pins'], first['pin'], first['sets'], first['text']) == (False, None, ['a.b'], 'SET a.b = 1')
    assert second['pin'] == {'reason': 'advisory_lock', 'can_end': True,
                             'sentence': 'SQL took an advisory lock of the session.'}
    assert done.returncode == 1


def test_settings(explain):
    assert explain("SELECT 'a\\'").returncode == 0
    assert ': pins: ' in explain('--setting', 'standard_conforming_strings=off', "SELECT 'a\\'").stdout
    assert ': pins: ' in explain('--setting=client_encoding=SJIS', "SELECT 'ä'").stdout
    done = explain('--setting', 'search_path=pg_temp', '-o', 'json', 'SELECT 1')
    assert (json.loads(done.stdout)['login']['reason'], done.returncode) == ('temporary_object', 1)


@pytest.mark.parametrize('words, said', [
    (['--setting', 'x', 'SELECT 1'], '--setting takes NAME=VALUE, not x'),
    (['--setting', 'standard_conforming_strings=maybe'], 'standard_conforming_strings is on or off, not maybe'),
    (['-o', 'xml'], 'unknown output "xml"; there are: table, json'),
    (['--colour'], 'there is no option --colour: see `weir proxy explain --help`'),
    (['-x', 'SELECT 1'], 'there is no option -x: see `weir proxy explain --help`'),
    (['-o'], 'a value is missing behind -o: see `weir proxy explain --help`'),
    (['nowhere.sql'], 'cannot read nowhere.sql: No such file or directory'),
    (['SELECT 1;\nSELECT (2'],
     'sql:2: the statement has no end: a quote, a comment, a parenthesis or a body is open'),
])
def test_bad_input(explain, words, said):
    done = explain(*words)
    assert (done.stderr, done.returncode) == (f'weir proxy: {said}\n', 2)


def test_what_is_not_text(explain, tmp_path):
    (tmp_path / 'a.sql').write_bytes(b'SELECT 1\0')
    done = explain(tmp_path / 'a.sql')
    assert 'it has a NUL byte' in done.stderr and done.returncode == 2
    (tmp_path / 'b.sql').write_bytes(b"SELECT '\xff\x1b'")
    assert explain(tmp_path / 'b.sql').stdout.startswith(f"{tmp_path}/b.sql:1: multiplexes: SELECT '??'\n")
    assert json.loads(explain(tmp_path / 'b.sql', '-o', 'json').stdout)['statements'][0]['text'] == "SELECT '??'"


STATEMENTS = ['SELECT 1', 'SET TIME ZONE 5', "SELECT set_config('a.b', 'c', false)", 'LISTEN x', 'DO $$ BEGIN END $$',
              'CREATE TEMP TABLE e (a int)', 'SELECT 1 /* LISTEN x */', 'SELECT pg_advisory_xact_lock(5)',
              'SELECT pg_advisory_lock(5)', 'PREPARE p AS SELECT 1', 'DISCARD ALL',
              "SELECT set_config('search_' || 'path', 'public', false)", 'SELECT 2']


def test_the_pool_does_what_it_says(explain, pool):
    said = collections.Counter()
    with contextlib.ExitStack() as stack:
        for statement in STATEMENTS:
            connection = stack.enter_context(pool.connect())
            connection.execute(statement)
            connection.execute('SELECT 1')
            told = json.loads(explain('-o', 'json', statement).stdout)['statements'][0]
            said.update([told['pin']['reason']] if told['pin'] else ['listen'] if told['listens'] else [])
        connection.execute('LISTEN last')  # what is reported now was said of all of them
        said['listen'] += 1
        status = pool.await_status(lambda s: s['clients'] == len(STATEMENTS) and s['pinned'].get('listen') == 2)
        assert status['pinned'] == said
