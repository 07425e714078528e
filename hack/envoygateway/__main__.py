"""`python -m envoygateway`: prints where the image's OCI archive is, built the first time."""

from envoygateway.binary import archive
from localcluster.progress import Progress

print(archive(Progress())[1])
