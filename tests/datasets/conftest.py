"""Networks that fail, and one that answers."""

import http.server
import socket
import threading
import time
import urllib.request

import pytest


@pytest.fixture
def no_network(monkeypatch):
    """Every connection is refused."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.fixture
def silent_network(monkeypatch):
    """Connections are made, but no answer ever comes."""
    server = socket.create_server(("127.0.0.1", 0))
    held = []

    def hold():
        while True:
            try:
                held.append(server.accept()[0])
            except OSError:
                return

    threading.Thread(target=hold, daemon=True).start()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{server.getsockname()[1]}")
    yield
    server.close()
    for connection in held:
        connection.close()


@pytest.fixture
def network_that_answers(monkeypatch):
    """Answer every download with a status and a body, by standing in as the HTTP proxy."""

    def answer(status, body):
        class Proxy(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *arguments):
                pass

        # Never shut down: TFDS's other downloads would try again for minutes.
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(urllib.request, "_opener", None)  # It holds the proxy of its first use.
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")

    return answer


@pytest.fixture
def no_names(monkeypatch):
    """Looking up a host name takes a minute, and fails."""

    def look_up(*arguments, **options):
        time.sleep(60)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
