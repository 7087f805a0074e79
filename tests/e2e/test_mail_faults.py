# SPDX-License-Identifier: ISC
"""Thousands of messages past nodes that answer late, refuse, lie and go away at any step, by clients that
try again until they are told yes: in the end every message is at its node exactly once."""
import os
import random
import threading
import time

from fake_mail import MailNode
from mail_case import Base
from wire import PATIENCE

MESSAGES = int(os.environ.get('MAIL_FAULTS', 10000))
CLIENTS, NODES = 16, 3
STEPS = 'greeting', 'EHLO', 'LHLO', 'MAIL', 'RCPT', 'DATA', 'BDAT', 'RSET', 'final'
TRIES = 200  # of one message: there is one fault in RARITY answers
RARITY = 40
LIES = {'MAIL': ['354 go'], 'RCPT': ['250-never', '550 ended'], 'DATA': ['250 2.0.0 kept'], 'final': ['354 again'],
        'EHLO': ['220 what'], 'LHLO': ['220 what'], 'greeting': ['250 hello'], 'BDAT': ['354 what'], 'RSET': ['2']}


class Wrong:
    """One answer in RARITY is another one than it should be. What is said instead of a yes to a message is
    never a yes, so a message that it hits is not at the node."""

    def __init__(self, seed):
        self.random, self.count = random.Random(seed), 0

    def __call__(self, step):
        if step not in STEPS or self.random.randrange(RARITY):
            return None
        self.count += 1
        kind = self.random.choice(('close', 'refuse', 'shut', 'lie', 'late'))
        if kind == 'late':
            time.sleep(self.random.random() / 50)
            return None
        if kind == 'close':
            return 'close'
        if kind == 'refuse':
            return ['451-4.3.0 not now', '451 4.3.0 later']
        return ['421 4.3.2 leaving'] if kind == 'shut' else LIES[step]


class Sender:
    """Sends messages one after the other, each until it is taken."""

    def __init__(self, case, p, name, number, todo):
        self.case, self.p, self.name, self.todo, self.number = case, p, name, todo, number
        self.random, self.client, self.tries = random.Random(number), None, 0

    def run(self):
        try:
            for message in self.todo:
                self.deliver(message)
        finally:
            if self.client:
                self.client.close()

    def deliver(self, message):
        waiting, tries = {f'{message}@node{node}.test' for node in self.nodes()}, 0
        while waiting:
            tries += 1
            assert tries < TRIES, f'{message} was refused {TRIES} times'
            waiting -= self.attempt(message, sorted(waiting))
        self.tries += tries

    def nodes(self):
        return self.random.sample(range(NODES), 2 if self.name == 'lmtp' and self.random.random() < 0.3 else 1)

    def attempt(self, message, recipients):
        """Returns the recipients that were acknowledged."""
        if not self.client or not self.random.randrange(20):
            if self.client:
                self.client.close()
            self.client = self.case.client(self.p, self.name)
        client = self.client
        client.ask('MAIL FROM:<a@example.net>', '250 2.1.0 Ok')
        accepted = []
        for recipient in recipients:
            client.say(f'RCPT TO:<{recipient}>')
            if self.reply().startswith('2'):
                accepted.append(recipient)
        if not accepted or not self.random.randrange(50):
            client.ask('RSET', '250 ...')
            return set()
        text = f'Subject: {message}\r\n\r\n{"." * self.random.randrange(3)}x\r\n'.encode() * self.random.choice((1, 1, 1, 500))
        return self.hand_over(accepted, text)

    def hand_over(self, accepted, text):
        client = self.client
        if self.random.random() < 0.3:
            half = self.random.randrange(len(text))
            client.send(b'BDAT %d\r\n' % half + text[:half])
            if not self.reply().startswith('2'):
                return set()
            client.send(b'BDAT %d LAST\r\n' % (len(text) - half) + text[half:])
        else:
            client.say('DATA')
            if not self.reply().startswith('3'):
                return set()
            if not self.random.randrange(50):  # leaves within the message
                client.send(text[:self.random.randrange(len(text))])
                client.close()
                self.client = None
                return set()
            client.send(text.replace(b'\r\n.', b'\r\n..') + b'.\r\n')
        replies = [self.reply() for _ in (accepted if self.name == 'lmtp' else accepted[:1])]
        return {recipient for recipient, reply in zip(accepted, replies) if reply.startswith('2')}

    def reply(self):
        while (line := self.client.line())[3:4] == '-':
            pass
        assert line[:1] in '2345' and line[:3] != '421', line
        return line


class Faults(Base):
    def play(self, name, backend, messages):
        wrongs = [Wrong(seed) for seed in range(NODES)]
        nodes = [MailNode(self, lmtp=backend == 'lmtp', fault=wrong, name=f'node{i}',
                          capabilities=[*MailNode.CAPABILITIES, *(['CHUNKING'] if i else [])])
                 for i, wrong in enumerate(wrongs)]
        p = self.mail(''.join(f'@node{i}.test {node.address}\n' for i, node in enumerate(nodes)), name, max_errors=1000000,
                      backend={'protocol': backend}, more={'log': {'level': 'error'}})
        names = [f'm{i}' for i in range(messages)]
        senders = [Sender(self, p, name, i, names[i::CLIENTS]) for i in range(CLIENTS)]
        failures = []

        def run(sender):
            try:
                sender.run()
            except Exception as error:  # told by the test's own thread
                failures.append(error)

        threads = [threading.Thread(target=run, args=(sender,), daemon=True) for sender in senders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20 * PATIENCE + messages / 20)
            self.assertFalse(thread.is_alive(), 'a client waits for ever')
        if failures:
            raise failures[0]
        self.check(nodes, messages)
        self.assertGreater(sum(wrong.count for wrong in wrongs), messages / RARITY)
        self.assertGreater(sum(sender.tries for sender in senders), messages)

    def check(self, nodes, messages):
        seen = {}
        for i, node in enumerate(nodes):
            for _, recipients, text, _ in node.messages:
                for recipient in recipients:
                    name = recipient.removeprefix('TO:<').removesuffix('>')
                    subject = text.split(b'Subject: ', 1)[1].split(b'\r\n', 1)[0].decode()
                    self.assertEqual(name, f'{subject}@node{i}.test')
                    self.assertTrue(text.endswith(b'x\r\n'), text[-20:])
                    seen[name] = seen.get(name, 0) + 1
        self.assertEqual([name for name, count in seen.items() if count > 1], [])
        self.assertEqual(len({name.split('@')[0] for name in seen}), messages)

    def test_smtp(self):
        self.play('smtp', 'smtp', MESSAGES * 6 // 10)

    def test_lmtp(self):
        self.play('lmtp', 'lmtp', MESSAGES * 3 // 10)

    def test_smtp_to_lmtp(self):
        self.play('smtp', 'lmtp', MESSAGES // 10)
