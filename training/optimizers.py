"""The optimizer of a `Config` and its learning rate schedule."""

import keras


def create_optimizer(config, steps):
    """Create the optimizer of a `Config` for a run of `steps` training steps."""
    options = {
        "learning_rate": _create_schedule(config, steps),
        "global_clipnorm": config.clip_norm,
        "use_ema": config.ema is not None,
        "ema_momentum": config.ema or 0,
    }
    if config.weight_decay is not None:
        options["weight_decay"] = config.weight_decay
    if config.optimizer == "muon":
        if config.weight_decay is not None:
            options["adam_weight_decay"] = config.weight_decay
        # Muon is meant for hidden weight matrices; its authors advise Adam for the output layer.
        options["exclude_layers"] = ["logits", "values"]
    optimizer = keras.optimizers.get({"class_name": config.optimizer, "config": options})
    if config.weight_decay is not None:
        optimizer.exclude_from_weight_decay(var_names=["bias", "peephole"])
    return optimizer


def _create_schedule(config, steps):
    """The learning rate of a run of `steps` training steps: a float or a schedule."""
    rate = float(config.learning_rate)
    warmup = min(round(config.warmup * steps), steps - 1)
    if config.schedule in ("constant", "plateau"):  # `DecayOnPlateau` lowers the rate.
        return rate
    if warmup:
        return keras.optimizers.schedules.CosineDecay(
            0.0, decay_steps=steps - warmup, warmup_target=rate, warmup_steps=warmup
        )
    return keras.optimizers.schedules.CosineDecay(rate, decay_steps=steps)
