"""MTCNN (Zhang 2016), the paper's detector."""
