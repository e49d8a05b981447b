"""Terraform blocks for tests that need some resource, whichever."""
import json


def block(kind, label, **attributes):
    width = max(map(len, attributes))
    lines = [f'  {name:{width}} = {json.dumps(value)}' for name, value in attributes.items()]
    return '\n'.join([f'resource "{kind}" "{label}" {{', *lines, '}', ''])


def db_instance(name='main', **attributes):
    """The smallest instance, of dbadmin with password-1, and what the caller wants of it beside."""
    return block('aws_db_instance', name, **{
        'identifier': name, 'engine': 'postgres', 'instance_class': 'db.t3.micro', 'allocated_storage': 20,
        'username': 'dbadmin', 'password': 'password-1', 'skip_final_snapshot': True, **attributes})


def cache(name='cache', nodes=1):
    return block('aws_elasticache_replication_group', name, replication_group_id=name, description=name,
                 node_type='cache.t3.micro', num_cache_clusters=nodes)


def secret(name, user, password):
    return f'''
resource "aws_secretsmanager_secret" "{name}" {{
  name = "{name}"
}}

resource "aws_secretsmanager_secret_version" "{name}" {{
  secret_id     = aws_secretsmanager_secret.{name}.id
  secret_string = jsonencode({{ username = "{user}", password = "{password}" }})
}}
'''


def proxy(name, *secrets, more=''):
    """A proxy for the roles of these secrets, as secret() names them."""
    auth = ''.join(f'''
  auth {{
    auth_scheme = "SECRETS"
    secret_arn  = aws_secretsmanager_secret.{label}.arn
  }}
''' for label in secrets)
    return f'''
resource "aws_db_proxy" "{name}" {{
  name           = "{name}"
  engine_family  = "POSTGRESQL"
  role_arn       = "arn:aws:iam::000000000000:role/proxy"
  vpc_subnet_ids = ["subnet-0000000000000000a", "subnet-0000000000000000b"]
  {more}{auth}}}
'''
