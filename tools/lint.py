#!/usr/bin/python3
"""Checks the house rules that a compiler does not know.

    tools/lint.py [--root DIR] [--build DIR|none]

Prints "path:line: message" for each offence, and ends with 1 if there is one. The rules: includes
run down the map in docs/architecture.md; libraries stay behind their doors; no banned functions; no
mutable globals (seen in the objects of the build); the format; the sizes; nothing forgotten in a
meson.build; no words that do not belong into the repository.
"""
import argparse
import os
import re
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

Offence = namedtuple('Offence', 'path line message')

FUNCTION_LINES_MAX = 100
FILE_LINES_MAX = 1000
HELP_COLUMNS_MAX = 80

# Libraries that only the named modules may see. base sees none but libc.
DOORS = {
    'openssl/': {'crypto'},
    'sqlite3.h': {'store'},
    'microhttpd.h': {'api'},
    'curl/': {'client', 'store'},
}
BANNED = ('strcpy strcat strncpy strncat sprintf vsprintf strtok strtok_r atoi atol atoll atof '
          'system popen alloca setjmp longjmp gets tmpnam mktemp tempnam rand srand').split()
# Objects with static storage that may change: the log level, and nothing else.
GLOBALS_ALLOWED = {'log_level'}
MUTABLE_SECTIONS = ('.data', '.bss', '.tdata', '.tbss', '*COM*')
# Split, so that this file passes its own check.
FORBIDDEN = [
    (re.compile(r'(?<![\w.])/' + 'work/'), 'a path of somebody\'s machine'),
    (re.compile(r'\b(' + 'TO' + 'DO|FIX' + 'ME|XX' + r'X)\b'), 'finish it or leave it out'),
    (re.compile(r'\b[Ii]ssue #?\d'), 'say the reason, not a number'),
]
TEXT_SUFFIXES = ('.c', '.h', '.py', '.sh', '.md', '.tf', '.js', '.json', '.txt', '.build', '.ini',
                 '.toml', '.yml', '')
C_SUFFIXES = ('.c', '.h')


class Tree:
    """The files of a repository, each read once."""

    def __init__(self, root):
        self.root = Path(root)
        self.paths = self._list()
        self._texts = {}

    def _list(self):
        git = subprocess.run(['git', '-C', self.root, 'ls-files', '-co', '--exclude-standard', '-z'],
                             capture_output=True, text=True, check=False)
        if git.returncode == 0:
            names = [name for name in git.stdout.split('\0') if name]
        else:
            names = [os.path.relpath(os.path.join(top, name), self.root)
                     for top, _, files in os.walk(self.root) for name in files]
        return sorted(Path(name) for name in set(names) if (self.root / name).is_file())

    def text(self, path):
        if path not in self._texts:
            self._texts[path] = (self.root / path).read_text('utf-8', 'replace')
        return self._texts[path]

    def c_files(self, *tops):
        return [path for path in self.paths
                if path.suffix in C_SUFFIXES and path.parts[0] in tops]


# ---- the map ----------------------------------------------------------------------------------

def map_rows(text):
    """[(module, names it may include, whether theirs count too)] in the order of the table."""
    rows = []
    for line in text.splitlines():
        cells = re.match(r'\|\s*`([\w.]+)`\s*\|.*\|([^|]*)\|\s*$', line)
        if cells:
            rows.append((cells.group(1), re.findall(r'\b[a-z_]+\b', cells.group(2)),
                         '…' in cells.group(2)))
    return rows


def map_read(text):
    """{module: set of modules it may include}; raises ValueError where the table is no map."""
    allowed = {}
    for module, words, transitive in map_rows(text):
        if words == ['all']:
            allowed[module] = set(allowed)
            continue
        names = {word for word in words if word in allowed}
        if set(words) - names - {'s', 'operations'}:
            unknown = ' '.join(sorted(set(words) - names - {'s', 'operations'}))
            raise ValueError(f'{module} may include {unknown}, which does not stand above it')
        if transitive:
            names = names.union(*(allowed[name] for name in names))
        allowed[module] = names
    if 'base' not in allowed:
        raise ValueError('the table of modules is not there')
    return allowed


def includes_of(text):
    """(line number, name, whether it is in quotes) of each #include."""
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if found:
            yield number, found.group(2), found.group(1) == '"'


def module_of(path):
    """src/M/x.c gives M, src/main.c gives main.c."""
    return path.parts[1]


def check_include(allowed, path, name):
    """What is wrong with the file including "name", or None."""
    module = module_of(path)
    parts = name.split('/')
    if len(parts) not in (2, 3):
        return f'write "module/header.h", or "module/room/header.h", instead of "{name}"'
    other, header = parts[0], parts[-1]
    if other == module:
        elsewhere = len(parts) == 3 and path.parent != Path('src', *parts[:-1])
        return f'"{name}" is private to its room' if elsewhere and header.endswith('_parts_priv.h') else None
    if other not in allowed.get(module, set()):
        return f'{module} may not include {other} (docs/architecture.md)'
    if len(parts) == 3 or header != f'{other}.h':
        return f'"{name}" is private to {other}; its public header is {other}/{other}.h'
    return None


def check_door(module, name):
    for prefix, modules in DOORS.items():
        if name.startswith(prefix) and module not in modules:
            return f'<{name}> belongs to {", ".join(sorted(modules))} alone'
    return None


def lint_layers(tree):
    map_path = Path('docs/architecture.md')
    try:
        allowed = map_read(tree.text(map_path))
    except (OSError, ValueError) as error:
        yield Offence(map_path, 1, str(error))
        return
    for path in tree.c_files('src'):
        module = module_of(path)
        if module not in allowed:
            yield Offence(path, 1, f'{module} has no row in docs/architecture.md')
            continue
        public = Path('src', module, f'{module}.h')
        if path.suffix == '.h' and path != public and not path.stem.endswith('_priv'):
            yield Offence(path, 1, f'a private header is called {path.stem}_priv.h')
        for line, name, quoted in includes_of(tree.text(path)):
            wrong = check_include(allowed, path, name) if quoted else check_door(module, name)
            if wrong:
                yield Offence(path, line, wrong)


# ---- the text of C files ----------------------------------------------------------------------

def code_only(text):
    """The text with comments and literals blanked out; lines stay where they are."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return pattern.sub(lambda found: re.sub(r'[^\n]', ' ', found.group()), text)


def lint_banned(tree):
    pattern = re.compile(r'(?<![\w.>])(' + '|'.join(BANNED) + r')\s*\(')
    for path in tree.c_files('src', 'tests', 'bench'):
        for number, line in enumerate(code_only(tree.text(path)).splitlines(), 1):
            for found in pattern.finditer(line):
                yield Offence(path, number, f'{found.group(1)} is banned')


def functions_of(text):
    """(first line, lines, name) of each function body; relies on the format: braces in column 0."""
    lines = code_only(text).splitlines()
    start = None
    for number, line in enumerate(lines, 1):
        if line == '{':
            start = number
        elif line == '}' and start is not None:
            head = ' '.join(lines[max(0, start - 8):start - 1])
            name = re.findall(r'(\w+)\s*\(', head.rsplit(';', 1)[-1].rsplit('}', 1)[-1])
            yield start, number - start + 1, name[0] if name else '?'
            start = None


def lint_sizes(tree):
    for path in tree.paths:
        if path.suffix in ('.c', '.h', '.py', '.sh', '.js'):
            lines = tree.text(path).count('\n')
            if lines > FILE_LINES_MAX:
                yield Offence(path, 1, f'{lines} lines: a file has at most {FILE_LINES_MAX}')
    for path in tree.c_files('src', 'tests', 'bench'):
        for line, length, name in functions_of(tree.text(path)):
            if length > FUNCTION_LINES_MAX:
                yield Offence(path, line, f'{name} has {length} lines, '
                                          f'at most {FUNCTION_LINES_MAX}')


def lint_heads(tree):
    for path in tree.c_files('src', 'tests', 'bench'):
        if not tree.text(path).startswith('/*'):
            yield Offence(path, 1, 'begin with a comment: what it is, what it owns')


def lint_text(tree):
    for path in tree.paths:
        if path.suffix not in TEXT_SUFFIXES or 'corpus' in path.parts or path.name == 'LICENSE':
            continue
        text = tree.text(path)
        if text and not text.endswith('\n'):
            yield Offence(path, text.count('\n') + 1, 'the last line does not end')
        for number, line in enumerate(text.splitlines(), 1):
            if line != line.rstrip():
                yield Offence(path, number, 'white space at the end of the line')
            if '\t' in line and path.name != 'Makefile':
                yield Offence(path, number, 'a tab')
            for pattern, reason in FORBIDDEN:
                if pattern.search(line):
                    yield Offence(path, number, f'"{pattern.search(line).group()}": {reason}')


# ---- help ------------------------------------------------------------------------------------

def lint_help(tree):
    """The lines of a `.usage`, which stand one to a line."""
    for path in tree.c_files('src'):
        inside = False
        for number, line in enumerate(tree.text(path).splitlines(), 1):
            inside = '.usage =' in line or (inside and line.lstrip().startswith('"'))
            found = re.search(r'"(.*)\\n"', line) if inside else None
            if found and len(re.sub(r'\\.', '.', found.group(1))) > HELP_COLUMNS_MAX:
                yield Offence(path, number, f'help has at most {HELP_COLUMNS_MAX} columns')


# ---- what the build would not notice ----------------------------------------------------------

def quoted_words(tree, path):
    return set(re.findall(r"'([^']+)'", tree.text(path))) if path in tree.paths else set()


def lint_forgotten(tree):
    unit = Path('tests/unit')
    fuzz = Path('tests/fuzz')
    units = quoted_words(tree, unit / 'meson.build')
    targets = quoted_words(tree, fuzz / 'meson.build')
    for path in tree.paths:
        if path.suffix != '.c':
            continue
        if path.match('src/*/*.c') or path.match('src/*/*/*.c'):
            if path.name not in quoted_words(tree, path.parent / 'meson.build'):
                yield Offence(path, 1, f'is not in {path.parent}/meson.build')
        elif unit in path.parents and path.name.startswith('test_'):
            if str(path.relative_to(unit).with_suffix('')) not in units:
                yield Offence(path, 1, 'is not in tests/unit/meson.build')
        elif path.parent == fuzz and path.name != 'replay.c':
            if path.stem not in targets:
                yield Offence(path, 1, 'is not in tests/fuzz/meson.build')
            if not any(fuzz / 'corpus' / path.stem in other.parents for other in tree.paths):
                yield Offence(path, 1, f'has no corpus in tests/fuzz/corpus/{path.stem}')


# ---- tools ------------------------------------------------------------------------------------

def lint_format(tree):
    paths = [str(path) for path in tree.c_files('src', 'tests', 'bench')]
    if not paths:
        return
    done = subprocess.run(['clang-format', '--dry-run', *paths], cwd=tree.root,
                          capture_output=True, text=True, check=False)
    for found in re.finditer(r'^([^:\n]+):(\d+):\d+: (?:warning|error): ', done.stderr, re.M):
        yield Offence(Path(found.group(1)), int(found.group(2)), 'format: run "make format"')
    if done.returncode != 0:
        yield Offence(Path('.clang-format'), 1, done.stderr.strip()[:500])


def lint_globals(tree, build):
    library = tree.root / build / 'libweir.a'
    if not library.exists():
        print(f'lint: {library} is not built: mutable globals are not checked', file=sys.stderr)
        return
    done = subprocess.run(['nm', '--format=sysv', '--defined-only', library],
                          capture_output=True, text=True, check=True)
    member = '?'
    for line in done.stdout.splitlines():
        from_member = re.match(r'Symbols from (?:.*\[)?([^\]]+?)\]?:$', line)
        if from_member:
            member = from_member.group(1)
        fields = [field.strip() for field in line.split('|')]
        if len(fields) == 7 and fields[3] in ('OBJECT', 'TLS') and section_changes(fields[6]):
            name = re.sub(r'\.\d+$', '', fields[0])
            if name not in GLOBALS_ALLOWED:
                yield Offence(Path(member), 1, f'{name} is a global that can change')


def section_changes(section):
    return (any(section == name or section.startswith(name + '.') for name in MUTABLE_SECTIONS)
            and not section.startswith('.data.rel.ro'))


def lint(root, build):
    tree = Tree(root)
    checks = [lint_layers, lint_banned, lint_sizes, lint_heads, lint_text, lint_help,
              lint_forgotten, lint_format]
    offences = [offence for check in checks for offence in check(tree)]
    if build != 'none':
        offences += lint_globals(tree, build)
    return offences


def main():
    parser = argparse.ArgumentParser(description='checks the house rules')
    parser.add_argument('--root', default=Path(__file__).resolve().parent.parent)
    parser.add_argument('--build', default='build', help='a build folder, or "none"')
    options = parser.parse_args()
    offences = lint(options.root, options.build)
    for offence in offences:
        print(f'{offence.path}:{offence.line}: {offence.message}')
    print(f'lint: {len(offences)} offences' if offences else 'lint: clean')
    return 1 if offences else 0


if __name__ == '__main__':
    sys.exit(main())
