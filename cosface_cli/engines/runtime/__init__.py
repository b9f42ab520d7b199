"""What runs the engines: CPU cores, devices, ONNX Runtime sessions, worker processes."""
