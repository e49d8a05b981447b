"""A replication group of three nodes behind its endpoints, under writers, while nodes are killed, stopped and
continued, and while roles change as planned: somebody leads again at once, and what was promised is there."""
import contextlib
import os
import shutil
import signal
import time

import pytest
import redis
import redis.sentinel
from botocore.exceptions import ClientError

from support.cache_group import TOKEN, CacheGroup, delete_group, endpoints, make_group, send, tier_alone
from support.cache_ledger import CacheLedger
from support.watch import wait_until

NAME = 'app'
KEYS = 300000


@pytest.fixture(scope='module')
def group(weir):
    with tier_alone(weir) as live:
        make_group(live.tier, NAME, 3)
        yield CacheGroup(live, NAME)
        delete_group(live, NAME)


def report(fault, ledger, since, lost):
    print(f'{fault}: {ledger.gap_s(since):.3f} s without an acknowledged write, {len(ledger.times)} writes, '
          f'{len(lost)} lost, {len(ledger.errors)} errors: {sorted({text[:60] for _, text in ledger.errors})}')


@pytest.mark.parametrize('fault', ['kill_redis', 'kill_guard', 'kill_node', 'stop_redis', 'stop_node'])
def test_the_primary_is_lost(group, fault):
    """On one host a replica reads all that its primary had sent, and Redis sends to replicas before it answers. What
    a socket did not take in time can be lost all the same (docs/failover.md): a few, counted and shown."""
    group.settle()
    old = group.leader()
    with CacheLedger(lambda: group.client()) as ledger:
        since = time.monotonic()
        pids = group.pids(old)
        getattr(group, fault)(old)
        group.wait_other_leader(old)
        ledger.wait_for(500)
        send(pids, signal.SIGCONT)  # whoever was only stopped goes on now, if he still lives
        ledger.wait_for(500)
        ledger.stop()
        lost = ledger.lost()
        report(fault, ledger, since, lost)
    assert ledger.gap_s(since) < 10
    assert len(lost) <= 20, lost[:5]
    group.settle()
    assert ledger.lost() == lost  # nothing goes when the old one is back
    assert any(beat > since for beat, _ in ledger.heard), 'the subscriber hears nothing any more'


@pytest.mark.parametrize('number', range(3))
def test_a_planned_change(group, number):
    group.settle()
    old = group.leader()
    with CacheLedger(lambda: group.client()) as ledger:
        since = time.monotonic()
        answer = group.live.tier.json('failover', NAME)
        ledger.wait_for(500)
        ledger.stop()
        lost = ledger.lost()
        report(f'planned {number}', ledger, since, lost)
    assert answer['done'] and answer['before'] == old['NodeId'] and answer['after'] != old['NodeId']
    assert ledger.gap_s(since) < 5
    assert not lost
    # Clients between two commands notice nothing, nor do those that wait in a blocking one. Of a pipeline that was
    # under way the end may be refused, as not carried out (docs/front.md).
    assert not ledger.errors_of(pipelined=False)
    assert all('ReadOnlyError' in text for text in ledger.errors_of(pipelined=True))
    group.settle()


def test_a_primary_that_computes_is_not_dead(group):
    """A script that runs for three seconds, in which it answers nobody: it is waited for."""
    group.settle()
    old = group.leader()
    told = len(group.live.events(NAME))
    with contextlib.closing(group.client()) as primary:
        assert primary.eval("local from = redis.call('TIME')[1] while redis.call('TIME')[1] - from < 3 do end "
                            "return 'done'", 0) == 'done'
    assert group.leader()['NodeId'] == old['NodeId']
    assert not [text for text in group.live.events(NAME)[told:] if 'Failover' in text]


def test_a_replica_is_lost(group):
    group.settle()
    replica = group.live.node(NAME, 'replica')
    with CacheLedger(lambda: group.client()) as ledger:
        group.kill_node(replica)
        ledger.wait_for(500)
        ledger.stop()
        assert not ledger.lost()
    assert not ledger.errors
    assert group.leader()['NodeId'] != replica['NodeId']
    group.settle()


def test_lost_data_never_comes_back_as_the_primary(group):
    """The primary's folder is gone with its process, and its replicas are away at the same moment: whoever has data
    leads, and nothing is emptied."""
    group.settle()
    with contextlib.closing(group.client()) as primary:
        primary.set('kept', 'yes')
        assert primary.wait(2, 20000) == 2
    old = group.leader()
    everybody = [old, *(node for node in group.live.nodes(NAME) if node['NodeId'] != old['NodeId'])]
    pids = [pid for node in everybody for pid in group.pids(node)]
    send(pids, signal.SIGSTOP)
    shutil.rmtree(group.live.folder(old) / 'data')
    send(pids, signal.SIGKILL)
    group.wait_other_leader(old)
    group.settle()
    with contextlib.closing(group.client()) as primary:
        assert primary.get('kept') == 'yes'


def test_a_replica_whose_log_is_not_written_does_not_lead(group):
    """It would lose all of its copy with its process, and take the others' with it."""
    group.settle()
    with contextlib.closing(group.client(socket_timeout=60)) as primary:
        primary.eval("for i = 1, ARGV[1] do redis.call('SET', 'whole:' .. i, i) end", 0, KEYS)
        old = group.leader()
        replicas = [node for node in group.live.nodes(NAME) if node['NodeId'] != old['NodeId']]
        assert primary.wait(len(replicas), 60000) == len(replicas)
        writers = []
        try:
            for node in replicas:
                writers.append(stopped_log_writer(group, node))
            assert all(group.is_log_aside(node) for node in replicas)
            time.sleep(1)  # they stream, and would be let in
            engine = group.live.engine(old)
            os.kill(engine, signal.SIGKILL)
            wait_until(lambda: group.live.engine(old) not in (None, engine), 'it starts again in place')
        finally:
            send(writers, signal.SIGCONT)
        group.settle()
        assert group.leader()['NodeId'] == old['NodeId']
        assert primary.get(f'whole:{KEYS}') == str(KEYS)
        primary.flushall()


def stopped_log_writer(group, node):
    """The process that writes the log anew, behind the full copy that a start brings: one that was over before it was
    seen comes again with another start."""
    for _ in range(5):
        engine = group.live.engine(node)
        os.kill(engine, signal.SIGKILL)
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            now = group.live.engine(node)
            writers = [pid for pid in group.live.engine_processes(node) if pid not in (engine, now)]
            if now not in (None, engine) and writers and group.is_log_aside(node):
                send(writers, signal.SIGSTOP)
                return writers[0]
        wait_until(lambda: group.live.engine(node) is not None, 'it runs')
    raise AssertionError('its log is not written anew')


def test_replicas_come_and_go(group):
    group.settle()
    api = group.live.tier.aws('elasticache')
    api.increase_replica_count(ReplicationGroupId=NAME, NewReplicaCount=3, ApplyImmediately=True)
    wait_until(lambda: len(group.live.nodes(NAME)) == 4, 'a replica more')
    group.live.wait_settled(NAME)
    victim = group.live.node(NAME, 'replica')
    api.decrease_replica_count(ReplicationGroupId=NAME, NewReplicaCount=2, ReplicasToRemove=[victim['NodeId']],
                               ApplyImmediately=True)
    wait_until(lambda: victim['NodeId'] not in [node['NodeId'] for node in group.live.nodes(NAME)], 'it is gone')
    group.settle()
    old = group.leader()
    group.kill_redis(old)
    group.wait_other_leader(old)
    group.settle()


def test_the_api_says_who_leads(group):
    group.settle()
    api = group.live.tier.aws('elasticache')
    old = group.leader()
    lead = old['NodeId']
    shard = api.describe_replication_groups(ReplicationGroupId=NAME)['ReplicationGroups'][0]['NodeGroups'][0]
    roles = {member['CacheClusterId']: member['CurrentRole'] for member in shard['NodeGroupMembers']}
    assert [name for name, role in roles.items() if role == 'primary'] == [lead]
    with pytest.raises(ClientError) as error:
        api.test_failover(ReplicationGroupId=NAME, NodeGroupId='0002')
    assert error.value.response['Error']['Code'] == 'NodeGroupNotFoundFault'
    api.test_failover(ReplicationGroupId=NAME, NodeGroupId='0001')
    group.wait_other_leader(old)
    api.get_waiter('replication_group_available').wait(ReplicationGroupId=NAME, WaiterConfig={'Delay': 1})


def wait_logged(client):
    """Its log is written before it answers, except while the disk hangs (docs/failover.md, "What can be lost")."""
    wait_until(lambda: client.info('persistence')['aof_buffer_length'] == 0, 'the log has it')


def test_without_automatic_failover_it_stays(group):
    """The primary starts again where it was, with all that it had answered, transactions and scripts included; also
    where it ends again at once. Only one that cannot load what it has makes room."""
    make_group(group.live.tier, 'plain', 2, failover=False)
    group.live.wait_settled('plain')
    api = group.live.tier.aws('elasticache')
    with pytest.raises(ClientError) as error:
        api.test_failover(ReplicationGroupId='plain', NodeGroupId='0001')
    assert error.value.response['Error']['Code'] == 'TestFailoverNotAvailableFault'
    old = group.live.node('plain', 'primary')
    engine = group.live.engine(old)
    with contextlib.closing(group.live.tier.redis(endpoints(group.live.tier, 'plain')[0], password=TOKEN)) as primary:
        primary.set('k', 'v')
        with primary.pipeline(transaction=True) as pipe:
            pipe.rpush('list', 'a').rpush('list', 'b').execute()
        primary.eval("redis.call('SET', KEYS[1], 1) redis.call('SET', KEYS[2], 2)", 2, 'one', 'two')
        wait_logged(primary)
        os.kill(engine, signal.SIGKILL)
        wait_until(lambda: group.live.engine(old) not in (None, engine), 'it runs again')
        group.live.wait_settled('plain')
        assert group.live.node('plain', 'primary')['NodeId'] == old['NodeId']
        assert primary.get('k') == 'v'
        assert primary.lrange('list', 0, -1) == ['a', 'b']
        assert primary.mget('one', 'two') == ['1', '2']
        for number in range(4):
            primary.set('k', number)
            wait_logged(primary)
            os.kill(group.live.engine(old), signal.SIGKILL)
            assert wait_until(lambda: reads(primary, 'k'), 'it answers again') == str(number)
        group.live.wait_settled('plain')
        assert group.live.node('plain', 'primary')['NodeId'] == old['NodeId']
        wait_until(lambda: primary.wait(1, 1000) == 1, 'the replica has all of it')
        for log in (group.live.folder(old) / 'data').rglob('*.incr.aof'):
            log.write_bytes(b'this is no log of Redis')
        os.kill(group.live.engine(old), signal.SIGKILL)
        group.live.wait_until(lambda: any(node['Role'] == 'primary' and node['NodeId'] != old['NodeId']
                                          for node in group.live.nodes('plain')), 'the replica leads')
        assert primary.get('k') == '3'
    delete_group(group.live, 'plain')


def sentinel_of(group):
    tls = {'ssl': True, 'ssl_ca_certs': group.live.tier.env()['AWS_CA_BUNDLE'], 'password': TOKEN, 'socket_timeout': 20,
           'decode_responses': True}
    return redis.sentinel.Sentinel([(group.endpoints[0], 26379)], sentinel_kwargs=tls, **tls)


def test_clients_that_ask_a_sentinel(group):
    """They find the endpoints, and stay with them over a change."""
    group.settle()
    sentinel = sentinel_of(group)
    assert sentinel.discover_master(NAME) == (group.endpoints[0], 6379)
    assert sentinel.discover_slaves(NAME) == [(group.endpoints[1], 6379)]
    with pytest.raises(redis.sentinel.MasterNotFoundError):
        sentinel.discover_master('another')
    asked = sentinel.sentinels[0]
    assert asked.execute_command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME) == [group.endpoints[0], '6379']
    assert asked.sentinel_master(NAME)['num-slaves'] == 2
    assert asked.sentinel_sentinels(NAME) == []
    with pytest.raises(redis.ResponseError, match='No such master'):
        asked.sentinel_master('another')
    with asked.pubsub() as listener:
        listener.subscribe('+switch-master')
        assert listener.get_message(timeout=20)['type'] == 'subscribe'
    with pytest.raises(redis.ResponseError, match='WRONGPASS|NOAUTH'):
        group.live.tier.redis(group.endpoints[0], port=26379, password='wrong').ping()
    primary, replica = sentinel.master_for(NAME), sentinel.slave_for(NAME)
    primary.set('asked', 'before')
    group.live.tier.json('failover', NAME)
    assert primary.get('asked') == 'before'
    assert primary.set('asked', 'after')
    assert primary.wait(2, 20000) == 2
    assert replica.get('asked') == 'after'


def test_readers_go_on(group):
    """The reader endpoint answers while there is no primary, and never leads to what was one."""
    group.settle()
    with contextlib.closing(group.client()) as primary, contextlib.closing(group.client(1)) as reader:
        primary.set('read', 'me')
        assert primary.wait(2, 20000) == 2
        old = group.leader()
        group.stop_node(old)
        group.wait_other_leader(old)
        wait_until(lambda: reads(reader, 'read') == 'me', 'the reader endpoint answers')
    group.settle()


def reads(reader, key):
    with contextlib.suppress(redis.RedisError):
        return reader.get(key)
    return None


def test_events_tell_it(group):
    events = group.live.events(NAME)
    for text in ('Failover from primary node', 'completed', 'Recovering cache nodes', 'Finished recovery',
                 'Test Failover API called for node group 0001'):
        assert any(text in message for message in events), (text, events)
