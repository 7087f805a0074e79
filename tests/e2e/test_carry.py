# SPDX-License-Identifier: ISC
"""After the login: bytes both ways, many or few, until one side or the clock ends it."""
import hashlib
import os
import signal
import socket
import ssl
import struct
import threading
import time
import unittest

from case import Case, authority
from proxyd import PASSWORD

MIB = 1 << 20
PATTERN = b''.join(b'%07d ' % number for number in range(MIB // 8))


def send_all(wire, mib):
    for _ in range(mib):
        wire.send(PATTERN)


def digest_of(wire, mib):
    """The checksum of the next so many MiB."""
    digest, left = hashlib.sha256(wire.pending), mib * MIB - len(wire.pending)
    while left > 0:
        data = wire.sock.recv(min(left, 1 << 18))
        if not data:
            break
        digest.update(data)
        left -= len(data)
    return digest.hexdigest()


def digest(mib):
    whole = hashlib.sha256()
    for _ in range(mib):
        whole.update(PATTERN)
    return whole.hexdigest()


class Carry(Case):
    def carried(self, client_name='imap', node_tls=False, **service):
        """A client, his node's end, and proxyd, with the login done."""
        node = self.node()
        tls = {'tls': 'implicit', 'verify': False} if node_tls else {}
        p = self.proxyd(f'* {node.address}', imap={'backend': tls, **service})
        client = self.connect(p, client_name)
        client.expect('* OK ...')
        client.say(f'a LOGIN bob {PASSWORD}')
        wire = node.accept()
        if node_tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*authority().server)
            wire.start_tls(context, server_side=True)
        wire.imap_login()
        client.expect('a OK hello')
        return client, wire, p

    def test_64_mib_each_way(self):
        for client_name, node_tls in (('imap', False), ('imaps', False), ('imap', True), ('imaps', True)):
            client, wire, p = self.carried(client_name, node_tls)
            for sender, receiver in ((client, wire), (wire, client)):
                with self.subTest(client=client_name, node_tls=node_tls, sender=sender.name):
                    thread = threading.Thread(target=send_all, args=(sender, 64))
                    thread.start()
                    self.assertEqual(digest_of(receiver, 64), digest(64))
                    thread.join()
            client.close()
            wire.close()
            event = p.wait('close')
            for way in 'bytes_in', 'bytes_out':
                self.assertGreaterEqual(int(event[way]), 64 * MIB)
                self.assertLess(int(event[way]), 64 * MIB + 1000)

    def test_both_ways_at_once(self):
        for client_name in 'imap', 'imaps':
            with self.subTest(client=client_name):
                client, wire, _ = self.carried(client_name)
                sent = [threading.Thread(target=send_all, args=(client, 8))]
                if client_name == 'imap':  # a Python TLS socket cannot be used by two threads
                    sent.append(threading.Thread(target=send_all, args=(wire, 8)))
                results = []
                for receiver in (wire, client)[:len(sent)]:
                    sent.append(threading.Thread(target=lambda end=receiver: results.append(digest_of(end, 8))))
                for thread in sent:
                    thread.start()
                for thread in sent:
                    thread.join()
                self.assertEqual(set(results), {digest(8)})

    def test_a_slow_reader_costs_no_memory(self):
        for client_name in 'imap', 'imaps':
            with self.subTest(client=client_name):
                client, wire, p = self.carried(client_name)
                before = p.memory()
                wire.sock.settimeout(0.5)
                sent = 0
                with self.assertRaises(TimeoutError):  # it stops reading from the node
                    while sent < 256 * MIB:
                        sent += wire.sock.send(PATTERN)
                self.assertLess(p.memory() - before, 8 * MIB)
                left = sent - len(client.pending)
                while left > 0:
                    left -= len(client.sock.recv(1 << 20))
                self.assertEqual(left, 0)

    def test_short_chatter(self):
        for client_name in 'imap', 'imaps':
            client, wire, _ = self.carried(client_name)
            for number in range(200):
                client.say(f'{number} NOOP')
                wire.expect(f'{number} NOOP')
                wire.say(f'{number} OK done')
                client.expect(f'{number} OK done')

    def test_urgent_data_keeps_nothing_back(self):
        client = self.connect(self.proxyd(), 'imap')
        client.expect('* OK ...')
        client.send(b'a NO')
        client.sock.send(b'O', socket.MSG_OOB)
        client.send(b'P\r\n')
        client.expect('a OK ...')  # the byte is one as any other (RFC 6093, 5)
        client, wire, _ = self.carried()
        for source, sink in (client, wire), (wire, client):
            for size in 4000, MIB:
                receiver = threading.Thread(target=self.receive, args=(sink, 2 * size))
                receiver.start()
                source.send(PATTERN[:size])
                source.sock.send(b'!', socket.MSG_OOB)
                source.send(PATTERN[:size] + b'\n')
                receiver.join()
                self.assertEqual(sink.received.replace(b'!', b''), 2 * PATTERN[:size] + b'\n')
                if source is client:
                    self.assertIn(b'!', sink.received)

    @staticmethod
    def receive(wire, size):
        """As many bytes at least, up to a line feed."""
        wire.received = b''
        while not (len(wire.received) > size and wire.received.endswith(b'\n')):
            wire.received += wire.sock.recv(MIB)

    def test_half_close_by_the_client(self):
        client, wire, p = self.carried()
        client.say('last words')
        client.end_writing()
        wire.expect('last words')
        wire.expect_end()
        wire.say('and an answer')
        client.expect('and an answer')
        wire.close()
        client.expect_end()
        self.assertEqual(p.wait('close')['reason'], 'client_closed')

    def test_half_close_by_the_node(self):
        client, wire, p = self.carried()
        wire.say('* BYE')
        wire.end_writing()
        client.expect('* BYE')
        client.expect_end()
        client.say('still here')
        wire.expect('still here')
        client.close()
        wire.expect_end()
        self.assertEqual(p.wait('close')['reason'], 'node_closed')

    def test_half_close_with_tls(self):
        """close_notify of either side is the end of that direction."""
        client, wire, _ = self.carried('imaps', node_tls=True)
        wire.say('last words')
        wire.sock.setblocking(True)
        thread = threading.Thread(target=self.unwrap, args=(wire,))
        thread.start()
        client.expect('last words')
        client.expect_end()
        client.close()
        thread.join()

    @staticmethod
    def unwrap(wire):
        try:
            wire.sock.unwrap()
        except (ssl.SSLError, OSError):
            pass

    def test_a_client_that_is_gone_in_a_transfer(self):
        for client_name in 'imap', 'imaps':
            with self.subTest(client=client_name):
                client, wire, p = self.carried(client_name)
                thread = threading.Thread(target=self.send_until_closed, args=(wire,))
                thread.start()
                client.read(100)
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                client.close()
                thread.join(10)
                self.assertFalse(thread.is_alive())
                self.assertIn(p.wait('close')['reason'], ('client_lost', 'client_closed'))

    @staticmethod
    def send_until_closed(wire):
        try:
            send_all(wire, 1000)
        except OSError:
            pass

    def test_a_node_that_is_gone_in_a_transfer(self):
        client, wire, p = self.carried()
        wire.send(PATTERN)
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        wire.close()
        client.drain()
        self.assertIn(p.wait('close')['reason'], ('node_lost', 'node_closed'))

    @unittest.skipIf(os.geteuid(), 'only root may look into the process')
    def test_no_password_stays_in_memory(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}')
        for name, login in ('imap', 'first@example.org'), ('imaps', 'second@example.org'), ('pop3s', 'third@example.org'):
            with self.subTest(name=name):
                self.login(p, node, name, login)
                p.wait('login', login=login, result='ok')
                self.assertTrue(p.has_in_memory(login))
                self.assertFalse(p.has_in_memory(PASSWORD))

    def test_idle_timeout(self):
        client, wire, p = self.carried(idle_timeout='2s')
        start = time.monotonic()
        for _ in range(4):  # who talks is not idle
            client.say('x')
            wire.expect('x')
            time.sleep(0.6)
        client.expect('* BYE ...')
        client.expect_end()
        wire.expect_end()
        self.assertGreater(time.monotonic() - start, 3)
        self.assertEqual(p.wait('close')['reason'], 'idle_timeout')

    def test_no_word_of_ours_within_a_line_of_the_nodes(self):
        client, wire, _ = self.carried(idle_timeout='300ms')
        wire.send(b'* 1 FETCH (BODY {1000}\r\nhalf a message')
        client.expect('* 1 FETCH (BODY {1000}')
        client.drain()
        self.assertEqual(client.pending, b'half a message')

    def test_no_word_of_ours_where_an_answer_may_go_on(self):
        """Each of them has paused at the end of a line."""
        for name, command, words in (('imap', 'b FETCH 1 BODY[]', '* 1 FETCH (BODY[] {1000}\r\n* OK half\r\n'),
                                     ('imap', 'b IDLE', '+ go\r\n* 1 FETCH (BODY[] {9}\r\n'),
                                     ('pop3', 'RETR 1', '+OK\r\n-ERR in a mail\r\n')):
            with self.subTest(words):
                client, p = self.ended_by_term(name, command, words)
                client.drain()
                self.assertEqual(client.pending.decode(), words)
                client.close()
                self.assertEqual(p.wait_end(), 0)

    def test_last_words_between_two_answers(self):
        for name, command, words in (('imap', 'b FETCH 1 BODY[]', '* 1 FETCH (BODY[] {4}\r\nhi\r\n)\r\nb OK done\r\n'),
                                     ('imap', 'b IDLE', '+ go\r\n* 3 EXISTS\r\n'),
                                     ('imap', 'b NOOP', ''),
                                     ('pop3', 'RETR 1', '+OK\r\nhi\r\n.\r\n'),
                                     ('pop3', 'DELE 9', '-ERR no such\r\n')):
            with self.subTest(words):
                client, p = self.ended_by_term(name, command, words)
                self.assertEqual(client.read(len(words)).decode(), words)
                client.expect('* BYE Server is shutting down, try again' if name == 'imap' else
                              '-ERR Server is shutting down, try again')
                client.expect_end()
                client.close()
                self.assertEqual(p.wait_end(), 0)

    def ended_by_term(self, name, command, words):
        """A session that is ended after COMMAND has got WORDS of an answer."""
        node = self.node()
        p = self.proxyd(f'* {node.address}', global_={'shutdown_grace': '0s'})
        client, wire = self.login(p, node, name)
        client.say(command)
        wire.expect(command)
        wire.send(words.encode())
        if words:
            client.pending += client.sock.recv(len(words), socket.MSG_WAITALL)
        p.signal(signal.SIGTERM)
        return client, p

    def test_login_timeout(self):
        p = self.proxyd(imap={'login_timeout': '2s'}, pop3={'login_timeout': '500ms'})
        client = self.connect(p)
        client.expect('* OK ...')
        for _ in range(3):  # it is absolute
            client.ask('a NOOP', 'a OK ...')
            time.sleep(0.3)
        client.expect('* BYE ...')
        client.expect_end()
        client = self.connect(p, 'pop3')
        client.expect('+OK...', '-ERR ...')
        client.expect_end()
        mute = socket.create_connection(('127.0.0.1', p.port['imaps']), 5)  # no handshake either
        self.addCleanup(mute.close)
        self.assertEqual(mute.recv(1), b'')
        p.wait('close', 3, reason='login_timeout')
