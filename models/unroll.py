"""Along a sequence with a cell, forward and back: the same numbers, in less time.

Three things make it faster than one step after another by `keras.layers.RNN`. A timestep's products
are one: `[x(t), 1, h(t-1)]` times the rows of W, b and U. The gradient is our own: going back, a
step's equations are differentiated from its preactivations, which were kept, and the gradients of
all weights follow at the end, one product for all timesteps, not one for each. And the batch is cut
into a shard for each processor: nothing but the weights connects them, so that no processor ever
waits for another. XLA compiles both ways of a shard.

TensorFlow alone: the one file of the cells that is not written with `keras.ops`.
"""

import functools
import os

import tensorflow as tf

# Not public, yet the one way to see a forward-mode derivative, and a branch of a condition.
from tensorflow.python.eager.forwardprop_util import pack_tangents
from tensorflow.python.ops.control_flow_v2_func_graphs import CondBranchFuncGraph

# With more, a shard of a common batch of 128 would hold fewer than 16 sequences.
_MAX_SHARDS = 8


def obeys_the_rules(cell):
    """Whether a cell's `step` can be unrolled: see `models.cell.Cell.step`.

    It must ask once for each sum, in their order, and use nothing but its arguments: the gradient
    by other weights would be lost, and random numbers would be drawn anew on the way back.
    """
    sizes = cell.state_size if isinstance(cell.state_size, list | tuple) else [cell.state_size]
    gate_sizes, dtype, asked = cell.gate_sizes(), cell.compute_dtype, []

    def preactivations(h, n=0):
        asked.append(n)
        return [tf.zeros((1, size), dtype) for size in gate_sizes[n]]

    @tf.function(autograph=False)
    def step():
        states = [tf.zeros((1, size), dtype) for size in sizes]
        other_weights = {
            name: tf.zeros(weight.shape, dtype) for name, weight in cell.other_weights().items()
        }
        return cell.step(preactivations, states, **other_weights)

    graph = step.get_concrete_function().graph
    is_pure = not graph.captures and not any(
        operation.op_def.is_stateful for operation in graph.get_operations()
    )
    return is_pure and asked == list(range(len(gate_sizes)))


def is_in_a_branch():
    """Whether the graph that is traced now is a branch of a `tf.cond` or a `tf.switch_case`.

    Their gradients do not find the residuals of a custom gradient. A function that is called in a
    branch has a graph of its own, and its gradient finds it: Keras trains in such functions.
    """
    return isinstance(tf.compat.v1.get_default_graph(), CondBranchFuncGraph)


def has_tangents(tensors):
    """Whether a `tf.autodiff.ForwardAccumulator` follows one of these."""
    return bool(pack_tangents([tf.convert_to_tensor(tensor) for tensor in tensors]).tangents)


class Unroll:
    """A cell's way along sequences, with a gradient of its own.

    Args:
        step: A cell's equations; see `models.cell.Cell.step`.
        gate_sizes: What `models.cell.Cell.gate_sizes` returns.
    """

    def __init__(self, step, gate_sizes):
        self.step = step
        self.gate_sizes = gate_sizes
        # One pair for each length: a function for all of them would not know the number of steps.
        self._compiled = functools.cache(self._compile)

    def __call__(self, sequences, states, weights, mask=None, return_sequences=False):
        """Unroll over a batch.

        Args:
            sequences: `(batch, steps, features)`; all but the batch must be known.
            states: The first states, a list of `(batch, size)`, first the hidden state.
            weights: A function that returns the cell's `gate_weights()` and `other_weights()`.
            mask: The hidden state is multiplied by it on its way to the weights,
                `(batch, units)`, or `None`.
            return_sequences: Whether the hidden state of every step is asked for.

        Returns:
            The last states, a list as `states`, and the hidden states `(batch, steps, units)`, or
            `None` if they are not asked for.
        """
        gate_weights, other_weights = tf.nest.map_structure(tf.convert_to_tensor, weights())
        matrices = [tf.concat([W, b[None], U], axis=0) for W, U, b in gate_weights]
        masks = [] if mask is None else [mask]
        shards = _shards()
        forward, backward = self._compiled(sequences.shape[1])

        # TensorFlow must not differentiate the compiled functions: it would have them return lists
        # of tensors, which XLA cannot. So nothing goes in or out but through `tf.stop_gradient`.
        @tf.custom_gradient
        def unroll(*inputs):
            sequences, states, matrices, other_weights = _stopped(inputs)
            results = [
                forward(*cut, masks_cut, matrices, other_weights, return_sequences)
                for *cut, masks_cut in _cut([sequences, states, masks], shards)
            ]
            last, outputs, residuals = zip(*_stopped(results), strict=True)

            @tf.custom_gradient
            def back(inputs, masks, d_results):
                d_last, d_outputs = d_results[: len(states)], d_results[len(states) :]
                cuts = _cut(_stopped([d_last, d_outputs, masks]), shards)
                gradients = [
                    backward(*cut, k, matrices, other_weights)
                    for cut, k in zip(cuts, residuals, strict=True)
                ]
                d_states, d_matrices, d_others, d_preactivations = zip(
                    *_stopped(gradients), strict=True
                )
                # Not compiled with the rest, so that it costs nothing where nobody asks for it.
                d_sequences = sum(
                    tf.einsum("tnz,fz->ntf", d, matrix[: sequences.shape[-1]])
                    for d, matrix in zip(_join(d_preactivations, axis=1), matrices, strict=True)
                )
                d_inputs = d_sequences, _join(d_states), _add(d_matrices), _add(d_others)

                def gradient(*dd_inputs):
                    # A function, which TensorFlow differentiates as a whole. Without it, a tape
                    # does not see all that connects the loops: a third derivative would be wrong.
                    return tf.function(self._backward_of_backward, autograph=False)(
                        [inputs, masks, d_results], [*dd_inputs], return_sequences
                    )

                return tf.nest.flatten(d_inputs), gradient

            def gradient(*d_results):
                # Captured by the graph of this gradient, where the next one can see them.
                captured = tf.nest.map_structure(tf.identity, (inputs, masks))
                return back(*captured, list(d_results))

            return [*_join(last), *_join(outputs)], gradient

        states = [tf.convert_to_tensor(state) for state in states]
        results = unroll(sequences, states, matrices, other_weights)
        for result in results:
            result.set_shape((sequences.shape[0], *result.shape[1:]))
        return results[: len(states)], results[-1] if return_sequences else None

    def for_serving(self, sequences, states, weights, mask=None, return_sequences=False):
        """As `__call__`, for a graph that answers batches of any size at once.

        The weights become constants and each term a product of its own, which spares the steps all
        cutting up; up to 32 steps are laid out one after another.
        """
        # Constants made outside of the graph and captured are a matrix product's fastest weights.
        with tf.init_scope():
            gate_weights, other_weights = tf.nest.map_structure(tf.convert_to_tensor, weights())
            terms = [
                [
                    (tf.concat([W, U], axis=0), b)
                    for W, U, b in zip(
                        *(tf.split(packed, sizes, axis=-1) for packed in packed_weights),
                        strict=True,
                    )
                ]
                for packed_weights, sizes in zip(gate_weights, self.gate_sizes, strict=True)
            ]
        length = sequences.shape[1]
        chunk = next(size for size in range(min(length, 32), 0, -1) if length % size == 0)

        def advance(number, states, outputs):
            xs, hs = sequences[:, number * chunk : (number + 1) * chunk], []
            for x in tf.unstack(xs, chunk, axis=1):

                def preactivations(h, n=0, x=x):
                    h = h if mask is None else h * mask
                    seen = tf.concat([x, h], axis=-1)
                    return [tf.nn.bias_add(tf.matmul(seen, W), b) for W, b in terms[n]]

                states = self.step(preactivations, states, **other_weights)
                hs.append(states[0])
            return number + 1, states, [tf.concat([h, tf.stack(hs, 1)], 1) for h in outputs]

        # No TensorArray, which LiteRT has for batches of one size alone, but a tensor that grows.
        # It starts with h(0), cut off in the end: where one starts empty, LiteRT answers wrongly.
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

    def _compile(self, steps):
        """The two compiled functions of a shard, forward and back, for sequences of one length."""
        del steps  # Tells one pair from the other.
        options = {"jit_compile": True, "autograph": False, "reduce_retracing": True}
        return tf.function(self._forward, **options), tf.function(self._backward, **options)

    def _forward(self, x, states, masks, matrices, other_weights, return_sequences):
        """One shard: the last states, `[outputs]` or `[]`, and what the way back needs."""
        x = tf.transpose(x, (1, 0, 2))
        x = tf.concat([x, tf.ones_like(x[..., :1])], axis=-1)
        steps = x.shape[0]

        def forward(t, states, before, operands, products, outputs):
            seen, got = [], []

            def preactivations(h, n=0):
                h = h * masks[0] if masks else h
                seen.append(tf.concat([x[t], h], axis=-1))
                got.append(tf.matmul(seen[n], matrices[n]))
                return tf.split(got[n], self.gate_sizes[n], axis=-1)

            after = self.step(preactivations, states, **other_weights)
            return (
                t + 1,
                after,
                _write(before, t, states[len(states) - len(before) :]),
                _write(operands, t, seen),
                _write(products, t, got),
                _write(outputs, t, after[: len(outputs)]),
            )

        start = (
            0,
            states,
            # Unmasked, the hidden state is to be had from the first operands.
            [_history(steps, s.shape[-1], x.dtype) for s in (states if masks else states[1:])],
            [_history(steps, matrix.shape[0], x.dtype) for matrix in matrices],
            [_history(steps, matrix.shape[1], x.dtype) for matrix in matrices],
            [_history(steps, states[0].shape[-1], x.dtype)] if return_sequences else [],
        )
        _, last, before, operands, products, outputs = tf.while_loop(
            lambda t, *_: t < steps, forward, start, maximum_iterations=steps
        )
        outputs = [tf.transpose(h, (1, 0, 2)) for h in _stack(outputs)]
        return last, outputs, (_stack(before), _stack(operands), _stack(products))

    def _backward(self, d_last, d_outputs, masks, residuals, matrices, other_weights):
        """One shard: gradients of the first states, matrices, other weights and preactivations."""
        before, operands, products = residuals
        steps, units = products[0].shape[0], d_last[0].shape[-1]
        if not masks:
            before = [operands[0][..., -units:], *before]
        d_outputs = [tf.transpose(d, (1, 0, 2)) for d in d_outputs]
        recurrent_kernels = [tf.transpose(matrix[-units:]) for matrix in matrices]

        def backward(step, d_states, d_others, d_preactivations):
            t = steps - 1 - step
            d_states = [d_states[0] + sum(d[t] for d in d_outputs), *d_states[1:]]
            sources = [s[t] for s in before], [p[t] for p in products], other_weights
            with tf.GradientTape() as tape:
                tape.watch(sources)
                states, products_t, _ = sources

                def preactivations(h, n=0):
                    @tf.custom_gradient
                    def recall(h, saved):
                        def gradient(d):
                            d_h = tf.matmul(d, recurrent_kernels[n])
                            return (d_h * masks[0] if masks else d_h), d

                        return tf.identity(saved), gradient

                    return tf.split(recall(h, products_t[n]), self.gate_sizes[n], axis=-1)

                after = self.step(preactivations, states, **other_weights)
            d_before, d_products, d_others_now = tape.gradient(
                after, sources, d_states, unconnected_gradients="zero"
            )
            return (
                step + 1,
                [tf.ensure_shape(d, s.shape) for d, s in zip(d_before, d_last, strict=True)],
                {name: d + d_others_now[name] for name, d in d_others.items()},
                _write(d_preactivations, t, d_products),
            )

        _, d_states, d_others, d_preactivations = tf.while_loop(
            lambda step, *_: step < steps,
            backward,
            (
                0,
                d_last,
                {name: tf.zeros_like(weight) for name, weight in other_weights.items()},
                [_history(steps, p.shape[-1], p.dtype) for p in products],
            ),
            maximum_iterations=steps,
        )
        d_preactivations = _stack(d_preactivations)
        d_matrices = [
            tf.einsum("tnf,tnz->fz", operand, d)
            for operand, d in zip(operands, d_preactivations, strict=True)
        ]
        return d_states, d_matrices, d_others, d_preactivations

    def _backward_of_backward(self, sources, dd_inputs, return_sequences):
        """The gradients of the way back by its inputs, which TensorFlow derives from the steps."""
        (sequences, states, *weights), masks, d_results = sources
        last, outputs, _ = self._forward(sequences, states, masks, *weights, return_sequences)
        flat, zero = tf.nest.flatten, {"unconnected_gradients": "zero"}
        d_inputs = tf.gradients([*last, *outputs], flat(sources[0]), d_results, **zero)
        return tf.gradients(d_inputs, flat(sources), dd_inputs, **zero)


def _history(steps, width, dtype):
    """Room for a tensor `(batch, width)` of each timestep."""
    return tf.TensorArray(dtype, steps, element_shape=(None, width))


def _write(histories, t, values):
    return [history.write(t, value) for history, value in zip(histories, values, strict=True)]


def _stack(histories):
    return [history.stack() for history in histories]


def _shards():
    """How many shards a batch is cut into: the processors TensorFlow may use."""
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    threads = threads or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0)
    if not threads and hasattr(os, "sched_getaffinity"):
        threads = len(os.sched_getaffinity(0))
    threads = threads or os.cpu_count()
    return min(threads, _MAX_SHARDS)


def _stopped(structure):
    """A structure of tensors that no gradient flows back to."""
    return tf.nest.map_structure(tf.stop_gradient, structure)


def _cut(structure, shards):
    """The shards of a structure of tensors `(batch, ...)`."""

    def part(tensor, number):
        batch = tf.shape(tensor)[0]
        return tensor[batch * number // shards : batch * (number + 1) // shards]

    return [
        tf.nest.map_structure(lambda tensor, n=n: part(tensor, n), structure) for n in range(shards)
    ]


def _join(parts, axis=0):
    """The inverse of `_cut`, of lists of tensors."""
    return [tf.concat(tensors, axis) for tensors in zip(*parts, strict=True)]


def _add(parts):
    """Add up structures of tensors."""
    return tf.nest.map_structure(lambda *tensors: tf.add_n(tensors), *parts)
