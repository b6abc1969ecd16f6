"""Which hyper-parameters matter."""

import optuna

from tuning.space import Choice, height


def importances(space, trials):
    """How much of the variance of the score each hyper-parameter explains by itself, in shares.

    Source: F. Hutter et al., An Efficient Approach for Assessing Hyperparameter Importance, ICML
    2014, http://proceedings.mlr.press/v32/hutter14.html; as computed by Optuna. The epochs, of
    which Hyperband gives more to some, take part if they differ.

    Returns:
        A share by name, 1 all together; empty if all scores are alike.
    """
    if len({trial.score for trial in trials}) == 1:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kinds, values = {}, [dict(trial.values) for trial in trials]
    for parameter in space:
        name = parameter.name
        if isinstance(parameter, Choice):
            kinds[name] = optuna.distributions.CategoricalDistribution(parameter.values)
            continue
        # Its place on its scale: Optuna takes a logarithmic range for a linear one.
        kinds[name] = optuna.distributions.FloatDistribution(0, 1)
        values = [v | {name: height(parameter, v[name])} for v in values]
    epochs = sorted({trial.epochs for trial in trials})
    if len(epochs) > 1:
        kinds["epochs"] = optuna.distributions.CategoricalDistribution(epochs)
        values = [v | {"epochs": t.epochs} for v, t in zip(values, trials, strict=True)]
    study = optuna.create_study(direction="maximize")
    for of_trial, trial in zip(values, trials, strict=True):
        study.add_trial(
            optuna.trial.create_trial(params=of_trial, distributions=kinds, value=trial.score)
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)
