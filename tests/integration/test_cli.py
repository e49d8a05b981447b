"""What every command has in common: options, arguments, and a tier that is not up."""
import json
import re

import pytest

from support.tier import tier_of


@pytest.fixture(scope='module')
def empty_tier(weir):
    with tier_of(weir) as made:
        yield made


@pytest.mark.parametrize('words, said', [
    (['status', '--colour'], 'there is no option --colour: see `weir status --help`'),
    (['status', '-xo', 'json'], 'there is no option -x: see `weir status --help`'),
    (['status', '-o'], 'a value is missing behind -o: see `weir status --help`'),
    (['events', '--source'], 'a value is missing behind --source: see `weir events --help`'),
    (['status', '-o', 'xml'], 'unknown output "xml"; there are: table, json'),
    (['run', '--nothing', 'true'], 'there is no option --nothing: see `weir run --help`'),
    (['status', 'main'], '`weir status` takes no argument "main"'),
    (['events', 'main'], '`weir events` takes no argument "main"'),
    (['env', 'main'], '`weir env` takes no argument "main"'),
    (['down', 'main', '--destroy', '--yes'], '`weir down` takes no argument "main"'),
    (['logs', 'main', '--lines', 'all'], '--lines takes a number from 1, not "all"'),
])
def test_refused_in_one_line(weir, run, words, said):
    done = run(weir, *words)
    assert (done.stdout, done.stderr, done.returncode) == ('', f'weir: {said}\n', 2)


def test_help_fits_a_screen_of_80(weir, run):
    names = re.findall(r'^  ([a-z-]+) {2,}\S', run(weir, '--help').stdout, re.M)
    assert len(names) > 10
    for words in [['--help'], *([name, '--help'] for name in names)]:
        done = run(weir, *words)
        assert (done.returncode, done.stderr) == (0, '')
        assert not [line for line in done.stdout.splitlines() if len(line) > 80], words


def test_an_empty_tier(empty_tier):
    assert empty_tier.command('status').stdout == (
        'The tier is up and empty: `weir apply FILE` makes what the file says.\n')
    assert 'weir apply --data' in empty_tier.command('up').stderr


def test_a_wrong_argument_changes_nothing(empty_tier):
    """`weir down NAME` takes no tier down."""
    assert empty_tier.command('down', 'main', check=False).returncode == 2
    assert empty_tier.command('status').returncode == 0


def test_options_behind_arguments(empty_tier):
    done = empty_tier.command('logs', 'main', '--lines', '3', check=False)
    assert (done.returncode, done.stderr) == (3, 'weir: there is no node or resource "main": see `weir status`\n')


def test_a_stopped_tier_is_said_to_be(weir):
    """At once, and before somebody else's tier that is at its address now is asked."""
    with tier_of(weir) as tier:
        tier.down()
        for words in (['status'], ['env'], ['psql', 'main'], ['redis-cli', 'cache'], ['run', 'true'], ['plan']):
            done = tier.command(*words[:1], '--data', tier.data, *words[1:], check=False, timeout_s=4)
            assert done.returncode == 3
            assert done.stderr == f'weir: the tier in {tier.data} is not up: start it with `weir up --data {tier.data}`\n'
        tier.up()
        assert json.loads(tier.command('status', '-o', 'json').stdout)['instances'] == []
