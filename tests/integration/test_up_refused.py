"""`weir up` where it cannot do what it is asked for: in which way it ends, and that nothing half made is left."""
import json
import sqlite3

import pytest

from support.account import needs_root


@pytest.fixture
def refused(bare_tier):
    """refused(WORD, …): `weir up WORD… --detach`, which must not bring a tier up; what it said."""
    def command(*words, status, **options):
        done = bare_tier.command('up', *words, '--detach', check=False, **options)
        assert done.returncode == status, done.stderr
        assert not bare_tier.find('weir (supervise|serve)')
        return done.stderr
    return command


@needs_root
def test_a_folder_that_the_engines_cannot_enter(bare_tier, refused):
    bare_tier.folder.chmod(0o700)
    said = refused(status=4)
    assert said.count('\n') == 1 and f'`chmod o+x {bare_tier.folder}`' in said
    assert not bare_tier.data.exists()


def test_a_folder_of_another_format(bare_tier, refused):
    bare_tier.up()
    bare_tier.down()
    with sqlite3.connect(bare_tier.data / 'weir.sqlite') as store:
        text, = store.execute("SELECT CAST(value AS TEXT) FROM item WHERE key = 'tier'").fetchone()
        record = json.dumps({**json.loads(text), 'format': 999}).encode()
        store.execute("UPDATE item SET value = ? WHERE key = 'tier'", [record])
    store.close()
    assert 'has format 999' in refused(status=5)


def test_a_folder_without_its_key(bare_tier, refused):
    bare_tier.up()
    bare_tier.down()
    (bare_tier.data / 'master.key').unlink()
    assert 'master.key is missing' in refused(status=3)
    assert (bare_tier.data / 'weir.sqlite').exists()
