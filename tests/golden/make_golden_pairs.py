"""Write golden pairs into the bundle of the starter model, without a new export. Its digests stay the same.

python tests/golden/make_golden_pairs.py       (in the export environment)
"""

from rerank_export.gate.golden_pairs import golden_pairs
from rerank_export.gate.parity_set import read_parity_set
from rerank_service.models.bundle import open_bundle, write_manifest
from rerank_service.models.files import STARTER
from rerank_service.models.golden_pairs import write_golden_pairs


def main() -> None:
    """Choose the pairs as an export does."""
    bundle = open_bundle(STARTER)
    pairs = golden_pairs(bundle, read_parity_set(None, None))
    write_golden_pairs(STARTER, pairs)
    write_manifest(STARTER, bundle.manifest)
    print(f"{len(pairs)} pairs")


if __name__ == "__main__":
    main()
