import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from ringfence import places
from ringfence.places import Place, PlaceError

# Takes a place as soon as it is told to, says which, and keeps it until it is killed.
SIT = """
import sys
from pathlib import Path
from ringfence.places import Place
print(flush=True)
sys.stdin.readline()
place = Place.take(Path(sys.argv[1]))
print(place.number, flush=True)
sys.stdin.readline()
"""


def sit(data: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", SIT, data],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def tell(process: "subprocess.Popen[str]") -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def told(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def left(data: Path) -> list[Place]:
    """Take the places whose process is gone."""
    places = [Place.at(folder) for folder in Place.folders(data)]
    return [place for place in places if place is not None]


def numbers(data: Path) -> list[int]:
    with ExitStack() as taken:
        return [taken.enter_context(place).number for place in left(data)]


def test_the_lowest_place_that_is_free_is_taken(tmp_path: Path) -> None:
    data = tmp_path / "data"
    one, two, three = (Place.take(data) for _ in range(3))
    two.close()

    again = Place.take(data)

    assert [place.number for place in (one, two, three, again)] == [1, 2, 3, 2]
    assert again.folder == data / "2"
    assert again.folder.is_dir()
    for place in (one, three, again):
        place.close()


def test_processes_that_start_at_once_share_none(tmp_path: Path) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(sit(tmp_path)) for _ in range(6)]
        for process in processes:
            told(process)
        for process in processes:
            tell(process)
        taken = sorted(told(process) for process in processes)
        for process in processes:
            process.kill()

    assert taken == ["1", "2", "3", "4", "5", "6"]


def test_a_place_whose_process_was_killed_is_abandoned_and_what_is_in_it_stays(
    tmp_path: Path,
) -> None:
    with Place.take(tmp_path), sit(tmp_path) as process:
        told(process)
        tell(process)
        assert told(process) == "2"
        (tmp_path / "2" / "outbox").write_text("a refusal")
        before = numbers(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()

        found = [(place.number, (place.folder / "outbox").read_text()) for place in left(tmp_path)]

    assert before == []
    assert found == [(2, "a refusal")]


def test_a_place_that_somebody_deals_with_is_not_taken_by_a_process_that_starts(
    tmp_path: Path,
) -> None:
    for place in [Place.take(tmp_path) for _ in range(2)]:
        place.close()

    dealt_with = Place.at(tmp_path / "1")
    started = Place.take(tmp_path)

    assert dealt_with is not None
    assert (dealt_with.number, started.number) == (1, 2)
    assert Place.at(tmp_path / "1") is None


def test_folders_that_are_no_places_are_left_alone(tmp_path: Path) -> None:
    for name in ("0", "01", "1000", "7th"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "place.lock").touch()
    (tmp_path / "evidence").mkdir()
    (tmp_path / "7").mkdir()
    (tmp_path / "3").touch()

    assert numbers(tmp_path) == []
    assert numbers(tmp_path / "none") == []


def test_places_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for place in [Place.take(tmp_path) for _ in range(11)]:
        place.close()

    assert numbers(tmp_path) == list(range(1, 12))


def test_a_forked_child_has_no_place(tmp_path: Path) -> None:
    with Place.take(tmp_path) as place:
        child = os.fork()
        if not child:
            os._exit(0 if not place.held and Place.take(tmp_path).number == 2 else 1)

        assert os.waitpid(child, 0)[1] == 0
        assert place.held


def test_when_all_are_taken_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MAX_PLACES", 2)

    with Place.take(tmp_path), Place.take(tmp_path), pytest.raises(PlaceError, match="2 processes"):
        Place.take(tmp_path)


def test_the_gate_in_a_place_has_an_id_of_its_own(tmp_path: Path) -> None:
    with Place.take(tmp_path), Place.take(tmp_path) as place:
        assert place.gate("casa") == "casa-2"
        assert place.gate("a" * 46) == "a" * 46 + "-2"


def test_an_id_that_becomes_too_long_is_refused(tmp_path: Path) -> None:
    with Place.take(tmp_path) as place, pytest.raises(PlaceError, match=r"gate\.id: 'a+-1'"):
        place.gate("a" * 47)
