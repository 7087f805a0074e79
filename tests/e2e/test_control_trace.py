# SPDX-License-Identifier: ISC
"""proxyctl trace: the dialogue of one login or one address, both sides, and never a credential."""
import base64
import json
import os
import subprocess
import threading
import time

from browser import Application, Browser
from case import Case
from fake_mail import MailNode
from proxyd import CONTROL, PASSWORD, SECRETS, TOKEN, WRONG
from web_case import Message, WebCase
from wire import PATIENCE

BOB = 'bob@example.org'
PLAIN = base64.b64encode(f'\0{BOB}\0{PASSWORD}'.encode()).decode()
XOAUTH2 = base64.b64encode(f'user={BOB}\x01auth=Bearer {TOKEN}\x01\x01'.encode()).decode()


class Trace:
    """A `proxyctl --json trace` under way."""

    def __init__(self, p, who, lasts='1m'):
        self.process = subprocess.Popen([CONTROL, '-s', p.control, '--json', 'trace', who, '--for', lasts],
                                        stdout=subprocess.PIPE, text=True)
        self.lines, self.news = [], threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            with self.news:
                self.lines.append(json.loads(line))
                self.news.notify_all()

    def texts(self, way=None):
        with self.news:
            return [line['text'] for line in self.lines
                    if 'text' in line and way in (None, f'{line["from"]}>{line["to"]}')]

    def wait(self, text, way=None):
        deadline = time.monotonic() + PATIENCE
        with self.news:
            while not any(text in (found or '') for found in self.texts(way)):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f'no {text!r} in the trace:\n' + '\n'.join(map(str, self.lines)))
                self.news.wait(left)

    def end(self):
        """The last line, or what it was killed with."""
        self.process.terminate()
        status = self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        self.process.stdout.close()
        self.assert_discreet()
        return status

    def assert_discreet(self):
        said = json.dumps(self.lines, ensure_ascii=False)
        for secret in SECRETS:
            for word in secret, secret[::-1], base64.b64encode(secret.encode()).decode().rstrip('='), secret.upper(), \
                    secret.encode().hex():
                assert word not in said, f'{word} is in the trace:\n{said}'
        assert PLAIN not in said and XOAUTH2 not in said, said


class Watching(Case):
    def trace(self, p, who, **how):
        trace = Trace(p, who, **how)
        self.addCleanup(lambda: trace.process.poll() is None and trace.end())
        deadline = time.monotonic() + PATIENCE
        while not self.is_watched(p):
            self.assertLess(time.monotonic(), deadline)
        return trace

    def is_watched(self, p):
        """Whether a trace has begun: it says what a client from here says."""
        return p.ask('status')['traces'] > 0


class Dialogues(Watching):
    def test_an_imap_login(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}')
        trace = self.trace(p, 'BOB@example.org')
        client = self.connect(p)
        client.expect('* OK ...')
        client.ask('x CAPABILITY', '* CAPABILITY ...', 'x OK ...')
        client.say(f'a LOGIN {BOB} {PASSWORD}')
        wire = node.accept()
        wire.imap_login()
        client.expect('a OK hello')
        client.say('b SELECT INBOX')
        wire.expect('b SELECT INBOX')
        wire.say('b OK done')
        client.expect('b OK done')
        client.close()
        wire.drain()
        wire.close()
        trace.wait('closed: client_closed')
        self.assertEqual(trace.end(), -15)
        session = p.events('login', result='ok')[0]['session']
        self.assertEqual({line['session'] for line in trace.lines}, {session})
        from_client = trace.texts('client>proxyd')
        self.assertEqual(from_client[:2], ['x CAPABILITY', 'a LOGIN ********'])
        self.assertIn('OK CAPABILITY completed', trace.texts('proxyd>client'))
        self.assertIn('* OK [CAPABILITY IMAP4rev1] node', trace.texts('node>proxyd'))
        self.assertTrue([text for text in trace.texts('proxyd>node') if text.endswith(' LOGIN ********')])
        self.assertIn('login ok', trace.texts())
        self.assertIn(f'route: map local, node {node.address}: found', trace.texts())
        self.assertIn('closed: client_closed, 16 bytes in, 11 out', trace.texts())

    def test_no_way_to_log_in_is_shown(self):
        """Nor what a node makes of it that repeats what it was told."""
        mean = f'NO [S3CRET-WORD] {PASSWORD} {PASSWORD[::-1]} {PLAIN} {WRONG} {TOKEN} {XOAUTH2}'
        node = self.node(serve=lambda wire: wire.imap_login(answer=mean))
        p = self.proxyd(f'* {node.address}', imap={'mechanisms': ['plain', 'login', 'xoauth2'], 'max_auth_errors': 99})
        trace = self.trace(p, '127.0.0.1')
        for lines in ([f'a LOGIN {BOB} {PASSWORD}'], [f'a LOGIN {BOB} {{11}}', PASSWORD],
                      [f'a LOGIN {{15+}}\r\n{BOB} {{11+}}\r\n{PASSWORD}'], [f'ID LOGIN {BOB} {PASSWORD}'],
                      [f'a AUTHENTICATE PLAIN {PLAIN}'], ['a AUTHENTICATE PLAIN', PLAIN],
                      [f'a AUTHENTICATE XOAUTH2 {XOAUTH2}'], ['a AUTHENTICATE XOAUTH2', XOAUTH2],
                      [f'a AUTHENTICATE {PASSWORD}'], [f'a LOGINN {BOB} {PASSWORD}'], [PASSWORD], [f'a {PASSWORD}'],
                      ['a AUTHENTICATE LOGIN', *(base64.b64encode(word.encode()).decode() for word in (BOB, WRONG))],
                      [f'a LOGIN {BOB} {PASSWORD}\r\na {PASSWORD}'], [f'a LOGIN {BOB} "{"x" * 3000}{PASSWORD}"']):
            with self.subTest(lines=lines):
                client = self.connect(p)
                client.expect('* OK ...')
                for line in lines:
                    client.say(line)
                    answer = client.line()
                while answer.startswith('* '):
                    answer = client.line()
                client.close()
        p.wait('close', count=15)
        trace.wait('NO [')
        trace.end()

    def test_pop3_and_submission(self):
        pop3 = self.node(serve=lambda wire: wire.pop3_login(answer=f'-ERR [AUTH] {PASSWORD}'))
        smtp = self.node(serve=lambda wire: wire.smtp_login(answer=f'535 5.7.8 {PASSWORD} {PLAIN}'))
        p = self.proxyd(f'* 127.0.0.1 pop3={pop3.address} submission={smtp.address}', submission={})
        trace = self.trace(p, BOB)
        client = self.connect(p, 'pop3')
        client.expect('+OK...')
        client.ask(f'USER {BOB}', '+OK...')
        client.ask(f'PASS {PASSWORD}', '-ERR [AUTH] ...')
        client.ask('AUTH PLAIN', '+ ')
        client.ask(PLAIN, '-ERR [AUTH] ...')
        client = self.connect(p, 'submission')
        client.expect('220 ...')
        client.ask('EHLO me.example.org', *['250-...'] * 4)
        client.say(f'AUTH PLAIN {PLAIN}')
        while not client.line().startswith('535 5.7.8'):
            pass
        trace.wait('535 5.7.8 [', 'proxyd>client')
        trace.end()
        for text in (f'USER {BOB}', 'PASS ********', 'AUTH PLAIN', '********', 'EHLO me.example.org',
                     'AUTH PLAIN ********'):
            self.assertIn(text, trace.texts('client>proxyd'))
        self.assertIn('-ERR [AUTH] [11 bytes]', trace.texts('node>proxyd'))

    def test_a_message_and_only_that_to_whom_it_is(self):
        node = MailNode(self)
        p = self.proxyd(f'{BOB} {node.address}\nann@example.org {node.address}', smtp={'domains': ['example.org']})
        trace = self.trace(p, BOB)
        for login in 'ann@example.org', BOB:
            client = self.connect(p, 'smtp')
            client.expect('220 ...')
            client.ask('HELO client.example.net', '250 ...')
            client.ask('MAIL FROM:<eve@example.net>', '250 ...')
            client.ask(f'RCPT TO:<{login}>', '250 ...')
            client.ask('DATA', '354 ...')
            client.say('Subject: secret', '', PASSWORD, '.')
            client.expect('250 ...')
            client.ask('QUIT', '221 ...')
        trace.wait('closed: logout')
        trace.end()
        self.assertEqual({line['session'] for line in trace.lines},
                         {p.wait('message', recipient=BOB)['session']})
        self.assertEqual(trace.texts('client>proxyd'), ['HELO client.example.net', 'MAIL FROM:<eve@example.net>',
                                                        f'RCPT TO:<{BOB}>', 'DATA', 'QUIT'])
        self.assertTrue([text for text in trace.texts('proxyd>node') if text.startswith('MAIL FROM:<eve@example.net>')])
        self.assertIn(f'recipient {BOB}: delivered', trace.texts())

    def test_only_who_is_meant(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}', global_={'workers': {'min': 3}})
        by_address, by_login = self.trace(p, '127.0.0.9'), self.trace(p, BOB)
        wires = []
        for login, source in ((BOB, '127.0.0.1'), ('alice', '127.0.0.1'), ('carol', '127.0.0.9')):
            client = self.connect(p, source=source)
            client.expect('* OK ...')
            client.say(f'a LOGIN {login} {PASSWORD}')
            wires.append(node.accept())
            wires[-1].imap_login()
            client.expect('a OK hello')
        p.wait('login', count=3)
        sessions = {line['login']: line['session'] for line in p.events('login')}
        for trace, login in ((by_address, 'carol'), (by_login, BOB)):
            trace.wait('login ok')
            trace.end()
            self.assertEqual({line['session'] for line in trace.lines}, {sessions[login]})
        self.assertEqual(by_login.texts()[0], 'connected')

    def test_a_session_that_runs_already(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}')
        client, wire = self.login(p, node)
        trace = self.trace(p, BOB)
        deadline = time.monotonic() + PATIENCE
        while not trace.texts('client>node'):
            client.say('a NOOP')
            wire.expect('a NOOP')
            self.assertLess(time.monotonic(), deadline)
        p.order('kick', '--user', BOB)
        trace.wait('closed: kicked')
        trace.end()

    def test_it_ends_by_itself(self):
        p = self.proxyd()
        done = subprocess.run([CONTROL, '-s', p.control, 'trace', BOB, '--for', '300ms'], capture_output=True,
                              text=True, timeout=20)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, '', ''))
        self.assertEqual(p.ask('trace', '::1', '--for', '1ms'), {'lines': 0, 'dropped': 0, 'status': 0})
        self.assertEqual(p.ask('status')['traces'], 0)

    def test_there_is_a_bound(self):
        p = self.proxyd()
        traces = [self.trace(p, BOB) for _ in range(8)]
        deadline = time.monotonic() + PATIENCE
        while p.ask('status')['traces'] < 8:
            self.assertLess(time.monotonic(), deadline)
        self.assertIn('no more', p.order('trace', BOB, status=75))
        traces.pop().end()
        while p.ask('status')['traces'] == 8:
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual(p.ask('trace', BOB, '--for', '1ms')['status'], 0)

    def test_who_does_not_read_loses_lines_and_delays_nobody(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}')
        stuck = subprocess.Popen([CONTROL, '-s', p.control, 'trace', '127.0.0.1'], stdout=subprocess.PIPE)
        self.addCleanup(stuck.stdout.close)
        self.addCleanup(stuck.kill)
        while not self.is_watched(p):
            pass
        client = self.connect(p, 'pop3')
        client.expect('+OK...')
        before = p.memory()
        for _ in range(200):
            client.say(*[f'USER {"x" * 200}'] * 100)
            for _ in range(100):
                client.line()
        self.assertEqual(p.ask('status')['status'], 0)
        if not os.environ.get('SAN'):  # which keeps what was freed for a while
            self.assertLess(p.memory() - before, 8 << 20)
        stuck.kill()
        stuck.wait(PATIENCE)
        self.login(p, node)


class Webmail(Watching, WebCase):
    def test_heads_without_what_is_secret(self):
        node = self.node()
        p = self.web(node)
        trace = self.trace(p, BOB)
        client = self.client(p)
        self.ask(client, f'GET /mail?token={PASSWORD} HTTP/1.1', f'Cookie: sid={PASSWORD}', f'X-Auth: {PASSWORD}')
        wire = node.accept()
        Message(wire)
        self.answer(wire, '302 Found', f'Set-Cookie: sid={TOKEN}', f'Location: /inbox?key={TOKEN}', 'Content-Type: text/html')
        self.assertEqual(Message(client).status, 302)
        client.close()
        trace.wait('closed: client_closed')
        trace.end()
        query = f'[{len("token=" + PASSWORD)} bytes]'
        self.assertEqual(trace.texts('client>proxyd'), [
            f'GET /mail?{query} HTTP/1.1', 'Host: mail.example.org', 'Authorization: ********', 'Cookie: ********',
            'X-Auth: ********'])
        self.assertEqual(trace.texts('proxyd>node')[0], f'GET /mail?{query} HTTP/1.1')
        self.assertIn('X-Forwarded-For: 127.0.0.1', trace.texts('proxyd>node'))
        for way in 'node>proxyd', 'proxyd>client':
            for text in ('HTTP/1.1 302 Found', 'Set-Cookie: ********', f'Location: /inbox?[{len("key=" + TOKEN)} bytes]',
                         'Content-Type: text/html'):
                self.assertIn(text, trace.texts(way))

    def test_a_login(self):
        app = Application('node1', {BOB: PASSWORD})
        self.addCleanup(app.stop)
        p = self.proxyd(f'* {app.address}', webmail={'login': {'backend': {'path': app.login_path}}})
        trace = self.trace(p, BOB)
        browser = Browser(p.port['webmail'])
        self.assertEqual(browser.login(BOB, PASSWORD).status, 303)
        trace.wait(f'POST {app.login_path} HTTP/1.1', 'proxyd>node')
        trace.wait('HTTP/1.1 303 See Other', 'proxyd>client')
        trace.end()
        self.assertIn('POST /login HTTP/1.1', trace.texts('client>proxyd'))
        self.assertIn('Cookie: ********', trace.texts('client>proxyd'))
