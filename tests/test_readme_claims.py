"""Every sentence of the README is kept true by a test, or says nothing that can be wrong."""

import ast
import re

import pytest

from tests.conftest import REPOSITORY

# How a sentence or a table begins: the tests that fail when it is untrue. The summary of speed is
# left out: `tests/test_benchmark_pages.py` compares it with the results.
CLAIMS = {
    "ERNIE-M, a multilingual BERT-like encoder, in NumPy code that is short": [
        "test_lengths.py::test_modules_and_functions_are_short",
    ],
    "Text goes in, vectors come out": [
        "test_imports.py::test_a_model_needs_no_tokenizer_and_no_torch"
    ],
    "If a C compiler is found at installation": [
        "native/test_wheels.py::test_a_wheel_with_kernels_is_for_one_platform",
        "test_backend.py::test_both_backends_compute_the_same",
    ],
    "The NumPy code remains the reference.": [
        "native/test_linear.py::test_every_depth_and_width",
        "test_ops.py::test_attention_is_the_loop",
    ],
    "On a terminal this prints": ["test_cli.py::test_embed_shows_similarities_on_a_terminal"],
    "Into a pipe or a file": ["test_cli.py::test_embed_prints_json_lines"],
    "It uses the small checkpoint": [
        "test_readme.py::test_the_share_of_translations_is_that_of_the_card",
        "test_readme.py::test_the_number_of_languages_is_that_of_the_card",
        "training/test_tiny.py::test_the_scores_on_the_card_are_reached",
    ],
    "It also names the language of a text": ["test_readme.py::test_comments_show_what_is_printed"],
    "For a real checkpoint": ["test_readme.py::test_every_command_line_has_options_that_there_are"],
    "It takes a folder with": ["test_readme.py::test_a_folder_has_the_files_that_are_named"],
    "After `pip install '.[hub]'`": [
        "test_readme.py::test_every_extra_that_a_page_names_is_one",
        "convert/test_hub.py::test_a_model_is_fetched_with_only_the_files_that_are_needed",
    ],
    "Every command has examples": [
        "test_cli_common.py::test_every_help_has_an_example_and_the_common_options",
        "test_cli_common.py::test_completion_of_bash_knows_commands_and_options",
    ],
    "[How ERNIE-M is trained]": ["test_readme.py::test_there_are_four_objectives"],
    "Pickle files are read by": ["convert/test_attacks.py::test_os_system_by_reduce"],
    "The tests compare every layer": [
        "test_readme.py::test_the_version_of_transformers_is_the_one_that_is_installed_for_tests",
        "test_parity.py::test_every_layer_equals_upstream",
        "test_parity.py::test_our_torch_reference_agrees",
        "test_golden.py::test_every_layer_equals_the_frozen_numbers",
    ],
    "The classes, arguments and outputs are": [
        "models/test_heads_beside_upstream.py::test_signature_is_upstreams",
        "models/test_heads_beside_upstream.py::test_everything_equals_upstream",
    ],
    "A script written for it": [
        "test_docs.py::test_scripts_print_what_they_print_with_transformers",
    ],
    "[Two real scripts]": ["test_docs.py::test_scripts_run"],
    "[Examples](docs/heads.md) show": [
        "test_docs.py::test_the_examples_of_every_head",
        "test_readme.py::test_there_are_five_heads_and_a_masked_language_model",
    ],
    "`erniem.load(folder)` chooses": [
        "models/test_loading.py::test_the_architecture_picks_the_class"
    ],
    "`print(model)` shows": [
        "test_repr.py::test_a_printed_model_is_a_table_of_its_attributes",
        "test_repr.py::test_the_versions_name_what_runs_here",
    ],
    "`erniem.embed(texts)` returns": ["test_doctests.py::test_readme_examples"],
    "[Pipelines](docs/pipelines.md) read": [
        "test_pipelines.py::test_a_stream_reads_at_most_a_window_ahead",
        "engines/test_local.py::test_memory_does_not_grow_with_the_rows",
        "engines/test_local.py::test_a_run_that_is_killed_three_times_writes_the_same_bytes",
        "models/test_packed_batch.py::test_any_mixture_of_lengths",
        "test_same_bits.py::test_a_vector_is_the_same_alone_and_in_any_batch",
    ],
    "`SearchIndex` finds": ["test_search.py::test_search_is_a_full_sort"],
    "`InformationExtractor` [finds": [
        "pipelines/test_extract.py::test_entities_with_relations",
        "pipelines/test_fill.py::test_the_best_tokens_of_the_vocabulary",
    ],
    "`erniem serve` [answers": [
        "serving/test_server.py::test_the_openai_client_gets_the_vectors_of_the_embedder",
        "serving/test_embeddings.py::test_the_form_is_that_of_openai",
    ],
    "`--engine ray` runs": [
        "engines/test_ray.py::"
        "test_killed_worker_and_damaged_file_leave_the_rest_equal_to_one_process",
    ],
    "The notebooks in [tutorials/]": [
        "tutorials/test_notebooks.py::test_notebook_runs_and_its_checks_tell_right_from_wrong",
        "tutorials/test_notebooks.py::test_every_rung_compiles_without_warnings",
    ],
    "Start at [`encode()`]": ["test_lengths.py::test_modules_and_functions_are_short"],
    "Every function it calls": ["test_readme.py::test_the_forward_pass_calls_layers"],
    "Every formula is a function": ["test_readme.py::test_layers_compute_by_primitives"],
    "The matching C kernel": ["test_readme.py::test_every_primitive_has_a_kernel"],
    "| file or folder": ["test_readme.py::test_the_table_of_files_has_every_room"],
    "[docs/design.md]": [
        "test_docs.py::test_the_table_of_imports_in_design_md_is_the_one_that_is_tested",
    ],
    "Choose a backend": [
        "test_backend.py::test_the_environment_chooses",
        "test_backend.py::test_a_choice_holds_for_its_thread_alone",
    ],
    "| backend": [
        "test_readme.py::test_every_backend_is_in_the_table",
        "test_backend.py::test_native_is_refused_where_nothing_is_built",
        "test_backend.py::test_numpy_backend_never_calls_the_kernel",
    ],
    "`erniem.backend_report()` says": [
        "test_backend.py::test_the_formula_runs_where_the_kernel_declines"
    ],
    "Without a C compiler": [
        "native/test_wheels.py::test_a_wheel_without_kernels_is_for_every_platform",
        "test_missing_kernels.py::test_an_import_without_kernels_warns_once_and_names_the_remedy",
    ],
    "The kernels use the best instruction set": [
        "native/test_threads.py::test_the_environment_forces_an_instruction_set",
        "native/test_threads.py::test_by_default_there_are_as_many_as_usable_cores",
        "test_backend.py::test_cores_are_the_smaller_of_affinity_and_quota",
    ],
    "`erniem.set_num_threads(n)`": [
        "native/test_threads.py::test_as_many_threads_run_as_were_asked_for",
        "native/test_threads.py::test_the_environment_sets_the_number",
    ],
    "The threads are a pool": [
        "test_readme.py::test_every_kind_of_threads_is_named",
        "native/test_threads.py::test_the_environment_chooses_the_kind",
    ],
    "The results do not depend on the threads.": [
        "native/test_threads.py::test_results_do_not_depend_on_the_number_of_threads",
    ],
    "On the C kernels the same text": [
        "test_same_bits.py::test_a_vector_is_the_same_alone_and_in_any_batch",
        "native/test_instruction_sets.py::test_a_model_has_the_same_bits_on_every_instruction_set",
        "native/test_instruction_sets.py::test_another_processor_has_the_same_bits",
    ],
    "A processor with AMX": [
        "native/test_threads.py::test_the_environment_forces_an_instruction_set",
        "native/test_batches.py::test_a_text_has_the_same_bits_in_a_batch_of_any_size",
        "native/test_linear.py::test_sums_are_as_near_as_float32_allows",
    ],
    "Strassen's algorithm": [
        "test_readme.py::test_strassens_algorithm_is_off_until_it_is_asked_for",
        "native/test_threads.py::test_the_environment_asks_for_strassen",
    ],
    "Their speed beside other engines": [
        "test_benchmark_pages.py::test_the_tables_in_the_documents_are_those_of_the_results",
        "test_benchmark_pages.py::"
        "test_the_summary_has_the_smallest_and_the_largest_ratio_of_medians_for_each_machine",
    ],
    "The arguments, names and numbers": [
        "test_config.py::test_defaults_are_those_of_upstream",
        "test_parity.py::test_base_size_equals_upstream",
    ],
    "Where upstream is broken": [
        "test_differences.py::test_truncation_stops_at_the_length_that_the_model_takes",
    ],
    "[Every difference is listed]": [
        "test_config_upstream.py::test_only_the_listed_attributes_of_upstream_are_not_there",
        "tokenizer/test_upstream_surface.py::"
        "test_only_the_listed_attributes_of_upstream_are_not_there",
    ],
    "Training is for small models": [
        "training/test_optimizer.py::test_steps_equal_those_of_torch",
        "training/test_mixed_precision.py::test_a_step_differs_from_float32_by_rounding_alone",
    ],
    "Results are float32.": ["models/test_model.py::test_results_are_float32"],
    "Linear maps are computed": [
        "native/test_int8.py::test_threads_and_several_weights_change_no_bit",
        "native/test_16.py::test_threads_and_several_weights_change_no_bit",
    ],
    "The kernels were run on Linux": [
        "native/test_sanitizers.py::test_aarch64_in_an_emulator",
        "native/test_sanitizers.py::test_kernels_run_on_windows",
        "native/test_sanitizers.py::test_kernels_compile_for_macos",
    ],
    "A text may have 512 tokens": ["test_readme.py::test_the_longest_text"],
    "`erniem embed` cuts": ["test_cli.py::test_rows_that_are_cut_or_without_tokens_are_counted"],
    "Apache-2.0; wheels hold": [
        "test_releases.py::test_every_licence_text_is_on_the_page_and_there"
    ],
    "How to [cite]": ["test_releases.py::test_the_citation_can_be_read"],
    "The checkpoint in `numpy_erniem/tiny`": [
        "test_readme.py::test_every_source_of_texts_is_named"
    ],
}
# These lead to a page, tell what comes next, or say what cannot be tested.
WITHOUT_A_TEST = (
    "In a checkout of this repository:",
    "[All ways to install]",
    "We know of no other public implementation",
    "![GFLOP/s of each engine",
    "The bundled checkpoint is very small",
    "There is no GPU support.",
    "[What is tested where]",
)
SENTENCE_END = re.compile(r"(?<=[.])\s+(?=[A-Z`\[(*])")


def sentences():
    """Sentences of the README, and the first line of each table."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!-- summary -->.*?<!-- /summary -->", "", text, flags=re.DOTALL)
    for block in re.split(r"\n\s*\n", text):
        if block.strip().startswith("|"):
            yield block.strip().splitlines()[0]
        elif block.strip() and not block.strip().startswith("#"):
            for item in re.split(r"^- ", block, flags=re.MULTILINE):
                yield from filter(None, SENTENCE_END.split(" ".join(item.split())))


@pytest.mark.parametrize("sentence", list(sentences()))
def test_every_sentence_has_a_test_or_claims_nothing(sentence):
    known = [begin for begin in (*CLAIMS, *WITHOUT_A_TEST) if sentence.startswith(begin)]
    assert len(known) == 1, "add its tests to CLAIMS"


def test_every_listed_sentence_is_in_the_readme():
    there = list(sentences())
    for begin in (*CLAIMS, *WITHOUT_A_TEST):
        assert any(sentence.startswith(begin) for sentence in there), begin


def functions(name):
    """Names of the functions of a test file, those in its classes too."""
    tree = ast.parse((REPOSITORY / "tests" / name).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("test", sorted({test for tests in CLAIMS.values() for test in tests}))
def test_every_test_of_a_claim_is_there(test):
    name, _, function = test.partition("::")
    assert function in functions(name)
