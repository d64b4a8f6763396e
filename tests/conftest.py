"""For all tests: one thread for torch, as two on a busy machine wait for each other."""

import os

import torch

torch.set_num_threads(1)
# Or torch.compile starts worker processes that outlive the tests.
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
