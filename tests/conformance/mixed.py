"""A client of the mix: it does whatever clients do, at random, and after each step sees only what is its own.

All that it sets, makes and sends is derived from its number, and it remembers what it has. What it then sees must be
that: anything else is another client's, or was lost.
"""
import random
import select

from support.wire import COPY_DONE, SYNC, bind, close, copy_data, copy_fail, describe, execute, parse, query, run

CHECK = ("SELECT current_setting('work_mem'), current_setting('TimeZone'), current_setting('search_path'), "
         "current_setting('DateStyle'), current_setting('default_transaction_read_only'), current_user, "
         "current_setting('my.owner', true), to_regclass('mine')::text, "
         "(SELECT string_agg(name, ',') FROM pg_cursors WHERE name <> ''), "
         "(SELECT string_agg(objid::text, ',') FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()), "
         "(SELECT string_agg(c, ',') FROM pg_listening_channels() c), "
         "(SELECT string_agg(name, ',') FROM pg_prepared_statements WHERE from_sql), "
         "(SELECT count(*) FROM public.ledger WHERE owner = {number})")
SETTINGS = ('work_mem', 'TimeZone', 'search_path', 'DateStyle', 'default_transaction_read_only')
STYLES = ('ISO, MDY', 'ISO, DMY', 'German, DMY', 'SQL, MDY', 'Postgres, DMY')
SEQUENCE_STEP = 1_000_000
CANCELED = '57014'


class Strange(AssertionError):
    """A client saw what is not its own."""


class Client:
    """One client, which comes and goes; `connect()` gives a Wire. `done` counts what it did."""

    def __init__(self, number, connect, seed):
        self.number = number
        self.connect = connect
        self.dice = random.Random(f'{seed} {number}')
        self.done = {}
        self.steps = []     # of this session, for the report
        self.entries = 0    # rows of it in the ledger
        self.last_value = 0
        self.wire = None

    # -- a session --

    def visit(self):
        """One session."""
        self.steps = []
        self.wire = self.connect()
        try:
            self._begin()
            habits = [*EVERYDAY, *(PINNING if self.dice.random() < 0.2 else ()),
                      *(CUSTOM if self.dice.random() < 0.2 else ())]
            for _ in range(self.dice.randrange(3, 30)):
                self._step(self.dice.choice(habits))
            if self.dice.random() < 0.2:
                self._step(Client.ask_last_value)
            if self.dice.random() < 0.3:
                self._step(self.dice.choice(ENDS))
        finally:
            self.wire.finish()

    def _begin(self):
        first = self.wire.rows('SHOW work_mem; SHOW TimeZone; SHOW search_path; SHOW DateStyle; '
                               'SHOW default_transaction_read_only')
        self.plain = dict(zip(SETTINGS, (row[0] for row in first)))
        self.told = self.wire.parameters['TimeZone']
        self.expect(first, [('4MB',), (self.told,), ('"$user", public',), ('ISO, MDY',), ('off',)])
        self.own = dict(self.plain)
        self.role = 'ann'
        self.owner = {None}     # what the custom setting may be
        self.named = {}
        self.temporary = self.held = self.listening = self.prepared = False
        self.locks = []
        self.sequence = None    # where it was moved to in this session
        self.check()

    def _step(self, habit):
        self.steps.append(habit.__name__)
        self.done[habit.__name__] = self.done.get(habit.__name__, 0) + 1
        habit(self)
        if habit not in ENDS:
            self.check()

    # -- seeing --

    def expect(self, seen, expected):
        if seen != expected:
            raise Strange(f'client {self.number} saw {seen} instead of {expected}; its steps: {self.steps}')

    def answer(self, heard):
        """Rows as text, and the SQLSTATE of an error."""
        rows, error = [], None
        for kind, *rest in heard:
            if kind == 'DataRow':
                rows.append(tuple(field if field is None else field.decode() for field in rest[0]))
            elif kind == 'ErrorResponse':
                error = dict(rest[0])['code']
            elif kind == 'NotificationResponse':
                self.expect(rest, [f'channel_{self.number}', f'from {self.number}'])
                self.expect(self.listening, True)
        del self.wire.heard[:]
        return rows, error

    def ask(self, text, error=None, parameters=()):
        """Asks by whichever protocol."""
        if parameters or self.dice.random() < 0.4:
            heard = self.wire.ask(run(text, parameters), SYNC)
        else:
            heard = self.wire.ask(query(text))
        rows, found = self.answer(heard)
        self.expect(found, error)
        return rows

    def check(self):
        (*seen, tables, cursors, locks, channels, prepared, entries), = self.ask(CHECK.format(number=self.number))
        owner = seen.pop()
        self.expect(seen, [*self.own.values(), self.role])
        self.expect(owner if owner in self.owner else f'{owner!r} of my.owner', owner)
        self.expect([tables, cursors, channels, prepared],
                    ['mine' if self.temporary else None, 'held' if self.held else None,
                     f'channel_{self.number}' if self.listening else None, 'in_sql' if self.prepared else None])
        self.expect(sorted((locks or '').split(',')), sorted(map(str, self.locks)) or [''])
        self.expect(int(entries), self.entries)
        self.expect(self.wire.parameters['TimeZone'], self.own['TimeZone'])
        self.expect(self.wire.parameters['DateStyle'], self.own['DateStyle'])

    def some_setting(self):
        return self.dice.choice([('work_mem', f'{2001 + 2 * self.number}kB'), ('TimeZone', f'Etc/GMT+{1 + self.number % 12}'),
                                 ('search_path', f'of_{self.number}'), ('DateStyle', STYLES[self.number % len(STYLES)])])

    def may_write(self):
        return self.own['default_transaction_read_only'] == 'off' and self.role == 'ann'

    # -- what clients do --

    def sets(self):
        name, setting = self.some_setting()
        text = self.dice.choice([f"SET {name} = {quoted(name, setting)}", f"SET SESSION {name} TO {quoted(name, setting)}",
                                 f"SELECT set_config('{name}', '{setting}', false)"])
        self.ask(text)
        self.own[name] = setting

    def sets_for_a_transaction(self):
        name, setting = self.some_setting()
        self.ask('BEGIN')
        self.ask(f'SET LOCAL {name} = {quoted(name, setting)}')
        self.expect(self.ask(f'SHOW {name}'), [(setting,)])
        self.ask(self.dice.choice(['COMMIT', 'ROLLBACK']))

    def sets_and_rolls_back(self):
        name, setting = self.some_setting()
        if self.dice.random() < 0.5:
            self.ask('BEGIN')
            self.ask(f'SET {name} = {quoted(name, setting)}')
            self.ask('SELECT 1/0', '22012')
            self.ask('ROLLBACK')
        else:
            _, error = self.answer(self.wire.ask(query(f'SET {name} = {quoted(name, setting)}; SELECT 1/0')))
            self.expect(error, '22012')

    def resets(self):
        name, _ = self.some_setting()
        self.ask(self.dice.choice([f'RESET {name}', f'SET {name} TO DEFAULT']))
        self.own[name] = self.plain[name]

    def resets_all(self):
        self.ask('RESET ALL')
        self.own = dict(self.plain)
        self.owner = self.owner if self.owner == {None} else {None, ''}

    def discards_all(self):
        self.answer(self.wire.ask(query('DISCARD ALL')))
        self.own, self.role = dict(self.plain), 'ann'
        self.owner = self.owner if self.owner == {None} else {None, ''}
        self.named, self.locks, self.sequence = {}, [], None
        self.temporary = self.held = self.listening = self.prepared = False

    def names_an_owner(self):
        if self.dice.random() < 0.7:
            self.ask(f"SET my.owner = 'client {self.number}'")
            self.owner = {f'client {self.number}'}
        else:
            self.ask('BEGIN')
            self.ask(f"SET LOCAL my.owner = 'for now {self.number}'")
            self.expect(self.ask("SELECT current_setting('my.owner')"), [(f'for now {self.number}',)])
            self.ask('COMMIT')
            self.owner = {None, ''} if self.owner == {None} else self.owner

    def changes_its_role(self):
        self.role = self.dice.choice(['bob', 'ann'])
        self.ask('SET ROLE bob' if self.role == 'bob' else self.dice.choice(['RESET ROLE', 'SET ROLE NONE']))

    def only_reads(self):
        setting = self.dice.choice(['on', 'off'])
        self.ask(f'SET default_transaction_read_only = {setting}')
        self.own['default_transaction_read_only'] = setting

    def writes(self):
        refused = '25006' if self.own['default_transaction_read_only'] == 'on' else None
        self.ask(f'INSERT INTO public.ledger VALUES ({self.number})', refused)
        self.entries += refused is None

    def writes_for_nothing(self):
        self.ask('BEGIN READ WRITE')
        self.ask(f'INSERT INTO public.ledger VALUES ({self.number})')
        self.ask('SAVEPOINT s')
        self.ask('SELECT 1/0', '22012')
        self.ask(self.dice.choice(['ROLLBACK', 'COMMIT']))

    def writes_in_a_transaction(self):
        self.ask('BEGIN READ WRITE')
        for _ in range(3):
            self.ask(f'INSERT INTO public.ledger VALUES ({self.number})')
        self.expect(self.ask('SELECT count(*) FROM public.ledger WHERE owner = $1', parameters=[str(self.number)]),
                    [(str(self.entries + 3),)])
        self.ask('COMMIT')
        self.entries += 3

    def prepares(self):
        name = self.dice.choice(['s', 'statement', 'S_1'])
        own = self.dice.randrange(3)
        self.wire.ask(close('S', name), parse(f'SELECT {self.number} + {own}, $1::int', name), describe('S', name), SYNC)
        self.named[name] = self.number + own

    def uses_what_it_prepared(self):
        name = self.dice.choice(['s', 'statement', 'S_1'])
        turn = str(self.dice.randrange(1000))
        rows, error = self.answer(self.wire.ask(bind(name, '', [turn]), execute(), SYNC))
        if name in self.named:
            self.expect((rows, error), ([(str(self.named[name]), turn)], None))
        else:
            self.expect((rows, error), ([], '26000'))

    def reads_dates(self):
        """A statement that is parsed under one style must not be another's."""
        month_first = self.own['DateStyle'].endswith('MDY')
        self.wire.ask(close('S', 'date'), parse("SELECT date '1/2/2026' - date '2026-01-01'", 'date'), SYNC)
        rows, error = self.answer(self.wire.ask(bind('date'), execute(), SYNC))
        self.expect((rows, error), ([('1' if month_first else '31',)], None))

    def pipelines(self):
        parts = []
        for turn in range(self.dice.randrange(2, 12)):
            parts += [run('SELECT $1::int / $2::int', [str(self.number), str(turn % 4)]), SYNC]
        rows, _ = self.answer(self.wire.ask(*parts))
        self.expect({int(row[0]) for row in rows} <= {self.number, self.number // 2, self.number // 3}, True)

    def moves_its_sequence(self):
        self.last_value = self.sequence = int(self.ask(f"SELECT nextval('public.seq_{self.number}')")[0][0]) \
            if self.may_write() else self.sequence
        self.expect(self.sequence is None or self.sequence // SEQUENCE_STEP == self.number, True)

    def ask_last_value(self):
        """Its own, or none; it is pinned from then on."""
        rows, error = self.answer(self.wire.ask(query('SELECT lastval()')))
        own = [(str(self.sequence),)]
        self.expect((rows, error), (own, None) if rows and self.sequence else ([], '55000'))

    def copies_in(self):
        if not self.may_write():
            return
        self.wire.send(query('COPY public.ledger FROM STDIN'))
        self.wire.until('CopyInResponse')
        lines = [copy_data(f'{self.number}\n'.encode())] * 5
        fails = self.dice.random() < 0.4
        self.wire.send(*lines, copy_fail('no') if fails else COPY_DONE, owed=0)
        self.wire.settle()
        _, error = self.answer(self.wire.heard)
        self.expect(error, CANCELED if fails else None)
        self.entries += 0 if fails else 5

    def copies_out(self):
        heard = self.wire.ask(query(f'COPY (SELECT owner FROM public.ledger WHERE owner = {self.number}) TO STDOUT'))
        lines = [rest[0] for kind, *rest in heard if kind == 'CopyData']
        self.answer(heard)
        self.expect(lines, [f'{self.number}\n'.encode()] * self.entries)

    def fails(self):
        self.ask('SELECT 1/0', '22012')

    def reads_much(self):
        rows = self.ask(f'SELECT {self.number}, n FROM generate_series(1, 300) n')
        self.expect(rows, [(str(self.number), str(n)) for n in range(1, 301)])

    def notifies(self):
        self.ask(f"NOTIFY channel_{self.number}, 'from {self.number}'")
        self.ask(f"SELECT pg_notify('channel_{self.number}', 'from {self.number}')")

    def cancels(self):
        """Asks until it is heard; nobody else may hear it."""
        self.wire.send(query(f'SELECT {self.number} FROM pg_sleep(60)'))
        answered = select.poll()  # select() ends at 1024 files
        answered.register(self.wire.end, select.POLLIN)
        while not answered.poll(20):
            self.wire.cancel()
            answered.poll(1000)
        self.wire.settle()
        self.expect(self.answer(self.wire.heard), ([], CANCELED))

    def cancels_nothing(self):
        self.wire.cancel()

    # -- what keeps its server connection --

    def makes_a_temporary_table(self):
        if not self.may_write():
            return
        if self.temporary:
            self.expect(self.ask('SELECT a FROM pg_temp.mine'), [(str(self.number),)])
            self.ask('DROP TABLE pg_temp.mine')
        else:
            self.ask(f'CREATE TEMP TABLE mine AS SELECT {self.number} AS a')
        self.temporary = not self.temporary

    def locks_for_the_session(self):
        if self.locks and self.dice.random() < 0.5:
            self.expect(self.ask(f'SELECT pg_advisory_unlock({self.locks[-1]})'), [('t',)])
            self.locks.pop()
        elif not self.locks:
            self.expect(self.ask(f'SELECT pg_try_advisory_lock({self.number})'), [('t',)])
            self.locks.append(self.number)

    def holds_a_cursor(self):
        if self.held:
            self.expect(self.ask('FETCH ABSOLUTE 3 FROM held'), [(str(self.number), '3')])
            self.ask('CLOSE held')
        else:
            self.ask(f'DECLARE held SCROLL CURSOR WITH HOLD FOR SELECT {self.number}, n FROM generate_series(1, 5) n')
        self.held = not self.held

    def listens(self):
        self.ask('UNLISTEN *' if self.listening else f'LISTEN channel_{self.number}')
        self.listening = not self.listening

    def prepares_in_sql(self):
        if self.prepared:
            self.expect(self.answer(self.wire.ask(query('EXECUTE in_sql')))[0], [(str(self.number),)])
            self.ask('DEALLOCATE in_sql')
        else:
            self.ask(f'PREPARE in_sql AS SELECT {self.number}')
        self.prepared = not self.prepared

    # -- how they leave --

    def leaves_in_a_transaction(self):
        self.wire.ask(query(f'BEGIN READ WRITE; INSERT INTO public.ledger VALUES ({self.number})'))
        self.wire.ask(query(f"SET work_mem = '{1000 + self.number}kB'; SET my.owner = 'gone {self.number}'"))
        self.wire.drop()

    def leaves_in_a_query(self):
        self.wire.send(query(f'SELECT {self.number} FROM pg_sleep(0.05)'))
        self.wire.drop()

    def leaves_in_a_message(self):
        self.wire.end.sendall(query(f'INSERT INTO public.ledger VALUES ({self.number})')[:-3])
        self.wire.drop()

    def leaves_in_a_copy(self):
        self.wire.send(query('COPY public.ledger FROM STDIN'))
        self.wire.until('CopyInResponse')
        self.wire.end.sendall(copy_data(f'{self.number}\n'.encode()))
        self.wire.drop()

    def leaves_with_settings(self):
        self.wire.ask(query(f"SET search_path = of_{self.number}; SET my.owner = 'gone {self.number}'"))
        self.wire.drop()


def quoted(name, setting):
    return setting if name in ('search_path', 'DateStyle') else f"'{setting}'"


EVERYDAY = [Client.sets, Client.sets, Client.sets_for_a_transaction, Client.sets_and_rolls_back, Client.resets,
            Client.resets_all, Client.discards_all, Client.changes_its_role, Client.only_reads,
            Client.writes, Client.writes_for_nothing, Client.writes_in_a_transaction, Client.prepares,
            Client.uses_what_it_prepared, Client.uses_what_it_prepared, Client.reads_dates, Client.pipelines,
            Client.moves_its_sequence, Client.copies_in, Client.copies_out, Client.fails, Client.reads_much,
            Client.notifies, Client.cancels, Client.cancels_nothing]
CUSTOM = [Client.names_an_owner, Client.names_an_owner]  # a server connection of its own for who does
PINNING = [Client.makes_a_temporary_table, Client.locks_for_the_session, Client.holds_a_cursor, Client.listens,
           Client.prepares_in_sql] * 2
ENDS = [Client.leaves_in_a_transaction, Client.leaves_in_a_query, Client.leaves_in_a_message, Client.leaves_in_a_copy,
        Client.leaves_with_settings]
