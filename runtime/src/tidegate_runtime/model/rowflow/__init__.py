"""Whether a graph keeps the rows of a batch apart, followed operator by operator.

Each tensor of the graph is known as one of three things: the same for every batch (`Fixed`), a shape that was computed
from shapes (`Extents`), or rows of the batch, each made from its own row alone (`Rows`). An operator that isn't known
to keep rows apart, or whose arguments aren't known well enough, ends the analysis: the model is served unbatched.
"""
