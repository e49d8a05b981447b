"""bench/proxy: a run with the smallest of everything, so that it works on the day it is wanted."""
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.watch import wait_until

BENCH = Path(__file__).resolve().parents[2] / 'bench/proxy'


@pytest.fixture
def bench(weir, tmp_path):
    """Runs it with files of its own; at its end there are none, and no process."""
    tmp_path.chmod(0o755)

    def start(*arguments):
        command = ['/usr/bin/python3', BENCH / 'bench.py', '--build', weir.parent, '--rounds', '1', '--seconds', '0.2',
                   '--contenders', 'direct,weir', *arguments]
        return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, 'TMPDIR': str(tmp_path)})
    yield start
    assert not list(tmp_path.glob('weir-bench-*'))
    assert not [entry for entry in os.listdir('/proc') if entry.isdigit() and in_folder(entry, tmp_path)]


def in_folder(pid, folder):
    try:
        return os.readlink(f'/proc/{pid}/cwd').startswith(f'{folder}/')
    except OSError:
        return False


def test_smallest_run(bench, tmp_path):
    out = tmp_path / 'numbers.json'
    process = bench('--measures', 'simple,extended,simple-16,wide,simple-unix,simple-tls', '--out', out)
    table, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    rows = {row.split('|')[1].strip(): row for row in table.splitlines() if row.startswith('|')}
    assert '| weir |' in rows['measure']
    numbers = json.loads(out.read_text())
    measured = {value['measure']: value['rounds'][0] for value in numbers['values'] if value['contender'] == 'weir'}
    assert set(measured) == {'simple', 'extended', 'simple-16', 'wide', 'simple-unix', 'simple-tls'}
    assert all(0.1 < value < 1000 for value in measured.values())
    assert measured['simple-16'] < measured['simple']
    assert 'direct, simple-tls: nullpg has no TLS' in table


def test_interrupted(bench):
    process = bench('--measures', 'simple', '--rounds', '1000')
    for line in process.stderr:
        if 'weir: ' in line:
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143


def test_wrong_words(bench):
    for arguments, said in ((['--measures', 'simple,wat'], 'no measure is called wat'),
                            (['--contenders', 'wat'], 'no contender is called wat')):
        process = bench(*arguments)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 1
        assert said in errors


def test_ratio_is_of_the_same_rounds(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    import bench as program
    results = program.Results()
    for number, (ours, theirs) in enumerate([(10, 20), (30, 30), (90, 60)]):
        results.add(('simple', 'weir'), number, ours)
        if number < 2:
            results.add(('simple', 'pgbouncer'), number, theirs)
    assert results.ratio('simple', 'weir', 'simple', 'pgbouncer') == 0.75
    assert results.ratio('simple', 'weir', 'simple', 'haproxy') is None
    for name in ('bench', 'contenders', 'measures', 'process', 'servers'):
        sys.modules.pop(name, None)


def test_nullpg_knows_its_statements(weir, tmp_path):
    """A proxy that mixes up named statements is told so, as by PostgreSQL."""
    psycopg = pytest.importorskip('psycopg')
    folder = tmp_path

    def connected():
        try:
            return psycopg.connect(host=str(folder), port=7999, user='bench', dbname='bench', autocommit=True)
        except psycopg.OperationalError:  # its socket is there before it listens
            return None

    with subprocess.Popen([weir.parent / 'bench/proxy/nullpg', '-a', '127.201.7.9', '-p', '7999', '-u',
                           folder / '.s.PGSQL.7999']) as server:
        try:
            with wait_until(connected, 'nullpg answers', 20) as client:
                assert client.execute('SELECT 1').fetchone() == ('0',)
                client.pgconn.prepare(b'a', b'SELECT 1')
                again = client.pgconn.prepare(b'a', b'SELECT 1')
                assert b'already exists' in again.error_message
                assert b'does not exist' in client.pgconn.exec_prepared(b'b', []).error_message
                assert client.pgconn.exec_prepared(b'a', []).get_value(0, 0) == b'0'
                with client.transaction():
                    client.execute('SELECT 1')
                    assert client.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
                assert client.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        finally:
            server.terminate()
