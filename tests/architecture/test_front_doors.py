"""Between apps only the front door is public; entry points of another app are its own business."""

from collections.abc import Iterable

from tests.architecture.source import Module, imports, modules, parsed

FRONT_DOORS = {"services", "models", "querysets", "choices", "policies", "registry", "contract", "handlers"}
GLUE = {"core", "audit", "access"}  # may be imported whole
# What else an app offers to the apps above it. A line here is a decision, with its reason.
ALSO_PUBLIC: dict[str, str] = {
    "apps.accounts.acting": "the person as he is now: what stays open asks it again and again",
    "apps.accounts.proof": "where a directory says that its people type their password at its own site",
    "apps.accounts.authentication": "how a bearer token is read from a header: once, for views and native handlers",
    "apps.accounts.providers": "where a source of identities is made known to the login page and the password check",
    "apps.accounts.api": "tokens, and the question `?dry_run=`, have one form, also at the doors of teams",
    "apps.accounts.forms": "the form of a new token and of a new account, also on the pages of teams",
    "apps.accounts.tokens": "the form of a token and its digest, for who keeps a verdict by it",
    "apps.tracking.batches": "what a batch of metrics may be: one check, also for MLflow's wire",
    "apps.tracking.filters": "what a list of projects is narrowed to: one reading for its page and the API",
    "apps.tracking.ingest": "how a batch is written: the same statements, also for MLflow's wire",
    "apps.tracking.judging": "the verdicts and threads of native handlers, also those of MLflow's wire",
    "apps.tracking.language": "the language of filters and orders: one parser for the portal and for MLflow's wire",
    "apps.tracking.paths": "the one form of a path among the files of a run",
    "apps.tracking.searching": "the order of a search of runs, the same at both doors",
    "apps.tracking.table": "the run table: what is asked, found and grouped, which pages show and views keep",
    "apps.tracking.summaries": "how a number that JSON has not is written",
    "apps.compute.backends": "what the builder of a cluster may raise; which backend it is, only the registry knows",
    "apps.compute.logs": "the log store: reading by offset is no write and belongs to no queryset",
    "apps.compute.placement": "where something would run: a question, asked before there is anything to write",
    "apps.compute.order": "the places in the queue: a question of many tables, and of no single queryset",
    "apps.compute.whatif": "which of what waits would start: it looks, and changes nothing",
    "apps.compute.why": "why something waits, asked at the door of whose it is",
    "apps.lineage.drawing": "a graph as boxes: the same picture on the page of a node and on its own",
    "apps.quotas.api": "places and amounts are read in one form, also where one asks what would be",
    "apps.quotas.forms": "limits as people write them: one form, also where it is asked what would start with others",
    "apps.compute.api": "attempts and events have no door of their own; the owner's door shows them in compute's form",
}


def violations(found: Iterable[Module]) -> list[str]:
    wrong = []
    for module in found:
        if not module.app or module.app == "portal":  # the portal may link anywhere
            continue
        for line, name in imports(module):
            parts = name.split(".")
            if parts[0] != "apps" or len(parts) < 3 or parts[1] in {module.app, *GLUE}:
                continue
            if parts[2] not in FRONT_DOORS and ".".join(parts[:3]) not in ALSO_PUBLIC:
                wrong.append(f"{module.path}:{line} imports {name}")
    return wrong


def test_no_private_module_of_another_app_is_imported() -> None:
    assert violations(modules("apps")) == []


def test_every_extra_door_is_used() -> None:
    used = {".".join(name.split(".")[:3]) for module in modules("apps") for _, name in imports(module)}
    assert set(ALSO_PUBLIC) <= used


def test_the_rule_sees_a_private_import() -> None:
    planted = parsed("apps/teams/services.py", "from apps.accounts.views import LoginView\nimport apps.core.ids\n")
    assert violations([planted]) == ["apps/teams/services.py:1 imports apps.accounts.views.LoginView"]
