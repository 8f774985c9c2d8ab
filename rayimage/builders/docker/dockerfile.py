"""A build input → the Dockerfile that gives the same image, from the template in ``dockerfiles/``. Pure.

Everything that RUN does is in the text, so that it can be read, built by hand and adopted. What differs between an
Engine with BuildKit and one without is how wheels get to where they are installed: by mounts, or by COPY.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Final

from rayimage.base import ResolvedBase
from rayimage.builders.direct import BuildInput
from rayimage.builders.docker.run import loaded_name
from rayimage.errors import BaseImageError, ConfigError
from rayimage.image.plan import LayerKind
from rayimage.model.inventory import Inventory

__all__ = ["Recipe", "base_image", "recipe_of", "render"]

_TEMPLATE: Final = "Dockerfile.j2"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./@:+,-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What the template is given. ``env`` and ``labels`` are quoted as Dockerfiles want it, ``NAME=value``.

    ``layout`` is the base as the configuration names it, if it is in a layout. ``tool`` is ``uv`` or ``pip``, ``uv`` is
    the path of the former. ``user`` is empty for root. ``offline``: every wheel lies in the context.
    """

    role: str
    platform: str
    base: str
    layout: str
    python: str
    prefix: str
    tool: str
    uv: str
    user: str
    uid: int
    gid: int
    replaced: tuple[str, ...]
    packages: bool
    project: bool
    code: bool
    workdir: str
    env: tuple[str, ...]
    labels: tuple[str, ...]
    buildkit: bool
    offline: bool


def recipe_of(item: BuildInput, *, buildkit: bool = True, offline: bool = False) -> Recipe:
    """What to build for ``item``; without BuildKit always ``offline``, since only its secrets stay out of the image.

    Raises BaseImageError for a base without an installer, ConfigError for a value that no Dockerfile can hold.
    """
    inventory, config = item.inventory, item.plan.config
    project = item.tree is None and any(layer.kind is LayerKind.CODE for layer in item.plan.layers)
    tool, uv = _installer(item, inventory) if item.lock.wheels or project else ("pip", "")
    return Recipe(
        role=item.plan.role,
        platform=str(item.plan.platform),
        base=base_image(item.base),
        layout="" if item.base.origin else _word(item.base.text),
        python=_word(inventory.layout.interpreter),
        prefix=_word(inventory.layout.prefix),
        tool=tool,
        uv=_word(uv),
        user="" if inventory.layout.uid == 0 else _word(inventory.user),
        uid=inventory.layout.uid,
        gid=inventory.layout.gid,
        # What installs cannot take itself away before; it replaces itself when it installs.
        replaced=tuple(move.name for move in item.lock.moves if move.name != tool),
        packages=bool(item.lock.wheels),
        project=project,
        code=item.tree is not None,
        workdir=_word(config.workdir),
        env=tuple(_setting("env", name, value) for name, value in config.env.items()),
        labels=tuple(_setting("labels", name, value) for name, value in config.labels.items()),
        buildkit=buildkit,
        offline=offline or not buildkit,
    )


def render(recipe: Recipe) -> str:
    """The text of the Dockerfile."""
    from jinja2 import Environment, StrictUndefined

    # Not HTML: what goes in was quoted for a Dockerfile when the recipe was made.
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701
    template = environment.from_string(_template())
    return template.render({field.name: getattr(recipe, field.name) for field in fields(recipe)})


def base_image(base: ResolvedBase) -> str:
    """What FROM names: the base in its registry by tag and digest; one of a layout as the Engine is given it."""
    if loaded := loaded_name(base):
        return loaded
    assert base.origin is not None  # noqa: S101
    tag = base.name.removeprefix(f"{base.origin.registry}/{base.origin.repository}").partition("@")[0]
    return f"{base.origin.registry}/{base.origin.repository}{tag}@{base.digest}"


def _template() -> str:
    """In a wheel it lies beside this module, in a checkout at the top (pyproject.toml puts it where wheels have it)."""
    shipped = files("rayimage.builders.docker").joinpath("dockerfiles").joinpath(_TEMPLATE)
    found = shipped if shipped.is_file() else Path(__file__).parents[3] / "dockerfiles" / _TEMPLATE
    return found.read_text(encoding="utf-8")


def _installer(item: BuildInput, inventory: Inventory) -> tuple[str, str]:
    """``("uv", its path)`` or ``("pip", "")``: what the base's environment has."""
    scripts = f"{inventory.layout.scripts}/uv"
    if any(file.path == scripts for dist in inventory.distributions if dist.name == "uv" for file in dist.files):
        return "uv", scripts
    if "pip" in inventory.by_name:
        return "pip", ""
    raise BaseImageError(
        f"base {item.base.text} has no installer for --builder docker",
        why="neither pip nor uv is among the packages of its Python",
        fix="use the direct builder, which needs none, or a base with pip",
    )


def _word(text: str) -> str:
    """A path as one word of RUN, COPY and WORKDIR, or an error where quoting would differ between them."""
    if text and not re.fullmatch(r"[A-Za-z0-9_./@:+-]+", text):
        raise ConfigError(
            f"{text!r} cannot stand in a Dockerfile",
            why="it has characters that the shell or Docker read as something else",
            fix="use letters, digits and _ . / @ : + - in paths, or the direct builder",
        )
    return text


def _setting(table: str, name: str, value: str) -> str:
    r"""``NAME=value``; in double quotes ``\``, ``"`` and ``$`` are special to Docker, and a line must be one."""
    if any(ord(character) < 32 for character in value) or not re.fullmatch(r"[^\s=\"'\\$]+", name):
        raise ConfigError(
            f"{table}.{name} cannot stand in a Dockerfile",
            why="it has a line break or another control character, or a name that Docker does not read as one",
            fix="change it, or use the direct builder",
        )
    if _PLAIN.fullmatch(value):
        return f"{name}={value}"
    quoted = re.sub(r'(["\\$])', r"\\\1", value)
    return f'{name}="{quoted}"'
