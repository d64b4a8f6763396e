from __future__ import annotations

import json
import uuid
from pathlib import Path

from specs import spec

from orchestration.record.client import connect
from orchestration.record.names import spec_tags
from orchestration.record.sweep_recorder import SweepRecorder
from orchestration.store.open import open_storage
from orchestration.sweep.spec import SweepSpec


def test_books_are_closed_for_a_spec_whatever_the_order_of_its_keys(
    tracking_uri: str, tmp_path: Path
) -> None:
    name = f"closed {uuid.uuid4()}"
    entry = {"norm": ["none", "batchnorm"], "architecture": "ann"}
    wanted = SweepSpec.from_dict(spec(name=name, grid=[entry]))
    client = connect(tracking_uri)
    books = SweepRecorder(client, name, open_storage(str(tmp_path)))
    assert not books.are_closed_for(wanted)
    books.open(wanted)
    assert not books.are_closed_for(wanted)
    books.close("completed")
    assert books.are_closed_for(wanted)
    assert not books.are_closed_for(wanted.model_copy(update={"retries": 7}))

    turned = SweepSpec.from_dict(spec(name=name, grid=[dict(reversed(entry.items()))]))
    assert turned.to_json() != wanted.to_json()
    assert books.are_closed_for(turned)

    assert books.parent_run_id is not None
    earlier = json.dumps(json.loads(wanted.to_json()), sort_keys=True, separators=(",", ":"))
    for key, text in spec_tags(earlier).items():
        client.set_tag(books.parent_run_id, key, text)
    assert books.are_closed_for(wanted)
