"""The OpenAPI document of the REST API."""

_ERROR = {"$ref": "#/components/schemas/Error"}
_REFUSALS = ("400", "401", "404")  # 401: a server that asks for a token.
_NAME = {"type": "string", "minLength": 1}
_PATHS = {
    "": [],
    "/versions/{version}": [("version", {"type": "integer", "minimum": 0})],
    "/labels/{label}": [("label", _NAME)],
}


def document(max_bytes):
    """The OpenAPI 3.1 document of a server that accepts bodies of at most `max_bytes`."""
    paths = {
        "/v1/models": {"get": _get("All models, their versions, labels and model cards.", "401")},
        "/healthz": {"get": _get("200: the server runs.")},
        "/readyz": {"get": _get("Whether every model is served.")},
        "/metrics": {"get": _get("Counters for Prometheus.", "401", media="text/plain")},
        "/openapi.json": {"get": _get("This document.")},
    }
    paths["/readyz"]["get"]["responses"]["503"] = {"description": "A model is not served yet."}
    for version, parameters in _PATHS.items():
        path = f"/v1/models/{{model}}{version}"
        named = [
            {"name": name, "in": "path", "required": True, "schema": schema}
            for name, schema in [("model", _NAME), *parameters]
        ]
        paths[path] = {"get": _get("The states of the versions.", *_REFUSALS), **_at(named)}
        paths[f"{path}/metadata"] = {
            "get": _get("The inputs and outputs of the signatures.", *_REFUSALS),
            **_at(named),
        }
        for verb, body in [("predict", "PredictRequest"), ("classify", "ClassifyRequest")]:
            paths[f"{path}:{verb}"] = {"post": _post(verb, body), **_at(named)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rows",
            "version": "1",
            "description": "TensorFlow Serving's REST API. Bodies may have at most "
            f"{max_bytes:,} bytes, also after gzip or deflate is unpacked.",
        },
        "paths": paths,
        "components": {"schemas": _schemas()},
    }


def _at(parameters):
    return {"parameters": parameters}


def _responses(*refusals, media="application/json"):
    refused = {
        status: {
            "description": "The request failed; error says why.",
            "content": {"application/json": {"schema": _ERROR}},
        }
        for status in refusals
    }
    return {"200": {"description": "The answer.", "content": {media: {}}}, **refused}


def _get(summary, *refusals, media="application/json"):
    return {"summary": summary, "responses": _responses(*refusals, media=media)}


def _post(verb, body):
    return {
        "summary": f"TensorFlow Serving's :{verb}.",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}},
        },
        "responses": _responses(*_REFUSALS, "413", "415", "503", "504"),
    }


def _schemas():
    signature = {"type": "string", "description": "serving_default if left out."}
    names = {"type": "array", "items": {"type": "string"}, "description": "All outputs if empty."}
    number = {"type": "number"}
    vector = {"type": "array", "items": number}
    matrix = {"type": "array", "items": vector}
    b64 = {"type": "object", "properties": {"b64": {"type": "string"}}, "required": ["b64"]}
    value = {"anyOf": [number, vector, matrix, b64, {"type": "string"}, {"type": "object"}]}
    return {
        "Error": {
            "type": "object",
            "properties": {"error": {"type": "string"}},
            "required": ["error"],
        },
        "PredictRequest": {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {
                        "signature_name": signature,
                        "output_filter": names,
                        "instances": {"type": "array", "items": value, "minItems": 1},
                    },
                    "required": ["instances"],
                    "additionalProperties": False,
                },
                {
                    "type": "object",
                    "properties": {
                        "signature_name": signature,
                        "output_filter": names,
                        "inputs": {"anyOf": [{"type": "array", "items": value}, value]},
                    },
                    "required": ["inputs"],
                    "additionalProperties": False,
                },
            ]
        },
        "ClassifyRequest": {
            "type": "object",
            "properties": {
                "signature_name": signature,
                "context": {"type": "object"},
                "examples": {"type": "array", "items": {"type": "object"}},
            },
            "required": ["examples"],
            "additionalProperties": False,
        },
    }
