"""The map of the code is of the code as it is."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_map_says_of_each_module_what_the_module_says_of_itself() -> None:
    """If not: `scripts/map` writes it anew."""
    done = subprocess.run([sys.executable, ROOT / "scripts" / "map", "--check"], check=False)

    assert done.returncode == 0


def test_no_module_is_missing_from_the_map() -> None:
    page = (ROOT / "docs" / "map.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([a-z_.0-9]+)` \| \S", page, re.MULTILINE))

    there = {name(path, ROOT / "sdk") for path in (ROOT / "sdk").rglob("*.py")}
    there |= {name(path, ROOT / "adapters") for path in (ROOT / "adapters").rglob("*.py")}

    assert listed == there - {"ringfence"}


def name(path: Path, root: Path) -> str:
    dotted = ".".join(path.relative_to(root).with_suffix("").parts)
    return dotted.removesuffix(".__init__").removeprefix("ringfence.")
