"""A trained model as a SavedModel that a server loads without this project, and as other files."""
