# SPDX-License-Identifier: ISC
"""A real Postfix with its queue, in a temporary folder, on loopback: it takes mail for everybody and
hands it on. It needs root."""
import os
import pwd
import subprocess
import time

from dovecot import Dovecot
from wire import PATIENCE, free_port

DAEMONS = '/usr/lib/postfix/sbin'


class Postfix:
    """NEXT is the transport by which everything leaves ("smtp:[127.0.0.1]:25"). TRUSTED: networks whose
    XCLIENT is believed. What it defers is tried again every second: that goes for the queue `incoming` too
    (qmgr's wakeup in master.cf), where qmgr puts a message that a delivery still holds when its next try is due."""

    def __init__(self, folder, next_hop, trusted='', more=''):
        self.folder, self.port = folder, free_port()
        for name in ('', 'spool', 'data', *('spool/' + name for name in (
                'active', 'bounce', 'corrupt', 'defer', 'deferred', 'flush', 'hold', 'incoming', 'maildrop', 'pid',
                'private', 'public', 'saved', 'trace'))):
            os.mkdir(os.path.join(folder, name))
            if name.split('/')[-1] not in ('', 'spool', 'pid'):
                os.chown(os.path.join(folder, name), pwd.getpwnam('postfix').pw_uid, -1)
        self.write('main.cf', f'''
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
daemon_directory = {DAEMONS}
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = mta.example.net
inet_protocols = ipv4
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
default_transport = {next_hop}
default_destination_recipient_limit = 50
smtpd_authorized_xclient_hosts = {trusted}
smtpd_relay_restrictions = check_client_access static:ok, reject
smtpd_client_port_logging = yes
smtp_dns_support_level = disabled
lmtp_dns_support_level = disabled
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
{more}
''')
        self.write('master.cf', f'''
127.0.0.1:{self.port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
''')
        self.process = subprocess.Popen([DAEMONS + '/master', '-c', folder], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def write(self, name, content):
        with open(os.path.join(self.folder, name), 'w') as file:
            file.write(content)

    def log(self):
        try:
            with open(os.path.join(self.folder, 'log')) as file:
                return file.read()
        except FileNotFoundError:
            return ''

    def start(self):
        deadline = time.monotonic() + PATIENCE
        while not Dovecot.answers(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f'postfix does not start: {self.log()}')
            time.sleep(0.02)
        return self

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)
