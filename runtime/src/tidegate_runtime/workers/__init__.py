"""Several processes that speak the protocols, front ends, before the one that has the models, the hub.

A front end reads and checks a request and sends it to the hub over a line of its own: packets that keep their bounds
and their order; the end of either process is the end of the other's line. Tensors lie in memory that both have mapped,
small ones in the packet. Batches are made in the hub, of whatever comes from any front end.
"""
