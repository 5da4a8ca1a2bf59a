"""The session of `benchmarks/serving`: the server beside a peer, and what it promises (benchmarks/README.md)."""
