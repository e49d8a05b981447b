"""The lint: this repository passes, and each rule fails on a file that breaks it."""
import shutil
import subprocess

import pytest

MAP = '''# Architecture
| folder | what it is | may include (… = also whatever those may) |
|---|---|---|
| `base` | ground | – |
| `crypto` | digests | base |
| `loop` | waits | base, crypto |
| `store` | keeps | base, loop |
| `engine` | runs | base |
| `agent` | a host | … engine, store |
| `main.c` | the table | all |
'''
GOOD = '/* A file. */\n#include <string.h>\n\n#include "base/base.h"\n\nint {name}(void)\n{{\n    return 0;\n}}\n'


@pytest.fixture
def tree(tmp_path, root):
    """Writes files into a small repository and returns what the lint says of it."""
    shutil.copy(root / '.clang-format', tmp_path / '.clang-format')

    def lint(files, build='none'):
        everything = {'docs/architecture.md': MAP, 'src/base/base.h': '/* base */\n', **files}
        for name, text in everything.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        done = subprocess.run(
            ['/usr/bin/python3', root / 'tools/lint.py', '--root', tmp_path, '--build', build],
            capture_output=True, text=True, check=False)
        assert done.returncode == (0 if done.stdout == 'lint: clean\n' else 1), done.stderr
        return done.stdout
    return lint


def include(name):
    return f'/* A file. */\n#include {name}\n'


def one_source(path, text):
    """The file with the meson.build that names it."""
    folder, name = path.rsplit('/', 1)
    return {path: text, f'{folder}/meson.build': f"weir_sources += files('{name}')\n"}


def test_repository_is_clean(root, weir):
    build = 'none' if weir.parent.name != 'build' else 'build'  # sanitizers add globals of theirs
    done = subprocess.run(
        ['/usr/bin/python3', root / 'tools/lint.py', '--build', build],
        capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, 'lint: clean\n'), done.stdout + done.stderr


def test_clean_tree(tree):
    assert tree(one_source('src/agent/agent.c', GOOD.format(name='agent_run'))) == 'lint: clean\n'


@pytest.mark.parametrize('path, included, message', [
    ('src/base/mem.c', '"crypto/crypto.h"', 'base may not include crypto'),
    ('src/engine/pg.c', '"store/store.h"', 'engine may not include store'),
    ('src/agent/a.c', '"store/sqlite_priv.h"', 'private to store'),
    ('src/agent/a.c', '"agent.h"', 'write "module/header.h"'),
    ('src/agent/a.c', '"agent/node/deep/a_priv.h"', 'write "module/header.h"'),
    ('src/agent/a.c', '"store/etcd/etcd_priv.h"', 'private to store'),
    ('src/agent/a.c', '"agent/node/node_parts_priv.h"', 'private to its room'),
    ('src/loop/tls.c', '<openssl/ssl.h>', 'belongs to crypto alone'),
    ('src/unknown/a.c', '"base/base.h"', 'no row'),
])
def test_include_refused(tree, path, included, message):
    out = tree(one_source(path, include(included)))
    assert message in out and path in out


@pytest.mark.parametrize('path, included', [
    ('src/agent/a.c', '"agent/node/node_priv.h"'),
    ('src/agent/node/a.c', '"agent/node/node_parts_priv.h"'),
    ('src/agent/a.c', '"loop/loop.h"'),       # by way of store
    ('src/crypto/a.c', '<openssl/evp.h>'),
    ('src/main.c', '"agent/agent.h"'),
])
def test_include_allowed(tree, path, included):
    files = one_source(path, include(included))
    assert tree(files) == 'lint: clean\n'


def test_map_that_goes_up(tree):
    out = tree({'docs/architecture.md': MAP.replace('digests | base |', 'digests | base, loop |')})
    assert 'crypto may include loop, which does not stand above it' in out


def test_map_that_is_gone(tree):
    assert 'the table of modules is not there' in tree({'docs/architecture.md': '# Nothing\n'})


def test_header_name(tree):
    assert 'is called node_priv.h' in tree({'src/agent/node.h': '/* A header. */\n'})
    assert 'is called agent_priv.h' in tree({'src/agent/node/agent.h': '/* A header. */\n'})


@pytest.mark.parametrize('body, wrong', [
    ('strcpy(a, b);', True),
    ('x = system("ls");', True),
    ('/* strcpy(a, b) */', False),
    ('puts("atoi(1)");', False),
    ('my_system(a);', False),
    ('loop->system(a);', False),
])
def test_banned(tree, body, wrong):
    text = f'/* A file. */\nint f(void)\n{{\n    {body}\n}}\n'
    assert ('is banned' in tree(one_source('src/agent/a.c', text))) == wrong


def test_long_function(tree):
    body = ''.join(f'    g({i});\n' for i in range(99))
    short = f'/* A file. */\nvoid f(int a, int b)\n{{\n{body[:-10]}}}\n'
    long = f'/* A file. */\nvoid f(int a, int b)\n{{\n{body}}}\n'
    assert 'at most 100' not in tree(one_source('src/agent/a.c', short))
    assert 'a.c:3: f has 101 lines' in tree(one_source('src/agent/a.c', long))


def test_long_file(tree):
    out = tree(one_source('src/agent/a.c', '/* A file. */\n' + 'extern int a;\n' * 1000))
    assert 'a.c:1: 1001 lines' in out


def test_format(tree):
    assert 'a.c:2: format' in tree(one_source('src/agent/a.c', '/* A file. */\nint  a(void);\n'))


@pytest.mark.parametrize('text, message', [
    ('int a;\n', 'begin with a comment'),
    ('/* A file. */\nint a; \n', 'white space at the end'),
    ('/* A file. */\n\tint a;\n', 'a tab'),
    ('/* A file. */\nint a;', 'does not end'),
    ('/* TO' + 'DO: later */\n', 'finish it'),
    ('/* see /wo' + 'rk/notes */\n', 'somebody\'s machine'),
])
def test_text(tree, text, message):
    assert message in tree(one_source('src/agent/a.c', text))


def test_help(tree):
    usage = 'static const Spec spec = {{.usage =\n    "usage: a\\n"\n    "{}\\n"}};\n'
    assert 'a.c:4: help has' in tree(one_source('src/agent/a.c', '/* A file. */\n' + usage.format('x' * 81)))
    assert 'help has' not in tree(one_source('src/agent/a.c', '/* A file. */\n' + usage.format('x' * 80)))


def test_forgotten(tree):
    out = tree({
        'src/agent/a.c': '/* A file. */\n',
        'src/agent/node/b.c': '/* A file. */\n',
        'tests/unit/meson.build': "unit_tests = ['base/test_mem']\n",
        'tests/unit/base/test_mem.c': '/* A test. */\n',
        'tests/unit/base/test_file.c': '/* A test. */\n',
        'tests/fuzz/meson.build': "fuzz_targets = ['resp']\n",
        'tests/fuzz/resp.c': '/* A target. */\n',
        'tests/fuzz/scram.c': '/* A target. */\n',
        'tests/fuzz/corpus/scram/one': 'x',
    })
    assert 'src/agent/a.c:1: is not in src/agent/meson.build' in out
    assert 'src/agent/node/b.c:1: is not in src/agent/node/meson.build' in out
    assert 'test_file.c:1: is not in tests/unit/meson.build' in out
    assert 'test_mem' not in out
    assert 'resp.c:1: has no corpus' in out
    assert 'scram.c:1: is not in tests/fuzz/meson.build' in out


GLOBALS = '''/* A file. */
extern int counted;
int counted = 1;
static int hidden;
static const char *const names[] = {"a", "b"};
static int log_level = 3;
_Thread_local int each;
const char *f(int i);
const char *f(int i)
{
    static int calls;
    calls++;
    log_level += hidden++;
    return names[i + calls + each];
}
'''


def test_mutable_globals(tree, tmp_path):
    files = one_source('src/agent/a.c', GLOBALS)
    tree(files)
    (tmp_path / 'build').mkdir()
    for command in (['gcc', '-fPIE', '-c', 'src/agent/a.c', '-o', 'build/a.c.o'],
                    ['ar', 'rcs', 'build/libweir.a', 'build/a.c.o']):
        subprocess.run(command, cwd=tmp_path, check=True)
    out = tree(files, build='build')
    for name in ('counted', 'hidden', 'calls', 'each'):
        assert f'{name} is a global that can change' in out
    assert 'names' not in out and 'log_level' not in out
