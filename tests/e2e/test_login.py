# SPDX-License-Identifier: ISC
"""Logging in: every way of IMAP and POP3, against a real Dovecot and against a node played by hand."""
import base64
import imaplib
import poplib
import ssl

from case import Case, start_dovecot
from proxyd import PASSWORD, TOKEN, UTF8, WRONG

BOB, JUERGEN = 'bob@example.org', 'jürgen@example.org'


def plain(login, password):
    return base64.b64encode(f'\0{login}\0{password}'.encode()).decode()


def b64(word):
    return base64.b64encode(word.encode()).decode()


class WithDovecot(Case):
    @classmethod
    def setUpClass(cls):
        cls.dovecot = start_dovecot(cls, {BOB: PASSWORD, JUERGEN: UTF8})

    def setUp(self):
        super().setUp()
        port = self.dovecot.port
        self.p = self.proxyd(f'* 127.0.0.1 imap=127.0.0.1:{port["imap"]} pop3=127.0.0.1:{port["pop3"]}')

    def assert_own_mail(self, client, login=BOB):
        client.ask('s SELECT INBOX', *['* ...'] * 7, 's OK ...')
        client.say('f FETCH 1 BODY.PEEK[TEXT]')
        client.expect('* 1 FETCH ...', f'This is the mailbox of {login}.')
        client.expect(')', 'f OK ...')


class Imap(WithDovecot):
    def client(self, name='imap'):
        wire = self.connect(self.p, name)
        wire.expect('* OK [CAPABILITY IMAP4rev1 ...')
        return wire

    def test_imaplib_login(self):
        with imaplib.IMAP4('127.0.0.1', self.p.port['imap']) as client:
            client.login(BOB, PASSWORD)
            self.assertEqual(client.select(), ('OK', [b'1']))
        event = self.p.wait('login', result='ok')
        self.assertEqual((event['login'], event['service']), (BOB, 'imap'))

    def test_imaplib_starttls_and_authenticate(self):
        context = self.p.context()
        context.check_hostname = False  # imaplib asks for the name it connected to
        with imaplib.IMAP4('127.0.0.1', self.p.port['imap']) as client:
            self.assertIn('STARTTLS', client.capabilities)
            client.starttls(context)
            self.assertNotIn('STARTTLS', client.capabilities)
            client.authenticate('PLAIN', lambda _: f'\0{BOB}\0{PASSWORD}'.encode())
            self.assertEqual(client.select(), ('OK', [b'1']))

    def test_imaplib_implicit_tls(self):
        context = self.p.context()
        context.check_hostname = False
        with imaplib.IMAP4_SSL('127.0.0.1', self.p.port['imaps'], ssl_context=context) as client:
            client.login(BOB, PASSWORD)
            self.assertEqual(client.select(), ('OK', [b'1']))
        self.assertEqual(self.p.wait('login', result='ok')['tls'], 'TLSv1.3')

    def test_every_spelling_of_login(self):
        for words in (f'{BOB} {PASSWORD}', f'"{BOB}" "{PASSWORD}"', f'{BOB} "{PASSWORD}"',
                      f'{{{len(BOB)}+}}\r\n{BOB} {{{len(PASSWORD)}+}}\r\n{PASSWORD}'):
            with self.subTest(words=words):
                client = self.client()
                client.ask(f'a login {words}', 'a OK ...')
                self.assert_own_mail(client)

    def test_synchronising_literals(self):
        client = self.client()
        client.ask(f'a LOGIN {{{len(BOB)}}}', '+ ...')
        client.ask(f'{BOB} {{{len(PASSWORD)}}}', '+ ...')
        client.ask(PASSWORD, 'a OK ...')
        self.assert_own_mail(client)

    def test_authenticate(self):
        for lines in ([f'a AUTHENTICATE PLAIN {plain(BOB, PASSWORD)}'],
                      ['a authenticate plain', plain(BOB, PASSWORD)],
                      ['a AUTHENTICATE LOGIN', b64(BOB), b64(PASSWORD)]):
            with self.subTest(lines=lines):
                client = self.client()
                for line in lines[:-1]:
                    client.ask(line, '+ ...')
                client.ask(lines[-1], 'a OK ...')
                self.assert_own_mail(client)

    def test_utf8(self):
        n, m = len(JUERGEN.encode()), len(UTF8.encode())
        for words in (f'LOGIN "{JUERGEN}" "{UTF8}"', f'LOGIN {{{n}+}}\r\n{JUERGEN} {{{m}+}}\r\n{UTF8}',
                      f'AUTHENTICATE PLAIN {plain(JUERGEN, UTF8)}'):
            with self.subTest(words=words):
                client = self.client()
                client.ask(f'a {words}', 'a OK ...')
                self.assert_own_mail(client, JUERGEN)

    def test_wrong_password_then_right(self):
        client = self.client('imaps')
        client.ask(f'tag1 LOGIN {BOB} {WRONG}', 'tag1 NO [AUTHENTICATIONFAILED] ...')
        self.assertEqual(self.p.wait('login', result='failed')['login'], BOB)
        client.ask(f'tag2 LOGIN {BOB} {PASSWORD}', 'tag2 OK ...')
        self.assert_own_mail(client)

    def test_commands_behind_the_login(self):
        client = self.client()
        client.say(f'a LOGIN {BOB} {PASSWORD}', 'b SELECT INBOX', 'c LOGOUT')
        client.expect('a OK ...', *['* ...'] * 7, 'b OK ...', '* BYE ...', 'c OK ...')
        client.expect_end()
        client.close()
        self.assertEqual(self.p.wait('close')['reason'], 'node_closed')

    def test_two_logins_on_one_connection_reach_their_own_mail(self):
        client = self.client()
        client.ask(f'a LOGIN {BOB} {WRONG}', 'a NO ...')
        client.ask(f'b LOGIN "{JUERGEN}" "{UTF8}"', 'b OK ...')
        self.assert_own_mail(client, JUERGEN)


class Pop3(WithDovecot):
    def client(self, name='pop3'):
        wire = self.connect(self.p, name)
        wire.expect('+OK...')
        return wire

    def test_poplib(self):
        client = poplib.POP3('127.0.0.1', self.p.port['pop3'])
        client.user(BOB)
        client.pass_(PASSWORD)
        self.assertEqual(client.stat()[0], 1)
        self.assertIn(f'This is the mailbox of {BOB}.'.encode(), client.retr(1)[1])
        client.quit()

    def test_poplib_stls(self):
        context = self.p.context()
        context.check_hostname = False
        client = poplib.POP3('127.0.0.1', self.p.port['pop3'])
        self.assertIn('STLS', client.capa())
        client.stls(context)
        self.assertNotIn('STLS', client.capa())
        client.user(BOB)
        client.pass_(PASSWORD)
        self.assertEqual(client.stat()[0], 1)
        client.quit()

    def test_implicit_tls_and_auth(self):
        for lines in ([f'AUTH PLAIN {plain(BOB, PASSWORD)}'], ['AUTH PLAIN', plain(BOB, PASSWORD)],
                      ['AUTH LOGIN', b64(BOB), b64(PASSWORD)]):
            with self.subTest(lines=lines):
                client = self.client('pop3s')
                for line in lines[:-1]:
                    client.ask(line, '+ ...')
                client.ask(lines[-1], '+OK...')
                client.ask('STAT', '+OK 1 ...')

    def test_auth_alone_lists_the_mechanisms(self):
        self.client().ask('AUTH', '+OK...', 'PLAIN', 'LOGIN', '.')

    def test_cancelled(self):
        client = self.client()
        client.ask('AUTH PLAIN', '+ ...')
        client.ask('*', '-ERR ...')
        client.ask(f'AUTH PLAIN {plain(BOB, PASSWORD)}', '+OK...')

    def test_utf8(self):
        client = self.client()
        client.ask(f'AUTH PLAIN {plain(JUERGEN, UTF8)}', '+OK...')
        client.ask('STAT', '+OK 1 ...')

    def test_wrong_password_then_right_and_commands_behind(self):
        client = self.client()
        client.say(f'USER {BOB}', f'PASS {WRONG}')
        client.expect('+OK...', '-ERR [AUTH] ...')
        client.say(f'USER {BOB}', f'PASS {PASSWORD}', 'STAT', 'QUIT')
        client.expect('+OK...', '+OK...', '+OK 1 ...', '+OK...')
        client.expect_end()


class AtThePlayedNode(Case):
    def test_the_node_gets_what_is_pipelined_exactly_once(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}')
        client = self.connect(p)
        client.expect('* OK ...')
        client.say(f'a LOGIN bob {PASSWORD}', 'b SELECT INBOX', 'c NOOP')
        wire = node.accept()
        wire.imap_login(answer='OK [CAPABILITY IMAP4rev1 X] in\r\n* 1 EXISTS')
        client.expect('a OK [CAPABILITY IMAP4rev1 X] in', '* 1 EXISTS')
        wire.expect('b SELECT INBOX', 'c NOOP')
        client.close()
        wire.expect_end()

    def test_the_nodes_own_words_come_under_the_clients_tag(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}')
        client = self.connect(p)
        client.expect('* OK ...')
        client.say(f'x.1 LOGIN bob {WRONG}')
        wire = node.accept()
        wire.imap_login(answer='NO [EXPIRED] %s%n out of date')
        client.expect('x.1 NO [EXPIRED] %s%n out of date')
        wire.expect_end()
        self.assertEqual(p.wait('login', result='failed')['reason'], 'the node refused: NO [EXPIRED]')

    def test_what_the_node_repeats_is_not_logged(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}')
        client = self.connect(p)
        client.expect('* OK ...')
        repeated = base64.b64encode(f'\0bob\0{WRONG}'.encode()).decode()
        client.say(f'a LOGIN bob {WRONG}')
        node.accept().imap_login(answer=f'BAD unknown command: l AUTHENTICATE PLAIN {repeated}')
        client.expect('a BAD ...')
        self.assertEqual(p.wait('login', result='failed')['reason'], 'the node refused: BAD')
        self.assertNotIn(repeated, '\n'.join(p.lines))

    def test_the_login_that_the_map_names(self):
        node = self.node()
        p = self.proxyd(f'bob@example.org {node.address} login=bob.b', global_={'default_domain': 'example.org'})
        client = self.connect(p)
        client.expect('* OK ...')
        client.say(f'a LOGIN BOB {PASSWORD}')
        self.assertEqual(node.accept().imap_login()[0], 'bob.b')
        client.expect('a OK ...')

    def test_master_user(self):
        node = self.node()
        p = self.proxyd(f'* {node.address} password={PASSWORD}', imap={'authentication': 'proxy', 'backend': {
            'login': 'master', 'master_user': 'proxy', 'master_password': 'm4ster-word'}})
        client = self.connect(p)
        client.expect('* OK ...')
        client.say(f'a LOGIN bob {PASSWORD}')
        wire = node.accept()
        wire.say('* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] node')
        tag, command, mechanism, message = wire.line().split(' ')
        self.assertEqual((command, mechanism), ('AUTHENTICATE', 'PLAIN'))
        self.assertEqual(base64.b64decode(message), b'bob\0proxy\0m4ster-word')
        wire.say(f'{tag} OK in')
        client.expect('a OK in')

    def test_tokens_are_passed_on(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}', imap={'mechanisms': ['plain', 'xoauth2', 'oauthbearer']})
        for mechanism, message in (('XOAUTH2', f'user=bob@example.org\1auth=Bearer {TOKEN}\1\1'),
                                   ('OAUTHBEARER', f'n,a=bob@example.org,\1auth=Bearer {TOKEN}\1\1')):
            with self.subTest(mechanism=mechanism):
                client = self.connect(p, 'imaps')
                client.expect('* OK ...')
                client.say(f'a AUTHENTICATE {mechanism} {b64(message)}')
                wire = node.accept()
                wire.say(f'* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH={mechanism}] node')
                tag = wire.line().split(' ')[0]
                wire.say(f'{tag} OK in')
                client.expect('a OK in')
                self.assertEqual(p.wait('login', result='ok', mechanism=mechanism)['login'], BOB)

    def test_what_can_be_no_login_never_reaches_the_node(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}', imap={'max_auth_errors': 20})
        client = self.connect(p)
        client.expect('* OK ...')
        for words in ('"" x', 'bob ""', '{5+}\r\nb\r\nob x', '{4+}\r\nb\0ob x', f'{"b" * 256} x', 'bob x\x01y'):
            client.ask(f'a LOGIN {words}', 'a NO [AUTHENTICATIONFAILED] ...')
        p.wait('login', count=6, result='failed')
        node.sock.settimeout(0)
        self.assertRaises(BlockingIOError, node.sock.accept)


class Rules(Case):
    def talk(self, p, name='imap'):
        client = self.connect(p, name)
        greeting = client.line()
        return client, greeting

    def test_capabilities_follow_the_state_of_tls(self):
        p = self.proxyd(imap={'plaintext_auth': 'never'}, pop3={'plaintext_auth': 'never'})
        client, greeting = self.talk(p)
        self.assertRegex(greeting, r'\bSTARTTLS\b.* LOGINDISABLED\b')
        self.assertNotIn('AUTH=', greeting)
        client.ask('a STARTTLS', 'a OK ...')
        client.start_tls(p.context(), server_hostname='mail.example.org')
        client.say('b CAPABILITY')
        line = client.line()
        self.assertIn('AUTH=PLAIN', line)
        self.assertNotRegex(line, 'STARTTLS|LOGINDISABLED')
        client, _ = self.talk(p, 'pop3')
        client.ask('CAPA', '+OK...')
        lines = []
        while lines[-1:] != ['.']:
            lines.append(client.line())
        self.assertIn('STLS', lines)
        self.assertFalse([line for line in lines if line.startswith(('SASL', 'USER'))])

    def test_configured_capabilities(self):
        p = self.proxyd(imap={'capabilities': 'IMAP4rev1 IDLE', 'mechanisms': ['plain']})
        self.assertIn('[CAPABILITY IMAP4rev1 IDLE SASL-IR STARTTLS AUTH=PLAIN]', self.talk(p)[1])

    def test_no_passwords_in_clear(self):
        p = self.proxyd(imap={'plaintext_auth': 'never'}, pop3={'plaintext_auth': 'never'})
        client, _ = self.talk(p)
        client.ask(f'a LOGIN bob {PASSWORD}', 'a NO [PRIVACYREQUIRED] ...')
        client.ask(f'b AUTHENTICATE PLAIN {plain(BOB, PASSWORD)}', 'b NO [PRIVACYREQUIRED] ...')
        client, _ = self.talk(p, 'pop3')
        client.ask('USER bob', '-ERR [AUTH] ...')
        p.wait('login', count=3, result='failed')

    def test_trusted_networks_may_send_them(self):
        p = self.proxyd(global_={'trusted_networks': ['127.0.0.9/32']}, imap={'plaintext_auth': 'trusted'})
        client = self.connect(p, source='127.0.0.9')
        self.assertNotIn('LOGINDISABLED', client.line())
        client = self.connect(p, source='127.0.0.8')
        self.assertIn('LOGINDISABLED', client.line())

    def test_too_many_errors(self):
        p = self.proxyd(imap={'max_errors': 2}, pop3={'max_errors': 2})
        client, _ = self.talk(p)
        client.ask('a FROB', 'a BAD ...')
        client.ask('b FROB', 'b BAD ...', '* BYE ...')
        client.expect_end()
        client, _ = self.talk(p, 'pop3')
        client.ask('FROB', '-ERR ...')
        client.ask('FROB', '-ERR ...')
        while client.more():
            pass
        p.wait('close', count=2, reason='too_many_errors')

    def test_too_many_failed_logins(self):
        p = self.proxyd(imap={'max_auth_errors': 2})
        client, _ = self.talk(p)
        client.ask('a LOGIN eve x', 'a NO [AUTHENTICATIONFAILED] ...')
        client.ask('b LOGIN eve y', 'b NO [AUTHENTICATIONFAILED] ...', '* BYE ...')
        client.expect_end()
        p.wait('login', count=2, result='failed', login='eve')
        p.wait('close', reason='too_many_errors')

    def test_http_is_not_talked_with(self):
        p = self.proxyd()
        for name in ('imap', 'pop3', 'imaps', 'pop3s'):
            client, _ = self.talk(p, name)
            client.say('POST / HTTP/1.1', 'Host: mail.example.org', '', f'a LOGIN bob {PASSWORD}')
            client.expect_end()
        p.wait('close', count=4, reason='too_many_errors')

    def test_bytes_behind_starttls_end_the_session(self):
        p = self.proxyd()
        client, _ = self.talk(p)
        client.say('a STARTTLS', f'b LOGIN bob {PASSWORD}')
        client.expect('a OK ...')
        client.expect_end()
        client, _ = self.talk(p, 'pop3')
        client.say('STLS', 'USER bob')
        client.expect('+OK...')
        client.expect_end()
        p.wait('close', count=2, reason='injection')

    def test_alpn(self):
        p = self.proxyd()
        for name, protocol in (('imaps', 'imap'), ('pop3s', 'pop3')):
            client = self.connect(p, name, context=p.context(alpn=['x', protocol]))
            self.assertEqual(client.sock.selected_alpn_protocol(), protocol)
        self.assertRaises(ssl.SSLError, p.connect, 'imaps', context=p.context(alpn=['http/1.1', 'h2']))
        p.wait('close', reason='tls')

    def test_who_does_not_take_answers_gets_no_more(self):
        p = self.proxyd()
        client, _ = self.talk(p)
        client.sock.settimeout(1)
        with self.assertRaises(TimeoutError):  # nothing is read, and nobody is thrown out for it
            for _ in range(10000):
                client.sock.sendall(b'a NOOP\r\n' * 1000)

    def test_nothing_before_the_login_is_unbounded(self):
        p = self.proxyd()
        for start in ('a LOGIN "', 'a ' + 'X' * 100, 'a ID ('):
            with self.subTest(start=start):
                client, _ = self.talk(p)
                client.send(start.encode())
                with self.assertRaises((ConnectionError, AssertionError)):
                    for _ in range(1000):
                        client.send(b'"x" ' * 1024)
                        client.sock.settimeout(0.01)
                        try:
                            if not client.sock.recv(4096):
                                raise ConnectionError
                        except TimeoutError:
                            pass

