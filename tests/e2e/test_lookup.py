# SPDX-License-Identifier: ISC
"""proxyctl lookup: where a login lives, and why; to people, to scripts, and by its exit status."""
import base64
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
import unittest

from case import Case, authority, start
from directory import PEOPLE, PROXY_PASSWORD, Slapd, hashed
from forwarder import Forwarder, Pair
from proxyd import BINARY, MASTER, PASSWORD, WRONG, Proxyd
from wire import PATIENCE

PROGRAM = os.path.join(os.path.dirname(BINARY), 'proxyctl')
OK, NO, USAGE, TEMPORARY, CONFIG = 0, 1, 64, 75, 78


def run(*args, stdin='', **how):
    return subprocess.run([PROGRAM, *args], input=stdin, capture_output=True, text=True, timeout=PATIENCE, **how)


class Base(Case):
    def lookup(self, p, *args, status=OK, **how):
        """The lines that people see. Never is a password among them."""
        done = run('-c', p.path, 'lookup', *args, **how)
        Proxyd.assert_discreet(done.stdout + done.stderr)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout.split('\n')[:-1]

    def answer(self, p, *args, service='imap', **how):
        """What scripts see, of one service."""
        found = json.loads('\n'.join(self.lookup(p, '--json', '--service', service, *args, **how)))
        self.assertEqual(found['login'], args[-1])
        return found['services'][0]

    def has(self, values, **wanted):
        self.assertEqual({key: values[key] for key in wanted}, wanted)


class CommandLine(Base):
    def test_usage(self):
        for args in ([], ['lookup'], ['bob'], ['lookup', 'bob', 'carol'], ['status', 'bob'], ['lookup', '--servic'],
                     ['lookup', '--nonsense', 'bob'], ['lookup', 'bob', '-c'], ['-s', 'socket', 'lookup', 'bob']):
            done = run(*args)
            self.assertEqual((done.returncode, done.stdout), (USAGE, ''), args)
            self.assertIn('usage: proxyctl', done.stderr)

    def test_options_stand_anywhere(self):
        p = self.new_proxyd('bob 10.0.0.1')
        words = ['-c', p.path], ['--json'], ['--service', 'imap'], ['lookup'], ['bob']
        outputs = {run(*sum(words[n:] + words[:n], [])).stdout for n in (0, 1, 2, 3)}
        self.assertEqual(len(outputs), 1)
        self.assertEqual(json.loads(outputs.pop())['services'][0]['route']['host'], '10.0.0.1')
        self.assertEqual(run('-c', p.path, 'lookup', '--service=imap', '--', '-bob').returncode, NO)

    def test_an_unknown_service(self):
        p = self.new_proxyd('bob 10.0.0.1')
        done = run('-c', p.path, 'lookup', '--service', 'imao', 'bob')
        self.assertEqual((done.returncode, done.stdout), (USAGE, ''))
        self.assertEqual(done.stderr, "proxyctl: there is no service 'imao'; did you mean 'imap'? "
                                      '(services: imap pop3)\n')

    def test_an_error_in_the_configuration(self):
        p = self.new_proxyd('bob 10.0.0.1', global_={'hostnam': 'x'}, imap={'maps': ['lokal']})
        done, checked = run('-c', p.path, 'lookup', 'bob'), subprocess.run(
            [BINARY, '-c', p.path, '-t'], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (CONFIG, ''))
        self.assertEqual(done.stderr, checked.stderr)
        self.assertEqual(done.stderr.count(': error: '), 2)
        self.assertEqual(run('-c', '/nowhere', 'lookup', 'bob').returncode, CONFIG)

    def test_warnings_go_elsewhere(self):
        p = self.new_proxyd(f'bob 10.0.0.1 password={PASSWORD}')
        done = run('-c', p.path, 'lookup', '--json', 'bob')
        self.assertEqual(done.returncode, OK)
        self.assertIn('warning: there are passwords in a file that everybody can read', done.stderr)
        json.loads(done.stdout)

    @unittest.skipIf(os.getuid(), 'only root can become somebody else')
    def test_somebody_who_may_not_read_the_secrets(self):
        p = self.new_proxyd('bob 10.0.0.1')
        os.chmod(p.map_file, 0o600)
        program = shutil.copy(PROGRAM, self.folder)  # where he may go
        done = subprocess.run([program, '-c', p.path, 'lookup', 'bob'], capture_output=True, text=True, timeout=PATIENCE,
                              user=65534, group=65534, extra_groups=[])
        self.assertEqual((done.returncode, done.stdout), (CONFIG, ''))
        self.assertIn(f'{p.map_file}: Permission denied', done.stderr)

    def test_an_answer_that_cannot_be_written(self):
        p = self.new_proxyd('bob 10.0.0.1')
        with open('/dev/full', 'w') as full:
            done = subprocess.run([PROGRAM, '-c', p.path, 'lookup', 'bob'], stdout=full, stderr=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 74)


class FileMaps(Base):
    USERS = '''# login
alice@example.org  node1
bob@example.org    node2:1143  login=bob.b
carol@example.org  node1  hold
dave@example.org   node2  hold login=d
@example.net       ::1
unix@example.org   unix:/run/imap
'''
    NODES = {'node1': {'address': '10.0.0.11', 'ports': {'imap': 144}}, 'node2': {'address': 'back.example.org'}}

    def configured(self, users=USERS, **sections):
        return self.new_proxyd(users, nodes=self.NODES, **{'global_': {'default_domain': 'example.org'}, **sections})

    def test_for_people(self):
        p = self.configured(imap={'backend': {'tls': 'starttls'}})
        self.assertEqual(self.lookup(p, 'bob'), f'''\
service imap, login bob
map local (file): found: line 3 of {p.map_file}
route: node2 at back.example.org:1143
    tls           starttls, certificate verified
    login         bob.b

service pop3, login bob
map local (file): found: line 3 of {p.map_file}
route: node2 at back.example.org:1143
    tls           none
    login         bob.b'''.split('\n'))

    def test_one_service(self):
        p = self.configured()
        self.assertEqual(self.lookup(p, '--service', 'pop3', 'Alice@Example.org'), f'''\
service pop3, login Alice@Example.org
map local (file): found: line 2 of {p.map_file}
route: node1 at 10.0.0.11:110
    tls           none
    login         Alice@Example.org'''.split('\n'))

    def test_for_scripts(self):
        p = self.configured()
        self.assertEqual(self.answer(p, 'alice'), {
            'service': 'imap', 'password': None, 'password_reason': None, 'client_told': None, 'reason': 'found',
            'maps': [{'map': 'local', 'type': 'file', 'result': 'found', 'reason': f'line 2 of {p.map_file}'}],
            'route': {'node': 'node1', 'host': '10.0.0.11', 'port': 144, 'tls': 'none', 'login': 'alice',
                      'master_user': None, 'hold': False, 'failover': False}})

    def test_kinds_of_hosts(self):
        p = self.configured()
        self.assertIn('route: [::1]:143', self.lookup(p, '--service', 'imap', 'x@example.net'))
        self.assertIn('route: unix:/run/imap', self.lookup(p, '--service', 'imap', 'unix'))
        self.has(self.answer(p, 'unix')['route'], host='unix:/run/imap', port=None)

    def test_tls_to_the_node(self):
        p = self.configured(imap={'backend': {'tls': 'implicit', 'verify': False}})
        self.assertIn('    tls           implicit, certificate not verified', self.lookup(p, 'alice'))
        self.has(self.answer(p, 'alice')['route'], tls='implicit')

    def test_hold(self):
        p = self.configured(imap={'backend': {'queue_timeout': '7s'}})
        lines = self.lookup(p, '--service', 'imap', 'carol')
        self.assertIn('route: node1 at 10.0.0.11:144', lines)
        self.assertIn('    hold          the mailbox is on hold: new logins wait for its end, 7 s at most', lines)
        self.has(self.answer(p, 'dave')['route'], node='node2', host='back.example.org', port=143, login='d', hold=True)

    def test_nobody_knows_the_login(self):
        p = self.configured()
        self.assertEqual(self.lookup(p, 'nobody', status=NO)[:4], [
            'service imap, login nobody',
            f'map local (file): not found: no entry for nobody@example.org in {p.map_file}',
            'no route: no map knows the login',
            'the client is told: NO [AUTHENTICATIONFAILED] Authentication failed'])
        answer = self.answer(p, 'nobody', service='pop3', status=NO)
        self.has(answer, route=None, reason='no map knows the login',
                 client_told='-ERR [AUTH] Authentication failed')
        self.has(answer['maps'][0], result='not_found')

    def test_failover(self):
        p = self.configured(imap={'failover': 'node1'}, pop3={'failover': 'node1', 'authentication': 'proxy'})
        lines = self.lookup(p, '--service', 'imap', 'nobody')
        self.assertIn('route: node1 at 10.0.0.11:144', lines)
        self.assertIn('    failover      no map knows the login', lines)
        self.has(self.answer(p, 'nobody')['route'], failover=True, node='node1')
        self.assertEqual(self.lookup(p, '--service', 'pop3', 'nobody', status=NO)[2:], [
            'no route: no map knows the login, and with authentication: proxy there is no failover',
            'the client is told: -ERR [AUTH] Authentication failed'])

    def test_the_worst_service_is_the_status(self):
        p = self.configured(imap={'failover': 'node1'})
        self.assertIn('no route: no map knows the login', self.lookup(p, 'nobody', status=NO))

    def test_a_service_without_maps(self):
        p = self.configured(imap={'maps': [], 'failover': 'node1'})
        self.assertEqual(self.lookup(p, '--service', 'imap', 'bob')[:2],
                         ['service imap, login bob', 'route: node1 at 10.0.0.11:144'])
        self.has(self.answer(p, 'bob'), maps=[])

    def test_later_maps_are_not_asked(self):
        p = self.configured()
        other = p.write('other.map', 'erin@example.org node1\n')
        p.configure(maps={'other': {'type': 'file', 'path': other}}, imap={'maps': ['local', 'other']})
        self.assertEqual(self.lookup(p, '--service', 'imap', 'bob')[1:3], [
            f'map local (file): found: line 3 of {p.map_file}', 'map other (file): not asked'])
        self.assertEqual(self.lookup(p, '--service', 'imap', 'erin')[1:3], [
            f'map local (file): not found: no entry for erin@example.org in {p.map_file}',
            f'map other (file): found: line 1 of {other}'])
        self.has(self.answer(p, 'bob')['maps'][1], map='other', result='not_asked', reason=None)

    def test_logins_that_are_never_looked_up(self):
        p = self.configured('* 10.0.0.1')
        for login in ('', 'bob\n', '\x1b[2J', 'x' * 256):
            lines = self.lookup(p, login, status=NO)
            self.assertEqual(lines, ['a login that is empty, longer than 255 bytes or has a control character '
                                     'is never looked up'])
        done = run('-c', p.path, 'lookup', '--json', '\x1b[2J')
        self.assertEqual(done.returncode, NO)
        self.has(json.loads(done.stdout), login='\x1b[2J', services=[], reason=lines[0])
        self.lookup(p, 'x' * 255)

    def test_what_a_terminal_would_obey(self):
        p = self.configured('* 10.0.0.1')
        login = 'b\N{LATIN SMALL LETTER O WITH DIAERESIS}b'.encode() + b'\xc2\x9b31m\xff'
        done = subprocess.run([PROGRAM, '-c', p.path, 'lookup', '--service', 'imap', login], capture_output=True)
        self.assertIn('service imap, login b\xf6b\\c2\\9b31m\\ff\n'.encode(), done.stdout)
        done = subprocess.run([PROGRAM, '-c', p.path, '--json', 'lookup', login], capture_output=True)
        self.assertEqual(json.loads(done.stdout)['login'], 'b\xf6b\\c2\\9b31m\\ff')


class Passwords(Base):
    def configured(self, **sections):
        return self.new_proxyd(f'bob 10.0.0.1 password="{hashed("{SSHA512}")}"\ncarol 10.0.0.1\n', **sections)

    def password(self, p, login, password, status=OK, service='imap'):
        lines = self.lookup(p, '--password-stdin', '--service', service, login, stdin=password, status=status)
        answer = self.answer(p, '--password-stdin', login, stdin=password, status=status, service=service)
        return next(line for line in lines if line.startswith('password: ')), answer

    def test_right(self):
        p = self.configured(pop3={'authentication': 'proxy'})
        for service in 'imap', 'pop3':
            for end in '', '\n', '\nmore\n':
                line, answer = self.password(p, 'bob', PASSWORD + end, service=service)
                self.assertEqual(line, 'password: right')
                self.has(answer, password='right', password_reason=None, client_told=None)

    def test_a_line_is_enough(self):
        """The other side need not close the pipe."""
        command = [PROGRAM, '-c', self.configured().path, 'lookup', '--password-stdin', 'bob']
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True) as process:
            process.stdin.write(PASSWORD + '\n')
            process.stdin.flush()
            self.assertEqual(process.wait(PATIENCE), OK)
            self.assertIn('password: right\n', process.stdout.read())

    def test_wrong(self):
        p = self.configured(pop3={'authentication': 'proxy'})
        for service, told in ('imap', None), ('pop3', '-ERR [AUTH] Authentication failed'):
            line, answer = self.password(p, 'bob', WRONG + '\n', NO, service)
            self.assertEqual(line, 'password: wrong')
            self.has(answer, password='wrong', client_told=told)
            self.has(answer['route'], host='10.0.0.1')

    def test_never_tried(self):
        p = self.configured()
        for password in '', '\n', 'a\rb', 'x' * 8193, 'x' * 100000:
            line, answer = self.password(p, 'bob', password, NO)
            self.assertEqual(line, 'password: wrong: it is empty, too long or has a control character, '
                                   'and is never tried')
            self.has(answer, password='wrong', client_told='NO [AUTHENTICATIONFAILED] Authentication failed')
            self.has(answer['maps'][0], result='found')

    def test_the_entry_has_none(self):
        p = self.configured(pop3={'authentication': 'proxy'})
        line, answer = self.password(p, 'carol', PASSWORD)
        self.assertEqual(line, 'password: cannot be checked here: the entry has no password')
        self.has(answer, password='unchecked', password_reason='the entry has no password', client_told=None)
        self.has(answer['route'], host='10.0.0.1')
        line, answer = self.password(p, 'carol', PASSWORD, NO, 'pop3')
        self.has(answer, password='unchecked', route=None, client_told='-ERR [AUTH] Authentication failed')

    def test_proxy_needs_one_in_the_entry(self):
        """Also where no password was given to be checked."""
        p = self.configured(pop3={'authentication': 'proxy'})
        self.assertIn('no route: the entry has no password, and with authentication: proxy it needs one',
                      self.lookup(p, '--service', 'pop3', 'carol', status=NO))
        self.lookup(p, '--service', 'pop3', 'bob')

    def test_nobody_knows_the_login(self):
        p = self.configured(imap={'failover': '10.0.0.9:143'})
        line, answer = self.password(p, 'nobody', PASSWORD)
        self.assertEqual(line, 'password: cannot be checked here: no map knows the login')
        self.has(answer['route'], host='10.0.0.9', failover=True)
        self.assertEqual(self.password(p, 'nobody', PASSWORD, NO, 'pop3')[1]['password'], 'unchecked')

    def test_master(self):
        p = self.configured(imap={'authentication': 'proxy', 'backend': {
            'login': 'master', 'master_user': 'proxy', 'master_password': MASTER, 'tls': 'implicit'}})
        self.assertIn('    master user   proxy', self.lookup(p, '--service', 'imap', 'bob'))
        self.has(self.answer(p, 'bob')['route'], master_user='proxy', login='bob')


# ---- directories ----

KINDS = 'ldap_password', 'ldap_bind'


def paste(line, stdin=''):
    """Into the shell of somebody without a terminal: passwords are asked of STDIN."""
    return subprocess.run(['sh', '-c', line], input=stdin, capture_output=True, text=True, timeout=PATIENCE,
                          start_new_session=True)


def escape(value):
    return re.sub(r'[\x00-\x1f]', lambda control: f'\\{ord(control[0]):02x}', value)


class OverLdap(Base):
    """bob in a directory, asked by the service imap behind a file map that does not know him."""
    certificate, active_directory = None, False

    @classmethod
    def setUpClass(cls):
        cls.directory = start(cls, Slapd, certificate=cls.certificate and cls.certificate(),
                              active_directory=cls.active_directory)

    def setUp(self):
        super().setUp()
        self.directory.forget()

    def add(self, name, **attributes):
        self.directory.add(name, **attributes)
        self.addCleanup(self.directory.delete, name)

    @contextlib.contextmanager
    def user(self, name, **attributes):
        self.directory.add(name, **attributes)
        try:
            yield
        finally:
            self.directory.delete(name)

    def configured(self, kind='ldap_password', service=None, **connector):
        """A configuration whose bind password is in a file, unless it is given."""
        p = self.new_proxyd('alice@example.org 10.0.0.1\n', imap={'maps': ['local', 'staff'], **(service or {})},
                            maps={'staff': {'type': kind, 'connector': 'corp'}})
        secret = p.write('corp.secret', PROXY_PASSWORD + '\n')
        os.chmod(secret, 0o600)
        p.configure(ldap={'corp': self.directory.connector(**{
            'timeout': '3s', 'bind_password': f'${{file:{secret}}}', **connector})})
        return p

    def asked(self, p, *args, **how):
        """The answer of the map over LDAP, and that of the service; both forms say the same."""
        lines = self.lookup(p, '--service', 'imap', *args, **how)
        answer = self.answer(p, *args, **how)
        r = answer['maps'][1]
        head = f"map staff ({r['type']}): {r['result'].replace('_', ' ')}: {r['reason']}"
        rows = [line for line in lines[lines.index(head) + 1:] if line.startswith('    ')]
        if r['server']:
            self.assertRegex(rows.pop(0), rf"^    server        {re.escape(r['server'])} \(\d+\.\d ms\)$")
        values = [('dn', r['dn'])] if r['dn'] else []
        values += [(name, value) for name, some in r['attributes'].items() for value in some]
        wanted = [f'    {name:12}  {escape(value)}' for name, value in values]
        wanted += [f'    {command}' for command in (r['ldapsearch'], r['ldapwhoami']) if command]
        self.assertEqual(rows[:len(wanted)], wanted)
        return r, answer

    def entries(self, r, stdin=''):
        """What the ldapsearch command finds: DNs, and values of attributes."""
        done = paste(r['ldapsearch'], stdin)
        self.assertEqual((done.returncode, done.stderr.replace('Enter LDAP Password: ', '')), (0, ''))
        entries = []
        for line in done.stdout.splitlines():
            name, _, value = line.partition(': ')
            if name.endswith(':'):
                name, value = name[:-1], base64.b64decode(value).decode()
            if name == 'dn':
                entries.append((value, {}))
            elif name:
                entries[-1][1].setdefault(name, []).append(value)
        return entries

    def finds(self, r, stdin=''):
        """The ldapsearch command finds what the map has found."""
        (dn, attributes), = self.entries(r, stdin)
        passwords = attributes.pop('userPassword', [])
        self.assertEqual(r['attributes'].pop('userPassword', []),
                         [password.split('}')[0] + '}********' for password in passwords])
        self.has(r, result='found', dn=dn, attributes=attributes)
        return passwords

    def binds(self, r):
        """The ldapwhoami command tells a right password from a wrong one."""
        done = paste(r['ldapwhoami'], PASSWORD + '\n')
        self.assertEqual((done.returncode, done.stdout), (0, f"dn:{r['dn']}\n"), done.stderr)
        self.assertEqual(paste(r['ldapwhoami'], WRONG + '\n').returncode, 49)


class Directories(OverLdap):
    def test_found(self):
        self.add('bob', mailHost='10.0.0.11:1143')
        for kind in KINDS:
            with self.subTest(kind):
                r, answer = self.asked(self.configured(kind), 'bob@example.org')
                self.has(r, reason='one entry', server=self.directory.url, cached=False,
                         attributes={'mailHost': ['10.0.0.11:1143']})
                self.has(answer['route'], host='10.0.0.11', port=1143)
                self.assertEqual(self.finds(r), [])
                if kind == 'ldap_bind':
                    self.binds(r)
                else:
                    self.assertIsNone(r['ldapwhoami'])

    def test_found_earlier(self):
        p = self.configured()
        self.assertEqual(self.lookup(p, '--service', 'imap', 'alice@example.org')[1:3], [
            f'map local (file): found: line 1 of {p.map_file}', 'map staff (ldap_password): not asked'])
        self.assertFalse(self.directory.events('search'))

    def test_attributes(self):
        self.add('bob', mailHost='10.0.0.11', testLogin='b\xf6b', testHold='TRUE')
        p = self.configured(attributes={'login': 'testLogin', 'hold': 'testHold'})
        r, answer = self.asked(p, 'bob@example.org')
        self.finds(r)
        self.has(answer['route'], hold=True, login='b\xf6b', host='10.0.0.11', port=143)

    def test_passwords(self):
        self.add('bob', mailHost='10.0.0.11', userPassword=hashed('{SSHA}'))
        for kind in KINDS:
            for authentication in 'backend', 'proxy':
                with self.subTest(kind=kind, authentication=authentication):
                    p = self.configured(kind, {'authentication': authentication})
                    r, answer = self.asked(p, '--password-stdin', 'bob@example.org', stdin=PASSWORD)
                    self.has(answer, password='right', client_told=None)
                    self.assertEqual(len(self.finds(r)), 1 if kind == 'ldap_password' else 0)
                    r, answer = self.asked(p, '--password-stdin', 'bob@example.org', stdin=WRONG, status=NO)
                    self.has(answer, password='wrong', password_reason=None, client_told=(
                        None if authentication == 'backend' else 'NO [AUTHENTICATIONFAILED] Authentication failed'))
                    self.has(answer['route'], host='10.0.0.11')
                    self.finds(r)

    def test_a_password_that_cannot_be_checked(self):
        self.add('bob', mailHost='10.0.0.11', userPassword='{NONSENSE}x')
        self.add('carol', mailHost='10.0.0.11', userPassword=None)
        for login, reason in (('bob', 'the stored password is of no known scheme'),
                              ('carol', 'the entry has no password')):
            for authentication, status in ('backend', OK), ('proxy', NO):
                p = self.configured(service={'authentication': authentication})
                r, answer = self.asked(p, '--password-stdin', f'{login}@example.org', stdin=PASSWORD, status=status)
                self.has(answer, password='unchecked', password_reason=reason)
                self.has(answer['route'], host='10.0.0.11')
                self.finds(r)

    def test_not_found(self):
        r, answer = self.asked(self.configured(), 'nobody@example.org', status=NO)
        self.has(r, result='not_found', reason=f'no entry for (mail=nobody@example.org) under {PEOPLE}', dn=None)
        self.has(answer, route=None, reason='no map knows the login')
        self.assertEqual(self.entries(r), [])

    def test_ambiguous(self):
        for name in 'one', 'two':
            self.add(name, mail='both@example.org', mailHost='10.0.0.11')
        r, answer = self.asked(self.configured(), 'both@example.org', status=TEMPORARY)
        self.has(r, result='ambiguous', reason='more than one entry matches')
        self.has(answer, route=None, client_told='NO [UNAVAILABLE] Temporary failure, try again later')
        self.assertEqual(len(self.entries(r)), 2)

    def test_no_host(self):
        self.add('bob')
        r, answer = self.asked(self.configured(), 'bob@example.org', status=TEMPORARY)
        self.has(r, result='temporary_failure', reason='the entry has no mailHost', dn=self.directory.dn('bob'))
        self.has(answer, route=None, reason=r['reason'])
        self.assertEqual(self.entries(r), [(self.directory.dn('bob'), {})])

    def test_whatever_a_login_is(self):
        """A shell, a filter and a DN all leave it alone."""
        p = self.configured('ldap_bind', search_filter='(cn=%u)', attributes={'login': 'cn'})
        for name in "o'hara", '$(id)`id`', 'a "b" c', '*)(x=*', '\\5c', '!!', 'j\xf6rg', ' -x;&|<>#~', 'a,b+c=d':
            with self.subTest(name=name), self.user('odd', cn=name, mailHost='10.0.0.11'):
                r, answer = self.asked(p, name)
                self.finds(r)
                self.binds(r)
                self.assertEqual(answer['route']['login'], name)

    def test_whatever_a_dn_is(self):
        p = self.configured('ldap_bind')
        for name in "o'hara", '$(id)`id`', 'a "b" c', '#x', 'a,b+c=d;<e>', 'j\xf6rg', '\x1b[2J':
            with self.subTest(name=name), self.user(name, mail='bob@example.org', mailHost='10.0.0.11'):
                r, _ = self.asked(p, 'bob@example.org')
                self.finds(r)
                self.binds(r)

    def test_a_bind_password_that_is_no_file(self):
        self.add('bob', mailHost='10.0.0.11')
        r, _ = self.asked(self.configured(bind_password=PROXY_PASSWORD), 'bob@example.org')
        self.assertRegex(r['ldapsearch'], ' -W ')
        self.finds(r, PROXY_PASSWORD + '\n')

    def test_without_a_bind(self):
        self.add('bob', mailHost='10.0.0.11')
        r, _ = self.asked(self.configured(bind_dn=None, bind_password=None), 'bob@example.org')
        self.assertNotIn(' -D ', r['ldapsearch'])
        self.finds(r)

    def test_services_together_ask_once(self):
        self.add('bob', mailHost='10.0.0.11')
        p = self.configured()
        p.configure(pop3={'maps': ['staff']})
        found = json.loads('\n'.join(self.lookup(p, '--json', 'bob@example.org')))
        self.assertEqual([answer['maps'][-1]['cached'] for answer in found['services']], [False, False])
        self.assertEqual([answer['route']['port'] for answer in found['services']], [143, 110])
        self.assertEqual(len(self.directory.events('search', filter='(mail=bob@example.org)')), 1)


class OneConnection(Forwarder):
    """Refuses all connections but the first: searches have one, a user's bind has none."""

    def run(self, listener):
        near = listener.accept()[0]
        self.refuse()
        self.pairs.append(Pair(self, near, socket.create_connection(('127.0.0.1', self.target))))
        self.pairs[-1].start()


class Failures(OverLdap):
    def setUp(self):
        super().setUp()
        self.add('bob', mailHost='10.0.0.11')
        self.network = Forwarder(self.directory.port)
        self.addCleanup(self.network.stop)
        self.network.start()

    def test_no_server(self):
        self.network.refuse()
        p = self.configured(servers=[self.network.url])
        lines = self.lookup(p, '--service', 'imap', 'bob@example.org', status=TEMPORARY)
        self.assertIn('map staff (ldap_password): temporary failure: no server answers', lines)
        self.assertRegex('\n'.join(lines), r'\n    server        none answered \(\d+\.\d ms\)\n    .*ldapsearch ')
        self.assertIn('no route: no server answers', lines)
        self.assertIn('the client is told: NO [UNAVAILABLE] Temporary failure, try again later', lines)
        answer = self.answer(p, 'bob@example.org', status=TEMPORARY)
        self.has(answer['maps'][1], result='temporary_failure', server=None)

    def test_the_next_server(self):
        self.network.refuse()
        p = self.configured(servers=[self.network.url, self.directory.url])
        r, _ = self.asked(p, 'bob@example.org')
        self.has(r, server=self.directory.url)
        self.finds(r)
        done = run('-c', p.path, 'lookup', 'bob@example.org')
        self.assertIn(f'event=ldap connector=corp server={self.network.url}', done.stderr)

    def test_a_server_that_says_nothing(self):
        """Neither before the answer nor behind it is the administrator left to wait."""
        self.network.blackhole()
        for kind in KINDS:
            p = self.configured(kind, servers=[self.network.url], timeout='500ms')
            begin = time.monotonic()
            self.lookup(p, '--password-stdin', 'bob@example.org', stdin=PASSWORD, status=TEMPORARY)
            self.assertLess(time.monotonic() - begin, 6)

    def test_a_connection_that_is_never_made(self):
        """What still connects is not waited for."""
        self.network.deafen()
        p = self.configured(servers=[self.network.url, self.directory.url], timeout='8s')
        begin = time.monotonic()
        self.has(self.answer(p, 'bob@example.org')['maps'][1], server=self.directory.url)
        self.assertLess(time.monotonic() - begin, 8)

    def test_a_bind_that_fails(self):
        """The route is told all the same."""
        network = OneConnection(self.directory.port)
        self.addCleanup(network.stop)
        for authentication, told in ('backend', None), ('proxy', 'NO [UNAVAILABLE] Temporary failure, try again later'):
            p = self.configured('ldap_bind', {'authentication': authentication}, servers=[network.start().url])
            answer = self.answer(p, '--password-stdin', 'bob@example.org', stdin=PASSWORD, status=TEMPORARY)
            self.has(answer['maps'][1], result='found')
            self.has(answer, password='unchecked', password_reason='the bind failed: no server answers',
                     client_told=told)
            self.has(answer['route'], host='10.0.0.11')
            network.stop()


class Tls(OverLdap):
    @staticmethod
    def certificate():
        return authority().issue('localhost', 'DNS:localhost,IP:127.0.0.1')

    def test_commands(self):
        self.add('bob', mailHost='10.0.0.11')
        for way in {'servers': [self.directory.ldaps_url]}, {'starttls': True}, {'servers': [self.directory.ldapi_url]}:
            for verify in ({'ca_file': authority().file}, {'verify': False}) if 'ldapi' not in str(way) else ({},):
                with self.subTest(way=way, verify=verify):
                    r, _ = self.asked(self.configured('ldap_bind', **way, **verify), 'bob@example.org')
                    self.finds(r)
                    self.binds(r)


class ActiveDirectory(OverLdap):
    active_directory = True

    def test_logins(self):
        self.add('bob', extensionAttribute1='10.0.0.11')
        p = self.configured('ldap_bind', server_type='active_directory', attributes={'host': 'extensionAttribute1'})
        for login in 'bob', 'bob@example.org', 'EXAMPLE\\bob':
            with self.subTest(login=login):
                r, answer = self.asked(p, '--password-stdin', login, stdin=PASSWORD)
                self.has(answer, password='right')
                self.finds(r)
                self.binds(r)
