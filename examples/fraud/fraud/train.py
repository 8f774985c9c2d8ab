"""Train on the workers: partitions of data, cross-validation and the final fit are all Ray tasks.

    python -m fraud.train --transactions 40000 --model /mnt/models/fraud.joblib

scikit-learn is on the workers only, so nothing here imports it outside a task.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd
import ray

from fraud.features import features, synthetic_transactions

FOLDS = 3
CANDIDATES: tuple[dict[str, Any], ...] = (
    {"n_estimators": 60, "max_depth": 6},
    {"n_estimators": 60, "max_depth": 12},
    {"n_estimators": 120, "max_depth": 12, "class_weight": "balanced"},
)


@ray.remote(num_cpus=1)
def partition(count: int, seed: int) -> pd.DataFrame:
    """A part of the data; stands for reading one file of a data set."""
    return synthetic_transactions(count, seed)


@ray.remote(num_cpus=1)
def validate(parameters: dict[str, Any], held_out: int, *parts: pd.DataFrame) -> float:
    """Average precision on one part of a model fitted to the others."""
    from sklearn.metrics import average_precision_score

    test = parts[held_out]
    model = fit(parameters, pd.concat([part for index, part in enumerate(parts) if index != held_out]))
    return float(average_precision_score(test["is_fraud"], model.predict_proba(features(test))[:, 1]))


@ray.remote(num_cpus=1)
def fit_and_save(parameters: dict[str, Any], path: str, *parts: pd.DataFrame) -> int:
    """Fit to all parts and save the model where workers find it; returns its size in bytes."""
    import joblib

    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.new")
    joblib.dump(fit(parameters, pd.concat(parts)), unfinished, compress=3)
    unfinished.replace(target)
    return target.stat().st_size


def fit(parameters: dict[str, Any], transactions: pd.DataFrame) -> Any:
    """A fitted classifier."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(**parameters, n_jobs=1, random_state=0)
    return model.fit(features(transactions), transactions["is_fraud"])


def train(transactions: int, path: str) -> dict[str, Any]:
    """Choose the best candidate by cross-validation, fit it to everything, save it; returns what was found."""
    parts = [partition.remote(transactions // FOLDS, seed) for seed in range(FOLDS)]
    runs = [[validate.remote(candidate, fold, *parts) for fold in range(FOLDS)] for candidate in CANDIDATES]
    scores = [sum(ray.get(run)) / FOLDS for run in runs]
    score, best = max(zip(scores, range(len(CANDIDATES)), strict=True))
    size = ray.get(fit_and_save.remote(CANDIDATES[best], path, *parts))
    return {"parameters": CANDIDATES[best], "average_precision": round(score, 4), "model": path, "bytes": size}


def main() -> None:
    """Read the arguments, train, print the result as JSON."""
    parser = argparse.ArgumentParser(description="Train the fraud model on the cluster.")
    parser.add_argument("--transactions", type=int, default=40_000)
    parser.add_argument("--model", default="/mnt/models/fraud.joblib", help="a path that workers share")
    options = parser.parse_args()
    ray.init()
    print(json.dumps(train(options.transactions, options.model)))


if __name__ == "__main__":
    main()
