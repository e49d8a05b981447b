"""What is not Python, and what sits on top of drivers: node-postgres, JDBC, psql, pgbench, SQLAlchemy, Django."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conformance.both import same, told_twice
from support.node import app_folder
from support.started import Started

HERE = Path(__file__).resolve().parent
JDBC = Path('/usr/share/java/postgresql.jar')
pytestmark = pytest.mark.timeout(180)


def told_by(command, meanwhile, **options):
    """The lines of a program that lets strangers in by a line "?"."""
    story = []
    with Started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
                 **options) as process:
        for line in process.stdout:
            if line != '?\n':
                story.append(line)
                continue
            meanwhile()
            process.stdin.write('\n')
        process.stdin.close()
        wrong = process.stderr.read()
        assert process.wait() == 0 and not wrong, wrong
    return story


# ---- node-postgres --------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def node_folder(root, tmp_path_factory):
    """Where require() finds the packages of the example application."""
    folder = app_folder(root / 'examples/app', root / 'build/node', tmp_path_factory.mktemp('app') / 'app')
    shutil.copy(HERE / 'story.js', folder)
    return folder


def test_node_postgres(node_folder, database, one):
    told_twice(lambda place, meanwhile: node_story(['story.js'], place, meanwhile, node_folder), database, one,
               client_encoding='UTF8')


def node_story(command, place, meanwhile, folder):
    environment = {**place.environment(), 'PATH': os.environ['PATH'], 'STORY_CA': str(place.ca or '')}
    del environment['PGSSLMODE']
    environment.pop('PGSSLROOTCERT', None)
    return told_by(['node', '--no-deprecation', *command], meanwhile, cwd=folder, env=environment)


def test_sequelize(root, database, two, tmp_path):
    if not os.environ.get('WEIR_CONFORMANCE'):
        pytest.skip('needs Sequelize, which make conformance installs from npm')
    folder = app_folder(HERE / 'sequelize', root / 'build/node', tmp_path / 'app')
    told_twice(lambda place, meanwhile: node_story(['story.js'], place, meanwhile, folder), database, two,
               client_encoding='UTF8')


# ---- JDBC -----------------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def java_classes(tmp_path_factory):
    if shutil.which('javac') is None or not JDBC.exists():
        pytest.skip('needs a JDK (default-jdk-headless) and libpostgresql-jdbc-java')
    folder = tmp_path_factory.mktemp('java')
    subprocess.run(['javac', '-cp', JDBC, '-d', folder, HERE / 'Story.java'], check=True, capture_output=True, timeout=120)
    return folder


@pytest.mark.parametrize('options', ['', '&prepareThreshold=1', '&prepareThreshold=0', '&preferQueryMode=simple'],
                         ids=lambda options: options or 'as it is')
def test_jdbc(options, java_classes, database, two):
    def story(place, meanwhile):
        tls = f'sslmode=verify-full&sslrootcert={place.ca}' if place.ca else 'sslmode=disable'
        settings = place.settings()
        url = f'jdbc:postgresql://{place.host}/app?{tls}{options}'
        return told_by(['java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', f'{java_classes}:{JDBC}', 'Story', url,
                        settings['user'], settings['password']], meanwhile,
                       env={'PATH': os.environ['PATH'], 'TZ': 'UTC', 'LC_ALL': 'C.UTF-8'})
    told_twice(story, database, two, client_encoding='UTF8', DateStyle='ISO', TimeZone='UTC', extra_float_digits='2')


# ---- PHP and Ruby ---------------------------------------------------------------------------------

def program(*command):
    """A test skips by name where there is no such driver; `make conformance` installs them."""
    if shutil.which(command[0]) is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip(f"needs {' '.join(command)}: tools/install.sh conform")


@pytest.mark.parametrize('which', ['pdo', 'emulated', 'unnamed', 'more', 'pgsql'])
def test_php(which, database, two):
    program('php', '-r', 'exit(extension_loaded("pdo_pgsql") && extension_loaded("pgsql") ? 0 : 1);')

    def story(place, meanwhile):
        return told_by(['php', '-d', 'display_errors=stderr', HERE / 'story.php', which], meanwhile,
                       env={**place.environment(), 'PATH': os.environ['PATH']})
    told_twice(story, database, two)


@pytest.mark.parametrize('which', ['prepared', 'unprepared'])
def test_activerecord(which, database, two):
    program('ruby', '-e', 'require "active_record"; require "pg"')

    def story(place, meanwhile):
        return told_by(['ruby', '-W0', HERE / 'story.rb', which], meanwhile,
                       env={**place.environment(), 'PATH': os.environ['PATH'], 'LC_ALL': 'C.UTF-8'})
    told_twice(story, database, two)


# ---- PostgreSQL's own -----------------------------------------------------------------------------

SCRIPT = r"""
\set ON_ERROR_STOP 0
\set VERBOSITY verbose
SELECT 1 AS a \gset
SELECT :a + 1;
SELECT id, v FROM items WHERE id < 3 ORDER BY id \gdesc
\copy notes (v) from program 'printf "x\\ny\\n"'
\copy (SELECT v FROM notes ORDER BY id) to stdout
\copy notes (id) from program 'echo no number'
SELECT 1/0;
\errverbose
BEGIN;
INSERT INTO notes (v) VALUES ('z') RETURNING id;
SAVEPOINT s;
SELECT nothing;
ROLLBACK TO s;
COMMIT;
\set ON_ERROR_ROLLBACK on
BEGIN;
SELECT nothing;
SELECT 'still here';
ROLLBACK;
\set FETCH_COUNT 100
SELECT count(*) FROM (SELECT id FROM items ORDER BY id) x;
SELECT id FROM items ORDER BY id LIMIT 250;
\unset FETCH_COUNT
SELECT format('SELECT %s', n) FROM generate_series(1, 3) n \gexec
SET search_path = pg_catalog;
\encoding LATIN1
SHOW client_encoding;
\encoding UTF8
\d public.notes
\dt public.*
\du ann
\l app
\x on
SELECT 1 AS one, 2 AS two \bind \g
SELECT 1 \; SELECT 2;
SELECT $1::int AS bound \bind 5 \g
"""


@pytest.mark.parametrize('options', [[], ['--single-transaction']], ids=str)
def test_psql(options, database, one, run):
    def story(place, _):
        done = run('psql', '-X', '-a', '-v', 'ON_ERROR_STOP=0', *options, input=SCRIPT,
                   env={**place.environment(), 'PATH': os.environ['PATH']})
        return [done.returncode, *done.stdout.splitlines(), *done.stderr.splitlines()]
    told_twice(story, database, one)


@pytest.mark.parametrize('mode', ['simple', 'extended', 'prepared'])
def test_pgbench(mode, database, one, run, tmp_path):
    """With variables from what was read, and pipelines where there can be any. A thread per client, for it waits for
    a PREPARE with all clients of its thread, also with the one whose transaction keeps the connection."""
    script = tmp_path / 'script.sql'
    pipeline = ('\\startpipeline\nSELECT :a + 1;\nSELECT :a + 2;\n\\endpipeline\n' if mode != 'simple' else '')
    script.write_text('\\set n random(1, 1000)\nSELECT id AS a FROM items WHERE id = :n \\gset\nBEGIN;\n'
                      'INSERT INTO notes (v) VALUES (:a);\nSELECT count(*) AS c FROM notes WHERE v = (:a)::text \\gset\nEND;\n'
                      + pipeline)

    def story(place, _):
        done = run('pgbench', '-n', '-c', '4', '-j', '4', '-t', '25', '-M', mode, '-f', script,
                   env={**place.environment(), 'PATH': os.environ['PATH']})
        return [done.returncode, done.stderr, [line for line in done.stdout.splitlines() if 'transactions' in line and
                                               'tps' not in line], database_count()]

    def database_count():
        with database.admin('app') as admin:
            return admin.execute('SELECT count(*) FROM notes').fetchall()
    told_twice(story, database, one)


# ---- on top of drivers ----------------------------------------------------------------------------

def sqlalchemy_story(place, meanwhile):
    import sqlalchemy as sa  # pylint: disable=import-outside-toplevel
    from sqlalchemy.orm import Session, declarative_base  # pylint: disable=import-outside-toplevel
    settings = place.settings()
    url = sa.engine.URL.create('postgresql+psycopg2', settings['user'], settings['password'], place.host, settings['port'], 'app')
    tls = {key: setting for key, setting in settings.items() if key.startswith('ssl')}
    engine = sa.create_engine(url, connect_args=tls, pool_pre_ping=True, pool_size=2)
    base = declarative_base()

    class Person(base):  # pylint: disable=too-few-public-methods
        __tablename__ = 'people'
        id = sa.Column(sa.Integer, primary_key=True)
        name = sa.Column(sa.String(40), unique=True)

    story = []
    base.metadata.create_all(engine)
    meanwhile()
    try:
        with Session(engine) as session:
            session.add_all(Person(name=f'p{n}') for n in range(5))
            session.commit()
            meanwhile()
            story.append([(p.id, p.name) for p in session.query(Person).order_by(Person.id)])
            session.add(Person(name='p0'))
            try:
                session.flush()
            except sa.exc.IntegrityError as error:
                story.append(error.orig.diag.constraint_name)
                session.rollback()
            with session.begin_nested():
                session.add(Person(name='nested'))
            session.commit()
        meanwhile()
        with engine.connect().execution_options(isolation_level='SERIALIZABLE') as c:
            story.append(c.execute(sa.text('SHOW transaction_isolation')).scalar())
        with engine.connect().execution_options(isolation_level='AUTOCOMMIT') as c:
            meanwhile()
            story.append(c.execute(sa.text('SELECT count(*) FROM people')).scalar())
        with engine.connect().execution_options(stream_results=True) as c:
            story.append(len(c.execute(sa.text('SELECT id FROM items')).fetchall()))
        story.append(sa.inspect(engine).get_columns('people')[1]['name'])
    finally:
        base.metadata.drop_all(engine)
        engine.dispose()
    return story


def test_sqlalchemy(database, one):
    told_twice(sqlalchemy_story, database, one)


@pytest.fixture(scope='module')
def django_programs():
    """Django's settings are a process's: its story is a program."""
    return ['/usr/bin/python3', HERE / 'django_story.py']


def test_django(django_programs, database, two):
    def story(place, meanwhile):
        return told_by(django_programs, meanwhile, env={**place.environment(), 'PATH': os.environ['PATH'],
                                                        'PYTHONDONTWRITEBYTECODE': '1'})
    told_twice(story, database, two, client_encoding='UTF8')


def test_what_differs_is_told():
    """The comparison itself can fail."""
    with pytest.raises(pytest.fail.Exception, match=r"\+\('b',\)"):
        same([('a',)], [('b',)])
