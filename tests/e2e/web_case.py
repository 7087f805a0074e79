# SPDX-License-Identifier: ISC
"""What tests of the HTTP exchange have: a webmail service, a client and a node that are played by
hand, message by message. Clients are routed by `Authorization: Basic`, which needs no login."""
import base64
import re
import socket

from case import Case, authority
from proxyd import PASSWORD
from wire import PATIENCE, Wire, free_port

HOST = 'mail.example.org'


def basic(login='bob@example.org', password=PASSWORD):
    return 'Authorization: Basic ' + base64.b64encode(f'{login}:{password}'.encode()).decode()


class Message:
    """A head and what is behind it. `fields` has lists of values by name in lower case."""

    def __init__(self, wire):
        self.wire, self.start, self.fields, self.order = wire, wire.line(), {}, []
        while line := wire.line():
            name, value = re.fullmatch(r'([^\s:]+): ?(.*)', line).groups()
            self.fields.setdefault(name.lower(), []).append(value)
            self.order.append(name.lower())

    def __getitem__(self, name):
        values = self.fields.get(name.lower(), [])
        assert len(values) < 2, f'{name} stands there {len(values)} times'
        return values[0] if values else None

    @property
    def status(self):
        return int(self.start.split(' ')[1])

    def body(self):
        """With its framing taken off; `trailers` are what came behind the chunks."""
        if self['transfer-encoding']:
            assert self['transfer-encoding'] == 'chunked' and not self['content-length']
            return self.chunks()
        if self['content-length']:
            return self.wire.read(int(self['content-length']))
        return b''

    def chunk(self):
        data = self.wire.read(int(self.wire.line(), 16))
        if data:
            assert self.wire.read(2) == b'\r\n'
        return data

    def chunks(self):
        parts = []
        while data := self.chunk():
            parts.append(data)
        self.trailers = []
        while line := self.wire.line():
            self.trailers.append(line)
        return b''.join(parts)


class WebCase(Case):
    def web(self, node, listener=None, users=None, sections=None, backend=None, **service):
        """proxyd with a webmail service before NODE; its listener's port is in `web_port`."""
        port = free_port()
        users = users or f'* {node.address}'
        service = {'listeners': [{'address': f'127.0.0.1:{port}', **(listener or {})}], 'maps': ['local'],
                   'backend': {'check': {'interval': '0s'}, **(backend or {})}, **service}
        p = self.new_proxyd(users, services={'webmail': service}, **(sections or {}))
        p.web_port = port
        return p.start()

    def client(self, p, tls=False, **how):
        sock = socket.create_connection(('127.0.0.1', p.web_port), PATIENCE, **how)
        wire = Wire(sock, 'client')
        self.addCleanup(wire.close)
        if tls:
            wire.start_tls(p.context(alpn=['http/1.1']), server_hostname=HOST)
        return wire

    @staticmethod
    def ask(client, line='GET / HTTP/1.1', *fields, body=b'', login='bob@example.org'):
        head = [line, f'Host: {HOST}', basic(login), *fields]
        client.send('\r\n'.join([*head, '', '']).encode() + body)

    @staticmethod
    def answer(wire, status='200 OK', *fields, body=b'', counted=True):
        length = [f'Content-Length: {len(body)}'] if counted else []
        wire.send('\r\n'.join([f'HTTP/1.1 {status}', *fields, *length, '', '']).encode() + body)

    def exchange(self, client, node_or_wire, body=b'hello', **how):
        """One GET and its answer; returns the node's connection."""
        self.ask(client, **how)
        wire = node_or_wire if isinstance(node_or_wire, Wire) else node_or_wire.accept()
        Message(wire)
        self.answer(wire, body=body)
        answer = Message(client)
        self.assertEqual((answer.status, answer.body()), (200, body))
        return wire


__all__ = ['HOST', 'Message', 'WebCase', 'authority', 'basic']
