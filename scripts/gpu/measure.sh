#!/usr/bin/env bash
# Measures AegisRT on a machine with an NVIDIA GPU: every figure of docs/BENCHMARKS.md that needs one.
#
#   scripts/gpu/measure.sh models    ONNX files of real architectures (needs torch and torchvision)
#   scripts/gpu/measure.sh plans     TensorRT plans of them, built side by side (needs BUILD_PLAN, see build_plan.cpp)
#   scripts/gpu/measure.sh modules   TVM modules for CUDA (needs the Python packages apache-tvm and apache-tvm-ffi)
#   scripts/gpu/measure.sh overhead  one model: the bare loop and AegisRT in turn
#   scripts/gpu/measure.sh memory    six TensorRT engines: separate, one scratch by hand, AegisRT
#   scripts/gpu/measure.sh systems   three models each on TensorRT, ONNX Runtime, TVM, and mixed: misses, bounds
#
# Programs come from AEGIS (the command) and BENCH (the bench `device`); without them they are built here. The libraries
# of the runtimes must be where their backends look: ORT_DYLIB_PATH, LD_LIBRARY_PATH, PYTHONPATH. Everything is written
# into MEASURE_FOLDER (target/gpu when absent). JOBS is the number of jobs of a task in `systems`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
folder=${MEASURE_FOLDER:-$root/target/gpu}
mkdir -p "$folder"/{models,plans,modules}
aegis() { if [ -n "${AEGIS:-}" ]; then "$AEGIS" "$@"; else cargo run --quiet --release -- "$@"; fi; }
bench() { if [ -n "${BENCH:-}" ]; then "$BENCH" "$@"; else cargo bench --quiet -p aegisrt --bench device -- "$@"; fi; }

# One task: NAME BACKEND MODEL PERIOD_MS
task() {
    printf '\n[[task]]\nname = "%s"\nbackend = "%s"\nmodel = "%s"\nmin_inter_arrival = "%s ms"\n' "$1" "$2" "$3" "$4"
    printf 'deadline = "%s ms"\n' "$4"
}

# The top of a system file. The overheads are those of a virtual machine without real-time priorities.
head_of_system() {
    cat <<'TOML'
[device]
kind = "cuda"
wait = "block"

[policy]
kind = "edf"

[overhead]
release = "1 ms"
dispatch = "500 us"
completion = "500 us"

[profile]
exceedance = 0.001
confidence = 0.95
warm_up = 50
margin_percent = 50
TOML
}

models() { python3 "$here/export_models.py" "$folder/models" "$@"; }

plans() {
    for model in "$folder"/models/*.onnx; do
        name=$(basename "$model" .onnx)
        [ -s "$folder/plans/$name.plan" ] && continue
        "${BUILD_PLAN:?the program that scripts/gpu/build_plan.cpp is compiled to}" "$model" \
            "$folder/plans/$name.partial" ${PLAN_FLAGS:-} > "$folder/plans/$name.log" 2>&1 \
            && mv "$folder/plans/$name.partial" "$folder/plans/$name.plan" &
    done
    wait
    for plan in "$folder"/plans/*.plan; do aegis trust "$plan"; done
}

modules() {
    for name in ${TVM_MODELS:-squeezenet1_1 resnet18 mobilenet_v2}; do
        python3 "$root/scripts/tvm/compile.py" "$folder/models/$name.onnx" "$folder/modules/$name.tvm" --target cuda &
    done
    wait
}

overhead() {
    { head_of_system
      [ -s "$folder/plans/resnet50.plan" ] && task resnet50-trt trt plans/resnet50.plan 1000
      [ -n "${ORT_DYLIB_PATH:-}" ] && task resnet50-ort ort models/resnet50.onnx 1000
      [ -s "$folder/modules/squeezenet1_1.tvm" ] && task squeezenet-tvm tvm modules/squeezenet1_1.tvm 1000
      true
    } > "$folder/overhead.toml"
    bench overhead "$folder/overhead.toml" "${JOBS:-2000}"
}

memory() {
    { head_of_system
      for plan in "$folder"/plans/*.plan; do task "$(basename "$plan" .plan)" trt "plans/$(basename "$plan")" 1000; done
    } > "$folder/memory.toml"
    bench memory "$folder/memory.toml"
}

systems() {
    { head_of_system; task resnet50 trt plans/resnet50.plan 8; task resnet18 trt plans/resnet18.plan 6
      task squeezenet trt plans/squeezenet1_1.plan 5; } > "$folder/trt.toml"
    { head_of_system; task resnet50 ort models/resnet50.onnx 12; task resnet18 ort models/resnet18.onnx 9
      task squeezenet ort models/squeezenet1_1.onnx 8; } > "$folder/ort.toml"
    { head_of_system; task resnet18 tvm modules/resnet18.tvm 16; task mobilenet tvm modules/mobilenet_v2.tvm 12
      task squeezenet tvm modules/squeezenet1_1.tvm 9; } > "$folder/tvm.toml"
    { head_of_system; task resnet50 trt plans/resnet50.plan 9; task resnet18 ort models/resnet18.onnx 9
      task squeezenet tvm modules/squeezenet1_1.tvm 8; } > "$folder/mixed.toml"
    for system in ${SYSTEMS:-trt ort tvm mixed}; do
        echo "=== $system"
        aegis run "$folder/$system.toml" --duration "${DURATION:-125 s}" || echo "exit code $?"
        aegis --format json trace query "$folder/$system.aegis-trace" --limit 1 > /dev/null
    done
}

for phase in "$@"; do "$phase"; done
