# SPDX-License-Identifier: ISC
"""What fails around a proxyd that runs: it refuses, never crashes, and the log names the cause."""
import os
import pathlib
import subprocess
import time
import unittest

from case import Case
from wire import PATIENCE


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


class Certificates(Case):
    def test_half_a_file_at_a_reload_changes_nothing(self):
        p = self.proxyd()
        certificate, key = p.authority.server
        for number, (name, path) in enumerate((('certificate', certificate), ('key', key)), 1):
            whole = pathlib.Path(path).read_text()
            half = p.write(f'half-{name}', whole[:len(whole) // 2])
            p.configure(tls={name: half})
            p.reload()
            said = p.wait('config', level='error', count=number, message=f'{p.path}:...')['message']
            self.assertIn(f'cannot use {name} {half}', said)
            p.wait('config', count=number, message='not reloaded: ...')
            client = self.connect(p, 'imaps')
            client.expect('* OK ...')
            client.close()
            p.configure(tls={'certificate': certificate, 'key': key})
            p.reload()
