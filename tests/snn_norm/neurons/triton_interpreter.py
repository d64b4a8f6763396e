"""A pytest plugin: torch.compile writes Triton, which Triton's interpreter runs.

To be loaded with ``TRITON_INTERPRET=1``.
"""

from __future__ import annotations

from benchmarks.without_gpu import write_triton

write_triton()
