"""Writes a table in HTML. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from orchestration.render.table import Table, TableCell


def html(table: Table) -> Markup:
    """Write a table as an element of a page."""

    def written(cell: TableCell, column: int) -> Markup:
        text = escape(cell.text + cell.after)
        if cell.strong:
            text = Markup("<strong>{}</strong>").format(text)
        if cell.href:
            text = Markup('<a href="{}" target="_blank" rel="noopener">{}</a>').format(
                cell.href, text
            )
        if cell.mark:
            text += Markup("<sup>{}</sup>").format(cell.mark)
        return place("td" if column else 'th scope="row"', text, column)

    def place(element: str, text: Markup | str, column: int) -> Markup:
        name = element.partition(" ")[0]
        kind = Markup(' class="number"') if table.numeric[column] else ""
        return Markup("<{}{}>{}</{}>").format(Markup(element), kind, text, name)

    def row(cells: Sequence[Markup]) -> Markup:
        return Markup("<tr>{}</tr>\n").format(Markup("").join(cells))

    head = row(
        [place('th scope="col"', text, column) for column, text in enumerate(table.headings)]
    )
    body = [
        row([written(cell, column) for column, cell in enumerate(cells)]) for cells in table.rows
    ]
    notes = [
        Markup("<p><sup>{}</sup> {}</p>\n").format(mark, note)
        for mark, note in table.lettered_notes
    ]
    if table.remark:
        notes.append(Markup("<p>{}</p>\n").format(table.remark))
    return Markup("<table>\n<thead>\n{}</thead>\n<tbody>\n{}</tbody>\n</table>\n{}").format(
        head, Markup("").join(body), Markup("").join(notes)
    )
