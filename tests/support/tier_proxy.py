"""The proxy `pool` of a tier, before one of its instances."""
import json

from support.inside import PASSWORD

SUBNETS = ['subnet-0000000000000000a', 'subnet-0000000000000000b']


def create_proxy(tier, instance):
    """It lets the instance's master user in."""
    rds = tier.aws('rds')
    secret = tier.aws('secretsmanager').create_secret(Name='login', SecretString=json.dumps(
        {'username': 'dbadmin', 'password': PASSWORD}))['ARN']
    rds.create_db_proxy(
        DBProxyName='pool', EngineFamily='POSTGRESQL', RoleArn='arn:aws:iam::000000000000:role/weir-proxy',
        VpcSubnetIds=SUBNETS, Auth=[{'AuthScheme': 'SECRETS', 'SecretArn': secret, 'IAMAuth': 'DISABLED'}])
    rds.register_db_proxy_targets(DBProxyName='pool', DBInstanceIdentifiers=[instance])


def proxy_endpoint(rds):
    """False until it is available."""
    proxy = rds.describe_db_proxies(DBProxyName='pool')['DBProxies'][0]
    return proxy['Status'] == 'available' and proxy['Endpoint']
