"""Write `optdigits.npz` from the copy of the data set that scikit-learn carries: python make_optdigits.py

The bytes are the same at every run with the same NumPy and zlib; the arrays always are.
"""

from pathlib import Path

import numpy as np


def main() -> None:
    """Read, check and write."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images, labels = bunch.images.astype(np.uint8), bunch.target.astype(np.uint8)
    if images.shape != (1797, 8, 8) or not np.array_equal(images, bunch.images) or images.max() != 16:
        raise ValueError(f"expected 1797 images of 8 x 8 whole numbers in 0..16; scikit-learn gave {images.shape}.")
    np.savez_compressed(Path(__file__).with_name("optdigits.npz"), images=images, labels=labels)


if __name__ == "__main__":
    main()
