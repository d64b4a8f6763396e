"""The pages' addresses: who may have which, and what each answers.

    GET  /sweeps                    all sweeps; ?find=words&sort=order
    GET  /sweeps/NAME               one
    GET  /sweeps/NAME/changes       what changes on it, as server-sent events
    GET  /sweeps/NAME/layers        diagnostics by layer, which the page fetches when asked to
    GET  /sweeps/NAME/report        the files of its report, at MLflow
    GET  /sweeps/NAME/table.tex     best of seeds; .md and .csv too, and so verdicts and compare
    GET  /sweeps/NAME/compare       ?with=OTHER
    POST /sweeps/NAME/stop          as Ctrl-C
    POST /sweeps/NAME/seeds         so many more of them, and on it goes

Nothing on a page comes from elsewhere, and no script or style but the two files beside it runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TypeVar
from urllib.parse import unquote

import anyio
from markupsafe import Markup
from mlflow.exceptions import MlflowException
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.types import Receive, Scope, Send

from orchestration.errors import InputError, SweepError, UnknownSweepError
from orchestration.execution.driven_by import is_abandoned
from orchestration.execution.here import Here
from orchestration.model.sweep_name import check_sweep_name
from orchestration.page.acting import Actor
from orchestration.page.drawing import view
from orchestration.page.drawing.layers import strips
from orchestration.page.drawing.pieces import Page
from orchestration.page.finished import Finished
from orchestration.page.live_pages import LivePages
from orchestration.page.read import Reader, Sweep
from orchestration.page.visitor.inner_mlflow import InnerMlflow, RefusedError
from orchestration.page.visitor.login import Login, Visitor
from orchestration.page.visitor.own_form import give_token, own_form, token_of
from orchestration.results.comparison import (
    HEADLINE_PUBLISHED,
    comparison_of,
    published_side,
    side_of,
)
from orchestration.sweep.more_seeds import MOST_MORE_SEEDS, seed_count
from orchestration.tables import best_of_seeds, comparison
from services.errors import ServiceError
from services.settings import Settings

__all__ = ["Pages"]

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cache-control": "private, no-cache",
}
_FORMS = {"tex": "latex", "md": "markdown", "csv": "csv"}
_LABELS = {"tex": "LaTeX", "md": "Markdown", "csv": "CSV"}
_ACTS = {"stop": "Not stopped", "seeds": "No seeds were added"}
_UNKNOWN = "there is no such sweep, or you may not see it: the list has those that you may see"
_STOP_SECONDS = 5.0

_T = TypeVar("_T")

_threads = anyio.CapacityLimiter(4)  # and not MLflow's own, which its requests wait for
_acting = anyio.CapacityLimiter(4)  # takes longer: nobody who looks waits for it


class Pages:
    """An ASGI app, to stand below ``/sweeps``.

    Args:
        reader: of MLflow's database.
        login: MLflow's.
        settings: where this machine's sweeps leave their logs and who drives them.
        actor: acts on sweeps.
        mlflow: asked which files a report has; None: there is none to ask.
        base: what addresses of the server begin with; empty unless it has a prefix.
    """

    def __init__(
        self,
        reader: Reader,
        login: Login,
        settings: Settings,
        actor: Actor,
        mlflow: InnerMlflow | None = None,
        base: str = "",
    ) -> None:
        self._reader, self._login, self._actor, self._base = reader, login, actor, base
        self._mlflow = mlflow
        self._here = Here(settings)
        self._live = LivePages(reader, settings, base)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except RefusedError as error:
            response = error.response
        except UnknownSweepError:  # whose text names sweeps that the visitor may not see
            response = self._message("It is not there", _UNKNOWN, 404)
        except InputError as error:
            response = self._message("It is not there", str(error), 404)
        except SweepError as error:
            response = self._message("It cannot be done", str(error), 409)
        except (ServiceError, MlflowException) as error:
            response = self._message("MLflow's database does not answer", str(error), 503)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        raw = request.scope.get("raw_path") or request.scope["path"].encode()
        path = raw.decode("latin-1").removeprefix(f"{self._base}/sweeps").strip("/")
        visitor = await self._login.visitor(request)
        if not path:
            return await self._list(request)
        name, *rest = [unquote(part) for part in path.split("/")]
        if not await self._login.may_read(request, name):
            raise UnknownSweepError(name)
        page = "/".join(rest)
        if request.method == "POST" and page in _ACTS:
            return await self._act(request, visitor, name, page)
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("Method not allowed", 405)
        match page:
            case "":
                return await self._sweep(request, visitor, name)
            case "changes":
                return await self._changes(request, name)
            case "report":
                return await self._report(request, name)
            case "layers":
                return await self._layers(name)
        table, _, form = page.partition(".")
        if table in ("table", "verdicts") and form in _FORMS:
            finished = (await self._read(name)).finished
            text = await _in_thread(partial(_written, finished, table, _FORMS[form]))
            return PlainTextResponse(text + "\n")
        if table == "compare" and form in ("", *_FORMS):
            return await self._compare(request, name, form)
        return self._message("No such page", "A sweep has no page of this name.", 404)

    async def _list(self, request: Request) -> Response:
        find = request.query_params.get("find", "")[:200]
        sort = request.query_params.get("sort", "started")
        sweeps = await _in_thread(self._reader.sweeps)
        readable = await self._login.readable(request)
        if readable is not None:
            sweeps = [one for one in sweeps if one.overview.name in readable]
        running = [one.overview.name for one in sweeps if one.overview.status == "running"]
        drivers = await _in_thread(partial(self._here.drivers, running)) if running else {}
        rows = view.listed(sweeps, drivers, find, sort)
        page = view.document(
            "list", self._base, rows=rows, total=len(sweeps), find=find, sort=sort,
            sorts=view.SORTS, version_of_list="",
        )  # fmt: skip
        etag = f'"{hashlib.sha256(page.encode()).hexdigest()[:24]}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"etag": etag})
        return HTMLResponse(page, headers={"etag": etag})

    async def _sweep(self, request: Request, visitor: Visitor, name: str) -> Response:
        live = self._live.of(name)
        await live.refresh()
        sweep = await self._read(name)
        others = [one for one in await self._names(request) if one != name]
        experiment = sweep.records.experiment_id
        may_act = await self._login.may_act(request, visitor, experiment)
        no_more = await _in_thread(partial(self._why_no_more, sweep)) if may_act else ""
        abandoned = await _in_thread(partial(self._is_abandoned, sweep))
        token = token_of(request)
        page = view.document(
            "sweep", self._base, name=name, sections=_safe(live.page), page_version=live.version,
            metric=sweep.grid.metric, has_verdicts=sweep.finished.has_verdicts, forms=_LABELS,
            is_ours=sweep.grid.is_ours,
            may_act=may_act, token=token, no_more=no_more,
            runs=sweep.status == "running" and not abandoned,
            most_more=MOST_MORE_SEEDS,
            others=[*others, *([HEADLINE_PUBLISHED] if sweep.grid.is_ours else [])],
        )  # fmt: skip
        response = HTMLResponse(page)
        if may_act:
            give_token(response, token, f"{self._base}/sweeps")
        return response

    async def _changes(self, request: Request, name: str) -> Response:
        live = self._live.of(name)
        await live.refresh()
        have = request.headers.get("last-event-id") or request.query_params.get("have", "")

        async def told() -> AsyncIterator[str]:
            yield "retry: 1000\n\n"
            async for change in live.listen(have):
                yield f"id: {change.version}\ndata: {json.dumps(change.pieces)}\n\n"

        return StreamingResponse(told(), media_type="text/event-stream")

    async def _report(self, request: Request, name: str) -> Response:
        records = (await self._read(name)).records
        run = records.parent_run_id
        files: list[str] = []
        if self._mlflow is not None and run is not None:
            for folder in ("report", "report/figures"):
                asked = {"run_id": run, "path": folder}
                reply = await self._mlflow.ask(request, "/api/2.0/mlflow/artifacts/list", asked)
                files += [one["path"] for one in reply.get("files", ()) if not one.get("is_dir")]
        at = partial(view.artifact_url, self._base, records.experiment_id, run or "")
        page = view.document("report", self._base, name=name, parts=view.report_parts(files), at=at)
        return HTMLResponse(page)

    async def _layers(self, name: str) -> Response:
        sweep = await self._read(name)
        medians = await _in_thread(partial(self._reader.layers, sweep))
        tables = await _in_thread(partial(strips, sweep.grid, medians))
        return HTMLResponse(view.document("layers", self._base, name=name, tables=tables))

    async def _compare(self, request: Request, name: str, form: str) -> Response:
        names = await self._names(request)
        other = request.query_params.get("with", "")
        if other != HEADLINE_PUBLISHED and other not in names:
            raise InputError(f"there is no sweep {other[:200]!r} to compare with")
        first = side_of((await self._read(name)).finished.snapshot)
        second = (
            published_side()
            if other == HEADLINE_PUBLISHED
            else side_of((await self._read(other)).finished.snapshot)
        )
        table, metric = comparison_of(name, first, other, second)
        if form:
            text = comparison.TABLE.write(table, _FORMS[form], metric=metric)
            return PlainTextResponse(text + "\n")
        names = [*names, HEADLINE_PUBLISHED]
        return HTMLResponse(view.compared(self._base, name, other, table, metric, names, _LABELS))

    async def _act(self, request: Request, visitor: Visitor, name: str, act: str) -> Response:
        """Stop a sweep, or give it more seeds: who may, and has sent this page's own form."""
        sweep = await self._read(name)
        if not await self._login.may_act(request, visitor, sweep.records.experiment_id):
            text = (
                "Who may write to its experiment may, or without a login who sits at the machine."
            )
            return self._message("You may not do this to the sweep", text, 403)
        form = await own_form(request)
        if form is None:
            return self._message(_ACTS[act], "The form is not from this page: reload it.", 403)
        try:
            check_sweep_name(name)
            if act == "stop":
                with anyio.move_on_after(_STOP_SECONDS):  # its runs are closed; the page shows it
                    await _in_thread(partial(self._actor.stop, name), _acting, abandon=True)
            else:
                count = seed_count(form.get("count", ""))
                await _in_thread(partial(self._actor.more_seeds, sweep, count), _acting)
        except SweepError as error:
            return self._message(_ACTS[act], str(error), 409)
        return RedirectResponse(view.sweep_url(self._base, name), 303)

    def _is_abandoned(self, sweep: Sweep) -> bool:
        if sweep.status != "running":  # over S3 it takes a while to learn who drives it
            return False
        return is_abandoned(sweep.status, self._here.drivers([sweep.name]).get(sweep.name))

    def _why_no_more(self, sweep: Sweep) -> str:
        """Why a sweep can be given no more seeds; empty where it can."""
        try:
            self._actor.growing(sweep)
        except SweepError as error:
            return str(error)
        return ""

    async def _read(self, name: str) -> Sweep:
        return await _in_thread(partial(self._reader.sweep, name))

    async def _names(self, request: Request) -> list[str]:
        sweeps = await _in_thread(self._reader.sweeps)
        readable = await self._login.readable(request)
        names = [one.overview.name for one in sweeps]
        return names if readable is None else [name for name in names if name in readable]

    def _message(self, title: str, text: str, code: int) -> Response:
        return HTMLResponse(view.message(self._base, title, text), code)


async def _in_thread(
    call: Callable[[], _T], limiter: anyio.CapacityLimiter = _threads, *, abandon: bool = False
) -> _T:
    return await anyio.to_thread.run_sync(call, limiter=limiter, abandon_on_cancel=abandon)


def _safe(page: Page) -> dict[str, Markup]:
    """Sections are HTML already; every text in them was escaped when they were written."""
    return {name: Markup(html) for name, html in page.sections.items()}


def _written(finished: Finished, name: str, form: str) -> str:
    metric = finished.snapshot.metric
    if name == "table":
        return best_of_seeds.TABLE.write(finished.best, form, metric=metric)
    return finished.verdict_table.write(finished.verdicts(), form, metric=metric)
