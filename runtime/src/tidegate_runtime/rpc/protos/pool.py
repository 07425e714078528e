"""The descriptor pool of our messages.

Not protobuf's default one: Triton's client, KServe's and gRPC's own health and reflection packages register the same
names there, and a process can't hold a name twice in one pool.
"""

from google.protobuf.descriptor_pool import DescriptorPool

POOL = DescriptorPool()
