"""A fast loop over the timesteps of a sequence, forward and backward, for any `Cell`.

It computes the same numbers as `keras.layers.RNN`, faster, for three reasons:

- A timestep has one matrix product: `[x(t), 1, h(t-1)]` times W, b and U, stacked.
- The gradient is written by hand. The forward loop keeps the preactivations; the backward loop
  differentiates each step's equations from them. The gradients of all weights are one product
  after the last step, not one at each step.
- The batch is split into one shard for each processor. The shards share only the weights, so a
  processor never waits for another. XLA compiles both loops of a shard.

It needs TensorFlow. All other files of the cells are written with `keras.ops`.
"""

import functools
import os

import tensorflow as tf

# Private, but TensorFlow has no public way to detect forward-mode derivatives and branches.
from tensorflow.python.eager.forwardprop_util import pack_tangents
from tensorflow.python.ops.control_flow_v2_func_graphs import CondBranchFuncGraph

# With more shards, each would hold fewer than 16 sequences of the usual batch of 128.
_MAX_SHARDS = 8
# The largest number of steps that a graph for serving unrolls.
_MAX_UNROLLED = 32


def obeys_the_rules(cell):
    """Whether `Unroll` can use a cell's `step`: see `models.cell.Cell.step`.

    `step` must call `preactivations` once for each matrix product, in order, and must use nothing
    but its arguments. Gradients of other weights would be lost, and the backward loop would draw
    other random numbers than the forward loop.
    """
    state_sizes = (
        cell.state_size if isinstance(cell.state_size, list | tuple) else [cell.state_size]
    )
    gate_sizes, dtype, called = cell.gate_sizes(), cell.compute_dtype, []

    def preactivations(h, n=0):
        called.append(n)
        return [tf.zeros((1, size), dtype) for size in gate_sizes[n]]

    @tf.function(autograph=False)
    def step():
        states = [tf.zeros((1, size), dtype) for size in state_sizes]
        other_weights = {
            name: tf.zeros(weight.shape, dtype) for name, weight in cell.other_weights().items()
        }
        return cell.step(preactivations, states, **other_weights)

    graph = step.get_concrete_function().graph
    is_pure = not graph.captures and not any(
        operation.op_def.is_stateful for operation in graph.get_operations()
    )
    return is_pure and called == list(range(len(gate_sizes)))


def is_in_a_branch():
    """Whether the graph being traced is a branch of a `tf.cond` or a `tf.switch_case`.

    The gradient of a branch cannot read the residuals of a custom gradient. A function that is
    called in a branch has its own graph, whose gradient can: Keras trains in such functions.
    """
    return isinstance(tf.compat.v1.get_default_graph(), CondBranchFuncGraph)


def has_tangents(tensors):
    """Whether a `tf.autodiff.ForwardAccumulator` watches one of these tensors."""
    return bool(pack_tangents([tf.convert_to_tensor(tensor) for tensor in tensors]).tangents)


class Unroll:
    """Runs a cell over sequences, with a gradient written by hand.

    Args:
        step: The equations of a cell; see `models.cell.Cell.step`.
        gate_sizes: The result of `models.cell.Cell.gate_sizes`.
    """

    def __init__(self, step, gate_sizes):
        self.step = step
        self.gate_sizes = gate_sizes
        # Each length has its own functions: a common function would not know the number of steps.
        self._compiled = functools.cache(self._compile)

    def __call__(self, sequences, states, weights, mask=None, return_sequences=False):
        """Run the cell over a batch of sequences.

        Args:
            sequences: `(batch, steps, features)`. Only the batch size may be unknown.
            states: The initial states, a list of `(batch, size)`, the hidden state first.
            weights: A function that returns the cell's `gate_weights()` and `other_weights()`.
            mask: A dropout mask of the hidden state, `(batch, units)`, or `None`.
            return_sequences: Whether to return the hidden states of all steps.

        Returns:
            The final states, a list as `states`, and the hidden states `(batch, steps, units)`, or
            `None` without `return_sequences`.
        """
        gate_weights, other_weights = tf.nest.map_structure(tf.convert_to_tensor, weights())
        matrices = [tf.concat([W, b[None], U], axis=0) for W, U, b in gate_weights]
        masks = [] if mask is None else [mask]

        @tf.custom_gradient
        def unroll(*inputs):
            results, residuals = self._forward_in_shards(inputs, masks, return_sequences)

            def gradient(*d_results):
                # These copies belong to the graph of the gradient. A second derivative needs them.
                copies = tf.nest.map_structure(tf.identity, (inputs, masks))
                return self._gradients(*copies, list(d_results), residuals, return_sequences)

            return results, gradient

        states = [tf.convert_to_tensor(state) for state in states]
        results = unroll(sequences, states, matrices, other_weights)
        for result in results:
            result.set_shape((sequences.shape[0], *result.shape[1:]))
        return results[: len(states)], results[-1] if return_sequences else None

    def _gradients(self, inputs, masks, d_results, residuals, return_sequences):
        """The gradients of all inputs, a flat list, which can themselves be differentiated."""

        @tf.custom_gradient
        def gradients(inputs, masks, d_results):
            d_inputs = self._backward_in_shards(inputs, masks, d_results, residuals)

            def gradient(*dd_inputs):
                # TensorFlow differentiates a function as a whole. Without the function, a tape
                # would miss connections between the loops, and a third derivative would be wrong.
                return tf.function(self._second_gradients, autograph=False)(
                    [inputs, masks, d_results], [*dd_inputs], return_sequences
                )

            return tf.nest.flatten(d_inputs), gradient

        return gradients(inputs, masks, d_results)

    # TensorFlow must not differentiate the compiled functions: they would then return lists of
    # tensors, which XLA does not support. So `tf.stop_gradient` stands at all inputs and outputs.

    def _forward_in_shards(self, inputs, masks, return_sequences):
        """The final states and `[outputs]` or `[]`, a flat list; and the residuals by shard."""
        sequences, states, matrices, other_weights = _stop_gradients(inputs)
        forward, _ = self._compiled(sequences.shape[1])
        by_shard = [
            forward(*shard, matrices, other_weights, return_sequences)
            for shard in _split([sequences, states, masks], _shards())
        ]
        last, outputs, residuals = zip(*_stop_gradients(by_shard), strict=True)
        return [*_join(last), *_join(outputs)], residuals

    def _backward_in_shards(self, inputs, masks, d_results, residuals):
        """The gradients of the inputs, in their structure."""
        sequences, states, matrices, other_weights = _stop_gradients(inputs)
        _, backward = self._compiled(sequences.shape[1])
        d_last, d_outputs = d_results[: len(states)], d_results[len(states) :]
        shards = _split(_stop_gradients([d_last, d_outputs, masks]), len(residuals))
        by_shard = [
            backward(*shard, residuals_of_shard, matrices, other_weights)
            for shard, residuals_of_shard in zip(shards, residuals, strict=True)
        ]
        d_states, d_matrices, d_others, d_preactivations = zip(
            *_stop_gradients(by_shard), strict=True
        )
        # This product is not compiled with the rest, so that it is skipped if nothing needs it.
        d_sequences = sum(
            tf.einsum("tnz,fz->ntf", d, matrix[: sequences.shape[-1]])
            for d, matrix in zip(_join(d_preactivations, axis=1), matrices, strict=True)
        )
        return d_sequences, _join(d_states), _add(d_matrices), _add(d_others)

    def _compile(self, steps):
        """The compiled forward and backward loop of a shard, for sequences of `steps` steps."""
        del steps  # Only the cache needs it.
        options = {"jit_compile": True, "autograph": False, "reduce_retracing": True}
        return tf.function(self._forward, **options), tf.function(self._backward, **options)

    def _forward(self, x, states, masks, matrices, other_weights, return_sequences):
        """The forward loop of a shard: final states, `[outputs]` or `[]`, and residuals."""
        x = tf.transpose(x, (1, 0, 2))  # (steps, batch, features)
        x = tf.concat([x, tf.ones_like(x[..., :1])], axis=-1)
        steps = x.shape[0]

        def body(t, states, before, operands, products, outputs):
            operands_t, products_t = [], []

            def preactivations(h, n=0):
                h = h * masks[0] if masks else h
                operands_t.append(tf.concat([x[t], h], axis=-1))
                products_t.append(tf.matmul(operands_t[n], matrices[n]))
                return tf.split(products_t[n], self.gate_sizes[n], axis=-1)

            after = self.step(preactivations, states, **other_weights)
            return (
                t + 1,
                after,
                _write(before, t, states[len(states) - len(before) :]),
                _write(operands, t, operands_t),
                _write(products, t, products_t),
                _write(outputs, t, after[: len(outputs)]),
            )

        start = (
            0,
            states,
            # Without a mask the first operands contain the hidden state.
            [_history(steps, s.shape[-1], x.dtype) for s in (states if masks else states[1:])],
            [_history(steps, matrix.shape[0], x.dtype) for matrix in matrices],
            [_history(steps, matrix.shape[1], x.dtype) for matrix in matrices],
            [_history(steps, states[0].shape[-1], x.dtype)] if return_sequences else [],
        )
        _, last, before, operands, products, outputs = tf.while_loop(
            lambda t, *_: t < steps, body, start, maximum_iterations=steps
        )
        outputs = [tf.transpose(h, (1, 0, 2)) for h in _stack(outputs)]  # (batch, steps, units)
        return last, outputs, (_stack(before), _stack(operands), _stack(products))

    def _backward(self, d_last, d_outputs, masks, residuals, matrices, other_weights):
        """The backward loop of a shard.

        Returns:
            The gradients of the initial states, the matrices, the other weights and the
            preactivations `(steps, batch, size)`.
        """
        before, operands, products = residuals
        steps, units = products[0].shape[0], d_last[0].shape[-1]
        if not masks:
            before = [operands[0][..., -units:], *before]
        d_outputs = [tf.transpose(d, (1, 0, 2)) for d in d_outputs]
        recurrent_kernels = [tf.transpose(matrix[-units:]) for matrix in matrices]

        def body(count, d_states, d_others, d_preactivations):
            t = steps - 1 - count
            d_states = [d_states[0] + sum(d[t] for d in d_outputs), *d_states[1:]]
            sources = [s[t] for s in before], [p[t] for p in products], other_weights
            with tf.GradientTape() as tape:
                tape.watch(sources)
                states, products_t, _ = sources

                def preactivations(h, n=0):
                    packed = _recall(h, products_t[n], recurrent_kernels[n], masks)
                    return tf.split(packed, self.gate_sizes[n], axis=-1)

                after = self.step(preactivations, states, **other_weights)
            d_before, d_products_t, d_others_t = tape.gradient(
                after, sources, d_states, unconnected_gradients="zero"
            )
            return (
                count + 1,
                [tf.ensure_shape(d, s.shape) for d, s in zip(d_before, d_last, strict=True)],
                {name: d + d_others_t[name] for name, d in d_others.items()},
                _write(d_preactivations, t, d_products_t),
            )

        start = (
            0,
            d_last,
            {name: tf.zeros_like(weight) for name, weight in other_weights.items()},
            [_history(steps, p.shape[-1], p.dtype) for p in products],
        )
        _, d_states, d_others, d_preactivations = tf.while_loop(
            lambda count, *_: count < steps, body, start, maximum_iterations=steps
        )
        d_preactivations = _stack(d_preactivations)
        d_matrices = [
            tf.einsum("tnf,tnz->fz", operand, d)
            for operand, d in zip(operands, d_preactivations, strict=True)
        ]
        return d_states, d_matrices, d_others, d_preactivations

    def _second_gradients(self, sources, dd_inputs, return_sequences):
        """The gradients of `_gradients`, which TensorFlow derives from the forward loop."""
        (sequences, states, *weights), masks, d_results = sources
        last, outputs, _ = self._forward(sequences, states, masks, *weights, return_sequences)
        flat, zero = tf.nest.flatten, {"unconnected_gradients": "zero"}
        d_inputs = tf.gradients([*last, *outputs], flat(sources[0]), d_results, **zero)
        return tf.gradients(d_inputs, flat(sources), dd_inputs, **zero)

    def for_serving(self, sequences, states, weights, mask=None, return_sequences=False):
        """As `__call__`, for a graph that serves batches of any size.

        The weights become constants, and each gate has its own product, so that no step splits a
        tensor. Up to 32 steps are unrolled.
        """
        # A matrix product is fastest with constants that are made outside of the graph.
        with tf.init_scope():
            gate_weights, other_weights = tf.nest.map_structure(tf.convert_to_tensor, weights())
            gates = [
                _split_gates(*packed, sizes)
                for packed, sizes in zip(gate_weights, self.gate_sizes, strict=True)
            ]
        length = sequences.shape[1]
        chunk = next(n for n in range(min(length, _MAX_UNROLLED), 0, -1) if length % n == 0)

        def advance(number, states, outputs):
            xs, hs = sequences[:, number * chunk : (number + 1) * chunk], []
            for x in tf.unstack(xs, chunk, axis=1):

                def preactivations(h, n=0, x=x):
                    h = h if mask is None else h * mask
                    operand = tf.concat([x, h], axis=-1)
                    return [tf.nn.bias_add(tf.matmul(operand, W), b) for W, b in gates[n]]

                states = self.step(preactivations, states, **other_weights)
                hs.append(states[0])
            return number + 1, states, [tf.concat([h, tf.stack(hs, 1)], 1) for h in outputs]

        # The outputs are a growing tensor: LiteRT supports a TensorArray for one batch size only.
        # It starts with h(0), removed at the end: LiteRT is wrong if the tensor starts empty.
        outputs = [states[0][:, None]] if return_sequences else []
        loop = (0, list(states), outputs)
        if chunk == length:
            _, states, outputs = advance(*loop)
        else:
            chunks = length // chunk
            grown = [tf.TensorShape([h.shape[0], None, h.shape[-1]]) for h in outputs]
            shapes = (tf.TensorShape([]), [state.shape for state in states], grown)
            _, states, outputs = tf.while_loop(
                lambda number, *_: number < chunks, advance, loop, shape_invariants=shapes
            )
        for h in outputs:
            h.set_shape((None, length + 1, None))
        return states, outputs[0][:, 1:] if return_sequences else None


def _recall(h, product, recurrent_kernel, masks):
    """A product of the forward loop, `(batch, size)`, differentiable with respect to h and itself.

    Args:
        h: The hidden state that it was computed from, `(batch, units)`.
        product: The product.
        recurrent_kernel: The transposed recurrent kernel, `(size, units)`.
        masks: A list of the dropout mask of h, or an empty list.
    """

    @tf.custom_gradient
    def recall(h, product):
        def gradient(d):
            d_h = tf.matmul(d, recurrent_kernel)
            return (d_h * masks[0] if masks else d_h), d

        return tf.identity(product), gradient

    return recall(h, product)


def _split_gates(W, U, b, sizes):
    """The weights of each gate: `(features + units, size)` and `(size,)`."""
    by_gate = zip(*(tf.split(packed, sizes, axis=-1) for packed in (W, U, b)), strict=True)
    return [(tf.concat([W, U], axis=0), b) for W, U, b in by_gate]


def _history(steps, width, dtype):
    """An array for one tensor `(batch, width)` of each timestep."""
    return tf.TensorArray(dtype, steps, element_shape=(None, width))


def _write(histories, t, values):
    return [history.write(t, value) for history, value in zip(histories, values, strict=True)]


def _stack(histories):
    return [history.stack() for history in histories]


def _shards():
    """The number of shards of a batch: the number of processors that TensorFlow may use."""
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    threads = threads or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0)
    if not threads and hasattr(os, "sched_getaffinity"):
        threads = len(os.sched_getaffinity(0))
    threads = threads or os.cpu_count()
    return min(threads, _MAX_SHARDS)


def _stop_gradients(structure):
    return tf.nest.map_structure(tf.stop_gradient, structure)


def _split(structure, shards):
    """Split a structure of tensors `(batch, ...)` into `shards` structures."""

    def part(tensor, number):
        batch = tf.shape(tensor)[0]
        return tensor[batch * number // shards : batch * (number + 1) // shards]

    return [
        tf.nest.map_structure(lambda tensor, n=n: part(tensor, n), structure) for n in range(shards)
    ]


def _join(by_shard, axis=0):
    """Concatenate the shards of a list of tensors."""
    return [tf.concat(tensors, axis) for tensors in zip(*by_shard, strict=True)]


def _add(by_shard):
    """Add up the shards of a structure of tensors."""
    return tf.nest.map_structure(lambda *tensors: tf.add_n(tensors), *by_shard)
