"""What the documents name is there: files in backquotes, and links."""
import re

import pytest

PAGES = ['README.md', 'CONTRIBUTING.md', 'docs', 'examples']
# Paths of this repository; others (/etc/hosts, DATA/ca.pem) are of a machine.
TREE = r'(?:src|docs|tests|tools|examples|packaging)/[a-z0-9_./-]+'


def pages(root):
    for name in PAGES:
        path = root / name
        yield from sorted(path.rglob('*.md')) if path.is_dir() else [path] if path.exists() else []


def named(text):
    yield from re.findall(rf'`({TREE})`', text)


def linked(text):
    for target in re.findall(r'\]\(([^)#\s]+)[^)]*\)', text):
        if not re.match(r'[a-z]+:', target):
            yield target


def test_what_is_named_is_there(root):
    missing = []
    for page in pages(root):
        if 'node_modules' in page.parts:
            continue
        text = page.read_text('utf-8')
        missing += [f'{page.name}: {path}' for path in named(text) if not (root / path).exists()]
        missing += [f'{page.name}: {path}' for path in linked(text) if not (page.parent / path).exists()]
    assert not missing


def test_precedence_of_values(root, weir, run):
    """docs/terraform.md and the help name the places of values in one order."""
    page = (root / 'docs/terraform.md').read_text('utf-8')
    for text in (page[page.index('The first of these'):], run(weir, 'plan', '--help').stdout.split('Values of')[1]):
        places = [text.index(place) for place in ('--var', '--var-file', '.auto.tfvars', 'TF_VAR_NAME', 'default')]
        assert places == sorted(places), text
        assert text.index('terraform.tfvars') < text.index('TF_VAR_NAME')


@pytest.mark.parametrize('text, found', [
    ('`src/a/b.c`, `make`, `/etc/hosts`, `weir-node.json`', ['src/a/b.c']), ('src/a', []), ('`srcs/a`', [])])
def test_named(text, found):
    assert list(named(text)) == found


def test_linked():
    assert list(linked('[a](docs/a.md#b) [c](https://c) [d](#e) ![f](g.png "h")')) == ['docs/a.md', 'g.png']
