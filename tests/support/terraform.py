"""Terraform and its AWS provider themselves, where they are present; without a network."""
import os
import shutil
import subprocess
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


def terraform_in(folder):
    """A function that runs terraform on the files in folder/module; skips the test where it is not here."""
    mirror = provider_mirror()
    if shutil.which('terraform') is None or mirror is None:
        pytest.skip('terraform and its AWS provider are not here')
    config = folder / 'cli.tfrc'
    config.write_text('provider_installation {\n'
                      f'  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n')
    module = folder / 'module'
    module.mkdir()
    env = dict(os.environ, TF_CLI_CONFIG_FILE=str(config), CHECKPOINT_DISABLE='1')

    def run(*arguments):
        return subprocess.run(['terraform', f'-chdir={module}', *arguments], env=env, timeout=600,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return run
