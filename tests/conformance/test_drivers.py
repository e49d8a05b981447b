"""Drivers as people use them: each tells its story directly and through a pool, and must have the same to tell.

A story is a function of a place and of `meanwhile`, which it calls where no transaction is open: then a stranger uses
the pool's one server connection. Values, errors, and what the driver believes of its session are the story.
"""
import asyncio
import datetime
import decimal
import uuid

import asyncpg
import psycopg
import pytest

from conformance.both import told_twice
from support.watch import wait_until

pytestmark = pytest.mark.timeout(120)
VALUES = (1, -2.5, 'ü€', None, True, decimal.Decimal('1.50'), datetime.date(2026, 1, 2), b'\0\xff', [1, None, 3],
          datetime.timedelta(days=1, seconds=2), uuid.UUID(int=5))
CASTS = ('int', 'float8', 'text', 'text', 'bool', 'numeric', 'date', 'bytea', 'int[]', 'interval', 'uuid')
ASYNCPG = {'client_encoding': "'utf-8'"}
SLEEPS = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


class Teller:
    """Keeps what happens, errors by their SQLSTATE and message."""

    def __init__(self):
        self.story = []

    def tell(self, *what):
        self.story.append(what)

    def wrong(self, errors, call, *arguments, **options):
        """Something that must fail."""
        try:
            self.tell('went well', call(*arguments, **options))
        except errors as error:
            self.tell(type(error).__name__, getattr(error, 'sqlstate', None), str(error))


# ---- psycopg 3 ------------------------------------------------------------------------------------

def psycopg_story(place, meanwhile, **options):
    teller = Teller()
    tell = teller.tell
    with psycopg.connect(**place.settings(), autocommit=True, **options) as c:
        c.add_notice_handler(lambda notice: tell('notice', notice.message_primary))
        columns = ', '.join(f'%s::{cast}' for cast in CASTS)
        for binary in (False, 'cursor_factory' not in options):
            for _ in range(3):
                with c.cursor(binary=binary) as cursor:
                    tell(cursor.execute(f'SELECT {columns}', VALUES).fetchone(), [d.type_code for d in cursor.description])
                meanwhile()
        for wrong in ('SELECT 1/0', 'SELECT FROM FROM', 'INSERT INTO notes (v) VALUES (NULL)', "SELECT 'x'::int"):
            teller.wrong(psycopg.Error, c.execute, wrong)
            meanwhile()
        tell(c.execute('INSERT INTO notes (v) VALUES (%s) RETURNING id', ('a',)).fetchone())
        with c.transaction():
            c.execute('INSERT INTO notes (v) VALUES (%s)', ('b',))
            try:
                with c.transaction():
                    c.execute('INSERT INTO notes (v) VALUES (%s)', (None,))
            except psycopg.errors.NotNullViolation as error:
                tell(error.diag.column_name, error.diag.table_name)
            tell(c.info.transaction_status.name)
        meanwhile()
        with c.cursor() as cursor:
            cursor.executemany('INSERT INTO notes (v) VALUES (%s)', [('c',), ('d',)])
            tell(cursor.rowcount, cursor.execute('SELECT v FROM notes ORDER BY id').fetchall())
        meanwhile()
        with c.transaction(), c.cursor('named') as cursor:
            cursor.itersize = 7
            cursor.execute('SELECT id FROM items ORDER BY id')
            tell(cursor.fetchone(), cursor.fetchmany(10), len(list(cursor)))
        psycopg_copies(c, teller, meanwhile)
        psycopg_pipelines(c, teller, meanwhile)
        psycopg_settings(c, teller, meanwhile)
    return teller.story


def psycopg_copies(c, teller, meanwhile):
    with c.cursor() as cursor:
        with cursor.copy('COPY notes (v) FROM STDIN') as copy:
            for row in ('x', 'y\t', 'ü'):
                copy.write_row((row,))
        meanwhile()

        def breaks(value):
            with cursor.copy('COPY notes (id, v) FROM STDIN') as copy:
                copy.write(value)
        teller.wrong(psycopg.Error, breaks, 'no number\tx\n')
        meanwhile()

        def gives_up():
            with cursor.copy('COPY notes (v) FROM STDIN') as copy:
                copy.write('z\n')
                raise KeyError('mine')
        teller.wrong((KeyError, psycopg.Error), gives_up)
        meanwhile()
        with cursor.copy('COPY (SELECT v FROM notes ORDER BY id) TO STDOUT') as copy:
            teller.tell([row for row in copy.rows()])
        with cursor.copy('COPY (SELECT id, v FROM items WHERE id < 4 ORDER BY id) TO STDOUT (FORMAT binary)') as copy:
            copy.set_types(['int4', 'text'])
            teller.tell([row for row in copy.rows()])


def psycopg_pipelines(c, teller, meanwhile):
    for _ in range(2):
        with c.pipeline() as pipeline:
            cursors = [c.execute('SELECT %s::int', (n,)) for n in range(20)]
            pipeline.sync()
            cursors.append(c.execute('SELECT %s::text', ('behind',)))
        teller.tell([cursor.fetchone() for cursor in cursors])
        meanwhile()

    def breaks():
        with c.pipeline():
            c.execute('INSERT INTO notes (v) VALUES (%s)', ('lost',))
            c.execute('SELECT 1 / %s::int', (0,))
            c.execute('SELECT 1')
    teller.wrong(psycopg.Error, breaks)
    meanwhile()
    with c.pipeline(), c.transaction():
        c.execute('INSERT INTO notes (v) VALUES (%s)', ('kept',))
    teller.tell(c.execute('SELECT count(*) FROM notes').fetchone())


def psycopg_settings(c, teller, meanwhile):
    for text in ("SET TimeZone = 'Asia/Tokyo'", 'SET DateStyle = ISO, DMY', "SET client_encoding = 'LATIN1'", 'RESET ALL'):
        c.execute(text)
        meanwhile()
        teller.tell(text, c.execute("SELECT '2026-01-02'::date, '2026-01-02 00:00Z'::timestamptz, 'ü'").fetchone(),
                    c.info.encoding, c.info.timezone, c.info.parameter_status('DateStyle'))
        with c.transaction():
            c.execute('SET LOCAL DateStyle = German')
            teller.tell(c.execute("SELECT '2026-01-02'::date").fetchone(), c.info.parameter_status('DateStyle'))
    c.autocommit = False
    c.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    c.read_only = True
    teller.tell(c.execute('SHOW transaction_isolation').fetchone())
    teller.wrong(psycopg.Error, c.execute, "INSERT INTO notes (v) VALUES ('x')")
    c.rollback()
    meanwhile()
    c.isolation_level = c.read_only = None
    teller.tell(c.execute('SHOW transaction_isolation').fetchone())
    c.commit()


@pytest.mark.parametrize('options', [{'prepare_threshold': None}, {'prepare_threshold': 0}, {},
                                     {'cursor_factory': psycopg.ClientCursor}], ids=str)
def test_psycopg(options, database, one):
    told_twice(lambda place, meanwhile: psycopg_story(place, meanwhile, **options), database, one)


async def psycopg_async(place, meanwhile):
    story = []
    async with await psycopg.AsyncConnection.connect(**place.settings(), autocommit=True, prepare_threshold=0) as c:
        for turn in range(4):
            cursor = await c.execute('SELECT %s::int, %s::text', (turn, 'x'))
            story.append(await cursor.fetchone())
            meanwhile()
        async with c.transaction(), c.cursor('named') as cursor:
            await cursor.execute('SELECT id FROM items ORDER BY id')
            story.append([row async for row in cursor][-1])
        async with c.pipeline():
            cursors = [await c.execute('SELECT %s::int + 1', (n,)) for n in range(30)]
        story.append([await cursor.fetchone() for cursor in cursors])
        async with c.cursor() as cursor, cursor.copy('COPY (SELECT 1) TO STDOUT') as copy:
            story.append([bytes(data) async for data in copy])
        c.add_notify_handler(lambda notify: story.append((notify.channel, notify.payload)))
    return story


def test_psycopg_async(database, one):
    told_twice(lambda place, meanwhile: asyncio.run(psycopg_async(place, meanwhile)), database, one)


def psycopg_pins(place, meanwhile):
    teller = Teller()
    with psycopg.connect(**place.settings(), autocommit=True) as c:
        c.add_notify_handler(lambda notify: teller.tell(notify.channel, notify.payload))
        c.execute('LISTEN mine')
        meanwhile()
        c.execute("NOTIFY mine, 'hello'")
        with c.cursor('kept', withhold=True) as cursor:
            cursor.execute('SELECT id FROM items ORDER BY id')
            meanwhile()
            teller.tell(cursor.fetchmany(3))
        c.execute('CREATE TEMP TABLE mine AS SELECT 1 AS a')
        meanwhile()
        teller.tell(c.execute('SELECT a FROM mine').fetchone())
        c.execute('DISCARD ALL')
        meanwhile()
        teller.wrong(psycopg.Error, c.execute, 'SELECT a FROM mine')
    return teller.story


def test_psycopg_where_it_pins(database, two):
    told_twice(psycopg_pins, database, two)


def test_psycopg_cancels(database, one):
    def story(place, _):
        async def talk():
            async with await psycopg.AsyncConnection.connect(**place.settings(), autocommit=True) as c:
                sleep = asyncio.create_task(c.execute('SELECT pg_sleep(60)'))
                while not database.ask(SLEEPS):
                    await asyncio.sleep(0.02)
                c.cancel()
                outcome, = await asyncio.gather(sleep, return_exceptions=True)
                cursor = await c.execute('SELECT 2')
                return [type(outcome).__name__, await cursor.fetchone()]
        wait_until(lambda: not database.ask(SLEEPS), 'nobody sleeps')
        return asyncio.run(talk())
    told_twice(story, database, one)


# ---- libpq's pipelines ----------------------------------------------------------------------------

def libpq_pipeline(place, meanwhile):
    """Its own calls: batches with Syncs and flushes, an error in one of them, names prepared on the way."""
    story = []
    with psycopg.connect(**place.settings(), autocommit=True) as c:
        server = c.pgconn
        for turn in range(3):
            server.enter_pipeline_mode()
            name = b'own%d' % turn
            server.send_prepare(name, b'SELECT $1::int / $2::int')
            for divisor in (b'1', b'0', b'2'):
                server.send_query_prepared(name, [b'6', divisor])
            server.pipeline_sync()
            server.send_query_prepared(name, [b'8', b'2'])
            server.send_describe_prepared(name)
            server.send_query_params(b'SELECT $1::text', [b'x' * 100000])
            server.pipeline_sync()
            server.send_query_params(b"SELECT set_config('work_mem', $1, false)", [b'%dMB' % (5 + turn)])
            server.send_flush_request()
            server.send_query_params(b'SHOW work_mem', None)
            server.pipeline_sync()
            story += results(server)
            server.exit_pipeline_mode()
            meanwhile()
    return story


def results(server):
    """All of them, up to the third Sync."""
    heard, syncs = [], 0
    server.flush()
    while syncs < 3:
        result = server.get_result()
        if result is None:
            heard.append(None)
            continue
        status = psycopg.pq.ExecStatus(result.status)
        syncs += status == psycopg.pq.ExecStatus.PIPELINE_SYNC
        heard.append((status.name, result.get_value(0, 0), result.error_message, result.nparams, result.nfields))
    return heard


def test_libpq_pipeline(database, one):
    told_twice(libpq_pipeline, database, one)


# ---- asyncpg --------------------------------------------------------------------------------------

def asyncpg_settings(place, **more):
    tls = {'ssl': 'require'} if place.ca else {'ssl': False}
    names = {'host': 'host', 'port': 'port', 'user': 'user', 'password': 'password', 'dbname': 'database'}
    return {**{names[key]: setting for key, setting in place.settings().items() if key in names}, **tls, **more}


async def asyncpg_story(place, meanwhile, **options):
    teller = Teller()
    tell = teller.tell
    c = await asyncpg.connect(**asyncpg_settings(place, **options))
    columns = ', '.join(f'${n}::{cast}' for n, cast in enumerate(CASTS, 1))
    for _ in range(3):
        tell(*await c.fetchrow(f'SELECT {columns}', *VALUES))
        meanwhile()
    for wrong in ('SELECT 1/0', 'SELECT FROM FROM', 'INSERT INTO notes (v) VALUES (NULL)'):
        try:
            tell(await c.fetch(wrong))
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            tell(type(error).__name__, getattr(error, 'sqlstate', None), str(error))
        meanwhile()
    statement = await c.prepare('SELECT id, v FROM items WHERE id < $1 ORDER BY id')
    for limit in (2, 4):
        tell([tuple(row) for row in await statement.fetch(limit)], statement.get_statusmsg())
        meanwhile()
    tell([a.name for a in statement.get_attributes()], [p.name for p in statement.get_parameters()])
    async with c.transaction():
        tell(len([row async for row in c.cursor('SELECT id FROM items', prefetch=50)]))
        cursor = await c.cursor('SELECT id FROM items ORDER BY id')
        tell(await cursor.forward(5), [row[0] for row in await cursor.fetch(2)])
        try:
            async with c.transaction():
                await c.execute('INSERT INTO notes (v) VALUES (NULL)')
        except asyncpg.NotNullViolationError as error:
            tell(error.column_name)
        await c.execute('INSERT INTO notes (v) VALUES ($1)', 'in')
    meanwhile()
    async with c.transaction(isolation='serializable', readonly=True):
        tell(await c.fetchval('SHOW transaction_isolation'))
    tell(await c.copy_records_to_table('notes', records=[('r1',), ('r2',)], columns=['v']))
    meanwhile()
    await c.executemany('INSERT INTO notes (v) VALUES ($1)', [('m1',), ('m2',)])
    tell([row[0] for row in await c.fetch('SELECT v FROM notes ORDER BY id')])
    await c.execute("CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TYPE pair AS (a int, b mood)")
    tell(await c.fetchval("SELECT ROW(1, 'sad')::pair"), await c.fetchval('SELECT $1::mood[]', ['sad', 'happy']))
    meanwhile()
    await c.execute('DROP TYPE pair; DROP TYPE mood')
    await c.execute("SET TimeZone = 'Asia/Tokyo'")
    meanwhile()
    tell(c.get_settings().TimeZone, await c.fetchval('SHOW TimeZone'))
    try:
        await c.fetch('SELECT pg_sleep(60)', timeout=0.3)
    except asyncio.TimeoutError:
        tell('timeout')
    tell(await c.fetchval('SELECT 3'))
    await c.reset()
    meanwhile()
    tell(await c.fetchval('SHOW TimeZone') == 'Asia/Tokyo')
    await c.close()
    return teller.story


@pytest.mark.parametrize('options', [{}, {'statement_cache_size': 10}], ids=str)
def test_asyncpg(options, database, one):
    told_twice(lambda place, meanwhile: asyncio.run(asyncpg_story(place, meanwhile, **options)), database, one,
               **ASYNCPG)


def test_asyncpg_without_names(database, two):
    """It keeps an unnamed statement from one batch to the next, which pins."""
    told_twice(lambda place, meanwhile: asyncio.run(asyncpg_story(place, meanwhile, statement_cache_size=0)),
               database, two, **ASYNCPG)


async def asyncpg_pool(place, meanwhile):
    """Its reset query each time; eight tasks on five connections."""
    async with asyncpg.create_pool(min_size=2, max_size=5, **asyncpg_settings(place)) as pool:
        async def work(number):
            seen = []
            for turn in range(5):
                async with pool.acquire() as c:
                    await c.execute(f"SET work_mem = '{5 + number}MB'")
                    async with c.transaction():
                        seen += [await c.fetchval('SELECT $1::int + $2', number, turn), await c.fetchval('SHOW work_mem')]
            return seen
        story = await asyncio.gather(*map(work, range(8)))
        meanwhile()
        story.append(await pool.fetchval('SHOW work_mem'))
    return story


def test_asyncpg_pool(database, one):
    told_twice(lambda place, meanwhile: asyncio.run(asyncpg_pool(place, meanwhile)), database, one, **ASYNCPG)


async def asyncpg_listens(place, meanwhile):
    story, heard = [], asyncio.Event()
    c = await asyncpg.connect(**asyncpg_settings(place))

    def listener(_connection, _pid, channel, payload):
        story.append((channel, payload))
        heard.set()
    await c.add_listener('mine', listener)
    meanwhile()
    await c.execute("NOTIFY mine, 'hello'")
    await asyncio.wait_for(heard.wait(), 20)
    await c.remove_listener('mine', listener)
    await c.close()
    return story


def test_asyncpg_listens(database, two):
    told_twice(lambda place, meanwhile: asyncio.run(asyncpg_listens(place, meanwhile)), database, two,
               **ASYNCPG)
