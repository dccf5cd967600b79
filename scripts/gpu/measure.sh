#!/usr/bin/env bash
# Measures AegisRT on a machine with an NVIDIA GPU; docs/BENCHMARKS.md has the figures and the commands that are not here.
#
#   scripts/gpu/measure.sh models    ONNX files of real architectures (needs torch and torchvision)
#   scripts/gpu/measure.sh plans     TensorRT plans of them, built side by side (needs BUILD_PLAN, see build_plan.cpp)
#   scripts/gpu/measure.sh modules   TVM modules for CUDA (needs the Python packages apache-tvm and apache-tvm-ffi)
#   scripts/gpu/measure.sh overhead  one model: the bare loop and AegisRT in turn
#   scripts/gpu/measure.sh memory    all TensorRT engines: separate, one scratch by hand, AegisRT
#   scripts/gpu/measure.sh systems   three models each on TensorRT, ONNX Runtime, TVM, and mixed: misses, bounds
#
# Programs come from AEGIS (the command) and BENCH (the bench `device`); without them they are built here. The libraries
# of the runtimes must be where their backends look: ORT_DYLIB_PATH, LD_LIBRARY_PATH, PYTHONPATH. Everything is written
# into MEASURE_FOLDER (target/gpu when absent). JOBS is the number of jobs: of each way and round in `overhead`, of a
# whole system in `systems`; SYSTEMS names some of the systems.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
folder=${MEASURE_FOLDER:-$root/target/gpu}
mkdir -p "$folder"/{models,plans,modules}
aegis() { if [ -n "${AEGIS:-}" ]; then "$AEGIS" "$@"; else cargo run --quiet --release -- "$@"; fi; }
bench() { if [ -n "${BENCH:-}" ]; then "$BENCH" "$@"; else cargo bench --quiet -p aegisrt --bench device -- "$@"; fi; }

# One task: NAME BACKEND MODEL PERIOD_US
task() {
    printf '\n[[task]]\nname = "%s"\nbackend = "%s"\nmodel = "%s"\nmin_inter_arrival = "%s us"\n' "$1" "$2" "$3" "$4"
    printf 'deadline = "%s us"\nqueue = 4\n' "$4"
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
dispatch = "200 us"
completion = "200 us"

[profile]
exceedance = 0.001
confidence = 0.95
warm_up = 50
margin_percent = 30
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
      [ -s "$folder/plans/resnet50.plan" ] && task resnet50-trt trt plans/resnet50.plan 1000000
      [ -n "${ORT_DYLIB_PATH:-}" ] && task resnet50-ort ort models/resnet50.onnx 1000000
      [ -s "$folder/modules/squeezenet1_1.tvm" ] && task squeezenet-tvm tvm modules/squeezenet1_1.tvm 1000000
      true
    } > "$folder/overhead.toml"
    bench overhead "$folder/overhead.toml" "${JOBS:-2000}"
}

memory() {
    { head_of_system
      for plan in "$folder"/plans/*.plan; do task "$(basename "$plan" .plan)" trt "plans/$(basename "$plan")" 1000000; done
    } > "$folder/memory.toml"
    bench memory "$folder/memory.toml"
}

# One system of three tasks, NAME and three times `NAME BACKEND MODEL`: profiled at slow rates, then run at rates at which
# all jobs together ask for about three quarters of the time, until JOBS jobs have come. Gaps are up to half a period longer than
# the least, at random, so that the phases between the tasks wander over all values.
system() {
    local name=$1; shift
    write() { { head_of_system; task $1 "$4"; task $2 "$5"; task $3 "$6"; } > "$folder/$name.toml"; }
    write "$1" "$2" "$3" 1000000 1000000 1000000
    aegis --format json profile "$folder/$name.toml" > "$folder/$name.profile.out"
    read -r first second third seconds < <(python3 - "$folder/$name.profile.out" "${JOBS:-30000}" <<'PY'
import json, math, sys
bounds = [p["bound_ns"] / 1000 for p in json.load(open(sys.argv[1]))["profiles"]]
base = math.ceil(1.25 * sum(1.3 * bound + 400 for bound in bounds) / 100) * 100
periods = [base, math.ceil(base * 1.13), math.ceil(base * 1.29)]
rate = sum(1e6 / (1.25 * period) for period in periods)
print(*periods, math.ceil(int(sys.argv[2]) / rate * 1.02) + 1)
PY
    )
    write "$1" "$2" "$3" "$first" "$second" "$third"
    echo "=== $name: periods $first, $second and $third us, $seconds s"
    aegis run "$folder/$name.toml" --duration "$seconds s" || echo "exit code $?"
}

systems() {
    local squeezenet=squeezenet1_1
    for which in ${SYSTEMS:-trt ort tvm mixed}; do
        case $which in
        trt) system trt "resnet50 trt plans/resnet50.plan" "resnet18 trt plans/resnet18.plan" \
            "squeezenet trt plans/$squeezenet.plan" ;;
        ort) system ort "resnet50 ort models/resnet50.onnx" "resnet18 ort models/resnet18.onnx" \
            "squeezenet ort models/$squeezenet.onnx" ;;
        tvm) system tvm "mobilenet tvm modules/mobilenet_v2.tvm" "resnet18 tvm modules/resnet18.tvm" \
            "squeezenet tvm modules/$squeezenet.tvm" ;;
        mixed) system mixed "resnet50 trt plans/resnet50.plan" "resnet18 ort models/resnet18.onnx" \
            "squeezenet tvm modules/$squeezenet.tvm" ;;
        *) echo "measure.sh: no system $which" >&2; return 2 ;;
        esac
    done
}

for phase in "$@"; do "$phase"; done
