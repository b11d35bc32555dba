"""What the service says in JSON: the bodies of its own answers, as its OpenAPI page shows them."""

import json
from typing import Any

import pydantic
from starlette.responses import JSONResponse

from bcjax.evaluation.predictions import Prediction
from bcjax.serve.served_run import USE, ServedRun
from bcjax.serve.service import Answered, Unanswered


class Json(JSONResponse):
    """JSON in ASCII: a name that a client sent may hold what UTF-8 cannot."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class PictureAnswer(pydantic.BaseModel):
    """The answer for one picture."""

    name: str = pydantic.Field(description="As it was sent; else image 0, image 1, ...")
    label: str = pydantic.Field(description="The most probable class.")
    probability: float = pydantic.Field(ge=0, le=1, description="Of that class.")
    probabilities: dict[str, float] = pydantic.Field(description="Of each class.")
    set: list[str] | None = pydantic.Field(
        description="The conformal set, which holds the true class as often as the calibration "
        "says. null, as all below: the checkpoint is not calibrated."
    )
    uncertain: bool | None = pydantic.Field(description="Too unsure for the answer to count.")
    outlier: bool | None = pydantic.Field(description="Unlike what it was trained on.")
    distance: float | None = pydantic.Field(description="Of the features to the nearest class.")
    energy: float | None = pydantic.Field(description="Free energy of the logits.")


class PictureError(pydantic.BaseModel):
    """Why one picture among several has no answer."""

    name: str
    error: str


class PredictAnswer(pydantic.BaseModel):
    """The answers for the pictures of a request, in their order, all by one checkpoint."""

    model: str
    run: str = pydantic.Field(description="The name of the run's folder.")
    checkpoint: int = pydantic.Field(description="The step that it was trained for.")
    calibrated: bool = pydantic.Field(description="Whether probabilities are calibrated.")
    use: str = USE
    predictions: list[PictureAnswer | PictureError]


class ModelAbout(pydantic.BaseModel):
    """What is served under a name."""

    model: str
    run: str
    checkpoint: int
    network: str
    classes: list[str]
    height: int = pydantic.Field(description="Of the pictures that the network reads, px.")
    width: int
    backend: str = pydantic.Field(description="jax or onnx.")
    calibrated: bool
    use: str


class Models(pydantic.BaseModel):
    """What is served; the first one answers where a request names none."""

    models: list[ModelAbout]


class ErrorAnswer(pydantic.BaseModel):
    """Why a request was refused."""

    error: str = pydantic.Field(description="What is wrong and how to mend it, one sentence.")
    request_id: str = pydantic.Field(description="Also in the header X-Request-ID, and the log.")


def predictions(run: ServedRun, answered: Answered) -> dict[str, Any]:
    """Returns a `PredictAnswer`, ready for JSON."""
    predictor = answered.network.predictor
    return {
        "model": run.name,
        "run": run.workdir.resolve().name,
        "checkpoint": predictor.step,
        "calibrated": predictor.calibration is not None,
        "use": USE,
        "predictions": [_row(each) for each in answered.answers],
    }


def _row(answer: Prediction | Unanswered) -> dict[str, Any]:
    if isinstance(answer, Unanswered):
        return {"name": answer.name, "error": answer.error}
    return {
        "name": answer.name,
        "label": answer.label,
        "probability": answer.probability,
        "probabilities": answer.probabilities,
        "set": None if answer.set is None else list(answer.set),
        "uncertain": answer.uncertain,
        "outlier": answer.outlier,
        "distance": answer.distance,
        "energy": answer.energy,
    }
