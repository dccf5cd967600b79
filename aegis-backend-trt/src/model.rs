//! A loaded plan: its facts, and the execution context that its first session takes.
use crate::ffi::{Engine, Flow, Layout, Library, NotLoaded, Port, Refusal};
use crate::fit::fit;
use crate::probe::unavailable;
use crate::session::TrtSession;
use aegis_backend::{
    Artifact, BackendError, Binding, DEVICE_ALIGN, DType, Dim, Limits, Model, ModelFacts, Place, Scratch,
    Session, TensorFacts,
};
use aegis_core::Bytes;
use aegis_cuda::{Context, Stream, StreamPriority};
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// An execution context that no session uses. Model and sessions share the place.
pub(crate) type Parking = Arc<Mutex<Option<Flow>>>;

pub(crate) struct TrtModel {
    path: PathBuf,
    facts: ModelFacts,
    /// Of the inputs and the outputs, in the order of the facts.
    names: [Vec<CString>; 2],
    /// Shapes of inputs that the engine leaves open and its profile fixes.
    fixed: Vec<(CString, Vec<i64>)>,
    parking: Parking,
    engine: Arc<Engine>,
    context: Arc<Context>,
}

impl TrtModel {
    /// Loads a plan whose header and digest were checked.
    pub(crate) fn load(
        library: Library,
        context: &Arc<Context>,
        artifact: &Artifact,
        limits: &Limits,
    ) -> Result<Self, BackendError> {
        let path = artifact.origin().to_path_buf();
        let unsupported = |why| BackendError::Unsupported { path: path.clone(), why };
        let engine = Engine::load(library, context, limits.device_memory, artifact.bytes())
            .map_err(|why| not_loaded(&path, library, why))?;
        let engine = Arc::new(engine);
        let ports = engine.ports().ok_or_else(|| unsupported("TensorRT does not tell its tensors".into()))?;
        let (inputs, outputs): (Vec<_>, Vec<_>) = ports.into_iter().partition(|port| port.is_input);
        let fixed = inputs
            .iter()
            .filter(|port| !is_fixed(port.shape.as_deref()))
            .map(|port| Ok((port.name.clone(), fixed_by_profile(&engine, port)?)))
            .collect::<Result<Vec<_>, String>>()
            .map_err(unsupported)?;

        let mut flow = Flow::new(&engine).map_err(|why| not_loaded(&path, library, why))?;
        set_shapes(&mut flow, &fixed).map_err(unsupported)?;
        let mut tensors = |ports: &[Port]| -> Result<Vec<TensorFacts>, BackendError> {
            let facts = ports.iter().map(|port| {
                let shape = if fixed.is_empty() { port.shape.clone() } else { flow.shape(&port.name) };
                tensor(port, shape.as_deref())
            });
            facts.collect::<Result<_, _>>().map_err(unsupported)
        };
        let scratch = engine
            .scratch()
            .ok_or_else(|| unsupported("TensorRT gives a negative size of its scratch memory".into()))?;
        let facts = ModelFacts {
            place: Place::Device,
            inputs: tensors(&inputs)?,
            outputs: tensors(&outputs)?,
            // With what the first session's context holds.
            weights: engine.held(),
            scratch: match scratch {
                Bytes::ZERO => Scratch::None,
                bytes => Scratch::Placeable { bytes, align: DEVICE_ALIGN },
            },
            extra_streams: engine.aux_streams(),
            segments: 1,
        };
        let names = [inputs, outputs].map(|ports| ports.into_iter().map(|port| port.name).collect());
        let parking = Arc::new(Mutex::new(Some(flow)));
        Ok(Self { path, facts, names, fixed, parking, engine, context: Arc::clone(context) })
    }

    /// The parked execution context, or a new one.
    fn flow(&self) -> Result<Flow, BackendError> {
        let parked = self.parking.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(flow) = parked {
            return Ok(flow);
        }
        let mut flow =
            Flow::new(&self.engine).map_err(|why| not_loaded(&self.path, *self.engine.library(), why))?;
        set_shapes(&mut flow, &self.fixed)
            .map_err(|why| BackendError::Unsupported { path: self.path.clone(), why })?;
        Ok(flow)
    }
}

impl Model for TrtModel {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn open(&self, binding: &Binding) -> Result<Session, BackendError> {
        let [inputs, outputs] = &self.names;
        let fitting = fit(binding, &self.facts, inputs, outputs, &self.context)?;
        let aux = (0..self.facts.extra_streams)
            .map(|_| Stream::new(&self.context, StreamPriority::Usual))
            .collect::<Result<Vec<_>, _>>()?;
        let mut flow = self.flow()?;
        flow.bind(fitting, aux)
            .map_err(|why| BackendError::BadBinding { why: format!("TensorRT refuses it: {why}") })?;
        Ok(Session::Device(Box::new(TrtSession::new(flow, Arc::clone(&self.parking)))))
    }
}

fn set_shapes(flow: &mut Flow, fixed: &[(CString, Vec<i64>)]) -> Result<(), String> {
    if fixed.is_empty() {
        return Ok(());
    }
    flow.set_shapes(fixed.iter().map(|(name, shape)| (&**name, &**shape)))
}

fn not_loaded(path: &Path, library: Library, why: NotLoaded) -> BackendError {
    let path = path.to_path_buf();
    match why {
        NotLoaded::Device(error) | NotLoaded::Memory(Refusal::Device(error)) => error.into(),
        NotLoaded::Memory(Refusal::OverBudget { asked, limit }) => {
            BackendError::OverLimit { path, asked, limit }
        }
        NotLoaded::Memory(Refusal::Alignment(align)) => BackendError::Unsupported {
            path,
            why: format!("TensorRT asks for memory at a multiple of {align} bytes, which is no power of two"),
        },
        NotLoaded::NoRuntime(why) => {
            unavailable(why, "it worked when it was found: see what the driver says".into())
        }
        NotLoaded::Refused(why) => {
            BackendError::Malformed { path, why: format!("TensorRT {} refuses it: {why}", library.version) }
        }
    }
}

fn is_fixed(shape: Option<&[i64]>) -> bool {
    shape.is_some_and(|extents| extents.iter().all(|extent| *extent >= 0))
}

/// The shape of an input that is open in the engine but not in its profile.
fn fixed_by_profile(engine: &Engine, port: &Port) -> Result<Vec<i64>, String> {
    let name = port.name.to_string_lossy();
    match engine.range(&port.name) {
        Some((least, greatest)) if least == greatest && is_fixed(Some(&least)) => Ok(least),
        Some((least, greatest)) => Err(format!(
            "input `{name}` may have shapes from {least:?} to {greatest:?}; shapes must be fixed here, so build the plan \
             for one, as `trtexec --shapes={name}:{}` does",
            greatest.iter().map(ToString::to_string).collect::<Vec<_>>().join("x")
        )),
        None => Err(format!(
            "input `{name}` has no shape and no optimisation profile; build the plan with fixed shapes"
        )),
    }
}

/// What a port is, if a session can bind it; a sentence if not.
fn tensor(port: &Port, shape: Option<&[i64]>) -> Result<TensorFacts, String> {
    let which = if port.is_input { "input" } else { "output" };
    let named = |why: String| format!("{which} `{}` {why}", port.name.to_string_lossy());
    match port.layout {
        Layout::Linear => {}
        Layout::Other => {
            return Err(named(
                "is not row-major; build the plan with linear formats (`--inputIOFormats` of trtexec)".into(),
            ));
        }
        Layout::Shapes => {
            return Err(named(
                "holds shapes, which TensorRT wants on the host; build the plan with fixed shapes".into(),
            ));
        }
    }
    let dtype = dtype(port.dtype)
        .map_err(|dtype| named(format!("has elements of type {dtype}, which are not supported")))?;
    let extents = shape.filter(|shape| is_fixed(Some(shape))).ok_or_else(|| {
        named("has a shape that depends on the data; give the model an output of fixed shape".into())
    })?;
    let shape = extents.iter().map(|extent| Dim::Fixed(extent.unsigned_abs())).collect();
    let facts = TensorFacts { name: port.name.to_string_lossy().into_owned(), dtype, shape };
    match facts.bytes() {
        Some(Bytes::ZERO) | None => Err(named(format!("is {facts}, which is empty or too large"))),
        Some(_) => Ok(facts),
    }
}

/// `nvinfer1::DataType`; the name of one that is not supported.
fn dtype(number: i32) -> Result<DType, String> {
    Ok(match number {
        0 => DType::F32,
        1 => DType::F16,
        2 => DType::I8,
        3 => DType::I32,
        4 => DType::Bool,
        5 => DType::U8,
        8 => DType::I64,
        6 => return Err("fp8".into()),
        7 => return Err("bf16".into()),
        9 => return Err("int4".into()),
        10 => return Err("fp4".into()),
        other => return Err(format!("number {other} of TensorRT's")),
    })
}

#[cfg(test)]
mod tests {
    use super::{Layout, Port, is_fixed, tensor};

    fn port() -> Port {
        Port {
            name: c"x".to_owned(),
            is_input: true,
            dtype: 0,
            layout: Layout::Linear,
            shape: Some(vec![1, 3]),
        }
    }

    #[test]
    fn ports_that_can_be_bound() {
        for (dtype, shape, shown) in [
            (0, &[1, 3, 224, 224][..], "f32[1,3,224,224]"),
            (1, &[7], "f16[7]"),
            (2, &[7], "i8[7]"),
            (3, &[], "i32[]"),
            (4, &[2, 2], "bool[2,2]"),
            (5, &[2], "u8[2]"),
            (8, &[2], "i64[2]"),
        ] {
            let facts = tensor(&Port { dtype, ..port() }, Some(shape)).unwrap();
            assert_eq!((facts.to_string().as_str(), facts.name.as_str()), (shown, "x"));
        }
    }

    #[test]
    fn ports_that_cannot() {
        let huge = [i64::MAX, 2];
        for (port, shape, says) in [
            (Port { layout: Layout::Shapes, ..port() }, Some(&[1, 3][..]), "input `x` holds shapes"),
            (
                Port { layout: Layout::Shapes, is_input: false, ..port() },
                Some(&[1]),
                "output `x` holds shapes",
            ),
            (Port { layout: Layout::Other, ..port() }, Some(&[1, 3]), "is not row-major"),
            (Port { dtype: 7, ..port() }, Some(&[1, 3]), "elements of type bf16"),
            (Port { dtype: 99, ..port() }, Some(&[1, 3]), "elements of type number 99"),
            (port(), Some(&[1, -1]), "depends on the data"),
            (port(), None, "depends on the data"),
            (port(), Some(&[1, 0]), "is f32[1,0], which is empty"),
            (port(), Some(&huge), "or too large"),
        ] {
            let said = tensor(&port, shape).unwrap_err();
            assert!(said.contains(says), "{said}\nbut not {says}");
        }
        assert!(is_fixed(Some(&[0, 3])) && !is_fixed(Some(&[3, -1])) && !is_fixed(None));
    }
}
