"""What every command has in common: options, arguments, and a tier that is not up."""
import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios

import pytest

from support.started import Started
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
    (['up', '--engine-version-map', 'old'],
     'engine_version_map is a list such as 14=15,13=15 (major asked for = major used), not old'),
    (['down', '-o', 'json'], '`weir down` has no JSON: take out -o json'),
    (['psql', '-o', 'json', 'main'], '`weir psql` has no JSON: take out -o json'),
    (['run', '-o', 'json', 'true'], '`weir run` has no JSON: take out -o json'),
    (['--data', '/nowhere', 'status'], 'options stand behind the command: weir COMMAND --data …'),
    (['logs', 'main', '--lines', 'all'], '--lines takes a number from 1 to 10000, not "all"'),
])
def test_refused_in_one_line(weir, run, words, said):
    done = run(weir, *words)
    assert (done.stdout, done.stderr, done.returncode) == ('', f'weir: {said}\n', 2)


@pytest.mark.parametrize('words, said, usage', [
    (['status', 'main'], '`weir status` takes no argument "main"', 'weir status [--data DIR] [-o table|json]'),
    (['events', 'main'], '`weir events` takes no argument "main"', 'weir events [--follow] '),
    (['env', 'main'], '`weir env` takes no argument "main"', 'eval "$(weir env [--data DIR])"\n       weir env '),
    (['down', 'main', '--destroy', '--yes'], '`weir down` takes no argument "main"', 'weir down [--destroy --yes [--all-hosts]] '),
    (['logs', 'main', 'cache'], '`weir logs` takes no argument "cache"', 'weir logs [--lines N] '),
    (['logs'], 'an argument of `weir logs` is missing', 'weir logs [--lines N] '),
    (['psql'], 'an argument of `weir psql` is missing', 'weir psql [--data DIR] NAME [ARGUMENT…]\n'),
    (['run'], 'an argument of `weir run` is missing', 'weir run '),
])
def test_operands_are_counted(weir, run, words, said, usage):
    """The usage follows, and nothing else of the help."""
    done = run(weir, *words)
    assert (done.stdout, done.returncode) == ('', 2)
    assert done.stderr.startswith(f'weir: {said}\nusage: {usage}')
    assert '\n\n' not in done.stderr


def test_short_help(weir, run):
    for words in ([], ['status']):
        long, short = (run(weir, *words, option) for option in ('--help', '-h'))
        assert (short.returncode, short.stdout, short.stderr) == (0, long.stdout, '')


def test_help_fits_a_screen_of_80(weir, run):
    names = re.findall(r'^  ([a-z-]+) {2,}\S', run(weir, '--help').stdout, re.M)
    assert len(names) > 10
    for words in [['--help'], *([name, '--help'] for name in names)]:
        done = run(weir, *words)
        assert (done.returncode, done.stderr) == (0, '')
        assert not [line for line in done.stdout.splitlines() if len(line) > 80], words


def test_an_empty_tier(empty_tier):
    assert empty_tier.command('status').stdout == (
        f'The tier is up and empty: `{empty_tier.weir} apply --data {empty_tier.data} FILE` makes what the file says.\n')


def test_what_to_type_next(empty_tier):
    """As the program was called, unless the shell finds it by its name."""
    data = empty_tier.data
    said = empty_tier.command('up').stderr
    assert f'  {empty_tier.weir} apply --data {data} FILE ' in said
    assert f'  eval "$({empty_tier.weir} env --data {data})" ' in said
    found = empty_tier.command('up', env={'PATH': f'{empty_tier.weir.parent}:/usr/bin:/bin'}).stderr
    assert f'  weir apply --data {data} FILE ' in found
    named = empty_tier.command('up', env={'WEIR_DATA': str(data)}).stderr
    assert f'  {empty_tier.weir} status  ' in named


def test_where_values_of_variables_come_from(empty_tier, tmp_path):
    """Each place counts more than those before it, as in Terraform."""
    file = tmp_path / 'main.tf'
    file.write_text('variable "v" { default = "default" }\noutput "v" { value = var.v }\n')

    def value(*words):
        env = {'TF_VAR_v': 'environment'} if tried > 0 else {}
        return empty_tier.json('apply', *words, file, env=env)['outputs']['v']['value']
    places = ['default', 'environment', 'terraform.tfvars', 'x.auto.tfvars', 'named', '--var']
    for tried, place in enumerate(places):
        if place.endswith('.tfvars'):
            (tmp_path / place).write_text(f'v = "{place}"\n')
        (tmp_path / 'named').write_text('v = "named"\n')
        words = ['--var-file', tmp_path / 'named'] if tried >= places.index('named') else []
        words += ['--var', 'v=--var'] if place == '--var' else []
        assert value(*words) == place


def on_a_terminal(tier, *words):
    """What the command shows on a terminal of 80 columns, as lines without colours and redrawing."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
    with Started([tier.weir, *words, '--data', tier.data], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                 stderr=slave, env={**os.environ, 'NO_COLOR': '1'}) as process:
        os.close(slave)
        text = b''
        with contextlib.suppress(OSError):  # the end of a terminal
            while part := os.read(master, 4096):
                text += part
        os.close(master)
        assert process.wait(60) == 0
    return re.sub(r'\x1b\[\d*[A-Za-z]', '', text.decode()).replace('\r', '').split('\n')


def test_progress_stays_aligned(empty_tier, tmp_path):
    """The states of resources stand below one another, however long the names are."""
    labels = ['short', 'l' * 70]
    (tmp_path / 'main.tf').write_text('\n'.join(
        f'resource "aws_secretsmanager_secret" "{label}" {{\n  name = "{label}"\n'
        '  recovery_window_in_days = 0\n}' for label in labels))
    lines = on_a_terminal(empty_tier, 'apply', tmp_path / 'main.tf')
    ends = [re.fullmatch(r'(.{46}) +\d+\.\d s {2}created', line) for line in lines]
    shown = {end.group(1).strip() for end in ends if end}
    assert shown == {'aws_secretsmanager_secret.short', '…' + 'l' * 45}, lines
    (tmp_path / 'main.tf').write_text('locals {}\n')
    empty_tier.command('apply', tmp_path / 'main.tf', '--yes')


def test_events_are_aligned(empty_tier, tmp_path):
    names = ['g' * 40, 'short']
    (tmp_path / 'main.tf').write_text('\n'.join(
        f'resource "aws_elasticache_replication_group" "{name}" {{\n  replication_group_id = "{name}"\n'
        '  description = "x"\n  node_type = "cache.t3.micro"\n  num_cache_clusters = 1\n}' for name in names))
    empty_tier.command('apply', tmp_path / 'main.tf')
    lines = empty_tier.command('events').stdout.splitlines()
    assert {line[22:62].strip() for line in lines} == set(names)
    assert all(line[62:64] == '  ' and line[64] != ' ' for line in lines), lines
    (tmp_path / 'main.tf').write_text('locals {}\n')
    empty_tier.command('apply', tmp_path / 'main.tf', '--yes')


def test_a_wrong_argument_changes_nothing(empty_tier):
    """`weir down NAME` takes no tier down."""
    assert empty_tier.command('down', 'main', check=False).returncode == 2
    assert empty_tier.command('status').returncode == 0


def test_options_behind_arguments(empty_tier):
    done = empty_tier.command('logs', 'main', '--lines', '3', check=False)
    assert (done.returncode, done.stderr) == (3, 'weir: there is no log of a node or resource "main": see `weir status`\n')


def test_a_stopped_tier_is_said_to_be(weir):
    """At once, and before somebody else's tier that is at its address now is asked."""
    with tier_of(weir) as tier:
        tier.down()
        for words in (['status'], ['env'], ['psql', 'main'], ['redis-cli', 'cache'], ['run', 'true'], ['plan']):
            done = tier.command(*words[:1], '--data', tier.data, *words[1:], check=False, timeout_s=4)
            assert done.returncode == 3
            assert done.stderr == (f'weir: the tier in {tier.data} is not up: '
                                   f'start it with `{tier.weir} up --data {tier.data}`\n')
        tier.up()
        assert json.loads(tier.command('status', '-o', 'json').stdout)['instances'] == []
