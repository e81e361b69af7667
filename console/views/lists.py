"""The pattern of every list: search, filters, sort, paging; the chosen row's tabs below, under its own URL.

`show()` answers the whole page, only the rows (search, sort, paging, polling) or only the detail (a chosen
row, a tab), by the element that htmx wants to fill. See docs/pages.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _


@dataclass(frozen=True)
class Column:
    """A heading. `order` is the ORM field it sorts by, "" when it cannot; `wide`: left out on narrow screens."""

    label: Any
    order: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Tab:
    key: str
    label: Any
    template: str


@dataclass(frozen=True)
class List:
    """What one kind's list looks like. URL names: `name` of the list, `item` of one object, `create`."""

    name: str
    item: str
    title: Any
    create: str
    create_label: Any
    columns: tuple[Column, ...]
    row: str  # template of one row's cells: one <td> a column, then one of actions
    empty: str  # template shown when the project has none yet
    detail: str  # template of the chosen row, extends console/_detail.html
    unfinished: tuple[str, ...] = ()  # statuses during which rows and detail are polled
    search: tuple[str, ...] = ("name", "description")
    filters: tuple[str, ...] = ("status",)  # fields with choices
    order: str = "-created_at"
    page_size: int = 10
    styles: tuple[str, ...] = ()  # static files that its details need, loaded with the list
    libraries: tuple[str, ...] = ()  # plain scripts
    scripts: tuple[str, ...] = ()  # modules


@dataclass
class Filter:
    """One of the list's drop-downs."""

    name: str
    label: Any
    choices: list[tuple[str, Any]]
    value: str


@dataclass
class Listing:
    """A list as one request asked for it."""

    spec: List
    page: Page[Any]
    search: str
    order: str
    filters: list[Filter]
    total: int
    columns: list[dict[str, Any]] = field(default_factory=list)

    @property
    def narrowed(self) -> bool:
        return bool(self.search or any(f.value for f in self.filters))

    @property
    def pages(self) -> Iterator[int | str]:
        return self.page.paginator.get_elided_page_range(self.page.number, on_each_side=2, on_ends=1)

    @property
    def polls(self) -> bool:
        return any(row.status in self.spec.unfinished for row in self.page)


def listing(request: HttpRequest, spec: List, rows: QuerySet[Any]) -> Listing:
    """Search, filter, sort and page `rows` as the query string says. Nonsense in it is ignored."""
    total = rows.count()
    search = request.GET.get("search", "").strip()
    filters = [_filter(request, rows.model, name) for name in spec.filters]
    found = rows.filter(**{f.name: f.value for f in filters if f.value})
    if search:
        found = found.filter(Q(*((f"{name}__icontains", search) for name in spec.search), _connector=Q.OR))
    order = request.GET.get("order", spec.order)
    if order.removeprefix("-") not in {c.order for c in spec.columns if c.order}:
        order = spec.order
    page = Paginator(found.order_by(order, "pk"), spec.page_size).get_page(request.GET.get("page"))
    return Listing(spec, page, search, order, filters, total, [_heading(c, order) for c in spec.columns])


def _filter(request: HttpRequest, model: type[Model], name: str) -> Filter:
    source: Any = model._meta.get_field(name)
    choices = list(source.choices or [])
    value = request.GET.get(name, "")
    label = _("Status") if name == "status" else source.verbose_name
    return Filter(name, label, choices, value if value in {key for key, _text in choices} else "")


def _heading(column: Column, order: str) -> dict[str, Any]:
    """A column and what a click on it asks for: the other direction when it is the one sorted by."""
    sorted_by = bool(column.order) and order.removeprefix("-") == column.order
    descending = sorted_by and order.startswith("-")
    return {
        "column": column,
        "aria": ("descending" if descending else "ascending") if sorted_by else "none",
        "next": column.order if not sorted_by or descending else f"-{column.order}",
    }


def show(
    request: HttpRequest,
    spec: List,
    rows: QuerySet[Any],
    selected: Model | None = None,
    tabs: tuple[Tab, ...] = (),
    **context: Any,
) -> HttpResponse:
    """Answer with the page or the fragment asked for. `tabs`: those of the chosen row, the first by default."""
    tab = next((t for t in tabs if t.key == request.GET.get("tab")), tabs[0] if tabs else None)
    context |= {"spec": spec, "selected": selected, "tabs": tabs, "tab": tab}
    target = request.htmx.target  # type: ignore[attr-defined]
    if target == "detail" and selected is not None:
        template = spec.detail
    else:
        context["list"] = listing(request, spec, rows)
        template = "console/_rows.html" if target == "rows" else "console/list.html"
    response = render(request, template, context)
    patch_vary_headers(response, ["HX-Request", "HX-Target"])
    return response
