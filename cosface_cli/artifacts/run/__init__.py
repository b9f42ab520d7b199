"""The run folder: record, metrics, weights with their header, calibration."""
