# SPDX-License-Identifier: ISC
"""What fails around a proxyd that runs: it refuses, never crashes, and the log names the cause."""
import contextlib
import ctypes
import mmap
import os
import pathlib
import signal
import socket
import subprocess
import time
import unittest

from browser import Application, Browser
from case import Case, start, start_dovecot
from directory import Slapd
from directory_case import DirectoryCase
from proxyd import PASSWORD, WRONG
from wire import PATIENCE, freeze

UNAVAILABLE = 'a NO [UNAVAILABLE] ...'


def greeted(client):
    client.expect('* OK ...')
    return client


class Stopped(Case):
    """kill -STOP: the kernel still takes connections, and nobody says a word."""

    def test_a_node(self):
        users = {'bob@example.org': PASSWORD, 'ann@example.org': PASSWORD}
        nodes = [start_dovecot(self, users) for _ in range(2)]
        p = self.proxyd('bob@example.org node1\nann@example.org node2',
                        nodes={f'node{i}': {'address': f'127.0.0.1:{node.port["imap"]}'} for i, node in enumerate(nodes, 1)},
                        imap={'backend': {'connect_timeout': '1s', 'queue_timeout': '1s',
                                          'check': {'interval': '200ms', 'fall': 2, 'rise': 1}}})
        bob, ann = (self.log_in(p, login) for login in users)
        group = os.getpgid(nodes[0].process.pid)
        freeze(*self.members(group))
        self.addCleanup(os.killpg, group, signal.SIGCONT)
        late = greeted(self.connect(p))
        late.ask(f'a LOGIN bob@example.org {PASSWORD}', UNAVAILABLE)
        p.wait('login', result='failed', login='bob@example.org', reason='the node does not answer in time')
        self.assertRegex(p.wait('node', state='down', node='node1')['reason'], 'in time')
        self.log_in(p, 'ann@example.org')
        ann.ask('b NOOP', 'b OK ...')
        os.killpg(group, signal.SIGCONT)
        p.wait('node', state='up', node='node1')
        bob.ask('b NOOP', 'b OK ...')  # who was there has only waited
        late.ask(f'a LOGIN bob@example.org {PASSWORD}', 'a OK ...')

    @staticmethod
    def members(group):
        for pid in map(int, filter(str.isdigit, os.listdir('/proc'))):
            try:
                if os.getpgid(pid) == group:
                    yield pid
            except ProcessLookupError:
                pass

    def log_in(self, p, login):
        client = greeted(self.connect(p))
        client.ask(f'a LOGIN {login} {PASSWORD}', 'a OK ...')
        return client


class StoppedDirectory(DirectoryCase):
    def test_a_directory_server(self):
        directory = start(self, Slapd)
        directory.add('bob', mailHost='127.0.0.1')
        directory.add('ann', mailHost='127.0.0.1')
        self.directory = directory
        p = self.over_ldap(cache={'found': '1s', 'not_found': '0s', 'stale': '1h'}, timeout='1s', retry_interval='500ms',
                           authentication='backend')
        self.let_in(p)
        directory.pause()
        self.addCleanup(directory.go_on)
        self.unavailable(p, 'ann@example.org')
        told = p.wait('ldap', level='warning', connector='corp', server=f'ldap://127.0.0.1:{directory.port}')
        self.assertRegex(told['message'], 'silent|time')
        time.sleep(1)  # what is remembered of bob has grown old meanwhile, and routes him all the same
        self.let_in(p)
        directory.go_on()
        self.keep_trying(lambda: self.answer(p, 'ann@example.org'), lambda words: words.startswith('OK'))
        p.wait('ldap', message='answers')


class Disk(Case):
    @unittest.skipIf(os.getuid(), 'only root mounts')
    def test_a_full_one_under_the_log_stops_nobody(self):
        disk = os.path.join(self.folder, 'disk')
        os.mkdir(disk)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk], check=True)
        self.addCleanup(subprocess.run, ['umount', disk], check=True)
        node, log, ballast = self.node(), os.path.join(disk, 'log'), os.path.join(disk, 'ballast')
        p = self.proxyd(f'* {node.address}', log={'target': log})
        with open(ballast, 'wb', buffering=0) as file, self.assertRaises(OSError):
            while True:
                file.write(b'x' * 512)
        for _ in range(30):
            self.visit(p, node)
        os.remove(ballast)
        deadline = time.monotonic() + PATIENCE
        while 'lines were lost here: No space left on device' not in pathlib.Path(log).read_text():
            self.assertLess(time.monotonic(), deadline)
            self.visit(p, node)

    def visit(self, p, node):
        for wire in self.login(p, node):
            wire.close()


class Memory(Case):
    """Too many TLS sessions for what the process may have: those that are there stay, new ones wait."""
    ROOM, MOST = 12 << 20, 4000  # bytes for them, and how many would take much more

    def crowd(self, p):
        """Connects until accepting pauses; the last one waits for his handshake in vain."""
        clients, context = [], p.context()
        while not p.events('listener', message='accepting pauses: memory is short'):
            self.assertLess(len(clients), self.MOST)
            sock = socket.create_connection(('127.0.0.1', p.port['imaps']), PATIENCE)
            self.addCleanup(sock.close)
            sock.settimeout(1)
            with contextlib.suppress(TimeoutError):
                sock = context.wrap_socket(sock, server_hostname='mail.example.org')
            clients.append(sock)
        return clients

    def judge(self, p, words):
        first = greeted(self.connect(p, 'imaps'))
        crowd = self.crowd(p)
        self.assertRegex(p.wait('memory', level='error')['message'], words)
        first.ask('a NOOP', 'a OK ...')
        for client in crowd:
            client.close()
        p.wait('memory', message='there is enough again')
        greeted(self.connect(p, 'imaps'))
        p.wait('listener', message='accepting again')

    @unittest.skipIf(os.environ.get('SAN'), 'AddressSanitizer needs terabytes of address space')
    def test_a_limit_of_address_space(self):
        p = self.proxyd(under=('env', 'MALLOC_ARENA_MAX=1'), global_={'workers': {'min': 1, 'max': 1}})
        p.reload()  # now all threads run
        limit = int(p.status('VmSize').split()[0]) * 1024 + self.ROOM
        subprocess.run(['prlimit', f'--pid={p.process.pid}', f'--as={limit}'], check=True)
        self.judge(p, 'an allocation has failed, by a limit of address space .*')

    @unittest.skipIf(os.environ.get('SAN'), 'AddressSanitizer keeps what was freed')
    def test_a_limit_of_the_control_group(self):
        group, limit = self.control_group()
        p = self.proxyd(under=('sh', '-c', 'echo $$ >"$0/cgroup.procs" && exec "$@"', group),
                        global_={'workers': {'min': 1, 'max': 1}})
        pathlib.Path(limit).write_text(str(p.memory() + 3 * self.ROOM))
        self.judge(p, r'\d+ of the \d+ MiB that the control group may have are in use')

    def control_group(self):
        """A folder in which there is a group, and the file of its limit."""
        for top, limit in ('/sys/fs/cgroup/memory', 'memory.limit_in_bytes'), ('/sys/fs/cgroup', 'memory.max'):
            group = os.path.join(top, os.path.basename(self.folder))
            try:
                os.mkdir(group)
            except OSError:
                continue
            self.addCleanup(self.remove, group)
            if os.path.exists(os.path.join(group, limit)):
                return group, os.path.join(group, limit)
        raise unittest.SkipTest('no control group with a limit of memory can be made here')

    @staticmethod
    def remove(group):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:  # until the process has gone
            with contextlib.suppress(OSError):
                return os.rmdir(group)
            time.sleep(0.05)


# The clock of a process that is preloaded with this is so many seconds ahead as a file says.
CLOCK = '''
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile long *ahead;

__attribute__((constructor)) static void begin(void)
{
    int fd = open(getenv("CLOCK_AHEAD"), O_RDONLY | O_CLOEXEC);
    ahead = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    int rc = (int)syscall(SYS_clock_gettime, id, t);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
        t->tv_sec += *ahead;
    return rc;
}

time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return out ? *out = t.tv_sec : t.tv_sec;
}

int gettimeofday(struct timeval *tv, void *zone)
{
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    *tv = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
    return 0;
}
'''

HOUR = 3600


class Clock(Case):
    """Somebody sets it: no timer follows, and what is sealed with a time is good as long as it says."""

    def setUp(self):
        super().setUp()
        library, file = os.path.join(self.folder, 'clock.so'), os.path.join(self.folder, 'ahead')
        subprocess.run(['cc', '-shared', '-fPIC', '-O', '-x', 'c', '-o', library, '-'], input=CLOCK, text=True, check=True)
        pathlib.Path(file).write_bytes(bytes(8))
        with open(file, 'r+b') as opened:
            self.ahead = mmap.mmap(opened.fileno(), 8)
        self.addCleanup(self.ahead.close)
        self.under = ('env', f'LD_PRELOAD={library}', f'CLOCK_AHEAD={file}', 'ASAN_OPTIONS=verify_asan_link_order=0')

    def set(self, p, seconds, words):
        self.ahead[:] = ctypes.c_long(seconds)
        p.wait('clock', level='warning', message=f"the machine's clock was set {words}")

    def test_timers_do_not_follow(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}', under=self.under,
                        imap={'login_timeout': '1h', 'idle_timeout': '2h', 'limits': {
                            'auth_failures_per_ip': 1, 'rate_per_ip': 6, 'interval': '1h'}})
        client, wire = self.login(p, node)
        talking = greeted(self.connect(p))
        guess = greeted(self.connect(p))
        guess.say(f'a LOGIN bob@example.org {WRONG}')
        guess_wire = node.accept()
        guess_wire.imap_login(answer='NO [AUTHENTICATIONFAILED] no')
        p.wait('login', result='failed')
        for seconds, words in (24 * HOUR, '86400.0 s forward'), (-24 * HOUR, '172800.0 s back'):
            self.set(p, seconds, words)
            client.say('x NOOP')
            wire.expect('x NOOP')
            talking.ask('a NOOP', 'a OK ...')
            late = greeted(self.connect(p))  # what is held against this address still is
            late.ask(f'a LOGIN bob@example.org {PASSWORD}', UNAVAILABLE)
            late.close()
        guess.expect('a NO [AUTHENTICATIONFAILED] ...')
        greeted(self.connect(p))
        self.connect(p).expect('* BYE ...')
        self.assertEqual(p.events('close', reason='login_timeout') + p.events('close', reason='idle_timeout'), [])

    def test_cookies_are_good_for_their_time(self):
        app = Application('node1', {'bob@example.org': PASSWORD})
        self.addCleanup(app.stop)
        p = self.proxyd(f'* {app.address}', under=self.under, webmail={
            'session': {'lifetime': '12h'}, 'login': {'backend': {'path': app.login_path}}})
        browser = Browser(p.port['webmail'])
        self.assertEqual(browser.login('bob@example.org', PASSWORD).status, 303)
        self.set(p, 11 * HOUR, '39600.0 s forward')
        self.assertEqual(browser.get('/inbox').text, 'inbox on node1: /inbox')
        self.set(p, 13 * HOUR, '7200.0 s forward')
        self.assertNotEqual(browser.get('/inbox').text, 'inbox on node1: /inbox')
        self.set(p, 0, '46800.0 s back')
        again = Browser(p.port['webmail'])
        self.assertEqual(again.login('bob@example.org', PASSWORD).status, 303)
        self.assertEqual(again.get('/inbox').text, 'inbox on node1: /inbox')


@unittest.skipIf(os.getuid() or subprocess.run(['unshare', '-m', 'true'], capture_output=True).returncode,
                 'root alone mounts, and not in a chroot that is no mount')
class Names(DirectoryCase):
    """The machine's resolver is an address that never answers: what has a number goes on."""

    def without_names(self):
        """A command that runs another one on such a machine."""
        host = f'127.53.{os.getpid() >> 8 & 255}.{os.getpid() & 255}'
        resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(resolver.close)
        resolver.bind((host, 53))
        file = os.path.join(self.folder, 'resolv.conf')
        pathlib.Path(file).write_text(f'nameserver {host}\noptions timeout:2 attempts:1\n')
        return 'unshare', '-m', 'sh', '-c', 'mount --bind "$0" /etc/resolv.conf && exec "$@"', file

    def test_nodes(self):
        far = ''.join(f'u{i} far{i}.example.net\n' for i in range(40))
        p = self.proxyd(f'{far}* {self.home.address}', under=self.without_names(), nodes={'lost': {'address': 'lost.example.net'}},
                        imap={'backend': {'connect_timeout': '1s', 'check': {'interval': '200ms'}}})
        waiting = [greeted(self.connect(p)) for _ in range(40)]
        for i, client in enumerate(waiting):
            client.say(f'a LOGIN u{i} {PASSWORD}')
        p.wait('login', result='failed')
        self.within(1, self.let_in, p)
        p.reload()  # for which there is still a thread
        for client in waiting:
            client.expect(UNAVAILABLE)
        for i in range(40):
            self.assertRegex(p.wait('login', login=f'u{i}')['reason'], 'cannot resolve far')
        self.assertRegex(p.wait('node', state='down', node='lost')['reason'], 'cannot resolve lost.example.net')

    def test_directories(self):
        settings = self.settings(timeout='3s')
        servers = settings['ldap']['corp']['servers']
        servers.insert(0, 'ldap://lost.example.net')
        p = self.proxyd(under=self.without_names(), **settings)
        self.let_in(p)
        self.assertRegex(p.wait('ldap', level='warning', server='ldap://lost.example.net')['message'], 'connect|in time')
        p.reload()
        self.let_in(p)
