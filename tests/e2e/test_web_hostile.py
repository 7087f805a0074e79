# SPDX-License-Identifier: ISC
"""The HTTP exchange with clients and nodes that want to set it at odds with itself: what is behind a
message on the same connection, answers that come early, and those that say more than they should."""
import signal
import socket
import struct
import subprocess
import threading

from proxyd import PASSWORD
from web_case import HOST, Message, WebCase, basic
from wire import freeze

HEAD = f'Host: {HOST}\r\n{basic()}\r\n'


class Behind(WebCase):
    """Requests that come in one piece with what is before them."""

    def numbered(self, count, size):
        return [f'GET /{number} HTTP/1.1\r\n{HEAD}X: {"y" * size}\r\n\r\n' for number in range(count)]

    def expect_all(self, client, node, wire, count):
        for number in range(count):
            self.assertEqual(Message(wire).start, f'GET /{number} HTTP/1.1')
            self.answer(wire, body=b'%d' % number)
        for number in range(count):
            self.assertEqual(Message(client).body(), b'%d' % number)

    def test_a_body(self):
        """More than a head may have comes with the end of a body."""
        node = self.node()
        client = self.client(self.web(node, http={'header_size': '2K'}))
        requests = self.numbered(45, 1200)
        client.send(f'POST / HTTP/1.1\r\n{HEAD}Content-Length: 5\r\n\r\n'.encode())
        wire = node.accept()
        request = Message(wire)
        client.send(('hello' + ''.join(requests)).encode())
        self.assertEqual(request.body(), b'hello')
        self.answer(wire)
        Message(client)
        self.expect_all(client, node, wire, len(requests))

    def test_a_large_head(self):
        """More than is sent on at once comes with the end of a head."""
        node = self.node()
        p = self.web(node, http={'header_size': '1M'})
        client = self.client(p)
        requests = self.numbered(5, 90_000)
        head = f'POST / HTTP/1.1\r\n{HEAD}X: {"y" * 530_000}\r\nContent-Length: 5\r\n\r\n'
        client.send(head[:-1].encode())
        freeze(p.process.pid)  # while the socket fills
        rest = threading.Thread(target=client.send, args=((head[-1:] + 'hello' + ''.join(requests)).encode(),))
        rest.start()
        rest.join(0.5)
        p.signal(signal.SIGCONT)
        wire = node.accept()
        self.assertEqual(Message(wire).body(), b'hello')
        self.answer(wire)
        Message(client)
        self.expect_all(client, node, wire, len(requests))


class Upgrades(WebCase):
    def test_to_what_nobody_carries_is_not_asked_of_the_node(self):
        """Not even where the head is read a second time, because the verdict takes a while."""
        node = self.node()
        digest = subprocess.run(['openssl', 'passwd', '-6', PASSWORD], capture_output=True, text=True, check=True).stdout
        p = self.web(node, users=f'bob@example.org {node.address} password={{CRYPT}}{digest.strip()}',
                     authentication='proxy')
        client = self.client(p)
        self.ask(client, 'GET / HTTP/1.1', 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABk')
        wire = node.accept()
        request = Message(wire)
        self.assertFalse({'upgrade', 'connection', 'http2-settings'} & set(request.fields))
        self.answer(wire)
        self.assertEqual(Message(client).status, 200)


class Early(WebCase):
    """Answers that come before the request is whole."""

    def test_a_node_that_refuses_an_upload(self):
        """It answers, and closes without having read the body."""
        node, size = self.node(), 8_000_000
        p = self.web(node, http={'body_size': '1G'})
        for _ in range(5):
            client = self.client(p)
            self.ask(client, 'POST / HTTP/1.1', f'Content-Length: {size}')
            wire = node.accept()
            Message(wire)
            self.answer(wire, '413 Too Large', 'Connection: close', body=b'no')
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 0, 0))
            wire.close()
            threading.Thread(target=self.pour, args=(client, size), daemon=True).start()
            answer = Message(client)
            self.assertEqual((answer.status, answer.body(), answer['connection']), (413, b'no', 'close'))

    def pour(self, client, size):
        try:
            client.send(bytes(size))
        except OSError:
            pass

    def test_an_upload_that_we_refuse(self):
        """The client hears of it though it goes on sending for a while."""
        p = self.web(self.node(), http={'body_size': '1M'})
        for _ in range(5):
            client = self.client(p)
            self.ask(client, 'POST / HTTP/1.1', 'Content-Length: 5000000', body=bytes(5_000_000))
            self.assertEqual(Message(client).status, 413)
