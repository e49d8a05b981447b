#!/usr/bin/python3
"""Turns the parameter tables of src/model/parameters into the C tables behind src/model/model.h.

    tools/parameters_tables.py OUT.c DIR/FAMILY.params DIR/FAMILY.rules …

A .params file holds an engine's facts, one parameter per line; a .rules file what Weir makes of
them. Their formats stand at their heads.
"""
import os
import re
import sys

TYPES = {'bool': 'PARAMETER_BOOLEAN', 'yesno': 'PARAMETER_BOOLEAN', 'integer': 'PARAMETER_INTEGER',
         'real': 'PARAMETER_REAL', 'enum': 'PARAMETER_ENUM', 'string': 'PARAMETER_STRING',
         'list': 'PARAMETER_LIST'}
STATIC = {'postmaster', 'static'}
FIELDS = ('name', 'type', 'context', 'unit', 'min', 'max', 'words', 'default')


class Parameter:
    def __init__(self, fields):
        values = dict(zip(FIELDS, fields + [''] * (len(FIELDS) - len(fields))))
        self.name = values['name'].lower()
        self.type = values['type']
        self.static = values['context'] in STATIC
        self.unit, self.min, self.max = values['unit'], values['min'], values['max']
        self.words = values['words'].lstrip(',')
        self.engine_default = values['default']
        self.default = ''
        self.refusal = ''
        self.standby = False

    def allowed(self):
        if self.words:
            return self.words
        if self.type == 'bool':
            return '0,1'
        if self.type == 'yesno':
            return 'yes,no'
        return f'{self.min}-{self.max}' if self.min else ''

    def row(self):
        booleans = ', '.join('true' if flag else 'false' for flag in (self.static, self.standby))
        default = text(self.default) if self.default else 'NULL'
        refusal = text(self.refusal) if self.refusal else 'NULL'
        return (f'    {{{text(self.name)}, {TYPES[self.type]}, {booleans}, {text(self.unit)}, '
                f'{text(self.allowed())}, {number(self.min)}, {number(self.max)}, '
                f'{text(self.engine_default)}, {default}, {refusal}}},\n')


def text(value):
    return '"' + value.replace('\\', '\\\\').replace('"', '\\"') + '"'


def number(value):
    return repr(float(value)) if value else '0'


def lines(path):
    with open(path, encoding='utf-8') as file:
        for at, line in enumerate(file, 1):
            line = line.rstrip('\n')
            if line and not line.startswith('#'):
                yield f'{path}:{at}', line.split('\t')


def find(parameters, name, place):
    """The parameters a rule means; one that means none is a mistake, or a name to refuse."""
    if name.endswith('*'):
        found = [p for p in parameters.values() if p.name.startswith(name[:-1])]
    else:
        found = [parameters[name]] if name in parameters else []
    if not found:
        sys.exit(f'{place}: there is no parameter {name}')
    return found


def refuse(parameters, name, reason, place):
    if name not in parameters and not name.endswith('*'):
        parameters[name] = Parameter([name, 'string'])
    for parameter in find(parameters, name, place):
        parameter.refusal = reason


def apply_rule(parameters, fields, place):
    verb, name, rest = fields[0], fields[1], fields[2:]
    if verb == 'refuse':
        refuse(parameters, name, rest[0], place)
        return
    if verb == 'add':
        parameters[name] = Parameter([name, rest[0], rest[1]])
        parameters[name].default = rest[2]
        return
    for parameter in find(parameters, name, place):
        if verb == 'default':
            parameter.default = rest[0]
        elif verb == 'range':
            parameter.min, parameter.max = rest
        elif verb == 'words':
            parameter.words = rest[0]
        elif verb == 'list':
            parameter.type, parameter.words = 'list', rest[0]
        elif verb == 'standby':
            parameter.standby = True
        else:
            sys.exit(f'{place}: unknown word {verb}')


def family(params_path, rules_path):
    parameters = {}
    for _, fields in lines(params_path):
        parameter = Parameter(fields)
        parameters[parameter.name] = parameter
    for place, fields in lines(rules_path):
        apply_rule(parameters, fields, place)
    return [parameters[name] for name in sorted(parameters)]


def main():
    if len(sys.argv) < 4 or len(sys.argv) % 2:
        sys.exit(__doc__)
    tables, families = [], []
    for params_path, rules_path in zip(sys.argv[2::2], sys.argv[3::2]):
        name = os.path.basename(params_path).removesuffix('.params')
        engine, major = re.fullmatch(r'([a-z]+)(\d+)', name).groups()
        rows = family(params_path, rules_path)
        tables.append(f'static const ParameterInfo {name}[] = {{\n'
                      + ''.join(row.row() for row in rows) + '};\n')
        families.append(f'    {{"{name}", "{engine}", "{major}", {name}, ARRAY_LEN({name})}},\n')
    with open(sys.argv[1], 'w', encoding='utf-8') as out:
        out.write('/* Made by tools/parameters_tables.py. */\n#include "model/parameter_priv.h"\n\n'
                  + '\n'.join(tables) + '\nconst ParameterFamily parameter_families[] = {\n'
                  + ''.join(families) + '};\nconst size_t parameter_families_len = '
                  'ARRAY_LEN(parameter_families);\n')


if __name__ == '__main__':
    main()
