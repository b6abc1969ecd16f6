"""A trained model as a SavedModel that a server loads without this project, and as other files."""

from export.formats import check_formats
from export.saved_model import export, find

__all__ = ["check_formats", "export", "find"]
