"""TensorFlow Serving's REST API.

See https://www.tensorflow.org/tfx/serving/api_rest. In addition, `GET /v1/models` lists all models,
and `/healthz`, `/readyz`, `/metrics` and `/openapi.json` are for operators.
"""

import orjson
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from serving.compression import LEVEL
from serving.errors import RequestError, TooLarge, TooLate
from serving.inference import GONE, choice
from serving.metadata import metadata_of, status_of
from serving.openapi import document


class Api:
    """The routes to an `Inference`, and to facts about the models and the server."""

    def __init__(self, inference, min_probability):
        self.inference = inference
        self.min_probability = min_probability
        self.repository = inference.repository

    def routes(self):
        """All routes, the most frequent first."""
        packed = {"middleware": [Middleware(GZipMiddleware, compresslevel=LEVEL)]}
        routes = []
        for version in ("", "/versions/{version}", "/labels/{label}"):
            path = f"/v1/models/{{model}}{version}"
            routes += [
                Route(f"{path}:{{verb}}", self.inference, methods=["POST"]),
                Route(f"{path}/metadata", self.metadata, **packed),
                Route(path, self.status),
            ]
        # Otherwise /v1/models/NAME would match before /v1/models/NAME/versions/1:predict.
        routes.sort(key=lambda route: route.methods != {"POST"})
        return [
            *routes,
            Route("/v1/models", self.models, **packed),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.show_metrics, **packed),
            Route("/openapi.json", self.openapi, **packed),
        ]

    async def status(self, request):
        """The states of a model's versions."""
        status = status_of(self._versions(request))
        return Response(_proto_json(status), media_type="application/json")

    async def metadata(self, request):
        """The inputs and outputs of a version's signatures."""
        version = self._find(request)
        specification, definitions = metadata_of(version)
        return _json(
            {
                "model_spec": {**_proto_dict(specification), "signature_name": ""},
                "metadata": {"signature_def": _proto_dict(definitions)},
            }
        )

    async def models(self, request):
        """All models with versions, labels and model cards, and the page's threshold."""
        return _json(
            {
                "min_probability": self.min_probability,
                "models": [
                    {
                        "name": model,
                        "labels": dict(self.repository.labels(model)),
                        "versions": [
                            {
                                "version": str(version.number),
                                "state": version.state_name,
                                "error": version.error,
                                "signatures": sorted(version.signatures),
                                "reads_images": version.reads_images,
                                "reads_text": version.reads_text,
                                "card": version.card,
                            }
                            for version in versions
                        ],
                    }
                    for model, versions in self.repository.models().items()
                ],
            }
        )

    async def healthz(self, request):
        """Status 200: the server runs."""
        return _json({"status": "ok"})

    async def readyz(self, request):
        """Status 200 if the server is ready, else 503; and the models that are not served."""
        ready = self.repository.is_ready
        status = {"status": "ready" if ready else "not ready"}
        return _json(status | {"not_served": self.repository.not_served()}, 200 if ready else 503)

    async def show_metrics(self, request):
        """The server's counters, for Prometheus."""
        return Response(self.inference.metrics.text(), media_type="text/plain; version=0.0.4")

    async def openapi(self, request):
        """The OpenAPI document of this API."""
        return _json(document(self.inference.max_bytes))

    def _find(self, request):
        return self.repository.find(*choice(request.path_params))

    def _versions(self, request):
        return self.repository.versions(*choice(request.path_params))


def create_app(api, extra_routes=(), middleware=()):
    """The ASGI application of an `Api`."""

    async def refuse(request, error):
        # Close the connection, because the rest of the body was not read.
        headers = {"connection": "close"} if isinstance(error, TooLarge | TooLate) else {}
        return _json({"error": str(error)}, error.status, headers)

    async def no_route(request, error):
        methods = (error.headers or {}).get("Allow", "")
        expected = f"expected {methods}" if methods else "see /openapi.json"
        text = f"received {request.method} {request.url.path[:200]}; {expected}"
        return _json({"error": text}, error.status_code, error.headers)

    async def gone(request, error):
        return Response(status_code=GONE)  # Nobody receives it.

    async def fail(request, error):
        # A bug in the server. uvicorn writes the traceback to the log.
        return _json({"error": "the server failed; its log has the error"}, 500)

    app = Starlette(
        routes=[*api.routes(), *extra_routes],
        middleware=list(middleware),
        exception_handlers={
            RequestError: refuse,
            HTTPException: no_route,
            ClientDisconnect: gone,
            Exception: fail,
        },
    )
    app.router.redirect_slashes = False  # A path with an extra slash is another path.
    return app


def _json(value, status=200, headers=None):
    body = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, headers, "application/json")


def _proto_json(message):
    return json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _proto_dict(message):
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
