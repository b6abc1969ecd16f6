"""A model that several replicas train together, each on its part of every batch.

Every replica holds the whole model and answers to its part of each batch; what they have learned is
summed, and all take the same step. Keras's own `fit` cannot do it: under
`MultiWorkerMirroredStrategy` it fails, https://github.com/keras-team/keras/issues/20585, and under
`MirroredStrategy` it averages over parts of a batch as if they were equally large, and clips the
gradient of each part by itself. `DistributedModel` has a `fit` of its own, by the public means of
TensorFlow and Keras but for one line.
"""

import contextlib

import keras
import tensorflow as tf

_DRAWS = "seed_generator_state"


def parts(batches, context):
    """Batches cut into the parts of the replicas that one input pipeline feeds.

    Args:
        batches: A `tf.data.Dataset` of `(images (batch, 28, 28), labels (batch,))`.
        context: The `tf.distribute.InputContext` of the pipeline.

    Returns:
        A `tf.data.Dataset` of as many elements for each batch as the pipeline has replicas. Parts
        are as equal as can be; where there are fewer images than replicas, some are empty.
    """
    replicas = context.num_replicas_in_sync
    own = replicas // context.num_input_pipelines
    first = own * context.input_pipeline_id

    def cut(images, labels):
        size = tf.shape(labels, tf.int64)[0]

        def part(replica):
            begin, end = size * replica // replicas, size * (replica + 1) // replicas
            return images[begin:end], labels[begin:end]

        return tf.data.Dataset.range(first, first + own).map(part)

    return batches.flat_map(cut)


class DistributedModel(keras.Model):
    """A model of images that several replicas train and validate together.

    To be made and compiled in the scope of a strategy. A replica draws its own random numbers;
    those of the first are what a single one would draw.

    Args:
        model: The model to train.
        metrics: Two `keras.metrics.Mean`, made outside the scope: loss and accuracy of whole
            batches, which every process counts for itself.
    """

    def __init__(self, model, metrics):
        super().__init__(model.input, model.output, name=model.name)
        self.means = metrics

    @property
    def metrics(self):
        return list(self.means)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Nothing: what is measured is counted by `fit` and `evaluate`."""
        return {}

    def compile(self, optimizer, **options):
        """As `keras.Model.compile`; the optimizer gets gradients that are summed already."""
        # Else Keras would sum them after they were clipped.
        optimizer._all_reduce_sum_gradients = list
        super().compile(optimizer, **options)
        self._take_steps = tf.function(self._take_steps)
        self._answer_batch = tf.function(self._answer_batch)

    def fit(
        self,
        batches,
        initial_epoch,
        epochs,
        steps_per_epoch,
        validation_data,
        callbacks,
        verbose,
        shuffle=False,
    ):
        """As `keras.Model.fit`, of endless batches."""
        callbacks = keras.callbacks.CallbackList(
            callbacks,
            add_progbar=verbose > 0,
            model=self,
            verbose=verbose,
            epochs=epochs,
            steps=steps_per_epoch,
        )
        iterator = iter(self._distribute(batches))
        self.stop_training = False
        callbacks.on_train_begin()
        for epoch in range(initial_epoch, epochs):
            self.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            for step in range(0, steps_per_epoch, self.steps_per_execution):
                callbacks.on_train_batch_begin(step)
                self._take_steps(iterator)
                callbacks.on_train_batch_end(step + self.steps_per_execution - 1, self._logs())
                if self.stop_training:
                    break
            logs = self._logs()
            if validation_data is not None:
                measured = self.evaluate(validation_data, callbacks)
                logs |= {f"val_{name}": value for name, value in measured.items()}
            callbacks.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        callbacks.on_train_end(logs)

    def evaluate(self, batches, callbacks):
        """Loss and accuracy of all images of a finite dataset, by name."""
        callbacks.on_test_begin()
        self.reset_metrics()
        for parts_of_batch in self._distribute(batches):
            self._answer_batch(*parts_of_batch)
        logs = self._logs()
        callbacks.on_test_end(logs)
        return logs

    def _distribute(self, batches):
        return self.distribute_strategy.distribute_datasets_from_function(
            lambda context: parts(batches, context)
        )

    def _logs(self):
        return {name: float(value) for name, value in self.get_metrics_result().items()}

    def _take_steps(self, iterator):
        for _ in tf.range(self.steps_per_execution):
            self._count(self._learn, next(iterator))

    def _answer_batch(self, images, labels):
        self._count(self._answer, (images, labels))

    def _count(self, step, batch):
        """Have all replicas do a step of theirs, and count what it gives."""
        sums = self.distribute_strategy.run(step, batch)
        # They are the same on all.
        images, loss, right = self.distribute_strategy.experimental_local_results(sums)[0]
        for mean, value in zip(self.means, (loss, right), strict=True):
            mean.update_state(value / images, sample_weight=images)

    def _learn(self, images, labels):
        """One replica's share in a training step."""
        with self._own_draws(), tf.GradientTape() as tape:
            counts = self._measure(images, labels, training=True)
        gradients = tape.gradient(counts[1], self.trainable_variables)
        *counts, gradients = _sum([*counts, gradients])
        self.optimizer.apply([g / counts[0] for g in gradients], self.trainable_variables)
        return counts

    def _answer(self, images, labels):
        """One replica's share in a validation step."""
        return _sum(self._measure(images, labels, training=False))

    def _measure(self, images, labels, training):
        """How many images there are, the sum of their losses, and how many answers are right."""
        logits = self(images, training=training)
        losses = self.loss.call(labels, logits)  # Of each image, in nats.
        right = tf.argmax(logits, axis=-1) == labels
        return [
            tf.reduce_sum(tf.cast(x, tf.float32)) for x in (tf.ones_like(labels), losses, right)
        ]

    @contextlib.contextmanager
    def _own_draws(self):
        """Have this replica draw other random numbers than the others, from the same state."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        states = [v.value for v in self.non_trainable_variables if v.path.endswith(_DRAWS)]
        for state in states:
            state.assign_add(tf.cast([replica, 0], state.dtype))
        yield
        for state in states:
            state.assign_sub(tf.cast([replica, 0], state.dtype))


def _sum(values):
    """Add the values of all replicas; each gets the sums."""
    return tf.distribute.get_replica_context().all_reduce("SUM", values)
