"""Engines that compute in int8 or bfloat16: ours and the peers', over the model of one folder.

The name is that of the engine with the number type: "native-int8", "openvino-bfloat16". A folder
has the float32 model, its ONNX export and what `prepare` makes of them, each in a folder or a file
of its own.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np

Forward = Callable[[np.ndarray], np.ndarray]  # (B, T) int64 -> (B, T, D) float32

CALIBRATION = 64  # texts that OpenVINO's calibration runs
OPENVINO_INT8, ORT_INT8, CTRANSLATE2 = (
    "openvino-int8.xml",
    "onnxruntime-int8.onnx",
    "ctranslate2-int8",
)


def native_in(dtype: str) -> Callable[[Path, int], Forward]:
    """Our kernels in a number type, from the checkpoint that `erniem convert` wrote."""

    def engine(folder: Path, threads: int) -> Forward:
        from numpy_erniem import ErnieMModel, set_num_threads

        os.environ["NUMPY_ERNIEM_BACKEND"] = "native"
        set_num_threads(threads)
        model = ErnieMModel.from_pretrained(folder / dtype, dtype=dtype)
        return lambda ids: model(ids).last_hidden_state

    return engine


def native_int8_from_text(folder: Path, threads: int) -> Forward:
    """Our int8 kernels with a tokenizer; returns after the vector of a first text."""
    from numpy_erniem import Embedder, set_num_threads

    os.environ["NUMPY_ERNIEM_BACKEND"] = "native"
    set_num_threads(threads)
    embedder = Embedder.from_pretrained(folder / "int8")
    embedder(["How do I open a file?"])
    return lambda ids: embedder.model(ids).last_hidden_state


def openvino_in(file: str, precision: str) -> Callable[[Path, int], Forward]:
    """OpenVINO on a file; `precision` is the type of what is not int8."""

    def engine(folder: Path, threads: int) -> Forward:
        import openvino

        if not (folder / file).exists():
            raise FileNotFoundError(f"{folder / file} is not there")
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "LATENCY",
        }
        model = openvino.Core().compile_model(folder / file, "CPU", settings)
        return lambda ids: np.asarray(model([ids])[0], np.float32)

    return engine


def onnxruntime_int8(folder: Path, threads: int) -> Forward:
    """ONNX Runtime with dynamic quantization, a scale for each tensor of activations."""
    import onnxruntime

    if not (folder / ORT_INT8).exists():
        raise FileNotFoundError(f"{folder / ORT_INT8} is not there")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        folder / ORT_INT8, options, providers=["CPUExecutionProvider"]
    )
    return lambda ids: session.run(None, {"input_ids": ids})[0]


def ctranslate2_int8(folder: Path, threads: int) -> Forward:
    """CTranslate2 on the same weights as XLM-R."""
    import ctranslate2

    converted = folder / CTRANSLATE2
    if not converted.exists():
        raise FileNotFoundError(f"{converted} is not there")
    encoder = ctranslate2.Encoder(str(converted), inter_threads=1, intra_threads=threads)

    def forward(ids: np.ndarray) -> np.ndarray:
        return np.array(encoder.forward_batch(ids.tolist()).last_hidden_state)

    return forward


ENGINES = {
    "native-int8": native_in("int8"),
    "native-int8, from text": native_int8_from_text,
    "native-bfloat16": native_in("bfloat16"),
    "openvino-bfloat16": openvino_in("model.onnx", "bf16"),
    "openvino-int8": openvino_in(OPENVINO_INT8, "f32"),
    "openvino-int8-bfloat16": openvino_in(OPENVINO_INT8, "bf16"),
    "onnxruntime-int8": onnxruntime_int8,
    "ctranslate2-int8": ctranslate2_int8,
}


def prepare(folder: Path, engines: Iterable[str]) -> Iterator[str]:
    """Make what the engines read of a folder's model, where it is not there yet.

    Yields
    ------
    str
        What was left out, with the reason.
    """
    makers = {
        "native-int8": lambda: convert(folder, "int8"),
        "native-bfloat16": lambda: convert(folder, "bfloat16"),
        "openvino-int8": lambda: calibrate(folder),
        "openvino-int8-bfloat16": lambda: calibrate(folder),
        "onnxruntime-int8": lambda: quantize_onnx(folder),
        "ctranslate2-int8": lambda: convert_for_ctranslate2(folder),
    }
    for engine in engines:
        try:
            makers.get(engine, lambda: None)()
        except (ImportError, FileNotFoundError) as error:
            yield f"{engine}: {error}"


def convert(folder: Path, dtype: str) -> None:
    """Write our checkpoint of a number type with `erniem convert`."""
    from numpy_erniem.cli.main import main

    if not (folder / dtype).exists():
        main(["convert", str(folder), str(folder / dtype), "--dtype", dtype])


def token_ids(n: int) -> Iterator[np.ndarray]:
    """Texts (1, T) of random token ids, 8 to 128 each."""
    rng = np.random.default_rng(1)
    for T in rng.integers(8, 129, n):
        yield rng.integers(3, 20_000, (1, T))


def exported(folder: Path) -> Path:
    """The ONNX export of a folder's model; FileNotFoundError if there is none."""
    if not (folder / "model.onnx").exists():
        raise FileNotFoundError(f"{folder / 'model.onnx'} is not there")
    return folder / "model.onnx"


def calibrate(folder: Path) -> None:
    """Quantize the ONNX export with NNCF, its preset for transformers."""
    import nncf
    import openvino

    if (folder / OPENVINO_INT8).exists():
        return
    model = openvino.Core().read_model(exported(folder))
    texts = nncf.Dataset(list(token_ids(CALIBRATION)), lambda ids: [ids])
    quantized = nncf.quantize(
        model, texts, model_type=nncf.ModelType.TRANSFORMER, subset_size=CALIBRATION
    )
    openvino.save_model(quantized, folder / OPENVINO_INT8, compress_to_fp16=False)


def quantize_onnx(folder: Path) -> None:
    """Quantize the ONNX export dynamically, weights per channel."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    if not (folder / ORT_INT8).exists():
        quantize_dynamic(
            exported(folder), folder / ORT_INT8, per_channel=True, weight_type=QuantType.QInt8
        )


def convert_for_ctranslate2(folder: Path) -> None:
    """Write the model as XLM-R, which differs in names alone, and convert that."""
    import torch
    import transformers
    from ctranslate2.converters.transformers import XLMRobertaLoader

    if (folder / CTRANSLATE2).exists():
        return
    source = transformers.ErnieMModel.from_pretrained(folder).eval()
    config = source.config
    sizes = {
        name: getattr(config, name)
        for name in (
            *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
            *("intermediate_size", "max_position_embeddings", "layer_norm_eps"),
        )
    }
    xlm = transformers.XLMRobertaConfig(**sizes, type_vocab_size=1, pad_token_id=1)
    model = transformers.XLMRobertaModel(xlm, add_pooling_layer=False)
    names = {name: xlm_roberta_name(name) for name in source.state_dict()}
    state = {there: source.state_dict()[name] for name, there in names.items() if there}
    state["embeddings.token_type_embeddings.weight"] = torch.zeros(1, config.hidden_size)
    left = model.load_state_dict(state, strict=False)
    if [name for name in left.missing_keys if "position_ids" not in name] or left.unexpected_keys:
        raise ValueError(f"the weights do not fit XLM-R: {left}")
    loader = XLMRobertaLoader()
    spec = loader.get_model_spec(SimpleNamespace(config=xlm, roberta=model))
    spec.register_vocabulary([f"token {i}" for i in range(config.vocab_size)])
    loader.set_config(
        spec.config, SimpleNamespace(config=xlm), SimpleNamespace(unk_token="token 3")
    )
    spec.validate()
    spec.optimize(quantization="int8")
    (folder / CTRANSLATE2).mkdir()
    spec.save(str(folder / CTRANSLATE2))


def xlm_roberta_name(name: str) -> str:
    """The name in XLM-R of one of ERNIE-M's tensors; "" where XLM-R has none."""
    if name.startswith("pooler"):
        return ""
    pairs = (
        ("embeddings.layer_norm", "embeddings.LayerNorm"),
        ("encoder.layers", "encoder.layer"),
        ("self_attn.self_attn.q_proj", "attention.self.query"),
        ("self_attn.self_attn.k_proj", "attention.self.key"),
        ("self_attn.self_attn.v_proj", "attention.self.value"),
        ("self_attn.out_proj", "attention.output.dense"),
        ("norm1", "attention.output.LayerNorm"),
        ("linear1", "intermediate.dense"),
        ("linear2", "output.dense"),
        ("norm2", "output.LayerNorm"),
    )
    for ours, theirs in pairs:
        name = name.replace(ours, theirs)
    return name
