"""Reads and writes Weir's service descriptions, src/aws/services/*.aws: one fact per line.

    # comment
    service NAME                     a short name, also the file's
    protocol query|ec2|json1.0|json1.1
    version 2014-10-31               sent as Version= (query, ec2)
    signing NAME                     the service in a SigV4 credential scope
    target PREFIX                    X-Amz-Target is PREFIX.Operation (json)
    namespace URI                    of the XML replies (query, ec2)

    op NAME INPUT OUTPUT [wrapper=ELEMENT]      - where there is no shape
      error FAULT
    struct NAME
      MEMBER TYPE [wire=NAME] [query=NAME] [required] [sensitive] [omitempty]
    list NAME TYPE [item=NAME] [sensitive]      item: the element's name, "member" otherwise
    map NAME KEYTYPE VALUETYPE [key=NAME] [value=NAME]
    enum NAME VALUE…
    fault NAME CODE STATUS [sender]

TYPE is a scalar (string integer long boolean double timestamp blob) or the name of a shape.
wire is the member's name in XML and JSON, query its name in an ec2 request; both default to
the rules of the protocol. omitempty: an empty list is left out of a reply, because clients index
the first item of one that is present.
"""
from dataclasses import dataclass, field

SCALARS = ('string', 'integer', 'long', 'boolean', 'double', 'timestamp', 'blob')
PROTOCOLS = ('query', 'ec2', 'json1.0', 'json1.1')
HEADER = ('protocol', 'version', 'signing', 'target', 'namespace')


class FormatError(Exception):
    pass


@dataclass
class Member:
    name: str
    type: str
    wire: str = ''
    query: str = ''
    required: bool = False
    sensitive: bool = False
    omitempty: bool = False


@dataclass
class Shape:
    kind: str                                    # struct list map enum
    name: str
    members: list = field(default_factory=list)  # struct: all; list: the item; map: key, value
    values: list = field(default_factory=list)   # enum


@dataclass
class Operation:
    name: str
    input: str = ''
    output: str = ''
    wrapper: str = ''
    errors: list = field(default_factory=list)


@dataclass
class Fault:
    name: str
    code: str
    status: int
    sender: bool = False


@dataclass
class Service:
    name: str = ''
    protocol: str = ''
    version: str = ''
    signing: str = ''
    target: str = ''
    namespace: str = ''
    operations: dict = field(default_factory=dict)
    shapes: dict = field(default_factory=dict)
    faults: dict = field(default_factory=dict)

    def check(self):
        """Every name that is used must be there."""
        for op in self.operations.values():
            for shape in (op.input, op.output):
                if shape and self.shapes.get(shape, Shape('', '')).kind != 'struct':
                    raise FormatError(f'{self.name}: {op.name}: {shape} is not a struct')
            for fault in op.errors:
                if fault not in self.faults:
                    raise FormatError(f'{self.name}: {op.name}: no fault {fault}')
        for shape in self.shapes.values():
            for member in shape.members:
                if member.type not in SCALARS and member.type not in self.shapes:
                    raise FormatError(f'{self.name}: {shape.name}.{member.name}: '
                                      f'no shape {member.type}')


def _options(words, where, flags, names):
    """Splits the trailing words of a line into a dict of flags and NAME=VALUE pairs."""
    found = {}
    for word in words:
        key, equals, value = word.partition('=')
        if (key not in names if equals else key not in flags) or (equals and not value):
            raise FormatError(f'{where}: unknown option {word!r}')
        found[key] = value if equals else True
    return found


def _parse_indented(owner, words, where):
    if isinstance(owner, Operation) and words[0] == 'error' and len(words) == 2:
        owner.errors.append(words[1])
    elif isinstance(owner, Shape) and owner.kind == 'struct' and len(words) >= 2:
        options = _options(words[2:], where, ('required', 'sensitive', 'omitempty'),
                           ('wire', 'query'))
        owner.members.append(Member(words[0], words[1], **options))
    else:
        raise FormatError(f'{where}: this line belongs to nothing')


def _parse_shape(words, where):
    kind, name = words[:2]
    if kind == 'struct' and len(words) == 2:
        return Shape(kind, name)
    if kind == 'enum':
        return Shape(kind, name, values=words[2:])
    if kind == 'list' and len(words) >= 3:
        options = _options(words[3:], where, ('sensitive',), ('item',))
        item = Member('member', words[2], wire=options.get('item', ''),
                      sensitive=options.get('sensitive', False))
        return Shape(kind, name, [item])
    if kind == 'map' and len(words) >= 4:
        options = _options(words[4:], where, (), ('key', 'value'))
        return Shape(kind, name, [Member('key', words[2], wire=options.get('key', '')),
                                  Member('value', words[3], wire=options.get('value', ''))])
    raise FormatError(f'{where}: cannot read this {kind}')


def _parse_line(service, words, where):
    """Takes one line that is not indented; returns what indented lines after it belong to."""
    keyword = words[0]
    if keyword in HEADER + ('service',) and len(words) == 2:
        setattr(service, 'name' if keyword == 'service' else keyword, words[1])
        return None
    if keyword == 'op' and len(words) >= 4:
        options = _options(words[4:], where, (), ('wrapper',))
        shapes = ['' if word == '-' else word for word in words[2:4]]
        service.operations[words[1]] = Operation(words[1], *shapes, **options)
        return service.operations[words[1]]
    if keyword == 'fault' and len(words) >= 4:
        options = _options(words[4:], where, ('sender',), ())
        service.faults[words[1]] = Fault(words[1], words[2], int(words[3]), **options)
        return None
    if keyword in ('struct', 'list', 'map', 'enum') and len(words) >= 2:
        if words[1] in service.shapes or words[1] in SCALARS:
            raise FormatError(f'{where}: {words[1]} is there already')
        service.shapes[words[1]] = _parse_shape(words, where)
        return service.shapes[words[1]]
    raise FormatError(f'{where}: cannot read {" ".join(words)!r}')


def parse(path):
    service, owner = Service(), None
    with open(path, encoding='utf-8') as lines:
        for number, line in enumerate(lines, 1):
            words = line.split()
            if not words or words[0].startswith('#'):
                continue
            where = f'{path}:{number}'
            if line[0].isspace():
                _parse_indented(owner, words, where)
            else:
                owner = _parse_line(service, words, where)
    return service


def _member_text(member):
    words = [member.name, member.type]
    words += [f'{key}={getattr(member, key)}' for key in ('wire', 'query') if getattr(member, key)]
    words += [key for key in ('required', 'sensitive', 'omitempty') if getattr(member, key)]
    return '  ' + ' '.join(words)


def _shape_lines(shape):
    if shape.kind == 'struct':
        return [f'struct {shape.name}'] + [_member_text(member) for member in shape.members]
    if shape.kind == 'enum':
        return [' '.join(['enum', shape.name] + shape.values)]
    words = [shape.kind, shape.name] + [member.type for member in shape.members]
    for member in shape.members:
        if member.wire:
            words.append(f'{"item" if shape.kind == "list" else member.name}={member.wire}')
        if member.sensitive:
            words.append('sensitive')
    return [' '.join(words)]


def format(service):
    lines = [f'service {service.name}']
    lines += [f'{key} {getattr(service, key)}' for key in HEADER if getattr(service, key)]
    lines.append('')
    for op in sorted(service.operations.values(), key=lambda op: op.name):
        wrapper = [f'wrapper={op.wrapper}'] if op.wrapper else []
        lines.append(' '.join(['op', op.name, op.input or '-', op.output or '-'] + wrapper))
        lines += [f'  error {fault}' for fault in op.errors]
    lines.append('')
    for shape in sorted(service.shapes.values(), key=lambda shape: shape.name):
        lines += _shape_lines(shape)
    lines.append('')
    for fault in sorted(service.faults.values(), key=lambda fault: fault.name):
        sender = ' sender' if fault.sender else ''
        lines.append(f'fault {fault.name} {fault.code} {fault.status}{sender}')
    return '\n'.join(lines) + '\n'
