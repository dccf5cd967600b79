//! The detector: MobileNetV2 with SSDLite heads (Sandler et al., "MobileNetV2: inverted residuals and linear
//! bottlenecks", CVPR 2018, table 2 and section 6.2), boxes decoded in the graph as SSD does (Liu et al., ECCV 2016).

use super::layers::{Conv, LINEAR, RESIDUAL};
use super::onnx::{Graph, Value};

/// Side of the square input image.
const SIDE: usize = 224;
/// The width multiplier, in hundredths.
const WIDTH: usize = 50;
/// Twenty kinds of objects, and the background first.
const CLASSES: usize = 21;
/// Boxes that start from each place of a feature map: five shapes, and one more of the square between two scales.
const BOXES: usize = 6;
/// Scale of the boxes of the first and the last feature map, as a share of the image's side.
const SCALES: (f32, f32) = (0.2, 0.95);
/// How far one unit of a head's answer moves a box's centre, and stretches its logarithm of size (SSD's variances).
const CENTRE_STEP: f32 = 0.1;
const SIZE_STEP: f32 = 0.2;

/// `input` (1, 3, 224, 224) to `boxes` (1, N, 4), corners x0 y0 x1 y1 in [0, 1], and `scores` (1, N, 21).
pub(super) fn build() -> Graph {
    let mut g = Graph::default();
    let input = g.input("input", &[1, 3, SIDE, SIDE]);
    let (stride_16, stride_32) = backbone(&mut g, input, WIDTH);
    let mut maps = vec![stride_16, stride_32];
    for channels in [512, 256, 256] {
        let last = maps[maps.len() - 1];
        maps.push(smaller(&mut g, last, channels));
    }
    let (mut offsets, mut logits) = (Vec::new(), Vec::new());
    for map in &maps {
        offsets.push(head(&mut g, *map, 4));
        logits.push(head(&mut g, *map, CLASSES));
    }
    let offsets = g.concat(&offsets, 1);
    let logits = g.concat(&logits, 1);
    let sides: Vec<_> = maps.iter().map(|map| g.image(*map).1).collect();
    let boxes = decode(&mut g, offsets, &sides);
    g.output("boxes", boxes);
    let scores = g.softmax(logits);
    g.output("scores", scores);
    g
}

/// The network up to its last convolution. Answers the two maps that the heads look at: the expansion inside the first
/// block of stride 32 (still at stride 16), and the last one.
fn backbone(g: &mut Graph, input: Value, width: usize) -> (Value, Value) {
    let stem = g.conv(input, Conv::new(scaled(32, width), 3).stride(2));
    let mut x = g.relu6(stem);
    let mut stride_16 = x;
    // Table 2: expansion, channels, blocks, stride of the first block.
    for (expansion, channels, blocks, stride) in [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ] {
        for block in 0..blocks {
            let stride = if block == 0 { stride } else { 1 };
            let expanded;
            (x, expanded) = inverted_residual(g, x, expansion, scaled(channels, width), stride);
            if channels == 160 && block == 0 {
                stride_16 = expanded;
            }
        }
    }
    // The last convolution is not made narrower, only wider (section 5).
    let last = g.conv(x, Conv::new(scaled(1280, width.max(100)), 1).gain(LINEAR));
    (stride_16, g.relu6(last))
}

/// A bottleneck: expand, filter each channel by itself, project back without a rectifier. Answers the block's result
/// and the expansion.
fn inverted_residual(g: &mut Graph, x: Value, expansion: usize, out: usize, stride: usize) -> (Value, Value) {
    let (channels, ..) = g.image(x);
    let residual = stride == 1 && channels == out;
    let hidden = channels * expansion;
    let expanded = if expansion == 1 {
        x
    } else {
        let expanded = g.conv(x, Conv::new(hidden, 1).gain(LINEAR));
        g.relu6(expanded)
    };
    let filtered = g.conv(expanded, Conv::depthwise(hidden, 3).stride(stride));
    let filtered = g.relu6(filtered);
    if residual {
        let projected = g.conv(filtered, Conv::new(out, 1).gain(RESIDUAL));
        (g.binary("Add", projected, x), expanded)
    } else {
        (g.conv(filtered, Conv::new(out, 1)), expanded)
    }
}

/// Half the size of a feature map, for larger objects.
fn smaller(g: &mut Graph, x: Value, out: usize) -> Value {
    let x = g.conv(x, Conv::new(out / 2, 1));
    let x = g.relu6(x);
    let x = g.conv(x, Conv::depthwise(out / 2, 3).stride(2));
    let x = g.relu6(x);
    let x = g.conv(x, Conv::new(out, 1));
    g.relu6(x)
}

/// SSDLite's prediction layer: `numbers` for each box of a feature map, as (1, boxes, numbers).
fn head(g: &mut Graph, map: Value, numbers: usize) -> Value {
    let (channels, height, width) = g.image(map);
    let x = g.conv(map, Conv::depthwise(channels, 3));
    let x = g.relu6(x);
    let x = g.conv(x, Conv::new(BOXES * numbers, 1));
    let x = g.transpose(x, &[0, 2, 3, 1]);
    g.reshape(x, &[1, height * width * BOXES, numbers])
}

/// Moves and stretches the default boxes by the heads' answers; corners, cut at the image's edge.
fn decode(g: &mut Graph, offsets: Value, sides: &[usize]) -> Value {
    let (centres, sizes) = default_boxes(sides);
    let steps = sizes.iter().map(|size| size * CENTRE_STEP).collect();
    let shape = [1, sizes.len() / 2, 2];
    let centres = g.floats("anchors.centre".into(), &shape, centres);
    let sizes = g.floats("anchors.size".into(), &shape, sizes);
    let steps = g.floats("anchors.step".into(), &shape, steps);

    let moved = g.columns(offsets, 0, 2);
    let moved = g.binary("Mul", moved, steps);
    let centre = g.binary("Add", moved, centres);

    let stretched = g.columns(offsets, 2, 4);
    let size_step = g.scalar(SIZE_STEP);
    let stretched = g.binary("Mul", stretched, size_step);
    let stretched = g.map("Exp", stretched);
    let size = g.binary("Mul", stretched, sizes);
    let half = g.scalar(0.5);
    let half = g.binary("Mul", size, half);

    let low = g.binary("Sub", centre, half);
    let high = g.binary("Add", centre, half);
    let corners = g.concat(&[low, high], 2);
    g.clip(corners, 0.0, 1.0)
}

/// Centre (x, y) and size (width, height) of every default box, in the order of [`head`]: map, row, column, box.
/// Only operations that IEEE 754 rounds exactly, so that every machine gets the same numbers.
fn default_boxes(sides: &[usize]) -> (Vec<f32>, Vec<f32>) {
    let scale = |map: usize| SCALES.0 + (SCALES.1 - SCALES.0) * map as f32 / (sides.len() - 1) as f32;
    let (mut centres, mut sizes) = (Vec::new(), Vec::new());
    for (map, &side) in sides.iter().enumerate() {
        let between = (scale(map) * scale(map + 1)).sqrt();
        let mut shapes = vec![(between, between)];
        for ratio in [1.0, 2.0, 0.5, 3.0, 1.0 / 3.0] {
            let root = f32::sqrt(ratio);
            shapes.push((scale(map) * root, scale(map) / root));
        }
        assert_eq!(shapes.len(), BOXES);
        let middle = |place: usize| (place as f32 + 0.5) / side as f32;
        for row in 0..side {
            for column in 0..side {
                for &(width, height) in &shapes {
                    centres.extend([middle(column), middle(row)]);
                    sizes.extend([width, height]);
                }
            }
        }
    }
    (centres, sizes)
}

/// Channels under the width multiplier: the nearest multiple of eight, never more than a tenth below.
fn scaled(channels: usize, width: usize) -> usize {
    let hundredths = channels * width;
    let rounded = ((hundredths + 400) / 800 * 8).max(8);
    if rounded * 1000 < hundredths * 9 { rounded + 8 } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::{backbone, default_boxes, scaled};
    use crate::zoo::onnx::Graph;

    /// torchvision's mobilenet_v2 has 3 504 872 parameters, 1 281 000 of them in the classifier that a detector has
    /// not. Folding leaves one number for each of the 17 056 normalised channels instead of two. Its
    /// multiply-accumulates are counted as 300.8 M, 1.28 M of them in the classifier.
    #[test]
    fn published_size_at_full_width() {
        let mut g = Graph::default();
        let input = g.input("input", &[1, 3, 224, 224]);
        let (stride_16, stride_32) = backbone(&mut g, input, 100);
        assert_eq!(g.image(stride_16), (576, 14, 14));
        assert_eq!(g.image(stride_32), (1280, 7, 7));
        assert_eq!(g.size().parameters, 3_504_872 - 1_281_000 - 17_056);
        assert_eq!(g.size().multiply_accumulates, 300_774_272 - 1_280_000);
    }

    /// The channels of the released MobileNetV2 models, from `_make_divisible`.
    #[test]
    fn published_widths() {
        for (channels, width, expected) in [
            (32, 50, 16),
            (24, 50, 16),
            (24, 75, 24),
            (32, 35, 16),
            (16, 35, 8),
            (160, 75, 120),
            (64, 35, 24),
        ] {
            assert_eq!(scaled(channels, width), expected, "{channels} at {width} %");
        }
    }

    #[test]
    fn default_boxes_start_at_the_first_place_of_the_first_map() {
        let (centres, sizes) = default_boxes(&[2, 1]);
        assert_eq!(sizes.len(), 2 * 6 * (4 + 1));
        assert_eq!(centres[..2], [0.25, 0.25]);
        assert_eq!(centres[12..14], [0.75, 0.25], "the second column comes before the second row");
        assert_eq!(centres[48..], [0.5; 12]);
        assert_eq!(sizes[2..4], [0.2, 0.2]);
        assert!(sizes[4] > sizes[5] && sizes[6] < sizes[7], "wide, then tall");
        assert!(sizes[0] > 0.2 && sizes[0] < 0.95, "between two scales: {}", sizes[0]);
    }
}
