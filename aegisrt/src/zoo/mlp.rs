//! The planner: a perceptron of three layers from a state of the world to the next controls.

use super::layers::{LINEAR, RECTIFIED};
use super::onnx::Graph;

/// Moments ahead, (acceleration, steering) each.
const HORIZON: usize = 32;

/// `input` (1, 256) to `controls` (1, 32, 2), each in (-1, 1).
pub(super) fn build() -> Graph {
    let mut g = Graph::default();
    let input = g.input("input", &[1, 256]);
    let x = g.dense(input, 512, LINEAR);
    let x = g.map("Relu", x);
    let x = g.dense(x, 512, RECTIFIED);
    let x = g.map("Relu", x);
    let x = g.dense(x, 2 * HORIZON, RECTIFIED);
    let x = g.map("Tanh", x);
    let controls = g.reshape(x, &[1, HORIZON, 2]);
    g.output("controls", controls);
    g
}
