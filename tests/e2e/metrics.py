# SPDX-License-Identifier: ISC
"""A strict reader of Prometheus' text format 0.0.4, and what is asked of the admin listener."""
import http.client
import re
import socket

from wire import PATIENCE

NAME, LABEL = r'[a-zA-Z_:][a-zA-Z0-9_:]*', r'[a-zA-Z_][a-zA-Z0-9_]*'
SAMPLE = re.compile(rf'({NAME})(?:\{{(.*)\}})? (\+Inf|-Inf|NaN|[-+]?[0-9.eE+-]+)')
PAIR = re.compile(rf'({LABEL})="((?:[^"\\\n]|\\[\\"n])*)"(,|$)')
ESCAPES = {'\\\\': '\\', '\\"': '"', '\\n': '\n'}


class Metrics(dict):
    """(name, frozenset of label pairs) -> value; `types` has each family's type."""

    def __init__(self, text):
        super().__init__()
        self.types, family, seen = {}, None, set()
        assert text.endswith('\n'), 'the last line has no end'
        for line in text[:-1].split('\n'):
            if match := re.fullmatch(rf'# HELP ({NAME}) (\S.*)', line):
                family = match[1]
                assert family not in seen, f'{family} is not in one piece'
                seen.add(family)
            elif match := re.fullmatch(rf'# TYPE ({NAME}) (counter|gauge|histogram)', line):
                assert match[1] == family and family not in self.types, line
                self.types[family] = match[2]
                assert (match[2] == 'counter') == family.endswith('_total'), line
            else:
                self.add(family, line)
        for name, kind in self.types.items():
            if kind == 'histogram':
                self.check_histogram(name)

    def add(self, family, line):
        match = SAMPLE.fullmatch(line)
        assert match, f'no sample: {line!r}'
        suffix = match[1].removeprefix(family)
        allowed = ('_bucket', '_sum', '_count') if self.types[family] == 'histogram' else ('',)
        assert match[1].startswith(family) and suffix in allowed, f'{line!r} is not of {family}'
        key = match[1], frozenset(self.labels(match[2] or '').items())
        assert key not in self, f'twice: {line!r}'
        self[key] = float(match[3])
        assert self[key] >= 0, line

    @staticmethod
    def labels(text):
        found = {}
        while text:
            match = PAIR.match(text)
            assert match and match[1] not in found, f'no label: {text!r}'
            found[match[1]] = re.sub(r'\\.', lambda escape: ESCAPES[escape[0]], match[2])
            text = text[match.end():]
        return found

    def check_histogram(self, name):
        series = {}
        for (sample, labels), value in self.items():
            if sample == name + '_bucket':
                pairs = dict(labels)
                bound = float(pairs.pop('le'))
                series.setdefault(frozenset(pairs.items()), {})[bound] = value
        for labels, buckets in series.items():
            values = [buckets[bound] for bound in sorted(buckets)]
            assert values == sorted(values) and max(buckets) == float('inf'), name
            assert values[-1] == self[name + '_count', labels], name
            assert (name + '_sum', labels) in self, name

    def get(self, name, **labels):
        return self[name, frozenset(labels.items())]

    def sum(self, name, **labels):
        """Of all samples that have these labels, whatever others."""
        return sum(value for (sample, pairs), value in self.items()
                   if sample == name and labels.items() <= dict(pairs).items())

    def names(self):
        return {name for name, _ in self}


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('localhost')
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self.path)


def fetch(where, path, method='GET', **headers):
    """Asks the admin listener at the port, or socket file, WHERE; the response has `text` besides."""
    connection = Unix(where) if isinstance(where, str) else http.client.HTTPConnection('127.0.0.1', where, PATIENCE)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    response.text = response.read().decode()
    connection.close()
    return response


def metrics(where):
    response = fetch(where, '/metrics')
    assert response.getheader('Content-Type') == 'text/plain; version=0.0.4; charset=utf-8'
    return Metrics(response.text)
