#!/usr/bin/python3
"""Writes what PostgreSQL says of its own parameters: src/model/parameters/postgresN.params.

    tools/parameters_extract.py BIN_DIR OUT

Run by a developer when a new major is taken in, never by the build. It makes a cluster in a
temporary folder and asks pg_settings in single-user mode: no socket, nothing is left behind. Started
by root it takes the account `postgres` for that. Names, types, units, ranges, words and defaults
are taken; descriptions are not. One line per parameter, fields parted by tabs:

    name  type  context  unit  min  max  words,…  default
"""
import json
import os
import pwd
import re
import subprocess
import sys
import tempfile

MODULES = 'auto_explain,pg_prewarm,pg_stat_statements'
QUERY = ('SELECT row_to_json(s) FROM (SELECT name, vartype, context, unit, min_val, max_val,'
         " array_to_string(enumvals, ',') AS words, boot_val FROM pg_settings"
         " WHERE context <> 'internal' ORDER BY name COLLATE \"C\") s\n")
FIELDS = ('name', 'vartype', 'context', 'unit', 'min_val', 'max_val', 'words', 'boot_val')
# What the table has no place for: none of it can be set by a parameter group anyway.
SKIPPED_DEFAULTS = {'config_file', 'data_directory', 'hba_file', 'ident_file',
                    'dynamic_library_path', 'unix_socket_directories', 'krb_server_keyfile'}


def run_as():
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam('postgres')
    return {'user': account.pw_uid, 'group': account.pw_gid, 'extra_groups': []}


def settings(bin_dir):
    with tempfile.TemporaryDirectory(prefix='weir-parameters-') as top:
        identity = run_as()
        if identity:
            os.chown(top, identity['user'], identity['group'])
        data = os.path.join(top, 'data')
        common = dict(identity, cwd=top, capture_output=True, text=True, check=True)
        subprocess.run([f'{bin_dir}/initdb', '-D', data, '-U', 'weir', '-E', 'UTF8',
                        '--locale=C', '-N'], **common)
        out = subprocess.run([f'{bin_dir}/postgres', '--single', '-D', data,
                              '-c', f'shared_preload_libraries={MODULES}', 'template1'],
                             input=QUERY, **common).stdout
    rows = [json.loads(match) for match in re.findall(r'row_to_json = "(\{.*\})"\t\(typeid', out)]
    if len(rows) < 300:
        sys.exit(f'only {len(rows)} parameters were read')
    return rows


def field(row, name):
    value = row[name]
    if value is None or (name == 'boot_val' and row['name'] in SKIPPED_DEFAULTS):
        return ''
    if '\t' in value or '\n' in value:
        sys.exit(f'{row["name"]}: {name} has a tab or a newline')
    return value


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    rows = settings(sys.argv[1])
    with open(sys.argv[2], 'w', encoding='utf-8') as out:
        out.write('# Made by tools/parameters_extract.py. What Weir makes of it stands in the '
                  '.rules beside it.\n')
        for row in rows:
            out.write('\t'.join(field(row, name) for name in FIELDS).rstrip('\t') + '\n')


if __name__ == '__main__':
    main()
