# SPDX-License-Identifier: ISC
"""ManageSieve: sieve-connect and raw dialogues before real Dovecot nodes with Pigeonhole, and a node
played by hand."""
import base64
import os
import shutil
import signal
import ssl
import subprocess
import time
import unittest

from case import Case, authority, new_folder
from dovecot import Dovecot
from proxyd import MASTER, PASSWORD, WRONG
from wire import PATIENCE, free_port

ALICE, BOB = 'alice@example.org', 'bob@example.org'
USERS = {ALICE: PASSWORD, BOB: PASSWORD}
SCRIPT = 'require ["fileinto"];\nfileinto "Lists";\n'


def plain(login, password, master=''):
    words = (login, master, password) if master else ('', login, password)
    return base64.b64encode('\0'.join(words).encode()).decode()


class Pigeonhole(Dovecot):
    """Dovecot with its ManageSieve service; a master user of the same password file."""

    def __init__(self, folder, **how):
        super().__init__(folder, {**USERS, 'proxy': MASTER}, **how)
        self.port['sieve'] = free_port()
        with open(os.path.join(folder, 'conf'), 'a') as file:
            file.write(f'''
protocols = imap pop3 sieve
service managesieve-login {{
  chroot =
  inet_listener sieve {{
    port = {self.port["sieve"]}
    haproxy = {"yes" if how.get("haproxy") else "no"}
  }}
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/passwd
  master = yes
}}
''')


def start_pigeonhole(case, **how):
    clean_up = case.addCleanup if isinstance(case, unittest.TestCase) else case.addClassCleanup
    folder = new_folder()
    clean_up(shutil.rmtree, folder)
    node = Pigeonhole(os.path.join(folder, 'dovecot'), **how)
    clean_up(node.stop)
    return node.start()


class SieveCase(Case):
    def sieve(self, node, backend=(), users='* {}', **options):
        backend = {'check': {'interval': '0s'}, **dict(backend)}
        return self.proxyd(users.format(f'127.0.0.1:{node.port["sieve"]}'), sieve={'backend': backend, **options})

    def greeted(self, wire):
        """Reads capabilities up to the OK; returns them as {name: value}."""
        found = {}
        while (line := wire.line()).startswith('"'):
            name, *value = line.split(' ', 1)
            found[name.strip('"')] = value[0].strip('"') if value else None
        self.assertTrue(line.startswith('OK'), line)
        return found

    def client(self, p, name='sieve', **how):
        client = self.connect(p, name, **how)
        client.capabilities = self.greeted(client)
        return client

    def start_tls(self, p, client):
        client.ask('STARTTLS', 'OK ...')
        client.start_tls(p.context(), server_hostname='mail.example.org')
        return self.greeted(client)


class RealNodes(SieveCase):
    @classmethod
    def setUpClass(cls):
        cls.nodes = [start_pigeonhole(cls, trusted='127.0.0.1/32') for _ in USERS]

    def setUp(self):
        super().setUp()
        lines = (f'{login} 127.0.0.1 sieve=127.0.0.1:{node.port["sieve"]}\n' for login, node in zip(USERS, self.nodes))
        self.p = self.proxyd(''.join(lines), sieve={'plaintext_auth': 'never'})

    def sieve_connect(self, login, *options, password=PASSWORD, status=0, port='sieve'):
        done = subprocess.run(
            ['sieve-connect', '--server', 'localhost', '--nosslverify', '--port', str(self.p.port[port]), '--user', login,
             '--passwordfd', '0', '--nosrv', *options],
            input=password + '\n', capture_output=True, text=True, timeout=PATIENCE * 2,
            env={**os.environ, 'HOME': self.folder}, cwd=self.folder)
        self.assertEqual(done.returncode, status, f'{done.stdout}\n{done.stderr}')
        return done.stdout + done.stderr

    def test_sieve_connect_keeps_a_script_on_the_node_of_its_user(self):
        script = os.path.join(self.folder, 'sort.sieve')
        with open(script, 'w') as file:
            file.write(SCRIPT)
        for number, login in enumerate(USERS):
            name = f'on{number}'
            self.sieve_connect(login, '--localsieve', script, '--remotesieve', name, '--upload')
            self.assertIn(f'"{name}"', self.sieve_connect(login, '--list'))
            self.assertIn('fileinto "Lists";', self.sieve_connect(login, '--remotesieve', name, '--download', '--localsieve', '-'))
            kept = os.path.join(self.nodes[number].folder, 'mail', login, 'sieve', name + '.sieve')
            self.assertTrue(os.path.exists(kept))
            self.sieve_connect(login, '--remotesieve', name, '--delete')
            self.assertFalse(os.path.exists(kept))

    def test_sieve_connect_with_a_wrong_password(self):
        self.sieve_connect(BOB, '--list', password=WRONG, status=255)
        self.p.wait('login', result='failed', login=BOB, reason='the node refused: NO')

    def test_capabilities_are_those_that_the_nodes_announce(self):
        nodes = {f'node{i}': {'address': f'127.0.0.1:{node.port["sieve"]}'} for i, node in enumerate(self.nodes)}
        p = self.proxyd('* node0', nodes=nodes,
                        sieve={'plaintext_auth': 'never', 'backend': {'check': {'interval': '50ms'}}})
        deadline = time.monotonic() + PATIENCE
        while not (client := self.client(p)).capabilities['SIEVE'] and time.monotonic() < deadline:
            client.close()
        self.assertEqual(client.capabilities['SASL'], '')
        self.assertIn('STARTTLS', client.capabilities)
        again = self.start_tls(p, client)
        self.assertEqual(again['SASL'], 'PLAIN LOGIN')
        self.assertNotIn('STARTTLS', again)
        self.assertEqual(again['IMPLEMENTATION'], 'proxyd')
        for extension in 'fileinto', 'reject', 'envelope', 'vacation':
            self.assertIn(extension, again['SIEVE'].split())
        self.assertEqual(again['NOTIFY'], 'mailto')
        self.assertEqual(again['VERSION'], '1.0')
        self.assertFalse({'XCLIENT', 'UNAUTHENTICATE', 'OWNER'} & set(again))

    def test_the_node_learns_the_address(self):
        client = self.client(self.p, source='127.0.0.77')
        self.start_tls(self.p, client)
        client.ask(f'AUTHENTICATE "PLAIN" "{plain(BOB, PASSWORD)}"', 'OK ...')
        client.ask('LOGOUT', 'OK ...')
        self.nodes[1].wait_log(f'managesieve-login: .*Login: user=<{BOB}>.*rip=127.0.0.77')

    def test_ways_to_log_in(self):
        for words in ([f'AUTHENTICATE "PLAIN" "{plain(BOB, PASSWORD)}"'],
                      [f'AUTHENTICATE "PLAIN" {{{len(plain(BOB, PASSWORD))}+}}', plain(BOB, PASSWORD)],
                      ['AUTHENTICATE "PLAIN"', f'"{plain(BOB, PASSWORD)}"']):
            client = self.client(self.p)
            self.start_tls(self.p, client)
            for line in words[:-1]:
                client.say(line)
            if words[0] == 'AUTHENTICATE "PLAIN"':
                client.expect('""')
            client.ask(words[-1], 'OK ...')
            client.ask('HAVESPACE "x" 100', 'OK ...')
            client.close()

    def test_a_large_script_passes_both_ways(self):
        client = self.client(self.p)
        self.start_tls(self.p, client)
        client.ask(f'AUTHENTICATE "PLAIN" "{plain(ALICE, PASSWORD)}"', 'OK ...')
        script = '# ' + 'x' * 200000 + '\r\nkeep;\r\n'
        client.send(f'PUTSCRIPT "large" {{{len(script)}+}}\r\n{script}\r\n'.encode())
        client.expect('OK ...')
        client.ask('GETSCRIPT "large"', f'{{{len(script)}}}')
        self.assertEqual(client.read(len(script)).decode(), script)
        client.expect('', 'OK ...')
        client.ask('DELETESCRIPT "large"', 'OK ...')


class Backends(SieveCase):
    def log_in(self, p, login=BOB, password=PASSWORD):
        client = self.client(p)
        client.ask(f'AUTHENTICATE "PLAIN" "{plain(login, password)}"', 'OK ...')
        client.ask('LISTSCRIPTS', 'OK ...')
        client.close()

    def test_starttls_to_the_node(self):
        node = start_pigeonhole(self, certificate=authority().issue('localhost'))
        self.log_in(self.sieve(node, backend={'tls': 'starttls', 'ca_file': authority().file},
                               users='* localhost sieve=localhost:' + str(node.port['sieve'])))

    def test_a_node_without_starttls(self):
        node = start_pigeonhole(self)
        p = self.sieve(node, backend={'tls': 'starttls', 'verify': False})
        client = self.client(p)
        client.ask(f'AUTHENTICATE "PLAIN" "{plain(BOB, PASSWORD)}"', 'NO (TRYLATER) ...')
        p.wait('login', result='failed', reason='the node does not offer STARTTLS')

    def test_master_user(self):
        node = start_pigeonhole(self)
        self.log_in(self.sieve(node, users=f'* {{}} password={{{{PLAIN}}}}{PASSWORD}', authentication='proxy', backend={
            'login': 'master', 'master_user': 'proxy', 'master_password': MASTER}))

    def test_proxy_protocol(self):
        node = start_pigeonhole(self, haproxy=True)
        p = self.sieve(node, backend={'client_address': 'proxy_v2'})
        client = self.client(p, source='127.0.0.78')
        client.ask(f'AUTHENTICATE "PLAIN" "{plain(BOB, PASSWORD)}"', 'OK ...')
        node.wait_log(f'managesieve-login: .*Login: user=<{BOB}>.*rip=127.0.0.78')


class Hostile(SieveCase):
    def test_bytes_behind_starttls_end_the_session(self):
        p = self.proxyd(sieve={})
        client = self.client(p)
        client.say('STARTTLS', 'NOOP')
        client.expect('OK ...')
        client.expect_end()
        p.wait('close', reason='injection')

    def test_implicit_tls(self):
        p = self.proxyd(sieve={})
        client = self.client(p, 'sieves', context=p.context(alpn=['managesieve']))
        self.assertEqual(client.sock.selected_alpn_protocol(), 'managesieve')
        with self.assertRaises(ssl.SSLError):
            self.connect(p, 'sieves', context=p.context(alpn=['imap']))

    def test_nobody_answers(self):
        p = self.proxyd(f'bob 127.0.0.1:{free_port()}\neve 127.0.0.1 hold', sieve={'backend': {'queue_timeout': '100ms'}})
        client = self.client(p)
        client.ask(f'AUTHENTICATE "PLAIN" "{plain("bob", PASSWORD)}"', 'NO (TRYLATER) ...')
        client.ask(f'AUTHENTICATE "PLAIN" "{plain("eve", PASSWORD)}"', 'NO (TRYLATER) ...')
        client.ask(f'AUTHENTICATE "PLAIN" "{plain("joe", PASSWORD)}"', 'NO "Authentication failed"')
        client.ask('NOOP', 'OK ...')

    def test_last_words(self):
        p = self.proxyd(sieve={'login_timeout': '3s'}, global_={'shutdown_grace': '0s'})
        slow = self.client(p)
        slow.expect('BYE "Too long without a login, closing"')
        slow.expect_end()
        waiting = self.client(p)
        p.signal(signal.SIGTERM)
        waiting.expect('BYE "Server is shutting down, try again"')
        waiting.expect_end()
        waiting.close()
        self.assertEqual(p.wait_end(), 0)
