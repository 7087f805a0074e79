# SPDX-License-Identifier: ISC
"""Access lists, limits and what failed logins cost: every limit, every level, every protocol."""
import socket
import struct
import threading
import time
import urllib.error
import urllib.request

from case import Case
from proxyd import PASSWORD, WRONG
from web_case import Message, WebCase, basic
from wire import PATIENCE, Wire, free_port, matches

GREETINGS = {'imap': '* OK ...', 'pop3': '+OK ...', 'submission': '220 ...', 'sieve': '"IMPLEMENTATION"...'}
REFUSALS = {'imap': '* BYE ...', 'pop3': '-ERR ...', 'submission': '421 4.3.2 ...', 'sieve': 'BYE ...'}
COUNTS = 'connections', 'connections_per_ip', 'rate', 'rate_per_ip'
SOON = '1s'  # an interval
LATE = 2  # seconds that a failed login waits for its answer, at least


class Limits(Case):
    def come(self, p, name='imap', source='127.0.0.1', send=b''):
        """A connection; whether it is let in, and the wire."""
        sock = socket.create_connection(('127.0.0.1', p.port[name]), 10, (source, 0))
        wire = Wire(sock, 'client')
        self.addCleanup(wire.close)
        if send:
            wire.send(send)
        return wire

    def welcome(self, p, name='imap', source='127.0.0.1', send=b''):
        wire = self.come(p, name, source, send)
        wire.expect(GREETINGS[name])
        return wire

    def refused(self, p, name='imap', source='127.0.0.1', send=b''):
        wire = self.come(p, name, source, send)
        line = wire.expect(REFUSALS[name])
        wire.expect_end()
        return line

    def wait_until_let_in(self, p):
        deadline = time.monotonic() + PATIENCE
        while not self.come(p).line().startswith('* OK'):
            self.assertLess(time.monotonic(), deadline, 'nobody was let in any more')
            time.sleep(0.05)


class EveryLimit(Limits):
    def test_at_every_level(self):
        """Two are let in, and the third is not, until it may; of an address: another one's may."""
        for level in 'listener', 'service', 'global':
            for limit in COUNTS:
                with self.subTest(level=level, limit=limit):
                    port = free_port()
                    p = self.proxyd(**self.limited(level, port, {limit: 2, 'interval': '1h'}))
                    p.port['imap'] = port
                    first, _ = self.welcome(p), self.welcome(p)
                    self.refused(p)
                    name = {'listener': f'imap 127.0.0.1:{p.port["imap"]}', 'service': 'imap', 'global': 'global'}[level]
                    close = p.wait('close', reason='refused', detail=limit, by=name, client='127.0.0.1:...')
                    self.assertEqual([close[key] for key in ('bytes_in', 'bytes_out', 'seconds')], ['0', '0', '0.000'])
                    if limit.endswith('_per_ip'):
                        self.welcome(p, source='127.0.0.2')
                    else:
                        self.refused(p, source='127.0.0.2')
                    if limit.startswith('connections'):
                        first.close()
                    else:
                        p.reload(**self.limited(level, port, {limit: 2, 'interval': SOON}))
                    self.wait_until_let_in(p)

    @staticmethod
    def limited(level, port, limits):
        """Sections in which LEVEL has LIMITS."""
        def at(where):
            return {'limits': limits} if where == level else {}

        listener = {'address': f'127.0.0.1:{port}', **at('listener')}
        return {'imap': {'listeners': [listener], **at('service')},
                'global_': {'workers': {'min': 2, 'max': 2}, **at('global')}}

    def test_in_every_protocol(self):
        p = self.proxyd(submission={}, services={'sieve': {
            'listeners': [{'address': f'127.0.0.1:{free_port()}'}], 'maps': ['local'], 'plaintext_auth': 'always',
            'backend': {'check': {'interval': '0s'}}}}, global_={'limits': {'connections_per_ip': 1}})
        p.port['sieve'] = int(p.config['services']['sieve']['listeners'][0]['address'].split(':')[1])
        self.welcome(p)
        for number, name in enumerate(REFUSALS):
            with self.subTest(protocol=name):
                self.refused(p, name)
                self.welcome(p, name, f'127.0.0.{number + 2}')

    def test_before_tls_nothing_is_said(self):
        p = self.proxyd(global_={'limits': {'connections': 1}})
        self.welcome(p)
        wire = self.come(p, 'imaps')
        wire.expect_end()
        p.wait('close', reason='refused', detail='connections', by='global')

    def test_services_have_counts_of_their_own(self):
        p = self.proxyd(imap={'limits': {'connections': 1}}, pop3={'limits': {'connections': 2}})
        self.welcome(p)
        self.refused(p)
        self.welcome(p, 'pop3')
        self.welcome(p, 'pop3')
        self.refused(p, 'pop3')

    def test_who_has_said_something_already_is_told_too(self):
        p = self.proxyd(global_={'limits': {'connections': 1}})
        self.welcome(p)
        for _ in range(20):
            self.refused(p, send=b'a LOGIN bob secret\r\n')

    def test_exact_over_workers(self):
        """400 come at the same time: as many as may are let in, no more and no fewer."""
        p = self.proxyd(global_={'workers': {'min': 4, 'max': 4}, 'limits': {'connections': 150}},
                        imap={'limits': {'connections_per_ip': 40}})
        lines, threads = [], []

        def come(number):
            for _ in range(10):
                lines.append(self.come(p, source=f'127.0.1.{number % 5 + 1}').line())

        for number in range(40):
            threads.append(threading.Thread(target=come, args=(number,)))
            threads[-1].start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(lines), 400)
        self.assertEqual(sum(line.startswith('* OK') for line in lines), 150)
        lines.clear()
        come(7)
        self.assertEqual(sum(line.startswith('* OK') for line in lines), 0)

    def test_a_reload_forgets_nothing(self):
        p = self.proxyd(global_={'limits': {'connections_per_ip': 2, 'rate': 3, 'interval': '1h'}})
        self.welcome(p)
        self.welcome(p)
        p.reload()
        self.refused(p)
        self.welcome(p, source='127.0.0.2')
        p.reload()
        self.refused(p, source='127.0.0.3')
        p.reload(global_={'limits': {'connections_per_ip': 3, 'rate': 4}})
        self.welcome(p)
        self.refused(p)
        p.reload(global_={'limits': {'connections_per_ip': 0, 'rate': 0}})
        self.welcome(p)

    def test_a_flood_fills_no_log(self):
        p = self.proxyd(global_={'limits': {'connections_per_ip': 1, 'interval': SOON}})
        self.welcome(p)
        begin = time.monotonic()
        for _ in range(200):
            self.refused(p)
        intervals = time.monotonic() - begin + 1
        self.assertLessEqual(len(p.events('close', reason='refused')), intervals)
        time.sleep(1.1)  # the interval is over
        self.refused(p)
        deadline = time.monotonic() + PATIENCE
        while (told := sum(1 + int(e.get('unlogged', 0)) for e in p.events('close', reason='refused'))) < 201:
            self.assertLess(time.monotonic(), deadline, f'{told} of 201 are told')
        self.assertEqual(told, 201)


class Access(Limits):
    def test_the_first_list_with_a_match_decides(self):
        inner = {'access': [{'allow': '127.0.0.1'}, {'deny': '127.0.0.2'}]}
        port = free_port()
        p = self.proxyd(imap={'listeners': [{'address': f'127.0.0.1:{port}', **inner}],
                              'access': [{'deny': '127.0.0.0/24'}, {'allow': '127.0.1.0/24'}]},
                        global_={'access': [{'deny': '127.0.0.0/8'}]})
        p.port['imap'] = port
        self.welcome(p, source='127.0.0.1')
        for source, by in ('127.0.0.2', f'imap 127.0.0.1:{port}'), ('127.0.0.3', 'imap'), ('127.0.2.1', 'global'):
            self.assertIn('Access denied', self.refused(p, source=source))
            p.wait('close', reason='refused', detail='access', by=by, client=f'{source}:...')
        self.welcome(p, source='127.0.1.1')
        self.assertIn('Access denied', self.refused(p, 'pop3', source='127.0.1.1'))

    def test_none_is_allowed(self):
        self.welcome(self.proxyd(global_={'access': [{'deny': '192.0.2.0/24'}, {'deny': '::/0'}]}))

    def test_a_reload_denies(self):
        p = self.proxyd()
        before = self.welcome(p)
        p.reload(global_={'access': [{'deny': 'all'}]})
        self.refused(p)
        before.ask('a NOOP', 'a OK ...')  # who is in stays in


class ThroughABalancer(Limits):
    """It is the address in the PROXY header that counts."""

    def balanced(self, **limits):
        p = self.new_proxyd(global_=limits)
        for listener in p.config['services']['imap']['listeners']:
            listener['proxy_protocol'] = True
        p.configure(global_={'trusted_networks': ['127.0.0.0/8']},
                    imap={'listeners': [{'address': f'127.0.0.1:{p.port["imap"]}', 'proxy_protocol': True}]})
        return p.start()

    @staticmethod
    def v1(address):
        return f'PROXY TCP{6 if ":" in address else 4} {address} {address} 4000 143\r\n'.encode()

    def test_limits(self):
        p = self.balanced(limits={'connections_per_ip': 1})
        self.welcome(p, send=self.v1('192.0.2.1'))
        self.refused(p, send=self.v1('192.0.2.1'))
        e = p.wait('close', reason='refused', detail='connections_per_ip', client='192.0.2.1:4000')
        self.assertTrue(e['session'])
        self.welcome(p, send=self.v1('192.0.2.2'))
        self.welcome(p, send=self.v1('2001:db8::1'))
        self.refused(p, send=self.v1('2001:db8::ffff:1'))  # of the same /64
        self.welcome(p, send=self.v1('2001:db8:0:1::1'))
        self.refused(p, send=self.v1('::ffff:192.0.2.1'))  # the same as 192.0.2.1
        p.reload()
        self.refused(p, send=self.v1('192.0.2.2'))
        p.wait('close', reason='refused', count=3)
        self.assertEqual(len(p.events('close', reason='refused')), 3)  # one an address: 192.0.2.1 was refused twice
        self.assertEqual(p.events('connect', client='192.0.2.1:4000')[1:], [])

    def test_access(self):
        p = self.balanced(access=[{'deny': '2001:db8::/32'}, {'deny': '192.0.2.0/24'}])
        for address in '192.0.2.1', '2001:db8::1', '::ffff:192.0.2.1':
            self.refused(p, send=self.v1(address))
        self.welcome(p, send=self.v1('192.0.3.1'))

    def test_the_balancers_own_connections_are_not_limited(self):
        p = self.balanced(limits={'connections': 1, 'rate_per_ip': 1}, access=[{'deny': 'all'}])
        local = b'\r\n\r\n\0\r\nQUIT\n' + struct.pack('!BBH', 0x20, 0, 0)
        for _ in range(5):
            self.welcome(p, send=local)
        self.assertEqual(p.events('close', reason='refused'), [])


class Logins(Limits):
    """What failed logins cost, and whom."""

    def setUp(self):
        super().setUp()
        self.home = self.node(serve=self.serve)

    @staticmethod
    def serve(wire):
        """Takes PASSWORD, and is out of order for who says so."""
        words = {PASSWORD: 'OK hello', 'later': 'NO [UNAVAILABLE] later', 'full': 'NO [LIMIT] too many'}
        wire.say('* OK [CAPABILITY IMAP4rev1] node')
        while b'\n' in wire.pending or wire.more():
            tag, command, *rest = wire.line().split(' ')
            if command == 'LOGIN':
                wire.say(f'{tag} {words.get(rest[1].strip(chr(34)), "NO [AUTHENTICATIONFAILED] no")}')
            else:
                wire.say(f'{tag} OK done')
        wire.close()

    def serving(self, **how):
        imap = {'authentication': 'proxy', 'max_auth_errors': 100, **how.pop('imap', {})}
        return self.proxyd(f'bob@example.org {self.home.address} password={{PLAIN}}{PASSWORD}\n'
                           f'eve@example.org {self.home.address} password={{PLAIN}}{PASSWORD}\n', imap=imap, **how)

    def try_login(self, wire, login='bob@example.org', password=WRONG):
        """The answer, and how long it took."""
        begin = time.monotonic()
        wire.say(f'a LOGIN {login} {password}')
        return wire.line(), time.monotonic() - begin

    def assert_fails(self, p, login='bob@example.org', password=WRONG, source='127.0.0.1', at_least=2, words='AUTHENTICATIONFAILED'):
        answer, took = self.try_login(self.welcome(p, source=source), login, password)
        self.assertIn(words, answer)
        self.assertGreaterEqual(took, at_least)
        return took

    def assert_let_in(self, p, source='127.0.0.1'):
        self.assert_not_late(p, 'a OK hello', PASSWORD, source)

    def assert_not_late(self, p, words, password, source='127.0.0.1'):
        """The login gets such an answer before a refused one would; a busy machine may make it late, but not thrice."""
        for _ in range(3):
            wire = self.welcome(p, source=source)
            answer, took = self.try_login(wire, password=password)
            wire.close()
            self.assertTrue(matches(words, answer), answer)
            if took < LATE:
                return
        self.fail(f'it took {took} s')

    def test_a_failure_is_logged_at_once_and_answered_late(self):
        for authentication in 'proxy', 'backend':
            with self.subTest(authentication=authentication):
                p = self.serving(imap={'authentication': authentication, 'backend': {'max_connections': 1}})
                for login in 'bob@example.org', 'nobody@example.org':
                    wire = self.welcome(p)
                    begin = time.monotonic()
                    wire.say(f'a LOGIN {login} {WRONG}')
                    p.wait('login', result='failed', login=login)
                    self.assert_let_in(p)  # the node has its only place again, and others do not wait
                    wire.expect('a NO [AUTHENTICATIONFAILED] ...')
                    self.assertGreaterEqual(time.monotonic() - begin, 2)

    def test_it_grows_with_the_failures_of_the_address(self):
        p = self.serving()
        self.assert_fails(p, password='one')
        self.assert_fails(p, password='two', at_least=2.5)
        self.assert_fails(p, password='three', at_least=3)
        others = [self.assert_fails(p, source=f'127.0.0.{number}') for number in (2, 3)]
        self.assertLess(min(others), 3)
        self.assert_let_in(p)

    def test_what_is_stored_somewhere_does_not_lock_out(self):
        p = self.serving(global_={'limits': {'auth_failures_per_ip': 2, 'interval': '1h'}})
        wires = [self.welcome(p) for _ in range(8)]
        for wire in wires:
            wire.say(f'a LOGIN bob@example.org {WRONG}')
        for wire in wires:
            wire.expect('a NO [AUTHENTICATIONFAILED] ...')
        self.assert_let_in(p)

    def test_beyond_the_limit_logins_are_refused(self):
        for level in 'service', 'global':
            with self.subTest(level=level):
                limits = {'limits': {'auth_failures_per_ip': 2, 'interval': '5s'}}
                p = self.serving(**{'imap' if level == 'service' else 'global_': limits})
                wires = self.welcome(p), self.welcome(p)
                for number, wire in enumerate(wires):
                    wire.say(f'a LOGIN bob@example.org guess{number}')
                p.wait('login', count=2, result='failed')
                begin = time.monotonic()
                self.assert_fails(p, password=PASSWORD, words='UNAVAILABLE')
                self.assertIn('too many failed logins', p.wait('login', count=3, result='failed')['reason'])
                self.assert_let_in(p, source='127.0.0.2')
                p.reload()
                answer, _ = self.try_login(self.welcome(p), password=PASSWORD)
                if time.monotonic() - begin < 4.9:
                    self.assertIn('UNAVAILABLE', answer)
                time.sleep(max(0, begin + 5.1 - time.monotonic()))  # the interval is over
                self.assert_let_in(p)

    def test_who_mistypes_is_forgiven(self):
        p = self.serving(imap={'limits': {'auth_failures_per_ip': 2, 'interval': '1h'}})
        for _ in range(3):
            self.assert_fails(p)
            self.assert_let_in(p)

    def test_the_nodes_refusals_count_where_they_blame_the_password(self):
        p = self.serving(imap={'authentication': 'backend', 'limits': {'auth_failures_per_ip': 2, 'interval': '1h'}})
        for words in 'later', 'full', 'later', 'full':
            self.assert_not_late(p, 'a NO [...', words)
        self.assert_fails(p, password='one')
        self.assert_fails(p, password='two')
        answer, _ = self.try_login(self.welcome(p), password=PASSWORD)
        self.assertIn('UNAVAILABLE', answer)

    def test_leaving_early_does_not_help(self):
        p = self.serving(imap={'limits': {'auth_failures_per_ip': 5, 'interval': '1h'}})
        for number in range(5):
            wire = self.welcome(p)
            wire.say(f'a LOGIN bob@example.org guess{number}')
            p.wait('login', count=number + 1, result='failed')
            wire.close()
        p.wait('close', count=5)
        answer, _ = self.try_login(self.welcome(p), password=PASSWORD)
        self.assertIn('UNAVAILABLE', answer)

    def test_many_at_once_get_no_more_guesses(self):
        """As many come at the same time as no check before the login could stop."""
        p = self.serving(imap={'authentication': 'backend', 'limits': {'auth_failures_per_ip': 3, 'interval': '1h'}})
        wires = [self.welcome(p) for _ in range(12)]
        for number, wire in enumerate(wires):
            wire.say(f'a LOGIN bob@example.org guess{number}')
        p.wait('login', count=12, result='failed')
        wire = self.welcome(p)
        wire.say(f'a LOGIN bob@example.org {PASSWORD}')
        wire.expect('a NO [UNAVAILABLE] ...')


class Webmail(Limits):
    def webmail(self, **limits):
        port = free_port()
        p = self.proxyd('* 127.0.0.1', services={'webmail': {
            'listeners': [{'address': f'127.0.0.1:{port}'}], 'maps': ['local'], 'session': {'keys': '0' * 64},
            'backend': {'check': {'interval': '0s'}}, **limits}})
        return p, f'http://127.0.0.1:{port}/_proxyd/none'

    def status(self, url):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(url, timeout=10) as answer:
                return answer.status, answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers

    def test_too_many(self):
        p, url = self.webmail(limits={'connections': 1})
        sock = socket.create_connection(('127.0.0.1', int(url.split(':')[2].split('/')[0])), 10)
        self.addCleanup(sock.close)
        p.wait('connect', service='webmail')
        status, headers = self.status(url)
        self.assertEqual((status, headers['Connection'], headers['Retry-After']), (503, 'close', '60'))

    def test_too_often(self):
        p, url = self.webmail(limits={'rate_per_ip': 1, 'interval': '1h'})
        self.assertNotIn(self.status(url)[0], (429, 503))
        for _ in range(20):
            self.assertEqual(self.status(url)[0], 429)

    def test_denied(self):
        p, url = self.webmail(access=[{'deny': 'all'}])
        self.assertEqual(self.status(url)[0], 503)


class WebLogins(WebCase):
    """Authorization: Basic; that of the page is in test_web_login.py."""
    LIMITS = {'limits': {'auth_failures_per_ip': 3, 'interval': '1h'}}

    def serving(self, authentication='proxy'):
        self.home = self.node()
        return self.web(self.home, users=f'bob@example.org {self.home.address} password={{PLAIN}}{PASSWORD}',
                        authentication=authentication, **self.LIMITS)

    def send(self, p, password, *fields):
        client = self.client(p)
        client.send('\r\n'.join(['GET / HTTP/1.1', 'Host: mail.example.org', basic(password=password), *fields, '', '']).encode())
        return client

    def test_late_and_limited_by_whom_a_balancer_names(self):
        p = self.serving()
        forwarded = 'X-Forwarded-For: 203.0.113.9, 192.0.2.1, 127.0.0.9'
        begin = time.monotonic()
        for client in [self.send(p, f'guess{number}', forwarded) for number in range(3)]:
            self.assertEqual(Message(client).status, 401)
        self.assertGreaterEqual(time.monotonic() - begin, 2)
        self.assertEqual([e['address'] for e in p.ask('status')['refused']], ['192.0.2.1'])
        self.assertEqual(Message(self.send(p, PASSWORD, forwarded)).status, 503)
        for other in 'X-Forwarded-For: 192.0.2.1, 192.0.2.2', 'X-Forwarded-For: 192.0.2.1, unknown', 'Accept: */*':
            client = self.send(p, PASSWORD, other)
            wire = self.home.accept()
            Message(wire)
            self.answer(wire)
            self.assertEqual(Message(client).status, 200)
            wire.close()

    def test_the_nodes_401_counts(self):
        p = self.serving('backend')
        for number in range(3):
            client = self.send(p, f'guess{number}')
            wire = self.home.accept()
            Message(wire)
            self.answer(wire, '401 Unauthorized', 'WWW-Authenticate: Basic realm="node"')
            self.assertEqual(Message(client).status, 401)
            wire.close()
        p.wait('login', count=3, result='failed', reason='the node refused the login')
        self.assertEqual(Message(self.send(p, PASSWORD)).status, 503)
