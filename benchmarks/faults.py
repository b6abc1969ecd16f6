"""Faults that happen around a server while it answers requests."""

import collections
import http.client
import re
import shutil
import signal
import socket
import time

from benchmarks.load import words

DEEP = b'{"instances": ' + b"[" * 10**5 + b"]" * 10**5 + b"}"
_HEAD = "POST /v1/models/{}:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n"


def new_version(server, folder, other):
    """A version with other weights appears beside the served one."""
    shutil.copytree(other, folder / ".coming")
    (folder / ".coming").rename(folder / "2")
    server.wait_until(lambda: server.states(folder.name) == {"2": "AVAILABLE"})
    return "served"


def version_removed(server, folder):
    """The served version is removed, and an older one remains."""
    shutil.rmtree(folder / "2")
    server.wait_until(lambda: server.states(folder.name) == {"1": "AVAILABLE"})
    return "older one served"


def broken_version(server, folder):
    """A version appears that cannot be loaded."""
    (folder / "3").mkdir()
    (folder / "3" / "saved_model.pb").write_bytes(b"no SavedModel")
    server.wait_until(lambda: server.states(folder.name).get("3") == "END")
    return "refused"


def clients_go(server, request):
    """Clients send a request of many images and disconnect before the answer."""
    for _ in range(300):
        with _connection(server) as client:
            client.sendall(request)
    # Wait until these requests have left the queue.
    waiting = re.compile(r"^mnist_rows_rows_waiting (\S+)$", re.MULTILINE)
    server.wait_until(lambda: float(waiting.search(server.get("/metrics").text)[1]) < 100)
    return "300 gone"


def slow_clients(server, seconds):
    """Clients send their headers byte by byte, for twice the time limit."""
    clients = [_connection(server) for _ in range(200)]
    disconnected = set()
    for byte in _HEAD.format("slow", 0)[:50]:
        for client in clients:
            try:
                client.sendall(byte.encode())
            except OSError:
                disconnected.add(client)
        time.sleep(2 * seconds / 50)
    for client in clients:
        client.close()
    return f"{len(disconnected)} of {len(clients)} let go"


def huge_bodies(server, model):
    """Clients send 200 MB."""
    statuses = collections.Counter()
    for _ in range(5):
        with _connection(server) as client:
            try:
                client.sendall(_HEAD.format(model, 200 * 2**20).encode())
                for _ in range(200):
                    client.sendall(b" " * 2**20)
            except OSError:  # The server refuses before the end.
                pass
            statuses[_status(client)] += 1
    return words(statuses)


def deep_json(server, model):
    """Clients send a hundred thousand nested lists."""
    statuses = collections.Counter()
    for _ in range(100):
        with _connection(server) as client:
            client.sendall(_HEAD.format(model, len(DEEP)).encode() + DEEP)
            statuses[_status(client)] += 1
    return words(statuses)


def sigterm(server):
    """The server receives SIGTERM."""
    server.process.send_signal(signal.SIGTERM)
    return f"ended with {server.process.wait()}"


def _connection(server):
    host, port = server.rest.split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def _status(client):
    try:
        answer = http.client.HTTPResponse(client)
        answer.begin()
        return str(answer.status)
    except (OSError, http.client.HTTPException):
        return "closed"
