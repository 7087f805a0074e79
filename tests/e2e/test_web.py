# SPDX-License-Identifier: ISC
"""The HTTP exchange: what reaches a node and what comes back, kept connections, bodies, upgrades."""
import base64
import ssl
import threading
import time

from web_case import HOST, Message, WebCase, authority, basic


class Forwarding(WebCase):
    def test_a_request_is_written_anew(self):
        node = self.node()
        p = self.web(node, sections={'global_': {'trusted_networks': ['192.0.2.0/24']}})
        client = self.client(p)
        self.ask(client, 'GET http://mail.example.org/a?b=c HTTP/1.1', 'Connection: keep-alive, X-Hop', 'X-Hop: 1',
                 'Keep-Alive: 5', 'TE: trailers', 'Proxy-Connection: x', 'Upgrade: h2c', 'X-Kept:   a  b ',
                 'X-Forwarded-For: 10.9.9.9', 'X_Forwarded_For: 10.9.9.9', 'X-Forwarded-Proto: https',
                 'X-Forwarded-Host: evil', 'X-Real-IP: 10.9.9.9', 'Forwarded: for=10.9.9.9', 'X-Request-ID: mine',
                 'X-Webmail-Template: mine', 'Proxy: evil', 'Cookie: a=1; proxyd_route=xyz; b=2',
                 'Cookie: proxyd_route=1')
        wire = node.accept()
        request = Message(wire)
        self.assertEqual(request.start, 'GET /a?b=c HTTP/1.1')
        self.assertEqual(request['host'], HOST)
        self.assertEqual(request.order[0], 'host')
        self.assertEqual(request['x-kept'], 'a  b')
        self.assertEqual(request['x-forwarded-for'], '127.0.0.1')
        self.assertEqual(request['x-forwarded-proto'], 'http')
        self.assertEqual(request['x-forwarded-host'], HOST)
        self.assertEqual(request['forwarded'], f'for=127.0.0.1;proto=http;host="{HOST}"')
        self.assertEqual(request['cookie'], 'a=1; b=2')
        self.assertRegex(request['x-request-id'], '^[0-9a-f]{16}$')
        self.assertEqual(request['authorization'], basic().split(': ')[1])
        gone = {'x-hop', 'keep-alive', 'te', 'proxy-connection', 'upgrade', 'x_forwarded_for', 'x-real-ip',
                'proxy', 'connection', 'content-length', 'transfer-encoding'}
        self.assertFalse(gone & set(request.fields))
        self.assertNotEqual(request['x-webmail-template'], 'mine')
        self.answer(wire)
        self.assertEqual(Message(client).status, 200)
        line = p.wait('http', method='GET', path='/a', status='200', login='bob@example.org', node=node.address)
        self.assertEqual(line['request'], request['x-request-id'])

    def test_the_end_of_a_connection_tells_the_bytes_of_all_its_requests(self):
        node = self.node()
        p = self.web(node)
        client = self.client(p)
        wire = self.exchange(client, node, body=b'hello')
        self.ask(client, 'POST /a HTTP/1.1', 'Content-Length: 3', body=b'abc')
        self.assertEqual(Message(wire).body(), b'abc')
        self.answer(wire, body=b'you')
        self.assertEqual(Message(client).body(), b'you')
        client.close()
        line = p.wait('close', service='webmail', reason='client_closed')
        self.assertEqual((line['bytes_in'], line['bytes_out']), ('3', '8'))

    def test_a_trusted_proxy_is_believed(self):
        node = self.node()
        client = self.client(self.web(node))
        self.ask(client, 'GET / HTTP/1.1', 'X-Forwarded-For: 192.0.2.7', 'X-Forwarded-Proto: https',
                 'X-Forwarded-Host: outside.example', 'Forwarded: for=192.0.2.7', 'X-Request-ID: from-the-balancer',
                 'X-Real-IP: 192.0.2.7')
        wire = node.accept()
        request = Message(wire)
        self.assertEqual(request['x-forwarded-for'], '192.0.2.7, 127.0.0.1')
        self.assertEqual(request['x-forwarded-proto'], 'https')
        self.assertEqual(request['x-forwarded-host'], 'outside.example')
        self.assertEqual(request['forwarded'], f'for=192.0.2.7, for=127.0.0.1;proto=http;host="{HOST}"')
        self.assertEqual(request['x-request-id'], 'from-the-balancer')
        self.assertEqual(request['x-real-ip'], '192.0.2.7')
        self.answer(wire, '302 Found', f'Location: http://{node.address}/x')
        self.assertEqual(Message(client)['location'], 'https://outside.example/x')

    def test_an_answer_is_put_right(self):
        node = self.node()
        client = self.client(self.web(node, {'tls': 'implicit'}), tls=True)
        self.ask(client)
        wire = node.accept()
        self.assertEqual(Message(wire)['x-forwarded-proto'], 'https')
        for inside, outside in (
                (f'http://{node.address}/a?b#c', f'https://{HOST}/a?b#c'), (f'http://{HOST}/a', f'https://{HOST}/a'),
                (f'http://{HOST}', f'https://{HOST}'), ('/a', '/a'), ('http://elsewhere/a', 'http://elsewhere/a'),
                (f'http://{node.address}0/a', f'http://{node.address}0/a')):
            self.answer(wire, '302 Found', f'Location: {inside}')
            self.assertEqual(Message(client)['location'], outside)
            self.ask(client)
            Message(wire)
        self.answer(wire, '200 Fine', 'Set-Cookie: a=1; Domain=127.0.0.1; Path=/; HttpOnly',
                    'Set-Cookie: b=2; domain=.example.org; Secure', 'Set-Cookie: proxyd_route=evil',
                    'Connection: x-hop', 'X-Hop: 1', 'Keep-Alive: timeout=5', 'X-Kept: 1')
        answer = Message(client)
        self.assertEqual(answer.start, 'HTTP/1.1 200 Fine')
        self.assertEqual(answer.fields['set-cookie'], ['a=1; Path=/; HttpOnly', 'b=2; domain=.example.org; Secure'])
        self.assertFalse({'x-hop', 'keep-alive', 'connection'} & set(answer.fields))
        self.assertEqual(answer['x-kept'], '1')

    def test_another_login_on_the_node(self):
        node = self.node()
        client = self.client(self.web(node, users=f'bob@example.org {node.address} login=bob.b'))
        self.ask(client)
        value = Message(node.accept())['authorization'].removeprefix('Basic ')
        self.assertEqual(base64.b64decode(value).split(b':')[0], b'bob.b')

    def test_logins_go_to_their_nodes(self):
        nodes = {name: self.node(name=name) for name in ('one', 'two')}
        p = self.web(None, users='\n'.join(f'{name}@example.org {node.address}' for name, node in nodes.items()))
        client = self.client(p)
        wires = {}
        for name in 'one', 'two', 'one', 'two':
            wires[name] = self.exchange(client, wires.get(name, nodes[name]), login=f'{name}@example.org')
        self.ask(client, login='three@example.org')
        answer = Message(client)
        self.assertEqual((answer.status, answer['www-authenticate'].split(' ')[0]), (401, 'Basic'))
        answer.body()
        for value in '!!!', base64.b64encode(b'no colon').decode(), base64.b64encode(b'a\nb:c').decode():
            client.say('GET / HTTP/1.1', f'Host: {HOST}', f'Authorization: Basic {value}', '')
            answer = Message(client)
            self.assertEqual(answer.status, 401)
            answer.body()

    def test_verified_here(self):
        node = self.node()
        p = self.web(node, users=f'bob@example.org {node.address} password=right', authentication='proxy')
        client = self.client(p)
        for password, status in ('wrong', 401), ('right', 200):
            client.say('GET / HTTP/1.1', f'Host: {HOST}', basic(password=password), '')
            if status == 200:
                wire = node.accept()
                Message(wire)
                self.answer(wire)
            answer = Message(client)
            self.assertEqual(answer.status, status)
            answer.body()


class Bodies(WebCase):
    def test_up(self):
        node = self.node()
        client = self.client(self.web(node))
        self.ask(client, 'POST /c HTTP/1.1', 'Content-Length: 5', body=b'hello')
        wire = node.accept()
        request = Message(wire)
        self.assertEqual((request['content-length'], request.body()), ('5', b'hello'))
        self.answer(wire)
        Message(client)
        self.ask(client, 'POST /c HTTP/1.1', 'Transfer-Encoding: chunked',
                 body=b'5;ext="x"\r\nhello\r\n006\r\n world\r\n0\r\nChecksum: 1\r\nHost: evil\r\n\r\n')
        request = Message(wire)
        self.assertEqual(request.body(), b'hello world')
        self.assertEqual(request.trailers, ['Checksum: 1'])
        self.answer(wire)
        self.assertEqual(Message(client).status, 200)

    def test_down(self):
        node = self.node()
        client = self.client(self.web(node))
        wire = self.exchange(client, node)
        self.ask(client)
        Message(wire)
        wire.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n')
        answer = Message(client)
        self.assertEqual(answer.chunk(), b'abc')  # at once, not when there is more
        wire.send(b'3\r\ndef\r\n0\r\nChecksum: 1\r\nContent-Length: 7\r\n\r\n')
        self.assertEqual((answer.chunks(), answer.trailers), (b'def', ['Checksum: 1']))
        wire = self.exchange(client, wire)
        self.ask(client)
        Message(wire)
        wire.send(b'HTTP/1.1 200 OK\r\n\r\nuntil the end')
        answer = Message(client)
        self.assertEqual(answer.chunk(), b'until the end')
        wire.close()
        self.assertEqual(answer.chunks(), b'')
        self.exchange(client, node)

    def test_http_1_0(self):
        node = self.node()
        p = self.web(node)
        client = self.client(p)
        client.say('GET / HTTP/1.0', basic(), '')
        wire = node.accept()
        request = Message(wire)
        self.assertEqual((request.start, request['host']), ('GET / HTTP/1.1', '127.0.0.1'))
        wire.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n')
        answer = Message(client)
        self.assertIsNone(answer['transfer-encoding'])
        self.assertEqual(answer['connection'], 'close')
        client.drain()
        self.assertEqual(client.pending, b'abc')
        client = self.client(p)
        for _ in range(2):
            client.say('GET / HTTP/1.0', basic(), 'Connection: keep-alive', '')
            Message(wire)
            self.answer(wire, body=b'x')
            answer = Message(client)
            self.assertEqual((answer['connection'], answer.body()), ('keep-alive', b'x'))

    def test_without_a_body(self):
        node = self.node()
        client = self.client(self.web(node))
        wire = self.exchange(client, node)
        for line, status, length in (('HEAD / HTTP/1.1', '200 OK', '7'), ('GET / HTTP/1.1', '304 Not Modified', '7'),
                                     ('GET / HTTP/1.1', '204 No Content', None)):
            self.ask(client, line)
            Message(wire)
            self.answer(wire, status, 'Content-Length: 7', counted=False)
            answer = Message(client)
            self.assertEqual((answer.start[9:], answer['content-length']), (status, length))
        self.exchange(client, wire)

    def test_100_continue(self):
        node = self.node()
        client = self.client(self.web(node))
        self.ask(client, 'POST / HTTP/1.1', 'Content-Length: 5', 'Expect: 100-continue')
        wire = node.accept()
        request = Message(wire)
        self.assertIsNone(request['expect'])
        self.assertEqual(Message(client).status, 100)
        client.send(b'hello')
        self.assertEqual(request.body(), b'hello')
        self.answer(wire, '103 Early Hints', 'Link: x', counted=False)
        self.answer(wire)
        answer = Message(client)
        self.assertEqual((answer.status, answer['link']), (103, 'x'))
        self.assertEqual(Message(client).status, 200)

    def hold_back(self, p, sender, receiver, size):
        """SENDER says SIZE bytes to RECEIVER, who does not read for a while: then nobody does."""
        done, before = threading.Event(), p.memory()
        threading.Thread(target=lambda: (sender.send(bytes(size)), done.set()), daemon=True).start()
        self.assertFalse(done.wait(0.5))
        self.assertLess(p.memory() - before, 8_000_000)
        got = len(receiver.pending)
        receiver.pending = b''
        while got < size:
            got += len(receiver.sock.recv(1 << 20))
        self.assertEqual(got, size)
        self.assertTrue(done.wait(10))

    def test_large_ones_with_back_pressure(self):
        node, size = self.node(), 30_000_000
        p = self.web(node, http={'upload_size': '1G'})
        client = self.client(p)
        self.ask(client, 'PUT / HTTP/1.1', f'Content-Length: {size}')
        wire = node.accept()
        Message(wire)
        self.hold_back(p, client, wire, size)
        self.answer(wire, '200 OK', f'Content-Length: {size}', counted=False)
        Message(client)
        self.hold_back(p, wire, client, size)
        self.exchange(client, wire)

    def test_events_are_not_held_back(self):
        node = self.node()
        client = self.client(self.web(node, {'tls': 'implicit'}, backend={'response_timeout': '1500ms'}), tls=True)
        self.ask(client)
        wire = node.accept()
        Message(wire)
        wire.send(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n')
        answer = Message(client)
        self.assertEqual(answer.chunk(), b'data: 1\n\n')
        time.sleep(2)  # longer than a node may be silent otherwise
        wire.send(b'data: 2\n\n')
        self.assertEqual(answer.chunk(), b'data: 2\n\n')
        client.close()
        wire.expect_end()

    def test_byte_by_byte(self):
        node = self.node()
        client = self.client(self.web(node))
        head = f'POST /x HTTP/1.1\r\nHost: {HOST}\r\n{basic()}\r\nTransfer-Encoding: chunked\r\n\r\n'
        for byte in head.encode() + b'3\r\nabc\r\n0\r\n\r\n':
            client.send(bytes([byte]))
        wire = node.accept()
        self.assertEqual(Message(wire).body(), b'abc')
        for byte in b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n':
            wire.send(bytes([byte]))
        self.assertEqual(Message(client).body(), b'xy')

    def test_pipelined(self):
        node = self.node()
        client = self.client(self.web(node))
        client.send(''.join(f'POST /{number} HTTP/1.1\r\nHost: {HOST}\r\n{basic()}\r\nContent-Length: 3\r\n\r\nabc'
                            for number in '123').encode())
        wire = node.accept()
        for number in '123':
            request = Message(wire)
            self.assertEqual((request.start, request.body()), (f'POST /{number} HTTP/1.1', b'abc'))
            self.assertEqual(wire.pending, b'')
            self.answer(wire, body=number.encode())
        for number in '123':
            self.assertEqual(Message(client).body(), number.encode())


class Connections(WebCase):
    def test_are_kept(self):
        node = self.node()
        p = self.web(node)
        wire = self.exchange(self.client(p), node)
        for _ in range(3):
            self.exchange(self.client(p), wire)

    def test_a_closed_one_is_replaced(self):
        node = self.node()
        p = self.web(node)
        client = self.client(p)
        wire = self.exchange(client, node)
        wire.close()
        self.exchange(client, node)

    def test_one_that_closes_instead_of_answering_is_asked_again_once(self):
        node = self.node()
        client = self.client(self.web(node))
        wire = self.exchange(client, node)
        self.ask(client)
        Message(wire)
        wire.close()
        wire = node.accept()
        Message(wire)
        wire.close()
        self.assertEqual(Message(client).status, 502)

    def test_a_post_is_not_asked_again(self):
        node = self.node()
        client = self.client(self.web(node))
        wire = self.exchange(client, node)
        self.ask(client, 'POST / HTTP/1.1', 'Content-Length: 1', body=b'x')
        Message(wire)
        wire.close()
        answer = Message(client)
        self.assertEqual(answer.status, 502)
        answer.body()
        wire = self.exchange(client, node)
        wire.close()
        self.ask(client, 'POST / HTTP/1.1', 'Content-Length: 1', body=b'x')
        self.assertEqual(Message(node.accept()).body(), b'x')

    def test_not_after_an_odd_end(self):
        node = self.node()
        p = self.web(node)
        client = self.client(p)
        for answer in (b'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx',
                       b'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil',
                       b'HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx',
                       b'HTTP/1.1 204 OK\r\n\r\nx'):
            self.ask(client)
            wire = node.accept()
            Message(wire)
            wire.send(answer)
            self.assertIn(Message(client).body(), (b'x', b''))
        wire = self.exchange(client, node)
        wire.send(b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil')  # without being asked
        wire.expect_end()
        self.exchange(client, node)

    def test_a_node_that_talks_nonsense(self):
        node = self.node()
        client = self.client(self.web(node))
        for nonsense in (b'hello\r\n\r\n', b'HTTP/1.1 200 OK\nContent-Length: 0\n\n',
                         b'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx',
                         b'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx',
                         b'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
                         b'HTTP/1.1 103 Early\r\n\r\n' * 20 + b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
                         b'HTTP/1.1 200 OK\r\nX: ' + b'y' * 100000 + b'\r\n\r\n', b'HTTP/1.1 200 OK\r\nContent-L'):
            self.ask(client)
            wire = node.accept()
            Message(wire)
            wire.send(nonsense)
            wire.end_writing()
            answer = Message(client)
            while answer.status == 103:
                answer = Message(client)
            self.assertEqual(answer.status, 502, f'{answer.start} for {nonsense[:60]}')
            answer.body()
            wire.close()

    def test_an_answer_that_breaks_off_is_cut_off(self):
        node = self.node()
        p = self.web(node)
        for head in 'Content-Length: 10', 'Transfer-Encoding: chunked':
            client = self.client(p)
            self.ask(client)
            wire = node.accept()
            Message(wire)
            wire.send(f'HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nab'.encode())
            Message(client)
            wire.close()
            client.drain()
            self.assertNotIn(b'0\r\n', client.pending)
        p.wait('http', count=2, status='200', reason='the node left...')

    def test_ntlm_stays_with_its_client(self):
        node = self.node()
        p = self.web(node)
        client, other = self.client(p), self.client(p)
        self.ask(client)
        wire = node.accept()
        Message(wire)
        self.answer(wire, '401 Unauthorized', 'WWW-Authenticate: NTLM')
        Message(client).body()
        second = self.exchange(other, node)
        self.exchange(client, wire)
        self.exchange(other, second)
        client.close()
        wire.expect_end()

    def test_websocket(self):
        node = self.node()
        p = self.web(node, sections={'global_': {'shutdown_grace': '100ms'}})
        client = self.client(p)
        wire = self.exchange(client, node)
        self.ask(client, 'GET /ws HTTP/1.1', 'Connection: keep-alive, Upgrade', 'Upgrade: websocket',
                 'Sec-WebSocket-Key: abc', body=b'early')
        request = Message(wire)
        self.assertEqual((request['connection'], request['upgrade']), ('Upgrade', 'websocket'))
        wire.send(b'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst')
        answer = Message(client)
        self.assertEqual((answer.status, answer['upgrade'], answer['connection']), (101, 'websocket', 'Upgrade'))
        self.assertEqual((client.read(5), wire.read(5)), (b'first', b'early'))
        for data in b'\x81\x00', b'GET / HTTP/1.1\r\n\r\n', bytes(300_000):
            client.send(data)
            self.assertEqual(wire.read(len(data)), data)
            wire.send(data)
            self.assertEqual(client.read(len(data)), data)
        client.close()
        wire.expect_end()
        self.exchange(self.client(p), node)  # the carried one was not kept
        p.wait('http', status='101', path='/ws')

    def test_an_upgrade_that_is_declined(self):
        node = self.node()
        client = self.client(self.web(node))
        self.ask(client, 'GET /ws HTTP/1.1', 'Connection: Upgrade', 'Upgrade: websocket')
        wire = node.accept()
        Message(wire)
        self.answer(wire, '400 Bad', body=b'no')
        self.assertEqual(Message(client).body(), b'no')
        self.exchange(client, wire)

    def test_a_proxy_header_belongs_to_one_client(self):
        node = self.node()
        p = self.web(node, backend={'client_address': 'proxy_v1'})
        for _ in range(2):
            client = self.client(p)
            self.ask(client)
            wire = node.accept()
            port = client.sock.getsockname()[1]
            wire.expect(f'PROXY TCP4 127.0.0.1 127.0.0.1 {port} {p.web_port}')
            Message(wire)
            self.answer(wire)
            Message(client).body()
            self.exchange(client, wire)

    def test_a_proxy_header_from_the_balancer(self):
        node = self.node()
        client = self.client(self.web(node, {'proxy_protocol': True},
                                      sections={'global_': {'trusted_networks': ['127.0.0.0/8']}}))
        client.say('PROXY TCP4 192.0.2.7 192.0.2.1 4711 80')
        self.ask(client)
        wire = node.accept()
        self.assertEqual(Message(wire)['x-forwarded-for'], '192.0.2.7')

    def test_tls_to_the_node(self):
        node = self.node()
        certificate, key = authority().server
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        client = self.client(self.web(node, backend={'tls': 'implicit', 'verify': False}))
        self.ask(client)
        wire = node.accept()
        wire.start_tls(context, server_side=True)
        Message(wire)
        self.answer(wire, body=b'hello')
        self.assertEqual(Message(client).body(), b'hello')
        for size in 0, 100, 100_000:
            self.exchange(client, wire, body=bytes(size))

    def test_an_answer_that_fills_what_is_read_at_once(self):
        node = self.node()
        client = self.client(self.web(node))
        wire = self.exchange(client, node, body=bytes(131072))
        self.exchange(client, wire)


class Ends(WebCase):
    def test_shutdown_lets_an_answer_end(self):
        node = self.node()
        p = self.web(node, sections={'global_': {'shutdown_grace': '1h'}})
        client, idle = self.client(p), self.client(p)
        self.exchange(idle, self.exchange(client, node))
        self.ask(client)
        wire = node.wires[0]
        Message(wire)
        p.signal(15)
        time.sleep(0.3)
        self.answer(wire, body=b'x')
        answer = Message(client)
        self.assertEqual((answer['connection'], answer.body()), ('close', b'x'))
        client.expect_end()
        idle.expect_end()
        self.assertEqual(p.wait_end(), 0)

    def test_shutdown_does_not_wait_for_the_idle(self):
        node = self.node()
        p = self.web(node, sections={'global_': {'shutdown_grace': '1h'}})
        idle = self.client(p)
        self.exchange(idle, node)
        p.signal(15)
        idle.expect_end()
        self.assertEqual(p.wait_end(), 0)

    def test_keepalive_timeout(self):
        node = self.node()
        client = self.client(self.web(node, http={'keepalive_timeout': '200ms'}))
        self.exchange(client, node)
        client.expect_end()

    def test_the_client_leaves_during_its_request(self):
        node = self.node()
        p = self.web(node)
        client = self.client(p)
        self.ask(client)
        wire = node.accept()
        Message(wire)
        client.close()
        wire.expect_end()
        p.wait('http', reason='the client left')

    def test_reload_keeps_running_requests(self):
        node = self.node()
        p = self.web(node)
        client = self.client(p)
        self.ask(client)
        wire = node.accept()
        Message(wire)
        p.reload()
        self.answer(wire, body=b'x')
        self.assertEqual(Message(client).body(), b'x')
        self.exchange(client, wire)

    def test_checks(self):
        def serve(wire):
            self.assertEqual(Message(wire).start, 'HEAD / HTTP/1.1')
            wire.send(b'HTTP/1.1 404 Not Found\r\n\r\n')
            checked.append(1)

        checked = []
        node = self.node(serve=serve)
        p = self.web(node, backend={'check': {'interval': '50ms', 'fall': 1, 'rise': 1}},
                     sections={'nodes': {'n': {'address': node.address}}}, users='* n')
        deadline = time.monotonic() + 10
        while len(checked) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertFalse(p.events('node', state='down'))
        node.close()
        p.wait('node', state='down')

