# SPDX-License-Identifier: ISC
"""Submission: clients that others wrote before real nodes - Dovecot's submission service, and Postfix
that asks Dovecot for passwords - each before a relay that keeps what it gets; and a node played by
hand."""
import base64
import os
import signal
import smtplib
import subprocess
import threading
import time
import unittest

from case import Case, authority, clean_up, start
from dovecot import Dovecot
from postfix import Postfix
from proxyd import MASTER, PASSWORD, TOKEN, UTF8, WRONG
from wire import PATIENCE, Node, free_port, freeze

ALICE, BOB, JUERGEN = 'alice@example.org', 'bob@example.org', 'jürgen@example.org'
USERS = {ALICE: PASSWORD, BOB: PASSWORD, JUERGEN: UTF8}


def b64(word):
    return base64.b64encode(word.encode()).decode()


def plain(login, password):
    return b64(f'\0{login}\0{password}')


# ---- nodes ----

class Relay(Node):
    """Takes all mail: `messages` are (sender, recipients, message)."""

    def __init__(self):
        self.messages, self.news = [], threading.Condition()
        super().__init__(name='relay', serve=self.take)

    def take(self, wire):
        wire.say('220 relay ESMTP')
        sender, recipients = None, []
        while True:
            line = wire.line()
            verb = line[:4].upper()
            if verb == 'EHLO':
                wire.say('250-relay', '250-PIPELINING', '250-8BITMIME', '250-DSN', '250 SIZE 50000000')
            elif verb == 'DATA':
                wire.say('354 go')
                message = list(iter(wire.line, '.'))
                with self.news:
                    self.messages.append((sender, recipients, '\n'.join(message)))
                    self.news.notify_all()
                wire.say('250 2.0.0 taken')
                recipients = []
            else:
                if verb == 'MAIL':
                    sender = line.split('<')[1].split('>')[0]
                elif verb == 'RCPT':
                    recipients = [*recipients, line.split('<')[1].split('>')[0]]
                wire.say('221 2.0.0 bye' if verb == 'QUIT' else '250 2.0.0 OK')

    def wait(self, word):
        """The one message with WORD in it."""
        with self.news:
            assert self.news.wait_for(lambda: self.with_word(word), PATIENCE), f'no message has {word!r}'
            found = self.with_word(word)
        assert len(found) == 1, found
        return found[0]

    def with_word(self, word):
        return [message for message in self.messages if word in message[2]]


class Submission(Dovecot):
    """Dovecot with its submission service before a relay. `auth` is the socket where others may ask
    it for passwords."""

    def __init__(self, folder, relay, **how):
        super().__init__(folder, USERS, **how)
        self.port['submission'], self.auth = free_port(), folder + '/auth'
        with open(os.path.join(folder, 'conf'), 'a') as file:
            file.write(f'''
protocols = imap pop3 submission
hostname = node.example.org
submission_relay_host = 127.0.0.1
submission_relay_port = {relay.port}
service submission-login {{
  chroot =
  inet_listener submission {{
    port = {self.port["submission"]}
    haproxy = {"yes" if how.get("haproxy") else "no"}
  }}
}}
service auth {{
  unix_listener {self.auth} {{
    mode = 0666
  }}
}}
''')


def start_submission(case, **how):
    """A relay and a Dovecot before it, for a class or a test."""
    relay = Relay()
    clean_up(case, relay.close)
    node = start(case, Submission, relay, **how)
    node.relay = relay
    return node


class Direct(Postfix):
    """It hands all mail on while it takes it, so that there is no queue: to the relay of DOVECOT, which
    it asks for passwords. Where it does not ANNOUNCE AUTH, XCLIENT LOGIN says who it is."""

    def __init__(self, folder, dovecot, announce):
        super().__init__(folder, f'''
myhostname = node.example.org
local_recipient_maps =
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {dovecot.auth}
smtpd_sasl_exceptions_networks = {"" if announce else "static:all"}
smtpd_sasl_authenticated_header = yes
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_proxy_filter = 127.0.0.1:{dovecot.relay.port}
smtpd_tls_security_level = may
smtpd_tls_chain_files = {folder}/chain.pem
''', 'tlsmgr unix - - n 1000? 1 tlsmgr')
        certificate, key = authority().issue('localhost')
        with open(key) as file, open(certificate) as more:
            self.write('chain.pem', file.read() + more.read())


# ---- tests ----

class Base(Case):
    def submission(self, users='', **service):
        return self.proxyd(users, submission=service)

    def client(self, p, name='submission', helo='client.example.org', **how):
        """A client who has said EHLO; what he heard is in `heard`."""
        wire = self.connect(p, name, **how)
        wire.expect('220 mail.example.org ESMTP proxyd')
        return self.ehlo(wire, helo)

    @staticmethod
    def ehlo(wire, helo='client.example.org'):
        wire.say(f'EHLO {helo}')
        wire.heard = [wire.line()]
        while wire.heard[-1][3] == '-':
            wire.heard.append(wire.line())
        return wire

    def ask(self, p, login=BOB, password=PASSWORD, **how):
        """A client who waits for the answer to his login."""
        wire = self.client(p, **how)
        wire.say(f'AUTH PLAIN {plain(login, password)}')
        return wire

    def assert_no_more(self, node):
        node.sock.settimeout(0)
        self.assertRaises(BlockingIOError, node.sock.accept)


class Clients(Base):
    @classmethod
    def setUpClass(cls):
        cls.nodes = [start_submission(cls, trusted='127.0.0.1/32') for _ in range(2)]

    def setUp(self):
        super().setUp()
        self.p = self.submission(''.join(f'{login} 127.0.0.1:{node.port["submission"]}\n'
                                     for login, node in zip((ALICE, BOB, JUERGEN), self.nodes * 2)))
        self.context = self.p.context()
        self.context.check_hostname = False  # smtplib asks for the name it connected to

    def message(self, word):
        return f'From: {BOB}\r\nSubject: {word}\r\n\r\n.dots and\r\n..dots\r\n{word}\r\n'

    def assert_sent(self, word, node=1, sender=BOB):
        """It is at the relay of this node, whole and once, and at no other."""
        found = self.nodes[node].relay.wait(word)
        self.assertEqual(found[:2], (sender, ['carol@example.org']))
        self.assertIn('..dots and\n...dots\n' + word, found[2])
        self.assertFalse(self.nodes[1 - node].relay.with_word(word))

    def send(self, client, word, login=BOB, password=PASSWORD):
        client.login(login, password)
        client.sendmail(login, ['carol@example.org'], self.message(word))
        client.quit()

    def test_smtplib_starttls(self):
        for node, login in enumerate((ALICE, BOB)):
            client = smtplib.SMTP('127.0.0.1', self.p.port['submission'], 'client.example.org', PATIENCE)
            client.ehlo()
            self.assertTrue(client.has_extn('STARTTLS'))
            client.starttls(context=self.context)
            client.ehlo()
            self.assertFalse(client.has_extn('STARTTLS'))
            self.send(client, f'starttls-{node}', login)
            self.assert_sent(f'starttls-{node}', node, login)
            event = self.p.wait('login', result='ok', login=login)
            self.assertEqual((event['service'], event['tls']), ('submission', 'TLSv1.3'))

    def test_smtplib_implicit_tls_and_each_mechanism(self):
        for mechanism in 'plain', 'login':
            for initial in True, False:
                with self.subTest(mechanism=mechanism, initial=initial):
                    client = smtplib.SMTP_SSL('127.0.0.1', self.p.port['submissions'], 'client.example.org',
                                              timeout=PATIENCE, context=self.context)
                    client.ehlo()
                    client.user, client.password = BOB, PASSWORD
                    client.auth(mechanism, getattr(client, 'auth_' + mechanism), initial_response_ok=initial)
                    word = f'implicit-{mechanism}-{initial}'
                    client.sendmail(BOB, ['carol@example.org'], self.message(word))
                    client.quit()
                    self.assert_sent(word)

    def test_smtplib_with_a_wrong_password_and_then_the_right_one(self):
        client = smtplib.SMTP('127.0.0.1', self.p.port['submission'], timeout=PATIENCE)
        with self.assertRaises(smtplib.SMTPAuthenticationError) as caught:
            client.login(BOB, WRONG)
        self.assertEqual(caught.exception.smtp_code, 535)
        self.send(client, 'second-try')
        self.assert_sent('second-try')

    def run_client(self, *command, status=0, stdin=''):
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=PATIENCE * 2,
                              env={**os.environ, 'HOME': self.folder}, cwd=self.folder)
        self.assertEqual(done.returncode, status, f'{command}: {done.stdout}\n{done.stderr}')
        return done.stdout

    def curl(self, scheme, name, word, *options, password=PASSWORD, status=0):
        path = os.path.join(self.folder, 'message')
        with open(path, 'w', newline='') as file:
            file.write(self.message(word))
        host, port = 'mail.example.org', self.p.port[name]
        self.run_client('curl', '-sS', '--max-time', '10', '--cacert', authority().file, '--resolve',
                        f'{host}:{port}:127.0.0.1', '-u', f'{BOB}:{password}', '--mail-from', BOB, '--mail-rcpt',
                        'carol@example.org', '-T', path, *options, f'{scheme}://{host}:{port}/client', status=status)

    def test_curl(self):
        for scheme, name, *options in (('smtp', 'submission', '--ssl-reqd'), ('smtps', 'submissions'),
                                       ('smtps', 'submissions', '--login-options', 'AUTH=LOGIN'),
                                       ('smtp', 'submission', '--sasl-ir')):
            with self.subTest(scheme=scheme, options=options):
                word = '-'.join(['curl', scheme, *options]).replace('=', '-')
                self.curl(scheme, name, word, *options)
                self.assert_sent(word)

    def test_curl_with_a_wrong_password(self):
        self.curl('smtps', 'submissions', 'never', password=WRONG, status=67)  # CURLE_LOGIN_DENIED

    def test_swaks(self):
        for port, *options in (('submission', '--tls', '--auth', 'PLAIN'), ('submission', '--auth', 'LOGIN'),
                               ('submissions', '--tlsc', '--auth', 'LOGIN'),
                               ('submission', '--tls', '--pipeline', '--auth', 'PLAIN')):
            with self.subTest(options=options):
                word = '-'.join(['swaks', *options])
                self.run_client('swaks', '--server', '127.0.0.1', '--port', str(self.p.port[port]), '--ehlo',
                                'client.example.org', '--from', BOB, '--to', 'carol@example.org', '--auth-user', BOB,
                                '--auth-password', PASSWORD, '--data', self.message(word), *options)
                self.assert_sent(word)

    def test_openssl_s_client(self):
        words = f'EHLO x\r\nAUTH PLAIN {plain(BOB, PASSWORD)}\r\nNOOP\r\nQUIT\r\n'
        for name, how in (('submission', ['-starttls', 'smtp']), ('submissions', [])):
            with self.subTest(name=name):
                said = self.run_client('openssl', 's_client', '-connect', f'127.0.0.1:{self.p.port[name]}', *how,
                                       '-quiet', '-verify_return_error', '-verify_hostname', 'mail.example.org',
                                       '-CAfile', authority().file, stdin=words)
                self.assertRegex(said, r'235 2\.7\.0 [^\n]*\n250 [^\n]*\n221 ')

    def test_a_message_pipelined_behind_auth(self):
        client = self.client(self.p)
        client.say(f'AUTH PLAIN {plain(BOB, PASSWORD)}', f'MAIL FROM:<{BOB}>', 'RCPT TO:<carol@example.org>', 'DATA')
        client.expect('235 2.7.0 ...', '250 ...', '250 ...', '354 ...')
        client.send('Subject: behind\r\n\r\n..dots and\r\n...dots\r\nbehind\r\n.\r\nQUIT\r\n'.encode())
        client.expect('250 ...', '221 ...')
        client.expect_end()
        self.assert_sent('behind')

    def test_utf8(self):
        client = self.ask(self.p, JUERGEN, UTF8)
        client.expect('235 ...')

    def test_a_large_message(self):
        client = self.ask(self.p)
        client.expect('235 ...')
        client.say(f'MAIL FROM:<{BOB}>', 'RCPT TO:<carol@example.org>', 'DATA')
        client.expect('250 ...', '250 ...', '354 ...')
        line = b'large ' + b'x' * 900 + b'\r\n'
        client.send(b'Subject: a\r\n\r\n' + line * 8000 + b'.\r\n')
        client.expect('250 ...')
        self.assertGreaterEqual(len(self.nodes[1].relay.wait('large xxx')[2]), 8000 * 900)

    def test_the_node_sees_the_clients_address(self):
        """By XCLIENT, which Dovecot believes of login_trusted_networks."""
        client = self.ask(self.p, source='127.0.0.77')
        client.expect('235 ...')
        session = self.p.wait('login', result='ok')['session']
        self.nodes[1].wait_log(f'submission-login: Info: Login: user=<{BOB}>.* rip=127.0.0.77,.* session=<{session}>')


class OtherNodes(Base):
    def test_tls_to_dovecot(self):
        node = start_submission(self, certificate=authority().issue('localhost'))
        p = self.submission(f'* localhost:{node.port["submission"]}',
                        backend={'tls': 'starttls', 'ca_file': authority().file})
        self.ask(p).expect('235 ...')
        node.wait_log('submission-login: Info: Login: .*, TLS, ')

    def test_proxy_protocol_to_dovecot(self):
        node = start_submission(self, haproxy=True)
        for version in 'proxy_v1', 'proxy_v2':
            p = self.submission(f'* 127.0.0.1:{node.port["submission"]}', backend={'client_address': version})
            self.ask(p, source='127.0.0.79').expect('235 ...')
        node.wait_log(r'submission-login: Info: Login: .* rip=127\.0\.0\.79,', 2)

    def test_what_dovecot_announces_is_announced(self):
        node = start_submission(self)
        p = self.proxyd('* node1', nodes={'node1': {'address': f'127.0.0.1:{node.port["submission"]}'}},
                           submission={'backend': {'check': {'interval': '50ms'}}})
        deadline = time.monotonic() + PATIENCE
        while '250-CHUNKING' not in (heard := self.client(p).heard) and time.monotonic() < deadline:
            pass
        self.assertIn('250-CHUNKING', heard)
        self.assertIn('250-STARTTLS', heard)
        self.assertEqual(heard[-1], '250 AUTH PLAIN LOGIN')
        self.assertFalse([line for line in heard if 'XCLIENT' in line])


@unittest.skipUnless(os.getuid() == 0, 'Postfix needs root')
class WithPostfix(Base):
    def setUp(self):
        super().setUp()
        self.dovecot = start_submission(self)

    def postfix(self, announce=True):
        return start(self, Direct, self.dovecot, announce)

    def send(self, client, word):
        client.ask(f'MAIL FROM:<{BOB}>', '250 2.1.0 ...')
        client.ask('RCPT TO:<carol@example.org>', '250 2.1.5 ...')
        client.ask('DATA', '354 ...')
        client.say(f'Subject: {word}', '', word, '.')
        client.expect('250 ...')

    def assert_from(self, source, word):
        """What the node made of XCLIENT."""
        message = self.dovecot.relay.wait(word)[2]
        self.assertIn(f'Received: from client.example.org (unknown [{source}])', message)
        self.assertIn(f'(Authenticated sender: {BOB})', message)

    def test_auth(self):
        node = self.postfix()
        p = self.submission(f'* localhost:{node.port}', backend={'tls': 'starttls', 'ca_file': authority().file})
        client = self.ask(p, source='127.0.0.78')
        client.expect('235 2.7.0 Authentication successful')
        self.send(client, 'by-auth')
        self.assert_from('127.0.0.78', 'by-auth')
        client = self.ask(p, password=WRONG)
        client.expect('535 5.7.8 Error: authentication failed...')
        client.ask(f'AUTH PLAIN {plain(BOB, PASSWORD)}', '235 ...')

    def test_xclient_login(self):
        node = self.postfix(announce=False)
        p = self.submission(f'{BOB} 127.0.0.1:{node.port} password={PASSWORD}', authentication='proxy')
        client = self.ask(p, source='127.0.0.79')
        client.expect('235 2.7.0 Authentication successful')
        self.send(client, 'by-xclient')
        self.assert_from('127.0.0.79', 'by-xclient')
        self.ask(p, password=WRONG).expect('535 5.7.8 ...')


class AtThePlayedNode(Base):
    def test_the_node_gets_what_is_pipelined_exactly_once(self):
        node = self.node()
        p = self.submission(f'* {node.address}')
        client = self.client(p)
        client.say(f'AUTH PLAIN {plain(BOB, PASSWORD)}', 'MAIL FROM:<bob@example.org>', 'RCPT TO:<a@example.org>')
        wire = node.accept()
        self.assertEqual(wire.smtp_login(), (BOB, PASSWORD, ''))
        self.assertEqual(wire.helo, 'client.example.org')
        client.expect('235 2.7.0 hello')
        wire.expect('MAIL FROM:<bob@example.org>', 'RCPT TO:<a@example.org>')
        client.close()
        wire.expect_end()
        self.assert_no_more(node)

    def test_the_nodes_own_words(self):
        node = self.node()
        p = self.submission(f'* {node.address}')
        client = self.ask(p, password=WRONG)
        wire = node.accept()
        wire.smtp_login(answer='535-5.7.8 %s%n out\r\n535 5.7.8 of date')
        client.expect('535-5.7.8 %s%n out', '535 5.7.8 of date')
        wire.expect_end()
        self.assertEqual(p.wait('login', result='failed')['reason'], 'the node refused: 535 5.7.8')
        client.ask('MAIL FROM:<>', '530 5.7.0 ...')

    def test_the_login_that_the_map_names_and_a_master_user(self):
        node = self.node()
        p = self.submission(f'bob {node.address} login=bob.b password={PASSWORD}', authentication='proxy',
                        backend={'login': 'master', 'master_user': 'proxy', 'master_password': MASTER})
        client = self.ask(p, 'BOB')
        wire = node.accept()
        wire.say('220 node')
        wire.expect('EHLO client.example.org')
        wire.say('250-node', '250 AUTH LOGIN PLAIN')
        wire.expect('AUTH PLAIN ' + b64(f'bob.b\0proxy\0{MASTER}'))
        wire.say('235 2.7.0 in')
        client.expect('235 2.7.0 in')

    def test_tokens_are_passed_on(self):
        node = self.node()
        p = self.submission(f'* {node.address}', mechanisms=['plain', 'xoauth2', 'oauthbearer'])
        for mechanism, message in (('XOAUTH2', f'user={BOB}\1auth=Bearer {TOKEN}\1\1'),
                                   ('OAUTHBEARER', f'n,a={BOB},\1auth=Bearer {TOKEN}\1\1')):
            with self.subTest(mechanism=mechanism):
                client = self.client(p, 'submissions')
                client.say(f'AUTH {mechanism} {b64(message)}')
                wire = node.accept()
                wire.say('220 node')
                wire.expect('EHLO ...')
                wire.say('250-node', f'250 AUTH {mechanism}')
                wire.expect(f'AUTH {mechanism} {b64(message)}')
                wire.say('235 2.7.0 in')
                client.expect('235 2.7.0 in')
                self.assertEqual(p.wait('login', result='ok', mechanism=mechanism)['login'], BOB)

    def test_xclient(self):
        node = self.node()
        p = self.submission(f'* {node.address}')
        client = self.ask(p, source='127.0.0.5')
        identity = node.accept().smtp_login(
            capabilities=['AUTH PLAIN', 'XCLIENT NAME ADDR PORT PROTO HELO LOGIN SESSION'])[2]
        client.expect('235 ...')
        session, port = p.wait('connect')['session'], client.sock.getsockname()[1]
        self.assertEqual(identity, f'ADDR=127.0.0.5 PORT={port} NAME=[UNAVAILABLE] PROTO=ESMTP '
                                   f'SESSION={session} HELO=client.example.org')

    def test_nothing_is_told_where_nothing_is_wanted(self):
        node = self.node()
        p = self.submission(f'* {node.address}', backend={'client_address': 'none'})
        self.ask(p)
        self.assertEqual(node.accept().smtp_login(capabilities=['AUTH PLAIN', 'XCLIENT ADDR'])[2], '')

    def test_xclient_login_is_for_those_whose_password_was_checked_here(self):
        node = self.node()
        for authentication, answer in (('proxy', '235 2.7.0 ...'), ('backend', '454 4.7.0 ...')):
            with self.subTest(authentication=authentication):
                p = self.submission(f'{BOB} {node.address} login=b+b password={PASSWORD}',
                                    authentication=authentication)
                client = self.ask(p)
                wire = node.accept()
                wire.say('220 node')
                wire.expect('EHLO client.example.org')
                wire.say('250-node', '250 XCLIENT LOGIN')
                if authentication == 'proxy':
                    wire.expect('XCLIENT LOGIN=b+2Bb')
                    wire.say('220 node')
                    wire.expect('EHLO client.example.org')
                    wire.say('250 node')
                client.expect(answer)

    def test_what_can_be_no_login_never_reaches_the_node(self):
        node = self.node()
        p = self.submission(f'* {node.address}', max_auth_errors=20)
        client = self.client(p)
        for login, password in (('', 'x'), ('bob', ''), ('b\rob', 'x'), ('b' * 256, 'x'), ('bob', 'x\1y')):
            client.ask(f'AUTH PLAIN {plain(login, password)}', '535 5.7.8 ...')
        p.wait('login', count=5, result='failed')
        self.assert_no_more(node)

    def test_checks_speak_the_protocol_and_leave_politely(self):
        node = self.node()
        self.proxyd('* node1', nodes={'node1': {'address': node.address}},
                       submission={'backend': {'check': {'interval': '1h'}}})
        wire = node.accept()
        self.assertIsNone(wire.smtp_login())
        self.assertEqual(wire.helo, 'mail.example.org')
        wire.expect_end()

    def test_a_node_that_greets_with_421_is_down(self):
        node = self.node(serve=lambda wire: wire.say('421 4.3.2 not now'))
        p = self.proxyd('* node1', nodes={'node1': {'address': node.address}},
                           submission={'backend': {'check': {'interval': '50ms', 'fall': 2}, 'queue_size': 0}})
        p.wait('node', state='down')
        self.ask(p).expect('454 4.7.0 ...')

    def test_node_down_or_busy(self):
        p = self.submission(f'* 127.0.0.1:{free_port()}')
        client = self.ask(p)
        client.expect('454 4.7.0 ...')
        client.ask('NOOP', '250 2.0.0 OK')
        node = self.node()
        p = self.submission(f'* {node.address}', backend={'max_connections': 1, 'queue_size': 0})
        first = self.ask(p)
        node.accept().smtp_login()
        first.expect('235 ...')
        self.ask(p).expect('454 4.3.2 ...')

    def test_nodes_that_misbehave(self):
        node = self.node()
        p = self.submission(f'* {node.address}', backend={'connect_timeout': '2s'}, max_errors=1000)
        client = self.client(p)
        for said in (b'', b'+OK pop3\r\n', b'220', b'220 a\rb\r\n', b'220-' + b'x' * 200000, b'220-x\r\n' * 50000,
                     b'220 a\r\n250-b\r\n' + b'250-c\r\n' * 50000, bytes(range(256)) * 4,
                     b'220 a\r\n250-b\r\n250 AUTH PLAIN\r\n235'):
            with self.subTest(said=said[:40]):
                client.say(f'AUTH PLAIN {plain(BOB, PASSWORD)}')
                wire = node.accept()
                try:
                    wire.send(said)
                    wire.end_writing()
                except OSError:
                    pass  # proxyd has left already
                client.expect('454 4.7.0 ...')
                wire.drain()


class Rules(Base):
    def test_what_is_announced_follows_the_state_of_tls(self):
        p = self.submission(plaintext_auth='never', capabilities='SIZE 1000, DSN, AUTH CRAM-MD5')
        client = self.client(p)
        self.assertEqual(client.heard, ['250-mail.example.org', '250-SIZE 1000', '250-DSN', '250 STARTTLS'])
        client.ask('MAIL FROM:<bob@example.org>', '530 5.7.0 Must issue a STARTTLS command first')
        client.ask(f'AUTH PLAIN {plain(BOB, PASSWORD)}', '538 5.7.11 ...')
        p.wait('login', result='failed')
        client.ask('STARTTLS', '220 2.0.0 ...')
        client.start_tls(p.context(), server_hostname='mail.example.org')
        client.ask('MAIL FROM:<bob@example.org>', '503 5.5.1 ...')
        self.ehlo(client)
        self.assertEqual(client.heard, ['250-mail.example.org', '250-SIZE 1000', '250-DSN', '250 AUTH PLAIN LOGIN'])
        client.ask('MAIL FROM:<bob@example.org>', '530 5.7.0 Authentication required')

    def test_bytes_behind_starttls_end_the_session(self):
        p = self.submission()
        client = self.client(p)
        client.say('STARTTLS', 'EHLO eve')
        client.expect('220 ...')
        client.expect_end()
        p.wait('close', reason='injection')

    def test_who_talks_before_the_greeting_is_refused(self):
        p = self.submission()
        freeze(p.process.pid)
        self.addCleanup(p.signal, signal.SIGCONT)
        client = self.connect(p, 'submission')
        client.say('EHLO client.example.org')
        p.signal(signal.SIGCONT)
        client.expect('554 mail.example.org Wait for the greeting')
        client.expect_end()
        self.assertEqual(p.wait('close', reason='too_many_errors')['detail'], 'talked before the greeting')

    def test_http_is_not_talked_with(self):
        p = self.submission()
        for name in 'submission', 'submissions':
            client = self.connect(p, name)
            client.expect('220 ...')
            client.say('POST / HTTP/1.1', 'Host: mail.example.org', '', 'EHLO x')
            client.expect_end()
        p.wait('close', count=2, reason='too_many_errors')

    def test_too_many_errors(self):
        p = self.submission(max_errors=2)
        client = self.client(p)
        client.ask('FROB', '500 5.5.2 ...')
        client.ask('MAIL FROM:<>', '530 5.7.0 ...', '421 ...')
        client.expect_end()

    def test_too_many_failed_logins(self):
        p = self.submission('other 127.0.0.1', max_auth_errors=2)
        client = self.client(p)
        client.ask(f'AUTH PLAIN {plain("eve", "x")}', '535 5.7.8 ...')
        client.ask(f'AUTH PLAIN {plain("eve", "y")}', '535 5.7.8 ...', '421 ...')
        client.expect_end()
        p.wait('login', count=2, result='failed', login='eve')

    def test_last_words(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}', submission={'login_timeout': '3s'}, global_={'shutdown_grace': '0s'})
        slow = self.client(p)
        slow.expect('421 4.3.2 ...')
        slow.expect_end()
        slow.close()
        waiting, inside = self.client(p), self.ask(p)
        node.accept().smtp_login()
        inside.expect('235 2.7.0 hello')
        p.signal(signal.SIGTERM)
        for client in waiting, inside:
            client.expect('421 4.3.2 ...')
            client.expect_end()
            client.close()
        self.assertEqual(p.wait_end(), 0)
