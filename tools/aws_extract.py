#!/usr/bin/python3
"""Extracts facts from AWS service models into src/aws/services/*.aws. Run by hand, then commit.

    tools/aws_extract.py [--botocore DIR] [--npm DIR] [SERVICE…]

--botocore: the data folder of botocore (Debian: python3-botocore), with names and faults.
--npm: the apis folder of the npm package aws-sdk. It is newer than Debian's botocore but names
only the shapes that are used twice and knows no faults; so it adds what the other lacks.
tools/aws/overlay/SERVICE.aws, kept by hand in the same format as the result, has the last word.

Only names, types, wire names and codes are taken, never documentation text.
"""
import argparse
import copy
import json
import os

import aws_format
from aws_format import Fault, Member, Operation, Service, Shape

HERE = os.path.dirname(os.path.abspath(__file__))
OVERLAY = os.path.join(HERE, 'aws', 'overlay')
SERVICES = os.path.join(HERE, '..', 'src', 'aws', 'services')
BOTOCORE = '/usr/lib/python3/dist-packages/botocore/data'
SCALAR_OF = {'float': 'double', 'character': 'string'}


def read_selection():
    selection, operations = {}, []
    with open(os.path.join(HERE, 'aws', 'operations.txt'), encoding='utf-8') as lines:
        for line in lines:
            words = line.split('#')[0].split()
            if line[0].isspace() and words:
                operations.append(words[0])
            elif words:
                operations = []
                selection[words[0]] = (words[1], operations)
    return selection


class Model:
    """A model of either source, turned into a Service while its operations are walked."""

    def __init__(self, name, path):
        with open(path, encoding='utf-8') as file:
            self.source = json.load(file)
        self.service = self._header(name, self.source['metadata'])

    @staticmethod
    def _header(name, meta):
        protocol = meta['protocol'] + (meta['jsonVersion'] if meta['protocol'] == 'json' else '')
        return Service(name, protocol, meta['apiVersion'],
                       meta.get('signingName', meta['endpointPrefix']),
                       meta.get('targetPrefix', ''), meta.get('xmlNamespace', ''))

    def take_operation(self, name):
        source = self.source['operations'].get(name)
        if source is None:
            return
        shapes = {side: self._type(source[side], name + side.capitalize())
                  for side in ('input', 'output') if side in source}
        errors = [error['shape'] for error in source.get('errors', [])]
        for error in errors:
            self._take_fault(error)
        self.service.operations[name] = Operation(
            name, shapes.get('input', ''), shapes.get('output', ''),
            source.get('output', {}).get('resultWrapper', ''), errors)

    def _take_fault(self, name):
        shape = self.source['shapes'][name]
        error = shape.get('error', {})
        status = error.get('httpStatusCode', 500 if shape.get('fault') else 400)
        self.service.faults[name] = Fault(name, error.get('code', name), status,
                                          error.get('senderFault', status < 500))

    def _resolve(self, reference):
        """The shape behind a reference, with the reference's own traits on top."""
        target = self.source['shapes'].get(reference.get('shape'), {})
        return {**target, **reference}

    def _type(self, reference, derived):
        """The name of a reference's type; takes the shape along. `derived`: where it has none."""
        shape = self._resolve(reference)
        kind = shape.get('type', 'string')
        if kind in ('structure', 'list', 'map'):
            name = reference.get('shape', derived)
            if name not in self.service.shapes:
                self._take_compound(name, kind, shape)
            return name
        if shape.get('enum'):
            self.service.shapes[reference['shape']] = Shape('enum', reference['shape'],
                                                            values=shape['enum'])
            return reference['shape']
        return SCALAR_OF.get(kind, kind)

    def _take_compound(self, name, kind, source):
        shape = self.service.shapes[name] = Shape({'structure': 'struct'}.get(kind, kind), name)
        if kind == 'structure':
            required = source.get('required', [])
            for key, reference in source['members'].items():
                shape.members.append(self._member(key, reference, name + key, key in required))
        elif kind == 'list':
            shape.members.append(self._member('member', source['member'], name + 'Item', False))
        else:
            for key in ('key', 'value'):
                shape.members.append(self._member(key, source[key], name + key.capitalize(),
                                                  False))

    def _member(self, name, reference, derived, required):
        shape = self._resolve(reference)
        return Member(name, self._type(reference, derived), shape.get('locationName', ''),
                      shape.get('queryName', ''), required, shape.get('sensitive', False))


class Merger:
    """Adds to `base` what `newer` has more, walking both from the operations down in parallel:
    the names of newer's shapes mean nothing, only their places do."""

    def __init__(self, base, newer):
        self.base, self.newer, self.done, self.names = base, newer, set(), {}

    def run(self):
        for name, operation in self.newer.operations.items():
            ours = self.base.operations.setdefault(name, Operation(name))
            ours.wrapper = ours.wrapper or operation.wrapper
            for side in ('input', 'output'):
                type_name = getattr(operation, side)
                if type_name and not getattr(ours, side):
                    setattr(ours, side, self._adopt(type_name, name + side.capitalize()))
                self._pair(getattr(ours, side), type_name)

    def _adopt(self, newer_name, derived):
        """The name that a type of newer gets in base."""
        newer = self.newer.shapes.get(newer_name)
        if newer is None:
            return newer_name
        if newer_name not in self.names:
            name = derived + ('List' if newer.kind == 'list' else '')
            self.names[newer_name] = name
            self.base.shapes[name] = Shape(newer.kind, name, values=newer.values)
        return self.names[newer_name]

    def _pair(self, base_name, newer_name):
        """Both names stand in the same place."""
        base, newer = self.base.shapes.get(base_name), self.newer.shapes.get(newer_name)
        if base is None or newer is None or (base_name, newer_name) in self.done:
            return
        self.done.add((base_name, newer_name))
        for member in newer.members:
            ours = next((m for m in base.members if m.name == member.name), None)
            if ours is None:
                derived = base_name if member.name == 'member' else base_name + member.name
                ours = copy.copy(member)
                ours.type = self._adopt(member.type, derived.removesuffix('List'))
                base.members.append(ours)
            ours.sensitive = ours.sensitive or member.sensitive
            self._pair(ours.type, member.type)


def apply_overlay(service, overlay):
    """The hand-kept overlay: new members and shapes are added, members of the same name replaced."""
    for name, shape in overlay.shapes.items():
        ours = service.shapes.setdefault(name, Shape(shape.kind, name))
        if shape.kind != 'struct':
            service.shapes[name] = shape
            continue
        for member in shape.members:
            places = [i for i, m in enumerate(ours.members) if m.name == member.name]
            if places:
                ours.members[places[0]] = member
            else:
                ours.members.append(member)
    service.faults.update(overlay.faults)
    for name, operation in overlay.operations.items():
        ours = service.operations.setdefault(name, operation)
        ours.errors += [error for error in operation.errors if error not in ours.errors]


def extract(name, version, operations, args):
    path = os.path.join(args.botocore, name, version, 'service-2.json')
    model = Model(name, path) if os.path.exists(path) else None
    newer_path = os.path.join(args.npm, f'{name}-{version}.min.json') if args.npm else ''
    newer = Model(name, newer_path) if os.path.exists(newer_path) else None
    for operation in operations:
        for source in filter(None, (model, newer)):
            source.take_operation(operation)
    if model and newer:
        Merger(model.service, newer.service).run()
    service = (model or newer).service
    overlay = os.path.join(OVERLAY, name + '.aws')
    if os.path.exists(overlay):
        apply_overlay(service, aws_format.parse(overlay))
    missing = [operation for operation in operations if operation not in service.operations]
    if missing:
        raise SystemExit(f'{name}: no operation {", ".join(missing)}')
    service.check()
    with open(os.path.join(SERVICES, name + '.aws'), 'w', encoding='utf-8') as out:
        out.write('# Made by tools/aws_extract.py; change tools/aws/ instead.\n')
        out.write(aws_format.format(service))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--botocore', default=BOTOCORE)
    parser.add_argument('--npm', default='')
    parser.add_argument('services', nargs='*')
    args = parser.parse_args()
    for name, (version, operations) in read_selection().items():
        if not args.services or name in args.services:
            extract(name, version, operations, args)


if __name__ == '__main__':
    main()
