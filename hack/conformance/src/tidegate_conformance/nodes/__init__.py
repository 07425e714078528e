"""The onnx package's backend tests of single operators, sent to a server and compared with ONNX Runtime itself."""
