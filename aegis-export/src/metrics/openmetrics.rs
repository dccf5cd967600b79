//! Metrics as text in the OpenMetrics format, which Prometheus scrapes and its node exporter picks up from files.
use super::{BUCKETS_NS, Family, Histogram, MetricKind, Metrics, Number, Value};
use crate::ExportError;
use std::fmt::Write as _;
use std::io::Write;

impl Metrics {
    /// Writes the metrics as OpenMetrics text, version 1.0.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn openmetrics(&self, mut sink: impl Write) -> Result<(), ExportError> {
        for family in &self.families {
            sink.write_all(text(family).as_bytes())?;
        }
        sink.write_all(b"# EOF\n")?;
        Ok(sink.flush()?)
    }
}

impl MetricKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

fn text(family: &Family) -> String {
    let Family { name, help, kind, unit, samples } = family;
    let mut out = format!("# TYPE {name} {}\n", kind.name());
    if let Some(unit) = unit {
        let _ = writeln!(out, "# UNIT {name} {unit}");
    }
    let _ = writeln!(out, "# HELP {name} {}", escaped(help));
    let suffix = match kind {
        MetricKind::Counter => "_total",
        MetricKind::Info => "_info",
        MetricKind::Gauge | MetricKind::Histogram => "",
    };
    for sample in samples {
        let labels: Vec<String> =
            sample.labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        match &sample.value {
            Value::Number(number) => line(&mut out, name, suffix, &labels, &number.to_string()),
            Value::Histogram(histogram) => buckets(&mut out, name, &labels, histogram),
        }
    }
    out
}

fn buckets(out: &mut String, name: &str, labels: &[String], histogram: &Histogram) {
    let mut up_to = 0;
    let bounds = BUCKETS_NS.iter().map(|ns| Number::Seconds(u128::from(*ns)).to_string());
    for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(histogram.counts) {
        up_to += count;
        let mut labels = labels.to_vec();
        labels.push(format!("le=\"{bound}\""));
        line(out, name, "_bucket", &labels, &up_to.to_string());
    }
    line(out, name, "_count", labels, &up_to.to_string());
    line(out, name, "_sum", labels, &Number::Seconds(histogram.sum_ns).to_string());
}

fn line(out: &mut String, name: &str, suffix: &str, labels: &[String], value: &str) {
    let _ = if labels.is_empty() {
        writeln!(out, "{name}{suffix} {value}")
    } else {
        writeln!(out, "{name}{suffix}{{{}}} {value}", labels.join(","))
    };
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
