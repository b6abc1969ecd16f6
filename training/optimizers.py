"""The optimizer, and the schedule of its learning rate, that a `Config` describes."""

import keras


def create_optimizer(config, steps):
    """The optimizer a `Config` describes, for a run of so many steps."""
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
        # Made for matrices between hidden states; the head learns by Adam, as it advises.
        options["exclude_layers"] = ["logits"]
    optimizer = keras.optimizers.get({"class_name": config.optimizer, "config": options})
    if config.weight_decay is not None:
        optimizer.exclude_from_weight_decay(var_names=["bias", "peephole"])
    return optimizer


def _create_schedule(config, steps):
    """The learning rate, or its schedule, of a run of so many steps."""
    rate = float(config.learning_rate)
    warmup = min(round(config.warmup * steps), steps - 1)
    if config.schedule == "constant":
        return rate
    if warmup:
        return keras.optimizers.schedules.CosineDecay(
            0.0, decay_steps=steps - warmup, warmup_target=rate, warmup_steps=warmup
        )
    return keras.optimizers.schedules.CosineDecay(rate, decay_steps=steps)
