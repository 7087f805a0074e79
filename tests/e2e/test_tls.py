# SPDX-License-Identifier: ISC
"""TLS on both legs: which certificate, which versions, tickets, client certificates; and a node that
has to prove who it is before it gets a password."""
import base64
import os
import ssl

from authority import Authority
from case import Case, authority
from proxyd import PASSWORD


class ToTheClient(Case):
    def encrypted(self, p, context=None, server_name='mail.example.org', **how):
        """A client after STARTTLS, who has checked the server's name."""
        wire = self.connect(p, 'imap')
        wire.expect('* OK ...')
        wire.ask('a STARTTLS', 'a OK ...')
        wire.start_tls(context or p.context(), server_hostname=server_name, **how)
        return wire

    @staticmethod
    def old_context(p, ciphers=None):
        context = p.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        if ciphers:
            context.set_ciphers(ciphers)
        return context

    def test_certificate_by_name(self):
        certificate, key = authority().issue('example.net', 'DNS:*.example.net')
        p = self.proxyd(tls={'sni': [{'names': ['*.example.net'], 'certificate': certificate, 'key': key}]})
        for name in 'mail.example.net', 'mail.example.org':
            self.encrypted(p, server_name=name)
        self.assertRaises(ssl.SSLCertVerificationError, self.encrypted, p, server_name='a.b.example.net')

    def test_an_exact_name_goes_before_a_wildcard_wherever_it_stands(self):
        star, own = authority().issue('*.example.net'), authority().issue('imap.example.net')
        p = self.proxyd(tls={'sni': [{'names': ['*.example.net'], 'certificate': star[0], 'key': star[1]},
                                     {'names': ['imap.example.net'], 'certificate': own[0], 'key': own[1]}]})
        for name, expected in ('imap.example.net', 'imap.example.net'), ('pop3.example.net', '*.example.net'):
            wire = self.encrypted(p, server_name=name)
            self.assertEqual(wire.sock.getpeercert()['subjectAltName'], (('DNS', expected),))

    def test_a_certificate_of_the_listeners_own(self):
        certificate, key = authority().issue('imap.example.org')
        p = self.new_proxyd()
        p.configure(imap={'listeners': [{'address': f'127.0.0.1:{p.port["imap"]}', 'tls': 'starttls',
                                         'certificate': certificate, 'key': key}]})
        p.start()
        self.encrypted(p, server_name='imap.example.org')

    def test_ecdsa_and_rsa_side_by_side(self):
        rsa, ec = authority().issue('rsa', 'DNS:mail.example.org', key='rsa:2048'), authority().server
        p = self.proxyd(tls={'certificate': [ec[0], rsa[0]], 'key': [ec[1], rsa[1]]})
        for kind in 'ECDSA', 'RSA':
            wire = self.encrypted(p, self.old_context(p, f'ECDHE-{kind}-AES128-GCM-SHA256'))
            self.assertIn(kind, wire.sock.cipher()[0])

    def test_the_least_version(self):
        p = self.proxyd(tls={'min_version': '1.3'})
        self.encrypted(p)
        self.assertRaises((ssl.SSLError, ConnectionError), self.encrypted, p, self.old_context(p))
        p.wait('close', reason='tls')

    def test_sessions_resume_on_another_front_end(self):
        old, new = (base64.b64encode(name.ljust(80, b'.')).decode() + '\n' for name in (b'old', b'new'))
        keys = os.path.join(self.folder, 'tickets')
        with open(keys, 'w') as file:
            file.write(old)
        p = self.proxyd(tls={'ticket_keys': keys})
        context = p.context()
        wire = self.encrypted(p, context)
        wire.ask('b NOOP', 'b OK ...')  # the ticket comes before it
        with open(keys, 'w') as file:
            file.write(new + old)
        other = self.proxyd(tls={'ticket_keys': keys})
        self.assertTrue(self.encrypted(other, context, session=wire.sock.session).sock.session_reused)
        self.assertFalse(self.encrypted(self.proxyd(), context, session=wire.sock.session).sock.session_reused)

    def test_client_certificate_brings_external(self):
        self.external(authority().issue('bob', 'email:bob@example.org', subject='/emailAddress=carol@example.org'))

    def test_client_certificate_with_its_email_address_in_the_subject(self):
        self.external(authority().issue('bob', 'DNS:bob', subject='/emailAddress=bob@example.org'))

    def test_client_certificate_without_an_email_address(self):
        self.external(authority().issue('bob@example.org', 'DNS:bob'))

    def external(self, mine):
        node = self.node()
        p = self.proxyd(f'bob@example.org {node.address}', tls={'client_ca': authority().file}, imap={
            'mechanisms': ['external'],
            'backend': {'login': 'master', 'master_user': 'proxy', 'master_password': 'm4ster-word'}})
        context = p.context()
        context.load_cert_chain(*mine)
        client = self.connect(p, 'imaps', context=context)
        self.assertIn('AUTH=EXTERNAL', client.line())
        client.say('a AUTHENTICATE EXTERNAL =')
        wire = node.accept()
        wire.say('* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] node')
        tag, _, _, message = wire.line().split(' ')
        self.assertEqual(base64.b64decode(message), b'bob@example.org\0proxy\0m4ster-word')
        wire.say(f'{tag} OK in')
        client.expect('a OK in')
        self.assertNotIn('EXTERNAL', self.connect(p, 'imaps').line())


class ToTheNode(Case):
    def server_context(self, name='localhost', ca=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*(ca or authority()).issue(name))
        return context

    def start(self, node, tls, **backend):
        return self.proxyd(f'* localhost:{node.port}', imap={'backend': {
            'tls': tls, 'ca_file': authority().file, **backend}})

    def ask(self, p):
        client = self.connect(p)
        client.expect('* OK ...')
        client.say(f'a LOGIN bob {PASSWORD}')
        return client

    def test_implicit(self):
        node = self.node()
        client = self.ask(self.start(node, 'implicit'))
        wire = node.accept()
        wire.start_tls(self.server_context(), server_side=True)
        wire.imap_login()
        client.expect('a OK hello')

    def test_starttls(self):
        node = self.node()
        client = self.ask(self.start(node, 'starttls'))
        wire = node.accept()
        tag = self.up_to_starttls(wire)
        wire.say(f'{tag} OK go')
        wire.start_tls(self.server_context(), server_side=True)
        self.finish(wire)
        client.expect('a OK hello')

    @staticmethod
    def up_to_starttls(wire):
        wire.say('* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] node')
        tag, command = wire.line().split(' ')
        assert command == 'STARTTLS', command
        return tag

    @staticmethod
    def finish(wire):
        """What comes after STARTTLS: capabilities are asked for again, then the login."""
        while True:
            tag, command, *rest = wire.line().split(' ')
            if command == 'LOGIN':
                return wire.say(f'{tag} OK hello')
            wire.say('* CAPABILITY IMAP4rev1', f'{tag} OK done')

    def refused(self, tls, context, reason, **backend):
        node = self.node()
        p = self.start(node, tls, **backend)
        client = self.ask(p)
        wire = node.accept()
        try:
            if tls == 'starttls':
                wire.say(f'{self.up_to_starttls(wire)} OK go')
            wire.start_tls(context, server_side=True)
            wire.drain()
        except (ssl.SSLError, ConnectionError):
            pass
        self.assertNotIn(PASSWORD.encode(), wire.pending)
        client.expect('a NO [UNAVAILABLE] ...')
        self.assertRegex(p.wait('login', result='failed')['reason'], reason)

    def test_a_wrong_name(self):
        self.refused('implicit', self.server_context('other.example.org'), '(?i)certificate|mismatch')
        self.refused('starttls', self.server_context('other.example.org'), '(?i)certificate|mismatch')

    def test_an_unknown_authority(self):
        stranger = self.server_context(ca=Authority(os.path.join(self.folder, 'stranger'), 'Stranger'))
        self.refused('implicit', stranger, '(?i)certificate')

    def test_neither_matters_without_verification(self):
        node = self.node()
        client = self.ask(self.start(node, 'implicit', verify=False))
        wire = node.accept()
        wire.start_tls(self.server_context('other.example.org'), server_side=True)
        wire.imap_login()
        client.expect('a OK hello')

    def test_starttls_that_is_not_offered(self):
        node = self.node()
        client = self.ask(self.start(node, 'starttls'))
        wire = node.accept()
        wire.say('* OK [CAPABILITY IMAP4rev1] node')
        client.expect('a NO [UNAVAILABLE] ...')
        wire.drain()
        self.assertNotIn(PASSWORD.encode(), wire.pending)

    def test_words_from_before_the_handshake(self):
        node = self.node()
        p = self.start(node, 'starttls')
        client = self.ask(p)
        wire = node.accept()
        tag = self.up_to_starttls(wire)
        wire.say(f'{tag} OK go', '* CAPABILITY IMAP4rev1 AUTH=PLAIN')
        client.expect('a NO [UNAVAILABLE] ...')
        wire.drain()
        self.assertNotIn(PASSWORD.encode(), wire.pending)

    def test_pop3_stls(self):
        node = self.node()
        p = self.proxyd(f'* localhost:{node.port}', pop3={'backend': {'tls': 'starttls', 'ca_file': authority().file}})
        client = self.connect(p, 'pop3')
        client.expect('+OK...')
        client.ask('USER bob', '+OK...')
        client.say(f'PASS {PASSWORD}')
        wire = node.accept()
        wire.say('+OK node')
        while (line := wire.line()) == 'CAPA':
            wire.say('+OK', 'STLS', 'USER', '.')
        self.assertEqual(line, 'STLS')
        wire.say('+OK go')
        wire.start_tls(self.server_context(), server_side=True)
        while (line := wire.line()) == 'CAPA':
            wire.say('+OK', 'USER', '.')
        self.assertEqual(line, 'USER bob')
        wire.say('+OK')
        wire.expect(f'PASS {PASSWORD}')
        wire.say('+OK in')
        client.expect('+OK in')
