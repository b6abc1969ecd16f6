"""TensorFlow Serving's gRPC services.

See https://github.com/tensorflow/serving/tree/master/tensorflow_serving/apis. The methods are
`PredictionService.Predict` and `.GetModelMetadata`, and `ModelService.GetModelStatus`.
"""

import asyncio
import contextlib
import time

import grpc
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.errors import RequestError, TooLate
from serving.metadata import metadata_of, status_of
from serving.signature import names_in_words
from serving.tensors import from_proto, shape_of_proto, to_proto


@contextlib.asynccontextmanager
async def _answering(context, metrics=None):
    """Answer a `RequestError` with its code, and count the answer.

    Yields a dict. The caller sets its `model`, after it has checked that the model exists: counters
    for names that clients make up would fill the memory.
    """
    started, code, answered = time.perf_counter(), grpc.StatusCode.OK, {"model": ""}
    try:
        yield answered
    except RequestError as error:
        code = error.code
        await context.abort(code, str(error))
    except Exception:
        code = grpc.StatusCode.INTERNAL
        raise
    finally:
        if metrics:
            seconds = time.perf_counter() - started
            metrics.on_answer("grpc", answered["model"], code.name, seconds)


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """TensorFlow Serving's `PredictionService`.

    Args:
        repository: The `Repository`.
        metrics: The `Metrics`.
        seconds: Maximum seconds for a request. A client may set an earlier deadline.
    """

    def __init__(self, repository, metrics, seconds):
        self.repository = repository
        self.metrics = metrics
        self.seconds = seconds

    async def Predict(self, request, context):
        """Call a signature, and return its outputs."""
        async with _answering(context, self.metrics) as answered:
            version = _find(self.repository, request.model_spec)
            answered["model"] = version.model
            signature = version.signature(request.model_spec.signature_name)
            max_rows = self.repository.limits.request_rows
            arrays = {}
            for name, tensor in request.inputs.items():
                # Check the shape first: a small message can declare a huge tensor of one value.
                if name in signature.inputs:
                    signature.inputs[name].check_shape(shape_of_proto(tensor), max_rows)
                    arrays[name] = from_proto(name, tensor)
                else:
                    arrays[name] = None  # `Signature.check` refuses the name below.
            wanted = signature.wanted(list(request.output_filter))
            seconds = min(self.seconds, context.time_remaining() or self.seconds)
            try:
                async with asyncio.timeout(seconds):
                    with version.used():
                        checked = signature.check(arrays, max_rows)
                        outputs = await version.run(signature, checked)
            except TimeoutError:
                raise TooLate(
                    f"no answer within {seconds:g} seconds; try again later, or with fewer rows"
                ) from None
            response = predict_pb2.PredictResponse()
            response.model_spec.name = version.model
            response.model_spec.version.value = version.number
            response.model_spec.signature_name = signature.name
            for name in wanted:
                response.outputs[name].CopyFrom(to_proto(outputs[name]))
            return response

    async def GetModelMetadata(self, request, context):
        """The inputs and outputs of a version's signatures."""
        async with _answering(context):
            unknown = set(request.metadata_field) - {"signature_def"}
            if unknown or not request.metadata_field:
                received = names_in_words(unknown)
                raise RequestError(f"metadata_field: received {received}; expected signature_def")
            version = _find(self.repository, request.model_spec)
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            specification, definitions = metadata_of(version)
            response.model_spec.CopyFrom(specification)
            response.metadata["signature_def"].Pack(definitions)
            return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """TensorFlow Serving's `ModelService`."""

    def __init__(self, repository):
        self.repository = repository

    async def GetModelStatus(self, request, context):
        """The states of a model's versions."""
        async with _answering(context):
            spec = request.model_spec
            return status_of(self.repository.versions(spec.name, *_choice(spec)))


class RefuseDamaged(grpc.aio.ServerInterceptor):
    """Answers a damaged message with INVALID_ARGUMENT; gRPC itself answers INTERNAL."""

    def __init__(self):
        self._handlers = {}

    async def intercept_service(self, continuation, details):
        """Wrap the method's handler once."""
        if details.method not in self._handlers:
            handler = await continuation(details)
            if handler is None:
                return None
            self._handlers[details.method] = _refusing_damaged(handler)
        return self._handlers[details.method]


def _refusing_damaged(handler):
    def parse(message):
        try:
            return handler.request_deserializer(message)
        except DecodeError as error:
            return error

    async def answer(request, context):
        if isinstance(request, DecodeError):
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"received a damaged message ({request}); expected protobuf",
            )
        return await handler.unary_unary(request, context)

    return grpc.unary_unary_rpc_method_handler(answer, parse, handler.response_serializer)


def _find(repository, spec):
    if not spec.name:
        raise RequestError("model_spec.name: received none; expected the name of a model")
    return repository.find(spec.name, *_choice(spec))


def _choice(spec):
    """The version number and label of a `ModelSpec`; at least one is `None`."""
    which = spec.WhichOneof("version_choice")
    return (
        spec.version.value if which == "version" else None,
        spec.version_label if which == "version_label" else None,
    )
