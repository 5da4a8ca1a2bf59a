"""python -m peers.mosec_service --port PORT: ONNX Runtime behind mosec, for benchmarks/serving.

One patch a request, as raw uint8 pixels; the reply is the embedding as raw float32. What mosec is to do comes as JSON
in the environment, because mosec's own parser reads the command line: `EXEMPLAR_PEER`, with `file` (the ONNX network),
`workers` (processes), `threads` (of ONNX Runtime in each), `batch` (the largest), and `wait` (milliseconds for it to
fill).
"""

from __future__ import annotations

import json
import os

import numpy as np
import onnxruntime
from mosec import Server, Worker

SETTINGS = json.loads(os.environ["EXEMPLAR_PEER"])


class Embedding(Worker):
    """One stage: raw bytes in, raw bytes out, with no copy between processes but mosec's own."""

    resp_mime_type = "application/octet-stream"

    def __init__(self) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = SETTINGS["threads"]
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(SETTINGS["file"], options, providers=["CPUExecutionProvider"])
        _, *self._shape = self._session.get_inputs()[0].shape
        size = int(np.prod(self._shape))
        for count in {1, SETTINGS["batch"]}:
            self._embed([bytes(size)] * count)

    def deserialize(self, data: bytes) -> bytes:
        return data

    def serialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes | list[bytes]) -> bytes | list[bytes]:
        # mosec hands over a list where it makes batches, else what one request holds.
        return self._embed(data) if isinstance(data, list) else self._embed([data])[0]

    def _embed(self, patches: list[bytes]) -> list[bytes]:
        pixels = np.frombuffer(b"".join(patches), np.uint8).reshape(len(patches), *self._shape)
        (embeddings,) = self._session.run(None, {"patches": pixels})
        return [row.tobytes() for row in embeddings]


if __name__ == "__main__":
    server = Server()
    server.append_worker(
        Embedding, num=SETTINGS["workers"], max_batch_size=SETTINGS["batch"], max_wait_time=SETTINGS["wait"]
    )
    server.run()
