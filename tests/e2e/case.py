# SPDX-License-Identifier: ISC
"""What every test case has: a folder, a certificate authority, and ways to start the parties, all of
which are gone when the test ends."""
import atexit
import functools
import os
import shutil
import tempfile
import unittest

from authority import Authority
from dovecot import Dovecot
from proxyd import PASSWORD, Proxyd
from wire import Node


def new_folder():
    folder = tempfile.mkdtemp(prefix='proxyd-test-')
    os.chmod(folder, 0o755)  # Dovecot is somebody else where we are root
    return folder


@functools.cache
def authority():
    """One for all tests of this process; its `server` is for mail.example.org."""
    folder = new_folder()
    atexit.register(shutil.rmtree, folder)
    made = Authority(folder)
    made.server = made.issue('mail.example.org')
    return made


class Case(unittest.TestCase):
    longMessage = False
    maxDiff = None

    def setUp(self):
        self.folder = new_folder()
        self.addCleanup(shutil.rmtree, self.folder)
        self.count = 0

    def subfolder(self, name):
        self.count += 1
        return os.path.join(self.folder, f'{name}{self.count}')

    def new_proxyd(self, users='', **sections):
        """Configured, but not started."""
        proxyd = Proxyd(self.subfolder('proxyd'), authority(), users, **sections)
        self.addCleanup(proxyd.stop)
        return proxyd

    def proxyd(self, users='', **sections):
        return self.new_proxyd(users, **sections).start()

    def node(self, **how):
        """A node to be played by hand."""
        node = Node(**how)
        self.addCleanup(node.close)
        return node

    def new_source(self):
        """An address of this machine that no client has come from yet: nobody's failed logins make his wait longer."""
        self.sources = getattr(self, 'sources', 0) + 1
        return f'127.0.{self.sources // 250 + 1}.{self.sources % 250 + 1}'

    def connect(self, proxyd, *args, **how):
        wire = proxyd.connect(*args, **how)
        self.addCleanup(wire.close)
        return wire

    def login(self, proxyd, node, name='imap', login='bob@example.org', greeting=None):
        """A client that is logged in, and his connection on the node."""
        client = self.connect(proxyd, name)
        if name.startswith('imap'):
            client.expect('* OK ...')
            client.say(f'a LOGIN {login} {PASSWORD}')
            wire = node.accept()
            self.assertEqual(wire.imap_login(), (login, PASSWORD, ''))
            client.expect('a OK hello')
        else:
            client.expect('+OK...')
            client.ask(f'USER {login}', '+OK...')
            client.say(f'PASS {PASSWORD}')
            wire = node.accept()
            self.assertEqual(wire.pop3_login(), (login, PASSWORD, ''))
            client.expect('+OK hello')
        return client, wire


def clean_up(case, function, *args):
    """Has FUNCTION called when CASE, a test or a class, ends."""
    (case.addCleanup if isinstance(case, unittest.TestCase) else case.addClassCleanup)(function, *args)


def start(case, kind, *args, **how):
    """A KIND of server for one test, or for all of a class: CASE is the test or the class."""
    folder = new_folder()
    clean_up(case, shutil.rmtree, folder)
    server = kind(os.path.join(folder, kind.__name__.lower()), *args, **how)
    clean_up(case, server.stop)
    return server.start()


def start_dovecot(case, users, **how):
    return start(case, Dovecot, users, **how)
