"""The settings of a server, and the files that they name. Checked before TensorFlow is imported."""

import dataclasses
import pathlib

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from configs import UserError
from serving.layout import mistake_in


@dataclasses.dataclass
class Settings:
    """The settings of a server. Each field is a flag of `serve.py`, whose help describes it.

    Attributes:
        config: The `ModelServerConfig` in `model_config_file`, or `None`.
        token: The token in `api_token_file`, or `None`.

    Raises:
        UserError: If the folder does not hold models, or a file cannot be used.
    """

    saved_models_dir: str
    model_config_file: str | None
    host: str
    rest_api_port: int
    port: int
    poll_seconds: float
    request_seconds: float
    keep_alive_seconds: float
    max_megabytes: int
    max_connections: int
    batch_rows: int
    min_probability: float
    request_rows: int
    waiting_rows: int
    api_token_file: str | None
    origins: list
    browser: bool

    def __post_init__(self):
        folder = pathlib.Path(self.saved_models_dir)
        if not self.model_config_file and (mistake := mistake_in(folder)):
            raise UserError(f"--saved_models_dir={folder} {mistake}")
        self.token = read_token(self.api_token_file)
        self.config = read_config(self.model_config_file)


def read_token(path):
    """The token in the file of `--api_token_file`; `None` without a path.

    Raises:
        OSError: If the file cannot be read.
        UserError: If it does not hold a token, or holds one that an HTTP header cannot carry.
    """
    if not path:
        return None
    token = pathlib.Path(path).read_bytes().decode("utf-8-sig", "replace").strip()
    if not token:
        raise UserError(f"--api_token_file={path} is empty; expected a token")
    if not (token.isascii() and token.isprintable()):
        raise UserError(
            f"--api_token_file={path} holds several lines, or characters beyond ASCII; expected "
            "one line of ASCII, which an HTTP header can carry"
        )
    return token


def read_config(path):
    """The `ModelServerConfig` in the file of `--model_config_file`; `None` without a path.

    Raises:
        OSError: If the file cannot be read.
        UserError: If it is not a `ModelServerConfig`, or a model in it lacks its name or folder.
    """
    if not path:
        return None
    received = f"--model_config_file={path}"
    try:
        text = pathlib.Path(path).read_text()
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise UserError(
            f"{received}: {error}; expected a ModelServerConfig in text format"
        ) from error
    models = config.model_config_list.config
    expected = 'expected model_config_list { config { name: "lstm" base_path: "/models/lstm" } }'
    if not models:
        raise UserError(f"{received} does not name a model; {expected}")
    for model in models:
        for field in ("name", "base_path"):
            if not getattr(model, field):
                known = model.name or model.base_path or "a model"
                raise UserError(f"{received}: {known} does not have a {field}; {expected}")
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{received}: {name} is named twice; expected one config for each name")
    return config
