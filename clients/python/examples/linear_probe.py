"""Recognises handwritten digits by a linear classifier on the features of a running server.

    python linear_probe.py [PORT]        pip install './clients/python[sklearn]'
"""

import sys

import numpy as np
from exemplar_client import ExemplarEmbedder
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

digits = load_digits()  # 1,797 grey images of 8 × 8 pixels, 0 … 16.
patches = np.kron(digits.images, np.ones((4, 4)))[..., None].repeat(3, axis=-1) / 16  # 32 × 32 RGB, 0 … 1.
train_x, test_x, train_y, test_y = train_test_split(patches, digits.target, test_size=0.5, random_state=0)

port = int(sys.argv[1]) if len(sys.argv) > 1 else 7350
embedder = ExemplarEmbedder(port=port, layers="all", pool="quadrant")
classifier = make_pipeline(embedder, StandardScaler(), LinearSVC(C=0.001)).fit(train_x, train_y)
print(f"accuracy {classifier.score(test_x, test_y):.3f}")
