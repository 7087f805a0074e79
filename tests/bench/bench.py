#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What a login, a round trip and a MiB take of proxyd, and of nginx's mail proxy beside it where that
is installed: CPU time, system calls and instructions of the proxy's own processes, and the memory of
idle sessions. `make bench` runs it; load.c is the clients and the node.

    bench.py [--proxyd build/proxyd] [--load build/obj/tests/bench/load] [--idle 1000] [--quick]

Where slapd is installed, logins by LDAP too: beside those by a file map, with the searches and binds
of one login, and how long somebody else waited for the answer to a NOOP at worst (the load, the node,
slapd and we share a CPU: what the file map shows of it is none of the directory's).

One worker each, no logging, clear text to the node, 127.0.0.1 only; the proxies on one CPU, clients and
node on another where there is one. The runs of the proxies alternate, so compare within one table. Of
nginx, the responder that its auth_http asks at every login is not counted.
"""
import argparse
import contextlib
import glob
import json
import os
import platform
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'e2e'))
sys.dont_write_bytecode = True

from authority import Authority  # noqa: E402
from directory import PEOPLE, Slapd, find, ldif  # noqa: E402
from wire import Wire, free_port  # noqa: E402

# (what one is, load's word for it, whether over TLS, how many clients at once)
WORKS = [
    ('IMAP login, plain', 'login', False, 50),
    ('IMAP login, TLS 1.3 (P-256)', 'login', True, 50),
    ('IMAP login, TLS 1.3 resumed', 'resume', True, 50),
    ('NOOP round trip, plain', 'noop', False, 50),
    ('MiB down, plain', 'down', False, 4),
    ('MiB down, TLS', 'down', True, 4),
    ('MiB up, plain', 'up', False, 4),
    ('MiB up, TLS', 'up', True, 4),
]
CALLS, USER, KERNEL = EVENTS = ('raw_syscalls:sys_enter', 'instructions:u', 'instructions:k')
SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM
CPUS = sorted(os.sched_getaffinity(0))
USERS = 2000  # as in load.c
PATIENCE = 15  # seconds, for what normally takes a moment
WHOLE_RUN = 110  # seconds, and more for more idle sessions

NGINX = '''\
{module}
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile {files};
error_log {folder}/nginx.log crit;
pid {folder}/nginx.pid;
events {{ worker_connections {files}; }}
mail {{
    server_name mail.example.org;
    auth_http 127.0.0.1:{auth};
    imap_auth plain;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.3;
    server {{ protocol imap; listen 127.0.0.1:{plain} backlog=4096; }}
    server {{ protocol imap; listen 127.0.0.1:{tls} backlog=4096 ssl; }}
}}
'''


class Running:
    """A process that ends with its `with`, and also with us when we are killed. A subclass's ready() waits
    until it can be used."""

    def __init__(self, command, **streams):
        self.process = subprocess.Popen(['setpriv', '--pdeathsig', 'TERM', *map(str, command)], **streams)

    def __enter__(self):
        try:
            self.ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Node(Running):
    def __init__(self, load):
        super().__init__([load, 'node'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ready(self):
        ports = self.process.stdout.readline().split()
        if len(ports) != 2:
            raise RuntimeError('the node does not start')
        self.imap, self.auth = map(int, ports)


class Proxy(Running):
    """One of the proxies. A subclass says how it is configured."""

    def __init__(self, bench):
        self.folder = tempfile.mkdtemp(dir=bench.folder)
        self.port = {False: free_port(), True: free_port()}
        super().__init__(['taskset', '-c', CPUS[-1], *self.configure(bench)], stdin=subprocess.DEVNULL)

    def ready(self):
        until = time.monotonic() + PATIENCE
        while any(socket.socket().connect_ex(('127.0.0.1', port)) for port in self.port.values()):
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f'{self.name} does not start')
            time.sleep(0.02)

    def write(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, 'w') as file:
            file.write(content)
        return path

    def pids(self):
        found = [self.process.pid]
        for pid in found:  # grows
            for path in glob.glob(f'/proc/{pid}/task/*/children'):
                found += map(int, open(path).read().split())
        return found

    def cpu(self):
        """Microseconds so far."""
        paths = [path for pid in self.pids() for path in glob.glob(f'/proc/{pid}/task/*/schedstat')]
        return sum(int(open(path).read().split()[0]) for path in paths) / 1000

    def memory(self):
        """Bytes. Pages of files are left out: they are not the sessions', and a share of them comes and
        goes with whoever else has the same library loaded."""
        texts = [open(f'/proc/{pid}/smaps_rollup').read() for pid in self.pids()]
        return 1024 * sum(int(kb) for text in texts for kb in re.findall(r'^Pss_(?:Anon|Shmem): +(\d+)', text, re.M))

    def settled(self):
        """memory() that has stood still for a second: threads may start, and pools shrink, a little late."""
        memory, still = self.memory(), 0
        while still < 4:
            time.sleep(0.25)
            before, memory = memory, self.memory()
            still = still + 1 if memory == before else 0
        return memory


class Proxyd(Proxy):
    name = 'proxyd'

    def maps(self, bench):
        """Sections of the configuration, and whether passwords are verified here."""
        return {'maps': {'all': {'type': 'file', 'path': self.write('users.map', '* 127.0.0.1\n')}}}, 'backend'

    def configure(self, bench):
        certificate, key = bench.certificate
        maps, authentication = self.maps(bench)
        return [bench.options.proxyd, '-c', self.write('proxyd.yaml', json.dumps({
            'global': {'workers': {'min': 1, 'max': 1}, 'user': 'root', 'hostname': 'mail.example.org',
                       'shutdown_grace': '0s'},
            'log': {'level': 'error'},
            'tls': {'certificate': certificate, 'key': key},
            **maps,
            'services': {'imap': {
                'authentication': authentication,
                'listeners': [{'address': f'127.0.0.1:{self.port[False]}', 'tls': 'none'},
                              {'address': f'127.0.0.1:{self.port[True]}', 'tls': 'implicit'}],
                'maps': ['all'],
                'backend': {'port': bench.node.imap, 'check': {'interval': '0s'}, 'client_address': 'none'}}}}))]


class LdapPassword(Proxyd):
    """Everybody is looked up and verified by a directory, each time anew."""
    name, kind = 'ldap_password', 'ldap_password'

    def maps(self, bench):
        connector = bench.directory.connector(cache={'found': '0s', 'not_found': '0s'}, bind_connections=32)
        return {'ldap': {'corp': connector}, 'maps': {'all': {'type': self.kind, 'connector': 'corp'}}}, 'proxy'


class LdapBind(LdapPassword):
    name, kind = 'ldap_bind', 'ldap_bind'


class Pinger(threading.Thread):
    """Says NOOP in a session of its own, again and again; `worst` is the longest answer, in ms."""

    def __init__(self, proxy):
        super().__init__(daemon=True)
        self.wire = Wire(socket.create_connection(('127.0.0.1', proxy.port[False]), PATIENCE), 'pinger')
        self.wire.expect('* OK ...')
        self.wire.ask('a LOGIN user0000@example.org secret', 'a OK ...')
        self.worst, self.ended = 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.002):
            begin = time.monotonic()
            self.wire.ask('a NOOP', 'a OK...')
            self.worst = max(self.worst, (time.monotonic() - begin) * 1000)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join(PATIENCE)
        self.wire.close()


class Nginx(Proxy):
    name = 'nginx'

    @staticmethod
    def find():
        """(program, line that loads the mail module), or None."""
        program = shutil.which('nginx', path=os.environ['PATH'] + ':/usr/sbin')
        built = program and subprocess.run([program, '-V'], stderr=subprocess.PIPE, text=True).stderr
        if not built or '--with-mail_ssl_module' not in built:
            return None
        if '--with-mail=dynamic' not in built:
            return program, ''
        module = re.search(r'--modules-path=(\S+)', built)[1] + '/ngx_mail_module.so'
        return (program, f'load_module {module};') if os.path.exists(module) else None

    def configure(self, bench):
        program, module = self.find()
        certificate, key = bench.certificate
        config = NGINX.format(module=module, user='' if os.getuid() else 'user root;',
                              files=bench.options.idle * 3 + 1000, folder=self.folder, auth=bench.node.auth,
                              certificate=certificate, key=key, plain=self.port[False], tls=self.port[True])
        return [program, '-e', os.path.join(self.folder, 'nginx.log'), '-c', self.write('nginx.conf', config)]


class Load(Running):
    """The clients. What comes before go() is not measured."""

    def __init__(self, bench, proxy, what, tls, clients, limit):
        command = [bench.options.load, what, proxy.port[tls], 'tls' if tls else 'plain', clients, limit]
        super().__init__(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.what = f'{proxy.name}: {what}'

    def ready(self):
        self.line()

    def line(self):
        if not select.select([self.process.stdout], [], [], 60)[0]:
            raise RuntimeError(f'{self.what}: the clients hang')
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f'{self.what}: the clients gave up')
        return line

    def go(self):
        self.process.stdin.write(b'\n')
        return map(int, self.line().split())


class Perf(Running):
    """perf stat on running processes, from enable to disable."""

    @staticmethod
    def find():
        """Those of EVENTS that this machine can count."""
        def counts(event):
            tried = subprocess.run(['perf', 'stat', '-x', ',', '-e', event, 'true'], capture_output=True, text=True)
            return tried.returncode == 0 and re.match(r'\d', tried.stderr)
        return [event for event in EVENTS if shutil.which('perf') and counts(event)]

    def __init__(self, events, pids):
        control, self.control = os.pipe()
        self.acknowledge, acknowledge = os.pipe()
        super().__init__(['perf', 'stat', '-x', ',', '-D', -1, '--control', f'fd:{control},{acknowledge}',
                          '-e', ','.join(events), '-p', ','.join(map(str, pids))],
                         pass_fds=(control, acknowledge), stderr=subprocess.PIPE, text=True)
        os.close(control)
        os.close(acknowledge)

    def say(self, word):
        os.write(self.control, word + b'\n')
        if not os.read(self.acknowledge, 64):
            raise RuntimeError('perf does not count')

    def ready(self):
        self.say(b'enable')

    def __exit__(self, *_):
        super().__exit__()
        os.close(self.control)
        os.close(self.acknowledge)

    def counts(self):
        """{event: how many so far}, once."""
        self.say(b'disable')
        self.process.send_signal(signal.SIGINT)
        text = self.process.communicate(timeout=PATIENCE)[1]
        return {event: int(number) for number, event in re.findall(r'^(\d+),[^,]*,([^,]+)', text, re.M)}


class Bench:
    def __init__(self, options, folder, node):
        self.options, self.folder, self.node = options, folder, node
        self.certificate = Authority(os.path.join(folder, 'ca')).issue('mail.example.org')
        self.kinds = [Proxyd] + ([Nginx] if Nginx.find() else [])
        self.events = Perf.find()
        self.rounds, self.milliseconds = (1, 300) if options.quick else (3, 1000)

    def cpu(self, proxy, what, *how):
        """Microseconds for one."""
        with Load(self, proxy, what, *how, self.milliseconds) as load:
            before = proxy.cpu()
            count, resumed = load.go()
            used = proxy.cpu() - before
        if resumed != (count if what == 'resume' else 0):
            raise RuntimeError(f'{load.what}: {resumed} of {count} sessions were resumed')
        return used / count

    def counts(self, proxy, *how):
        """{event: how many for one}. A run of its own, as counting takes time too."""
        if not self.events:
            return {}
        with Load(self, proxy, *how, self.milliseconds // 2) as load, Perf(self.events, proxy.pids()) as perf:
            count, _ = load.go()
            return {event: number / count for event, number in perf.counts().items()}

    def work(self, proxies, *how):
        """A list for each figure, with a value for each proxy."""
        rounds = [[self.cpu(proxy, *how) for proxy in proxies] for _ in range(self.rounds)]
        micros = [statistics.median(each) for each in zip(*rounds)]
        counts = [self.counts(proxy, *how) for proxy in proxies]
        return [micros, [1e6 / each for each in micros], [each.get(CALLS) for each in counts],
                [each[USER] + each[KERNEL] if USER in each and KERNEL in each else None for each in counts]]

    def works(self):
        with contextlib.ExitStack() as stack:
            proxies = [stack.enter_context(kind(self)) for kind in self.kinds]
            return [(name, *self.work(proxies, *how)) for name, *how in WORKS]

    def start_directory(self, stack):
        """A slapd with everybody whom load.c knows."""
        self.directory = Slapd(os.path.join(self.folder, 'slapd'))
        people = ''.join(ldif(f'uid=user{n:04},{PEOPLE}', objectClass=['inetOrgPerson', 'inetLocalMailRecipient'],
                              uid=f'user{n:04}', cn='user', sn='user', mail=f'user{n:04}@example.org',
                              mailHost='127.0.0.1', userPassword='secret') for n in range(USERS))
        with open(os.path.join(self.directory.folder, 'first.ldif'), 'a') as file:
            file.write(people)
        self.directory.start()
        stack.callback(self.directory.stop)

    def asked(self, proxy):
        """Searches and binds for one login, and the worst NOOP of somebody else meanwhile, in ms."""
        how = 'login', False, 50, self.milliseconds
        with Load(self, proxy, *how) as load, Pinger(proxy) as pinger:
            count, _ = load.go()
        if proxy.name == 'proxyd':
            return [0, 0, pinger.worst]
        self.directory.settle()
        self.directory.forget()
        with Load(self, proxy, *how) as load:
            count, _ = load.go()
        self.directory.settle()
        return [len(self.directory.events(what)) / count for what in ('search', 'bind')] + [pinger.worst]

    def ldap(self):
        """Rows: a map's kind and its figures."""
        with contextlib.ExitStack() as stack:
            self.start_directory(stack)
            proxies = [stack.enter_context(kind(self)) for kind in (Proxyd, LdapPassword, LdapBind)]
            figures = zip(*self.work(proxies, 'login', False, 50))
            return [(proxy.name, *each, *self.asked(proxy)) for proxy, each in zip(proxies, figures)]

    def idle(self, kind, tls):
        """Bytes a session, of a proxy that is new: an old one has freed memory at hand."""
        with kind(self) as proxy, Load(self, proxy, 'idle', tls, 50, self.options.idle) as load:
            try:
                before = proxy.settled()
                count, _ = load.go()
                return (proxy.settled() - before) / count
            except PermissionError:  # we are not root, and the proxy allows no looking into it
                return None


def has_slapd():
    try:
        return find('slapd')
    except FileNotFoundError:
        return None


def number(value):
    return '-' if value is None else f'{value:,.{1 if value < 100 else 0}f}'


def ratio(values):
    if len(values) < 2:
        return []
    return ['-' if None in values else f'{values[1] / values[0]:.2f}']


def print_table(rows):
    widths = [max(map(len, column)) for column in zip(*rows)]
    rows.insert(1, ['-' * widths[0]] + ['-' * (width - 1) + ':' for width in widths[1:]])
    for first, *rest in rows:
        cells = [first.ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(rest, widths[1:])]
        print('| ' + ' | '.join(cells) + ' |')
    print(flush=True)


def print_all(bench):
    theirs, over = (["nginx's"], ['nginx/proxyd']) if Nginx in bench.kinds else ([], [])
    version = subprocess.run([bench.options.proxyd, '--version'], stdout=subprocess.PIPE, text=True).stdout.strip()
    print(f'{version}, Linux {platform.release()}, {len(CPUS)} CPUs, {time.strftime("%Y-%m-%d")}; '
          f'medians of {bench.rounds} runs of {bench.milliseconds} ms\n', flush=True)
    heads = [[figure, *theirs] for figure in ('CPU µs', 'per CPU second', 'system calls', 'instructions')]
    rows = [['for one', *heads[0], *over, *sum(heads[1:], [])]]
    for what, micros, *figures in bench.works():
        rows.append([what, *map(number, micros), *ratio(micros), *(number(each) for pair in figures for each in pair)])
    print_table(rows)
    if has_slapd():
        rows = [['IMAP login by', *sum(heads, [])[::len(heads[0])], 'searches', 'binds', 'worst NOOP meanwhile, ms']]
        rows += [[{'proxyd': 'file map'}.get(name, name), *map(number, figures)] for name, *figures in bench.ldap()]
        print_table(rows)
    rows = [[f'user memory of one of {bench.options.idle} idle sessions', 'bytes', *theirs, *over]]
    for what, tls in ('plain', False), ('TLS 1.3', True):
        memory = [bench.idle(kind, tls) for kind in bench.kinds]
        rows.append([what, *map(number, memory), *ratio(memory)])
    print_table(rows)


def stop(number, _):
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # nothing disturbs the cleaning up
    raise SystemExit(f'bench.py: ended by {signal.Signals(number).name}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--proxyd', default=os.path.join(ROOT, 'build/proxyd'))
    parser.add_argument('--load', default=os.path.join(ROOT, 'build/obj/tests/bench/load'))
    parser.add_argument('--idle', type=int, default=1000, help='sessions to measure the memory with')
    parser.add_argument('--quick', action='store_true', help='one short run of each: rough figures')
    options = parser.parse_args()
    if options.idle < 50:
        parser.error('--idle: 50 or more')
    for each in SIGNALS:
        signal.signal(each, stop)
    signal.alarm(WHOLE_RUN + options.idle // 100)
    os.sched_setaffinity(0, CPUS[:1])
    try:
        with tempfile.TemporaryDirectory(prefix='bench-') as folder, Node(options.load) as node:
            print_all(Bench(options, folder, node))
    except RuntimeError as problem:
        raise SystemExit(f'bench.py: {problem}')


if __name__ == '__main__':
    main()
