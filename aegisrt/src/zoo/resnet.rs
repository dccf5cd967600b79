//! The classifier: ResNet-18 (He et al., "Deep residual learning for image recognition", CVPR 2016, table 1).

use super::layers::{Conv, RECTIFIED, RESIDUAL};
use super::onnx::{Graph, Value};

const CLASSES: usize = 1000;

/// `input` (1, 3, 224, 224) to `logits` (1, 1000).
pub(super) fn build() -> Graph {
    let mut g = Graph::default();
    let input = g.input("input", &[1, 3, 224, 224]);
    let stem = g.conv(input, Conv::new(64, 7).stride(2));
    let stem = g.map("Relu", stem);
    let mut x = g.max_pool(stem, 3);
    for (channels, stride) in [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)] {
        x = basic_block(&mut g, x, channels, stride);
    }
    let features = g.global_average(x);
    let logits = g.dense(features, CLASSES, RECTIFIED);
    g.output("logits", logits);
    g
}

/// Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes.
fn basic_block(g: &mut Graph, x: Value, channels: usize, stride: usize) -> Value {
    let branch = g.conv(x, Conv::new(channels, 3).stride(stride));
    let branch = g.map("Relu", branch);
    let branch = g.conv(branch, Conv::new(channels, 3).gain(RESIDUAL));
    let shortcut = if stride == 1 { x } else { g.conv(x, Conv::new(channels, 1).stride(stride)) };
    let sum = g.binary("Add", branch, shortcut);
    g.map("Relu", sum)
}

#[cfg(test)]
mod tests {
    /// torchvision's resnet18 has 11 689 512 parameters. Folding leaves one number for each of the 4 800 normalised
    /// channels instead of two. Its multiply-accumulates are counted as 1.81 G.
    #[test]
    fn published_size() {
        let size = super::build().size();
        assert_eq!(size.parameters, 11_689_512 - 4_800);
        assert_eq!(size.multiply_accumulates, 1_814_073_344);
    }
}
