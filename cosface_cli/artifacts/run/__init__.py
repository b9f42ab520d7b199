"""The run folder of a training: record, metrics, weights with their header, calibration."""
