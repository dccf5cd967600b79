//! Metrics as OTLP in its JSON encoding: the body of an `ExportMetricsServiceRequest`, for a collector's `/v1/metrics`.
use super::{BUCKETS_NS, Family, MetricKind, Metrics, Number, Sample, Value};
use crate::ExportError;
use serde_json::{Value as Json, json};
use std::io::{self, Write};

/// Sums are since the beginning of the trace.
const CUMULATIVE: u32 = 2;

impl Metrics {
    /// Writes the metrics as OTLP/JSON. Times of a simulation count from 1970.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn otlp(&self, mut sink: impl Write) -> Result<(), ExportError> {
        let metrics: Vec<Json> =
            self.families.iter().filter(|f| !f.samples.is_empty()).map(|f| self.metric(f)).collect();
        let request = json!({ "resourceMetrics": [{
            "resource": { "attributes": [attribute("service.name", "aegisrt")] },
            "scopeMetrics": [{ "scope": { "name": self.program }, "metrics": metrics }],
        }] });
        serde_json::to_writer_pretty(&mut sink, &request).map_err(io::Error::from)?;
        sink.write_all(b"\n")?;
        Ok(sink.flush()?)
    }

    fn metric(&self, family: &Family) -> Json {
        let points: Vec<Json> = family.samples.iter().map(|sample| self.point(sample)).collect();
        let unit = match family.unit {
            Some("seconds") => "s",
            Some("bytes") => "By",
            _ => "1",
        };
        let mut metric = json!({ "name": family.name, "description": family.help, "unit": unit });
        match family.kind {
            MetricKind::Counter => {
                metric["sum"] = json!({
                    "aggregationTemporality": CUMULATIVE, "isMonotonic": true, "dataPoints": points
                });
            }
            MetricKind::Gauge | MetricKind::Info => metric["gauge"] = json!({ "dataPoints": points }),
            MetricKind::Histogram => {
                metric["histogram"] = json!({ "aggregationTemporality": CUMULATIVE, "dataPoints": points });
            }
        }
        metric
    }

    fn point(&self, sample: &Sample) -> Json {
        let attributes: Vec<Json> =
            sample.labels.iter().map(|(name, value)| attribute(name, value)).collect();
        let mut point = json!({
            "attributes": attributes,
            "startTimeUnixNano": self.began_unix_ns.to_string(),
            "timeUnixNano": self.began_unix_ns.saturating_add(self.until.0).to_string(),
        });
        match &sample.value {
            Value::Number(Number::Whole(number)) => point["asInt"] = number.to_string().into(),
            Value::Number(number) => point["asDouble"] = double(*number),
            Value::Histogram(histogram) => {
                let bounds = BUCKETS_NS.iter().map(|ns| double(Number::Seconds(u128::from(*ns))));
                point["count"] = histogram.count().to_string().into();
                point["sum"] = double(Number::Seconds(histogram.sum_ns));
                point["bucketCounts"] = histogram.counts.iter().map(u64::to_string).collect();
                point["explicitBounds"] = bounds.collect();
            }
        }
        point
    }
}

pub(crate) fn attribute(key: &str, value: &str) -> Json {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// The double that is nearest to the exact number.
fn double(number: Number) -> Json {
    number.to_string().parse::<f64>().map_or(Json::Null, Json::from)
}
