"""A model that several replicas train together, each on its part of every batch.

Every replica holds the whole model and computes the loss and the gradient of its part of a batch.
Both are summed over all replicas, and all replicas apply the same update. The loop is the `fit` of
Keras; its `train_step` cannot be used (Keras 3.15.1): under `MirroredStrategy` it averages over the
parts of a batch as if all were equally large, and clips the gradient of each part before the sum;
under `MultiWorkerMirroredStrategy` it fails, https://github.com/keras-team/keras/issues/20585.
"""

import contextlib

import keras
import tensorflow as tf

_SEED_STATE = "seed_generator_state"


def split_batches(batches, context):
    """Split batches into the parts of the replicas that one input pipeline feeds.

    Args:
        batches: A `tf.data.Dataset` of batches: tensors whose first axis are the examples.
        context: The `tf.distribute.InputContext` of the pipeline.

    Returns:
        A `tf.data.Dataset` with one element for each batch and each replica of the pipeline. The
        sizes of the parts differ by at most one. With fewer examples than replicas, some are empty.
    """
    replicas = context.num_replicas_in_sync
    own = replicas // context.num_input_pipelines
    first = own * context.input_pipeline_id

    def split(*batch):
        size = tf.shape(tf.nest.flatten(batch)[0], tf.int64)[0]

        def part(replica):
            begin, end = size * replica // replicas, size * (replica + 1) // replicas
            return tf.nest.map_structure(lambda tensor: tensor[begin:end], batch)

        return tf.data.Dataset.range(first, first + own).map(part)

    parts = batches.flat_map(split)
    if batches.cardinality() == tf.data.INFINITE_CARDINALITY:
        # Otherwise the workers would agree before every step on whether there is another batch.
        return parts.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    return parts


class DistributedModel(keras.Model):
    """A model that several replicas train and validate together.

    It is compiled in `replica_scope`, with a loss that is a mean over the examples, and with
    metrics whose state is a sum over the examples, such as `keras.metrics.Mean` and accuracies.
    Each replica draws its own random numbers; the first draws those that one device would.

    Args:
        model: The model to train, created in the scope of the strategy. This one is created outside
            of it: otherwise Keras would build it with the mean of the parts of a batch.
        strategy: The `tf.distribute.Strategy`.
    """

    def __init__(self, model, strategy):
        super().__init__(model.input, model.output, name=model.name)
        self.strategy = strategy

    def compile(self, optimizer, **options):
        """As `keras.Model.compile`; the optimizer receives gradients that are already summed."""
        # Not public. Keras would sum the gradients once more, after it clipped them.
        optimizer._all_reduce_sum_gradients = list
        super().compile(optimizer, **options)

    def fit(self, x, validation_data=None, **options):
        """As `keras.Model.fit`, of a `tf.data.Dataset`; the size of `validation_data` is known."""
        if validation_data is not None:
            options["validation_steps"] = int(validation_data.cardinality())
            validation_data = self._distribute(validation_data)
        return super().fit(self._distribute(x), validation_data=validation_data, **options)

    def make_train_function(self, force=False):
        @tf.function
        def take_steps(iterator):
            for _ in tf.range(self.steps_per_execution):
                self._run(self.train_step, next(iterator))
            return self.get_metrics_result()

        self.train_function = self.train_function or take_steps

    def make_test_function(self, force=False):
        @tf.function
        def take_steps(iterator):
            for _ in tf.range(self.steps_per_execution):
                # Unlike the training batches, these end, maybe before the last of these steps.
                batch = iterator.get_next_as_optional()
                if batch.has_value():
                    self._run(self.test_step, batch.get_value())
            return self.get_metrics_result()

        self.test_function = self.test_function or take_steps

    def train_step(self, data):
        """One replica's share of a training step.

        Args:
            data: Its part of the batch.

        Returns:
            Of the whole batch: the number of examples, the loss, and what is added to the state of
            each metric.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with self._own_seeds(), tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            *sums, loss = self._measure(x, y, y_pred, sample_weight, training=True)
        gradients = tape.gradient(loss, self.trainable_variables)
        # Dense, also that of an `Embedding`. On one device Keras keeps its `IndexedSlices`: then
        # Adam and the norm to clip differ where a token occurs twice.
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        (examples, weight, increments, loss), gradients = _sum([[*sums, loss], gradients])
        self.optimizer.apply([g / weight for g in gradients], self.trainable_variables)
        return examples, loss / weight, increments

    def test_step(self, data):
        """One replica's share of a validation step; as `train_step`."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        examples, weight, increments, loss = _sum(
            self._measure(x, y, y_pred, sample_weight, training=False)
        )
        return examples, loss / weight, increments

    def _distribute(self, batches):
        return self.strategy.distribute_datasets_from_function(
            lambda context: split_batches(batches, context)
        )

    def _run(self, step, batch):
        """Run a step on all replicas, and add to the metrics what it measured."""
        sums = self.strategy.run(step, (batch,))
        # They are equal on all replicas.
        examples, loss, increments = self.strategy.experimental_local_results(sums)[0]
        tracker, *metrics = self.metrics
        tracker.update_state(loss, sample_weight=examples)
        variables = [variable for metric in metrics for variable in metric.variables]
        for variable, increment in zip(variables, increments, strict=True):
            variable.assign_add(tf.cast(increment, variable.dtype))

    def _measure(self, x, y, y_pred, sample_weight, training):
        """What the replicas sum.

        Returns:
            The number of examples, their weight in the mean of the batch, what they add to the
            state of each metric but the loss, and their loss times their weight.
        """
        examples = tf.cast(tf.shape(tf.nest.flatten(x)[0])[0], tf.float32)
        weight = examples
        if sample_weight is not None and (
            getattr(self.loss, "reduction", None) == "mean_with_sample_weight"
        ):
            weight = tf.reduce_sum(tf.cast(sample_weight, tf.float32))
        loss = self.compute_loss(x, y, y_pred, sample_weight, training=training)
        # Keras divides the mean by the number of replicas.
        loss *= weight * self.strategy.num_replicas_in_sync
        zeros = [(v, tf.zeros(v.shape, v.dtype)) for v in self.metrics_variables]
        with keras.StatelessScope(zeros) as scope:
            self.compute_metrics(x, y, y_pred, sample_weight)
        variables = [variable for metric in self.metrics[1:] for variable in metric.variables]
        # One reduction takes tensors of one dtype; some metrics count in integers.
        increments = [tf.cast(scope.get_current_value(v), tf.float32) for v in variables]
        return [examples, weight, increments, loss]

    @contextlib.contextmanager
    def _own_seeds(self):
        """Let this replica draw other random numbers than the others, from the same state."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        states = [v.value for v in self.non_trainable_variables if v.path.endswith(_SEED_STATE)]
        for state in states:
            state.assign_add(tf.cast([replica, 0], state.dtype))
        yield
        for state in states:
            state.assign_sub(tf.cast([replica, 0], state.dtype))


@contextlib.contextmanager
def replica_scope(strategy):
    """The scope in which a `DistributedModel` is compiled.

    The variables of Keras metrics are those of a strategy that are summed when they are read. Here
    they are equal on all replicas instead, so that one process alone can read them.
    """

    def create(next_creator, **options):
        if options.get("synchronization") == tf.VariableSynchronization.ON_READ:
            options["synchronization"] = tf.VariableSynchronization.AUTO
            options["aggregation"] = tf.VariableAggregation.ONLY_FIRST_REPLICA
        return next_creator(**options)

    with strategy.scope(), tf.variable_creator_scope(create):
        yield


def _sum(values):
    """Add the values of all replicas; each gets the sums."""
    return tf.distribute.get_replica_context().all_reduce("SUM", values)
