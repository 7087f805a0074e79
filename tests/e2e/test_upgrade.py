# SPDX-License-Identifier: ISC
"""Upgrades by USR2, sockets that systemd listens on, and its watchdog."""
import ctypes
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
import unittest

import proxyd
from browser import Application, Browser
from case import Case, authority
from proxyd import PASSWORD, Proxyd
from wire import PATIENCE, Wire

PR_SET_CHILD_SUBREAPER = 36


class Process:
    """A process that comes to us when its parent ends, as what subprocess.Popen gives."""

    def __init__(self, pid, stderr):
        self.pid, self.stderr, self.returncode = pid, stderr, None

    def poll(self):
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                return None  # it is its parent's yet
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while self.poll() is None:
            assert time.monotonic() < deadline, f'process {self.pid} does not end'
            time.sleep(0.01)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class Upgrading(Proxyd):
    """A program that is replaced while it serves: `process` is the newest one, `old` are those before
    it that have not ended yet."""

    def start(self):
        super().start()
        self.group, self.old = self.process.pid, []
        return self

    def upgrade(self):
        """Returns the process before, which may go on for a while."""
        told = r'event=upgrade .*process (\d+) serves in the place of this one'
        count = len(self.found(told))
        self.signal(signal.SIGUSR2)
        before, self.process = self.process, Process(int(self.wait_line(told, count + 1)), self.process.stderr)
        self.old.append(before)
        return before

    def found(self, pattern):
        with self.news:
            return [m[1] for line in self.lines if (m := re.search(pattern, line))]

    def wait_line(self, pattern, count=1):
        """What stands in the parentheses of PATTERN in the log."""
        deadline = time.monotonic() + PATIENCE
        while len(found := self.found(pattern)) < count:
            assert time.monotonic() < deadline, f'no {pattern} in the log:\n' + '\n'.join(self.lines[-40:])
            time.sleep(0.01)
        return found[count - 1]

    def end_old(self, number=None):
        """All processes before the newest one end, by themselves or by a signal."""
        for before in self.old:
            if number:
                before.send_signal(number)
            status = before.wait(PATIENCE)
            assert status == 0, f'process {before.pid} ended with {status}:\n' + '\n'.join(self.lines[-40:])
        self.old = []

    def stop(self):
        try:
            self.end_old(signal.SIGTERM)
            super().stop()
        finally:
            try:
                os.killpg(self.group, signal.SIGKILL)
            except ProcessLookupError:
                pass


class Storm(threading.Thread):
    """Connects again and again until it is told to stop; each connection has to be greeted."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.greeted, self.faults, self.ends = port, 0, [], False

    def run(self):
        while not self.ends:
            try:
                with socket.create_connection(('127.0.0.1', self.port), PATIENCE) as sock:
                    if not sock.recv(1000).startswith(b'* OK'):
                        self.faults.append('closed without a greeting')
                    self.greeted += 1
            except OSError as error:
                self.faults.append(str(error))


class Base(Case):
    def setUp(self):
        super().setUp()
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.binary = os.path.join(self.folder, 'proxyd')
        shutil.copy(proxyd.BINARY, self.binary)
        os.chmod(self.binary, 0o755)

    def upgrading(self, users='', **sections):
        """Runs a copy of the program, which can be replaced."""
        made = Upgrading(self.subfolder('proxyd'), authority(), users, **sections)
        self.addCleanup(made.stop)
        before, proxyd.BINARY = proxyd.BINARY, self.binary
        try:
            return made.start()
        finally:
            proxyd.BINARY = before

    def replace(self, main):
        """A new program in the place of ours, of which this is main."""
        subprocess.run(['cc', '-include', 'stdlib.h', '-include', 'unistd.h', '-x', 'c', '-o', self.binary + '.new', '-'],
                       input=f'int main(void) {{ {main} }}', text=True, check=True)
        os.rename(self.binary + '.new', self.binary)


class Upgrade(Base):
    def test_sessions_live_on_and_new_ones_go_to_the_new_process(self):
        node = self.node()
        p = self.upgrading(f'* {node.address}', global_={'shutdown_grace': '60s'})
        client, wire = self.login(p, node)
        talking = self.connect(p)
        talking.expect('* OK ...')
        before = p.upgrade()
        self.assertNotEqual(before.pid, p.process.pid)
        client.say('x NOOP')
        wire.expect('x NOOP')
        wire.say('x OK')
        client.expect('x OK')
        talking.ask('a NOOP', 'a OK ...')
        new = self.login(p, node)
        self.assertIsNone(before.poll())
        for each in client, wire, talking, *new:
            each.close()
        p.end_old()
        self.assertIsNone(p.process.poll())

    def test_no_connection_is_refused_in_a_storm_of_them(self):
        p = self.upgrading(global_={'shutdown_grace': '5s', 'workers': {'min': 2, 'max': 2}})
        storms = [Storm(p.port['imap']) for _ in range(4)]
        for storm in storms:
            storm.start()
        for _ in range(6):
            p.upgrade()
        for storm in storms:
            storm.ends = True
        for storm in storms:
            storm.join(PATIENCE)
        self.assertEqual([storm.faults for storm in storms], [[], [], [], []])
        self.assertGreater(sum(storm.greeted for storm in storms), 50)
        p.end_old()

    def test_sessions_have_their_time_and_are_closed_one_after_the_other(self):
        node = self.node()
        p = self.upgrading(f'* {node.address}', global_={'shutdown_grace': '3s', 'workers': {'min': 1, 'max': 1}})
        sessions = [self.login(p, node) for _ in range(5)]
        began, ended = time.monotonic(), []
        p.upgrade()
        for client, _ in reversed(sessions):  # the newest one is the first of the list
            client.expect('* BYE ...')
            ended.append(time.monotonic() - began)
            client.expect_end()
            client.close()
        self.assertGreater(ended[0], 3)
        self.assertGreater(ended[-1] - ended[0], 0.5)
        p.end_old()

    def test_a_program_that_fails_changes_nothing(self):
        node = self.node()
        p = self.upgrading(f'* {node.address}')
        for main, words in (('return 3;', 'ended with status 3: this one goes on'),
                            ('abort();', 'was ended by signal 6: this one goes on')):
            with self.subTest(main):
                self.replace(main)
                p.signal(signal.SIGUSR2)
                p.wait_line(f'event=upgrade.*({words})')
                self.login(p, node)[0].close()
        os.remove(self.binary)
        p.signal(signal.SIGUSR2)
        p.wait_line('event=upgrade.*(cannot start .*: No such file or directory)')
        shutil.copy(proxyd.BINARY, self.binary + '.good')
        os.rename(self.binary + '.good', self.binary)
        p.upgrade()
        self.login(p, node)[0].close()

    def test_a_bad_configuration_changes_nothing_and_is_told(self):
        node = self.node()
        p = self.upgrading(f'* {node.address}')
        good = p.path
        with open(good) as file:
            kept = file.read()
        with open(good, 'w') as file:
            file.write('globe: {}\n')
        p.signal(signal.SIGUSR2)
        p.wait('upgrade', level='error', message=f'{good}:1:1: error: ...')
        p.wait_line('event=upgrade.*(ended with status 78)')
        self.login(p, node)[0].close()
        with open(good, 'w') as file:
            file.write(kept)
        p.upgrade()
        self.login(p, node)[0].close()

    def test_tickets_are_good_behind_it(self):
        p = self.upgrading()
        for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
            context = p.context()
            context.minimum_version = context.maximum_version = version
            client = self.connect(p, 'imaps', context=context)
            client.expect('* OK ...')
            session = client.sock.session
            p.upgrade()
            sock = socket.create_connection(('127.0.0.1', p.port['imaps']), PATIENCE)
            again = Wire(context.wrap_socket(sock, server_hostname='mail.example.org', session=session), 'client')
            self.addCleanup(again.close)
            again.expect('* OK ...')
            self.assertTrue(again.sock.session_reused, version)

    def test_webmail_cookies_are_good_behind_it(self):
        app = Application('node1', {'bob@example.org': PASSWORD})
        self.addCleanup(app.stop)
        p = self.upgrading(f'* {app.address}', webmail={'login': {'backend': {'path': app.login_path}}})
        browser = Browser(p.port['webmail'])
        self.assertEqual(browser.login('bob@example.org', PASSWORD).status, 303)
        self.assertEqual(browser.get('/inbox').text, 'inbox on node1: /inbox')
        p.upgrade()
        p.end_old()
        self.assertEqual(browser.get('/inbox').text, 'inbox on node1: /inbox')

    def test_every_kind_of_listener_goes_along(self):
        path = os.path.join(self.folder, 'imap.sock')
        p = self.upgrading(imap={'listeners': [{'address': f'unix:{path}', 'tls': 'none'}]}, global_={'shutdown_grace': '0s'})
        inode = os.stat(path).st_ino
        for _ in range(2):
            p.upgrade()
            p.end_old()
            self.assertEqual(os.stat(path).st_ino, inode)
            sock = socket.socket(socket.AF_UNIX)
            self.addCleanup(sock.close)
            sock.settimeout(PATIENCE)
            sock.connect(path)
            self.assertTrue(sock.recv(1000).startswith(b'* OK'))
        p.signal(signal.SIGTERM)
        self.assertEqual(p.wait_end(), 0)
        self.assertFalse(os.path.exists(path))

    def test_systemd_is_told(self):
        p = self.upgrading(global_={'shutdown_grace': '0s'})
        p.upgrade()
        p.wait_notice(f'MAINPID={p.process.pid}')
        p.end_old()
        p.reload()

    def test_what_is_drained_and_held_by_hand_stays_so(self):
        p = self.upgrading('* node1', nodes={'node1': {'address': '127.0.0.1'}}, global_={'shutdown_grace': '0s'})
        p.order('drain', 'node1')
        p.order('hold', 'bob@example.org')
        for _ in range(2):
            p.upgrade()
            p.end_old()
            told = p.ask('status')
            self.assertEqual((told['drained'], told['held']), (['node1'], ['bob@example.org']))
        p.order('release', 'bob@example.org')
        p.order('undrain', 'node1')

    def test_proxyctl_sees_the_sessions_of_the_process_before(self):
        node = self.node()
        users = f'bob@example.org {node.address}\nann@example.org {node.address}\neve@example.org {node.address}'
        p = self.upgrading(users, global_={'shutdown_grace': '60s'})
        old = {login: self.login(p, node, login=f'{login}@example.org') for login in ('bob', 'ann', 'eve')}
        stale = pathlib.Path(f'{p.control}.1')  # of a process that was killed
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(stale))
        before = p.upgrade()
        new = self.login(p, node)
        aside = pathlib.Path(f'{p.control}.{before.pid}')
        self.assertEqual(stat.S_IMODE(aside.stat().st_mode), 0o600)
        self.assertFalse(stale.exists())
        told = p.ask('sessions')['sessions']
        self.assertEqual(sorted((s['login'], s.get('replaced', False)) for s in told), [
            ('ann@example.org', True), ('bob@example.org', False), ('bob@example.org', True), ('eve@example.org', True)])
        status = p.ask('status')
        self.assertEqual((status['sessions'], [(s['pid'], s['sessions']) for s in status['replaced']]),
                         (1, [(before.pid, 3)]))
        self.assertIn(f'process {before.pid}, replaced, up', p.order('status'))
        self.assertIn('ann@example.org', p.order('sessions'))
        self.assertEqual(p.ask('kick', '--user', 'bob@example.org')['kicked'], 2)
        old['bob'][0].expect('* BYE ...')
        new[0].expect('* BYE ...')
        self.assertEqual(p.ask('kick', '--user', 'ann@example.org')['kicked'], 1)  # the newest process has nobody
        old['ann'][0].expect('* BYE ...')
        p.order('kick', '--user', 'nobody@example.org', status=1)
        p.order('hold', 'eve@example.org')
        old['eve'][0].expect('* BYE ...')
        for client, wire in [*old.values(), new]:
            client.close()
            wire.close()
        p.end_old()
        self.assertFalse(aside.exists())
        self.assertNotIn('replaced', p.ask('status'))

    def test_penalties_are_not_forgiven_by_it(self):
        p = self.upgrading(global_={'shutdown_grace': '0s', 'limits': {
            'auth_failures_per_ip': 2, 'rate_per_ip': 6, 'interval': '1h'}})
        for word in 'AUTHENTICATIONFAILED', 'AUTHENTICATIONFAILED', 'UNAVAILABLE':
            self.guess(p, word)
        for _ in range(2):
            p.upgrade()
            p.end_old()
            self.guess(p, 'UNAVAILABLE')
        self.assertEqual([(e['address'], e['reason']) for e in p.ask('status')['refused']],
                         [('127.0.0.1', 'auth_failures_per_ip')])
        self.connect(p).expect('* OK ...')
        self.connect(p).expect('* BYE ...')  # the rate goes on too
        p.order('pardon', '127.0.0.1')
        self.guess(p, 'AUTHENTICATIONFAILED')

    def guess(self, p, word):
        self.guesses = getattr(self, 'guesses', 0) + 1
        client = self.connect(p)
        client.expect('* OK ...')
        client.ask(f'a LOGIN bob@example.org guess{self.guesses}', f'a NO [{word}] ...')
        client.close()

    def test_told_to_end_meanwhile(self):
        p = self.upgrading()
        self.replace('sleep(1000); return 0;')
        p.signal(signal.SIGUSR2)
        child = int(p.wait_line(r'starting .* as process (\d+)'))
        p.signal(signal.SIGTERM)
        self.assertEqual(p.wait_end(), 0)
        with self.assertRaises(ProcessLookupError):
            os.kill(child, 0)

    def test_secrets_are_in_no_environment(self):
        p = self.upgrading()
        p.upgrade()
        with open(f'/proc/{p.process.pid}/environ', 'rb') as file:
            variables = dict(entry.split(b'=', 1) for entry in file.read().split(b'\0') if b'=' in entry)
        self.assertRegex(variables[b'PROXYD_UPGRADE'], rb'^\d+:\d+:\d+$')

    def test_a_variable_of_somebody_else_is_not_believed(self):
        os.environ['PROXYD_UPGRADE'] = '1:0:0'
        self.addCleanup(os.environ.pop, 'PROXYD_UPGRADE')
        p = self.proxyd()
        self.connect(p).expect('* OK ...')


class SocketActivation(Base):
    def test_sockets_are_taken_over(self):
        p = self.new_proxyd()
        given = socket.create_server(('127.0.0.1', p.port['imap']), backlog=1)
        stranger = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(given.close)
        self.addCleanup(stranger.close)
        early = socket.create_connection(('127.0.0.1', p.port['imap']), PATIENCE)  # before it runs
        script = ('import os, sys\n'
                  'os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4)\n'
                  'os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="imap:x")\n'
                  'os.execv(sys.argv[3], sys.argv[3:])\n')
        log = os.path.join(self.folder, 'stderr')
        with open(log, 'w') as file:
            os.set_inheritable(given.fileno(), True)
            process = subprocess.Popen([sys.executable, '-c', script, str(given.fileno()), str(stranger.fileno()), proxyd.BINARY, '-c', p.path],
                                       stderr=file, pass_fds=[given.fileno(), stranger.fileno()])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wire = Wire(early, 'client')
        self.addCleanup(wire.close)
        wire.expect('* OK ...')
        self.connect(p, 'pop3').expect('+OK ...')  # on one that it has opened itself
        told = f'systemd listens on 127.0.0.1:{stranger.getsockname()[1]}, but no listener'
        deadline = time.monotonic() + PATIENCE
        while told not in pathlib.Path(log).read_text():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        process.terminate()
        self.assertEqual(process.wait(PATIENCE), 0)


class Watchdog(Base):
    def watched(self):
        os.environ['WATCHDOG_USEC'] = '200000'
        self.addCleanup(os.environ.pop, 'WATCHDOG_USEC')
        return self.upgrading(global_={'shutdown_grace': '0s'})

    def test_it_is_told_again_and_again(self):
        p = self.watched()
        for _ in range(3):
            p.wait_notice('WATCHDOG=1')
        p.upgrade()
        p.end_old()
        for _ in range(3):
            p.wait_notice('WATCHDOG=1')

    def test_not_of_somebody_else(self):
        os.environ['WATCHDOG_PID'] = '1'
        self.addCleanup(os.environ.pop, 'WATCHDOG_PID')
        p = self.watched()
        time.sleep(0.5)
        p.notices.settimeout(0.1)
        with self.assertRaises(TimeoutError):
            p.notices.recv(1000)


class Sandbox(Base):
    @unittest.skipIf(os.environ.get('SAN'), 'not with AddressSanitizer')
    def test_what_is_given_up(self):
        p = self.proxyd()
        self.assertEqual(p.status('NoNewPrivs'), '1')
        self.assertEqual(p.status('Seccomp'), '2')
        p = self.proxyd(global_={'sandbox': False})
        self.assertEqual(p.status('NoNewPrivs'), '0')
        self.assertEqual(p.status('Seccomp'), '0')

    def test_log_and_control_socket_come_and_go(self):
        log = os.path.join(self.folder, 'log')
        p = self.new_proxyd(log={'target': log})
        p.start()
        os.rename(log, log + '.1')
        p.signal(signal.SIGUSR1)
        deadline = time.monotonic() + PATIENCE
        while not os.path.exists(log):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        p.reload()
        p.order('status')

    @unittest.skipIf(os.getuid(), 'only root has privileges to drop')
    def test_an_upgrade_of_somebody_who_was_root(self):
        p = self.upgrading(global_={'user': 'nobody', 'shutdown_grace': '0s'})
        p.signal(signal.SIGUSR2)
        p.wait_line('event=upgrade.*(key: cannot read)')
        p.wait_line('(ended with status 78)')
        key = os.path.join(self.folder, 'key')
        shutil.copy(p.authority.server[1], key)
        os.chmod(key, 0o644)
        p.configure(tls={'key': key})
        p.upgrade()
        p.end_old()
        self.assertEqual(set(p.status('Uid').split()), {'65534'})
        self.assertEqual(int(p.status('CapEff'), 16), 0)
        self.connect(p, 'imaps').expect('* OK ...')
