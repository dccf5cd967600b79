#!/usr/bin/env python3
"""Compiles an ONNX model with TVM into one file that the backend `tvm` loads: a checked header, a manifest, a module.

    compile.py MODEL.onnx OUT.tvm [--target llvm|cuda] [--mcpu NAME] [--arch sm_XX] [--dim NAME=EXTENT]...

Needs the Python packages apache-tvm 0.27.0.post1, apache-tvm-ffi 0.1.15.post2 and onnx, and a C compiler, which TVM
links with. With onnxruntime installed the model is simplified first (constants folded), which lets models through
that TVM's importer refuses as they are. `--target cuda` is done on the machine with the device: it needs the driver,
NVRTC or nvcc, and for another device than the one that is there `--arch`.

The file, all numbers little-endian:

    0   8 bytes   "AEGISTVM"
    8   u32       version of this layout: 1
    12  u32       M, the length of the manifest
    16  32 bytes  SHA-256 of everything that follows
    48  M bytes   the manifest, JSON
    48+M          the module, a shared library, to the end of the file
"""

import argparse
import hashlib
import json
import pathlib
import platform
import struct
import sys
import tempfile

MAGIC = b"AEGISTVM"
VERSION = 1

# ONNX element types, by their numbers in TensorProto, as the backend calls them.
ELEMENTS = {1: "f32", 10: "f16", 7: "i64", 6: "i32", 3: "i8", 2: "u8", 9: "bool"}


def fail(what):
    sys.exit(f"compile.py: {what}")


def simplified(path):
    """The model after ONNX Runtime's basic optimisations, which fold what is constant; as it is without ONNX Runtime."""
    import onnx

    try:
        import onnxruntime
    except ImportError:
        return onnx.load(path)
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "simplified.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(out)
        options.log_severity_level = 3
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return onnx.load(out)


def fix_dimensions(model, given):
    """Replaces named extents by numbers, in place: a module is compiled for one shape."""
    for port in list(model.graph.input) + list(model.graph.output):
        for dim in port.type.tensor_type.shape.dim:
            if dim.dim_param in given:
                dim.dim_value = given[dim.dim_param]  # clears dim_param


def tensors(ports, what):
    found = []
    for port in ports:
        tensor = port.type.tensor_type
        element = ELEMENTS.get(tensor.elem_type)
        if element is None:
            fail(f"{what} `{port.name}` has ONNX element type {tensor.elem_type}; known: {', '.join(ELEMENTS.values())}")
        shape = []
        for dim in tensor.shape.dim:
            if not dim.HasField("dim_value"):
                name = dim.dim_param or "?"
                fail(f"{what} `{port.name}` leaves extent `{name}` open; fix it with --dim {name}=N")
            shape.append(dim.dim_value)
        found.append({"name": port.name, "dtype": element, "shape": shape})
    return found


def ffi_abi():
    """The version that the layouts of TVM's FFI have here: what the backend compares with the library it finds."""
    import ctypes
    from tvm_ffi import libinfo

    version = (ctypes.c_uint32 * 3)()
    ctypes.CDLL(libinfo.find_libtvm_ffi()).TVMFFIGetVersion(version)
    return list(version)


def target_of(options):
    import tvm

    host = {"kind": "llvm"}
    if options.mcpu:
        host["mcpu"] = options.mcpu
    if options.target == "llvm":
        return tvm.target.Target(host), options.mcpu or "generic"
    if not options.sources and tvm.get_global_func("ffi.Module.create.cuda", allow_missing=True) is None:
        # Without it TVM packs CUDA sources, to be compiled by Python wherever they are loaded.
        fail("TVM's part for CUDA does not load here: its libtvm_runtime_cuda.so needs libcuda.so.1 and libcudart.so.13")
    if options.arch:
        device = {"kind": "cuda", "arch": options.arch, "max_shared_memory_per_block": 49152,
                  "max_threads_per_block": 1024, "thread_warp_size": 32}
        return tvm.target.Target(device, host=tvm.target.Target(host)), options.arch
    if not tvm.cuda(0).exist:
        fail("this machine shows TVM no CUDA device; run this where the device is, or name its architecture: --arch sm_90")
    detected = tvm.target.Target.from_device("cuda")
    return tvm.target.Target(detected, host=tvm.target.Target(host)), str(detected.attrs["arch"])


def constants(module):
    """Sizes of the tensors that the program holds while it is loaded; TVM keeps equal ones once."""
    import tvm

    found = {}

    def visit(expr):
        value = getattr(expr, "value", None)
        if isinstance(value, tvm.runtime.Tensor):
            array = value.numpy()
            found[(str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).digest())] = array.nbytes

    for function in module.functions.values():
        if isinstance(function, tvm.relax.Function):
            tvm.relax.analysis.post_order_visit(function, visit)
    return {"tensors": len(found), "bytes": sum(found.values())}


def branches(module):
    """Whether the program branches on its data."""
    import tvm

    found = []

    def visit(expr):
        if isinstance(expr, tvm.relax.If):
            found.append(expr)

    for function in module.functions.values():
        if isinstance(function, tvm.relax.Function):
            tvm.relax.analysis.post_order_visit(function, visit)
    return bool(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path, help="the ONNX file")
    parser.add_argument("out", type=pathlib.Path, help="the file to write")
    parser.add_argument("--target", choices=["llvm", "cuda"], default="llvm", help="what the module runs on")
    parser.add_argument("--mcpu", help="the processor to compile for, in LLVM's words; generic if absent")
    parser.add_argument("--arch", help="the device to compile for, such as sm_90; the one that is there if absent")
    parser.add_argument("--dim", action="append", default=[], metavar="NAME=EXTENT", help="fixes an open extent")
    parser.add_argument("--sources", action="store_true", help="leave device code as it is: for tests with a stand-in")
    options = parser.parse_args()

    try:
        import tvm
        from tvm import relax
        from tvm.relax.frontend.onnx import from_onnx
    except ImportError as why:
        fail(f"{why}; pip install apache-tvm==0.27.0.post1 apache-tvm-ffi==0.1.15.post2 onnx onnxruntime")
    dims = dict(dim.split("=", 1) for dim in options.dim)
    model = simplified(options.model)
    fix_dimensions(model, {name: int(extent) for name, extent in dims.items()})
    inputs, outputs = tensors(model.graph.input, "input"), tensors(model.graph.output, "output")
    target, arch = target_of(options)

    try:
        module = from_onnx(model, keep_params_in_input=False)
    except Exception as why:  # TVM's exceptions have no common type
        fail(f"TVM cannot import {options.model}: {str(why).strip().splitlines()[-1]}")
    if options.target == "cuda" and branches(module):
        fail(f"{options.model} branches on its data, for which the host would have to wait for the device in mid-job")
    kept = {}

    @tvm.transform.module_pass(opt_level=0)
    def keep(module, _):
        kept["module"] = module
        return module

    pipeline = tvm.transform.Sequential([relax.get_default_pipeline(target), keep])
    with target, tvm.transform.PassContext(opt_level=3, config={"relax.backend.use_cuda_graph": False}):
        executable = tvm.compile(module, target=target, relax_pipeline=pipeline)
    with tempfile.TemporaryDirectory() as folder:
        library = pathlib.Path(folder) / "module.so"
        executable.export_library(str(library))
        code = library.read_bytes()

    manifest = {
        "model": options.model.name,
        "tvm": tvm.__version__,
        "abi": ffi_abi(),
        "machine": platform.machine(),
        "device": "cpu" if options.target == "llvm" else "cuda",
        "arch": arch,
        "constants": constants(kept["module"]),
        "inputs": inputs,
        "outputs": outputs,
    }
    text = json.dumps(manifest, indent=1).encode()
    digest = hashlib.sha256(text + code).digest()
    options.out.write_bytes(MAGIC + struct.pack("<II", VERSION, len(text)) + digest + text + code)
    held = manifest["constants"]["bytes"]
    print(f"{options.out}: {manifest['device']} ({arch}), {len(code)} bytes of code with {held} of constants")


if __name__ == "__main__":
    main()
