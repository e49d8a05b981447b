"""Creation that is cut off: `weir serve` killed with -9 again and again; two tiers side by side; what comes and
goes leaves nothing behind."""
import os
import random
import signal
import time

from support.inside import PASSWORD, Inside
from support.tier import Tier, ending, tier_of
from support.watch import wait_until

KILLS = 5
SEED = int(os.environ.get('WEIR_TEST_SEED', random.randrange(1 << 32)))


def create_instance(tier, name, **more):
    tier.aws('rds').create_db_instance(**{
        'DBInstanceIdentifier': name, 'Engine': 'postgres', 'DBInstanceClass': 'db.t3.micro', 'AllocatedStorage': 20,
        'MasterUsername': 'dbadmin', 'MasterUserPassword': PASSWORD, 'DBName': 'shop', 'BackupRetentionPeriod': 1,
        **more})


def kill_serve(inside):
    pid = wait_until(inside.serve, 'a weir serve')
    os.kill(pid, signal.SIGKILL)


def test_creation_goes_on_wherever_it_was_cut_off(weir, record_property):
    record_property('seed', SEED)
    chance = random.Random(SEED)
    with tier_of(weir) as tier:
        inside = Inside(tier)
        create_instance(tier, 'main', MultiAZ=True)
        tier.aws('rds').create_db_instance_read_replica(DBInstanceIdentifier='reader',
                                                        SourceDBInstanceIdentifier='main')
        tier.aws('elasticache').create_replication_group(
            ReplicationGroupId='cache', ReplicationGroupDescription='x', Engine='redis',
            CacheNodeType='cache.t3.micro', NumCacheClusters=2, AutomaticFailoverEnabled=True)
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.02, 1.2))  # the moment is what is tried
            kill_serve(inside)
        wait_until(lambda: tier.command('status', check=False).returncode == 0, f'the API answers (seed {SEED})')
        inside.wait_settled('main', 'reader', 'cache')
        main = inside.node('main', 'primary')
        assert len(inside.nodes('main')) == 2
        inside.sql(main, 'CREATE TABLE note (id int)', user='dbadmin', database='shop')
        for node in inside.nodes('reader') + [inside.node('main', 'standby')]:
            wait_until(lambda node=node: inside.value(node, "SELECT count(*) FROM pg_class WHERE relname = 'note'",
                                                      database='shop') == 1, 'the table arrives')
        assert inside.events('main').count('DB instance created') == 1
        slots = inside.value(main, 'SELECT count(*) FROM pg_replication_slots')
        assert slots == 2, 'only the standby and the replica have slots'


def test_deletion_goes_on_wherever_it_was_cut_off(weir):
    with tier_of(weir) as tier:
        inside = Inside(tier)
        create_instance(tier, 'main', MultiAZ=True)
        inside.wait_settled('main')
        tier.aws('rds').delete_db_instance(DBInstanceIdentifier='main', SkipFinalSnapshot=True)
        kill_serve(inside)
        wait_until(lambda: tier.command('status', check=False).returncode == 0, 'the API answers')
        wait_until(lambda: not tier.json('status')['instances'], 'main is deleted')
        assert not list(tier.data.glob('zone-*/*'))
        assert not tier.find('weir guard|postgres')


def test_a_clone_does_not_keep_its_node_from_going(weir):
    """A clone may take hours: who deletes the replica, or stops the tier, does not wait for it."""
    with tier_of(weir) as tier:
        inside = Inside(tier)
        rds = tier.aws('rds')
        create_instance(tier, 'main')
        inside.wait_settled('main')

        def clone_that_hangs(name):
            rds.create_db_instance_read_replica(DBInstanceIdentifier=name, SourceDBInstanceIdentifier='main')
            pid = wait_until(lambda: tier.find('^[^ ]*pg_basebackup '), 'a clone')[0]
            os.kill(pid, signal.SIGSTOP)
        clone_that_hangs('first')
        rds.delete_db_instance(DBInstanceIdentifier='first', SkipFinalSnapshot=True)
        wait_until(lambda: len(tier.json('status')['instances']) == 1, 'the replica is deleted')
        clone_that_hangs('second')
        tier.down()
        tier.assert_stopped()
        tier.up()
        inside.wait_settled('main', 'second')


def test_a_tier_keeps_its_network_while_its_engines_run(weir):
    """Everything of Weir but the guards is gone (RULES O2), and another tier looks for a network."""
    with tier_of(weir) as tier, tier_of(weir) as other:
        inside = Inside(tier)
        create_instance(tier, 'main')
        inside.wait_settled('main')
        main = inside.node('main', 'primary')
        engine, endpoint = inside.engine(main), tier.env()['AWS_ENDPOINT_URL']
        assert other.env()['AWS_ENDPOINT_URL'] != endpoint
        other.down()
        (other.data / 'net').write_text((tier.data / 'net').read_text())
        inside.kill_all_but_guards()
        other.up()
        assert other.env()['AWS_ENDPOINT_URL'] != endpoint
        assert inside.engine(main) == engine
        tier.up()
        inside.wait_settled('main')
        assert tier.env()['AWS_ENDPOINT_URL'] == endpoint
        assert inside.engine(main) == engine


def test_two_tiers_side_by_side(weir):
    with tier_of(weir) as first, tier_of(weir) as second:
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
    with tier_of(weir) as tier:
        inside = Inside(tier)
        create_instance(tier, 'main', MultiAZ=True)
        inside.wait_settled('main')
        before = tier.env()['AWS_ENDPOINT_URL']
        tier.down()
        (tier.data / 'net').write_text('240\n')
        tier.up()
        tier.env()
        assert tier.env()['AWS_ENDPOINT_URL'] == 'https://127.240.0.1:4566' != before
        inside.wait_settled('main')
        address = tier.json('status')['instances'][0]['Endpoint']['Address']
        assert address.startswith('127.240.')
        with tier.postgres(address, dbname='shop', password=PASSWORD, passfile='/dev/null') as connection:
            connection.execute('CREATE TABLE note ()')


def test_whoever_starts_it_may_hide_his_files(weir):
    """A strict umask is root's on many a host; engines run as accounts of their own."""
    with ending(Tier(weir)) as tier:
        tier.up(umask=0o077)
        tier.env()
        create_instance(tier, 'main')
        Inside(tier).wait_settled('main')
