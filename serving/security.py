"""Who may ask, and what a browser may do with the answers."""

import hmac

import grpc
from starlette.datastructures import Headers
from starlette.responses import JSONResponse

# Open to all: a load balancer has no token, and the page asks for one.
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
    # Lest a browser puts an old script beside a new page; what has not changed is not sent again.
    "cache-control": "no-cache",
}


def _is_right(authorization, token):
    return hmac.compare_digest((authorization or "").encode(), f"Bearer {token}".encode())


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
        if is_open or _is_right(Headers(scope=scope).get("authorization"), self.token):
            await self.app(scope, receive, send)
            return
        error = {"error": "received no token or a wrong one; expected Authorization: Bearer TOKEN"}
        refusal = JSONResponse(error, 401, {"www-authenticate": "Bearer", "connection": "close"})
        await refusal(scope, receive, send)


class GrpcBearerToken(grpc.aio.ServerInterceptor):
    """Asks for the metadata `authorization: Bearer TOKEN`."""

    def __init__(self, token):
        self.token = token

        async def refuse(request, context):
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED,
                "received no token or a wrong one; expected authorization: Bearer TOKEN",
            )

        self._refusal = grpc.unary_unary_rpc_method_handler(refuse)

    async def intercept_service(self, continuation, details):
        """The method itself, or a refusal in its place."""
        metadata = dict(details.invocation_metadata)
        if _is_right(metadata.get("authorization"), self.token):
            return await continuation(details)
        return self._refusal
