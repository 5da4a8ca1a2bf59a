"""The session of `benchmarks/run`: contenders in interleaved rounds, and their report (benchmarks/README.md)."""
