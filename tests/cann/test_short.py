"""One child with the genuine torch_npu, in every test run that has its wheel."""

from tests.cann.genuine import answer, needs_wheel


@needs_wheel
def test_roberta_runs_on_the_genuine_torch_npu_and_agrees_with_the_cpu() -> None:
    seen = answer(
        """
        import json, torch, torch_npu
        from goemo_utils.forward.device import open_device
        from tests.rehearsal.models import batch, classifier
        device = open_device("npu:0", remedy="erf_gelu")
        model, texts = classifier("roberta"), batch()
        with torch.no_grad():
            cpu = model(**texts).logits
            model.to("npu:0")
            npu = model(**{k: v.to("npu:0") for k, v in texts.items()}).logits
        gap = (npu.cpu() - cpu).abs().max().item()
        print(json.dumps([str(npu.device), gap, device.simulated, device.name]))
        """
    )
    assert seen[0] == "npu:0"
    assert seen[1] < 1e-5
    assert seen[2] is True
    assert seen[3] == "Ascend910B3 (SIMULATED CANN)"
