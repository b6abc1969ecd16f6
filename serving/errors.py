"""What a request can be answered with instead of a result."""

import grpc


class RequestError(Exception):
    """A request that is not answered, and why.

    Attributes:
        status: The HTTP status.
        code: The gRPC status code of the same meaning.
    """

    status = 400
    code = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(RequestError):
    """There is no such model, version or label."""

    status = 404
    code = grpc.StatusCode.NOT_FOUND


class TooLarge(RequestError):
    """More than the server takes in one request."""

    status = 413
    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class UnsupportedEncoding(RequestError):
    """The body is packed in a way that the server cannot unpack."""

    status = 415


class Busy(RequestError):
    """More work waits than the server lets wait; try again later."""

    status = 503
    code = grpc.StatusCode.UNAVAILABLE


class TooLate(RequestError):
    """The answer was not ready in time."""

    status = 504
    code = grpc.StatusCode.DEADLINE_EXCEEDED
