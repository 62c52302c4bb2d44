"""An authority that stamps (RFC 3161), made of OpenSSL, which knows nothing of this project, and a web server."""

import http.server
import subprocess
import threading
from pathlib import Path

_CONFIGURATION = """
[ stamping ]
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
ess_cert_id_alg = sha256
"""
_EXTENSIONS = 'extendedKeyUsage = critical, timeStamping\nkeyUsage = critical, digitalSignature\n'


class TimeAuthority:
    """Stamps what it is sent while it is entered.

    Args:
      folder: empty; its keys, and its root `root.pem`, lie there.
    """

    def __init__(self, folder: Path) -> None:
        self.root, self._folder = folder / 'root.pem', folder
        self.answer = self.stamp  # what is sent back for a request; a test may put something else here
        (folder / 'configuration').write_text(_CONFIGURATION.format(folder=folder))
        (folder / 'extensions').write_text(_EXTENSIONS)
        (folder / 'serial').write_text('01\n')
        root = ('-CA', 'root.pem', '-CAkey', 'root.key', '-CAcreateserial')
        self._run('req', '-x509', '-nodes', *_new_key('root'), '-out', 'root.pem')
        self._run('req', '-nodes', *_new_key('own'), '-out', 'own.csr')
        self._run('x509', '-req', '-in', 'own.csr', *root, '-extfile', 'extensions', '-out', 'own.pem')

    def __enter__(self) -> 'TimeAuthority':
        authority = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.headers['Content-Type'] == 'application/timestamp-query'
                content = authority.answer(self.rfile.read(int(self.headers['Content-Length'])))
                self.send_response(200)
                self.send_header('Content-Length', str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
        self.address = f'http://127.0.0.1:{self._server.server_port}'
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def stamp(self, request: bytes) -> bytes:
        """The answer to a request."""
        (self._folder / 'request').write_bytes(request)
        given = ('-config', 'configuration', '-section', 'stamping', '-inkey', 'own.key', '-signer', 'own.pem')
        self._run('ts', '-reply', *given, '-queryfile', 'request', '-out', 'answer')
        return (self._folder / 'answer').read_bytes()

    def _run(self, *arguments: str) -> None:
        subprocess.run(['openssl', *arguments], cwd=self._folder, check=True, capture_output=True)


def _new_key(name: str) -> tuple[str, ...]:
    return ('-newkey', 'rsa:2048', '-keyout', f'{name}.key', '-subj', f'/CN={name}')
