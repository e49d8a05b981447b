"""Debian's awscli and boto3 against the API: one of each resource made, looked at, changed and deleted."""
import contextlib
import json
import re

import boto3
import botocore.session
import psycopg
import pytest
from botocore.exceptions import ClientError

from support.tier import AWSCLI, Tier
from support.watch import wait_until

PASSWORD = 'first-Password.1'
SUBNETS = ['subnet-0000000000000000a', 'subnet-0000000000000000b']


@pytest.fixture(scope='module')
def plain(weir):
    """A tier without resources; whoever makes some deletes them."""
    tier = Tier(weir)
    try:
        tier.up()
        yield tier
        for service, operation, member in (
                ('rds', 'describe_db_instances', 'DBInstances'), ('rds', 'describe_db_proxies', 'DBProxies'),
                ('elasticache', 'describe_replication_groups', 'ReplicationGroups')):
            assert getattr(tier.aws(service), operation)()[member] == []
        assert list(tier.data.glob('zone-*/*')) == []
        tier.down()
        tier.assert_stopped()
    finally:
        tier.remove()


@pytest.fixture(scope='module')
def rds(plain):
    return plain.aws('rds')


@pytest.fixture(scope='module')
def cache(plain):
    return plain.aws('elasticache')


@pytest.fixture(scope='module')
def ec2(plain):
    return plain.aws('ec2')


@pytest.fixture(scope='module')
def secrets(plain):
    return plain.aws('secretsmanager')


@contextlib.contextmanager
def refused(code, pattern):
    """The block must end with this fault of the API."""
    with pytest.raises(ClientError) as caught:
        yield
    error = caught.value.response['Error']
    assert error['Code'] == code, error
    assert re.search(pattern, error['Message']), error


def instance_arguments(name, **more):
    return {'DBInstanceIdentifier': name, 'Engine': 'postgres', 'DBInstanceClass': 'db.t3.micro',
            'AllocatedStorage': 20, 'MasterUsername': 'dbadmin', 'MasterUserPassword': PASSWORD,
            'BackupRetentionPeriod': 1, **more}


def gone(look, *codes):
    """True when look() says that there is no such resource."""
    try:
        look()
    except ClientError as error:
        assert error.response['Error']['Code'] in codes, error
        return True
    return False


@contextlib.contextmanager
def instances(rds, *names, proxy=None):
    """At the end the named instances are deleted, the last first, and before them the proxy."""
    try:
        yield
    finally:
        if proxy:
            with contextlib.suppress(ClientError):
                rds.delete_db_proxy(DBProxyName=proxy)
            wait_until(lambda: gone(lambda: rds.describe_db_proxies(DBProxyName=proxy), 'DBProxyNotFoundFault'),
                       f'{proxy} is deleted')
        for name in reversed(names):
            with contextlib.suppress(ClientError):
                rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
        for name in names:
            wait_until(lambda name=name: gone(
                lambda: rds.describe_db_instances(DBInstanceIdentifier=name), 'DBInstanceNotFound'),
                       f'{name} is deleted')


# ---- groups ------------------------------------------------------------------------------------


def test_db_subnet_group(rds):
    made = rds.create_db_subnet_group(DBSubnetGroupName='Main', DBSubnetGroupDescription='two zones',
                                      SubnetIds=SUBNETS, Tags=[{'Key': 'team', 'Value': 'shop'}])['DBSubnetGroup']
    assert made['DBSubnetGroupName'] == 'main'
    assert rds.list_tags_for_resource(ResourceName=made['DBSubnetGroupArn'])['TagList'] == [
        {'Key': 'team', 'Value': 'shop'}]
    with refused('DBSubnetGroupAlreadyExists', 'main'):
        rds.create_db_subnet_group(DBSubnetGroupName='main', DBSubnetGroupDescription='x', SubnetIds=SUBNETS)
    with refused('DBSubnetGroupDoesNotCoverEnoughAZs', '2 AZs'):
        rds.modify_db_subnet_group(DBSubnetGroupName='main', SubnetIds=SUBNETS[:1])
    rds.modify_db_subnet_group(DBSubnetGroupName='main', DBSubnetGroupDescription='three zones',
                               SubnetIds=[*SUBNETS, 'subnet-0000000000000000c'])
    group, = rds.describe_db_subnet_groups(DBSubnetGroupName='main')['DBSubnetGroups']
    assert group['DBSubnetGroupDescription'] == 'three zones'
    assert len(group['Subnets']) == 3
    rds.delete_db_subnet_group(DBSubnetGroupName='main')
    with refused('DBSubnetGroupNotFoundFault', 'main'):
        rds.describe_db_subnet_groups(DBSubnetGroupName='main')


def parameter(name, value, method='immediate'):
    return {'ParameterName': name, 'ParameterValue': value, 'ApplyMethod': method}


def test_db_parameter_group(rds):
    rds.create_db_parameter_group(DBParameterGroupName='tuned', DBParameterGroupFamily='postgres15', Description='x')
    rds.modify_db_parameter_group(DBParameterGroupName='tuned', Parameters=[
        parameter('work_mem', '8192'), parameter('max_connections', '50', 'pending-reboot')])
    pages = rds.get_paginator('describe_db_parameters')
    user = [item for page in pages.paginate(DBParameterGroupName='tuned', Source='user')
            for item in page['Parameters']]
    assert {(item['ParameterName'], item['ParameterValue'], item['ApplyMethod']) for item in user} == {
        ('work_mem', '8192', 'immediate'), ('max_connections', '50', 'pending-reboot')}
    every = [item['ParameterName'] for page in pages.paginate(
        DBParameterGroupName='tuned', PaginationConfig={'PageSize': 20}) for item in page['Parameters']]
    assert len(every) == len(set(every)) > 100
    rds.reset_db_parameter_group(DBParameterGroupName='tuned', Parameters=[parameter('work_mem', '8192')])
    user = rds.describe_db_parameters(DBParameterGroupName='tuned', Source='user')['Parameters']
    assert [item['ParameterName'] for item in user] == ['max_connections']
    rds.delete_db_parameter_group(DBParameterGroupName='tuned')
    with refused('DBParameterGroupNotFound', 'tuned'):
        rds.describe_db_parameter_groups(DBParameterGroupName='tuned')


@pytest.mark.parametrize('name, value, pattern', [
    ('fsync', 'off', r'fsync cannot be modified: .{10}'),
    ('full_page_writes', 'off', r'full_page_writes cannot be modified: .{10}'),
    ('synchronous_standby_names', '*', r'synchronous_standby_names cannot be modified: .{10}'),
    ('restart_after_crash', 'on', r'restart_after_crash cannot be modified: .{10}'),
    ('primary_conninfo', 'host=x', r'primary_conninfo cannot be modified: .{10}'),
    ('recovery_target_time', 'now', r'recovery_target_time cannot be modified: .{10}'),
    ('no_such_thing', '1', 'Could not find parameter with name: no_such_thing'),
    ('work_mem', 'much', 'much.*allowed values are: [0-9]'),
    ('work_mem', '1', 'allowed values are: 64-'),
    ('log_statement', 'some', 'allowed values are: .*ddl'),
])
def test_parameters_that_are_refused(rds, name, value, pattern):
    group = 'refusing'
    rds.create_db_parameter_group(DBParameterGroupName=group, DBParameterGroupFamily='postgres15', Description='x')
    try:
        with pytest.raises(ClientError, match=pattern):
            rds.modify_db_parameter_group(DBParameterGroupName=group, Parameters=[
                parameter('random_page_cost', '1.5'), parameter(name, value, 'pending-reboot')])
        assert rds.describe_db_parameters(DBParameterGroupName=group, Source='user')['Parameters'] == []
    finally:
        rds.delete_db_parameter_group(DBParameterGroupName=group)


def test_static_parameters_are_not_immediate(rds):
    rds.create_db_parameter_group(DBParameterGroupName='static', DBParameterGroupFamily='postgres15', Description='x')
    with refused('InvalidParameterCombination', 'static parameter: max_connections'):
        rds.modify_db_parameter_group(DBParameterGroupName='static', Parameters=[parameter('max_connections', '50')])
    rds.delete_db_parameter_group(DBParameterGroupName='static')
    with refused('InvalidParameterValue', 'default group'):
        rds.modify_db_parameter_group(DBParameterGroupName='default.postgres15',
                                      Parameters=[parameter('work_mem', '8192')])


def test_cache_groups(cache):
    cache.create_cache_subnet_group(CacheSubnetGroupName='rows', CacheSubnetGroupDescription='x', SubnetIds=SUBNETS)
    cache.modify_cache_subnet_group(CacheSubnetGroupName='rows', CacheSubnetGroupDescription='y')
    group, = cache.describe_cache_subnet_groups(CacheSubnetGroupName='rows')['CacheSubnetGroups']
    assert group['CacheSubnetGroupDescription'] == 'y'
    assert len(group['Subnets']) == 2
    cache.delete_cache_subnet_group(CacheSubnetGroupName='rows')
    with refused('CacheSubnetGroupNotFoundFault', 'rows'):
        cache.describe_cache_subnet_groups(CacheSubnetGroupName='rows')

    cache.create_cache_parameter_group(CacheParameterGroupName='lru', CacheParameterGroupFamily='redis7',
                                       Description='x')
    cache.modify_cache_parameter_group(CacheParameterGroupName='lru', ParameterNameValues=[
        {'ParameterName': 'maxmemory-policy', 'ParameterValue': 'allkeys-lru'}])
    user, = cache.describe_cache_parameters(CacheParameterGroupName='lru', Source='user')['Parameters']
    assert (user['ParameterName'], user['ParameterValue']) == ('maxmemory-policy', 'allkeys-lru')
    cache.delete_cache_parameter_group(CacheParameterGroupName='lru')
    with refused('CacheParameterGroupNotFound', 'lru'):
        cache.describe_cache_parameter_groups(CacheParameterGroupName='lru')


def test_security_group(ec2):
    vpc = ec2.describe_vpcs()['Vpcs'][0]['VpcId']
    group = ec2.create_security_group(GroupName='web', Description='from the web', VpcId=vpc)['GroupId']
    rule = {'IpProtocol': 'tcp', 'FromPort': 5432, 'ToPort': 5432,
            'IpRanges': [{'CidrIp': '10.0.0.0/16', 'Description': 'the office'}]}
    made, = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])['SecurityGroupRules']
    with refused('InvalidPermission.Duplicate', '10.0.0.0/16'):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    seen, = ec2.describe_security_groups(GroupIds=[group])['SecurityGroups']
    assert seen['IpPermissions'][0]['IpRanges'] == rule['IpRanges']
    ids = [item['SecurityGroupRuleId'] for item in ec2.describe_security_group_rules(
        Filters=[{'Name': 'group-id', 'Values': [group]}])['SecurityGroupRules'] if not item['IsEgress']]
    assert ids == [made['SecurityGroupRuleId']]
    assert ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])['Return']
    seen, = ec2.describe_security_groups(GroupIds=[group])['SecurityGroups']
    assert seen['IpPermissions'] == []
    ec2.create_tags(Resources=[group], Tags=[{'Key': 'Name', 'Value': 'web'}])
    seen, = ec2.describe_security_groups(Filters=[{'Name': 'tag:Name', 'Values': ['web']}])['SecurityGroups']
    assert seen['GroupId'] == group
    ec2.delete_security_group(GroupId=group)
    with refused('InvalidGroup.NotFound', group):
        ec2.describe_security_groups(GroupIds=[group])


# ---- secrets -----------------------------------------------------------------------------------


def test_secret(secrets):
    first = secrets.create_secret(Name='app/db', SecretString='{"username":"a"}', Description='x')
    assert re.fullmatch(r'arn:aws:secretsmanager:.*:secret:app/db-[A-Za-z0-9]{6}', first['ARN'])
    second = secrets.put_secret_value(SecretId='app/db', SecretString='{"username":"b"}')
    assert secrets.get_secret_value(SecretId=first['ARN'])['SecretString'] == '{"username":"b"}'
    before = secrets.get_secret_value(SecretId='app/db', VersionStage='AWSPREVIOUS')
    assert (before['VersionId'], before['SecretString']) == (first['VersionId'], '{"username":"a"}')
    versions = secrets.list_secret_version_ids(SecretId='app/db')['Versions']
    assert {item['VersionId']: item['VersionStages'] for item in versions} == {
        first['VersionId']: ['AWSPREVIOUS'], second['VersionId']: ['AWSCURRENT']}
    secrets.update_secret(SecretId='app/db', Description='y')
    assert secrets.describe_secret(SecretId='app/db')['Description'] == 'y'
    secrets.delete_secret(SecretId='app/db', RecoveryWindowInDays=7)
    with refused('InvalidRequestException', 'deletion'):
        secrets.get_secret_value(SecretId='app/db')
    secrets.restore_secret(SecretId='app/db')
    secrets.delete_secret(SecretId='app/db', ForceDeleteWithoutRecovery=True)
    with refused('ResourceNotFoundException', 'secret'):
        secrets.describe_secret(SecretId='app/db')


def test_secrets_are_not_in_the_files(plain, secrets):
    secrets.create_secret(Name='hidden', SecretString='findable-Secret-5117')
    text = b''.join(path.read_bytes() for path in plain.data.glob('weir*'))
    assert b'hidden' in text
    assert b'findable-Secret-5117' not in text
    secrets.delete_secret(SecretId='hidden', ForceDeleteWithoutRecovery=True)


# ---- databases, proxies, caches ------------------------------------------------------------------


def test_instance_replica_and_proxy(rds, secrets, plain, tmp_path):
    with instances(rds, 'first', 'second', proxy='pool'):
        made = rds.create_db_instance(**instance_arguments('First', DBName='app_database'))['DBInstance']
        assert (made['DBInstanceIdentifier'], made['DBInstanceStatus']) == ('first', 'creating')
        replica = rds.create_db_instance_read_replica(DBInstanceIdentifier='second',
                                                      SourceDBInstanceIdentifier='first')['DBInstance']
        assert replica['ReadReplicaSourceDBInstanceIdentifier'] == 'first'
        secret = secrets.create_secret(Name='proxied', SecretString=json.dumps(
            {'username': 'dbadmin', 'password': PASSWORD}))['ARN']
        use_proxy(rds, secret)
        for name in ('first', 'second'):
            rds.get_waiter('db_instance_available').wait(
                DBInstanceIdentifier=name, WaiterConfig={'Delay': 1, 'MaxAttempts': 120})
        log_in_by_md5(newer_rds(plain, tmp_path), plain, secret)
        first, = rds.describe_db_instances(DBInstanceIdentifier='first')['DBInstances']
        assert first['ReadReplicaDBInstanceIdentifiers'] == ['second']
        assert first['Endpoint']['Port'] == 5432
        with refused('InvalidDBInstanceState', 'read replicas.*second'):
            rds.delete_db_instance(DBInstanceIdentifier='first', SkipFinalSnapshot=True)
        changed = rds.modify_db_instance(DBInstanceIdentifier='first', MaxAllocatedStorage=50,
                                         ApplyImmediately=True)['DBInstance']
        assert changed['MaxAllocatedStorage'] == 50
        rds.get_waiter('db_instance_available').wait(
            DBInstanceIdentifier='first', WaiterConfig={'Delay': 1, 'MaxAttempts': 60})
    secrets.delete_secret(SecretId='proxied', ForceDeleteWithoutRecovery=True)
    events = plain.json('events')
    assert [event['Message'] for event in events if event['SourceIdentifier'] == 'first'][-1] == 'DB instance deleted'


def use_proxy(rds, secret):
    proxy = rds.create_db_proxy(
        DBProxyName='pool', EngineFamily='POSTGRESQL', RoleArn='arn:aws:iam::000000000000:role/weir-proxy',
        VpcSubnetIds=SUBNETS, RequireTLS=True, IdleClientTimeout=600,
        Auth=[{'AuthScheme': 'SECRETS', 'SecretArn': secret, 'IAMAuth': 'DISABLED'}])['DBProxy']
    assert proxy['Status'] == 'creating'
    rds.modify_db_proxy_target_group(DBProxyName='pool', TargetGroupName='default', ConnectionPoolConfig={
        'MaxConnectionsPercent': 80, 'MaxIdleConnectionsPercent': 40, 'ConnectionBorrowTimeout': 30})
    group, = rds.describe_db_proxy_target_groups(DBProxyName='pool')['TargetGroups']
    assert group['ConnectionPoolConfig']['MaxConnectionsPercent'] == 80
    rds.register_db_proxy_targets(DBProxyName='pool', DBInstanceIdentifiers=['first'])
    target, = rds.describe_db_proxy_targets(DBProxyName='pool')['Targets']
    assert target['RdsResourceId'] == 'first'
    with refused('InvalidParameterCombination', 'more than one target'):
        rds.register_db_proxy_targets(DBProxyName='pool', DBInstanceIdentifiers=['second'])
    rds.modify_db_proxy(DBProxyName='pool', IdleClientTimeout=1200)
    proxy, = rds.describe_db_proxies(DBProxyName='pool')['DBProxies']
    assert proxy['IdleClientTimeout'] == 1200


def wait_available(rds, name):
    """No waiter of botocore knows endpoints."""
    def look():
        endpoint, = rds.describe_db_proxy_endpoints(DBProxyEndpointName=name)['DBProxyEndpoints']
        return endpoint['Status'] == 'available' and endpoint
    return wait_until(look, f'{name} is available')


@pytest.fixture
def proxy(rds, secrets):
    """A proxy without a target."""
    secret = secrets.create_secret(Name='of-a-proxy', SecretString=json.dumps(
        {'username': 'dbadmin', 'password': PASSWORD}))['ARN']
    rds.create_db_proxy(
        DBProxyName='bare', EngineFamily='POSTGRESQL', RoleArn='arn:aws:iam::000000000000:role/weir-proxy',
        VpcSubnetIds=SUBNETS, Auth=[{'AuthScheme': 'SECRETS', 'SecretArn': secret, 'IAMAuth': 'DISABLED'}])
    with instances(rds, proxy='bare'):
        yield 'bare'
    secrets.delete_secret(SecretId='of-a-proxy', ForceDeleteWithoutRecovery=True)


def test_proxy_endpoint(rds, ec2, plain, proxy):
    made = rds.create_db_proxy_endpoint(
        DBProxyName=proxy, DBProxyEndpointName='Web', VpcSubnetIds=SUBNETS, TargetRole='READ_WRITE',
        Tags=[{'Key': 'team', 'Value': 'shop'}])['DBProxyEndpoint']
    assert (made['DBProxyEndpointName'], made['Status'], made['IsDefault']) == ('web', 'creating', False)
    assert re.fullmatch(r'arn:aws:rds:[a-z0-9-]+:\d{12}:db-proxy-endpoint:prx-endpoint-[0-9a-f]{17}',
                        made['DBProxyEndpointArn'])
    seen = wait_available(rds, 'web')
    own = rds.describe_db_proxies(DBProxyName=proxy)['DBProxies'][0]['Endpoint']
    assert seen['Endpoint'] not in ('', own)
    assert (seen['TargetRole'], seen['VpcSubnetIds'], seen['DBProxyName']) == ('READ_WRITE', SUBNETS, proxy)
    assert rds.list_tags_for_resource(ResourceName=seen['DBProxyEndpointArn'])['TagList'] == [
        {'Key': 'team', 'Value': 'shop'}]
    assert 'No target is registered' in plain.command('status').stdout
    group = ec2.create_security_group(GroupName='of-web', Description='x')['GroupId']
    changed = rds.modify_db_proxy_endpoint(DBProxyEndpointName='web', VpcSecurityGroupIds=[group])['DBProxyEndpoint']
    assert changed['VpcSecurityGroupIds'] == [group]
    with refused('DBProxyEndpointAlreadyExistsFault', 'web'):
        rds.create_db_proxy_endpoint(DBProxyName=proxy, DBProxyEndpointName='web', VpcSubnetIds=SUBNETS)
    with refused('DBProxyNotFoundFault', 'none'):
        rds.create_db_proxy_endpoint(DBProxyName='none', DBProxyEndpointName='other', VpcSubnetIds=SUBNETS)
    with refused('DependencyViolation', group):
        ec2.delete_security_group(GroupId=group)
    assert rds.delete_db_proxy_endpoint(DBProxyEndpointName='web')['DBProxyEndpoint']['Status'] == 'deleting'
    wait_until(lambda: gone(lambda: rds.describe_db_proxy_endpoints(DBProxyEndpointName='web'),
                            'DBProxyEndpointNotFoundFault'), 'web is deleted')
    ec2.delete_security_group(GroupId=group)
    messages = [event['Message'] for event in rds.describe_events(
        SourceType='db-proxy', SourceIdentifier=proxy)['Events']]
    assert 'RDS created endpoint web for DB proxy bare.' in messages
    assert 'RDS deleted endpoint web for DB proxy bare.' in messages


def newer_rds(plain, folder):
    """A client that knows ClientPasswordAuthType, which Debian's does not yet."""
    path = folder / 'rds/2014-10-31'
    path.mkdir(parents=True)
    members = {'members': {'ClientPasswordAuthType': {'shape': 'String'}}}
    (path / 'service-2.sdk-extras.json').write_text(json.dumps(
        {'version': 1.0, 'merge': {'shapes': {'UserAuthConfig': members, 'UserAuthConfigInfo': members}}}))
    session = botocore.session.Session()
    session.set_config_variable('data_path', str(folder))
    return plain.aws('rds', boto3.Session(botocore_session=session))


def log_in_by_md5(rds, plain, secret):
    """Whoever cannot do md5 is turned away, and whoever can is let in, by the very same password."""
    auth = {'AuthScheme': 'SECRETS', 'SecretArn': secret, 'IAMAuth': 'DISABLED'}
    proxy, = rds.describe_db_proxies(DBProxyName='pool')['DBProxies']
    assert proxy['Auth'][0]['ClientPasswordAuthType'] == 'POSTGRES_SCRAM_SHA_256'
    with refused('InvalidParameterValue', 'MYSQL_NATIVE_PASSWORD'):
        rds.modify_db_proxy(DBProxyName='pool', Auth=[{**auth, 'ClientPasswordAuthType': 'MYSQL_NATIVE_PASSWORD'}])
    login = {'user': 'dbadmin', 'password': PASSWORD, 'dbname': 'app_database'}

    def scram(host):
        """Only SCRAM binds a login to its channel."""
        try:
            plain.postgres(host, channel_binding='require', **login).close()
            return True
        except psycopg.OperationalError as error:
            assert 'channel binding' in str(error)
            return False
    for kind in ('POSTGRES_MD5', 'POSTGRES_SCRAM_SHA_256'):
        rds.modify_db_proxy(DBProxyName='pool', Auth=[{**auth, 'ClientPasswordAuthType': kind}])
        proxy, = rds.describe_db_proxies(DBProxyName='pool')['DBProxies']
        assert proxy['Auth'][0]['ClientPasswordAuthType'] == kind
        wait_until(lambda: scram(proxy['Endpoint']) == (kind != 'POSTGRES_MD5'), f'clients log in by {kind}')
        with plain.postgres(proxy['Endpoint'], **login) as connection:
            assert connection.execute('SELECT current_user').fetchone() == ('dbadmin',)


def test_deletion_protection(rds):
    with instances(rds, 'safe'):
        rds.create_db_instance(**instance_arguments('safe', DeletionProtection=True))
        with refused('InvalidParameterCombination', 'disable deletion protection'):
            rds.delete_db_instance(DBInstanceIdentifier='safe', SkipFinalSnapshot=True)
        rds.modify_db_instance(DBInstanceIdentifier='safe', DeletionProtection=False, ApplyImmediately=True)
        with refused('InvalidParameterCombination', 'FinalDBSnapshotIdentifier is required'):
            rds.delete_db_instance(DBInstanceIdentifier='safe')
        with refused('InvalidParameterCombination', 'final snapshot last'):
            rds.delete_db_instance(DBInstanceIdentifier='safe', FinalDBSnapshotIdentifier='last')
        assert rds.describe_db_instances(DBInstanceIdentifier='safe')['DBInstances']


def test_replication_group(cache):
    token = '0123456789abcdef-token'
    cache.create_replication_group(
        ReplicationGroupId='Cache', ReplicationGroupDescription='x', Engine='redis', CacheNodeType='cache.t3.micro',
        NumCacheClusters=2, AutomaticFailoverEnabled=True, TransitEncryptionEnabled=True, AuthToken=token)
    available = cache.get_waiter('replication_group_available')
    available.wait(ReplicationGroupId='cache', WaiterConfig={'Delay': 1, 'MaxAttempts': 120})
    group, = cache.describe_replication_groups(ReplicationGroupId='cache')['ReplicationGroups']
    assert group['MemberClusters'] == ['cache-001', 'cache-002']
    assert group['NodeGroups'][0]['PrimaryEndpoint']['Port'] == 6379
    assert group['AuthTokenEnabled']
    assert token not in json.dumps(group, default=str)
    cache.modify_replication_group(ReplicationGroupId='cache', ReplicationGroupDescription='y', ApplyImmediately=True)
    cache.increase_replica_count(ReplicationGroupId='cache', NewReplicaCount=2, ApplyImmediately=True)
    available.wait(ReplicationGroupId='cache', WaiterConfig={'Delay': 1, 'MaxAttempts': 120})
    group, = cache.describe_replication_groups(ReplicationGroupId='cache')['ReplicationGroups']
    assert group['Description'] == 'y'
    assert group['MemberClusters'] == ['cache-001', 'cache-002', 'cache-003']
    cache.delete_replication_group(ReplicationGroupId='cache')
    wait_until(lambda: gone(lambda: cache.describe_replication_groups(ReplicationGroupId='cache'),
                            'ReplicationGroupNotFoundFault'), 'the replication group is deleted')


# ---- what is refused -----------------------------------------------------------------------------


def test_a_wrong_key(plain):
    client = plain.aws('rds', aws_secret_access_key='wrong' * 8)
    with refused('SignatureDoesNotMatch', 'signature'):
        client.describe_db_instances()
    client = plain.aws('secretsmanager', aws_secret_access_key='wrong' * 8)
    with refused('InvalidSignatureException', 'signature'):
        client.list_secrets()
    client = plain.aws('rds', aws_access_key_id='AKIAAAAAAAAAAAAAAAAA')
    with refused('InvalidClientTokenId', 'token'):
        client.describe_db_instances()


def test_versions_that_are_not_installed(rds):
    installed = {item['EngineVersion'] for item in rds.describe_db_engine_versions(
        Engine='postgres')['DBEngineVersions']}
    with pytest.raises(ClientError) as caught:
        rds.create_db_instance(**instance_arguments('old', EngineVersion='14.5'))
    message = caught.value.response['Error']['Message']
    assert '14.5' in message
    assert all(version in message for version in installed)


@pytest.mark.parametrize('option', [
    {'EnableCloudwatchLogsExports': ['postgresql']}, {'Domain': 'corp'}, {'StorageType': 'tape'},
    {'CharacterSetName': 'latin1'}, {'TdeCredentialArn': 'x'},
    {'Timezone': 'UTC'}, {'DBClusterIdentifier': 'c'}, {'NetworkType': 'DUAL'}])
def test_options_that_are_not_supported(rds, option):
    name, = option
    with pytest.raises(ClientError, match=f'{name}|storage type'):
        rds.create_db_instance(**instance_arguments('odd', **option))
    with refused('DBInstanceNotFound', 'odd'):
        rds.describe_db_instances(DBInstanceIdentifier='odd')


@pytest.mark.parametrize('arguments, pattern', [
    ({'MasterUsername': 'rdsadmin'}, 'rdsadmin'), ({'MasterUsername': 'pg_me'}, 'pg_me'),
    ({'MasterUsername': '1st'}, 'begin with a letter'), ({'MasterUserPassword': 'short'}, '8'),
    ({'MasterUserPassword': 'with a space'}, 'printable'), ({'Engine': 'mysql'}, 'mysql'),
    ({'DBInstanceClass': 'db.huge.9xlarge'}, 'db.huge.9xlarge'), ({'AllocatedStorage': 1}, 'AllocatedStorage'),
    ({'DBInstanceIdentifier': 'a--b'}, 'DBInstanceIdentifier'), ({'DBName': 'select from'}, 'DBName'),
    ({'DBSubnetGroupName': 'none'}, 'none'), ({'DBParameterGroupName': 'none'}, 'none'),
    ({'VpcSecurityGroupIds': ['sg-none']}, 'sg-none'), ({'Port': 80}, '1150'),
    ({'PreferredBackupWindow': 'at night'}, 'window'), ({'MonitoringInterval': 7}, 'MonitoringInterval')])
def test_values_that_are_wrong(rds, arguments, pattern):
    with pytest.raises(ClientError, match=pattern):
        rds.create_db_instance(**{**instance_arguments('odd'), **arguments})
    assert rds.describe_db_instances()['DBInstances'] == []


def test_operations_that_are_not_supported(rds, cache, secrets, ec2):
    with pytest.raises(ClientError, match='CreateDBCluster'):
        rds.create_db_cluster(DBClusterIdentifier='c', Engine='aurora-postgresql')
    with pytest.raises(ClientError, match='CreateDBSnapshot'):
        rds.create_db_snapshot(DBSnapshotIdentifier='s', DBInstanceIdentifier='i')
    with pytest.raises(ClientError, match='CreateUser'):
        cache.create_user(UserId='u', UserName='u', Engine='redis', AccessString='on')
    with pytest.raises(ClientError, match='ReplicateSecretToRegions'):
        secrets.replicate_secret_to_regions(SecretId='x', AddReplicaRegions=[{'Region': 'us-east-1'}])
    with pytest.raises(ClientError, match='RunInstances'):
        ec2.run_instances(ImageId='ami-1', MinCount=1, MaxCount=1)
    with pytest.raises(ClientError, match='dynamodb|DynamoDB|ListTables'):
        boto3.client('dynamodb', **client_options(rds)).list_tables()


def client_options(client):
    """What another service's client needs to reach the same endpoint."""
    credentials = client._request_signer._credentials
    return {'endpoint_url': client.meta.endpoint_url, 'region_name': client.meta.region_name,
            'aws_access_key_id': credentials.access_key, 'aws_secret_access_key': credentials.secret_key,
            'verify': client._endpoint.http_session._verify}


# ---- awscli --------------------------------------------------------------------------------------


@pytest.fixture
def aws(plain):
    """Runs Debian's awscli against the tier; its output as JSON, or the completed process."""
    if not AWSCLI.exists():
        pytest.skip('awscli is not installed')

    def run(*words, check=True, **env):
        done = plain.awscli('--output', 'json', *words, check=check, **env)
        if not check:
            return done
        return json.loads(done.stdout) if done.stdout.strip() else None
    return run


def test_awscli_groups_and_rules(aws):
    aws('rds', 'create-db-subnet-group', '--db-subnet-group-name', 'cli', '--db-subnet-group-description', 'x',
        '--subnet-ids', *SUBNETS)
    aws('rds', 'create-db-parameter-group', '--db-parameter-group-name', 'cli', '--db-parameter-group-family',
        'postgres15', '--description', 'x')
    aws('rds', 'modify-db-parameter-group', '--db-parameter-group-name', 'cli', '--parameters',
        'ParameterName=work_mem,ParameterValue=8192,ApplyMethod=immediate')
    user = aws('rds', 'describe-db-parameters', '--db-parameter-group-name', 'cli', '--source', 'user')['Parameters']
    assert [(item['ParameterName'], item['ParameterValue']) for item in user] == [('work_mem', '8192')]
    group = aws('ec2', 'create-security-group', '--group-name', 'cli', '--description', 'x')['GroupId']
    aws('ec2', 'authorize-security-group-ingress', '--group-id', group, '--protocol', 'tcp', '--port', '5432',
        '--cidr', '127.0.0.0/8')
    rules = aws('ec2', 'describe-security-groups', '--group-ids', group)['SecurityGroups'][0]['IpPermissions']
    assert [(rule['FromPort'], rule['IpRanges'][0]['CidrIp']) for rule in rules] == [(5432, '127.0.0.0/8')]
    aws('ec2', 'delete-security-group', '--group-id', group)
    aws('rds', 'delete-db-parameter-group', '--db-parameter-group-name', 'cli')
    aws('rds', 'delete-db-subnet-group', '--db-subnet-group-name', 'cli')


def test_awscli_secret(aws):
    made = aws('secretsmanager', 'create-secret', '--name', 'cli', '--secret-string', 'one')
    aws('secretsmanager', 'put-secret-value', '--secret-id', 'cli', '--secret-string', 'two')
    assert aws('secretsmanager', 'get-secret-value', '--secret-id', made['ARN'])['SecretString'] == 'two'
    aws('secretsmanager', 'delete-secret', '--secret-id', 'cli', '--force-delete-without-recovery')
    names = [item['Name'] for item in aws('secretsmanager', 'list-secrets')['SecretList']]
    assert 'cli' not in names


def test_awscli_proxy_endpoint(aws, rds, proxy):
    aws('rds', 'create-db-proxy-endpoint', '--db-proxy-name', proxy, '--db-proxy-endpoint-name', 'cli',
        '--vpc-subnet-ids', *SUBNETS)
    wait_available(rds, 'cli')
    changed = aws('rds', 'modify-db-proxy-endpoint', '--db-proxy-endpoint-name', 'cli', '--vpc-security-group-ids',
                  'sg-00000000000000001')['DBProxyEndpoint']
    assert changed['VpcSecurityGroupIds'] == ['sg-00000000000000001']
    names = [item['DBProxyEndpointName'] for item in aws(
        'rds', 'describe-db-proxy-endpoints', '--db-proxy-name', proxy)['DBProxyEndpoints']]
    assert names == ['cli']
    aws('rds', 'delete-db-proxy-endpoint', '--db-proxy-endpoint-name', 'cli')
    wait_until(lambda: aws('rds', 'describe-db-proxy-endpoints')['DBProxyEndpoints'] == [], 'cli is deleted')


def test_awscli_instance_and_cache(aws, rds):
    with instances(rds, 'cli'):
        aws('rds', 'create-db-instance', '--db-instance-identifier', 'cli', '--engine', 'postgres',
            '--db-instance-class', 'db.t3.micro', '--allocated-storage', '20', '--master-username', 'dbadmin',
            '--master-user-password', PASSWORD)
        aws('elasticache', 'create-replication-group', '--replication-group-id', 'cli',
            '--replication-group-description', 'x', '--cache-node-type', 'cache.t3.micro')
        aws('rds', 'modify-db-instance', '--db-instance-identifier', 'cli', '--backup-retention-period', '3',
            '--apply-immediately')
        seen, = aws('rds', 'describe-db-instances', '--db-instance-identifier', 'cli')['DBInstances']
        assert seen['BackupRetentionPeriod'] == 3
        aws('elasticache', 'delete-replication-group', '--replication-group-id', 'cli')
        aws('rds', 'delete-db-instance', '--db-instance-identifier', 'cli', '--skip-final-snapshot')
    wait_until(lambda: aws('elasticache', 'describe-replication-groups')['ReplicationGroups'] == [],
               'the replication group is deleted')


def test_awscli_with_a_wrong_key(aws):
    done = aws('rds', 'describe-db-instances', check=False, AWS_SECRET_ACCESS_KEY='wrong' * 8)
    assert done.returncode != 0
    assert 'SignatureDoesNotMatch' in done.stderr
