"""How the shipped networks were trained: see README.md."""
