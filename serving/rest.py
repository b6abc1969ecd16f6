"""TensorFlow Serving's REST API.

See https://www.tensorflow.org/tfx/serving/api_rest. Beyond it: `GET /v1/models` lists all models,
and `/healthz`, `/readyz`, `/metrics` and `/openapi.json` are there for those who run the server.
"""

import asyncio
import time

import orjson
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from serving import classify
from serving.errors import NotFound, RequestError, TooLarge, TooLate
from serving.metadata import metadata_of, status_of
from serving.openapi import document
from serving.tensors import from_json, to_json

_LARGEST_VERSION = 2**63 - 1
_GONE = 499  # What nginx says of a client that did not wait for its answer.


class Api:
    """The routes, over a `Repository`.

    Args:
        repository: The `Repository`.
        metrics: The `Metrics`.
        most_bytes: Bytes of a request's body at most.
        seconds: How long a request may take, its body included.
    """

    def __init__(self, repository, metrics, most_bytes, seconds):
        self.repository = repository
        self.metrics = metrics
        self.most_bytes = most_bytes
        self.seconds = seconds

    def routes(self):
        """What is answered, the most frequent first."""
        routes = []
        for place in ("", "/versions/{version}", "/labels/{label}"):
            path = f"/v1/models/{{model}}{place}"
            routes += [
                Route(f"{path}:{{verb}}", self.infer, methods=["POST"]),
                Route(f"{path}/metadata", self.metadata),
                Route(path, self.status),
            ]
        # Otherwise /v1/models/NAME would be taken before /v1/models/NAME/versions/1:predict.
        routes.sort(key=lambda route: route.methods != {"POST"})
        return [
            *routes,
            Route("/v1/models", self.models),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.show_metrics),
            Route("/openapi.json", self.openapi),
        ]

    async def infer(self, request):
        """`:predict` and `:classify`."""
        started = time.perf_counter()
        model, status = "", 200
        try:
            version = self._find(request)
            model = version.model
            verb = request.path_params["verb"]
            answer = {"predict": self._predict, "classify": self._classify}.get(verb)
            if answer is None:
                raise NotFound(f"received :{verb[:80]}; expected :predict or :classify")
            async with asyncio.timeout(self.seconds):
                with version.used():
                    return _json(await answer(version, await self._body(request)))
        except TimeoutError:
            status = TooLate.status
            raise TooLate(f"no answer within {self.seconds:g} seconds") from None
        except RequestError as error:
            status = error.status
            raise
        except ClientDisconnect:
            status = _GONE
            raise
        except Exception:
            status = 500
            raise
        finally:
            self.metrics.on_answer("rest", model, status, time.perf_counter() - started)

    async def _predict(self, version, raw):
        body = _parsed(raw)
        _expect_keys(body, {"instances", "inputs"}, {"signature_name"})
        signature = version.signature(_text(body, "signature_name"))
        by_row = "instances" in body
        values = body["instances"] if by_row else body["inputs"]
        columns = (_from_rows if by_row else _from_columns)(signature, values)
        booleans = b"true" in raw or b"false" in raw
        arrays = {
            name: from_json(signature.inputs[name], value, booleans)
            for name, value in columns.items()
        }
        outputs = await version.run(signature, self._checked(signature, arrays))
        outputs = {name: to_json(array) for name, array in outputs.items()}
        if not by_row:
            return {"outputs": _alone(outputs)}
        if len(outputs) == 1:
            return {"predictions": _alone(outputs)}
        names, rows = list(outputs), zip(*outputs.values(), strict=True)
        return {"predictions": [dict(zip(names, row, strict=True)) for row in rows]}

    async def _classify(self, version, raw):
        body = _parsed(raw)
        _expect_keys(body, {"examples"}, {"signature_name", "context"})
        signature = version.signature(_text(body, "signature_name"))
        arrays = {classify.INPUT: classify.examples(signature, body)}
        outputs = await version.run(signature, self._checked(signature, arrays))
        return {"result": classify.results(outputs)}

    def _checked(self, signature, arrays):
        return signature.check(arrays, self.repository.limits.request_rows)

    async def status(self, request):
        """The state of a model's versions."""
        status = status_of(self._versions(request))
        return Response(_proto_json(status), media_type="application/json")

    async def metadata(self, request):
        """What the signatures of a version take and give."""
        version = self._find(request)
        specification, definitions = metadata_of(version)
        return _json(
            {
                "model_spec": {**_proto_dict(specification), "signature_name": ""},
                "metadata": {"signature_def": _proto_dict(definitions)},
            }
        )

    async def models(self, request):
        """All models with their versions, labels and model cards."""
        return _json(
            {
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
                                "card": version.card,
                            }
                            for version in versions
                        ],
                    }
                    for model, versions in self.repository.models().items()
                ]
            }
        )

    async def healthz(self, request):
        """200: the server runs."""
        return _json({"status": "ok"})

    async def readyz(self, request):
        """200 if every model has a version that is served, 503 until then."""
        ready = self.repository.is_ready
        return _json({"status": "ready" if ready else "loading"}, 200 if ready else 503)

    async def show_metrics(self, request):
        """The server's counters, for Prometheus."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

    async def openapi(self, request):
        """What the server answers, as an OpenAPI document."""
        return _json(document(self.most_bytes))

    def _find(self, request):
        return self.repository.find(*_place(request))

    def _versions(self, request):
        return self.repository.versions(*_place(request))

    async def _body(self, request):
        """The body of a request."""
        length = request.headers.get("content-length", "0")
        body, size = [], int(length) if length.isdigit() else 0
        too_large = TooLarge(f"received a body of over {self.most_bytes:,} bytes; expected fewer")
        if size > self.most_bytes:
            raise too_large
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > self.most_bytes:
                raise too_large
            body.append(chunk)
        return b"".join(body)


def create_app(api, extra_routes=(), middleware=()):
    """The ASGI application of an `Api`."""

    async def refuse(request, error):
        # Of a body that was not read to its end the rest is not waited for.
        headers = {"connection": "close"} if isinstance(error, TooLarge | TooLate) else {}
        return _json({"error": str(error)}, error.status, headers)

    async def no_route(request, error):
        methods = (error.headers or {}).get("Allow", "")
        expected = f"expected {methods}" if methods else "see /openapi.json"
        text = f"received {request.method} {request.url.path[:200]}; {expected}"
        return _json({"error": text}, error.status_code, error.headers)

    async def gone(request, error):
        return Response(status_code=_GONE)  # No one reads it.

    app = Starlette(
        routes=[*api.routes(), *extra_routes],
        middleware=list(middleware),
        exception_handlers={
            RequestError: refuse,
            HTTPException: no_route,
            ClientDisconnect: gone,
        },
    )
    app.router.redirect_slashes = False  # A slash too many is a path too many.
    return app


def _parsed(body):
    """The JSON object in a body."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"received no JSON: {error}") from None
    if not isinstance(value, dict):
        raise RequestError(f"received a JSON {type(value).__name__}; expected an object")
    return value


def _place(request):
    """The model, version number and label a path names."""
    at = request.path_params
    number = at.get("version")
    if number is not None:
        if not (number.isascii() and number.isdigit() and int(number[:20]) <= _LARGEST_VERSION):
            raise RequestError(f"received version {number[:80]!r}; expected a number")
        number = int(number)
    return at["model"], number, at.get("label")


def _expect_keys(body, one_of, others):
    received = set(body)
    if len(received & one_of) != 1 or received - one_of - others:
        names = ", ".join(sorted(key[:80] for key in received)) or "nothing"
        either = " or ".join(sorted(one_of))
        raise RequestError(
            f"received {names}; expected {either}, and besides at most {', '.join(sorted(others))}"
        )


def _text(body, key):
    value = body.get(key, "")
    if not isinstance(value, str):
        raise RequestError(f"{key}: received {type(value).__name__}; expected a text")
    return value


def _from_rows(signature, instances):
    """Column by name of the row format: a list of rows, of objects if there are several inputs."""
    if not isinstance(instances, list) or not instances:
        raise RequestError("instances: expected a list of at least one")
    names = set(signature.inputs)
    # An object may be a row, or a text in base64.
    if all(isinstance(row, dict) and set(row) != {"b64"} for row in instances):
        for row in instances:
            if set(row) != names:
                received = ", ".join(sorted(key[:80] for key in row)) or "nothing"
                expected = ", ".join(sorted(names))
                raise RequestError(f"instances: received a row of {received}; expected {expected}")
        return {name: [row[name] for row in instances] for name in names}
    if len(names) > 1:
        raise RequestError(f"instances: expected objects with {', '.join(sorted(names))}")
    return {next(iter(names)): instances}


def _from_columns(signature, inputs):
    """Column by name of the column format: an object, or the one input itself."""
    if isinstance(inputs, dict) and set(inputs) != {"b64"}:
        if set(inputs) != set(signature.inputs):
            received = ", ".join(sorted(key[:80] for key in inputs)) or "nothing"
            expected = ", ".join(sorted(signature.inputs))
            raise RequestError(f"inputs: received {received}; expected {expected}")
        return inputs
    if len(signature.inputs) > 1:
        raise RequestError(f"inputs: expected an object with {', '.join(sorted(signature.inputs))}")
    return {next(iter(signature.inputs)): inputs}


def _alone(outputs):
    """The one output itself, or all by name."""
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs


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
