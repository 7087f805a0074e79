# SPDX-License-Identifier: ISC
"""The admin listener: health as load balancers ask for it, and metrics, with real directories and nodes
that come and go."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

from case import Case, start
from directory import Slapd
from directory_case import DirectoryCase
from fake_mail import MailNode
from metrics import fetch, metrics
from proxyd import BINARY, PASSWORD, ROOT, WRONG, merge
from wire import PATIENCE, free_port

LONG = 3 * PATIENCE  # a directory that is silent is waited for, and left alone for a while


class Admin:
    """Mixed into a case: a proxyd has `admin`, the port of its admin listener."""

    def with_admin(self, sections):
        self.port = free_port()
        return merge({'admin': {'listen': f'127.0.0.1:{self.port}'}}, sections)

    def ready(self, service=''):
        """The status of /readyz, and the reasons."""
        response = fetch(self.port, '/readyz' + (f'/{service}' if service else ''))
        return response.status, response.text

    def wait_ready(self, status, reason='', service='imap', seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while True:
            found = self.ready(service)
            if found[0] == status and reason in found[1]:
                return
            self.assertLess(time.monotonic(), deadline, f'/readyz/{service} is {found}, not {status} {reason}')
            time.sleep(0.02)

    def wait_metric(self, value, name, **labels):
        deadline = time.monotonic() + PATIENCE
        while (found := metrics(self.port).get(name, **labels)) != value:
            self.assertLess(time.monotonic(), deadline, f'{name} {labels} is {found}, not {value}')
            time.sleep(0.02)


class Serving(Admin, Case):
    def test_paths_and_methods(self):
        self.proxyd(**self.with_admin({}))
        for path, status in (('/healthz', 200), ('/healthz?x=1', 200), ('/healthz/x', 404), ('/readyz', 200),
                             ('/readyz/imap', 200), ('/readyz/pop3', 200), ('/readyz/smtp', 404), ('/readyzimap', 404),
                             ('/metrics', 200), ('/favicon.ico', 404)):
            got, head = fetch(self.port, path), fetch(self.port, path, method='HEAD')
            self.assertEqual((got.status, head.status), (status, status), path)
            self.assertEqual(head.text, '')
            self.assertTrue(got.text.endswith('\n'))
            self.assertEqual(got.getheader('Cache-Control'), 'no-store')
        for method in 'POST', 'PUT', 'DELETE', 'OPTIONS':
            refused = fetch(self.port, '/healthz', method=method)
            self.assertEqual((refused.status, refused.getheader('Allow')), (405, 'GET, HEAD'))

    def test_what_is_no_request(self):
        self.proxyd(**self.with_admin({}))
        for request, status in ((b'GET / HTTP/1.1\r\nHost: x\r\n' + b'a: b\r\n' * 3000, 431),
                                (b'GET /' + b'x' * 300 + b' HTTP/1.0\r\n\r\n', 414), (b'GET /\r\n\r\n', 400),
                                (b'GET / HTTP/1.1\r\n\r\n', 400), (b'\x16\x03\x01\x02\x00\x01\r\n\r\n', 400),
                                (b'GET /healthz HTTP/1.0\r\n\r\n', 200)):
            with socket.create_connection(('127.0.0.1', self.port), PATIENCE) as client:
                client.sendall(request)
                answer = client.makefile('rb').read()
                self.assertTrue(answer.startswith(b'HTTP/1.1 %d ' % status), f'{request[:40]}: {answer[:40]}')

    def test_who_only_connects_keeps_nobody_out(self):
        self.proxyd(**self.with_admin({}))
        idle = [socket.create_connection(('127.0.0.1', self.port), PATIENCE) for _ in range(100)]
        self.assertEqual(fetch(self.port, '/healthz').status, 200)
        self.assertEqual(idle[0].recv(1), b'')  # the oldest had to go
        for client in idle:
            client.close()

    def test_socket_file_and_more_than_one(self):
        path = os.path.join(self.folder, 'admin.sock')
        port = free_port()
        p = self.proxyd(admin={'listen': [f'unix:{path}', f'127.0.0.1:{port}']})
        self.assertEqual(fetch(path, '/healthz').status, 200)
        self.assertEqual(fetch(port, '/healthz').status, 200)
        p.reload(admin={'listen': [f'unix:{path}']})
        self.assertEqual(fetch(path, '/healthz').status, 200)
        with self.assertRaises(ConnectionRefusedError):
            fetch(port, '/healthz')
        p.stop()
        self.assertFalse(os.path.exists(path))

    def test_checks_of_the_configuration(self):
        p = self.new_proxyd(admin={'listen': ['127.0.0.1', '0.0.0.0:8025']})
        p.configure(admin={'listen': ['127.0.0.1', '0.0.0.0:8025', f'127.0.0.1:{p.port["imap"]}']})
        done = subprocess.run([BINARY, '-t', '-c', p.path], capture_output=True, text=True)
        self.assertEqual(done.returncode, 78)
        for words in "a listener's address needs a port", 'warning: whoever can reach', 'a listener given twice':
            self.assertIn(words, done.stderr)
        taken = self.node()
        p.configure(admin={'listen': taken.address})
        done = subprocess.run([BINARY, '-c', p.path], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 69)
        self.assertIn(f'cannot listen on {taken.address}', done.stderr)


class Health(Admin, Case):
    CHECKS = {'backend': {'check': {'interval': '100ms', 'fall': 2, 'rise': 1}}}

    @staticmethod
    def serve(wire):
        wire.imap_login()

    def test_a_node_down_and_up(self):
        node = self.node(serve=self.serve)
        self.proxyd(**self.with_admin({'nodes': {'n1': {'address': node.address}}, 'imap': self.CHECKS}))
        self.wait_ready(200)
        node.close()
        self.wait_ready(503, 'imap: none of 1 nodes is up (n1: cannot connect: Connection refused)')
        self.assertEqual(self.ready('pop3')[0], 200)
        self.assertEqual(self.ready()[0], 503)
        self.assertEqual(fetch(self.port, '/healthz').status, 200)
        self.assertEqual(metrics(self.port).get('proxyd_backend_up', service='imap', node='n1'), 0)
        self.node(serve=self.serve, port=node.port)
        self.wait_ready(200)
        self.assertEqual(metrics(self.port).get('proxyd_backend_up', service='imap', node='n1'), 1)

    def test_one_node_of_two_is_enough_and_the_failover_is_none(self):
        nodes = [self.node(serve=self.serve) for _ in range(3)]
        names = {f'n{i}': {'address': nodes[i].address} for i in range(2)}
        self.proxyd(**self.with_admin({'nodes': names, 'imap': {'failover': nodes[2].address, **self.CHECKS}}))
        nodes[0].close()
        self.wait_metric(0, 'proxyd_backend_up', service='imap', node='n0')
        self.assertEqual(self.ready('imap')[0], 200)
        nodes[1].close()
        self.wait_ready(503, 'none of 2 nodes is up')

    def test_draining(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}', **self.with_admin({'global_': {'shutdown_grace': '1m'}}))
        client, wire = self.login(p, node)
        p.signal(signal.SIGTERM)
        p.wait('stop')
        self.wait_ready(503, 'draining')
        self.assertEqual(fetch(self.port, '/healthz').status, 200)
        self.assertEqual(metrics(self.port).get('proxyd_draining'), 1)
        client.close()
        wire.close()
        self.assertEqual(p.wait_end(), 0)

    def test_answers_when_clients_have_used_up_the_descriptors(self):
        p = self.proxyd(under=('prlimit', '--nofile=128'), **self.with_admin({}))
        clients = [socket.create_connection(('127.0.0.1', p.port['imap']), PATIENCE) for _ in range(80)]
        p.wait('listener', message='accepting pauses...')
        self.assertEqual(fetch(self.port, '/healthz').status, 200)
        self.assertLess(metrics(self.port).get('process_open_fds'), 128)
        self.wait_ready(503, 'imap: accepting pauses: ')
        for client in clients:
            client.close()
        self.wait_ready(200)  # before anybody comes: a load balancer sends nobody until then
        self.connect(p).expect('* OK ...')
        p.wait('listener', message='accepting again')

    def test_checks_of_load_balancers_are_no_news(self):
        p = self.proxyd(**self.with_admin({'log': {'level': 'info'}, 'pop3': {'listeners': [
            {'address': f'127.0.0.1:{(port := free_port())}', 'tls': 'none', 'proxy_protocol': True}]},
            'global_': {'trusted_networks': ['127.0.0.0/8']}}))
        before = len(p.events('close'))
        for name in 'imap', 'imaps':
            for how in 'close', 'reset':
                client = socket.create_connection(('127.0.0.1', p.port[name]), PATIENCE)
                if how == 'reset':
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
                client.close()
        with socket.create_connection(('127.0.0.1', port), PATIENCE) as client:
            client.sendall(b'\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00')  # v2, LOCAL
        self.wait_metric(1, 'proxyd_connections_closed_total', service='pop3', reason='client_closed')
        deadline = time.monotonic() + PATIENCE
        while metrics(self.port).sum('proxyd_connections_closed_total', service='imap') < 4:
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual(metrics(self.port).sum('proxyd_sessions'), 0)
        self.assertEqual(p.events('connect'), [])
        self.assertEqual(len(p.events('close')), before)


class Directory(Admin, DirectoryCase):
    @classmethod
    def setUpClass(cls):
        pass  # each test has a directory of its own, to be stopped

    def setUp(self):
        self.directory = start(self, Slapd)
        super().setUp()

    def start_over_ldap(self):
        self.over_ldap(sections=self.with_admin({'ldap': {'corp': {'timeout': '1s', 'retry_interval': '500ms'}}}))

    def test_stopped_and_continued(self):
        self.start_over_ldap()
        self.wait_ready(200)
        self.directory.pause()
        self.wait_ready(503, 'imap: map staff: no server answers', seconds=LONG)
        self.assertEqual(metrics(self.port).get('proxyd_map_up', map='staff'), 0)
        self.directory.go_on()
        self.wait_ready(200, seconds=LONG)
        self.assertEqual(metrics(self.port).get('proxyd_map_up', map='staff'), 1)

    def test_away_at_the_start(self):
        self.directory.stop()
        self.start_over_ldap()
        self.wait_ready(503, 'imap: map staff: no server has answered yet')
        self.directory.start()
        self.wait_ready(200, seconds=LONG)
        self.directory.stop()
        self.wait_ready(503, 'imap: map staff: no server answers', seconds=LONG)

    def test_is_not_asked_where_nobody_wants_to_know(self):
        p = self.over_ldap()
        client = self.connect(p)
        client.expect('* OK ...')
        self.assertEqual(self.directory.events('search'), [])


class Counting(Admin, Case):
    def test_logins(self):
        node = self.node()
        p = self.proxyd(f'bob@example.org {node.address}\nann@example.org 127.0.0.1:{free_port()}', **self.with_admin(
            {'imap': {'max_auth_errors': 10}}))
        client, wire = self.login(p, node)
        other = self.connect(p)
        other.expect('* OK ...')
        other.ask(f'a LOGIN nobody@example.org {WRONG}', 'a NO [AUTHENTICATIONFAILED] ...')
        other.ask(f'b LOGIN ann@example.org {PASSWORD}', 'b NO [UNAVAILABLE] ...')
        m = metrics(self.port)
        for result, count in ('ok', 1), ('failed', 1), ('node_down', 1), ('busy', 0), ('temporary', 0):
            self.assertEqual(m.get('proxyd_logins_total', service='imap', result=result), count, result)
        self.assertEqual(m.sum('proxyd_logins_total', service='pop3'), 0)
        self.assertEqual(m.get('proxyd_login_seconds_count', service='imap'), 1)
        self.assertGreater(m.get('proxyd_login_seconds_sum', service='imap'), 0)
        self.assertEqual(m.get('proxyd_backend_connect_seconds_count', service='imap'), 1)
        self.assertEqual(m.get('proxyd_backend_queue_seconds_count', service='imap'), 2)
        for result, count in ('found', 2), ('not_found', 1), ('ambiguous', 0), ('temporary_failure', 0):
            self.assertEqual(m.get('proxyd_map_lookups_total', map='local', result=result), count, result)
        self.assertEqual(m.get('proxyd_map_lookup_seconds_count', map='local'), 3)
        self.assertEqual(m.get('proxyd_connections_total', service='imap', result='accepted'), 2)
        self.assertEqual(m.get('proxyd_sessions', service='imap'), 2)
        self.assertEqual(m.get('proxyd_backend_active', service='imap', node=node.address), 1)
        client.close()
        wire.close()
        other.close()
        self.wait_metric(0, 'proxyd_sessions', service='imap')
        self.assertEqual(metrics(self.port).sum('proxyd_connections_closed_total', service='imap'), 2)

    def test_logins_that_are_not_taken(self):
        p = self.proxyd(**self.with_admin({'imap': {'limits': {'auth_failures_per_ip': 1, 'interval': '1h'}}}))
        for word in 'AUTHENTICATIONFAILED', 'UNAVAILABLE', 'UNAVAILABLE':
            client = self.connect(p)
            client.expect('* OK ...')
            client.ask(f'a LOGIN bob@example.org {WRONG}', f'a NO [{word}] ...')
            client.close()
        self.wait_metric(2, 'proxyd_logins_limited_total', service='imap')
        self.assertEqual(p.ask('status')['services'][0]['logins']['limited'], 2)
        self.assertEqual(p.order('status').splitlines()[3].split()[:6], ['imap', '0', '3', '0', '1', '2'])

    def test_the_longest_round_is_that_since_the_last_look(self):
        client = self.connect(self.proxyd(**self.with_admin({})))
        client.expect('* OK ...')
        client.ask('a NOOP', 'a OK ...')  # so a round is over
        longest = metrics(self.port).get('proxyd_worker_longest_round_seconds')
        self.assertLess(0, longest)
        self.assertLess(longest, PATIENCE)

    def test_a_long_session_is_seen_while_it_runs(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}', **self.with_admin({}))
        client, wire = self.login(p, node)
        self.assertEqual(metrics(self.port).sum('proxyd_relayed_bytes_total'), 0)
        client.say('b NOOP')
        wire.expect('b NOOP')
        self.wait_metric(8, 'proxyd_relayed_bytes_total', service='imap', direction='in')
        wire.say('b OK' + 'x' * 100000)
        client.expect('b OK...')
        self.wait_metric(100006, 'proxyd_relayed_bytes_total', service='imap', direction='out')

    def test_a_full_queue(self):
        node = self.node()
        p = self.proxyd(f'* {node.address}', **self.with_admin(
            {'imap': {'backend': {'max_connections': 1, 'queue_size': 1, 'queue_timeout': '4s'}}}))
        self.login(p, node)
        waiting, refused = self.connect(p), self.connect(p)
        waiting.expect('* OK ...')
        waiting.say(f'a LOGIN two {PASSWORD}')
        labels = {'service': 'imap', 'node': node.address}
        self.wait_metric(1, 'proxyd_backend_queued', **labels)
        refused.expect('* OK ...')
        refused.ask(f'a LOGIN three {PASSWORD}', 'a NO [UNAVAILABLE] ...')
        self.wait_metric(1, 'proxyd_backend_rejected_total', **labels)
        waiting.expect('a NO [UNAVAILABLE] ...')
        self.wait_metric(2, 'proxyd_backend_rejected_total', **labels)
        m = metrics(self.port)
        self.assertEqual(m.get('proxyd_backend_places', **labels), 1)
        self.assertEqual(m.get('proxyd_logins_total', service='imap', result='busy'), 2)

    def test_recipients_of_mail(self):
        node = MailNode(self)
        p = self.proxyd(f'bob@example.org {node.address}', **self.with_admin({'smtp': {'domains': ['example.org']}}))
        client = self.connect(p, 'smtp')
        client.expect('220 ...')
        client.ask('HELO x', '250 ...')
        client.ask('MAIL FROM:<a@example.net>', '250 ...')
        client.ask('RCPT TO:<bob@example.org>', '250 ...')
        client.ask('RCPT TO:<nobody@example.org>', '550 ...')
        client.ask('DATA', '354 ...')
        client.say('hello', '.')
        client.expect('250 ...')
        m = metrics(self.port)
        for result, count in ('delivered', 1), ('refused', 1), ('failed', 0), ('cut_off', 0):
            self.assertEqual(m.get('proxyd_mail_recipients_total', service='smtp', result=result), count, result)
        self.assertGreater(m.get('proxyd_relayed_bytes_total', service='smtp', direction='in'), 5)

    def test_labels_are_escaped(self):
        self.proxyd(**self.with_admin({'nodes': {'a"b\\c é': {'address': '127.0.0.1:1'}}}))
        self.assertEqual(metrics(self.port).get('proxyd_backend_up', service='imap', node='a"b\\c é'), 1)

    def test_promtool_finds_nothing_wrong(self):
        if not shutil.which('promtool'):
            self.skipTest('there is no promtool')
        self.proxyd(**self.with_admin({'nodes': {'n1': {'address': '127.0.0.1:1'}}}))
        text = fetch(self.port, '/metrics').text
        done = subprocess.run(['promtool', 'check', 'metrics'], input=text, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ''))

    def test_a_thousand_nodes_take_no_time(self):
        names = {f'node{i}': {'address': f'127.0.{i // 250}.{i % 250 + 1}'} for i in range(1000)}
        self.proxyd(**self.with_admin({'nodes': names}))
        took = []
        for _ in range(5):
            start = time.monotonic()
            response = fetch(self.port, '/metrics')
            took.append(time.monotonic() - start)
        self.assertEqual(response.text.count('\nproxyd_backend_active{'), 2000)
        print(f'# metrics of 1,000 nodes of two services, {len(response.text)} bytes: {min(took) * 1000:.1f} ms')
        self.assertLess(min(took), 0.25)  # 10 ms on a machine that has nothing else to do


class Monitoring(Admin, DirectoryCase):
    """The dashboard and the alerts of scripts/monitoring name what there is, and are understood."""
    FOLDER = os.path.join(ROOT, 'scripts', 'monitoring')
    OTHERS = {'up', 'vector'}

    def names(self):
        """All metrics that proxyd has, of every kind of service."""
        mail = {'listeners': [{'address': f'127.0.0.1:{free_port()}'}], 'maps': ['staff'],
                'domains': ['example.org'], 'backend': {'port': 1}}
        self.over_ldap(sections=self.with_admin({'services': {'smtp': mail}}))
        return metrics(self.port)

    def expressions(self):
        with open(os.path.join(self.FOLDER, 'grafana-dashboard.json')) as file:
            dashboard = json.load(file)
        for panel in dashboard['panels']:
            for target in panel.get('targets', ()):
                yield panel['title'], re.sub(r'\$__rate_interval', '5m', target['expr'])
        with open(os.path.join(self.FOLDER, 'alert-rules.yaml')) as file:
            for found in re.finditer(r'expr: (\|\n(?: {10}.*\n)+|.*\n)', file.read()):
                yield found[0].split('\n')[0], found[1].removeprefix('|')

    def test_every_metric_that_they_name_exists(self):
        found = self.names()
        known = found.names() | set(found.types)
        named = set()
        for where, expression in self.expressions():
            words = re.findall(r'\b(?:proxyd|process)_\w+', expression)
            self.assertTrue(words or 'up{' in expression, where)
            named.update(words)
            # http requests have no sample before the first one
            self.assertLessEqual(set(words) - known, {'proxyd_http_requests_total'} & set(found.types), where)
            for name, label in re.findall(r'((?:proxyd)_\w+)\{[^}]*?(\w+)=~?"(?!\$)', expression):
                labels = {key for sample, pairs in found if sample == name for key in dict(pairs)}
                self.assertTrue(label in labels, f'{where}: {name} has no label {label}')
        for family in found.types:  # and what there is, somebody looks at
            if family.startswith('proxyd_'):
                self.assertTrue(any(name.startswith(family) for name in named) or family in (
                    'proxyd_build_info', 'proxyd_backend_places'), f'nobody looks at {family}')

    def test_promtool_understands_them(self):
        rules = os.path.join(self.FOLDER, 'alert-rules.yaml')
        done = subprocess.run(['promtool', 'check', 'rules', rules], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        path = os.path.join(self.folder, 'dashboard.yaml')
        with open(path, 'w') as file:
            json.dump({'groups': [{'name': 'dashboard', 'rules': [
                {'record': f'panel{i}', 'expr': expression} for i, (_, expression) in enumerate(self.expressions())]}]},
                file)
        done = subprocess.run(['promtool', 'check', 'rules', path], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
