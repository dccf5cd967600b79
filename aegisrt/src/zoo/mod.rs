//! Demo models: real architectures at real sizes, written by this program as ONNX files.
//!
//! So that a first run needs no download and a bug report needs no attachment. The weights are random, from a fixed
//! seed for each model: the answers mean nothing, the time and the memory they take are those of the architecture. The
//! digest of each file is pinned here; a change of a model changes it, and with it every profile taken of the model.

mod layers;
mod lstm;
mod mlp;
mod mobilenet;
mod onnx;
mod protobuf;
mod resnet;
mod size;
mod unet;
mod write;

pub use size::Size;
pub use write::write_all;

/// One demo model. Its input is named `input`, holds `f32` and has a fixed shape, as its outputs have.
#[derive(Debug, Clone, Copy)]
pub struct ZooModel {
    /// What it does in a vehicle; unique.
    pub name: &'static str,
    /// Name of its file.
    pub file: &'static str,
    /// Architecture, input and outputs, in one sentence.
    pub about: &'static str,
    /// Where its weights come from.
    pub seed: u64,
    /// BLAKE3 of its file, in hexadecimal.
    pub digest: &'static str,
    build: fn() -> onnx::Graph,
}

/// The demo models: what sees, what foresees, what decides.
pub const MODELS: [ZooModel; 5] = [
    ZooModel {
        name: "detector",
        file: "detector.onnx",
        about: "MobileNetV2 0.5 with SSDLite heads: input (1, 3, 224, 224) to boxes (1, 1596, 4) and scores (1, 1596, 21)",
        seed: 0xae61_0001,
        digest: "cd34243f1adee325ce0f6fcb75a50a1253e945d69fbb441260e5e265f6ef7fdd",
        build: mobilenet::build,
    },
    ZooModel {
        name: "classifier",
        file: "classifier.onnx",
        about: "ResNet-18: input (1, 3, 224, 224) to logits (1, 1000)",
        seed: 0xae61_0002,
        digest: "708d35e15b52573625e659fcf9f55b6d9c30d8ba266795b44105635f846b01e5",
        build: resnet::build,
    },
    ZooModel {
        name: "segmenter",
        file: "segmenter.onnx",
        about: "U-Net of base width 16: input (1, 3, 128, 128) to logits (1, 8, 128, 128)",
        seed: 0xae61_0003,
        digest: "b13b1eceae1c083cb8dbd038f72341cb0c042c53f4f93e976357aa4b5a969eb6",
        build: unet::build,
    },
    ZooModel {
        name: "predictor",
        file: "predictor.onnx",
        about: "two LSTM layers of 128 cells: input (1, 50, 32) to trajectory (1, 12, 2)",
        seed: 0xae61_0004,
        digest: "32b014afce9f1f9fcaa304ef89e6c3e3be2ce8325429ee0b9ad5597eda955e6f",
        build: lstm::build,
    },
    ZooModel {
        name: "planner",
        file: "planner.onnx",
        about: "perceptron 256-512-512-64: input (1, 256) to controls (1, 32, 2)",
        seed: 0xae61_0005,
        digest: "b3b7cf1629e743778d7b03235d86f5b8ab421e6c670cd8e22cf9100ae741f474",
        build: mlp::build,
    },
];

/// Counts the parameters and the work of a model, from its graph.
#[must_use]
pub fn size(model: &ZooModel) -> Size {
    (model.build)().size()
}

/// The file of a model; the same bytes on every machine.
#[must_use]
pub fn bytes(model: &ZooModel) -> Vec<u8> {
    (model.build)().bytes(model.name, model.about, model.seed)
}

#[cfg(test)]
mod tests;
