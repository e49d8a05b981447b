"""A tier brought up for a test: starts it, knows its clients, takes it down, and looks for what it left."""
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from support.started import Started

MARK = 'WEIR_TEST_MARK'
AWSCLI = Path('/usr/bin/aws')  # Debian's, which does not know AWS_ENDPOINT_URL; others may come first in PATH
LEAVE_S = 10  # what the last processes of a tier may take to end after `weir down`


class TierError(AssertionError):
    """A command of the tier failed; the message holds what it printed."""


def processes():
    """(pid, environment, command line, working folder) of what runs here."""
    for entry in Path('/proc').iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                command = (entry / 'cmdline').read_bytes().replace(b'\0', b' ').decode('utf-8', 'replace')
                if command:
                    yield (int(entry.name), (entry / 'environ').read_bytes(), command.strip(),
                           os.readlink(entry / 'cwd').removesuffix(' (deleted)'))


class Tier:
    """One data folder and the commands on it."""

    def __init__(self, weir, timeout_s=240):
        self.weir = Path(weir)
        self.timeout_s = timeout_s
        self.mark = uuid.uuid4().hex
        self.folder = Path(tempfile.mkdtemp(prefix='weir-tier-'))
        self.folder.chmod(0o711)  # the engines' accounts pass through
        self.data = self.folder / 'data'
        self.run_folders = set()
        self.prefix = []  # what weir is run by
        self._env = None

    # ---- commands ------------------------------------------------------------------------------

    def _run(self, run, words, env=None, **options):
        return run([*self.prefix, str(self.weir), *map(str, words), '--data', str(self.data)],
                   env={**os.environ, MARK: self.mark, 'NO_COLOR': '1', **(env or {})},
                   stdin=subprocess.DEVNULL, text=True, cwd=self.folder, **options)

    def start(self, *words, **options):
        """`weir WORDS… --data DIR`, as a Started."""
        return self._run(Started, words, **options)

    def command(self, *words, check=True, timeout_s=None, **options):
        """Runs `weir WORDS… --data DIR` to its end."""
        done = self._run(subprocess.run, words, capture_output=True, check=False, timeout=timeout_s or self.timeout_s,
                         **options)
        if check and done.returncode != 0:
            raise TierError(f'weir {shlex.join(map(str, words))} ended with {done.returncode}\n'
                            f'{done.stdout}{done.stderr}{self.engine_logs()}')
        return done

    def up(self, *files, **options):
        done = self.command('up', *files, '--detach', **options)
        self._env = None
        self.learn_run_folders()
        return done

    def json(self, *words, **options):
        return json.loads(self.command(*words, '-o', 'json', **options).stdout)

    def env(self, fresh=False):
        """What `weir env` gives to an application; kept until the next `weir up`, or until asked for afresh."""
        if self._env is None or fresh:
            self._env = {name: str(value) for name, value in self.json('env').items()}
        return self._env

    def app_env(self, **more):
        """A whole environment for an application, with nothing of the caller's clouds in it."""
        return {'PATH': os.environ['PATH'], 'HOME': str(self.folder), MARK: self.mark, **self.env(), **more}

    def down(self, **options):
        return self.command('down', **options)

    def destroy(self, *words, **options):
        return self.command('down', '--destroy', '--yes', *words, **options)

    # ---- clients -------------------------------------------------------------------------------

    def postgres(self, host, **options):
        """A psycopg connection with a verified certificate, as the master user unless told otherwise."""
        import psycopg
        env = self.env()
        arguments = {'host': host, 'port': 5432, 'dbname': 'app_database', 'user': 'dbadmin',
                     'passfile': env['PGPASSFILE'], 'sslmode': 'verify-full', 'sslrootcert': env['PGSSLROOTCERT'],
                     'connect_timeout': 15, 'autocommit': True, **options}
        return psycopg.connect(**arguments)

    def redis(self, host, **options):
        import redis
        env = self.env()
        arguments = {'port': 6379, 'password': env.get('REDIS_AUTH_TOKEN'), 'ssl': True, 'ssl_check_hostname': True,
                     'ssl_ca_certs': env['AWS_CA_BUNDLE'], 'decode_responses': True, 'socket_timeout': 20, **options}
        return redis.Redis(host=host, **arguments)

    def aws(self, service, session=None, **options):
        """A boto3 client of the tier's API, of a session of one's own where it is given."""
        import boto3
        env = self.env()
        arguments = {'endpoint_url': env['AWS_ENDPOINT_URL'], 'region_name': env['AWS_REGION'],
                     'aws_access_key_id': env['AWS_ACCESS_KEY_ID'], 'verify': env['AWS_CA_BUNDLE'],
                     'aws_secret_access_key': env['AWS_SECRET_ACCESS_KEY'], **options}
        return (session or boto3).client(service, **arguments)

    def awscli(self, *words, check=True, **env):
        """A command of awscli that has ended."""
        done = subprocess.run([AWSCLI, '--endpoint-url', self.env()['AWS_ENDPOINT_URL'], *words], timeout=120,
                              env={**self.app_env(), **env}, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done

    # ---- what runs, and what is left ---------------------------------------------------------------

    def processes(self):
        """{pid: command line} of everything that belongs to this tier."""
        mark = f'{MARK}={self.mark}'.encode()
        folders = [str(self.data), *self.run_folders]
        ours = (os.getpid(), os.getppid())
        return {pid: command for pid, environ, command, cwd in processes()
                if pid not in ours and (mark in environ.split(b'\0') or any(
                    folder in command or cwd == folder or cwd.startswith(folder + '/') for folder in folders))}

    def find(self, pattern):
        """The pids of the tier's processes whose command line matches."""
        return sorted(pid for pid, command in self.processes().items() if re.search(pattern, command))

    def run_folder(self):
        """Where the tier's sockets and locks are while it is up."""
        return json.loads((self.data / 'client.json').read_text())['run_dir']

    def learn_run_folders(self):
        with contextlib.suppress(OSError):
            self.run_folders.add(self.run_folder())
        for command in self.processes().values():
            self.run_folders.update(re.findall(r'--run[ =](\S+)', command))

    def leftovers(self):
        """What is still there and should not be, as lines."""
        deadline = time.monotonic() + LEAVE_S
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        lines = [f'process {pid}: {command}' for pid, command in self.processes().items()]
        for folder in self.run_folders:
            if Path(folder).exists():
                lines.append(f'runtime folder {folder}')
        if self.data.exists():
            lines += [f'file {path}' for path in sorted(self.data.rglob('*'))[:20]]
        for run in self.run_folders:  # the last part is the tier's id
            mark = re.search(rf'@weir-net-\d+/{re.escape(Path(run).name)}/\S+', Path('/proc/net/unix').read_text())
            if mark:
                lines.append(f'network mark {mark.group()}')
        return lines

    def assert_gone(self):
        left = self.leftovers()
        assert not left, 'the tier left behind:\n' + '\n'.join(left)

    def assert_stopped(self):
        """Gone but for its data."""
        left = [line for line in self.leftovers() if not line.startswith('file ')]
        assert not left, 'the tier left behind:\n' + '\n'.join(left)

    def engine_logs(self, lines=15):
        """The ends of the engines' logs, for messages."""
        texts = []
        for path in sorted(self.data.glob('zone-*/*/log/*')):
            with contextlib.suppress(OSError):
                end = path.read_text('utf-8', 'replace').splitlines()[-lines:]
                texts.append(f'--- {path}\n' + '\n'.join(end))
        return '\n' + '\n'.join(texts) if texts else ''

    def remove(self):
        """For the end, whatever happened: ends what is left, by pid, and removes the folders."""
        deadline = time.monotonic() + LEAVE_S
        while (left := self.processes()) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        for folder in (self.folder, *self.run_folders):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def ending(tier):
    """At the end destroys the tier, which is up then; what it leaves behind is a failure."""
    try:
        yield tier
        tier.destroy()
        tier.assert_gone()
    finally:
        tier.remove()


@contextlib.contextmanager
def tier_of(weir, *files, **options):
    """Brings the files up, and ends."""
    with ending(Tier(weir, **options)) as tier:
        tier.up(*files)
        tier.env()
        yield tier
