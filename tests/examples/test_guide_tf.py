"""examples/guide.tf is valid for Terraform and its AWS provider themselves, where they are present."""
import shutil

from support.terraform import terraform_in


def test_valid_for_terraform(tmp_path, root):
    terraform = terraform_in(tmp_path)
    shutil.copy(root / 'examples/guide.tf', tmp_path / 'module')
    done = terraform('init', '-backend=false', '-input=false', '-no-color')
    assert done.returncode == 0, done.stderr
    done = terraform('validate', '-no-color')
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Warning' not in done.stdout, done.stdout
    done = terraform('fmt', '-check', '-diff')
    assert done.returncode == 0, done.stdout
