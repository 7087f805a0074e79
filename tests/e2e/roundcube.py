# SPDX-License-Identifier: ISC
"""A node that runs Debian's Roundcube on PHP's own web server, before its own Dovecot; and a server
that takes the mail which it sends. Everything is below a temporary folder, on loopback."""
import glob
import os
import signal
import socketserver
import sqlite3
import subprocess
import threading

from dovecot import Dovecot, account
from server import wait_to_serve
from wire import PATIENCE, free_port

CODE = '/usr/share/roundcube'
PAGES = '/var/lib/roundcube/public_html'
STARTING = 60  # seconds, at most; others may be busy

CONFIGURATION = '''<?php
$config['db_dsnw'] = 'sqlite:///{folder}/db?mode=0600';
$config['imap_host'] = '127.0.0.1:{imap}';
$config['smtp_host'] = '127.0.0.1:{smtp}';
$config['smtp_user'] = $config['smtp_pass'] = '';
$config['des_key'] = 'a key of twenty-four byt';
$config['product_name'] = 'Roundcube on {name}';
$config['plugins'] = [];
$config['skin'] = 'elastic';
$config['language'] = 'en_US';
$config['log_dir'] = '{folder}/logs/';
$config['temp_dir'] = '{folder}/temp/';
$config['enable_spellcheck'] = false;
$config['create_default_folders'] = true;
$config['drafts_mbox'] = $config['sent_mbox'] = '';
$config['draft_autosave'] = 0;
$config['reply_all_mode'] = 0;
'''


class Mailbox(socketserver.ThreadingTCPServer):
    """An SMTP server that keeps what it gets in `mails`, (recipients, text), and calls DELIVER with
    these."""
    allow_reuse_address = daemon_threads = True

    def __init__(self, deliver=None):
        super().__init__(('127.0.0.1', 0), Letter)
        self.port, self.mails, self.news = self.server_address[1], [], threading.Condition()
        self.deliver = deliver
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def stop(self):
        self.shutdown()
        self.server_close()
        self.thread.join(PATIENCE)

    def wait(self):
        """The first one."""
        with self.news:
            assert self.news.wait_for(lambda: self.mails, STARTING), 'no mail was sent'
            return self.mails[0]


class Letter(socketserver.StreamRequestHandler):
    def say(self, line):
        self.wfile.write(line.encode() + b'\r\n')

    def handle(self):
        recipients = []
        self.say('220 mailbox')
        while line := self.rfile.readline().decode('utf-8', 'replace').strip():
            verb = line.split()[0].upper()
            if verb == 'RCPT':
                recipients.append(line.partition('<')[2].partition('>')[0])
            if verb == 'DATA':
                self.say('354 go on')
                text = b''.join(iter(self.rfile.readline, b'.\r\n')).decode('utf-8', 'replace')
                if self.server.deliver:
                    self.server.deliver(recipients, text)
                with self.server.news:
                    self.server.mails.append((recipients, text))
                    self.server.news.notify_all()
            self.say('221 bye' if verb == 'QUIT' else '250 good')
            if verb == 'QUIT':
                return


class Roundcube:
    """NAME is in its pages' titles; USERS: {login: password}; mail is sent to the port SMTP. In `port`:
    webmail, and those of its Dovecot."""

    def __init__(self, folder, name, users, smtp, **dovecot):
        self.folder, self.name, self.process = folder, name, None
        os.makedirs(folder)
        os.chmod(folder, 0o755)
        self.dovecot = Dovecot(os.path.join(folder, 'dovecot'), users, **dovecot)
        self.port = {'webmail': free_port(), **self.dovecot.port}
        for login in users:
            self.dovecot.deliver(login, f'This is {name}', f'The mailbox of {login} on {name}.')
        self.place = os.path.join(folder, 'roundcube')
        for part in 'config', 'logs', 'temp':
            os.makedirs(os.path.join(self.place, part))
        with open(os.path.join(self.place, 'config', 'config.inc.php'), 'w') as file:
            file.write(CONFIGURATION.format(folder=self.place, name=name, imap=self.dovecot.port['imap'], smtp=smtp))
        for path in glob.glob('/etc/roundcube/*.php'):
            if os.path.basename(path) in ('defaults.inc.php', 'mimetypes.php'):
                os.symlink(path, os.path.join(self.place, 'config', os.path.basename(path)))
        with open(os.path.join(CODE, 'SQL', 'sqlite.initial.sql')) as file:
            database = sqlite3.connect(os.path.join(self.place, 'db'))
            database.executescript(file.read())
            database.close()

    @property
    def address(self):
        return f'127.0.0.1:{self.port["webmail"]}'

    def put(self, login, text):
        self.dovecot.put(login, text)
        self.dovecot.give_away()

    def give_away(self):
        who = account()
        for top, _, files in os.walk(self.place):
            for path in [top] + [os.path.join(top, name) for name in files]:
                os.chown(path, who.pw_uid, who.pw_gid, follow_symlinks=False)

    def start(self):
        who = account()
        as_nobody = ['--reuid', str(who.pw_uid), '--regid', str(who.pw_gid), '--clear-groups']
        if os.getuid() == 0:
            self.give_away()
        self.dovecot.start()
        self.log = open(os.path.join(self.folder, 'php.log'), 'w')
        self.process = subprocess.Popen(
            ['setpriv', '--pdeathsig', 'TERM', *([] if os.getuid() else as_nobody), 'php', '-d', 'session.save_path='
             + os.path.join(self.place, 'temp'), '-d', 'upload_tmp_dir=' + os.path.join(self.place, 'temp'),
             '-d', 'upload_max_filesize=16M', '-d', 'post_max_size=16M', '-S', self.address, '-t', PAGES],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True,
            env={'PATH': os.environ['PATH'], 'ROUNDCUBE_CONFIG_DIR': os.path.join(self.place, 'config'),
                 'PHP_CLI_SERVER_WORKERS': '3'})
        wait_to_serve(self.process, 'php', [self.port['webmail']], self.told, STARTING)
        return self

    def told(self):
        """Its logs."""
        text = ''
        for path in [os.path.join(self.folder, 'php.log'), *glob.glob(os.path.join(self.place, 'logs', '*'))]:
            with open(path, errors='replace') as file:
                text += file.read()[-4000:]
        return text

    def stop(self):
        if self.process:
            os.killpg(self.process.pid, signal.SIGTERM)  # its workers do not end with it
            self.process.wait(PATIENCE)
            self.log.close()
            self.process = None
        self.dovecot.stop()
