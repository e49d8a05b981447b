"""The codecs of src/aws against botocore's: what one writes, the other reads, for every operation.

Values are made from botocore's own models, every member once and then at random (with a fixed
seed), with the texts that break naive codecs. Members that only newer clients know are not in
these models; the unit tests look at those.
"""
import base64
import datetime
import json
import os
import random
import subprocess
import urllib.parse
from pathlib import Path

import botocore.parsers
import botocore.serialize
import botocore.session
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get('WEIR_BUILD', ROOT / 'build'))
TEXTS = ['', 'a', 'ä€😀', '<&>"\'', 'a b+c%20', ' lead', 'x\ny\tz', 'a=b&c=d', '0', 'true', '\r']
SERVICES = ['rds', 'elasticache', 'secretsmanager', 'ec2', 'sts']
ROUNDS = 4
# Lists that the tables leave out of replies when they are empty.
OMITTED_WHEN_EMPTY = {'NodeGroups'}


class Wire:
    """The codecs, behind a pipe."""

    def __init__(self):
        self.process = subprocess.Popen([BUILD / 'tests' / 'integration' / 'aws_wire'],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        encoding='utf-8')

    def __call__(self, verb, service='', operation='', **more):
        command = {'do': verb, 'service': service, 'operation': operation, **more}
        self.process.stdin.write(json.dumps(command) + '\n')
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(10) == 0


@pytest.fixture(scope='module')
def wire():
    codecs = Wire()
    yield codecs
    codecs.close()


@pytest.fixture(scope='module')
def models():
    session = botocore.session.Session()
    return {name: session.get_service_model(name) for name in SERVICES}


def operations(wire, models):
    for service, names in wire('list').items():
        for name in names:
            if service in models:
                yield service, models[service].operation_model(name)


class Maker:
    """Values by shape. `full`: every member, one item a list; otherwise at random."""

    def __init__(self, seed, full):
        self.random = random.Random(seed)
        self.full = full

    def make(self, shape):
        return getattr(self, 'make_' + shape.type_name)(shape)

    def make_structure(self, shape):
        made = {name: self.make(member) for name, member in shape.members.items()
                if self.full or name in shape.required_members or self.random.random() < 0.4}
        for name in shape.required_members:
            if made[name] == []:  # some forms cannot say it, and then it is missing
                made[name] = [self.make(shape.members[name].member)]
        return made

    def make_list(self, shape):
        count = 1 if self.full else self.random.choice([0, 1, 2, 12])
        return [self.make(shape.member) for _ in range(count)]

    def make_map(self, shape):
        return {f'k{i}': self.make(shape.value) for i in range(self.random.randrange(3))}

    def make_string(self, shape):
        return self.random.choice(shape.enum or TEXTS)

    def make_integer(self, _):
        return self.random.choice([0, 1, -1, 2**31 - 1, -2**31])

    def make_long(self, _):
        return self.random.choice([0, 2**53 + 1, -2**63])

    def make_boolean(self, _):
        return self.random.choice([True, False])

    def make_double(self, _):
        return self.random.choice([0.0, 0.1, 1e21, -2.5])

    make_float = make_double

    def make_timestamp(self, _):
        return datetime.datetime(2026, 1, 31, 12, 0, 0, self.random.choice([0, 123000]),
                                 datetime.timezone.utc)

    def make_blob(self, _):
        return bytes(self.random.randrange(256) for _ in range(self.random.randrange(5)))


def tree(shape, value):
    """What Weir's value tree holds for a value of botocore's."""
    if shape.type_name == 'structure':
        return {name: tree(shape.members[name], item) for name, item in value.items()}
    if shape.type_name == 'list':
        return [tree(shape.member, item) for item in value]
    if shape.type_name == 'map':
        return {key: tree(shape.value, item) for key, item in value.items()}
    if shape.type_name == 'timestamp':
        return round(value.timestamp() * 1000)
    if shape.type_name == 'blob':
        return base64.b64encode(value).decode()
    return value


def without(shape, value, drop):
    """The value without the members for which drop(name, shape, item) holds."""
    if shape.type_name == 'structure':
        return {name: without(shape.members[name], item, drop) for name, item in value.items()
                if not drop(name, shape.members[name], item)}
    if shape.type_name == 'list':
        return [without(shape.member, item, drop) for item in value
                if not drop('', shape.member, item)]
    if shape.type_name == 'map':
        return {key: without(shape.value, item, drop) for key, item in value.items()}
    return value


def as_sent(model, shape, value):
    """The value without what a form cannot say: structures without members, and for ec2 lists
    without items."""
    lost = {'query': ('structure',), 'ec2': ('structure', 'list')}.get(
        model.metadata['protocol'], ())
    while True:
        smaller = without(shape, value, lambda _, kind, item: kind.type_name in lost and not item)
        if smaller == value:
            return value
        value = smaller


def values(shape, name):
    if shape is None:
        return
    yield Maker(name, True).make(shape)
    for number in range(ROUNDS):
        yield Maker(f'{name} {number}', False).make(shape)


def serialize(model, value, operation):
    serializer = botocore.serialize.create_serializer(model.metadata['protocol'], False)
    return serializer.serialize_to_request(value, operation)


def body_of(request):
    if isinstance(request['body'], dict):
        return urllib.parse.urlencode(request['body'])
    return request['body'].decode()


def test_our_server_reads_what_botocore_sends(wire, models):
    checked = 0
    for service, operation in operations(wire, models):
        shape = operation.input_shape
        for value in values(shape, operation.name):
            value = as_sent(models[service], shape, value)
            body = body_of(serialize(models[service], value, operation))
            reply = wire('input_parse', service, operation.name, body=body)
            assert reply.get('input') == tree(shape, value), (operation.name, body, reply)
            assert reply['unknown'] == [], (operation.name, body)
            checked += 1
    assert checked > 500


def test_our_client_sends_what_botocore_sends(wire, models):
    for service, operation in operations(wire, models):
        shape = operation.input_shape
        for value in values(shape, operation.name):
            theirs = body_of(serialize(models[service], value, operation))
            ours = wire('input_format', service, operation.name, value=tree(shape, value))
            assert 'body' in ours, (operation.name, ours)
            if models[service].metadata['protocol'] == 'json':
                assert json.loads(ours['body']) == json.loads(theirs), operation.name
            else:
                assert pairs(ours['body']) == pairs(theirs), operation.name


def pairs(form):
    """A form's pairs; times without the fraction, which botocore drops where it is zero."""
    return sorted((name, value.replace('.000Z', 'Z').replace('.123Z', '.123000Z'))
                  for name, value in urllib.parse.parse_qsl(form, keep_blank_values=True))


def parse_reply(model, body, operation, status=200):
    parser = botocore.parsers.create_parser(model.metadata['protocol'])
    reply = {'body': body.encode(), 'status_code': status, 'headers': {}}
    return parser.parse(reply, operation.output_shape)


def empty_to_absent(value):
    """botocore reads an empty structure as None or {} depending on the protocol."""
    if isinstance(value, dict):
        items = {key: empty_to_absent(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if item not in (None, {})}
    if isinstance(value, list):
        return [empty_to_absent(item) or {} if isinstance(item, dict) else item for item in value]
    return value


def test_botocore_reads_what_our_server_replies(wire, models):
    checked = 0
    for service, operation in operations(wire, models):
        shape = operation.output_shape
        for value in values(shape, operation.name):
            value = without(shape, value, lambda name, _, item: name in OMITTED_WHEN_EMPTY
                            and not item)
            reply = wire('output_format', service, operation.name, value=tree(shape, value))
            assert 'body' in reply, (operation.name, reply)
            parsed = parse_reply(models[service], reply['body'], operation)
            parsed.pop('ResponseMetadata')
            assert empty_to_absent(tree(shape, parsed)) == \
                empty_to_absent(tree(shape, value)), operation.name
            checked += 1
    assert checked > 400


def test_our_client_reads_what_our_server_replies(wire, models):
    for service, operation in operations(wire, models):
        shape = operation.output_shape
        for value in values(shape, operation.name):
            value = without(shape, value, lambda name, _, item: name in OMITTED_WHEN_EMPTY
                            and not item)
            body = wire('output_format', service, operation.name, value=tree(shape, value))['body']
            reply = wire('output_parse', service, operation.name, body=body)
            assert reply.get('output') == tree(shape, value), (operation.name, reply)


def test_botocore_reads_our_faults(wire, models):
    listed = wire('list')
    for service, operation in operations(wire, models):
        for name in listed[service][operation.name] + ['InvalidParameterValue', 'InternalFailure']:
            fault = wire('fault_format', service, operation.name, name=name, message='a <b> ä')
            status = fault['fault']['status']
            parsed = parse_reply(models[service], fault['body'], operation, status)
            assert parsed['Error']['Code'] == fault['fault']['code']
            assert parsed['Error']['Message'] == 'a <b> ä'
            known = models[service].shape_for_error_code(fault['fault']['code']) \
                if models[service].error_shapes else None
            assert name in ('InvalidParameterValue', 'InternalFailure') or known is not None


def test_operations_without_output(wire, models):
    for service, operation in operations(wire, models):
        if operation.output_shape is None:
            body = wire('output_format', service, operation.name, value={})['body']
            parsed = parse_reply(models[service], body, operation)
            assert parsed['ResponseMetadata'].get('RequestId', 'id-1') == 'id-1'
