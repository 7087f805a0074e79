#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The demo: see scripts/demo, which installs and builds what this needs. The parties are those of the
end-to-end tests."""
import argparse
import imaplib
import os
import poplib
import re
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'e2e'))
sys.dont_write_bytecode = True

from authority import Authority  # noqa: E402
from browser import Browser  # noqa: E402
from dovecot import Dovecot  # noqa: E402
from roundcube import Mailbox, Roundcube  # noqa: E402
from server import wait_to_serve  # noqa: E402
from wire import free_port  # noqa: E402

BINARY = os.path.abspath(os.environ.get('PROXYD') or os.path.join(ROOT, 'build', 'proxyd'))
USERS = {'alice@example.org': 'alice-secret', 'bob@example.org': 'bob-secret'}

CONFIGURATION = '''\
global: {{hostname: localhost, user: nobody}}
tls: {{certificate: {certificate}, key: {key}}}
maps:
  local: {{type: file, path: {folder}/users.map}}
nodes:
  node1: {{address: 127.0.0.1, ports: {{imap: {node1[imap]}, pop3: {node1[pop3]}, webmail: {node1[webmail]}}}}}
  node2: {{address: 127.0.0.1, ports: {{imap: {node2[imap]}, pop3: {node2[pop3]}, webmail: {node2[webmail]}}}}}
services:
  imap:
    listeners:
      - {{address: "127.0.0.1:{port[imap]}", tls: starttls}}
      - {{address: "127.0.0.1:{port[imaps]}", tls: implicit}}
    maps: [local]
  pop3:
    listeners:
      - {{address: "127.0.0.1:{port[pop3]}", tls: starttls}}
      - {{address: "127.0.0.1:{port[pop3s]}", tls: implicit}}
    maps: [local]
'''

WEBMAIL = '''\
  webmail:
    listeners:
      - {{address: "127.0.0.1:{port[webmail]}"}}
      - {{address: "127.0.0.1:{port[webmails]}", tls: implicit}}
    maps: [local]
    session: {{keys: "${{file:{folder}/cookie.key}}"}}
    logout_path: /?_task=logout
    start: /?_task=mail
    login:
      backend:
        page: /?_task=login
        path: /?_task=login
        user_field: _user
        password_field: _pass
        success: {{status: 302, cookie: roundcube_sessauth}}
'''

OPEN = '''
Open http://localhost:{port[webmail]}/ and sign in as alice@example.org with alice-secret, or as bob@example.org
with bob-secret: the title of the page says which node it is. Mail that is sent arrives there, too.
'''

INTRODUCTION = '''
Alice lives on node1 and Bob on node2, two Dovecots; {folder}/users.map says so. Change it, and proxyd
reads it again by itself; {folder}/proxyd.yaml is read again on kill -HUP {pid}.
To try, in another terminal:

  curl --cacert {folder}/ca.pem -u alice@example.org:alice-secret 'imaps://localhost:{port[imaps]}/INBOX;MAILINDEX=1'
  curl --cacert {folder}/ca.pem -u bob@example.org:bob-secret pop3s://localhost:{port[pop3s]}/1
  curl --cacert {folder}/ca.pem --ssl-reqd -u bob@example.org:bob-secret imap://localhost:{port[imap]}/
  openssl s_client -quiet -crlf -CAfile {folder}/ca.pem -starttls imap -connect localhost:{port[imap]}
      then: a LOGIN alice@example.org alice-secret    b SELECT INBOX    c LOGOUT
  openssl s_client -quiet -crlf -CAfile {folder}/ca.pem -connect localhost:{port[pop3s]}
      then: USER bob@example.org    PASS bob-secret    LIST    QUIT

Ctrl-C ends everything. proxyd's log:
'''


class Demo:
    def __init__(self, webmail):
        self.folder = tempfile.mkdtemp(prefix='proxyd-demo-')
        os.chmod(self.folder, 0o755)  # the nodes, and proxyd when root starts it, are nobody
        self.port = {name: free_port() for name in ('imap', 'imaps', 'pop3', 'pop3s', 'webmail', 'webmails')}
        self.webmail, self.nodes, self.process = webmail, [], None
        self.mailbox = Mailbox(self.deliver) if webmail else None

    def write(self, name, content):
        with open(os.path.join(self.folder, name), 'w') as file:
            file.write(content)

    def new_node(self, folder, name):
        if self.webmail:
            return Roundcube(folder, name, USERS, self.mailbox.port, trusted='127.0.0.1')
        node = Dovecot(folder, USERS, trusted='127.0.0.1')
        for login in USERS:
            node.deliver(login, f'This is {name}', f'The mailbox of {login} on {name}.')
        return node

    def start(self, log):
        certificate, key = Authority(self.folder).issue('localhost', 'DNS:localhost,IP:127.0.0.1')
        for name in 'node1', 'node2':
            folder = os.path.join(self.folder, name)
            self.nodes.append(self.new_node(folder, name))
            self.nodes[-1].start()
        self.write('users.map', 'alice@example.org   node1\nbob@example.org     node2\n')
        self.write('cookie.key', secrets.token_hex(32) + '\n')
        os.chmod(os.path.join(self.folder, 'cookie.key'), 0o600)
        self.write('proxyd.yaml', (CONFIGURATION + (WEBMAIL if self.webmail else '')).format(
            folder=self.folder, certificate=certificate, key=key, port=self.port,
            node1={'webmail': 80, **self.nodes[0].port}, node2={'webmail': 80, **self.nodes[1].port}))
        # A session of its own: Ctrl-C is for us, who then stop everybody in turn.
        self.process = subprocess.Popen([BINARY, '-c', os.path.join(self.folder, 'proxyd.yaml')], stderr=log,
                                        stdin=subprocess.DEVNULL, start_new_session=True)
        wait_to_serve(self.process, 'proxyd', [self.port['imap']], lambda: f'exit status {self.process.poll()}')

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        for node in self.nodes:
            node.stop()
        if self.mailbox:
            self.mailbox.stop()
        shutil.rmtree(self.folder)

    def deliver(self, recipients, text):
        """Mail that was sent goes to where its recipient lives."""
        for login, node in zip(USERS, self.nodes):
            if login in recipients:
                node.put(login, text)

    # ---- --check ----

    def imap(self, login, implicit):
        """The text of the user's last message, over IMAP."""
        context = ssl.create_default_context(cafile=os.path.join(self.folder, 'ca.pem'))
        if implicit:
            client = imaplib.IMAP4_SSL('localhost', self.port['imaps'], ssl_context=context, timeout=10)
        else:
            client = imaplib.IMAP4('localhost', self.port['imap'], timeout=10)
            client.starttls(context)
        with client:
            client.login(login, USERS[login])
            count = client.select()[1][0].decode()
            return client.fetch(count, '(BODY.PEEK[TEXT])')[1][0][1].decode()

    def pop3(self, login, implicit):
        context = ssl.create_default_context(cafile=os.path.join(self.folder, 'ca.pem'))
        if implicit:
            client = poplib.POP3_SSL('localhost', self.port['pop3s'], context=context, timeout=10)
        else:
            client = poplib.POP3('localhost', self.port['pop3'], timeout=10)
            client.stls(context)
        client.user(login)
        client.pass_(USERS[login])
        lines = client.retr(client.stat()[0])[1]
        client.quit()
        return b'\n'.join(lines).decode()

    def browser(self, login, implicit):
        """The user's last message, over HTTP."""
        context = ssl.create_default_context(cafile=os.path.join(self.folder, 'ca.pem')) if implicit else None
        browser = Browser(self.port['webmails' if implicit else 'webmail'], 'localhost', context)
        answer = browser.login(login, USERS[login])
        if answer.status != 303:
            return f'{answer.status} {answer.inputs.message}'
        return re.sub('<[^>]*>', '', browser.get('/?_task=mail&_mbox=INBOX&_uid=2&_action=show').text)

    def check(self):
        """Tries all ways; returns whether each led to the user's own node."""
        good = True
        for login, node in zip(USERS, ('node1', 'node2')):
            for way in (self.imap, self.pop3, self.browser) if self.webmail else (self.imap, self.pop3):
                for implicit in False, True:
                    start = 'no TLS' if way == self.browser else 'STARTTLS'
                    name = f'{login} over {way.__name__} with {"implicit TLS" if implicit else start}'
                    try:
                        mail = way(login, implicit)
                        fault = '' if f'The mailbox of {login} on {node}.' in mail else f'not on {node}: {mail[:2000]!r}'
                    except (OSError, imaplib.IMAP4.error, poplib.error_proto) as error:
                        fault = f'{type(error).__name__}: {error}'
                    print(f'not ok - demo: {name}: {fault}' if fault else f'ok - demo: {name}', flush=True)
                    good = good and not fault
        return good


def interrupted(number, frame):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(prog='scripts/demo', description='proxyd before two Dovecot nodes')
    parser.add_argument('--check', action='store_true', help='log in as both users, say how it went, end')
    parser.add_argument('--webmail', action='store_true', help='with Roundcube on the nodes')
    arguments = parser.parse_args()
    check = arguments.check
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, interrupted)
    demo = Demo(arguments.webmail)
    try:
        if check:
            with open(os.path.join(demo.folder, 'log'), 'w+') as log:
                demo.start(log)
                good = demo.check()
                log.seek(0)
                print('' if good else log.read(), end='')
            return 0 if good else 1
        demo.start(log=None)
        introduction = (OPEN if demo.webmail else '') + INTRODUCTION
        print(introduction.format(folder=demo.folder, port=demo.port, pid=demo.process.pid), flush=True)
        return demo.process.wait()
    except AssertionError as error:
        print(f'not ok - demo: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nStopping.', flush=True)
        return 0 if not check else 1
    finally:
        demo.stop()


if __name__ == '__main__':
    sys.exit(main())
