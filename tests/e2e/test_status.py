# SPDX-License-Identifier: ISC
"""The status page in a real browser, with a script and without, light and dark; and its JSON. What it
looks like is in build/status-light.png and build/status-dark.png afterwards."""
import json
import os
import time

from case import Case
from chromium import Chromium
from metrics import fetch
from proxyd import PASSWORD, ROOT, WRONG
from web_case import WebCase
from wire import PATIENCE, free_port

EVIL = '<script>document.title=1</script>'


class Status(Case):
    def setUp(self):
        super().setUp()
        self.node_up = self.node(serve=lambda wire: wire.imap_login())
        self.port = free_port()
        self.p = self.proxyd(
            'bob@example.org up\n', admin={'listen': f'127.0.0.1:{self.port}'},
            nodes={'up': {'address': self.node_up.address}, 'down': {'address': f'127.0.0.1:{free_port()}'}},
            imap={'max_auth_errors': 100, 'backend': {
                'max_connections': 4, 'check': {'interval': '100ms', 'fall': 1}}})
        self.p.wait('node', state='down')

    def fail_as(self, login):
        client = self.connect(self.p)
        client.expect('* OK ...')
        client.ask(f'a LOGIN "{login}" {WRONG}', 'a NO ...')
        client.close()

    def login(self):
        client = self.connect(self.p)
        client.expect('* OK ...')
        client.ask(f'a LOGIN bob@example.org {PASSWORD}', 'a OK ...')
        return client


class Json(Status):
    def test_has_what_the_page_has(self):
        self.login()
        self.fail_as('nobody@example.org')
        response = fetch(self.port, '/status.json')
        self.assertEqual((response.status, response.getheader('Content-Type')), (200, 'application/json'))
        found = json.loads(response.text)
        services = {service['service']: service for service in found['services']}
        self.assertEqual((services['imap']['ready'], services['imap']['logins']['ok']), (True, 1))
        nodes = {node['node']: node for node in found['nodes'] if node['service'] == 'imap'}
        self.assertEqual((nodes['up']['up'], nodes['up']['active']), (True, 1))
        self.assertEqual((nodes['down']['up'], nodes['down']['trouble'][:14]), (False, 'cannot connect'))
        self.assertTrue(found['maps'][0]['up'])
        self.assertEqual(found['failures'][0]['login'], 'nobody@example.org')
        self.assertEqual(found['failures'][0]['reason'], 'no map knows the login')
        self.assertFalse(found['draining'])


class Talkers(WebCase):
    def test_those_of_webmail_are_told_too(self):
        node, port = self.node(), free_port()
        p = self.web(node, sections={'admin': {'listen': f'127.0.0.1:{port}'}})
        client = self.client(p)
        self.exchange(client, node, body=b'x' * 1000000)
        client.close()
        deadline = time.monotonic() + PATIENCE
        while not (talkers := json.loads(fetch(port, '/status.json').text)['talkers']):
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual([talker['login'] for talker in talkers], ['bob@example.org'])


class Page(Status):
    def test_needs_nothing_from_elsewhere(self):
        page = fetch(self.port, '/status')
        self.assertEqual(page.status, 200)
        self.assertIn("default-src 'none'", page.getheader('Content-Security-Policy'))
        self.assertNotIn('://', page.text.replace('ldap://', ''))
        for path, kind in ('/status.css', 'text/css'), ('/status.js', 'text/javascript'):
            part = fetch(self.port, path)
            self.assertEqual((part.status, part.getheader('Content-Type')), (200, f'{kind}; charset=utf-8'))
            self.assertIn(path, page.text)
        top = fetch(self.port, '/')
        self.assertEqual((top.status, top.getheader('Location')), (302, '/status'))

    def browser(self):
        browser = Chromium()
        self.addCleanup(browser.stop)
        browser.resize(1440, 1000)
        return browser

    def open(self, browser):
        browser.go(f'http://127.0.0.1:{self.port}/status')
        browser.wait_for('main section')

    def test_refreshes_itself_by_its_script(self):
        browser = self.browser()
        self.open(browser)
        self.assertEqual(browser.complaints(), [])
        browser.run('window.mark = 1')
        self.fail_as('nobody@example.org')
        browser.wait(lambda: 'nobody@example.org' in browser.find('main').text, 'the failure')
        self.login()
        browser.wait(lambda: '1 / 4' in browser.find('main').text, 'the session')
        self.assertEqual(browser.run('return window.mark'), 1)  # it is still the same page
        self.p.signal(9)
        browser.wait(lambda: 'no answer for' in browser.find('#late').text, 'the end')
        self.p.kill()

    def test_refreshes_without_a_script(self):
        browser = self.browser()
        browser.ask('POST', '/goog/cdp/execute', cmd='Emulation.setScriptExecutionDisabled', params={'value': True})
        self.open(browser)
        self.fail_as('nobody@example.org')
        browser.wait(lambda: 'nobody@example.org' in browser.source, 'the failure')

    def test_looks_good_light_and_dark(self):
        for name in EVIL, 'nobody@example.org', "o'neil&co@example.org":
            self.fail_as(name)
        self.login()
        browser, backs = self.browser(), []
        for scheme in 'light', 'dark':
            browser.prefer(scheme)
            self.open(browser)
            backs.append(browser.run('return getComputedStyle(document.body).backgroundColor'))
            browser.screenshot(os.path.join(ROOT, 'build', f'status-{scheme}.png'))
            self.assertFalse(browser.run('return document.documentElement.scrollWidth > innerWidth'))
        self.assertEqual(browser.title, 'mail.example.org - proxyd')
        for word in EVIL, "o'neil&co@example.org", 'cannot connect: Connection refused':
            self.assertIn(word, browser.text_of('main'))
        light, dark = (sum(map(int, back[4:-1].split(','))) for back in backs)
        self.assertGreater(light, 600)
        self.assertLess(dark, 150)
        self.assertEqual(browser.complaints(), [])
        browser.resize(390, 844, phone=True)
        self.assertFalse(browser.run('return document.documentElement.scrollWidth > innerWidth'))
