# SPDX-License-Identifier: ISC
"""Reads the dialogues of tests/talk/*.talk; test_talks.py plays them over sockets, tests/talk/talk.c
without."""
import dataclasses
import re

ESCAPES = {'r': b'\r', 'n': b'\n', 't': b'\t', '0': b'\0', '\\': b'\\'}


@dataclasses.dataclass
class Dialogue:
    place: str  # FILE:LINE
    title: str
    protocol: str = 'imap'
    settings: dict = dataclasses.field(default_factory=dict)
    lines: list = dataclasses.field(default_factory=list)  # (number, who, bytes, whether any rest fits)


def unescape(words):
    return re.sub(rb'\\(?:x([0-9a-fA-F]{2})|([rnt0\\]))',
                  lambda m: bytes.fromhex(m[1].decode()) if m[1] else ESCAPES[m[2].decode()], words.encode())


def read(path):
    """All dialogues of a file."""
    found = []
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip('\n')
            word, _, rest = line.partition(' ')
            if line.startswith('== '):
                found.append(Dialogue(f'{path}:{number}', rest))
            elif word == 'protocol':
                found[-1].protocol = rest
            elif word == 'set':
                key, _, value = rest.partition(' ')
                found[-1].settings[key] = value
            elif word in ('C:', 'N:', 'S:', 'P:'):
                open_end = word in ('S:', 'P:') and rest.endswith('...')
                data = rest.removesuffix('...').encode() if open_end else rest.encode() + b'\r\n'
                found[-1].lines.append((number, word[0], data, open_end))
            elif word in ('C>', 'N>', 'S>', 'P>'):
                found[-1].lines.append((number, word[0], unescape(rest), False))
            elif word in ('C-TLS', 'N-TLS', 'S-END', 'C-END', 'P-END', 'V:'):
                found[-1].lines.append((number, word, b'', False))
            else:
                assert not line or line.startswith('#'), f'{path}:{number}: what is that?'
    return found
