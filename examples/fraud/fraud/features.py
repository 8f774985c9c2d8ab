"""Transactions and the features that a model sees; the same code for training and for serving."""

from __future__ import annotations

import holidays
import numpy as np
import pandas as pd

CATEGORIES = ("electronics", "fuel", "gambling", "groceries", "travel")
HOME = "DE"
HOLIDAYS = holidays.country_holidays(HOME, years=range(2024, 2028))


def synthetic_transactions(count: int, seed: int) -> pd.DataFrame:
    """``count`` made-up transactions with their label ``is_fraud``; the same for the same seed."""
    rng = np.random.default_rng(seed)
    moments = pd.Timestamp("2025-01-01") + pd.to_timedelta(rng.integers(0, 365 * 24 * 60, count), unit="min")
    frame = pd.DataFrame(
        {
            "time": moments.strftime("%Y-%m-%dT%H:%M:%S"),
            "amount": rng.lognormal(3.5, 1.2, count).round(2),
            "category": rng.choice(CATEGORIES, count),
            "country": rng.choice([HOME, "FR", "US"], count, p=[0.85, 0.1, 0.05]),
            "card_age_days": rng.integers(1, 3000, count),
        }
    )
    table = features(frame)
    risk = 0.8 * table["log_amount"] + 1.5 * table["abroad"] + 1.2 * table["night"] - 0.6 * table["log_card_age"]
    risk += table["category_gambling"] + 0.5 * table["category_electronics"]
    frame["is_fraud"] = rng.random(count) < 1 / (1 + np.exp(4.5 - risk))
    return frame


def features(transactions: pd.DataFrame) -> pd.DataFrame:
    """One row of numbers per transaction."""
    # Clients send seconds, milliseconds and offsets in one batch: "ISO8601" (pandas 2) takes them all.
    time = pd.to_datetime(transactions["time"], format="ISO8601", utc=True)
    columns = {
        "log_amount": np.log1p(transactions["amount"]),
        "log_card_age": np.log1p(transactions["card_age_days"]),
        "abroad": (transactions["country"] != HOME).astype(float),
        "night": time.dt.hour.isin([0, 1, 2, 3, 4, 5]).astype(float),
        "weekend": (time.dt.dayofweek >= 5).astype(float),
        "holiday": time.dt.date.isin(HOLIDAYS.keys()).astype(float),
    }
    columns |= {f"category_{name}": (transactions["category"] == name).astype(float) for name in CATEGORIES}
    return pd.DataFrame(columns)
