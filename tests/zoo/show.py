"""Prints the cells of the zoo that are not as they should be; all cells of models that are named.

python -m tests.zoo.show [MODEL ...]
"""

import sys
import time
import warnings
from collections import Counter

from tests.zoo.functions import FUNCTIONS, outcome
from tests.zoo.made import made
from tests.zoo.models import ZOO


def main(names: list[str]) -> None:
    warnings.simplefilter("ignore")
    counts: Counter[str] = Counter()
    for name in names or ZOO:
        begin = time.process_time()
        one = made(name)
        said = []
        for label, function in FUNCTIONS.items():
            if not function.applies(one):
                continue
            (what, text), expected = outcome(function, one), one.entry.expected(label)
            counts[what if what == expected else f"{what} for {expected}"] += 1
            if what != expected or names:
                said.append(f"  {label}: {what}{'' if what == expected else ' (!)'}: {text[: 1000 if names else 230]}")
        print(f"{name} ({time.process_time() - begin:.2f} s)", *said, sep="\n", flush=True)
    print(dict(counts))


if __name__ == "__main__":
    main(sys.argv[1:])
