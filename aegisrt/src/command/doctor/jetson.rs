//! What a Jetson's files say of it. The driver knows none of this.
use super::fact::{Fact, Known, known, told};
use aegis_cuda::Jetson;
use aegis_cuda::jetson::{Gpu, Release};
use serde_json::json;

/// The facts of a Jetson, in the order in which they are shown.
pub(super) fn facts(jetson: &Jetson) -> Vec<Fact> {
    const UNTOLD: &str = "its files do not tell it";
    let gpu = jetson.gpu.as_ref().ok_or_else(|| "no GPU under /sys/class/devfreq".to_owned());
    let of_gpu =
        |what: fn(&Gpu) -> Option<u64>| gpu.clone().and_then(|gpu| told(what(gpu), UNTOLD)).map(hertz);
    let load = gpu.clone().and_then(|gpu| told(gpu.load_permille, UNTOLD));
    vec![
        Fact::new(
            "release",
            "Jetson Linux",
            told(jetson.release, UNTOLD).map(|release| known(release.to_string())),
        ),
        Fact::new(
            "jetpack",
            "JetPack",
            told(jetson.release, UNTOLD)
                .and_then(|release| told(Release::jetpack(release), "of that release it is not known"))
                .map(known),
        ),
        Fact::new(
            "power_mode",
            "power mode",
            told(jetson.power_mode.as_ref(), "nvpmodel has set none, or its status cannot be read").map(
                |mode| Known { text: mode.to_string(), json: json!({ "id": mode.id, "name": mode.name }) },
            ),
        ),
        Fact::new("gpu_clock_hz", "GPU clock now", of_gpu(|gpu| gpu.hz)),
        Fact::new("gpu_clock_hz_min", "GPU clock, at least", of_gpu(|gpu| gpu.hz_min)),
        Fact::new("gpu_clock_hz_max", "GPU clock, at most", of_gpu(|gpu| gpu.hz_max)),
        Fact::new(
            "gpu_load_permille",
            "GPU load",
            load.map(|load| Known { text: format!("{}.{} %", load / 10, load % 10), json: json!(load) }),
        ),
        Fact::new(
            "memory_bytes",
            "memory of CPU and GPU",
            told(jetson.memory, UNTOLD)
                .map(|memory| Known { text: memory.to_string(), json: json!(memory.0) }),
        ),
    ]
}

fn hertz(hz: u64) -> Known {
    Known { text: format!("{} MHz", hz / 1_000_000), json: json!(hz) }
}
