"""Servers to measure, each in its own processes, on free ports of this machine."""

import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

import requests

from benchmarks import MAIN
from benchmarks.processes import ending
from configs import UserError

_FOLDER = MAIN.parent
_PROC = pathlib.Path("/proc")
# Maximal seconds for the start and the end of a server, on a busy machine.
_TIMEOUT = 180


class Server:
    """A process of an HTTP server.

    Attributes:
        rest: `host:port` of its REST API.
        process: The process.
        seconds: Seconds from its start until it was ready.
    """

    def __init__(self, command):
        self._started = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_FOLDER)

    def wait_until(self, condition):
        """Wait until a condition holds; `UserError` if the server ends or after minutes."""
        end = time.monotonic() + _TIMEOUT
        while not condition():
            if self.process.poll() is not None:
                self.raise_ended()
            if time.monotonic() > end:
                raise UserError(
                    f"{self._command()} is not ready after {_TIMEOUT} s; expected it to serve"
                )
            time.sleep(0.01)

    def raise_ended(self):
        """Wait for the end of the process, and raise a `UserError` that says how it ended."""
        how = ending(self.process.wait(_TIMEOUT))
        raise UserError(f"{self._command()} {how}; expected it to serve: see its message above")

    def _command(self):
        return shlex.join(map(str, self.process.args))

    def get(self, path):
        """Send a GET; returns the answer, or `None` without a connection."""
        try:
            return requests.get(f"http://{self.rest}{path}", timeout=_TIMEOUT)
        except requests.ConnectionError:
            return None

    def megabytes(self):
        """Current memory of the process."""
        status = (_PROC / str(self.process.pid) / "status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024

    def processor_seconds(self):
        """Processor time of the process and its children."""
        children = (_PROC / f"{self.process.pid}/task/{self.process.pid}/children").read_text()
        ticks = 0
        for process in (str(self.process.pid), *children.split()):
            # The name in parentheses may contain spaces; the 3rd field follows it.
            fields = (_PROC / process / "stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[14 - 3]) + int(fields[15 - 3])
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self):
        """End the process, and return its status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(_TIMEOUT)
        finally:
            self.process.kill()

    def _age(self):
        return time.perf_counter() - self._started

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
        self.process.stdout.close()


class Ours(Server):
    """`serve.py` with a folder of models.

    Attributes:
        grpc: `host:port` of its gRPC services.
    """

    def __init__(self, folder, *flags):
        ports = ("--rest_api_port=0", "--port=0")
        super().__init__(
            [sys.executable, _FOLDER / "serve.py", f"--saved_models_dir={folder}", *ports, *flags]
        )
        line = next((line for line in self.process.stdout if line.startswith("REST")), "")
        addresses = re.fullmatch(r".* http://(\S+), gRPC: (\S+)\n", line)
        if not addresses:
            self.raise_ended()
        self.rest, self.grpc = addresses.groups()
        self.wait_until(lambda: (answer := self.get("/readyz")) is not None and answer.ok)
        self.seconds = self._age()

    def states(self, model):
        """The states of the versions of a model, by version."""
        versions = self.get(f"/v1/models/{model}").json().get("model_version_status", [])
        return {version["version"]: version["state"] for version in versions}


class KServe(Server):
    """KServe's Python server with a SavedModel, run by an interpreter that has kserve."""

    def __init__(self, python, model, path, workers):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        script = pathlib.Path(__file__).parent / "kserve_server.py"
        flags = (f"--path={path}", f"--http_port={port}", f"--workers={workers}")
        super().__init__([python, script, f"--model_name={model}", *flags])
        self.rest = f"127.0.0.1:{port}"
        self.wait_until(lambda: self.get("/") is not None)
        self.seconds = self._age()
