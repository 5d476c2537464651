"""Folders of exports: one per version, named by its number, as TensorFlow Serving reads them."""

import os
from typing import List


def versions(output_dir: str) -> List[int]:
    """Versions in a directory of exports, in order; none if there is no such directory."""
    if not os.path.isdir(output_dir):
        return []
    return sorted(int(name) for name in os.listdir(output_dir) if name.isdigit())
