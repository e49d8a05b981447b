"""The tier fixture finds what a tier leaves behind. A script stands in for weir."""
import os
import re
import textwrap

import pytest

from support.tier import TierError, tier_of

FAKE = '''#!/usr/bin/python3
import json, os, shutil, signal, subprocess, sys
words = sys.argv[1:]
data = words[words.index('--data') + 1]
leave = os.environ.get('FAKE_LEAVE', '')
run = data + '-run'
if words[0] == 'up':
    os.makedirs(data); os.makedirs(run)
    if leave == 'fail':
        os.makedirs(data + '/zone-a/app/log')
        open(data + '/zone-a/app/log/postgres.log', 'w').write('FATAL: no luck')
        sys.exit('cannot')
    env = {} if leave == 'unmarked' else dict(os.environ)
    for name in ('serve', 'proxy'):
        process = subprocess.Popen(['sleep', '300'] if name == 'serve' else
                                   ['sh', '-c', 'sleep 300; : --run ' + run], env=env, cwd=data,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        open(f'{data}/{name}.pid', 'w').write(str(process.pid))
elif words[0] == 'env':
    print(json.dumps({'AWS_ENDPOINT_URL': 'https://127.9.0.1:4566', 'PGPASSFILE': data + '/pgpass'}))
elif words[0] == 'down':
    assert '--destroy' in words and '--yes' in words
    for name in ('serve', 'proxy'):
        pid = int(open(f'{data}/{name}.pid').read())
        if leave not in ('process', 'unmarked') or name == 'proxy':
            os.killpg(pid, signal.SIGKILL)
    if leave != 'run':
        shutil.rmtree(run)
    shutil.rmtree(data)
    if leave == 'file':
        os.makedirs(data); open(data + '/forgotten', 'w').close()
'''


@pytest.fixture
def fake(tmp_path, monkeypatch):
    path = tmp_path / 'weir'
    path.write_text(textwrap.dedent(FAKE))
    path.chmod(0o755)
    monkeypatch.setattr('support.tier.LEAVE_S', 0.3)
    return path


def test_clean(fake):
    with tier_of(fake, 'a.tf') as tier:
        assert tier.env()['PGPASSFILE'] == f'{tier.data}/pgpass'
        assert len(tier.find('sleep 300')) == 3  # serve, the shell, and its child
        assert len(tier.run_folders) == 1
    assert not tier.folder.exists()


@pytest.mark.parametrize('leave, message', [
    ('process', 'process [0-9]+: sleep 300'),
    ('unmarked', 'process [0-9]+: sleep 300'),
    ('run', 'runtime folder .*-run'),
    ('file', 'file .*/forgotten'),
])
def test_leftovers(fake, monkeypatch, leave, message):
    monkeypatch.setenv('FAKE_LEAVE', leave)
    with pytest.raises(AssertionError) as caught:
        with tier_of(fake, 'a.tf') as tier:
            pass
    assert re.search(message, str(caught.value))
    assert not tier.processes()
    assert not tier.folder.exists() and not any(map(os.path.exists, tier.run_folders))


def test_failing_up(fake, monkeypatch):
    monkeypatch.setenv('FAKE_LEAVE', 'fail')
    with pytest.raises(TierError) as caught:
        with tier_of(fake, 'a.tf'):
            pass
    assert 'cannot' in str(caught.value) and 'FATAL: no luck' in str(caught.value)


def test_failing_test_takes_all_down(fake):
    with pytest.raises(ZeroDivisionError):
        with tier_of(fake, 'a.tf') as tier:
            raise ZeroDivisionError
    assert not tier.processes()
