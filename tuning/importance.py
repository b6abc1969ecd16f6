"""The importance of each hyper-parameter."""

import optuna

from tuning.space import Choice, to_unit_interval


def importances(space, trials):
    """The share of each hyper-parameter, by itself, in the variance of the score (fANOVA).

    Source: F. Hutter et al., An Efficient Approach for Assessing Hyperparameter Importance, ICML
    2014, http://proceedings.mlr.press/v32/hutter14.html; computed by Optuna. If the trials have
    different numbers of epochs, as with Hyperband, the epochs are a hyper-parameter too.

    Args:
        space: A tuple of `Range` and `Choice`.
        trials: Completed `Trial`s.

    Returns:
        The shares by name, with sum 1; empty if all scores are equal.
    """
    if len({trial.score for trial in trials}) == 1:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions, values = {}, [dict(trial.values) for trial in trials]
    for parameter in space:
        name = parameter.name
        if isinstance(parameter, Choice):
            distributions[name] = optuna.distributions.CategoricalDistribution(parameter.values)
            continue
        # Optuna's fANOVA ignores the logarithmic scale of a range.
        distributions[name] = optuna.distributions.FloatDistribution(0, 1)
        values = [v | {name: to_unit_interval(parameter, v[name])} for v in values]
    epochs = sorted({trial.epochs for trial in trials})
    if len(epochs) > 1:
        distributions["epochs"] = optuna.distributions.CategoricalDistribution(epochs)
        values = [v | {"epochs": t.epochs} for v, t in zip(values, trials, strict=True)]
    study = optuna.create_study(direction="maximize")
    for params, trial in zip(values, trials, strict=True):
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=distributions, value=trial.score)
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)
