"""What a column of a table may mean, the argument that names it, and its usual names."""

from __future__ import annotations

import re
from typing import NamedTuple


class Meaning(NamedTuple):
    """One meaning of a column.

    Parameters
    ----------
    name : str
        The argument of `read_table`; on a command line it is ``--NAME``.
    what : str
        What a cell holds, for a help text.
    usual : tuple of str
        Names that such columns have elsewhere, as `normal` writes them.
    several : bool
        Whether the argument may name several columns.
    """

    name: str
    what: str
    usual: tuple[str, ...]
    several: bool = False

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


MEANINGS = (
    Meaning(
        "item",
        "the question or request; several columns make one name",
        _names(
            "item item_id id prompt_id question_id doc_id sample_id example_id instance_id"
            " task_id problem_id query_id request_id custom_id call_id trace_id qid uid test_idx"
            " test_id dataset_item_id"
        ),
        several=True,
    ),
    Meaning(
        "model",
        "the name of the model that answered",
        _names(
            "model model_name model_id llm llm_name engine generator deployment provider_id"
            " provider"
        ),
    ),
    Meaning(
        "answer",
        "what the model answered; several columns: one a model",
        _names(
            "answer prediction predicted pred predicted_answer predicted_label y_pred output"
            " model_answer model_output model_response response completion extracted_answer"
            " parsed_answer message_content generation generated_text reply"
        ),
        several=True,
    ),
    Meaning(
        "truth",
        "the right answer",
        _names(
            "truth target gold gold_answer gold_label ground_truth reference reference_answer"
            " expected expected_output expected_answer correct_answer label ideal solution y_true"
            " answer_key"
        ),
    ),
    Meaning(
        "correct",
        "how right the answer is, 0 to 1; several columns: one a model",
        _names(
            "correct is_correct correctness score acc accuracy exact_match em passed pass success"
            " grade right is_right"
        ),
        several=True,
    ),
    Meaning(
        "confidence",
        "how sure the model was; logprob is turned into a probability",
        _names(
            "confidence conf confidence_score probability prob certainty logprob log_prob"
            " avg_logprob mean_logprob sum_logprob"
        ),
    ),
    Meaning(
        "cost",
        "USD for the call",
        _names(
            "cost price usd cost_usd usd_cost price_usd total_cost total_cost_usd spend amount_usd"
            " calculated_total_cost cost_cents cost_cent price_cents usd_cents cost_micros"
            " cost_usd_micros"
        ),
    ),
    Meaning(
        "latency",
        "seconds that the call took; a name may end in _ms, _us or _ns",
        tuple(
            stem + unit
            for stem in ("latency", "elapsed", "elapsed_time", "duration", "response_time",
                         "processing_time", "run_time", "runtime", "wall_time", "time_taken")
            for unit in ("", "_s", "_sec", "_seconds", "_ms", "_millis", "_milliseconds", "_us",
                         "_ns")
        )
        + ("seconds",),
    ),
    Meaning(
        "tokens",
        "tokens that the model wrote",
        _names(
            "tokens completion_tokens output_tokens generated_tokens tokens_out n_tokens num_tokens"
            " num_output_tokens usage_completion_tokens usage_output_tokens"
            " usage_completion usage_output token_usage_completion token_count"
        ),
    ),
    Meaning(
        "group",
        "the kind of the item, such as its subject",
        _names(
            "group category subject topic domain task task_name dataset dataset_name benchmark"
            " eval_name subset"
        ),
    ),
    Meaning(
        "time",
        "when the request came: seconds since 1970 or a date",
        _names(
            "time timestamp created created_at datetime date start_time request_time started_at ts"
        ),
    ),
    Meaning("feature", "another fact about the item that is known before", (), several=True),
)  # fmt: skip
"""Every meaning, in the order in which a table of them is printed."""

SETTINGS = (
    Meaning("separator", "the sign between cells: , ; | or tab", ()),
    Meaning("decimal", "the decimal sign: . or ,", ()),
    Meaning("latency_unit", "the unit of the latency: s, ms, us or ns", ()),
    Meaning("encoding", "the encoding of a text file, such as cp1252", ()),
    Meaning("metric", "the score of lm-evaluation-harness that counts: exact_match", (), True),
    Meaning("filter", "the filter of lm-evaluation-harness that counts: strict-match", (), True),
    Meaning("grades", "a second file with the grades of the requests of a log", ()),
    Meaning("on", "the column that names a request in a log and in its grades", ()),
)
"""The other arguments of `read_table`, which are no columns."""

BESIDE = frozenset(
    _names(
        "prompt question input context messages instruction query text choices options rationale"
        " explanation reasoning comment notes hash doc_hash prompt_hash target_hash user user_id"
        " session_id prompt_tokens input_tokens total_tokens usage_prompt_tokens usage_total_tokens"
        " usage_input usage_total"
        " split seed temperature version status error reason metadata tags end_time ended_at"
        " updated_at description cost_eur cost_gbp currency named_scores index idx row"
    )
)
"""Usual names of columns that are left out: neither outcomes nor models."""


REPLIES = frozenset(_names("response body result output data attributes scores metrics grades"))
"""Usual names of objects whose parts are those of a model's reply, or its scores."""


def normal(name) -> str:
    """A name in small letters, with one underscore between its words.

    >>> normal("latencyMs"), normal(" Is Correct "), normal("usage.completion_tokens")
    ('latency_ms', 'is_correct', 'usage_completion_tokens')
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name))
    return re.sub(r"\W+|_+", "_", words).strip("_").casefold()


def meaning_of(name) -> str | None:
    """The meaning that a column of this name usually has, or None.

    In an object in an object the last two names count, and the last where the outer one is a reply
    or its scores: the ``answer`` of a ``document`` is no answer of a model.

    >>> meaning_of("elapsed_ms"), meaning_of("usage.completion_tokens"), meaning_of("length")
    ('latency', 'tokens', None)
    >>> meaning_of("response.model"), meaning_of("document.answer")
    ('model', None)
    """
    parts = str(name).split(".")
    spelt = [normal(name), normal(".".join(parts[-2:]))]
    if len(parts) > 1 and normal(parts[-2]) in REPLIES:
        spelt.append(normal(parts[-1]))
    for known in spelt:
        if known in BESIDE:
            return None
        found = next((one.name for one in MEANINGS if known in one.usual), None)
        if found:
            return found
    return None
