"""What MLflow's client does with files, of any version, against any server: prints what came of it, as JSON.

It is run by the Python of a client's environment, so it imports nothing of ours.
"""

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE"] = str(6 << 20)
os.environ["MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE"] = str(5 << 20)
os.environ["MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE"] = str(1 << 20)
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

mlflow.set_tracking_uri(sys.argv[1])
client = MlflowClient(sys.argv[1])
experiment = client.create_experiment(f"files {os.getpid()} {mlflow.__version__}")
run = client.create_run(experiment).info
told = {}
BIG = bytes(range(256)) * (12 << 12)


def listed(path=None):
    return [[f.path, f.is_dir, f.file_size] for f in client.list_artifacts(run.run_id, path)]


def outcome(call, *args):
    try:
        call(*args)
    except Exception as error:  # noqa: BLE001 -- whatever the client makes of it
        return type(error).__name__
    return None


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


with tempfile.TemporaryDirectory() as folder:
    root = Path(folder)
    (root / "one.txt").write_text("one")
    (root / "empty").write_bytes(b"")
    (root / "with space & é.txt").write_text("odd")
    (root / "big.bin").write_bytes(BIG)
    (root / "tree/sub").mkdir(parents=True)
    (root / "tree/a.csv").write_text("a,b\n1,2\n")
    (root / "tree/sub/b.json").write_text("{}")
    client.log_artifact(run.run_id, str(root / "one.txt"))
    client.log_artifact(run.run_id, str(root / "one.txt"), "deep/er")
    client.log_artifact(run.run_id, str(root / "empty"))
    client.log_artifact(run.run_id, str(root / "with space & é.txt"))
    client.log_artifact(run.run_id, str(root / "big.bin"), "large")
    client.log_artifacts(run.run_id, str(root / "tree"), "tree")
    client.log_text(run.run_id, "text", "notes/text.txt")
    client.log_dict(run.run_id, {"a": [1, 2]}, "notes/dict.json")
    client.log_dict(run.run_id, {"a": 1}, "notes/dict.yml")
    told["top"], told["tree"], told["sub"] = listed(), listed("tree"), listed("tree/sub")
    told["of a file"], told["of nothing"] = listed("one.txt"), listed("nothing")
    (root / "one.txt").write_text("another")
    client.log_artifact(run.run_id, str(root / "one.txt"))
    target = root / "out"
    target.mkdir()
    told["whole"] = sorted(
        [str(path.relative_to(target)), digest(path)]
        for path in Path(client.download_artifacts(run.run_id, "", str(target))).rglob("*")
        if path.is_file()
    )
    told["one"] = Path(client.download_artifacts(run.run_id, "one.txt", str(root))).read_text()
    told["big"] = (
        digest(client.download_artifacts(run.run_id, "large/big.bin", str(root))) == hashlib.sha256(BIG).hexdigest()
    )
    told["folder"] = sorted(
        path.name for path in Path(client.download_artifacts(run.run_id, "tree", str(root / "out"))).iterdir()
    )
    told["absent"] = outcome(client.download_artifacts, run.run_id, "nothing.txt", str(root)) is not None
    told["text"] = mlflow.artifacts.load_text(run.artifact_uri + "/notes/text.txt")
    told["dict"] = mlflow.artifacts.load_dict(run.artifact_uri + "/notes/dict.json")
    told["escape"] = outcome(client.log_artifact, run.run_id, str(root / "one.txt"), "../../x") is not None
    try:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        repository = get_artifact_repository(client.get_run(run.run_id).info.artifact_uri)
        repository.delete_artifacts("tree")
        repository.delete_artifacts("one.txt")
        told["after"] = listed()
    except MlflowException as error:
        told["after"] = str(error)
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt

        figure, _ = plt.subplots()
        client.log_figure(run.run_id, figure, "figure.png")
        told["figure"] = any(path == "figure.png" and size > 1000 for path, _, size in listed())
    except ImportError:
        told["figure"] = True
print(json.dumps(told, sort_keys=True))
