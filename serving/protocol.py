"""HTTP with time limits for slow clients, a limit of connections, and all refusals in JSON."""

import orjson
from starlette.responses import JSONResponse
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LAST_SECONDS = 0.5  # Idle connections may still send a request so long after SIGTERM.


def limited_protocol(seconds, max_connections):
    """A subclass of `LimitedProtocol` with these limits. uvicorn creates its instances itself."""
    too_many = JSONResponse(
        {"error": f"{max_connections} connections are open already; try again later"},
        503,
        {"connection": "close"},
    )
    return type("Protocol", (LimitedProtocol,), {"seconds": seconds, "too_many": too_many})


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with time limits.

    Bytes that are not HTTP, and connections over the limit, are refused in JSON.

    Attributes:
        seconds: Maximum seconds to send the head of a request. Its body may take twice as long.
        too_many: The answer to a connection over the limit.
    """

    seconds: float
    too_many: JSONResponse
    _in_message = False
    _limit = 0
    _timer = None
    _is_stopping = False

    def connection_made(self, transport):
        super().connection_made(_OneWrite(transport, self.loop))
        self._start_timer(self.seconds)

    def data_received(self, data):
        super().data_received(data)
        if self._in_message and not self._timer:  # The rest of the message is missing.
            self._start_timer(self._limit)

    def connection_lost(self, exc):
        super().connection_lost(exc)
        self._stop_timer()

    def on_message_begin(self):
        super().on_message_begin()
        self._in_message, self._limit = True, self.seconds

    def on_headers_complete(self):
        super().on_headers_complete()
        self._stop_timer()
        self._limit = 2 * self.seconds  # Longer than `Inference` waits: it answers 504 first.
        if self._is_stopping:
            self.cycle.keep_alive = False

    def on_message_complete(self):
        super().on_message_complete()
        self._in_message = False
        self._stop_timer()

    def shutdown(self):
        # An idle connection may have sent a request that was not read yet.
        self._is_stopping = True
        self.loop.call_later(_LAST_SECONDS, super().shutdown)

    def send_400_response(self, msg):
        body = orjson.dumps({"error": msg})
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
        self.transport.close()

    def _start_asgi_task(self, cycle, app):
        # uvicorn passes another app if there are too many connections.
        super()._start_asgi_task(cycle, app if app is self.app else self.too_many)

    def _start_timer(self, seconds):
        """Close the connection after `seconds`, unless the timer is stopped before."""
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _stop_timer(self):
        if self._timer:
            self._timer.cancel()
        self._timer = None


class _OneWrite:
    """A transport that sends all writes of one iteration of the event loop together.

    uvicorn writes the head of an answer and then its body. Each write would be a packet.
    """

    def __init__(self, transport, loop):
        self._transport = transport
        self._loop = loop
        self._held = []

    def write(self, data):
        if not self._held:
            self._loop.call_soon(self._send)
        self._held.append(data)

    def close(self):
        self._send()
        self._transport.close()

    def _send(self):
        if self._held:
            held, self._held = self._held, []
            self._transport.writelines(held)

    def __getattr__(self, name):
        return getattr(self._transport, name)
