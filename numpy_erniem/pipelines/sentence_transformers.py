"""Arguments of sentence-transformers that have one value here."""

from typing import Any

from numpy_erniem.checks import nearest

# Argument of SentenceTransformer.encode → the values that ask for what is done anyway.
ACCEPTED: dict[str, tuple[Any, ...]] = {
    "convert_to_numpy": (True,),
    "convert_to_tensor": (False,),
    "device": (None, "cpu"),
    "output_value": ("sentence_embedding",),
    "precision": ("float32",),
}


READ = (  # arguments that Embedder.encode has itself
    "sentences",
    "prompt_name",
    "prompt",
    "batch_size",
    "show_progress_bar",
    "normalize_embeddings",
    "truncate_dim",
)


def check_encode_arguments(arguments: dict[str, Any]) -> None:
    """Refuse arguments of `encode` that ask for something else than NumPy vectors in float32.

    Raises
    ------
    TypeError
        An argument is unknown.
    ValueError
        An argument has a value that is not accepted.
    """
    for name, value in arguments.items():
        if name not in ACCEPTED:
            others = nearest(name, [*READ, *ACCEPTED])
            raise TypeError(f"encode() has no argument {name!r}{others}")
        if value not in ACCEPTED[name]:
            allowed = " or ".join(map(repr, ACCEPTED[name]))
            raise ValueError(
                f"{name}={value!r}: encode gives NumPy arrays in float32, computed on the CPU; "
                f"leave it out, or give {allowed}"
            )
