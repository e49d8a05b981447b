"""The one operation of Secrets Manager that the example asks for, over plain HTTP."""
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def secrets_manager(address, secrets):
    """Serves {id: text}; yields a server with .url and .requests, a list of ids."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers['content-length'])))
            server.requests.append(body.get('SecretId'))
            known = (self.headers['x-amz-target'] == 'secretsmanager.GetSecretValue'
                     and body.get('SecretId') in secrets)
            answer = ({'SecretString': secrets[body['SecretId']]} if known
                      else {'__type': 'ResourceNotFoundException', 'message': 'no such secret'})
            text = json.dumps(answer).encode()
            self.send_response(200 if known else 400)
            self.send_header('content-type', 'application/x-amz-json-1.1')
            self.send_header('content-length', str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer((address, 0), Handler) as server:
        server.requests = []
        server.url = f'http://{address}:{server.server_port}'
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
