"""For all tests: one thread for torch, as two on a busy machine of two cores wait for each other."""

import torch

torch.set_num_threads(1)
