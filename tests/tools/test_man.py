"""docs/man/weir.1 says what `weir --help` says: the same commands, and each option of each."""
import re
import shutil
import subprocess

import pytest

COMMON = {'--data', '--output', '--help'}


@pytest.fixture(scope='module')
def page(root):
    return (root / 'docs/man/weir.1').read_text('utf-8')


def plain(text):
    """The text of mdoc without its macros: "Fl -data Ar DIR" is "--data DIR"."""
    return re.sub(r'\bFl -(?=[a-z-])', '--', text)


def described(page):
    """{command: its part of the page}."""
    section = page.split('\n.Sh COMMANDS\n', 1)[1].split('\n.Sh ', 1)[0]
    parts = re.split(r'^\.It Cm ', section, flags=re.M)[1:]
    return {part.split(None, 1)[0]: plain(part) for part in parts}


def helped(weir):
    """{command: its --help}."""
    text = subprocess.run([weir, '--help'], capture_output=True, text=True, check=True).stdout
    names = re.findall(r'^  ([a-z-]+) {2,}\S', text, re.M)
    return {name: subprocess.run([weir, name, '--help'], capture_output=True, text=True, check=True).stdout
            for name in names}


def options_of(text):
    return set(re.findall(r'(?<![\w-])--[a-z][a-z-]+', text)) - COMMON


def test_commands_and_options(weir, page):
    there, said = helped(weir), described(page)
    assert list(said) == list(there), 'the commands, in the order of `weir --help`'
    for name, text in there.items():
        # What the help of `run` says of sysctl and the like is no option of it: only what begins a line or a bracket.
        options = options_of('\n'.join(re.findall(r'^ {2}--.*|\[.*?\]', text, re.M)))
        elsewhere = plain(page) if name == 'run' else said[name]
        assert options <= options_of(elsewhere), f'options of {name} that the page lacks'
        assert options_of(said[name]) <= options, f'options that the page gives to {name}'


def test_exit_statuses(weir, page, run):
    listed = re.search(r'Exit status: (0 done.*?)\.\s', run(weir, '--help').stdout, re.S).group(1)
    assert ' '.join(listed.split()) in page


def test_variables(root, page):
    """What `weir env` sets."""
    source = (root / 'src/cli/env.c').read_text('utf-8')
    for name in set(re.findall(r'env_set\(env, "([A-Z_]+)"', source)):
        assert re.search(rf'^\.Ev {name}( [,.])?$', page, re.M), name


def test_page_is_well_formed(root, run):
    if shutil.which('groff') is None:
        pytest.skip('groff is not here')
    done = run('groff', '-mandoc', '-Tutf8', '-ww', '-z', root / 'docs/man/weir.1')
    assert (done.returncode, done.stderr) == (0, '')
