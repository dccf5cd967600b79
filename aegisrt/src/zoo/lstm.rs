//! The predictor: two layers of LSTM cells read what an object did, a linear layer says where it goes.

use super::layers::LINEAR;
use super::onnx::Graph;

/// Past moments, and what is known of the object at each.
const STEPS: usize = 50;
const FEATURES: usize = 32;
const HIDDEN: usize = 128;
/// Future positions, (x, y) each.
const HORIZON: usize = 12;

/// `input` (1, 50, 32) to `trajectory` (1, 12, 2).
pub(super) fn build() -> Graph {
    let mut g = Graph::default();
    let input = g.input("input", &[1, STEPS, FEATURES]);
    let sequence = g.transpose(input, &[1, 0, 2]);
    let states = g.lstm(sequence, HIDDEN, true);
    let states = g.reshape(states, &[STEPS, 1, HIDDEN]);
    let last = g.lstm(states, HIDDEN, false);
    let last = g.reshape(last, &[1, HIDDEN]);
    let numbers = g.dense(last, 2 * HORIZON, LINEAR);
    let trajectory = g.reshape(numbers, &[1, HORIZON, 2]);
    g.output("trajectory", trajectory);
    g
}

#[cfg(test)]
mod tests {
    /// torch.nn.LSTM(32, 128, num_layers=2) has 215 040 parameters, torch.nn.Linear(128, 24) 3 096.
    #[test]
    fn published_size() {
        assert_eq!(super::build().size().parameters, 215_040 + 3_096);
    }
}
