"""The digits that the page offers to those who do not draw.

`python -m serving.samples` writes them to `serving/page/samples.json`.
"""

import base64
import json
import pathlib

from datasets import digits

PATH = pathlib.Path(__file__).parent / "page" / "samples.json"
SETS = 3


def text():
    """The file's text: `SETS` lists of a digit of each class, as 28x28 bytes in base64.

    They are the first of each class that are kept for tests, of scikit-learn's digits in MNIST's
    form.
    """
    test = digits.read().test
    by_class = [test.images[test.labels == label][:SETS] for label in range(10)]
    sets = [
        [base64.b64encode(images[number].tobytes()).decode() for images in by_class]
        for number in range(SETS)
    ]
    return json.dumps(sets, indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
