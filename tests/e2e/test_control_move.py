# SPDX-License-Identifier: ISC
"""proxyctl drain and hold: nodes being emptied and mailboxes being moved, under clients that log in."""
import imaplib
import time

from case import Case, start_dovecot
from directory_case import DirectoryCase
from proxyd import PASSWORD

# Long enough that whoever is let in sooner was not let in by waiting.
PATIENT = {'backend': {'queue_timeout': '50s'}}
BOB = 'bob@example.org'


class Move(Case):
    def setUp(self):
        super().setUp()
        self.one, self.two = self.node(), self.node()

    def two_nodes(self, users=f'{BOB} node1', **sections):
        sections.setdefault('imap', {}).setdefault('backend', {'queue_timeout': '50s'})
        nodes = {'node1': {'address': self.one.address}, 'node2': {'address': self.two.address}}
        return self.proxyd(users, nodes=nodes, **sections)

    def waiting(self, p, login=BOB, state='queued'):
        """A client whose login waits."""
        client = self.connect(p)
        client.expect('* OK ...')
        client.say(f'a LOGIN {login} {PASSWORD}')
        self.wait_state(p, login, state)
        return client

    def wait_state(self, p, login, state):
        deadline = time.monotonic() + 10
        while state not in [s['state'] for s in p.ask('sessions', '--user', login)['sessions']]:
            self.assertLess(time.monotonic(), deadline, f'{login} is never {state}')

    def let_in(self, client, node, login=BOB):
        wire = node.accept()
        self.assertEqual(wire.imap_login(), (login, PASSWORD, ''))
        client.expect('a OK hello')
        return wire


class Drain(Move):
    def test_new_logins_wait_and_old_sessions_stay(self):
        p = self.two_nodes()
        client, wire = self.login(p, self.one)
        self.assertEqual(p.order('drain', 'NODE1'), 'NODE1 is drained\n')
        second = self.waiting(p)
        client.say('b NOOP')
        wire.expect('b NOOP')
        p.order('undrain', 'node1')
        self.let_in(second, self.one)

    def test_they_go_where_the_map_now_says(self):
        p = self.two_nodes()
        p.order('drain', self.one.address)
        client = self.waiting(p)
        p.set_users(f'{BOB} node2')
        self.let_in(client, self.two)
        self.assertEqual(p.ask('status')['drained'], [self.one.address])
        node = next(n for n in p.ask('status')['nodes'] if n['node'] == 'node1' and n['service'] == 'imap')
        self.assertEqual((node['drained'], node['active'], node['queued']), (True, 0, 0))

    def test_the_queue_has_its_bounds(self):
        p = self.two_nodes(imap={'backend': {'queue_timeout': '4s', 'queue_size': 1}})
        p.order('drain', 'node1')
        client = self.waiting(p)
        more = self.connect(p)
        more.expect('* OK ...')
        more.ask(f'a LOGIN {BOB} {PASSWORD}', 'a NO [UNAVAILABLE] ...')
        client.expect('a NO [UNAVAILABLE] ...')
        p.wait('login', result='failed', reason='the node is drained')

    def test_a_name_is_for_all_services_and_an_address_for_one(self):
        ports = {'imap': self.one.port, 'pop3': self.two.port}
        p = self.proxyd('* node1', nodes={'node1': {'address': '127.0.0.1', 'ports': ports}}, imap=PATIENT)
        p.order('drain', f'127.0.0.1:{self.two.port}')
        self.login(p, self.one)
        p.order('drain', 'node1')
        self.waiting(p)
        p.order('undrain', f'127.0.0.1:{self.two.port}')
        drained = {n['service']: n['drained'] for n in p.ask('status')['nodes']}
        self.assertEqual(drained, {'imap': True, 'pop3': True})
        p.order('undrain', 'node1')
        self.login(p, self.two, 'pop3')

    def test_what_there_is_not(self):
        p = self.two_nodes()
        for args in (['drain', 'node3'], ['drain', '127.0.0.1:1'], ['undrain', 'node1'], ['drain', 'node3', '--close']):
            with self.subTest(args=args):
                self.assertIn(args[1], p.order(*args, status=1))
        self.assertEqual(p.ask('status')['drained'], [])

    def test_it_survives_reloads_and_moves(self):
        p = self.two_nodes()
        p.order('drain', 'node1')
        p.reload(nodes={'node1': {'address': self.two.address}})
        client = self.waiting(p)
        p.order('undrain', 'node1')
        self.let_in(client, self.two)

    def test_close(self):
        p = self.two_nodes(f'{BOB} node1\n* node2', global_={'workers': {'min': 2}})
        bobs, (carol, at_two) = [self.login(p, self.one) for _ in range(3)], self.login(p, self.two, login='carol')
        self.assertEqual(p.ask('drain', '--close', 'node1'), {'closed': 3, 'status': 0})
        for client, wire in bobs:
            client.expect('* BYE Server is going into maintenance, try again')
            client.expect_end()
            wire.expect_end()
        p.wait('close', count=3, reason='drained')
        carol.say('b NOOP')
        at_two.expect('b NOOP')
        self.assertEqual(p.ask('drain', 'node1', '--close'), {'closed': 0, 'status': 0})

    def test_close_between_two_commands(self):
        """Who is in the middle of an answer gets it whole, for a while; who is kicked or held does not."""
        p = self.two_nodes(f'{BOB} node1\n* node2')
        client, wire = self.login(p, self.one)
        client.say('b FETCH 1 BODY[]')
        wire.expect('b FETCH 1 BODY[]')
        wire.send(b'* 1 FETCH (BODY[] {10}\r\n01234')
        client.expect('* 1 FETCH (BODY[] {10}')
        self.assertEqual(client.read(5), b'01234')
        self.assertEqual(p.ask('drain', 'node1', '--close')['closed'], 1)
        self.assertEqual(len(p.ask('sessions', '--user', BOB)['sessions']), 1)
        wire.send(b'56789)\r\nb OK done\r\n')
        client.expect('56789)', 'b OK done', '* BYE Server is going into maintenance, try again')
        client.expect_end()
        for order in (['kick', '--user', 'carol'], ['hold', 'dave']):
            client, wire = self.login(p, self.two, login=order[-1])
            wire.send(b'* 1 FETCH (BODY[] {10}\r\n01234')
            client.expect('* 1 FETCH (BODY[] {10}')
            client.read(5)
            p.order(*order)
            client.expect_end()
            wire.expect_end()

    def test_close_has_an_end(self):
        p = self.two_nodes()
        client, wire = self.login(p, self.one)
        wire.send(b'* 1 FETCH (BODY[] {10}\r\n01234')
        client.expect('* 1 FETCH (BODY[] {10}')
        self.assertEqual(p.ask('drain', 'node1', '--close')['closed'], 1)
        self.assertEqual(p.events('close'), [])
        p.wait('close', seconds=25, reason='drained')

    def test_close_over_a_time(self):
        p = self.two_nodes(f'{BOB} node1', global_={'workers': {'min': 2}})
        clients = [self.login(p, self.one)[0] for _ in range(20)]
        begin = time.monotonic()
        self.assertEqual(p.order('drain', 'node1', '--close', '2s'), 'node1 is drained\n20 sessions close\n')
        self.assertLess(len(p.events('close', reason='drained')), 20)
        p.wait('close', count=20, reason='drained')
        self.assertGreater(time.monotonic() - begin, 1)
        times = sorted(line['time'] for line in p.events('close', reason='drained'))
        self.assertGreater(len({moment[:-3] for moment in times}), 5)  # not all in the same tenths of a second
        for client in clients:
            client.expect('* BYE ...')


class Hold(Move):
    def test_a_mailbox_is_moved(self):
        p = self.two_nodes(f'{BOB} node1\n* node2', global_={'default_domain': 'example.org', 'workers': {'min': 2}})
        client, wire = self.login(p, self.one, login='Bob')
        carol, at_two = self.login(p, self.two, login='carol')
        self.assertEqual(p.order('hold', 'BOB'), 'BOB is on hold, 1 sessions close\n')
        client.expect('* BYE Mailbox is being moved, try again')
        wire.expect_end()
        p.wait('close', reason='held')
        waiting = [self.waiting(p, login, 'held') for login in ('bob', 'BOB@EXAMPLE.ORG')]
        carol.say('b NOOP')
        at_two.expect('b NOOP')
        p.reload()
        self.assertEqual(p.ask('status')['held'], [BOB])
        p.set_users(f'{BOB} node2')
        p.wait('config', message='map local: read ...')
        self.assertEqual(p.ask('release', 'bob'), {'status': 0})
        for client, login in zip(waiting, ('bob', 'BOB@EXAMPLE.ORG')):
            wire = self.two.accept()
            self.assertEqual(wire.imap_login()[0].lower()[:3], 'bob')
        for client in waiting:
            client.expect('a OK hello')
        p.order('release', 'bob', status=1)

    def test_pop3_waits_too_and_not_for_ever(self):
        p = self.two_nodes(imap={'backend': {'queue_timeout': '300ms'}}, pop3=PATIENT)
        p.order('hold', BOB)
        pop3 = self.connect(p, 'pop3')
        pop3.expect('+OK...')
        pop3.ask(f'USER {BOB}', '+OK...')
        pop3.say(f'PASS {PASSWORD}')
        client = self.connect(p)
        client.expect('* OK ...')
        client.ask(f'a LOGIN {BOB} {PASSWORD}', 'a NO [UNAVAILABLE] ...')
        p.wait('login', result='failed', reason='on hold by proxyctl')
        p.order('release', BOB)
        self.assertEqual(self.one.accept().pop3_login()[0], BOB)
        pop3.expect('+OK hello')

    def test_who_is_in_the_queue_does_not_slip_through(self):
        p = self.two_nodes(imap={'backend': {'queue_timeout': '50s', 'max_connections': 1}})
        first, _ = self.login(p, self.one)
        client = self.waiting(p)
        self.assertEqual(p.ask('hold', BOB)['closed'], 1)
        first.expect('* BYE ...')
        self.wait_state(p, BOB, 'held')
        p.set_users(f'{BOB} node2')
        p.wait('config', message='map local: read ...')
        p.order('release', BOB)
        self.let_in(client, self.two)

    def test_who_is_on_the_way_to_the_node_is_turned_back(self):
        p = self.two_nodes()
        client = self.connect(p)
        client.expect('* OK ...')
        client.say(f'a LOGIN {BOB} {PASSWORD}')
        wire = self.one.accept()  # and says nothing
        self.assertEqual(p.ask('hold', BOB)['closed'], 1)
        client.expect('a NO [UNAVAILABLE] ...', '* BYE ...')
        wire.expect_end()

    def test_failover_is_held_too(self):
        p = self.proxyd('', imap={'failover': self.one.address, **PATIENT})
        p.order('hold', 'somebody')
        client = self.waiting(p, 'somebody', 'held')
        p.order('release', 'somebody')
        self.let_in(client, self.one, 'somebody')

    def test_who_leaves_meanwhile_is_forgotten(self):
        p = self.two_nodes()
        p.order('hold', BOB)
        self.waiting(p, state='held').close()
        p.wait('close', reason='client_closed')
        p.order('release', BOB)
        self.login(p, self.one)

    def test_what_there_is_not(self):
        p = self.two_nodes()
        self.assertIn('no map knows', p.order('hold', 'bbo@example.org', status=1))
        self.assertIn('not on hold', p.order('release', BOB, status=1))
        self.assertEqual(p.order('hold', BOB), p.order('hold', BOB))

    def test_all_leave_at_the_end(self):
        p = self.two_nodes()
        p.order('hold', BOB)
        client = self.waiting(p, state='held')
        p.stop()
        client.expect('a NO [UNAVAILABLE] ...', '* BYE ...')


class OverADirectory(DirectoryCase):
    def patient(self):
        return {'backend': {'port': self.home.port, 'queue_timeout': '50s'}}

    def test_a_release_passes_the_cache_by(self):
        away = self.host()
        p = self.over_ldap(authentication='backend', cache={'found': '1h'}, service=self.patient())
        self.let_in(p)
        self.arrived(self.home)
        p.order('hold', BOB)
        client = self.ask(p)
        self.keep_trying(lambda: p.ask('sessions', '--user', BOB)['sessions'],
                         lambda found: found and found[0]['state'] == 'held')
        self.directory.modify('bob', mailHost=f'127.0.0.1:{away.port}')
        self.addCleanup(self.directory.modify, 'bob', mailHost='127.0.0.1')
        p.order('release', BOB)
        client.expect('a OK hello')
        self.assertEqual(self.arrived(away)[0], BOB)

    def test_a_drained_node_passes_the_cache_by(self):
        away = self.host()
        p = self.over_ldap(authentication='backend', cache={'found': '1h'}, service=self.patient())
        self.let_in(p)
        p.order('drain', f'127.0.0.1:{self.home.port}')
        client = self.ask(p)
        self.directory.modify('bob', mailHost=f'127.0.0.1:{away.port}')
        self.addCleanup(self.directory.modify, 'bob', mailHost='127.0.0.1')
        client.expect('a OK hello')
        self.assertEqual(self.arrived(away)[0], BOB)

    def test_flush(self):
        for args in ([BOB], ['BOB@example.org'], []):
            with self.subTest(args=args):
                p = self.over_ldap(authentication='backend', cache={'found': '1h'})
                self.let_in(p)
                self.directory.forget()
                self.let_in(p)
                self.assertEqual(self.directory.events('search'), [])
                self.assertEqual(p.ask('status')['directories'][0]['cached'], 1)
                p.order('flush', 'alice@example.org')
                self.assertEqual(p.ask('status')['directories'][0]['cached'], 1)
                p.order('flush', *args)
                self.assertEqual(p.ask('status')['directories'][0]['cached'], 0)
                self.let_in(p)


class BetweenRealNodes(Case):
    def test_a_mailbox_is_moved(self):
        one, two = (start_dovecot(self, {BOB: PASSWORD}) for _ in range(2))
        two.deliver(BOB, 'Moved', 'Here you are.')
        two.give_away()
        p = self.proxyd(f'{BOB} node1', nodes={'node1': {'address': f'127.0.0.1:{one.port["imap"]}'},
                                               'node2': {'address': f'127.0.0.1:{two.port["imap"]}'}}, imap=PATIENT)
        before = imaplib.IMAP4('127.0.0.1', p.port['imap'], timeout=20)
        before.login(BOB, PASSWORD)
        self.assertEqual(before.select()[1], [b'1'])
        p.order('hold', BOB)
        with self.assertRaises(imaplib.IMAP4.abort):
            before.noop()
        before.shutdown()
        after = imaplib.IMAP4('127.0.0.1', p.port['imap'], timeout=20)
        self.addCleanup(after.shutdown)
        after.send(f'x1 LOGIN {BOB} {PASSWORD}\r\n'.encode())
        p.set_users(f'{BOB} node2')
        p.wait('config', message='map local: read ...')
        p.order('release', BOB)
        while not (line := after.readline()).startswith(b'x1 '):
            self.assertTrue(line)
        self.assertTrue(line.startswith(b'x1 OK'), line)
        after.state = 'AUTH'
        self.assertEqual(after.select()[1], [b'2'])
