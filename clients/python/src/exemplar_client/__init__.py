"""Client of exemplar, an inference server for Exemplar-CNN embeddings.

    from exemplar_client import Client

    with Client() as client:
        vectors = client.embed(patches)      # uint8 [n, H, W, C] -> float32 [n, d]
"""

from ._client import Client
from ._errors import ConnectionFailed, ExemplarError, ProtocolError

__all__ = ["Client", "ConnectionFailed", "ExemplarError", "ProtocolError"]
__version__ = "0.1.0"
