"""Named datasets. The splits of a `Dataset` give the batches that a model is fed with."""

from configs import UserError
from configs.scopes import kind_of
from datasets import digits, downloads, lags, text, tfds_images
from datasets.dataset import Dataset, Spec
from datasets.splits import ArraySplit, GeneratedSplit, Split, StreamSplit

__all__ = ["ArraySplit", "Dataset", "GeneratedSplit", "Spec", "Split", "StreamSplit", "load"]


def load(config, vocabulary=None):
    """Load the dataset of a `Config`.

    Args:
        config: A `Config`; its dataset, length, sizes and locations, and the settings of texts are
            used.
        vocabulary: Only for texts: `Spec.vocabulary` of a trained model, whose text is not trained
            on again. `None` takes the vocabulary of the training part.

    Returns:
        A `Dataset`. As in the tutorials, the first `validation_size` training images are held out
        for validation: 5,000 of MNIST's 60,000 unless the config says otherwise. Texts are split as
        `datasets.text.read` says.

    Raises:
        UserError: If the dataset is unknown, unavailable, damaged or of another shape, or if no
            training image would be left, or if a text is too short.
    """
    if kind_of(config.dataset).reads == "tokens":
        return text.read(config, vocabulary)
    if kind_of(config.dataset).generated:
        return lags.read(config, lambda: _read_images("auto", config))
    return _hold_out(_read_images(config.dataset, config), config.validation_size)


def _read_images(name, config):
    if name == "digits":
        return digits.read()
    if name != "auto":
        return tfds_images.read(name, config.data_dir, config.mnist_dir)
    try:
        return tfds_images.read("mnist", config.data_dir, config.mnist_dir)
    except downloads.Unavailable as reason:
        return digits.read(because=reason.why)


def _hold_out(images, size):
    """Move the first `size` training images of a `Dataset` into its validation split."""
    total = len(images.train)
    size = total // 12 if size is None else size
    if size >= total:
        raise UserError(
            f"--validation_size={size}: {images.name} has {total} training images; expected at "
            f"most {total - 1}, so that one is left to train on"
        )
    return Dataset(
        name=images.name,
        source=images.source,
        spec=images.spec,
        train=images.train[size:],
        validation=images.train[:size],
        test=images.test,
    )
