"""What clients send, message by message. Each script is played on a connection of its own and through a pool, and what
comes back must be the same; in between, where no transaction is open, a stranger uses the pool's one server connection.

The tables are those of conftest.py.
"""
import struct

from support.wire import (COPY_DONE, FLUSH, SYNC, bind, close, copy_data, copy_fail, describe, execute, function_call,
                          int16, int32, message, parse, query, run)

SCRIPTS = {}   # name: function
PINNED = set()  # names of those that keep their server connection


def script(function):
    SCRIPTS[function.__name__] = function
    return function


def pinned(function):
    PINNED.add(function.__name__)
    return script(function)


def queries(c, *texts):
    for text in texts:
        c.ask(query(text))


# ---- simple queries -------------------------------------------------------------------------------

@script
def simple_queries(c):
    queries(c, 'SELECT 1', '', ' ;; ', '-- nothing\n', 'SELECT NULL, \'\', 1.50, true, \'{1,NULL}\'::int[]',
            'SELECT * FROM items WHERE id <= 3 ORDER BY id', 'SELECT', 'SELECT 1 AS a, 2 AS a', 'TABLE items LIMIT 0',
            "VALUES (1, 'x'), (2, NULL)", 'SELECT FROM FROM', 'SELECT nothing', "SELECT 'x'::int", 'SELECT 1/0',
            "SELECT 'ü€𝄞', U&'\\0041', E'\\t'", 'SELECT 1 WHERE false')


@script
def several_statements_in_one(c):
    queries(c, 'SELECT 1; SELECT 2', 'SELECT 1; SELECT 1/0; SELECT 3', ';SELECT 1;;SELECT 2;',
            "INSERT INTO notes (v) VALUES ('kept?'); SELECT 1/0", 'SELECT count(*) FROM notes',
            "BEGIN; INSERT INTO notes (v) VALUES ('a'); COMMIT; SELECT 1/0", 'SELECT v FROM notes',
            'BEGIN; SELECT 1/0; SELECT 2', 'SELECT 3', 'COMMIT', 'SELECT 1; BEGIN; SELECT 2', 'ROLLBACK; SELECT 4',
            'SELECT 1; SELECT FROM FROM', "SET work_mem = '5MB'; SELECT 1/0", 'SHOW work_mem',
            "SET work_mem = '6MB'; SHOW work_mem; RESET work_mem", 'SHOW work_mem', 'COMMIT', 'ROLLBACK', 'BEGIN',
            'BEGIN', 'END')


@script
def transactions(c):
    queries(c, 'BEGIN', 'SELECT 1', 'SELECT 1/0', 'SELECT 1', 'ROLLBACK', 'BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY',
            'SHOW transaction_isolation', "INSERT INTO notes (v) VALUES ('no')", 'COMMIT', 'SHOW transaction_isolation',
            'BEGIN', 'SAVEPOINT a', 'SELECT 1/0', 'ROLLBACK TO a', "INSERT INTO notes (v) VALUES ('b')", 'RELEASE a',
            'COMMIT AND CHAIN', 'SELECT v FROM notes', 'ROLLBACK AND CHAIN', 'ABORT', 'SAVEPOINT outside',
            'START TRANSACTION', "SET TRANSACTION READ ONLY", "DELETE FROM notes", 'END', 'SELECT count(*) FROM notes')


@script
def notices(c):
    queries(c, 'DROP TABLE IF EXISTS not_there', "SET client_min_messages = 'error'", 'DROP TABLE IF EXISTS not_there',
            'RESET client_min_messages', 'DROP TABLE IF EXISTS not_there', "SELECT to_tsvector('simple', repeat('x', 3000))")
    c.ask(run('DROP TABLE IF EXISTS not_there'), SYNC)


@script
def errors_with_all_their_fields(c):
    queries(c, 'INSERT INTO notes (v) VALUES (NULL)', "INSERT INTO items VALUES (1, 'again')",
            'SELECT * FROM items WHERE id = (SELECT id FROM items)', 'SELECT no_such_function(1)',
            "SELECT 'x' || 1 || nothing FROM items", 'CREATE TABLE items ()', "SELECT '[1,'::json", 'SET nothing = 1',
            'SELECT * FROM pg_authid', "SELECT '2026-02-30'::date", 'VACUUM (nonsense) items', 'BEGIN; VACUUM items',
            'ROLLBACK')


@script
def cursors_in_sql(c):
    queries(c, 'DECLARE c CURSOR FOR SELECT 1', 'BEGIN', 'DECLARE c SCROLL CURSOR FOR SELECT id FROM items ORDER BY id',
            'FETCH 2 FROM c', 'MOVE 3 FROM c', 'FETCH BACKWARD 1 FROM c', 'FETCH LAST FROM c', 'CLOSE c', 'FETCH c',
            'ROLLBACK', 'FETCH c', 'CLOSE ALL')


# ---- extended queries -----------------------------------------------------------------------------

@script
def extended_queries(c):
    c.ask(run('SELECT $1::int + 1, $2', ['41', 'x']), SYNC)
    c.ask(run('SELECT $1::int, $2::text, $3::bool', [None, '', 't']), SYNC)
    c.ask(run('SELECT $1::int4, $2::text', [int32(7), b'x'], formats=(1, 0), results=(1, 1)), SYNC)
    c.ask(run("SELECT 1::int2, 2::int8, 3.5::float8, 4.25::numeric, 'x'::bytea, '2026-01-02'::date, '{1,2}'::int[]",
              results=(1,)), SYNC)
    c.ask(run('SELECT 1, 2, 3', results=(0, 1, 0)), SYNC)
    c.ask(parse('SELECT $1', types=(23,)), describe(), bind(parameters=['5']), execute(), SYNC)
    c.ask(parse('SELECT $1 + $2', types=(20,)), describe(), bind(parameters=['5', '6']), execute(), SYNC)
    c.ask(run(''), SYNC)
    c.ask(run('INSERT INTO notes (v) VALUES ($1) RETURNING id, v', ['new']), SYNC)
    c.ask(run('UPDATE notes SET v = $1', ['newer']), SYNC)
    c.ask(run('DELETE FROM notes'), SYNC)
    c.ask(SYNC)
    c.ask(SYNC, SYNC, SYNC)


@script
def extended_mistakes(c):
    for wrong in (run('SELECT 1; SELECT 2'), run('SELECT $1::int', ['x']), run('SELECT $1'), run('SELECT 1', ['2']),
                  parse('SELECT 1') + bind(results=(0, 0)) + execute(), run('SELECT 1', results=(2,)),
                  run('SELECT $1::int', [b'\0\0\1'], formats=(1,)), parse('SELECT $3::int') + describe(),
                  parse('SELECT $1', types=(99999,)) + describe(), run('SELECT FROM FROM'), run('SELECT 1/0'),
                  bind('nothing'), describe('S', 'nothing'), describe('P', 'nothing'), execute('nothing'),
                  close('S', 'nothing'), close('P', 'nothing'), close('S'), close('P'),
                  run('SELECT $1::int', ['1'], formats=(0, 0, 0)), run('SELECT 1', name='', results=(0, 1, 0))):
        c.ask(wrong, SYNC)
        c.ask(wrong, run("SELECT 'skipped, or not'"), SYNC)


@script
def portals_in_parts(c):
    c.ask(query('BEGIN'))
    c.ask(parse('SELECT id, v FROM items ORDER BY id', 'all'), bind('all', 'p'), describe('P', 'p'), execute('p', 2), SYNC)
    c.ask(execute('p', 3), execute('p', 1), SYNC)
    c.ask(bind('all', 'q'), execute('q', 1), execute('p', 1), close('P', 'p'), execute('q', 1), SYNC)
    c.ask(bind('all', 'q'), SYNC)
    c.ask(query('ROLLBACK'))
    c.ask(execute('q', 1), SYNC)
    c.ask(bind('all', 'r'), execute('r', 2), execute('r', 2), SYNC)
    c.ask(execute('r', 2), SYNC)
    c.ask(bind('all'), execute('', 999), execute('', 1), execute('', 1), execute('', 1), SYNC)
    c.ask(parse('INSERT INTO notes (v) VALUES (\'x\') RETURNING v'), bind(), execute('', 1), execute('', 1), SYNC)
    c.ask(query('SELECT count(*) FROM notes'))


@script
def named_statements(c):
    c.ask(parse('SELECT $1::int + 1', 's'), describe('S', 's'), SYNC)
    for turn in range(3):
        c.ask(bind('s', parameters=[str(turn)]), execute(), SYNC)
    c.ask(parse('SELECT 2', 's'), SYNC)
    c.ask(bind('s', parameters=['9']), execute(), SYNC)
    c.ask(close('S', 's'), SYNC)
    c.ask(bind('s', parameters=['9']), execute(), SYNC)
    c.ask(parse('SELECT \'anew\'', 's'), bind('s'), execute(), close('S', 's'), parse('SELECT 3', 's'), bind('s'),
          execute(), SYNC)
    c.ask(parse('SELECT 4', 't'), parse('SELECT FROM FROM', 'u'), parse('SELECT 5', 'v'), SYNC)
    for name in 'tuv':
        c.ask(bind(name), execute(), SYNC)
    c.ask(query('BEGIN'))
    c.ask(parse('SELECT 6', 'w'), SYNC)
    c.ask(query('SELECT 1/0'))
    c.ask(parse('SELECT 7', 'x'), SYNC)
    c.ask(bind('w'), execute(), SYNC)
    c.ask(parse('ROLLBACK', 'back'), bind('back'), execute(), SYNC)
    for name in 'wx':
        c.ask(bind(name), execute(), SYNC)
    queries(c, 'DEALLOCATE w', 'DEALLOCATE w', 'DEALLOCATE ALL')
    for name in ('s', 'w', 'back'):
        c.ask(bind(name), execute(), SYNC)
    c.ask(parse('SELECT 8', 's'), SYNC)
    c.ask(query('DISCARD ALL'))
    c.ask(bind('s'), execute(), SYNC)


@script
def names_of_every_kind(c):
    for name in ('S_1', 'a b', 'ü', '"', '\\', "'", 'x' * 63, 'x' * 64, 'x' * 300, '__asyncpg_stmt_1__', '_pg3_0'):
        c.ask(parse(f'SELECT {len(name)}', name), SYNC)
        c.ask(bind(name), describe('P'), execute(), SYNC)
        c.ask(close('S', name), SYNC)
    for portal in ('a b', 'x' * 300):
        c.ask(parse('SELECT 1', 'own'), bind('own', portal), execute(portal), close('S', 'own'), SYNC)


@script
def flushes(c):
    c.send(parse('SELECT $1::int', 'f'), describe('S', 'f'), FLUSH)
    c.until('RowDescription')
    c.send(bind('f', 'p', ['1']), FLUSH)
    c.until('BindComplete')
    c.send(execute('p'), FLUSH)
    c.until('CommandComplete')
    c.ask(SYNC)
    c.send(FLUSH)
    c.send(bind('f', '', ['x']), FLUSH)
    c.until('BindComplete')
    c.send(execute(), FLUSH)
    c.ask(bind('f', '', ['2']), execute(), SYNC)
    c.ask(FLUSH, SYNC, FLUSH)
    c.ask(FLUSH, query('SELECT 3'), FLUSH)


@script
def pipelines(c):
    ask = c.ask
    ask(*(part for turn in range(60) for part in (run(f'SELECT {turn % 7}::int + $1', ['1']), SYNC)))
    ask(*(part for turn in range(40) for part in (run('SELECT 1 / $1::int', [str(turn % 3)]), SYNC)))
    ask(*(run('SELECT 1 / $1::int', [divisor]) for divisor in '1203'), SYNC)
    ask(run("INSERT INTO notes (v) VALUES ('one')"), run("INSERT INTO notes (v) VALUES (NULL)"), SYNC,
        run('SELECT count(*) FROM notes'), SYNC)
    ask(run("INSERT INTO notes (v) VALUES ('one')"), SYNC, run("INSERT INTO notes (v) VALUES (NULL)"), SYNC,
        run('SELECT count(*) FROM notes'), SYNC)
    ask(run('BEGIN'), run("INSERT INTO notes (v) VALUES ('two')"), SYNC, run('SELECT 1/0'), SYNC,
        run('SELECT 1'), SYNC, run('ROLLBACK'), SYNC, run('SELECT count(*) FROM notes'), SYNC)
    ask(query('SELECT 1'), run('SELECT 2'), SYNC, query('SELECT 3; SELECT 4'), query(''), query('SELECT 1/0'), run('SELECT 5'),
        SYNC)
    ask(parse('SELECT $1::int', 'n'), SYNC, bind('n', '', ['1']), execute(), SYNC, bind('n', '', ['x']), execute(), SYNC,
        bind('n', '', ['3']), execute(), close('S', 'n'), SYNC, bind('n', '', ['4']), SYNC)


@script
def statements_that_end_transactions_in_a_pipeline(c):
    c.ask(run('BEGIN'), run("INSERT INTO notes (v) VALUES ('x')"), run('COMMIT'), run('SELECT v FROM notes'), SYNC)
    c.ask(run("INSERT INTO notes (v) VALUES ('y')"), run('ROLLBACK'), SYNC, run('SELECT v FROM notes ORDER BY id'), SYNC)
    c.ask(run('BEGIN'), run('SELECT 1/0'), run('ROLLBACK'), SYNC)
    c.ask(run('ROLLBACK'), SYNC)
    c.ask(run("SET work_mem = '5MB'"), run('SHOW work_mem'), run('SELECT 1/0'), SYNC)
    c.ask(run('SHOW work_mem'), SYNC)
    c.ask(run("SET work_mem = '5MB'"), run('BEGIN'), run("SET work_mem = '6MB'"), run('ROLLBACK'), SYNC)
    c.ask(run('SHOW work_mem'), SYNC)


@script
def a_changed_result_type(c):
    c.ask(query('CREATE TABLE changing (a int); INSERT INTO changing VALUES (1)'))
    c.ask(parse('SELECT * FROM changing', 'ch'), bind('ch'), execute(), SYNC)
    c.ask(query('ALTER TABLE changing ADD b int'))
    for _ in range(2):
        c.ask(bind('ch'), execute(), SYNC)
        c.ask(parse('SELECT * FROM changing'), bind(), describe('P'), execute(), SYNC)
        c.ask(close('S', 'ch'), parse('SELECT * FROM changing', 'ch'), describe('S', 'ch'), bind('ch'), execute(), SYNC)
    c.ask(query('DROP TABLE changing'))
    c.ask(bind('ch'), execute(), SYNC)
    c.ask(describe('S', 'ch'), SYNC)


@script
def own_types(c):
    queries(c, "CREATE TYPE mood AS ENUM ('sad', 'happy')", 'CREATE TYPE pair AS (a int, b mood)')
    c.ask(parse('SELECT $1::mood, $2::pair', 'own'), describe('S', 'own'), SYNC)
    c.ask(bind('own', '', ['sad', '(1,happy)']), describe('P'), execute(), SYNC)
    c.ask(bind('own', '', ['angry', '(1,happy)']), execute(), SYNC)
    queries(c, 'DROP TYPE pair', 'DROP TYPE mood')
    c.ask(parse('SELECT $1::mood'), SYNC)


# ---- COPY -----------------------------------------------------------------------------------------

def copy_in(c, *messages, text='COPY notes (v) FROM STDIN'):
    """A COPY by the simple protocol; what is copied is sent when the server has asked for it."""
    c.send(query(text))
    if c.until('CopyInResponse')[0] == 'CopyInResponse':
        c.send(*messages, owed=0)
    c.settle()


@script
def copy_by_the_simple_protocol(c):
    copy_in(c, copy_data(b'a\nb\n'), copy_data(b'c'), copy_data(b'\n'), COPY_DONE)
    copy_in(c, COPY_DONE)
    copy_in(c, copy_data(b'x\n'), copy_fail('changed my mind'))
    copy_in(c, copy_data(b'\\N\n'), COPY_DONE)
    copy_in(c, copy_data(b'x\ty\n'), COPY_DONE)
    copy_in(c, copy_data(b'no int\n'), copy_data(b'more\n' * 5000), COPY_DONE, text='COPY notes (id) FROM STDIN')
    copy_in(c, COPY_DONE, text='COPY nothing FROM STDIN')
    copy_in(c, copy_data(b'PGCOPY\n'), COPY_DONE, text='COPY notes FROM STDIN BINARY')
    copy_in(c, copy_data(b'v\n"q,""\n1"\n'), COPY_DONE, text='COPY notes (v) FROM STDIN CSV HEADER')
    copy_in(c, copy_data(b'x\n\\.\nignored\n'), COPY_DONE)
    copy_in(c, copy_data(b'late\n'), FLUSH, SYNC, COPY_DONE)
    copy_in(c, copy_data(b''), copy_data(b'y\n'), COPY_DONE)
    queries(c, 'SELECT id, v FROM notes ORDER BY id', 'COPY notes (v) TO STDOUT', 'COPY notes TO STDOUT BINARY',
            'COPY (SELECT 1/0) TO STDOUT', 'COPY nothing TO STDOUT', 'COPY (SELECT 1/(500 - id) FROM items ORDER BY id) TO STDOUT',
            'COPY (SELECT 1 WHERE false) TO STDOUT CSV', "COPY notes TO '/nowhere'", 'SELECT 1')


@script
def copy_among_other_statements(c):
    copy_in(c, copy_data(b'first\n'), COPY_DONE, text='COPY notes (v) FROM STDIN; SELECT v FROM notes')
    queries(c, 'SELECT 1; COPY notes (v) TO STDOUT; SELECT 2')
    copy_in(c, copy_data(b'x\n'), copy_fail('no'), text='COPY notes (v) FROM STDIN; SELECT 1')
    c.ask(query('BEGIN'))
    copy_in(c, copy_data(b'in a transaction\n'), COPY_DONE)
    copy_in(c, copy_fail('no'))
    copy_in(c, COPY_DONE)
    queries(c, 'ROLLBACK', 'SELECT v FROM notes')
    c.send(query('COPY notes (v) FROM STDIN; COPY notes (v) FROM STDIN'))
    c.until('CopyInResponse')
    c.send(copy_data(b'one\n'), COPY_DONE, owed=0)
    c.until('CommandComplete')
    c.until('CopyInResponse')
    c.send(copy_data(b'two\n'), COPY_DONE, owed=0)
    c.settle()
    queries(c, 'SELECT v FROM notes')


@script
def copy_by_the_extended_protocol(c):
    c.send(parse('COPY notes (v) FROM STDIN'), bind(), execute(), FLUSH)
    c.until('CopyInResponse')
    c.ask(copy_data(b'a\nb\n'), COPY_DONE, SYNC)
    c.send(parse('COPY notes (v) FROM STDIN'), bind(), execute(), FLUSH)
    c.until('CopyInResponse')
    c.ask(copy_data(b'c\n'), copy_fail('no'), SYNC)
    c.send(parse('COPY notes (id) FROM STDIN'), bind(), execute(), FLUSH)
    c.until('CopyInResponse')
    c.ask(copy_data(b'x\n'), COPY_DONE, run('SELECT 1'), SYNC)
    c.ask(run('COPY notes (v) TO STDOUT'), SYNC)
    c.ask(run('COPY (SELECT 1/(500 - id) FROM items ORDER BY id) TO STDOUT'), run('SELECT 1'), SYNC)
    c.ask(parse('COPY notes (v) FROM STDIN'), describe(), bind(), describe('P'), SYNC)


@script
def copy_sent_without_waiting(c):
    """As a pipeline does: the data follow the Execute at once."""
    c.ask(parse('COPY notes (v) FROM STDIN'), bind(), execute(), copy_data(b'a\n'), COPY_DONE, SYNC)
    c.ask(query('COPY notes (v) FROM STDIN'), copy_data(b'b\n'), COPY_DONE, query('SELECT v FROM notes'))
    c.ask(query('COPY nothing FROM STDIN'), copy_data(b'b\n'), COPY_DONE, query('SELECT v FROM notes'))
    c.ask(parse('COPY nothing FROM STDIN'), bind(), execute(), copy_data(b'a\n'), COPY_DONE, SYNC)


@script
def copy_messages_outside_of_a_copy(c):
    c.ask(copy_data(b'x'), COPY_DONE, copy_fail('x'), query('SELECT 1'))
    c.ask(query('BEGIN'))
    c.ask(copy_data(b'x'), COPY_DONE, SYNC)
    c.ask(query('COMMIT'))


# ---- sizes ----------------------------------------------------------------------------------------

@script
def very_long_messages(c):
    long = 'x' * 3_000_000
    c.ask(query(f"SELECT length('{long}')"))
    c.ask(query(f"SELECT '{long}'"))
    c.ask(run('SELECT length($1), $1', [long]), SYNC)
    c.ask(run(f"SELECT length('{long[:100_000]}'), $1::int", ['1']), SYNC)
    c.ask(query(f"/* {long} */ SELECT 1/0"))
    copy_in(c, copy_data(long.encode() + b'\n'), COPY_DONE)
    c.ask(query('COPY notes (v) TO STDOUT'))
    c.ask(query('SELECT ' + ', '.join(map(str, range(1600)))))
    c.ask(query('SELECT ' + ', '.join(map(str, range(1700)))))
    c.ask(run('SELECT ' + ' + '.join(f'${n}::int' for n in range(1, 1001)), ['1'] * 1000), SYNC)
    c.ask(query("SELECT repeat('y', 40000) FROM items"))
    c.ask(query(f"SELECT {'x' * 70}(1)"))


def every_kind(c):
    """A bit of everything, short: it is sent in pieces."""
    c.ask(parse('SELECT $1::int', 'z'), describe('S', 'z'), bind('z', 'p', ['1']), execute('p', 1), execute('p', 1),
          close('P', 'p'), close('S', 'z'), run('SELECT 1/0'), SYNC, query('SELECT 2'), query(''))
    c.ask(query('COPY notes (v) FROM STDIN'), copy_data(b'a\n'), copy_fail('no'), query("SET work_mem = '5MB'"),
          run('SHOW work_mem'), SYNC, query('RESET work_mem'))


@script
def byte_by_byte(c):
    c.piece = 1
    every_kind(c)


@script
def in_pieces_of_seven(c):
    c.piece = 7
    every_kind(c)


@script
def split_at_every_byte(c):
    data = parse('SELECT $1::int', 'z') + bind('z', '', ['1']) + execute() + close('S', 'z') + SYNC
    for cut in range(1, len(data)):
        c.owed += 1
        c.end.sendall(data[:cut])
        c.end.sendall(data[cut:])
        c.settle()


# ---- settings -------------------------------------------------------------------------------------

@script
def settings(c):
    for text in ("SET TimeZone = 'Europe/Paris'", "SET application_name = 'ü'", 'SET DateStyle = german',
                 "SET IntervalStyle = iso_8601", 'SET client_encoding = latin1', "SELECT 'ü'", 'RESET client_encoding',
                 "SELECT '2026-01-02'::date, interval '1 day'", 'SET default_transaction_read_only = on',
                 "INSERT INTO notes (v) VALUES ('no')", 'RESET default_transaction_read_only',
                 "SELECT set_config('TimeZone', 'Asia/Tokyo', false), set_config('work_mem', '5MB', true)", 'SHOW work_mem',
                 'SHOW TimeZone', 'BEGIN', 'SET LOCAL TimeZone = UTC', 'SHOW TimeZone', 'COMMIT', 'SHOW TimeZone', 'BEGIN',
                 "SET TimeZone = 'Etc/GMT+3'", 'SAVEPOINT s', "SET TimeZone = 'Etc/GMT+4'", 'ROLLBACK TO s', 'SHOW TimeZone',
                 'COMMIT', 'SHOW TimeZone', 'BEGIN', 'SET TimeZone = UTC', 'ROLLBACK', 'SHOW TimeZone',
                 "SET TimeZone = 'Nowhere/Land'", 'SET search_path = a, "B c"', 'SHOW search_path',
                 'SET work_mem = 4097', 'SHOW work_mem', 'SET ROLE bob', 'SELECT current_user, session_user',
                 'SET ROLE nobody', 'RESET ROLE', 'SELECT current_user', 'RESET ALL', 'SHOW TimeZone', 'SHOW DateStyle',
                 "SET work_mem = '6MB'", 'DISCARD ALL', 'SHOW work_mem', 'SET extra_float_digits = 0',
                 'SELECT 0.1::float8 + 0.2', "SET bytea_output = escape", "SELECT '\\x00ff'::bytea",
                 "SET standard_conforming_strings = on", "SET lc_monetary = 'C'", "SET statement_timeout = '1min'",
                 'SHOW statement_timeout', "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
                 'SHOW transaction_read_only', 'SET TRANSACTION READ WRITE', 'RESET ALL', 'SHOW transaction_read_only'):
        c.ask(query(text))


@script
def settings_by_the_extended_protocol(c):
    c.ask(run("SET TimeZone = 'Europe/Paris'"), SYNC)
    c.ask(run('SHOW TimeZone'), run('SET TimeZone = UTC'), run('SHOW TimeZone'), SYNC, run('SHOW TimeZone'), SYNC)
    c.ask(parse('SET DateStyle = german', 'set'), SYNC)
    c.ask(query('SHOW DateStyle'))
    c.ask(bind('set'), execute(), SYNC)
    c.ask(query('SHOW DateStyle'))
    c.ask(query('RESET DateStyle'))
    c.ask(run("SELECT set_config('work_mem', $1, $2)", ['7MB', 'f']), SYNC)
    c.ask(run("SET work_mem = '8MB'"), run('SELECT 1/0'), SYNC, run('SHOW work_mem'), SYNC)
    c.ask(bind('set'), execute(), run('SELECT 1/0'), SYNC, query('SHOW DateStyle'))


@script
def custom_settings(c):
    queries(c, "SELECT current_setting('my.own', true)", "SET my.own = 'mine'", "SELECT current_setting('my.own', true)",
            "BEGIN; SET LOCAL my.own = 'for now'; SELECT current_setting('my.own'); COMMIT",
            "SELECT current_setting('my.own', true)", 'RESET my.own', "SELECT current_setting('my.own', true)",
            'SHOW my.other', "SET my.own = 'again'", 'RESET ALL', "SELECT current_setting('my.own', true)")


# ---- what pins ------------------------------------------------------------------------------------

@pinned
def temporary_tables(c):
    queries(c, 'CREATE TEMP TABLE mine (a int)', 'INSERT INTO mine VALUES (1)', 'SELECT * FROM mine',
            'CREATE TEMP TABLE mine (a int)', 'DROP TABLE mine', 'SELECT * FROM mine',
            'BEGIN; CREATE TEMP TABLE short ON COMMIT DROP AS SELECT 1; SELECT * FROM short; COMMIT', 'SELECT * FROM short',
            'SELECT 1 AS x INTO TEMP made', 'SELECT * FROM made', 'DISCARD TEMP', 'SELECT * FROM made')


@pinned
def statements_in_sql(c):
    queries(c, 'PREPARE mine (int) AS SELECT $1 + 1', 'EXECUTE mine (1)', 'EXECUTE mine', "EXECUTE mine ('x')",
            'PREPARE mine AS SELECT 1', 'DEALLOCATE mine', 'EXECUTE mine (1)')
    c.ask(parse('SELECT 1', 'by protocol'), SYNC)
    c.ask(bind('by protocol'), execute(), SYNC)
    queries(c, 'PREPARE other AS SELECT 5')
    c.ask(bind('other'), execute(), SYNC)
    queries(c, 'DEALLOCATE ALL')
    c.ask(bind('by protocol'), execute(), SYNC)


@pinned
def cursors_that_outlive_their_transaction(c):
    queries(c, 'BEGIN', 'DECLARE h CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY id', 'FETCH 2 FROM h', 'COMMIT',
            'FETCH 2 FROM h', 'SELECT name, is_holdable FROM pg_cursors', 'CLOSE h', 'FETCH h')


@pinned
def sequences(c):
    queries(c, "SELECT lastval()", "SELECT currval('notes_id_seq')", "SELECT nextval('notes_id_seq'), lastval()",
            'SELECT lastval()', "INSERT INTO notes (v) VALUES ('x') RETURNING id", 'SELECT lastval()',
            "SELECT currval('notes_id_seq')", 'DISCARD SEQUENCES', 'SELECT lastval()')


@pinned
def advisory_locks(c):
    queries(c, 'SELECT pg_advisory_lock(7)', 'SELECT pg_try_advisory_lock(7)', 'SELECT pg_advisory_unlock(7)',
            "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
            'SELECT pg_advisory_unlock(7), pg_advisory_unlock(7)', 'SELECT pg_advisory_unlock_all()')


@pinned
def notifications(c):
    queries(c, 'LISTEN mine', "NOTIFY mine, 'hello'", "NOTIFY strangers, 'no'", 'SELECT * FROM pg_listening_channels()',
            "BEGIN", "SELECT pg_notify('mine', 'in a transaction')", 'SELECT 1', 'COMMIT', 'UNLISTEN mine', 'NOTIFY mine')


@pinned
def code_and_functions(c):
    queries(c, "DO $$ BEGIN PERFORM set_config('work_mem', '9MB', false); RAISE NOTICE 'said'; END $$", 'SHOW work_mem',
            "DO 'nonsense'", 'SELECT setseed(0.5)', 'SELECT random() < 2', 'LOAD \'nothing\'')


@pinned
def function_calls(c):
    c.ask(function_call(1598))  # random(): its type alone tells
    c.heard[-2:-1] = [('FunctionCallResponse', len(c.heard[-2][1]))]
    c.ask(function_call(177, (int32(20), int32(22))))  # int4pl
    c.ask(function_call(177, (b'20', b'22'), (0,), 0))
    c.ask(function_call(177, (int32(20), None)))
    c.ask(function_call(177, (int32(20),)))
    c.ask(function_call(154, (int32(1), int32(0))))  # int4div
    c.ask(function_call(999999))
    c.ask(query('SELECT 1'))


@script
def advisory_locks_of_the_transaction(c):
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    queries(c, 'SELECT pg_advisory_xact_lock(8)', locks, 'BEGIN', 'SELECT pg_try_advisory_xact_lock(8)', locks, 'COMMIT',
            locks)


@script
def large_objects(c):
    c.ask(query('BEGIN'))
    c.ask(run("SELECT lo_create(4711)"), run("SELECT lo_put(4711, 0, 'abc')"), run('SELECT lo_get(4711)'), SYNC)
    c.ask(query("SELECT loread(lo_open(4711, 262144), 2)"))
    c.ask(query('ROLLBACK'))
    c.ask(query('SELECT lo_get(4711)'))


@script
def statements_of_two_phases(c):
    queries(c, "BEGIN; SET work_mem = '5MB'", "PREPARE TRANSACTION 'two'", 'SHOW work_mem', "ROLLBACK PREPARED 'two'")


# ---- breaking the protocol -------------------------------------------------------------------------

@pinned
def unknown_statements(c):
    queries(c, 'SELEC', 'SELECT 1')
    c.ask(run('SELEC'), SYNC, run('SELECT 1'), SYNC)


@pinned
def malformed_messages(c):
    """Those that a server answers with an error and goes on."""
    c.ask(message('B', '', '', int16(0), struct.pack('!H', 1)), SYNC)
    c.ask(message('D', b'x', ''), SYNC)
    c.ask(message('C', b'x', ''), SYNC)
    c.ask(message('E', ''), SYNC)
    c.ask(message('P', 'name'), SYNC)
    c.ask(message('Q', b'SELECT 1'))
    c.ask(query('SELECT 2'))
