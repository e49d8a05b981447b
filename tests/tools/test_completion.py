"""`weir completion`: what the shell offers behind a command line that is not finished."""
import json
import re

import pytest

ASK = '''
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_weir
printf '%s\\n' "${COMPREPLY[@]}"
'''
VIEW = {'instances': [{'DBInstanceIdentifier': 'main', 'ReadReplicaDBInstanceIdentifiers': ['reader']}],
        'proxies': [{'DBProxyName': 'pool', 'Status': 'available'}],
        'endpoints': [{'DBProxyEndpointName': 'web', 'DBProxyName': 'pool'}],
        'caches': [{'ReplicationGroupId': 'cache', 'MemberClusters': ['cache-001']}],
        'nodes': [{'NodeId': 'db-1-1', 'ResourceId': 'main'}], 'hosts': [{'HostName': 'h1'}, {'HostName': 'h2'}]}


@pytest.fixture
def offered(weir, run, tmp_path):
    """offered(WORD, …): what may stand for the last word, with a program that prints the view and its arguments."""
    (tmp_path / 'script').write_text(run(weir, 'completion', 'bash').stdout)
    (tmp_path / 'view.json').write_text(json.dumps(VIEW, indent=2))
    program = tmp_path / 'weir'
    program.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\ncat {tmp_path}/view.json\n')
    program.chmod(0o755)

    def ask(*words, program=program):
        done = run('bash', '-c', ASK, 'bash', tmp_path / 'script', program, *words, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, '')
        return set(done.stdout.split())
    ask.asked = lambda: (tmp_path / 'asked').read_text().splitlines()
    return ask


def test_commands_and_their_options(offered, weir, run):
    """Those of `weir COMMAND --help`, and no others."""
    listed = set(re.findall(r'^  ([a-z-]+) {2,}\S', run(weir, '--help').stdout, re.M))
    assert offered('') == listed
    assert offered('red') == {'redis-cli'}
    for name in listed:
        text = run(weir, name, '--help').stdout
        said = set(re.findall(r'(?<![\w-])--[a-z][a-z-]+', '\n'.join(re.findall(r'^ {2}--.*|\[.*?\]', text, re.M))))
        said |= {'--output'} if '-o json' in text or '-o table' in text else set()
        assert offered(name, '--') == said | {'--help'}, name


@pytest.mark.parametrize('words, names', [
    (['psql', ''], {'main', 'pool', 'web'}), (['psql', 'po'], {'pool'}), (['redis-cli', ''], {'cache'}),
    (['drill', ''], {'main', 'pool', 'web', 'cache'}), (['failover', ''], {'main', 'pool', 'web', 'cache'}),
    (['logs', ''], {'main', 'pool', 'web', 'cache', 'db-1-1'}), (['events', '--source', 'm'], {'main'}),
    (['psql', 'main', ''], set()), (['status', ''], set()), (['status', '-o', ''], {'table', 'json'}),
    (['completion', ''], {'bash', 'zsh'}), (['up', 'view'], {'view.json'}), (['proxy', ''], {'explain'}),
    (['host', ''], {'list', 'token', 'drain', 'undrain', 'remove', 'recover'}), (['host', 'drain', ''], {'h1', 'h2'}), (['host', 'drain', 'h1', ''], set()),
    (['proxy', 'explain', '--setting', 'a=b', 'view'], {'view.json'}), (['proxy', 'explain', '-o', ''], {'table', 'json'})])
def test_operands(offered, words, names):
    assert offered(*words) == names


def test_the_tier_that_is_named(offered):
    assert offered('psql', '--data', '/srv/tier', '') == {'main', 'pool', 'web'}
    assert offered.asked() == ['status --data /srv/tier -o json']


def test_nothing_is_said_where_no_tier_is_up(offered, weir, tmp_path):
    assert offered('psql', '--data', tmp_path / 'none', '', program=weir) == set()


def test_zsh(weir, run, tmp_path):
    """Its functions are bash's; zsh itself completes with them."""
    script = run(weir, 'completion', 'zsh').stdout
    assert run(weir, 'completion', 'bash').stdout in script
    assert script.startswith('autoload ')
    (tmp_path / 'script').write_text(script)
    done = run('zsh', '-fc', f'source {tmp_path}/script; print -r -- $_comps[weir]')
    assert (done.stdout.split()[:1], done.stderr) == (['_bash_complete'], '')
