"""What drivers are in the habit of sending, where the driver itself is not at hand: scripts as in scripts.py, which see.

Each is the traffic of one driver in its usual modes, with its own names of statements, order of messages, and places of
Sync and Flush.
"""
from conformance.scripts import queries, script
from support.wire import (COPY_DONE, FLUSH, SYNC, bind, close, copy_data, describe, execute, int16, int32, parse, query, run)

BINARY = {'formats': (1,), 'results': (1,)}
INT4, TEXT = 23, 25
COPY_BINARY = b'PGCOPY\n\xff\r\n\0' + int32(0, 0)


def binary_row(*fields):
    return int16(len(fields)) + b''.join(int32(len(field)) + field for field in fields)


# ---- npgsql (.NET) --------------------------------------------------------------------------------

NPGSQL_RESET = ('CLOSE ALL;SET SESSION AUTHORIZATION DEFAULT;RESET ALL;UNLISTEN *;SELECT pg_advisory_unlock_all();'
                'DISCARD SEQUENCES')


def npgsql(text, parameters=(), name=''):
    return (parse(text, name, types=[INT4] * len(parameters)) +
            bind(name, parameters=parameters, formats=(1,), results=(1,)) + describe('P') + execute())


@script
def npgsql_opens_and_asks(c):
    """Which types there are, in one text; then what comes binary both ways."""
    queries(c, 'SELECT version();\nSELECT nspname, typname FROM pg_type JOIN pg_namespace n ON n.oid = typnamespace'
               " WHERE typname IN ('int4', 'text') ORDER BY 2;\nSELECT typ.oid FROM pg_type typ WHERE typname = 'int4'")
    c.ask(npgsql('SELECT $1 + 1', [int32(4)]), SYNC)
    c.ask(npgsql('SELECT $1 + 1', [int32(4)]), npgsql('INSERT INTO notes (v) VALUES (1)'), npgsql('SELECT 3'), SYNC)
    c.ask(npgsql('SELECT 1'), npgsql('SELECT 1/0'), npgsql('INSERT INTO notes (v) VALUES (2)'), SYNC)
    c.ask(query('SELECT count(*) FROM notes'))


@script
def npgsql_begins_with_the_next_command(c):
    """BEGIN goes in front of the first command, in the same write; so does the reset of its own pool."""
    c.ask(query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ'), npgsql('INSERT INTO notes (v) VALUES (1)'), SYNC)
    c.ask(npgsql('SHOW transaction_isolation'), SYNC)
    c.ask(query('SAVEPOINT one'))
    c.ask(npgsql('INSERT INTO nothing VALUES (1)'), SYNC)
    c.ask(query('ROLLBACK TO SAVEPOINT one'))
    c.ask(query('COMMIT'))
    c.ask(query("SET work_mem = '9MB'"))
    c.ask(query(NPGSQL_RESET), npgsql('SHOW work_mem'), SYNC)
    c.ask(query('DISCARD ALL'), query('BEGIN'), npgsql('SELECT count(*) FROM notes'), SYNC)
    c.ask(query('ROLLBACK'))


@script
def npgsql_prepares(c):
    """All statements of a batch in one trip; later bound together; unprepared by Close, and one name used again."""
    c.ask(parse('SELECT $1 + 1', '_p1', [INT4]), describe('S', '_p1'), parse('SELECT v FROM items WHERE id = $1', '_p2', [INT4]),
          describe('S', '_p2'), SYNC)
    for turn in range(3):
        c.ask(bind('_p1', parameters=[int32(turn)], **BINARY), execute(), bind('_p2', parameters=[int32(turn)], **BINARY),
              execute(), SYNC)
    c.ask(close('S', '_p1'), parse('SELECT $1 * 2', '_p1', [INT4]), describe('S', '_p1'), SYNC)
    c.ask(bind('_p1', parameters=[int32(21)], **BINARY), execute(), SYNC)
    c.ask(query(NPGSQL_RESET))
    c.ask(bind('_p1', parameters=[int32(21)], **BINARY), execute(), SYNC)
    c.ask(close('S', '_p1'), close('S', '_p2'), SYNC)
    c.ask(bind('_p1', parameters=[int32(21)], **BINARY), execute(), SYNC)


@script
def npgsql_imports(c):
    c.send(query('COPY notes (id, v) FROM STDIN (FORMAT BINARY)'))
    c.until('CopyInResponse')
    c.send(copy_data(COPY_BINARY + binary_row(int32(7), b'seven') + binary_row(int32(8), b'eight') + int16(-1)), COPY_DONE)
    c.settle()
    c.ask(query('COPY (SELECT id, v FROM notes ORDER BY id) TO STDOUT (FORMAT BINARY)'))


# ---- pgx (Go) -------------------------------------------------------------------------------------

@script
def pgx_caches_statements(c):
    """The default: prepared and described by a trip of its own, then bound and described again."""
    name = 'stmtcache_5ba0c8d3e1f94ad29d5c'
    c.ask(query('-- ping'))
    c.ask(parse('select v from items where id = $1', name), describe('S', name), SYNC)
    for turn in range(3):
        c.ask(bind(name, parameters=[int32(turn)], **BINARY), describe('P'), execute(), SYNC)
    c.ask(query('begin'))
    c.ask(bind(name, parameters=[int32(9)], **BINARY), describe('P'), execute(), SYNC)
    c.ask(bind(name, parameters=['9'], results=(1,)), describe('P'), execute(), SYNC)
    c.ask(bind(name, parameters=[b'xx'], **BINARY), describe('P'), execute(), SYNC)
    c.ask(query('rollback'))
    c.ask(close('S', name), SYNC)
    c.ask(close('S', name), SYNC)


@script
def pgx_describes_and_executes(c):
    """QueryExecModeDescribeExec binds the unnamed statement of an earlier batch, in a transaction too."""
    c.ask(query('begin read only'))
    c.ask(parse('select v from items where id = $1'), describe(), SYNC)
    c.ask(bind(parameters=[int32(4)], **BINARY), describe('P'), execute(), SYNC)
    c.ask(query('commit'))


@script
def pgx_execs(c):
    """QueryExecModeExec, and the simple protocol with its own quoting."""
    for turn in range(3):
        c.ask(parse('select $1, $2', types=(INT4, TEXT)), bind(parameters=[str(turn), 'x']), describe('P'), execute(), SYNC)
    queries(c, 'select  1 , ( -1 ),  \'it\'\'s\' ', "select '\\x00ff'::bytea", 'set timezone to \'UTC\';select 1', 'reset timezone')


@script
def pgx_sends_batches(c):
    """What is not prepared yet is prepared in one pipeline, each with a Sync; then all is bound in front of one Sync."""
    names = [f'stmtcache_{n:024}' for n in range(3)]
    for turn in range(2):
        c.ask(*(parse(f'select {n}::int4 + $1 + {turn}', name) + describe('S', name) + SYNC for n, name in enumerate(names)))
        c.ask(*(bind(name, parameters=[int32(n)], **BINARY) + describe('P') + execute() for n, name in enumerate(names)), SYNC)
        c.ask(*(close('S', name) for name in names), SYNC)
    c.ask(query('begin'), parse('insert into notes (v) values ($1)', names[0]), describe('S', names[0]), SYNC)
    c.ask(bind(names[0], parameters=['a']), execute(), bind(names[0], parameters=[None]), execute(),
          bind(names[0], parameters=['b']), execute(), SYNC)
    c.ask(query('rollback'))
    c.ask(bind(names[0], parameters=['c']), execute(), SYNC)
    c.send(query('copy "notes" ( "id", "v" ) from stdin binary;'))
    c.until('CopyInResponse')
    c.send(copy_data(COPY_BINARY), copy_data(binary_row(int32(70), b'seventy')), copy_data(int16(-1)), COPY_DONE)
    c.settle()
    c.ask(query('select * from notes order by id'))


# ---- tokio-postgres, Prisma, sqlx (Rust) ------------------------------------------------------------

@script
def tokio_postgres_pipelines(c):
    """Requests go out before earlier ones are answered, each with its Sync; a statement is closed by nobody waiting."""
    c.ask(parse('SELECT $1::TEXT', 's0'), describe('S', 's0'), SYNC)
    c.ask(parse('INSERT INTO notes (v) VALUES ($1)', 's1', [TEXT]), describe('S', 's1'), SYNC)
    c.ask(*(bind(f's{turn % 2}', parameters=[f'row {turn}'], **BINARY) + execute() + SYNC for turn in range(10)))
    c.ask(bind('s1', parameters=[None]), execute(), SYNC, bind('s0', parameters=['behind'], **BINARY), execute(), SYNC)
    c.ask(close('S', 's0'), SYNC, parse('SELECT 2', 's2'), describe('S', 's2'), SYNC)
    c.ask(bind('s2', results=(1,)), execute(), SYNC, close('S', 's1'), SYNC, bind('s1', parameters=['gone']), execute(), SYNC)
    c.ask(query('BEGIN'), bind('s2', 'p0', results=(1,)), SYNC)
    c.ask(execute('p0', 1), SYNC, execute('p0', 1), SYNC, close('P', 'p0'), SYNC)
    c.ask(query('COMMIT'))
    c.ask(close('S', 's2'), FLUSH, query('SELECT count(*) FROM notes'))


@script
def prisma_asks(c):
    """Its schema is set once; DEALLOCATE ALL is for a pooler that loses statements (pgbouncer=true)."""
    queries(c, 'SET search_path = "public"', "SET NAMES 'UTF8'")
    for turn in range(2):
        c.ask(parse('SELECT "public"."items"."id", "public"."items"."v" FROM "public"."items" WHERE "public"."items"."id" = $1'
                    ' LIMIT $2 OFFSET $3', f's{turn}'), describe('S', f's{turn}'), SYNC)
        c.ask(bind(f's{turn}', parameters=[int32(5), bytes(7) + b'\1', bytes(8)], **BINARY), execute(), SYNC)
        c.ask(query('BEGIN'))
        c.ask(query('DEALLOCATE ALL'), parse('INSERT INTO "public"."notes" ("v") VALUES ($1) RETURNING "public"."notes"."id"', 's9'),
              describe('S', 's9'), SYNC)
        c.ask(bind('s9', parameters=[b'prisma'], **BINARY), execute(), SYNC)
        c.ask(query('COMMIT' if turn else 'ROLLBACK'))
        c.ask(bind('s0', parameters=[int32(5), bytes(7) + b'\1', bytes(8)], **BINARY), execute(), SYNC)
    c.ask(query('SELECT v FROM notes'), query('SELECT 1'))


@script
def sqlx_executes(c):
    """Close of the unnamed portal in front of each Sync; a full cache closes the oldest and goes on without a Sync."""
    for turn in range(4):
        name = f'sqlx_s_{turn + 1}'
        c.ask(parse(f'SELECT $1 + {turn}', name, [INT4]), describe('S', name), SYNC)
        for _ in range(2):
            c.ask(bind(name, parameters=[int32(turn)], **BINARY), execute(), close('P'), SYNC)
        if turn >= 2:
            c.send(close('S', f'sqlx_s_{turn - 1}'), FLUSH)
            c.until('CloseComplete')
            c.ask(bind(name, parameters=[int32(40)], **BINARY), execute('', 1), close('P'), SYNC)
    c.ask(bind('sqlx_s_1', parameters=[int32(1)], **BINARY), execute(), close('P'), SYNC)
    queries(c, 'BEGIN', 'SAVEPOINT _sqlx_savepoint_1', 'INSERT INTO notes VALUES (1/0)', 'ROLLBACK TO SAVEPOINT _sqlx_savepoint_1',
            'COMMIT')


# ---- Postgrex (Elixir), and others that wait with Flush ---------------------------------------------

@script
def postgrex_flushes(c):
    """Prepared and described up to a Flush; bound in the same batch, which only then has its Sync."""
    for turn in range(3):
        name = f'ecto_{turn % 2}'
        c.send(parse('SELECT $1::int4 + 1', name), describe('S', name), FLUSH)
        if c.until('RowDescription')[0] == 'ErrorResponse':
            c.ask(SYNC)
            c.ask(close('S', name), parse('SELECT $1::int4 + 2', name), describe('S', name), SYNC)
            c.ask(bind(name, parameters=[int32(turn)], **BINARY), execute(), SYNC)
            continue
        c.send(bind(name, parameters=[int32(turn)], **BINARY), execute(), FLUSH)
        c.until('CommandComplete')
        c.ask(SYNC)
    c.send(parse('SELECT nothing', 'ecto_9'), describe('S', 'ecto_9'), FLUSH)
    c.until('RowDescription')
    c.ask(SYNC)
    c.ask(bind('ecto_9'), execute(), SYNC)
    c.send(close('S', 'ecto_0'), FLUSH)
    c.until('CloseComplete')
    c.ask(SYNC)


# ---- what ActiveRecord, PDO and psqlODBC have in common -----------------------------------------------

@script
def statements_freed_by_sql(c):
    """Prepared by the protocol, freed by DEALLOCATE, quoted or not, alone or behind others."""
    for name, text in (('a1', 'DEALLOCATE a1'), ('pdo_stmt_00000001', 'DEALLOCATE pdo_stmt_00000001'),
                       ('_PLAN0x55AA', 'DEALLOCATE "_PLAN0x55AA"')):
        c.ask(parse('SELECT $1::int', name), SYNC)
        c.ask(bind(name, parameters=['1']), describe('P'), execute(), SYNC)
        c.ask(query(text))
        c.ask(query(text))
        c.ask(bind(name, parameters=['1']), describe('P'), execute(), SYNC)
        c.ask(run('SELECT 1'), SYNC)
    c.ask(query('BEGIN;SAVEPOINT _EXEC_SVP_0x1'))
    c.ask(parse('SELECT 1/$1::int', '_PLAN0x2'), describe('S', '_PLAN0x2'), SYNC)
    c.ask(bind('_PLAN0x2', parameters=['0']), execute(), SYNC)
    c.ask(query('ROLLBACK TO _EXEC_SVP_0x1;RELEASE _EXEC_SVP_0x1'))
    c.ask(bind('_PLAN0x2', parameters=['1']), execute(), SYNC)
    c.ask(query('COMMIT'))
