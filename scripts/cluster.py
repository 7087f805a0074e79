#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The cluster on one machine: see scripts/cluster, which installs and builds what this needs. Nodes and
browsers are those of the end-to-end tests."""
import argparse
import base64
import contextlib
import ctypes
import http.server
import json
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'e2e'))
sys.dont_write_bytecode = True

from authority import Authority  # noqa: E402
from browser import Application, Browser, Handler  # noqa: E402
from directory import CONFIGURATION as DIRECTORY, PEOPLE, PROXY_DN, PROXY_PASSWORD, ROOT_DN, ROOT_PASSWORD, SUFFIX, ldif  # noqa: E402,E501
from dovecot import Dovecot  # noqa: E402

BINARY = os.path.abspath(os.environ.get('PROXYD') or os.path.join(ROOT, 'build', 'proxyd'))
CONTROL = os.path.join(os.path.dirname(BINARY), 'proxyctl')
NETWORK = '10.77.0.'
HOSTS = {'client': 10, 'lb': 20, 'front1': 31, 'front2': 32, 'node1': 41, 'node2': 42, 'node3': 43,
         'dir1': 51, 'dir2': 52}
FRONTS, NODES, DIRECTORIES = ('front1', 'front2'), ('node1', 'node2', 'node3'), ('dir1', 'dir2')
PASSWORD = 'secret'
USERS = [f'user{i:02}@example.org' for i in range(18)]
PATIENCE, LOADS = 40, 4  # seconds, and threads that log in
PREFIX = f'proxyd-{os.getpid()}-'

BALANCER = '''
global
  maxconn 4000
defaults
  mode tcp
  option redispatch 1
  retries 3
  timeout connect 500ms
  timeout client 1h
  timeout server 1h
  timeout check 500ms
  default-server check port 8025 inter 300ms fall 2 rise 2 send-proxy-v2 on-marked-down shutdown-sessions
  option httpchk GET /readyz/imap
listen imap
  bind {lb}:143
  server front1 {front1}:143
  server front2 {front2}:143
listen imaps
  bind {lb}:993
  server front1 {front1}:993
  server front2 {front2}:993
'''

REPLICATION = '''
moduleload syncprov
'''

REPLICA = '''
serverID {number}
overlay syncprov
syncrepl rid=00{other} provider=ldap://{peer}:3890 type=refreshAndPersist retry="1 +" searchbase="{suffix}"
  bindmethod=simple binddn="{root}" credentials={password} keepalive=2:2:1
multiprovider on
'''


def address(name):
    return NETWORK + str(HOSTS[name])


# ---- network namespaces ----

def ip(*args):
    subprocess.run(['ip', *args], check=True, capture_output=True, text=True)


def make_network():
    """A switch, and a host on each cable."""
    for name in ('switch', *HOSTS):
        ip('netns', 'add', PREFIX + name)
    ip('-n', PREFIX + 'switch', 'link', 'add', 'bridge', 'type', 'bridge')
    ip('-n', PREFIX + 'switch', 'link', 'set', 'bridge', 'up')
    for name in HOSTS:
        ip('-n', PREFIX + name, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', name, 'netns', PREFIX + 'switch')
        ip('-n', PREFIX + 'switch', 'link', 'set', name, 'master', 'bridge', 'up')
        ip('-n', PREFIX + name, 'address', 'add', address(name) + '/24', 'dev', 'eth0')
        ip('-n', PREFIX + name, 'link', 'set', 'eth0', 'up')
        ip('-n', PREFIX + name, 'link', 'set', 'lo', 'up')


def drop_network():
    for name in ('switch', *HOSTS):
        subprocess.run(['ip', 'netns', 'del', PREFIX + name], capture_output=True)


def cable(name, plugged):
    ip('-n', PREFIX + 'switch', 'link', 'set', name, 'up' if plugged else 'down')


@contextlib.contextmanager
def inside(name):
    """Sockets that this thread makes are NAME's."""
    libc, net = ctypes.CDLL(None, use_errno=True), 0x40000000  # CLONE_NEWNET
    with open('/proc/thread-self/ns/net') as own, open(f'/run/netns/{PREFIX}{name}') as other:
        if libc.setns(other.fileno(), net):
            raise OSError(ctypes.get_errno(), 'setns')
        try:
            yield
        finally:
            libc.setns(own.fileno(), net)


def start(name, *command, log, **how):
    return subprocess.Popen(['ip', 'netns', 'exec', PREFIX + name, 'setpriv', '--pdeathsig', 'KILL', *command],
                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **how)


def wait_for(what, check, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError(f'{what}: not within {seconds} s')
        time.sleep(0.02)


def answers(name, port):
    with inside('client'):
        with socket.socket() as sock:
            sock.settimeout(0.5)
            return sock.connect_ex((address(name), port)) == 0


def ready(front, service='imap'):
    with inside('client'):
        try:
            with socket.create_connection((address(front), 8025), 0.5) as sock:
                sock.sendall(f'GET /readyz/{service} HTTP/1.0\r\n\r\n'.encode())
                return b' 200 ' in sock.recv(100)
        except OSError:
            return False


# ---- the parts ----

class Directory:
    def __init__(self, name, folder):
        self.name, self.folder, self.process = name, os.path.join(folder, name), None
        os.makedirs(self.folder + '/data')
        number = DIRECTORIES.index(name) + 1
        peer = DIRECTORIES[2 - number]
        text = DIRECTORY.format(folder=self.folder, suffix=SUFFIX, root=ROOT_DN, root_password=ROOT_PASSWORD, tls='',
                                idle_timeout=0, readers='*', password_readers=f'by dn.exact="{PROXY_DN}" read')
        text = text.replace('moduleload pw-sha2', REPLICATION + 'moduleload pw-sha2').replace(
            'index mail,uid eq', 'index mail,uid,entryUUID,entryCSN eq')
        self.path = os.path.join(self.folder, 'slapd.conf')
        with open(self.path, 'w') as file:
            file.write(text + REPLICA.format(number=number, other=3 - number, peer=address(peer), suffix=SUFFIX,
                                             root=ROOT_DN, password=ROOT_PASSWORD))

    def fill(self, words):
        subprocess.run(['slapadd', '-q', '-w', '-f', self.path], input=words, check=True, text=True, capture_output=True)

    def start(self):
        with open(os.path.join(self.folder, 'log'), 'a') as log:
            self.process = start(self.name, '/usr/sbin/slapd', '-d', 'sync', '-f', self.path, '-h',
                                 f'ldap://{address(self.name)}:3890', log=log)
        wait_for(self.name, lambda: answers(self.name, 3890))

    def host_of(self, login):
        done = self.run('ldapsearch', '-LLL', '-b', PEOPLE, f'(mail={login})', 'mailHost')
        return re.search(r'mailHost: (\S+)', done.stdout)[1] if done.returncode == 0 and 'mailHost' in done.stdout else None

    def move(self, login, node):
        words = ldif(f'uid={login.split("@")[0]},{PEOPLE}', changetype='modify', replace='mailHost', mailHost=node)
        assert self.run('ldapmodify', words=words).returncode == 0

    def run(self, program, *args, words=''):
        return subprocess.run(['ip', 'netns', 'exec', PREFIX + 'client', program, '-x', '-H',
                               f'ldap://{address(self.name)}:3890', '-D', ROOT_DN, '-w', ROOT_PASSWORD, *args],
                              input=words, capture_output=True, text=True)

    def kill(self):
        kill(self.process)


class Node(Dovecot):
    """Tells its name to whoever asks by ID."""

    def __init__(self, name, folder, certificate):
        super().__init__(os.path.join(folder, name), {login: PASSWORD for login in USERS},
                         trusted=NETWORK + '0/24', imap=1143, imaps=1993, pop3=1110, pop3s=1995)
        self.name = name
        with open(os.path.join(self.folder, 'conf'), 'a') as file:
            file.write(f'listen = *\nimap_id_send = name {name}\nmail_max_userip_connections = 1000\n'
                       'service imap-login {\n  service_count = 0\n}\n')

    def start(self):
        self.give_away()
        with open(os.path.join(self.folder, 'output'), 'a') as log:
            self.process = start(self.name, 'setpriv', '--reuid', str(self.who.pw_uid), '--regid', str(self.who.pw_gid),
                                 '--clear-groups', '/usr/sbin/dovecot', '-F', '-c', os.path.join(self.folder, 'conf'), log=log)
        wait_for(self.name, lambda: answers(self.name, 1143))

    def kill(self):
        """All of its processes, which have sessions of their own."""
        done = subprocess.run(['ip', 'netns', 'pids', PREFIX + self.name], capture_output=True, text=True)
        for pid in done.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        self.process.wait()
        for name in 'master.pid', 'login/master.pid':
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(self.folder, 'run', name))


class Webmail(Application):
    def __init__(self, name):
        with inside(name):
            http.server.ThreadingHTTPServer.__init__(self, ('0.0.0.0', 8080), Handler)
        self.name, self.users, self.asked, self.lock = name, {login: PASSWORD for login in USERS}, [], threading.Lock()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()


class Front:
    def __init__(self, name, folder, tls):
        self.name, self.folder, self.process = name, os.path.join(folder, name), None
        os.makedirs(self.folder)
        backend = {'check': {'interval': '300ms', 'fall': 2, 'rise': 1}, 'connect_timeout': '15s', 'queue_timeout': '15s'}
        configuration = {
            'global': {'hostname': f'{name}.example.org', 'user': 'root', 'shutdown_grace': '4s',
                       'trusted_networks': [NETWORK + '0/24'], 'control_socket': self.folder + '/control.sock'},
            'tls': tls,
            'admin': {'listen': f'{address(name)}:8025'},
            'ldap': {'corp': {'servers': [f'ldap://{address(d)}:3890' for d in DIRECTORIES], 'bind_dn': PROXY_DN,
                              'bind_password': PROXY_PASSWORD, 'search_base': PEOPLE, 'timeout': '2s',
                              'retry_interval': '1s', 'cache': {'found': '1s'}}},
            'maps': {'staff': {'type': 'ldap_password', 'connector': 'corp'}},
            'nodes': {node: {'address': address(node), 'ports': {'imap': 1143, 'webmail': 8080}} for node in NODES},
            'services': {
                'imap': {'listeners': [{'address': '0.0.0.0:143', 'tls': 'starttls', 'proxy_protocol': True},
                                       {'address': '0.0.0.0:993', 'tls': 'implicit', 'proxy_protocol': True},
                                       {'address': '0.0.0.0:1993', 'tls': 'implicit'}],
                         'maps': ['staff'], 'backend': backend},
                'webmail': {'listeners': [{'address': '0.0.0.0:80'}], 'maps': ['staff'],
                            'session': {'keys': tls['cookie']}, 'login': {'backend': {'path': '/login'}}}}}
        configuration['tls'] = {key: value for key, value in tls.items() if key != 'cookie'}
        self.path = os.path.join(self.folder, 'proxyd.yaml')
        with open(self.path, 'w') as file:
            json.dump(configuration, file, indent=1)

    def start(self):
        with open(os.path.join(self.folder, 'log'), 'a') as log:
            self.process = start(self.name, BINARY, '-c', self.path, log=log)
        wait_for(self.name, lambda: ready(self.name))

    def log(self):
        with open(os.path.join(self.folder, 'log')) as file:
            return file.read()

    def order(self, *args, status=0):
        done = subprocess.run([CONTROL, '-s', self.folder + '/control.sock', *args], capture_output=True, text=True)
        assert done.returncode == status, f'{self.name}: proxyctl {args}: {done.stdout}{done.stderr}'
        return done.stdout

    def upgrade(self):
        count = self.log().count('serves in the place of this one')
        pids = subprocess.run(['ip', 'netns', 'pids', PREFIX + self.name], capture_output=True, text=True).stdout.split()
        os.kill(int(max(pids, key=int)), signal.SIGUSR2)
        wait_for(f'upgrade of {self.name}', lambda: self.log().count('serves in the place of this one') > count)

    def kill(self):
        done = subprocess.run(['ip', 'netns', 'pids', PREFIX + self.name], capture_output=True, text=True)
        for pid in done.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        self.process.wait()


def kill(process):
    process.kill()
    process.wait()


# ---- clients ----

class Imap:
    """An IMAP client: `front` greeted it, `node` is where its mailbox is."""

    def __init__(self, context=None, port=None, host='lb', session=None):
        self.front = self.node = None
        sock = socket.create_connection((address(host), port or (993 if context else 143)), PATIENCE)
        self.sock = sock
        if context:
            self.sock = context.wrap_socket(sock, server_hostname='mail.example.org', session=session)
        self.file = self.sock.makefile('rb')
        greeting = self.line()
        self.front = re.search(r'(front\d)\.example', greeting)[1]

    def line(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError(f'closed ({self.front})')
        return line.decode()

    def ask(self, command):
        self.sock.sendall(f'a {command}\r\n'.encode())
        lines = []
        while True:
            lines.append(self.line())
            if lines[-1].startswith('a '):
                break
            if lines[-1].startswith('* BYE') and command != 'LOGOUT':
                raise ConnectionError(lines[-1].strip())
        if not lines[-1].startswith('a OK'):
            raise PermissionError(lines[-1].strip())
        return ''.join(lines)

    def login(self, user):
        self.ask(f'LOGIN {user} {PASSWORD}')
        self.node = re.search(r'"name" "(\w+)"', self.ask('ID NIL'))[1]
        return self

    def close(self):
        for each in self.file, self.sock:
            with contextlib.suppress(OSError):
                each.close()


class Held(threading.Thread):
    """A session that stays: says NOOP again and again, until it ends."""

    def __init__(self, user, cluster):
        super().__init__(daemon=True)
        self.user, self.cluster, self.ended, self.why = user, cluster, False, None
        self.client = Imap().login(user)
        self.front, self.node = self.client.front, self.client.node

    def run(self):
        try:
            while not self.cluster.ends:
                self.client.ask('NOOP')
                time.sleep(0.3)
            self.client.ask('LOGOUT')
        except (OSError, PermissionError) as error:
            self.why = str(error)
        self.ended = True
        self.client.close()


class Load(threading.Thread):
    """Logs in and out again and again, over TLS that is resumed."""

    def __init__(self, number, cluster):
        super().__init__(daemon=True)
        self.number, self.cluster, self.session = number, cluster, None

    def run(self):
        with inside('client'):
            turn = self.number
            while not self.cluster.ends:
                turn += 7
                self.once(USERS[turn % len(USERS)])
                time.sleep(0.02)

    def once(self, user):
        client, began, allowed = None, time.monotonic(), self.cluster.homes(user)
        try:
            client = Imap(self.cluster.context, session=self.session)
            self.session = client.sock.session
            client.login(user)
            client.ask('LOGOUT')
            allowed |= self.cluster.homes(user)
            wrong = None if client.node in allowed else f'{user} on {client.node}, not {"/".join(sorted(allowed))}'
            self.cluster.note(user, client, None, wrong, began)
        except (OSError, PermissionError) as error:
            self.cluster.note(user, client, str(error) or type(error).__name__, None, began)
        finally:
            if client:
                client.close()


class Cluster:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix='proxyd-cluster-')
        os.chmod(self.folder, 0o755)
        self.lock, self.ends, self.good, self.held = threading.Lock(), False, True, []
        self.home = {login: NODES[i % 3] for i, login in enumerate(USERS)}
        self.moving = {}  # login: where else he may be for now
        self.reset()

    def homes(self, user):
        with self.lock:
            return {self.home[user], self.moving.get(user, self.home[user])}

    def reset(self):
        with self.lock if hasattr(self, 'lock') else contextlib.nullcontext():
            self.logins, self.failures, self.wrong, self.slowest = 0, [], [], 0

    def note(self, user, client, failure, wrong, began):
        with self.lock:
            self.slowest = max(self.slowest, time.monotonic() - began)
            if failure:
                self.failures.append((user, client.front if client else None, failure))
            else:
                self.logins += 1
            if wrong:
                self.wrong.append(wrong)

    # ---- setting up ----

    def start(self):
        make_network()
        authority = Authority(self.folder)
        certificate, key = authority.issue('mail.example.org')
        tickets = os.path.join(self.folder, 'tickets')
        with open(tickets, 'w') as file:
            file.write(base64.b64encode(secrets.token_bytes(80)).decode() + '\n')
        tls = {'certificate': certificate, 'key': key, 'ticket_keys': tickets, 'cookie': secrets.token_hex(32)}
        self.context = ssl.create_default_context(cafile=authority.file)
        people = ''.join(ldif(f'uid={login.split("@")[0]},{PEOPLE}', objectClass=['inetOrgPerson', 'inetLocalMailRecipient'],
                              cn='x', sn='x', uid=login.split('@')[0], mail=login, mailHost=self.home[login],
                              userPassword=PASSWORD) for login in USERS)
        first = (ldif(SUFFIX, objectClass='domain', dc='example') + ldif(PEOPLE, objectClass='organizationalUnit', ou='people')
                 + ldif(PROXY_DN, objectClass=['applicationProcess', 'simpleSecurityObject'], cn='proxy',
                        userPassword=PROXY_PASSWORD))
        self.directories = [Directory(name, self.folder) for name in DIRECTORIES]
        self.directories[0].fill(first + people)
        for directory in self.directories:
            directory.start()
        wait_for('replication', lambda: self.directories[1].host_of(USERS[-1]))
        self.nodes = {name: Node(name, self.folder, None) for name in NODES}
        for node in self.nodes.values():
            node.start()
        self.webmail = [Webmail(name) for name in NODES]
        self.fronts = {name: Front(name, self.folder, tls) for name in FRONTS}
        for front in self.fronts.values():
            front.start()
        path = os.path.join(self.folder, 'haproxy.cfg')
        with open(path, 'w') as file:
            file.write(BALANCER.format(**{name: address(name) for name in HOSTS}))
        with open(os.path.join(self.folder, 'haproxy.log'), 'w') as log:
            self.balancer = start('lb', '/usr/sbin/haproxy', '-W', '-db', '-f', path, log=log)
        wait_for('HAProxy', lambda: answers('lb', 143))

    def stop(self):
        self.ends = True
        for name in HOSTS:
            done = subprocess.run(['ip', 'netns', 'pids', PREFIX + name], capture_output=True, text=True)
            for pid in done.stdout.split():
                if int(pid) != os.getpid():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
        drop_network()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- the story ----

    def hold_sessions(self):
        """Every user has a session that stays, at every time but when one has just ended."""
        with inside('client'):
            there = {held.user for held in self.held if not held.ended}
            for user in USERS:
                if user not in there:
                    self.held.append(Held(user, self))
                    self.held[-1].start()
        self.held = [held for held in self.held if not held.ended]

    @contextlib.contextmanager
    def chapter(self, title, fronts=(), node=None, login=None, seconds=2):
        """What happens in the body, and SECONDS more. Sessions may end, and logins fail, of these front
        ends, this node or this login only. Who has been given a front end by the balancer, but not heard
        of it yet, may lose that, once or twice."""
        self.hold_sessions()
        self.reset()
        yield
        time.sleep(seconds)
        ended = [held for held in self.held if held.ended]
        with self.lock:
            failures, wrong, logins, slowest = list(self.failures), list(self.wrong), self.logins, self.slowest
        beyond = [f'session of {held.user} at {held.front} and {held.node} ended: {held.why}' for held in ended
                  if not (held.front in fronts or held.node == node or held.user == login)]
        unheard = [failure for failure in failures if failure[1] is None]
        excused = unheard if fronts and len(unheard) <= 2 * LOADS else []
        beyond += [f'login of {user} at {where} failed: {why}' for user, where, why in failures
                   if not (where in fronts or self.home[user] == node or user == login)
                   and (user, where, why) not in excused]
        beyond += [f'routed wrong: {words}' for words in wrong]
        beyond += [] if logins else ['nobody logged in']
        self.good &= not beyond
        print(f'{"ok    " if not beyond else "NOT OK"} {title}: {logins} logins, {len(failures)} failed, slowest '
              f'{slowest:.1f} s; {len(ended)} of {len(self.held)} sessions ended', flush=True)
        for words in beyond[:10] or sorted({f'login failed: {why}' for _, _, why in failures}):
            print(f'         {words}', flush=True)

    def resume(self):
        """TLS is resumed, and a cookie believed, by the front end that did not make them."""
        with inside('client'):
            first = Imap(self.context, 1993, 'front1')
            session = first.sock.session
            first.close()
            again = Imap(self.context, 1993, 'front2', session)
            resumed = again.sock.session_reused
            again.close()
            browser = Browser(80)
            browser.ask = ask_at(browser, 'front1')
            status = browser.login(USERS[0], PASSWORD).status
            inbox = f'inbox on {self.home[USERS[0]]}: /inbox'
            browser.ask = ask_at(browser, 'front2')
            believed = status == 303 and browser.get('/inbox').text == inbox
        self.good &= resumed and believed
        print(f'{"ok    " if resumed and believed else "NOT OK"} the other front end: TLS '
              f'{"resumed" if resumed else "not resumed"}, webmail cookie {"believed" if believed else "not believed"}')

    def story(self):
        front1, front2 = self.fronts.values()
        for number in range(LOADS):
            Load(number, self).start()
        with self.chapter('nothing happens'):
            pass
        self.resume()
        with self.chapter('front1 is killed', fronts=['front1'], seconds=3):
            front1.kill()
        with self.chapter('front1 comes back'):
            front1.start()
        with self.chapter('dir1 is killed', seconds=4):
            self.directories[0].kill()
        with self.chapter('a login moves meanwhile', login=USERS[3]):
            self.move(USERS[3], 'node2', self.directories[1])
        with self.chapter('dir1 comes back'):
            self.directories[0].start()
            wait_for('replication', lambda: self.directories[0].host_of(USERS[3]) == 'node2')
        with self.chapter('node1 is killed', node='node1', seconds=10):
            self.nodes['node1'].kill()
        self.nodes['node1'].start()
        with inside('client'):
            wait_for('node1', lambda: all('node1' in front.order('status') and self.is_up(front, 'node1')
                                          for front in self.fronts.values()))
        with self.chapter('node1 is back'):
            pass
        with self.chapter('the cable of front2 is pulled', fronts=['front2'], seconds=4):
            cable('front2', False)
        with self.chapter('it is plugged in again'):
            cable('front2', True)
            wait_for('front2', lambda: ready('front2'))
        with self.chapter('node3 is drained, and undrained: its logins wait'):
            for front in self.fronts.values():
                front.order('drain', 'node3')
            time.sleep(2)
            for front in self.fronts.values():
                front.order('undrain', 'node3')
        with self.chapter('a login moves to another node', login=USERS[4]):
            self.move(USERS[4], 'node3', self.directories[0])
        with self.chapter('front1 is upgraded', seconds=1):
            front1.upgrade()
        with self.chapter('both are upgraded, and the old processes end', fronts=FRONTS, seconds=9):
            front2.upgrade()
        self.resume()
        return self.good

    @staticmethod
    def is_up(front, node):
        told = json.loads(front.order('--json', 'status'))
        return all(entry['up'] for entry in told['nodes'] if entry['node'] == node)

    def move(self, login, node, directory):
        """As an operator does it: hold, move the mailbox, tell the directory, release."""
        with self.lock:
            self.moving[login] = self.home[login]
        for front in self.fronts.values():
            front.order('hold', login)
        time.sleep(1)  # the mailbox is copied
        with self.lock:
            self.home[login] = node
        directory.move(login, node)
        for front in self.fronts.values():
            front.order('release', login)
        time.sleep(1)
        with self.lock:
            del self.moving[login]


def ask_at(browser, host):
    """The browser's ask, at HOST."""
    def ask(method, target, body=None, **headers):
        real = socket.create_connection
        socket.create_connection = lambda where, *how: real((address(host), 80), *how)
        try:
            return Browser.ask(browser, method, target, body, **headers)
        finally:
            socket.create_connection = real
    return ask


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--check', action='store_true')
    check = parser.parse_args().check
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    cluster = Cluster()
    try:
        cluster.start()
        good = cluster.story()
        print('as it should be' if good else 'NOT as it should be')
        if not check:
            print(f'The folder is {cluster.folder}; ip netns exec {PREFIX}client bash is a shell on the client. Ctrl-C ends it.')
            signal.pause()
        return 0 if good else 1
    except KeyboardInterrupt:
        return 0
    finally:
        cluster.stop()


if __name__ == '__main__':
    sys.exit(main())
