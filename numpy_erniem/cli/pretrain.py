"""`erniem pretrain`: MMLM, TLM, CAMLM and BTMLM, from new weights or from a checkpoint."""

import argparse
from pathlib import Path

from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.cli.options import add_hub_options, hub_options
from numpy_erniem.cli.training_options import (
    add_training_options,
    checksums,
    print_progress,
    training_config,
    write_loss_picture,
)
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models import ErnieMForMaskedLM
from numpy_erniem.tokenizer import ErnieMTokenizer
from numpy_erniem.training import Phase, Pretraining, TrainingSetup, trainable
from numpy_erniem.training.pretraining import read_corpora, special_tokens
from numpy_erniem.training.pretraining.masking import MASK_PROBABILITY

PHASES = ("2000:camlm,tlm", "1000:camlm,tlm,mmlm,btmlm")
SPECIAL_TOKENS = 4  # of a pair: [CLS] x [SEP] [SEP] y [SEP]
EXAMPLES = """
examples:
  erniem pretrain --config config.json --tokenizer FOLDER --parallel pairs.tsv --out RUN
  erniem pretrain --model MODEL --parallel pairs.tsv --mono sentences.tsv --out RUN \\
      --phase 2000:camlm,tlm --phase 1000:camlm,tlm,mmlm,btmlm

A run that was interrupted goes on with the same command.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem pretrain`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--parallel", metavar="FILE", help="pairs: TSV of language, English, translation, or JSON"
    )
    parser.add_argument("--mono", metavar="FILE", help="sentences: TSV of language, text, or JSON")
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--config", metavar="FILE", help="config.json of a model with new weights")
    start.add_argument("--model", metavar="MODEL", help="checkpoint to start from: folder or name")
    parser.add_argument(
        "--tokenizer", metavar="FOLDER", help="(that of --model, or beside --config)"
    )
    parser.add_argument("--out", metavar="FOLDER", required=True, help="the folder of the run")
    parser.add_argument(
        "--phase",
        action="append",
        metavar="STEPS:OBJECTIVES",
        help=f"may be repeated: one phase after the other ({' '.join(PHASES)})",
    )
    parser.add_argument(
        "--mask-probability",
        type=float,
        default=MASK_PROBABILITY,
        metavar="P",
        help=f"of each token ({MASK_PROBABILITY})",
    )
    parser.add_argument(
        "--max-length",
        type=int,
        default=64,
        metavar="N",
        help="tokens of a sentence; longer ones are left out (64)",
    )
    add_hub_options(parser)
    add_training_options(parser, learning_rate=1e-3)


def run(options: argparse.Namespace) -> int:
    """Pre-train; returns the exit code."""
    phases = tuple(Phase.parse(text) for text in options.phase or PHASES)
    config = training_config(options, sum(phase.steps for phase in phases))
    model, tokenizer = load(options)
    corpora = read_corpora(options.parallel, options.mono, tokenizer, options.max_length)
    pretraining = Pretraining(
        *corpora, special_tokens(tokenizer), phases, config, options.mask_probability
    )
    setup = TrainingSetup(config, trainable(model), tokenizer, pretraining.loss_and_grad)
    data = {
        "data": checksums(options.parallel, options.mono),
        "model": options.model,
        "phases": list(options.phase or PHASES),
        "mask_probability": options.mask_probability,
        "max_length": options.max_length,
    }
    report = setup.train(options.out, data=data, report=print_progress)
    write_loss_picture(Path(options.out), report)
    return 0


def load(options: argparse.Namespace) -> tuple[ErnieMForMaskedLM, ErnieMTokenizer]:
    """The model that the options name, new or from a checkpoint, and a tokenizer that fits it."""
    if options.model is not None:
        folder = resolve_folder(options.model, **hub_options(options))
        model = ErnieMForMaskedLM.from_pretrained(folder, seed=options.seed)
    else:
        config = ErnieMConfig.from_json_file(options.config)
        model, folder = ErnieMForMaskedLM(config, seed=options.seed), Path(options.config).parent
    tokenizer = ErnieMTokenizer.from_pretrained(options.tokenizer or folder)
    config, longest = model.config, 2 * options.max_length + SPECIAL_TOKENS
    if longest > config.max_length:
        raise ValueError(
            f"--max-length {options.max_length}: two sentences with {SPECIAL_TOKENS} special "
            f"tokens are {longest} tokens, more than the {config.max_length} that the model takes; "
            f"give at most {(config.max_length - SPECIAL_TOKENS) // 2}"
        )
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"the tokenizer has {len(tokenizer)} tokens, more than the vocab_size "
            f"{config.vocab_size} of the config; they do not belong together"
        )
    return model, tokenizer
