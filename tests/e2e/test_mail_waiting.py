# SPDX-License-Identifier: ISC
"""Port 25 while something takes its time: recipients in a node's queue or on hold, nodes that are emptied, clients
that have said all they had to say."""
from fake_mail import MailNode
from mail_case import ANN, BOB, Base

PATIENT = {'queue_timeout': '10s', 'check': {'interval': '0s'}}


class Move(Base):
    def setUp(self):
        super().setUp()
        self.one, self.two = MailNode(self, name='one'), MailNode(self, name='two')

    def two_nodes(self, users=f'{BOB} node1\n{ANN} node1', name='smtp', **service):
        nodes = {name: {'address': node.address} for name, node in (('node1', self.one), ('node2', self.two))}
        return self.mail(users, name, more={'nodes': nodes, **service.pop('more', {})}, **{'backend': PATIENT, **service})

    def waiting(self, p, *recipients, name='smtp'):
        """A client whose recipients wait."""
        client = self.client(p, name)
        client.say('MAIL FROM:<>', *(f'RCPT TO:<{recipient}>' for recipient in recipients))
        client.expect('250 2.1.0 Ok')
        return client

    @staticmethod
    def place(p, name='node1', service='smtp'):
        return next(n for n in p.ask('status')['nodes'] if (n['node'], n['service']) == (name, service))

    @staticmethod
    def finish(client, *answers):
        client.ask('DATA', '354 ...')
        client.say('x', '.')
        client.expect(*answers or ['250 2.0.0 kept'])


class Drain(Move):
    def test_they_wait(self):
        p = self.two_nodes()
        p.order('drain', 'node1')
        client = self.waiting(p, BOB, ANN)
        p.wait('route', recipient=ANN)
        p.order('undrain', 'node1')
        client.expect('250 ...', '250 ...')
        self.finish(client)
        self.assertEqual(self.one.messages[0][1], [f'TO:<{BOB}>', f'TO:<{ANN}>'])

    def test_they_go_where_the_map_now_says(self):
        p = self.two_nodes()
        p.order('drain', 'node1')
        client = self.waiting(p, BOB, ANN)
        p.wait('route', recipient=ANN, node='node1')
        p.set_users(f'{BOB} node2\n{ANN} node2')
        client.expect('250 2.1.5 two takes it', '250 2.1.5 two takes it')
        self.finish(client)
        node = self.place(p)
        self.assertEqual((node['active'], node['queued']), (0, 0))

    def test_each_to_its_own(self):
        p = self.two_nodes()
        p.order('drain', 'node1')
        client = self.waiting(p, BOB, ANN)
        p.wait('route', recipient=ANN, node='node1')
        p.set_users(f'{BOB} node2\n{ANN} node1')
        client.expect('250 2.1.5 two takes it', '452 4.5.3 ...')
        self.finish(client)

    def test_by_lmtp_each_to_its_own(self):
        self.one, self.two = MailNode(self, lmtp=True, name='one'), MailNode(self, lmtp=True, name='two')
        p = self.two_nodes(name='lmtp')
        p.order('drain', 'node1')
        client = self.waiting(p, BOB, ANN, name='lmtp')
        p.wait('route', recipient=ANN, node='node1')
        p.set_users(f'{BOB} node1\n{ANN} node2')
        p.wait('route', recipient=ANN, node='node2')
        p.order('undrain', 'node1')
        client.expect('250 2.1.5 one takes it', '250 2.1.5 two takes it')
        self.finish(client, '250 2.0.0 kept', '250 2.0.0 kept')

    def test_who_is_gone_from_the_map_is_unknown(self):
        p = self.two_nodes()
        p.order('drain', 'node1')
        client = self.waiting(p, BOB, ANN)
        p.wait('route', recipient=ANN, node='node1')
        p.set_users(f'{ANN} node2')
        client.expect('550 5.1.1 ...', '250 2.1.5 two takes it')
        self.finish(client)

    def test_nobody_waits_for_longer(self):
        p = self.two_nodes(backend={**PATIENT, 'queue_timeout': '1200ms'})
        p.order('drain', 'node1')
        client = self.waiting(p, BOB, ANN)
        client.expect('451 4.3.2 ...', '451 4.3.2 ...')
        client.ask('RSET', '250 ...')
        node = self.place(p)
        self.assertEqual((node['active'], node['queued'], node['rejected']), (0, 0, 1))

    def test_a_kept_connection_is_given_up(self):
        p = self.two_nodes()
        client = self.client(p)
        self.send(client, BOB)
        p.order('drain', 'node1')
        client.say('MAIL FROM:<>', f'RCPT TO:<{BOB}>')
        client.expect('250 2.1.0 Ok')
        p.wait('route', count=2, recipient=BOB, node='node1')
        p.set_users(f'{BOB} node2')
        client.expect('250 2.1.5 two takes it')
        self.finish(client)

    def test_close_lets_a_message_come_to_its_end(self):
        p = self.two_nodes()
        client = self.client(p)
        self.begin(client, BOB)
        client.ask('DATA', '354 ...')
        self.assertEqual(p.ask('drain', 'node1', '--close')['closed'], 1)
        client.say('x', '.')
        client.expect('250 2.0.0 kept', '421 4.3.2 ...')
        client.expect_end()
        p.wait('close', reason='drained', messages='1')


class Hold(Move):
    def test_in_the_queue(self):
        p = self.two_nodes(backend={**PATIENT, 'max_connections': 1})
        first = self.client(p)
        self.begin(first, BOB)
        second = self.waiting(p, BOB)
        p.wait('route', count=2, recipient=BOB)
        p.order('hold', BOB)
        first.close()  # leaves its place
        p.wait('close')
        third = self.client(p)  # gets it, for who is on hold must not
        self.begin(third, ANN)
        third.close()
        p.set_users(f'{BOB} node2')
        p.wait('config', message='map local: read ...')
        p.order('release', BOB)
        second.expect('250 2.1.5 two takes it')
        self.finish(second)

    def test_released(self):
        p = self.two_nodes()
        p.order('hold', BOB)
        client = self.waiting(p, BOB, ANN)
        p.set_users(f'{BOB} node2\n{ANN} node2')
        p.wait('config', message='map local: read ...')
        p.order('release', BOB)
        client.expect('250 2.1.5 two takes it', '250 2.1.5 two takes it')
        self.finish(client)


class Ended(Move):
    """A client that has ended its side still gets its answers, as everywhere."""

    def test_all_answers(self):
        p = self.two_nodes()
        client = self.client(p)
        client.say('MAIL FROM:<>', f'RCPT TO:<{BOB}>', f'RCPT TO:<{ANN}>', 'QUIT')
        client.end_writing()
        client.expect('250 2.1.0 Ok', '250 ...', '250 ...', '221 ...')
        client.expect_end()
        p.wait('close', reason='logout')

    def test_without_a_quit(self):
        p = self.two_nodes()
        client = self.client(p)
        client.say('MAIL FROM:<>', f'RCPT TO:<{BOB}>', f'RCPT TO:<{ANN}>')
        client.end_writing()
        client.expect('250 2.1.0 Ok', '250 ...', '250 ...')
        client.expect_end()
        p.wait('close', reason='client_closed')

    def test_behind_a_message(self):
        p = self.two_nodes()
        client = self.client(p)
        self.begin(client, BOB)
        client.ask('DATA', '354 ...')
        client.say('x', '.', 'MAIL FROM:<>', f'RCPT TO:<{ANN}>', 'QUIT')
        client.end_writing()
        client.expect('250 2.0.0 kept', '250 2.1.0 Ok', '250 ...', '221 ...')
        client.expect_end()

    def test_in_the_queue(self):
        p = self.two_nodes()
        p.order('drain', 'node1')
        client = self.waiting(p, BOB)
        client.say('QUIT')
        client.end_writing()
        p.wait('route', recipient=BOB)
        p.order('undrain', 'node1')
        client.expect('250 ...', '221 ...')
        client.expect_end()


class Log(Move):
    def test_how_the_maps_came_to_their_answers(self):
        p = self.two_nodes(f'{BOB} node1', more={'log': {'level': 'debug'}})
        client = self.client(p)
        client.ask('MAIL FROM:<>', '250 ...')
        client.ask(f'RCPT TO:<{BOB}>', '250 ...')
        client.ask(f'RCPT TO:<{ANN}>', '550 5.1.1 ...')
        session = p.wait('connect')['session']
        p.wait('map', session=session, recipient=BOB, map='local', result='found')
        p.wait('map', session=session, recipient=ANN, map='local', result='not_found')
