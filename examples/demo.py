"""Show ``rayimage`` at work on a copy of ``examples/fraud``: lock, layout, push, YAML diff, and a second build.

Run by ``make demo`` from the root of the repository. The checkout stays as it is, and no process stays behind.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.example import copy_example
from tests.support.services import MissingPartError, running_registry

BASE = os.environ.get("RAYIMAGE_TEST_BASE")


def main() -> int:
    """Run the demo; returns the exit code of the first command that fails."""
    with tempfile.TemporaryDirectory(prefix="rayimage-demo-") as scratch:
        try:
            try:
                with running_registry() as registry:
                    show(copy_example(Path(scratch), repository=f"{registry.host}/team/fraud", base=BASE))
            except MissingPartError as missing:
                print(f"No push: {missing}")
                lock_and_build(copy_example(Path(scratch), repository="127.0.0.1/team/fraud", base=BASE))
        except subprocess.CalledProcessError as failed:
            return failed.returncode
    return 0


def show(project: Path) -> None:
    """Everything, with a registry at hand."""
    lock_and_build(project)
    title("Push, and write the digests into the KubeRay YAML")
    run(project, "build", "--env", "dev", "--diff")
    title("Change one line of code, and build again: one small layer moves")
    with (project / "fraud/features.py").open("a", encoding="utf-8") as code:
        code.write("\n# changed\n")
    run(project, "build", "--env", "dev", "--diff")


def lock_and_build(project: Path) -> None:
    """What works without a registry."""
    title("Lock head and worker against what the base has")
    run(project, "lock")
    title("Build into an OCI layout: no daemon, no root, nothing pulled")
    run(project, "build", "--output", "oci:../../images")


def title(text: str) -> None:
    """A headline."""
    print(f"\n== {text}", flush=True)


def run(project: Path, *arguments: str) -> None:
    """Show a command and run it with this terminal as its own."""
    print(f"$ rayimage {shlex.join(arguments)}", flush=True)
    subprocess.run([sys.executable, "-m", "rayimage", "-C", project, *arguments], check=True)


if __name__ == "__main__":
    sys.exit(main())
