//! Compiles the shim once for each version of TensorRT's headers that is found; without any the crate has no shim.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders of headers, separated as in `PATH`; a folder that is named here must have them.
const NAMED: &str = "AEGIS_TENSORRT_INCLUDE";

/// Where packages and archives of TensorRT put its headers.
const USUAL: [&str; 5] = [
    "/usr/include/x86_64-linux-gnu",
    "/usr/include/aarch64-linux-gnu",
    "/usr/include",
    "/usr/local/tensorrt/include",
    "/opt/tensorrt/include",
];

/// Where CUDA's toolkit puts its headers, where the compiler does not find them by itself.
const CUDA: &str = "/usr/local/cuda/include";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=shim");
    println!("cargo::rerun-if-env-changed={NAMED}");
    if let Err(why) = build() {
        println!("cargo::error={why}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let out: PathBuf = variable("OUT_DIR")?.into();
    let mut shims = BTreeMap::new();
    if variable("CARGO_CFG_TARGET_OS")? == "linux" {
        for folder in folders()? {
            println!("cargo::rerun-if-changed={}", folder.join("NvInferVersion.h").display());
            // Of two folders with the same version the first is taken.
            shims.entry(number(&folder)?).or_insert(folder);
        }
    }
    for (number, folder) in &shims {
        compile(*number, folder);
    }
    if !shims.is_empty() {
        link_support(&out)?;
    }
    let path = out.join("shims.rs");
    std::fs::write(&path, table(shims.keys())).map_err(|why| format!("{}: {why}", path.display()))
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("cargo did not set {name}"))
}

/// The folders that have TensorRT's headers.
fn folders() -> Result<Vec<PathBuf>, String> {
    let has_headers = |folder: &Path| folder.join("NvInferRuntime.h").is_file();
    let Some(named) = std::env::var_os(NAMED).filter(|named| !named.is_empty()) else {
        return Ok(USUAL.iter().map(PathBuf::from).filter(|folder| has_headers(folder)).collect());
    };
    let named: Vec<PathBuf> =
        std::env::split_paths(&named).filter(|folder| !folder.as_os_str().is_empty()).collect();
    match named.iter().find(|folder| !has_headers(folder)) {
        Some(folder) => Err(format!(
            "{NAMED} names {}, which has no NvInferRuntime.h; name the folder with TensorRT's headers, or unset the \
             variable to build without TensorRT",
            folder.display()
        )),
        None => Ok(named),
    }
}

/// The headers' version as TensorRT writes it in one number: 8503 is 8.5.3, 101601 is 10.16.1.
fn number(folder: &Path) -> Result<u32, String> {
    let path = folder.join("NvInferVersion.h");
    let text = std::fs::read_to_string(&path).map_err(|why| format!("{}: {why}", path.display()))?;
    let macros: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("#define")).then(|| Some((words.next()?, words.next()?)))?
        })
        .collect();
    let part = |name: &str| {
        // Newer headers define one macro by another.
        let value = macros.get(format!("NV_TENSORRT_{name}").as_str())?;
        macros.get(value).unwrap_or(value).parse::<u32>().ok()
    };
    let parts = (|| Some((part("MAJOR")?, part("MINOR")?, part("PATCH")?)))();
    let (major, minor, patch) = parts.ok_or_else(|| {
        format!("{}: no NV_TENSORRT_MAJOR, MINOR and PATCH that can be read", path.display())
    })?;
    if (major, minor) < (8, 5) {
        return Err(format!(
            "{}: TensorRT {major}.{minor} is too old; 8.5 is the first with named tensors and enqueueV3",
            path.display()
        ));
    }
    Ok(major * if major < 10 { 1000 } else { 10_000 } + minor * 100 + patch)
}

fn compile(number: u32, folder: &Path) {
    let mut compiler = cc::Build::new();
    compiler
        .cpp(true)
        .cpp_link_stdlib(None) // see `link_support`
        .std("c++17")
        .file("shim/shim.cpp")
        .define("nvinfer1", format!("nvinfer1_v{number}").as_str())
        .define("AEGIS_TRT_NUMBER", number.to_string().as_str())
        .flag("-isystem")
        .flag(folder)
        .flag("-fno-exceptions")
        .flag("-fvisibility=hidden")
        .flag_if_supported("-Wno-deprecated-declarations");
    if Path::new(CUDA).is_dir() {
        compiler.flag("-isystem").flag(CUDA);
    }
    // Last of all, for machines without CUDA's headers.
    compiler.flag("-idirafter").flag("shim/cuda");
    compiler.compile(&format!("aegis_trt_shim_{number}"));
}

/// The shim needs of C++ only what stands behind classes. That part is linked statically, so that the program starts on
/// machines without libstdc++.
fn link_support(out: &Path) -> Result<(), String> {
    let compiler = cc::Build::new().cpp(true).get_compiler();
    let answer =
        Command::new(compiler.path()).args(compiler.args()).arg("-print-file-name=libsupc++.a").output();
    let found = answer.ok().and_then(|answer| String::from_utf8(answer.stdout).ok());
    let found =
        found.map(|path| PathBuf::from(path.trim())).filter(|path| path.is_absolute() && path.is_file());
    let Some(found) = found else {
        println!("cargo::rustc-link-lib=stdc++"); // another C++ library than GCC's
        return Ok(());
    };
    // A copy: the compiler's own folder among the places for libraries would hide others.
    let copy = out.join("libaegis_trt_support.a");
    std::fs::copy(&found, &copy).map_err(|why| format!("{}: {why}", found.display()))?;
    println!("cargo::rustc-link-search=native={}", out.display());
    println!("cargo::rustc-link-lib=static=aegis_trt_support");
    Ok(())
}

/// The entries of the shims, for `src/ffi/shim.rs`.
fn table<'a>(numbers: impl Iterator<Item = &'a u32> + Clone) -> String {
    let mut text = String::new();
    let entry = |number: &u32| format!("aegis_trt_shim_{number}");
    if numbers.clone().next().is_some() {
        text.push_str("unsafe extern \"C\" {\n");
        for number in numbers.clone() {
            writeln!(text, "    fn {}() -> *const Shim;", entry(number)).expect("writing to a string");
        }
        text.push_str("}\n");
    }
    let entries: Vec<String> = numbers.map(entry).collect();
    writeln!(text, "const ENTRIES: &[unsafe extern \"C\" fn() -> *const Shim] = &[{}];", entries.join(", "))
        .expect("writing to a string");
    text
}
