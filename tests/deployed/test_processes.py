"""No started process keeps running, whichever way its parent ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from demo.processes import ProcessEndedError, Processes

ROOT = Path(__file__).resolve().parents[2]
#: A process with a child; neither ends on SIGTERM.
STUBBORN = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); time.sleep(600)"


@pytest.fixture
def processes(tmp_path):
    started = Processes(tmp_path / "logs")
    yield started
    started.stop(grace=0)


def start(processes, tmp_path, code):
    processes.start("program", [sys.executable, "-c", code], env=dict(os.environ), cwd=tmp_path)


def lives(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(true):
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_stopping_ends_a_process_and_child_that_ignore_signals(processes, tmp_path):
    start(processes, tmp_path, STUBBORN)
    wait_until(lambda: len(processes.members()) == 2)
    members = processes.members()
    processes.stop(grace=0.2)
    assert [process.pid for process in members if lives(process)] == []


def test_stopping_ends_an_orphaned_child(processes, tmp_path):
    start(processes, tmp_path, "import os, time\nif os.fork() == 0: time.sleep(600)")
    wait_until(lambda: processes._started[0].process.poll() is not None)
    (orphan,) = processes.members()
    processes.stop(grace=0.2)
    assert not lives(orphan)


def test_killing_a_process_ends_its_child_and_is_not_an_error(processes, tmp_path):
    start(processes, tmp_path, STUBBORN)
    wait_until(lambda: len(processes.members()) == 2)
    killed = processes.members()
    processes.start("other", ["sleep", "600"], env=dict(os.environ), cwd=tmp_path)
    processes.kill("program")
    processes.check()
    assert [process.pid for process in killed if lives(process)] == []
    assert [process.name() for process in processes.members()] == ["sleep"]


def test_a_process_that_exits_unexpectedly_is_reported_with_its_output(processes, tmp_path):
    start(processes, tmp_path, "raise SystemExit('no more')")
    wait_until(lambda: processes.members() == [])
    with pytest.raises(ProcessEndedError, match="program ended with exit code 1:\n    no more"):
        processes.check()


def test_a_command_returns_its_output(processes, tmp_path):
    argv = [sys.executable, "-c", "print('done')"]
    assert processes.run("command", argv, env=dict(os.environ), cwd=tmp_path, timeout=120) == "done\n"


def test_a_failed_command_is_reported_with_its_output(processes, tmp_path):
    argv = [sys.executable, "-c", "import sys; sys.exit('because')"]
    with pytest.raises(ProcessEndedError, match="command failed with exit code 1:\n    because"):
        processes.run("command", argv, env=dict(os.environ), cwd=tmp_path, timeout=120)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_program_that_is_ended_leaves_nothing_running(tmp_path, ending):
    program = f"""
import os, sys, time
from pathlib import Path
from demo.processes import Processes, exit_on_signals
processes = Processes(Path({str(tmp_path)!r}))
with exit_on_signals():
    try:
        processes.start("program", [sys.executable, "-c", "import time; time.sleep(600)"],
                        env=dict(os.environ), cwd=Path("/"))
        print(processes.members()[0].pid, flush=True)
        time.sleep(600)
    finally:
        processes.stop()
"""
    running = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    started = psutil.Process(int(running.stdout.readline()))
    running.send_signal(ending)
    assert running.wait(120) != 0
    wait_until(lambda: not lives(started))
