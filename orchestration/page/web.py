"""The routes of the pages, and the permission that each of them needs.

    GET  /sweeps                    the list of all sweeps; ?find=words&sort=column,
                                    ?format=prometheus for their metrics, or ?format=json
    GET  /sweeps/NAME               the page of one sweep
    GET  /sweeps/NAME/changes       the changes of that page, as server-sent events
    GET  /sweeps/NAME/curves        the curves of a metric; ?metric=name&axis=logarithmic
    GET  /sweeps/NAME/trials/RUN    the parameters, curves, error and log of a trial
    GET  /sweeps/NAME/layers        the diagnostics by layer
    GET  /sweeps/NAME/report        links to the files of the sweep's report in MLflow
    GET  /sweeps/NAME/table.tex     best of seeds; also .md and .csv
    GET  /sweeps/NAME/verdicts.tex  the verdicts; also .md and .csv
    GET  /sweeps/NAME/compare       two sweeps side by side, also .tex, .md and .csv; ?with=OTHER
    POST /sweeps/NAME/stop          stops the sweep as Ctrl-C would
    POST /sweeps/NAME/seeds         adds seeds to the sweep and starts it again

Pages load nothing from other servers, and run only the scripts and styles of the folder static.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from urllib.parse import unquote

import anyio
from mlflow.exceptions import MlflowException
from prometheus_client import CONTENT_TYPE_LATEST
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
from orchestration.model.sweep_name import check_sweep_name
from orchestration.page.apart import Calls, Process
from orchestration.page.drawer import FORMS, TABLES, Drawer
from orchestration.page.drawing import view
from orchestration.page.live import ChangeStream
from orchestration.page.shared import OfSweeps
from orchestration.page.visitor.csrf import give_token, own_form, token_of
from orchestration.page.visitor.login import InnerMlflow, Login, RefusedError, Visitor
from orchestration.results.comparison import HEADLINE_PUBLISHED
from orchestration.sweep.more_seeds import seed_count
from services.errors import ServiceError

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cache-control": "private, no-cache",
}
_ACTS = {"stop": "Not stopped", "seeds": "No seeds were added"}
_UNKNOWN = "there is no such sweep, or you may not see it: the list has those that you may see"
_STOP_SECONDS = 5.0
_MOST_CALLS = 16
"""How many calls run at once; equal calls share one of them."""
_MOST_ACTS = 4


class Pages:
    """An ASGI app, to be mounted at ``/sweeps``.

    Args:
        drawer: the process that draws the pages and acts on sweeps.
        mlflow: MLflow's app, which lists the files of reports; None if no report is to be listed.
        base: the prefix of the server's addresses; empty if it has none.
    """

    def __init__(
        self, drawer: Process, login: Login, mlflow: InnerMlflow | None = None, base: str = ""
    ) -> None:
        self._login, self._mlflow, self._base = login, mlflow, base
        self._drawn = Calls(drawer, _MOST_CALLS)
        # Actions take longer, so they have a limit of their own and delay no page.
        self._acting = Calls(drawer, _MOST_ACTS, abandon=True)
        self._streams = OfSweeps(
            lambda name: ChangeStream(lambda have: self._drawn(Drawer.news, name, have))
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except RefusedError as error:
            response = error.response
        except UnknownSweepError:  # its text may name sweeps that the visitor may not see
            response = self._message("Not found", _UNKNOWN, 404)
        except InputError as error:
            response = self._message("Not found", str(error), 404)
        except SweepError as error:
            response = self._message("Not possible", str(error), 409)
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
                return HTMLResponse(await self._drawn(Drawer.layers, name))
            case "curves":
                chosen = [request.query_params.get(key, "")[:200] for key in ("metric", "axis")]
                metric, axis = chosen[0], chosen[1] or "automatic"
                return HTMLResponse(await self._drawn(Drawer.curves, name, metric, axis))
        if len(rest) == 2 and rest[0] == "trials":
            return HTMLResponse(await self._drawn(Drawer.trial, name, rest[1]))
        table, _, form = page.partition(".")
        if table in TABLES and form in FORMS:
            return PlainTextResponse(await self._drawn(Drawer.table, name, table, form))
        if table == "compare" and form in ("", *FORMS):
            return await self._compare(request, name, form)
        return self._message("No such page", "A sweep has no page of this name.", 404)

    async def _list(self, request: Request) -> Response:
        find = request.query_params.get("find", "")[:200]
        sort = request.query_params.get("sort", "started")
        readable = await self._login.readable(request)
        known = None if readable is None else frozenset(readable)
        match request.query_params.get("format"):
            case "prometheus":
                text = await self._drawn(Drawer.prometheus, known)
                return Response(text, media_type=CONTENT_TYPE_LATEST)
            case "json":
                text = await self._drawn(Drawer.summaries, known)
                return Response(text, media_type="application/json")
        page = await self._drawn(Drawer.listed, known, find, sort)
        etag = f'"{hashlib.sha256(page).hexdigest()[:24]}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"etag": etag})
        return HTMLResponse(page, headers={"etag": etag})

    async def _sweep(self, request: Request, visitor: Visitor, name: str) -> Response:
        await self._streams.of(name).refresh()  # so that the stream knows the version sent now
        others = await self._names(request)
        experiment, _ = await self._drawn(Drawer.run_of, name)
        may_act = await self._login.may_act(request, visitor, experiment)
        token = token_of(request) if may_act else None
        response = HTMLResponse(await self._drawn(Drawer.sweep, name, others, token))
        if token is not None:
            give_token(response, token, f"{self._base}/sweeps")
        return response

    async def _changes(self, request: Request, name: str) -> Response:
        stream = self._streams.of(name)
        await stream.refresh()
        have = request.headers.get("last-event-id") or request.query_params.get("have", "")

        async def events() -> AsyncIterator[str]:
            yield "retry: 1000\n\n"
            async for change in stream.listen(have):
                yield f"id: {change.version}\ndata: {change.pieces or 'null'}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def _report(self, request: Request, name: str) -> Response:
        _, run = await self._drawn(Drawer.run_of, name)
        files: list[str] = []
        if self._mlflow is not None and run is not None:
            for folder in ("report", "report/figures"):
                query = {"run_id": run, "path": folder}
                reply = await self._mlflow.ask(request, "/api/2.0/mlflow/artifacts/list", query)
                files += [file["path"] for file in reply.get("files", ()) if not file.get("is_dir")]
        return HTMLResponse(await self._drawn(Drawer.report, name, files))

    async def _compare(self, request: Request, name: str, form: str) -> Response:
        names = await self._names(request)
        other = request.query_params.get("with", "")
        if other != HEADLINE_PUBLISHED and other not in names:
            raise InputError(f"there is no sweep {other[:200]!r} to compare with")
        comparison = await self._drawn(Drawer.compared, name, other, form, names)
        return PlainTextResponse(comparison) if form else HTMLResponse(comparison)

    async def _act(self, request: Request, visitor: Visitor, name: str, act: str) -> Response:
        """Stop a sweep or add seeds, for a visitor who may do so and has sent this page's form."""
        experiment, _ = await self._drawn(Drawer.run_of, name)
        if not await self._login.may_act(request, visitor, experiment):
            text = (
                "A visitor who may write to the sweep's experiment may do this; without a login, "
                "a visitor on the server's own machine."
            )
            return self._message("You may not do this to the sweep", text, 403)
        form = await own_form(request)
        if form is None:
            return self._message(_ACTS[act], "The form is not from this page: reload it.", 403)
        try:
            check_sweep_name(name)
            if act == "stop":
                with anyio.move_on_after(_STOP_SECONDS):  # the page shows when the runs are closed
                    await self._acting(Drawer.stop, name)
            else:
                count = seed_count(form.get("count", ""))
                login = self._login.variables(request)
                await self._acting(Drawer.more_seeds, name, count, login)
        except SweepError as error:
            return self._message(_ACTS[act], str(error), 409)
        return RedirectResponse(view.sweep_url(self._base, name), 303)

    async def _names(self, request: Request) -> tuple[str, ...]:
        names = await self._drawn(Drawer.names)
        readable = await self._login.readable(request)
        return tuple(name for name in names if readable is None or name in readable)

    def _message(self, title: str, text: str, code: int) -> Response:
        page = view.render("message", base=self._base, title=title, text=text)
        return HTMLResponse(page, code)
