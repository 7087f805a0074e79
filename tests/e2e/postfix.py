# SPDX-License-Identifier: ISC
"""A real Postfix, in a temporary folder, on loopback. It needs root."""
import os
import pwd
import subprocess

from server import Server, wait_to_serve
from wire import free_port

DAEMONS = '/usr/lib/postfix/sbin'
FOLDERS = ('active', 'bounce', 'corrupt', 'defer', 'deferred', 'flush', 'hold', 'incoming', 'maildrop', 'pid',
           'private', 'public', 'saved', 'trace')


class Postfix(Server):
    """An smtpd at `port`; MAIN and SERVICES are what main.cf and master.cf say besides."""

    def __init__(self, folder, main, services):
        super().__init__(folder)
        self.port = free_port()
        for name in ('', 'spool', 'data', *('spool/' + name for name in FOLDERS)):
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
inet_protocols = ipv4
mydestination =
alias_maps =
{main}
''')
        self.write('master.cf', f'''
127.0.0.1:{self.port} inet n - n - - smtpd
rewrite unix - - n - - trivial-rewrite
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
{services}
''')

    def start(self):
        self.process = subprocess.Popen([DAEMONS + '/master', '-c', self.folder], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_to_serve(self.process, 'postfix', [self.port], self.log)
        return self


class Mta(Postfix):
    """One with its queue, which takes mail for everybody and hands it on. NEXT_HOP is the transport by which
    everything leaves ("smtp:[127.0.0.1]:25"). TRUSTED: networks whose XCLIENT is believed. What it defers is tried
    again every second: that goes for the queue `incoming` too (qmgr's wakeup in master.cf), where qmgr puts a
    message that a delivery still holds when its next try is due."""

    def __init__(self, folder, next_hop, trusted=''):
        super().__init__(folder, f'''
myhostname = mta.example.net
mynetworks = 127.0.0.0/8
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
''', '''
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
''')
