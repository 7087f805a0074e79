# SPDX-License-Identifier: ISC
"""The login page of webmail, and what follows: before nodes that are played, with a browser that has
no window. test_roundcube.py has the real ones."""
import base64
import os
import re
import ssl
import threading
import time
import unittest
import urllib.parse

from browser import Application, Browser
from case import Case, authority
from proxyd import PASSWORD, WRONG
from wire import PATIENCE, free_port

ALICE, BOB = 'alice@example.org', 'bob@example.org'
USERS = {ALICE: PASSWORD, BOB: PASSWORD, 'al': PASSWORD}
WORDS = 'The user name or the password is not right. Please try again.'
OTHER_KEY = 'fedcba9876543210' * 4


class Web(Case):
    """Two nodes, alice's and bob's."""

    def application(self, kind=Application, name='node1'):
        app = kind(name, USERS)
        self.addCleanup(app.stop)
        return app

    def front(self, *apps, users=None, login=None, **webmail):
        """A proxyd that sends alice to the first of APPS, and bob to the last."""
        if users is None:
            users = f'{ALICE} {apps[0].address}\n{BOB} {apps[-1].address}\n' if apps else ''
        backend = {'path': apps[0].login_path if apps else '/login', **(login or {})}
        return self.proxyd(users, webmail={'login': {'backend': backend}, **webmail})

    def browser(self, proxyd, **how):
        return Browser(proxyd.port['webmail'], **how)


class Page(Web):
    def test_is_shown_to_people(self):
        browser = self.browser(self.front())
        for target in '/login', '/', '/anything?else=1':
            answer = browser.get(target)
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.inputs.action, '/login')
            self.assertEqual(answer.headers['Content-Type'], 'text/html; charset=utf-8')
            self.assertEqual(answer.headers['Cache-Control'], 'no-store')
            self.assertIn("frame-ancestors 'none'", answer.headers['Content-Security-Policy'])
            self.assertNotIn('unsafe', answer.headers['Content-Security-Policy'])
            self.assertIn('mail.example.org', answer.text)
        answer = browser.ask('HEAD', '/login')
        self.assertEqual((answer.status, answer.body), (200, b''))
        self.assertGreater(int(answer.headers['Content-Length']), 1000)

    def test_is_not_shown_to_programs(self):
        browser = self.browser(self.front())
        for headers in {'Accept': 'application/json'}, {'Accept': 'image/png'}:
            answer = browser.get('/x', **headers)
            self.assertEqual(answer.status, 401)
            self.assertEqual(answer.headers['WWW-Authenticate'], 'Basic realm="mail.example.org", charset="UTF-8"')
        answer = browser.get('/x', Sec_Fetch_Mode='cors', Accept='*/*')
        self.assertEqual((answer.status, answer.headers['WWW-Authenticate']), (401, None))
        self.assertEqual(browser.ask('PROPFIND', '/dav', Accept='*/*').status, 401)
        self.assertEqual(browser.post('/x', {}, Accept='*/*').status, 401)
        # Whose session ended while he was writing, is led to the page.
        answer = browser.post('/x', {}, Sec_Fetch_Mode='navigate')
        self.assertEqual((answer.status, answer.location), (303, '/login'))

    def test_takes_its_methods_only(self):
        browser = self.browser(self.front())
        answer = browser.ask('PUT', '/login', b'')
        self.assertEqual((answer.status, answer.headers['Allow']), (405, 'GET, HEAD, POST'))
        answer = browser.ask('POST', '/_proxyd/login.css', b'')
        self.assertEqual((answer.status, answer.headers['Allow']), (405, 'GET, HEAD'))
        self.assertEqual(browser.ask('POST', '/login', '{}', Content_Type='application/json').status, 415)
        self.assertEqual(browser.ask('POST', '/login', 'a=%', Content_Type='application/x-www-form-urlencoded').status,
                         400)

    def test_has_a_style_that_is_asked_for_once(self):
        browser = self.browser(self.front())
        answer = browser.get('/_proxyd/login.css?x')
        self.assertEqual((answer.status, answer.headers['Content-Type']), (200, 'text/css; charset=utf-8'))
        etag = answer.headers['ETag']
        for known in etag, f'W/{etag}', f'"other", {etag}', '*':
            answer = browser.get('/_proxyd/login.css', If_None_Match=known)
            self.assertEqual((answer.status, answer.body), (304, b''), known)
        self.assertEqual(browser.get('/_proxyd/login.css', If_None_Match='"other"').status, 200)
        self.assertEqual(browser.get('/_proxyd/login.svg').headers['Content-Type'], 'image/svg+xml')
        for name in 'login.html', '../login.css', 'none.css', '', 'sub/':
            self.assertEqual(browser.get('/_proxyd/' + name).status, 404, name)

    def test_escapes_what_comes_from_outside(self):
        evil = '"><script>alert(1)</script>'
        browser = self.browser(self.front(users='* 127.0.0.1:1\n'))
        answer = browser.login(evil, '')
        self.assertEqual(answer.status, 401)
        self.assertNotIn('<script', answer.text)
        self.assertEqual(answer.inputs.fields['username'], evil)


class Login(Web):
    def test_leads_to_ones_own_node_and_stays_there(self):
        one, two = self.application(), self.application(name='node2')
        proxyd = self.front(one, two)
        for user, name in (ALICE, 'node1'), (BOB, 'node2'):
            browser = self.browser(proxyd)
            answer = browser.login(user, PASSWORD)
            self.assertEqual((answer.status, answer.location), (303, '/inbox'))
            self.assertEqual(browser.cookies['sessionid'], name)
            route = next(cookie for cookie in answer.cookies if cookie.startswith('proxyd_route='))
            self.assertRegex(route, r'^proxyd_route=[\w+/]+; Path=/; HttpOnly; SameSite=Lax$')
            for _ in range(3):
                self.assertEqual(browser.get('/inbox').text, f'inbox on {name}: /inbox')
            proxyd.wait('login', login=user, result='ok', mechanism='FORM', service='webmail')
        self.assertFalse([asked for asked in one.asked + two.asked if 'proxyd_route=' in asked[2].get('Cookie', '')])

    def test_tells_the_node_who_asks(self):
        one = self.application()
        proxyd = self.front(one)
        browser = self.browser(proxyd, User_Agent='Tester/1', Accept_Language='eo', X_Forwarded_For='192.0.2.9')
        self.assertEqual(browser.login(ALICE, PASSWORD).status, 303)
        method, target, headers, body = one.asked[0]
        self.assertEqual((method, target), ('POST', '/login'))
        self.assertEqual(urllib.parse.parse_qs(body), {'username': [ALICE], 'password': [PASSWORD]})
        for name, value in {'Host': 'mail.example.org', 'User-Agent': 'Tester/1', 'Accept-Language': 'eo',
                            'X-Forwarded-For': '192.0.2.9, 127.0.0.1', 'X-Forwarded-Proto': 'http',
                            'X-Webmail-Template': 'default', 'Origin': 'http://mail.example.org',
                            'Referer': 'http://mail.example.org/login'}.items():
            self.assertEqual(headers.get(name), value, name)
        self.assertEqual(proxyd.wait('login')['request'], headers['X-Request-ID'])

    def test_wrong_password_shows_the_page_again(self):
        one = self.application()
        proxyd = self.front(one)
        browser = self.browser(proxyd)
        begin = time.monotonic()
        answer = browser.login(ALICE, WRONG)
        self.assertEqual(answer.status, 401)
        self.assertGreaterEqual(time.monotonic() - begin, 2)
        self.assertEqual(answer.inputs.fields['username'], ALICE)
        self.assertEqual(answer.inputs.fields['password'], '')
        self.assertEqual(answer.inputs.message, WORDS)
        self.assertNotIn(WRONG, answer.text)
        self.assertNotIn('proxyd_route', browser.cookies)
        proxyd.wait('login', login=ALICE, result='failed', reason='the node refused the login')
        # And its form can be sent as it is.
        inputs = answer.inputs
        answer = browser.post(inputs.action, {**inputs.fields, 'password': PASSWORD})
        self.assertEqual(answer.status, 303)

    def test_unknown_logins_are_told_the_same(self):
        proxyd = self.front(users='')
        answer = self.browser(proxyd).login('nobody@example.org', PASSWORD)
        self.assertEqual((answer.status, answer.inputs.message), (401, WORDS))
        for user, password in ('', PASSWORD), (ALICE, ''), ('a\nb', PASSWORD), ('x' * 300, PASSWORD):
            self.assertEqual(self.browser(proxyd).login(user, password).status, 401)
        proxyd.wait('login', 5, result='failed')

    def test_is_verified_here_before_the_node_is_asked(self):
        one = self.application()
        proxyd = self.front(one, users=f'{ALICE} {one.address} password={{PLAIN}}{PASSWORD} login=al\n{BOB} {one.address}\n',
                            authentication='proxy')
        self.assertEqual(self.browser(proxyd).login(ALICE, WRONG).status, 401)
        self.assertEqual(self.browser(proxyd).login(BOB, PASSWORD).status, 401)
        self.assertEqual(one.asked, [])
        self.assertEqual(self.browser(proxyd).login(ALICE, PASSWORD).status, 303)
        self.assertIn('username=al&', one.asked[0][3])

    def test_a_node_that_is_away(self):
        proxyd = self.front(users=f'* 127.0.0.1:{free_port()}\n')
        answer = self.browser(proxyd).login(ALICE, PASSWORD)
        self.assertEqual(answer.status, 502)
        self.assertEqual(answer.inputs.fields['username'], ALICE)
        self.assertIn('cannot be reached', answer.inputs.message)
        proxyd.wait('login', result='failed', login=ALICE)

    def test_a_node_that_is_busy_or_broken(self):
        for status, told in (503, 503), (429, 503), (500, 502), (404, 401):
            one = self.application()
            one.failure = status
            answer = self.browser(self.front(one)).login(ALICE, WRONG)
            self.assertEqual((answer.status, answer.headers['Retry-After']), (told, '30' if told == 503 else None))

    def test_a_drained_node_keeps_who_is_there(self):
        one = self.application()
        proxyd = self.front(one, backend={'queue_timeout': '500ms'})
        browser = self.browser(proxyd)
        self.assertEqual(browser.login(ALICE, PASSWORD).status, 303)
        proxyd.order('drain', one.address)
        self.assertEqual(browser.get('/inbox').text, 'inbox on node1: /inbox')
        self.assertEqual(self.browser(proxyd).login(ALICE, PASSWORD).status, 503)
        self.assertEqual(browser.get('/inbox').text, 'inbox on node1: /inbox')

    def test_a_mailbox_on_hold(self):
        one = self.application()
        proxyd = self.front(one, users=f'{ALICE} {one.address} hold\n', backend={'queue_timeout': '300ms'})
        answer = self.browser(proxyd).login(ALICE, PASSWORD)
        self.assertEqual((answer.status, answer.headers['Retry-After']), (503, '30'))
        self.assertEqual(one.asked, [])

    def test_passwords_of_all_letters(self):
        one = self.application()
        one.users = {ALICE: 'pä55-wörd &=+%"<\\'}
        proxyd = self.front(one)
        self.assertEqual(self.browser(proxyd).login(ALICE, one.users[ALICE]).status, 303)


class Applications(Web):
    def test_json(self):
        class Groupware(Application):
            login_path, status, location, cookie, failure = '/SOGo/connect', 200, None, '0xHIGHFLYxSOGo', 403

            def knows(self, fields):
                assert set(fields) == {'userName', 'password', 'language'}, fields
                return self.users.get(fields['userName']) == fields['password']

        one = self.application(Groupware)
        proxyd = self.front(one, start='/SOGo/', login={
            'format': 'json', 'user_field': 'userName', 'fields': {'language': 'English'},
            'success': {'status': 200, 'cookie': one.cookie}})
        self.assertEqual(self.browser(proxyd).login(ALICE, WRONG).status, 401)
        browser = self.browser(proxyd)
        answer = browser.login(ALICE, PASSWORD)
        self.assertEqual((answer.status, answer.location), (303, '/SOGo/'))
        self.assertEqual(one.asked[-1][2]['Content-Type'], 'application/json')
        self.assertEqual(browser.get('/SOGo/so').text, 'inbox on node1: /SOGo/so')

    def test_a_page_with_cookies_and_hidden_fields(self):
        class Careful(Application):
            login_path, location = '/app/?do=login', './?do=mail'

            def page(self, handler):
                if handler.path != '/app/?do=show':
                    return super().page(handler)
                return 200, [('Set-Cookie', 'before=1; Path=/'), ('Set-Cookie', 'sessionid=new; Path=/')], (
                    '<form><input type=hidden name=other value=1></form><form method=post>'
                    '<input type="hidden" name="_token" value="a&amp;b"><input type=hidden name=username value=x>'
                    '<input name=password type=password></form>')

            def posted(self, handler, fields):
                if fields.get('_token') != 'a&b' or 'other' in fields:
                    return 403, [], ''
                if handler.headers.get('Cookie') != 'before=1; sessionid=new':
                    return 403, [], ''
                return super().posted(handler, fields)

        one = self.application(Careful)
        proxyd = self.front(one, login={'page': '/app/?do=show'})
        browser = self.browser(proxyd)
        answer = browser.login(ALICE, PASSWORD)
        self.assertEqual((answer.status, answer.location), (303, '/app/?do=mail'))
        self.assertEqual(browser.cookies['before'], '1')
        self.assertEqual(browser.cookies['sessionid'], 'node1')
        self.assertEqual(len([cookie for cookie in answer.cookies if cookie.startswith('sessionid=')]), 1)

    def test_who_is_sent_back_to_the_login_page_is_not_in(self):
        class Polite(Application):
            def posted(self, handler, fields):
                if self.knows(fields):
                    return super().posted(handler, fields)
                return 302, [('Location', f'http://{handler.headers["Host"]}/login?error=1')], ''

        one = self.application(Polite)
        proxyd = self.front(one)
        answer = self.browser(proxyd).login(ALICE, WRONG)
        self.assertEqual((answer.status, answer.inputs.message), (401, WORDS))
        self.assertEqual(self.browser(proxyd).login(ALICE, PASSWORD).status, 303)

    def test_over_tls(self):
        one = self.application()
        one.secure(*authority().server)
        proxyd = self.front(one, backend={'tls': 'implicit', 'ca_file': authority().file})
        answer = self.browser(proxyd).login(ALICE, PASSWORD)  # it is not called 127.0.0.1
        self.assertEqual((answer.status, one.asked), (502, []))
        proxyd = self.front(one, backend={'tls': 'implicit', 'verify': False})
        browser = self.browser(proxyd)
        self.assertEqual(browser.login(ALICE, PASSWORD).status, 303)
        self.assertEqual(browser.get('/inbox').text, 'inbox on node1: /inbox')

    def test_a_page_that_says_401(self):
        class Strict(Application):
            def page(self, handler):
                return 401, [], '<form><input name=password><input type=hidden name=t value=1></form>'

        one = self.application(Strict)
        self.assertEqual(self.browser(self.front(one, login={'page': '/login'})).login(ALICE, PASSWORD).status, 303)
        self.assertIn('t=1', one.asked[-1][3])

    def test_success_by_cookie_only(self):
        class Quiet(Application):
            status = failure = 200
            location = None

        one = self.application(Quiet)
        proxyd = self.front(one, login={'success': {'status': [200], 'cookie': 'sessionid'}})
        self.assertEqual(self.browser(proxyd).login(ALICE, WRONG).status, 401)
        answer = self.browser(proxyd).login(ALICE, PASSWORD)
        self.assertEqual((answer.status, answer.location), (303, '/'))

    def test_its_own_name_is_put_right(self):
        class Plain(Application):
            def posted(self, handler, fields):
                status, headers, text = super().posted(handler, fields)
                headers[-1] = ('Location', f'http://127.0.0.1:{self.port}/inbox')
                return status, headers + [('Set-Cookie', 'a=b; Domain=node1.internal; Path=/')], text

        one = self.application(Plain)
        answer = self.browser(self.front(one)).login(ALICE, PASSWORD)
        self.assertEqual(answer.location, 'http://mail.example.org/inbox')
        self.assertIn('a=b; Path=/', answer.cookies)


class Secrets(Web):
    @unittest.skipIf(os.geteuid(), 'only root may look into the process')
    def test_no_password_stays_in_memory(self):
        one = self.application()
        proxyd = self.front(one)
        for name, context in ('webmail', None), ('webmails', proxyd.context()):
            browser = Browser(proxyd.port[name], context=context)
            self.assertEqual(browser.login(ALICE, PASSWORD).status, 303)
            self.assertEqual(browser.login(ALICE, WRONG).status, 401)
            basic = base64.b64encode(f'{BOB}:{PASSWORD}'.encode()).decode()
            browser.cookies.clear()
            browser.get('/dav', Authorization=f'Basic {basic}')
            self.assertEqual(one.asked[-1][2]['Authorization'], f'Basic {basic}')
            self.assertTrue(proxyd.has_in_memory(ALICE))
            for word in PASSWORD, WRONG, basic:
                self.assertFalse(proxyd.has_in_memory(word), f'{word} by {name}')


class Impatience(Web):
    def test_who_leaves_before_the_answer(self):
        class Slow(Application):
            asked_for, go_on = threading.Event(), threading.Event()

            def posted(self, handler, fields):
                self.asked_for.set()
                self.go_on.wait(PATIENCE)
                return super().posted(handler, fields)

        one = self.application(Slow)
        proxyd = self.front(one, backend={'max_requests': 1})
        browser = self.browser(proxyd)
        inputs = browser.get().inputs
        body = urllib.parse.urlencode({**inputs.fields, 'username': ALICE, 'password': PASSWORD})
        wires = [self.connect(proxyd, 'webmail') for _ in range(2)]  # the second one waits for a place
        for wire in wires:
            wire.send(f'POST /login HTTP/1.1\r\nHost: a\r\nCookie: proxyd_route_page='
                      f'{browser.cookies["proxyd_route_page"]}\r\nContent-Length: {len(body)}\r\n'
                      f'Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}'.encode())
        self.assertTrue(one.asked_for.wait(PATIENCE))
        proxyd.wait('route', 2, login=ALICE)
        for wire in wires:
            wire.close()
        proxyd.wait('close', 3)
        one.go_on.set()
        self.assertEqual(self.browser(proxyd).login(ALICE, PASSWORD).status, 303)

    def test_a_node_that_does_not_answer(self):
        class Silent(Application):
            def posted(self, handler, fields):
                handler.close_connection = self.go_on.wait(PATIENCE)
                return 500, [], ''

        one = self.application(Silent)
        one.go_on = threading.Event()
        self.addCleanup(one.go_on.set)
        proxyd = self.front(one, backend={'response_timeout': '200ms'})
        answer = self.browser(proxyd).login(ALICE, PASSWORD)
        self.assertEqual((answer.status, answer.inputs.fields['username']), (504, ALICE))
        self.assertIn('cannot be reached', answer.inputs.message)


class Forgery(Web):
    def test_a_post_needs_a_page_of_ours(self):
        one = self.application()
        proxyd = self.front(one)
        browser, other = self.browser(proxyd), self.browser(proxyd)
        fields = {**browser.get().inputs.fields, 'username': ALICE, 'password': PASSWORD}
        foreign = {**other.get().inputs.fields, 'username': ALICE, 'password': PASSWORD}
        token = next(name for name in fields if name not in ('username', 'password'))
        forged = [(browser, {**fields, token: ''}), (browser, {**fields, token: fields[token][::-1]}),
                  (browser, foreign), (self.browser(proxyd), fields),
                  (browser, {'username': ALICE, 'password': PASSWORD})]
        for who, what in forged:
            answer = who.post('/login', what)
            self.assertEqual(answer.status, 403)
            self.assertEqual(answer.inputs.fields['username'], ALICE)
            self.assertNotIn('proxyd_route', who.cookies)
        for site in 'cross-site', 'same-site':
            self.assertEqual(browser.post('/login', fields, Sec_Fetch_Site=site).status, 403)
        self.assertEqual(one.asked, [])
        self.assertEqual(browser.post('/login', fields, Sec_Fetch_Site='same-origin').status, 303)

    def test_a_route_that_is_forged_altered_or_expired_is_none(self):
        one = self.application()
        proxyd = self.front(one, session={'lifetime': '1s'})
        browser = self.browser(proxyd)
        browser.login(ALICE, PASSWORD)
        route = browser.cookies['proxyd_route']
        changed = route[:20] + ('A' if route[20] != 'A' else 'B') + route[21:]
        for cookie in changed, route[:-1], '', 'x' * 4000, '%00', route + 'A':
            stranger = self.browser(proxyd, cookies={'proxyd_route': cookie})
            self.assertEqual(stranger.get('/').inputs.action, '/login', cookie)
        count = len(one.asked)
        while browser.get('/inbox').text.startswith('inbox'):  # for a second
            count += 1
        self.assertEqual(browser.get('/inbox').inputs.action, '/login')
        self.assertEqual(len(one.asked), count)

    def test_keys_can_be_rotated_and_are_shared(self):
        one = self.application()
        proxyd, second = self.front(one), self.front(one)
        browser = self.browser(proxyd)
        browser.login(ALICE, PASSWORD)
        again = self.browser(second, cookies=browser.cookies)
        self.assertEqual(again.get('/inbox').text, 'inbox on node1: /inbox')
        # A page of one, posted to the other.
        visitor = self.browser(proxyd)
        inputs = visitor.get().inputs
        visitor.port = second.port['webmail']
        fields = {**inputs.fields, 'username': ALICE, 'password': PASSWORD}
        self.assertEqual(visitor.post('/login', fields).status, 303)
        for keys, known in ((OTHER_KEY, '0123456789abcdef' * 4), True), ((OTHER_KEY,), False):
            second.secret('cookie', '\n'.join(keys) + '\n')
            second.reload()
            self.assertEqual(again.get('/inbox').text.startswith('inbox'), known)

    def test_without_keys_one_is_made_and_kept(self):
        one = self.application()
        proxyd = self.front(one, session={'keys': None})
        self.assertIn('session.keys of service \'webmail\' is not set', proxyd.lines[0])
        browser = self.browser(proxyd)
        browser.login(ALICE, PASSWORD)
        proxyd.reload()
        self.assertTrue(browser.get('/inbox').text.startswith('inbox'))
        other = self.browser(self.front(one, session={'keys': None}), cookies=browser.cookies)
        self.assertEqual(other.get('/inbox').inputs.action, '/login')


class Leaving(Web):
    def test_logout_forgets(self):
        one = self.application()
        proxyd = self.front(one, logout_path='/?do=logout')
        browser = self.browser(proxyd)
        browser.login(ALICE, PASSWORD)
        count = len(one.asked)
        answer = browser.get('/?x=1&do=logout')
        self.assertEqual((answer.status, answer.location), (303, '/login'))
        self.assertNotIn('proxyd_route', browser.cookies)
        self.assertEqual([asked[:2] for asked in one.asked[count:]], [('GET', '/?x=1&do=logout')])
        self.assertIn('sessionid=node1', one.asked[-1][2]['Cookie'])
        answer = browser.get('/?do=logout')
        self.assertEqual((answer.status, answer.location), (303, '/login'))

    def test_logout_by_post_forgets(self):
        one = self.application()
        browser = self.browser(self.front(one, logout_path='/logout'))
        browser.login(ALICE, PASSWORD)
        answer = browser.post('/logout', {'all': 1})
        self.assertEqual(answer.text, 'inbox on node1: /logout')  # the node's own answer
        self.assertEqual(one.asked[-1][3], 'all=1')
        self.assertNotIn('proxyd_route', browser.cookies)

    def test_logout_may_lead_elsewhere_and_needs_no_node(self):
        class Central(Application):
            def page(self, handler):
                if handler.path != '/logout':
                    return super().page(handler)
                return 302, [('Location', 'https://sso.example.org/out'), ('Set-Cookie', 'sessionid=; Max-Age=0'),
                             ('Connection', 'close')], ''

        one = self.application(Central)
        proxyd = self.front(one, logout_path='/logout')
        browser = self.browser(proxyd)
        browser.login(ALICE, PASSWORD)
        kept = dict(browser.cookies)
        answer = browser.get('/logout')
        self.assertEqual((answer.status, answer.location), (303, 'https://sso.example.org/out'))
        self.assertNotIn('sessionid', browser.cookies)
        self.assertNotIn('proxyd_route', browser.cookies)
        one.stop()
        browser.cookies = kept
        answer = browser.get('/logout')
        self.assertEqual((answer.status, answer.location), (303, '/login'))
        self.assertNotIn('proxyd_route', browser.cookies)

    def test_the_nodes_own_login_page_forgets(self):
        one = self.application()
        browser = self.browser(self.front(one))
        browser.login(ALICE, PASSWORD)
        del browser.cookies['sessionid']
        answer = browser.get('/inbox')
        self.assertEqual((answer.status, answer.location), (302, '/login'))
        self.assertNotIn('proxyd_route', browser.cookies)
        self.assertEqual(browser.get('/login').inputs.action, '/login')

    def test_a_node_that_is_no_more_configured_is_none(self):
        one = self.application()
        nodes = {'here': {'address': one.address}}
        proxyd = self.proxyd('* here\n', webmail={}, nodes=nodes)
        browser = self.browser(proxyd)
        browser.login(ALICE, PASSWORD)
        self.assertTrue(browser.get('/inbox').text.startswith('inbox'))
        proxyd.sections['nodes'] = {'there': {'address': one.address}}
        proxyd.set_users('* there\n')
        proxyd.configure()
        proxyd.reload()
        self.assertEqual(browser.get('/inbox').inputs.action, '/login')


class Templates(Web):
    PAGE = '<p>{}</p><form action="{{{{action}}}}"><input name=t value="{{{{token}}}}"><input name=username ' \
           'value="{{{{user}}}}"></form><b role=alert>{{{{message}}}}</b>'

    def template(self, name, **files):
        folder = os.path.join(self.templates, name)
        os.makedirs(folder, exist_ok=True)
        for file, text in {'login_html': self.PAGE.format(name), **files}.items():
            self.replace(os.path.join(folder, file.replace('_', '.')), text)

    @staticmethod
    def replace(path, text):
        with open(path + '.new', 'w') as file:
            file.write(text)
        os.rename(path + '.new', path)

    def setUp(self):
        super().setUp()
        self.templates = os.path.join(self.folder, 'templates')
        os.makedirs(self.templates)

    def page_of(self, proxyd, host, **headers):
        answer = Browser(proxyd.port['webmail'], host=host, **headers).get()
        found = re.match('<p>(.*?)</p>', answer.text)
        return found[1] if found else 'built in'

    def test_by_host(self):
        for name in 'corporate', 'plain':
            self.template(name)
        proxyd = self.front(templates=self.templates, virtual_hosts={
            'mail.example.org': 'corporate', '*.example.net': 'plain'})
        for host, name in {'mail.example.org': 'corporate', 'MAIL.example.org:8443': 'corporate',
                           'a.example.net': 'plain', 'example.net': 'built in', 'other': 'built in'}.items():
            self.assertEqual(self.page_of(proxyd, host), name, host)
        self.template('default')
        self.assertEqual(self.page_of(self.front(templates=self.templates), 'other'), 'default')

    def test_by_the_name_in_tls_where_there_is_no_host(self):
        self.template('corporate')
        proxyd = self.front(templates=self.templates, virtual_hosts={'mail.example.org': 'corporate'})
        for name, host, template in (('mail.example.org', '', b'corporate'), ('mail.example.org', 'Host: other', b'built in'),
                                     ('other', 'Host: mail.example.org', b'corporate'), ('other', '', b'built in'),
                                     ('a_b.!', '', b'built in')):
            context = ssl.create_default_context(cafile=authority().file)
            context.check_hostname = False
            client = self.connect(proxyd, 'webmails', context=context, server_hostname=name)
            client.say('GET /login HTTP/1.0', 'Connection: close', *([host] if host else []), '')
            client.drain()
            found = re.search(b'<p>(.*?)</p>', client.pending)
            self.assertEqual(found[1] if found else b'built in', template, f'{name} {host}')

    def test_is_told_to_the_node(self):
        for name in 'corporate', 'mobile':
            self.template(name)
        one = self.application()
        proxyd = self.front(one, templates=self.templates, virtual_hosts={'mail.example.org': 'corporate'},
                            mobile={'detect': True, 'start': '/m'})
        for headers, device, start in ({'Sec_CH_UA_Mobile': '?1'}, 'mobile', '/m'), ({}, 'desktop', '/inbox'):
            browser = self.browser(proxyd, **headers)
            self.assertEqual(browser.login(ALICE, PASSWORD).location, start)
            browser.get('/inbox')
            for asked in one.asked[-2:]:
                self.assertEqual(asked[2]['X-Webmail-Template'], 'corporate')
                self.assertEqual(asked[2]['X-Webmail-Device'], device)
        self.assertEqual(self.page_of(proxyd, 'mail.example.org', User_Agent='iPhone Mobile/1'), 'mobile')
        self.assertEqual(self.page_of(proxyd, 'mail.example.org', User_Agent='X11'), 'corporate')

    def test_can_be_logged_in_by(self):
        self.template('default')
        one = self.application()
        browser = self.browser(self.front(one, templates=self.templates))
        inputs = browser.get().inputs
        answer = browser.post(inputs.action, {**inputs.fields, 'username': ALICE, 'password': WRONG})
        self.assertEqual((answer.status, answer.inputs.fields['username']), (401, ALICE))
        self.assertEqual(answer.inputs.message, WORDS)
        answer = browser.post(inputs.action, {**answer.inputs.fields, 'password': PASSWORD})
        self.assertEqual(answer.status, 303)

    def until(self, what):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if what():
                return
            time.sleep(0.02)
        self.fail('it did not come to pass')

    def test_files_are_read_again_when_they_change(self):
        self.template('default', a_css='one', b_png='two')
        proxyd = self.front(templates=self.templates)
        browser = self.browser(proxyd)
        answer = browser.get('/_proxyd/a.css')
        self.assertEqual((answer.text, answer.headers['Content-Type']), ('one', 'text/css; charset=utf-8'))
        self.assertEqual(browser.get('/_proxyd/b.png').headers['Content-Type'], 'image/png')
        self.assertEqual(browser.get('/_proxyd/a.css', If_None_Match=answer.headers['ETag']).status, 304)
        self.assertEqual(browser.get('/_proxyd/a.css', If_Modified_Since=answer.headers['Last-Modified']).status, 304)
        self.assertEqual(browser.get('/_proxyd/a.css', If_Modified_Since='Mon, 01 Jan 2001 00:00:00 GMT').status, 200)
        self.template('default', a_css='three', login_html='<p>new</p>{{token}}')
        self.until(lambda: browser.get('/_proxyd/a.css').text == 'three')
        self.until(lambda: self.page_of(proxyd, 'x') == 'new')
        # A page with a mistake in it is not taken, and said of once.
        self.template('default', login_html='<p>bad</p>{{tokn}}')
        self.until(lambda: self.page_of(proxyd, 'x') and proxyd.events('config', level='error'))
        self.assertIn("unknown placeholder '{{tokn}}'", proxyd.wait('config', level='error')['message'])
        self.assertEqual(self.page_of(proxyd, 'x'), 'new')

    def test_nothing_else_is_served(self):
        self.template('default')
        self.template('other', c_css='c')
        os.symlink('/etc', os.path.join(self.templates, 'default', 'etc'))
        browser = self.browser(self.front(templates=self.templates))
        for name in 'login.html', '../other/c.css', '%2e%2e/other/c.css', 'etc/passwd', 'c.css', 'etc':
            self.assertEqual(browser.get('/_proxyd/' + name).status, 404, name)


class Secure(Web):
    def test_the_login_is_on_tls(self):
        one = self.application()
        proxyd = self.front(one, secure_login=True)
        tls = proxyd.port['webmails']
        plain = self.browser(proxyd)
        for target in '/login', '/inbox?x=1':
            answer = plain.get(target)
            self.assertEqual((answer.status, answer.location), (303, f'https://mail.example.org{target}'))
        plain.host = 'mail.example.org:80'
        self.assertEqual(plain.get('/login').location, f'https://mail.example.org:{tls}/login')
        self.assertEqual(plain.post('/login', {'username': ALICE, 'password': PASSWORD}).status, 303)
        self.assertEqual(one.asked, [])
        browser = Browser(tls, context=proxyd.context())
        answer = browser.login(ALICE, PASSWORD)
        self.assertEqual((answer.status, answer.location), (303, '/inbox'))
        self.assertIn('; Secure', next(cookie for cookie in answer.cookies if cookie.startswith('proxyd_route=')))
        self.assertEqual(one.asked[-1][2]['X-Forwarded-Proto'], 'https')
        self.assertEqual(browser.get('/inbox').text, 'inbox on node1: /inbox')
        # A trusted proxy before us has the TLS.
        behind = self.browser(proxyd, X_Forwarded_Proto='https')
        self.assertEqual(behind.login(ALICE, PASSWORD).status, 303)
        self.assertIn('proxyd_route', behind.cookies)
