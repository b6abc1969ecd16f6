"""A search: its settings, and `run_search`, which starts or continues it."""

import dataclasses
import shlex

from configs import Config, Interrupted, UserError, format_flags
from tasks import task_of
from training.signals import stop_signal
from tuning.results import Results
from tuning.score import Score
from tuning.space import Range
from tuning.trial import best_of

TUNERS = ("random", "bayesian", "hyperband", "asha", "grid")


@dataclasses.dataclass(frozen=True)
class Search:
    """The settings of a search.

    Attributes:
        config: The `Config` in which each draw replaces some values. Its seed decides the draws.
        space: The search space, a tuple of `Range` and `Choice`.
        tuner: One of `TUNERS`.
        max_trials: Maximum number of trials; `None` for a whole grid, or all brackets of Hyperband.
        executions_per_trial: Number of seeds to train each trial with.
        max_parameters: Maximum number of parameters of a model, or `None`.
        max_latency_ms: Maximum milliseconds of a model for one image, or `None`.

    Raises:
        UserError: If values contradict each other.
    """

    config: Config
    space: tuple
    tuner: str = "random"
    max_trials: int | None = None
    executions_per_trial: int = 1
    max_parameters: int | None = None
    max_latency_ms: float | None = None

    def __post_init__(self):
        tuner = f"--tuner={self.tuner}"
        ranges = [parameter for parameter in self.space if isinstance(parameter, Range)]
        endless = [r.name for r in ranges if r.log or isinstance(r.low, float)]
        if self.tuner == "grid" and endless:
            name = endless[0]
            raise UserError(
                f"{tuner}: {name} has infinitely many values; expected {name}:A|B|C or "
                f"{name}:LOW..HIGH:STEP in --search"
            )
        if self.tuner in ("random", "bayesian", "asha") and self.max_trials is None:
            raise UserError(f"{tuner} does not end by itself; expected --max_trials=NUMBER")
        if self.tuner in ("hyperband", "asha") and self.config.steps:
            raise UserError(
                f"--steps={self.config.steps}: {tuner} decides how many epochs a trial trains for; "
                "expected --epochs=NUMBER, the largest number that a trial gets, and no --steps"
            )
        if self.config.validation_size == 0:
            raise UserError(
                "--validation_size=0: trials are scored on the validation examples; expected "
                "--validation_size=1 or more, or no --validation_size"
            )

    def config_of(self, trial):
        """The `Config` of a `Trial`; `UserError` if its values contradict each other."""
        return dataclasses.replace(self.config, epochs=trial.epochs, **trial.values)

    def flags(self):
        """The text of the flags that repeat the search, one a line."""
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)[2:]}
        own = {"search": ",".join(map(str, self.space)), **own}
        lines = [f"--{name}={value}\n" for name, value in own.items() if value is not None]
        return format_flags(self.config) + "".join(lines)


def run_search(search, folder, data, workers=None):
    """Draw, train and score until the search ends, and write the results.

    After an interruption or a kill, the same call continues with the same draws and scores. A
    search also ends when 100 draws in a row are over the budget or repeat an earlier draw, unless
    it is a grid.

    Args:
        search: The `Search`.
        folder: Its folder, `runs/tune-<name>/`, made if it does not exist.
        data: A `Dataset`.
        workers: An `execution.InProcess` or `on_ray.OnRay`; `None` for the former.

    Returns:
        The `Results`, and the best `Trial`.

    Raises:
        UserError: If the folder holds another search or is in use, its `trials.csv` is damaged,
            three trials in a row fail for the same reason, no trial was completed, or Ray cannot
            be used.
        Interrupted: At SIGINT (Ctrl-C) and SIGTERM, after a checkpoint was written.
    """
    # Record the dataset that `auto` chose, since scores on different data are not comparable.
    config = dataclasses.replace(search.config, dataset=data.name)
    search = dataclasses.replace(search, config=config)
    results = Results(folder, search.space, Score(task_of(data.spec, config)))
    with results.locked():
        results.begin(search.flags())
        trials = results.read()
        if workers is None:
            from tuning.execution import InProcess

            workers = InProcess()
        # `stop_signal` comes second, since Ray installs signal handlers when it starts.
        with workers.ready(data, search.executions_per_trial), stop_signal() as signal:
            from tuning.loop import Loop  # Imports TensorFlow.

            try:
                Loop(search, results, trials, data.spec, workers).run(signal)
            except Interrupted as interrupt:
                command = f"python tune.py --flagfile={shlex.quote(str(results.flags_path))}"
                raise Interrupted(
                    interrupt.signal, f"{interrupt}; to go on: {command}{workers.flags}"
                ) from None
        best = best_of(trials)
        if best is None:
            last = f" (the last one: {trials[-1].reason})" if trials else ""
            raise UserError(
                f"{results.trials_path}: no trial was completed{last}; expected another --search "
                "or budget under another --name"
            )
        results.save_figures(trials)
    return results, best
