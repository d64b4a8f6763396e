"""For all tests: one thread for torch, as two on a busy machine wait for each other."""

import os
import secrets

import torch

torch.set_num_threads(1)
# Or torch.compile starts worker processes that outlive the tests.
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
# The processes of one run must collect the same tests, and this seed is in the names of some.
os.environ.setdefault("SNN_TEST_FAULT_SEED", str(secrets.randbelow(10**6)))
