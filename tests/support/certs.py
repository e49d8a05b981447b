"""A certificate authority of a test's own."""
import subprocess
from pathlib import Path


def openssl(*arguments):
    subprocess.run(['openssl', *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """Makes certificates in `folder`; `ca` is the file to trust."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.ca = self.folder / 'ca.pem'
        self.ca_key = self.folder / 'ca.key'
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
                '-subj', '/CN=test authority', '-keyout', self.ca_key, '-out', self.ca)
        self.ca.chmod(0o644)

    def issue(self, name, san):
        """(certificate, key) for subjectAltName `san`, "IP:127.0.0.1,DNS:db.test"."""
        cert, key, request, extensions = (self.folder / f'{name}.{end}'
                                          for end in ('pem', 'key', 'csr', 'ext'))
        extensions.write_text(f'subjectAltName={san}\n')
        openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', f'/CN={name}',
                '-keyout', key, '-out', request)
        openssl('x509', '-req', '-in', request, '-CA', self.ca, '-CAkey', self.ca_key, '-CAcreateserial',
                '-days', '2', '-extfile', extensions, '-out', cert)
        cert.chmod(0o644)
        return cert, key
