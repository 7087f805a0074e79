# SPDX-License-Identifier: ISC
"""Clients that others wrote - curl, openssl s_client, mbsync, fetchmail - before two real Dovecot
nodes, and what those nodes learn of the client."""
import glob
import os
import subprocess

from case import Case, authority, start_dovecot
from proxyd import PASSWORD, WRONG
from wire import PATIENCE

ALICE, BOB = 'alice@example.org', 'bob@example.org'


class Clients(Case):
    @classmethod
    def setUpClass(cls):
        # Each user has his mail on one node and only an empty account on the other.
        users = {ALICE: PASSWORD, BOB: PASSWORD}
        cls.nodes = [start_dovecot(cls, users, trusted='127.0.0.1/32') for _ in users]

    def setUp(self):
        super().setUp()
        for number, (login, node) in enumerate(zip((ALICE, BOB), self.nodes)):
            node.deliver(login, f'On node {number}', f'Mail of {login} on node {number}')
            node.give_away()
        self.p = self.proxyd(''.join(
            f'{login} 127.0.0.1 imap=127.0.0.1:{node.port["imap"]} pop3=127.0.0.1:{node.port["pop3"]}\n'
            for login, node in zip((ALICE, BOB), self.nodes)))

    def run_client(self, *command, stdin='', status=0):
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=PATIENCE * 2,
                              env={**os.environ, 'HOME': self.folder}, cwd=self.folder)
        self.assertEqual(done.returncode, status, f'{command}: {done.stdout}\n{done.stderr}')
        return done.stdout

    def curl(self, url, login, *options, password=PASSWORD, status=0):
        host, port = 'mail.example.org', self.p.port[url.split(':')[0]]
        url = url.replace('HOST', f'{host}:{port}')
        return self.run_client('curl', '-sS', '--max-time', '10', '--cacert', authority().file, '--resolve',
                               f'{host}:{port}:127.0.0.1', '-u', f'{login}:{password}', *options, url, status=status)

    def test_curl(self):
        for number, login in enumerate((ALICE, BOB)):
            for url in ('imap://HOST/INBOX;MAILINDEX=2', 'pop3://HOST/2', 'imaps://HOST/INBOX;MAILINDEX=2',
                        'pop3s://HOST/2'):
                with self.subTest(url=url, login=login):
                    options = [] if 's://' in url else ['--ssl-reqd']
                    self.assertIn(f'Mail of {login} on node {number}', self.curl(url, login, *options))

    def test_curl_with_a_wrong_password(self):
        for url in ('imaps://HOST/', 'pop3s://HOST/'):
            self.curl(url, BOB, password=WRONG, status=67)  # CURLE_LOGIN_DENIED

    def test_curl_with_sasl(self):
        for mechanism in ('PLAIN', 'LOGIN'):
            for url in ('imaps://HOST/INBOX;MAILINDEX=2', 'pop3s://HOST/2'):
                with self.subTest(mechanism=mechanism, url=url):
                    mail = self.curl(url, BOB, '--login-options', f'AUTH={mechanism}')
                    self.assertIn(f'Mail of {BOB} on node 1', mail)

    def test_openssl_s_client(self):
        imap = f'a LOGIN {BOB} {PASSWORD}\r\nb LOGOUT\r\n'
        pop3 = f'USER {BOB}\r\nPASS {PASSWORD}\r\nSTAT\r\nQUIT\r\n'
        for name, how, words, answer in (
                ('imap', ['-starttls', 'imap'], imap, 'b OK'), ('imaps', [], imap, 'b OK'),
                ('pop3', ['-starttls', 'pop3'], pop3, '+OK Logging out'), ('pop3s', [], pop3, '+OK Logging out')):
            with self.subTest(name=name):
                said = self.run_client('openssl', 's_client', '-connect', f'127.0.0.1:{self.p.port[name]}', *how,
                                       '-quiet', '-verify_return_error', '-verify_hostname', 'mail.example.org', '-CAfile', authority().file, stdin=words)
                self.assertIn(answer, said)

    def test_mbsync(self):
        for number, login in enumerate((ALICE, BOB)):
            with open(os.path.join(self.folder, 'mbsyncrc'), 'w') as file:
                file.write(f'''
IMAPAccount far
Host localhost
Port {self.p.port["imap"]}
User {login}
Pass {PASSWORD}
SSLType STARTTLS
CertificateFile {authority().server[0]}

IMAPStore far
Account far

MaildirStore near
Inbox {self.folder}/{login}

Channel all
Far :far:
Near :near:
Patterns INBOX
Create Near
SyncState *
''')
            self.run_client('mbsync', '-c', 'mbsyncrc', '-a')
            mail = ''.join(open(path).read() for path in glob.glob(f'{self.folder}/{login}/*/*'))
            self.assertIn(f'Mail of {login} on node {number}', mail)

    def test_fetchmail(self):
        for protocol in ('imap', 'pop3'):
            with self.subTest(protocol=protocol):
                out = os.path.join(self.folder, protocol)
                rc = os.path.join(self.folder, 'fetchmailrc')
                with open(rc, 'w') as file:
                    file.write(f'''poll localhost protocol {protocol} port {self.p.port[protocol]}
    user "{BOB}" password "{PASSWORD}" sslproto tls1.2+ no sslcertck keep fetchall
    mda "cat >> {out}"
''')
                os.chmod(rc, 0o600)
                self.run_client('fetchmail', '--nodetach', '--nosyslog', '--fetchmailrc', rc,
                                '--pidfile', out + '.pid', '--idfile', out + '.ids')
                with open(out) as file:
                    self.assertIn(f'Mail of {BOB} on node 1', file.read())

    def test_the_node_sees_the_clients_address(self):
        """By IMAP ID and POP3 XCLIENT, which Dovecot believes of login_trusted_networks."""
        client = self.connect(self.p, 'imap', source='127.0.0.77')
        client.expect('* OK ...')
        client.ask(f'a LOGIN {BOB} {PASSWORD}', 'a OK ...')
        client = self.connect(self.p, 'pop3', source='127.0.0.78')
        client.expect('+OK...')
        client.ask(f'USER {BOB}', '+OK...')
        client.ask(f'PASS {PASSWORD}', '+OK...')
        for service, address in (('imap', r'127\.0\.0\.77'), ('pop3', r'127\.0\.0\.78')):
            session = self.p.wait('login', service=service, result='ok')['session']
            self.nodes[1].wait_log(f'{service}-login: Info: Login: user=<{BOB}>.* rip={address},.* session=<{session}>')


class OtherNodes(Case):
    def log_in(self, p, **how):
        client = self.connect(p, 'imap', **how)
        client.expect('* OK ...')
        client.ask(f'a LOGIN {BOB} {PASSWORD}', 'a OK ...')
        client = self.connect(p, 'pop3', **how)
        client.expect('+OK...')
        client.ask(f'USER {BOB}', '+OK...')
        client.ask(f'PASS {PASSWORD}', '+OK...')

    def test_tls_to_dovecot(self):
        node = start_dovecot(self, {BOB: PASSWORD}, certificate=authority().issue('localhost'))
        for tls, end in (('starttls', ''), ('implicit', 's')):
            with self.subTest(tls=tls):
                imap, pop3 = node.port['imap' + end], node.port['pop3' + end]
                backend = {'backend': {'tls': tls, 'ca_file': authority().file}}
                self.log_in(self.proxyd(f'* localhost imap=localhost:{imap} pop3=localhost:{pop3}',
                                        imap=backend, pop3=backend))
        node.wait_log('Login: .*, TLS, ', 4)

    def test_proxy_protocol_to_dovecot(self):
        node = start_dovecot(self, {BOB: PASSWORD}, haproxy=True)
        for version in 'proxy_v1', 'proxy_v2':
            with self.subTest(version=version):
                backend = {'backend': {'client_address': version}}
                self.log_in(self.proxyd(f'* 127.0.0.1 imap=127.0.0.1:{node.port["imap"]} '
                                        f'pop3=127.0.0.1:{node.port["pop3"]}', imap=backend, pop3=backend),
                            source='127.0.0.79')
        node.wait_log(r'Login: .* rip=127\.0\.0\.79,', 4)
