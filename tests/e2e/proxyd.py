# SPDX-License-Identifier: ISC
"""The program under test: writes its configuration, starts it, waits until it says that it is ready
(sd_notify), reads its log, stops it, and then looks whether it ended well and kept its secrets.

$PROXYD names the binary (build/proxyd below the repository).
"""
import base64
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

from wire import PATIENCE, Wire, free_port, matches

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.abspath(os.environ.get('PROXYD') or os.path.join(ROOT, 'build', 'proxyd'))
CONTROL = os.path.join(os.path.dirname(BINARY), 'proxyctl')

# The passwords of all tests. None of them may ever be seen in a log.
SECRETS = PASSWORD, WRONG, MASTER, TOKEN, UTF8 = 's3cret-word', 'wr0ng-word', 'm4ster-word', 't0ken-word', 'pä55-wörd'

SERVICES = 'imap', 'pop3', 'submission', 'sieve', 'smtp', 'lmtp', 'webmail'

# What front ends that share their users seal with.
COOKIE_KEY = '0123456789abcdef' * 4


def merge(into, more):
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value
    return into


def parse(line):
    """A line of the log, logfmt or JSON, as a dictionary of strings."""
    if line.startswith('{'):
        return {key: str(value) for key, value in json.loads(line).items()}
    pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line)
    return {key: json.loads(value) if value.startswith('"') else value for key, value in pairs}


def fits(fields, event, wanted):
    return fields.get('event') == event and all(
        key in fields and matches(value, fields[key]) for key, value in wanted.items())


class Proxyd:
    """Keywords are sections of the configuration, merged into one that serves IMAP and POP3 on
    free ports with a local-file map of USERS; `imap` and `pop3` are services, and so is
    `submission`, `sieve`, `smtp`, `lmtp` or `webmail`, which are served only where they are given;
    `global_` is global. UNDER is a command that runs it (prlimit, env ...). Ports are in `port`: imap, imaps, pop3, pop3s, submission, submissions ..."""

    def __init__(self, folder, authority, users='', under=(), **sections):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.authority, self.under = folder, authority, under
        self.port = {name + end: free_port() for name in SERVICES for end in ('', 's')}
        self.control = os.path.join(folder, 'control.sock')
        self.map_file = self.write('users.map', users)
        self.sections = sections
        self.configure()
        self.lines, self.news, self.process = [], threading.Condition(), None

    def write(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, 'w') as file:
            file.write(content)
        return path

    def secret(self, name, content):
        path = self.write(name, content)
        os.chmod(path, 0o600)
        return path

    # ---- configuration ----

    def service(self, name):
        if name == 'webmail':
            return {
                'listeners': [{'address': f'127.0.0.1:{self.port[name]}'},
                              {'address': f'127.0.0.1:{self.port[name + "s"]}', 'tls': 'implicit'}],
                'maps': ['local'], 'session': {'keys': f'${{file:{self.secret("cookie", COOKIE_KEY)}}}'},
                'backend': {'check': {'interval': '0s'}}}
        service = {
            'listeners': [{'address': f'127.0.0.1:{self.port[name]}', 'tls': 'starttls'},
                          {'address': f'127.0.0.1:{self.port[name + "s"]}', 'tls': 'implicit'}],
            'maps': ['local'], 'backend': {'check': {'interval': '0s'}}}
        return service if name in ('smtp', 'lmtp') else {**service, 'plaintext_auth': 'always'}

    def configure(self, **more):
        """Writes the configuration anew, with MORE merged into what the constructor got."""
        certificate, key = self.authority.server
        self.config = {
            'global': {'hostname': 'mail.example.org', 'user': 'root', 'shutdown_grace': '1s',
                       'control_socket': self.control},
            'tls': {'certificate': certificate, 'key': key},
            'maps': {'local': {'type': 'file', 'path': self.map_file}},
            'services': {}}
        merge(self.sections, more)
        for name in SERVICES:
            if name in ('imap', 'pop3') or name in self.sections:
                self.config['services'][name] = self.service(name)
        for name, section in self.sections.items():
            where = self.config['services'] if name in SERVICES else self.config
            merge(where, {name.rstrip('_'): section})
        self.path = self.write('proxyd.yaml', json.dumps(self.config, indent=1, ensure_ascii=False))

    def set_users(self, users):
        """Replaces the map file as an editor would, by a rename."""
        self.write('users.new', users)
        os.rename(os.path.join(self.folder, 'users.new'), self.map_file)

    # ---- the process ----

    def start(self):
        notify = os.path.join(self.folder, 'notify')
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notices.bind(notify)
        os.chmod(notify, 0o777)  # it may become somebody else
        self.notices.settimeout(0.1)
        self.process = subprocess.Popen(
            ['setpriv', '--pdeathsig', 'KILL', *self.under, BINARY, '-c', self.path], stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE, start_new_session=True, env={**os.environ, 'NOTIFY_SOCKET': notify})
        self.reader = threading.Thread(target=self.read_log, daemon=True)
        self.reader.start()
        try:
            self.wait_notice('READY=1')
        except AssertionError:
            self.kill()
            raise
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(PATIENCE)
        self.process.stderr.close()
        self.notices.close()
        self.process = None

    def read_log(self):
        for line in self.process.stderr:
            with self.news:
                self.lines.append(line.decode().rstrip('\n'))
                self.news.notify_all()

    def wait_notice(self, word):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.reader.join(PATIENCE)
                raise AssertionError(f'proxyd ended with {self.process.returncode}:\n' + '\n'.join(self.lines))
            try:
                if word in self.notices.recv(1000).decode().split('\n'):
                    return
            except TimeoutError:
                pass
        raise AssertionError(f'proxyd did not say {word}:\n' + '\n'.join(self.lines))

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, **more):
        """HUP, with MORE merged into the configuration; returns when it is over."""
        if more:
            self.configure(**more)
        self.signal(signal.SIGHUP)
        self.wait_notice('RELOADING=1')
        self.wait_notice('READY=1')

    def wait_end(self, seconds=PATIENCE):
        """Waits for the process to end; returns its exit status."""
        status = self.process.wait(seconds)
        self.reader.join(PATIENCE)
        return status

    def stop(self):
        """Ends it, if it has not ended, and judges how it went."""
        if not self.process:
            return
        try:
            self.signal(signal.SIGTERM)
            status = self.wait_end()
        finally:
            self.kill()
        log = '\n'.join(self.lines)
        assert status == 0 and 'Sanitizer' not in log, f'proxyd ended with {status}:\n{log[-8000:]}'
        self.assert_discreet(log)

    @staticmethod
    def assert_discreet(log):
        for secret in SECRETS:
            for word in secret, base64.b64encode(secret.encode()).decode().rstrip('='):
                assert word not in log, f'the log has {word!r}:\n{log[-8000:]}'

    def memory(self):
        """Resident bytes of its own."""
        return int(self.status('RssAnon').split()[0]) * 1024

    def has_in_memory(self, word):
        """Whether the process has this text anywhere. Only root may look."""
        with open(f'/proc/{self.process.pid}/maps') as maps, open(f'/proc/{self.process.pid}/mem', 'rb') as memory:
            for line in maps:
                start, end = (int(number, 16) for number in line.split()[0].split('-'))
                if end - start > 1 << 30:
                    continue  # a sanitizer's own
                try:
                    memory.seek(start)
                    if word.encode() in memory.read(end - start):
                        return True
                except (OSError, OverflowError, ValueError):
                    pass  # not a piece that can be read
        return False

    def threads(self):
        return int(self.status('Threads'))

    def status(self, name):
        with open(f'/proc/{self.process.pid}/status') as file:
            return next(line.split(':', 1)[1].strip() for line in file if line.startswith(name + ':'))

    def order(self, *args, status=0):
        """What proxyctl prints; it has to exit with STATUS."""
        done = subprocess.run([CONTROL, '-s', self.control, *args], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == status, f'{args} exited with {done.returncode}: {done.stdout}{done.stderr}'
        return done.stdout if status == 0 else done.stderr

    def ask(self, *args):
        """What proxyctl answers, in JSON."""
        return json.loads(self.order('--json', *args))

    # ---- the log ----

    def events(self, event, **wanted):
        """The lines so far of this event with these fields (a value's trailing ... is any rest)."""
        with self.news:
            lines = [parse(line) for line in self.lines]
        return [fields for fields in lines if fits(fields, event, wanted)]

    def wait(self, event, count=1, seconds=PATIENCE, **wanted):
        """Waits until the log has COUNT such lines; returns the last one."""
        deadline = time.monotonic() + seconds
        with self.news:
            while len(found := self.events(event, **wanted)) < count:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f'no event={event} {wanted} in the log:\n' + '\n'.join(self.lines[-60:]))
                self.news.wait(left)
        return found[-1]

    # ---- clients ----

    def context(self, alpn=()):
        context = ssl.create_default_context(cafile=self.authority.file)
        if alpn:
            context.set_alpn_protocols(alpn)
        return context

    def connect(self, name='imap', source='127.0.0.1', context=None, server_hostname='mail.example.org'):
        """A client's connection to the listener called imap, imaps, pop3 ..."""
        sock = socket.create_connection(('127.0.0.1', self.port[name]), PATIENCE, (source, 0))
        wire = Wire(sock, 'client')
        if name.endswith('s'):
            wire.start_tls(context or self.context(), server_hostname=server_hostname)
        return wire
