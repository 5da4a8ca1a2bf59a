"""What a network is worth, measured through a running server: see README.md."""

PARTS = ("retrieval", "probe", "matching", "cost")
