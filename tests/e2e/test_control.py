# SPDX-License-Identifier: ISC
"""proxyctl and the control socket: who may use it, what it bears, and what every order does. Holding and
draining with real servers and real directories are in test_control_move.py."""
import grp
import json
import os
import pwd
import resource
import socket
import stat
import subprocess
import time
import unittest

from case import Case
from proxyd import CONTROL, ROOT
from wire import PATIENCE, free_port


def control(*args):
    return subprocess.run([CONTROL, *args], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


class Talk:
    """A connection to the control socket, by hand."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(path)
        self.file = self.sock.makefile('rb')

    def send(self, data):
        self.sock.sendall(data)

    def ask(self, **request):
        self.send(json.dumps(request).encode() + b'\n')
        return self.answer()

    def answer(self):
        """The lines of an answer up to the last one, as objects."""
        lines = []
        while not lines or 'status' not in lines[-1]:
            lines.append(json.loads(self.file.readline()))
        return lines

    def ended(self):
        try:
            return self.file.read(1) == b''
        except ConnectionError:
            return True

    def close(self):
        self.file.close()
        self.sock.close()


class Socket(Case):
    def talk(self, p):
        talk = Talk(p.control)
        self.addCleanup(talk.close)
        return talk

    @staticmethod
    def owner(p):
        st = os.stat(p.control)
        return stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid

    def test_it_is_nobody_elses(self):
        self.assertEqual(self.owner(self.proxyd()), (0o600, os.getuid(), os.getgid()))

    @unittest.skipIf(os.getuid(), 'only root can become somebody else')
    def test_it_is_who_we_become(self):
        nobody, group = pwd.getpwnam('nobody'), grp.getgrnam('adm').gr_gid
        self.assertEqual(self.owner(self.proxyd(global_={'user': 'nobody'})),
                         (0o600, nobody.pw_uid, nobody.pw_gid))
        p = self.proxyd(global_={'user': 'nobody', 'control_group': 'adm'})
        self.assertEqual(self.owner(p), (0o660, nobody.pw_uid, group))
        for who, status in ((['--reuid=nobody', '--clear-groups'], 0), (['--reuid=man', '--groups=adm'], 0),
                            (['--reuid=man', '--clear-groups'], 69)):
            with self.subTest(who=who):
                done = subprocess.run(['setpriv', *who, '--regid=nogroup', CONTROL, '-s', p.control, 'status'],
                                      capture_output=True, text=True, timeout=20)
                self.assertEqual(done.returncode, status, done.stderr)

    def test_its_group_comes_and_goes_with_a_reload(self):
        p = self.proxyd()
        file = os.stat(p.control).st_ino
        p.reload(global_={'control_group': 'adm'})
        self.assertEqual(self.owner(p), (0o660, os.getuid(), grp.getgrnam('adm').gr_gid))
        self.assertIn('sessions', p.order('status'))
        p.reload(global_={'control_group': None})
        self.assertEqual(self.owner(p)[0], 0o600)
        self.assertEqual(os.stat(p.control).st_ino, file)
        self.assertIn('sessions', p.order('status'))

    def test_it_moves_with_a_reload_and_goes_at_the_end(self):
        p = self.proxyd()
        talk = self.talk(p)
        old, p.control = p.control, os.path.join(p.folder, 'other.sock')
        p.configure()
        p.reload()
        self.assertFalse(os.path.exists(old))
        self.assertIn('sessions', p.order('status'))
        self.assertEqual(talk.ask(command='status')[-1]['status'], 0)
        p.stop()
        self.assertFalse(os.path.exists(p.control))
        self.assertEqual(control('-s', p.control, 'status').returncode, 69)

    def test_its_folder_is_made_at_the_start(self):
        p = self.new_proxyd()
        p.control = os.path.join(p.folder, 'made', 'control.sock')
        p.configure()
        p.start()
        self.assertIn('sessions', p.order('status'))

    def test_a_living_one_is_left_alone(self):
        p = self.proxyd()
        other = self.new_proxyd(global_={'control_socket': p.control})
        with self.assertRaisesRegex(AssertionError, 'ended with 69(?s:.*)another process'):
            other.start()
        self.assertIn('sessions', p.order('status'))
        third = self.proxyd()
        with open(third.path) as file:
            text = file.read()
        with open(third.path, 'w') as file:
            file.write(text.replace(third.control, p.control))
        self.assertIn('another process', third.order('reload', status=78))
        self.assertEqual(third.ask('status')['pid'], third.process.pid)
        self.assertEqual(p.ask('status')['pid'], p.process.pid)

    def test_a_dead_one_is_replaced_and_a_strangers_is_not_removed(self):
        p = self.new_proxyd()
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(p.control)
        dead.close()
        p.start()
        self.assertIn('sessions', p.order('status'))
        os.unlink(p.control)
        stranger = socket.socket(socket.AF_UNIX)
        self.addCleanup(stranger.close)
        stranger.bind(p.control)
        p.stop()
        self.assertTrue(os.path.exists(p.control))

    def test_what_is_no_request_is_answered(self):
        talk = self.talk(self.proxyd())
        for line in (b'', b'status', b'{}', b'[1]', b'{"command": "halt"}', b'{"command": "kick"}', b'\xff' * 9,
                     b'{"command": "status", "command": "status"}', b'[' * 3000):
            with self.subTest(line=line):
                talk.send(line + b'\n')
                answer = talk.answer()
                self.assertEqual((len(answer), answer[0]['status']), (1, 64))
                self.assertTrue(answer[0]['error'])
        self.assertEqual(talk.ask(command='status')[-1]['status'], 0)

    def test_requests_in_one_piece_and_in_many(self):
        talk = self.talk(self.proxyd())
        talk.send(b'{"command": "status"}\n{"command": "sessions"}\r\n{"command": "undrain", "node": "x"}\n')
        self.assertEqual([talk.answer()[-1]['status'] for _ in range(3)], [0, 0, 1])
        for byte in b'{"command": "status"}\n':
            talk.send(bytes([byte]))
        self.assertEqual(talk.answer()[-1]['status'], 0)

    def test_it_has_bounds(self):
        p = self.proxyd()
        long = self.talk(p)
        long.send(b'x' * 4096)
        self.assertTrue(long.ended())
        talks = [self.talk(p) for _ in range(16)]
        for talk in talks:
            self.assertEqual(talk.ask(command='status')[-1]['status'], 0)
        self.assertTrue(self.talk(p).ended())
        talks.pop().close()
        deadline = time.monotonic() + PATIENCE
        while control('-s', p.control, 'status').returncode and time.monotonic() < deadline:
            pass
        self.assertEqual(control('-s', p.control, 'status').returncode, 0)
        self.assertTrue(talks[0].ended())  # it was silent for too long

    def test_who_reads_nothing_keeps_nobody_waiting(self):
        p = self.proxyd()
        talk = self.talk(p)
        talk.sock.setblocking(False)
        for _ in range(100):
            try:
                talk.send(b'{"command": "status"}\n' * 1000)
            except BlockingIOError:
                pass
            except ConnectionError:
                break  # that was too much of it
            self.assertEqual(p.ask('status')['sessions'], 0)
        self.assertEqual(p.ask('status')['status'], 0)


class Usage(Case):
    def test_usage(self):
        for args in ([], ['nonsense'], ['--nonsense', 'status'], ['status', 'x'], ['sessions', 'x'], ['kick'],
                     ['kick', '--user', ''], ['kick', '--user', 'a', '--node', 'b'], ['kick', 'bob'], ['drain'],
                     ['drain', 'a', 'b'], ['drain', 'a', '--close', '5'], ['drain', 'a', '--close=soon'], ['undrain'],
                     ['hold'], ['hold', ''], ['hold', 'a\nb'], ['hold', b'\xff'], ['hold', 'x' * 256], ['release'],
                     ['reload', '--user', 'a'], ['flush', 'a', 'b'], ['trace'], ['trace', 'a', '--for', '0s'],
                     ['trace', 'a', '--for', '25h'], ['pardon'], ['status', '--password-stdin'], ['lookup'],
                     ['lookup', 'a', '--node', 'b'], ['-s', 'x', 'lookup', 'a']):
            with self.subTest(args=args):
                done = control('-s', '/nowhere', *args) if args[:1] != ['-s'] else control(*args)
                self.assertEqual((done.returncode, done.stdout), (64, ''))
                self.assertIn('usage: proxyctl', done.stderr)

    def test_nobody_there(self):
        for path in ('/nowhere/control.sock', '/' + 'x' * 200):
            done = control('-s', path, 'status')
            self.assertEqual((done.returncode, done.stdout), (69, ''))
            self.assertIn(path, done.stderr)
        silent = os.path.join(self.folder, 'silent')
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(silent)
        self.assertEqual(control('-s', silent, 'status').returncode, 69)
        listener.listen()
        process = subprocess.Popen([CONTROL, '-s', silent, 'status'], stderr=subprocess.PIPE, text=True)
        listener.accept()[0].close()
        self.assertEqual(process.wait(PATIENCE), 75)
        process.stderr.close()

    def test_what_is_no_socket_stays(self):
        p = self.new_proxyd()
        path = p.write('precious', 'words')
        p.configure(global_={'control_socket': path})
        with self.assertRaises(AssertionError) as refusal:
            p.start()
        self.assertIn('ended with 69', str(refusal.exception))
        self.assertIn(f'cannot listen for proxyctl on {path}: something else stands there', str(refusal.exception))
        with open(path) as file:
            self.assertEqual(file.read(), 'words')

    def test_the_socket_is_where_the_configuration_says(self):
        p = self.proxyd()
        self.assertEqual(control('-c', p.path, 'status').returncode, 0)
        self.assertEqual(control('status', '--json', '-c', p.path).returncode, 0)
        with open(p.path, 'w') as file:
            file.write('globe: {}')
        done = control('-c', p.path, 'status')
        self.assertEqual(done.returncode, 78)
        self.assertIn("did you mean 'global'?", done.stderr)


class Orders(Case):
    def test_status(self):
        node = self.node()
        p = self.proxyd('* node1', nodes={'node1': {'address': node.address}})
        self.login(p, node)
        p.order('drain', 'node1')
        p.order('hold', 'bob@example.org')
        status = p.ask('status')
        self.assertEqual((status['pid'], status['status']), (p.process.pid, 0))
        self.assertEqual((status['drained'], status['held']), (['node1'], ['bob@example.org']))
        imap = next(s for s in status['services'] if s['service'] == 'imap')
        self.assertEqual(imap['logins']['ok'], 1)
        told = next(n for n in status['nodes'] if n['service'] == 'imap')
        self.assertEqual((told['node'], told['host'], told['port'], told['up'], told['drained']),
                         ('node1', '127.0.0.1', node.port, True, True))
        text = p.order('status')
        for words in ('proxyd 0.', 'SERVICE', 'NODE', 'up, drained', 'drained: node1', 'on hold: bob@example.org'):
            self.assertIn(words, text)

    def test_reload(self):
        p = self.proxyd()
        self.assertEqual(p.order('reload'), 'reloaded\n')
        self.assertEqual(p.ask('reload'), {'problems': [], 'status': 0})
        p.wait('config', message='reloaded', count=2)
        with open(p.path, 'w') as file:
            file.write('globe: {}\nlog: {level: loud}\n')
        told = p.order('reload', status=78)
        checked = subprocess.run([os.path.join(os.path.dirname(CONTROL), 'proxyd'), '-c', p.path, '-t'],
                                 capture_output=True, text=True, timeout=20).stderr
        self.assertEqual(told, checked + 'proxyctl: not reloaded: the old configuration stays in use\n')
        done = control('-s', p.control, 'reload', '--json')
        self.assertEqual(done.returncode, 78)
        self.assertEqual(json.loads(done.stdout)['problems'], checked.splitlines())

    def test_reloads_at_once_all_get_an_answer(self):
        p = self.proxyd()
        orders = [subprocess.Popen([CONTROL, '-s', p.control, 'reload'], stdout=subprocess.DEVNULL) for _ in range(8)]
        self.assertEqual([order.wait(30) for order in orders], [0] * 8)

    def test_sessions(self):
        one, two = self.node(), self.node()
        p = self.proxyd(f'bob@example.org {one.address}\nalice@example.org {one.address} pop3={two.address}',
                        global_={'workers': {'min': 3}, 'default_domain': 'example.org'})
        self.assertEqual(p.order('sessions'), 'no sessions\n')
        self.assertEqual(p.ask('sessions'), {'sessions': []})
        bob, at_one = self.login(p, one, login='Bob')
        self.login(p, two, 'pop3', login='alice@example.org')
        talking = self.connect(p)
        talking.expect('* OK ...')
        bob.say('b NOOP')
        at_one.expect('b NOOP')
        everybody = p.ask('sessions')['sessions']
        self.assertEqual(len(everybody), 3)
        told = next(s for s in everybody if s['login'] == 'Bob')
        self.assertEqual((told['service'], told['node'], told['state'], told['bytes_in'], told['bytes_out']),
                         ('imap', one.address, 'carrying', 8, 0))
        self.assertEqual(told['client'], '%s:%d' % bob.sock.getsockname())
        self.assertEqual(told['session'], p.events('login', login='Bob')[0]['session'])
        nobody = next(s for s in everybody if not s['login'])
        self.assertEqual((nobody['node'], nobody['state']), (None, 'talking'))
        for args, logins in ((['--user', 'BOB@example.org'], ['Bob']), (['--user', 'bob'], ['Bob']),
                             (['--user', 'bob@example.net'], []), (['--node', two.address], ['alice@example.org']),
                             (['--service', 'imap'], [None, 'Bob']), (['--service', 'pop3', '--user', 'bob'], [])):
            with self.subTest(args=args):
                found = p.ask('sessions', *args)['sessions']
                self.assertEqual(sorted((s['login'] for s in found), key=str), sorted(logins, key=str))
        lines = p.order('sessions').splitlines()
        self.assertEqual(lines[0].split(), 'SESSION SERVICE LOGIN CLIENT NODE STATE AGE IN OUT'.split())
        self.assertEqual(len(lines), 4)

    def test_who_is_refused_can_be_pardoned(self):
        p = self.proxyd(imap={'limits': {'rate_per_ip': 2, 'interval': '1h'}})
        for words in ('* OK ...', '* OK ...', '* BYE ...'):
            self.connect(p).expect(words)
        self.connect(p, source='127.0.0.7').expect('* OK ...')
        refused = p.ask('status')['refused']
        self.assertEqual([(r['address'], r['level'], r['reason'], r['count']) for r in refused],
                         [('127.0.0.1', 'imap', 'rate_per_ip', 1)])
        self.assertIn('rate_per_ip', p.order('status'))
        self.assertIn('nothing is held', p.order('pardon', '127.0.0.9', status=1))
        self.assertIn('no address', p.order('pardon', 'mail.example.org', status=64))
        self.assertEqual(p.order('pardon', '127.0.0.1'), 'pardoned\n')
        self.assertEqual(p.ask('status')['refused'], [])
        self.connect(p).expect('* OK ...')
        self.assertGreater(p.ask('pardon', 'all')['pardoned'], 0)

    def test_kick(self):
        one, two = self.node(), self.node()
        p = self.proxyd(f'bob@example.org {one.address}\n* {two.address}', global_={'workers': {'min': 3}})
        bobs = [self.login(p, one) for _ in range(3)]
        alice, _ = self.login(p, two, 'pop3', login='alice@example.org')
        carol, _ = self.login(p, two, login='carol@example.org')
        dave, _ = self.login(p, two, login='dave@example.org')
        self.assertIn('nobody', p.order('kick', '--user', 'eve@example.org', status=1))
        p.order('kick', '--node', 'node7', status=1)
        self.assertEqual(p.order('kick', '--user', 'BOB@example.org'), '3 sessions kicked\n')
        for client, node in bobs:
            client.expect('* BYE Closed by the administrator')
            client.expect_end()
            node.expect_end()
        session = p.events('login', login='carol@example.org')[0]['session']
        self.assertEqual(p.ask('kick', '--session', session), {'kicked': 1, 'status': 0})
        carol.expect('* BYE ...')
        p.order('kick', '--session', session, status=1)
        self.assertEqual(p.ask('kick', '--node', two.address)['kicked'], 2)
        alice.expect('-ERR Closed by the administrator')
        dave.expect('* BYE ...')
        p.wait('close', count=6, reason='kicked')
        self.assertEqual(p.ask('sessions'), {'sessions': []})
        line = p.events('control', command='kick', status='0')[0]
        self.assertEqual((line['login'], line['user']), ('BOB@example.org', str(os.getuid())))

    def test_many_sessions(self):
        """2,000 of them on three workers: all are listed, once; new ones come and go meanwhile; all are kicked."""
        count = 2000
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 3 * count:
            self.skipTest(f'only {hard} open files are allowed')
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        p = self.proxyd(f'* 127.0.0.1:{free_port()}', global_={'workers': {'min': 3, 'max': 3}})
        clients = [self.connect(p) for _ in range(count)]
        for client in clients:
            client.expect('* OK ...')
        listed = p.ask('sessions')['sessions']
        self.assertEqual(len({session['session'] for session in listed}), count)
        lister = subprocess.Popen([CONTROL, '-s', p.control, '--json', 'sessions'], stdout=subprocess.PIPE)
        for client in clients[::2]:
            client.close()
        listed = json.load(lister.stdout)['sessions']
        lister.stdout.close()
        self.assertEqual(lister.wait(PATIENCE), 0)
        ids = [session['session'] for session in listed]
        self.assertTrue(count / 2 <= len(ids) == len(set(ids)) <= count)
        p.wait('close', count=count // 2, reason='client_closed')
        talk = Talk(p.control)
        talk.send(b'{"command": "sessions"}\n')
        talk.close()  # before it has read anything
        self.assertEqual(len(p.ask('sessions')['sessions']), count / 2)
        self.assertEqual(len(p.ask('sessions', '--service', 'pop3')['sessions']), 0)


class Completion(Case):
    def complete(self, p, *words):
        """What bash offers behind these words."""
        script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _proxyctl; '
                  '[ ${#COMPREPLY[@]} = 0 ] || printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(['bash', '-c', script, 'bash', os.path.join(ROOT, 'scripts', 'proxyctl.bash-completion'),
                               CONTROL, '-s', p.control, *words], capture_output=True, text=True, timeout=20,
                              cwd=self.folder)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        return done.stdout.split('\n')[:-1]

    def test_words_and_names(self):
        node = self.node()
        p = self.proxyd('* node1', nodes={'node1': {'address': node.address}})
        evil = '$(touch${IFS}bad)'
        self.login(p, node)
        client = self.connect(p)
        client.expect('* OK ...')
        client.say(f'a LOGIN "{evil}" x')
        node.accept().imap_login()
        client.expect('a OK hello')
        p.order('hold', 'carol')
        p.order('drain', 'node1')
        sessions = sorted(session['session'] for session in p.ask('sessions')['sessions'])
        for words, offered in ((['re'], ['release', 'reload']), (['drain', '--'], ['--close', '--json']),
                               (['drain', 'n'], ['node1']), (['undrain', ''], ['node1']), (['release', ''], ['carol']),
                               (['kick', '--user', 'bo'], ['bob@example.org']), (['kick', '--node', ''], ['node1']),
                               (['sessions', '--service', 'im'], ['imap']), (['kick', '--session', ''], sessions),
                               (['hold', '$'], [r'\$\(touch\$\{IFS\}bad\)']), (['reload', ''], [])):
            with self.subTest(words=words):
                self.assertEqual(self.complete(p, *words), offered)
        self.assertEqual(os.listdir(self.folder), [os.path.basename(p.folder)])

    def test_nobody_to_be_asked(self):
        self.assertEqual(self.complete(self.new_proxyd(), 'drain', ''), [])
