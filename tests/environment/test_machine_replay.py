"""The doctor on a healthy 910B3 machine, and on the same machine with one thing broken."""

import json

import pytest

from goemo_utils.environment.machine import Output
from tests.environment.fake_machine import GROUP, FakeMachine, faults

HCCL = "ImportError: libhccl.so: cannot open shared object file: No such file or directory"
COMPILER = "error code is 500001\n[ERROR] ERR00100 PTA call acl api failed"


@pytest.fixture
def fake(tmp_path):
    return FakeMachine(tmp_path)


def test_a_healthy_machine_gets_a_clean_bill(fake):
    result = fake.check()
    assert {one["severity"] for one in result["findings"]} == {"note", "ok"}
    assert "clean" in [one["id"] for one in result["findings"]]
    assert [one["id"] for one in result["findings"] if one["severity"] == "note"] == [
        "torch-version",  # 2.8 is too old for a rehearsal
        "pair-ended",  # and past its end of life
    ]
    assert result["verdicts"]["npu"]["ok"]
    assert "Ascend910B3" in result["verdicts"]["npu"]["why"]
    assert result["verdicts"]["cpu"]["ok"]
    assert not result["verdicts"]["cuda"]["ok"]


def test_the_result_is_json_and_holds_the_promised_facts(fake):
    result = json.loads(json.dumps(fake.check()))
    facts = result["facts"]
    assert facts["python"] == "3.11.7"
    assert facts["machine"] == "x86_64"
    assert facts["packages"]["torch-npu"] == "2.8.0.post4"
    assert facts["cpu"] == {
        "model": "Example CPU",
        "cores": 192,
        "usable": 192,
        "capability": "AVX512",
    }
    assert len(facts["npu"]["devices"]) == 8
    assert facts["npu"]["smi_text"].startswith("+--")
    assert facts["npu"]["driver"]["version"] == "25.3.rc1"
    assert facts["cann"]["active"]["toolkit"] == "9.0.0"
    assert facts["torch"]["build"] == "cpu"
    assert facts["hub"]["state"] == "reachable"
    assert set(result["verdicts"]) == {"rehearsal", "cpu", "cuda", "npu"}
    for one in result["findings"]:
        assert {"id", "severity", "title", "evidence", "cause", "remedy", "source"} <= set(one)


def unsourced(fake):
    fake.unsource()
    fake.import_error = HCCL


def moved(fake):
    fake.environ["ASCEND_HOME_PATH"] = "/usr/local/Ascend/old"
    fake.import_error = (
        "Exception: ASCEND_HOME_PATH : /usr/local/Ascend/old does not exist. Please run 'source"
        " set_env.sh' in the CANN installation path."
    )


def no_ops(fake):
    fake.remove("/usr/local/Ascend/cann-9.0.0/x86_64-linux/ascend_ops_install.info")
    fake.operator_error = (
        "RuntimeError: add\nEZ9999: Inner Error!\nEZ9999  Cannot find bin of op Add, integral key"
        " 0/1/|float/ND/float/ND/."
    )


def other_torch(fake):
    fake.install("torch", "2.9.0+cpu")
    fake.import_error = (
        "ImportError: torch_npu/lib/libtorch_npu.so: undefined symbol: _ZN2at4_ops5emptyE"
    )


def cuda_torch(fake):
    fake.install("torch", "2.8.0+cu128")
    fake.import_error = (
        "RuntimeError: Two accelerators cannot be used at the same time in PyTorch: npu and cuda."
        " ERR00007 PTA feature not supported"
    )


def descending(fake):
    fake.environ["ASCEND_RT_VISIBLE_DEVICES"] = "1,0"
    fake.devices = 0


def no_permission(fake):
    fake.groups = frozenset()
    fake.devices = 0


def sick_card(fake):
    fake.smi = fake.smi.replace("| OK            | 92.1", "| Critical      | 92.1")
    fake.operator_error = "RuntimeError: aclrtSetDevice, error code is 507033"


def no_node(fake):
    fake.remove("/dev/devmm_svm")
    fake.devices = 0


def no_driver(fake):
    fake.remove("/usr/local/Ascend/driver")
    fake.import_error = (
        "ImportError: libascend_hal.so: cannot open shared object file: No such file or directory"
    )


def no_decorator(fake):
    fake.uninstall("decorator")
    fake.operator_error = COMPILER


def shadowed(fake):
    (fake.cwd / "torch_npu").mkdir()
    fake.import_error = "AttributeError: module 'torch_npu' has no attribute '_autoload'"


def silent_driver(fake):
    fake.smi = (
        "DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3)\ndcmi module initialize failed. ret is"
        " -8005"
    )
    fake.devices = 0


def library_path_lost(fake):
    fake.environ["LD_LIBRARY_PATH"] = "/usr/lib"
    fake.import_error = HCCL


def half_sourced(fake):
    del fake.environ["ASCEND_OPP_PATH"]
    fake.import_error = (
        "Exception: ASCEND_OPP_PATH environment variable is not set. Please check whether the opp"
        " package has been installed."
    )


def simulated(fake):
    fake.write("/cache/stand-ins/libascendcl.so", "goemo_simulated_cann")
    fake.environ["LD_LIBRARY_PATH"] = "/cache/stand-ins:" + fake.environ["LD_LIBRARY_PATH"]
    fake.environ["ASCEND_HOME_PATH"] = "/cache/stand-ins/home"


BREAKAGES = {
    "cann-simulated": simulated,
    "cann-not-sourced": unsourced,
    "cann-stale": moved,
    "cann-ops-missing": no_ops,
    "pair-torch": other_torch,
    "torch-cuda-build": cuda_torch,
    "devices-order": descending,
    "nodes-permission": no_permission,
    "card-unhealthy": sick_card,
    "nodes-missing": no_node,
    "driver-missing": no_driver,
    "cann-python": no_decorator,
    "torch-npu-shadow": shadowed,
    "smi-failed": silent_driver,
    "cann-library-path": library_path_lost,
    "cann-variable": half_sourced,
    "torch-npu-missing": lambda fake: fake.uninstall("torch-npu"),
    "cann-protobuf": lambda fake: fake.install("protobuf", "5.29.0"),
    "package-version": lambda fake: fake.install("transformers", "4.57.5"),
    "package-newer": lambda fake: fake.install("transformers", "5.99.0"),
    "memory-low": lambda fake: fake.write(
        "/proc/meminfo", "MemTotal:       2000000 kB\nMemAvailable:   900000 kB\n"
    ),
}


@pytest.mark.parametrize("id", BREAKAGES)
def test_a_single_breakage_is_found_alone(fake, id):
    BREAKAGES[id](fake)
    result = fake.check()
    assert faults(result) == [id]
    found = next(one for one in result["findings"] if one["id"] == id)
    assert found["remedy"]
    assert found["evidence"]
    assert found["cause"]
    assert found["source"]
    assert result["verdicts"]["npu"]["ok"] == (found["severity"] == "warning")


VARIABLES = {
    "fallbacks-hidden": {"TORCH_NPU_WARNING_DISABLE": "1"},
    "fallbacks-hidden-old": {"TORCH_NPU_DISABLED_WARNING": "1"},
    "launch-blocking": {"ASCEND_LAUNCH_BLOCKING": "1"},
    "task-queue": {"TASK_QUEUE_ENABLE": "0"},
    "transfer-value": {"TORCH_TRANSFER_TO_NPU": "yes"},
    "transfer-on": {"TORCH_TRANSFER_TO_NPU": "1"},
    "compact-errors": {"TORCH_NPU_COMPACT_ERROR_OUTPUT": "1"},
    "saturation": {"INF_NAN_MODE_ENABLE": "0"},
    "alloc-conf-both": {
        "PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True",
        "PYTORCH_ALLOC_CONF": "expandable_segments:True",
    },
    "devices-syntax": {"ASCEND_RT_VISIBLE_DEVICES": "0, 1"},
    "devices-range": {"ASCEND_RT_VISIBLE_DEVICES": "0,8"},
    "devices-empty": {"ASCEND_RT_VISIBLE_DEVICES": ""},
}


@pytest.mark.parametrize("id", VARIABLES)
def test_a_variable_that_sets_a_trap_is_found_alone(fake, id):
    fake.environ.update(VARIABLES[id])
    assert faults(fake.check()) == [id]


@pytest.mark.parametrize(
    "name, value",
    [
        ("TASK_QUEUE_ENABLE", "2"),
        ("ASCEND_RT_VISIBLE_DEVICES", "0,3,7"),
        ("ASCEND_LAUNCH_BLOCKING", "0"),
        ("TORCH_TRANSFER_TO_NPU", "0"),
    ],
)
def test_a_harmless_value_is_no_finding(fake, name, value):
    fake.environ[name] = value
    assert faults(fake.check()) == []


def test_descending_devices_come_with_the_ascending_list_to_paste(fake):
    fake.environ["ASCEND_RT_VISIBLE_DEVICES"] = "5,1,3"
    found = next(one for one in fake.check()["findings"] if one["id"] == "devices-order")
    assert found["remedy"] == "export ASCEND_RT_VISIBLE_DEVICES=1,3,5"


def test_a_missing_cann_does_not_hide_a_version_mismatch(fake):
    fake.remove("/usr/local/Ascend/cann-9.0.0")
    fake.remove("/usr/local/Ascend/cann")
    fake.unsource()
    fake.install("torch", "2.13.0+cpu")
    fake.import_error = HCCL
    assert faults(fake.check()) == ["pair-torch", "cann-missing"]


def test_a_missing_cann_leaves_the_import_error_as_its_consequence(fake):
    unsourced(fake)
    notes = {one["id"]: one for one in fake.check()["findings"] if one["severity"] == "note"}
    assert notes["A1"]["evidence"] == HCCL
    assert "cann-not-sourced" in notes["A1"]["cause"]


@pytest.mark.parametrize(
    "version, before, faulty", [("8.5.1", False, []), ("8.3.RC1", True, ["pair-cann"])]
)
def test_both_layouts_of_cann_are_read(tmp_path, version, before, faulty):
    fake = FakeMachine(tmp_path, cann=version, before_85=before)
    result = fake.check()
    assert result["facts"]["cann"]["active"]["toolkit"] == version
    assert result["facts"]["cann"]["active"]["ops"] == version
    assert result["facts"]["cann"]["active"]["layout"] == ("before 8.5" if before else "since 8.5")
    assert faults(result) == faulty


def test_an_unsourced_older_cann_names_its_own_set_env(tmp_path):
    fake = FakeMachine(tmp_path, cann="8.3.RC1", before_85=True)
    fake.install("torch-npu", "2.8.0")
    unsourced(fake)
    found = fake.check()["findings"][0]
    assert found["id"] == "cann-not-sourced"
    assert "source /usr/local/Ascend/ascend-toolkit/set_env.sh" in found["remedy"]


def test_the_published_stack_is_compatible_and_says_so_in_a_note(tmp_path):
    result = FakeMachine(tmp_path, cann="8.5.1").check()
    assert faults(result) == []
    assert "pair-compatible" in [one["id"] for one in result["findings"]]


def test_numpy_2_beside_cann_8_5_is_found_alone(tmp_path):
    fake = FakeMachine(tmp_path, cann="8.5.1")
    fake.install("numpy", "2.1.0")
    fake.operator_error = COMPILER
    assert faults(fake.check()) == ["cann-numpy"]


def test_what_an_operator_disproved_is_a_warning_and_not_an_error(fake):
    fake.uninstall("pathlib2")
    result = fake.check()
    assert faults(result) == ["cann-python"]
    assert result["verdicts"]["npu"]["ok"]


def test_a_rehearsal_starts_one_child_that_walks_the_path_of_a_run_and_asks_no_card(fake):
    result = fake.check("rehearsal")
    assert len(fake.commands) == 1
    assert fake.commands[0][-2:] == ["torch", "transformers"]
    assert "NPU and CUDA devices: not checked" in " ".join(
        one["title"] for one in result["findings"]
    )


def test_without_torch_npu_the_child_of_a_rehearsal_imports_torch_alone(fake):
    fake.uninstall("torch-npu")
    fake.check("rehearsal")
    assert fake.commands[0][-1] == "torch"


def test_the_cpu_is_not_ready_where_transformers_cannot_be_imported(fake):
    fake.transformers_error = "ImportError: cannot import name 'x' from 'huggingface_hub'"
    result = fake.check("cpu")
    assert faults(result) == ["transformers-import"]
    assert not result["verdicts"]["cpu"]["ok"]


def test_torch_too_old_for_the_rehearsal_stops_the_rehearsal_and_nothing_else(fake):
    result = fake.check("rehearsal")
    assert "torch-version" in faults(result)
    assert not result["verdicts"]["rehearsal"]["ok"]
    assert result["verdicts"]["cpu"]["ok"]
    assert faults(fake.check("cpu")) == []


def test_a_driver_that_hangs_is_reported_with_its_time_limit(fake, monkeypatch):
    answers = {
        "npu-smi": Output(None, timed_out=True),
        "-c": Output(
            None,
            out=(
                'goemo-probe {"stage": "torch", "ok": true, "cuda_devices": [], "threads": 2,'
                ' "version": "2.8.0", "capability": "AVX2"}'
            ),
            timed_out=True,
        ),
    }
    monkeypatch.setattr(
        fake,
        "_run",
        lambda argv, timeout, environ: answers["npu-smi" if argv[0].endswith("smi") else "-c"],
    )
    result = fake.check("npu")
    assert faults(result) == ["smi-failed", "torch-npu-import"]
    assert not result["verdicts"]["npu"]["ok"]
    assert all(
        "no answer within" in one["evidence"]
        for one in result["findings"]
        if one["severity"] == "error"
    )


def test_a_probe_that_breaks_costs_only_its_own_facts(fake, monkeypatch):
    from goemo_utils.environment import driver

    monkeypatch.setattr(driver, "read_nodes", lambda machine: 1 / 0)
    result = fake.check()
    assert "probe-failed" in [one["id"] for one in result["findings"]]
    assert result["verdicts"]["npu"]["ok"]


def test_a_cuda_machine_without_npu_is_judged_for_cuda(fake):
    for place in ("/usr/local/Ascend", "/dev", "/usr/local/bin/npu-smi"):
        fake.remove(place)
    fake.unsource()
    fake.uninstall("torch-npu")
    fake.install("torch", "2.13.0+cu130")
    fake.nvidia = Output(0, out="NVIDIA H200, 580.95.05, 143771, 9.0\n")
    result = fake.check()
    assert result["facts"]["cuda"]["driver"] == "580.95.05"
    assert result["facts"]["torch"]["build"] == "cuda"
    assert faults(result) == ["cuda-unavailable"]


def test_an_unknown_purpose_is_refused_with_the_list(fake):
    with pytest.raises(
        ValueError, match="unknown purpose 'gpu': expected one of rehearsal, cpu, cuda, npu"
    ):
        fake.check("gpu")


@pytest.mark.parametrize(
    "attribute, value, id",
    [
        ("devices", 0, "B1"),
        ("import_error", "RuntimeError: nobody has seen this", "torch-npu-import"),
        ("operator_error", "RuntimeError: nobody has seen this", "operator-failed"),
        ("operator_error", "RuntimeError: aclrtMalloc, error code is 207018", "D2"),
        ("torch_error", "OSError: libgomp.so.1: cannot open shared object file", "torch-import"),
    ],
)
def test_what_a_child_process_met_is_quoted_and_an_unknown_message_says_so(
    fake, attribute, value, id
):
    setattr(fake, attribute, value)
    result = fake.check()
    found = next(one for one in result["findings"] if one["id"] == id)
    assert faults(result) == [id]
    assert not result["verdicts"]["npu"]["ok"]
    assert str(value) in found["evidence"]
    assert ("not in the table" in found["title"] + found["cause"]) == ("-" in id)


def test_a_wrong_sum_on_the_device_is_an_error(fake, monkeypatch):
    child = fake._child
    monkeypatch.setattr(
        fake,
        "_child",
        lambda *stages, **options: Output(
            0, out=child(*stages, **options).out.replace('"right": true', '"right": false')
        ),
    )
    result = fake.check()
    assert faults(result) == ["operator-wrong"]
    assert not result["verdicts"]["npu"]["ok"]


def test_a_table_of_npu_smi_in_an_unknown_layout_is_not_checked_and_no_fault(fake):
    fake.smi = (
        "+---+\n| npu-smi 99.0                     Version: 99.0 |\n+---+\n| card zero: fine |\n"
    )
    result = fake.check()
    assert faults(result) == []
    assert result["verdicts"]["npu"]["ok"]
    assert any(
        one["severity"] == "not checked" and "layout that is not known" in one["title"]
        for one in result["findings"]
    )


def test_a_python_outside_the_tables_is_named_with_both_limits(fake):
    fake.python_version = "3.14.1"
    assert faults(fake.check()) == ["python-version", "pair-python"]


def test_two_installations_of_cann_are_noted_and_the_sourced_one_is_judged(fake):
    fake.install_cann("8.3.RC1", before_85=True, source=False)
    result = fake.check()
    assert faults(result) == []
    assert "cann-several" in [one["id"] for one in result["findings"]]
    assert result["facts"]["cann"]["active"]["toolkit"] == "9.0.0"


def test_the_variables_that_matter_are_facts_and_secrets_are_not(fake):
    fake.environ["HF_TOKEN"] = "secret"
    variables = fake.check()["facts"]["variables"]
    assert "LD_LIBRARY_PATH" in variables
    assert "HF_TOKEN" not in variables


def test_a_node_that_keeps_its_group_out_is_found_even_for_a_member(fake):
    (fake.root / "dev" / "davinci3").chmod(0o600)
    result = fake.check()
    found = next(one for one in result["findings"] if one["id"] == "nodes-permission")
    assert faults(result) == ["nodes-permission"]
    assert "/dev/davinci3" in found["title"]
    assert "do not let the group in" in found["cause"]


def test_the_build_of_torch_is_known_from_its_version_alone(fake):
    fake.install("torch", "2.8.0+cu128")
    (fake.site / "torch" / "version.py").unlink()
    assert fake.check()["facts"]["torch"] == {
        "version": "2.8.0+cu128",
        "build": "cuda",
        "cuda": None,
    }


def closed_nodes(fake):
    """Nodes that the user's groups may not open."""
    fake.groups = frozenset({4242})
    return fake.check("npu")


def test_in_a_container_without_the_drivers_group_the_remedy_is_the_groups_number(fake):
    fake.write("/.dockerenv")
    fake.write("/etc/group", "root:x:99999:\n")
    (one,) = [one for one in closed_nodes(fake)["findings"] if one["id"] == "nodes-permission"]
    assert f"--group-add {GROUP}" in one["remedy"]
    assert "usermod" not in one["remedy"]


def test_on_a_host_the_remedy_names_the_group_and_who_may_add_to_it(fake):
    (one,) = [one for one in closed_nodes(fake)["findings"] if one["id"] == "nodes-permission"]
    assert "usermod -aG HwHiAiUser" in one["remedy"]
    assert "by an administrator" in one["remedy"]


def test_a_driver_that_cann_refuses_is_named_with_the_environment_that_fits_it(tmp_path):
    fake = FakeMachine(tmp_path, cann="9.2.0")
    fake.write("/usr/local/Ascend/driver/version.info", "Version=25.2.3\n")
    (one,) = [one for one in fake.check("npu")["findings"] if one["id"] == "driver-cann"]
    assert one["severity"] == "error"
    assert "25.2.3" in one["title"]
    assert "environment-2.8.yml" in one["remedy"]


def test_without_a_network_an_installation_says_how_to_fetch_the_wheel_elsewhere(fake):
    fake.uninstall("torch-npu")
    fake.hub = "Name or service not known"
    (one,) = [
        one
        for one in fake.check("npu", model="a/b")["findings"]
        if one["id"] == "torch-npu-missing"
    ]
    assert "pip download" in one["remedy"]


def test_the_oldest_transformers_that_runs_leaves_no_fault(fake):
    fake.install("transformers", "4.57.6")
    assert faults(fake.check("cpu")) == []


def test_a_newer_transformers_than_was_tried_is_a_warning_and_the_cpu_stays_ready(fake):
    fake.install("transformers", "5.99.0")
    result = fake.check("cpu")
    assert faults(result) == ["package-newer"]
    assert result["verdicts"]["cpu"]["ok"]
