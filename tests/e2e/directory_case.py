# SPDX-License-Identifier: ISC
"""What the tests over a directory have in common: a slapd, a node, a proxyd that asks the one about
logins at the other, and clients that are let in or refused."""
import copy
import queue
import time

from case import Case, start
from directory import Slapd
from forwarder import Forwarder
from proxyd import PASSWORD, merge
from wire import PATIENCE

KINDS = 'ldap_password', 'ldap_bind'
UNAVAILABLE, REFUSED = 'NO [UNAVAILABLE] ...', 'NO [AUTHENTICATIONFAILED] ...'


class DirectoryCase(Case):
    """A directory for all tests of a class, with users who live on the node `home`: it lets
    everybody in, and remembers them (`arrived`)."""
    users = ('bob',)

    @classmethod
    def setUpClass(cls):
        cls.directory = cls.new_directory()

    @classmethod
    def new_directory(cls, **how):
        directory = start(cls, Slapd, **how)
        for name in cls.users:
            directory.add(name, mailHost='127.0.0.1')
        return directory

    def setUp(self):
        super().setUp()
        self.directory.forget()
        self.home, self.clients = self.host(), []

    def host(self):
        node = self.node(serve=lambda wire: self.welcome(node, wire))
        node.logins = queue.Queue()
        return node

    @staticmethod
    def welcome(node, wire):
        node.logins.put(wire.imap_login())
        wire.drain()
        wire.close()

    @staticmethod
    def arrived(node):
        """The login and the password of the next one who came to it."""
        return node.logins.get(timeout=PATIENCE)[:2]

    def network(self, directory=None):
        """What is between proxyd and a directory."""
        network = Forwarder((directory or self.directory).port)
        self.addCleanup(network.stop)
        return network.start()

    def settings(self, kind='ldap_password', authentication='proxy', service=None, **connector):
        """Sections of a configuration where the map `staff` asks the directory, without a cache."""
        connector = {'timeout': '8s', 'cache': {'found': '0s', 'not_found': '0s'}, **connector}
        service = {'maps': ['staff'], 'authentication': authentication, 'max_auth_errors': 1000,
                   **{'backend': {'port': self.home.port}, **(service or {})}}
        return {'log': {'level': 'debug'}, 'global_': {'workers': {'min': 1, 'max': 1}},
                'ldap': {'corp': self.directory.connector(**connector)},
                'maps': {'staff': {'type': kind, 'connector': 'corp'}},
                'imap': copy.deepcopy(service), 'pop3': service}

    def over_ldap(self, *args, users='', sections=None, **how):
        return self.proxyd(users, **merge(self.settings(*args, **how), sections or {}))

    def client(self, p):
        client = self.connect(p, source=self.new_source())
        client.expect('* OK ...')
        self.clients.append(client)
        return client

    def ask(self, p, login='bob@example.org', password=PASSWORD):
        """A client that has asked for his login and not yet read the answer."""
        client = self.client(p)
        client.say(f'a LOGIN "{login}" "{password}"')
        return client

    def answer(self, p, login='bob@example.org', password=PASSWORD):
        client = self.ask(p, login, password)
        words = client.line().removeprefix('a ')
        client.close()
        return words

    def let_in(self, p, login='bob@example.org', password=PASSWORD):
        self.ask(p, login, password).expect('a OK hello')

    def refused(self, p, login='bob@example.org', password=PASSWORD, words=REFUSED):
        self.ask(p, login, password).expect(f'a {words}')

    def unavailable(self, p, login='bob@example.org', password=PASSWORD):
        self.refused(p, login, password, UNAVAILABLE)

    def within(self, seconds, do, *args):
        begin = time.monotonic()
        result = do(*args)
        self.assertLess(time.monotonic() - begin, seconds)
        return result

    def soon(self, seconds, do, *args):
        """Within that time, if not always: a busy machine may make it late, but not thrice."""
        took = []
        for _ in range(3):
            begin = time.monotonic()
            do(*args)
            took.append(time.monotonic() - begin)
            if took[-1] < seconds:
                return
        self.fail(f'it took {took} s')

    def keep_trying(self, do, until):
        """Does it again and again, until it is as wanted."""
        deadline = time.monotonic() + PATIENCE
        while not until(do()):
            self.assertLess(time.monotonic(), deadline, 'it never came to that')

    def connections(self, event, directory=None, **wanted):
        """The numbers of the connections on which such things were asked."""
        return {e['conn'] for e in (directory or self.directory).events(event, **wanted)}
