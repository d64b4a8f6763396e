"""A sweep's spec: the keys of its YAML file, and its trials. Pure: starts nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pydantic
from pydantic import PrivateAttr

from orchestration.errors import InputError, SpecError
from orchestration.model.config import Config
from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.model.sweep_kind import SweepKind, sweep_kind
from orchestration.model.trial import Trial, cell_label
from orchestration.sweep.grid import Located, axes_of, cells_of, check_size, given_of, trials_of
from orchestration.sweep.own_spec import note_baseline, note_own
from orchestration.sweep.packaged import packaged_specs
from orchestration.sweep.points import Setting, setting_of, settings_of_cells
from orchestration.sweep.problems import Problems
from orchestration.sweep.search import with_seeds
from orchestration.sweep.search_notes import note_search
from orchestration.sweep.spec_keys import SpecKeys, note_shape
from orchestration.sweep.stopping import Comparison, UntilDecided, comparisons_of
from orchestration.sweep.user_code import References
from orchestration.sweep.yaml_file import Document, read_yaml
from snn_norm.wording import did_you_mean


class SweepSpec(SpecKeys):
    """A sweep: which trials are wanted, and what each may use.

    Create one with :meth:`load`, :meth:`from_dict` or :meth:`from_json`, which check all of it, so
    that every spec is valid.
    """

    _source: Document = PrivateAttr(Document())

    @classmethod
    def load(cls, source: str | Path) -> Self:
        """Read and check a YAML file, or a packaged spec such as ``digits`` by its name.

        Raises:
            SpecError: with each problem's file, line and field.
            InputError: there is no such file.
        """
        packaged = packaged_specs()
        if not str(source).strip():
            raise InputError(
                "the name of the spec is empty: name a YAML file or a packaged spec "
                f"({', '.join(packaged)})"
            )
        path, name = Path(source), str(source)
        if source in packaged:
            path, name = packaged[name], f"{name}.yaml"
        try:
            given = read_yaml(path, name)
        except FileNotFoundError:
            raise InputError(
                f"{name}: there is no such file, nor a packaged spec of that name "
                f"({', '.join(packaged)}){did_you_mean(name, packaged)}"
            ) from None
        return cls._checked(given, References())

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Check a spec given as plain data.

        Raises:
            SpecError: with each problem's field.
        """
        return cls._checked(Document(dict(data)), References())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote, without importing the user's own code.

        Raises:
            SpecError: the text is not a valid spec.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SpecError.of(f"is not JSON: {error}") from None
        return cls._checked(Document(data), None)

    def to_json(self) -> str:
        """The spec as one line of JSON; an entry's keys keep their order, which orders the cells.

        Equal specs have equal data, but not always equal text: specs are equal whatever the order
        of their keys.
        """
        data = self.model_dump(mode="json", exclude_none=True)
        # Specs that were recorded before these keys existed must stay equal.
        for key, value in (("compare", []), ("keep", "best"), ("checkpoint_minutes", 5.0)):
            if data[key] == value:
                del data[key]
        if data["resources"]["priority"] == 1:
            del data["resources"]["priority"]
        if self.search is not None:
            del data["seeds"]  # they are those of confirm
        return json.dumps(data, separators=(",", ":"))

    def judged_by(self) -> Metric:
        """The metric that tells which epoch and which trial is better."""
        return TEST_ACCURACY if self.metric is None else self.metric.metric()

    @property
    def kind(self) -> SweepKind:
        """Whether it is of this package's networks, and what follows from that."""
        return sweep_kind(self.train, self.baseline)

    def cells(self) -> list[Config]:
        """Each combination of the grid once, with seed 0. Does not import the user's code."""
        return self._cells(self.problems())

    def axes(self) -> tuple[str, ...]:
        """The keys that tell cells apart, and head the columns of tables: architecture, norm, …"""
        return axes_of(self.grid, self.cells())

    def seed_order(self) -> tuple[int, ...]:
        """All seeds that a cell may get, in the order in which they are allocated and compared."""
        return self.seeds.order(self.name) if isinstance(self.seeds, UntilDecided) else self.seeds

    def certain_seeds(self) -> tuple[int, ...]:
        """The seeds that every cell gets, whatever the results."""
        order = self.seed_order()
        return order[: self.seeds.at_least] if isinstance(self.seeds, UntilDecided) else order

    @property
    def grows(self) -> bool:
        """Whether results decide which further trials the sweep wants."""
        return self.search is not None or isinstance(self.seeds, UntilDecided)

    def comparisons(self) -> list[Comparison]:
        """The family of comparisons to decide, in the order in which they are declared."""
        cells = self.cells()
        return comparisons_of(self.compare, cells, axes_of(self.grid, cells), self.problems())

    def trials(self, seeds_of_cells: Sequence[int] | None = None) -> list[Trial]:
        """Every trial once: cell by cell in the grid's order, and within a cell seed by seed.

        Args:
            seeds_of_cells: how many of ``seed_order()`` each of ``cells()`` gets; by default, as
                many as ``certain_seeds()`` has.

        Raises:
            SpecError: the user's own code cannot be imported.
        """
        if self.search is not None:
            settings = self.setting_trials(self.search.seed_list())
            return [trial for of_cell in settings for trials in of_cell for trial in trials]
        references = References()
        cells = self._cells(self.problems(), references)
        counts = seeds_of_cells or [len(self.certain_seeds())] * len(cells)
        seeds = [self.seed_order()[:count] for count in counts]
        axes = axes_of(self.grid, cells)
        labels = [cell_label(cell, axes) for cell in cells]
        return trials_of(cells, seeds, labels, references, self.judged_by())

    def possible_trials(self) -> list[Trial]:
        """Every trial that the sweep may want, whatever its results; same arguments as `trials`."""
        if self.search is None:
            return self.trials([len(self.seed_order())] * len(self.cells()))
        seeds = (*self.search.seed_list(), *self.seed_order())
        return [t for of_cell in self.setting_trials(seeds) for trials in of_cell for t in trials]

    def settings(self) -> list[list[Setting]]:
        """The settings that a search tries, by cell. Does not import the user's code.

        Those of ``tpe`` are its first round, and those that it has drawn since.
        """
        search, cells = self.search, self.given()
        assert search is not None
        counts = search.counts(len(cells))
        if search.sampler != "tpe":
            return self.points(counts)
        first_round = self.points([min(count, search.round_size) for count in counts])
        of_cells = []
        for given, first, drawn, count in zip(
            cells, first_round, search.drawn or [()] * len(cells), counts, strict=True
        ):
            settings = {setting.config: setting for setting in first}
            for values in drawn:
                one = setting_of(given, values, len(settings) + 1)
                settings.setdefault(one.config, replace(one, is_sampled=False))
            of_cells.append(list(settings.values())[:count])
        return of_cells

    def setting_counts(self) -> list[int]:
        """How many settings a search tries in the end, by cell; with ``gpu_hours``, at least."""
        assert self.search is not None
        return [len(settings) for settings in self.points(self.search.counts(len(self.given())))]

    def points(self, counts: Sequence[int]) -> list[list[Setting]]:
        """The first settings of each cell, in these numbers, which do not depend on results."""
        search = self.search
        assert search is not None
        return settings_of_cells(
            search.space, search.sampler, self.name, counts, self.given(), search.earlier or ()
        )

    def given(self) -> list[dict[str, Any]]:
        """The keys that the spec sets for each of ``cells()``, without defaults."""
        return list(given_of(self.grid, self._common()).values())

    def setting_trials(self, seeds: Sequence[int]) -> list[list[list[Trial]]]:
        """The trials of each setting with each of these seeds, by cell and setting.

        Raises:
            SpecError: the user's own code cannot be imported.
        """
        search, references = self.search, References()
        assert search is not None
        cells = self._cells(self.problems(), references)
        axes = axes_of(self.grid, cells)
        of_cells = []
        for cell, settings in zip(cells, self.settings(), strict=True):
            labels = [f"{cell_label(cell, axes)} setting {one.number}" for one in settings]
            configs = [one.config for one in settings]
            each = [seeds] * len(settings)
            trials = [
                replace(trial, chosen_by=search.judged_by())
                if trial.config.seed in search.seed_list()
                else trial
                for trial in trials_of(configs, each, labels, references, self.judged_by())
            ]
            n = len(seeds)
            of_cells.append([trials[first : first + n] for first in range(0, len(trials), n)])
        return of_cells

    def _cells(self, problems: Problems, references: References | None = None) -> list[Config]:
        return cells_of(self.grid, self._common(), problems, references)

    def _common(self) -> dict[str, Located]:
        """The values of every entry of the grid that does not set them itself."""
        common = {key: Located(value, ("training", key)) for key, value in self.training.items()}
        for key in ("train", "dataset", "epochs"):
            if (value := getattr(self, key)) is not None:
                common[key] = Located(value, (key,))
        if (rule := self.stop_when_collapsed) is not None:
            path = ("stop_when_collapsed", "after_epochs")
            common["stop_when_collapsed_after"] = Located(rule.after_epochs, path)
        return common

    def problems(self) -> Problems:
        """A collection for problems that later checks find, with the spec's file and lines."""
        return Problems(self._source)

    @classmethod
    def _checked(cls, source: Document, references: References | None) -> Self:
        problems = Problems(source)
        try:
            train = source.data.get("train") if isinstance(source.data, dict) else None
            data = with_seeds(source.data, problems)
            spec = cls.model_validate(data, context={"kind": sweep_kind(train)})
        except pydantic.ValidationError as invalid:
            note_shape(invalid, problems)
            raise problems.error() from None
        problems.raise_any()
        spec._source = source
        _note_double_seeds(spec.seed_order(), problems)
        _note_unstoppable(spec, problems)
        note_own(dict(spec), problems)
        # The record of a sweep may have another number of settings for each cell.
        search = spec.search
        settings = max(search.counts(1)) * search.seeds if search else 0
        check_size(spec.grid, settings + len(spec.seed_order()), problems)
        cells = spec._cells(problems, references)
        if spec.search is not None:
            note_search(spec.search, dict(spec), cells, spec.given(), spec.seed_order(), problems)
            problems.raise_any()
            for of_cell in spec.settings() if references else ():
                assert references is not None
                for message in references.wrong(of_cell[0].config).values():
                    problems.add(("search", "space"), message)
        if spec.compare or spec.baseline:  # finding axes takes longer than all other checks
            axes = axes_of(spec.grid, cells)
            comparisons_of(spec.compare, cells, axes, problems)
            note_baseline(spec.baseline or {}, cells, axes, problems)
        problems.raise_any()
        return spec


def _note_double_seeds(seeds: tuple[int, ...], problems: Problems) -> None:
    seen: set[int] = set()
    for index, seed in enumerate(seeds):
        if seed in seen:
            problems.add(("seeds", index), f"must be given once each, got {seed} again")
        seen.add(seed)


def _note_unstoppable(spec: SweepSpec, problems: Problems) -> None:
    """Note ``compare`` without seeds until decided, the reverse, and a budget in two places."""
    if isinstance(spec.seeds, UntilDecided):
        if not spec.compare:
            problems.add(
                ("seeds",),
                "until: decided needs a key compare, which says what is to be decided, such as "
                "compare: [{norm: [bntt, homeostatic]}]",
            )
        if spec.gpu_hours is not None:
            problems.add(("gpu_hours",), "belongs in seeds, where they are until: decided")
    elif spec.compare:
        problems.add(("compare",), "needs seeds: {until: decided}, got a list of seeds: remove one")
