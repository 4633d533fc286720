"""Answers of `asc-mrkd predict` as lines of text, JSON and CSV."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asc_mrkd.deploy import Prediction, Predictor, TimeLine

    Answer = Prediction | TimeLine
    Lines = Callable[[Answer, bool], Iterator[str]]


def make_lines(predictor: "Predictor", top: int, as_json: bool, as_csv: bool) -> "Lines":
    """Return the function that makes the lines of an answer; it is told whether the answer is the first."""
    if as_csv:
        return lambda answer, is_first: csv_lines(answer, predictor.classes, is_first)
    if as_json:
        return lambda answer, is_first: json_lines(answer, predictor, top, is_first)
    return lambda answer, is_first: text_lines(answer)


def text_lines(answer: "Answer") -> Iterator[str]:
    """Yield file, classes and probabilities in one line, or a line for every part of a time line."""
    from asc_mrkd.deploy import Prediction

    if isinstance(answer, Prediction):
        ranking = zip(answer.classes, answer.probabilities, strict=True)
        yield f"{answer.file}  {'  '.join(f'{name} {probability:.3f}' for name, probability in ranking)}"
        return
    for part in answer.segments():
        yield f"{answer.file}  {part.start:8.1f} to {part.end:.1f} s  {part.name} {part.probability:.3f}"


def json_lines(answer: "Answer", predictor: "Predictor", top: int, is_first: bool) -> Iterator[str]:
    """Yield one line of a list in JSON that is printed as the answers come."""
    from asc_mrkd.deploy import Prediction
    from asc_mrkd.deploy.predictor import rank_classes

    domain = predictor.domain

    def ranked(classes: list[str], probabilities: Any) -> list[dict[str, Any]]:
        ranking = zip(classes, probabilities, strict=True)
        return [{domain.category: name, "probability": float(probability)} for name, probability in ranking]

    record: dict[str, Any] = {"file": str(answer.file)}
    if isinstance(answer, Prediction):
        record[domain.categories] = ranked(answer.classes, answer.probabilities)
    else:
        record["time_line"] = []
        for start, end, row in zip(answer.starts, answer.ends, answer.probabilities, strict=True):
            best = rank_classes(row)[:top]
            found = ranked([answer.classes[i] for i in best], row[best])
            record["time_line"].append({"start": float(start), "end": float(end), domain.categories: found})
    record["warnings"] = [caution.text for caution in answer.cautions]
    yield ("[" if is_first else ",") + json.dumps(record)


def csv_lines(answer: "Answer", classes: list[str], is_first: bool) -> Iterator[str]:
    """Yield the rows of an answer as CSV, the names of the columns before those of the first one."""
    from asc_mrkd.deploy import Prediction

    if isinstance(answer, Prediction):
        columns: list[Any] = ["file", "prediction", *classes]
        found = dict(zip(answer.classes, answer.probabilities, strict=True))
        rows: list[list[Any]] = [[answer.file, answer.classes[0], *(f"{found[name]:.9g}" for name in classes)]]
    else:
        columns = ["file", "start", "end", "prediction", *classes]
        rows = []
        for start, end, row in zip(answer.starts, answer.ends, answer.probabilities, strict=True):
            values = [f"{value:.9g}" for value in row]
            rows.append([answer.file, f"{start:g}", f"{end:g}", classes[int(row.argmax())], *values])
    for cells in [columns, *rows] if is_first else rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(cells)
        yield line.getvalue()
