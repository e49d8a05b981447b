"""Members of a real etcd, with TLS and client certificates, on addresses of the test's own."""
import base64
import json
import os
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request

from .certs import Authority

def present():
    return shutil.which('etcd') is not None


class Etcd:
    """`count` members; `with` starts them, and leaves nothing."""

    def __init__(self, folder, count, *flags):
        self.folder = folder
        self.count = count
        self.flags = flags
        self.processes = [None] * count
        pid = os.getpid()
        self.address = f'127.95.{pid // 250 % 250}.{1 + pid % 250}'
        self.endpoints = [f'https://{self.address}:{23790 + number}' for number in range(count)]
        self.peers = [f'https://{self.address}:{23890 + number}' for number in range(count)]
        # One certificate for members and clients. Members connect to each other from 127.0.0.1, and an
        # address that is not in the certificate is turned away.
        authority = Authority(folder)
        self.ca = authority.ca
        self.cert, self.key = authority.issue('end', f'IP:{self.address},IP:127.0.0.1')

    def __enter__(self):
        try:
            for number in range(self.count):
                self.start(number)
            self.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for number, process in enumerate(self.processes):
            if process is not None:
                self.kill(number)

    def start(self, number):
        assert self.processes[number] is None
        tls = [('trusted-ca-file', self.ca), ('cert-file', self.cert), ('key-file', self.key)]
        files = [text for prefix in ('', 'peer-') for name, path in tls for text in (f'--{prefix}{name}', str(path))]
        cluster = ','.join(f'm{number}={peer}' for number, peer in enumerate(self.peers))
        with open(self.folder / f'm{number}.log', 'a', encoding='utf-8') as log:
            self.processes[number] = subprocess.Popen(
                ['setpriv', '--pdeathsig', 'KILL', 'etcd', '--name', f'm{number}', '--data-dir', str(self.folder / f'm{number}'),
                 '--listen-client-urls', self.endpoints[number], '--advertise-client-urls', self.endpoints[number],
                 '--listen-peer-urls', self.peers[number], '--initial-advertise-peer-urls', self.peers[number],
                 '--initial-cluster', cluster, '--client-cert-auth', '--peer-client-cert-auth', *files,
                 '--logger', 'zap', *self.flags], stdout=log, stderr=log)

    def signal(self, number, signum):
        self.processes[number].send_signal(signum)

    def kill(self, number):
        self.signal(number, signal.SIGKILL)
        self.processes[number].wait()
        self.processes[number] = None

    def ask(self, number, path, body, timeout_s=3):
        """(HTTP status, tree); 0 where there is no answer."""
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.cert, self.key)
        request = urllib.request.Request(self.endpoints[number] + path, json.dumps(body).encode())
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                             urllib.request.HTTPSHandler(context=context))
        try:
            with opener.open(request, timeout=timeout_s) as reply:
                return reply.status, json.loads(reply.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())
        except (OSError, ValueError):
            return 0, None

    def wait(self, limit_s=60):
        """Until some member serves a read that needs a majority."""
        end = time.monotonic() + limit_s
        key = base64.b64encode(b'none').decode()
        while not any(self.processes[number] and self.ask(number, '/v3/kv/range', {'key': key})[0] == 200
                      for number in range(self.count)):
            assert time.monotonic() < end, 'etcd does not serve'
            time.sleep(0.1)

    def leader(self, limit_s=60):
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            for number, process in enumerate(self.processes):
                status, tree = self.ask(number, '/v3/maintenance/status', {}, 1) if process else (0, None)
                if status == 200 and tree.get('leader', '0') == tree['header']['member_id']:
                    return number
            time.sleep(0.1)
        raise AssertionError('etcd has no leader')
