//! The outline of ONNX files: what it finds, and what it refuses.
use aegis_backend::conformance::onnx::{self, Message};
use aegis_backend::onnx::{Outline, Port, outline};
use aegis_backend::{Artifact, BackendError, DType, Dim};
use aegis_core::{Bytes, Rng};

fn read(bytes: Vec<u8>) -> Result<Outline, BackendError> {
    outline(&Artifact::from_bytes("m.onnx", bytes))
}

fn shown(ports: &[Port]) -> Vec<String> {
    let extents = |port: &Port| match &port.shape {
        None => "no shape".to_owned(),
        Some(dims) => format!(
            "{:?}",
            dims.iter()
                .map(|d| match d {
                    Dim::Fixed(n) => n.to_string(),
                    Dim::Symbol(name) => name.clone(),
                })
                .collect::<Vec<_>>()
        ),
    };
    ports
        .iter()
        .map(|port| format!("{}: {} {}", port.name, port.dtype().map_or("-", DType::name), extents(port)))
        .collect()
}

#[test]
fn names_types_shapes_and_sizes() {
    let dense = read(onnx::dense()).unwrap();
    assert_eq!(shown(&dense.inputs), [r#"x: f32 ["2", "16"]"#]);
    assert_eq!(dense.constants, Bytes(4 * (16 * 8 + 8)));
    let mixed = read(onnx::mixed()).unwrap();
    assert_eq!(shown(&mixed.inputs), [r#"index: i64 ["n"]"#, r#"flag: bool ["64"]"#]);
    assert_eq!(shown(&mixed.outputs)[3], r#"inverse: bool ["64"]"#);
    assert_eq!(mixed.constants, Bytes(4 * 12 + 8 + 4));
}

#[test]
fn initialisers_listed_as_inputs_are_not_inputs() {
    let w = onnx::initializer("w", onnx::F32, &[1], &[0; 4]);
    let inputs = [onnx::port("w", onnx::F32, &["1"]), onnx::port("x", onnx::F32, &["1"])];
    let model = onnx::model(&[onnx::node("Add", &["x", "w"], "y")], &[w], &inputs, &[]);
    assert_eq!(shown(&read(model).unwrap().inputs), [r#"x: f32 ["1"]"#]);
}

#[test]
fn shapes_and_types_may_be_missing() {
    let bare = Message::new().bytes(1, "x");
    let tensor = Message::new().number(1, 99).bytes(2, Message::new().bytes(1, Message::new()));
    let odd = Message::new().bytes(1, "z").bytes(2, Message::new().bytes(1, tensor));
    let model = onnx::model(&[], &[], &[bare, odd], &[]);
    assert_eq!(shown(&read(model).unwrap().inputs), ["x: - no shape", r#"z: - ["?"]"#]);
}

#[test]
fn constants_of_nodes_and_nested_graphs_count() {
    let constant = |bytes: u64| {
        let tensor = onnx::initializer("", 2, &[bytes], &vec![0; usize::try_from(bytes).unwrap()]);
        onnx::node("Constant", &[], "c").bytes(5, Message::new().bytes(1, "value").bytes(5, tensor))
    };
    let branch = Message::new().bytes(1, constant(5)).bytes(5, onnx::initializer("i", 3, &[2, 4], &[0; 8]));
    let branches = onnx::node("If", &["x"], "y")
        .bytes(5, Message::new().bytes(1, "then_branch").bytes(6, branch.clone()))
        .bytes(5, Message::new().bytes(1, "else_branch").bytes(6, branch));
    let model = onnx::model(&[constant(100), branches], &[], &[], &[]);
    assert_eq!(read(model).unwrap().constants, Bytes(100 + 2 * (5 + 8)));
}

#[test]
fn packed_extents_count_like_single_ones() {
    let tensor = Message::new().bytes(1, [3, 4, 2]).number(2, onnx::F32);
    assert_eq!(read(onnx::model(&[], &[tensor], &[], &[])).unwrap().constants, Bytes(96));
}

#[test]
fn what_is_refused_says_why_and_where() {
    let nested = (0..40).fold(Message::new(), |graph, _| {
        let node = onnx::node("If", &[], "y").bytes(5, Message::new().bytes(6, graph));
        Message::new().bytes(1, node)
    });
    let external = onnx::initializer("conv.weight", onnx::F32, &[1], &[]).number(14, 1);
    let huge = onnx::initializer("w", onnx::F32, &[1 << 40, 1 << 40], &[]);
    let graph = |message: Message| Message::new().bytes(7, message).finish();
    for (bytes, says) in [
        (
            vec![],
            "m.onnx is not a model that this backend can load: not an ONNX file: it has no graph, at byte 0",
        ),
        (b"hello".to_vec(), "a field has an unknown kind, at byte 2"),
        (vec![0x3a, 0x05, 0x0a], "a field reaches beyond the end, at byte 2"),
        (vec![0x3a, 0x01, 0x80], "a number is cut off, at byte 2"),
        (vec![0xff; 16], "a number is longer than 64 bits, at byte 0"),
        (vec![0x07], "a field has an unknown kind, at byte 0"),
        (vec![0x00, 0x01], "a field has the number 0, at byte 0"),
        (graph(nested), "graphs are nested deeper than 32"),
        (graph(Message::new().bytes(11, Message::new().bytes(1, [0xff, 0xfe]))), "a name is not UTF-8"),
        (onnx::model(&[], &[huge], &[], &[]), "the size of a tensor does not fit 64 bits"),
        (onnx::model(&[], &[external], &[], &[]), "m.onnx: `conv.weight` keeps its data in another file"),
    ] {
        let message = read(bytes).unwrap_err().to_string();
        assert!(message.contains(says), "{message}\nbut not {says}");
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let sound = onnx::mixed();
    for cut in 0..sound.len() {
        let _ = read(sound[..cut].to_vec());
        for bit in 0..8 {
            let mut flipped = sound.clone();
            flipped[cut] ^= 1 << bit;
            let _ = read(flipped);
        }
    }
    let mut rng = Rng::new(1);
    for _ in 0..2000 {
        let len = rng.between(0, 200);
        let _ = read((0..len).map(|_| rng.bits().to_le_bytes()[0]).collect());
    }
}
