#!/usr/bin/python3
"""Switches off one tracker of `weir proxy` after the other, or a rule of failover, and sees that a test fails without it:
two hundred clients that do everything at random, or the files of tests that are named.

    tools/mutants.py [--seconds N] [NAME…]

A test that cannot fail proves nothing. Each mutant is a change of one place in a copy of the sources; a change whose
place is not found any more is an error, as is a mutant that the tests let pass. The sources are not touched.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = 'src'
MIX = 'tests/conformance/test_mix.py'
PROTOCOL = 'tests/conformance/test_protocol.py'
HIDDEN = 'tests/integration/test_proxy_hidden.py'
SHARED = 'tests/integration/test_proxy_shared.py'
ALONE = 'tests/integration/test_proxy_alone.py'
LISTEN = 'tests/integration/test_proxy_listen_stress.py'
HISTORY = 'tests/integration/test_history.py'
CAUSAL = ('tests/integration/test_proxy_causal.py', 'tests/integration/test_proxy_causal_reader.py')
IN_PLACE = 'tests/integration/test_cache_failover.py::test_without_automatic_failover_it_stays'
# name: file in src, what stands there, what the mutant has instead; and the tests, where it is not MIX
MUTANTS = {
    'set is nothing': ('sql/words.c', '{"set", KIND_SET,', '{"set", KIND_QUIET,'),
    'a rollback keeps a replay': ('session/replay.c', 'if (exchange->failed || exchange->rolled_back) {\n            replay_lost',
                                  'if (false) {\n            replay_lost'),
    'a transaction begins with whatever there is': ('session/settings.c', '"default_transaction_read_only",', '"work_mem_",'),
    'custom settings go to everybody': ('session/settings.c', 'if (server == client || server == NULL ||',
                                        'if (server != client || server == client ||'),
    'statements are shared across settings': ('session/settings.c', 'return settings != NULL ? settings->id : 0;',
                                              '(void)settings;\n    return 0;'),
    'sequences are not discarded': ('proxy/server/link.c', 'return moved ? HANDOVER_SEQUENCES : HANDOVER_PLAIN;',
                                    'return moved && false ? HANDOVER_SEQUENCES : HANDOVER_PLAIN;'),
    'LISTEN pins nobody': ('sql/words.c', '{"listen", KIND_PIN, PIN_LISTEN, false}', '{"listen", KIND_QUIET, 0, false}'),
    'channels are handed over without a mark': ('session/listen.c', 'return exchange->marked ? STEP_DROP : STEP_FORWARD; /* the',
                                                'return STEP_FORWARD; /* the', LISTEN),
    'channels do not come back': ('session/listen.c', '!piece_listens(session, exchange, piece, &unlistens)',
                                  '(piece_listens(session, exchange, piece, &unlistens), true)', LISTEN),
    'temporary tables pin nobody': ('sql/words.c', 'sql_scan_pin(scan, PIN_TEMPORARY);\n', '(void)scan;\n'),
    'advisory locks pin nobody': ('sql/words.c', 'FAMILY("pg_try_advisory_", PIN_ADVISORY_LOCK)',
                                  'FAMILY("pg_try_advisory_", PIN_NONE)'),
    'cursors WITH HOLD pin nobody': ('sql/words.c', 'sql_scan_pin(scan, PIN_HOLD_CURSOR);', '(void)scan;'),
    'PREPARE pins nobody': ('sql/words.c', 'sql_statement_pin(scan, PIN_SQL_PREPARE);\n        }\n        break;\n'
                            '    case KIND_PREPARE_TWO', 'scan->kind_ = KIND_QUIET;\n        }\n        break;\n'
                            '    case KIND_PREPARE_TWO'),
    'everybody is unpinned': ('session/pins.c', 'slice_is(pg_read_bytes(&reader, 1), "f")',
                              'pg_read_bytes(&reader, 1).len == 1'),
    'who leaves is not rolled back': ('proxy/server/orphan.c', "if (server->exchange.status == 'I') {", 'if (true) {'),
    'settings are not told': ('proxy/server/link.c', '    tell(client, server->params);\n', ''),
    'unnamed statements are for everybody': ('session/session.c', 'if (exchange->unnamed == UNNAMED_FOREIGN && ',
                                             'if (false && ', PROTOCOL),
    'names that are taken are not': ('session/names.c', 'if (statement_names_get(&session->names, name) != NULL) {\n'
                                     '        name_on_server', 'if (false) {\n        name_on_server', PROTOCOL),
    'any key cancels': ('proxy/client/cancel.c', '!crypto_equal(&client->cancel_key, cancel->key, CANCEL_KEY_SIZE)', 'false', ALONE),
    'a cancel hits the next client': ('proxy/server/link.c', 'if (server->cancels > 0) {', 'if (false) {'),
    'what a database hides pins nobody': ('sql/words.c', 'sql_scan_pin(scan, PIN_HIDDEN_STATE);', '(void)scan;', HIDDEN),
    'what a database hides is not cleaned': ('proxy/server/link.c', 'return HANDOVER_ALL;', 'return HANDOVER_PLAIN;', HIDDEN),
    'what was known is forgotten': ('proxy/server/catalog.c', 'entry_set(entry, entry->names, false);',
                                    'entry_set(entry, NULL, false);', HIDDEN),
    'nobody waits for what is not known': ('session/server.c', 'if (!exchange->learns) {', 'if (true) {', HIDDEN),
    'who leaves takes its server along': ('proxy/server/learn.c', 'server->learns && server->client != NULL', 'false', HIDDEN),
    'any function is shared': ('sql/reads.c', 'compare_names) != NULL;', 'compare_names) != (void *)1;', SHARED),
    'a shared connection writes': ('proxy/line/line.c', 'default_transaction_read_only', 'default_transaction_deferrable', SHARED),
    'settings do not keep from sharing': ('proxy/line/line.c', 'line->settings == client->session.settings &&', '', SHARED),
    'the shared connection is heard at once': ('proxy/listen/ear_hear.c', 'session_listen_passed(&client->session);\n    if (ear->state != EAR_ON)',
                                               'session_listen_passed(&client->session);\n    if (false)', LISTEN),
    'what may be done is called undone': ('session/loss.c', 'return unknown ? LOSS_UNKNOWN', 'return unknown && false ? LOSS_UNKNOWN',
                                          HISTORY),
    'a token is not told': ('session/replay.c', '    causal_take(exchange, token);\n', '    (void)token;\n', *CAUSAL),
    'a token of elsewhere is any position': ('proxy/split/causal.c', 'if (!here || !own || ', 'if ((!here && false) || !own || ', *CAUSAL),
    'a token ahead of all is waited for': ('proxy/split/split.c', 'split->claimed_us == 0 || ', 'true || ', *CAUSAL),
    'a replica goes on behind a token': ('session/causal.c', 'causal->pending && causal->standby && !causal->follows', 'false', *CAUSAL),
    'what comes behind a token does not wait': ('session/session.c', 'exchange->causal.pending;        /* it', 'false;        /* it', *CAUSAL),
    'what fails in front of a query takes what is behind it along': ('session/session.c', 'unsynced || exchange->replica ||',
                                                                     '(unsynced && false) || exchange->replica ||', *CAUSAL),
    'a session is pinned to a replica with a token': ('session/causal.c', '(stays || !causal->asked)', '((stays && false) || !causal->asked)', *CAUSAL),
    'a kept statement sets a token at a replica': ('session/causal.c', '(effects.token & SQL_TOKEN_SET) != 0 && exchange->causal.standby',
                                                   'false', *CAUSAL),
    'what was written counts where nobody writes': ('proxy/split/route.c', 'split != NULL && split->told && ', 'split != NULL && ', *CAUSAL),
    'a token is what was written before': ('session/causal.c', 'causal->known && !exchange->changed && ', 'causal->known && ', *CAUSAL),
    'a token does not know of its transaction': ('session/causal.c', 'pg_current_xact_id_if_assigned() IS NULL"', 'pg_backend_pid() IS NOT NULL"',
                                                 *CAUSAL),
    'a token stays for strangers': ('session/settings_ask.c', "', '', false)\"", "', 'w1-', false)\"", *CAUSAL),
    'Redis may not load its transactions': ('engine/redis_conf.c', 'off resetpass ~* &* +@all', 'off resetpass ~* &* -@all',
                                            IN_PLACE),
    'who ends soon cannot load its data': ('agent/redis/view.c', 'node->seen.loading ? part->vain_starts : 0', 'part->vain_starts',
                                           IN_PLACE),
}


def build(folder):
    done = subprocess.run(['ninja', '-C', folder / 'build', 'weir'], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f'it does not build:\n{done.stdout}')


def copy_sources(folder):
    files = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in files.split('\0'):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    subprocess.run(['meson', 'setup', folder / 'build', folder], check=True, stdout=subprocess.DEVNULL)
    build(folder)


def survives(folder, tests, seconds):
    """Whether the tests pass with the program in the folder."""
    environment = {**os.environ, 'WEIR_BIN': str(folder / 'build/weir'), 'WEIR_MIX_SECONDS': str(seconds),
                   'WEIR_LISTEN_SECONDS': str(seconds)}
    done = subprocess.run([sys.executable, '-m', 'pytest', '-q', '-x', *tests], cwd=ROOT,
                          env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        sys.exit(f'pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}')
    said = [line for line in done.stdout.splitlines() if line.startswith('E ')]
    if done.returncode == 1 and not said:
        sys.exit(f'pytest failed, but no test did:\n{done.stdout}{done.stderr}')
    print(f'    {said[0][:200] if said else "passed"}', flush=True)
    return done.returncode == 0


def mutate(folder, name, seconds):
    """Whether the mutant is found out."""
    file, before, after, *tests = MUTANTS[name]
    path = folder / SOURCES / file
    text = path.read_text()
    path.write_text(text.replace(before, after))
    try:
        build(folder)
        print(name, flush=True)
        return not survives(folder, tests or [MIX], seconds)
    finally:
        path.write_text(text)


def main():
    parser = argparse.ArgumentParser(description='switches off one tracker after the other')
    parser.add_argument('--seconds', type=int, default=20, help='how long each may hide')
    parser.add_argument('names', nargs='*', default=list(MUTANTS))
    options = parser.parse_args()
    for name in options.names:
        file, before, *_ = MUTANTS[name]
        if (ROOT / SOURCES / file).read_text().count(before) != 1:
            sys.exit(f'{name}: its place in {file} is not there any more, or not the only one')
    with tempfile.TemporaryDirectory(prefix='weir-mutants-') as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        copy_sources(folder)
        hidden = [name for name in options.names if not mutate(folder, name, options.seconds)]
    print(f'{len(options.names) - len(hidden)} of {len(options.names)} found out', *hidden, sep='\n    ')
    return 1 if hidden else 0


if __name__ == '__main__':
    sys.exit(main())
