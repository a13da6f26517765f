"""npu-smi info in every layout seen."""

import pytest

from goemo_utils.environment.smi import parse
from tests.environment.fake_machine import FIXTURES, FakeMachine, faults

LAYOUTS = {
    # name: version, devices, name of the last, its npu, chip, power, memory used, total, HBM
    "910b3": ("25.3.rc1", 8, "910B3", 7, 0, 101.2, 4487, 65536, True),
    "910b4_tight": ("24.1.1", 2, "910B4", 1, 0, 87.0, 29356, 32768, True),
    "910c_a3": ("25.2.1", 8, "Ascend910", 3, 1, None, 3196, 65536, True),
    "26.0.rc2_wide": ("26.0.rc2", 4, "Ascend910", 1, 1, None, 2874, 65536, True),
    "310p_no_hbm": ("23.0.rc3", 2, "310P3", 8, 1, None, 1398, 21527, False),
}


def read(name):
    return (FIXTURES / "smi" / f"{name}.txt").read_text()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read(layout):
    version, count, name, npu, chip, power, used, total, hbm = LAYOUTS[layout]
    parsed = parse(read(layout))
    assert parsed["version"] == version
    assert len(parsed["devices"]) == count
    last = parsed["devices"][-1]
    assert (last["name"], last["npu"], last["chip"], last["power"]) == (name, npu, chip, power)
    assert (last["memory_used"], last["memory_total"], last["hbm"], last["health"]) == (
        used,
        total,
        hbm,
        "OK",
    )


def test_bus_ids_are_kept_for_every_chip_of_a_card():
    devices = parse(read("910c_a3"))["devices"]
    assert len({device["bus_id"] for device in devices}) == 8
    assert [device["chip"] for device in devices[:2]] == [0, 1]


def test_the_process_table_is_read():
    assert parse(read("910b4_tight"))["processes"][0] == {
        "npu": 0,
        "chip": 0,
        "pid": 18231,
        "name": "python3",
        "memory": 24010,
    }
    assert parse(read("910b3"))["processes"] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dcmi module initialize failed. ret is -8005",
        "npu-smi 25.3.rc1                 Version: 25.3.rc1\n+---+\n",
    ],
)
def test_output_without_a_table_has_no_devices(text):
    assert parse(text)["devices"] == []


@pytest.mark.parametrize(
    "layout, notes",
    [
        ("910b4_tight", {"card-busy"}),
        ("910c_a3", set()),
        ("26.0.rc2_wide", set()),
        ("310p_no_hbm", {"card-precision"}),
    ],
)
def test_a_layout_is_no_fault_and_its_cards_get_their_notes(tmp_path, layout, notes):
    fake = FakeMachine(tmp_path)
    fake.smi = read(layout)
    result = fake.check("npu")
    assert faults(result) == []
    assert {one["id"] for one in result["findings"] if one["severity"] == "note"} == notes
