"""The embedded dataset: scikit-learn's 1,797 handwritten digits, normalised as MNIST's.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998,
https://archive.ics.uci.edu/dataset/80. It is part of scikit-learn and is not downloaded.
"""

import numpy as np
from PIL import Image

from datasets.dataset import Dataset, images_spec
from datasets.splits import ArraySplit

TEST_SIZE = 360
_MAX_INK = 16  # A pixel is the number of inked pixels in a 4x4 block, from 0 to 16.


def read(because=None):
    """Read the digits: 1,437 for training, and a fixed, stratified test split of 360.

    Args:
        because: Why they replace another dataset, or `None`.

    Returns:
        A `Dataset` with an empty validation split.
    """
    # Imported here, since it takes two seconds that other datasets do not need.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    images = np.stack([to_mnist_form(image * (255 / _MAX_INK)) for image in data.images])
    labels = data.target.astype(np.int64)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels, test_size=TEST_SIZE, stratify=labels, random_state=0
    )
    train = ArraySplit(train_images, train_labels)
    return Dataset(
        name="digits",
        source="scikit-learn" + (f", because {because}" if because else ""),
        spec=images_spec(classes=10),
        train=train,
        validation=train[:0],
        test=ArraySplit(test_images, test_labels),
    )


def to_mnist_form(image):
    """Normalise the image of one digit as in MNIST.

    The digit is scaled to a 20x20 box without changing its aspect ratio. It is placed in a 28x28
    image so that its centre of mass is the centre of the image (LeCun et al. 1998,
    http://yann.lecun.com/exdb/mnist/).

    Args:
        image: `(height, width)`, 0 (paper) to 255 (ink), not empty.

    Returns:
        `uint8 (28, 28)`.
    """
    rows, columns = np.any(image, axis=1).nonzero()[0], np.any(image, axis=0).nonzero()[0]
    box = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = 20 / max(box.shape)
    height, width = (max(1, round(side * scale)) for side in box.shape)
    digit = Image.fromarray(box.astype(np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    digit = np.clip(np.rint(np.asarray(digit)), 0, 255).astype(np.uint8)

    ink = digit.sum()
    row_of_mass = (digit.sum(axis=1) @ np.arange(height) + ink / 2) / ink
    column_of_mass = (digit.sum(axis=0) @ np.arange(width) + ink / 2) / ink
    # Clip, so that a digit with an off-centre mass stays inside the image.
    top = int(np.clip(round(14 - row_of_mass), 0, 28 - height))
    left = int(np.clip(round(14 - column_of_mass), 0, 28 - width))
    centred = np.zeros((28, 28), np.uint8)
    centred[top : top + height, left : left + width] = digit
    return centred
