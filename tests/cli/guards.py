"""Small models in files, with their data, for the commands that guard and check."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skops import io as skops

import knowlimits as kl

WARDS = ["medicine", "surgery", "intensive care"]
TRUSTED = ["--trusted", "numpy.dtype"]


@dataclass(frozen=True)
class Case:
    """A model in a file, and rows like those that it was trained on in another."""

    model: Any
    table: pd.DataFrame
    path: Path
    data: Path

    @property
    def columns(self) -> list[str]:
        return [name for name in self.table if name != "outcome"]


def patients(n: int, seed: int = 0) -> pd.DataFrame:
    """Numbers, one of them often missing, a category, and an outcome."""
    rng = np.random.default_rng(seed)
    ill = rng.random(n) < 0.4
    return pd.DataFrame(
        {
            "pulse": rng.normal(78 + 20 * ill, 11),
            "weight": rng.normal(76, 12, n),
            "lactate": np.where(rng.random(n) < 0.3, np.nan, rng.lognormal(0.2 + 0.6 * ill, 0.4)),
            "ward": rng.choice(WARDS, n),
            "outcome": np.where(ill, "worse", "stable"),
        }
    )


def numbers(folder: Path) -> Case:
    """A network of ours."""
    table = patients(400)[["pulse", "weight", "outcome"]]
    model = kl.NeuralNetwork(hidden_sizes=(6,), epochs=3, random_state=0)
    model.fit(table[["pulse", "weight"]].to_numpy(), table["outcome"].to_numpy())
    kl.save(model, folder / "net.safetensors")
    table.to_csv(folder / "numbers.csv", index=False)
    return Case(model, table, folder / "net.safetensors", folder / "numbers.csv")


def mixed(folder: Path) -> Case:
    """A pipeline of scikit-learn, of numbers with gaps and of text."""
    table = patients(400)
    X = table.drop(columns="outcome")
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["pulse", "weight", "lactate"]),
        (OneHotEncoder(handle_unknown="ignore"), ["ward"]),
    )
    model = make_pipeline(columns, LogisticRegression()).fit(X, table["outcome"])
    skops.dump(model, folder / "mixed.skops")
    table.to_csv(folder / "mixed.csv", index=False)
    return Case(model, table, folder / "mixed.skops", folder / "mixed.csv")


def faulty(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[int, str]]:
    """A table with faults in it, and what the reason of each has to say, by row."""
    table = table.astype({"pulse": object}).reset_index(drop=True)
    table.loc[3, "weight"] *= 1000
    table.loc[5, "pulse"] = -999
    table.loc[7, "weight"] = np.nan
    table.loc[9, "ward"] = "day clinic"
    table.loc[11, "pulse"] = "error"
    table.loc[13, "weight"] = np.inf
    found = {
        3: "weight",
        5: "pulse is -999",
        7: "weight is missing",
        9: "'day clinic'",
        11: "'error'",
        13: "weight is infinite",
    }
    return table, found


def rows_of(text: str) -> list[dict[str, str]]:
    """Rows of a CSV file."""
    return list(csv.DictReader(text.splitlines()))
