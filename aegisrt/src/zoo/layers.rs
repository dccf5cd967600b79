//! The layers that the demo models are made of: each checks its input's shape, knows its output's, counts its work and
//! scales its weights so that numbers neither vanish nor explode on the way through.
//!
//! Layout is NCHW with one image. Batch normalisation is folded: a convolution has a bias and no statistics.

use super::onnx::{Attribute, Graph, Value, signed};

/// The gain of a layer whose input comes from a linear one: its weights keep the mean square of the input.
pub(super) const LINEAR: f32 = 1.0;

/// The gain after a rectifier: the weights make up for the half of the mean square that it took (He et al., "Delving
/// deep into rectifiers", ICCV 2015, eq. 10).
pub(super) const RECTIFIED: f32 = 2.0;

/// The last layer of a residual branch adds only a quarter of the variance, so that many in a row stay tame.
pub(super) const RESIDUAL: f32 = RECTIFIED / 4.0;

/// Biases are what remains of a folded batch normalisation: small.
const BIAS: f32 = 0.1;

/// A convolution, padded so that stride 1 keeps the size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conv {
    /// Channels that come out.
    pub out: usize,
    /// Side of the square kernel.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Each channel by itself (as many channels come out as went in).
    pub depthwise: bool,
    /// [`LINEAR`], [`RECTIFIED`] or [`RESIDUAL`].
    pub gain: f32,
}

impl Conv {
    /// A dense convolution with stride 1 on a rectified input.
    pub(super) const fn new(out: usize, kernel: usize) -> Self {
        Self { out, kernel, stride: 1, depthwise: false, gain: RECTIFIED }
    }

    /// A convolution of each channel by itself.
    pub(super) const fn depthwise(channels: usize, kernel: usize) -> Self {
        Self { depthwise: true, ..Self::new(channels, kernel) }
    }

    pub(super) const fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    pub(super) const fn gain(self, gain: f32) -> Self {
        Self { gain, ..self }
    }
}

/// Half the width of a uniform distribution whose variance is `gain / fan_in`.
fn bound(gain: f32, fan_in: usize) -> f32 {
    (3.0 * gain / fan_in as f32).sqrt()
}

/// How many windows of `kernel` fit, `stride` apart, on `size` with `pad` on either side.
fn windows(size: usize, kernel: usize, pad: usize, stride: usize) -> usize {
    (size + 2 * pad - kernel) / stride + 1
}

fn square(size: usize) -> Attribute {
    Attribute::Ints(vec![signed(size); 2])
}

impl Graph {
    /// Channels, height and width of one image.
    #[track_caller]
    pub(super) fn image(&self, value: Value) -> (usize, usize, usize) {
        match self.shape(value) {
            &[1, channels, height, width] => (channels, height, width),
            other => panic!("one image (1, channels, height, width) expected, found {other:?}"),
        }
    }

    /// Weight and bias of the layer that comes next.
    fn learned(&mut self, op: &str, shape: &[usize], out: usize, gain: f32, fan_in: usize) -> [Value; 2] {
        let name = self.next_name(op);
        let weight = self.weight(format!("{name}.weight"), shape, bound(gain, fan_in));
        [weight, self.weight(format!("{name}.bias"), &[out], BIAS)]
    }

    /// A convolution with bias.
    #[track_caller]
    pub(super) fn conv(&mut self, x: Value, conv: Conv) -> Value {
        let Conv { out, kernel, stride, depthwise, gain } = conv;
        let (channels, height, width) = self.image(x);
        assert!(!depthwise || channels == out, "depthwise: {channels} channels in, {out} out");
        let (groups, inputs) = if depthwise { (channels, 1) } else { (1, channels) };
        let fan_in = inputs * kernel * kernel;
        let [w, b] = self.learned("Conv", &[out, inputs, kernel, kernel], out, gain, fan_in);
        let pad = kernel / 2;
        let side = |size| windows(size, kernel, pad, stride);
        let shape = [1, out, side(height), side(width)];
        self.count(shape.iter().product::<usize>() * fan_in);
        let attributes = [
            ("group", Attribute::Int(signed(groups))),
            ("kernel_shape", square(kernel)),
            ("pads", Attribute::Ints(vec![signed(pad); 4])),
            ("strides", square(stride)),
        ];
        self.op("Conv", &[x, w, b], attributes, &shape)
    }

    /// A transposed convolution of kernel 2 and stride 2, which doubles height and width: every output pixel comes
    /// from one input pixel.
    #[track_caller]
    pub(super) fn double(&mut self, x: Value, out: usize) -> Value {
        let (channels, height, width) = self.image(x);
        let [w, b] = self.learned("ConvTranspose", &[channels, out, 2, 2], out, RECTIFIED, channels);
        let shape = [1, out, 2 * height, 2 * width];
        self.count(shape.iter().product::<usize>() * channels);
        let attributes = [("kernel_shape", square(2)), ("strides", square(2))];
        self.op("ConvTranspose", &[x, w, b], attributes, &shape)
    }

    /// The maximum over square windows two apart, padded as [`Graph::conv`] is when the kernel is odd.
    #[track_caller]
    pub(super) fn max_pool(&mut self, x: Value, kernel: usize) -> Value {
        let (channels, height, width) = self.image(x);
        let pad = (kernel - 1) / 2;
        let side = |size| windows(size, kernel, pad, 2);
        let attributes = [
            ("kernel_shape", square(kernel)),
            ("pads", Attribute::Ints(vec![signed(pad); 4])),
            ("strides", square(2)),
        ];
        self.op("MaxPool", &[x], attributes, &[1, channels, side(height), side(width)])
    }

    /// The mean of each channel: one image becomes one vector.
    #[track_caller]
    pub(super) fn global_average(&mut self, x: Value) -> Value {
        let (channels, ..) = self.image(x);
        let pooled = self.op("GlobalAveragePool", &[x], [], &[1, channels, 1, 1]);
        self.op("Flatten", &[pooled], [("axis", Attribute::Int(1))], &[1, channels])
    }

    /// A fully connected layer on one vector, with bias.
    #[track_caller]
    pub(super) fn dense(&mut self, x: Value, out: usize, gain: f32) -> Value {
        let &[1, inputs] = self.shape(x) else { panic!("one vector expected, found {:?}", self.shape(x)) };
        let [w, b] = self.learned("Gemm", &[out, inputs], out, gain, inputs);
        self.count(out * inputs);
        self.op("Gemm", &[x, w, b], [("transB", Attribute::Int(1))], &[1, out])
    }

    /// A layer of LSTM cells over a sequence of shape (steps, 1, features). Answers (steps, 1, 1, hidden), the state
    /// after every step, or (1, 1, hidden), the last one.
    #[track_caller]
    pub(super) fn lstm(&mut self, x: Value, hidden: usize, every_step: bool) -> Value {
        let &[steps, 1, features] = self.shape(x) else {
            panic!("one sequence expected, found {:?}", self.shape(x))
        };
        let name = self.next_name("LSTM");
        let w = self.weight(format!("{name}.input"), &[1, 4 * hidden, features], bound(LINEAR, features));
        let r = self.weight(format!("{name}.recurrent"), &[1, 4 * hidden, hidden], bound(LINEAR, hidden));
        let b = self.weight(format!("{name}.bias"), &[1, 8 * hidden], BIAS);
        self.count(steps * 4 * hidden * (features + hidden));
        let attributes = [("hidden_size", Attribute::Int(signed(hidden)))];
        if every_step {
            self.op("LSTM", &[x, w, r, b], attributes, &[steps, 1, 1, hidden])
        } else {
            self.op_with_output(1, "LSTM", &[x, w, r, b], attributes, &[1, 1, hidden])
        }
    }

    /// An operator that works on each number by itself: `Relu`, `Exp`, `Tanh`, ...
    pub(super) fn map(&mut self, op: &'static str, x: Value) -> Value {
        let shape = self.shape(x).to_vec();
        self.op(op, &[x], [], &shape)
    }

    pub(super) fn clip(&mut self, x: Value, low: f32, high: f32) -> Value {
        let (low, high) = (self.scalar(low), self.scalar(high));
        let shape = self.shape(x).to_vec();
        self.op("Clip", &[x, low, high], [], &shape)
    }

    /// The rectifier of the MobileNets.
    pub(super) fn relu6(&mut self, x: Value) -> Value {
        self.clip(x, 0.0, 6.0)
    }

    /// `Add`, `Sub` or `Mul` of two values of one shape, or of a value and a scalar.
    #[track_caller]
    pub(super) fn binary(&mut self, op: &'static str, x: Value, y: Value) -> Value {
        let shape = self.shape(x).to_vec();
        assert!(
            self.shape(y).is_empty() || self.shape(y) == shape,
            "{op}: {shape:?} and {:?}",
            self.shape(y)
        );
        self.op(op, &[x, y], [], &shape)
    }

    /// Values beside one another along `axis`; all other dimensions must agree.
    #[track_caller]
    pub(super) fn concat(&mut self, values: &[Value], axis: usize) -> Value {
        let mut shape = self.shape(values[0]).to_vec();
        shape[axis] = 0;
        for value in values {
            let other = self.shape(*value);
            let agree = |i: usize| i == axis || shape[i] == other[i];
            assert!(
                other.len() == shape.len() && (0..shape.len()).all(agree),
                "concat: {shape:?} and {other:?}"
            );
            shape[axis] += other[axis];
        }
        self.op("Concat", values, [("axis", Attribute::Int(signed(axis)))], &shape)
    }

    /// Dimension `i` of the result is dimension `order[i]` of `x`.
    pub(super) fn transpose(&mut self, x: Value, order: &[usize]) -> Value {
        let shape: Vec<_> = order.iter().map(|&from| self.shape(x)[from]).collect();
        let order = order.iter().map(|&from| signed(from)).collect();
        self.op("Transpose", &[x], [("perm", Attribute::Ints(order))], &shape)
    }

    #[track_caller]
    pub(super) fn reshape(&mut self, x: Value, shape: &[usize]) -> Value {
        let from = self.shape(x);
        assert_eq!(from.iter().product::<usize>(), shape.iter().product::<usize>(), "{from:?} to {shape:?}");
        let name = format!("{}.shape", self.next_name("Reshape"));
        let to = self.ints(name, shape.iter().map(|&dim| signed(dim)).collect());
        self.op("Reshape", &[x, to], [], shape)
    }

    /// `[from, to)` of the last dimension.
    #[track_caller]
    pub(super) fn columns(&mut self, x: Value, from: usize, to: usize) -> Value {
        let mut shape = self.shape(x).to_vec();
        let last = shape.len() - 1;
        assert!(from < to && to <= shape[last], "columns {from} to {to} of {shape:?}");
        shape[last] = to - from;
        let name = self.next_name("Slice");
        let mut number = |what, n| self.ints(format!("{name}.{what}"), vec![signed(n)]);
        let (start, end, axis) = (number("start", from), number("end", to), number("axis", last));
        self.op("Slice", &[x, start, end, axis], [], &shape)
    }

    /// Probabilities along the last dimension.
    pub(super) fn softmax(&mut self, x: Value) -> Value {
        let shape = self.shape(x).to_vec();
        self.op("Softmax", &[x], [("axis", Attribute::Int(-1))], &shape)
    }
}

#[cfg(test)]
mod tests {
    use super::{Conv, Graph, windows};

    /// Counts the windows one by one.
    #[test]
    fn windows_are_those_that_fit() {
        for size in 1..20 {
            for (kernel, pad, stride) in [(1, 0, 1), (1, 0, 2), (2, 0, 2), (3, 1, 1), (3, 1, 2), (7, 3, 2)] {
                if size + 2 * pad >= kernel {
                    let fits = |start: &usize| start + kernel <= size + 2 * pad;
                    let counted = (0..).step_by(stride).take_while(fits).count();
                    assert_eq!(windows(size, kernel, pad, stride), counted, "{size} {kernel} {pad} {stride}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "concat: [1, 3, 4, 4] and [1, 3, 2, 2]")]
    fn shapes_that_do_not_fit_are_told() {
        let mut g = Graph::default();
        let x = g.input("input", &[1, 3, 4, 4]);
        let y = g.conv(x, Conv::new(3, 3).stride(2));
        g.concat(&[x, y], 1);
    }
}
