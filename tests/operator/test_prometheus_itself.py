"""What Prometheus itself answers is read as it is meant. It scrapes itself, as two revisions."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from localcluster.progress import Progress
from prometheus.binary import PROGRAM
from tidegate_operator.evidence.answers import NoData, Number, Unanswered
from tidegate_operator.evidence.queries import Names, rendered
from tidegate_operator.install import Install
from tidegate_operator.process.prometheus import Prometheus

from .builders import A, B

# The first time the program is built, which takes minutes.
pytestmark = [pytest.mark.integration, pytest.mark.prometheus, pytest.mark.timeout(1800)]

NAMES = Names("ml", "churn", A, B)
CONFIGURATION = """\
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: itself
    static_configs:
      - {{targets: ["127.0.0.1:{port}"], labels: {{revision: {stable}}}}}
      - {{targets: ["localhost:{port}"], labels: {{revision: {canary}}}}}
"""


@pytest.fixture(scope="module")
def program() -> Path:
    return PROGRAM.ensure(Progress())


@pytest.fixture(scope="module")
def url(
    program: Path, tmp_path_factory: pytest.TempPathFactory, unused_tcp_port_factory: Callable[[], int]
) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("prometheus"), unused_tcp_port_factory()
    path = folder / "prometheus.yml"
    path.write_text(CONFIGURATION.format(port=port, stable=A, canary=B))
    words = [
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen([program, *words], stdout=log, stderr=log) as running:
        yield f"http://127.0.0.1:{port}"
        running.terminate()


@pytest.fixture
async def prometheus(url: str) -> AsyncIterator[Prometheus]:
    """One that has scraped both of its targets."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        found = Prometheus(session, Install(prometheus_url=url))
        window = 0
        while await told(found, "count(up)", window) != Number(2.0):
            window += 1
            await asyncio.sleep(0.05)
        yield found


async def told(prometheus: Prometheus, query: str, window: int = -1) -> object:
    while (answers := prometheus.answers(NAMES, window, [rendered(query, NAMES)])) is None:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    (answer,) = answers
    return answer


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        pytest.param('up{revision="{{canary}}"}', Number(1.0), id="one sample"),
        pytest.param('sum(up{revision=~"{{canary}}|{{stable}}"})', Number(2.0), id="the sum of both"),
        pytest.param("scalar(sum(up)) / 4", Number(0.5), id="a scalar"),
        pytest.param("# {{service}} in {{namespace}}\n-1e3", Number(-1000.0), id="a number, and a comment"),
        pytest.param('up{revision="churn"}', NoData("it has no sample"), id="no sample"),
        pytest.param("sum(up) * 0 / 0", NoData("its value is NaN"), id="nothing by nothing"),
        pytest.param("1 / 0", NoData("its value is +Inf"), id="something by nothing"),
        pytest.param("-1 / 0", NoData("its value is -Inf"), id="less than nothing by nothing"),
    ],
)
async def test_one_number_or_none(prometheus: Prometheus, query: str, answer: object) -> None:
    assert await told(prometheus, query) == answer


@pytest.mark.parametrize(
    ("query", "why"),
    [
        pytest.param("up", "it gives 2 samples, and has to give one", id="several samples"),
        pytest.param("up[1m]", "it gives a matrix", id="a range"),
        pytest.param('"text"', "it gives a string", id="a string"),
        pytest.param("sum(", "Prometheus didn't take it: bad_data: ", id="half a query"),
        pytest.param("up{revision={{canary}}}", "Prometheus didn't take it: bad_data: ", id="a name without quotes"),
        pytest.param("quantile(2, up)", "Prometheus warns: ", id="a quantile that there isn't"),
    ],
)
async def test_what_is_not_one_number_is_no_answer(prometheus: Prometheus, query: str, why: str) -> None:
    found = await told(prometheus, query)
    assert isinstance(found, Unanswered)
    assert found.why.startswith(why), found.why
