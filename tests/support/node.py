"""The packages of the example application, installed once for all runs."""
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def node_modules(app, cache):
    """A node_modules for the lock file of `app`, in the folder `cache`. Installed where it is not there."""
    lock = (app / 'package-lock.json').read_bytes()
    target = Path(cache) / hashlib.sha256(lock).hexdigest()[:16] / 'node_modules'
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.parent / 'lock', 'w', encoding='utf-8') as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                for name in ('package.json', 'package-lock.json', '.npmrc'):
                    shutil.copy(app / name, folder)
                done = subprocess.run(['npm', 'ci', '--no-audit', '--no-fund', '--loglevel=error'], cwd=folder,
                                      capture_output=True, text=True, timeout=280, check=False)
                assert done.returncode == 0, f'npm ci: {done.stdout}{done.stderr}'
                os.rename(Path(folder) / 'node_modules', target)
    return target


def app_folder(app, cache, folder):
    """A copy of the application in `folder`, with its packages."""
    shutil.copytree(app, folder, ignore=shutil.ignore_patterns('node_modules'))
    (folder / 'node_modules').symlink_to(node_modules(app, cache))
    return folder
