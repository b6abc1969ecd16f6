"""Time to reach a test accuracy, compared with the recipe of the tutorials.

    python -m benchmarks.time_to_accuracy --dataset=mnist --turns=3

Ours is the whole program `python main.py --flagfile=configs/fast.flags`: it loads the images,
trains, evaluates, draws and exports. The other is `keras.layers.LSTM` in `fit`, with Adam at 0.001
and batches of 128. Its time is from the start of its process to the end of the first epoch that
reaches the accuracy on all test images. Turn t uses the seed t.
"""

import json
import pathlib
import sys
import tempfile
import time

from absl import flags

from benchmarks import MAIN, contest
from benchmarks.peers import of_keras, usual_allocator
from benchmarks.processes import Spawned, run
from configs import Config, UserError, config_from_flags, define_flags, given_flags, run_script

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(contest)
flags.DEFINE_multi_float("target", [98.5, 99.0], "Test accuracies to reach, in percent.", 0, 100)
flags.DEFINE_integer("max_epochs", 50, "Maximal epochs of the recipe of the tutorials.", 1)
define_flags()

_FLAG_FILE = "configs/fast.flags"
# A lower target needs fewer steps than the three epochs of the flag file.
_SHORTER = {98.5: ("--steps=650", "--learning_rate=0.01")}


def main():
    """Measure, print the table, write the JSON."""
    config = config_from_flags()
    if "seed" in given_flags():
        raise UserError(f"--seed={FLAGS.seed}: turn t uses the seed t; expected --turns=NUMBER")
    contest.print_environment()
    turns = []
    for seed in range(FLAGS.turns):
        ours = _run_ours(seed, FLAGS.target)
        keras = _run_keras(config, seed, FLAGS.target)
        turns.append({target: {"ours": ours[target], "Keras": keras[target]} for target in ours})
        print(f"turn {seed + 1}: {turns[-1]}", file=sys.stderr, flush=True)
    print("| test accuracy | ours, seconds | reached | Keras, seconds | epochs | ratio |")
    print("| ---: | ---: | --- | ---: | ---: | ---: |")
    for target in FLAGS.target:
        _print_row(target, [turn[target] for turn in turns])
    contest.write_json("time_to_accuracy", {"turns": turns})


def _print_row(target, turns):
    ours, theirs = ([turn[side] for turn in turns] for side in ("ours", "Keras"))
    reached = ", ".join(f"{one['accuracy']:.2f}" for one in ours)
    ratios = [other["seconds"] / one["seconds"] for one, other in zip(ours, theirs, strict=True)]
    ratio = f"{contest.Spread(ratios):.1f}"
    if min(one["accuracy"] for one in ours) < target:
        ratio = "– (ours missed it)"
    never = sum(other["accuracy"] < target for other in theirs)
    note = f" (given up in {never})" if never else ""
    print(
        f"| {target} % | {contest.Spread([one['seconds'] for one in ours]):.1f} | {reached} "
        f"| {contest.Spread([other['seconds'] for other in theirs]):.0f}{note} "
        f"| {contest.Spread([other['epochs'] for other in theirs]):.0f} "
        f"| {'at least ' if never else ''}{ratio} |"
    )


def _run_ours(seed, targets):
    """Run the program: its total `seconds` and its test `accuracy` in percent, by target."""
    given = [FLAGS[flag].serialize() for flag in given_flags()]
    runs = {}
    for shorter in dict.fromkeys(_SHORTER.get(target, ()) for target in targets):
        with tempfile.TemporaryDirectory() as folder:
            command = [
                *(sys.executable, str(MAIN), f"--flagfile={MAIN.parent / _FLAG_FILE}"),
                *(*shorter, *given, f"--seed={seed}", "--name=fast"),
                *(f"--runs_dir={folder}", f"--saved_models_dir={folder}/exported"),
            ]
            start = time.perf_counter()
            run(command, "a run", stdout=sys.stderr)
            seconds = time.perf_counter() - start
            metrics = json.loads(pathlib.Path(folder, "fast", "metrics.json").read_text())
        runs[shorter] = {"seconds": seconds, "accuracy": 100 * metrics["test"]["accuracy"]}
    return {target: runs[_SHORTER.get(target, ())] for target in targets}


def _run_keras(config, seed, targets):
    """Run the recipe of the tutorials: `seconds`, `epochs` and test `accuracy`, by target."""
    epochs, results = FLAGS.max_epochs, {}
    start = time.perf_counter()
    with Spawned("Keras", send_accuracies, config, seed, epochs) as process:
        for epoch in range(1, epochs + 1):
            now = {"accuracy": process.receive("an accuracy"), "epochs": epoch}
            now["seconds"] = time.perf_counter() - start
            print(f"Keras, epoch {epoch}: {now['accuracy']:.2f} %", file=sys.stderr, flush=True)
            reached = [target for target in targets if now["accuracy"] >= target]
            results |= {target: now for target in reached if target not in results}
            if len(results) == len(set(targets)):
                break
    return {target: results.get(target, now) for target in targets}


def send_accuracies(pipe, config: Config, seed, epochs):
    """Train as in the tutorials; send the test accuracy in percent after every epoch."""
    usual_allocator()
    import keras

    from datasets import load

    data = load(config)
    keras.utils.set_random_seed(seed)
    model = of_keras(Config(model="lstm", units=config.units), data.spec)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.001), loss, metrics=["accuracy"])
    test = data.test.batches(1000)
    steps = -(-len(data.train) // 128)

    def send(epoch, logs):
        pipe.send(100 * model.evaluate(test, verbose=0)[1])

    model.fit(
        data.train.batches(128, seed),
        epochs=epochs,
        steps_per_epoch=steps,
        shuffle=False,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=send)],
    )


if __name__ == "__main__":
    run_script(main)
