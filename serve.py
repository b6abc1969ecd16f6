"""Serve the exported models over REST and gRPC, with a page that reads what you draw.

python serve.py"""

import dataclasses
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # Python leaves it out by -P and -I.

from absl import flags

from configs import define_path, run_script
from serving.settings import Settings

FLAGS = flags.FLAGS
define_path("saved_models_dir", "saved_models", "Folder of the models to serve.")
define_path(
    "model_config_file", None, "TensorFlow Serving's file of models, versions and labels "
    "(default: the newest version of every model in --saved_models_dir)."
)  # fmt: skip
flags.DEFINE_string(
    "host", "127.0.0.1", "Address to listen on; 0.0.0.0 for all of IPv4, :: for all."
)  # fmt: skip
flags.DEFINE_integer("rest_api_port", 8501, "Port of REST and the page; 0 for any.", 0, 65535)
flags.DEFINE_integer("port", 8500, "Port of gRPC; 0 for any.", 0, 65535)
flags.DEFINE_float("poll_seconds", 1, "Seconds between two checks for new versions.", 0.01)
flags.DEFINE_float("request_seconds", 30, "Maximum seconds for one request.", 0.01)
flags.DEFINE_float(
    "keep_alive_seconds", 75, "Maximum seconds that a connection may be idle. Most proxies allow "
    "60: give more than yours, because it answers 502 if the server closes first.", 0.01
)  # fmt: skip
flags.DEFINE_integer(
    "max_megabytes", 32, "Maximum size of a request in megabytes, also when unpacked.", 1
)
flags.DEFINE_integer("max_connections", 1000, "Maximum number of REST connections.", 1)
flags.DEFINE_integer("batch_rows", 64, "Maximum number of rows in a batch.", 1)
flags.DEFINE_float(
    "min_probability", 0.9, "The page marks answers of a lower probability as not sure.", 0, 1
)
flags.DEFINE_integer("request_rows", 2048, "Maximum number of rows in a request.", 1)
flags.DEFINE_integer("waiting_rows", 4096, "Maximum number of rows that wait in a queue.", 1)
define_path("api_token_file", None, "File with the token that clients must send.")
flags.DEFINE_list(
    "origins", [], "Other origins whose pages may send requests, such as https://a.example."
)
flags.DEFINE_bool("browser", False, "Open the page in a browser when the models are loaded.")


def main():
    """Serve until Ctrl-C or SIGTERM."""
    names = [field.name for field in dataclasses.fields(Settings)]
    settings = Settings(**{name: FLAGS[name].value for name in names})
    # TensorFlow imports these if they are installed, and then takes twice as long to start, and
    # 100 MB more for each. SavedModels need neither.
    sys.modules.update({"keras": None, "jax": None})
    # Only now, because it imports TensorFlow: a mistake in the flags is told seconds earlier.
    from serving.server import run

    run(settings)


if __name__ == "__main__":
    run_script(main)
