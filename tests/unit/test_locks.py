import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ringfence.locks import Lock, try_lock

# Is killed, so it is a process of its own.
HOLD = """
import sys
from pathlib import Path
from ringfence.locks import try_lock
lock = try_lock(Path(sys.argv[1]))
print(lock is not None, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.lock"


def test_who_comes_second_does_not_get_it_and_does_not_wait(path: Path) -> None:
    with closing(Lock(path)) as lock:
        assert lock.take()
        assert try_lock(path) is None

    again = try_lock(path)
    assert again is not None
    again.close()


def test_it_can_be_given_up_and_taken_again(path: Path) -> None:
    with Lock(path) as one, Lock(path) as other:
        assert (one.take(), other.take()) == (True, False)
        one.release()
        assert (other.take(), one.take()) == (True, False)


def test_those_who_share_it_keep_out_who_does_not(path: Path) -> None:
    with Lock(path) as one, Lock(path) as other, Lock(path) as third:
        assert one.take()
        assert not other.take(shared=True)
        assert one.take(shared=True)
        assert (other.take(shared=True), third.take(), one.take()) == (True, False, False)


def test_a_killed_process_gives_it_up(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "True\n"
        assert try_lock(path) is None
        process.send_signal(signal.SIGKILL)
        process.wait()

    with closing(Lock(path)) as lock:
        assert lock.take()


def test_a_forked_child_has_no_part_in_it(path: Path) -> None:
    wait, go = os.pipe()
    told, tell = os.pipe()
    lock = try_lock(path)
    assert lock is not None
    child = os.fork()
    if not child:  # holds on for longer than its parent
        os.write(tell, b"closed" if lock.closed else b"open")
        os.read(wait, 1)
        os._exit(0)

    said = os.read(told, 6)
    lock.close()
    again = try_lock(path)
    os.write(go, b".")
    os.waitpid(child, 0)
    for end in (wait, go, told, tell):
        os.close(end)

    assert said == b"closed"
    assert again is not None
    again.close()


def test_a_child_that_closes_it_does_not_take_it_from_its_parent(path: Path) -> None:
    with Lock(path) as lock:
        assert lock.take()
        child = os.fork()
        if not child:
            lock.close()
            os._exit(0)
        os.waitpid(child, 0)

        assert try_lock(path) is None


def test_a_file_that_was_removed_is_lost(path: Path) -> None:
    with Lock(path) as lock:
        lock.take()
        kept = lock.lost
        path.unlink()

        assert (kept, lock.lost) == (False, True)


def test_a_file_removed_before_it_was_locked_is_not_the_one_that_others_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Lock.take

    def removed_first(lock: Lock) -> bool:
        monkeypatch.undo()
        path.unlink()
        return take(lock)

    monkeypatch.setattr(Lock, "take", removed_first)

    lock = try_lock(path)

    assert lock is not None
    with lock:
        assert try_lock(path) is None


def test_what_is_closed_is_not_taken(path: Path) -> None:
    lock = Lock(path)
    lock.close()
    lock.close()

    with pytest.raises(ValueError, match="negative"):
        lock.take()
