"""tools/install.sh: what it looks for, what it asks apt, and that its guards are gone afterwards."""
import os
import shutil
import subprocess
import time

import pytest

TABLE = '''# a comment
run   command  sh               dash
run   module   openssl          libssl-dev
run   command  surely-missing   missing-one
test  module   surely-missing   missing-two
test  python   surely_missing   missing-three
test  python   json             python3
test  file     /surely/missing* missing-four
test  file     /et*/passwd      base-passwd
'''
ALL_THERE = 'run command sh dash\nrun module openssl libssl-dev\nrun python json python3\nrun file /etc/pass?d x\n'

# Stands in for apt-get: notes how it was called and what the guards look like, then ends as told.
APT_GET = '''#!/bin/sh
if [ "$1" = indextargets ]; then exit 0; fi
echo "call: $*" >>"$NOTES"
echo "policy: $(sed -n 3p /usr/sbin/policy-rc.d)" >>"$NOTES"
echo "cluster: $(grep create /etc/postgresql-common/createcluster.d/weir-install.conf)" >>"$NOTES"
case $* in *install*) [ "$APT_CODE" = 0 ] || exit "$APT_CODE"; : >"$MISSING" ;; esac
'''


@pytest.fixture
def install(root, tmp_path, run):
    def run_install(level, table, **options):
        path = tmp_path / 'packages.txt'
        path.write_text(table)
        path.chmod(0o644)
        tmp_path.chmod(0o755)
        env = {'PATH': os.environ['PATH'], 'WEIR_PACKAGES': str(path), **options.pop('env', {})}
        return run(*options.pop('prefix', ()), root / 'tools/install.sh', level, env=env, **options)
    return run_install


def test_nothing_missing(install):
    started = time.monotonic()
    done = install('test', ALL_THERE)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    assert time.monotonic() - started < 0.5


def test_this_machine(root, run):
    assert run(root / 'tools/install.sh', 'test').returncode == 0


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which('setpriv'), reason='needs setpriv')
@pytest.mark.parametrize('level, packages', [
    ('run', 'missing-one'),
    ('test', 'missing-one missing-two missing-three missing-four'),
])
def test_ordinary_user(install, tmp_path, root, run, level, packages):
    """One line to run, no attempt to become root."""
    copy = tmp_path / 'install.sh'
    shutil.copy(root / 'tools/install.sh', copy)
    table = tmp_path / 'packages.txt'
    table.write_text(TABLE)
    for path in (copy, table):
        path.chmod(0o755)
    reach(tmp_path)
    prefix = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] if os.geteuid() == 0 else []
    done = run(*prefix, 'sh', copy, level, env={'PATH': os.environ['PATH'], 'WEIR_PACKAGES': str(table)})
    assert done.returncode == 1
    assert done.stdout == ''
    assert done.stderr.splitlines()[-1] == f'apt-get install --no-install-recommends {packages}'


def reach(folder):
    """Lets other accounts into pytest's own folders."""
    while folder.name and folder.parent.name:
        folder.chmod(folder.stat().st_mode | 0o011)
        folder = folder.parent


def test_unknown_level(install):
    done = install('everything', ALL_THERE)
    assert done.returncode == 2
    assert "write run, test, dev, conform, bench or failover" in done.stderr


def test_broken_table(install):
    assert install('run', 'run gadget sh dash\n').returncode == 2


# In a mount namespace of its own, with an overlay over the folders that the guards go to.
SANDBOX = '''
set -e
for dir in usr/sbin etc; do
    mkdir -p "$SCRATCH/$dir/up" "$SCRATCH/$dir/work"
done
mount -t tmpfs scratch "$SCRATCH"
for dir in usr/sbin etc; do
    mkdir -p "$SCRATCH/$dir/up" "$SCRATCH/$dir/work"
    mount -t overlay overlay -o "lowerdir=/$dir,upperdir=$SCRATCH/$dir/up,workdir=$SCRATCH/$dir/work" "/$dir"
done
rm -f /usr/sbin/policy-rc.d /usr/sbin/policy-rc.d.weir-saved
rm -rf /etc/postgresql-common
eval "$BEFORE"
code=0
"$@" || code=$?
ls /usr/sbin/policy-rc.d* 2>/dev/null || true
cat /usr/sbin/policy-rc.d 2>/dev/null || true
ls -d /etc/postgresql-common 2>/dev/null || true
exit $code
'''


@pytest.fixture
def sandbox(root, tmp_path):
    if os.geteuid() != 0:
        pytest.skip('not root')
    bin_folder = tmp_path / 'bin'
    bin_folder.mkdir()
    (bin_folder / 'apt-get').write_text(APT_GET)
    (bin_folder / 'apt-get').chmod(0o755)
    scratch = tmp_path / 'scratch'
    scratch.mkdir()
    table = tmp_path / 'packages.txt'
    table.write_text(f'run file {tmp_path}/missing the-package\n')
    notes = tmp_path / 'notes'
    notes.write_text('')

    def run_sandbox(apt_code=0, before=''):
        env = {'PATH': f'{bin_folder}:{os.environ["PATH"]}', 'SCRATCH': str(scratch), 'NOTES': str(notes),
               'APT_CODE': str(apt_code), 'WEIR_PACKAGES': str(table), 'MISSING': str(tmp_path / 'missing'),
               'BEFORE': before}
        done = subprocess.run(['unshare', '--mount', 'bash', '-c', SANDBOX, 'sandbox',
                               root / 'tools/install.sh', 'run'],
                              env=env, capture_output=True, text=True, timeout=60, check=False)
        if 'mount' in done.stderr:
            pytest.skip(f'no overlay here: {done.stderr.strip()}')
        return done, notes.read_text()
    return run_sandbox


def test_installs_behind_guards(sandbox):
    done, notes = sandbox()
    assert done.returncode == 0, done.stderr
    assert done.stdout == ''  # nothing is left of the guards
    calls = [line for line in notes.splitlines() if line.startswith('call:')]
    assert 'install --no-install-recommends the-package' in calls[-1]
    assert '-y' in calls[-1]
    assert 'policy: exit 101' in notes
    assert 'cluster: create_main_cluster = false' in notes


def test_failure_takes_the_guards_away(sandbox):
    done, _ = sandbox(apt_code=100)
    assert done.returncode == 100
    assert done.stdout == ''


def test_operators_policy_comes_back(sandbox):
    before = 'echo "operators own" >/usr/sbin/policy-rc.d; mkdir -p /etc/postgresql-common/createcluster.d'
    for code in (0, 100):
        done, notes = sandbox(apt_code=code, before=before)
        assert done.stdout == '/usr/sbin/policy-rc.d\noperators own\n/etc/postgresql-common\n'
        assert 'policy: exit 101' in notes


def test_cleans_up_after_a_killed_run(sandbox):
    before = ('printf "#!/bin/sh\\n# Temporary, made by Weir while it installs packages.\\nexit 101\\n"'
              ' >/usr/sbin/policy-rc.d; echo "operators own" >/usr/sbin/policy-rc.d.weir-saved')
    done, _ = sandbox(before=before)
    assert done.returncode == 0, done.stderr
    assert done.stdout == '/usr/sbin/policy-rc.d\noperators own\n'
