"""The versions of models on disk, loaded as they come and unloaded as they go."""

import asyncio
import collections
import contextlib
import dataclasses
import gc
import json
import pathlib

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus

from serving.batching import Batcher
from serving.errors import NotFound, RequestError
from serving.layout import is_version, notes_on, subfolders
from serving.signature import Signature
from serving.tensors import from_proto

State = ModelVersionStatus.State  # TensorFlow Serving's words for what a version is doing.
DEFAULT_SIGNATURE = "serving_default"
_PART = 8  # Batches in a part of a large request, which takes half as long again batch by batch.


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much is taken at once.

    Attributes:
        batch_rows: Rows that are put together from several requests.
        request_rows: Rows of one request.
        waiting_rows: Rows that wait for their turn, of each signature.
    """

    batch_rows: int = 64
    request_rows: int = 2048
    waiting_rows: int = 4096


class Version:
    """One version of a model.

    Attributes:
        model: The model's name.
        number: The version's number.
        path: Its folder.
        state: TensorFlow Serving's word for what it is doing, such as `State.AVAILABLE`.
        error: Why it could not be loaded, or an empty text.
        card: What its `model_card.json` says, `{}` if there is none.
        definitions: Its `SignatureDef`s by name.
        signatures: Its `Signature`s by name.
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
        """Read it, and answer its warm-up requests once; blocks.

        Raises:
            Exception: Whatever a folder that is no sound SavedModel makes of TensorFlow.
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
        # The object it came from has to be kept as long as its functions are called.
        self._loaded = tf.saved_model.load(self.path)
        for name, function in self._loaded.signatures.items():
            signature = Signature(name, function, self.definitions[name], bounds)
            self.signatures[name] = signature
            max_rows = limits.batch_rows if signature.is_by_row else None
            # What a text stands for may be large, such as an image of 16 megapixels.
            has_texts = any(spec.dtype == object for spec in signature.inputs.values())
            part_rows = limits.batch_rows if has_texts else _PART * limits.batch_rows
            self._batchers[name] = Batcher(
                signature, executor, max_rows, part_rows, limits.waiting_rows, on_batch
            )
        for name, arrays in _warm_up_requests(self.path):
            signature = self.signature(name)
            signature(signature.check(arrays, limits.request_rows))

    def signature(self, name=""):
        """A signature by name, by default `serving_default`; `RequestError` if it has no such."""
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            known = ", ".join(sorted(self.signatures))
            raise RequestError(
                f"received signature {name[:80]!r}; expected one that {self} has: {known}"
            )
        return self.signatures[name]

    async def run(self, signature, arrays):
        """What a signature answers to checked arrays, in a batch with others."""
        return await self._batchers[signature.name](arrays)

    def rows_waiting(self):
        """How many rows wait for their turn."""
        return sum(batcher.rows_waiting for batcher in self._batchers.values())

    @contextlib.contextmanager
    def used(self):
        """Keep it from being unloaded while the block lasts."""
        self._in_use += 1
        self._unused.clear()
        try:
            yield self
        finally:
            self._in_use -= 1
            if not self._in_use:
                self._unused.set()

    async def unload(self):
        """Let go of it when no one uses it any more."""
        self.state = State.UNLOADING
        await self._unused.wait()
        self._loaded = None
        self.signatures, self._batchers = {}, {}
        self.state = State.END

    @property
    def state_name(self):
        """The state in words, such as `AVAILABLE`."""
        return State.Name(self.state)

    def __str__(self):
        return f"{self.model}/{self.number}"


class Repository:
    """Models by name, kept as the disk has them.

    Which models and versions are wanted is said as TensorFlow Serving has it said, by a
    `ModelServerConfig`; without one, the newest version of every model in a folder. An old version
    goes when all that are wanted instead have come, and stays if they cannot be loaded.

    Args:
        folder: Where the models are, `<model>/<version>/`, if there is no config.
        config: A `ModelServerConfig`, or `None`.
        limits: The `Limits` of each version.
        executor: Where models are called.
        on_batch: Called with the model's name and the rows of each batch.
    """

    def __init__(self, folder, config, limits, executor, on_batch=lambda model, rows: None):
        self.folder = pathlib.Path(folder)
        self.limits = limits
        self._config = config
        self._executor = executor
        self._on_batch = on_batch
        self._versions = collections.defaultdict(dict)  # By model and number.
        self._labels = collections.defaultdict(dict)
        self._gone = set()  # Tasks of versions that wait to be unloaded.
        self._has_looked = False
        self._was_complete = False  # Whether there was a time when every model was served.
        self._failed = {}  # By path, when what could not be loaded was written.
        self._told = {}  # By folder, what was said to be wrong with it.

    @property
    def is_ready(self):
        """Whether every model was served at some time since the start, and one is now.

        A model that comes later may fail without those that are served.
        """
        return self._was_complete and any(map(self._available, self._versions))

    def not_served(self):
        """By name of a model of which no version is served what its newest is doing."""
        newest = {model: self.versions(model)[:1] for model in self._versions}
        return {
            model: "".join(f"{v.state_name} {v.error}".strip() for v in versions) or "no version"
            for model, versions in newest.items()
            if not self._available(model)
        }

    def models(self):
        """By name of a model its versions, the newest first."""
        return {model: self.versions(model) for model in sorted(self._versions)}

    def labels(self, model):
        """By label of a model the number of the version it names."""
        return self._labels.get(model, {})

    def versions(self, model, number=None, label=None):
        """The versions of a model that are known, or one of them by number or label.

        Raises:
            NotFound: If there are none.
        """
        if model not in self._versions:
            known = ", ".join(sorted(self._versions))
            expected = (
                f"expected one of: {known}" if known else "no model is here yet: try again later"
            )
            raise NotFound(f"received model {model[:80]!r}; {expected}")
        if label is not None:
            if label not in self.labels(model):
                known = ", ".join(self.labels(model))
                expected = f"expected one of: {known}" if known else "expected no label"
                raise NotFound(f"received label {label[:80]!r} of {model}; {expected}")
            number = self.labels(model)[label]
        if number is None:
            return sorted(self._versions[model].values(), key=lambda version: -version.number)
        if number not in self._versions[model]:
            known = ", ".join(map(str, sorted(self._versions[model])))
            raise NotFound(f"received version {number} of {model}; expected one of: {known}")
        return [self._versions[model][number]]

    def find(self, model, number=None, label=None):
        """The version that answers for a model: the newest that is served, if none is named.

        Raises:
            NotFound: If there is none.
        """
        found = self.versions(model, number, label)
        served = [version for version in found if version.state == State.AVAILABLE]
        if not served:
            states = ", ".join(f"{v} is {v.state_name} {v.error}".strip() for v in found)
            raise NotFound(f"no version of {model} is served ({states}); try again later")
        return served[0]

    async def watch(self, seconds, on_first_look=lambda: None):
        """Look at the disk again and again, for ever.

        Args:
            seconds: Time between two looks.
            on_first_look: Called once every model that is there was tried.
        """
        await self.refresh()
        on_first_look()
        while True:
            await asyncio.sleep(seconds)
            await self.refresh()

    async def refresh(self):
        """Look at the disk: load what is wanted and not there, unload what is not wanted."""
        try:
            wanted = await asyncio.to_thread(self._wanted)
        except OSError as error:
            self._tell(self.folder, f"cannot be read, and is tried again: {error}")
            return
        self._told.pop(self.folder, None)
        for model, (paths, labels) in wanted.items():
            if paths is None:
                continue
            self._labels[model] = labels
            known = self._versions[model]
            for path in paths:
                number = int(path.name)
                if number not in known or await asyncio.to_thread(self._has_changed, path):
                    known[number] = Version(model, number, path)
                    await self._load(known[number])
            self._let_go(model, {int(path.name) for path in paths})
        for model in set(self._versions) - set(wanted):
            self._let_go(model, set())
            del self._versions[model]
        if not (self._has_looked or self._versions or self._told or self._config):
            print(f"{self.folder} holds no models yet; to train one: python main.py", flush=True)
        self._has_looked = True
        self._was_complete |= bool(self._versions) and all(map(self._available, self._versions))

    async def close(self):
        """Let go of everything that is not used any more."""
        await asyncio.gather(*self._gone)

    def _available(self, model):
        return [v for v in self._versions[model].values() if v.state == State.AVAILABLE]

    def _let_go(self, model, numbers):
        """Unload the versions of a model that are none of these, once one of these is served."""
        known = self._versions[model]
        has_others = any(version.number in numbers for version in self._available(model))
        for number in set(known) - numbers:
            version = known[number]
            if version.state != State.AVAILABLE or has_others or _is_gone(version.path):
                del known[number]
                task = asyncio.ensure_future(self._unload(version))
                self._gone.add(task)
                task.add_done_callback(self._gone.discard)

    async def _load(self, version):
        version.state = State.LOADING
        self._failed.pop(version.path, None)
        # Asked before it is read: what is written meanwhile is to be read again.
        written = await asyncio.to_thread(_written, version.path)

        def on_batch(rows):
            self._on_batch(version.model, rows)

        try:
            await asyncio.to_thread(version.load, self.limits, self._executor, on_batch)
        except Exception as error:  # What a broken folder makes of TensorFlow has no one type.
            version.state = State.END
            version.error = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            self._failed[version.path] = written
            print(f"{version} cannot be served: {version.error}", flush=True)
            return
        _freeze()
        version.state = State.AVAILABLE
        print(f"{version} is served", flush=True)

    async def _unload(self, version):
        was_served = version.state == State.AVAILABLE
        await version.unload()
        gc.unfreeze()
        _freeze()
        if was_served:
            print(f"{version} is not served any more", flush=True)

    def _has_changed(self, path):
        """Whether a version that could not be loaded has been written anew."""
        return path in self._failed and self._failed[path] != _written(path)

    def _wanted(self):
        """By name of a model the folders of the versions to serve, and its labels; blocks.

        There is `None` in place of the folders of a model that cannot be read now, and is kept as
        it is.

        Raises:
            OSError: If not even the models' names can be read.
        """
        if self._config is None:
            paths = {path.name: path for path in subfolders(self.folder)}
            found = {model: self._version_folders(path) for model, path in paths.items()}
            return {
                model: (folders and folders[-1:], {})
                for model, folders in found.items()
                if folders != []
            }
        wanted = {}
        for model in self._config.model_config_list.config:
            folders = self._version_folders(pathlib.Path(model.base_path))
            policy = model.model_version_policy
            if folders is not None and policy.HasField("specific"):
                folders = [path for path in folders if int(path.name) in policy.specific.versions]
            elif folders is not None and not policy.HasField("all"):
                folders = folders[-(policy.latest.num_versions or 1) :]
            wanted[model.name] = folders, dict(model.version_labels)
        return wanted

    def _version_folders(self, folder):
        """The folders of a model's versions, the oldest first; `None` if they cannot be read."""
        try:
            paths = [path for path in subfolders(folder) if is_version(path.name)]
            notes = notes_on(folder)
        except OSError as error:
            self._tell(folder, f"cannot be read, and is tried again: {error}")
            return None
        self._told.pop(folder, None)
        for path, note in notes.items():
            # A folder without a version may be one that is being written, but at the start.
            if path != folder or not self._has_looked:
                self._tell(path, f"is not served: {note}")
        return sorted(paths, key=lambda path: int(path.name))

    def _tell(self, folder, sentence):
        """Say, once, what is wrong with a folder."""
        if self._told.get(folder) != sentence:
            self._told[folder] = sentence
            print(f"{folder} {sentence}", flush=True)


def _is_gone(path):
    """Whether a folder was taken away, and is not just out of reach."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _written(path):
    """When the files of a version were written, last of all."""
    try:
        return max(p.stat().st_mtime_ns for p in [path, *path.rglob("*")])
    except OSError:
        return None


def _freeze():
    """Have the garbage collector look no more at what is here to stay.

    The graphs of a model are a million objects, and looking at them all stops the server for a
    tenth of a second again and again. A request leaves a hundred lists behind, and no cycles: to
    look after every 700 of them, as is usual, would take a twentieth of the server's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


def _warm_up_requests(path):
    """The `(signature, arrays)` a version is to be called with before anyone else calls it."""
    records = path / "assets.extra" / "tf_serving_warmup_requests"
    if records.is_file():
        for record in tf.data.TFRecordDataset(str(records)).as_numpy_iterator():
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            arrays = {name: from_proto(name, tensor) for name, tensor in request.inputs.items()}
            yield request.model_spec.signature_name, arrays
