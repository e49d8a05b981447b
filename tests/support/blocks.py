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
