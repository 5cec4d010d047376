"""One script for MLflow's client, of any version, against any server: prints what the server answered, as JSON.

It is run by the Python of a client's environment, so it imports nothing of ours. What differs between any two servers,
ids and the time of the server, is replaced: ids by the order in which they were met.
"""

import json
import math
import re
import sys
import tempfile
import time
from pathlib import Path

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

MAJOR = int(mlflow.__version__.split(".")[0])
HAS_FILES = "--files" in sys.argv
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


def number(value):
    return value if isinstance(value, (int, str)) or math.isfinite(value) else repr(value)


def told(run):
    info, data = run.info, run.data
    tags = {
        key: value for key, value in data.tags.items() if not key.startswith("mlflow.source") and key != "mlflow.user"
    }
    return {
        "name": info.run_name,
        "status": info.status,
        "stage": info.lifecycle_stage,
        "start": info.start_time,
        "end": info.end_time if info.end_time is None or info.end_time < T0 + 10**9 else "now",
        "params": data.params,
        "metrics": {k: number(v) for k, v in data.metrics.items()},
        "tags": tags,
        "same": info.run_id in info.artifact_uri and info.experiment_id == run.info.experiment_id,
    }


class World:
    """The client, an experiment of its own, and some runs with known records."""

    def __init__(self, uri):
        mlflow.set_tracking_uri(uri)
        self.client = MlflowClient(uri)
        self.experiment = self.client.create_experiment(f"main-{UNIQUE}", tags={"kind": "test", "b": "2"})
        self.runs = []
        for number_ in range(6):
            run = self.client.create_run(
                self.experiment,
                start_time=T0 + number_ * 1000,
                tags={"group": "ab"[number_ % 2]},
                run_name=f"run {number_}",
            )
            run_id = run.info.run_id
            self.runs.append(run_id)
            self.client.log_param(run_id, "lr", ["0.1", "0.01"][number_ % 2])
            self.client.log_param(run_id, "depth", str(number_))
            for at in range(3):
                self.client.log_metric(run_id, "loss", 1.0 / (1 + number_ + at), timestamp=T0 + at, step=at)
            if number_ < 4:
                value = [0.5, float("nan"), 0.9, 0.7][number_]
                self.client.log_metric(run_id, "acc", value, timestamp=T0, step=0)
            if number_ % 2 == 0:
                self.client.set_terminated(run_id, "FINISHED", end_time=T0 + 500_000 + number_)
        self.fresh = 0

    def names(self, runs):
        return [run.info.run_name for run in runs]

    def search(self, text="", order=None, view=ViewType.ACTIVE_ONLY, **more):
        return self.names(self.client.search_runs([self.experiment], text, view, order_by=order, **more))

    def new_run(self, **more):
        self.fresh += 1
        other = getattr(self, "other", None) or self.client.create_experiment(f"other-{UNIQUE}")
        self.other = other
        return self.client.create_run(other, run_name=f"fresh {self.fresh}", start_time=T0, **more).info.run_id


@step
def experiments(w):
    c = w.client
    made = c.create_experiment(f"second-{UNIQUE}")
    by_id, by_name = c.get_experiment(made), c.get_experiment_by_name(f"second-{UNIQUE}")
    answer = {
        "same": by_id.experiment_id == by_name.experiment_id == made,
        "stage": by_id.lifecycle_stage,
        "twice": code_of(c.create_experiment, f"second-{UNIQUE}"),
        "none": c.get_experiment_by_name(f"none-{UNIQUE}"),
        "unknown": code_of(c.get_experiment, "123456789"),
        "tags": dict(c.get_experiment(w.experiment).tags),
    }
    c.set_experiment_tag(made, "k", "v")
    c.set_experiment_tag(made, "k", "w")
    c.rename_experiment(made, f"renamed-{UNIQUE}")
    after = c.get_experiment(made)
    answer["after"] = [after.name.replace(UNIQUE, ""), dict(after.tags)]
    run = c.create_run(made, start_time=T0).info.run_id
    c.delete_experiment(made)
    answer["deleted"] = [
        c.get_experiment(made).lifecycle_stage,
        c.get_run(run).info.lifecycle_stage,
        code_of(c.create_run, made),
        code_of(c.set_experiment_tag, made, "k", "x"),
        code_of(c.delete_experiment, made),
        code_of(c.create_experiment, f"renamed-{UNIQUE}"),
    ]
    c.restore_experiment(made)
    answer["restored"] = [c.get_experiment(made).lifecycle_stage, code_of(c.restore_experiment, made)]
    return answer


@step
def search_experiments(w):
    c = w.client
    names = [f"s{number_}-{UNIQUE}" for number_ in (3, 1, 2)]
    for number_, name in enumerate(names):
        c.create_experiment(name, tags={"n": str(number_), UNIQUE: "yes"})
        time.sleep(0.005)

    def found(text, **more):
        return [
            e.name.replace(UNIQUE, "")
            for e in c.search_experiments(filter_string=f"tags.`{UNIQUE}` = 'yes'{text}", **more)
        ]

    pages, token = [], None
    while True:
        page = c.search_experiments(
            filter_string=f"tags.`{UNIQUE}` = 'yes'", max_results=2, page_token=token, order_by=["name"]
        )
        pages.append([e.name.replace(UNIQUE, "") for e in page])
        token = page.token
        if not token:
            break
    return [
        found(""),
        found(" AND name LIKE 's1%'"),
        found(" and name ILIKE 'S1%'"),
        found(" AND tags.n != '1'"),
        found("", order_by=["name DESC"]),
        found("", order_by=["name asc"]),
        found(f" AND name = '{names[0]}'"),
        pages,
        code_of(c.search_experiments, filter_string="nothing"),
        code_of(c.search_experiments, filter_string="attr.x = 'y'"),
        code_of(c.search_experiments, max_results=0),
        code_of(c.search_experiments, order_by=["what"]),
        code_of(c.search_experiments, max_results=1_000_000),
    ]


@step
def runs(w):
    c = w.client
    run = w.new_run(tags={"mlflow.parentRunId": w.runs[0], "x": "1"})
    answer = {"new": told(c.get_run(run)), "seeded": [told(c.get_run(r)) for r in w.runs]}
    answer["new"]["tags"].pop("mlflow.parentRunId")
    c.set_tag(run, "x", "2")
    c.delete_tag(run, "x")
    answer["no tag"] = code_of(c.delete_tag, run, "x")
    c.set_tag(run, "mlflow.runName", "named by tag")
    answer["named"] = [c.get_run(run).info.run_name, c.get_run(run).data.tags["mlflow.runName"]]
    c.update_run(run, name="renamed")
    answer["renamed"] = [c.get_run(run).info.run_name, c.get_run(run).data.tags["mlflow.runName"]]
    c.set_terminated(run, "FAILED", end_time=T0 + 5)
    answer["ended"] = [c.get_run(run).info.status, c.get_run(run).info.end_time]
    c.update_run(run, status="RUNNING")
    answer["resumed"] = c.get_run(run).info.status
    c.set_terminated(run, "KILLED", end_time=T0 + 6)
    answer["killed"] = [c.get_run(run).info.status, c.get_run(run).info.end_time]
    c.delete_run(run)
    answer["deleted"] = [
        c.get_run(run).info.lifecycle_stage,
        code_of(c.log_param, run, "a", "b"),
        code_of(c.set_tag, run, "a", "b"),
        code_of(c.log_metric, run, "a", 1),
        code_of(c.log_batch, run, [Metric("a", 1, T0, 0)]),
        code_of(c.delete_run, run),
    ]
    c.restore_run(run)
    answer["restored"] = [c.get_run(run).info.lifecycle_stage, code_of(c.restore_run, run)]
    answer["unknown"] = [
        code_of(c.get_run, "0" * 32),
        code_of(c.log_param, "0" * 32, "a", "b"),
        code_of(c.create_run, "123456789"),
    ]
    return answer


@step
def logging(w):
    c, run = w.client, w.new_run()
    c.log_param(run, "p", 1)
    c.log_param(run, "p", 1)
    answer = {"changed": code_of(c.log_param, run, "p", 2)}
    c.log_batch(
        run,
        [Metric("m", value, T0 + at, at) for at, value in enumerate([1.0, -2.5, 1e300, 0.1])],
        [Param("q", "x" * 500), Param("ümläut/ä b.c-d_e", "ß")],
        [RunTag("t", "1"), RunTag("u", "y" * 2000)],
    )
    answer["changed in a batch"] = code_of(
        c.log_batch, run, [Metric("lost", 1, T0, 0)], [Param("new", "1"), Param("p", "3")]
    )
    c.log_metric(run, "late", 5, timestamp=T0 + 5, step=5)
    c.log_metric(run, "late", 3, timestamp=T0 + 3, step=3)
    c.log_metric(run, "late", 9, timestamp=T0 + 9, step=5)
    c.log_metric(run, "nan", float("nan"), timestamp=T0, step=0)
    c.log_batch(run, [Metric("again", 1, T0, 0), Metric("again", 1, T0, 0), Metric("again", 2, T0 + 1, 0)])
    c.log_batch(run, [Metric("again", 1, T0, 0), Metric("again", 1, T0, 0), Metric("again", 2, T0 + 1, 0)])
    c.log_batch(run, tags=[RunTag("t", "2")])
    c.log_batch(run)
    answer["run"] = told(c.get_run(run))
    answer["histories"] = {
        key: [[number(m.value), m.timestamp, m.step] for m in c.get_metric_history(run, key)]
        for key in ("m", "late", "nan", "again", "none")
    }
    return answer


@step
def large_history(w):
    c, run = w.client, w.new_run()
    for part in range(3):
        c.log_batch(run, [Metric("long", part * 1000 + n, T0 + part * 1000 + n, part * 1000 + n) for n in range(1000)])
    points = c.get_metric_history(run, "long")
    return [len(points), points[0].value, points[-1].value, [p.step for p in points] == list(range(3000))]


FILTERS = [
    "", "metrics.loss < 0.2", "metrics.loss >= 0.2", "metric.loss != 0.2", "metrics.acc > 0.6", "metrics.acc <= 0.7",
    "params.lr = '0.1'", "params.lr != '0.1'", "param.depth IN ('1')", "params.lr LIKE '0.0%'", "params.lr ILIKE '0.%1'",
    "tags.group = 'a'", "tag.group != 'a'", "tags.group LIKE '_'", 'tags.`group` = "b"', "tags.\"group\" = 'b'",
    "attributes.status = 'FINISHED'", "status != 'FINISHED'", "attr.run_name = 'run 3'", "run_name LIKE 'run%'",
    "run_name ILIKE 'RUN _'", "attribute.start_time > 1700000002000", "start_time <= 1700000002000",
    "end_time > 1700000500001", "created > 1700000004000", "tags.mlflow.runName = 'run 1'", "tags.`mlflow.runName` LIKE '%2'",
    "metrics.loss < 0.3 AND params.lr = '0.1' and tags.group = 'a'", "metrics.`loss` < 0.2", "metrics.none > 0",
    "params.none = 'x'", "tags.none != 'x'", "metrics.loss < 1e-1", "metrics.loss > -1",
    "metrics.loss = 'x'", "params.lr = 0.1", "metrics.loss LIKE 'x'", "nothing.x = 'y'", "attributes.what = 'x'", "metrics.loss",
    "metrics.loss <", "= 3", "params.lr = '0.1' OR params.lr = '0.01'", "params.lr = '0.1", "''''",
    "user_id = 'nobody-at-all'", "params.lr = '\\'", "params.lr LIKE '\\'",
    "params.lr LIKE '%'",
]  # fmt: skip
ORDERS = [
    [], ["metrics.loss"], ["metrics.loss DESC"], ["metrics.acc"], ["metrics.acc DESC"], ["metrics.acc ASC", "params.lr"],
    ["params.depth DESC"], ["params.none"], ["tags.group", "start_time ASC"], ["attributes.start_time"], ["start_time desc"],
    ["status", "run_name DESC"], ["end_time"], ["end_time DESC"], ["metrics.`acc` DESC", "metrics.loss"], ["run_name"],
    ["what"], ["metrics.loss sideways"], ["attributes.what"], ["metrics"], ["created DESC"],
    ["params.lr", "metrics.acc DESC"], ["metrics.none"], ["tags.none DESC"],
]  # fmt: skip


@step
def filters(w):
    answer = {}
    for text in FILTERS:
        try:
            answer[text] = w.search(text)
        except MlflowException as error:
            answer[text] = error.error_code
    return answer


@step
def orders(w):
    answer = {}
    for order in ORDERS:
        try:
            answer[str(order)] = w.search("", order)
        except MlflowException as error:
            answer[str(order)] = error.error_code
    return answer


@step
def pages(w):
    answer = []
    for order in (None, ["metrics.acc DESC"], ["params.lr"]):
        token, found = None, []
        while True:
            page = w.client.search_runs([w.experiment], "", max_results=2, page_token=token, order_by=order)
            found.append(w.names(page))
            token = page.token
            if not token:
                break
        answer.append(found)
    answer.append(code_of(w.client.search_runs, [w.experiment], max_results=0))
    answer.append(w.search(max_results=3))
    answer.append([w.names(w.client.search_runs([w.experiment, "987654321"], "run_name = 'run 1'"))])
    return answer


@step
def views(w):
    c = w.client
    run = c.create_run(w.experiment, run_name="gone", start_time=T0 - 1).info.run_id
    c.delete_run(run)
    return [w.search(view=view) for view in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL)]


@step
def nested(w):
    mlflow.set_experiment(experiment_id=w.experiment)
    with mlflow.start_run(run_name="parent") as parent:
        mlflow.log_metric("a", 1)
        with mlflow.start_run(run_name="child", nested=True) as child:
            mlflow.log_param("b", 2)
            mlflow.log_metrics({"c": 3.0, "d": 4.0}, step=1)
    c = w.client
    ids = [parent.info.run_id, child.info.run_id]
    kept = c.search_runs([w.experiment], f"tags.mlflow.parentRunId = '{ids[0]}'")
    answer = [
        w.names(kept),
        c.get_run(ids[1]).data.tags["mlflow.parentRunId"] == ids[0],
        c.get_run(ids[1]).data.metrics,
    ]
    answer.append([c.get_run(one).info.status for one in ids])
    with mlflow.start_run(run_id=ids[0]):
        mlflow.set_tag("resumed", "yes")
        answer.append(c.get_run(ids[0]).info.status)
    answer.append([c.get_run(ids[0]).info.status, c.get_run(ids[0]).data.tags["resumed"]])
    for one in ids:
        c.delete_run(one)
    return answer


@step
def datasets(w):
    c = w.client
    run = w.new_run()

    def one(name, digest, context, **more):
        return DatasetInput(Dataset(name, digest, "local", "here", **more), [InputTag("mlflow.data.context", context)])

    c.log_inputs(run, [one("digits", "abc", "training", schema="{}", profile='{"n": 1}'), one("iris", "def", "test")])
    c.log_inputs(run, [one("digits", "abc", "training")])
    inputs = c.get_run(run).inputs.dataset_inputs
    shown = sorted(
        [i.dataset.name, i.dataset.digest, i.dataset.source_type, i.dataset.source, i.dataset.schema, i.dataset.profile,
         sorted((t.key, t.value) for t in i.tags)] for i in inputs
    )  # fmt: skip

    def found(text):
        return len(c.search_runs([w.other], text))

    return [
        shown,
        found("dataset.name = 'digits'"),
        found("datasets.digest = 'xyz'"),
        found("dataset.context = 'test'"),
        found("dataset.name LIKE 'di%' AND dataset.context = 'training'"),
        found("dataset.name IN ('iris', 'x')"),
        code_of(c.search_runs, [w.other], "dataset.what = 'x'"),
    ]


@step
def bulk(w):
    """What the web interface of MLflow asks for, and the newer clients too."""

    def ask(path, query):
        from mlflow.utils.rest_utils import http_request

        reply = http_request(w.client._tracking_client.store.get_host_creds(), path, "GET", params=query, max_retries=0)
        body = reply.json()
        if reply.status_code != 200:
            return [reply.status_code, body.get("error_code")]
        return [
            [w.runs.index(m["run_id"]), m["key"], number(m["value"]), m["timestamp"], m["step"]]
            for m in body.get("metrics", [])
        ]

    pair = sorted(w.runs[:2])
    both = {"run_id": pair, "metric_key": "loss"}
    interval = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
    return [
        sorted(ask("/ajax-api/2.0/mlflow/metrics/get-history-bulk", both)),
        ask("/ajax-api/2.0/mlflow/metrics/get-history-bulk", {**both, "max_results": 0}),
        ask("/ajax-api/2.0/mlflow/metrics/get-history-bulk", {"metric_key": "loss"}),
        sorted(ask(interval, {"run_ids": pair, "metric_key": "loss"})),
        sorted(ask(interval, {"run_ids": w.runs[0], "metric_key": "loss", "start_step": 1, "end_step": 2})),
        ask(interval, {"run_ids": w.runs[0], "metric_key": "loss", "start_step": 2, "end_step": 1}),
        ask(interval, {"run_ids": w.runs[0], "metric_key": "loss", "start_step": 2}),
        sorted(ask(interval, {"run_ids": w.runs[0], "metric_key": "loss", "max_results": 2})),
    ]


@step
def logged_models(w):
    if MAJOR < 3:
        return None
    c = w.client
    run = w.new_run()
    model = c.create_logged_model(
        w.other, name="net", source_run_id=run, tags={"a": "1"}, params={"p": "2"}, model_type="mlp"
    )
    other = c.create_logged_model(w.other, name="tree", params={"p": "3"})
    answer = {
        "new": [str(model.status), model.name, model.model_type, model.tags, model.params, model.source_run_id == run]
    }
    answer["alone"] = other.source_run_id
    c.finalize_logged_model(model.model_id, "READY")
    c.set_logged_model_tags(model.model_id, {"b": "2", "a": "3"})
    c.delete_logged_model_tag(model.model_id, "b")
    answer["no tag"] = code_of(c.delete_logged_model_tag, model.model_id, "b")
    c.log_model_params(model.model_id, {"q": "9"})
    c.log_metric(run, "score", 0.5, timestamp=T0, step=1, model_id=model.model_id, dataset_name="d", dataset_digest="x")
    c.log_metric(
        run, "score", 0.75, timestamp=T0 + 1, step=2, model_id=model.model_id, dataset_name="d", dataset_digest="x"
    )
    from mlflow.entities import LoggedModelInput, LoggedModelOutput

    c.log_outputs(run, [LoggedModelOutput(model.model_id, step=7)])
    c.log_inputs(run, models=[LoggedModelInput(other.model_id)])
    seen = c.get_logged_model(model.model_id)
    answer["seen"] = [
        str(seen.status),
        seen.tags,
        seen.params,
        sorted({(m.key, m.dataset_name, m.dataset_digest) for m in seen.metrics}),
    ]
    linked = c.get_run(run)
    answer["linked"] = [
        [(o.model_id == model.model_id, o.step) for o in linked.outputs.model_outputs],
        [i.model_id == other.model_id for i in linked.inputs.model_inputs],
    ]

    def found(text=None, **more):
        return [m.name for m in c.search_logged_models([w.other], filter_string=text, **more)]

    by_name = [{"field_name": "name", "ascending": True}]
    answer["found"] = [
        found(order_by=by_name),
        found("name = 'net'"),
        found("params.p = '3'"),
        found("tags.a != '1'"),
        found("model_type LIKE 'm%'"),
        found("metrics.score > 0.7"),
        found(f"source_run_id = '{run}'"),
        found(f"model_id = '{other.model_id}'"),
        found(order_by=[{"field_name": "name", "ascending": False}]),
        found(order_by=[{"field_name": "metrics.score", "ascending": False}]),
        found("creation_timestamp > 0", order_by=by_name),
        found(datasets=[{"dataset_name": "d", "dataset_digest": "x"}]),
        found(datasets=[{"dataset_name": "e", "dataset_digest": "x"}]),
        found(max_results=1, order_by=by_name),
    ]
    c.delete_logged_model(other.model_id)
    answer["gone"] = [
        code_of(c.get_logged_model, other.model_id),
        found(),
        code_of(c.get_logged_model, "m-" + "0" * 32),
    ]
    return answer


@step
def errors(w):
    c, run = w.client, w.new_run()
    return [
        code_of(c.log_batch, run, [Metric("a", 1, T0, 0)], [Param("a", "1"), Param("a", "2")]),
        code_of(c.search_runs, [w.experiment], "metrics.loss < 1", page_token="nonsense!"),
        code_of(c.set_tag, run, "k", "x" * 9000) in {None, "INVALID_PARAMETER_VALUE"},
        code_of(c.create_experiment, ""),
    ]


@step
def files(w):
    if not HAS_FILES:
        return None
    c, run = w.client, w.new_run()
    c.log_text(run, "hello", "a/b/hello.txt")
    c.log_dict(run, {"x": 1}, "top.json")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "one").write_bytes(bytes(range(256)))
        c.log_artifacts(run, folder, "many")
        got = Path(c.download_artifacts(run, "a", folder))
        text = (got / "b" / "hello.txt").read_text()
    return [
        text,
        [
            [f.path, f.is_dir, f.file_size]
            for where in ("", "a", "a/b", "many", "none")
            for f in c.list_artifacts(run, where)
        ],
    ]


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
