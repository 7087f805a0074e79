# SPDX-License-Identifier: ISC
"""Active Directory's fast bind: asked for once on each connection for users' binds, where the server
announces it, and never on those for searches."""
from case import Case
from fake_directory import FakeDirectory
from proxyd import MASTER, PASSWORD, WRONG

BOB, PROXY = 'cn=bob,dc=example,dc=org', 'cn=proxy,dc=example,dc=org'


class FastBind(Case):
    def test_is_asked_for_where_it_is_announced(self):
        node = self.node()
        directory = FakeDirectory(BOB, PASSWORD, {'extensionAttribute1': node.address})
        self.addCleanup(directory.stop)
        p = self.proxyd(ldap={'ad': {'server_type': 'active_directory', 'servers': [directory.url], 'bind_dn': PROXY,
                                     'bind_password': MASTER, 'search_base': 'dc=example,dc=org',
                                     'attributes': {'host': 'extensionAttribute1'}, 'bind_connections': 1,
                                     'connections': 1, 'cache': {'found': '0s', 'not_found': '0s'}}},
                        maps={'ad': {'type': 'ldap_bind', 'connector': 'ad'}},
                        imap={'maps': ['ad'], 'authentication': 'proxy'})
        for _ in range(2):
            self.login(p, node, login='bob')
        client = self.connect(p)
        client.expect('* OK ...')
        client.ask(f'a LOGIN bob {WRONG}', 'a NO [AUTHENTICATIONFAILED] ...')
        on = {number: [what for at, what in directory.seen if at == number] for number, _ in directory.seen}
        self.assertEqual(sorted(on.values()), sorted([[PROXY, 'search', 'search', 'search'],
                                                      ['root', 'fast bind', BOB, BOB, BOB]]))
