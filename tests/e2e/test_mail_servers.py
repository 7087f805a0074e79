# SPDX-License-Identifier: ISC
"""Port 25 and LMTP with servers and clients that others wrote: Dovecot as LMTP nodes, Postfix as node, as
client and as relay; swaks, curl, smtplib."""
import glob
import os
import smtplib
import subprocess
import time
import unittest

from case import authority, start
from dovecot import Dovecot
from fake_mail import MailNode
from postfix import Mta
from proxyd import PASSWORD
from mail_case import Base
from wire import PATIENCE, free_port

ALICE, BOB, CAROL = 'alice@example.org', 'bob@example.org', 'carol@example.org'


class LmtpDovecot(Dovecot):
    def __init__(self, folder, users, **how):
        super().__init__(folder, users, **how)
        self.port['lmtp'] = free_port()
        with open(os.path.join(folder, 'conf'), 'a') as file:
            file.write(f'''
protocols = imap pop3 lmtp
hostname = node.example.org
postmaster_address = postmaster@example.org
service lmtp {{
  chroot =
  inet_listener lmtp {{
    port = {self.port["lmtp"]}
  }}
}}
service auth {{
  unix_listener auth-userdb {{
    mode = 0666
  }}
}}
''')

    def found(self, login, word):
        """The messages of LOGIN with WORD in them."""
        found = []
        for path in glob.glob(os.path.join(self.folder, 'mail', login, '*', '*')):
            if os.path.isfile(path):
                with open(path, 'rb') as file:
                    text = file.read()
                found += [text] if word.encode() in text else []
        return found

    def wait(self, login, word, others=lambda: ''):
        """Its one message with WORD. OTHERS says what those before it have logged."""
        deadline = time.monotonic() + 3 * PATIENCE
        while not (found := self.found(login, word)):
            assert time.monotonic() < deadline, f'{login} has no {word!r}:\n{self.log()[-3000:]}\n{others()}'
            time.sleep(0.05)
        assert len(found) == 1, found
        return found[0]


class Servers(Base):
    @classmethod
    def setUpClass(cls):
        cls.nodes = [start(cls, LmtpDovecot, {ALICE: PASSWORD, BOB: PASSWORD, CAROL: PASSWORD}) for _ in range(2)]

    def users(self):
        one, two = (f'127.0.0.1:{node.port["lmtp"]}' for node in self.nodes)
        return f'{ALICE} {one}\n{BOB} {two}\n{CAROL} {two}\n'

    def front(self, name='smtp', **how):
        return self.mail(self.users(), name, backend={'protocol': 'lmtp'}, **how)


class Clients(Servers):
    def run_client(self, *command, stdin=''):
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=3 * PATIENCE,
                              env={**os.environ, 'SSL_CERT_FILE': authority().file})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_swaks(self):
        p = self.front()
        for word, more in (('swaks-plain', []), ('swaks-pipeline', ['--pipeline']), ('swaks-tls', ['--tls'])):
            self.run_client('swaks', '--server', f'127.0.0.1:{p.port["smtp"]}', '--from', 'x@example.net', '--to', BOB,
                            '--helo', 'client.example.net', '--body', word, *more)
            self.assertIn(b'from client.example.net', self.nodes[1].wait(BOB, word))

    def test_curl(self):
        p = self.front()
        self.run_client('curl', '-sS', '--url', f'smtp://127.0.0.1:{p.port["smtp"]}/client.example.net', '--mail-from',
                        'x@example.net', '--mail-rcpt', ALICE, '-T', '-', stdin='Subject: curl\r\n\r\n.by-curl\r\n')
        self.assertIn(b'\n.by-curl', self.nodes[0].wait(ALICE, 'by-curl').replace(b'\r', b''))

    def test_smtplib(self):
        p = self.front()
        with smtplib.SMTP('127.0.0.1', p.port['smtp'], timeout=PATIENCE) as client:
            refused = client.sendmail('x@example.net', [BOB, ALICE], 'Subject: x\r\n\r\nby-smtplib\r\n')
            self.assertEqual({rcpt: code for rcpt, (code, _) in refused.items()}, {ALICE: 452})
            client.sendmail('x@example.net', [ALICE], 'Subject: x\r\n\r\nby-smtplib\r\n')
        with smtplib.LMTP('127.0.0.1', self.front('lmtp').port['lmtp']) as client:
            client.sendmail('x@example.net', [CAROL], 'Subject: x\r\n\r\nby-smtplib\r\n')
        for node, login in (0, ALICE), (1, BOB), (1, CAROL):
            self.nodes[node].wait(login, 'by-smtplib')

    def test_a_user_that_the_node_does_not_know(self):
        p = self.mail(f'* 127.0.0.1:{self.nodes[0].port["lmtp"]}', backend={'protocol': 'lmtp'})
        client = self.client(p)
        client.ask('MAIL FROM:<>', '250 ...')
        client.ask('RCPT TO:<nobody@example.org>', '550 5.1.1 <nobody@example.org> User doesn\'t exist...')


@unittest.skipUnless(os.getuid() == 0, 'Postfix needs root')
class WithPostfix(Servers):
    def submit(self, mta, *recipients, word):
        with smtplib.SMTP('127.0.0.1', mta.port, timeout=PATIENCE) as client:
            client.sendmail('x@example.net', recipients, f'Subject: x\r\n\r\n{word}\r\n.dots\r\n')

    def wait_all(self, mta, p, word):
        """ALICE, BOB and CAROL have each got the message of that word, whole, through MTA and P."""
        for node, login in (0, ALICE), (1, BOB), (1, CAROL):
            text = self.nodes[node].wait(login, word, lambda: '\n'.join([mta.log(), *p.lines]))
            self.assertIn(b'.dots', text)

    def test_as_the_client_by_smtp(self):
        """Recipients of two nodes come in messages of their own, for they were told 452."""
        p = self.front()
        mta = start(self, Mta, f'smtp:[127.0.0.1]:{p.port["smtp"]}')
        self.submit(mta, ALICE, BOB, CAROL, word='postfix-smtp')
        self.wait_all(mta, p, 'postfix-smtp')

    def test_as_the_client_by_lmtp(self):
        p = self.front('lmtp')
        mta = start(self, Mta, f'lmtp:inet:127.0.0.1:{p.port["lmtp"]}')
        self.submit(mta, ALICE, BOB, CAROL, word='postfix-lmtp')
        self.wait_all(mta, p, 'postfix-lmtp')
        p.wait('message', count=3, result='delivered')
        self.assertEqual(len({line['session'] for line in p.events('message')}), 1)

    def test_as_the_node_and_the_relay(self):
        behind = MailNode(self)
        mta = start(self, Mta, f'smtp:[127.0.0.1]:{behind.node.port}', trusted='127.0.0.1')
        p = self.mail(f'{BOB} 127.0.0.1:{mta.port}', relay=f'127.0.0.1:{mta.port}', relay_networks=['127.0.0.66/32'],
                      backend={'check': {'interval': '100ms'}}, more={'nodes': {'mta': {'address': f'127.0.0.1:{mta.port}'}}})
        client = self.client(p, source='127.0.0.66')
        self.send(client, BOB, answer='250 2.0.0 Ok: queued as ...')
        self.send(client, 'eve@example.com', answer='250 2.0.0 Ok: queued as ...')
        self.begin(client, BOB)
        client.send(b'BDAT 5\r\nx\r\n\r\nBDAT 9 LAST\r\nchunked\r\n')
        client.expect('250 2.0.0 5 octets received', '250 2.0.0 Ok: ...')
        with behind.news:
            behind.news.wait_for(lambda: len(behind.messages) == 3, 3 * PATIENCE)
        self.assertEqual(len(behind.messages), 3)
        for _, _, text, _ in behind.messages:
            self.assertIn(b'Received: from client.example.org (unknown [127.0.0.66]', text)
            self.assertIn(b'by mail.example.org (proxyd) with ESMTP', text)
        self.assertIn('client=unknown[127.0.0.66]', mta.log())
