# SPDX-License-Identifier: ISC
"""Port 25 and LMTP: recipients routed one by one."""
from case import Case
from fake_mail import MailNode


class Base(Case):
    def mail(self, users, name='smtp', domains=('example.org',), **service):
        return self.proxyd(users, **{name: {'domains': list(domains), **service}})

    def client(self, p, name='smtp', helo=None):
        client = self.connect(p, name)
        client.expect('220 mail.example.org ...')
        client.say(f'{helo or ("LHLO" if name.startswith("lmtp") else "EHLO")} client.example.org')
        client.capabilities = []
        while True:
            line = client.line()
            assert line.startswith('250'), line
            client.capabilities.append(line[4:])
            if line[3] == ' ':
                return client


class Messages(Base):
    def test_one_message(self):
        node = MailNode(self)
        p = self.mail(f'bob@example.org {node.address}')
        client = self.client(p)
        client.ask('MAIL FROM:<alice@example.net>', '250 2.1.0 Ok')
        client.ask('RCPT TO:<bob@example.org>', '250 2.1.5 node takes it')
        client.ask('DATA', '354 ...')
        client.say('Subject: one', '', 'hello', '..', '.')
        client.expect('250 2.0.0 kept')
        sender, recipients, text, _ = node.messages[0]
        self.assertEqual((sender, recipients), ('FROM:<alice@example.net>', ['TO:<bob@example.org>']))
        self.assertTrue(text.endswith(b'Subject: one\r\n\r\nhello\r\n.\r\n'))
        client.ask('QUIT', '221 ...')
        client.expect_end()
