"""`weir run`: the command is what it would be without it, and AWS's own names lead to the tier."""
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from support.account import UID, account_tier, needs_root
from support.node import app_folder
from support.started import Started
from support.tier import tier_of

ARN = 'arn:aws:iam::000000000000:root'
# Which the SDK of Debian does at AWS's own name: this version does not know AWS_ENDPOINT_URL.
WHO_AM_I = 'import boto3; print(boto3.client("sts").get_caller_identity()["Arn"])'
WHO_AM_I_V2 = {
    'who.js': "const AWS = require('aws-sdk');\n"
              "new AWS.STS().getCallerIdentity().promise().then((who) => console.log(who.Arn));\n",
    'who.mjs': "import STS from 'aws-sdk/clients/sts.js';\n"
               "new STS().getCallerIdentity().promise().then((who) => console.log(who.Arn));\n",
    'own.js': "const AWS = require('aws-sdk');\n"
              "console.log(new AWS.S3({ endpoint: 'https://mine.test' }).endpoint.host);\n"
              "AWS.config.update({ endpoint: 'https://all.test' });\n"
              "console.log(new AWS.STS().endpoint.host);\n",
}
# What a process has from its parent and keeps through exec.
INHERITED = '''
import json, os, re
status = open('/proc/self/status').read()
print(json.dumps({'cwd': os.getcwd(), 'ids': [os.getresuid(), os.getresgid(), os.getgroups()],
                  'pid': os.getpid(), 'session': os.getsid(0), 'group': os.getpgrp(), 'nice': os.nice(0),
                  'umask': re.search(r'Umask:\\s(\\w+)', status)[1], 'fds': len(os.listdir('/proc/self/fd')),
                  'signals': re.findall(r'Sig(?:Blk|Ign|Cgt):\\s(\\w+)', status)}))
'''


@pytest.fixture(scope='module')
def empty_tier(weir):
    """Just the API."""
    with tier_of(weir) as made:
        yield made


@pytest.fixture
def weir_run(empty_tier, tmp_path):
    """Runs `weir run WORDS…` in a folder of the test's own."""
    def run(*words, env=None, **more):
        return subprocess.run([empty_tier.weir, 'run', '--data', empty_tier.data, *words], cwd=tmp_path,
                              env={'PATH': os.environ['PATH'], 'HOME': str(tmp_path), **(env or {})},
                              capture_output=True, text=True, timeout=60, check=False, **more)
    return run


@pytest.fixture(scope='module')
def sdk_v2(root, tmp_path_factory):
    """A folder with aws-sdk v2 and programs that use it."""
    folder = app_folder(root / 'tests/integration/guide_app', root / 'build/node', tmp_path_factory.mktemp('v2') / 'app')
    for name, text in WHO_AM_I_V2.items():
        (folder / name).write_text(text)
    return folder


# ---- the command is what it would be without ----------------------------------------------------

def test_becomes_the_command(weir_run, tmp_path):
    def settings():
        os.umask(0o027)
        os.nice(3)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    words = ['/usr/bin/python3', '-c', INHERITED]
    plain = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True, preexec_fn=settings)
    ran = weir_run(*words, preexec_fn=settings)
    assert ran.stderr == '' or os.geteuid() != 0
    plain, ran = json.loads(plain.stdout), json.loads(ran.stdout)
    assert plain.pop('pid') != ran.pop('pid')
    assert ran == plain


def test_is_the_process_that_was_started(empty_tier):
    """So that whoever started it can signal it."""
    with Started([empty_tier.weir, 'run', '--data', empty_tier.data, '--', 'sh', '-c',
                  'echo $$; exec sleep 60'], stdout=subprocess.PIPE, text=True) as process:
        assert int(process.stdout.readline()) == process.pid
        process.terminate()
        assert process.wait(10) == -signal.SIGTERM


@pytest.mark.parametrize('words, status', [
    (['sh', '-c', 'exit 41'], 41), (['sh', '-c', 'kill -KILL $$'], -9), (['no-such-command'], 127),
    (['/'], 126), (['-o', 'json', 'true'], 2), (['--no-such-option', 'true'], 2), ([], 2), (['--help'], 0),
])
def test_exit_status(weir_run, words, status):
    done = weir_run(*words)
    assert done.returncode == status, done.stderr


def test_streams(weir_run):
    done = weir_run('--no-aws-hosts', '--', 'sh', '-c', 'cat; echo err >&2; echo "$1"', '-', '--data', input='in\n')
    assert (done.stdout, done.stderr) == ('in\n--data\n', 'err\n')


def test_no_tier(weir, run, tmp_path):
    done = run(weir, 'run', '--data', tmp_path / 'none', 'true')
    assert done.returncode == 3
    assert 'weir up' in done.stderr


def test_environment(weir_run, empty_tier):
    done = weir_run('--no-aws-hosts', 'env', env={
        'AWS_PROFILE': 'other', 'AWS_SESSION_TOKEN': 'other', 'AWS_ENDPOINT_URL_STS': 'http://other', 'KEPT': '1',
        'HTTPS_PROXY': 'http://proxy.test:3128', 'NO_PROXY': 'intern.test'})
    env = dict(line.split('=', 1) for line in done.stdout.splitlines())
    assert {name: env.get(name) for name in empty_tier.env()} == empty_tier.env()
    assert env['KEPT'] == '1'
    assert not {'AWS_PROFILE', 'AWS_SESSION_TOKEN', 'AWS_ENDPOINT_URL_STS', 'NODE_OPTIONS'} & set(env)
    assert env['NO_PROXY'] == 'intern.test,' + env['AWS_ENDPOINT_URL'].split('/')[2].split(':')[0]


# ---- AWS's names --------------------------------------------------------------------------------

@needs_root
def test_sdk_that_ignores_the_variable(weir_run):
    def ours():
        mounts = Path('/proc/self/mountinfo').read_text().splitlines()
        return Path('/etc/hosts').read_text(), [line for line in mounts if ' /etc/hosts ' in line]
    before = ours()
    done = weir_run('--aws-hosts', '--', '/usr/bin/python3', '-c', WHO_AM_I)
    assert (done.stdout, done.returncode) == (f'{ARN}\n', 0), done.stderr
    assert ours() == before


@needs_root
def test_hosts_of_its_own(weir_run, empty_tier):
    """The command sees the real file behind ours, and everything else as it is."""
    done = weir_run('--aws-hosts', '--', 'sh', '-c', 'cat /etc/hosts; ls -A "$WEIR_DATA"; stat -c %a /etc/hosts')
    hosts, _, rest = done.stdout.partition(Path('/etc/hosts').read_text())
    address = empty_tier.env()['AWS_ENDPOINT_URL'].split('/')[2].split(':')[0]
    assert f'{address} secretsmanager.{empty_tier.env()["AWS_REGION"]}.amazonaws.com\n' in hosts
    assert 'weir.sqlite\n' in rest
    assert rest.splitlines()[-1] == oct(Path('/etc/hosts').stat().st_mode & 0o777)[2:]


@needs_root
def test_within_itself(weir_run, empty_tier):
    done = weir_run(empty_tier.weir, 'run', '/usr/bin/python3', '-c', WHO_AM_I)
    assert (done.stdout, done.returncode) == (f'{ARN}\n', 0), done.stderr


@needs_root
@pytest.mark.parametrize('program', ['who.js', 'who.mjs'])
def test_sdk_v2(weir_run, sdk_v2, program):
    done = weir_run('node', sdk_v2 / program)
    assert (done.stdout, done.returncode) == (f'{ARN}\n', 0), done.stderr


# ---- as an ordinary user ------------------------------------------------------------------------

@pytest.fixture(scope='module')
def ordinary(weir, public_folder):
    (public_folder / 'ordinary').mkdir()
    with account_tier(weir, public_folder / 'ordinary') as account:
        yield account


@pytest.fixture(scope='module')
def public_v2(sdk_v2, public_folder):
    shutil.copytree(sdk_v2, public_folder / 'v2')  # with the packages, not a link to them
    return public_folder / 'v2'


@needs_root
@pytest.mark.parametrize('words', [['node', 'who.js'], ['node', 'who.mjs'], ['sh', '-c', 'node "$0"', 'who.js']])
def test_preload(ordinary, public_v2, words):
    done = ordinary.weir('run', *words[:-1], public_v2 / words[-1],
                         env={'AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE': '1', 'NODE_OPTIONS': '--no-deprecation'})
    assert (done.stdout, done.returncode) == (f'{ARN}\n', 0), done.stderr
    assert ('port_start=443' in done.stderr) == (words[0] == 'sh')


@needs_root
def test_preload_is_only_a_default(ordinary, public_v2):
    done = ordinary.weir('run', 'node', public_v2 / 'own.js')
    assert done.stdout == 'mine.test\nall.test\n', done.stderr


@needs_root
def test_refused_with_what_would_allow_it(ordinary):
    done = ordinary.weir('run', '--aws-hosts', 'true')
    assert done.returncode == 4
    assert done.stderr.count('\n') == 1
    assert '`sysctl -w net.ipv4.ip_unprivileged_port_start=443`' in done.stderr


@needs_root
def test_note(ordinary):
    done = ordinary.weir('run', 'sh', '-c', 'id -u')
    assert (done.stdout, done.returncode) == (f'{UID}\n', 0)
    assert done.stderr.count('\n') == 1 and 'AWS_ENDPOINT_URL' in done.stderr
    assert ordinary.weir('run', '--no-aws-hosts', 'true').stderr == ''


@needs_root
def test_ordinary_user_with_port_443(weir, public_folder):
    if b'__tsan_init' in weir.read_bytes():
        pytest.skip('ThreadSanitizer has a thread of its own, and then there are no user namespaces')
    (public_folder / 'port').mkdir()
    with account_tier(weir, public_folder / 'port', port_start=443) as account:
        done = account.weir('run', '--aws-hosts', '--', '/usr/bin/python3', '-c',
                            f'import os; print(os.getresuid(), os.getresgid()); {WHO_AM_I}')
        ids = (UID,) * 3
        assert (done.stdout, done.returncode) == (f'{ids} {ids}\n{ARN}\n', 0), done.stderr
