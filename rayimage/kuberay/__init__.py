"""Image references in KubeRay YAML: found, and replaced without touching another byte.

    bytes ─▶ documents.parse ─▶ locate.locate ─▶ splice.plan_edit ─▶ splice.apply ─▶ splice.prove ─▶ bytes

``emit_bytes`` is that line as one pure function; ``emit_files`` and ``write_emissions`` are its two ends on disk.
Nothing here opens a socket, and nothing re-serialises YAML: ruamel.yaml says where a scalar is, and the scalar's
own characters are all that changes.
"""

from __future__ import annotations

from rayimage.kuberay.diff import diff
from rayimage.kuberay.emission import Change, Emission, Images, Note
from rayimage.kuberay.emit import emit_bytes
from rayimage.kuberay.files import emit_files, write_emissions
from rayimage.kuberay.survey import survey

__all__ = ["Change", "Emission", "Images", "Note", "diff", "emit_bytes", "emit_files", "survey", "write_emissions"]
