# SPDX-License-Identifier: ISC
"""Nodes that are down, full, slow, wrong or hostile, and how proxyd finds out that they are well."""
import socket
import struct
import time

from case import Case
from proxyd import PASSWORD
from wire import PATIENCE, Wire, free_port

UNAVAILABLE = 'NO [UNAVAILABLE] ...'


class Base(Case):
    def ask(self, p, name='imap', login='bob'):
        """A client that has asked for his login and not yet read the answer."""
        client = self.connect(p, name)
        if name == 'imap':
            client.expect('* OK ...')
            client.say(f'a LOGIN {login} {PASSWORD}')
        else:
            client.expect('+OK...')
            client.ask(f'USER {login}', '+OK...')
            client.say(f'PASS {PASSWORD}')
        return client


class Gate(Base):
    @staticmethod
    def leave(client, wire):
        """Ends a session on both sides."""
        client.close()
        wire.expect_end()
        wire.close()

    def limited(self, node, **backend):
        return self.proxyd(f'* {node.address}', imap={'backend': {'max_connections': 1, **backend}})

    def test_first_come_first_served(self):
        node = self.node()
        p = self.limited(node)
        client, wire = self.login(p, node, login='one')
        waiting = {}
        for login in 'two', 'three':
            waiting[login] = self.ask(p, login=login)
            p.wait('route', login=login)
        for login in waiting:
            self.leave(client, wire)
            client, wire = waiting[login], node.accept()
            self.assertEqual(wire.imap_login()[0], login)
            client.expect('a OK ...')

    def test_full_is_refused_at_once(self):
        node = self.node()
        p = self.limited(node, queue_size=1)
        self.login(p, node)
        waiting = self.ask(p, login='two')
        p.wait('route', login='two')
        start = time.monotonic()
        self.ask(p, login='three').expect(f'a {UNAVAILABLE}')
        self.assertLess(time.monotonic() - start, 8)  # who waits, waits 10
        self.assertEqual(waiting.pending, b'')

    def test_waited_too_long(self):
        node = self.node()
        p = self.limited(node, queue_timeout='2s')
        session = self.login(p, node)
        client = self.ask(p)
        client.expect(f'a {UNAVAILABLE}')
        self.leave(*session)
        client.say(f'b LOGIN bob {PASSWORD}')
        node.accept().imap_login()
        client.expect('b OK ...')

    def test_who_leaves_the_queue_gives_his_place_to_the_next(self):
        node = self.node()
        p = self.limited(node)
        session = self.login(p, node)
        leaver, stayer = self.ask(p, login='two'), self.ask(p, login='three')
        p.wait('route', login='three')
        leaver.close()
        p.wait('close', login='two')
        self.leave(*session)
        self.assertEqual(node.accept().imap_login()[0], 'three')
        stayer.expect('a OK ...')

    def test_who_only_ends_his_side_waits_on(self):
        node = self.node()
        p = self.limited(node)
        session = self.login(p, node)
        for name in 'imap', 'pop3':
            client = self.ask(p, name, login='two')
            client.end_writing()
            if name == 'imap':
                client.expect('* OK ...')  # whoever is gone answers this with a reset
                self.leave(*session)
            wire = node.accept()
            self.assertEqual((wire.imap_login if name == 'imap' else wire.pop3_login)()[0], 'two')
            client.expect('a OK hello' if name == 'imap' else '+OK hello')
            wire.expect_end()
            wire.say('x' * 1000)
            wire.close()
            client.expect('x' * 1000)
            client.expect_end()

    def test_a_place_is_free_when_the_node_has_done_with_it(self):
        """A client that stays although its node has ended keeps nobody out."""
        node = self.node()
        p = self.limited(node)
        client, wire = self.login(p, node)
        wire.close()
        client.expect_end()
        other, _ = self.login(p, node)
        other.say('b NOOP')

    def test_services_are_counted_by_themselves(self):
        imap, pop3 = self.node(), self.node()
        p = self.proxyd(f'* 127.0.0.1 imap={imap.address} pop3={pop3.address}',
                        imap={'backend': {'max_connections': 1}}, pop3={'backend': {'max_connections': 1}})
        self.login(p, imap)
        self.login(p, pop3, 'pop3')

    def test_numbers_are_for_the_whole_process(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}', global_={'workers': {'min': 4, 'max': 4}},
                        imap={'backend': {'max_connections': 3, 'queue_size': 0}})
        taken = [self.login(p, node) for _ in range(3)]
        for _ in range(8):
            self.ask(p).expect(f'a {UNAVAILABLE}')
        self.leave(*taken[0])
        p.wait('close', login='bob@example.org')
        self.login(p, node)


class Down(Base):
    def test_connection_refused(self):
        p = self.proxyd(f'* 127.0.0.1:{free_port()}')
        self.ask(p).expect(f'a {UNAVAILABLE}')
        self.ask(p, 'pop3').expect('-ERR [SYS/TEMP] ...')
        p.wait('login', count=2, result='failed', reason='cannot connect...')

    def test_node_that_never_greets(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}', imap={'backend': {'connect_timeout': '300ms'}})
        client = self.ask(p)
        wire = node.accept()
        client.expect(f'a {UNAVAILABLE}')
        wire.expect_end()

    def test_all_addresses_of_a_name_are_tried(self):
        """localhost is ::1 and 127.0.0.1 here; the node listens on one of them."""
        families = {info[0] for info in socket.getaddrinfo('localhost', 1, type=socket.SOCK_STREAM)}
        node = self.node()
        p = self.proxyd(f'* localhost:{node.port}')
        self.login(p, node)
        self.assertIn(socket.AF_INET, families)

    def test_a_name_that_does_not_resolve(self):
        p = self.proxyd('* nowhere.invalid:143')
        self.ask(p).expect(f'a {UNAVAILABLE}')
        p.wait('login', result='failed', reason='cannot resolve nowhere.invalid...')

    def test_a_socket_file(self):
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(self.folder + '/imap')
        server.listen()
        p = self.proxyd(f'* unix:{self.folder}/imap')
        client = self.ask(p)
        sock = server.accept()[0]
        self.addCleanup(sock.close)
        sock.sendall(b'* OK [CAPABILITY IMAP4rev1] node\r\n')
        line = sock.recv(1000).split(b' ')
        sock.sendall(line[0] + b' OK in\r\n')
        client.expect('a OK in')


class Checks(Base):
    CHECK = {'check': {'interval': '100ms', 'fall': 2, 'rise': 2}, 'connect_timeout': '1s'}

    @staticmethod
    def good(wire):
        while wire.imap_login(greeting='* OK [CAPABILITY IMAP4rev1 IDLE STARTTLS AUTH=X LITERAL+] node'):
            wire.expect_end()

    def test_fall_and_rise(self):
        node = self.node(serve=self.good)
        p = self.proxyd('* node1', nodes={'node1': {'address': node.address}},
                        imap={'backend': {**self.CHECK, 'queue_timeout': '1h'}})
        node.close()
        self.assertEqual(p.wait('node', state='down')['node'], 'node1')
        client = self.ask(p)
        p.wait('route', login='bob')
        back = self.node(port=node.port, serve=self.good)
        client.expect('a OK ...')  # let in when the node came back, not when the queue gave up
        p.wait('node', state='up', service='imap')
        self.assertTrue(back.wires)

    def test_a_down_node_refuses_when_the_queue_is_full(self):
        p = self.proxyd('* node1', nodes={'node1': {'address': f'127.0.0.1:{free_port()}'}},
                        imap={'backend': {**self.CHECK, 'queue_size': 0}})
        p.wait('node', state='down')
        self.ask(p).expect(f'a {UNAVAILABLE}')

    def test_one_failure_is_not_a_fall(self):
        node = self.node()
        p = self.proxyd('* node1', nodes={'node1': {'address': node.address}},
                        imap={'backend': {'check': {'interval': '100ms', 'fall': 2, 'rise': 1}}})
        node.accept().close()
        for _ in range(2):
            self.good(node.accept())
        node.accept().close()
        node.accept().close()
        p.wait('node', state='down')
        self.assertEqual(len(p.events('node')), 1)

    def test_a_check_ends_though_the_node_goes_on_talking(self):
        def drip(wire):
            wire.say('* OK node')
            wire.send(b'* OK ')
            while True:
                wire.send(b'x')
                time.sleep(0.2)

        node = self.node(serve=drip)
        p = self.proxyd('* node1', nodes={'node1': {'address': node.address}},
                        imap={'backend': {'check': {'interval': '1h', 'fall': 1}}})
        self.assertEqual(p.wait('node', seconds=30, state='down')['reason'], 'the node does not answer in time')

    def test_checks_speak_the_protocol_and_leave_politely(self):
        imap, pop3 = self.node(), self.node()
        self.proxyd('* node1', nodes={'node1': {'address': '127.0.0.1',
                                                'ports': {'imap': imap.port, 'pop3': pop3.port}}},
                    imap={'backend': {'check': {'interval': '1h'}}}, pop3={'backend': {'check': {'interval': '1h'}}})
        wire = imap.accept()
        self.assertIsNone(wire.imap_login(greeting='* OK node'))
        wire = pop3.accept()
        self.assertIsNone(wire.pop3_login())

    def test_capabilities_are_learned(self):
        node = self.node(serve=self.good)
        p = self.proxyd('* node1', nodes={'node1': {'address': node.address}},
                        imap={'backend': {'check': {'interval': '100ms'}}, 'mechanisms': ['plain']})
        deadline = time.monotonic() + PATIENCE
        while 'IDLE' not in (greeting := self.connect(p).line()) and time.monotonic() < deadline:
            pass
        self.assertIn('IDLE', greeting)
        self.assertIn('STARTTLS AUTH=PLAIN]', greeting)
        self.assertNotIn('AUTH=X', greeting)


class Hostile(Base):
    def ends_in(self, reason, *said, **backend):
        """The node says this as soon as somebody connects: the client is told that it is away."""
        node = self.node()
        p = self.proxyd(f'* {node.address}', imap={'backend': {'connect_timeout': '2s', **backend}})
        client = self.ask(p)
        wire = node.accept()
        try:
            for data in said:
                wire.send(data)
            wire.end_writing()
        except OSError:
            pass  # proxyd has left already
        client.expect(f'a {UNAVAILABLE}')
        wire.drain()
        self.assertRegex(p.wait('login', result='failed')['reason'], reason)
        client.ask('b NOOP', 'b OK ...')

    def test_preauth(self):
        self.ends_in('(?i)preauth', b'* PREAUTH you are root\r\n')

    def test_garbage(self):
        self.ends_in('.', bytes(range(256)) * 4)

    def test_garbage_without_a_line_end(self):
        self.ends_in('.', b'* OK ' + b'x' * 200000)

    def test_a_flood_of_lines(self):
        self.ends_in('.', b'* OK node\r\n' + b'* 1 EXISTS\r\n' * 100000)

    def test_control_characters(self):
        self.ends_in('.', b'* OK node\r\nl NO a\rb OK\r\n')

    def test_closes_at_once(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}')
        client = self.ask(p)
        node.accept().close()
        client.expect(f'a {UNAVAILABLE}')

    def test_resets(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}')
        client = self.ask(p)
        wire = node.accept()
        wire.say('* OK node')
        wire.line()
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        wire.close()
        client.expect(f'a {UNAVAILABLE}')

    def test_closes_before_the_answer(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}')
        client = self.ask(p, 'pop3')
        wire = node.accept()
        wire.say('+OK node')
        wire.line()
        wire.close()
        client.expect('-ERR [SYS/TEMP] ...')

    def test_stalls_in_the_login(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}', imap={'backend': {'response_timeout': '2s'}})
        client = self.ask(p)
        wire = node.accept()
        wire.say('* OK [CAPABILITY IMAP4rev1] node')
        client.expect(f'a {UNAVAILABLE}')
        p.wait('login', result='failed', reason='the node does not answer in time')
        wire.drain()
        client.say(f'b LOGIN bob {PASSWORD}')  # and he is not held against it
        node.accept().imap_login()
        client.expect('b OK ...')

    def test_stalls_until_the_time_for_logins_is_over(self):
        node = self.node()
        service = {'login_timeout': '2s'}
        p = self.proxyd(f'* {node.address}', imap=service, pop3=service)
        for name, answers in ('imap', [f'a {UNAVAILABLE}', '* BYE ...']), ('pop3', ['-ERR [SYS/TEMP] ...', '-ERR ...']):
            client = self.ask(p, name)
            wire = node.accept()
            client.expect(*answers)
            client.expect_end()
            p.wait('login', service=name, result='failed', reason='login_timeout')
            p.wait('close', service=name, reason='login_timeout')
            wire.drain()

    def test_byte_by_byte(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}')
        client = self.ask(p)
        wire = node.accept()
        for byte in b'* OK [CAPABILITY IMAP4rev1] node\r\n':
            wire.send(bytes([byte]))
        tag = wire.line().split(' ')[0]
        for byte in f'{tag} OK in\r\n'.encode():
            wire.send(bytes([byte]))
        client.expect('a OK in')


class Headers(Base):
    """What the node is told of the client, and what proxyd believes of it."""

    def test_imap_id(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}')
        client = self.connect(p, source='127.0.0.5')
        client.expect('* OK ...')
        client.say(f'a LOGIN bob {PASSWORD}')
        identity = node.accept().imap_login(greeting='* OK [CAPABILITY IMAP4rev1 ID] node')[2]
        session = p.wait('connect')['session']
        port = client.sock.getsockname()[1]
        for pair in (f'"x-originating-ip" "127.0.0.5"', f'"x-originating-port" "{port}"',
                     f'"x-session-id" "{session}"', f'"x-connected-port" "{p.port["imap"]}"'):
            self.assertIn(pair, identity)

    def test_pop3_xclient(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}')
        client = self.connect(p, 'pop3', source='127.0.0.5')
        client.expect('+OK...')
        client.ask('USER bob', '+OK...')
        client.say(f'PASS {PASSWORD}')
        identity = node.accept().pop3_login(capabilities=['USER', 'XCLIENT ADDR PORT SESSION'])[2]
        session = p.wait('connect')['session']
        for word in ('ADDR=127.0.0.5', f'PORT={client.sock.getsockname()[1]}', f'SESSION={session}'):
            self.assertIn(word, identity.split(' '))

    def test_nothing_is_told_where_nothing_is_announced_or_wanted(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}', imap={'backend': {'client_address': 'none'}})
        self.ask(p)
        self.assertEqual(node.accept().imap_login(greeting='* OK [CAPABILITY IMAP4rev1 ID] node')[2], '')
        self.ask(p, 'pop3')
        self.assertEqual(node.accept().pop3_login()[2], '')

    def test_proxy_header_to_the_node(self):
        for version, size in (('proxy_v1', None), ('proxy_v2', 28)):
            with self.subTest(version=version):
                node = self.node()
                p = self.proxyd(f'* {node.address}', imap={'backend': {'client_address': version}})
                client = self.connect(p, source='127.0.0.5')
                client.expect('* OK ...')
                client.say(f'a LOGIN bob {PASSWORD}')
                wire = node.accept()
                source, target = client.sock.getsockname()[1], p.port['imap']
                if size:
                    header = wire.read(size)
                    self.assertEqual(header[:16], b'\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c')
                    self.assertEqual(header[16:], socket.inet_aton('127.0.0.5') + socket.inet_aton('127.0.0.1') +
                                     struct.pack('!HH', source, target))
                else:
                    wire.expect(f'PROXY TCP4 127.0.0.5 127.0.0.1 {source} {target}')
                wire.imap_login()
                client.expect('a OK ...')

    def believing(self):
        p = self.new_proxyd(global_={'trusted_networks': ['127.0.0.1/32', '192.0.2.0/24']},
                            imap={'plaintext_auth': 'trusted'})
        p.sections['imap']['listeners'] = [
            {'address': f'127.0.0.1:{p.port["imap"]}', 'tls': 'starttls', 'proxy_protocol': True},
            {'address': f'127.0.0.1:{p.port["imaps"]}', 'tls': 'implicit', 'proxy_protocol': True}]
        p.configure()
        return p.start()

    def plain_wire(self, p, name='imap', source='127.0.0.1'):
        sock = socket.create_connection(('127.0.0.1', p.port[name]), 5, (source, 0))
        wire = Wire(sock, 'balancer')
        self.addCleanup(wire.close)
        return wire

    def test_header_from_a_trusted_balancer(self):
        p = self.believing()
        v2 = (b'\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c' + socket.inet_aton('192.0.2.7') +
              socket.inet_aton('192.0.2.1') + struct.pack('!HH', 4711, 143))
        for header, address in ((b'PROXY TCP4 192.0.2.7 192.0.2.1 4711 143\r\n', '192.0.2.7:4711'),
                                (v2, '192.0.2.7:4711'),
                                (b'PROXY TCP6 2001:db8::7 2001:db8::1 4711 143\r\n', '[2001:db8::7]:4711')):
            with self.subTest(header=header):
                wire = self.plain_wire(p)
                for byte in header:
                    wire.send(bytes([byte]))
                greeting = wire.line()
                self.assertEqual('LOGINDISABLED' in greeting, address.startswith('['))
                p.wait('connect', client=address)

    def test_header_before_tls(self):
        p = self.believing()
        wire = self.plain_wire(p, 'imaps')
        wire.send(b'PROXY TCP4 192.0.2.8 192.0.2.1 4712 993\r\n')
        wire.start_tls(p.context(), server_hostname='mail.example.org')
        wire.expect('* OK ...')
        p.wait('connect', client='192.0.2.8:4712')

    def test_header_with_much_behind_the_addresses(self):
        p = self.believing()
        wire = self.plain_wire(p)
        head = (b'\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff' + socket.inet_aton('192.0.2.9') +
                socket.inet_aton('192.0.2.1') + struct.pack('!HH', 4713, 143))
        wire.send(head + bytes(60000))
        wire.send(bytes(65535 - 12 - 60000) + b'a NOOP\r\n')
        wire.expect('* OK ...', 'a OK ...')
        p.wait('connect', client='192.0.2.9:4713')

    def test_header_that_is_none_or_not_trusted(self):
        p = self.believing()
        wire = self.plain_wire(p)
        wire.say('a NOOP', 'a NOOP', 'a NOOP', 'a NOOP')
        wire.expect_end()
        wire = self.plain_wire(p, source='127.0.0.2')
        wire.expect_end()
        p.wait('close', count=2, reason='proxy_header')

    def test_no_header_is_believed_where_none_is_configured(self):
        p = self.proxyd(global_={'trusted_networks': ['127.0.0.1/32']})
        wire = self.plain_wire(p)
        wire.expect('* OK ...')
        wire.ask('PROXY TCP4 192.0.2.7 192.0.2.1 4711 143', 'PROXY BAD ...')
        self.assertFalse(p.events('connect', client='192.0.2.7...'))
