"""The benchmark's rules from known numbers, and one real turn of Fourfold and of plain PyTorch."""

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from harness import judge, plot, results, table  # noqa: E402
from harness import runs as turns  # noqa: E402
from harness.material import material  # noqa: E402
from harness.plan import LIBRARIES, OURS, TUNED, WORKLOADS, Row  # noqa: E402
from harness.runs import Run  # noqa: E402
from peers import fourfold_peer  # noqa: E402
from peers.work import Answer, Job, UnavailableError  # noqa: E402

WORK = WORKLOADS["CNN, batch 128"]


def run(library: str = OURS, ms: float = 10.0, seed: int = 0, **told: object) -> Run:
    """A turn as if it had taken `ms` a step."""
    known = {"loss": 0.5 + 0.01 * seed, "parameters": 100, "way": "as it comes", "precision": "fp32", **told}
    return Run(workload=WORK.name, library=library, seed=seed, seconds=2.0, figures={"ms a step": ms}, **known)  # type: ignore[arg-type]


def rounds(library: str, *ms: float, **told: object) -> list[Run]:
    return [run(library, value, seed, **told) for seed, value in enumerate(ms)]


def test_the_best_peer_is_that_with_the_least_median_in_the_same_precision() -> None:
    runs = [
        *rounds(OURS, 8, 9, 7),
        *rounds("PyTorch", 20, 10, 30),
        *rounds("Keras on JAX", 16, 90, 15),  # its median is the least, not its mean
        *rounds("PyTorch", 12, 12, 12, way=TUNED),
        *rounds("Lightning", 1, 1, 1, precision="bf16"),
    ]
    full = next(verdict for verdict in judge.verdicts(WORK, runs) if verdict.precision == "fp32")
    assert full.best is not None
    assert full.best[0] == Row(library="Keras on JAX")
    assert full.ratio == pytest.approx(8 / 16)
    assert full.tuned_ratio == pytest.approx(8 / 12)
    assert full.told == "met"


@pytest.mark.parametrize(("ms", "told"), [(8.5, "met"), (17.0, "missed by 100%")])
def test_a_promise_is_met_or_missed_by_how_much(ms: float, told: str) -> None:
    assert WORK.targets["fp32"] == 0.85
    verdict = judge.verdicts(WORK, [run(OURS, ms), run("PyTorch", 10)])[0]
    assert verdict.told == told


def test_what_fourfold_cannot_do_yet_is_told() -> None:
    absent = replace(run(), figures={}, unavailable="unknown setting 'precision'", precision="bf16")
    runs = [absent, run("PyTorch", precision="bf16")]
    (verdict,) = (verdict for verdict in judge.verdicts(WORK, runs) if verdict.precision == "bf16")
    assert verdict.told == "not available"
    assert "unknown setting 'precision'" in table.faults(runs)


def test_a_turn_with_another_loss_is_thrown_out_and_named() -> None:
    runs = [
        *rounds(OURS, 8, 8, 8),
        *rounds("PyTorch", 9, 9, 9),
        *rounds("skorch", 9, 9, 9),
        run("skorch", 1, 3, loss=0.9),
    ]
    assert list(judge.discarded(runs)) == [9]
    assert judge.timings(judge.kept(runs), "ms a step")[Row(library="skorch")].least == 9
    assert "skorch, as it comes, fp32: thrown out, seed 3" in table.faults(runs)


def test_a_loss_that_is_no_number_is_thrown_out() -> None:
    assert list(judge.discarded([run(), run("PyTorch"), run("skorch", loss=float("nan"))])) == [2]


def test_one_round_does_not_tell_how_far_losses_may_differ() -> None:
    once = [run(OURS, loss=0.50), run("PyTorch", loss=0.60), run("skorch", loss=0.61)]
    assert judge.discarded(once) == {}
    assert list(judge.discarded([*once, run("Lightning", loss=math.inf)])) == [3]
    again = [run(one.library, seed=1, loss=one.loss) for one in once]
    assert list(judge.discarded([*once, *again])) == [0, 3]


def test_a_wide_spread_over_seeds_widens_what_may_differ() -> None:
    def losses(*values: float) -> list[Run]:
        return [run(library, loss=value) for library in (OURS, "PyTorch", "skorch") for value in values]

    other = run("Lightning", loss=0.6)
    assert len(judge.discarded([*losses(0.50, 0.51), other])) == 1
    assert judge.discarded([*losses(0.40, 0.60), other]) == {}


def test_libraries_that_disagree_do_not_widen_it() -> None:
    """A spread over all runs would be as wide as the disagreement itself."""
    runs = [*(run(OURS, loss=loss) for loss in (1.0, 1.01)), *(run("PyTorch", loss=loss) for loss in (2.0, 2.01))]
    assert len(judge.discarded(runs)) == 4


def test_a_network_of_another_size_is_thrown_out() -> None:
    runs = [run(), run("PyTorch", parameters=102), run("skorch", parameters=200)]
    assert list(judge.discarded(runs)) == [2]


def test_the_spread_is_that_within_rows() -> None:
    rng = np.random.default_rng(0)
    rows = [(mean + rng.normal(0, 0.1, 2000)).tolist() for mean in (0, 5, 9)]
    assert judge.spread(rows) == pytest.approx(0.1, rel=0.05)
    assert judge.spread([*rows, [0.0, 1000.0]]) == pytest.approx(0.1, rel=0.05)
    assert judge.spread([[1.0], [2.0]]) == 0


def test_a_part_takes_the_place_of_its_earlier_self_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "results" / "bench.json"
    told = results.circumstances("mnist", 1)
    results.save(path, results.merge(results.load(path), "cnn", told, [run(), run("PyTorch")]))
    results.save(path, results.merge(results.load(path), "rnn", told, [run(OURS, 3)]))
    results.save(path, results.merge(results.load(path), "cnn", told, [run(OURS, 4)]))
    assert results.runs_of(results.load(path)) == [run(OURS, 4), run(OURS, 3)]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text('{"cnn": {"runs": [{"speed": 1}]}}')
    with pytest.raises(SystemExit, match="move it away"):
        results.load(path)


def test_the_page_and_the_picture_hold_what_was_measured(tmp_path: Path) -> None:
    runs = [
        *rounds(OURS, 8, 9, 7),
        *rounds("PyTorch", 20, 10, 30),
        replace(run("skorch"), figures={}, failed="no room"),
    ]
    page = table.page(results.merge({}, "cnn", results.circumstances("mnist", 3), runs))
    cells = "| CNN, batch 128 | ms a step | 8.00 | PyTorch, 20.0 | 0.40 | ≤ 0.85 | **met** |"
    assert cells in page
    assert "| PyTorch | as it comes | fp32 | 20.0 (10.0–30.0) |" in page
    assert "failed: no room" in page
    plot.draw(runs, tmp_path / "results.png")
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
    (group,) = plot.groups(runs)
    assert group.multiples == pytest.approx({OURS: 0.4, "PyTorch": 1.0})


def test_the_first_epoch_does_not_count() -> None:
    answer = Answer(seconds=[9.0, 1.0, 3.0, 2.0], steps=100)
    assert turns.figures("train", answer, 20.0) == {"ms a step": 20.0}
    assert turns.figures("process", answer, 20.0) == {"s": 20.0}


def test_no_round_begins_after_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "take_turn", lambda workload, row, seed, data: run(row.library, seed=seed))
    pairs = [(WORK, Path())]
    assert turns.turns(pairs, 3, deadline=float("-inf"), tell=lambda _: None) == []
    done = turns.turns(pairs, 2, deadline=float("inf"), tell=lambda _: None)
    assert [one.seed for one in done] == [0] * len(WORK.rows) + [1] * len(WORK.rows)
    assert [one.library for one in done[: len(WORK.rows)]] == [row.library for row in WORK.rows]


def test_every_workload_can_be_judged() -> None:
    """Fourfold comes first, and each precision that is promised has a turn of ours and one of a peer."""
    for workload in WORKLOADS.values():
        assert workload.rows[0] == Row(library=OURS)
        assert len(set(workload.rows)) == len(workload.rows)
        for precision in workload.targets:
            able = {row.library for row in workload.rows if row.precision == precision}
            assert OURS in able
            assert len(able) > 1


def test_every_peer_has_a_worker_and_pins() -> None:
    folder = ROOT / "benchmarks" / "peers"
    for peer in LIBRARIES.values():
        assert (folder / f"{peer.module}.py").exists()
        pins = (folder / f"requirements-{peer.environment}.txt").read_text().split() if peer.environment else []
        assert all("==" in pin for pin in pins)


def ask(module: str, job: Job) -> Answer:
    """What a worker answers, with this environment's torch for all."""
    command = [sys.executable, "-m", f"peers.{module}"]
    words = json.dumps(asdict(job))
    done = subprocess.run(command, input=words, cwd=ROOT / "benchmarks", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Answer(**json.loads(done.stdout))


def test_fourfold_and_plain_torch_do_the_same_work(tmp_path: Path) -> None:
    data = material("autoencoder", 1000, "mnist", tmp_path)
    job = Job(network="autoencoder", task="train", data=str(data), batch_size=50, epochs=3, seed=0)
    ours, theirs = ask("fourfold_peer", job), ask("plain", job)
    assert ours.parameters == theirs.parameters == 50_992
    assert ours.steps == theirs.steps == 20
    assert len(ours.seconds) == len(theirs.seconds) == 3
    assert ours.loss is not None
    assert ours.loss == pytest.approx(theirs.loss, rel=0.03)
    assert ours.loss < 0.35  # 0.69 before the first step


@pytest.mark.parametrize("network", ["gru", "resnet"])
def test_made_up_examples_are_the_same_every_time_and_can_be_learned(network: str, tmp_path: Path) -> None:
    """The nearest mean of a class finds it far oftener than chance, on examples that it never saw."""
    with (
        np.load(material(network, 500, "mnist", tmp_path)) as made,
        np.load(material(network, 500, "", tmp_path)) as again,
    ):
        assert all(np.array_equal(made[name], again[name]) for name in made)
        x, y, unseen, truth = (made[name].astype("float64") for name in ("x_train", "y_train", "x_test", "y_test"))
    means = np.stack([x[y == k].mean(0).ravel() for k in range(10)])
    distances = ((unseen.reshape(len(unseen), 1, -1) - means) ** 2).sum(2)
    assert (distances.argmin(1) == truth).mean() > 0.5


def test_fourfold_says_what_it_cannot_do() -> None:
    job = Job(network="cnn", task="train", data="", batch_size=5, epochs=1, seed=0, precision="fp7")
    with pytest.raises(UnavailableError, match="precision"):
        fourfold_peer.settings(job)


def test_fourfold_trains_as_the_peers_do() -> None:
    """No recipe of a preset beyond the network itself: no schedule, no average, no augmentation, Adam at 1e-3."""
    for network in fourfold_peer.NETWORKS:
        chosen = fourfold_peer.settings(Job(network=network, task="train", data="", batch_size=7, epochs=3, seed=2))
        assert (chosen.batch_size, chosen.epochs, chosen.seed, chosen.validation) == (7, 3, 2, 0)
        assert (chosen.optimizer, chosen.schedule, chosen.augment) == ("adam", "constant", "none")
        assert chosen.learning_rate == (2e-4 if network == "dcgan" else 1e-3)
        assert chosen.weight_decay == chosen.warmup == chosen.clip == chosen.ema == 0
