"""Files of annotations of COCO, CVAT and Label Studio, and the images that they name."""

import collections
import os
import posixpath
import re
import urllib.parse
from typing import Any, Dict, List, Sequence, Tuple

from adl_tf.system.files import read_json
from data_prep import cvat_xml, label_studio, naming
from data_prep.errors import ConversionError
from data_prep.folders import File, select
from data_prep.images import IMAGE_SUFFIXES

_XML = ".xml"
_SUFFIXES = (".json", _XML)
_UPLOADED = re.compile(r"[0-9a-f]{8}-")  # Label Studio's mark before the name of an upload.


def find(root: str, files: Sequence[File], pattern: str = "") -> Dict[str, File]:
    """The files of annotations by split, "" where neither its name nor its folder tells; empty
    without any.

    Args:
      root: the folder.
      files: in it.
      pattern: pattern of their paths; empty for all.

    Raises:
      ConversionError: there are several, and nothing tells their splits apart.
    """
    images = {f.stem for f in files if f.suffix in IMAGE_SUFFIXES}
    # One that is named like an image is about that image alone.
    found = [
        f
        for f in select(files, pattern, _SUFFIXES)
        if f.stem not in images and _is_annotations(os.path.join(root, f.path))
    ]
    by_split: Dict[str, List[File]] = collections.defaultdict(list)
    for file in found:
        by_split[naming.split_of(file.stem) or file.place.split].append(file)
    if len(by_split) < len(found) or (len(found) > 1 and "" in by_split):
        paths = ", ".join(os.path.join(root, f.path) for f in found)
        raise ConversionError(
            f"{root}: {len(found)} files of annotations ({paths}); name them after their splits "
            f"(train, val, test), or choose one with --masks='{found[0].path}', which a share is "
            "set aside of as val."
        )
    return {split: some[0] for split, some in by_split.items()}


class ImageIndex:
    """The images of a folder, found by the names that files of annotations give them.

    Args:
      root: the folder.
      files: in it.
    """

    def __init__(self, root: str, files: Sequence[File]):
        self._root = root
        self._by_name: Dict[str, List[File]] = collections.defaultdict(list)
        for file in files:
            if file.suffix in IMAGE_SUFFIXES:
                self._by_name[posixpath.basename(file.path)].append(file)

    def find(self, name: str, annotations: File, split: str) -> str:
        """Path of an image: the one that has most of its last folders in common with a name.

        Backslashes, escapes of URLs and the paths of uploads are understood. Where there is none,
        the path that was named, beside the annotations.

        Args:
          name: name of the image in the file of annotations.
          annotations: that file.
          split: split of the annotations; of images that fit alike, one of this split is taken.
        """
        name = name.rpartition("?d=")[2]
        name = urllib.parse.urlsplit(name).path if "://" in name else name
        name = urllib.parse.unquote(name).replace("\\", "/")
        parts = [part for part in name.split("/") if part not in ("", ".", "..")]
        base = parts[-1] if parts else name
        here = posixpath.dirname(annotations.path)
        near = self._by_name.get(base) or self._by_name.get(_UPLOADED.sub("", base, count=1), ())

        def closeness(file):
            folders = file.path.split("/")[:-1]
            shared = os.path.commonprefix([folders[::-1], parts[-2::-1]])
            return (
                posixpath.normpath(posixpath.join(here, name)) == file.path,
                len(shared),
                file.place.split == split,
                posixpath.dirname(file.path) == here,
                file.place.role == naming.IMAGE,
            )

        path = max(near, key=closeness).path if near else posixpath.join(here, *parts)
        return os.path.join(self._root, path)


def load(path: str) -> Tuple[Dict[str, Any], List[str]]:
    """Reads a file of annotations of any of the tools.

    Returns:
      The content as of COCO's JSON; lines for the user.

    Raises:
      OSError, ValueError, KeyError, TypeError, AttributeError: it cannot be read, or is damaged.
    """
    if path.lower().endswith(_XML):
        return cvat_xml.read(path)
    content = read_json(path)
    return label_studio.read(content) if label_studio.is_export(content) else (content, [])


def _is_annotations(path: str) -> bool:
    try:
        if path.lower().endswith(_XML):
            return cvat_xml.is_export(path)
        content = read_json(path)
    except (OSError, ValueError):
        return False
    return label_studio.is_export(content) or (
        isinstance(content, dict) and {"images", "annotations", "categories"} <= set(content)
    )
