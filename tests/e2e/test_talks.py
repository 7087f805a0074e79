# SPDX-License-Identifier: ISC
"""Plays the dialogues of tests/talk over real sockets: one proxyd with a service for each way that
the dialogues set it up, and a node played by the script."""
import concurrent.futures
import glob
import itertools
import os
import select
import ssl
import threading

import talk
from case import Case, authority
from proxyd import ROOT
from wire import free_port, text

FILES = sorted(glob.glob(os.path.join(ROOT, 'tests', 'talk', '*.talk')))
MECHANISMS = 'plain login xoauth2 oauthbearer'
ISSUING = threading.Lock()


def playable(dialogue):
    """Not over sockets: verdicts without a node, the client's fixed address, and what no
    configuration allows (EXTERNAL without a master user, who is for nothing else here)."""
    settings = dialogue.settings
    external = 'external' in settings.get('mechanisms', '').split()
    return (not any(who == 'V:' for _, who, _, _ in dialogue.lines) and 'identify' not in settings and
            external == ('master_user' in settings))


def service(settings, protocol, port, node, folder):
    """The configuration of a service as a dialogue sets it up."""
    tls = 'implicit' if settings.get('tls') == 'true' else \
        'none' if settings.get('starttls') == 'false' else 'starttls'
    made = {'protocol': protocol, 'listeners': [{'address': f'127.0.0.1:{port}', 'tls': tls}],
            'mechanisms': settings.get('mechanisms', MECHANISMS).split(),
            'login_timeout': '10m', 'plaintext_auth': 'never' if settings.get('plaintext') == 'false' else 'always',
            'backend': {'check': {'interval': '0s'}, 'client_address': 'none'}}
    for key in 'max_errors', 'max_auth_errors':
        made[key] = int(settings.get(key, {'max_errors': 20, 'max_auth_errors': 5}[key]))
    if protocol in ('smtp', 'lmtp'):
        made = {key: made[key] for key in ('protocol', 'listeners', 'backend', 'max_errors')} | {'domains': ['example.org']}
    if 'capabilities' in settings:
        made['capabilities'] = settings['capabilities']
    if settings.get('backend_starttls') == 'true':
        made['backend'].update(tls='starttls', verify=False)
    if 'master_user' in settings:
        made['backend'].update(login='master', master_user=settings['master_user'],
                               master_password=settings['master_password'])
    if 'external' in settings:
        made['listeners'][0]['client_ca'] = authority().file
    path = os.path.join(folder, f'{port}.map')
    with open(path, 'w') as file:
        login = settings.get('node_login', '').replace('"', '""')
        file.write(f'* {node.address}' + (f' login="{login}"' if login else '') + '\n')
    return made, path


class Player:
    """One dialogue: the client's wire, the node, and the connection to it if there is one."""

    def __init__(self, case, dialogue, port, node):
        self.case, self.dialogue, self.node, self.wire = case, dialogue, node, None
        self.client = case.connect_to(port, dialogue.settings)

    def play(self):
        before = ''
        for who, lines in itertools.groupby(self.dialogue.lines, key=lambda line: line[1]):
            lines = list(lines)
            self.where = f'{self.dialogue.place.rsplit(":", 1)[0]}:{lines[0][0]}: {self.dialogue.title}: '
            if who in ('C', 'N'):
                self.say(who, b''.join(data for _, _, data, _ in lines), before)
            elif who in ('S', 'P'):
                for _, _, data, open_end in lines:
                    self.expect(self.client if who == 'S' else self.wire, data, open_end)
            else:
                self.turn(who)
            before = who
        for wire in (self.client, self.wire):
            self.nothing_besides(wire)

    def say(self, who, data, before):
        if who == 'N' and (not self.wire or before in ('C', 'S', 'C-TLS') and self.is_new_connection()):
            self.wire = self.node.accept()
        (self.client if who == 'C' else self.wire).send(data)

    def is_new_connection(self):
        """Whether proxyd has left the node; where nothing has been heard from it, we cannot know yet."""
        ready = select.select([self.node.sock, self.wire.sock], [], [], 0.2)[0]
        return self.node.sock in ready or bool(ready) and not self.wire.pending and not self.wire.more()

    def expect(self, wire, data, open_end):
        got = b''
        while len(got) < len(data):
            got += wire.read(1)
            if got != data[:len(got)]:
                got += wire.pending
                break
        self.case.assertEqual(text(got), text(data), self.where)
        if open_end:
            wire.line()

    def turn(self, who):
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*authority().server)
        if who == 'C-TLS':
            self.client.start_tls(self.case.p.context(), server_hostname='mail.example.org')
        elif who == 'N-TLS':
            self.wire.start_tls(server, server_side=True)
        elif who == 'C-END':
            self.client.close()
        elif who == 'S-END':
            self.client.expect_end()
        elif who == 'P-END':
            self.wire.expect_end()
            self.wire = None

    def nothing_besides(self, wire):
        if wire and wire.sock.fileno() >= 0:
            wire.sock.settimeout(0.001)
            try:
                wire.more()
            except (AssertionError, ssl.SSLError):
                pass
            self.case.assertEqual(text(wire.pending), '', self.where + 'said besides')


class Talks(Case):
    @classmethod
    def setUpClass(cls):
        cls.dialogues = [d for path in FILES for d in talk.read(path) if playable(d)]

    def setUp(self):
        """One proxyd for all: equal settings share a service, a port and a node."""
        super().setUp()
        self.ways, services, maps = {}, {}, {}
        for dialogue in self.dialogues:
            key = self.key(dialogue)
            if key in self.ways:
                continue
            port, node, name = free_port(), self.node(), f's{len(self.ways)}'
            made, path = service(dialogue.settings, dialogue.protocol, port, node, self.folder)
            services[name] = {**made, 'maps': [name]}
            maps[name] = {'type': 'file', 'path': path}
            self.ways[key] = port, node
        self.p = self.proxyd(services=services, maps=maps)

    @staticmethod
    def key(dialogue):
        return dialogue.protocol, tuple(sorted(dialogue.settings.items()))

    def connect_to(self, port, settings):
        context = None
        if settings.get('tls') == 'true':
            context = self.p.context()
            if 'external' in settings:
                name = settings['external']
                with ISSUING:
                    context.load_cert_chain(*authority().issue(name, f'email:{name}' if '@' in name else None))
        name = f'talk{port}' + ('s' if context else '')
        self.p.port[name] = port
        return self.connect(self.p, name, context=context, source=self.new_source())

    def play(self, key):
        """The dialogues of one service, one after the other; what went wrong with each."""
        wrong = []
        for dialogue in self.dialogues:
            if self.key(dialogue) == key:
                try:
                    Player(self, dialogue, *self.ways[key]).play()
                except (AssertionError, OSError) as error:
                    wrong.append((dialogue, error))
        return wrong

    def test_talks(self):
        """Services side by side, for refused logins are answered late."""
        self.assertGreater(len(self.dialogues), 20)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            for dialogue, error in itertools.chain(*pool.map(self.play, self.ways)):
                with self.subTest(dialogue=f'{dialogue.place}: {dialogue.title}'):
                    raise error
