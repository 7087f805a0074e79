# SPDX-License-Identifier: ISC
"""proxyctl kick, hold and drain for webmail, where a user's cookie is all that there is of him."""
import threading

from proxyd import PASSWORD
from test_upgrade import Base
from test_web_login import ALICE, BOB, Web


class Mover(Web):
    def setUp(self):
        super().setUp()
        self.one, self.two = self.application(), self.application(name='node2')

    def logged_in(self, **webmail):
        """proxyd, with alice and bob on node1, both logged in."""
        nodes = {'node1': {'address': self.one.address}, 'node2': {'address': self.two.address}}
        self.p = self.start(f'{ALICE} node1\n{BOB} node1\n', nodes=nodes, webmail={
            'login': {'backend': {'path': '/login'}}, 'backend': {'queue_timeout': '500ms'}, **webmail})
        browsers = [self.browser(self.p) for _ in range(2)]
        for browser, login in zip(browsers, (ALICE, BOB)):
            self.assertEqual(browser.login(login, PASSWORD).status, 303)
            self.expect_in(browser, 'node1')
        return browsers

    def start(self, *args, **how):
        return self.proxyd(*args, **how)

    def set_users(self, users):
        self.p.set_users(users)
        self.p.wait('config', level='info', message='map local: ...')

    def expect_in(self, browser, node):
        self.assertEqual(browser.get('/inbox').text, f'inbox on {node}: /inbox')

    def expect_out(self, browser):
        count = len(self.one.asked) + len(self.two.asked)
        self.assertEqual(browser.get('/inbox').inputs.action, '/login')
        self.assertEqual(browser.get('/inbox', Sec_Fetch_Mode='cors').status, 401)
        self.assertEqual(len(self.one.asked) + len(self.two.asked), count)


class Move(Mover):
    def test_kick_a_login(self):
        alice, bob = self.logged_in()
        # Nobody is connected, which is told; his cookie has ended all the same.
        self.p.order('kick', '--user', ALICE.upper(), status=1)
        self.expect_out(alice)
        self.expect_in(bob, 'node1')
        self.assertEqual(alice.login(ALICE, PASSWORD).status, 303)
        self.expect_in(alice, 'node1')

    def test_kick_a_node(self):
        alice, bob = self.logged_in()
        self.p.order('kick', '--node', 'node2', status=1)
        self.expect_in(alice, 'node1')
        self.p.order('kick', '--node', 'NODE1', status=1)
        for browser, login in (alice, ALICE), (bob, BOB):
            self.expect_out(browser)
            self.assertEqual(browser.login(login, PASSWORD).status, 303)
            self.expect_in(browser, 'node1')

    def test_hold_and_release(self):
        alice, bob = self.logged_in(backend={'queue_timeout': '50s'})
        self.p.order('hold', ALICE)
        self.expect_out(alice)
        self.expect_in(bob, 'node1')
        answers = []
        waiting = threading.Thread(target=lambda: answers.append(alice.login(ALICE, PASSWORD)))
        waiting.start()
        self.set_users(f'{ALICE} node2\n{BOB} node1\n')
        self.assertEqual(answers, [])
        self.p.order('release', ALICE)
        waiting.join()
        self.assertEqual(answers[0].status, 303)
        self.expect_in(alice, 'node2')

    def test_drain_alone_leaves_who_is_there(self):
        alice, _ = self.logged_in()
        self.p.order('drain', 'node1')
        self.expect_in(alice, 'node1')

    def test_drain_and_close(self):
        alice, bob = self.logged_in()
        self.p.order('drain', 'node1', '--close', '0s')
        self.expect_out(alice)
        self.assertEqual(alice.login(ALICE, PASSWORD).status, 503)
        self.set_users(f'{ALICE} node2\n{BOB} node1\n')
        self.assertEqual(alice.login(ALICE, PASSWORD).status, 303)
        self.expect_in(alice, 'node2')
        self.expect_out(bob)
        self.p.order('undrain', 'node1')
        self.expect_in(bob, 'node1')

    def test_a_login_that_waits_goes_where_the_map_now_says(self):
        alice, _ = self.logged_in(backend={'queue_timeout': '50s'})
        self.p.order('drain', 'node1', '--close', '0s')
        answers = []
        waiting = threading.Thread(target=lambda: answers.append(alice.login(ALICE, PASSWORD)))
        waiting.start()
        self.set_users(f'{ALICE} node2\n{BOB} node1\n')
        waiting.join()
        self.assertEqual(answers[0].status, 303)
        self.expect_in(alice, 'node2')

    def test_closing_is_spread_over_the_time(self):
        alice, bob = self.logged_in()
        self.p.order('drain', 'node1', '--close', '24h')
        self.expect_in(alice, 'node1')
        self.p.order('drain', 'node1', '--close', '1s')
        for browser in alice, bob:
            self.until_out(browser)

    def until_out(self, browser):
        while browser.get('/inbox').text.startswith('inbox'):
            pass


class NextProcess(Base, Mover):
    def start(self, *args, **how):
        return self.upgrading(*args, **how)

    def test_it_knows_what_was_ordered(self):
        alice, bob = self.logged_in()
        self.p.order('kick', '--user', ALICE, status=1)
        self.p.upgrade()
        self.expect_out(alice)
        self.expect_in(bob, 'node1')
