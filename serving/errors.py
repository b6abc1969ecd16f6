"""The errors that a request can be answered with."""

import grpc


class RequestError(Exception):
    """The request cannot be answered; the message says why.

    Attributes:
        status: The HTTP status.
        code: The gRPC status code with the same meaning.
    """

    status = 400
    code = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(RequestError):
    """The model, version or label does not exist."""

    status = 404
    code = grpc.StatusCode.NOT_FOUND


class TooLarge(RequestError):
    """The request is larger than the server accepts."""

    status = 413
    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class UnsupportedEncoding(RequestError):
    """The body has a Content-Encoding that the server cannot unpack."""

    status = 415


class Busy(RequestError):
    """The queue is full."""

    status = 503
    code = grpc.StatusCode.UNAVAILABLE


class TooLate(RequestError):
    """The answer was not ready in time."""

    status = 504
    code = grpc.StatusCode.DEADLINE_EXCEEDED
