#!/usr/bin/env python3
"""Makes what the tests of aegis-backend-tvm need: small models written here and real ones, compiled, with the outputs of
ONNX Runtime for inputs from a seed.

    test_modules.py OUT [MODELS] [--real NAME]... [--target llvm|cuda|stand-in]

For each model NAME there is NAME.tvm, and its tensors, raw and little-endian: NAME.in0, … and NAME.out0, …
Real models are those of the folder MODELS that `--real` names; without it the ones that compile fastest. The target
`stand-in` is a CUDA device whose kernels do nothing: one model, which needs no compiler for the device.
"""

import argparse
import pathlib
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
REAL = ["squeezenet1_1"]


def model(name, nodes, constants, inputs, outputs):
    def ports(listed):
        return [helper.make_tensor_value_info(port, element, shape) for port, element, shape in listed]

    held = [numpy_helper.from_array(array, key) for key, array in constants.items()]
    graph = helper.make_graph(nodes, name, ports(inputs), ports(outputs), held)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def mlp(random):
    weights = {
        "w1": random.standard_normal((16, 32)).astype(np.float32),
        "b1": random.standard_normal(32).astype(np.float32),
        "w2": random.standard_normal((32, 8)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h1"]),
        helper.make_node("Add", ["h1", "b1"], ["h2"]),
        helper.make_node("Relu", ["h2"], ["h3"]),
        helper.make_node("MatMul", ["h3", "w2"], ["y"]),
    ]
    f32 = TensorProto.FLOAT
    return model("mlp", nodes, weights, [("x", f32, [2, 16])], [("y", f32, [2, 8])])


def mixed(random):
    """Several types; an output that is an intermediate, one that is used twice, one that is a view of another."""
    weights = {
        "table": random.standard_normal((4, 3)).astype(np.float32),
        "one": np.array(1, np.int64),
        "zero": np.array(0, np.float32),
        "flat": np.array([9], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["table", "index"], ["row"], axis=0),
        helper.make_node("Add", ["index", "one"], ["next"]),
        helper.make_node("Greater", ["row", "zero"], ["high"]),
        helper.make_node("Not", ["flag"], ["other"]),
        helper.make_node("Reshape", ["row", "flat"], ["line"]),
        helper.make_node("Mul", ["row", "row"], ["square"]),
        helper.make_node("ReduceSum", ["square"], ["sum"], keepdims=0),
    ]
    i64, f32, boolean = TensorProto.INT64, TensorProto.FLOAT, TensorProto.BOOL
    inputs = [("index", i64, [3]), ("flag", boolean, [64])]
    outputs = [("row", f32, [3, 3]), ("next", i64, [3]), ("high", boolean, [3, 3]), ("other", boolean, [64]),
               ("line", f32, [9]), ("sum", f32, [])]
    return model("mixed", nodes, weights, inputs, outputs)


def branches(random):
    """Convolutions whose intermediates overlap in time, with a constant and an input among the outputs."""
    weights = {
        "k1": random.standard_normal((8, 3, 3, 3)).astype(np.float32) / 5,
        "k2": random.standard_normal((8, 8, 3, 3)).astype(np.float32) / 9,
        "k3": random.standard_normal((8, 8, 1, 1)).astype(np.float32) / 3,
    }
    nodes = [
        helper.make_node("Conv", ["x", "k1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "k2"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["b", "k3"], ["d"]),
        helper.make_node("Add", ["c", "d"], ["e"]),
        helper.make_node("Relu", ["e"], ["f"]),
        helper.make_node("MaxPool", ["f"], ["g"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["f"], ["h"]),
        helper.make_node("Identity", ["x"], ["same"]),
    ]
    f32 = TensorProto.FLOAT
    outputs = [("g", f32, [1, 8, 12, 12]), ("h", f32, [1, 8, 1, 1]), ("same", f32, [1, 3, 24, 24])]
    return model("branches", nodes, weights, [("x", f32, [1, 3, 24, 24])], outputs)


def choice(random):
    """A branch on data, where one side needs a workspace: the first run, on zeros, sees the other."""
    f32, shape = TensorProto.FLOAT, [1, 1, 32, 32]
    weights = {"k": random.standard_normal((1, 1, 3, 3)).astype(np.float32)}

    def side(name, node):
        return helper.make_graph([node], name, [], [helper.make_tensor_value_info(node.output[0], f32, shape)])

    padded = side("padded", helper.make_node("Conv", ["x", "k"], ["y1"], pads=[1, 1, 1, 1]))
    plain = side("plain", helper.make_node("Relu", ["x"], ["y2"]))
    nodes = [helper.make_node("If", ["which"], ["y"], then_branch=padded, else_branch=plain)]
    inputs = [("which", TensorProto.BOOL, []), ("x", f32, shape)]
    return model("choice", nodes, weights, inputs, [("y", f32, shape)])


def sample(port, random):
    """An input's values: floats around 0, integers 0 or 1, a single one 0."""
    tensor = port.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    shape = [dim.dim_value for dim in tensor.shape.dim]
    if dtype.kind == "f":
        return random.standard_normal(shape).astype(dtype)
    return random.integers(0, 2 if shape else 1, shape).astype(dtype)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path, help="the folder to write to")
    parser.add_argument("models", type=pathlib.Path, nargs="?", help="a folder with ONNX files")
    parser.add_argument("--target", choices=["llvm", "cuda", "stand-in"], default="llvm")
    parser.add_argument("--real", action="append", help="the name of a file in the folder, without its end")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    files = []
    # A module for a device may not branch on data.
    made_here = {"llvm": (mlp, mixed, branches, choice), "cuda": (mlp, mixed, branches), "stand-in": (branches,)}
    for make in made_here[options.target]:
        made = make(np.random.default_rng(20260311))
        files.append(options.out / f"{made.graph.name}.onnx")
        onnx.save(made, files[-1])
    if options.models:
        files += [options.models / f"{name}.onnx" for name in options.real or REAL]

    target = ["--target", "cuda", "--arch", "sm_90", "--sources"] if options.target == "stand-in" else \
        ["--target", options.target]
    compiling = []
    for file in files:
        command = [sys.executable, HERE / "compile.py", file, options.out / f"{file.stem}.tvm"]
        compiling.append(subprocess.Popen([*command, *target]))
    for file in files:
        random = np.random.default_rng(1)
        given = {port.name: sample(port, random) for port in onnx.load(file).graph.input}
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        for index, value in enumerate(given.values()):
            (options.out / f"{file.stem}.in{index}").write_bytes(np.ascontiguousarray(value).tobytes())
        for index, value in enumerate(session.run(None, given)):
            (options.out / f"{file.stem}.out{index}").write_bytes(np.ascontiguousarray(value).tobytes())
    if any(process.wait() for process in compiling):
        sys.exit("test_modules.py: not everything compiles")


if __name__ == "__main__":
    main()
