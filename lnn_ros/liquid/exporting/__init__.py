"""Policies and cells written down as ONNX models and as C."""
