"""PNG files of any depth and kind, which Pillow reads but does not write."""

import struct
import zlib

import numpy as np

GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6


def encode(samples, depth, kind=GRAY, palette=None, transparency=b""):
    """A PNG file.

    Args:
      samples: integers [H, W] or [H, W, channels], each of depth bits.
      depth: 1, 2, 4, 8 or 16.
      kind: color type of the header.
      palette: uint8 [entries, 3].
      transparency: bytes of the chunk tRNS.
    """
    samples = np.asarray(samples)
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + _pack(row.ravel(), depth) for row in samples)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"gAMA", struct.pack(">I", 45455))]
    if palette is not None:
        chunks.append((b"PLTE", np.asarray(palette, np.uint8).tobytes()))
    if transparency:
        chunks.append((b"tRNS", transparency))
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _pack(values, depth):
    if depth == 16:
        return values.astype(">u2").tobytes()
    bits = np.unpackbits(values.astype(np.uint8)[:, np.newaxis], axis=1)[:, 8 - depth :]
    return np.packbits(bits.ravel()).tobytes()


def _chunk(name, content):
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
