"""`fathom.autolog()`: what a library does while it trains is logged to the present run.

The hooks into scikit-learn, PyTorch Lightning, Keras, XGBoost and others are those of MLflow's client, which are kept well; here
they are pointed at Fathom and at the run that `fathom` tracks.
"""

import os
from typing import Any

from fathom import tracking
from fathom.config import resolve
from fathom.errors import FathomError


def autolog(*, log_models: bool = False, **options: Any) -> None:
    """Log params and metrics of what is trained from now on, to the job's run or to the one that `start_run` began.

    `options` are those of `mlflow.autolog`. With `log_models` the trained models are kept too.
    Raises: FathomError when MLflow's client is not installed, NotConfigured without a platform.
    """
    try:
        import mlflow  # noqa: PLC0415 -- wanted here only, and slow
    except ImportError as error:
        message = "fathom.autolog uses the hooks of MLflow's client: pip install mlflow-skinny"
        raise FathomError(message) from error
    connection = resolve()
    os.environ["MLFLOW_TRACKING_TOKEN"] = connection.token() or ""
    mlflow.set_tracking_uri(connection.url)
    run = tracking.active_run() or tracking.start_run()
    if run.id is None:
        message = "Without a platform nothing is logged by itself: fathom.autolog needs one that answers."
        raise FathomError(message)
    if mlflow.active_run() is None:
        mlflow.start_run(run_id=run.id.replace("-", ""))
    mlflow.autolog(log_models=log_models, **options)
