"""``ttscribe compile``, as a user types it."""

import json

import pytest

from ttscribe.compiler.serialise import from_json

SMALL = ["compile", "tiny.en", "--random-weights", "--program", "cross_kv"]


def test_summary_has_a_line_for_each_program(ttscribe):
    result = ttscribe("compile", "tiny.en", "--offline", "--strict")
    assert result.exit_code == 0
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}
    assert list(rows) == ["program", "encode", "cross_kv", "prefill", "decode_step", "greedy_step", "timed_step"]
    assert all(row[2] == "0" for name, row in rows.items() if name != "program")


def test_print_shows_the_calls_at_any_pass(ttscribe):
    lowered = ttscribe(*SMALL, "--print", "--pass", "lowered").stdout
    final = ttscribe(*SMALL, "--print").stdout
    assert "ttnn.permute" in lowered
    assert "ttnn.experimental.nlp_create_qkv_heads" not in lowered
    assert "ttnn.experimental.nlp_create_qkv_heads" in final
    assert "ttnn.permute" not in final


def test_json_can_be_read_back(ttscribe):
    printed = ttscribe(*SMALL, "--json", "--precision", "bfp8-hifi2").stdout
    program = from_json(printed)
    assert json.loads(printed)["format"] == "ttscribe.program/3"
    assert (program.name, program.precision) == ("cross_kv", "bfp8-hifi2")


def test_emit_writes_a_script_that_is_python(ttscribe, tmp_path):
    script = tmp_path / "cross_kv.py"
    assert ttscribe(*SMALL, "--emit", str(script)).exit_code == 0
    compile(script.read_text(), script, "exec")
    assert "ttscribe" not in [line.split()[1] for line in script.read_text().splitlines() if line.startswith("import")]


def test_help_says_all_that_the_script_needs(ttscribe, tmp_path):
    script = tmp_path / "cross_kv.py"
    ttscribe(*SMALL, "--emit", str(script))
    imported = {line.split()[1] for line in script.read_text().splitlines() if line.startswith("import")}
    assert imported == {"sys", "torch", "ttnn"}
    shown = " ".join(ttscribe("compile", "--help").stdout.split())
    assert "Python script that needs only ttnn and torch." in shown


def test_emit_makes_the_folder_and_writes_what_compile_writes(ttscribe, tmp_path):
    folder = tmp_path / "a" / "b"
    emitted = ttscribe("emit", "tiny.en", "--random-weights", "--program", "cross_kv", "--output", str(folder))
    ttscribe(*SMALL, "--emit", str(tmp_path / "cross_kv.py"))
    assert emitted.stdout == f"{folder / 'cross_kv.py'}\n"
    assert (folder / "cross_kv.py").read_text() == (tmp_path / "cross_kv.py").read_text()


def test_emit_says_where_it_cannot_write(ttscribe, tmp_path):
    (tmp_path / "file").touch()
    result = ttscribe("emit", "tiny.en", "--random-weights", "--output", str(tmp_path / "file"))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"ttscribe: error: cannot make the folder {tmp_path / 'file'}")


def test_strict_holds_for_a_program_at_any_pass(ttscribe, tmp_path):
    blocks = tmp_path / "blocks.json"
    blocks.write_text(json.dumps([{"op": "aten.linear.*", "reason": "to see what happens"}]))
    result = ttscribe(*SMALL, "--blocklist", str(blocks), "--strict", "--pass", "lowered", "--print")
    assert result.exit_code == 1
    assert "aten.linear.default on the host (blocked)" in result.stderr


def test_a_blocked_operation_stays_on_the_host_and_strict_refuses_it(ttscribe, tmp_path):
    blocks = tmp_path / "blocks.json"
    blocks.write_text(json.dumps([{"op": "aten.linear.*", "reason": "to see what happens"}]))
    printed = ttscribe(*SMALL, "--blocklist", str(blocks), "--print").stdout
    assert "# blocked: to see what happens" in printed
    refused = ttscribe(*SMALL, "--blocklist", str(blocks), "--strict")
    assert refused.exit_code == 1
    assert "aten.linear.default on the host (blocked): to see what happens" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--print", "--json"], "choose one of"),
        (["--pass", "nothing"], "no pass is called 'nothing'; there is lowered"),
        (["--precision", "fp3"], "no precision is called 'fp3'; there is exact"),
        (["--blocklist", "absent.json"], "blocklist absent.json"),
    ],
)
def test_mistakes_are_one_line(ttscribe, arguments, says):
    result = ttscribe(*SMALL, *arguments)
    assert result.exit_code == 1
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_transcribe_on_the_emulator(ttscribe, tiny, beckett):
    expected = ttscribe(*tiny, "--quiet", beckett).stdout
    result = ttscribe(*tiny, "--device", "emulator", "--precision", "auto", beckett)
    assert result.stdout == expected
    assert "emulator" in result.stderr
