"""Creation that is cut off: `weir serve` killed with -9 again and again; two tiers side by side; what comes and
goes leaves nothing behind."""
import contextlib
import os
import random
import signal
import time

from support.inside import PASSWORD, Inside
from support.tier import Tier
from support.watch import wait_until

KILLS = 5
SEED = int(os.environ.get('WEIR_TEST_SEED', random.randrange(1 << 32)))


@contextlib.contextmanager
def own_tier(weir):
    tier = Tier(weir)
    try:
        tier.up()
        yield tier
        tier.destroy()
        left = tier.leftovers()
        assert not left, 'the tier left behind:\n' + '\n'.join(left)
    finally:
        tier.remove()


def create_instance(tier, name, **more):
    tier.aws('rds').create_db_instance(**{
        'DBInstanceIdentifier': name, 'Engine': 'postgres', 'DBInstanceClass': 'db.t3.micro', 'AllocatedStorage': 20,
        'MasterUsername': 'dbadmin', 'MasterUserPassword': PASSWORD, 'DBName': 'shop', 'BackupRetentionPeriod': 1,
        **more})


def kill_serve(inside):
    pid = wait_until(inside.serve, 'a weir serve')
    os.kill(pid, signal.SIGKILL)


def test_deletion_goes_on_wherever_it_was_cut_off(weir):
    with own_tier(weir) as tier:
        inside = Inside(tier)
        create_instance(tier, 'main', MultiAZ=True)
        inside.wait_settled('main')
        tier.aws('rds').delete_db_instance(DBInstanceIdentifier='main', SkipFinalSnapshot=True)
        kill_serve(inside)
        wait_until(lambda: tier.command('status', check=False).returncode == 0, 'the API answers')
        wait_until(lambda: not tier.json('status')['instances'], 'main is deleted')
        assert not list(tier.data.glob('zone-*/*'))
        assert not tier.find('weir guard|postgres')


def test_two_tiers_side_by_side(weir):
    with own_tier(weir) as first, own_tier(weir) as second:
        for tier in (first, second):
            create_instance(tier, 'main', DBParameterGroupName='default.postgres15')
        for tier in (first, second):
            Inside(tier).wait_settled('main')
        assert first.env()['AWS_ENDPOINT_URL'] != second.env()['AWS_ENDPOINT_URL']
        assert first.run_folder() != second.run_folder()
        for number, tier in enumerate((first, second)):
            inside = Inside(tier)
            inside.sql(inside.node('main', 'primary'), f'CREATE TABLE of_{number} ()', user='dbadmin',
                       database='shop')
        second.down()
        inside = Inside(first)
        assert inside.is_settled('main')
        assert inside.sql(inside.node('main', 'primary'), "SELECT relname FROM pg_class WHERE relname LIKE 'of\\__'",
                          database='shop') == [('of_0',)]
        second.up()
        Inside(second).wait_settled('main')


def test_a_tier_that_moved_to_another_network_works(weir):
    """Its old network may be taken when it comes up again: every address changes."""
    with own_tier(weir) as tier:
        inside = Inside(tier)
        create_instance(tier, 'main', MultiAZ=True)
        inside.wait_settled('main')
        before = tier.net_lock()
        tier.down()
        (tier.data / 'net').write_text('240\n')
        tier.up()
        tier.env()
        assert tier.net_lock() == '@weir-net-240' != before
        inside.wait_settled('main')
        address = tier.json('status')['instances'][0]['Endpoint']['Address']
        assert address.startswith('127.240.')
        with tier.postgres(address, dbname='shop', password=PASSWORD, passfile='/dev/null') as connection:
            connection.execute('CREATE TABLE note ()')
