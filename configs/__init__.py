"""The settings of a run, and their flags on the command line."""

from configs.config import Config
from configs.errors import Interrupted, UserError
from configs.flags import (
    config_from_flags,
    define_flags,
    format_flags,
    given_flags,
    names_of,
    override,
    read_flags,
)
from configs.paths import define_name, define_path, define_paths
from configs.script import require_tensorflow, run_script

__all__ = [
    "Config",
    "Interrupted",
    "UserError",
    "config_from_flags",
    "define_flags",
    "define_name",
    "define_path",
    "define_paths",
    "format_flags",
    "given_flags",
    "names_of",
    "override",
    "read_flags",
    "require_tensorflow",
    "run_script",
]
