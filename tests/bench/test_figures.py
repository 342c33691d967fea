"""Ratios, shares and tables, from recorded runs."""

import pytest

from bench.recorded import BROKEN, INT8, OTHER, results
from ttscribe.bench import figures, tables
from ttscribe.bench.results import OURS, from_json, to_json
from ttscribe.errors import OutputError


def row(name: str) -> figures.Row:
    return next(each for each in figures.rows(results()) if each.name == name)


ENCODER, MEMORY = "encoder, a window of 30 s", "peak memory"


def test_a_ratio_is_of_runs_of_the_same_round():
    """The medians are 2 and 1, the rounds' ratios 1/4, 2 and 4."""
    assert figures.ratio(results(), row(ENCODER), INT8) == figures.Ratio(2.0, 0.25, 4.0)
    assert str(figures.ratio(results(), row(ENCODER), OTHER)) == "1.00 (0.50–2.00)"


def test_there_is_no_ratio_with_what_was_not_measured():
    assert figures.ratio(results(), row(ENCODER), BROKEN) is None
    assert figures.value(results(), row(ENCODER), BROKEN) is None


def test_the_encoder_is_the_median_of_medians():
    assert figures.value(results(), row(ENCODER), OURS) == 4  # of 2, 4 and 8


def test_time_is_compared_with_the_fastest_peer_and_memory_with_faster_whisper_int8():
    assert figures.compared_with(results(), row(ENCODER)) == INT8
    assert figures.compared_with(results(), row(MEMORY)) == INT8
    assert figures.ratio(results(), row(MEMORY), INT8) == figures.Ratio(0.5, 0.5, 0.5)
    assert figures.compared_with(results(peers=False), row(MEMORY)) is None


def test_rates_are_of_the_longest_recording():
    shown = {each.name: each.shown(figures.value(results(), each, OURS)) for each in figures.rows(results())}
    assert shown["real-time factor"] == "0.333"  # 80 s for 240 s
    assert shown["tokens a second"] == "5.0"  # 400 in 80 s
    assert shown["first token (TTFT)"] == "6000"
    assert shown["each token after it"] == "20.0"


def test_shares_are_of_the_highest_limit_of_the_type_that_is_computed_in():
    encoder, token = figures.shares(results())
    assert (encoder.rate, encoder.limit) == (2e9, 4e9)
    assert (token.amount, token.rate, token.limit) == (40_000_000, 2e9, 9e9)
    encoder, token = figures.shares(results(arithmetic="int8"))
    # A byte of each weight of the layers, and half a byte of each of the vocabulary.
    assert (encoder.limit, token.amount) == (9e9, 4_000_000 + 3_000_000)


@pytest.mark.parametrize("arithmetic", ["bf16-hifi3", "bfloat16"])
def test_what_has_no_limit_here_has_no_share(arithmetic):
    assert not figures.shares(results(arithmetic=arithmetic))
    assert f"No share of this machine's limits is told: {arithmetic}" in "\n".join(
        tables.facts(results(arithmetic=arithmetic))
    )


def test_json_is_read_back():
    assert from_json(to_json(results())) == results()
    with pytest.raises(ValueError, match="the format is not"):
        from_json(to_json(results()).replace("ttscribe.bench/2", "ttscribe.bench/0"))


def test_emulated_times_are_called_so():
    assert "emulated: times are this CPU's, not a card's" in list(tables.facts(results(device="emulator")))
    assert "measured" in list(tables.facts(results()))


def test_facts_name_the_processor_its_features_and_what_is_absent():
    told = "\n".join(tables.facts(results()))
    assert "A processor (AVX2, VNNI), 4 cores" in told
    assert f"{BROKEN}: absent: no | weights" in told
    assert f"{INT8}: float32; a 1, b 2" in told


def test_the_table_of_ratios_names_the_peer_that_a_row_is_compared_with():
    ratios = next(table for table in tables.tables(results()) if "over each peer's" in table.title)
    cells = {line[0]: dict(zip(ratios.header, line, strict=True)) for line in ratios.rows}
    assert cells[ENCODER]["compared with"] == f"{INT8}: 2.00 (0.25–4.00)"
    assert (cells[ENCODER][OTHER], cells[ENCODER][BROKEN]) == ("1.00 (0.50–2.00)", "-")
    assert "real-time factor" not in cells


def test_without_peers_there_are_no_ratios():
    assert [len(table.header) for table in tables.tables(results(peers=False))] == [2, 6]


def test_tables_go_between_the_markers_of_their_model(tmp_path):
    page = tmp_path / "page.md"
    begin, end = tables.markers("tiny.en")
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n{''.join(tables.markers('base'))}\n")
    tables.rewrite(page, results())
    text = page.read_text()
    assert text.startswith(f"before\n{begin}\n\n- tiny.en, its own weights, on cpu; median of 3 rounds, 2026-01-31\n")
    assert text.endswith(f"|\n\n{end}\nafter\n{''.join(tables.markers('base'))}\n")
    assert "old" not in text
    assert f"|   | {OURS} | {OTHER} | {INT8} | {BROKEN} |" in text


@pytest.mark.parametrize("text", [None, "no markers", "<!-- bench:base:begin --><!-- bench:base:end -->"])
def test_a_page_without_the_markers_is_refused(tmp_path, text):
    page = tmp_path / "page.md"
    if text is not None:
        page.write_text(text)
    with pytest.raises(OutputError, match=r"page\.md"):
        tables.require_markers(page, "tiny.en")
