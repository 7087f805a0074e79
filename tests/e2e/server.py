# SPDX-License-Identifier: ISC
"""Servers that others wrote, as processes of ours on loopback: what all of them have in common."""
import os
import socket
import time

from wire import PATIENCE


def answers(port):
    try:
        socket.create_connection(('127.0.0.1', port), timeout=1).close()
        return True
    except OSError:
        return False


def wait_to_serve(process, name, ports, told, seconds=PATIENCE):
    """Waits until PROCESS takes connections at all PORTS. If it does not, TOLD() says why."""
    deadline = time.monotonic() + seconds
    for port in ports:
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f'{name} does not start: {told()}')
            time.sleep(0.02)


class Server:
    """It has its files, and its log, in `folder`; `process` is None while it does not run."""
    process = None

    def __init__(self, folder):
        self.folder = folder

    def write(self, name, content):
        with open(os.path.join(self.folder, name), 'w') as file:
            file.write(content)

    def log(self):
        try:
            with open(os.path.join(self.folder, 'log')) as file:
                return file.read()
        except FileNotFoundError:
            return ''

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(PATIENCE)
            self.process = None
