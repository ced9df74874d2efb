"""The last step of an export: write report, golden pairs and manifest, and move the bundle to its place."""

import json

from rerank_export.bundle.output_folder import OutputFolder, replace_folder
from rerank_export.gate.verification import VerifiedBundle
from rerank_service.models.bundle import Bundle, open_bundle, write_manifest
from rerank_service.models.files import REPORT
from rerank_service.models.golden_pairs import write_golden_pairs


def publish(verified: VerifiedBundle, output: OutputFolder) -> Bundle:
    """Write the last files of the bundle, open it as a server would, and move it to the output folder.

    Raises:
        BundleInvalid: a server would reject the bundle.
        ExportFailed: the output folder has got other files during the export.
        OSError: the disk is full, or the folder cannot be replaced.
    """
    folder = verified.bundle.folder
    (folder / REPORT).write_text(json.dumps(verified.report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    write_golden_pairs(folder, verified.golden)
    write_manifest(folder, verified.manifest)
    bundle = open_bundle(folder)
    replace_folder(folder, output)
    return Bundle(output.given, bundle.manifest)
