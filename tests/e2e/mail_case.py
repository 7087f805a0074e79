# SPDX-License-Identifier: ISC
"""What the tests of port 25 and LMTP have in common: a proxyd with such a service, and clients that talk with it."""
from case import Case

BOB, ANN, EVE = 'bob@example.org', 'ann@example.org', 'eve@example.com'


class Base(Case):
    def mail(self, users='', name='smtp', domains=('example.org',), more=None, **service):
        return self.proxyd(users, **{name: {'domains': list(domains), **service}}, **(more or {}))

    def client(self, p, name='smtp', helo=None, **how):
        client = self.connect(p, name, **how)
        client.expect('220 mail.example.org ...')
        self.hello(client, helo or ('LHLO' if name.startswith('lmtp') else 'EHLO'))
        return client

    @staticmethod
    def hello(client, verb='EHLO', name='client.example.org'):
        client.say(f'{verb} {name}')
        client.capabilities = []
        while True:
            line = client.line()
            assert line.startswith('250'), line
            client.capabilities.append(line[4:])
            if line[3] == ' ':
                return

    @staticmethod
    def begin(client, *recipients, sender='alice@example.net'):
        client.ask(f'MAIL FROM:<{sender}>', '250 2.1.0 Ok')
        for recipient in recipients:
            client.ask(f'RCPT TO:<{recipient}>', '250 ...')

    def send(self, client, *recipients, text=('Subject: x', '', 'hello'), answer='250 2.0.0 kept', **how):
        self.begin(client, *recipients, **how)
        client.ask('DATA', '354 ...')
        client.say(*text, '.')
        client.expect(answer)
