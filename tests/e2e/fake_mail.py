# SPDX-License-Identifier: ISC
"""A node that takes mail by SMTP or LMTP and keeps what it has acknowledged; and how to break it."""
import threading

from wire import Node


class MailNode:
    """FAULT(what) is asked before each answer ('greeting', 'EHLO', 'MAIL', 'RCPT', 'DATA', 'BDAT', 'final',
    ...): None for the right answer, 'close' to go away, or the lines of another one. What it has
    acknowledged is in `messages`: (sender, recipients, text, the XCLIENT words)."""

    CAPABILITIES = 'PIPELINING', 'SIZE 100000000', '8BITMIME', 'ENHANCEDSTATUSCODES', 'SMTPUTF8', 'DSN'

    def __init__(self, case, lmtp=False, capabilities=CAPABILITIES, fault=None, name='node'):
        self.lmtp, self.capabilities, self.fault, self.name = lmtp, capabilities, fault, name
        self.messages, self.heard, self.connections = [], [], 0
        self.news = threading.Condition()
        self.node = Node(name, serve=self.serve)
        case.addCleanup(self.node.close)
        self.address = self.node.address

    def answer(self, wire, what, *lines):
        wrong = self.fault(what) if self.fault else None
        if wrong == 'close':
            raise ConnectionError('leaving on purpose')
        wire.say(*(wrong or lines))
        return not wrong

    def serve(self, wire):
        try:
            self.connections += 1
            self.talk(wire)
        finally:
            wire.close()

    def talk(self, wire):
        self.answer(wire, 'greeting', f'220 {self.name} ready')
        sender, recipients, chunks, identity = None, [], b'', ''
        while True:
            line = wire.line()
            verb, _, rest = line.partition(' ')
            verb = verb.upper()
            with self.news:
                self.heard.append(line)
                self.news.notify_all()
            if verb in ('EHLO', 'LHLO'):
                lines = [self.name, *self.capabilities]
                self.answer(wire, verb, *(f'250-{text}' for text in lines[:-1]), f'250 {lines[-1]}')
            elif verb == 'HELO':
                self.answer(wire, verb, f'250 {self.name}')
            elif verb == 'XCLIENT':
                identity = rest
                self.answer(wire, verb, f'220 {self.name} again')
            elif verb == 'MAIL':
                if self.answer(wire, verb, '250 2.1.0 ok'):
                    sender, recipients, chunks = rest, [], b''
            elif verb == 'RCPT':
                if self.answer(wire, verb, f'250 2.1.5 {self.name} takes it'):
                    recipients.append(rest)
            elif verb == 'DATA':
                if self.answer(wire, verb, '354 go'):
                    self.acknowledge(wire, sender, recipients, self.read_data(wire), identity)
                    sender, recipients = None, []
            elif verb == 'BDAT':
                size, *last = rest.split()
                chunks += wire.read(int(size))
                if not recipients:
                    wire.say('503 5.5.1 no recipients')
                elif last:
                    self.acknowledge(wire, sender, recipients, chunks, identity)
                    sender, recipients, chunks = None, [], b''
                elif not self.answer(wire, verb, '250 2.0.0 chunk'):
                    sender, recipients, chunks = None, [], b''  # RFC 3030, 2.
            elif verb == 'QUIT':
                self.answer(wire, verb, '221 2.0.0 bye')
                return
            elif verb == 'RSET':
                sender, recipients, chunks = None, [], b''
                self.answer(wire, verb, '250 2.0.0 ok')
            else:
                self.answer(wire, verb, '250 2.0.0 ok' if verb == 'NOOP' else '500 5.5.2 what?')

    @staticmethod
    def read_data(wire):
        """The message, with its dots single again."""
        text = b''
        while True:
            while b'\n' not in wire.pending:
                if not wire.more():
                    raise ConnectionError('the message has no end')
            line, wire.pending = wire.pending.split(b'\n', 1)
            if line == b'.\r':
                return text
            text += line.removeprefix(b'.') + b'\n'

    def acknowledge(self, wire, sender, recipients, text, identity):
        """LMTP: each recipient by itself; what is acknowledged is kept before the answer is said."""
        for recipient in recipients if self.lmtp else [recipients]:
            wrong = self.fault('final') if self.fault else None
            if wrong == 'close':
                raise ConnectionError('leaving on purpose')
            if not wrong:
                with self.news:
                    self.messages.append((sender, [recipient] if self.lmtp else recipients, text, identity))
                    self.news.notify_all()
            wire.say(*(wrong or ['250 2.0.0 kept']))
