"""KServe's Python server over a SavedModel, at its fastest; `benchmarks.serving` compares with it.

    PYTHON_WITH_KSERVE benchmarks/kserve_server.py --path=saved_models/lstm/1 --model_name=lstm \\
        --http_port=8080 --workers=2

It needs kserve, which asks for older packages than this project does, and TensorFlow, and knows
nothing of the project. A worker is a process that answers one request at a time; neither latencies
nor requests are logged.
"""

import functools
import logging

import kserve
import numpy as np


class SavedModel(kserve.Model):
    """Answers with the signature `serving_default` of a SavedModel.

    Args:
        name: What the model is called.
        path: Its folder.
    """

    def __init__(self, name, path):
        super().__init__(name)
        self.path = path
        self.ready = True

    def predict(self, payload, headers=None):
        """The outputs for `instances`, a row for each."""
        answer = _answer(self.path)
        outputs = answer(np.array(payload["instances"], np.float32))
        names = list(outputs)
        rows = zip(*(tensor.numpy().tolist() for tensor in outputs.values()), strict=True)
        return {"predictions": [dict(zip(names, row, strict=True)) for row in rows]}


@functools.cache
def _answer(path):
    """The signature, loaded in the worker that is asked.

    A worker that does not speak within five seconds of its start is ended by kserve: TensorFlow
    is not imported before.
    """
    import tensorflow as tf

    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    loaded = tf.saved_model.load(path)  # To be kept for as long as its functions are called.
    return lambda rows, loaded=loaded: loaded.signatures["serving_default"](
        rows=tf.convert_to_tensor(rows)
    )


if __name__ == "__main__":
    kserve.model_server.parser.add_argument("--path", required=True)
    args = kserve.model_server.parser.parse_args()
    server = kserve.ModelServer(
        http_port=args.http_port,
        workers=args.workers,
        enable_grpc=False,
        enable_latency_logging=False,
    )
    server.start([SavedModel(args.model_name, args.path)])
