"""What `make install` puts where, which the README names."""
import shutil

import pytest


def test_installed_files(weir, run, tmp_path):
    build = weir.parent
    if shutil.which('meson') is None or not (build / 'meson-private').is_dir():
        pytest.skip('the program is not in its build folder')
    done = run('meson', 'install', '-C', build, '--no-rebuild', '--quiet', '--destdir', tmp_path)
    assert done.returncode == 0, done.stderr
    root = tmp_path / 'usr/local'
    for name in ('bin/weir', 'share/man/man1/weir.1', 'lib/systemd/system/weir.service'):
        assert (root / name).is_file(), name
    completion = (root / 'share/bash-completion/completions/weir').read_text()
    assert completion == run(weir, 'completion', 'bash').stdout
