"""One version of a model: its SavedModel, its warm-up, and its batches."""

import asyncio
import contextlib
import dataclasses
import json

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus

from serving.batching import Batcher
from serving.errors import RequestError
from serving.signature import Signature
from serving.tensors import from_proto

State = ModelVersionStatus.State  # TensorFlow Serving's states of a version.
DEFAULT_SIGNATURE = "serving_default"
# A large request runs in parts of 8 batches. In parts of one batch it would take 1.5 times as long.
_PART_BATCHES = 8


@dataclasses.dataclass(frozen=True)
class Limits:
    """Maximum numbers of rows.

    Attributes:
        batch_rows: Rows in a batch of several requests.
        request_rows: Rows in one request.
        waiting_rows: Rows that wait, for each signature.
    """

    batch_rows: int = 64
    request_rows: int = 2048
    waiting_rows: int = 4096


class Version:
    """One version of a model.

    Attributes:
        model: The model's name.
        number: The version's number.
        path: The folder.
        state: TensorFlow Serving's state, such as `State.AVAILABLE`.
        error: Why the version could not be loaded, or an empty text.
        card: The content of `model_card.json`; `{}` if there is none.
        definitions: The `SignatureDef`s by name.
        signatures: The `Signature`s by name.
    """

    def __init__(self, model, number, path):
        self.model = model
        self.number = number
        self.path = path
        self.state = State.START
        self.error = ""
        self.card = {}
        self.definitions = {}
        self.signatures = {}
        self._batchers = {}
        self._in_use = 0
        self._unused = asyncio.Event()
        self._unused.set()

    def load(self, limits, executor, on_batch):
        """Load the SavedModel, and answer its warm-up requests once; blocks.

        Raises:
            Exception: If the SavedModel is damaged. TensorFlow raises many types.
        """
        saved = saved_model_pb2.SavedModel()
        saved.ParseFromString((self.path / "saved_model.pb").read_bytes())
        self.definitions = dict(saved.meta_graphs[0].signature_def)
        card = self.path / "model_card.json"
        self.card = json.loads(card.read_text()) if card.is_file() else {}
        bounds = {
            name: (known["minimum"], known["maximum"])
            for name, known in self.card.get("inputs", {}).items()
        }
        # The functions of a loaded object work only as long as the object exists.
        self._loaded = tf.saved_model.load(self.path)
        for name, function in self._loaded.signatures.items():
            signature = Signature(name, function, self.definitions[name], bounds)
            self.signatures[name] = signature
            max_rows = limits.batch_rows if signature.is_by_row else None
            # A text may need much memory, such as an encoded image of 16 megapixels.
            has_texts = any(spec.dtype == object for spec in signature.inputs.values())
            part_rows = limits.batch_rows if has_texts else _PART_BATCHES * limits.batch_rows
            self._batchers[name] = Batcher(
                signature, executor, max_rows, part_rows, limits.waiting_rows, on_batch
            )
        for name, arrays in _warm_up_requests(self.path):
            signature = self.signature(name)
            signature(signature.check(arrays, limits.request_rows))

    def signature(self, name=""):
        """A signature by name, by default `serving_default`; `RequestError` if it is unknown."""
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            known = ", ".join(sorted(self.signatures))
            raise RequestError(
                f"received signature {name[:80]!r}; expected one that {self} has: {known}"
            )
        return self.signatures[name]

    async def run(self, signature, arrays):
        """Call a signature with checked arrays, in a batch with other requests."""
        return await self._batchers[signature.name](arrays)

    @property
    def reads_images(self):
        """Whether `serving_default` reads images of 28×28 pixels, which the page sends."""
        signature = self.signatures.get(DEFAULT_SIGNATURE)
        return signature is not None and signature.reads_images

    @property
    def reads_text(self):
        """Whether `serving_default` reads text, which the page sends."""
        signature = self.signatures.get(DEFAULT_SIGNATURE)
        return signature is not None and signature.reads_text

    def rows_waiting(self):
        """The number of rows that wait."""
        return sum(batcher.rows_waiting for batcher in self._batchers.values())

    @contextlib.contextmanager
    def used(self):
        """Prevent unloading while the block runs."""
        self._in_use += 1
        self._unused.clear()
        try:
            yield self
        finally:
            self._in_use -= 1
            if not self._in_use:
                self._unused.set()

    async def unload(self):
        """Free the SavedModel when the last request that uses it is answered."""
        self.state = State.UNLOADING
        await self._unused.wait()
        self._loaded = None
        self.signatures, self._batchers = {}, {}
        self.state = State.END

    @property
    def state_name(self):
        """The name of the state, such as `AVAILABLE`."""
        return State.Name(self.state)

    def __str__(self):
        return f"{self.model}/{self.number}"


def _warm_up_requests(path):
    """The `(signature, arrays)` of the warm-up requests that were exported with a version."""
    records = path / "assets.extra" / "tf_serving_warmup_requests"
    if records.is_file():
        for record in tf.data.TFRecordDataset(str(records)).as_numpy_iterator():
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            arrays = {name: from_proto(name, tensor) for name, tensor in request.inputs.items()}
            yield request.model_spec.signature_name, arrays
