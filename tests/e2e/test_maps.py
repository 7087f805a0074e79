# SPDX-License-Identifier: ISC
"""The local-file map: who goes where, and what happens when the file changes."""
import os
import resource

from case import Case
from directory import hashed
from proxyd import PASSWORD
from wire import matches


class Maps(Case):
    def nodes(self, *names):
        return [self.node(name=name) for name in names]

    def goes_to(self, p, login, node):
        client = self.connect(p)
        client.expect('* OK ...')
        client.say(f'a LOGIN "{login}" {PASSWORD}')
        wire = node.accept()
        user = wire.imap_login()[0]
        client.expect('a OK hello')
        client.close()
        wire.expect_end()
        return user

    def is_refused(self, p, login, code='AUTHENTICATIONFAILED'):
        client = self.connect(p)
        client.expect('* OK ...')
        client.ask(f'a LOGIN "{login}" {PASSWORD}', f'a NO [{code}] ...')
        client.close()

    def test_the_most_exact_entry_wins(self):
        exact, domain, first, second, rest = self.nodes('exact', 'domain', 'first', 'second', 'rest')
        p = self.proxyd(f'''
*                          {rest.address}
/^[a-m].*@big\\.example$/  {first.address}     # regular expressions in their order
/^a.*@big\\.example$/      {second.address}
/@big\\.example$/          {second.address}
@example.net               {domain.address}
Alice@Example.net          {exact.address}
''')
        for login, node in (('alice@example.net', exact), ('ALICE@EXAMPLE.NET', exact), ('bob@example.net', domain),
                            ('anna@big.example', first), ('ANNA@Big.Example', first), ('zoe@big.example', second),
                            ('zoe@xbig.example', rest), ('nobody', rest)):
            with self.subTest(login=login):
                self.assertEqual(self.goes_to(p, login, node), login)

    def test_default_domain(self):
        node, = self.nodes('node')
        p = self.proxyd(f'bob@example.org {node.address}', global_={'default_domain': 'example.org'})
        self.assertEqual(self.goes_to(p, 'bob', node), 'bob')
        self.is_refused(p, 'bob@example.net')

    def test_ports_by_service_and_named_nodes(self):
        imap, pop3, other = self.nodes('imap', 'pop3', 'other')
        p = self.proxyd(f'''
bob   node1
carol node1  imap={other.address}
dave  node1:{other.port}
''', nodes={'node1': {'address': '127.0.0.1', 'ports': {'imap': imap.port, 'pop3': pop3.port}}})
        self.goes_to(p, 'bob', imap)
        self.goes_to(p, 'carol', other)
        self.goes_to(p, 'dave', other)
        p.wait('route', login='bob', node='node1')
        self.login(p, pop3, 'pop3', 'carol')

    def test_the_services_own_port(self):
        node, = self.nodes('node')
        p = self.proxyd('* 127.0.0.1', imap={'backend': {'port': node.port}})
        self.goes_to(p, 'bob', node)

    def test_failover_is_for_logins_that_no_map_knows(self):
        node, failover = self.nodes('node', 'failover')
        p = self.proxyd(f'bob {node.address}', imap={'failover': failover.address})
        self.goes_to(p, 'carol', failover)
        self.goes_to(p, 'bob', node)
        node.close()
        self.is_refused(p, 'bob', 'UNAVAILABLE')

    def test_failover_may_be_a_node_by_its_name(self):
        node, spare = self.nodes('node', 'spare')
        p = self.proxyd(f'bob {node.address}', nodes={'spare': {'address': spare.address}}, imap={'failover': 'spare'})
        self.goes_to(p, 'carol', spare)
        self.assertEqual(p.wait('login', login='carol')['node'], 'spare')

    def test_a_service_without_maps_has_only_its_failover(self):
        failover, = self.nodes('failover')
        p = self.proxyd(imap={'maps': [], 'failover': failover.address})
        self.goes_to(p, 'bob', failover)

    def test_maps_in_their_order(self):
        first, second = self.nodes('first', 'second')
        p = self.new_proxyd(f'bob {first.address}')
        more = p.write('more.map', f'bob {second.address}\ncarol {second.address}\n')
        p.configure(maps={'more': {'type': 'file', 'path': more}}, imap={'maps': ['local', 'more']})
        p.start()
        self.goes_to(p, 'bob', first)
        self.goes_to(p, 'carol', second)
        self.assertEqual(p.wait('route', login='carol')['map'], 'more')

    def test_a_change_is_picked_up(self):
        old, new = self.nodes('old', 'new')
        p = self.proxyd(f'bob {old.address}\n')
        self.goes_to(p, 'bob', old)
        p.set_users(f'bob {new.address}\n')
        self.wait_for_map(p, 1)
        self.goes_to(p, 'bob', new)
        with open(p.map_file, 'r+') as file:  # the same file, written over
            file.write(f'bob {old.address}\ncarol {old.address}\n')
            file.truncate()
        self.wait_for_map(p, 2)
        self.goes_to(p, 'bob', old)

    def wait_for_map(self, p, times):
        p.wait('config', times, level='info', message='map local: ...')

    def test_an_error_keeps_the_old_content(self):
        node, = self.nodes('node')
        p = self.proxyd(f'bob {node.address}\n')
        p.set_users(f'# first\ncarol {node.address}\nbob\nbob x=1 =\n/( {node.address}\n')
        for line in (3, 4, 5):
            p.wait('config', level='error', message=f'{p.map_file}:{line}:...')
        self.goes_to(p, 'bob', node)
        self.is_refused(p, 'carol')
        os.unlink(p.map_file)
        self.goes_to(p, 'bob', node)
        p.set_users(f'carol {node.address}\n')
        self.wait_for_map(p, 1)
        self.goes_to(p, 'carol', node)
        self.is_refused(p, 'bob')

    def test_a_file_that_cannot_be_read_for_a_while_is_tried_again(self):
        node, = self.nodes('node')
        p = self.proxyd('')
        limit = resource.prlimit(p.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(p.process.pid, resource.RLIMIT_NOFILE, (3, limit[1]))
        p.set_users(f'bob {node.address}\n')
        p.wait('config', level='error', message=f'{p.map_file}: error: Too many open files')
        resource.prlimit(p.process.pid, resource.RLIMIT_NOFILE, limit)
        self.wait_for_map(p, 1)
        self.goes_to(p, 'bob', node)
        self.assertEqual(len(p.events('config', level='error')), 2)  # not once a try

    def test_a_file_that_is_gone_is_told_once(self):
        old, new = self.nodes('old', 'new')
        p = self.proxyd(f'bob {old.address}\n')
        os.unlink(p.map_file)
        p.wait('config', level='error', message=f'{p.map_file}: error: ...')
        p.wait('config', level='error', message='map local: the old content of ...')
        self.goes_to(p, 'bob', old)
        p.set_users(f'bob {new.address}\n')
        self.wait_for_map(p, 1)
        self.goes_to(p, 'bob', new)
        self.assertEqual(len(p.events('config', level='error')), 2)

    def test_reload_reads_it_too(self):
        node, = self.nodes('node')
        p = self.proxyd('')
        with open(p.map_file, 'w') as file:
            file.write(f'bob {node.address}\n')
        p.reload()
        self.goes_to(p, 'bob', node)

    def test_a_client_that_ends_its_side_gets_its_answer(self):
        node, = self.nodes('node')
        p = self.proxyd(f'bob {node.address} password={hashed("{CRYPT}")}', imap={'authentication': 'proxy'})
        for password in 'wrong', PASSWORD:
            client = self.connect(p)
            client.expect('* OK ...')
            client.say(f'a LOGIN bob {password}')
            client.end_writing()
            if password == PASSWORD:
                node.accept().imap_login()
            answer = client.line()
            if answer == '* OK Please wait':  # where it had ended before the password was verified
                answer = client.line()
            wanted = 'a OK ...' if password == PASSWORD else 'a NO [AUTHENTICATIONFAILED] ...'
            self.assertTrue(matches(wanted, answer), answer)
            if password != PASSWORD:
                client.expect_end()

    def test_hold_makes_a_login_wait(self):
        node, = self.nodes('node')
        p = self.proxyd(f'bob {node.address} hold\n')
        client = self.connect(p)
        client.expect('* OK ...')
        client.say(f'a LOGIN bob {PASSWORD}')
        p.set_users(f'bob {node.address}\n')
        self.assertEqual(node.accept().imap_login()[0], 'bob')
        client.expect('a OK hello')

    def test_hold_does_not_wait_for_ever(self):
        p = self.proxyd('bob 127.0.0.1 hold\n', imap={'backend': {'queue_timeout': '600ms'}})
        self.is_refused(p, 'bob', 'UNAVAILABLE')

    def test_authentication_by_the_proxy(self):
        node, = self.nodes('node')
        p = self.proxyd(f'bob {node.address} password={{PLAIN}}{PASSWORD}\ncarol {node.address}\n',
                        imap={'authentication': 'proxy', 'failover': node.address})
        self.goes_to(p, 'bob', node)
        for login, words in (('bob', 'wrong'), ('carol', PASSWORD), ('dave', PASSWORD)):
            client = self.connect(p)
            client.expect('* OK ...')
            client.ask(f'a LOGIN {login} {words}', 'a NO [AUTHENTICATIONFAILED] ...')
