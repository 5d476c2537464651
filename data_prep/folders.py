"""The files of a folder, and what their names say."""

import collections
import fnmatch
import os
import posixpath
from typing import Iterable, List, NamedTuple, Sequence, Tuple

from data_prep import naming
from data_prep.errors import ConversionError
from data_prep.images import IMAGE_SUFFIXES

CLASS_FILES = (
    "classes.txt",
    "class_names.txt",
    "labels.txt",
    "labelmap.txt",
    "_classes.csv",
    "classes.csv",
)
POLYGONS = ".json"
SUFFIXES = (*IMAGE_SUFFIXES, POLYGONS)
LISTS = "ImageSets/Segmentation/"
# Folders that hold what programs of this package wrote.
_WRITTEN = ("dataset.json", ".conversion", "auto.json", "genotype.json", "schedule.json")
_SHOWN = 3


class File(NamedTuple):
    """A file and what its name says.

    Attributes:
      path: relative to the folder, with "/".
      place: what its folders say.
      stem, suffix: stem and suffix of its name; the suffix in lower case.
    """

    path: str
    place: naming.Place
    stem: str
    suffix: str

    @property
    def group(self) -> Tuple[str, str]:
        """Role and name of the folder that tells it."""
        return self.place.role, self.place.group


def list_files(root: str) -> List[File]:
    """All files of a folder and of those in it, by path, but hidden ones and what programs of this
    package wrote.

    Raises:
      ConversionError: no such folder.
    """
    if not os.path.isdir(root):
        raise ConversionError(f"{root}: no such directory.")
    paths, seen = [], set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen or (folder != root and any(m in names + subfolders for m in _WRITTEN)):
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(s for s in subfolders if not s.startswith((".", "__MACOSX")))
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        start = "" if relative == "." else relative + "/"
        paths += [start + name for name in sorted(names) if not name.startswith(".")]
    return read_paths(paths)


def read_paths(paths: Iterable[str]) -> List[File]:
    """Files with what their names tell.

    Args:
      paths: relative, with "/".
    """
    files = []
    for path in paths:
        *folders, name = path.split("/")
        stem, suffix = posixpath.splitext(name)
        files.append(File(path, naming.read_place(tuple(folders)), stem, suffix.lower()))
    # Where there are train and train_extra, the latter stays a split of its own.
    plain = {f.place.split for f in files if not f.place.variant}
    return [
        f._replace(place=f.place._replace(split=f"{f.place.split}_{f.place.variant}"))
        if f.place.variant and f.place.split in plain
        else f
        for f in files
    ]


def find_class_files(files: Sequence[File]) -> List[str]:
    """Paths of files of class names, relative, the one to read first: the outermost."""
    found = [f.path for f in files if posixpath.basename(f.path).lower() in CLASS_FILES]
    rank = {name: index for index, name in enumerate(CLASS_FILES)}
    return sorted(
        found, key=lambda path: (path.count("/"), rank[posixpath.basename(path).lower()], path)
    )


def select(files: Sequence[File], pattern: str, suffixes: Tuple[str, ...]) -> List[File]:
    """The files of these suffixes; those that a pattern fits, if there is one."""
    chosen = [f for f in files if f.suffix in suffixes]
    return [f for f in chosen if fnmatch.fnmatchcase(f.path, pattern)] if pattern else chosen


def count(what: str, files: Sequence[File]) -> List[str]:
    """A line with the number of files and the first ones, if there are any."""
    if not files:
        return []
    shown = ", ".join(f.path for f in files[:_SHOWN])
    return [f"{what}: {len(files)} (such as {shown})."]


def count_unread(files: Sequence[File]) -> List[str]:
    """A line about files that are neither images nor masks, by suffix."""
    counts = collections.Counter(
        f.suffix or f.stem
        for f in files
        if f.suffix not in IMAGE_SUFFIXES
        and posixpath.basename(f.path).lower() not in CLASS_FILES
        and LISTS not in f.path
    )
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(5))
    return [f"not read: {sum(counts.values())} files ({kinds})."] if counts else []
