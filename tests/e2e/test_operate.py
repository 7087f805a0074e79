# SPDX-License-Identifier: ISC
"""What an operator does: check, start, reload, reopen the log, stop; and what he reads in the log."""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import unittest

from case import Case, authority
from proxyd import BINARY, PASSWORD, WRONG, parse
from wire import free_port


def run(*args):
    return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)


class CommandLine(Case):
    def write(self, name, content):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as file:
            file.write(content)
        return path

    def test_version_and_usage(self):
        self.assertRegex(run('--version').stdout, r'^proxyd \d+\.\d+')
        for args in (['-x'], ['-c'], ['file'], ['-t', '-T']):
            self.assertEqual(run(*args).returncode, 64, args)

    def test_too_few_descriptors(self):
        p = self.new_proxyd('* 127.0.0.1')
        for limit in 4, 7, 15, 16, 17, 19:
            done = subprocess.run(['timeout', '--signal=INT', '2', 'prlimit', f'--nofile={limit}', BINARY, '-c', p.path],
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL,
                                  env={**os.environ, 'ASAN_OPTIONS': 'detect_leaks=0'})  # that opens files too
            self.assertIn(done.returncode, (69, 71, 78, 124), done.stderr)
            self.assertNotIn('Assertion', done.stderr)

    def test_a_good_configuration(self):
        p = self.new_proxyd('* 127.0.0.1')
        done = run('-c', p.path, '-t')
        self.assertEqual((done.returncode, done.stderr), (0, ''))

    def test_every_problem_in_one_run(self):
        users = self.write('users.map', 'bob\n')
        path = self.write('proxyd.yaml', f'''
global:
  hostnam: mail.example.org
  shutdown_grace: soon
log:
  level: loud
maps:
  local: {{type: file, path: {users}}}
services:
  imap:
    listeners:
      - {{address: "127.0.0.1:99999", tls: none}}
      - {{address: "127.0.0.1:{free_port()}", tls: implicit, certificate: /nowhere/x.pem, key: /nowhere/x.key}}
    maps: [lokal]
    max_errors: -1
    max_errors: 5
    backend:
      queue_size: many
''')
        done = run('-c', path, '-t')
        self.assertEqual(done.returncode, 78)
        lines = done.stderr.splitlines()
        for line in lines:
            self.assertRegex(line, r'^\S+:\d+(:\d+)?: (error|warning): \S')
        for place, words in (('3:3', "did you mean 'hostname'?"), ('4:19', 'error'), ('6:10', 'error'),
                             ('12:19', 'error'), ('13:66', '/nowhere/x.pem'), ('13:87', '/nowhere/x.key'),
                             ('14:12', "did you mean 'local'?"), ('15:17', 'error'), ('16:5', 'line 15'),
                             ('18:19', 'error')):
            with self.subTest(place=place):
                self.assertTrue([line for line in lines if line.startswith(f'{path}:{place}') and words in line],
                                done.stderr)
        self.assertIn(f'{users}:1: error: ', done.stderr)

    def test_problems_that_are_configuration_errors(self):
        port = free_port()
        listeners = f'listeners: [{{address: "127.0.0.1:{port}", tls: none}}], failover: 127.0.0.1'
        good = f'services: {{imap: {{{listeners}'
        for name, content in (('twice', good + f'}}, pop3: {{{listeners}}}}}'),
                              ('yaml', 'global: ['), ('unknown', 'globe: {}'),
                              ('proxy', 'global: {trusted_networks: []}\n' +
                               good.replace('none}', 'none, proxy_protocol: true}') + '}}'),
                              ('secret', 'tls: {certificate: "${file:/nowhere}", key: x}')):
            with self.subTest(name=name):
                done = run('-c', self.write(name, content), '-t')
                self.assertEqual(done.returncode, 78, done.stderr)
                self.assertIn(': error: ', done.stderr)
        self.assertEqual(run('-c', '/nowhere/proxyd.yaml', '-t').returncode, 78)
        self.assertEqual(run('-c', '/nowhere/proxyd.yaml').returncode, 78)

    def test_folder_is_merged_in_name_order(self):
        port = free_port()
        self.write('conf/10-first.yaml', 'global: {hostname: one.example.org, default_domain: example.org}\n')
        self.write('conf/20-second.yaml', f'global:\n  hostname: two.example.org\n'
                   f'services: {{imap: {{listeners: [{{address: "127.0.0.1:{port}", tls: none}}],'
                   f' failover: 127.0.0.1}}}}\n')
        self.write('conf/ignored.yml', 'nonsense: [')
        done = run('-c', os.path.join(self.folder, 'conf'), '-T')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r'hostname: "?two\.example\.org"? +# \S*20-second\.yaml:2')
        self.assertRegex(done.stdout, r'default_domain: "?example\.org"? +# \S*10-first\.yaml:1')
        self.assertRegex(done.stdout, r'level: info +# default')

    def test_effective_configuration_reads_back(self):
        p = self.new_proxyd('* 127.0.0.1', imap={'authentication': 'proxy', 'backend': {
            'login': 'master', 'master_user': 'proxy', 'master_password': 'm4ster-word'}})
        first = run('-c', p.path, '-T')
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertNotIn('m4ster-word', first.stdout)
        self.assertIn('********', first.stdout)
        second = run('-c', self.write('again.yaml', first.stdout), '-T')
        self.assertEqual(second.returncode, 0, second.stderr)
        bare = [re.sub(r' *#.*', '', text) for text in (first.stdout, second.stdout)]
        self.assertEqual(*bare)

    def test_secret_from_a_file(self):
        secret = self.write('secret', 'm4ster-word\n')
        node = self.node()
        p = self.proxyd(f'* {node.address} password={PASSWORD}', imap={'authentication': 'proxy', 'backend': {
            'login': 'master', 'master_user': 'proxy', 'master_password': f'${{file:{secret}}}'}})
        client = self.connect(p)
        client.expect('* OK ...')
        client.say(f'a LOGIN bob {PASSWORD}')
        self.assertEqual(node.accept().imap_login(greeting='* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] node')[1],
                         'm4ster-word')

    def test_a_listener_that_cannot_be_bound(self):
        p = self.new_proxyd()
        self.node(port=p.port['imap'])
        done = run('-c', p.path)
        self.assertEqual(done.returncode, 69)
        self.assertIn(str(p.port['imap']), done.stderr)


class Reload(Case):
    def test_an_error_changes_nothing(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}')
        with open(p.path, 'w') as file:
            file.write('globe: {}\nlog: {level: loud}\n')
        p.reload()
        p.wait('config', level='error', message=f'{p.path}:1:1: ...')
        p.wait('config', level='error', message=f'{p.path}:2:...')
        self.login(p, node)

    def test_new_sessions_get_the_new_one_and_old_ones_live_on(self):
        old, new = self.node(), self.node()
        p = self.proxyd(f'* {old.address}')
        waiting = self.connect(p)
        waiting.expect('* OK [CAPABILITY ...')
        client, wire = self.login(p, old)
        p.set_users(f'* {new.address}\n')
        p.reload(global_={'hostname': 'new.example.org'})
        self.assertIn('new.example.org', self.connect(p).line())
        self.login(p, new)
        client.say('x NOOP')
        wire.expect('x NOOP')
        waiting.ask('a NOOP', 'a OK ...')

    def test_listeners_come_and_go(self):
        p = self.proxyd()
        port, old = free_port(), self.connect(p)
        old.expect('* OK ...')
        p.reload(imap={'listeners': [{'address': f'127.0.0.1:{port}', 'tls': 'none'}]})
        self.assertRaises(ConnectionRefusedError, p.connect, 'imap')
        p.port['imap'] = port
        self.connect(p).expect('* OK ...')
        old.ask('a NOOP', 'a OK ...')

    def test_listeners_of_every_family(self):
        path, port = os.path.join(self.folder, 'imap'), free_port()
        p = self.proxyd(imap={'plaintext_auth': 'trusted',
                              'listeners': [{'address': f'[::1]:{port}', 'tls': 'none'},
                                            {'address': f'unix:{path}', 'tls': 'none'}]})
        for family, address in ((socket.AF_INET6, ('::1', port)), (socket.AF_UNIX, path)):
            with self.subTest(family=family), socket.socket(family) as sock:
                sock.connect(address)
                greeting = sock.recv(1000)
                self.assertTrue(greeting.startswith(b'* OK '))
                self.assertNotIn(b'LOGINDISABLED', greeting)
        p.wait('connect', client='[::1]:...', listener=f'[::1]:{port}')
        p.wait('connect', listener='unix...')

    def test_socket_files_go_with_their_listeners(self):
        first, second, others = (os.path.join(self.folder, name) for name in ('first', 'second', 'others'))

        def listen(*paths):
            return {'listeners': [{'address': f'unix:{path}', 'tls': 'none'} for path in paths]}

        p = self.proxyd(imap=listen(first, others))
        p.reload(imap=listen(second, others))
        self.assertFalse(os.path.exists(first))
        p.reload(imap=listen(second, others, os.path.join(self.folder, 'nowhere', 'x')))
        p.wait('config', level='error', message='not reloaded...')
        self.assertTrue(os.path.exists(second))
        os.unlink(others)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(others)
            p.stop()
        self.assertFalse(os.path.exists(second))
        self.assertTrue(os.path.exists(others))

    def test_no_connection_is_lost_by_reloads(self):
        p = self.proxyd(global_={'workers': {'min': 2, 'max': 2}})
        for _ in range(10):
            clients = [self.connect(p) for _ in range(20)]
            p.reload()
            for client in clients:
                client.expect('* OK ...')
                client.close()


class Signals(Case):
    def test_reopen_the_log(self):
        log = os.path.join(self.folder, 'log')
        p = self.proxyd(log={'target': log})
        self.connect(p).expect('* OK ...')
        os.rename(log, log + '.1')
        p.signal(signal.SIGUSR1)
        self.wait_for(lambda: os.path.exists(log))
        self.connect(p, 'pop3').expect('+OK...')
        self.wait_for(lambda: 'service=pop3' in open(log).read())
        self.assertNotIn('service=pop3', open(log + '.1').read())
        self.assertIn('event=connect service=imap', open(log + '.1').read())

    def test_reload_leaves_the_log_open(self):
        """Who has dropped privileges may not be able to open it again."""
        log = os.path.join(self.folder, 'log')
        p = self.proxyd(log={'target': log})
        os.rename(log, log + '.1')
        p.reload(log={'level': 'debug'})
        self.assertIn('message=reloaded', open(log + '.1').read())
        self.assertFalse(os.path.exists(log))

    def wait_for(self, condition):
        deadline = time.monotonic() + 10
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def test_term_lets_sessions_end(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}', global_={'shutdown_grace': '30s'})
        client, wire = self.login(p, node)
        p.signal(signal.SIGTERM)
        self.wait_for(lambda: self.refused(p))
        client.say('x LOGOUT')
        wire.expect('x LOGOUT')
        wire.say('* BYE', 'x OK')
        wire.close()
        client.expect('* BYE', 'x OK')
        client.close()
        self.assertEqual(p.wait_end(), 0)

    @staticmethod
    def refused(p):
        try:
            p.connect('imap').close()
            return False
        except OSError:
            return True

    def test_without_standard_descriptors(self):
        """What is logged must not go to whichever socket gets the number of standard error."""
        p = self.new_proxyd()
        with open(p.write('start.sh', f'exec {BINARY} -c {p.path} <&- >&- 2>&-')) as script:
            process = subprocess.Popen(['sh'], stdin=script)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        self.wait_for(lambda: not self.refused(p))
        for number in 0, 1, 2:
            self.assertEqual(os.readlink(f'/proc/{process.pid}/fd/{number}'), '/dev/null')

    def test_term_with_little_grace(self):
        imap, pop3 = self.node(), self.node()
        p = self.proxyd(f'* 127.0.0.1 imap={imap.address} pop3={pop3.address}', global_={'shutdown_grace': '300ms'})
        client, wire = self.login(p, imap)
        popper, _ = self.login(p, pop3, 'pop3')
        busy, in_line = self.login(p, imap)
        in_line.send(b'half a line')
        busy.read(11)
        early = self.connect(p)
        early.expect('* OK ...')
        p.signal(signal.SIGTERM)
        client.expect('* BYE ...')
        client.expect_end()
        wire.expect_end()
        popper.expect('-ERR ...')
        popper.expect_end()
        busy.expect_end()
        early.expect('* BYE ...')
        early.expect_end()
        for wire in client, popper, busy, early:
            wire.close()
        self.assertEqual(p.wait_end(), 0)
        self.assertEqual(len(p.events('close', reason='shutdown')), 4)

    def test_a_second_term_ends_at_once(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}', global_={'shutdown_grace': '1h'})
        client, _ = self.login(p, node)
        p.signal(signal.SIGINT)
        self.wait_for(lambda: self.refused(p))
        p.signal(signal.SIGTERM)
        self.assertEqual(p.wait_end(), 0)

    def test_it_ends_as_well_when_more_signals_come(self):
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2) * 5:
            with self.subTest(number=number):
                p = self.proxyd()
                p.signal(signal.SIGTERM)
                while p.process.poll() is None:
                    for _ in range(20):
                        os.kill(p.process.pid, number)  # it is there until poll has seen its end
                self.assertEqual(p.wait_end(), 0)

    @unittest.skipIf(os.getuid(), 'only root has privileges to drop')
    def test_privileges_are_dropped(self):
        p = self.proxyd(global_={'user': 'nobody'})
        self.assertEqual(set(p.status('Uid').split()), {'65534'})
        self.assertEqual(set(p.status('Gid').split()), {'65534'})
        self.assertEqual(int(p.status('CapEff'), 16), 0)
        self.connect(p).expect('* OK ...')


# What a line begins with, in this order.
KEYS = 'time', 'level', 'event', 'service', 'session', 'client', 'login', 'node'


class Log(Case):
    def story(self, **log):
        """A refused login, a good one, and the end; returns the lines of that session."""
        node = self.node()
        p = self.proxyd(f'bob\\"x@example.org {node.address}\nbob@example.org {node.address}', log=log)
        client = self.connect(p, 'imaps')
        client.expect('* OK ...')
        client.ask(f'a LOGIN "eve\\\\ = \\"1\\" x" {WRONG}', 'a NO ...')
        client.say(f'b LOGIN bob@example.org {PASSWORD}')
        wire = node.accept()
        wire.imap_login()
        client.expect('b OK ...')
        wire.close()
        client.expect_end()
        client.close()
        p.wait('close')
        return p

    def check(self, p):
        session = p.wait('connect')['session']
        lines = [fields for fields in map(parse, p.lines) if fields.get('session') == session]
        self.assertEqual([fields['event'] for fields in lines],
                         ['connect', 'route', 'login', 'route', 'login', 'close'])
        for fields in lines:
            self.assertEqual(fields['service'], 'imap')
            self.assertRegex(fields['client'], r'^127\.0\.0\.1:\d+$')
            self.assertRegex(fields['time'], r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d')
            first = [key for key in KEYS if key in fields]
            self.assertEqual(list(fields)[:len(first)], first)
        self.assertEqual(lines[2]['login'], 'eve\\ = "1" x')
        self.assertEqual((lines[2]['result'], lines[4]['result']), ('failed', 'ok'))
        close = lines[5]
        self.assertEqual((close['reason'], close['login']), ('node_closed', 'bob@example.org'))
        self.assertTrue(float(close['seconds']) >= 0 and int(close['bytes_in']) >= 0 and int(close['bytes_out']) >= 0)

    def test_logfmt(self):
        p = self.story()
        self.check(p)
        for line in p.lines:
            self.assertRegex(line, r'^time=\S+ level=\w+ event=\w+( \w+=("([^"\\]|\\.)*"|[^ "]+))*$')

    def test_json(self):
        p = self.story(format='json')
        self.check(p)
        for line in p.lines:
            self.assertEqual(list(json.loads(line))[:3], ['time', 'level', 'event'])

    def test_levels_by_service(self):
        p = self.proxyd(log={'level': 'info', 'events': {'imap': 'error'}})
        self.connect(p).expect('* OK ...')
        self.connect(p, 'pop3').expect('+OK...')
        p.wait('connect', service='pop3')
        self.assertFalse(p.events('connect', service='imap'))


class Load(Case):
    def test_workers_come_and_go(self):
        certificate, key = authority().issue('big', 'DNS:mail.example.org', key='rsa:4096')
        p = self.proxyd(global_={'workers': {'min': 1, 'max': 2}}, tls={'certificate': certificate, 'key': key})
        quiet = self.connect(p)
        quiet.expect('* OK ...')
        p.reload()  # now the thread pool runs, too
        before = p.threads()
        stop = threading.Event()
        crowd = [threading.Thread(target=self.keep_busy, args=(p, stop)) for _ in range(4)]
        for thread in crowd:
            thread.start()
        try:
            self.wait_workers(p, before + 1)
        finally:
            stop.set()
            for thread in crowd:
                thread.join()
        self.wait_workers(p, before)
        quiet.ask('a NOOP', 'a OK ...')
        self.connect(p).expect('* OK ...')

    def wait_workers(self, p, threads):
        deadline = time.monotonic() + 30
        while p.threads() != threads:
            self.assertLess(time.monotonic(), deadline, f'{p.threads()} threads, not {threads}')
            time.sleep(0.05)

    @staticmethod
    def keep_busy(p, stop):
        """Handshakes with a large RSA key cost the server ten times what they cost us."""
        while not stop.is_set():
            wire = p.connect('imaps')
            wire.expect('* OK ...')
            wire.close()

    def test_descriptors_run_out_and_come_back(self):
        p = self.proxyd(under=('prlimit', '--nofile=64'))
        clients = [self.connect(p) for _ in range(64)]
        for client in clients[:10]:
            client.expect('* OK ...')
        p.wait('listener', level='error')
        late = self.connect(p)
        for client in clients:
            client.close()
        late.expect('* OK ...')
        p.wait('listener', message='accepting again')
        self.connect(p).expect('* OK ...')

    def test_a_limit_that_is_too_low_is_told(self):
        p = self.proxyd(under=('prlimit', '--nofile=200'), nodes={'node1': {'address': '127.0.0.1'}},
                        imap={'backend': {'max_connections': 1000}})
        p.wait('start', level='warning', message='the limit of 200 open files is too low...')
