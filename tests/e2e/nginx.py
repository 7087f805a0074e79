# SPDX-License-Identifier: ISC
"""A node that runs Debian's nginx: static files, answers that are compressed on their way, limits on
uploads. Everything is below a temporary folder, on loopback."""
import os
import subprocess
import time
import urllib.request

from wire import PATIENCE, free_port

CONFIGURATION = '''
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
{user}
events {{ worker_connections 4096; }}
http {{
    types {{ text/plain txt; }}
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {folder}/files;
        location / {{ }}
        location /gzip/ {{ alias {folder}/files/; gzip on; gzip_types *; gzip_min_length 0; gzip_proxied any; }}
        location /short/ {{ client_max_body_size 1k; return 204; }}
        location /moved {{ absolute_redirect on; return 301 http://127.0.0.1:{port}/small.txt; }}
        location /seen {{ return 200 "$host $http_x_forwarded_for $http_x_request_id $content_length"; }}
    }}
}}
'''


class Nginx:
    """FILES: {name: content}. Its requests, as it has understood them, are in `requests`."""

    def __init__(self, folder, files):
        self.folder, self.port = folder, free_port()
        os.makedirs(os.path.join(folder, 'files'))
        os.chmod(folder, 0o755)
        for name, content in files.items():
            with open(os.path.join(folder, 'files', name), 'wb') as file:
                file.write(content)
        self.path = os.path.join(folder, 'nginx.conf')
        user = 'user root;' if os.geteuid() == 0 else ''
        with open(self.path, 'w') as file:
            file.write(CONFIGURATION.format(folder=folder, port=self.port, user=user))

    @property
    def address(self):
        return f'127.0.0.1:{self.port}'

    @property
    def requests(self):
        with open(os.path.join(self.folder, 'access.log')) as file:
            return [line.split('"')[1] for line in file]

    def start(self):
        self.process = subprocess.Popen(['nginx', '-c', self.path, '-e', os.path.join(self.folder, 'error.log')])
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(f'http://{self.address}/seen', timeout=PATIENCE).close()
                return self
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, 'nginx does not start'
                time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)
