"""What does the work behind the stages: sources of photos, detectors, embedders, search, runners.

Engines speak arrays and frozen dataclasses, in batches. Pictures are RGB uint8 (H, W, 3); landmarks (5, 2) pixels;
embeddings (N, D) float32 of unit length.
"""
