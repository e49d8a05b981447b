"""Tiers for the tests. `tier` is shared by all tests that leave it as they found it; whoever breaks
something brings up a tier of its own with `new_tier`."""
import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest

from support.node import app_folder
from support.tier import Tier, tier_of
from support.tier_hosts import standing


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(call):
    """A test that fails on several hosts says how they were."""
    report = (yield).get_result()
    if report.failed and call.when == 'call':
        for hosts in standing:
            try:
                told = hosts.told()
            except Exception as error:  # pylint: disable=broad-except  # it must not hide why the test failed
                told = repr(error)
            report.longrepr.addsection('hosts', told)


@pytest.fixture(scope='session')
def tier(weir, root):
    """The tier of examples/guide.tf."""
    with tier_of(weir, root / 'examples/guide.tf') as shared:
        yield shared


@pytest.fixture
def new_tier(weir, tmp_path):
    """new_tier('text of a file') or new_tier(PATH, …): a tier of the test's own, destroyed at its end."""
    with contextlib.ExitStack() as stack:
        def make(*files, **options):
            paths = []
            for number, file in enumerate(files):
                if isinstance(file, str):
                    paths.append(tmp_path / f'{number}.tf')
                    paths[-1].write_text(file)
                else:
                    paths.append(file)
            return stack.enter_context(tier_of(weir, *paths, **options))
        yield make


@pytest.fixture
def bare_tier(weir):
    """A tier that is not up: for tests of what goes wrong. The test takes down what it brings up."""
    bare = Tier(weir)
    try:
        yield bare
        bare.learn_run_folders()
        bare.assert_stopped()
    finally:
        bare.remove()


@pytest.fixture(scope='session')
def example_app(root, tmp_path_factory):
    """The folder of the example application with its packages."""
    return app_folder(root / 'examples/app', root / 'build/node', tmp_path_factory.mktemp('app') / 'app')


@pytest.fixture(scope='module')
def public_folder():
    """Where other accounts can go, which pytest's own folders forbid; short, for sockets are to lie in it."""
    folder = Path(tempfile.mkdtemp(prefix='weir-', dir='/tmp'))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
