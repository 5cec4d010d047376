"""The command line: `fathom`."""

import os
import sys
from importlib import import_module

import click

from fathom.cli import exits
from fathom.cli.state import State
from fathom.errors import FathomError

COMMANDS = {
    "access": "access",
    "artifacts": "tracked",
    "audit": "audit",
    "budget": "money",
    "clone": "experiments",
    "clusters": "account",
    "completion": "local",
    "credentials": "credentials",
    "delete": "experiments",
    "directory": "directory",
    "elevate": "sessions",
    "env": "environments",
    "events": "experiments",
    "invitations": "people",
    "lineage": "models",
    "list": "experiments",
    "login": "login",
    "logout": "login",
    "logs": "experiments",
    "metrics": "tracked",
    "model": "models",
    "organizations": "people",
    "password": "sessions",
    "projects": "account",
    "queue": "quota",
    "quota": "quota",
    "registrations": "people",
    "retry": "experiments",
    "run": "submit",
    "runs": "tracked",
    "share": "access",
    "sessions": "sessions",
    "show": "experiments",
    "stop": "experiments",
    "sync": "local",
    "teams": "teams",
    "token": "account",
    "tokens": "account",
    "unshare": "access",
    "usage": "account",
    "users": "people",
    "version": "local",
    "wait": "experiments",
    "whoami": "login",
    "why": "quota",
}


class LazyGroup(click.Group):
    """Loads the module of a command when that command is used: `fathom --help` and completion stay quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- the same
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"fathom.cli.{COMMANDS[cmd_name]}")
        command: click.Command = module.COMMANDS[cmd_name]
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--host", metavar="NAME", help="A named host of the configuration file, instead of the current one.")
@click.pass_context
def cli(ctx: click.Context, host: str | None) -> None:
    """Submit, follow and compare machine-learning work on a Fathom platform.

    \b
    Exit codes: 0 ok · 1 failed · 2 wrong usage or input · 3 not logged in · 4 not allowed · 5 not found
    6 conflict · 7 platform unavailable · 124 timed out · 130 interrupted. `run` and `wait` exit with the job's own.
    """  # noqa: D301 -- \b is click's mark for lines to keep
    ctx.obj = State(host=host)


def main() -> None:
    """The console script. Every error ends as a sentence and an exit code; FATHOM_DEBUG=1 shows the traceback."""
    try:
        result = cli.main(prog_name="fathom", standalone_mode=False)
        code = result if isinstance(result, int) else exits.OK
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain again when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = exits.OK
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        code = exits.INTERRUPTED
    except FathomError as error:
        _say(exits.sentences(error))
        code = exits.exit_code(error)
    except TimeoutError as error:
        _say(str(error))
        code = exits.TIMED_OUT
    except OSError as error:
        _say(str(error))
        code = exits.FAILED
    except Exception as error:
        if os.environ.get("FATHOM_DEBUG"):
            raise
        _say(f"Something unexpected happened ({type(error).__name__}: {error}). FATHOM_DEBUG=1 shows where.")
        code = exits.FAILED
    sys.exit(code)


def _say(text: str) -> None:
    click.echo(f"{click.style('Error:', fg='red')} {text}", err=True)
