#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What proxyd takes for a login, a round trip, a MiB and an idle session, and nginx beside it where it
and its mail module are installed. Everything in one run, so that the ratios compare: one worker
each, no logging, the proxy on one CPU and the load on another. Loopback only; under two minutes.

    bench.py [--proxyd build/proxyd] [--load build/obj/tests/bench/load] [--idle 1000] [--rounds 3]

CPU time is the proxy's own, of all its threads and processes; system calls and instructions come
from `perf stat`, where it and the machine's counters are there.
"""
import argparse
import glob
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

NGINX_MODULE = '/usr/lib/nginx/modules/ngx_mail_module.so'
CPUS = sorted(os.sched_getaffinity(0))
PROXY_CPU, LOAD_CPU = CPUS[-1], CPUS[0]

# What is done: name, mode, TLS, connections, how many, what one is.
WORK = [
    ('login, plain', 'login', 'none', 40, 8000),
    ('login, TLS 1.3', 'login', 'full', 40, 1500),
    ('login, TLS resumed', 'login', 'resume', 40, 1500),
    ('NOOP, plain', 'noop', 'none', 40, 80000),
    ('NOOP, TLS', 'noop', 'full', 40, 40000),
    ('MiB down, plain', 'down', 'none', 4, 400),
    ('MiB up, plain', 'up', 'none', 4, 400),
    ('MiB down, TLS', 'down', 'full', 4, 200),
    ('MiB up, TLS', 'up', 'full', 4, 200),
]


def free_port():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


def pinned(argv, cpu, **how):
    return subprocess.Popen(['taskset', '-c', str(cpu), *argv], text=True, **how)


class Proxy:
    """A proxy under load; ports[tls]: without TLS, and with it from the first byte."""

    def __init__(self, name, argv, ports):
        self.name, self.ports = name, ports
        self.process = pinned(argv, PROXY_CPU, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for port in ports.values():
            self.wait_for(port)

    def wait_for(self, port):
        for _ in range(200):
            if self.process.poll() is not None:
                raise SystemExit(f'{self.name} ended: {self.process.stderr.read()}')
            with socket.socket() as sock:
                if sock.connect_ex(('127.0.0.1', port)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit(f'{self.name} does not listen')

    def pids(self):
        found = [self.process.pid]
        for pid in found:
            for path in glob.glob(f'/proc/{pid}/task/*/children'):
                with open(path) as file:
                    found += [int(child) for child in file.read().split()]
        return found

    def cpu(self):
        """Nanoseconds so far."""
        total = 0
        for pid in self.pids():
            for path in glob.glob(f'/proc/{pid}/task/*/schedstat'):
                with open(path) as file:
                    total += int(file.read().split()[0])
        return total

    def memory(self):
        """Bytes that are its own."""
        total = 0
        for pid in self.pids():
            with open(f'/proc/{pid}/smaps_rollup') as file:
                total += int(re.search(r'^Pss:\s+(\d+)', file.read(), re.M)[1]) * 1024
        return total

    def stop(self):
        self.process.terminate()
        self.process.wait(40)


class Bench:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.perf = shutil.which('perf')
        self.node = pinned([args.load, 'node'], LOAD_CPU, stdout=subprocess.PIPE)
        self.node_port, self.auth_port = map(int, self.node.stdout.readline().split())
        self.certificate, self.key = (os.path.join(folder, name) for name in ('cert.pem', 'key.pem'))
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1',
                        '-subj', '/CN=mail.example.org', '-keyout', self.key, '-out', self.certificate],
                       check=True, stderr=subprocess.DEVNULL)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, 'w') as file:
            file.write(text)
        return path

    # ---- the proxies ----

    def proxyd(self):
        ports = {'none': free_port(), 'full': free_port()}
        config = {
            'global': {'hostname': 'mail.example.org', 'user': 'root', 'workers': {'min': 1, 'max': 1}, 'shutdown_grace': '1s'},
            'log': {'level': 'error'}, 'tls': {'certificate': self.certificate, 'key': self.key},
            'maps': {'all': {'type': 'file', 'path': self.write('users.map', '* 127.0.0.1\n')}},
            'services': {'imap': {
                'maps': ['all'], 'plaintext_auth': 'always',
                'listeners': [{'address': f'127.0.0.1:{ports["none"]}'},
                              {'address': f'127.0.0.1:{ports["full"]}', 'tls': 'implicit'}],
                'backend': {'port': self.node_port, 'check': {'interval': '0s'}, 'client_address': 'none'}}}}
        return Proxy('proxyd', [self.args.proxyd, '-c', self.write('proxyd.yaml', json.dumps(config))], ports)

    def nginx(self):
        ports = {'none': free_port(), 'full': free_port()}
        return Proxy('nginx', ['nginx', '-e', 'stderr', '-c', self.write('nginx.conf', f'''
load_module {NGINX_MODULE};
daemon off;
worker_processes 1;
error_log stderr crit;
pid {self.folder}/nginx.pid;
events {{ worker_connections 8192; }}
mail {{
  auth_http 127.0.0.1:{self.auth_port}/;
  ssl_certificate {self.certificate};
  ssl_certificate_key {self.key};
  ssl_protocols TLSv1.2 TLSv1.3;
  server {{ listen 127.0.0.1:{ports['none']} backlog=4096; protocol imap; }}
  server {{ listen 127.0.0.1:{ports['full']} ssl backlog=4096; protocol imap; }}
}}
''')], ports)

    # ---- measuring ----

    def counted(self, proxy):
        """perf stat on the proxy, until it is interrupted; None without perf."""
        if not self.perf:
            return None
        counter = subprocess.Popen(
            [self.perf, 'stat', '-x,', '-e', 'raw_syscalls:sys_enter,instructions:u,instructions:k', '-p',
             ','.join(map(str, proxy.pids()))], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(0.2)  # perf does not say when it has begun
        return counter

    @staticmethod
    def counts(counter):
        """System calls and instructions, None for what could not be counted."""
        if not counter:
            return None, None
        counter.send_signal(2)
        rows = [line.split(',') for line in counter.communicate()[1].splitlines() if line.count(',') > 2]
        values = {row[2]: int(row[0]) for row in rows if row[0].isdigit()}
        both = [values.get('instructions:u'), values.get('instructions:k')]
        return values.get('raw_syscalls:sys_enter'), None if None in both else sum(both)

    def load(self, proxy, mode, tls, connections, count):
        port = proxy.ports['none' if tls == 'none' else 'full']
        return pinned([self.args.load, mode, str(port), tls, str(connections), str(count)], LOAD_CPU,
                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    @staticmethod
    def expect(load, word):
        if load.stdout.readline().strip() != word:
            raise SystemExit('the load failed')

    @staticmethod
    def go_on(load):
        load.stdin.write('\n')
        load.stdin.flush()

    def measure(self, proxy, mode, tls, connections, count):
        """CPU microseconds, system calls and instructions, each."""
        if mode == 'login':
            counter, before = self.counted(proxy), proxy.cpu()
            load = self.load(proxy, mode, tls, connections, count)
        else:
            load = self.load(proxy, mode, tls, connections, count)
            self.expect(load, 'ready')
            counter, before = self.counted(proxy), proxy.cpu()
            self.go_on(load)
        self.expect(load, 'done')
        cpu = proxy.cpu() - before
        calls, instructions = self.counts(counter)
        load.communicate('\n')
        return [value and value / count for value in (cpu / 1000, calls, instructions)]

    def idle(self, proxy, tls):
        before = proxy.memory()
        load = self.load(proxy, 'idle', tls, self.args.idle, 0)
        self.expect(load, 'ready')
        bytes_each = (proxy.memory() - before) / self.args.idle
        self.go_on(load)
        self.expect(load, 'done')
        load.communicate('\n')
        return bytes_each

    def stop(self):
        self.node.kill()
        self.node.wait()


def number(value):
    return '-' if value is None else f'{value:,.0f}' if value >= 100 else f'{value:.1f}'


def median(values):
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def report(bench, proxies):
    names = [proxy.name for proxy in proxies]
    heads = ['CPU us', 'calls', 'instructions']
    print(f'{"each":20}' + ''.join(f'{name + " " + head:>22}' for head in heads for name in names) + f'{"CPU, of nginx":>16}')
    for title, *work in WORK:
        rounds = {name: [] for name in names}
        for _ in range(bench.args.rounds):  # in turn: what disturbs one disturbs all
            for proxy in proxies:
                rounds[proxy.name].append(bench.measure(proxy, *work))
        found = {name: [median(column) for column in zip(*rounds[name])] for name in names}
        cells = ''.join(f'{number(found[name][i]):>22}' for i in range(3) for name in names)
        ratio = f'{found["proxyd"][0] / found["nginx"][0]:16.2f}' if 'nginx' in names else ''
        print(f'{title:20}{cells}{ratio}', flush=True)
    for title, tls in ('idle session, plain', 'none'), ('idle session, TLS', 'full'):
        cells = ', '.join(f'{proxy.name} {bench.idle(proxy, tls):,.0f}' for proxy in proxies)
        print(f'{title:20} bytes of user memory each, of {bench.args.idle}: {cells}', flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--proxyd', default='build/proxyd')
    parser.add_argument('--load', default='build/obj/tests/bench/load')
    parser.add_argument('--idle', type=int, default=1000)
    parser.add_argument('--rounds', type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='proxyd-bench-') as folder:
        os.chmod(folder, 0o755)
        bench, proxies = Bench(args, folder), []
        try:
            proxies.append(bench.proxyd())
            if shutil.which('nginx') and os.path.exists(NGINX_MODULE):
                proxies.append(bench.nginx())
            report(bench, proxies)
        finally:
            for proxy in proxies:
                proxy.stop()
            bench.stop()


if __name__ == '__main__':
    main()
