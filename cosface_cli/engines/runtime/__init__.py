"""Devices and ONNX Runtime sessions."""
