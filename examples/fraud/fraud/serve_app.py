"""Score transactions behind Ray Serve: ``POST /score`` with a list of transactions.

Serve imports this module on the head too, which has no scikit-learn: only a replica loads the model.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel, Field
from ray import serve

from fraud.features import features, synthetic_transactions

MODEL = Path(os.environ.get("FRAUD_MODEL", "/mnt/models/fraud.joblib"))
api = FastAPI(title="fraud")


class Transaction(BaseModel):
    """What is known when a card is used."""

    time: datetime
    amount: float = Field(gt=0)
    category: str
    country: str = Field(min_length=2, max_length=2)
    card_age_days: int = Field(ge=0)


class Score(BaseModel):
    """The probability of fraud, and whether to stop the payment."""

    probability: float
    stop: bool


# Above Scorer because Serve pickles the class, with the globals that it sees, where it is decorated.
def load_model(path: Path) -> Any:
    """The trained model, or a small one fitted here as long as no training job has run."""
    import joblib

    from fraud.train import CANDIDATES, fit

    if path.exists():
        return joblib.load(path)
    return fit(CANDIDATES[0], synthetic_transactions(5_000, seed=0))


@serve.deployment(ray_actor_options={"num_cpus": 1})  # the head offers no CPU, so replicas run on workers
@serve.ingress(api)
class Scorer:
    """A replica with the model in memory."""

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold
        self.model = load_model(MODEL)

    @api.post("/score")
    def score(self, transactions: list[Transaction]) -> list[Score]:
        """A score for each transaction, in their order."""
        frame = pd.DataFrame([item.model_dump(mode="json") for item in transactions])
        probabilities = self.model.predict_proba(features(frame))[:, 1]
        return [Score(probability=round(p, 4), stop=p >= self.threshold) for p in probabilities.tolist()]


app = Scorer.bind()
