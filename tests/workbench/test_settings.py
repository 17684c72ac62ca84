"""The user's settings: what is typed is understood or refused in words, and the file is never half written."""

from __future__ import annotations

import errno
import json
import tomllib
from pathlib import Path

import pytest

from engines.protocol.places import Places
from workbench.cli.main import main
from workbench.metrics.assumptions import Assumptions
from workbench.settings import SETTINGS, SettingsError, load, save, settings_path, with_value, without

EVERYTHING = Assumptions(
    watts_per_core=8.5,
    price_per_kwh=0.0,
    currency="CHF",
    carbon_grams_per_kwh=40.0,
    peak_flops=1e12,
    device_peaks=(("NVIDIA H200", 9.89e14), ("NVIDIA H200/int8", 1.979e15)),
)


def test_that_what_is_set_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "settings.toml"
    assert load(path) == Assumptions()
    save(path, EVERYTHING)
    assert load(path) == EVERYTHING
    assert [p.name for p in path.parent.iterdir()] == ["settings.toml"]


def test_that_other_tables_of_the_file_stay(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[of_a_newer_version]\nkey = "kept"\n')
    save(path, EVERYTHING)
    assert tomllib.loads(path.read_text())["of_a_newer_version"] == {"key": "kept"}


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [
        ("watts_per_core", "lots", "a number"),
        ("watts_per_core", "0", "0.01 to 1,000"),
        ("price_per_kwh", "-1", "0 to"),
        ("price_per_kwh", "nan", "a number"),
        ("price_per_kwh", True, "a number"),
        ("currency", "10 EUR", "a code or a sign"),
        ("currency", "", "empty"),
        ("peak_flops", "990", "1,000,000 to"),
        ("peak_flops.NVIDIA H200", "fast", "a number"),
        ("watt_per_core", "8", "no setting 'watt_per_core'"),
        ("peak_flops.", "1e12", "no setting"),
        ("peak_flops", "1,979e12", "“1,979e12”: write 1979e12 or 1.979e12"),
        ("carbon_grams_per_kwh", "1,002", "write 1002 or 1.002"),
    ],
)
def test_that_what_makes_no_sense_is_refused_in_words(name: str, raw: object, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        with_value(Assumptions(), name, raw)


def test_that_numbers_are_read_as_people_type_them() -> None:
    assert with_value(Assumptions(), "price_per_kwh", " 0,30 ").price_per_kwh == 0.3
    assert with_value(Assumptions(), "peak_flops", "9.89e14").peak_flops == 9.89e14
    assert with_value(Assumptions(), "watts_per_core", 9).watts_per_core == 9.0


def test_that_unset_takes_away_one_and_nothing_else() -> None:
    assert without(EVERYTHING, "watts_per_core").watts_per_core is None
    assert without(EVERYTHING, "currency").currency == "EUR"
    assert without(EVERYTHING, "peak_flops.nvidia h200").device_peaks == (("NVIDIA H200/int8", 1.979e15),)
    with pytest.raises(SettingsError, match="no setting"):
        without(EVERYTHING, "colour")


def test_that_the_most_particular_peak_is_taken() -> None:
    assert EVERYTHING.peak_of("NVIDIA H200", "int8") == (1.979e15, "NVIDIA H200/int8")
    assert EVERYTHING.peak_of("nvidia h200", "bfloat16") == (9.89e14, "NVIDIA H200")
    assert EVERYTHING.peak_of("Xeon", "float32") == (1e12, "any device and precision")
    assert EVERYTHING.peak_of("", "") == (1e12, "any device and precision")
    assert without(EVERYTHING, "peak_flops").peak_of("Xeon", "float32") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[assumptions", "not TOML"),
        ("assumptions = 7", "is a table"),
        ('[assumptions]\nprice_per_kwh = "dear"', "assumptions.price_per_kwh: price_per_kwh is a number"),
        ("[assumptions]\nprize_per_kwh = 1.0", "no setting"),
        ("[assumptions.peak_flops_of]\nX = -1.0", "peak_flops is"),
    ],
)
def test_that_a_file_that_cannot_be_used_is_named_and_left_alone(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=words) as caught:
        load(path)
    assert "settings.toml" in str(caught.value)
    if "not TOML" in words:
        with pytest.raises(SettingsError):
            save(path, EVERYTHING)
    assert path.read_text() == text


def test_that_a_full_disk_leaves_the_old_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "settings.toml"
    save(path, EVERYTHING)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SettingsError, match="No space left"):
        save(path, Assumptions())
    assert load(path) == EVERYTHING
    assert [p.name for p in tmp_path.iterdir()] == ["settings.toml"]


def test_that_every_setting_has_a_field_and_a_sentence() -> None:
    for setting in SETTINGS:
        assert hasattr(Assumptions(), setting.name)
        assert setting.help.endswith(".")


def test_that_the_command_sets_shows_and_forgets(home: Places, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--set", "price_per_kwh=0,31", "--set", "peak_flops.NVIDIA H200=9.89e14"]) == 0
    said = capsys.readouterr().out
    assert "0.31 EUR per kWh" in said
    assert "9.89e+14 FLOP/s" in said
    assert "recompute" in said
    assert load(settings_path(home)).price_per_kwh == 0.31
    assert main(["settings", "--unset", "price_per_kwh", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["settings"]["price_per_kwh"] is None
    assert told["settings"]["device_peaks"] == {"NVIDIA H200": 9.89e14}
    assert told["changed"] is True


def test_that_a_wrong_setting_changes_none_of_them(home: Places, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--set", "price_per_kwh=0.3", "--set", "watts_per_core=none"]) == 2
    assert "watts_per_core is a number" in capsys.readouterr().err
    assert load(settings_path(home)) == Assumptions()
    assert main(["settings", "--set", "price_per_kwh"]) == 2
    assert "no value" in capsys.readouterr().err
