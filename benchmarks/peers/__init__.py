"""Other libraries with the same network, a module each; worker.py runs them, networks come through exchange.py."""
