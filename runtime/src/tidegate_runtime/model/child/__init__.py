"""The engine in a process of its own: what a model does to it costs no connection.

The child, `python -m tidegate_runtime.model.child`, owns the device: it loads the model, reports, and runs batches.
Parent and child share memory for the tensors and talk in short messages over a pair of sockets that keep their bounds
and their order; the end of either process is the end of the other's socket.
"""
