# SPDX-License-Identifier: ISC
"""The HTTP exchange before a real nginx, asked by curl and, many times at once, by wrk."""
import gzip
import os
import re
import subprocess
import time

from case import start
from nginx import Nginx
from web_case import HOST, WebCase, authority

FILES = {'small.txt': b'small\n' * 16, 'large.txt': os.urandom(65536), 'huge.txt': os.urandom(5_000_000)}
LOGIN = 'bob@example.org:s3cret-word'


class BeforeNginx(WebCase):
    @classmethod
    def setUpClass(cls):
        cls.nginx = start(cls, Nginx, FILES)

    def front(self, **how):
        return self.web(self.nginx, http={'upload_size': '64M', 'body_size': '64M'}, **how)

    def curl(self, p, *args, scheme='http'):
        """What curl gets: status and body."""
        command = ['curl', '-sS', '--max-time', '30', '-u', LOGIN, '--cacert', authority().file, '-w', '%{stderr}%{http_code}',
                   '--resolve', f'{HOST}:{p.web_port}:127.0.0.1', *args]
        command[-1] = f'{scheme}://{HOST}:{p.web_port}{args[-1]}'
        done = subprocess.run(command, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return int(done.stderr[-3:]), done.stdout

    def test_what_curl_gets(self):
        for listener, scheme in (None, 'http'), ({'tls': 'implicit'}, 'https'):
            p = self.front(listener=listener)
            for name, content in FILES.items():
                self.assertEqual(self.curl(p, f'/{name}', scheme=scheme), (200, content))
            status, body = self.curl(p, '-H', 'Accept-Encoding: gzip', '/gzip/large.txt', scheme=scheme)
            self.assertEqual((status, gzip.decompress(body)), (200, FILES['large.txt']))
            self.assertEqual(self.curl(p, '-r', '10-19', '/large.txt', scheme=scheme), (206, FILES['large.txt'][10:20]))
            self.assertEqual(self.curl(p, '-H', 'If-None-Match: *', '/small.txt', scheme=scheme), (304, b''))
            self.assertEqual(self.curl(p, '-I', '-o', '/dev/null', '/huge.txt', scheme=scheme)[0], 200)
            self.assertEqual(self.curl(p, '-0', '--no-alpn', '/small.txt', scheme=scheme), (200, FILES['small.txt']))
            self.assertEqual(self.curl(p, '-L', '/moved', scheme=scheme), (200, FILES['small.txt']))
            seen = self.curl(p, '/seen', scheme=scheme)[1].decode()
            self.assertRegex(seen, f'^{HOST} 127.0.0.1 [0-9a-f]{{16}} $')

    def test_uploads_that_it_refuses_before_they_are_there(self):
        p = self.front()
        path = os.path.join(self.folder, 'upload')
        with open(path, 'wb') as file:
            file.write(bytes(20_000_000))
        for how in (), ('-H', 'Expect:'):
            status, _ = self.curl(p, '-o', '/dev/null', '-H', 'Content-Type: multipart/form-data; boundary=x', *how,
                                  '--data-binary', f'@{path}', '/short/')
            self.assertEqual(status, 413, how)
        self.assertEqual(self.curl(p, '/small.txt')[0], 200)

    def wrk(self, p, path, seconds=2, connections=50, scheme='http'):
        """Requests in SECONDS, all of them answered with 200."""
        basic = subprocess.run(['base64'], input=LOGIN.encode(), capture_output=True).stdout.decode().strip()
        done = subprocess.run(['wrk', '-t1', '--timeout', '30s', f'-c{connections}', f'-d{seconds}', '-H', f'Host: {HOST}', '-H',
                               f'Authorization: Basic {basic}', f'{scheme}://127.0.0.1:{p.web_port}{path}'],
                              capture_output=True, text=True, timeout=60)
        self.assertNotRegex(done.stdout, 'Non-2xx|Socket errors', done.stdout)
        return int(re.search(r'(\d+) requests in', done.stdout)[1])

    def test_under_load(self):
        for listener, scheme in (None, 'http'), ({'tls': 'implicit'}, 'https'):
            p = self.front(listener=listener)
            before = len(self.nginx.requests)
            asked = sum(self.wrk(p, f'/{name}', 1, scheme=scheme) for name in ('small.txt', 'large.txt'))
            self.assertGreater(asked, 20)
            # Each request has reached it once, but those that wrk has not waited for at its end.
            deadline = time.monotonic() + 10
            while (got := len(self.nginx.requests) - before) < asked and time.monotonic() < deadline:
                time.sleep(0.05)
            self.assertGreaterEqual(got, asked)
            self.assertLessEqual(got, asked + 100)
            if not os.environ.get('SAN'):  # which keeps what was freed for a while
                self.assertLess(p.memory(), 100_000_000)

    def test_under_load_with_few_places_and_a_reload(self):
        p = self.front(backend={'max_requests': 4, 'queue_size': 100, 'queue_timeout': '20s'})
        p.reload()
        self.assertGreater(self.wrk(p, '/small.txt', 1), 10)
