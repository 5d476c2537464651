"""PASCAL VOC 2012 with the annotations of SBD: VOCdevkit/VOC2012 and benchmark_RELEASE/dataset.

With SBD there is a split trainaug: all images annotated by either except VOC's val, with VOC's own
label map where it has one.
"""

import os

import numpy as np
import scipy.io

from adl_tf.data.description import default_colors
from data_prep import program
from data_prep.conversion import Conversion
from data_prep.errors import BadExample, ConversionError
from data_prep.examples import Example, Item
from data_prep.images import read_image
from data_prep.mask_pixels import read_label

CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


def plan(input_dir: str) -> Conversion:
    """Lists train and val, and test and trainaug if they are there.

    Raises:
      ConversionError: VOC 2012 is missing.
    """
    voc = os.path.join(input_dir, "VOCdevkit", "VOC2012")
    sbd = os.path.join(input_dir, "benchmark_RELEASE", "dataset")
    lists = os.path.join(voc, "ImageSets", "Segmentation")

    def item(name, label):
        return Item(name, os.path.join(voc, "JPEGImages", name + ".jpg"), label)

    def from_voc(name):
        return item(name, os.path.join(voc, "SegmentationClass", name + ".png"))

    train, val = (_read_list(os.path.join(lists, split + ".txt")) for split in ("train", "val"))
    splits = {"train": list(map(from_voc, train)), "val": list(map(from_voc, val))}
    if os.path.isdir(sbd):
        names = [name for part in ("train", "val") for name in _read_list(f"{sbd}/{part}.txt")]
        extra = sorted(set(names) - set(train) - set(val))
        splits["trainaug"] = splits["train"] + [
            item(name, os.path.join(sbd, "cls", name + ".mat")) for name in extra
        ]
    if os.path.exists(os.path.join(lists, "test.txt")):
        test = _read_list(os.path.join(lists, "test.txt"))
        splits["test"] = [item(name, None) for name in test]
    return Conversion(
        name="voc2012",
        class_names=CLASSES,
        colors=default_colors(len(CLASSES)),
        source="PASCAL VOC 2012 (Everingham et al.), trainaug by SBD (Hariharan et al. 2011)",
        splits=splits,
        convert=convert,
        unlabelled=("test",),
        input_dir=input_dir,
    )


def convert(item: Item) -> Example:
    """Reads palette PNGs and .mat files alike; their ids are the class ids, 255 the border."""
    label = None
    if item.label:
        label = _read_mat(item.label) if item.label.endswith(".mat") else read_label(item.label)
    return Example(*read_image(item.image), label)


def _read_list(path):
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read().split()
    except FileNotFoundError:
        raise ConversionError(
            f"{path}: this list of images is missing; is the archive unpacked there?"
        ) from None


def _read_mat(path):
    if not os.path.exists(path):
        raise BadExample(path, "the label is missing", "add it or remove its pair")
    try:
        content = scipy.io.loadmat(path, squeeze_me=True, struct_as_record=False)
        return np.ascontiguousarray(content["GTcls"].Segmentation, np.uint8)
    except Exception as error:  # A damaged file can raise almost anything.
        reason = " ".join(str(error).split())
        raise BadExample(path, f"not a label map of SBD ({reason})", "download it again") from None


if __name__ == "__main__":
    program.main(plan)
