#!/usr/bin/python3
"""Takes one rule of failover out after the other, and sees that the simulation finds it.

    tools/sim_mutants.py [--build DIR] [--seeds N] [--limit-s N] [--kind cluster|group] [NAME…]

A mutant is a switch of the model (what an agent, the store, PostgreSQL or a proxy does), changes of one place each in
a copy of src/ha or src/group, or both. A place that is not found any more is an error, as is a mutant that no checker finds. Prints
the table: rule, mutant, the seed that found it, and what the checker said. Two halves that cover for each other are
shown as such: either alone is not found, and is expected not to be; both together are.
"""
import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ['-ljansson', '-lsqlite3', '-lpthread', '-lm']


class Mutant:
    def __init__(self, rule, name, *changes, without=(), covered='', profile='', kind='cluster'):
        self.rule = rule
        self.name = name
        self.kind = kind  # of the runs
        self.changes = changes  # file in src/ha or src/group, what stands there, what the mutant has instead
        self.without = without  # switches of the simulation
        self.covered = covered  # by what, where it alone is harmless
        self.profile = profile  # of the runs; '': all of them


OPEN_AT_ONCE = ('lead.c', 'if (peer == NULL || !peer->bound) {', 'if (false && peer == NULL) {')

MUTANTS = [
    Mutant('F1', 'compare-and-swap on the term', without=['revision']),
    Mutant('F2', 'no write before a start or a promotion', without=['claim']),
    Mutant('F2', 'unknown outcomes are settled by a read', without=['settling'], covered='the write before weaker names'),
    Mutant('F2', 'no write before weaker names', without=['fresh'], covered='the settling of unknown outcomes'),
    Mutant('F2', 'neither of the two', without=['settling', 'fresh']),
    Mutant('F2', 'names of a file left behind', without=['names'], covered='the gate of F7'),
    Mutant('F2', 'names of a file left behind, and no gate', OPEN_AT_ONCE, without=['names']),
    Mutant('F3', 'the store forgets', without=['memory']),
    Mutant('F3', 'a copy of the store is taken as it is', without=['reset']),
    Mutant('F3', 'a copy of the store keeps its sets',
           ('record.c', 'record->set.len = record->set.len > 1 ? 1 : record->set.len;', '')),
    Mutant('F3', 'behind a copy of the store a leader without data begins anew',
           ('lead.c', '!ha_may_have_begun(&view->record)', 'view->record.set.len == 0')),
    Mutant('F3', 'behind a copy of the store a leader takes whatever data it has',
           ('lead.c', 'has_data && ha_may_have_begun(&view->record)', 'has_data && view->record.set.len > 0'),
           profile='storm'),
    Mutant('F3', 'behind a copy of the store who shall leave leaves',
           ('decide.c', 'ha_may_have_begun(&view->record) &&', 'view->record.set.len > 0 &&'), profile='storm'),
    Mutant('F3', 'no numbers of timelines are passed over',
           ('timeline.c', 'return record->unsure ? known + HA_TIMELINES_UNSURE : 0;', 'return 0;')),
    Mutant('F4', 'a new leader keeps the set', ('decide.c', '    record->set = (HaSet){.len = 0};\n', '')),
    Mutant('F4', 'data of a member is made anew', ('decide.c', 'HA_DATA_LED && !ha_in_set(view);', 'HA_DATA_LED;'),
           ('decide.c', 'if (ha_in_set(view)) { /* a data', 'if (false) { /* a data'),
           ('decide.c', 'bool needed = is_needed(view);', 'bool needed = false;')),
    Mutant('F4', 'a copy keeps its name', without=['incarnations']),
    Mutant('F4', 'ANY 1', without=['first']),
    Mutant('F4', 'names are no secret', without=['hiding']),
    Mutant('F4', 'no slots', without=['slots']),
    Mutant('F5', 'binding is read off the view', without=['proof']),
    Mutant('F5', 'one CHECKPOINT', without=['second']),
    Mutant('F5', 'old walsenders stay', without=['walsenders']),
    Mutant('F5', 'the position is noted before the proof', without=['order']),
    Mutant('F5', 'who joins need not be bound',
           ('lead.c', 'if (!peer->bound || !peer->streaming) {', 'if (!peer->streaming) {')),
    Mutant('F6', 'no gate', without=['gate']),
    Mutant('F7', 'PostgreSQL restarts within itself', without=['exit']),
    Mutant('F7', 'clients at once', OPEN_AT_ONCE),
    Mutant('F8', 'ended is when the postmaster is', without=['reaping']),
    Mutant('F9', 'no right to answer, no deadline', without=['right']),
    Mutant('F9', 'open before the former right is over',
           ('ha.h', '#define HA_WITNESS_MS 1500', '#define HA_WITNESS_MS 10'),
           ('lead.c', 'if (!view->record.proven && ', 'if (false && '), profile='storm'),
    Mutant('F9', 'one witness', ('decide.c', '!view->link_up &&\n           view->link_ms >= HA_WITNESS_MS', 'true'),
           ('decide.c', '(view->record.phase == HA_PHASE_FREE || !view->link_up)', 'true')),
    Mutant('F10', 'degrade at once', ('lead.c', 'bool gone = peer == NULL || peer->gone_ms >= HA_DEGRADE_MS ||',
                                      'bool gone = peer == NULL || !peer->streaming ||')),
    Mutant('F11', 'nobody takes a lost leader\'s place', ('decide.c', 'return !view->leader_here &&', 'return false &&')),
    Mutant('F13', 'half a promotion is not made again',
           ('lead.c', 'view->data == HA_DATA_LED && (ha_record_timeline(record) != 0 || record->history_len == 0)',
            'view->data == HA_DATA_LED')),
    Mutant('', 'a standby that joins is given up for a moment\'s absence',
           ('lead.c', '(peer->streaming || (peer->gone_ms < HA_DEGRADE_MS && !peer->ended))', 'peer->streaming')),
    Mutant('', 'who shall leave leaves, needed or not',
           ('decide.c', 'bool needed = is_needed(view);', 'bool needed = false;')),
    Mutant('', 'strict waits for data that nobody has', ('lead.c', 'return peer == NULL && another_streams(view);',
                                                        'return peer == NULL && another_streams(view) && false;')),
    Mutant('', 'what the leader has not told yet is divergence',
           ('timeline.c', 'return ha_record_timeline(record) != 0 && timeline > newest(record);',
            'return record->history_len > 0 && timeline > newest(record);')),
]


def group(rule, name, *changes, **options):
    return Mutant(rule, name, *changes, kind='group', **options)


MUTANTS += [
    group('F1', 'group: compare-and-swap on the term', without=['revision']),
    group('F2', 'group: no write before a start or a promotion', without=['claim']),
    group('F4', 'group: a new leader keeps the set',
          ('decide.c', 'record->set = (HaSet){.len = 0};\n    ha_set_add(&record->set, &view->incarnation);\n    return',
           'ha_set_add(&record->set, &view->incarnation);\n    return'), covered='the set that begins with a history'),
    group('F4', 'group: whoever has the history may lead', ('group_priv.h', 'return ha_set_has(&view->record.set, &view->incarnation);', 'return true;'),
          ('decide.c', 'ha_set_has(&view->record.set, &peer->incarnation)', 'true')),
    group('F4', 'group: a member without data begins anew as leader',
          ('lead.c', 'if (those_with_data(view).len == 0) {', 'if (true) {')),
    group('F8', 'group: free before it is reaped', without=['reaping']),
    group('', 'group: another history may lead',
          ('decide.c', "history[0] != '\\0' ? strcmp(history, view->history) == 0 : view->has_data", 'true')),
    group('', 'group: another history keeps the set',
          ('lead.c', 'record->set = (HaSet){.len = 0};\n        snprintf', 'snprintf'), covered='the history that a replica must have'),
    group('F4', 'group: a new leader keeps the set, and so does another history',
          ('decide.c', 'record->set = (HaSet){.len = 0};\n    ha_set_add(&record->set, &view->incarnation);\n    return',
           'ha_set_add(&record->set, &view->incarnation);\n    return'),
          ('lead.c', 'record->set = (HaSet){.len = 0};\n        snprintf', 'snprintf')),
    group('', 'group: what the others have is not waited for',
          ('decide.c', 'competes(view, peer) && peer->bid_term != view->record.term;', 'false;'),
          ('decide.c', '(!bid || peer->bid_term == view->record.term)', 'true')),
    group('', 'group: offsets of an earlier term count',
          ('decide.c', 'competes(view, peer) && peer->bid_term != view->record.term;', 'competes(view, peer) && peer->bid_term == 0;'),
          ('decide.c', '(!bid || peer->bid_term == view->record.term)', '(!bid || peer->bid_term != 0)'),
          ('decide.c', 'competes(view, peer) && peer->bid_term == view->record.term && more', 'competes(view, peer) && peer->bid_term != 0 && more'),
          covered='the history that a peer says with it'),
    group('', 'group: whoever is first takes it', ('decide.c', 'if (competes(view, peer) && peer->bid_term == view->record.term && more) {', 'if (false && more) {')),
    group('', 'group: it bids before it has read to the end', ('decide.c', 'view->link_up && view->phase_ms < GROUP_BID_MS ?', 'false ?')),
    group('', 'group: one whose log is that of before its copy leads',
          ('decide.c', 'return view->whole && is_counted_in(view);', 'return is_counted_in(view);'),
          ('decide.c', 'has_it && peer->whole &&', 'has_it &&'), ('lead.c', 'peer->in_history && peer->whole &&', 'peer->in_history &&')),
    group('F15', 'group: a lost leader has no deadline', without=['right']),
    group('F15', 'group: a leader counts as lost at once',
          ('decide.c', 'view->lost_ms >= GROUP_LOST_MS', 'view->lost_ms >= GROUP_DEAF_MS')),
    group('F15', 'group: a lost leader is replaced without one that may have more',
          ('decide.c', '!(group_is_counted(view) && one_is_missing(view))', 'true'),
          covered='the comparison before one leads'),
    group('', 'group: an heir that has not caught up', ('lead.c', 'return heir->offset >= view->offset ?', 'return true ?'),
          ('lead.c', 'group_could_lead(view, heir) && heir->offset >= view->offset', 'group_could_lead(view, heir)')),
    group('', 'group: an heir whose leader died leads at once',
          ('lead.c', 'bool unseen = view->state != HA_STATE_FOLLOWING;', 'bool unseen = false;')),
    group('', 'group: a leader without data makes room for any data',
          ('lead.c', 'if (!free && group_has_taker(view)) {', 'if (false) {'),
          ('lead.c', 'if (!free && group_is_counted(view) && view->state_ms < GROUP_TAKE_MS) {', 'if (false) {')),
    group('F5', 'group: no gate', without=['gate']),
    group('F5', 'group: alone while others may lead', ('lead.c', 'bool replicas = view->record.set.len > 1;', 'bool replicas = false;'),
          ('lead.c', 'replicas = replicas || (view->peers[i].streaming && view->peers[i].in_history);', '')),
    group('F5', 'group: who joins need not have what was acknowledged alone',
          ('lead.c', '(!view->durable || (peer->caught && view->admitted))', 'true')),
    group('F5', 'group: who leaves takes what only he had confirmed',
          ('lead.c', 'if (view->durable && set.len > 1 && !is_covered(view, &set)) {', 'if (false && is_covered(view, &set)) {')),
    group('F5', 'group: not all of the set are compared', ('decide.c', '(counted && !all_are_heard(view, true))', 'false'),
          ('decide.c', '(all_are_heard(view, false) && all_that_streamed_are_heard(view))', 'true')),
]


def loosely(text):
    """A pattern for the text, whatever the white space."""
    return re.compile(r'\s+'.join(re.escape(word) for word in text.split()))


def compile_mutant(mutant, scratch, build):
    """The simulation with the changed decisions in front of those of the library."""
    source = scratch / 'src'
    shutil.copytree(ROOT / 'src', source)
    for file, before, after in mutant.changes:
        path = source / ('group' if mutant.kind == 'group' else 'ha') / file
        text = path.read_text()
        found = loosely(before).findall(text)
        if len(found) != 1:
            sys.exit(f'{mutant.name}: its place in {file} is there {len(found)} times')
        path.write_text(loosely(before).sub(lambda _: after, text))
    program = scratch / 'sim'
    headers = any(file.endswith('.h') for file, _, _ in mutant.changes)
    model = sorted((ROOT / 'tests/sim').glob('*.c')) if headers else sorted((build / 'tests/sim/sim.p').glob('*.o'))
    files = sorted((source / 'ha').glob('*.c')) + sorted((source / 'group').glob('*.c')) + model
    subprocess.run(['cc', '-std=gnu17', '-O2', '-D_GNU_SOURCE', f'-I{source}', '-o', program, *files,
                    build / 'libweir.a', *LIBRARIES], check=True)
    return program


def run(mutant, program, options):
    """(seed, what was found), or (None, what the run counted)."""
    arguments = ['--kind', mutant.kind, '--seeds', str(options.seeds), '--limit-s', str(options.limit_s)]
    if mutant.profile:
        arguments += ['--profile', mutant.profile]
    for switch in mutant.without:
        arguments += ['--without', switch]
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    found = [re.fullmatch(r'(?:cluster|group) seed (\d+): (.*)', line) for line in lines]
    found = [match for match in found if match]
    if found:
        return int(found[0].group(1)), found[0].group(2)
    if done.returncode != 0:  # an assertion: found as well, and as clearly
        return 0, (done.stderr.splitlines() or ['ended without a word'])[-1]
    return None, lines[-1]


def passes(build, kind, seed):
    """Whether nothing is found by the seed where nothing is taken out."""
    program = [build / 'tests/sim/sim', '--kind', kind, '--seed', str(seed)]
    return subprocess.run(program, capture_output=True, check=False).returncode == 0


def main():
    parser = argparse.ArgumentParser(description='takes one rule of failover out after the other')
    parser.add_argument('--build', default='build')
    parser.add_argument('--seeds', type=int, default=20000, help='how many each may survive')
    parser.add_argument('--limit-s', type=int, default=120, help='and for how long')
    parser.add_argument('--kind', default='', choices=('', 'cluster', 'group'), help='only these')
    parser.add_argument('names', nargs='*')
    options = parser.parse_args()
    build = (ROOT / options.build).resolve()
    wrong = 0
    print('| rule | taken out | seed | what the checker said |\n|---|---|---|---|')
    for mutant in MUTANTS:
        if options.kind not in ('', mutant.kind) or (options.names and mutant.name not in options.names):
            continue
        with tempfile.TemporaryDirectory(prefix='weir-sim-') as scratch:
            program = build / 'tests/sim/sim'
            if mutant.changes:
                program = compile_mutant(mutant, Path(scratch), build)
            seed, said = run(mutant, program, options)
            if seed and not passes(build, mutant.kind, seed):
                sys.exit(f'seed {seed} fails with nothing taken out: {said}')
        if seed is None:
            said = f'covered by {mutant.covered}' if mutant.covered else f'NOT FOUND: {said}'
            wrong += 0 if mutant.covered else 1
        print(f'| {mutant.rule} | {mutant.name} | {"" if seed is None else seed} | {said} |', flush=True)
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
