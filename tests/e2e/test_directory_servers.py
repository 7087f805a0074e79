# SPDX-License-Identifier: ISC
"""LDAP: how servers are asked over the network, several of them, and what becomes of logins when
they fail. What their answers mean is in test_directory.py."""
import signal

from authority import Authority
from case import authority
from directory_case import KINDS, REFUSED, DirectoryCase
from proxyd import PASSWORD, WRONG


# ---- how it is asked ----


class Asking(DirectoryCase):
    users = 'alice', 'bob', 'carol'

    def setUp(self):
        super().setUp()
        self.net = self.network()

    def through(self, *args, **how):
        """A proxyd that has asked the directory through `net`, once."""
        p = self.over_ldap(*args, servers=[self.net.url], timeout='30s', **how)
        self.let_in(p)
        self.arrived(self.home)
        self.directory.forget()
        return p

    def ask_all(self, p, logins):
        return [self.ask(p, login) for login in logins]

    def test_equal_questions_are_asked_once(self):
        p = self.through()
        self.net.withhold_answers()
        clients = [(self.ask(p, 'Bob@Example.org', password), words)
                   for password, words in ((PASSWORD, 'OK hello'), (WRONG, REFUSED)) * 10]
        other = self.ask(p, 'alice@example.org')
        self.directory.wait('search', filter='(mail=alice@example.org)')
        self.net.go_on()
        for client, words in [*clients, (other, 'OK hello')]:
            client.expect(f'a {words}')
        self.assertEqual(len(self.directory.events('search')), 2)

    def test_many_searches_on_one_connection(self):
        p = self.through(connections=1)
        self.net.withhold_answers()
        clients = self.ask_all(p, [f'user{n}@example.org' for n in range(40)])
        self.directory.wait('search', 40)
        self.assertEqual(len(self.connections('search')), 1)
        self.net.go_on()
        for client in clients:
            client.expect(f'a {REFUSED}')

    def test_more_than_one_connection_takes(self):
        """Beyond what goes on one connection, questions wait, and are asked."""
        p = self.through(connections=1)
        self.net.withhold_answers()
        clients = self.ask_all(p, [f'user{n}@example.org' for n in range(200)])
        self.directory.wait('search', 20)
        self.net.go_on()
        for client in clients:
            client.expect(f'a {REFUSED}')
        self.assertEqual(len(self.directory.events('search')), 200)
        self.assertEqual(len(self.connections('search')), 1)

    def test_connections_are_bounded(self):
        p = self.through(connections=2)
        self.net.withhold_answers()
        clients = self.ask_all(p, [f'user{n}@example.org' for n in range(60)])
        self.directory.wait('search', 50)
        self.net.go_on()
        clients += self.ask_all(p, [f'user{n}@example.org' for n in range(60, 260)])
        for client in clients:
            client.expect(f'a {REFUSED}')
        self.assertEqual(len(self.directory.events('search')), 260)
        self.assertEqual(self.net.accepted, 2)

    def test_binds_have_bounded_connections_of_their_own(self):
        p = self.through('ldap_bind', connections=2, bind_connections=3, cache={'found': '1h'})
        for name in self.users:
            self.let_in(p, f'{name}@example.org')
        self.net.withhold_answers()  # now there are only binds to be asked
        clients = [(self.ask(p, f'{name}@example.org', password), words)
                   for password, words in ((PASSWORD, 'OK hello'), (WRONG, REFUSED)) * 10 for name in self.users]
        self.directory.wait('bind', 5, dn='uid=...')
        self.net.go_on()
        for client, words in clients:
            client.expect(f'a {words}')
        users = self.connections('bind', dn='uid=...')
        self.assertEqual(len(users), 3)
        self.assertFalse(users & (self.connections('search') | self.connections('bind', dn='cn=proxy,...')))
        self.assertLessEqual(self.net.accepted, 5)

    def test_one_bind_at_a_time_on_a_connection(self):
        p = self.through('ldap_bind', bind_connections=1)
        self.net.withhold_answers()
        clients = self.ask_all(p, ['bob@example.org'] * 3)
        self.directory.wait('search')
        self.net.go_on()
        for client in clients:
            client.expect('a OK hello')
        self.assertEqual(len(self.directory.events('bind', dn='uid=bob...')), 3)

    def test_who_leaves_takes_his_question_along(self):
        p = self.through()
        self.net.withhold_answers()
        client = self.ask(p)
        asked = self.directory.wait('search')
        client.close()
        given_up = self.directory.wait('abandon')
        self.assertEqual((given_up['conn'], int(given_up['message'])), (asked['conn'], int(asked['op']) + 1))
        self.net.go_on()
        self.let_in(p)

    def test_who_leaves_does_not_take_the_question_of_others_along(self):
        p = self.through()
        self.net.withhold_answers()
        leaver, stayer = self.ask(p), self.ask(p)
        self.directory.wait('search')
        leaver.close()
        p.wait('close', reason='client_closed')
        self.net.go_on()
        stayer.expect('a OK hello')
        self.assertEqual(self.directory.events('abandon'), [])

    def test_who_leaves_while_his_bind_is_under_way(self):
        p = self.through('ldap_bind', bind_connections=1)
        self.net.withhold_answers()
        client = self.ask(p)
        self.directory.wait('search')
        self.net.go_on()
        client.expect('a OK hello')
        self.net.withhold_answers()
        for login in 'bob@example.org', 'alice@example.org':
            client = self.ask(p, login)
            client.close()
            p.wait('close', reason='client_closed')
        self.net.go_on()
        self.let_in(p, 'carol@example.org')
        for login in 'bob@example.org', 'carol@example.org':
            self.assertEqual(self.arrived(self.home)[0], login)

    def test_a_reload_while_it_is_asked(self):
        p = self.through()
        self.net.withhold_answers()
        client = self.ask(p)
        self.directory.wait('search')
        p.reload(ldap={'corp': {'search_filter': '(uid=%n)', 'connections': 1}})
        self.net.go_on()
        client.expect('a OK hello')
        self.let_in(p)
        self.directory.wait('search', filter='(uid=bob)')

    def test_a_reload_keeps_what_has_not_changed(self):
        p = self.through(cache={'found': '1h'})
        p.reload()
        self.let_in(p)
        self.assertEqual(self.net.accepted, 1)
        self.assertEqual(self.directory.events('search'), [])

    def test_the_end_while_it_is_asked(self):
        for kind in KINDS:
            for answered in (True, False):
                with self.subTest(kind=kind, answered=answered):
                    p = self.through(kind, sections={'global_': {'shutdown_grace': '300ms'}})
                    self.net.withhold_answers()
                    client = self.ask(p)
                    self.directory.wait('search')
                    p.signal(signal.SIGTERM)
                    p.wait('stop')
                    if answered:
                        self.net.go_on()
                    client.expect(*(['a OK hello'] if answered else ['a NO [UNAVAILABLE] ...', '* BYE ...']))
                    for wire in self.clients:
                        wire.close()
                    self.assertEqual(p.wait_end(), 0)
                    self.net.go_on()


# ---- servers that fail ----


class Failover(DirectoryCase):
    """Two directories with the same users, each behind a network of its own."""
    TIMEOUT = 3  # seconds

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.second = cls.new_directory()

    def setUp(self):
        super().setUp()
        self.second.forget()
        self.nets = self.network(), self.network(self.second)

    def both(self, kind='ldap_password', **how):
        return self.over_ldap(kind, **{'servers': [net.url for net in self.nets], 'timeout': f'{self.TIMEOUT}s',
                                       'retry_interval': '200ms', **how})

    def asked(self, directory):
        return len(directory.events('search'))

    def test_the_first_is_down(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.nets[0].refuse()
                p = self.both(kind, timeout='8s')
                self.within(3.5, self.let_in, p)
                p.wait('ldap', connector='corp', server=self.nets[0].url, level='warning')
                self.assertEqual(self.asked(self.directory), 0)
                self.nets[0].start()

    def test_the_first_goes_down(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                p = self.both(kind, retry_interval='1m', timeout='8s')
                self.let_in(p)
                self.assertEqual(self.asked(self.second), 0)
                self.nets[0].refuse()
                self.nets[0].cut()
                for _ in range(3):
                    self.within(3.5, self.let_in, p)
                self.nets[0].start()
                self.second.forget()

    def silence(self, how):
        if how == 'stopped':
            self.directory.pause()
            self.addCleanup(self.directory.go_on)
        else:
            getattr(self.nets[0], how)()

    def hear(self, how):
        if how == 'stopped':
            self.directory.go_on()
        else:
            self.nets[0].go_on()
            self.nets[0].refuse()
            self.nets[0].start()

    def test_the_first_is_silent(self):
        """From the beginning, or with connections to it: both servers have one deadline."""
        for kind in KINDS:
            for how in ('blackhole', 'deafen', 'stopped'):
                for connected in (True, False):
                    if connected and how == 'deafen':
                        continue
                    with self.subTest(kind=kind, how=how, connected=connected):
                        p = self.both(kind, retry_interval='1m')
                        if connected:
                            self.let_in(p)
                        self.silence(how)
                        self.within(self.TIMEOUT + 1.4, self.let_in, p)
                        self.soon(self.TIMEOUT / 2 - 0.1, self.let_in, p)  # it is not tried again
                        p.wait('ldap', connector='corp', server=self.nets[0].url, level='warning')
                        self.hear(how)

    def test_back_to_the_first(self):
        """As soon as it is well, and no login is lost meanwhile."""
        for kind in KINDS:
            for how in ('refuse', 'blackhole'):
                with self.subTest(kind=kind, how=how):
                    p = self.both(kind)
                    getattr(self.nets[0], how)()
                    self.let_in(p)
                    self.hear(how)
                    self.directory.forget()
                    self.keep_trying(lambda: self.let_in(p), lambda _: self.asked(self.directory))
                    if kind == 'ldap_bind':
                        self.keep_trying(lambda: self.let_in(p), lambda _: self.directory.events('bind', dn='uid=...'))
                    self.second.forget()
                    self.let_in(p)
                    self.assertEqual(self.asked(self.second), 0)

    def test_back_to_the_first_with_questions_under_way_at_the_second(self):
        p = self.both()
        self.nets[0].refuse()
        self.let_in(p)
        self.nets[1].withhold_answers()
        client = self.ask(p)
        self.second.wait('search', 2)
        self.directory.forget()
        self.nets[0].start()
        self.keep_trying(lambda: self.answer(p, 'new@example.org'), lambda _: self.asked(self.directory))
        self.nets[1].go_on()
        client.expect('a OK hello')

    def test_none_answers(self):
        for how in ('refuse', 'blackhole'):
            with self.subTest(how=how):
                p = self.both()
                self.let_in(p)
                for net in self.nets:
                    getattr(net, how)()
                    net.cut()
                for login in 'bob@example.org', 'eve@example.org', 'bob@example.org':
                    self.within(self.TIMEOUT + 1.4, self.unavailable, p, login)
                for net in self.nets:
                    net.go_on()
                    net.refuse()
                    net.start()
                self.keep_trying(lambda: self.answer(p), lambda words: words == 'OK hello')

    def test_only_one_server_and_it_comes_back(self):
        directory = self.new_directory()
        for kind in KINDS:
            p = self.over_ldap(kind, servers=[directory.url], retry_interval='100ms')
            self.let_in(p)
            directory.stop()
            self.unavailable(p)
            directory.start()
            self.keep_trying(lambda: self.answer(p), lambda words: words == 'OK hello')

    def test_idle_connections_are_closed(self):
        """By the server or by what is between: nobody waits for it, and nobody is refused."""
        for kind in KINDS:
            p = self.over_ldap(kind, servers=[self.nets[0].url], retry_interval='1m')
            for reset in (True, False) * 3:
                self.let_in(p)
                self.nets[0].cut(reset)
                self.within(6, self.let_in, p)

    def test_the_server_closes_idle_connections(self):
        directory = self.new_directory(idle_timeout=1)
        for kind in KINDS:
            directory.forget()
            p = self.over_ldap(kind, servers=[directory.url], retry_interval='1m')
            self.let_in(p)
            directory.wait('closed', count=2 if kind == 'ldap_bind' else 1)
            self.within(6, self.let_in, p)

    def test_a_connection_is_cut_with_questions_under_way(self):
        """They are asked again, on another one."""
        for kind in KINDS:
            with self.subTest(kind=kind):
                p = self.over_ldap(kind, servers=[self.nets[0].url], retry_interval='1m', connections=1)
                self.let_in(p)
                self.directory.forget()
                self.nets[0].withhold_answers()
                clients = [self.ask(p), *(self.ask(p, f'user{n}@example.org') for n in range(9))]
                self.directory.wait('search', 10)
                self.nets[0].cut()
                self.nets[0].go_on()
                for client, words in zip(clients, ['OK hello'] + [REFUSED] * 9):
                    client.expect(f'a {words}')
                self.assertEqual(self.asked(self.directory), 20)

    def test_a_bind_is_cut(self):
        p = self.over_ldap('ldap_bind', servers=[self.nets[0].url], retry_interval='1m', cache={'found': '1h'})
        self.let_in(p)
        self.nets[0].withhold_answers()
        client = self.ask(p)
        self.directory.wait('bind', 2, dn='uid=bob...')
        self.nets[0].cut()
        self.nets[0].go_on()
        client.expect('a OK hello')


# ---- TLS and socket files ----


class Transport(DirectoryCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = cls.new_directory(certificate=authority().issue('localhost', 'DNS:localhost,IP:127.0.0.1'))
        cls.elsewhere = cls.new_directory(certificate=authority().issue('ldap.example.org'))

    def ways(self, directory):
        """ldaps and StartTLS: what a connector needs for it."""
        return {'servers': [directory.ldaps_url]}, {'servers': [directory.url], 'starttls': True}

    def test_verified(self):
        for kind in KINDS:
            for way in self.ways(self.directory):
                with self.subTest(kind=kind, **way):
                    self.directory.forget()
                    p = self.over_ldap(kind, ca_file=authority().file, **way)
                    self.let_in(p)
                    self.refused(p, 'bob@example.org', WRONG)
                    if 'starttls' in way:  # before anything is said on it
                        self.assertLessEqual(self.connections('bind'), self.connections('starttls', op='0'))

    def test_wrong_ca(self):
        other = Authority(self.subfolder('ca'), 'Another CA').file
        for kind in KINDS:
            for way in self.ways(self.directory):
                with self.subTest(kind=kind, **way):
                    self.is_not_used(self.over_ldap(kind, ca_file=other, **way), self.directory, way)

    def test_wrong_name(self):
        for way in self.ways(self.elsewhere):
            with self.subTest(**way):
                self.is_not_used(self.over_ldap(ca_file=authority().file, **way), self.elsewhere, way)

    def test_unverified(self):
        for way in self.ways(self.elsewhere):
            self.let_in(self.over_ldap(verify=False, **way))

    def test_a_server_without_starttls(self):
        plain = self.new_directory()
        for kind in KINDS:
            for verify in (True, False):
                way = {'servers': [plain.url], 'starttls': True}
                self.is_not_used(self.over_ldap(kind, verify=verify, ca_file=authority().file, **way), plain, way)

    def is_not_used(self, p, directory, way):
        directory.forget()
        self.unavailable(p)
        p.wait('ldap', connector='corp', server=way['servers'][0], level='warning')
        self.assertEqual(directory.events('bind') + directory.events('search'), [])

    def test_failover_to_one_that_can_be_trusted(self):
        p = self.over_ldap(ca_file=authority().file, servers=[self.elsewhere.ldaps_url, self.directory.ldaps_url])
        self.let_in(p)

    def test_a_socket_file(self):
        for kind in KINDS:
            p = self.over_ldap(kind, servers=[self.directory.ldapi_url])
            self.let_in(p)
            self.refused(p, 'bob@example.org', WRONG)
