"""The files for TensorFlow Serving, checked without TensorFlow Serving."""

import re

import pytest

from serving.settings import read_config
from serving.version import Limits
from tests.conftest import PROJECT
from tests.serving.conftest import images

DEPLOY = PROJECT / "deploy"


@pytest.mark.slow
def test_the_served_models_are_those_of_the_config(saved_models, start, tmp_path):
    text = (DEPLOY / "models.config").read_text().replace("/models/", f"{saved_models}/")
    (tmp_path / "models.config").write_text(text)
    server = start(tmp_path, f"--model_config_file={tmp_path}/models.config")
    assert server.states("lstm") == {"1": "AVAILABLE"}
    assert server.predict(inputs=images(1).tolist()).status_code == 200


def test_the_config_names_folders_in_the_volume_of_the_container():
    config = read_config(DEPLOY / "models.config")
    paths = {model.name: model.base_path for model in config.model_config_list.config}
    assert paths == {"lstm": "/models/lstm"}
    assert "../saved_models:/models:ro" in (DEPLOY / "compose.yaml").read_text()


def test_every_file_that_the_container_reads_exists():
    named = re.findall(r"/config/(\S+)", (DEPLOY / "compose.yaml").read_text())
    assert sorted(named) == ["batching.config", "models.config", "monitoring.config"]
    assert all((DEPLOY / name).is_file() for name in named)


def test_the_container_has_the_same_limits_as_serve_py():
    text = (DEPLOY / "batching.config").read_text()
    sizes = {name: int(size) for name, size in re.findall(r"(\w+) \{ value: (\d+) \}", text)}
    assert sizes["max_batch_size"] == Limits().request_rows
    assert sizes["max_execution_batch_size"] == Limits().batch_rows
    assert "enable_large_batch_splitting { value: true }" in text
