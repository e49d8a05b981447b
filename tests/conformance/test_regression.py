"""PostgreSQL's own regression tests (src/test/regress), directly and through a pool of few server connections.

tools/postgres_source.sh brings them; `make conformance` has it done.
"""
import difflib
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager

import pytest

from support.engines import account_folder, give, stop
from support.pool import PORT, Postgres, Proxy

PG_REGRESS = '/usr/lib/postgresql/15/lib/pgxs/src/test/regress/pg_regress'
TESTS = 217
PARALLEL = 4  # tests at a time; each may pin, and has two sessions while it connects anew
SERVERS = 8
ROLE = {'user': 'postgres', 'password': 'not asked for'}
DATABASE = ["lc_messages TO 'C'", "lc_monetary TO 'C'", "lc_numeric TO 'C'", "lc_time TO 'C'", "bytea_output TO 'hex'",
            "timezone_abbreviations TO 'Default'"]  # as pg_regress sets them where it makes the database
# What is meant to be different (docs/pool.md): the test, and its line of a difference, with how many of it.
INTENDED = {
    # A client that connects anew is no new session of PostgreSQL's.
    ('stats', '- t'): 1, ('stats', '+ f'): 1,
    # PostgreSQL counts a schema for temporary objects that is there already as one that was not used.
    ('temp', '-ERROR:  cannot PREPARE a transaction that has operated on temporary objects'): 1,
}
pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope='module')
def sources(root):
    folder = root / 'build/postgresql'
    if not (folder / 'version').exists():
        pytest.skip("needs PostgreSQL's sources: tools/postgres_source.sh build/postgresql")
    return folder


@contextmanager
def fresh_database():
    with account_folder('postgres') as folder:
        server = Postgres(folder, max_connections=60, settings=('max_prepared_transactions=2', 'log_min_messages=panic'))
        try:
            server.run('CREATE DATABASE regression TEMPLATE template0', database='postgres')
            for setting in DATABASE:
                server.run(f'ALTER DATABASE regression SET {setting}', database='postgres')
            yield server
        finally:
            stop(server.process, signal.SIGINT)


def outputs(sources, server, host, what):
    """From each test to the lines of its output. Tests have no name of their own as application_name, which would
    keep them from sharing server connections."""
    folder = server.folder / what
    for part in ('results', 'lib', 'regress'):
        (folder / part).mkdir(parents=True)
    shutil.copytree(sources / 'regress', folder / 'regress', dirs_exist_ok=True)
    shutil.copytree(sources / 'lib', folder / 'lib', dirs_exist_ok=True)
    for path in (folder, folder / 'results'):
        give(path, 'postgres')
    launcher = folder / 'launch'
    launcher.write_text('#!/bin/sh\nunset PGAPPNAME\nexec timeout 300 "$@"\n')
    launcher.chmod(0o755)
    done = subprocess.run(
        [PG_REGRESS, '--use-existing', '--dbname=regression', f'--inputdir={folder}/regress', f'--outputdir={folder}',
         '--bindir=/usr/lib/postgresql/15/bin', f'--dlpath={folder}/lib', f'--max-connections={PARALLEL}',
         f'--launcher={launcher}', f'--host={host}', f'--port={PORT}', f"--user={ROLE['user']}",
         f'--schedule={folder}/regress/parallel_schedule'],
        capture_output=True, text=True, check=False, timeout=1200, cwd=folder,
        env={'PATH': os.environ['PATH'], 'PGPASSWORD': ROLE['password'], 'PGSSLMODE': 'disable'})
    told = {path.stem: path.read_text(errors='replace').replace(str(folder), '').splitlines()
            for path in (folder / 'results').glob('*.out')}
    assert len(told) == TESTS, f'{done.stdout}{done.stderr}'
    return told


@pytest.fixture(scope='module')
def directly(sources):
    with fresh_database() as server:
        return outputs(sources, server, server.folder, 'directly')


def differences(theirs, ours):
    """Lines of patches that are not meant, and how often those that are meant were seen."""
    wrong, seen = [], dict.fromkeys(INTENDED, 0)
    for test, lines in sorted(theirs.items()):
        patch = list(difflib.unified_diff(lines, ours[test], n=0, lineterm=''))
        for line in patch[2:]:
            if (test, line) in INTENDED:
                seen[(test, line)] += 1
            elif line[0] in '+-':
                wrong.append(f'{test}: {line}')
    return wrong, seen


@pytest.mark.parametrize('shared', [0, 2], ids=['pool', 'shared connections'])
def test_postgres_own_tests(shared, weir, tmp_path, authority, sources, directly):
    with fresh_database() as server:
        proxy = Proxy(weir, tmp_path / 'run', authority, server)
        try:
            proxy.configure({'users': [ROLE], 'max_connections_percent': 10 * SERVERS, 'shared_connections': shared,
                             'connection_borrow_timeout_s': 60}, workers=2)
            ours = outputs(sources, server, proxy.address, 'pooled')
            status = proxy.await_status(lambda s: s['clients'] == 0)
        finally:
            code = proxy.plane.close()
    wrong, seen = differences(directly, ours)
    assert not wrong, '\n'.join(wrong[:100])
    assert all(seen[line] <= INTENDED[line] for line in seen)
    assert code == 0 and status['timeouts'] == 0 and status['servers'] <= SERVERS
    print(f"{len(ours)} tests, {status['borrows']} borrows, {status['shared']} shared, pinned: {status['pinned']}")
