"""Environments of a local cluster: virtual environments that `uv` makes, one folder for each key. See docs/adr/0032.

    <environments_root>/ready/<key>      whole: put here by one rename, and shown to the jobs, who cannot list the folder
                        building/        what is being made; nothing else looks here
                        cache/           what was downloaded

SECURITY: nothing here trusts what it builds. The tools run as a user that no job has, in a sandbox where there is one, and
see only their own folder. Packages come as wheels, whose code is not run; where the operator lets others in, each build has
a cache of its own, so that the code of one tenant's package cannot change another's.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata, util
from pathlib import Path

from typing_extensions import override

from apps.compute.backends.base import BuildFailed, EnvironmentBuilder, Tell, Unavailable
from apps.compute.backends.local import files, sandbox
from apps.compute.backends.local.builders import Tools, named_in, readable
from apps.compute.backends.local.interpreters import Interpreter, interpreters
from apps.compute.backends.local.sandbox import READY, Isolation
from apps.compute.backends.local.settings import LocalSettings
from apps.compute.contract import Recipe

_SDK = "fathom"
_MOST_LOCK_BYTES = 8 << 20
_LOCK, _WANTED, _VENV = "lock.txt", "packages.txt", "venv"


class LocalEnvironments(EnvironmentBuilder):
    """The part of the local backend that builds environments."""

    settings: LocalSettings

    @override
    def platform_of(self, recipe: Recipe) -> str:
        if recipe.r_packages:
            msg = "a local cluster installs Python packages only: this environment also asks for R packages"
            raise BuildFailed(msg)
        return self._interpreter(recipe).platform

    @override
    def lock(self, recipe: Recipe, tell: Tell) -> str:
        python = self._interpreter(recipe)
        with self._workplace("lock") as tools:
            tools.write(_WANTED, "\n".join([*recipe.packages, *_of_the_sdk()]) + "\n")
            self._compile(tools, python, recipe, tell)
            return _read(tools.folder / _LOCK)

    @override
    def build(self, key: str, recipe: Recipe, lock: str, tell: Tell) -> int:
        if self.has_environment(key):
            return 0
        python = self._interpreter(recipe)
        for left in (self._home() / "building").glob(
            f"{key}.*"
        ):  # of a builder that was killed: we alone build this key
            files.remove_tree(left)
        with self._workplace(key) as tools:
            tools.write(_LOCK, lock)
            self._install(tools, python, recipe, tell)
            size = _close(tools.folder / _VENV, owner=os.geteuid() if tools.uid >= 0 else -1)
            self._put_in_place(tools.folder / _VENV, key)
        return size

    @override
    def has_environment(self, key: str) -> bool:
        return self.environment_folder(key).is_dir()

    @override
    def remove_environment(self, key: str) -> None:
        folder = self.environment_folder(key)
        if not folder.is_dir():
            return
        dead = Path(tempfile.mkdtemp(prefix=".dead-", dir=self._home() / "building"))
        try:
            folder.rename(dead / key)
        except FileNotFoundError:  # somebody else removes it
            pass
        finally:
            files.remove_tree(dead)

    def environment_folder(self, key: str) -> Path:
        """Return where the environment of that key stands, or would."""
        return sandbox.environments_root(self.settings, self._isolation().mode) / READY / key

    # -- the steps

    def _compile(self, tools: Tools, python: Interpreter, recipe: Recipe, tell: Tell) -> None:
        words = [
            "pip", "compile", _WANTED, "--quiet", "--output-file", _LOCK, "--python", python.path, "--generate-hashes", "--no-header",
            "--no-annotate", *self._wheels_only(),
        ]  # fmt: skip
        code, said = tools.uv(words, tell)
        if code == 0:
            return
        lines = [*recipe.packages, *_of_the_sdk()]
        guilty = named_in(said, lines)
        if len(guilty) > 1:  # one of them alone, or all of them together
            alone = [line for line in guilty if self._fails_alone(tools, python, lines[line - 1], tell)]
            guilty = alone[:1] or guilty
        raise BuildFailed(
            _blame(guilty, recipe.packages) + readable(said), [n for n in guilty if n <= len(recipe.packages)]
        )

    def _fails_alone(self, tools: Tools, python: Interpreter, line: str, tell: Tell) -> bool:
        tools.write(_WANTED, f"{line}\n")
        words = ["pip", "compile", _WANTED, "--quiet", "--python", python.path, *self._wheels_only()]
        return tools.uv(words, tell, is_quiet=True)[0] != 0

    def _install(self, tools: Tools, python: Interpreter, recipe: Recipe, tell: Tell) -> None:
        steps = (
            ["venv", _VENV, "--relocatable", "--python", python.path, "--no-project"],
            ["pip", "sync", _LOCK, "--require-hashes", "--python", f"{_VENV}/bin/python", *self._wheels_only()],
        )
        for words in steps:
            code, said = tools.uv(words, tell)
            if code != 0:
                guilty = named_in(said, recipe.packages)
                raise BuildFailed(_blame(guilty, recipe.packages) + readable(said), guilty)
            if words[0] == "venv":  # before anything else is in it
                _add_sdk(tools.folder / _VENV, owner=tools.uid)
        # By the plain interpreter: that of the environment would run what packages have it run at its start.
        tools.run([python.path, "-I", "-S", "-m", "compileall", "-q", f"{_VENV}/lib"], tell)

    def _wheels_only(self) -> list[str]:
        return [] if self.settings.source_packages else ["--only-binary", ":all:"]

    def _put_in_place(self, folder: Path, key: str) -> None:
        os.sync()  # what has its name must be whole, also after a power failure
        try:
            folder.rename(self.environment_folder(key))
        except OSError:
            if not self.has_environment(key):
                raise

    # -- places

    def _interpreter(self, recipe: Recipe) -> Interpreter:
        known = interpreters((self.settings.python, *self.settings.pythons))
        if not known:
            msg = "none of the cluster's interpreters can be started"
            raise Unavailable(msg)
        if not recipe.python:
            return next(iter(known.values()))
        if recipe.python not in known:
            msg = f"this cluster has no Python {recipe.python}; it has {', '.join(known)}"
            raise BuildFailed(msg)
        return known[recipe.python]

    def _isolation(self) -> Isolation:
        found = sandbox.isolation(self.settings)
        if not found.mode:
            raise Unavailable(found.warnings[0])
        return found

    def _home(self) -> Path:
        """Return the folder of the environments, made on first use."""
        root = sandbox.environments_root(self.settings, self._isolation().mode)
        prepare_root(root)
        return root

    @contextmanager
    def _workplace(self, name: str) -> Iterator[Tools]:
        """Give the tools a folder and a cache that are theirs. Raises: Unavailable when the disk will not have it."""
        found, settings = self._isolation(), self.settings
        uid = settings.uid_base + settings.uid_count if found.own_users else -1
        try:
            root = self._home()
            files.remove_stale(root / "building", prefixes=(".", "lock.", *"0123456789abcdef"))
            folder = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=root / "building"))
        except OSError as error:
            msg = f"the folder of the environments cannot be used: {error.strerror or error}"
            raise Unavailable(msg) from error
        try:
            cache = folder / "cache" if settings.source_packages else root / "cache"
            cache.mkdir(mode=0o700, exist_ok=True)
            for path in (folder, cache) if uid >= 0 else ():
                os.chown(path, uid, uid)
            yield Tools(settings, found, folder, cache, uid)
        except OSError as error:
            msg = f"the environment cannot be written: {error.strerror or error}"
            raise Unavailable(msg) from error
        finally:
            files.remove_tree(folder)


def prepare_root(root: Path) -> None:
    """Make the folders. SECURITY: jobs may go through `ready` to what they know the key of, and not list it."""
    for folder, mode in ((root, 0o711), (root / "building", 0o711), (root / READY, 0o311)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(folder.stat().st_mode) != mode:
            folder.chmod(mode)


def _of_the_sdk() -> list[str]:
    """Return what the SDK needs, which is in every environment; nothing where it is not installed."""
    try:
        return [line for line in metadata.requires(_SDK) or () if "extra ==" not in line]
    except metadata.PackageNotFoundError:
        return []


def _add_sdk(venv: Path, *, owner: int) -> None:
    found = util.find_spec(_SDK)
    if found is None or not found.submodule_search_locations:
        return
    site = next(venv.glob("lib/python3.*/site-packages"))
    source = next(iter(found.submodule_search_locations))
    shutil.copytree(source, site / _SDK, ignore=shutil.ignore_patterns("__pycache__"))
    _close(site / _SDK, owner=owner)


def _read(path: Path) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, encoding="utf-8") as file:
        text = file.read(_MOST_LOCK_BYTES + 1)
    if len(text) > _MOST_LOCK_BYTES:
        msg = "its packages need too many others: the lock is too long"
        raise BuildFailed(msg)
    return text


def _blame(guilty: Sequence[int], packages: Sequence[str]) -> str:
    """Name the lines that broke it, before what the tool said."""
    named = [f"line {line} ({packages[line - 1]})" for line in guilty if line <= len(packages)]
    if not named:
        return "what Fathom's SDK needs: " if guilty else ""
    return f"{' and '.join(named)}: "


def _close(venv: Path, *, owner: int) -> int:
    """Take what was built from the user who built it, readable for all and writable for none; return its size."""
    size = 0
    for folder, names, leaves in os.walk(venv):
        for path in (folder, *(os.path.join(folder, name) for name in (*names, *leaves))):
            status = os.lstat(path)
            if owner >= 0:
                os.lchown(path, owner, owner)
            if stat.S_ISLNK(status.st_mode):
                continue
            is_open = stat.S_ISDIR(status.st_mode) or status.st_mode & 0o111
            os.chmod(path, 0o755 if is_open else 0o644)
            size += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return size
