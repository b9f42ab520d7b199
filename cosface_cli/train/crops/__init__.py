"""Labelled crops as training reads them: which ones, in which order, with which augmentation."""
