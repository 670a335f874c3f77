"""The benchmark runs to its end and prints every ratio. Its numbers are no test's business."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEASURES = (
    "first response in the burst, p50",
    "first response in the burst, p99",
    "first response, slowest of all",
    "API's answer to posted message",
    "CPU per job, single jobs",
    "CPU per job, burst",
    "peak memory (PSS)",
    "requests to Discord per job",
)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the benchmark reads Linux's /proc")
def test_a_quick_round_prints_every_ratio() -> None:
    results = ROOT / "bench" / "RESULTS.md"
    before = results.read_bytes() if results.exists() else None
    command = [sys.executable, "-m", "bench", "--quick", "--rounds", "1"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    # 1 says that a limit was missed, as it may be on a busy machine; a crash would print no table.
    assert done.returncode in {0, 1}, done.stderr
    lines = done.stdout.splitlines()
    for measure in MEASURES:
        (line,) = [line for line in lines if line.startswith(f"| {measure}")]
        assert line.split("|")[4].strip().endswith("×"), line
    assert ("MISSED" in done.stdout) == (done.returncode == 1)
    assert (results.read_bytes() if results.exists() else None) == before
