"""Writes real architectures with random weights as ONNX files: export_models.py FOLDER [NAME ...]

Needs torch and torchvision, and no network. The weights come from a fixed seed, so that every machine writes the same
models; what they compute means nothing, what they cost does.
"""

import pathlib
import sys
import warnings

import torch
import torchvision

NAMES = ["resnet50", "resnet18", "squeezenet1_1", "mobilenet_v2", "googlenet", "shufflenet_v2_x1_0", "mnasnet1_0"]


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or NAMES:
        torch.manual_seed(1)
        extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        model = getattr(torchvision.models, name)(weights=None, **extra).eval()
        file = folder / f"{name}.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model,
                torch.zeros(1, 3, 224, 224),
                str(file),
                input_names=["input"],
                output_names=["output"],
                opset_version=13,
                dynamo=False,
            )
        print(file, file.stat().st_size)


main()
