"""One script for MLflow's client, of any version, about registered models: prints what the server answered, as JSON.

Run as `script.py` is, by the Python of a client's environment.
"""

import json
import re
import sys
import time

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

MAJOR = int(mlflow.__version__.split(".")[0])
STEPS = {}
UNIQUE = sys.argv[2]
T0 = 1_700_000_000_000


def step(function):
    STEPS[function.__name__] = function
    return function


def code_of(call, *args, **kwargs):
    """Return the error code that a call ends with, None when it works."""
    try:
        call(*args, **kwargs)
    except MlflowException as error:
        return error.error_code
    return None


def plain(text):
    return None if text is None else text.replace(f"-{UNIQUE}", "")


def told(version):
    return {
        "name": plain(version.name),
        "version": str(version.version),
        "stage": version.current_stage,
        "description": version.description or "",
        "status": version.status,
        "tags": dict(version.tags),
        "aliases": sorted(getattr(version, "aliases", [])),
        "has_times": 0 < version.creation_timestamp <= version.last_updated_timestamp,
    }


def told_model(model):
    return {
        "name": plain(model.name),
        "description": model.description or "",
        "tags": dict(model.tags),
        "aliases": {key: str(value) for key, value in getattr(model, "aliases", {}).items()},
        "latest": sorted([v.current_stage, str(v.version)] for v in model.latest_versions or []),
        "has_times": 0 < model.creation_timestamp <= model.last_updated_timestamp,
    }


class World:
    """The client, a run with a folder, and a name."""

    def __init__(self, uri):
        mlflow.set_tracking_uri(uri)
        self.client = MlflowClient(uri)
        self.experiment = self.client.create_experiment(f"registry-{UNIQUE}")
        self.run = self.client.create_run(self.experiment, start_time=T0, run_name="training")
        self.run_id = self.run.info.run_id
        self.client.log_metric(self.run_id, "acc", 0.9, timestamp=T0)

    def name(self, word):
        return f"{word}-{UNIQUE}"

    def source(self, path="model"):
        return f"{self.run.info.artifact_uri}/{path}"

    def make(self, word, versions=0):
        self.client.create_registered_model(self.name(word))
        for _ in range(versions):
            self.client.create_model_version(self.name(word), self.source(), self.run_id)
        return self.name(word)


@step
def models(w):
    c, name = w.client, w.name("first")
    made = c.create_registered_model(name, tags={"a": "1", "b": "2"}, description="what it is")
    answer = {
        "made": told_model(made),
        "got": told_model(c.get_registered_model(name)),
        "again": code_of(c.create_registered_model, name),
        "empty": code_of(c.create_registered_model, ""),
        "unknown": code_of(c.get_registered_model, w.name("never")),
    }
    answer["updated"] = told_model(c.update_registered_model(name, "better"))
    c.set_registered_model_tag(name, "a", "3")
    c.set_registered_model_tag(name, "c", "x")
    c.delete_registered_model_tag(name, "b")
    c.delete_registered_model_tag(name, "never was")
    answer["tagged"] = told_model(c.get_registered_model(name))
    c.rename_registered_model(name, w.name("second"))
    answer["renamed"] = told_model(c.get_registered_model(w.name("second")))
    answer["old name"] = code_of(c.get_registered_model, name)
    w.make("third")
    answer["taken"] = code_of(c.rename_registered_model, w.name("third"), w.name("second"))
    c.delete_registered_model(w.name("second"))
    answer["deleted"] = code_of(c.get_registered_model, w.name("second"))
    answer["deleted again"] = code_of(c.delete_registered_model, w.name("second"))
    answer["tag of none"] = code_of(c.set_registered_model_tag, w.name("second"), "a", "b")
    c.create_registered_model(w.name("second"))
    return answer


@step
def versions(w):
    c, name = w.client, w.make("versions")
    first = c.create_model_version(name, w.source(), w.run_id, tags={"k": "v"}, description="one")
    second = c.create_model_version(name, w.source("other"), w.run_id)
    answer = {
        "made": [told(first), told(second)],
        "same": [
            c.get_model_version(name, "1").source == w.source(),
            c.get_model_version(name, "1").run_id == w.run_id,
            c.get_model_version_download_uri(name, "1") == w.source(),
        ],
        "updated": told(c.update_model_version(name, "1", "new words")),
        "unknown": [
            code_of(c.get_model_version, name, "77"),
            code_of(c.get_model_version, name, "x"),
            code_of(c.create_model_version, w.name("never"), w.source(), w.run_id),
            code_of(c.update_model_version, name, "77", "x"),
            code_of(c.delete_model_version, name, "77"),
            code_of(c.get_model_version_download_uri, name, "77"),
        ],
    }
    c.set_model_version_tag(name, "1", "k", "w")
    c.set_model_version_tag(name, "1", "l", "x")
    c.delete_model_version_tag(name, "1", "l")
    answer["tagged"] = told(c.get_model_version(name, "1"))
    c.delete_model_version(name, "2")
    answer["deleted"] = code_of(c.get_model_version, name, "2")
    answer["model"] = told_model(c.get_registered_model(name))
    return answer


@step
def stages(w):
    c, name = w.client, w.make("stages", 4)
    answer = {"moved": [told(c.transition_model_version_stage(name, "1", "Production"))["stage"]]}
    c.transition_model_version_stage(name, "2", "staging")
    c.transition_model_version_stage(name, "3", "Production", archive_existing_versions=True)
    answer["all"] = [c.get_model_version(name, str(n)).current_stage for n in range(1, 5)]
    answer["latest"] = sorted([v.current_stage, v.version] for v in c.get_latest_versions(name))
    answer["in two"] = sorted([v.current_stage, v.version] for v in c.get_latest_versions(name, ["Production", "none"]))
    answer["wrong"] = [
        code_of(c.transition_model_version_stage, name, "1", "Nowhere"),
        code_of(c.transition_model_version_stage, name, "77", "Staging"),
        code_of(c.get_latest_versions, name, ["Nowhere"]),
        code_of(c.get_latest_versions, w.name("never")),
    ]
    return answer


@step
def aliases(w):
    c, name = w.client, w.make("aliases", 3)
    c.set_registered_model_alias(name, "champion", "1")
    c.set_registered_model_alias(name, "challenger", "2")
    c.set_registered_model_alias(name, "champion", "3")
    answer = {
        "model": told_model(c.get_registered_model(name)),
        "by alias": told(c.get_model_version_by_alias(name, "champion")),
        "wrong": [
            code_of(c.get_model_version_by_alias, name, "nobody"),
            code_of(c.set_registered_model_alias, name, "latest", "1"),
            code_of(c.set_registered_model_alias, name, "v1", "1"),
            code_of(c.set_registered_model_alias, name, "a b", "1"),
            code_of(c.set_registered_model_alias, name, "ok", "77"),
        ],
    }
    c.delete_registered_model_alias(name, "champion")
    c.delete_registered_model_alias(name, "never-was")
    answer["gone"] = code_of(c.get_model_version_by_alias, name, "champion")
    c.delete_model_version(name, "2")
    answer["with its version"] = told_model(c.get_registered_model(name))["aliases"]
    return answer


@step
def searches(w):
    c = w.client
    for word in ("s-apple", "s-banana", "s-Cherry"):
        w.make(word, 2)
        time.sleep(0.01)
    c.set_registered_model_tag(w.name("s-apple"), "fruit", "red")
    c.set_registered_model_tag(w.name("s-banana"), "fruit", "yellow")
    c.set_model_version_tag(w.name("s-apple"), "1", "good", "yes")
    c.set_model_version_tag(w.name("s-apple"), "2", "good", "no")

    def found(text="", **more):
        return [plain(m.name) for m in c.search_registered_models(text, **more) if UNIQUE in m.name and "s-" in m.name]

    def found_versions(text, **more):
        return [[plain(v.name), str(v.version)] for v in c.search_model_versions(text, **more)]

    mine = f"name LIKE 's-%{UNIQUE}'"
    first = c.search_registered_models(mine, max_results=2)
    return {
        "models": {
            text: found(text.replace("UNIQUE", UNIQUE))
            for text in (
                "name = 's-apple-UNIQUE'",
                "name != 's-apple-UNIQUE'",
                "name LIKE 's-%-UNIQUE'",
                "name ILIKE 'S-CH%-UNIQUE'",
                "tags.fruit = 'red'",
                "tags.fruit != 'red'",
                "tag.fruit LIKE 'y%'",
                "name LIKE 's-b%' AND tags.fruit = 'yellow'",
                "tags.`fruit` = 'none'",
            )
        },
        "ordered": [found(mine, order_by=[by]) for by in ("name DESC", "name ASC", "timestamp DESC", "last_updated_timestamp")],
        "paged": [[plain(m.name) for m in first], [
            plain(m.name) for m in c.search_registered_models(mine, max_results=2, page_token=first.token)
        ]],
        "versions": {
            text: found_versions(text.replace("UNIQUE", UNIQUE).replace("RUN", w.run_id), order_by=["name ASC", "version_number ASC"])
            for text in (
                "name = 's-apple-UNIQUE'",
                "name LIKE 's-%-UNIQUE'",
                "name ILIKE 'S-C%-UNIQUE'",
                "run_id = 'RUN' AND name = 's-banana-UNIQUE'",
                "run_id IN ('RUN', 'none') AND name LIKE 's-%-UNIQUE'",
                "name LIKE 's-%-UNIQUE' AND version_number > 1",
                "name LIKE 's-%-UNIQUE' AND version_number = 1",
                "tags.good = 'yes' AND name LIKE 's-%-UNIQUE'",
                "run_id = 'none'",
            )
        },
        "newest first": found_versions(f"name LIKE 's-%-{UNIQUE}'", order_by=["version_number DESC", "name"]),
        "wrong": [
            code_of(c.search_registered_models, "size > 3"),
            code_of(c.search_registered_models, "name ="),
            code_of(c.search_registered_models, "name > 'x'"),
            code_of(c.search_registered_models, "name = 'x' OR name = 'y'"),
            code_of(c.search_registered_models, order_by=["size"]),
            code_of(c.search_model_versions, "size = 'x'"),
            code_of(c.search_model_versions, "version_number = 'x'"),
            code_of(c.search_model_versions, order_by=["size"]),
        ],
    }  # fmt: skip


@step
def registering(w):
    """The short ways, which resolve addresses by themselves."""
    c, name = w.client, w.name("registered")
    address = f"runs:/{w.run_id}/model"
    if MAJOR > 2:  # it looks for a logged model there
        address = f"models:/{c.create_logged_model(w.experiment, name='net', source_run_id=w.run_id).model_id}"
    made = mlflow.register_model(address, name)
    again = mlflow.register_model(address, name, tags={"a": "b"})
    answer = {"made": [told(made), told(again)], "model": told_model(c.get_registered_model(name))}
    copied = c.copy_model_version(f"models:/{name}/1", w.name("copied"))
    answer["copied"] = told(copied)
    answer["copied again"] = told(c.copy_model_version(f"models:/{name}/2", w.name("copied")))
    return answer


def main():
    world = World(sys.argv[1])
    answers = {}
    for name, function in STEPS.items():
        try:
            answers[name] = function(world)
        except Exception as error:  # noqa: BLE001 -- told instead of the answer
            answers[name] = f"{type(error).__name__}: {re.sub(UNIQUE, '', str(error))[:500]}"
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
