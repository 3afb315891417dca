"""Read the layers that BGE-M3 keeps beside its encoder: sparse_linear.pt and colbert_linear.pt."""

from dataclasses import replace
from pathlib import Path

from numpy_erniem.checkpoint.hybrid_layers import (
    HYBRID_FILE,
    SOURCE_FILES,
    HybridLayers,
    hybrid_layer,
    read_hybrid_layers,
)
from numpy_erniem.checkpoint.links import inside
from numpy_erniem.checkpoint.sentence_settings import (
    SENTENCE_SETTINGS_FILE,
    DenseLayer,
    SentenceSettings,
)
from numpy_erniem.conversion.report import Report


def hybrid_layers_of_source(source: Path, hidden_size: int, report: Report) -> HybridLayers:
    """Read the layers of a source, in either format.

    Parameters
    ----------
    source : Path
        The folder of the model.
    hidden_size : int
        Numbers of a token's vector.
    report : Report
        What was found is added, and a note if one of two files is missing.

    Returns
    -------
    HybridLayers

    Raises
    ------
    ValueError
        A file is damaged or hostile, or its tensors do not fit the model.
    """
    there = {path.name for path in source.iterdir()}  # also a link to a file that is missing
    files = {output: name for output, name in SOURCE_FILES.items() if name in there}
    if not files:
        return read_hybrid_layers(source, hidden_size)
    layers = {o: _read(source, name, o, hidden_size) for o, name in files.items()}
    report.made[HYBRID_FILE] = ", ".join(f"{o} from {name}" for o, name in files.items())
    for output, name in SOURCE_FILES.items():
        if output not in files:
            report.notes.append(
                f"{name} is missing beside {next(iter(files.values()))}: there will be no "
                f"{output} output"
            )
    return HybridLayers(**layers)


def with_hybrid_pooling(
    settings: SentenceSettings, layers: HybridLayers, report: Report
) -> SentenceSettings:
    """The settings; where nothing is recorded beside such layers, those of BGE-M3's library.

    Parameters
    ----------
    settings : SentenceSettings
        Of the source.
    layers : HybridLayers
        Of the source.
    report : Report
        A line is added if the settings change.

    Returns
    -------
    SentenceSettings
        With the vector of [CLS], scaled to length 1.
    """
    if settings.recorded or not layers.outputs:
        return settings
    report.made[SENTENCE_SETTINGS_FILE] = "pooling 'cls', normalize True, as BGE-M3's library does"
    return replace(settings, pooling="cls", normalize=True, recorded=True)


def _read(source: Path, name: str, output: str, hidden_size: int) -> DenseLayer:
    """The layer in a file that torch.save wrote from the state of a Linear module."""
    from numpy_erniem.checkpoint.torch_files import read_torch  # seldom needed

    path = inside(source, name)
    tensors = read_torch(path)
    if unknown := [key for key in tensors if key not in ("weight", "bias")]:
        raise ValueError(f"{path} has a tensor {unknown[0][:100]!r}; known are weight and bias")
    return hybrid_layer(output, tensors, "", str(path), hidden_size)
