"""`exemplar embed --model`, asked from Python: patches go in as PNG files, rows come back as an array."""

import struct
import subprocess
import zlib

import numpy as np


def write_png(path, pixels):
    """Writes uint8 [H, W] or [H, W, 3] as a PNG, by the standard library alone, and returns the path."""
    colour_type = 0 if pixels.ndim == 2 else 2

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = pixels.shape[:2]
    rows = np.hstack([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)])  # 0: a row without filter.
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows.tobytes()))
        + chunk(b"IEND", b"")
    )
    return path


def embed(binary, model, files, *options):
    """The embeddings of image files by a model folder, float32 [n, d]."""
    output = files[0].with_suffix(".npy")
    done = subprocess.run(
        [binary, "embed", *files, "--model", model, "--output", output, *options],
        capture_output=True, text=True, timeout=120, check=False,
    )
    assert done.returncode == 0, done.stderr
    return np.load(output)
