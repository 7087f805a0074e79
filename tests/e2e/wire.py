# SPDX-License-Identifier: ISC
"""A connection that speaks in lines, and a node that a test plays by hand.

Every wait has a limit (PATIENCE): a test that hangs fails, and says what it was waiting for.
"""
import base64
import functools
import glob
import itertools
import os
import pathlib
import random
import signal
import socket
import threading
import time

PATIENCE = 30  # seconds; others may be busy


COUNT = 1000  # ports of a process


@functools.cache
def ports():
    """Where this process finds its ports, in any order, round and round: below those that the kernel
    gives to clients, and not where another process of the tests looks for its own."""
    for begin in range(10000, 32000, COUNT):
        slot = socket.socket(socket.AF_UNIX)
        try:
            slot.bind(f'\0proxyd-test-ports-{begin}')  # in the same network as the ports, whatever /tmp is
        except OSError:
            slot.close()
            continue
        mine = random.sample(range(begin, begin + COUNT), COUNT)
        return slot, itertools.cycle(mine)  # which is taken as long as the socket is open
    raise AssertionError('too many tests run at the same time')


def free_port():
    """A TCP port of 127.0.0.1 that nobody has, nor was given lately."""
    for port in itertools.islice(ports()[1], COUNT):
        with socket.socket() as s:
            try:
                s.bind(('127.0.0.1', port))
                return port
            except OSError:
                pass
    raise AssertionError('all ports are in use')


def freeze(*pids):
    """Stops processes, and returns when none of their threads runs any more, which takes a while on a busy machine."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + PATIENCE
    for path in [path for pid in pids for path in glob.glob(f'/proc/{pid}/task/*/stat')]:
        while pathlib.Path(path).read_text().rpartition(')')[2].split()[0] != 'T':
            assert time.monotonic() < deadline, f'{path} does not stop'


def text(data):
    return data.decode('utf-8', 'backslashreplace')


def matches(pattern, line):
    """As in a talk: a trailing ... stands for any rest."""
    return line.startswith(pattern[:-3]) if pattern.endswith('...') else line == pattern


class Wire:
    def __init__(self, sock, name):
        self.sock, self.name, self.pending = sock, name, b''
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        self.sock.sendall(data)

    def say(self, *lines):
        """Sends the lines in one piece."""
        self.send(''.join(line + '\r\n' for line in lines).encode())

    def more(self, size=65536):
        """Reads what there is; False at the end."""
        try:
            data = self.sock.recv(size)
        except ConnectionError:
            data = b''
        except TimeoutError:
            raise AssertionError(f'{self.name}: nothing more came after {text(self.pending)!r}') from None
        self.pending += data
        return bool(data)

    def line(self):
        """The next line without its end."""
        while b'\n' not in self.pending:
            if not self.more():
                raise AssertionError(f'{self.name}: ended, after {text(self.pending)!r}')
        line, self.pending = self.pending.split(b'\n', 1)
        return text(line.removesuffix(b'\r'))

    def read(self, size):
        while len(self.pending) < size:
            if not self.more():
                raise AssertionError(f'{self.name}: ended, after {text(self.pending)!r}')
        data, self.pending = self.pending[:size], self.pending[size:]
        return data

    def expect(self, *patterns):
        """The next lines must be these; returns the last one."""
        for pattern in patterns:
            line = self.line()
            if not matches(pattern, line):
                raise AssertionError(f'{self.name}: expected {pattern!r}, got {line!r}')
        return line

    def expect_end(self):
        """Nothing more comes: the other side has closed."""
        while self.more():
            pass
        if self.pending:
            raise AssertionError(f'{self.name}: expected the end, got {text(self.pending)!r}')

    def drain(self):
        """The other side closes, whatever it said before."""
        while self.more():
            pass

    def ask(self, line, *patterns):
        self.say(line)
        return self.expect(*patterns)

    def start_tls(self, context, **how):
        assert not self.pending, f'{self.name}: {text(self.pending)!r} before TLS'
        self.sock = context.wrap_socket(self.sock, **how)

    def end_writing(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    # ---- a node's side of a login ----

    def imap_login(self, greeting='* OK [CAPABILITY IMAP4rev1] node', answer='OK hello'):
        """Lets proxyd log in as an IMAP node would; returns user, password and the ID fields."""
        self.say(greeting)
        identity = ''
        while True:
            tag, command, *rest = self.line().split(' ')
            if command == 'ID':
                identity = ' '.join(rest)
            elif command in ('LOGIN', 'AUTHENTICATE'):
                user, password = self.credentials(command, rest)
                self.say(f'{tag} {answer}')
                return user, password, identity
            self.say(*(['* CAPABILITY IMAP4rev1'] if command == 'CAPABILITY' else []), f'{tag} OK done')
            if command == 'LOGOUT':
                return None

    @staticmethod
    def credentials(command, rest):
        if command == 'AUTHENTICATE':
            return tuple(base64.b64decode(rest[1]).decode().split('\0')[1:])
        return tuple(word.strip('"') for word in rest)

    def pop3_login(self, answer='+OK hello', capabilities=('USER',)):
        """The same for POP3; returns user, password and the XCLIENT words."""
        self.say('+OK node')
        user, identity = None, ''
        while True:
            command, *rest = self.line().split(' ')
            if command == 'CAPA':
                self.say('+OK', *capabilities, '.')
            elif command == 'USER':
                user = rest[0]
                self.say('+OK')
            elif command == 'PASS':
                self.say(answer)
                return user, ' '.join(rest), identity
            else:
                identity = ' '.join(rest) if command == 'XCLIENT' else identity
                self.say('+OK')
                if command == 'QUIT':
                    return None

    def smtp_login(self, answer='235 2.7.0 hello', capabilities=('AUTH PLAIN',), greeting='220 node ESMTP'):
        """The same for SMTP; returns user, password and the XCLIENT words. `helo` is what it was greeted with."""
        self.say(greeting)
        identity = ''
        while True:
            command, *rest = self.line().split(' ')
            if command == 'EHLO':
                self.helo, lines = rest[0], ['node', *capabilities]
                self.say(*(f'250-{line}' for line in lines[:-1]), f'250 {lines[-1]}')
            elif command == 'XCLIENT':
                identity = ' '.join(rest)
                self.say(greeting)
            elif command == 'AUTH':
                self.say(answer)
                return *base64.b64decode(rest[1]).decode().split('\0')[1:], identity
            else:
                self.say('221 2.0.0 bye' if command == 'QUIT' else '500 5.5.2 what?')
                if command == 'QUIT':
                    return None


class Node:
    """A listening socket; the test accepts and talks itself, or has SERVE(wire) called in a thread
    for each connection."""

    def __init__(self, name='node', host='127.0.0.1', port=0, serve=None):
        self.name, self.serve = name, serve
        self.sock = socket.create_server((host, port or free_port()), backlog=512)
        self.sock.settimeout(PATIENCE)
        self.port = self.sock.getsockname()[1]
        self.address = f'{host}:{self.port}'
        self.wires = []
        if serve:
            threading.Thread(target=self.run, daemon=True).start()

    def accept(self):
        try:
            sock, self.peer = self.sock.accept()
        except TimeoutError:
            raise AssertionError(f'{self.name}: nobody connected') from None
        self.wires.append(Wire(sock, self.name))
        return self.wires[-1]

    def run(self):
        self.sock.settimeout(None)
        while True:
            try:
                wire = self.accept()
            except OSError:
                return
            threading.Thread(target=self.serve_quietly, args=(wire,), daemon=True).start()

    def serve_quietly(self, wire):
        try:
            self.serve(wire)
        except (OSError, AssertionError, ValueError):
            pass  # what proxyd makes of it is the test's business

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        except OSError:
            pass
        self.sock.close()
        for wire in self.wires:
            wire.close()
