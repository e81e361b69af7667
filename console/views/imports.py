"""Datasets from a folder of the server or from storage: choose a place, then import it."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from console import imports
from console.access import load_project
from console.forms.imports import ImportForm
from training import services
from training.models import Role


@require_http_methods(["GET", "POST"])
def dataset_import(request: HttpRequest, project: str) -> HttpResponse:
    """?kind= and ?where= name the folder that is shown. Nothing is set up: 404."""
    owner = load_project(request, project, Role.EDITOR)
    kinds = imports.kinds()
    if not kinds:
        raise Http404
    form = ImportForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        values = dict(form.cleaned_data)
        source = {"kind": values.pop("kind"), "where": values.pop("where")}
        made = form.call(services.dataset_import, project=owner, user=request.user, source=source, **values)
        if made:
            return redirect("dataset", project, made.pk)
    kind = request.GET.get("kind", kinds[0][0])
    context = {
        "form": form,
        "heading": _("Import dataset"),
        "kinds": kinds,
        "shown": imports.browse(kind, request.GET.get("where", "")),
        "chosen": request.POST.get("where"),
    }
    return render(request, "datasets/import.html", context)
