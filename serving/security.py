"""Check tokens, and restrict what a browser may do with the answers."""

import hmac

import grpc
from starlette.responses import JSONResponse

# Paths that need no token: load balancers do not have one, and the page asks for it.
_OPEN_PATHS = ("/", "/page/", "/healthz", "/readyz", "/openapi.json")

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-site",
    # A browser must not mix old scripts with a new page. Unchanged files are not sent again.
    "cache-control": "no-cache",
}


def _mistake(authorization, token):
    """The mistake in an `authorization` header, bytes; `None` if it has the token."""
    scheme, _, received = authorization.strip().partition(b" ")
    if scheme.lower() != b"bearer":
        received = "another kind of authorization" if scheme else "no token"
        return f"received {received}; expected authorization: Bearer TOKEN"
    if not hmac.compare_digest(received.strip(), token.encode()):
        return "received a wrong token; expected the token that this server was started with"
    return None


class SecurityHeaders:
    """ASGI middleware that adds `HEADERS` to every answer."""

    _ENCODED = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._ENCODED]
            await send(message)

        await self.app(scope, receive, send_with_headers)


class BearerToken:
    """ASGI middleware that asks for `Authorization: Bearer TOKEN`."""

    def __init__(self, app, token):
        self.app = app
        self.token = token

    async def __call__(self, scope, receive, send):
        path = scope.get("path", "")
        is_open = path in _OPEN_PATHS or path.startswith("/page/") or scope["method"] == "OPTIONS"
        authorization = dict(scope["headers"]).get(b"authorization", b"")
        mistake = None if is_open else _mistake(authorization, self.token)
        if mistake is None:
            await self.app(scope, receive, send)
            return
        headers = {"www-authenticate": "Bearer", "connection": "close"}
        await JSONResponse({"error": mistake}, 401, headers)(scope, receive, send)


class GrpcBearerToken(grpc.aio.ServerInterceptor):
    """Asks for the metadata `authorization: Bearer TOKEN`."""

    def __init__(self, token):
        self.token = token
        self._refusals = {}  # By message.

    async def intercept_service(self, continuation, details):
        """The method, or a refusal."""
        authorization = dict(details.invocation_metadata).get("authorization", "")
        mistake = _mistake(authorization.encode(), self.token)
        if mistake is None:
            return await continuation(details)
        return self._refusals.setdefault(mistake, _refusing(mistake))


def _refusing(mistake):
    async def refuse(request, context):
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, mistake)

    return grpc.unary_unary_rpc_method_handler(refuse)
