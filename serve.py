"""Serve the exported models, over REST, gRPC and a page that reads what is drawn on it.

python serve.py"""

import pathlib
import sys
import threading
import webbrowser

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # Python leaves it out by -P and -I.

from absl import flags

from configs import UserError, define_path, run_script

FLAGS = flags.FLAGS
define_path("saved_models_dir", "saved_models", "Folder of the models that are served.")
define_path(
    "model_config_file", None, "TensorFlow Serving's file of models, versions and labels "
    "(default: the newest version of every model in --saved_models_dir)."
)  # fmt: skip
flags.DEFINE_string(
    "host", "127.0.0.1", "Address to listen on; 0.0.0.0 for all of IPv4, :: for all."
)  # fmt: skip
flags.DEFINE_integer("rest_api_port", 8501, "Port of REST and the page; 0 for any.", 0, 65535)
flags.DEFINE_integer("port", 8500, "Port of gRPC; 0 for any.", 0, 65535)
flags.DEFINE_float("poll_seconds", 1, "Time between two checks for new versions.", 0.01)
flags.DEFINE_float("request_seconds", 30, "How long a request may take.", 0.01)
flags.DEFINE_float(
    "keep_alive_seconds", 75, "How long a connection may be idle between two requests. Proxies "
    "answer 502 if the server is the first to close: give more than theirs, 60 in most.", 0.01
)  # fmt: skip
flags.DEFINE_integer(
    "max_megabytes", 32, "Maximum size of a request in megabytes, also when unpacked.", 1
)
flags.DEFINE_integer("max_connections", 1000, "Maximum number of REST connections.", 1)
flags.DEFINE_integer("batch_rows", 64, "Maximum number of images answered together.", 1)
flags.DEFINE_float(
    "min_probability", 0.9, "The page marks answers of a lower probability as not sure.", 0, 1
)
flags.DEFINE_integer("request_rows", 2048, "Maximum number of images in a request.", 1)
flags.DEFINE_integer("waiting_rows", 4096, "Maximum number of images that wait for their turn.", 1)
define_path("api_token_file", None, "File with the token that clients have to send.")
flags.DEFINE_list(
    "origins", [], "Other origins whose pages may send requests, such as https://a.example."
)
flags.DEFINE_bool("browser", False, "Open the page in a browser once the models are loaded.")


def main():
    """Serve until Ctrl-C or SIGTERM."""
    from serving.layout import mistake_in
    from serving.security import read_token

    folder = pathlib.Path(FLAGS.saved_models_dir)
    if not FLAGS.model_config_file and (mistake := mistake_in(folder)):
        raise UserError(f"--saved_models_dir={folder} {mistake}")
    try:
        token = FLAGS.api_token_file and read_token(FLAGS.api_token_file)
    except ValueError as error:
        raise UserError(f"--api_token_file={error}") from error
    # TensorFlow takes its seconds: after what can be wrong without it. It takes twice as many, and
    # 100 MB for each, if it finds these, which SavedModels do without.
    sys.modules.update({"keras": None, "jax": None})
    import uvloop

    from serving.errors import CannotListen
    from serving.repository import Limits, read_config
    from serving.server import Settings, serve

    try:
        config = FLAGS.model_config_file and read_config(FLAGS.model_config_file)
    except ValueError as error:
        raise UserError(f"--model_config_file={error}") from error
    settings = Settings(
        folder,
        config,
        FLAGS.host,
        FLAGS.rest_api_port,
        FLAGS.port,
        FLAGS.poll_seconds,
        FLAGS.request_seconds,
        FLAGS.keep_alive_seconds,
        FLAGS.max_megabytes * 2**20,
        FLAGS.max_connections,
        token,
        tuple(FLAGS.origins),
        Limits(FLAGS.batch_rows, FLAGS.request_rows, FLAGS.waiting_rows),
        min_probability=FLAGS.min_probability,
    )
    try:
        # asyncio's own loop holds answers back, 40 ms each, on sockets that are handed to it.
        uvloop.run(serve(settings, _announce, _show))
    except CannotListen as error:
        raise UserError(
            f"{error}; expected an address of this machine and ports that are free: choose with "
            "--host, --rest_api_port and --port"
        ) from error


def _announce(rest_address, grpc_address):
    print(f"REST and page: http://{rest_address}, gRPC: {grpc_address}", flush=True)


def _show(rest_address):
    if FLAGS.browser:
        # In a thread of its own: a browser that runs in the terminal returns when it is closed.
        page = f"http://{rest_address}"
        threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()


if __name__ == "__main__":
    run_script(main)
