#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""A soak: idle sessions, as many as the limit of open files allows, with logins and transfers on top of
them, while the configuration is reloaded and the program upgraded again and again. Fails when a session
is lost, a login fails, or memory or descriptors are not what they were.

Half of the rounds reload, the others upgrade: then the idle sessions stay with the process that has them,
and every new process has to be as the ones before it. Between two rounds, when nothing but the idle
sessions is there, memory and descriptors are looked at; a session that talks all the time says how long it
had to wait at most, and the metrics for how long a worker did not look for events.
"""
import argparse
import contextlib
import os
import re
import resource
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time

from bench import PATIENCE, Authority, Load, Node, Proxyd

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Soaked(Proxyd):
    """Two workers, a log, and sessions that have an hour after an upgrade."""

    def configure(self, bench):
        command = super().configure(bench)
        with open(command[-1]) as file:
            text = file.read()
        text = text.replace('"min": 1, "max": 1', '"min": 2, "max": 2').replace('"shutdown_grace": "0s"', '"shutdown_grace": "1h"')
        self.log = os.path.join(self.folder, 'log')
        text = text.replace('{"level": "error"}', f'{{"level": "info", "events": {{"imap": "error"}}, "target": "{self.log}"}}')
        text = text.replace('"hostname"', f'"control_socket": "{self.folder}/control.sock", "hostname"')
        self.admin = os.path.join(self.folder, 'admin.sock')
        text = text.replace('"log":', f'"admin": {{"listen": "unix:{self.admin}"}}, "log":')
        self.write('proxyd.yaml', text)
        self.newest = None
        return command

    @property
    def pid(self):
        return self.newest or self.process.pid

    def said(self, pattern):
        with open(self.log) as file:
            return re.findall(pattern, file.read())

    def wait(self, pattern, count):
        deadline = time.monotonic() + PATIENCE
        while len(found := self.said(pattern)) < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f'no {pattern} in the log')
            time.sleep(0.01)
        return found[count - 1]

    def reload(self):
        count = len(self.said('message=reloaded'))
        os.kill(self.pid, signal.SIGHUP)
        self.wait('message=reloaded', count + 1)

    def upgrade(self):
        told = r'process (\d+) serves in the place of this one'
        count = len(self.said(told))
        os.kill(self.pid, signal.SIGUSR2)
        self.newest = int(self.wait(told, count + 1))

    def longest_round(self):
        """Of a worker of the newest process, since the last call: ms, and this is no client's delay."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(self.admin)
            sock.sendall(b'GET /metrics HTTP/1.1\r\nHost: soak\r\n\r\n')
            page = b''.join(iter(lambda: sock.recv(65536), b'')).decode()
        return float(re.search(r'^proxyd_worker_longest_round_seconds (\S+)', page, re.M)[1]) * 1000

    def processes(self):
        """All that run: the one that was started first, and its descendants."""
        pids = [self.process.pid, *map(int, self.said(r'process (\d+) serves'))]
        return [pid for pid in pids if looked_at(pid)]

    def __exit__(self, *how):
        for pid in self.processes()[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        super().__exit__(*how)


def looked_at(pid):
    """KiB of memory of its own, descriptors, threads; None when it has ended."""
    try:
        with open(f'/proc/{pid}/status') as file:
            status = file.read()
        return (int(re.search(r'RssAnon:\s+(\d+)', status)[1]), len(os.listdir(f'/proc/{pid}/fd')),
                int(re.search(r'Threads:\s+(\d+)', status)[1]))
    except (OSError, TypeError):  # what has ended has no memory
        return None


def settled(pid):
    """The same, once the number of descriptors does not change any more."""
    before = None
    for _ in range(100):
        now = looked_at(pid)
        if not now or before and now[1:] == before[1:]:
            return now
        before = now
        time.sleep(0.2)
    return now


class Talker(threading.Thread):
    """A session that says NOOP all the time: the longest wait since it was last asked."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.sock = socket.create_connection(('127.0.0.1', port), PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file, self.longest, self.lost, self.waits = self.sock.makefile('rb'), 0, None, []
        self.file.readline()
        self.ask(b'a LOGIN bob secret\r\n')
        self.start()

    def ask(self, line):
        self.sock.sendall(line)
        while not self.file.readline().startswith(b'a OK'):
            pass

    def run(self):
        try:
            while True:
                began = time.monotonic()
                self.ask(b'a NOOP\r\n')
                self.longest = max(self.longest, time.monotonic() - began)
                time.sleep(0.001)
        except (OSError, ValueError) as error:
            self.lost = error

    def take(self):
        longest, self.longest = self.longest, 0
        return longest * 1000


class Soak:
    def __init__(self, options, folder, node):
        self.options, self.folder, self.node = options, folder, node
        self.certificate = Authority(os.path.join(folder, 'ca')).issue('mail.example.org')
        self.done = {'login': 0, 'tls': 0, 'down': 0}
        self.problems = []

    def load(self, proxy, talker, change):
        """A round of logins and transfers; CHANGE happens in the middle of it. Returns the longest wait
        and the longest round of a worker without and with it, ms."""
        ways = ('login', False, 20, 6000), ('login', True, 10, 6000), ('down', False, 4, 6000)
        with contextlib.ExitStack() as stack:
            loads = [stack.enter_context(Load(self, proxy, *way)) for way in ways]
            threads = [threading.Thread(target=self.run, args=(load, way)) for load, way in zip(loads, ways)]
            talker.take()
            proxy.longest_round()
            for thread in threads:
                thread.start()
            time.sleep(2)
            calm = talker.take(), proxy.longest_round()
            change()
            time.sleep(1)
            busy = talker.take(), proxy.longest_round()
            for thread in threads:
                thread.join()
        return calm, busy

    @staticmethod
    def quiet(proxy, talker, what):
        time.sleep(0.5)
        talker.take()
        proxy.longest_round()
        if what == 'reload':
            proxy.reload()
        time.sleep(1)
        return talker.take(), proxy.longest_round()

    def run(self, load, way):
        try:
            count, _ = load.go()
            self.done['tls' if way[1] else way[0]] += count
        except RuntimeError as error:
            self.problems.append(str(error))

    def round(self, number, proxy, talker, change, what):
        calm, busy = self.load(proxy, talker, change)
        told = [(pid, *each) for pid, each in [(pid, settled(pid)) for pid in proxy.processes()] if each]
        print('%3d %-8s longest wait and round %5.1f %5.1f ms, with it %5.1f %5.1f ms; ' % (
            number, what, *calm, *busy) + '; '.join(
            f'process {pid}: {memory // 1024} MB, {files} descriptors' for pid, memory, files, _ in told), flush=True)
        return busy, told

    def judge(self, name, rows):
        """Of rounds that are alike, after a first one: descriptors are as many, memory does not grow."""
        memory, files = [row[1] for row in rows], [row[2] for row in rows]
        if max(files) - min(files) > 8:
            self.problems.append(f'{name}: {min(files)} to {max(files)} descriptors')
        if memory[-1] > memory[0] * 1.1 + 4096:
            self.problems.append(f'{name}: memory grew from {memory[0]} to {memory[-1]} KiB')

    def story(self):
        with Soaked(self) as proxy:
            first = proxy.process.pid
            with Load(self, proxy, 'idle', False, 50, self.options.sessions) as idle:
                count, _ = idle.go()
                talker = Talker(proxy.port[False])
                print(f'{count} idle sessions; process {first}: %d KiB, %d descriptors, %d threads' % settled(first), flush=True)
                for what in 'nothing', 'reload':
                    print(f'with nothing else to do, longest wait and round within a second, {what}: ' + ', '.join(
                        '%.1f %.1f ms' % self.quiet(proxy, talker, what) for _ in range(5)), flush=True)
                waits, old, new = {'reload': [], 'upgrade': []}, [], []
                end, number = time.monotonic() + self.options.minutes * 60, 0
                for what, until in ('reload', end - self.options.minutes * 30), ('upgrade', end):
                    while time.monotonic() < until:
                        number += 1
                        wait, told = self.round(number, proxy, talker, getattr(proxy, what), what)
                        waits[what].append(wait)
                        if number > 1:
                            old.append(told[0])
                        if len(told) > 1:
                            new.append(told[-1])
                        if len(told) > 2:
                            self.problems.append(f'{len(told)} processes: one has not ended')
                        if idle.process.poll() is not None:
                            self.problems.append('idle sessions were lost')
                            break
                if talker.lost:
                    self.problems.append(f'the session that talks was lost: {talker.lost}')
                self.judge('the process with the sessions', old)
                self.judge('the newest process', new)
                print(f'{self.done["login"]} plain and {self.done["tls"]} TLS logins, {self.done["down"]} MiB carried, '
                      f'{len(waits["reload"]) + 5} reloads, {len(waits["upgrade"])} upgrades; longest wait of a session in the '
                      'round of one, median and most: ' + ', '.join(
                          f'{what} {statistics.median(w):.1f} and {max(w):.1f} ms'
                          for what, each in waits.items() if (w := [wait for wait, _ in each])) +
                      '; the same of rounds of workers: ' + ', '.join(
                          f'{what} {statistics.median(r):.1f} and {max(r):.1f} ms'
                          for what, each in waits.items() if (r := [took for _, took in each])))
        for problem in self.problems:
            print('NOT OK', problem)
        return not self.problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--proxyd', default=os.path.join(ROOT, 'build/proxyd'))
    parser.add_argument('--load', default=os.path.join(ROOT, 'build/obj/tests/bench/load'))
    parser.add_argument('--minutes', type=float, default=10)
    parser.add_argument('--sessions', type=int, help='idle ones; default: as many as the limit of open files allows')
    options = parser.parse_args()
    if not options.sessions:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        options.sessions = min(20000, (limit - 700) // 2)
    with tempfile.TemporaryDirectory() as folder, Node(options.load) as node:
        return 0 if Soak(options, folder, node).story() else 1


if __name__ == '__main__':
    sys.exit(main())
