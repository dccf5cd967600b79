//! The segmenter: U-Net (Ronneberger, Fischer, Brox, MICCAI 2015, figure 1) with padded convolutions, a quarter as wide.

use super::layers::{Conv, RECTIFIED};
use super::onnx::{Graph, Value};

/// Side of the square input image: a multiple of 16, because it is halved four times.
const SIDE: usize = 128;
/// Channels before each halving; twice the last of them at the bottom.
const CHANNELS: [usize; 4] = [16, 32, 64, 128];
const CLASSES: usize = 8;

/// `input` (1, 3, 128, 128) to `logits` (1, 8, 128, 128): the classes of every pixel.
pub(super) fn build() -> Graph {
    let mut g = Graph::default();
    let mut x = g.input("input", &[1, 3, SIDE, SIDE]);
    let mut skips = Vec::new();
    for channels in CHANNELS {
        let skip = two_convolutions(&mut g, x, channels);
        skips.push((channels, skip));
        x = g.max_pool(skip, 2);
    }
    x = two_convolutions(&mut g, x, 2 * CHANNELS[CHANNELS.len() - 1]);
    for (channels, skip) in skips.into_iter().rev() {
        let up = g.double(x, channels);
        let both = g.concat(&[skip, up], 1);
        x = two_convolutions(&mut g, both, channels);
    }
    let logits = g.conv(x, Conv::new(CLASSES, 1).gain(RECTIFIED));
    g.output("logits", logits);
    g
}

fn two_convolutions(g: &mut Graph, x: Value, channels: usize) -> Value {
    let x = g.conv(x, Conv::new(channels, 3));
    let x = g.map("Relu", x);
    let x = g.conv(x, Conv::new(channels, 3));
    g.map("Relu", x)
}
