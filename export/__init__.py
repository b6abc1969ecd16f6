"""A trained model as a SavedModel that a server loads without this project."""

from export.saved_model import export, find

__all__ = ["export", "find"]
