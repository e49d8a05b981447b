#!/usr/bin/python3
"""Makes a C file of a text file: tools/embed.py OUTPUT HEADER NAME INPUT defines `const char NAME[]`,
which HEADER declares."""
import sys
from pathlib import Path


def literal(line):
    """The line as a C string literal, in ASCII."""
    escaped = ''.join({'"': '\\"', '\\': '\\\\', '\n': '\\n', '?': '\\?'}.get(char) or (
        char if ' ' <= char <= '~' else ''.join(f'\\{byte:03o}' for byte in char.encode()))
        for char in line)
    return f'    "{escaped}"'


def main():
    output, header, name, source = sys.argv[1:]
    lines = Path(source).read_text('utf-8').splitlines(keepends=True)
    text = '\n'.join(literal(line) for line in lines)
    Path(output).write_text(f'/* Made of {Path(source).name} by tools/embed.py. */\n'
                            f'#include "{header}"\n\nconst char {name}[] =\n{text};\n', 'utf-8')


if __name__ == '__main__':
    main()
