"""`weir up` where it cannot do what it is asked for: in which way it ends, and that nothing half made is left."""
import json
import re
import sqlite3

import pytest

from support.account import needs_root

# Nothing of it can be seen in one block alone.
FILE = '''
resource "aws_db_instance" "main" {
  identifier           = "main"
  engine               = "postgres"
  instance_class       = "db.t3.micro"
  allocated_storage    = 20
  username             = "dbadmin"
  password             = "password-1"
  parameter_group_name = "nosuchgroup"
  skip_final_snapshot  = true
}

resource "aws_db_instance" "reader" {
  identifier          = "main"
  instance_class      = "db.t3.micro"
  replicate_source_db = "doesnotexist"
  skip_final_snapshot = true
}
'''
OLD = '''
resource "aws_db_instance" "main" {
  identifier          = "main"
  engine              = "postgres"
  engine_version      = "9"
  instance_class      = "db.t3.micro"
  allocated_storage   = 20
  username            = "dbadmin"
  password            = "password-1"
  skip_final_snapshot = true
}
'''


@pytest.fixture
def write(tmp_path):
    """write(TEXT): a file that holds it."""
    def write_file(text):
        (tmp_path / 'main.tf').write_text(text)
        return tmp_path / 'main.tf'
    return write_file


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


def errors_of(said, file):
    """[(line, message)] of what was said, each with the line itself and with advice behind it."""
    found = re.findall(rf'^error: {re.escape(str(file))}:(\d+): (.*)\n +\1 \| (.*)\n +\S.*$', said, re.M)
    text = file.read_text().splitlines()
    assert [line for _, _, line in found] == [text[int(number) - 1] for number, _, _ in found]
    return [(int(number), message) for number, message, _ in found]


WANTED = [(9, 'there is no DB parameter group "nosuchgroup", neither in the files nor in the tier'),
          (14, 'DB instance "main" is that of aws_db_instance.main already'),
          (16, 'there is no DB instance "doesnotexist", neither in the files nor in the tier')]


def test_everything_is_said_before_a_tier_is_made(bare_tier, refused, write):
    file = write(FILE)
    said = refused(file, status=2)
    assert errors_of(said, file) == WANTED and said.count('error: ') == len(WANTED)
    assert not bare_tier.data.exists()


def test_a_tier_that_is_up_is_not_changed(bare_tier, write):
    file = write(FILE)
    bare_tier.up()
    for words in (['plan'], ['apply'], ['up', '--detach']):
        done = bare_tier.command(*words, file, check=False)
        assert (done.returncode, done.stdout) == (2, '' if words[0] != 'up' else done.stdout)
        assert errors_of(done.stderr, file) == WANTED
        assert 'Next:' not in done.stderr
    assert bare_tier.json('status')['instances'] == []
    bare_tier.destroy()


def test_a_tier_that_comes_up_without_what_failed(bare_tier, write):
    """What is in a tier is known only when it is up."""
    file = write(FILE)
    bare_tier.up()
    bare_tier.down()
    done = bare_tier.command('up', file, '--detach', check=False)
    assert done.returncode == 2 and errors_of(done.stderr, file) == WANTED
    assert done.stderr.splitlines()[-1] == (
        f'weir: the tier is up without what failed; `{bare_tier.weir} down --data {bare_tier.data}` stops it')
    assert 'Next:' not in done.stderr
    bare_tier.destroy()


def test_a_version_that_is_not_installed(bare_tier, refused, write):
    """Refused, until the operator lets another stand in."""
    file = write(OLD)
    said = refused(file, status=2)
    assert [line for line, _ in errors_of(said, file)] == [5]
    assert 'Cannot find version 9 for postgres' in said
    offered, = re.findall(r'`weir up (--engine-version-map 9=\d+)`', said)
    assert not bare_tier.data.exists()
    done = bare_tier.up(file, *offered.split())
    assert (done.stdout + done.stderr).lower().count('not yet in effect') == 1
    assert 'No changes.' in bare_tier.command('plan', file).stdout
    bare_tier.down()
    done = bare_tier.up()
    assert '\nNot yet in effect:\n  instances: allocated_storage, backup_retention_period\n' in done.stdout
    assert re.search(r'^ *\d+\.\d s {2}main {2}available$', done.stderr, re.M), done.stderr  # as wide as the names
    bare_tier.up(file)
    assert 'No changes.' in bare_tier.command('plan', file).stdout
    bare_tier.destroy()
