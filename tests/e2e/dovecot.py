# SPDX-License-Identifier: ISC
"""A real Dovecot as a node: an instance of its own in a temporary folder, on loopback, that needs
no privileges. Root cannot run Dovecot unprivileged, so it becomes nobody."""
import grp
import os
import pwd
import re
import shutil
import subprocess
import time

from server import Server, wait_to_serve
from wire import PATIENCE, free_port

CONFIGURATION = '''
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap pop3
listen = 127.0.0.1
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
first_valid_uid = 1
auth_verbose = yes
auth_failure_delay = 0
auth_username_chars =
auth_mechanisms = plain login
disable_plaintext_auth = no
login_trusted_networks = {trusted}
haproxy_trusted_networks = 127.0.0.0/8
mail_location = maildir:{folder}/mail/%u
mailbox_list_index = no
ssl = {ssl}
{certificate}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/passwd
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
    haproxy = {haproxy}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = {ssl}
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
    haproxy = {haproxy}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = {ssl}
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
'''


def find():
    path = shutil.which('dovecot', path=os.environ.get('PATH', '') + ':/usr/sbin')
    if not path:
        raise FileNotFoundError('dovecot is not installed')
    return path


def account():
    """Who runs it: we, or nobody where we are root."""
    return pwd.getpwuid(os.getuid()) if os.getuid() else pwd.getpwnam('nobody')


class Dovecot(Server):
    """Ports are in `port`: imap, imaps, pop3, pop3s. USERS: {login: password}."""

    def __init__(self, folder, users, certificate=None, trusted='', haproxy=False, **ports):
        super().__init__(folder)
        self.port = {name: ports.get(name) or free_port() for name in ('imap', 'imaps', 'pop3', 'pop3s')}
        self.who = account()
        os.makedirs(os.path.join(folder, 'mail'))
        self.write('passwd', ''.join(f'{login}:{{PLAIN}}{password}\n' for login, password in users.items()))
        self.write('conf', CONFIGURATION.format(
            folder=folder, user=self.who.pw_name, group=grp.getgrgid(self.who.pw_gid).gr_name,
            uid=self.who.pw_uid, gid=self.who.pw_gid, trusted=trusted, haproxy='yes' if haproxy else 'no',
            ssl='yes' if certificate else 'no', **self.port,
            certificate=self.take(certificate) if certificate else ''))
        for login in users:
            self.deliver(login, 'Welcome', f'This is the mailbox of {login}.')

    def take(self, certificate):
        """Copies certificate and key to where the account that runs Dovecot can read them."""
        names = [shutil.copy(path, self.folder) for path in certificate]
        return 'ssl_cert = <{}\nssl_key = <{}'.format(*names)

    def deliver(self, login, subject, body):
        """Puts a message into the user's maildir."""
        self.put(login, f'From: sender@example.org\nTo: {login}\nSubject: {subject}\n'
                 f'Message-ID: <{time.time_ns()}@example.org>\n\n{body}\n')

    def put(self, login, text):
        """The same of a whole one."""
        maildir = os.path.join(self.folder, 'mail', login)
        for name in ('cur', 'new', 'tmp'):
            os.makedirs(os.path.join(maildir, name), exist_ok=True)
        now = time.time_ns()  # what Dovecot sorts by: seconds, as 32 bits, and microseconds behind .M
        self.write(f'mail/{login}/new/{now // 10**9}.M{now // 1000 % 10**6:06}.example', text)

    def start(self):
        self.give_away()
        as_nobody = ['--reuid', str(self.who.pw_uid), '--regid', str(self.who.pw_gid), '--clear-groups']
        self.process = subprocess.Popen(
            ['setpriv', '--pdeathsig', 'TERM', *([] if os.getuid() else as_nobody),
             find(), '-F', '-c', os.path.join(self.folder, 'conf')],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
        wait_to_serve(self.process, 'dovecot', (self.port['imap'], self.port['pop3']), self.log)
        return self

    def give_away(self):
        if os.getuid() == 0:
            for top, folders, files in os.walk(self.folder):
                for path in [top] + [os.path.join(top, name) for name in files]:
                    os.chown(path, self.who.pw_uid, self.who.pw_gid)

    def wait_log(self, pattern, count=1):
        """Waits until so many lines of its log match; returns them. It writes them late."""
        deadline = time.monotonic() + PATIENCE
        while len(found := [line for line in self.log().splitlines() if re.search(pattern, line)]) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f'no {pattern} in the log of dovecot:\n{self.log()}')
            time.sleep(0.02)
        return found
