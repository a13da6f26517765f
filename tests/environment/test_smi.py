"""npu-smi info in every layout seen."""

import pytest

from goemo_utils.environment.chips import chip_of
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


WORLD = {
    "a5_950pr_25.7": ("25.7.rc1", 2, "Ascend950PR", 1, 0, 279.1, 90633, 131072, True),
    "26.1_five_columns": ("26.1.0.b061", 2, "Ascend910", 0, 1, None, 15242, 65536, True),
    "310p_two_cards": ("25.2.3", 2, "310P3", 32800, 1, None, 42100, 43693, False),
}


def read(name):
    folder = FIXTURES / "world" / "smi" if name in WORLD else FIXTURES / "smi"
    return (folder / f"{name}.txt").read_text()


@pytest.mark.parametrize("layout", [*LAYOUTS, *WORLD])
def test_every_layout_is_read(layout):
    version, count, name, npu, chip, power, used, total, hbm = (LAYOUTS | WORLD)[layout]
    parsed = parse(read(layout))
    assert parsed["version"] == version
    assert len(parsed["devices"]) == count
    last = parsed["devices"][-1]
    assert (last["name"], last["npu"], last["chip"], last["power"]) == (name, npu, chip, power)
    assert (last["memory_used"], last["memory_total"], last["hbm"]) == (used, total, hbm)
    assert last["health"] == ("Alarm" if layout.startswith("a5") else "OK")


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
    seen = {one["id"] for one in result["findings"] if one["severity"] == "note"}
    assert seen - {"pair-ended"} == notes


def test_the_fifth_column_of_the_process_table_is_no_obstacle():
    processes = parse(read("26.1_five_columns"))["processes"]
    assert [(one["npu"], one["chip"], one["pid"], one["memory"]) for one in processes] == [
        (0, 0, 692318, 12417),
        (0, 1, 692318, 12417),
    ]


def test_a_bus_that_the_table_does_not_name_is_none():
    text = read("a5_950pr_25.7").replace("0000:01:00.0", "NA          ")
    devices = parse(text)["devices"]
    assert [device["bus_id"] for device in devices] == [None, "0000:61:00.0"]


def test_an_alarm_is_an_error_and_a_full_card_is_busy_on_an_ascend950(tmp_path):
    fake = FakeMachine(tmp_path)
    fake.smi = read("a5_950pr_25.7")
    result = fake.check("npu")
    (alarm,) = [one for one in result["findings"] if one["id"] == "card-unhealthy"]
    assert alarm["severity"] == "error"
    assert "Card 1" in alarm["title"]
    assert "Alarm" in alarm["title"]
    busy = [one for one in result["findings"] if one["id"] == "card-busy"]
    assert [one["title"].split()[1] for one in busy] == ["1"]
    assert "2066378 pytest" in busy[0]["evidence"]


def test_a_card_without_hbm_is_busy_when_its_memory_is_full(tmp_path):
    fake = FakeMachine(tmp_path)
    fake.smi = read("310p_two_cards")
    busy = [one for one in fake.check("npu")["findings"] if one["id"] == "card-busy"]
    assert [one["title"] for one in busy] == ["Card 32800 chip 1 already holds 42100 of 43693 MB"]


def test_a_plain_910b_is_the_first_generation_and_not_an_a2():
    plain = {"name": "910B", "chip": 0, "physical": None}
    assert chip_of(plain).generation == "first generation"
    assert chip_of({**plain, "name": "910B4-1"}).generation == "A2"
    assert chip_of({**plain, "name": "Ascend910", "chip": 1, "physical": 3}).generation == "A3"
    assert chip_of({**plain, "name": "Ascend910", "physical": 0}).generation == "A3"
    assert chip_of({**plain, "name": "Ascend950PR"}).generation == "Ascend950"
    assert chip_of({**plain, "name": "Some1"}) is None


def test_kernels_of_another_chip_are_found_before_an_operator_fails(tmp_path):
    fake = FakeMachine(tmp_path)
    kernels = "/usr/local/Ascend/cann-9.0.0/opp/built-in/op_impl/ai_core/tbe/kernel/ascend310p"
    fake.write(f"{kernels}/readme")
    result = fake.check("npu")
    (wrong,) = [one for one in result["findings"] if one["id"] == "cann-ops-chip"]
    assert "910B3" in wrong["title"]
    assert "910b" in wrong["remedy"]
