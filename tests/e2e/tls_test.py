"""HTTPS and HTTP/2 of software that nobody instrumented: nginx, curl, Python, Node and Go."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import harness
from harness import E2E, PYTHON, Weft, free_port, running

PYTHON_SERVER = """
import http.server, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
class Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Hello)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
PYTHON_CLIENT = """
import http.client, ssl, sys
connection = http.client.HTTPSConnection("127.0.0.1", int(sys.argv[1]), context=ssl._create_unverified_context())
for i in range(int(sys.argv[2])):
    connection.request("GET", f"/python/{i}"); connection.getresponse().read()
"""
ASYNCIO_CLIENT = """
import asyncio, ssl, sys
async def main():
    context = ssl._create_unverified_context()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]), ssl=context)
    for i in range(int(sys.argv[2])):
        writer.write(f"GET /asyncio/{i} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n".encode())
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        length = [l for l in head.lower().split(b"\\r\\n") if l.startswith(b"content-length")][0]
        await reader.readexactly(int(length.split(b":")[1]))
    writer.close()
asyncio.run(main())
"""
NODE_SERVER = """
const [port, cert, key] = process.argv.slice(1), fs = require('fs');
require('https').createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) },
  (request, response) => response.end('ok')).listen(Number(port), '127.0.0.1');
"""
NODE_CLIENT = """
const https = require('https'), [port, count] = process.argv.slice(1).map(Number);
const agent = new https.Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
const next = (i) => i === count ? agent.destroy() : https.get({ port, host: '127.0.0.1', path: `/node/${i}`, agent },
  (response) => response.resume().on('end', () => next(i + 1)));
next(0);
"""


class Certificate:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weft-tls-"))
        self.cert, self.key = self.folder / "cert.pem", self.folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-keyout", self.key, "-out", self.cert], check=True, capture_output=True)
        os.chmod(self.folder, 0o755)
        os.chmod(self.key, 0o644)


@contextlib.contextmanager
def nginx(certificate, plain, tls):
    folder = certificate.folder
    config = folder / "nginx.conf"
    temporary = "".join(f"{n}_temp_path {folder}; " for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config.write_text(f"""daemon off; worker_processes 1; pid {folder}/pid; error_log stderr; user root;
events {{ worker_connections 1024; }}
http {{ access_log off; {temporary} keepalive_requests 1000000;
  server {{ listen 127.0.0.1:{tls} ssl http2; ssl_certificate {certificate.cert}; ssl_certificate_key {certificate.key};
    location / {{ return 200 "ok"; }} location = /teapot {{ return 418 "no"; }} }}
  server {{ listen 127.0.0.1:{plain} http2; location / {{ return 200 "ok"; }} location = /teapot {{ return 418 "no"; }} }} }}
""")
    with running(shutil.which("nginx") or "/usr/sbin/nginx", "-c", config, "-p", folder, port=tls) as process:
        yield process


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.certificate = Certificate()

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.certificate.folder, ignore_errors=True)

    def check(self, spans, port, kind, paths, status=200, scheme="https"):
        mine = [s for s in spans if s.attributes.get("server.port") == port and s.kind == kind]
        text = "\n".join(map(repr, mine))
        self.assertEqual(sorted(s.path for s in mine), sorted(paths), text)
        for span in mine:
            self.assertEqual((span.status, span.attributes.get("url.scheme", scheme)), (status, scheme), text)
        return mine

    def both(self, spans, port, paths, **how):
        servers, clients = (self.check(spans, port, kind, paths, **how) for kind in ("server", "client"))
        self.assertEqual({s.parent for s in servers}, {c.id for c in clients}, servers + clients)
        return servers, clients

    def test_nginx_and_curl_http1(self):
        plain, tls = free_port(), free_port()
        with Weft() as weft, nginx(self.certificate, plain, tls):
            harness.wait_for("weft to know the library", lambda: "openssl in" in weft.log_text())
            urls = [f"https://127.0.0.1:{tls}/one/{i}" for i in range(5)]
            outputs = [option for url in urls for option in ("-o", os.devnull, url)]
            subprocess.run(["curl", "-sk", "--http1.1", *outputs], check=True)
            spans = weft.stop()
        self.both(spans, tls, [f"/one/{i}" for i in range(5)])

    def test_nginx_and_curl_http2(self):
        plain, tls = free_port(), free_port()
        with Weft() as weft, nginx(self.certificate, plain, tls):
            subprocess.run(["curl", "-sk", "--http2", "-o", "/dev/null", f"https://127.0.0.1:{tls}/teapot"], check=True)
            spans = weft.stop()
        (server,) = self.check(spans, tls, "server", ["/teapot"], status=418)
        self.assertEqual(server.attributes.get("network.protocol.version"), "2")

    def test_nginx_and_curl_cleartext_http2(self):
        plain, tls = free_port(), free_port()
        with Weft() as weft, nginx(self.certificate, plain, tls):
            for i in range(5):  # one by one: curl 7.88 cannot use such a connection again
                subprocess.run(["curl", "-s", "--http2-prior-knowledge", "-o", "/dev/null",
                                f"http://127.0.0.1:{plain}/clear/{i}"], check=True)
            spans = weft.stop()
        servers, _ = self.both(spans, plain, [f"/clear/{i}" for i in range(5)], scheme="http")
        self.assertEqual({s.attributes.get("network.protocol.version") for s in servers}, {"2"})

    def python_server(self, port):
        return running(PYTHON, "-c", PYTHON_SERVER, port, self.certificate.cert, self.certificate.key, port=port)

    def test_python_http_client_and_server(self):
        port = free_port()
        with Weft() as weft, self.python_server(port):
            subprocess.run([PYTHON, "-c", PYTHON_CLIENT, str(port), "5"], check=True)
            spans = weft.stop()
        self.both(spans, port, [f"/python/{i}" for i in range(5)])

    def test_a_program_that_ran_before_weft(self):
        port = free_port()
        with self.python_server(port), Weft() as weft:
            subprocess.run([PYTHON, "-c", PYTHON_CLIENT, str(port), "5"], check=True)
            spans = weft.stop()
        self.check(spans, port, "server", [f"/python/{i}" for i in range(5)])

    def test_python_asyncio(self):
        port = free_port()
        with Weft() as weft, self.python_server(port):
            subprocess.run([PYTHON, "-c", ASYNCIO_CLIENT, str(port), "8"], check=True)
            spans = weft.stop()
        self.check(spans, port, "server", [f"/asyncio/{i}" for i in range(8)])
        # Bytes of a memory BIO are believed once the socket is certain: the first calls may be missing, never wrong.
        clients = [s for s in spans if s.attributes.get("server.port") == port and s.kind == "client"]
        self.assertGreaterEqual(len(clients), 5)
        self.assertTrue({s.path for s in clients} <= {f"/asyncio/{i}" for i in range(8)})

    def test_node_https(self):
        if not shutil.which("node"):
            self.skipTest("node is not installed")
        port = free_port()
        with Weft() as weft, running("node", "-e", NODE_SERVER, port, self.certificate.cert, self.certificate.key, port=port):
            subprocess.run(["node", "-e", NODE_CLIENT, str(port), "8"], check=True)
            spans = weft.stop()
        mine = [s for s in spans if s.attributes.get("server.port") == port]
        for kind in ("server", "client"):
            found = [s.path for s in mine if s.kind == kind]
            self.assertGreaterEqual(len(found), 5, mine)
            self.assertEqual(len(found), len(set(found)), "a request twice")
            self.assertTrue(set(found) <= {f"/node/{i}" for i in range(8)})

    def test_go_https(self):
        go = E2E / "go-echo"
        if not go.exists():
            self.skipTest("the Go peer is not built")
        port = free_port()
        with Weft() as weft, running(go, "https-server", port, self.certificate.cert, self.certificate.key, port=port):
            harness.wait_for("weft to know the program", lambda: f"in {go}:" in weft.log_text())
            subprocess.run([str(go), "https-client", f"https://127.0.0.1:{port}/go", "5"], check=True)
            spans = weft.stop()
        # The client runs for some milliseconds; the probes are in its file, so nothing of it is missed.
        self.both(spans, port, ["/go"] * 5)

    def test_gnutls_client_and_server(self):
        for program in ("wget", "gnutls-serv"):
            if not shutil.which(program):
                self.skipTest(f"{program} is not installed")
        port = free_port()
        server = ("gnutls-serv", "--http", "--quiet", "--x509keyfile", self.certificate.key, "--x509certfile",
                  self.certificate.cert, "--port", port)
        with Weft() as weft, running(*server, port=port):
            harness.wait_for("weft to know the library", lambda: "gnutls in" in weft.log_text())
            for i in range(3):
                subprocess.run(["wget", "-q", "--no-check-certificate", "-O", "/dev/null", f"https://127.0.0.1:{port}/gnutls/{i}"],
                               check=True)
            spans = weft.stop()
        self.both(spans, port, [f"/gnutls/{i}" for i in range(3)])

    def test_gnutls_client_of_an_openssl_server(self):
        if not shutil.which("wget"):
            self.skipTest("wget is not installed")
        plain, tls = free_port(), free_port()
        with Weft() as weft, nginx(self.certificate, plain, tls):
            harness.wait_for("weft to know the library", lambda: "openssl in" in weft.log_text())
            urls = [f"https://127.0.0.1:{tls}/wget/{i}" for i in range(5)]
            subprocess.run(["wget", "-q", "--no-check-certificate", "-O", "/dev/null", *urls], check=True)
            spans = weft.stop()
        self.check(spans, tls, "server", [f"/wget/{i}" for i in range(5)])


if __name__ == "__main__":
    harness.require_capture()
    harness.require_program("openssl")
    harness.require_program("nginx")
    harness.main()
