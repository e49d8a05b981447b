"""The example tier as an account without rights has it: it comes up, answers, refuses by name what takes root, and
leaves nothing."""
import json
import pwd
from pathlib import Path

import psycopg
import pytest

from support.account import account_tier, needs_root
from support.watch import wait_until

pytestmark = needs_root
PORT_START = Path('/proc/sys/net/ipv4/ip_unprivileged_port_start')


def uids(pid):
    try:
        lines = Path(f'/proc/{pid}/status').read_text().splitlines()
    except OSError:
        return set()
    return {int(word) for line in lines if line.startswith('Uid:') for word in line.split()[1:]}


def owners(account):
    """Whom the processes of the tier belong to."""
    return set().union(*map(uids, account.processes()))


@pytest.fixture(scope='module')
def example(weir, root, public_folder):
    """The example tier of `nobody`: engines do not start for an id that no account has."""
    (public_folder / 'home').mkdir()
    (public_folder / 'guide.tf').write_text((root / 'examples/guide.tf').read_text())
    uid = pwd.getpwnam('nobody').pw_uid
    with account_tier(weir, public_folder / 'home', public_folder / 'guide.tf', uid=uid) as account:
        account.file = public_folder / 'guide.tf'
        yield account


def answer(account, *words):
    done = account.weir(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_everything_runs_as_the_account(example):
    assert owners(example) == {example.uid}
    assert {path.stat().st_uid for path in example.data.rglob('*')} == {example.uid}


def test_clients_answer(example):
    assert answer(example, 'psql', 'app-db-proxy', '-wAtc', 'SELECT current_user') == 'dbadmin'
    assert answer(example, 'psql', 'app-read-replica-0', '-wAtc', 'SELECT pg_is_in_recovery()') == 't'
    assert answer(example, 'redis-cli', 'app-redis-cluster', 'PING') == 'PONG'
    assert answer(example, 'run', '--no-aws-hosts', '--', 'sh', '-c', 'echo "$PGPASSFILE"') == f'{example.data}/pgpass'


def test_nobody_comes_as_a_role_of_weirs_own(example):
    """All is one account's here, so that PostgreSQL takes the endpoint's process for Weir itself."""
    instances = json.loads(answer(example, 'status', '-o', 'json'))['instances']
    for host in (instance['Endpoint']['Address'] for instance in instances):
        for role in ('rdsadmin', 'rdsproxyadmin', 'rdsrepladmin'):
            with pytest.raises(psycopg.OperationalError, match='pg_hba.conf rejects connection'):
                psycopg.connect(host=host, user=role, dbname='postgres', password='x', sslmode='require')


def test_what_takes_root_is_refused_by_name(example):
    if int(PORT_START.read_text()) <= 443:
        pytest.skip('here port 443 is for everybody')
    done = example.weir('run', '--aws-hosts', '--', 'true')
    assert done.returncode == 4
    assert '`sysctl -w net.ipv4.ip_unprivileged_port_start=443` as root' in done.stderr


@pytest.mark.parametrize('words', [('up', '--detach'), ('status',), ('down',), ('env',)])
def test_a_folder_that_is_somebody_elses(example, words):
    """Neither taken over nor said to be down."""
    other = example.uid - 1
    done = example.weir(*words, prefix=['setpriv', f'--reuid={other}', f'--regid={other}', '--clear-groups', '--'])
    assert done.returncode == 4, done.stderr
    assert 'Permission denied' in done.stderr and str(example.data) in done.stderr


def test_down_and_up_bring_the_same_data_back(example):
    answer(example, 'psql', 'app-db-proxy', '-wqc', 'CREATE TABLE kept ()')
    assert 'is stopped' in example.weir('down', timeout_s=120).stderr
    wait_until(lambda: not example.processes(), 'nothing runs any more')
    assert answer(example, 'up', '--detach', example.file)
    assert answer(example, 'psql', 'app-primary-db', '-wAtc', 'SELECT count(*) FROM kept') == '0'
    assert 'No changes.' in answer(example, 'plan', example.file)
