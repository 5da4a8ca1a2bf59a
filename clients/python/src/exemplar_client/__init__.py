"""Client of exemplar, an inference server for Exemplar-CNN embeddings.

    from exemplar_client import Client

    with Client() as client:
        vectors = client.embed(patches)      # uint8 [n, H, W, C] -> float32 [n, D]

`export` writes a model folder for the server. ``ExemplarEmbedder``, a transformer for scikit-learn's pipelines, is
imported when it is asked for, since it needs scikit-learn.
"""

from ._client import Client
from ._errors import ConnectionFailed, ExemplarError, ModelChanged, ProtocolError
from ._export import export
from ._results import Class, Embeddings, Transformed

__all__ = [
    "Class", "Client", "ConnectionFailed", "Embeddings", "ExemplarError", "ModelChanged", "ProtocolError",
    "Transformed", "export",
]
__version__ = "0.1.0"


def __getattr__(name: str):
    if name == "ExemplarEmbedder":
        from ._embedder import ExemplarEmbedder

        return ExemplarEmbedder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
