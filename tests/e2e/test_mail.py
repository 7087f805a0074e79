# SPDX-License-Identifier: ISC
"""Port 25 and LMTP: recipients routed one by one, messages carried to the nodes as they come."""
import os
import signal
import socket
import subprocess

from fake_mail import MailNode
from mail_case import ANN, BOB, EVE, Base
from proxyd import BINARY
from wire import PATIENCE, free_port, freeze


class Messages(Base):
    def test_one_message(self):
        node = MailNode(self)
        p = self.mail(f'{BOB} {node.address}')
        client = self.client(p)
        self.send(client, BOB, text=('Subject: one', '', 'hello', '..', '...x'))
        sender, recipients, text, _ = node.messages[0]
        self.assertEqual((sender, recipients), ('FROM:<alice@example.net>', [f'TO:<{BOB}>']))
        field, rest = text.split(b'Subject', 1)
        self.assertEqual(rest, b': one\r\n\r\nhello\r\n.\r\n..x\r\n')
        session = p.wait('connect')['session']
        self.assertRegex(field.decode(), r'^Received: from client\.example\.org \(\[127\.0\.0\.1\]\)\r\n'
                         r'\tby mail\.example\.org \(proxyd\) with ESMTP\r\n'
                         rf'\tid {session}; \w\w\w, \d\d \w\w\w \d{{4}} \d\d:\d\d:\d\d [+-]\d{{4}}\r\n$')
        client.ask('QUIT', '221 ...')
        client.expect_end()
        line = p.wait('message', result='delivered', sender='alice@example.net', recipient=BOB)
        self.assertEqual((line['node'], line['size'], line['answer']),
                         (node.address, str(len(rest) + 7), '250 2.0.0 kept'))
        line = p.wait('close', reason='logout', messages='1')
        self.assertGreater(int(line['bytes_in']), len(rest))
        self.assertGreater(int(line['bytes_out']), len('250 2.0.0 kept'))

    def test_recipients_of_one_node_go_together_and_others_in_the_next_message(self):
        one, two = MailNode(self, name='one'), MailNode(self, name='two')
        p = self.mail(f'{BOB} {one.address}\nbill@example.org {one.address}\n{ANN} {two.address}')
        client = self.client(p)
        self.begin(client, BOB, 'bill@example.org')
        client.ask(f'RCPT TO:<{ANN}>', '452 4.5.3 ...')
        client.ask('RCPT TO:<nobody@example.org>', '550 5.1.1 ...')
        client.ask('DATA', '354 ...')
        client.say('x', '.')
        client.expect('250 2.0.0 kept')
        self.send(client, ANN)
        self.send(client, BOB)
        self.assertEqual([len(node.messages) for node in (one, two)], [2, 1])
        self.assertEqual(one.messages[0][1], [f'TO:<{BOB}>', 'TO:<bill@example.org>'])
        self.assertEqual((one.connections, two.connections), (1, 1))

    def test_connections_are_never_shared(self):
        node = MailNode(self)
        p = self.mail(f'{BOB} {node.address}')
        one, two = self.client(p), self.client(p)
        for client in one, two, one, two:
            self.send(client, BOB)
        self.assertEqual(node.connections, 2)

    def test_all_in_one_piece(self):
        node = MailNode(self)
        p = self.mail(f'{BOB} {node.address}\n{ANN} {node.address}')
        client = self.client(p)
        client.say('MAIL FROM:<>', f'RCPT TO:<{BOB}>', 'RCPT TO:<nobody@example.org>', 'RCPT TO:<x', f'RCPT TO:<{ANN}>',
                   'DATA')
        client.expect('250 2.1.0 Ok', '250 2.1.5 node takes it', '550 5.1.1 ...', '501 5.1.3 ...',
                      '250 2.1.5 node takes it', '354 ...')
        client.say('x', '.', 'MAIL FROM:<>', f'RCPT TO:<{BOB}>', 'RSET', 'QUIT')
        client.expect('250 2.0.0 kept', '250 2.1.0 Ok', '250 2.1.5 node takes it', '250 2.0.0 Ok', '221 ...')
        client.expect_end()
        self.assertEqual(len(node.messages), 1)
        self.assertEqual(node.messages[0][0], 'FROM:<>')

    def test_a_node_without_pipelining_hears_one_command_at_a_time(self):
        node = MailNode(self, capabilities=['8BITMIME'])
        p = self.mail(f'{BOB} {node.address}\n{ANN} {node.address}')
        client = self.client(p)
        client.say('MAIL FROM:<a@example.net> SIZE=100 BODY=8BITMIME RET=HDRS', f'RCPT TO:<{BOB}> NOTIFY=NEVER',
                   f'RCPT TO:<{ANN}>', 'DATA')
        client.expect('250 2.1.0 Ok', '250 ...', '250 ...', '354 ...')
        client.say('x', '.')
        client.expect('250 2.0.0 kept')
        self.assertEqual(node.heard[1:], ['MAIL FROM:<a@example.net> BODY=8BITMIME', f'RCPT TO:<{BOB}>',
                                          f'RCPT TO:<{ANN}>', 'DATA'])

        client.ask('MAIL FROM:<b@example.net>', '250 ...')
        client.ask(f'RCPT TO:<{BOB}>', '250 ...')
        client.ask('RSET', '250 ...')
        self.send(client, BOB)
        self.assertEqual(node.heard[5:], ['MAIL FROM:<b@example.net>', f'RCPT TO:<{BOB}>', 'RSET',
                                          'MAIL FROM:<alice@example.net>', f'RCPT TO:<{BOB}>', 'DATA'])

    def test_parameters_reach_a_node_that_knows_them(self):
        node = MailNode(self)
        p = self.mail(f'{BOB} {node.address}')
        client = self.client(p)
        client.ask('MAIL FROM:<a@example.net> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=x+2By AUTH=<>', '250 ...')
        client.ask(f'RCPT TO:<{BOB}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;{BOB}', '250 ...')
        self.assertEqual(node.heard[1:], [
            'MAIL FROM:<a@example.net> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=x+2By',
            f'RCPT TO:<{BOB}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;{BOB}'])

    def test_smtputf8(self):
        node, old = MailNode(self), MailNode(self, capabilities=['PIPELINING'], name='old')
        p = self.mail(f'bøb@example.org {node.address}\n{ANN} {old.address}')
        client = self.client(p)
        client.ask('MAIL FROM:<ålice@example.net>', '553 5.6.7 ...')
        client.ask('MAIL FROM:<a@example.net>', '250 ...')
        client.ask('RCPT TO:<bøb@example.org>', '553 5.6.7 ...')
        client.ask('RSET', '250 ...')
        client.ask('MAIL FROM:<ålice@example.net> SMTPUTF8', '250 ...')
        client.ask(f'RCPT TO:<{ANN}>', '550 5.6.7 ...')
        client.ask('RCPT TO:<bøb@example.org>', '250 ...')
        client.ask('DATA', '354 ...')
        client.say('x', '.')
        client.expect('250 2.0.0 kept')
        self.assertEqual(node.messages[0][:2], ('FROM:<ålice@example.net> SMTPUTF8', ['TO:<bøb@example.org>']))
        self.assertIn(b' with UTF8SMTP\r\n', node.messages[0][2])

    def test_discard(self):
        node = MailNode(self)
        p = self.mail(f'{BOB} {node.address}', unknown_user='discard')
        client = self.client(p)
        self.send(client, 'nobody@example.org', answer='250 2.0.0 Ok, discarded')
        p.wait('message', result='discarded', recipient='nobody@example.org')
        self.send(client, 'nobody@example.org', BOB)
        self.assertEqual(node.messages[0][1], [f'TO:<{BOB}>'])
        client.ask('MAIL FROM:<>', '250 ...')
        client.ask(f'RCPT TO:<{EVE}>', '554 5.7.1 ...')

    def test_starttls(self):
        node = MailNode(self)
        p = self.mail(f'{BOB} {node.address}')
        client = self.client(p)
        self.assertIn('STARTTLS', client.capabilities)
        client.ask('STARTTLS', '220 ...')
        client.start_tls(p.context(), server_hostname='mail.example.org')
        client.ask('MAIL FROM:<>', '503 5.5.1 ...')
        self.hello(client)
        self.assertNotIn('STARTTLS', client.capabilities)
        self.send(client, BOB)
        self.assertIn(b' with ESMTPS (TLSv1.3)\r\n', node.messages[0][2])
        self.send(self.client(p, 'smtps', helo='HELO'), BOB)

    def test_helo(self):
        node = MailNode(self)
        p = self.mail(f'{BOB} {node.address}')
        client = self.client(p, helo='HELO')
        self.send(client, BOB)
        self.assertIn(b' with SMTP\r\n', node.messages[0][2])


class Chunks(Base):
    def send_chunks(self, client, chunks):
        self.begin(client, BOB)
        for i, chunk in enumerate(chunks):
            client.send(f'BDAT {len(chunk)}{" LAST" if i == len(chunks) - 1 else ""}\r\n'.encode() + chunk)

    def test_to_nodes_with_and_without_chunking(self):
        for more in (), ('CHUNKING',):
            with self.subTest(more=more):
                node = MailNode(self, capabilities=[*MailNode.CAPABILITIES, *more])
                p = self.mail(f'{BOB} {node.address}')
                client = self.client(p)
                self.send_chunks(client, [b'Subject: x\r\n\r\n', b'.', b'\r\n.\r\n..\r', b'\n', b''])
                client.expect('250 2.0.0 14 octets received', '250 2.0.0 1 octets received',
                              '250 2.0.0 8 octets received', '250 2.0.0 1 octets received', '250 2.0.0 kept')
                self.assertTrue(node.messages[0][2].endswith(b'Subject: x\r\n\r\n.\r\n.\r\n..\r\n'))
                self.assertEqual(any(line.startswith('BDAT') for line in node.heard), bool(more))
                self.send_chunks(client, [b'without an end of line'])
                client.expect('250 2.0.0 kept')
                self.send(client, BOB)

    def test_bdat_where_it_must_not_come(self):
        node = MailNode(self)
        p = self.mail(f'{BOB} {node.address}')
        client = self.client(p)
        client.send(b'BDAT 6\r\nQUIT\r\nNOOP\r\n')
        client.expect('503 5.5.1 ...', '250 2.0.0 Ok')
        client.ask('MAIL FROM:<>', '250 ...')
        client.send(b'BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n')
        client.expect('503 5.5.1 ...', '250 2.0.0 Ok')
        client.ask(f'RCPT TO:<{BOB}>', '250 ...')
        client.send(b'BDAT 2\r\nx\n')
        client.expect('550 5.6.0 ...')
        client.send(b'BDAT 2 LAST\r\nx\nDATA\r\n')
        client.expect('503 5.5.1 ...', '503 5.5.1 ...')
        self.send(client, BOB)
        client.ask('BDAT x', '501 ...')
        client.expect_end()

    def test_between_chunks(self):
        node = MailNode(self)
        p = self.mail(f'{BOB} {node.address}')
        client = self.client(p)
        self.begin(client, BOB)
        client.send(b'BDAT 3\r\nx\r\n')
        client.expect('250 ...')
        for line, answer in (('NOOP', '250 ...'), (f'RCPT TO:<{BOB}>', '503 ...'), ('DATA', '503 ...'),
                             ('MAIL FROM:<>', '503 ...'), ('RSET', '250 ...'), ('BDAT 0 LAST', '503 ...')):
            client.ask(line, answer)
        self.send(client, BOB)
        self.assertEqual(len(node.messages), 1)


class Smuggling(Base):
    ENDS = (b'\n.\n', b'\n.\r\n', b'\r.\r', b'\r\n.\r', b'\r\n.\n', b'\r.\r\n', b'\r\n\0.\r\n', b'\r\n.\0\r\n', b'\r\n.\r\r\n',
            b'\n\n.\r\n', b'\r\n\r.\r\n')

    def test_only_the_true_end_ends(self):
        node = MailNode(self)
        p = self.mail(f'{BOB} {node.address}')
        for end in self.ENDS:
            for split in 0, 1, 2:
                with self.subTest(end=end, split=split):
                    client = self.client(p)
                    self.begin(client, BOB)
                    client.ask('DATA', '354 ...')
                    smuggled = b'first' + end + b'MAIL FROM:<evil@example.net>\r\nRCPT TO:<%b>\r\nDATA\r\nx' % BOB.encode()
                    if split:
                        for i in range(0, len(smuggled), split):
                            client.send(smuggled[i:i + split])
                    else:
                        client.send(smuggled)
                    client.send(b'\r\n.\r\n')
                    client.expect('550 5.6.0 ...')
                    client.ask('NOOP', '250 2.0.0 Ok')
                    client.close()
        self.assertEqual(node.messages, [])

    def test_the_same_in_chunks(self):
        for more in (), ('CHUNKING',):
            node = MailNode(self, capabilities=[*MailNode.CAPABILITIES, *more])
            p = self.mail(f'{BOB} {node.address}')
            client = self.client(p)
            for end in self.ENDS:
                with self.subTest(end=end, more=more):
                    text = b'first' + end + b'MAIL FROM:<evil@example.net>\r\n'
                    self.begin(client, BOB)
                    client.send(b'BDAT %d LAST\r\n' % len(text) + text)
                    client.expect('550 5.6.0 ...')
            self.assertEqual(node.messages, [])
            text = b'first\r\n.\r\nMAIL FROM:<evil@example.net>\r\n'
            self.begin(client, BOB)
            client.send(b'BDAT %d LAST\r\n' % len(text) + text)
            client.expect('250 2.0.0 kept')
            self.assertTrue(node.messages[0][2].endswith(text))
            self.assertEqual(len(node.messages), 1)

    def test_what_the_client_sends_before_its_time(self):
        node = MailNode(self)
        p = self.mail(f'{BOB} {node.address}')
        client = self.client(p)
        self.begin(client, BOB)
        client.say('DATA', 'x', '.', 'NOOP')
        client.expect('554 5.5.0 ...')
        client.expect_end()
        client = self.connect(p, 'smtp')
        client.expect('220 ...')
        client.say('EHLO client.example.org', 'MAIL FROM:<>')
        client.expect('554 5.5.0 ...')
        client.expect_end()
        p.wait('close', detail='pipelining before EHLO')
        self.assertEqual(node.messages, [])

    def test_long_lines_pass(self):
        node = MailNode(self)
        p = self.mail(f'{BOB} {node.address}')
        client = self.client(p)
        line = 'x' * 300000
        self.send(client, BOB, text=('Subject: long', '', line, '', '..' + line))
        self.assertTrue(node.messages[0][2].endswith(b'\r\n' + line.encode() + b'\r\n\r\n.' + line.encode() + b'\r\n'))


class Policy(Base):
    def test_never_an_open_relay(self):
        node = MailNode(self)
        p = self.mail(f'* {node.address}')
        client = self.client(p)
        client.ask('MAIL FROM:<>', '250 ...')
        for recipient in (EVE, 'eve@sub.example.org', 'eve@example.org.evil.test', 'eve@[127.0.0.1]', 'eve@[IPv6:::1]',
                          'eve%example.com@example.net', '"eve@example.com"@example.net', '"@example.org"@example.net'):
            client.ask(f'RCPT TO:<{recipient}>', '554 5.7.1 ...')
        client.ask(f'RCPT TO:<@example.org:{EVE}>', '554 5.7.1 ...')
        client.ask('RCPT TO:<anybody@EXAMPLE.org>', '250 ...')
        client.ask('RCPT TO:<postmaster>', '250 ...')
        client.ask('RCPT TO:<Postmaster@example.org>', '250 ...')

    def test_routes_within_a_mailbox(self):
        """A node that trusts us might take them for its own to relay (Postfix: allow_percent_hack, swap_bangpath)."""
        node = MailNode(self)
        p = self.mail(f'* {node.address}', relay=node.address, relay_networks=['127.0.0.7'])
        client = self.client(p)
        client.ask('MAIL FROM:<>', '250 ...')
        for local in 'eve%example.com', 'example.com!eve', '"eve@example.com"', '"eve%example.com"', '%', '"@"':
            client.ask(f'RCPT TO:<{local}@example.org>', '554 5.7.1 ...')
        client = self.client(p, source='127.0.0.7')
        client.ask('MAIL FROM:<>', '250 ...')
        client.ask('RCPT TO:<eve%example.com@example.org>', '250 ...')

    def test_other_domains_need_an_entry_that_names_them(self):
        node = MailNode(self)
        p = self.mail(f'@example.com {node.address}\nbob@example.net {node.address}\n* {node.address}')
        client = self.client(p)
        client.ask('MAIL FROM:<>', '250 ...')
        client.ask(f'RCPT TO:<{EVE}>', '250 ...')
        client.ask('RCPT TO:<bob@example.net>', '250 ...')
        client.ask('RCPT TO:<ann@example.net>', '554 5.7.1 ...')

    def test_relay(self):
        node, relay = MailNode(self), MailNode(self, name='relay')
        p = self.mail(f'{BOB} {node.address}\n* {node.address}', relay=relay.address, relay_networks=['127.0.0.0/30'],
                      domains=('example.org', '*.example.org'))
        client = self.client(p)
        self.send(client, EVE)
        self.assertEqual(relay.messages[0][1], [f'TO:<{EVE}>'])
        self.send(client, 'x@sub.example.org')
        self.assertEqual(len(node.messages), 1)
        stranger = self.client(p, source='127.0.0.9')
        stranger.ask('MAIL FROM:<>', '250 ...')
        stranger.ask(f'RCPT TO:<{EVE}>', '554 5.7.1 ...')
        stranger.ask(f'RCPT TO:<{BOB}>', '250 ...')

    def test_a_hosted_domain_is_never_relayed(self):
        relay = MailNode(self, name='relay')
        p = self.mail(f'{BOB} 127.0.0.1', relay=relay.address, relay_networks=['127.0.0.0/8'])
        client = self.client(p)
        client.ask('MAIL FROM:<>', '250 ...')
        client.ask('RCPT TO:<nobody@example.org>', '550 5.1.1 ...')

    def test_limits(self):
        node = MailNode(self)
        p = self.mail(f'* {node.address}', max_message_size='1K', max_recipients=2)
        client = self.client(p)
        self.assertIn('SIZE 1024', client.capabilities)
        client.ask('MAIL FROM:<> SIZE=1025', '552 5.3.4 ...')
        self.begin(client, 'a@example.org', 'b@example.org')
        client.ask('RCPT TO:<c@example.org>', '452 4.5.3 ...')
        client.ask('DATA', '354 ...')
        client.say(*['x' * 98] * 11, '.')
        client.expect('552 5.3.4 ...')
        self.assertEqual(node.messages, [])
        self.send(client, 'a@example.org', text=['x' * 98] * 10)

    def test_loops(self):
        node = MailNode(self)
        p = self.mail(f'* {node.address}')
        client = self.client(p)
        self.send(client, BOB, text=['Received: x'] * 99)
        self.send(client, BOB, text=['received: x'] * 100, answer='554 5.4.6 ...')
        self.send(client, BOB, text=['Subject: x', '', *['Received: x'] * 200])
        self.assertEqual(len(node.messages), 2)

    def test_errors_and_other_commands(self):
        node = MailNode(self)
        p = self.mail(f'* {node.address}', max_errors=4)
        client = self.client(p)
        for line, answer in (('VRFY bob', '252 2.0.0 ...'), ('HELP', '214 2.0.0 ...'), ('NOOP x', '250 2.0.0 Ok'),
                             ('AUTH PLAIN x', '502 5.5.1 ...'), ('FROB', '500 5.5.2 ...'), ('DATA', '503 5.5.1 ...')):
            client.ask(line, answer)
        self.assertFalse([line for line in client.capabilities if line.startswith('AUTH')])
        client.ask('RCPT TO:<x@y>', '503 5.5.1 ...', '421 4.7.0 ...')
        client.expect_end()

    def test_guessing_recipients_is_an_error_too(self):
        node = MailNode(self)
        p = self.mail(f'{BOB} {node.address}', max_errors=3)
        client = self.client(p)
        for _ in range(2):  # a message that is taken is worth some guesses
            client.ask('MAIL FROM:<>', '250 ...')
            for guess in 'ann@example.org', EVE:
                client.ask(f'RCPT TO:<{guess}>', '55...')
            client.ask('RSET', '250 ...')
            self.send(client, BOB)
        client.ask('MAIL FROM:<>', '250 ...')
        client.say('RCPT TO:<a@example.org>', 'RCPT TO:<b@example.org>', 'RCPT TO:<c@example.org>', 'RCPT TO:<d@example.org>')
        client.expect('550 5.1.1 ...', '550 5.1.1 ...', '550 5.1.1 ...', '421 4.7.0 ...')
        client.expect_end()

    def test_early_talkers(self):
        p = self.mail()
        freeze(p.process.pid)
        self.addCleanup(p.signal, signal.SIGCONT)
        client = self.connect(p, 'smtp')
        client.say('EHLO client.example.org')
        p.signal(signal.SIGCONT)
        client.expect('554 mail.example.org Wait for the greeting')
        client.expect_end()

    def test_timeouts(self):
        p = self.mail(login_timeout='2s')
        client = self.client(p)
        client.expect('421 4.3.2 ...')
        p.wait('close', reason='login_timeout')
        p = self.mail(idle_timeout='2s')
        client = self.client(p)
        client.ask('MAIL FROM:<>', '250 ...')
        client.expect('421 4.3.2 ...')
        p.wait('close', reason='idle_timeout')

    def test_shutdown(self):
        node = MailNode(self)
        p = self.mail(f'* {node.address}', more={'global_': {'shutdown_grace': '0s'}})
        idle, inside = self.client(p), self.client(p)
        self.begin(inside, BOB)
        inside.ask('DATA', '354 ...')
        inside.say('half of it')
        p.signal(signal.SIGTERM)
        idle.expect('421 4.3.2 ...')
        inside.expect_end()
        idle.close()
        inside.close()
        self.assertEqual(p.wait_end(), 0)
        self.assertEqual(node.messages, [])


class Nodes(Base):
    def test_refusals_are_passed_on(self):
        wrong = {}
        node = MailNode(self, fault=wrong.get)
        p = self.mail(f'* {node.address}')
        client = self.client(p)
        wrong['MAIL'] = ['550-5.7.1 %s not', '550 5.7.1 you']
        client.ask('MAIL FROM:<>', '250 ...')
        client.ask(f'RCPT TO:<{BOB}>', '550-5.7.1 %s not', '550 5.7.1 you')
        del wrong['MAIL']
        wrong['RCPT'] = ['550 5.2.1 not him']
        client.ask(f'RCPT TO:<{BOB}>', '550 5.2.1 not him')
        wrong['RCPT'] = ['421 4.3.2 later']
        client.ask(f'RCPT TO:<{BOB}>', '451 4.3.2 later')
        del wrong['RCPT']
        client.ask(f'RCPT TO:<{BOB}>', '250 ...')
        wrong['DATA'] = ['451 4.3.0 no disk']
        client.ask('DATA', '451 4.3.0 no disk')
        del wrong['DATA']
        wrong['final'] = ['554 5.6.0 spam']
        self.send(client, BOB, answer='554 5.6.0 spam')
        del wrong['final']
        self.send(client, BOB)
        p.wait('message', result='failed', answer='554 5.6.0 spam')

    def test_a_node_that_is_down(self):
        p = self.mail(f'* 127.0.0.1:{free_port()}')
        client = self.client(p)
        client.ask('MAIL FROM:<>', '250 ...')
        client.ask(f'RCPT TO:<{BOB}>', '451 4.4.1 ...')
        client.ask('DATA', '503 5.5.1 ...')
        client.ask('NOOP', '250 ...')

    def test_a_node_that_knows_no_ehlo(self):
        node = MailNode(self, fault=lambda what: ['502 5.5.1 what?'] if what == 'EHLO' else None)
        p = self.mail('* node1', more={'nodes': {'node1': {'address': node.address}}}, backend={'check': {'interval': '50ms'}})
        with node.news:
            self.assertTrue(node.news.wait_for(lambda: node.heard.count('QUIT') > 3, 10), node.heard)
        self.assertFalse(p.events('node', state='down'))
        client = self.client(p)
        self.send(client, BOB)
        self.send(client, BOB)
        heard = node.heard[node.heard.index('HELO client.example.org'):]
        self.assertEqual([line for line in heard if line[:4] in ('MAIL', 'RCPT', 'DATA')],
                         ['MAIL FROM:<alice@example.net>', f'RCPT TO:<{BOB}>', 'DATA'] * 2)
        p = self.mail(f'* {node.address}', 'lmtp')  # which has nothing older to fall back to
        client = self.client(p, 'lmtp')
        client.ask('MAIL FROM:<>', '250 ...')
        node.fault = lambda what: ['502 5.5.1 what?'] if what == 'LHLO' else None
        client.ask(f'RCPT TO:<{BOB}>', '451 4.4.1 ...')

    def test_a_node_that_goes_away(self):
        for step, answers in (('greeting', ('451 4.4.1 ...',)), ('EHLO', ('451 4.4.1 ...',)), ('MAIL', ('451 4.4.2 ...',)),
                              ('RCPT', ('451 4.4.2 ...',)), ('DATA', ('250 ...', '451 4.4.2 ...')),
                              ('final', ('250 ...', '354 ...', '451 4.4.2 ...'))):
            with self.subTest(step=step):
                wrong = {step: 'close'}
                node = MailNode(self, fault=wrong.get)
                p = self.mail(f'* {node.address}')
                client = self.client(p)
                client.ask('MAIL FROM:<>', '250 ...')
                client.ask(f'RCPT TO:<{BOB}>', answers[0])
                if len(answers) > 1:
                    client.ask('DATA', answers[1])
                if len(answers) > 2:
                    client.ask('x\r\n.', answers[2])
                else:
                    client.ask('RSET', '250 ...')
                wrong.clear()
                self.send(client, BOB)
                self.assertEqual(len(node.messages), 1)

    def test_a_kept_connection_that_the_node_has_left(self):
        node = MailNode(self)
        p = self.mail(f'* {node.address}')
        client = self.client(p)
        self.send(client, BOB)
        for wire in node.node.wires:
            wire.sock.shutdown(socket.SHUT_RDWR)
        self.send(client, BOB)
        self.assertEqual((len(node.messages), node.connections), (2, 2))

    def test_a_node_that_lies(self):
        node = self.node()
        p = self.mail(f'* {node.address}')
        for said in ('250 2.0.0 kept', '354 go', '999 what', '250 x\rz', '2', '250-a', ''):
            with self.subTest(said=said):
                client = self.client(p)
                client.ask('MAIL FROM:<>', '250 ...')
                client.say(f'RCPT TO:<{BOB}>')
                wire = node.accept()
                wire.say('220 node')
                wire.expect('EHLO client.example.org')
                wire.say('250-node', '250 PIPELINING')
                wire.expect('MAIL FROM:<>', f'RCPT TO:<{BOB}>')
                wire.say('250 ok', '250 ok')
                client.expect('250 ok')
                client.say('DATA')
                wire.expect('DATA')
                wire.say(said, '250 2.0.0 kept')
                client.expect('451 4.4.2 ...')
                wire.expect_end()
                client.close()

    def test_an_answer_before_the_end_of_the_message(self):
        node = self.node()
        p = self.mail(f'* {node.address}')
        client = self.client(p)
        client.ask('MAIL FROM:<>', '250 ...')
        client.say(f'RCPT TO:<{BOB}>')
        wire = node.accept()
        wire.say('220 node')
        wire.expect('EHLO client.example.org')
        wire.say('250-node', '250 PIPELINING')
        wire.expect('MAIL FROM:<>', f'RCPT TO:<{BOB}>')
        wire.say('250 ok', '250 ok')
        client.expect('250 ok')
        client.say('DATA')
        wire.expect('DATA')
        wire.say('354 go')
        client.expect('354 ...')
        client.say('x')
        wire.expect('Received: ...')
        wire.say('250 2.0.0 kept')
        wire.drain()
        client.say('.')
        client.expect('451 4.4.2 ...')

    def test_a_client_that_goes_away(self):
        node = MailNode(self)
        p = self.mail(f'* {node.address}')
        for last in b'hello\r\n', b'hello\r\n.', b'hello\r\n.\r', b'':
            client = self.client(p)
            self.begin(client, BOB)
            client.ask('DATA', '354 ...')
            client.send(last)
            client.close()
        p.wait('close', count=4)
        p.wait('message', count=4, result='aborted')
        self.assertEqual(node.messages, [])

    def test_the_queue(self):
        node = MailNode(self)
        p = self.mail(f'* {node.address}', backend={'max_connections': 1, 'queue_size': 1, 'queue_timeout': '4s'})
        first, second, third = (self.client(p) for i in range(3))
        self.begin(first, BOB)
        second.ask('MAIL FROM:<>', '250 ...')
        second.say(f'RCPT TO:<{BOB}>')
        p.wait('route', count=2)
        third.ask('MAIL FROM:<>', '250 ...')
        third.ask(f'RCPT TO:<{BOB}>', '451 4.3.2 ...')
        first.ask('RSET', '250 ...')  # an idle connection gives its place to who waits
        second.expect('250 2.1.5 ...')
        first.ask('MAIL FROM:<>', '250 ...')
        first.ask(f'RCPT TO:<{BOB}>', '451 4.3.2 ...')

    def test_hold(self):
        node = MailNode(self)
        p = self.mail(f'{BOB} {node.address} hold', backend={'queue_timeout': '5s'})
        client = self.client(p)
        client.ask('MAIL FROM:<>', '250 ...')
        client.say(f'RCPT TO:<{BOB}>')
        p.set_users(f'{BOB} {node.address}')
        client.expect('250 2.1.5 ...')
        p = self.mail(f'{BOB} {node.address} hold', backend={'queue_timeout': '300ms'})
        client = self.client(p)
        client.ask('MAIL FROM:<>', '250 ...')
        client.ask(f'RCPT TO:<{BOB}>', '451 4.3.2 ...')

    def test_checks_and_what_is_announced(self):
        node = MailNode(self, capabilities=['SIZE 5000', '8BITMIME', 'DSN', 'CHUNKING', 'XFOO', 'AUTH PLAIN', 'STARTTLS'])
        p = self.mail('* node1', more={'nodes': {'node1': {'address': node.address}}},
                      backend={'check': {'interval': '50ms'}})
        with node.news:
            node.news.wait_for(lambda: node.heard.count('QUIT') > 1, 10)
        client = self.client(p)
        self.assertEqual(sorted(client.capabilities[1:]), [
            '8BITMIME', 'CHUNKING', 'DSN', 'ENHANCEDSTATUSCODES', 'PIPELINING', 'SIZE 5000', 'STARTTLS',
            'XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT'])
        self.assertEqual(client.capabilities[0], 'mail.example.org')

    def test_tls_to_the_node(self):
        p = self.mail(f'* {MailNode(self).address}', backend={'tls': 'starttls', 'verify': False})
        client = self.client(p)
        client.ask('MAIL FROM:<>', '250 ...')
        client.ask(f'RCPT TO:<{BOB}>', '451 4.4.1 ...')


class Identity(Base):
    def test_xclient_to_the_node(self):
        node = MailNode(self, capabilities=[*MailNode.CAPABILITIES, 'XCLIENT NAME ADDR PORT PROTO HELO'])
        p = self.mail(f'* {node.address}')
        client = self.client(p, source='127.0.0.5')
        self.send(client, BOB)
        port = client.sock.getsockname()[1]
        self.assertEqual(node.messages[0][3],
                         f'ADDR=127.0.0.5 PORT={port} NAME=[UNAVAILABLE] PROTO=ESMTP HELO=client.example.org')

    def test_all_that_is_known_of_a_client_is_passed_on(self):
        names = 'NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT'
        node = MailNode(self, capabilities=[*MailNode.CAPABILITIES, f'XCLIENT {names}'])
        p = self.mail(f'* {node.address}')
        port = p.port['smtp']
        for said, name, told in (
                ('NAME=spike.example.com ADDR=192.0.2.1 PORT=4711', 'HELO', 'ADDR=192.0.2.1 PORT=4711 NAME=spike.example.com PROTO=SMTP'),
                ('NAME=[TEMPUNAVAIL] ADDR=IPV6:2001:db8::1 LOGIN=bob', 'EHLO',
                 'ADDR=IPV6:2001:db8::1 PORT=0 NAME=[TEMPUNAVAIL] PROTO=ESMTP'),
                ('NAME=[UNAVAILABLE] ADDR=192.0.2.1 PORT=1 DESTADDR=192.0.2.9 DESTPORT=26', 'EHLO',
                 'ADDR=192.0.2.1 PORT=1 NAME=[UNAVAILABLE] PROTO=ESMTP')):
            with self.subTest(said=said):
                client = self.client(p)
                client.ask(f'XCLIENT {said}', '220 ...')
                self.hello(client, name, 'spike.example.net')
                self.send(client, BOB)
                local = 'DESTADDR=192.0.2.9 DESTPORT=26' if 'DEST' in said else f'DESTADDR=127.0.0.1 DESTPORT={port}'
                self.assertEqual(node.messages[-1][3], f'{told} HELO=spike.example.net {local}')

    def test_a_client_that_nobody_knows_is_nobody(self):
        relay = MailNode(self)
        p = self.mail(relay=relay.address, relay_networks=['127.0.0.0/8'])
        client = self.client(p)
        client.ask('XCLIENT ADDR=[UNAVAILABLE] NAME=[UNAVAILABLE]', '220 ...')
        self.hello(client)
        client.ask('MAIL FROM:<>', '250 ...')
        client.ask(f'RCPT TO:<{EVE}>', '554 5.7.1 ...')

    def test_xclient_from_trusted_networks(self):
        node = MailNode(self)
        p = self.mail(f'* {node.address}', relay=node.address, relay_networks=['127.0.0.0/8'],
                      more={'global_': {'trusted_networks': ['127.0.0.2/32']}})
        stranger = self.client(p)
        self.assertFalse([line for line in stranger.capabilities if line.startswith('XCLIENT')])
        stranger.ask('XCLIENT ADDR=192.0.2.1', '550 5.7.0 ...')
        client = self.client(p, source='127.0.0.2')
        client.ask('MAIL FROM:<>', '250 ...')
        client.ask('XCLIENT ADDR=192.0.2.1', '503 5.5.1 ...')
        client.ask('RSET', '250 ...')
        client.ask('XCLIENT FOO=1', '501 5.5.4 ...')
        client.ask('XCLIENT ADDR=192.0.2.1 NAME=spike.example.com HELO=sp+2Bike', '220 mail.example.org ...')
        client.ask('MAIL FROM:<>', '503 5.5.1 ...')
        self.hello(client, name='spike.example.net')
        client.ask('MAIL FROM:<>', '250 ...')
        client.ask(f'RCPT TO:<{EVE}>', '554 5.7.1 ...')
        client.ask('RSET', '250 ...')
        self.send(client, BOB)
        self.assertIn(b'from spike.example.net (spike.example.com [192.0.2.1])\r\n', node.messages[0][2])

    def test_limits_hold_for_whom_xclient_names(self):
        p = self.mail('', limits={'connections_per_ip': 1}, access=[{'deny': '192.0.2.9'}])
        first = self.client(p)
        first.ask('XCLIENT ADDR=192.0.2.1', '220 ...')
        for address in '192.0.2.1', '192.0.2.9':  # 127.0.0.1 is nobody's any more
            second = self.client(p)
            second.ask(f'XCLIENT ADDR={address}', '220 ...', '421 ...')
            second.expect_end()
            p.wait('close', reason='refused', client=f'{address}:...')
        first.close()
        p.wait('close', client='192.0.2.1:...', reason='client_closed')
        self.client(p).ask('XCLIENT ADDR=192.0.2.2', '220 ...')

    def test_proxy_header(self):
        node = MailNode(self)
        port = free_port()
        p = self.mail(f'* {node.address}', listeners=[{'address': f'127.0.0.1:{port}', 'proxy_protocol': True}],
                      more={'global_': {'trusted_networks': ['127.0.0.0/8']}})
        p.port['smtp'] = port
        client = self.connect(p, 'smtp')
        client.say('PROXY TCP4 192.0.2.7 192.0.2.1 4711 25')
        client.expect('220 ...')
        self.hello(client)
        self.assertFalse([line for line in client.capabilities if line.startswith('XCLIENT')])
        self.send(client, BOB)
        self.assertIn(b'([192.0.2.7])', node.messages[0][2])

    def test_proxy_header_to_the_node(self):
        node = self.node()
        p = self.mail(f'* {node.address}', backend={'client_address': 'proxy_v1'})
        client = self.client(p)
        client.ask('MAIL FROM:<>', '250 ...')
        client.say(f'RCPT TO:<{BOB}>')
        wire = node.accept()
        wire.expect('PROXY TCP4 127.0.0.1 127.0.0.1 ...')


class Lmtp(Base):
    def test_recipients_of_several_nodes(self):
        one, two, smtp = (MailNode(self, lmtp=True, name='one'), MailNode(self, lmtp=True, name='two'), None)
        p = self.mail(f'{BOB} {one.address}\nbill@example.org {one.address}\n{ANN} {two.address}', 'lmtp')
        client = self.client(p, 'lmtp')
        self.begin(client, BOB, ANN, 'bill@example.org')
        client.ask('RCPT TO:<nobody@example.org>', '550 5.1.1 ...')
        client.ask('DATA', '354 ...')
        two.fault = lambda what: ['452 4.2.2 full'] if what == 'final' else None
        client.say('x', '.')
        client.expect('250 2.0.0 kept', '452 4.2.2 full', '250 2.0.0 kept')
        self.assertEqual((len(one.messages), len(two.messages)), (2, 0))
        self.assertIn(b' with LMTP\r\n', one.messages[0][2])
        self.assertEqual(one.heard[0], 'LHLO client.example.org')
        client.ask('EHLO x', '500 5.5.1 ...')
        self.begin(client, ANN, BOB)
        two.fault = None
        client.send(b'BDAT 3\r\nx\r\nBDAT 3 LAST\r\ny\r\n')
        client.expect('250 2.0.0 3 octets received', '250 2.0.0 kept', '250 2.0.0 kept')
        self.assertEqual((one.connections, two.connections), (1, 1))
        self.assertEqual(two.messages[0][2][-6:], b'x\r\ny\r\n')

    def test_a_node_that_goes_away_costs_its_recipients_only(self):
        one, two = MailNode(self, lmtp=True, name='one'), MailNode(self, lmtp=True, name='two')
        p = self.mail(f'{BOB} {one.address}\n{ANN} {two.address}', 'lmtp', unknown_user='discard')
        for step in 'DATA', 'final':
            client = self.client(p, 'lmtp')
            self.begin(client, BOB, 'nobody@example.org', ANN)
            one.fault = lambda what: 'close' if what == step else None
            client.ask('DATA', '354 ...')
            client.say('x', '.')
            client.expect('451 4.4.2 ...', '250 2.0.0 Ok, discarded', '250 2.0.0 kept')
            one.fault = None

    def test_faults_of_the_message(self):
        one, two = MailNode(self, lmtp=True, name='one'), MailNode(self, lmtp=True, name='two')
        p = self.mail(f'{BOB} {one.address}\n{ANN} {two.address}', 'lmtp')
        client = self.client(p, 'lmtp')
        self.begin(client, BOB, ANN)
        client.ask('DATA', '354 ...')
        client.send(b'a\nb\r\n.\r\n')
        client.expect('550 5.6.0 ...', '550 5.6.0 ...')
        self.assertEqual(one.messages + two.messages, [])
        self.begin(client, BOB, ANN)
        client.send(b'BDAT 3 LAST\r\na\nb')
        client.expect('550 5.6.0 ...', '550 5.6.0 ...')
        client.ask('NOOP', '250 ...')

    def test_lmtp_listener_smtp_nodes(self):
        node = MailNode(self)
        p = self.mail(f'* {node.address}', 'lmtp', backend={'protocol': 'smtp'})
        client = self.client(p, 'lmtp')
        self.begin(client, BOB, ANN)
        client.ask('DATA', '354 ...')
        client.say('x', '.')
        client.expect('250 2.0.0 kept', '250 2.0.0 kept')
        self.assertEqual(len(node.messages), 1)

    def test_smtp_listener_lmtp_nodes(self):
        node = MailNode(self, lmtp=True)
        p = self.mail(f'* {node.address}', backend={'protocol': 'lmtp'})
        client = self.client(p)
        self.begin(client, BOB)
        client.ask(f'RCPT TO:<{ANN}>', '452 4.5.3 ...')
        client.ask('DATA', '354 ...')
        client.say('x', '.')
        client.expect('250 2.0.0 kept')
        self.send(client, ANN)
        self.assertEqual(len(node.messages), 2)

    def test_all_nodes_refuse_the_message(self):
        one, two = MailNode(self, lmtp=True, name='one'), MailNode(self, lmtp=True, name='two')
        for node in one, two:
            node.fault = lambda what: ['451 4.3.1 no disk'] if what == 'DATA' else None
        p = self.mail(f'{BOB} {one.address}\n{ANN} {two.address}', 'lmtp')
        client = self.client(p, 'lmtp')
        self.begin(client, BOB, ANN)
        client.ask('DATA', '451 4.3.1 no disk')
        client.ask('NOOP', '250 2.0.0 Ok')


class Size(Base):
    """MAIL_SIZE is in MiB: 1024 of them take a while longer."""

    SIZE = int(os.environ.get('MAIL_SIZE', 256))

    @staticmethod
    def swallow(wire, total):
        """A node that counts a message and keeps nothing of it."""
        wire.say('220 node')
        while True:
            line = wire.line()
            if line == 'DATA':
                wire.say('354 go')
                while not wire.pending.endswith(b'\r\n.\r\n'):
                    total[0] += max(0, len(wire.pending) - 5)
                    wire.pending = wire.pending[-5:]
                    if not wire.more(1 << 20):
                        return
                total[0] += len(wire.pending)
                wire.pending = b''
            wire.say('250 2.0.0 ok')

    def test_a_large_message_takes_no_memory(self):
        total, block = [0], b'x' * 1022 + b'\r\n'
        node = self.node(serve=lambda wire: self.swallow(wire, total))
        p = self.mail(f'{BOB} {node.address}', max_message_size='0')
        client = self.client(p)
        self.begin(client, BOB)
        client.ask('DATA', '354 ...')
        client.send(block * 1024)
        before, peak = p.memory(), 0
        for i in range(self.SIZE - 1):
            client.send(block * 1024)
            peak = max(peak, p.memory()) if i % 16 == 0 else peak
        client.send(b'.\r\n')
        client.expect('250 2.0.0 ok')
        self.assertGreaterEqual(total[0], self.SIZE << 20)
        self.assertLess(peak - before, 8 << 20)

    def test_a_slow_node_slows_the_client_down(self):
        node = self.node()
        p = self.mail(f'{BOB} {node.address}', max_message_size='0')
        client = self.client(p)
        client.ask('MAIL FROM:<>', '250 ...')
        client.say(f'RCPT TO:<{BOB}>')
        wire = node.accept()
        wire.say('220 node')
        wire.line()
        wire.say('250-node', '250 PIPELINING')
        wire.expect('MAIL FROM:<>', f'RCPT TO:<{BOB}>')
        wire.say('250 ok', '250 ok')
        client.expect('250 ok')
        client.say('DATA')
        wire.expect('DATA')
        wire.say('354 go')
        client.expect('354 ...')
        block, sent = (b'x' * 1022 + b'\r\n') * 64, 0
        before = p.memory()
        client.sock.settimeout(1)
        try:
            while sent < 256 << 20:
                sent += client.sock.send(block)
        except TimeoutError:
            pass
        self.assertLess(sent, 64 << 20)
        self.assertLess(p.memory() - before, 8 << 20)


class Lookup(Base):
    def lookup(self, p, login):
        done = subprocess.run([os.path.join(os.path.dirname(BINARY), 'proxyctl'), '-c', p.path, 'lookup', '--service', 'smtp',
                               login], capture_output=True, text=True, timeout=PATIENCE)
        return done.returncode, done.stdout

    def test_recipients(self):
        p = self.mail(f'{BOB} 127.0.0.9:25\n@example.com 127.0.0.8\n* 127.0.0.7:24')
        for login, status, said in ((BOB, 0, '127.0.0.9'), ('x@example.org', 0, '127.0.0.7'), (EVE, 0, '127.0.0.8'),
                                    ('x@example.net', 1, '554 5.7.1 Relay access denied'),
                                    ('eve%example.com@example.org', 1, 'a route within the mailbox')):
            with self.subTest(login=login):
                code, text = self.lookup(p, login)
                self.assertEqual(code, status, text)
                self.assertIn(said, text)


class Maps(Base):
    def test_a_map_that_cannot_be_asked(self):
        p = self.mail(maps=['staff'], more={
            'ldap': {'corp': {'servers': [f'ldap://127.0.0.1:{free_port()}'], 'search_base': 'dc=example'}},
            'maps': {'staff': {'type': 'ldap_password', 'connector': 'corp'}}})
        client = self.client(p)
        client.ask('MAIL FROM:<>', '250 ...')
        client.ask(f'RCPT TO:<{BOB}>', '451 4.3.0 ...')
        client.ask('NOOP', '250 ...')

    def test_a_reload_is_for_new_clients(self):
        one, two = MailNode(self, name='one'), MailNode(self, name='two')
        p = self.mail(f'{BOB} {one.address}\n{ANN} {two.address}')
        client = self.client(p)
        self.begin(client, BOB)
        p.reload(smtp={'domains': ['example.net']})
        client.ask('DATA', '354 ...')
        client.say('x', '.')
        client.expect('250 2.0.0 kept')
        client.ask('MAIL FROM:<>', '250 ...')
        client.ask('RCPT TO:<nobody@example.org>', '550 5.1.1 ...')
        client = self.client(p)
        client.ask('MAIL FROM:<>', '250 ...')
        client.ask('RCPT TO:<nobody@example.org>', '554 5.7.1 ...')
