"""Environments that are only written down. A package called "broken" cannot be built."""

from typing_extensions import override

from apps.compute.backends.base import BuildFailed, EnvironmentBuilder, Tell, Unavailable
from apps.compute.backends.fake.world import FakeWorld
from apps.compute.contract import Recipe

_PLATFORM = "fake-3.11"


class FakeEnvironments(EnvironmentBuilder):
    """The part of the fake backend that builds environments."""

    world: FakeWorld

    @override
    def platform_of(self, recipe: Recipe) -> str:
        if recipe.r_packages:
            msg = "the fake cluster has no R"
            raise BuildFailed(msg)
        return _PLATFORM

    @override
    def lock(self, recipe: Recipe, tell: Tell) -> str:
        self._there()
        tell(b"$ lock\n")
        broken = [number for number, line in enumerate(recipe.packages, 1) if line.startswith("broken")]
        if broken:
            msg = f"line {broken[0]} ({recipe.packages[broken[0] - 1]}): it is broken"
            raise BuildFailed(msg, broken)
        with self.world.lock:
            self.world.locks += 1
        return "\n".join(recipe.packages)

    @override
    def build(self, key: str, recipe: Recipe, lock: str, tell: Tell) -> int:
        self._there()
        tell(b"$ build\n")
        with self.world.lock:
            if key not in self.world.environments:
                self.world.environments.add(key)
                self.world.builds.append(key)
        return len(lock)

    @override
    def has_environment(self, key: str) -> bool:
        self._there()
        return key in self.world.environments

    @override
    def remove_environment(self, key: str) -> None:
        self._there()
        self.world.environments.discard(key)

    def _there(self) -> None:
        if not self.world.is_reachable:
            msg = "the fake cluster is switched off"
            raise Unavailable(msg)
