"""KServe's Python server with a SavedModel, in its fastest setting, for `benchmarks.serving`.

    PYTHON_WITH_KSERVE benchmarks/kserve_server.py --path=saved_models/lstm/1 --model_name=lstm \\
        --http_port=8080 --workers=2

It needs kserve, which requires older packages than this project, and TensorFlow, and it does not
import this project. A worker is a process that answers one request at a time. Latencies and
requests are not logged.
"""

import functools
import logging

import kserve
import numpy as np


class SavedModel(kserve.Model):
    """Answers with the signature `serving_default` of a SavedModel.

    Args:
        name: Name of the model.
        path: Folder of the SavedModel.
    """

    def __init__(self, name, path):
        super().__init__(name)
        self.path = path
        self.ready = True

    def predict(self, payload, headers=None):
        """Compute the outputs for `instances`: a dict for each instance."""
        answer = _answer(self.path)
        outputs = answer(np.array(payload["instances"], np.float32))
        names = list(outputs)
        rows = zip(*(tensor.numpy().tolist() for tensor in outputs.values()), strict=True)
        return {"predictions": [dict(zip(names, row, strict=True)) for row in rows]}


@functools.cache
def _answer(path):
    """Load the signature at the first request of a worker.

    kserve kills a worker that does not respond within five seconds of its start, so TensorFlow
    cannot be imported at the start.
    """
    import tensorflow as tf

    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    loaded = tf.saved_model.load(path)  # Must live as long as its functions.
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
