# SPDX-License-Identifier: ISC
"""A certificate authority of our own, made with the openssl command on the spot."""
import os
import subprocess


def openssl(*args, folder):
    subprocess.run(['openssl', *args], cwd=folder, check=True, capture_output=True)


class Authority:
    def __init__(self, folder, name='Test CA'):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.file = os.path.join(folder, 'ca.pem')
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', f'/CN={name}', folder=folder)

    def issue(self, name, alternatives=None, key='ec', subject=''):
        """Makes NAME.pem and NAME.key, and returns their paths. ALTERNATIVES as in
        subjectAltName; by default DNS:NAME; KEY is ec or rsa:BITS; SUBJECT is more of the subject."""
        kind = [key] if key != 'ec' else ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256']
        openssl('req', '-newkey', *kind, '-nodes', '-keyout', f'{name}.key', '-out', f'{name}.csr',
                '-subj', f'/CN={name}{subject}', folder=self.folder)
        with open(os.path.join(self.folder, f'{name}.ext'), 'w') as file:
            file.write(f'subjectAltName={alternatives or "DNS:" + name}\n')
        openssl('x509', '-req', '-in', f'{name}.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-days', '2',
                '-extfile', f'{name}.ext', '-out', f'{name}.pem', folder=self.folder)
        return tuple(os.path.join(self.folder, name + end) for end in ('.pem', '.key'))
