"""How requests and answers look, as JSON Schema for /openapi.json: what is said here is what
``ask.read`` takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goemo_utils.serve.ask import LONGEST_KEY
from goemo_utils.serve.limits import Limits

Schema = dict[str, Any]
PROBABILITY: Schema = {"type": "number", "minimum": 0, "maximum": 1}
SCORED: Schema = {
    "type": "object",
    "required": ["label", "score"],
    "properties": {"label": {"type": "string"}, "score": PROBABILITY},
}
ERROR: Schema = {
    "type": "object",
    "required": ["error", "error_type"],
    "properties": {"error": {"type": "string"}, "error_type": {"type": "string"}},
}
PREDICTED: Schema = {
    "description": (
        "Every label with its score, most probable first: of one text a list, of a list of texts a"
        " list of lists in their order."
    ),
    "anyOf": [
        {"type": "array", "items": SCORED},
        {"type": "array", "items": {"type": "array", "items": SCORED}},
    ],
}
CLASSIFIED: Schema = {
    "type": "object",
    "required": ["model", "version", "simulated", "task", "threshold", "data", "usage"],
    "properties": {
        "model": {"type": "string"},
        "version": {"type": "string", "description": "The digest of the model, shortened."},
        "simulated": {"type": "boolean"},
        "task": {"type": "string"},
        "threshold": {"anyOf": [PROBABILITY, {"type": "array", "items": PROBABILITY}]},
        "data": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "labels", "tokens", "truncated", "empty"],
                "properties": {
                    "index": {"type": "integer", "minimum": 0},
                    "labels": {"type": "array", "items": SCORED},
                    "tokens": {"type": "integer", "minimum": 0},
                    "truncated": {"type": "boolean"},
                    "empty": {"type": "boolean"},
                },
            },
        },
        "usage": {
            "type": "object",
            "required": ["texts", "tokens"],
            "properties": {"texts": {"type": "integer"}, "tokens": {"type": "integer"}},
        },
    },
}
STATE: Schema = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"type": "string"}},
}
REFUSALS = {
    400: "The body is no JSON",
    408: "The body did not come in time",
    413: "Too large, or too many tokens",
    415: "Another media type than JSON",
    422: "A field is missing, unknown or wrong, or there are too many texts",
    500: "The model failed on these texts",
    503: "Too much waits, or the server stops: come back after Retry-After seconds",
}


def predict_body(limits: Limits) -> Schema:
    """What POST /predict takes: the shape of text-embeddings-inference."""
    return _body({"inputs": _inputs(limits), "truncate": _truncate()})


def classify_body(limits: Limits, models: Sequence[str]) -> Schema:
    """What POST /v1/classify takes."""
    key = {"type": ["string", "null"], "minLength": 1, "maxLength": LONGEST_KEY}

    return _body(
        {
            "inputs": _inputs(limits),
            "truncate": _truncate(),
            "threshold": {
                "description": "Labels above it are given; without it the model's own.",
                "type": ["number", "null"],
                "exclusiveMinimum": 0,
                "exclusiveMaximum": 1,
            },
            "top_k": {
                "description": "At most so many labels of a text.",
                "type": ["integer", "null"],
                "minimum": 1,
                "maximum": 2**31 - 1,
            },
            "model": {
                "description": "Which model answers; without it the shares decide.",
                "enum": [*models, None],
            },
            "key": {
                **key,
                "description": "Whose request it is: one key is always answered by one model.",
            },
        }
    )


def responses(answer: Schema, refusals: Sequence[int] = tuple(REFUSALS)) -> dict[int, Schema]:
    """The answers of an address for its description: 200 as ``answer``, and each refusal."""
    told = {200: {"description": "The answer", "content": {"application/json": {"schema": answer}}}}
    for status in refusals:
        told[status] = {
            "description": REFUSALS[status],
            "content": {"application/json": {"schema": ERROR}},
        }
    return told


def _body(properties: Schema) -> Schema:
    schema = {
        "type": "object",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": properties,
        "example": {"inputs": ["I am so happy today!", "This is sad."]},
    }
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _inputs(limits: Limits) -> Schema:
    text = {"type": "string"}
    alone = {"type": "array", "items": text, "minItems": 1, "maxItems": 1}

    return {
        "description": "One text, or a list of them; each may stand in a list of its own.",
        "anyOf": [
            text,
            {
                "type": "array",
                "items": {"anyOf": [text, alone]},
                "minItems": 1,
                "maxItems": limits.texts,
            },
        ],
    }


def _truncate() -> Schema:
    return {
        "description": "Cut longer texts at the model's limit (default), or refuse them.",
        "type": ["boolean", "null"],
        "default": True,
    }
