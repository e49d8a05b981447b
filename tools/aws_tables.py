#!/usr/bin/python3
"""Turns service descriptions (see aws_format.py) into the C tables behind src/aws/aws.h.

    tools/aws_tables.py OUT.c SERVICE.aws…
"""
import sys

import aws_format
from aws_format import FormatError, SCALARS

PROTOCOLS = {'query': 'AWS_QUERY', 'ec2': 'AWS_EC2', 'json1.0': 'AWS_JSON_1_0',
             'json1.1': 'AWS_JSON_1_1'}


def text(value):
    return '"' + value.replace('\\', '\\\\').replace('"', '\\"') + '"'


def query_name(service, shape, member):
    """The member's name in a request form. EC2 has a rule of its own."""
    if service.protocol != 'ec2' or shape.kind != 'struct':
        return member.wire or default_wire(shape, member)
    return member.query or (member.wire[:1].upper() + member.wire[1:]) or member.name


def default_wire(shape, member):
    return 'member' if shape.kind == 'list' else member.name


class Writer:
    def __init__(self, service):
        self.service = service
        self.prefix = service.name.replace('-', '_')
        self.shape_ids = {name: i for i, name in enumerate(sorted(service.shapes))}
        self.fault_ids = {name: i for i, name in enumerate(sorted(service.faults))}
        self.members, self.values, self.errors = [], [], []

    def shape_reference(self, name):
        if not name:
            return 'NULL'
        if name in SCALARS:
            return f'&scalars[AWS_{name.upper()}]'
        return f'&{self.prefix}_shapes[{self.shape_ids[name]}]'

    def take_member(self, shape, member):
        wire = member.wire or default_wire(shape, member)
        flags = ', '.join('true' if flag else 'false'
                          for flag in (member.required, member.sensitive, member.omitempty))
        self.members.append(
            f'{{{text(member.name)}, {text(wire)}, '
            f'{text(query_name(self.service, shape, member))}, '
            f'{self.shape_reference(member.type)}, {flags}}}')

    def shape_row(self, shape):
        """{name, type, members, member_count, values, value_count}"""
        first_member, first_value = len(self.members), len(self.values)
        for member in shape.members:
            self.take_member(shape, member)
        self.values += [text(value) for value in shape.values]
        members = f'&{self.prefix}_members[{first_member}]' if shape.members else 'NULL'
        values = f'&{self.prefix}_values[{first_value}]' if shape.values else 'NULL'
        return (f'{{{text(shape.name)}, AWS_{shape.kind.upper()}, {members}, '
                f'{len(shape.members)}, {values}, {len(shape.values)}}}')

    def operation_row(self, operation):
        """{name, wrapper, input, output, errors, error_count}"""
        first = len(self.errors)
        self.errors += [f'&{self.prefix}_faults[{self.fault_ids[error]}]'
                        for error in operation.errors]
        errors = f'&{self.prefix}_errors[{first}]' if operation.errors else 'NULL'
        wrapper = text(operation.wrapper) if operation.wrapper else 'NULL'
        return (f'{{{text(operation.name)}, {wrapper}, '
                f'{self.shape_reference(operation.input)}, '
                f'{self.shape_reference(operation.output)}, '
                f'{errors}, {len(operation.errors)}}}')

    def array(self, c_type, name, rows):
        """Nothing for no rows: C has no empty arrays, and nobody refers to this one."""
        if not rows:
            return ''
        body = ''.join(f'    {row},\n' for row in rows)
        return f'static const {c_type}{self.prefix}_{name}[{len(rows)}] = {{\n{body}}};\n'

    def write(self):
        service = self.service
        shapes = [self.shape_row(service.shapes[name]) for name in self.shape_ids]
        operations = [self.operation_row(service.operations[name])
                      for name in sorted(service.operations)]
        faults = [f'{{{text(fault.name)}, {text(fault.code)}, {fault.status}, '
                  f'{"true" if fault.sender else "false"}}}'
                  for fault in (service.faults[name] for name in self.fault_ids)]
        if not operations or not shapes:
            raise FormatError(f'{service.name}: no operations')
        return '\n'.join([
            f'static const AwsShape {self.prefix}_shapes[{len(shapes)}];\n',
            self.array('char *const ', 'values', self.values),
            self.array('AwsMember ', 'members', self.members),
            self.array('AwsShape ', 'shapes', shapes),
            self.array('AwsFaultInfo ', 'faults', faults),
            self.array('AwsFaultInfo *const ', 'errors', self.errors),
            self.array('AwsOperation ', 'operations', operations)])

    def service_row(self):
        service = self.service
        fields = [text(service.name), text(service.signing),
                  text(service.target) if service.target else 'NULL', text(service.version),
                  text(service.namespace) if service.namespace else 'NULL',
                  PROTOCOLS[service.protocol],
                  f'{self.prefix}_operations, {len(service.operations)}',
                  f'{self.prefix}_shapes, {len(service.shapes)}',
                  f'{self.prefix}_faults, {len(service.faults)}' if service.faults else 'NULL, 0']
        return f'    {{{", ".join(fields)}}},\n'


def main():
    writers = []
    for path in sys.argv[2:]:
        service = aws_format.parse(path)
        service.check()
        writers.append(Writer(service))
    scalars = ''.join(f'    [AWS_{name.upper()}] = {{{text(name)}, AWS_{name.upper()}, '
                      'NULL, 0, NULL, 0},\n' for name in SCALARS)
    with open(sys.argv[1], 'w', encoding='utf-8') as out:
        out.write('/* Made by tools/aws_tables.py from src/aws/services. */\n'
                  '#include "aws/aws.h"\n#include "aws/tables_priv.h"\n\n'
                  f'static const AwsShape scalars[] = {{\n{scalars}}};\n\n')
        for writer in writers:
            out.write(writer.write() + '\n')
        out.write('const AwsService aws_services[] = {\n' +
                  ''.join(writer.service_row() for writer in writers) + '};\n'
                  f'const size_t aws_service_count = {len(writers)};\n')


if __name__ == '__main__':
    try:
        main()
    except (FormatError, IndexError, KeyError) as error:
        sys.exit(f'{sys.argv[0]}: {error}')
