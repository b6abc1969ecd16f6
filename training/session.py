"""The objects that all parts of one training share."""

import dataclasses
import math

from configs import Config
from datasets import Dataset
from tasks import Task
from training.distributed.distribution import Distribution
from training.run import Run


@dataclasses.dataclass(frozen=True)
class Session:
    """One training, from its first step or from a checkpoint.

    Attributes:
        run: The `Run` it is recorded in.
        config: Its `Config`.
        data: Its `Dataset`.
        task: The `Task` of the data.
        distribution: The `Distribution` it takes place in.
        requested: The `--dataset` asked for, which is `auto` or the name of `data`.
    """

    run: Run
    config: Config
    data: Dataset
    task: Task
    distribution: Distribution
    requested: str

    @property
    def steps_per_epoch(self):
        """The training steps of an epoch."""
        return self.data.train.steps_per_epoch(self.config.batch_size)

    @property
    def steps(self):
        """The training steps of the whole run."""
        return self.config.steps or self.config.epochs * self.steps_per_epoch

    @property
    def epochs(self):
        """The epochs of the whole run; the last may be cut short."""
        return math.ceil(self.steps / self.steps_per_epoch)

    def examples_seen(self, steps):
        """How many training examples so many steps have seen."""
        epochs, rest = divmod(steps, self.steps_per_epoch)
        # The last batch of an epoch may be smaller, and a text may have a rest after it.
        epoch = min(len(self.data.train), self.steps_per_epoch * self.config.batch_size)
        return epochs * epoch + rest * self.config.batch_size
