//! What each JetPack brings: the table that a build for it must fit.
use std::fmt;

/// A version of up to three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub [u32; 3]);

/// A JetPack, as its users find it: what is stated is there in every release named.
#[derive(Debug)]
pub struct JetPack {
    /// The number that `--jetpack` takes.
    pub number: u32,
    /// The releases meant.
    pub releases: &'static str,
    /// Its Ubuntu.
    pub ubuntu: &'static str,
    /// The newest versions of symbols that the libraries of its Ubuntu have, by their prefix.
    pub symbols: [(&'static str, Version); 4],
    /// The CUDA version of its driver, unless that is upgraded.
    pub cuda: Version,
    /// Its TensorRT; where releases differ in the first number, the newer first.
    pub tensorrt: &'static [Version],
    /// The newest ONNX Runtime with CUDA for it that is published as a package.
    pub onnxruntime_cuda: Version,
    /// The features of `aegisrt` that make sense there.
    pub features: &'static [&'static str],
}

/// Backends that build anywhere: each looks for its library when it is first used.
const ALL: &[&str] = &["rten", "ort", "trt", "tvm"];

/// All that are known, the oldest first. Sources: NVIDIA's pages of the JetPack releases, the packages `libc6`,
/// `libstdc++6` and `libgcc-s1` of the three Ubuntus, the table of ONNX Runtime wheels of the Jetson Zoo (JetPack 5), the
/// Jetson AI Lab's index (JetPack 6) and PyPI (JetPack 7).
pub const ALL_JETPACKS: &[JetPack] = &[
    JetPack {
        number: 5,
        releases: "5.1",
        ubuntu: "20.04",
        symbols: symbols([2, 31, 0], [3, 4, 28], [1, 3, 12], [10, 0, 0]),
        cuda: Version([11, 4, 0]),
        tensorrt: &[Version([8, 5, 2])],
        onnxruntime_cuda: Version([1, 18, 0]),
        features: ALL,
    },
    JetPack {
        number: 6,
        releases: "6.0 to 6.2",
        ubuntu: "22.04",
        symbols: symbols([2, 35, 0], [3, 4, 30], [1, 3, 13], [12, 0, 0]),
        cuda: Version([12, 2, 0]),
        tensorrt: &[Version([10, 3, 0]), Version([8, 6, 2])],
        onnxruntime_cuda: Version([1, 23, 0]),
        features: ALL,
    },
    JetPack {
        number: 7,
        releases: "7.0 to 7.2",
        ubuntu: "24.04",
        symbols: symbols([2, 39, 0], [3, 4, 33], [1, 3, 15], [14, 0, 0]),
        cuda: Version([13, 0, 0]),
        tensorrt: &[Version([10, 13, 0])],
        onnxruntime_cuda: Version([1, 31, 0]),
        features: ALL,
    },
];

const fn symbols(
    glibc: [u32; 3],
    glibcxx: [u32; 3],
    cxxabi: [u32; 3],
    gcc: [u32; 3],
) -> [(&'static str, Version); 4] {
    [
        ("GLIBC", Version(glibc)),
        ("GLIBCXX", Version(glibcxx)),
        ("CXXABI", Version(cxxabi)),
        ("GCC", Version(gcc)),
    ]
}

impl JetPack {
    /// The JetPack of this number.
    pub fn find(number: &str) -> Result<&'static Self, String> {
        ALL_JETPACKS.iter().find(|jetpack| jetpack.number.to_string() == number).ok_or_else(|| {
            let known: Vec<String> = ALL_JETPACKS.iter().map(|jetpack| jetpack.number.to_string()).collect();
            format!("--jetpack {number}: known are {}", known.join(", "))
        })
    }

    /// The version of its C library.
    pub fn glibc(&self) -> Version {
        self.symbols[0].1
    }

    /// Whether a shim compiled against these headers can work there: of TensorRT's interface, a library has what its own
    /// headers and older ones of the same first number declare.
    pub fn takes_headers(&self, headers: Version) -> bool {
        self.tensorrt.iter().any(|library| library.major() == headers.major() && headers <= *library)
    }
}

impl Version {
    /// From its text: one to three numbers with dots between them.
    pub fn parse(text: &str) -> Option<Self> {
        let mut version = [0; 3];
        let mut parts = text.split('.');
        for (number, part) in version.iter_mut().zip(&mut parts) {
            *number = part.parse().ok()?;
        }
        parts.next().is_none().then_some(Self(version))
    }

    /// From its first two numbers.
    pub fn new(major: u32, minor: u32) -> Self {
        Self([major, minor, 0])
    }

    /// The first number.
    pub fn major(self) -> u32 {
        self.0[0]
    }
}

/// Two numbers, and the third if it is not 0.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [major, minor, 0] => write!(f, "{major}.{minor}"),
            [major, minor, patch] => write!(f, "{major}.{minor}.{patch}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL_JETPACKS, JetPack, Version};
    use cargo_metadata::CargoOpt;

    #[test]
    fn versions() {
        for (text, shown) in [
            ("2.31", Some("2.31")),
            ("3.4.30", Some("3.4.30")),
            ("3.4.0", Some("3.4")),
            ("14", Some("14.0")),
            ("1.2.3.4", None),
            ("", None),
            ("2.x", None),
            ("PRIVATE", None),
        ] {
            assert_eq!(Version::parse(text).map(|version| version.to_string()).as_deref(), shown, "{text}");
        }
        let ordered = ["2.4", "2.17", "2.17.1", "2.31", "10.0"].map(Version::parse);
        assert!(ordered.is_sorted() && ordered.iter().all(Option::is_some), "{ordered:?}");
    }

    #[test]
    fn a_newer_jetpack_has_newer_libraries() {
        for pair in ALL_JETPACKS.windows(2) {
            let [older, newer] = pair else { unreachable!("windows of two") };
            assert!(older.number < newer.number && older.cuda < newer.cuda);
            for ((prefix, old), (same, new)) in older.symbols.iter().zip(&newer.symbols) {
                assert!(prefix == same && old < new, "{prefix} of JetPack {}", newer.number);
            }
            assert_eq!(older.symbols[0].0, "GLIBC");
        }
    }

    #[test]
    fn features_are_those_of_the_command() {
        let workspace = crate::metadata(&crate::root(), CargoOpt::NoDefaultFeatures).unwrap();
        let command =
            workspace.workspace_packages().into_iter().find(|package| package.name == "aegisrt").unwrap();
        for jetpack in ALL_JETPACKS {
            for feature in jetpack.features {
                assert!(command.features.contains_key(*feature), "JetPack {}: {feature}", jetpack.number);
            }
        }
    }

    #[test]
    fn headers() {
        for (jetpack, headers, fits) in [
            ("5", "8.5.2", true),
            ("5", "8.5.1", true),
            ("5", "8.5.3", false),
            ("5", "8.6.0", false),
            ("5", "10.3.0", false),
            ("6", "10.3.0", true),
            ("6", "8.6.1", true),
            ("6", "10.3.1", false),
            ("6", "11.0.0", false),
            ("7", "10.3.0", true),
            ("7", "10.13.0", true),
            ("7", "10.16.1", false),
            ("7", "8.6.1", false),
        ] {
            let version = Version::parse(headers).unwrap();
            assert_eq!(JetPack::find(jetpack).unwrap().takes_headers(version), fits, "{jetpack} {headers}");
        }
    }

    #[test]
    fn unknown_numbers_are_refused() {
        for number in ["4", "06", "", "six"] {
            let error = JetPack::find(number).unwrap_err();
            assert_eq!(error, format!("--jetpack {number}: known are 5, 6, 7"));
        }
    }
}
