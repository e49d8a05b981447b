"""examples/guide.tf is valid for Terraform and its AWS provider themselves, where they are present."""
import os
import shutil
from pathlib import Path

import pytest

PROVIDER = 'registry.terraform.io/hashicorp/aws'


def provider_mirror():
    """A folder that holds the provider: TF_PLUGIN_MIRROR, or a usual place."""
    for folder in (os.environ.get('TF_PLUGIN_MIRROR'), '/opt/tf-plugins',
                   '/usr/local/share/terraform/plugins', '/usr/share/terraform/plugins'):
        if folder and (Path(folder) / PROVIDER).is_dir():
            return folder
    return None


@pytest.fixture
def terraform(tmp_path, root, run):
    """Runs terraform over a copy of the example, without a network."""
    mirror = provider_mirror()
    if shutil.which('terraform') is None or mirror is None:
        pytest.skip('terraform and its AWS provider are not here')
    config = tmp_path / 'cli.tfrc'
    config.write_text('provider_installation {\n'
                      f'  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n')
    module = tmp_path / 'module'
    module.mkdir()
    shutil.copy(root / 'examples/guide.tf', module)
    env = dict(os.environ, TF_CLI_CONFIG_FILE=str(config), CHECKPOINT_DISABLE='1')

    def run_terraform(*arguments):
        return run('terraform', f'-chdir={module}', *arguments, env=env, timeout=240)
    return run_terraform


def test_valid_for_terraform(terraform):
    done = terraform('init', '-backend=false', '-input=false', '-no-color')
    assert done.returncode == 0, done.stderr
    done = terraform('validate', '-no-color')
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Warning' not in done.stdout, done.stdout
    done = terraform('fmt', '-check', '-diff')
    assert done.returncode == 0, done.stdout
