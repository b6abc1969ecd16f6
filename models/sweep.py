"""Along a sequence with a cell, forward and back: the same numbers, in less time.

Three things make it faster than one step after another by `keras.layers.RNN`. A timestep's products
are one: `[x(t), 1, h(t-1)]` times the rows of W, b and U. The gradient is our own: going back, a
step's equations are differentiated from its sums, which were kept, and the gradients of all weights
follow at the end, one product for all timesteps, not one for each. And the batch is cut into a
shard for each processor: nothing but the weights connects them, so that no processor ever waits
for another. XLA compiles both ways of a shard.

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
    """Whether a cell's `step` can be swept: see `models.cell.Cell.step`.

    It must ask once for each sum, in their order, and use nothing but its arguments: the gradient
    by other weights would be lost, and random numbers would be drawn anew on the way back.
    """
    sizes = cell.state_size if isinstance(cell.state_size, list | tuple) else [cell.state_size]
    widths, dtype, asked = cell.widths(), cell.compute_dtype, []

    def sums(h, n=0):
        asked.append(n)
        return [tf.zeros((1, width), dtype) for width in widths[n]]

    @tf.function(autograph=False)
    def step():
        states = [tf.zeros((1, size), dtype) for size in sizes]
        extras = {name: tf.zeros(weight.shape, dtype) for name, weight in cell.extras().items()}
        return cell.step(sums, states, **extras)

    graph = step.get_concrete_function().graph
    is_pure = not graph.captures and not any(
        operation.op_def.is_stateful for operation in graph.get_operations()
    )
    return is_pure and asked == list(range(len(widths)))


def is_in_a_branch():
    """Whether the graph that is traced now is a branch of a `tf.cond` or a `tf.switch_case`.

    Their gradients do not find what a custom gradient has kept. A function that is called in a
    branch has a graph of its own, and its gradient finds it: Keras trains in such functions.
    """
    return isinstance(tf.compat.v1.get_default_graph(), CondBranchFuncGraph)


def has_tangents(tensors):
    """Whether a `tf.autodiff.ForwardAccumulator` follows one of these."""
    return bool(pack_tangents([tf.convert_to_tensor(tensor) for tensor in tensors]).tangents)


class Sweep:
    """A cell's way along sequences, with a gradient of its own.

    Args:
        step: A cell's equations; see `models.cell.Cell.step`.
        widths: The widths of the terms of each of its sums; see `models.cell.Cell.widths`.
    """

    def __init__(self, step, widths):
        self.step = step
        self.widths = widths
        # One pair for each length: a function for all of them would not know the number of steps.
        self._compiled = functools.cache(self._compile)

    def __call__(self, sequences, states, weights, mask=None, return_sequences=False):
        """Sweep a batch.

        Args:
            sequences: `(batch, steps, features)`; all but the batch must be known.
            states: The first states, a list of `(batch, size)`, first the hidden state.
            weights: A function that returns the cell's `parts()` and `extras()`.
            mask: The hidden state is multiplied by it on its way to the weights,
                `(batch, units)`, or `None`.
            return_sequences: Whether the hidden state of every step is asked for.

        Returns:
            The last states, a list as `states`, and the hidden states `(batch, steps, units)`, or
            `None` if they are not asked for.
        """
        parts, extras = tf.nest.map_structure(tf.convert_to_tensor, weights())
        matrices = [tf.concat([W, b[None], U], axis=0) for W, U, b in parts]
        masks = [] if mask is None else [mask]
        shards = _shards()
        forward, backward = self._compiled(sequences.shape[1])

        # TensorFlow must not differentiate the compiled functions: it would have them return lists
        # of tensors, which XLA cannot. So nothing goes in or out but through `tf.stop_gradient`.
        @tf.custom_gradient
        def sweep(*inputs):
            sequences, states, matrices, extras = _stopped(inputs)
            swept = [
                forward(*cut, masks_cut, matrices, extras, return_sequences)
                for *cut, masks_cut in _cut([sequences, states, masks], shards)
            ]
            last, outputs, kept = zip(*_stopped(swept), strict=True)

            @tf.custom_gradient
            def back(inputs, masks, d_results):
                d_last, d_outputs = d_results[: len(states)], d_results[len(states) :]
                cuts = _cut(_stopped([d_last, d_outputs, masks]), shards)
                swept_back = [
                    backward(*cut, k, matrices, extras) for cut, k in zip(cuts, kept, strict=True)
                ]
                d_states, d_matrices, d_extras, d_sums = zip(*_stopped(swept_back), strict=True)
                # Not compiled with the rest, so that it costs nothing where nobody asks for it.
                d_sequences = sum(
                    tf.einsum("tnz,fz->ntf", d, matrix[: sequences.shape[-1]])
                    for d, matrix in zip(_join(d_sums, axis=1), matrices, strict=True)
                )
                d_inputs = d_sequences, _join(d_states), _add(d_matrices), _add(d_extras)

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
        results = sweep(sequences, states, matrices, extras)
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
            parts, extras = tf.nest.map_structure(tf.convert_to_tensor, weights())
            terms = [
                [
                    (tf.concat([W, U], axis=0), b)
                    for W, U, b in zip(
                        *(tf.split(packed, widths, axis=-1) for packed in part), strict=True
                    )
                ]
                for part, widths in zip(parts, self.widths, strict=True)
            ]
        length = sequences.shape[1]
        chunk = next(size for size in range(min(length, 32), 0, -1) if length % size == 0)

        def advance(number, states, outputs):
            xs, hs = sequences[:, number * chunk : (number + 1) * chunk], []
            for x in tf.unstack(xs, chunk, axis=1):

                def sums(h, n=0, x=x):
                    h = h if mask is None else h * mask
                    seen = tf.concat([x, h], axis=-1)
                    return [tf.nn.bias_add(tf.matmul(seen, W), b) for W, b in terms[n]]

                states = self.step(sums, states, **extras)
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

    def _forward(self, x, states, masks, matrices, extras, return_sequences):
        """One shard: the last states, `[outputs]` or `[]`, and what the way back needs."""
        x = tf.transpose(x, (1, 0, 2))
        x = tf.concat([x, tf.ones_like(x[..., :1])], axis=-1)
        steps = x.shape[0]

        def forward(t, states, before, operands, products, outputs):
            seen, got = [], []

            def sums(h, n=0):
                h = h * masks[0] if masks else h
                seen.append(tf.concat([x[t], h], axis=-1))
                got.append(tf.matmul(seen[n], matrices[n]))
                return tf.split(got[n], self.widths[n], axis=-1)

            after = self.step(sums, states, **extras)
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

    def _backward(self, d_last, d_outputs, masks, kept, matrices, extras):
        """One shard: the gradients of first states, matrices, extras and sums."""
        before, operands, products = kept
        steps, units = products[0].shape[0], d_last[0].shape[-1]
        if not masks:
            before = [operands[0][..., -units:], *before]
        d_outputs = [tf.transpose(d, (1, 0, 2)) for d in d_outputs]
        recurrent_kernels = [tf.transpose(matrix[-units:]) for matrix in matrices]

        def backward(step, d_states, d_extras, d_sums):
            t = steps - 1 - step
            d_states = [d_states[0] + sum(d[t] for d in d_outputs), *d_states[1:]]
            sources = [s[t] for s in before], [p[t] for p in products], extras
            with tf.GradientTape() as tape:
                tape.watch(sources)
                states, kept_sums, _ = sources

                def sums(h, n=0):
                    @tf.custom_gradient
                    def recall(h, kept_sum):
                        def gradient(d):
                            d_h = tf.matmul(d, recurrent_kernels[n])
                            return (d_h * masks[0] if masks else d_h), d

                        return tf.identity(kept_sum), gradient

                    return tf.split(recall(h, kept_sums[n]), self.widths[n], axis=-1)

                after = self.step(sums, states, **extras)
            d_before, d_products, d_extras_now = tape.gradient(
                after, sources, d_states, unconnected_gradients="zero"
            )
            return (
                step + 1,
                [tf.ensure_shape(d, s.shape) for d, s in zip(d_before, d_last, strict=True)],
                {name: d + d_extras_now[name] for name, d in d_extras.items()},
                _write(d_sums, t, d_products),
            )

        _, d_states, d_extras, d_sums = tf.while_loop(
            lambda step, *_: step < steps,
            backward,
            (
                0,
                d_last,
                {name: tf.zeros_like(weight) for name, weight in extras.items()},
                [_history(steps, p.shape[-1], p.dtype) for p in products],
            ),
            maximum_iterations=steps,
        )
        d_sums = _stack(d_sums)
        d_matrices = [
            tf.einsum("tnf,tnz->fz", operand, d)
            for operand, d in zip(operands, d_sums, strict=True)
        ]
        return d_states, d_matrices, d_extras, d_sums

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
