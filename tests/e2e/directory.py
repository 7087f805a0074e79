# SPDX-License-Identifier: ISC
"""A real slapd as a directory: an instance of its own in a temporary folder, on loopback, with a
schema and a database of its own, and what it was asked as events to wait for.

People are below PEOPLE; PROXY_DN may read their stored passwords, others may only bind with them.
Changes go through the administrator's socket file, whose connections are no events.
"""
import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

from proxyd import MASTER, PASSWORD, fits
from wire import PATIENCE, free_port, freeze

SUFFIX = 'dc=example,dc=org'
PEOPLE = f'ou=people,{SUFFIX}'
PROXY_DN, PROXY_PASSWORD = f'cn=proxy,{SUFFIX}', MASTER
ROOT_DN, ROOT_PASSWORD = f'cn=root,{SUFFIX}', 'root'

# 1.3.6.1.4.1.4203.666 is for experiments. testKey takes any bytes and compares them as they are;
# unlike mailHost, testHost may have several values. Then come Active Directory's, by its names.
CONFIGURATION = '''
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/misc.schema
objectidentifier test 1.3.6.1.4.1.4203.666.1000
objectidentifier syntax 1.3.6.1.4.1.1466.115.121.1
attributetype ( test:1 NAME 'testKey' EQUALITY octetStringMatch SYNTAX syntax:40 )
attributetype ( test:2 NAME 'testHost' EQUALITY caseExactMatch SYNTAX syntax:15 )
attributetype ( test:3 NAME 'testLogin' EQUALITY caseExactMatch SYNTAX syntax:15 )
attributetype ( test:4 NAME 'testHold' EQUALITY booleanMatch SYNTAX syntax:7 SINGLE-VALUE )
objectclass ( test:9 NAME 'testUser' SUP top AUXILIARY MAY ( testKey $ testHost $ testLogin $ testHold ) )
attributetype ( test:11 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch SYNTAX syntax:15 SINGLE-VALUE )
attributetype ( test:12 NAME 'userPrincipalName' EQUALITY caseIgnoreMatch SYNTAX syntax:15 SINGLE-VALUE )
attributetype ( test:13 NAME 'extensionAttribute1' EQUALITY caseIgnoreMatch SYNTAX syntax:15 SINGLE-VALUE )
objectclass ( test:19 NAME 'user' SUP inetOrgPerson STRUCTURAL
  MUST sAMAccountName MAY ( userPrincipalName $ extensionAttribute1 ) )
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload pw-sha2
moduleload argon2
pidfile {folder}/pid
idletimeout {idle_timeout}
{tls}
database mdb
suffix "{suffix}"
rootdn "{root}"
rootpw {root_password}
directory {folder}/data
maxsize 16777216
dbnosync
index mail,uid eq
access to attrs=userPassword {password_readers} by anonymous auth by * none
access to * by {readers} read by * none
'''

# What a line of slapd's log says: its fields, and which kind of event it is.
EVENTS = [(kind, re.compile(r'conn=(?P<conn>\d+) ' + pattern)) for kind, pattern in (
    ('accept', r'fd=\d+ ACCEPT from (?P<client>\S+) \((?P<listener>.*)\)$'),
    ('bind', r'op=(?P<op>\d+) BIND dn="(?P<dn>.*)" method=128$'),
    ('search', r'op=(?P<op>\d+) SRCH base="(?P<base>.*?)" scope=(?P<scope>\d) deref=\d filter="(?P<filter>.*)"$'),
    ('attributes', r'op=(?P<op>\d+) SRCH attr=(?P<names>.*)$'),
    ('result', r'op=(?P<op>\d+) (?:SEARCH )?RESULT tag=(?P<tag>\d+) err=(?P<code>\d+) '),
    ('abandon', r'op=(?P<op>\d+) ABANDON msg=(?P<message>\d+)$'),
    ('starttls', r'op=(?P<op>\d+) STARTTLS$'),
    ('closed', r'fd=\d+ closed'))]


def ldif(dn, **attributes):
    """An entry. A value is text or bytes, or a list of such, or None for none."""
    lines = [('dn', dn)]
    for name, values in attributes.items():
        values = values if isinstance(values, list) else [] if values is None else [values]
        lines += [(name, value) for value in values]
    return ''.join(f'{name}:: {encode(value)}\n' for name, value in lines) + '\n'


def encode(value):
    return base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()


def escape_dn(value):
    """A value for a DN (RFC 4514), every special byte in hex."""
    return ''.join(c if c.isascii() and c.isalnum() else ''.join(f'\\{byte:02x}' for byte in c.encode())
                   for c in value)


def find(name):
    path = shutil.which(name, path=os.environ.get('PATH', '') + ':/usr/sbin')
    if not path:
        raise FileNotFoundError(f'{name} is not installed')
    return path


def hashed(scheme, password=PASSWORD):
    """PASSWORD as slappasswd, or for {CRYPT} libcrypt, stores it."""
    if scheme == '{CRYPT}':
        command = ['openssl', 'passwd', '-6', '-stdin']
    else:
        module = 'argon2' if scheme == '{ARGON2}' else 'pw-sha2'
        command = [find('slappasswd'), '-o', f'module-load={module}', '-n', '-h', scheme, '-T', '/dev/stdin']
    made = subprocess.run(command, input=password, capture_output=True, text=True, check=True).stdout.strip()
    return scheme + made if scheme == '{CRYPT}' else made


class Slapd:
    """CERTIFICATE: as issued, for StartTLS and ldaps. ACTIVE_DIRECTORY: people are as there, nobody
    may search without a bind, and nobody sees stored passwords. IDLE_TIMEOUT (seconds): when it
    closes idle connections."""

    def __init__(self, folder, certificate=None, active_directory=False, idle_timeout=0):
        self.folder, self.active_directory = folder, active_directory
        self.port, self.ldaps_port = free_port(), free_port() if certificate else None
        os.makedirs(os.path.join(folder, 'data'))
        tls = 'TLSCertificateFile {}\nTLSCertificateKeyFile {}'.format(*certificate) if certificate else ''
        self.write('slapd.conf', CONFIGURATION.format(
            folder=folder, suffix=SUFFIX, root=ROOT_DN, root_password=ROOT_PASSWORD, tls=tls,
            idle_timeout=idle_timeout, readers='users' if active_directory else '*',
            password_readers='' if active_directory else f'by dn.exact="{PROXY_DN}" read'))
        self.write('first.ldif', ldif(SUFFIX, objectClass='domain', dc='example')
                   + ldif(PEOPLE, objectClass='organizationalUnit', ou='people')
                   + ldif(PROXY_DN, objectClass=['applicationProcess', 'simpleSecurityObject'], cn='proxy',
                          userPassword=PROXY_PASSWORD))
        self.url = f'ldap://127.0.0.1:{self.port}'
        self.ldaps_url = f'ldaps://127.0.0.1:{self.ldaps_port}' if certificate else None
        self.ldapi_url = self.socket_url('ldapi')
        self.lines, self.found, self.news, self.process = [], [], threading.Condition(), None
        self.hidden, self.visits = set(), 0  # the administrator's connections, now and ever

    def write(self, name, content):
        with open(os.path.join(self.folder, name), 'w') as file:
            file.write(content)

    def socket_url(self, name):
        return 'ldapi://' + urllib.parse.quote(os.path.join(self.folder, name), safe='')

    def connector(self, **more):
        """A connector of proxyd's configuration that asks this directory."""
        return {'servers': [self.url], 'bind_dn': PROXY_DN, 'bind_password': PROXY_PASSWORD,
                'search_base': PEOPLE, **more}

    # ---- the process ----

    def run(self, name, *arguments, stdin=''):
        done = subprocess.run([find(name), *arguments], input=stdin, capture_output=True, text=True,
                              env={**os.environ, 'LDAPNOINIT': '1'}, timeout=PATIENCE)
        assert done.returncode == 0, f'{name}: {done.stderr}'
        return done.stdout

    def start(self):
        if not os.listdir(os.path.join(self.folder, 'data')):
            self.run('slapadd', '-q', '-f', os.path.join(self.folder, 'slapd.conf'),
                     '-l', os.path.join(self.folder, 'first.ldif'))
        urls = [self.url, self.ldaps_url, self.ldapi_url, self.socket_url('admin')]  # they begin in this order
        self.process = subprocess.Popen(
            ['setpriv', '--pdeathsig', 'KILL', find('slapd'), '-d', 'stats', '-f',
             os.path.join(self.folder, 'slapd.conf'), '-h', ' '.join(url for url in urls if url)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        self.reader = threading.Thread(target=self.read_log, daemon=True)
        self.reader.start()
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError('slapd does not start:\n' + '\n'.join(self.lines))
            time.sleep(0.005)
        return self

    def answers(self):
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(os.path.join(self.folder, 'admin')) == 0

    def stop(self):
        """Ends it; its data and its ports stay, so that it can be started again."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.reader.join(PATIENCE)
            self.process.stderr.close()
            self.process = None

    def pause(self):
        """It is there, and takes connections, but does nothing any more."""
        freeze(self.process.pid)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    # ---- its data ----

    def change(self, words):
        self.run('ldapmodify', '-x', '-H', self.socket_url('admin'), '-D', ROOT_DN, '-w', ROOT_PASSWORD, stdin=words)

    def dn(self, name):
        return f'{"cn" if self.active_directory else "uid"}={escape_dn(name)},{PEOPLE}'

    def add(self, name, under=PEOPLE, **attributes):
        """A user called NAME, mail NAME@example.org, with PASSWORD and what ATTRIBUTES say."""
        values = {'cn': name, 'sn': name, 'userPassword': PASSWORD}
        if self.active_directory:
            values.update(objectClass='user', sAMAccountName=name, userPrincipalName=f'{name}@example.org')
        else:
            values.update(objectClass=['inetOrgPerson', 'inetLocalMailRecipient', 'testUser'], uid=name,
                          mail=f'{name}@example.org')
        self.insert(self.dn(name).replace(PEOPLE, under), **{**values, **attributes})

    def insert(self, dn, **attributes):
        self.change(ldif(dn, changetype='add', **attributes))

    def modify(self, name, **attributes):
        """Replaces the attributes of the user called NAME; None removes one."""
        for key, values in attributes.items():
            self.change(ldif(self.dn(name), changetype='modify', replace=key, **{key: values}))

    def delete(self, name):
        self.change(ldif(self.dn(name), changetype='delete'))

    # ---- what it was asked ----

    def read_log(self):
        for line in self.process.stderr:
            with self.news:
                self.lines.append(line.decode('utf-8', 'backslashreplace').rstrip('\n'))
                self.take(self.lines[-1])
                self.news.notify_all()

    def take(self, line):
        for kind, pattern in EVENTS:
            fields = pattern.search(line)
            if fields:
                event = {'event': kind, **fields.groupdict()}
                if kind == 'accept':
                    self.hidden.discard(event['conn'])
                    if event['listener'].endswith('/admin'):
                        self.hidden.add(event['conn'])
                        self.visits += 1
                if event['conn'] not in self.hidden:
                    self.found.append(event)
                return

    def settle(self):
        """Returns when the log of all that it has answered has been read."""
        with self.news:
            visits = self.visits
            assert self.answers()  # one visit more
            self.wait_for(lambda: self.visits > visits, 'visitor')

    def wait_for(self, condition, what):
        if not self.news.wait_for(condition, PATIENCE):
            raise AssertionError(f'slapd has seen no {what}:\n' + '\n'.join(self.lines[-60:]))

    def forget(self):
        """Forgets the events so far."""
        self.settle()
        with self.news:
            self.found.clear()

    def seen(self, event, wanted):
        return [fields for fields in self.found if fits(fields, event, wanted)]

    def events(self, event, **wanted):
        """All searches, binds ... so far with these fields (a value's trailing ... is any rest)."""
        self.settle()
        with self.news:
            return self.seen(event, wanted)

    def wait(self, event, count=1, **wanted):
        """Waits until there are COUNT such events; returns the last one."""
        with self.news:
            self.wait_for(lambda: len(self.seen(event, wanted)) >= count, f'{event} {wanted}')
            return self.seen(event, wanted)[-1]
