import sys
from pathlib import Path

import pytest

from imagebuild.errors import BuildError
from imagebuild.steps import run_step
from localcluster.progress import Progress


def test_a_steps_whole_output_is_in_its_log(tmp_path: Path) -> None:
    script = "import sys; print('out', flush=True); print('err', file=sys.stderr, flush=True); print('last', end='')"
    run_step([sys.executable, "-c", script], Progress(), tmp_path / "log")
    assert (tmp_path / "log").read_text() == "out\nerr\nlast\n"


def test_a_failed_step_tells_its_status_its_last_words_and_its_log(tmp_path: Path) -> None:
    with pytest.raises(BuildError) as failure:
        run_step([sys.executable, "-c", "print('disk full'); raise SystemExit(3)"], Progress(), tmp_path / "log")
    assert "ended with 3" in str(failure.value)
    assert "disk full" in str(failure.value)
    assert str(tmp_path / "log") in str(failure.value)


def test_the_latest_line_is_shown_without_its_mount_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_step(
        [sys.executable, "-c", "print('STEP 1: RUN --mount=type=secret,id=ca make')"], Progress(0), tmp_path / "log"
    )
    assert "… STEP 1: RUN make" in capsys.readouterr().err
