"""The server: REST, gRPC and the page in one process, with one `Repository`."""

import asyncio
import concurrent.futures
import contextlib
import errno
import pathlib
import signal
import socket
import threading
import webbrowser

import grpc
import uvicorn
import uvloop
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from configs import UserError
from serving.grpc_api import ModelService, PredictionService, RefuseDamaged
from serving.inference import Inference
from serving.metrics import Metrics
from serving.protocol import limited_protocol
from serving.repository import Repository
from serving.rest import Api, create_app
from serving.security import BearerToken, GrpcBearerToken, SecurityHeaders
from serving.version import Limits

_PAGE = pathlib.Path(__file__).parent / "page"


def run(settings):
    """Serve until SIGTERM or Ctrl-C, then answer the requests under way, and return.

    Args:
        settings: The `Settings`.

    Raises:
        UserError: If the server cannot listen on an address or port.
    """
    # The event loop of asyncio delays each answer by 40 ms on sockets that are passed to it.
    uvloop.run(_serve(settings))


async def _serve(settings):
    # One call at a time: TensorFlow itself uses all processors for one call.
    executor = concurrent.futures.ThreadPoolExecutor(1, "inference")
    repository = Repository(
        settings.saved_models_dir,
        settings.config,
        Limits(settings.batch_rows, settings.request_rows, settings.waiting_rows),
        executor,
        lambda model, rows: metrics.on_batch(model, rows),
    )
    metrics = Metrics(repository)
    try:
        sockets = _listen(settings.host.strip("[]"), settings.rest_api_port)
    except OSError as error:
        raise _cannot_listen(f"--host={settings.host}", error) from error
    address, rest_port = sockets[0].getsockname()[:2]
    grpc_server, grpc_port = _create_grpc(settings, repository, metrics, sockets)
    await grpc_server.start()
    rest = _create_rest(settings, repository, metrics)
    address = _LOOPBACK.get(address, address)
    rest_address, grpc_address = (_with_port(address, port) for port in (rest_port, grpc_port))
    show = _open_browser if settings.browser else lambda page: None
    watching = asyncio.create_task(
        repository.watch(settings.poll_seconds, lambda: show(f"http://{rest_address}"))
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, setattr, rest, "should_exit", True)
    print(f"REST and page: http://{rest_address}, gRPC: {grpc_address}", flush=True)
    try:
        # An exception in the watching task is a bug: stop the server so that it is seen.
        watching.add_done_callback(lambda _: setattr(rest, "should_exit", True))
        await rest.serve(sockets=sockets)
        await grpc_server.stop(settings.request_seconds)
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await repository.close()
        executor.shutdown()


def _open_browser(page):
    # In a thread, because a browser that runs in the terminal returns only when it is closed.
    threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()


def _cannot_listen(received, error):
    return UserError(
        f"{received}: {error}; expected an address of this machine and free ports: choose them "
        "with --host, --rest_api_port and --port"
    )


# The address of this machine at which a server that listens on all addresses is announced.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def _with_port(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _listen(host, port):
    """Sockets that listen on each address of a host, all on the same port.

    Raises:
        OSError: If the host does not have an address of this machine, or the port is taken.
    """
    sockets, missing = [], None
    kind = {"type": socket.SOCK_STREAM, "flags": socket.AI_PASSIVE}
    for family, *_, (address, *_) in dict.fromkeys(socket.getaddrinfo(host, port, **kind)):
        # `::` means all addresses, including those of IPv4.
        dual = address == "::" and socket.has_dualstack_ipv6()
        try:
            sockets.append(
                socket.create_server(
                    (address, port), family=family, backlog=2048, dualstack_ipv6=dual
                )
            )
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
            missing = error  # Such as ::1, an address of localhost, on a machine without IPv6.
            continue
        port = sockets[0].getsockname()[1]
    if not sockets:
        raise missing
    return sockets


def _create_grpc(settings, repository, metrics, sockets):
    interceptors = [RefuseDamaged()]
    if settings.token:  # First, because the other interceptor caches the handlers that it got.
        interceptors.insert(0, GrpcBearerToken(settings.token))
    server = grpc.aio.server(
        interceptors=interceptors,
        options=[
            ("grpc.max_receive_message_length", settings.max_megabytes * 2**20),
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction = PredictionService(repository, metrics, settings.request_seconds)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(repository), server)
    port = settings.port
    for rest_socket in sockets:  # Listen on the same addresses as REST.
        address = _with_port(rest_socket.getsockname()[0], port)
        try:
            port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise _cannot_listen(address, error) from error
    return server, port


def _create_rest(settings, repository, metrics):
    max_bytes = settings.max_megabytes * 2**20
    inference = Inference(repository, metrics, max_bytes, settings.request_seconds)
    api = Api(inference, settings.min_probability)

    async def page(request):
        return FileResponse(_PAGE / "index.html")

    packed = [Middleware(GZipMiddleware)]
    routes = [
        Route("/", page, middleware=packed),
        Mount("/page", StaticFiles(directory=_PAGE), middleware=packed),
    ]
    middleware = [Middleware(SecurityHeaders)]
    if settings.origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.origins,
                allow_methods=["GET", "POST"],
                allow_headers=["authorization", "content-encoding", "content-type"],
            )
        )
    if settings.token:
        middleware.append(Middleware(BearerToken, token=settings.token))
    config = uvicorn.Config(
        create_app(api, routes, middleware),
        http=limited_protocol(settings.request_seconds, settings.max_connections),
        ws="none",
        lifespan="off",
        access_log=False,
        proxy_headers=False,
        log_level="warning",
        server_header=False,
        limit_concurrency=settings.max_connections + 1,  # uvicorn also counts the new connection.
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.request_seconds,
    )
    return _Uvicorn(config)


class _Uvicorn(uvicorn.Server):
    """Does not handle signals: `_serve` does, because it must also stop the gRPC server."""

    @contextlib.contextmanager
    def capture_signals(self):
        yield
