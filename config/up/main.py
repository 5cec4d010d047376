"""The supervisor's start: arguments in, a running platform and its ready line out."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config.embedded.errors import StartError
from config.env import REPOSITORY, BadSettingError, env_int, env_path, env_str
from config.up.output import Console
from config.up.supervisor import Interrupted, Supervisor


@dataclass(frozen=True, slots=True)
class Options:
    """What `up` was asked to do."""

    home: Path
    host: str
    port: int
    content_port: int
    url: str
    worker: bool = True
    sample: bool = False
    color: bool | None = None


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line. Exits with a sentence when it cannot be understood."""
    parser = argparse.ArgumentParser(prog="manage.py up", description="Start the whole platform on this machine.")
    parser.add_argument(
        "--home", type=Path, default=env_path("FATHOM_HOME", REPOSITORY / ".fathom"), help="data folder"
    )
    parser.add_argument("--host", default=env_str("FATHOM_HOST", "127.0.0.1"), help="address to listen on")
    parser.add_argument(
        "--port", type=int, default=env_int("FATHOM_PORT", 8080, high=65535), help="the platform's port"
    )
    parser.add_argument(
        "--content-port",
        type=int,
        default=env_int("FATHOM_CONTENT_PORT", 8081, high=65535),
        help="port of the second origin, for what users have made",
    )
    parser.add_argument("--no-worker", action="store_true", help="start no worker: one runs elsewhere")
    parser.add_argument("--sample", action="store_true", help="run examples/digits when the platform is ready")
    parser.add_argument("--no-color", action="store_true", help="plain output")
    # Every management command takes these; here they mean nothing.
    parser.add_argument("--settings", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.no_color:
        os.environ["NO_COLOR"] = "1"
    if given.settings:
        os.environ["DJANGO_SETTINGS_MODULE"] = given.settings
    shown_host = "127.0.0.1" if given.host in {"0.0.0.0", "::"} else given.host  # noqa: S104 -- compared, not bound
    return Options(
        home=given.home.expanduser().absolute(),
        host=given.host,
        port=given.port,
        content_port=given.content_port,
        url=env_str("FATHOM_URL", f"http://{shown_host}:{given.port}").rstrip("/"),
        worker=not given.no_worker,
        sample=given.sample,
    )


def main(arguments: Sequence[str]) -> int:
    """Run the platform until it is told to stop. Return the exit code."""
    began = time.monotonic()
    os.umask(0o077)
    console = Console()
    try:
        options = parse(arguments)
        supervisor = Supervisor(options, console, began)
    except (StartError, BadSettingError) as error:
        print(f"Fathom did not start. {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # nothing has been started yet
        return 0

    def stop(_number: int, _frame: object) -> None:
        supervisor.stop_asked += 1

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    failure = ""
    try:
        supervisor.start()
        supervisor.run()
    except StartError as error:
        failure = str(error)
    except Interrupted:
        pass
    finally:
        supervisor.stop()
    if failure:  # last, where it is seen
        print(f"Fathom did not start. {failure}", file=sys.stderr)
    return 1 if failure else 0
