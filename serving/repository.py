"""Load the versions of models from disk, and unload the versions that are replaced or removed."""

import asyncio
import collections
import gc
import pathlib

from serving.errors import NotFound
from serving.layout import is_version, notes_on, subfolders
from serving.version import State, Version


class Repository:
    """The models on disk, by name.

    A `ModelServerConfig` of TensorFlow Serving says which models and versions are wanted; without
    one, the newest version of every model in a folder. An old version is unloaded when a wanted
    version is served. It stays if none can be loaded and its folder still exists.

    Args:
        folder: The folder of the models, `<model>/<version>/`, without a config.
        config: A `ModelServerConfig`, or `None`.
        limits: The `Limits` of each version.
        executor: Runs the models.
        on_batch: Called with the model's name and the number of rows of each batch.
    """

    def __init__(self, folder, config, limits, executor, on_batch=lambda model, rows: None):
        self.folder = pathlib.Path(folder)
        self.limits = limits
        self._config = config
        self._executor = executor
        self._on_batch = on_batch
        self._versions = collections.defaultdict(dict)  # By model and number.
        self._labels = collections.defaultdict(dict)
        self._unloading = set()  # Tasks.
        self._was_refreshed = False
        self._was_complete = False  # Whether every model was served at some time.
        self._failed = {}  # The time of the last change of a version that failed to load, by path.
        self._told = {}  # The problem that was printed, by folder.

    @property
    def is_ready(self):
        """Whether every model was served at some time since the start, and at least one is now.

        So a broken model that is added later does not make the server unready.
        """
        return self._was_complete and any(map(self._available, self._versions))

    def not_served(self):
        """The models without a served version: the state of the newest version by model."""
        newest = {model: self.versions(model)[:1] for model in self._versions}
        return {
            model: "".join(f"{v.state_name} {v.error}".strip() for v in versions) or "no version"
            for model, versions in newest.items()
            if not self._available(model)
        }

    def models(self):
        """The versions of each model by name, the newest first."""
        return {model: self.versions(model) for model in sorted(self._versions)}

    def labels(self, model):
        """The version numbers of a model by label."""
        return self._labels.get(model, {})

    def versions(self, model, number=None, label=None):
        """The known versions of a model, or one of them by number or label.

        Raises:
            NotFound: If the model, number or label is unknown.
        """
        if model not in self._versions:
            known = ", ".join(sorted(self._versions))
            expected = (
                f"expected one of: {known}" if known else "no model is loaded yet: try again later"
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
        """The version that answers a request: the newest that is served, if none is named.

        Raises:
            NotFound: If no such version is served.
        """
        versions = self.versions(model, number, label)
        served = [version for version in versions if version.state == State.AVAILABLE]
        if not served:
            states = ", ".join(f"{v} is {v.state_name} {v.error}".strip() for v in versions)
            raise NotFound(f"no version of {model} is served ({states}); try again later")
        return served[0]

    async def watch(self, seconds, on_loaded=lambda: None):
        """Refresh again and again, for ever.

        Args:
            seconds: Time between two refreshes.
            on_loaded: Called after the first refresh, which tries to load every model.
        """
        await self.refresh()
        on_loaded()
        while True:
            await asyncio.sleep(seconds)
            await self.refresh()

    async def refresh(self):
        """Load the wanted versions on disk that are not loaded, and unload all others."""
        try:
            wanted = await asyncio.to_thread(self._wanted)
        except OSError as error:
            self._tell(self.folder, f"cannot be read; the server tries again: {error}")
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
            self._unload_others(model, {int(path.name) for path in paths})
        for model in set(self._versions) - set(wanted):
            self._unload_others(model, set())
            del self._versions[model]
        if not (self._was_refreshed or self._versions or self._told or self._config):
            print(f"{self.folder} holds no models yet; train one: python main.py", flush=True)
        self._was_refreshed = True
        self._was_complete |= bool(self._versions) and all(map(self._available, self._versions))

    async def close(self):
        """Wait until the removed versions are unloaded."""
        await asyncio.gather(*self._unloading)

    def _available(self, model):
        return [v for v in self._versions[model].values() if v.state == State.AVAILABLE]

    def _unload_others(self, model, numbers):
        """Unload all versions of a model except `numbers`, if one of these is served."""
        known = self._versions[model]
        has_others = any(version.number in numbers for version in self._available(model))
        for number in set(known) - numbers:
            version = known[number]
            if version.state != State.AVAILABLE or has_others or _is_gone(version.path):
                del known[number]
                task = asyncio.ensure_future(self._unload(version))
                self._unloading.add(task)
                task.add_done_callback(self._unloading.discard)

    async def _load(self, version):
        version.state = State.LOADING
        self._failed.pop(version.path, None)
        # Before loading, so that a change during loading leads to another try.
        changed = await asyncio.to_thread(_last_change, version.path)

        def on_batch(rows):
            self._on_batch(version.model, rows)

        try:
            await asyncio.to_thread(version.load, self.limits, self._executor, on_batch)
        except Exception as error:  # TensorFlow raises many types for a damaged SavedModel.
            version.state = State.END
            version.error = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            self._failed[version.path] = changed
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
        """Whether a version that failed to load has changed since."""
        return path in self._failed and self._failed[path] != _last_change(path)

    def _wanted(self):
        """The folders of the versions to serve and the labels, by name of a model; blocks.

        The folders are `None` if they cannot be read now; the loaded versions of that model stay.

        Raises:
            OSError: If the folder of all models cannot be read.
        """
        if self._config is None:
            paths = {path.name: path for path in subfolders(self.folder)}
            versions = {model: self._version_folders(path) for model, path in paths.items()}
            return {
                model: (folders and folders[-1:], {})
                for model, folders in versions.items()
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
            self._tell(folder, f"cannot be read; the server tries again: {error}")
            return None
        self._told.pop(folder, None)
        for path, note in notes.items():
            # After the start, a folder without a version may be one that is being written.
            if path != folder or not self._was_refreshed:
                self._tell(path, f"is not served: {note}")
        return sorted(paths, key=lambda path: int(path.name))

    def _tell(self, folder, sentence):
        """Print a problem of a folder once."""
        if self._told.get(folder) != sentence:
            self._told[folder] = sentence
            print(f"{folder} {sentence}", flush=True)


def _is_gone(path):
    """Whether a folder was removed; false if it only cannot be reached now."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _last_change(path):
    """The time of the last change of a version's files, in nanoseconds; `None` if unknown."""
    try:
        return max(p.stat().st_mtime_ns for p in [path, *path.rglob("*")])
    except OSError:
        return None


def _freeze():
    """Exclude all objects of now from garbage collection, and collect less often.

    The graphs of a model are a million objects, and each collection of them stops the server for a
    tenth of a second. A request leaves a hundred lists, but no cycles: the default collection after
    every 700 of them would take a twentieth of the server's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)
