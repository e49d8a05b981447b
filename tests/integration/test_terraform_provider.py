"""Terraform's AWS provider itself against the API: it makes an endpoint of a proxy, finds nothing to change, changes it,
and removes it."""
import json
import os

import pytest

from support.blocks import proxy, secret
from support.terraform import terraform_in
from support.tier import tier_of
from support.watch import wait_until

# Each command starts the provider, which alone takes half a minute of CPU.
pytestmark = [pytest.mark.timeout(1800), pytest.mark.skipif(
    not os.environ.get('WEIR_CONFORMANCE'), reason='takes minutes: make conformance')]

MODULE = '''
provider "aws" {
  region                      = "%(AWS_REGION)s"
  access_key                  = "%(AWS_ACCESS_KEY_ID)s"
  secret_key                  = "%(AWS_SECRET_ACCESS_KEY)s"
  custom_ca_bundle            = "%(AWS_CA_BUNDLE)s"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
  endpoints {
    rds = "%(AWS_ENDPOINT_URL)s"
  }
}

resource "aws_db_proxy_endpoint" "web" {
  db_proxy_name          = "pool"
  db_proxy_endpoint_name = "web"
  vpc_subnet_ids         = ["subnet-0000000000000000a", "subnet-0000000000000000b"]
  vpc_security_group_ids = %(groups)s

  tags = {
    team = "%(team)s"
  }
}

output "endpoint" {
  value = aws_db_proxy_endpoint.web.endpoint
}
'''


@pytest.fixture(scope='module')
def tier(weir, tmp_path_factory):
    file = tmp_path_factory.mktemp('proxy') / 'main.tf'
    file.write_text(secret('login', 'dbadmin', 'password-1') + proxy('pool', 'login'))
    with tier_of(weir, file) as shared:
        yield shared


def succeeds(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_endpoint_of_a_proxy(tier, tmp_path):
    terraform = terraform_in(tmp_path)
    rds = tier.aws('rds')
    group = tier.aws('ec2').create_security_group(GroupName='other', Description='x')['GroupId']
    module = tmp_path / 'module/main.tf'

    def apply(team, *groups):
        module.write_text(MODULE % {**tier.env(), 'team': team, 'groups': json.dumps(groups)})
        succeeds(terraform('apply', '-auto-approve', '-input=false', '-no-color'))
        endpoint, = rds.describe_db_proxy_endpoints()['DBProxyEndpoints']
        tags = rds.list_tags_for_resource(ResourceName=endpoint['DBProxyEndpointArn'])['TagList']
        return endpoint, [(tag['Key'], tag['Value']) for tag in tags]

    module.write_text(MODULE % {**tier.env(), 'team': '', 'groups': '[]'})
    succeeds(terraform('init', '-input=false', '-no-color'))
    made, tags = apply('shop', 'sg-00000000000000001')
    assert (made['Status'], made['TargetRole'], tags) == ('available', 'READ_WRITE', [('team', 'shop')])
    assert json.loads(succeeds(terraform('output', '-json')))['endpoint']['value'] == made['Endpoint']
    assert 'No changes.' in succeeds(terraform('plan', '-detailed-exitcode', '-input=false', '-no-color'))
    changed, tags = apply('web', group)
    assert changed['DBProxyEndpointArn'] == made['DBProxyEndpointArn']
    assert (changed['VpcSecurityGroupIds'], tags) == ([group], [('team', 'web')])
    succeeds(terraform('destroy', '-auto-approve', '-input=false', '-no-color'))
    wait_until(lambda: rds.describe_db_proxy_endpoints()['DBProxyEndpoints'] == [], 'it is gone')
