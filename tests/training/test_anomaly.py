"""A loss that explodes is stopped and explained."""

import numpy as np
import pytest

from configs import Config, UserError
from datasets.batches import shuffled_batches
from models import create_model
from training.anomaly import Anomaly, explain
from training.run import Run
from training.train import compile_model, train

# Steps of this size throw the weights so far that the loss explodes at once.
TOO_FAST = Config(
    **{"model": "irnn", "units": 5, "optimizer": "adam", "learning_rate": 1000},
    **{"batch_size": 10, "epochs": 9, "schedule": "constant"},
)


def test_a_loss_that_explodes_ends_the_run_with_its_step_and_keeps_a_good_checkpoint(
    data, tmp_path
):
    with pytest.raises(
        UserError, match=r"step 3: the loss is .*, the gradient's norm .* after "
    ) as e:
        train(TOO_FAST, tmp_path / "run", data)
    for text in ("checkpoint of step 0 is kept", "--clip_norm=1", "below 1000", "--detect_anomaly"):
        assert text in str(e.value)
    assert "logits" not in str(e.value)
    (path,) = Run(tmp_path / "run").checkpoints_path.iterdir()
    with np.load(path) as archive:
        assert all(np.isfinite(archive[n]).all() for n in archive.files if n != "progress")


@pytest.mark.parametrize(
    ("weight", "value", "told"),
    [
        (0, np.nan, "the first layer whose output is not finite is recurrent_1"),
        (-1, np.inf, "the first layer whose output is not finite is logits"),
        (-2, 1e20, "the gradient of recurrent_1's .* is largest"),
    ],
)
def test_detect_anomaly_names_the_layer_it_began_in(weight, value, told, data):
    config = Config(**vars(TOO_FAST) | {"detect_anomaly": True})
    model = create_model(config, data.classes)
    compile_model(model, config, 36, 4)
    variable = model.trainable_variables[weight]
    variable.assign(
        value * np.linspace(1, 2, num=int(np.prod(variable.shape))).reshape(variable.shape)
    )
    batches = shuffled_batches(data.train, 10, config.seed).take(36)
    error = explain(Anomaly("the loss is nan"), model, config, batches)
    with pytest.raises(UserError, match=told):
        raise error
