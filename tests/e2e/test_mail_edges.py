# SPDX-License-Identifier: ISC
"""Port 25 and LMTP at the edges of the standards: what a strange client may say, what a strange node may answer."""
from fake_mail import MailNode
from mail_case import ANN, BOB, EVE, Base


class Commands(Base):
    def setUp(self):
        super().setUp()
        self.node = MailNode(self)

    def talk(self, *dialogue, users='* {}', **service):
        p = self.mail(users.format(self.node.address), **service)
        client = self.client(p)
        for line, answer in dialogue:
            with self.subTest(line=line):
                client.ask(line, answer)
        return client

    def test_greetings_end_a_transaction(self):
        for greeting in 'HELO x', 'RSET':
            client = self.talk(('MAIL FROM:<a@example.net>', '250 ...'), (f'RCPT TO:<{BOB}>', '250 ...'), (greeting, '250 ...'),
                               ('DATA', '503 5.5.1 ...'), (f'RCPT TO:<{BOB}>', '503 5.5.1 ...'))
            self.send(client, ANN)
            self.assertEqual(self.node.messages[-1][1], [f'TO:<{ANN}>'])
        client.ask('MAIL FROM:<a@example.net>', '250 ...')
        self.hello(client)
        client.ask(f'RCPT TO:<{BOB}>', '503 5.5.1 ...')

    def test_malformed_commands(self):
        self.talk(('MAIL', '501 ...'), ('MAIL FROM', '501 ...'), ('MAIL FROM:', '501 ...'), ('MAIL FROM:<a@b', '501 ...'),
                  ('MAIL FROM:<a@b>x', '501 ...'), ('MAIL FROM:<a@b> SIZE', '501 ...'), ('MAIL FROM:<a@b> SIZE=', '501 ...'),
                  ('MAIL FROM:<a@b> SIZE=-1', '501 ...'), ('MAIL FROM:<a@b> SIZE=1 SIZE=1', '501 ...'),
                  ('MAIL FROM:<a@b> BODY=9BIT', '501 ...'), ('MAIL FROM:<a@b> FOO', '555 ...'), ('MAIL FROM:<a@b> NOTIFY=NEVER', '555 ...'),
                  ('MAIL FROM:<a@b> BODY=BINARYMIME', '555 ...'), ('MAIL FROM:<a@b> SMTPUTF8=1', '501 ...'),
                  ('MAIL FROM:<a@b> RET=SOME', '501 ...'), ('MAIL FROM:<a@b> ENVID=a+2', '501 ...'),
                  ('MAIL FROM:<a@b>\rRCPT TO:<c@d>', '501 ...'), ('MAIL FROM:<a@b\r@c>', '501 ...'),
                  ('MAIL FROM:<>', '250 ...'), ('RCPT', '501 ...'), ('RCPT TO:<>', '501 ...'), ('RCPT TO:<a>', '501 ...'),
                  ('RCPT TO:<@>', '501 ...'), ('RCPT TO:<a@>', '501 ...'), ('RCPT TO:<a@b..c>', '501 ...'), ('RCPT TO:<a b@c>', '501 ...'),
                  ('RCPT TO:<"a@c>', '501 ...'), ('RCPT TO:<a@[1.2.3.4>', '501 ...'), ('RCPT TO:<a@[IPv6:1::2::3]>', '501 ...'),
                  (f'RCPT TO:<{BOB}> SIZE=1', '555 ...'), (f'RCPT TO:<{BOB}> NOTIFY=NEVER,SUCCESS', '501 ...'),
                  (f'RCPT TO:<{BOB}> ORCPT=x', '501 ...'), ('DATA x', '501 ...'), ('RSET x', '501 ...'), ('QUIT x', '501 ...'),
                  ('STARTTLS x', '501 ...'), ('VRFY', '501 ...'), (' NOOP', '...'), ('', '500 ...'), max_errors=100)

    def test_mailboxes(self):
        client = self.talk(('mail from: <"a b"@example.net>', '250 ...'), ('rcpt to: <@example.com,@example.net:bob@EXAMPLE.org>', '250 ...'),
                           ('RCPT TO:<"ann"@example.org>', '250 ...'), ('RCPT TO:<"an n"@example.org> NOTIFY=NEVER', '250 ...'),
                           ('RCPT TO:<postMASTER>', '250 ...'), ('RCPT TO:<a..b.@example.org>', '250 ...'),
                           ('RCPT TO:<user@[192.0.2.1]>', '554 ...'), ('DATA', '354 ...'))
        client.say('x', '.')
        client.expect('250 ...')
        self.assertEqual(self.node.messages[0][:2], ('FROM:<"a b"@example.net>', [
            'TO:<bob@EXAMPLE.org>', 'TO:<"ann"@example.org>', 'TO:<"an n"@example.org> NOTIFY=NEVER', 'TO:<postMASTER>',
            'TO:<a..b.@example.org>']))

    def test_a_command_that_is_too_long(self):
        client = self.talk()
        client.ask('NOOP ' + 'x' * 2000, '250 ...')
        client.ask('NOOP ' + 'x' * 3000, '500 5.5.6 ...')
        client.expect_end()

    def test_a_nul_in_a_command(self):
        client = self.talk()
        client.send(b'NOOP \0\r\n')
        client.expect('500 5.5.2 ...')
        client.expect_end()

    def test_sizes(self):
        client = self.talk(('MAIL FROM:<> SIZE=99999999999999999999', '552 5.3.4 ...'), ('MAIL FROM:<> SIZE=0', '250 ...'),
                           (f'RCPT TO:<{BOB}>', '250 ...'))
        client.ask('BDAT 9223372036854775808 LAST', '501 ...')
        client.expect_end()

    def test_a_chunk_that_is_too_big_ends_nothing_early(self):
        client = self.talk(('MAIL FROM:<>', '250 ...'), (f'RCPT TO:<{BOB}>', '250 ...'), max_message_size='1K')
        client.send(b'BDAT 3000 LAST\r\n' + b'QUIT\r\n' * 500 + b'NOOP\r\n')
        client.expect('552 5.3.4 ...', '250 2.0.0 Ok')
        self.assertEqual(self.node.messages, [])

    def test_chunks_behind_what_was_refused(self):
        """They come nevertheless, and not one byte of them is a command."""
        client = self.talk()
        chunks = b''.join(b'BDAT 6\r\nQUIT\r\n' for _ in range(3)) + b'BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n'
        for lines in (('MAIL FROM:<x', f'RCPT TO:<{BOB}>'), ('MAIL FROM:<>', 'RCPT TO:<x'), ('MAIL FROM:<>', f'RCPT TO:<{EVE}>')):
            with self.subTest(lines=lines):
                client.say(*lines)
                client.send(chunks)
                for _ in lines:
                    client.line()
                client.expect(*['503 ...'] * 4, '250 2.0.0 Ok')
                client.ask('RSET', '250 ...')
                self.send(client, BOB)

    def test_empty_messages(self):
        client = self.talk(('MAIL FROM:<>', '250 ...'), (f'RCPT TO:<{BOB}>', '250 ...'), ('BDAT 0 LAST', '250 2.0.0 kept'),
                           ('MAIL FROM:<>', '250 ...'), (f'RCPT TO:<{BOB}>', '250 ...'), ('BDAT 0', '250 ...'), ('BDAT 0', '250 ...'),
                           ('BDAT 0 LAST', '250 2.0.0 kept'), ('MAIL FROM:<>', '250 ...'), (f'RCPT TO:<{BOB}>', '250 ...'), ('DATA', '354 ...'),
                           ('.', '250 2.0.0 kept'))
        client.ask('QUIT', '221 ...')
        self.assertEqual(len(self.node.messages), 3)
        for message in self.node.messages:
            self.assertEqual(message[2].count(b'\r\n'), 3)

    def test_the_last_chunk_alone_decides(self):
        for more in (), ('CHUNKING',):
            self.node = MailNode(self, capabilities=[*MailNode.CAPABILITIES, *more])
            client = self.talk(('MAIL FROM:<>', '250 ...'), (f'RCPT TO:<{BOB}>', '250 ...'))
            client.send(b'BDAT 3\r\nx\r\n')
            client.expect('250 ...')
            client.ask('QUIT', '221 ...')
            client.expect_end()
            self.assertEqual(self.node.messages, [])

    def test_a_client_that_says_all_at_once_in_chunks(self):
        client = self.talk()
        client.send(b'MAIL FROM:<>\r\nRCPT TO:<%b>\r\nRCPT TO:<%b>\r\nBDAT 3\r\nx\r\nBDAT 3 LAST\r\ny\r\nQUIT\r\n' %
                    (BOB.encode(), EVE.encode()))
        client.expect('250 2.1.0 Ok', '250 2.1.5 ...', '554 5.7.1 ...', '250 2.0.0 3 ...', '250 2.0.0 kept', '221 ...')
        client.expect_end()
        self.assertTrue(self.node.messages[0][2].endswith(b'\r\nx\r\ny\r\n'))


class Answers(Base):
    """A node played by hand, with one client of it."""

    def talk(self, *recipients, capabilities=('PIPELINING',), name='smtp', **service):
        node = self.node()
        p = self.mail(f'* {node.address}', name, **service)
        client = self.client(p, name)
        client.say('MAIL FROM:<>', *(f'RCPT TO:<{recipient}>' for recipient in recipients))
        client.expect('250 2.1.0 Ok')
        wire = node.accept()
        wire.say('220 node')
        wire.line()
        wire.say('250-node', *(f'250-{line}' for line in capabilities[:-1]), f'250 {capabilities[-1]}')
        wire.expect('MAIL FROM:<>')
        wire.say('250 ok')
        for recipient in recipients:
            wire.expect(f'RCPT TO:<{recipient}>')
        return client, wire

    def message(self, client, wire):
        client.say('DATA')
        wire.expect('DATA')
        wire.say('354 go')
        client.expect('354 ...')
        client.say('x', '.')
        while wire.line() != '.':
            pass

    def test_a_node_that_says_its_last_word_twice(self):
        client, wire = self.talk(BOB)
        wire.say('250 ok')
        client.expect('250 ok')
        self.message(client, wire)
        wire.say('250 first', '250 second')
        client.expect('250 first')
        client.ask('NOOP', '250 ...')
        wire.drain()

    def test_a_node_that_leaves_with_its_last_word(self):
        client, wire = self.talk(BOB)
        wire.say('250 ok')
        client.expect('250 ok')
        self.message(client, wire)
        wire.say('250 2.0.0 kept', '421 4.3.2 leaving')
        wire.close()
        client.expect('250 2.0.0 kept')
        client.ask('MAIL FROM:<>', '250 ...')

    def test_421_as_last_word(self):
        client, wire = self.talk(BOB)
        wire.say('250 ok')
        client.expect('250 ok')
        self.message(client, wire)
        wire.say('421-4.3.2 leaving', '421 4.3.2 now')
        client.expect('451-4.3.2 leaving', '451 4.3.2 now')
        client.ask('NOOP', '250 ...')

    def test_all_recipients_refused_in_one_breath(self):
        client, wire = self.talk(BOB, ANN)
        wire.say('550 no', '450 not now')
        client.expect('550 no', '450 not now')
        client.ask('DATA', '503 5.5.1 ...')
        client.ask('MAIL FROM:<>', '503 5.5.1 ...')
        client.ask('RSET', '250 ...')
        client.ask('MAIL FROM:<>', '250 ...')
        client.say(f'RCPT TO:<{BOB}>')
        wire.expect('RSET', 'MAIL FROM:<>', f'RCPT TO:<{BOB}>')
        wire.say('250 ok', '250 ok', '250 ok')
        client.expect('250 ok')

    def test_answers_that_come_byte_by_byte(self):
        client, wire = self.talk(BOB)
        for byte in b'250-a\r\n250 b\r\n':
            wire.send(bytes([byte]))
        client.expect('250-a', '250 b')
        self.message(client, wire)
        for byte in b'250-a\r\n250 b\r\n':
            wire.send(bytes([byte]))
        client.expect('250-a', '250 b')

    def test_a_stranger_code(self):
        for said, told in (('251 forwarded', '251 forwarded'), ('552 full', '552 full'), ('354 what', '451 4.4.2 ...'),
                           ('220 what', '220 what'), ('100 what', '451 4.4.2 ...'), ('250', '250'), ('2500 x', '451 4.4.2 ...')):
            with self.subTest(said=said):
                client, wire = self.talk(BOB)
                wire.say(said)
                client.expect(told)

    def test_too_long_an_answer(self):
        client, wire = self.talk(BOB)
        wire.say(*['250-' + 'x' * 100] * 50)
        client.expect('451 4.4.2 ...')
        client, wire = self.talk(BOB)
        wire.send(b'250 ' + b'x' * 5000)
        client.expect('451 4.4.2 ...')

    def test_lmtp_answers_are_each_recipients_own(self):
        client, wire = self.talk(BOB, ANN, 'eve@example.org', name='lmtp')
        wire.say('250 bob', '550 no ann', '250 eve')
        client.expect('250 bob', '550 no ann', '250 eve')
        self.message(client, wire)
        wire.say('250 bob has it')
        wire.say('452-eve', '452 is full')
        client.expect('250 bob has it', '452-eve', '452 is full')

    def test_lmtp_node_that_leaves_between_two_answers(self):
        client, wire = self.talk(BOB, ANN, name='lmtp')
        wire.say('250 ok', '250 ok')
        client.expect('250 ok', '250 ok')
        self.message(client, wire)
        wire.say('250 bob has it')
        wire.close()
        client.expect('250 bob has it', '451 4.4.2 ...')

    def test_a_node_that_answers_too_late(self):
        client, wire = self.talk(BOB, idle_timeout='3s')
        client.expect('451 4.4.2 ...')
        wire.drain()
        client.ask('NOOP', '250 ...')
