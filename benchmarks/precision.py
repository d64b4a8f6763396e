"""bfloat16 against float32 in the accuracy of the spiking network, on digits.

    python -m benchmarks.precision --results precision.jsonl

About 10 minutes on one thread of a busy machine.
"""

from __future__ import annotations

from benchmarks.accuracy import Row, main

_REFERENCE = {
    "architecture": "snn",
    "dataset": "digits",
    "epochs": 8,
    "width": 16,
    "num_steps": 10,
    "batch_size": 64,
}

TABLES = {
    f"SNN, {norm}": [
        Row(precision, {**_REFERENCE, "norm": norm, "precision": precision})
        for precision in ("float32", "bf16")
    ]
    for norm in ("bntt", "homeostatic")
}

if __name__ == "__main__":
    main(__doc__ or "", TABLES)
