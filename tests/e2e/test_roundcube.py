# SPDX-License-Identifier: ISC
"""Real browsers and real nodes: Chromium before proxyd before two Roundcubes, each with a Dovecot of
its own. Pictures of the login page are left in build/screenshots."""
import email
import os

from case import Case, start
from chromium import Chromium
from proxyd import PASSWORD, ROOT, WRONG
from roundcube import Mailbox, Roundcube

ALICE, BOB = 'alice@example.org', 'bob@example.org'
PICTURES = os.path.join(ROOT, 'build', 'screenshots')
LOGIN = {'page': '/?_task=login', 'path': '/?_task=login', 'user_field': '_user', 'password_field': '_pass',
         'success': {'status': 302, 'cookie': 'roundcube_sessauth'}}


class Webmail(Case):
    @classmethod
    def setUpClass(cls):
        cls.mailbox = Mailbox()
        cls.addClassCleanup(cls.mailbox.stop)
        users = {ALICE: PASSWORD, BOB: PASSWORD}
        cls.nodes = [start(cls, Roundcube, name, users, cls.mailbox.port) for name in ('node1', 'node2')]
        cls.browser = Chromium()
        cls.addClassCleanup(cls.browser.stop)
        os.makedirs(PICTURES, exist_ok=True)

    def setUp(self):
        super().setUp()
        self.fronts = []

    def front(self):
        one, two = self.nodes
        proxyd = self.proxyd(f'{ALICE} {one.address}\n{BOB} {two.address}\n', webmail={
            'logout_path': '/?_task=logout', 'start': '/?_task=mail', 'login': {'backend': LOGIN}})
        self.fronts.append(proxyd)
        return proxyd

    def lines(self):
        """The end of the log of every front end."""
        return [line for proxyd in self.fronts for line in proxyd.lines[-40:]]

    def url(self, proxyd, target='/'):
        return f'http://127.0.0.1:{proxyd.port["webmail"]}{target}'

    def log_in(self, login, password):
        self.browser.wait_for('input[name=username]').clear()
        self.browser.find('input[name=username]').type(login)
        self.browser.find('input[name=password]').type(password)
        self.browser.find('button').click()

    def forget(self):
        self.browser.ask('DELETE', '/cookie')

    def test_1_the_page(self):
        browser = self.browser
        self.forget()
        browser.complaints()
        for name, how in {'desktop': (1280, 800), 'phone': (390, 844, True)}.items():
            browser.resize(*how)
            for scheme in 'light', 'dark':
                browser.prefer(scheme)
                browser.go(self.url(self.front()))
                browser.screenshot(os.path.join(PICTURES, f'login-{name}-{scheme}.png'))
            self.assertLessEqual(browser.run('return document.documentElement.scrollWidth'), how[0])
        self.assertEqual(browser.find('input[name=username]').label, 'E-mail address or user name')
        self.assertEqual(browser.find('input[name=password]').label, 'Password')
        self.assertEqual(browser.find('button').label, 'Sign in')
        self.assertEqual(browser.run('return document.activeElement.name'), 'username')
        self.assertEqual(browser.run('return getComputedStyle(document.querySelector("main")).borderRadius'), '18px')
        self.assertEqual(browser.complaints(), [])
        browser.resize(1280, 800)
        browser.prefer('light')

    def test_2_a_session(self):
        browser, proxyd, second = self.browser, self.front(), self.front()
        self.forget()
        browser.go(self.url(proxyd))
        self.log_in(ALICE, WRONG)
        self.assertEqual(browser.text_of('[role=alert]'), 'The user name or the password is not right. Please try again.')
        self.assertEqual(browser.find('input[name=username]').get('value'), ALICE)
        self.assertEqual(browser.find('input[name=password]').get('value'), '')
        browser.screenshot(os.path.join(PICTURES, 'login-wrong.png'))
        proxyd.wait('login', login=ALICE, result='failed')

        browser.find('input[name=password]').type(PASSWORD)
        browser.find('button').click()
        self.assert_inbox('node1')
        self.assertTrue(browser.cookies()['proxyd_route']['httpOnly'])
        browser.screenshot(os.path.join(PICTURES, 'inbox.png'))
        proxyd.wait('login', login=ALICE, result='ok')

        browser.go(self.url(proxyd, '/?_task=mail&_mbox=INBOX&_uid=2&_action=show'))
        self.assertIn(f'The mailbox of {ALICE} on node1.', browser.text_of('#messagebody'))
        self.send(proxyd)

        # The same session, at another front end with the same keys.
        browser.go(self.url(second, '/?_task=mail'))
        self.assert_inbox('node1')
        self.assertTrue(second.wait('http', path='/...', status='200', login=ALICE))

        browser.press('a.logout')
        browser.wait_for('input[name=username]')
        self.assertNotIn('proxyd_route', browser.cookies())
        browser.go(self.url(proxyd, '/?_task=mail'))
        self.log_in(BOB, PASSWORD)
        self.assert_inbox('node2')

    def assert_inbox(self, node):
        try:
            subject = self.browser.text_of('#messagelist tbody td.subject')
        except AssertionError as error:
            told = [str(error)[:300], *self.browser.complaints(), *(node.told() for node in self.nodes)]
            raise AssertionError('\n'.join(told + self.lines())) from None
        self.assertIn(f'This is {node}', subject)
        self.assertIn(f'Roundcube on {node}', self.browser.title)

    def send(self, proxyd):
        """Writes a mail with a file along."""
        browser = self.browser
        content = os.urandom(300000)
        path = os.path.join(self.folder, 'picture.bin')
        with open(path, 'wb') as file:
            file.write(content)
        browser.go(self.url(proxyd, f'/?_task=mail&_action=compose&_to={BOB}'))
        browser.wait_for('input[name=_subject]').type('With a file')
        browser.wait_for('textarea[name=_message]').type('Here it is.')
        browser.wait_for('input[type=file]').type(path)
        browser.wait_for('#attachment-list li:not(.uploading) a.delete')
        browser.press('button.send')
        recipients, text = self.mailbox.wait()
        self.assertEqual(recipients, [BOB])
        mail = email.message_from_string(text)
        self.assertEqual(mail['Subject'], 'With a file')
        parts = {part.get_filename(): part.get_payload(decode=True) for part in mail.walk()}
        self.assertEqual(parts['picture.bin'], content)
        browser.wait(lambda: '_action=compose' not in browser.url, 'the end of sending')
