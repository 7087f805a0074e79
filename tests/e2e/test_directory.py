# SPDX-License-Identifier: ISC
"""LDAP: maps over a real slapd: what entries say, whose password is right, what is asked, what is
remembered. What becomes of it when servers fail is in test_directory_servers.py."""
import base64
import concurrent.futures
import imaplib
import poplib
import re
import time

from case import start
from directory import PEOPLE, SUFFIX, escape_dn, hashed
from directory_case import KINDS, REFUSED, UNAVAILABLE, DirectoryCase
from dovecot import Dovecot
from proxyd import MASTER, PASSWORD, TOKEN, WRONG


# ---- every kind of everything ----


class DovecotWithMaster(Dovecot):
    """Takes MASTER of the user called proxy for anybody's password."""

    def __init__(self, folder, users):
        super().__init__(folder, users)
        self.write('masters', f'proxy:{{PLAIN}}{MASTER}\n')
        with open(f'{folder}/conf', 'a') as file:
            file.write(f'passdb {{\n driver = passwd-file\n args = {folder}/masters\n master = yes\n}}\n')


class Matrix(DirectoryCase):
    """IMAP and POP3 at a real Dovecot, through both kinds of map, with both authentications and both
    logins at the node, with TLS and without."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.dovecot = start(cls, DovecotWithMaster, {'bob@example.org': PASSWORD})

    def imap(self, p, tls, password):
        context = p.context()
        context.check_hostname = False
        client = (imaplib.IMAP4_SSL('127.0.0.1', p.port['imaps'], ssl_context=context) if tls
                  else imaplib.IMAP4('127.0.0.1', p.port['imap']))
        with client:
            try:
                client.login('bob@example.org', password)
            except imaplib.IMAP4.error as error:
                return str(error)
            return client.select()

    def pop3(self, p, tls, password):
        context = p.context()
        context.check_hostname = False
        client = (poplib.POP3_SSL('127.0.0.1', p.port['pop3s'], context=context) if tls
                  else poplib.POP3('127.0.0.1', p.port['pop3']))
        try:
            client.user('bob@example.org')
            client.pass_(password)
            return client.stat()[0]
        except poplib.error_proto as error:
            return str(error)
        finally:
            client.close()

    def serving(self, kind, authentication, login):
        master = {'master_user': 'proxy', 'master_password': MASTER} if login == 'master' else {}
        return self.over_ldap(kind, authentication, sections={
            service: {'backend': {'port': self.dovecot.port[service], 'login': login, **master}}
            for service in ('imap', 'pop3')})

    def test_logins(self):
        ways = [(kind, *how) for kind in KINDS
                for how in (('proxy', 'forward'), ('proxy', 'master'), ('backend', 'forward'))]
        fronts = [self.serving(*way) for way in ways]
        with concurrent.futures.ThreadPoolExecutor(2 * len(ways)) as pool:  # the refused ones wait side by side
            refused = [[pool.submit(login, p, True, WRONG) for login in (self.imap, self.pop3)] for p in fronts]
            for way, p, (imap, pop3) in zip(ways, fronts, refused):
                with self.subTest(way=way):
                    for tls in (False, True):
                        self.assertEqual(self.imap(p, tls, PASSWORD), ('OK', [b'1']))
                        self.assertEqual(self.pop3(p, tls, PASSWORD), 1)
                    self.assertIn('[AUTHENTICATIONFAILED]', imap.result())
                    self.assertIn('[AUTH]', pop3.result())


# ---- what entries say ----


class Entries(DirectoryCase):
    users = 'bob', 'carol'

    def test_what_is_not_found_goes_on_to_the_next_map_and_to_the_failover(self):
        other, failover = self.host(), self.host()
        p = self.over_ldap(authentication='backend', users=f'dave {other.address}',
                           service={'maps': ['staff', 'local'], 'failover': failover.address})
        for login, node in ('bob@example.org', self.home), ('dave', other), ('eve', failover):
            self.let_in(p, login)
            self.assertEqual(self.arrived(node), (login, PASSWORD))
        self.assertEqual(p.wait('route', login='dave')['map'], 'local')
        p.wait('map', login='dave', map='staff', result='not_found', server=self.directory.url,
               reason='no entry for (mail=dave) under ou=people...')
        p.wait('map', login='bob@example.org', map='staff', result='found', dn=self.directory.dn('bob'))

    def test_a_failover_login_cannot_be_verified(self):
        failover = self.host()
        p = self.over_ldap(service={'failover': failover.address})
        self.refused(p, 'eve')
        self.assertTrue(failover.logins.empty())

    def test_what_is_wrong_with_an_entry_is_a_temporary_failure(self):
        """And is nobody's else's business: no other map's, and not the failover's."""
        self.directory.add('nohost')
        self.directory.add('badhost', mailHost='no host!')
        self.directory.add('twin1', mailHost='127.0.0.1', mail='twin@example.org')
        self.directory.add('twin2', mailHost='127.0.0.1', mail='twin@example.org')
        elsewhere = self.host()
        for kind in KINDS:
            for authentication in ('proxy', 'backend'):
                with self.subTest(kind=kind, authentication=authentication):
                    service = {'maps': ['staff', 'local'], 'failover': elsewhere.address}
                    p = self.over_ldap(kind, authentication, service,
                                       users=f'* {elsewhere.address} password={{PLAIN}}{PASSWORD}')
                    for name, why in ('nohost', 'mailHost'), ('badhost', 'mailHost'), ('twin', 'more than one'):
                        self.unavailable(p, f'{name}@example.org')
                        self.assertIn(why, p.wait('login', login=f'{name}@example.org', result='failed')['reason'])
        self.assertTrue(elsewhere.logins.empty())

    def test_the_first_of_several(self):
        for name in ('first', 'second'):
            self.directory.add(name, mailHost='127.0.0.1', mail='several@example.org')
        for kind in KINDS:
            self.let_in(self.over_ldap(kind, multiple_matches='first'), 'several@example.org')

    def test_several_hosts(self):
        p = self.over_ldap(attributes={'host': 'testHost'}, sections={'nodes': {
            'node1': {'address': '127.0.0.1', 'ports': {'imap': self.home.port}}}})
        port = self.home.port
        for number, (hosts, same) in enumerate((
                (['node1', '127.0.0.1'], True), (['node1', f'127.0.0.1:{port}'], True), (['NODE1', 'node1'], True),
                (['127.0.0.1', f'127.0.0.1:{port}'], True), (['LOCALHOST', f'localhost:{port}'], True),
                (['node1', '127.0.0.2'], False), (['127.0.0.1', f'127.0.0.1:{port + 1}'], False),
                (['127.0.0.1', 'localhost'], False))):
            with self.subTest(hosts=hosts):
                self.directory.add(f'hosts{number}', testHost=hosts)
                (self.let_in if same else self.unavailable)(p, f'hosts{number}@example.org')

    def test_the_login_that_the_entry_names(self):
        self.directory.add('other', mailHost='127.0.0.1', testLogin='Other.Name')
        p = self.over_ldap(attributes={'login': 'testLogin'})
        for login, there in ('other@example.org', 'Other.Name'), ('bob@example.org', 'bob@example.org'):
            self.let_in(p, login)
            self.assertEqual(self.arrived(self.home), (there, PASSWORD))

    def test_hold(self):
        """The cache is passed by: it would hold a login for an hour, or let it in."""
        for kind, authentication in ('ldap_password', 'backend'), ('ldap_password', 'proxy'), ('ldap_bind', 'proxy'):
            with self.subTest(kind=kind, authentication=authentication):
                p = self.over_ldap(kind, authentication, attributes={'hold': 'testHold'}, cache={'found': '1h'})
                self.directory.modify('carol', testHold='TRUE')
                self.directory.forget()
                client = self.ask(p, 'carol@example.org')
                self.directory.wait('search', 2)
                self.directory.modify('carol', testHold='FALSE')
                client.expect('a OK hello')

    def test_hold_does_not_wait_for_ever(self):
        self.directory.add('held', mailHost='127.0.0.1', testHold='TRUE')
        p = self.over_ldap(attributes={'hold': 'testHold'}, service={'backend': {'queue_timeout': '600ms'}})
        self.unavailable(p, 'held@example.org')

    def test_placeholders(self):
        p = self.over_ldap(search_filter='(&(testKey=%u)(uid=%n)(cn=%s)(o=%d)(sn=%%%%)(mail=%e))',
                           sections={'global_': {'default_domain': 'example.net'}})
        self.refused(p, 'Bob')
        self.directory.wait(
            'search', filter='(&(testKey=Bob)(uid=bob)(cn=imap)(o=example.net)(sn=%%)(mail=bob@example.net))')

    def test_only_what_is_needed_is_asked_for(self):
        for kind, authentication, names in (('ldap_password', 'proxy', {'mailHost', 'userPassword'}),
                                            ('ldap_password', 'backend', {'mailHost'}),
                                            ('ldap_bind', 'proxy', {'mailHost'})):
            self.directory.forget()
            self.let_in(self.over_ldap(kind, authentication))
            self.assertEqual(set(self.directory.wait('attributes')['names'].split()), names)

    def test_scopes(self):
        under = f'ou=deep,{PEOPLE}'
        self.directory.insert(under, objectClass='organizationalUnit', ou='deep')
        self.directory.add('deep', under, mailHost='127.0.0.1')
        for scope, base, deep in (('sub', PEOPLE, self.let_in), ('one', PEOPLE, self.refused),
                                  ('base', f'uid=%n,{PEOPLE}', self.refused)):
            with self.subTest(scope=scope):
                p = self.over_ldap(search_scope=scope, search_base=base)
                self.let_in(p)
                deep(p, 'deep@example.org')

    def test_a_base_that_is_not_there(self):
        """Where it is the operator's own it is a mistake, and says nothing of who is unknown."""
        self.unavailable(self.over_ldap(search_base=f'ou=nowhere,{SUFFIX}'))
        self.refused(self.over_ldap(search_base=f'ou=%d,{SUFFIX}'))

    def test_referrals(self):
        """They are no entries, and followed only where the operator says so."""
        far = self.new_directory()
        self.addCleanup(far.stop)
        for name in ('far', 'zoe'):
            far.add(name, mailHost='127.0.0.1')
        self.directory.insert(f'ou=far,{PEOPLE}', objectClass=['referral', 'extensibleObject'], ou='far',
                              ref=f'{far.url}/{PEOPLE}??sub')
        self.addCleanup(self.directory.run, 'ldapdelete', '-x', '-M', '-H', self.directory.socket_url('admin'), '-D',
                        'cn=root,dc=example,dc=org', '-w', 'root', f'ou=far,{PEOPLE}')
        far.forget()
        p = self.over_ldap()
        self.let_in(p, 'carol@example.org')
        self.refused(p, 'far@example.org')
        self.assertEqual(far.events('search'), [])
        for kind in KINDS:
            self.let_in(self.over_ldap(kind, 'backend', referrals=True), 'far@example.org')

    def test_pop3_is_told_the_same(self):
        p = self.over_ldap()
        self.directory.add('popless')
        for login, password, code in (('bob@example.org', WRONG, 'AUTH'), ('eve', PASSWORD, 'AUTH'),
                                      ('popless@example.org', PASSWORD, 'SYS/TEMP')):
            client = self.connect(p, 'pop3')
            client.expect('+OK...')
            client.ask(f'USER {login}', '+OK...')
            client.ask(f'PASS {password}', f'-ERR [{code}] ...')


# ---- passwords ----


class Passwords(DirectoryCase):
    users = 'bob', 'slow'

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.directory.modify('slow', userPassword=hashed('{CRYPT}'))

    def test_schemes(self):
        schemes = ('{SHA}', '{SSHA}', '{MD5}', '{SMD5}', '{SHA256}', '{SSHA256}', '{SHA512}', '{SSHA512}', '{CRYPT}',
                   '{ARGON2}', '{CLEARTEXT}')
        for scheme in schemes:
            self.directory.add(scheme.strip('{}'), mailHost='127.0.0.1', userPassword=hashed(scheme))
        for kind in KINDS:
            p = self.over_ldap(kind)
            wrong = {scheme: self.ask(p, f'{scheme.strip("{}")}@example.org', WRONG) for scheme in schemes}
            for scheme in schemes:
                with self.subTest(kind=kind, scheme=scheme):
                    self.let_in(p, f'{scheme.strip("{}")}@example.org')
                    wrong[scheme].expect(f'a {REFUSED}')

    def test_any_of_several(self):
        self.directory.add('many', mailHost='127.0.0.1', userPassword=['{SCRAM}x', hashed('{SSHA}', TOKEN), PASSWORD])
        for kind in KINDS:
            p = self.over_ldap(kind)
            self.let_in(p, 'many@example.org')
            self.let_in(p, 'many@example.org', TOKEN)
            self.refused(p, 'many@example.org', WRONG)

    def test_a_scheme_that_nobody_knows(self):
        stored = f'{{ROT13}}{PASSWORD}'
        self.directory.add('strange', mailHost='127.0.0.1', userPassword=stored)
        p = self.over_ldap()
        self.refused(p, 'strange@example.org')
        self.refused(p, 'strange@example.org', stored)
        self.assertIn('scheme', p.wait('login', result='failed', login='strange@example.org')['reason'])

    def test_no_password_at_all(self):
        self.directory.add('none', mailHost='127.0.0.1', userPassword=None)
        for kind in KINDS:
            self.refused(self.over_ldap(kind), 'none@example.org')

    def test_nothing_tells_an_unknown_login_from_a_wrong_password(self):
        def fail(client, login):
            begin = time.monotonic()
            client.say(f'a LOGIN {login} {WRONG}')
            return client.line(), time.monotonic() - begin

        logins = ('slow@example.org', 'eve@example.org') * 3
        for kind in KINDS:
            p = self.over_ldap(kind)
            clients = [self.client(p) for _ in logins]
            with concurrent.futures.ThreadPoolExecutor(len(logins)) as pool:
                told = list(pool.map(fail, clients, logins))
            self.assertEqual(len({words for words, _ in told}), 1)
            known, unknown = (min(took for _, took in told[which::2]) for which in (0, 1))
            self.assertGreaterEqual(min(known, unknown), 2)
            self.assertLess(abs(known - unknown), 0.5, f'{kind}: {told}')

    def test_an_empty_password_never_reaches_the_directory(self):
        empty, waiting = base64.b64encode(b'\0bob@example.org\0').decode(), []
        for kind in KINDS:
            for authentication in ('proxy', 'backend'):
                p = self.over_ldap(kind, authentication)
                for words in ('LOGIN bob@example.org ""', 'LOGIN bob@example.org {0+}\r\n',
                              f'AUTHENTICATE PLAIN {empty}'):
                    waiting.append((self.client(p), f'a {words}', f'a {REFUSED}'))
                for words in 'USER bob@example.org\r\nPASS ', f'AUTH PLAIN {empty}':
                    client = self.connect(p, 'pop3')
                    client.expect('+OK...')
                    waiting.append((client, words, '-ERR [AUTH] ...'))
        for client, words, _ in waiting:
            client.say(words)
        for client, words, answer in waiting:
            client.expect(*(['+OK...'] if words.startswith('USER') else []), answer)
        self.let_in(p)  # so that slapd has logged all that came before
        self.assertEqual(len(self.directory.events('search')), 1)
        self.assertEqual(self.directory.events('bind', dn=f'uid=...'), [])

    def test_binds_are_by_the_entrys_own_name(self):
        p, wrong = self.over_ldap('ldap_bind'), {}
        for number, name in enumerate((' a,b+c="d" <e>;f\\g#', '# first', 'jürgen', 'a*b(c)', '"')):
            with self.subTest(name=name):
                mail = f'odd{number}@example.org'
                self.directory.add(name, mail=mail, mailHost='127.0.0.1')
                self.let_in(p, mail)
                wrong[name] = self.ask(p, mail, WRONG)
        for name, client in wrong.items():
            with self.subTest(name=name):
                client.expect(f'a {REFUSED}')

    def test_one_in_the_name_of_another(self):
        """The password is that of the other one: it says nothing."""
        clients = []
        for kind in KINDS:
            p = self.over_ldap(kind)
            for one, other in ('bob@example.org', 'slow@example.org'), ('slow@example.org', 'bob@example.org'):
                message = base64.b64encode(f'{one}\0{other}\0{PASSWORD}'.encode()).decode()
                clients.append(self.client(p))
                clients[-1].say(f'a AUTHENTICATE PLAIN {message}')
        for client in clients:
            client.expect(f'a {REFUSED}')
        self.assertTrue(self.home.logins.empty())

    def test_anonymous_searches(self):
        """slapd shows nobody's password to them; binds need none."""
        self.refused(self.over_ldap(bind_dn=None, bind_password=None))
        self.let_in(self.over_ldap('ldap_bind', bind_dn=None, bind_password=None))
        self.let_in(self.over_ldap(bind_dn=None, bind_password=None, authentication='backend'))

    def test_a_connector_with_a_wrong_password(self):
        for kind in KINDS:
            p = self.over_ldap(kind, bind_password=WRONG)
            self.unavailable(p)
            p.wait('ldap', connector='corp', server=self.directory.url, level='warning')


# ---- what reaches the directory ----

ODD = ('*', ')(uid=*', '*)(|(mail=*', '(|', ')', '\\', '\\2a', '"', ' bob', 'bob ', '#bob', 'a,ou=b', 'a+b=c', 'a;b<c>',
       'jürgen', '%e%u%', '%2a', "'", '{5}', 'a\\,b', '\U0001F600')


def literal(data):
    return b'{%d+}\r\n%s' % (len(data), data)


def unescape(value):
    """What a value in a filter or DN of slapd's log stands for."""
    return re.sub(rb'\\([0-9a-fA-F]{2})', lambda m: bytes.fromhex(m[1].decode()), value.encode())


class Injection(DirectoryCase):
    def try_logins(self, p, logins, words=REFUSED):
        """All at the same time, for a refusal takes its time."""
        clients = []
        for login in logins:
            clients.append(self.client(p))
            clients[-1].send(b'a LOGIN ' + literal(login) + b' ' + literal(PASSWORD.encode()) + b'\r\n')
        for login, client in zip(logins, clients):
            with self.subTest(login=login):
                client.expect(f'a {words}')
            client.close()

    def asked(self, count):
        """All values that were searched for."""
        self.directory.wait('search', count)
        found = [e['filter'] for e in self.directory.events('search')]
        for text in found:
            self.assertRegex(text, r'^\(testKey=[^()*]*\)$')  # one comparison, of one value
        return [unescape(text[len('(testKey='):-1]) for text in found]

    def test_filters_are_literal(self):
        nobody = self.node()
        nobody.close()
        p = self.over_ldap(authentication='backend', search_filter='(testKey=%u)')
        logins = [login.encode() for login in ODD]
        self.try_logins(p, logins)
        for number, login in enumerate(ODD):
            self.directory.add(f'key{number}', testKey=login, mailHost=nobody.address)
        self.try_logins(p, logins, UNAVAILABLE)
        self.assertEqual(sorted(self.asked(2 * len(ODD))), sorted(2 * logins))

    def test_every_byte(self):
        p = self.over_ldap(authentication='backend', search_filter='(testKey=%u)')
        self.try_logins(p, [b'a%cz' % byte for byte in range(256)])
        printable = [b'a%cz' % byte for byte in range(256) if byte >= 32 and byte != 127]
        self.assertEqual(sorted(self.asked(len(printable))), printable)

    def test_bases_are_literal(self):
        """The domain becomes one RDN's value, whatever it is, and the entry below it is found."""
        nobody = self.node()
        nobody.close()
        p = self.over_ldap(authentication='backend', search_base=f'ou=%d,{SUFFIX}', search_scope='one',
                           search_filter='(uid=%n)')
        self.try_logins(p, [f'eve@x{domain}'.encode() for domain in ODD])
        self.directory.wait('search', len(ODD))
        bases = [e['base'] for e in self.directory.events('search')]
        self.assertEqual(sorted(map(unescape, bases)), sorted(f'ou=x{domain},{SUFFIX}'.lower().encode() for domain in ODD))
        self.assertEqual({len(re.findall(r'(?<!\\),', base)) for base in bases}, {2})
        for domain in ODD:
            under = f'ou={escape_dn("x" + domain)},{SUFFIX}'
            self.directory.insert(under, objectClass='organizationalUnit', ou='x' + domain)
            self.directory.add('odd', under, mailHost=nobody.address)
        self.try_logins(p, [f'odd@x{domain}'.encode() for domain in ODD], UNAVAILABLE)

    def test_names_of_directory_and_service(self):
        """Domains that are nothing but special, and none at all."""
        p = self.over_ldap(authentication='backend', search_base=f'ou=%d,{SUFFIX}')
        self.try_logins(p, [b'bob@', b'@', b'bob@ ', b'bob@#', b'bob@\\', b'@@', b'bob'], 'NO ...')


# ---- the cache ----


class Cache(DirectoryCase):
    users = 'bob', 'carol', 'dave'

    def cached(self, *args, **how):
        """With a cache of entries that were found."""
        return self.over_ldap(*args, **{'cache': {'found': '1h'}, **how})

    def searches(self, do, *args):
        """How many searches it took."""
        self.directory.forget()
        do(*args)
        return len(self.directory.events('search'))

    def test_found(self):
        for kind in KINDS:
            for authentication in ('proxy', 'backend'):
                p = self.cached(kind, authentication)
                self.assertEqual(self.searches(self.let_in, p), 1)
                self.assertEqual(self.searches(self.let_in, p), 0)
                self.assertEqual(self.searches(self.let_in, p, 'BOB@example.ORG'), 0)
                self.assertEqual(self.searches(self.let_in, p, 'carol@example.org'), 1)
                self.assertEqual(self.searches(self.let_in, p), 0)

    def test_not_found(self):
        p = self.over_ldap(authentication='backend', cache={'not_found': '1h'})
        self.assertEqual(self.searches(self.refused, p, 'eve@example.org'), 1)
        self.assertEqual(self.searches(self.refused, p, 'eve@example.org'), 0)
        self.assertEqual(self.searches(self.refused, p, 'mallory@example.org'), 1)

    def test_a_temporary_failure_is_not_kept(self):
        self.directory.add('broken')
        p = self.cached()
        self.unavailable(p, 'broken@example.org')
        self.directory.modify('broken', mailHost='127.0.0.1')
        self.keep_trying(lambda: self.answer(p, 'broken@example.org'), lambda words: words == 'OK hello')

    def test_what_is_kept_expires(self):
        p = self.over_ldap(authentication='backend', cache={'found': '150ms', 'not_found': '150ms', 'stale': '1h'})
        self.refused(p, 'late@example.org')
        self.directory.add('late', mailHost='127.0.0.1')
        self.keep_trying(lambda: self.answer(p, 'late@example.org'), lambda words: words == 'OK hello')
        self.directory.delete('late')
        self.keep_trying(lambda: self.answer(p, 'late@example.org'), lambda words: words.startswith('NO [AUTH'))

    def test_the_least_recently_used_goes(self):
        bob, carol, dave = (f'{name}@example.org' for name in self.users)
        p = self.over_ldap(cache={'found': '1h', 'entries': 2})
        for login, searches in (bob, 1), (carol, 1), (bob, 0), (dave, 1), (bob, 0), (carol, 1), (dave, 1):
            self.assertEqual(self.searches(self.let_in, p, login), searches)

    def test_it_knows_what_an_answer_depends_on(self):
        """Each service has entries of its own; routing fetches no passwords that a login could be refused by."""
        other = self.node()
        for service, host in ('imap', '127.0.0.1'), ('pop3', other.address):
            self.directory.add(f'{service}user', mail='two@example.org', description=service, mailHost=host)
        pop3 = {'pop3': {'authentication': 'backend', 'backend': {'port': other.port}}}
        p = self.cached(search_filter='(&(mail=%e)(description=%s))', sections=pop3)
        self.login(p, other, 'pop3', 'two@example.org')[1].close()
        self.let_in(p, 'two@example.org')
        p = self.cached(sections=pop3)
        self.login(p, other, 'pop3', 'bob@example.org')[1].close()
        self.let_in(p)

    def test_a_new_password_is_taken_at_once(self):
        self.directory.add('changing', mailHost='127.0.0.1', userPassword=hashed('{SSHA}', TOKEN))
        login = 'changing@example.org'
        for kind in KINDS:
            p = self.cached(kind)
            self.directory.modify('changing', userPassword=TOKEN)
            self.let_in(p, login, TOKEN)
            self.directory.modify('changing', userPassword=hashed('{SSHA}'))
            self.let_in(p, login)
            self.refused(p, login, TOKEN)
            self.assertEqual(self.searches(self.let_in, p, login), 0)

    def test_nobody_is_refused_by_what_it_says(self):
        for kind in KINDS:
            p = self.cached(kind)
            self.let_in(p)
            self.assertEqual(self.searches(self.refused, p, 'bob@example.org', WRONG), 1)
            self.let_in(p)
        p = self.cached(cache={'not_found': '1h'})
        self.refused(p, 'new@example.org')
        self.directory.add('new', mailHost='127.0.0.1')
        self.let_in(p, 'new@example.org')

    def test_routing_while_the_directory_is_dead(self):
        """A stale answer tells where somebody lives."""
        for kind in KINDS:
            for end in ('refuse', 'blackhole'):
                with self.subTest(kind=kind, end=end):
                    net = self.network()
                    p = self.over_ldap(kind, 'backend', servers=[net.url], timeout='2s',
                                       cache={'found': '1ms', 'stale': '1h'})
                    self.let_in(p)
                    self.let_in(p, 'carol@example.org')
                    self.assertEqual(self.searches(self.let_in, p), 1)
                    getattr(net, end)()
                    net.cut()
                    for login in 'bob@example.org', 'carol@example.org':
                        self.within(6, self.let_in, p, login)
                    self.within(6, self.unavailable, p, 'dave@example.org')

    def test_passwords_while_the_directory_is_dead(self):
        """What is fresh will do for a right password; what is stale will not, nor for a wrong one."""
        net = self.network()
        for found, words in ('1h', 'OK hello'), ('1ms', UNAVAILABLE):
            p = self.over_ldap(servers=[net.url], cache={'found': found, 'stale': '1h'})
            self.let_in(p)
            net.refuse()
            net.cut()
            self.ask(p).expect(f'a {words}')
            self.unavailable(p, 'bob@example.org', WRONG)
            net.start()

    def test_a_stale_answer_is_no_answer_while_a_server_answers(self):
        p = self.over_ldap(authentication='backend', cache={'found': '1ms', 'stale': '1h'})
        self.directory.add('leaving', mailHost='127.0.0.1')
        self.let_in(p, 'leaving@example.org')
        self.directory.delete('leaving')
        self.refused(p, 'leaving@example.org')


# ---- Active Directory ----


class ActiveDirectory(DirectoryCase):
    users = ()

    @classmethod
    def setUpClass(cls):
        cls.directory = cls.new_directory(active_directory=True)
        cls.directory.add('bob', extensionAttribute1='127.0.0.1')

    def active(self, **how):
        return self.over_ldap('ldap_bind', server_type='active_directory', attributes={'host': 'extensionAttribute1'},
                              **how)

    def test_every_kind_of_login(self):
        wrong = []
        for domain in ({}, {'default_domain': 'example.org'}):
            p = self.active(sections={'global_': domain})
            logins = 'bob', 'Bob', 'bob@example.org', 'EXAMPLE\\bob'
            for login in logins:
                with self.subTest(login=login, **domain):
                    self.directory.forget()
                    self.log_in(p, login).expect('a OK hello')
                    self.directory.wait('search', filter='(sAMAccountName=bob)')
            wrong += [self.log_in(p, login, WRONG) for login in logins]
            wrong += [self.log_in(p, login) for login in ('eve', 'EXAMPLE\\eve')]
        for client in wrong:
            client.expect(f'a {REFUSED}')

    def log_in(self, p, login, password=PASSWORD):
        client = self.client(p)
        client.send(b'a LOGIN %s %s\r\n' % (literal(login.encode()), password.encode()))
        return client

    def test_principal_names(self):
        p = self.active(search_filter='(userPrincipalName=%e)', sections={'global_': {'default_domain': 'example.org'}})
        self.let_in(p, 'bob')
        self.let_in(p, 'bob@example.org')
        self.refused(p, 'bob@example.net')

    def test_nobody_searches_without_a_bind(self):
        self.unavailable(self.active(bind_dn=None, bind_password=None))

    def test_stored_passwords_are_not_shown(self):
        p = self.over_ldap(server_type='active_directory', attributes={'host': 'extensionAttribute1'})
        self.refused(p, 'bob')
        self.assertIn('no password', p.wait('login', result='failed')['reason'])
