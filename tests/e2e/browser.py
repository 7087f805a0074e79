# SPDX-License-Identifier: ISC
"""A browser without a window, for tests of webmail: keeps cookies, reads forms, follows nothing by
itself. And a node that runs a webmail application, as far as logging in goes."""
import html.parser
import http.client
import http.server
import json
import socket
import ssl
import sys
import threading
import urllib.parse

from wire import PATIENCE

HTML = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'


class Inputs(html.parser.HTMLParser):
    """The fields of the forms of a page, what is in its message, and where the last form goes."""

    def __init__(self, text):
        super().__init__()
        self.fields, self.message, self.action, self.within = {}, '', None, False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == 'input' and attrs.get('name'):
            self.fields[attrs['name']] = attrs.get('value', '')
        if tag == 'form':
            self.action = attrs.get('action')
        self.within = attrs.get('role') == 'alert'

    def handle_data(self, data):
        if self.within:
            self.message += data

    def handle_endtag(self, tag):
        self.within = False


class Answer:
    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        self.body = response.read()
        self.text = self.body.decode('utf-8', 'replace')
        self.cookies = [cookie for cookie in response.headers.get_all('Set-Cookie', [])]
        self.location = response.headers.get('Location')

    @property
    def inputs(self):
        return Inputs(self.text)


class Browser:
    """PORT is where a front end listens, HOST what it is called. Its cookies are in `cookies`."""

    def __init__(self, port, host='mail.example.org', context=None, cookies=None, **headers):
        self.port, self.host, self.context = port, host, context
        self.cookies = dict(cookies or {})
        self.headers = {'Accept': HTML, **{name.replace('_', '-'): value for name, value in headers.items()}}

    def ask(self, method, target, body=None, **headers):
        sock = socket.create_connection(('127.0.0.1', self.port), PATIENCE)
        if self.context:
            sock = self.context.wrap_socket(sock, server_hostname=self.host.split(':')[0])
        connection = http.client.HTTPConnection('127.0.0.1', self.port)
        connection.sock = sock
        all_headers = {'Host': self.host, **self.headers,
                       **{name.replace('_', '-'): value for name, value in headers.items()}}
        if self.cookies:
            all_headers.setdefault('Cookie', '; '.join(f'{name}={value}' for name, value in self.cookies.items()))
        try:
            connection.request(method, target, body, {k: v for k, v in all_headers.items() if v is not None})
            answer = Answer(connection.getresponse())
        finally:
            connection.close()
        for cookie in answer.cookies:
            name, _, value = cookie.split(';')[0].partition('=')
            if 'max-age=0' in cookie.lower():
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer

    def get(self, target='/login', **headers):
        return self.ask('GET', target, **headers)

    def post(self, target, fields, **headers):
        return self.ask('POST', target, urllib.parse.urlencode(fields),
                        Content_Type='application/x-www-form-urlencoded', **headers)

    def login(self, user, password, path='/login'):
        """Fetches the page, fills it in and sends it."""
        inputs = self.get(path).inputs
        return self.post(inputs.action, {**inputs.fields, 'username': user, 'password': password})


class Application(http.server.ThreadingHTTPServer):
    """A node. USERS: {login: password}. What it was asked is in `asked`: (method, target, headers,
    body). Overridden where an application differs: see `posted` and `page`."""
    daemon_threads = True
    status, failure, cookie, location = 302, 401, 'sessionid', '/inbox'
    login_path = '/login'

    def __init__(self, name, users):
        super().__init__(('127.0.0.1', 0), Handler)
        self.name, self.users, self.asked, self.lock = name, users, [], threading.Lock()
        self.port = self.server_address[1]
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def address(self):
        return f'127.0.0.1:{self.port}'

    def secure(self, certificate, key):
        """Speaks TLS from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def stop(self):
        self.shutdown()
        self.server_close()
        self.thread.join(PATIENCE)

    def handle_error(self, request, address):
        """Who leaves before the answer is no news."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, address)

    def knows(self, fields):
        return self.users.get(fields.get('username')) == fields.get('password')

    def posted(self, handler, fields):
        """The login: answers with status, headers and body."""
        if not self.knows(fields):
            return self.failure, [], 'no'
        headers = [('Set-Cookie', f'{self.cookie}={self.name}; Path=/; HttpOnly')]
        return self.status, headers + ([('Location', self.location)] if self.location else []), ''

    def page(self, handler):
        """Anything else."""
        cookie = handler.headers.get('Cookie', '')
        if f'{self.cookie}={self.name}' in cookie:
            return 200, [], f'inbox on {self.name}: {handler.path}'
        return 302, [('Location', self.login_path)], ''


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def fields(self, body):
        if self.headers.get('Content-Type') == 'application/json':
            return json.loads(body)
        return dict(urllib.parse.parse_qsl(body, keep_blank_values=True))

    def answer(self):
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0)).decode()
        app = self.server
        with app.lock:
            app.asked.append((self.command, self.path, dict(self.headers), body))
        if self.command == 'POST' and self.path == app.login_path:
            status, headers, text = app.posted(self, self.fields(body))
        else:
            status, headers, text = app.page(self)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(text.encode())))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(text.encode())

    do_GET = do_POST = do_HEAD = answer

    def log_message(self, *args):
        pass
