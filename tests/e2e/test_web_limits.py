# SPDX-License-Identifier: ISC
"""The HTTP exchange with those who do not keep to the rules or the limits, and with nodes that are full,
slow or down: who is told what, and what never reaches a node."""
import resource
import socket
import time

from proxyd import PASSWORD
from web_case import HOST, Message, WebCase, basic
from wire import PATIENCE

HEAD = f'Host: {HOST}\r\n{basic()}\r\n'
GET = f'GET / HTTP/1.1\r\n{HEAD}'
POST = f'POST / HTTP/1.1\r\n{HEAD}'

# Two parsers might not agree on any of these.
UNCLEAR = {
    'two lengths': POST + 'Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc',
    'two different lengths': POST + 'Content-Length: 3\r\nContent-Length: 0\r\n\r\nabc',
    'a list of lengths': POST + 'Content-Length: 3, 3\r\n\r\nabc',
    'a sign': POST + 'Content-Length: +3\r\n\r\nabc',
    'length and coding': POST + 'Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'coding and length': POST + 'Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n',
    'an odd coding': POST + 'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
    'two codings': POST + 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'identity': POST + 'Transfer-Encoding: identity\r\n\r\nabc',
    'a coding in HTTP/1.0': POST.replace('1.1', '1.0') + 'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a bare line feed': GET + 'X: a\nY: b\r\n\r\n',
    'bare line feeds': GET.replace('\r\n', '\n') + '\n',
    'a bare carriage return': GET + 'X: a\rY: b\r\n\r\n',
    'NUL': GET + 'X: a\0b\r\n\r\n',
    'a folded line': GET + 'X: a\r\n b\r\n\r\n',
    'a blank before the colon': GET + 'X : a\r\n\r\n',
    'a blank before the first field': GET.replace('Host', ' Host') + '\r\n',
    'another host in the target': GET.replace('GET /', 'GET http://evil.example/') + '\r\n',
    'two hosts': GET + 'Host: evil.example\r\n\r\n',
    'no host': f'GET / HTTP/1.1\r\n{basic()}\r\n\r\n',
    'an odd host': GET.replace(HOST, 'a/b') + '\r\n',
    'an odd method': GET.replace('GET', 'GE(T') + '\r\n',
    'an odd target': GET.replace('/ HTTP', '/\x7f HTTP') + '\r\n',
    'a fragment': GET.replace('/ HTTP', '/#a HTTP') + '\r\n',
    'HTTP/0.9': 'GET /\r\n\r\n',
}

OTHERS = {
    417: POST + 'Expect: a-miracle\r\nContent-Length: 3\r\n\r\nabc',
    501: GET.replace('GET', 'BREW') + '\r\n',
    505: GET.replace('HTTP/1.1', 'HTTP/2.0') + '\r\n',
}


class Refusals(WebCase):
    def refused(self, p, data, status):
        client = self.client(p)
        client.send(data.encode('latin-1'))
        answer = Message(client)
        self.assertEqual((answer.status, answer['connection']), (status, 'close'))
        answer.body()
        client.expect_end()

    def test_what_is_unclear_reaches_no_node(self):
        node = self.node()
        p = self.web(node)
        for name, data in UNCLEAR.items():
            with self.subTest(name):
                self.refused(p, data, 400)
        for status, data in OTHERS.items():
            with self.subTest(status):
                self.refused(p, data, status)
        self.exchange(self.client(p), node)
        self.assertEqual(len(node.wires), 1)

    def test_a_bad_chunk_ends_the_request(self):
        node = self.node()
        p = self.web(node)
        for chunk in b'3\nabc\r\n', b'3\r\nabcd\r\n', b'0x3\r\nabc\r\n', b'-1\r\n', b'0\r\nX : y\r\n\r\n':
            client = self.client(p)
            self.ask(client, 'POST / HTTP/1.1', 'Transfer-Encoding: chunked', body=chunk)
            wire = node.accept()
            Message(wire)
            wire.drain()
            self.assertNotIn(b'0\r\n\r\n', wire.pending)
            self.assertEqual(Message(client).status, 400)

    def test_too_large(self):
        node = self.node()
        p = self.web(node, http={'header_size': '2K', 'body_size': '1K', 'upload_size': '4K'})
        large = 'x' * 3000
        self.refused(p, f'GET /{large} HTTP/1.1\r\n{HEAD}\r\n', 414)
        self.refused(p, f'GET /{large}', 414)
        self.refused(p, f'{GET}X: {large}\r\n\r\n', 431)
        self.refused(p, f'{GET}X: {large}', 431)
        self.refused(p, GET + 'X: y\r\n' * 150 + '\r\n', 431)
        self.refused(p, f'{POST}Content-Length: 1025\r\n\r\n', 413)
        self.refused(p, f'{POST}Content-Length: 4097\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n', 413)
        self.refused(p, f'PUT / HTTP/1.1\r\n{HEAD}Content-Length: 4097\r\n\r\n', 413)
        client = self.client(p)
        self.ask(client, 'PUT / HTTP/1.1', 'Content-Length: 4096', body=bytes(4096))
        wire = node.accept()
        self.assertEqual(len(Message(wire).body()), 4096)
        self.answer(wire)
        self.assertEqual(Message(client).status, 200)
        self.refused(p, f'{POST}Transfer-Encoding: chunked\r\n\r\nbb8\r\n{large}', 413)
        wire.drain()

    def test_slow_senders(self):
        node = self.node()
        p = self.web(node, http={'request_timeout': '1s'})
        for data in 'GET / HT', GET, POST + 'Content-Length: 5\r\n\r\nab', POST + 'Transfer-Encoding: chunked\r\n\r\n5\r\na':
            start = time.monotonic()
            client = self.client(p)
            client.send(data.encode())
            answer = Message(client)
            self.assertEqual(answer.status, 408)
            self.assertGreater(time.monotonic() - start, 0.9)
        silent = self.client(p)
        silent.expect_end()

    def test_a_request_that_drips_has_no_more_time(self):
        node = self.node()
        p = self.web(node, http={'request_timeout': '500ms'})
        client, start = self.client(p), time.monotonic()
        client.sock.settimeout(0.02)
        for byte in (GET + 'X: ' + 'y' * 1000).encode():
            client.send(bytes([byte]))
            try:
                if client.sock.recv(1000):
                    break
            except TimeoutError:
                pass
        self.assertLess(time.monotonic() - start, 5)

    def test_secrets_stay_out_of_the_log(self):
        node = self.node()
        p = self.web(node)
        client = self.client(p)
        self.ask(client, f'GET /a%20\\"b?token={PASSWORD} HTTP/1.1', f'Cookie: a={PASSWORD}')
        Message(node.accept())
        client.close()
        line = p.wait('http', reason='the client left')
        self.assertEqual(line['path'], '/a%20\\"b')


class Nodes(WebCase):
    def wait_queued(self, p):
        """Until a request waits for a place at its node."""
        deadline = time.monotonic() + PATIENCE
        while not any(node['queued'] for node in p.ask('status')['nodes']):
            self.assertLess(time.monotonic(), deadline)

    def test_full(self):
        node = self.node()
        p = self.web(node, backend={'max_requests': 1, 'queue_size': 1, 'queue_timeout': '1h'})
        first, second, third = (self.client(p) for _ in range(3))
        self.ask(first)
        wire = node.accept()
        Message(wire)
        self.ask(second)
        self.wait_queued(p)
        self.ask(third)
        answer = Message(third)
        self.assertEqual((answer.status, answer['retry-after']), (503, '5'))
        answer.body()
        self.answer(wire)
        Message(first)
        Message(wire)  # the second one's, over the same connection
        self.ask(third)
        self.wait_queued(p)
        second.close()  # its place is free again
        wire.expect_end()
        wire = node.accept()
        Message(wire)
        self.answer(wire)
        self.assertEqual(Message(third).status, 200)

    def test_many_more_than_there_are_places_for(self):
        """Who is refused hears of it at once, while the node has as many requests as it may have."""
        clients, places, queue = 2000, 64, 64
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * clients + 500), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        node = self.node()
        p = self.web(node, backend={'max_requests': places, 'queue_size': queue, 'queue_timeout': '1h',
                                    'response_timeout': '1h'}, http={'keepalive_timeout': '1h', 'request_timeout': '1h'})
        served, times = [], []
        for number in range(clients):
            client = self.client(p)
            if number == places:
                wires = [node.accept() for _ in range(places)]
            before = time.monotonic()
            self.ask(client, f'GET /{number} HTTP/1.1')
            if number < places + queue:
                served.append(client)
                continue
            answer = Message(client)
            times.append(time.monotonic() - before)
            self.assertEqual((answer.status, answer['retry-after']), (503, '5'))
            client.close()
        self.assertLess(sorted(times)[len(times) // 2], 0.01)
        # Nobody lost his place by all that, and each answer lets the next one in.
        got = {}
        for wire in wires:
            got[Message(wire).start] = wire
        for number in range(queue):
            wire = got.pop(f'GET /{number} HTTP/1.1')
            self.answer(wire)
            self.assertEqual(Message(served[number]).status, 200)
            got[Message(wire).start] = wire
        self.assertEqual(sorted(got), sorted(f'GET /{number} HTTP/1.1' for number in range(places, places + queue)))
        self.assertEqual(len(node.wires), places)

    def test_who_leaves_the_queue_is_not_asked_for(self):
        node = self.node()
        p = self.web(node, backend={'max_requests': 1})
        first, second, third = (self.client(p) for _ in range(3))
        self.ask(first)
        wire = node.accept()
        Message(wire)
        self.ask(second, 'GET /second HTTP/1.1')
        self.wait_queued(p)
        second.close()
        p.wait('http', path='/second', reason='the client left')
        self.ask(third, 'GET /third HTTP/1.1')
        self.answer(wire)
        self.assertEqual(Message(wire).start, 'GET /third HTTP/1.1')

    def test_waiting_too_long(self):
        node = self.node()
        p = self.web(node, backend={'max_requests': 1, 'queue_timeout': '200ms'})
        first, second = self.client(p), self.client(p)
        self.ask(first)
        Message(node.accept())
        self.ask(second)
        answer = Message(second)
        self.assertEqual((answer.status, answer['retry-after']), (503, '5'))

    def test_down(self):
        node = self.node()
        node.close()
        client = self.client(self.web(node))
        for _ in range(2):
            self.ask(client)
            answer = Message(client)
            self.assertEqual(answer.status, 502)
            answer.body()

    def test_silent(self):
        node = self.node()
        client = self.client(self.web(node, backend={'response_timeout': '200ms'}))
        self.ask(client)
        wire = node.accept()
        Message(wire)
        self.assertEqual(Message(client).status, 504)
        wire.expect_end()

    def test_does_not_accept(self):
        full = socket.socket()
        full.bind(('127.0.0.1', 0))
        full.listen(0)
        self.addCleanup(full.close)
        port = full.getsockname()[1]
        others = []
        for _ in range(3):
            other = socket.socket()
            other.setblocking(False)
            other.connect_ex(('127.0.0.1', port))
            others.append(other)
            self.addCleanup(other.close)
        p = self.web(None, users=f'* 127.0.0.1:{port}', backend={'connect_timeout': '200ms'})
        client = self.client(p)
        self.ask(client)
        self.assertEqual(Message(client).status, 504)

    def test_the_map_is_out_of_order(self):
        p = self.web(None, users='* 127.0.0.1', sections={
            'ldap': {'gone': {'servers': ['ldap://127.0.0.1:1'], 'timeout': '500ms', 'search_base': 'o=x'}},
            'maps': {'local': {'type': 'ldap_password', 'connector': 'gone', 'path': None}}})
        client = self.client(p)
        self.ask(client)
        answer = Message(client)
        self.assertEqual((answer.status, answer['retry-after']), (503, '5'))
