//! What a binary needs of the libraries it is linked with, read from `readelf`, and whether a JetPack has it.
use super::releases::{JetPack, Version};
use crate::Findings;
use std::collections::{BTreeMap, BTreeSet};

/// Libraries that a package may need, and the packages of Ubuntu that bring them.
const PACKAGES: &[(&str, &str)] = &[
    ("ld-linux-aarch64.so.1", "libc6"),
    ("libc.so.6", "libc6"),
    ("libdl.so.2", "libc6"),
    ("libm.so.6", "libc6"),
    ("libpthread.so.0", "libc6"),
    ("librt.so.1", "libc6"),
    ("libgcc_s.so.1", "libgcc-s1"),
    ("libstdc++.so.6", "libstdc++6"),
];

/// What a binary needs when it is started.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    libraries: BTreeSet<String>,
    /// The newest version of each prefix.
    symbols: BTreeMap<String, Version>,
    /// Versions without a number, such as `GLIBC_PRIVATE`.
    odd: BTreeSet<String>,
}

impl Needs {
    /// From the output of `readelf --wide --dynamic --version-info`, GNU's or LLVM's.
    pub fn parse(readelf: &str) -> Result<Self, String> {
        let mut needs = Self::default();
        for line in readelf.lines() {
            if let Some((_, library)) = line.split_once("Shared library: [") {
                needs.libraries.extend(library.split(']').next().map(str::to_owned));
            }
            let Some((_, name)) = line.split_once(" Name: ") else { continue };
            let Some(name) = name.split_whitespace().next() else { continue };
            match name.split_once('_').and_then(|(prefix, version)| Some((prefix, Version::parse(version)?)))
            {
                Some((prefix, version)) => {
                    let newest = needs.symbols.entry(prefix.to_owned()).or_insert(version);
                    *newest = version.max(*newest);
                }
                None => {
                    needs.odd.insert(name.to_owned());
                }
            }
        }
        if needs.libraries.is_empty() || needs.symbols.is_empty() {
            return Err("readelf names no library and no version that the binary needs".to_owned());
        }
        Ok(needs)
    }

    /// What the JetPack does not have.
    pub fn missing(&self, jetpack: &JetPack) -> Findings {
        let place = format!("JetPack {} (Ubuntu {})", jetpack.number, jetpack.ubuntu);
        let mut findings = Findings::new();
        for (prefix, needed) in &self.symbols {
            match jetpack.symbols.iter().find(|(known, _)| known == prefix) {
                Some((_, has)) if needed <= has => {}
                Some((_, has)) => findings.push(format!(
                    "the binary needs {prefix}_{needed}, {place} has {has}: link it against older libraries; \
                     `pip install ziglang` brings a linker that can, and it is used where it is found"
                )),
                None => findings
                    .push(format!("the binary needs {prefix}_{needed}, and what {place} has is unknown")),
            }
        }
        for name in &self.odd {
            findings.push(format!(
                "the binary needs {name}, which only the build of a library that it was linked with has"
            ));
        }
        for library in &self.libraries {
            if package(library).is_none() {
                findings.push(format!(
                    "the binary needs {library} when it starts: what is not of Ubuntu's base must be loaded at run time"
                ));
            }
        }
        findings
    }

    /// The packages that bring the libraries, as a control file's `Depends`.
    pub fn depends(&self) -> String {
        let packages: BTreeSet<&str> = self.libraries.iter().filter_map(|library| package(library)).collect();
        let versioned = |name: &str| match self.symbols.get("GLIBC") {
            Some(version) if name == "libc6" => format!("{name} (>= {version})"),
            _ => name.to_owned(),
        };
        packages.into_iter().map(versioned).collect::<Vec<_>>().join(", ")
    }

    /// The newest version of C-library symbols.
    pub fn glibc(&self) -> Option<Version> {
        self.symbols.get("GLIBC").copied()
    }
}

fn package(library: &str) -> Option<&'static str> {
    PACKAGES.iter().find(|(known, _)| *known == library).map(|(_, package)| *package)
}

#[cfg(test)]
mod tests {
    use super::Needs;
    use crate::jetson::releases::{JetPack, Version};

    const GNU: &str = "
Dynamic section at offset 0x4 contains 3 entries:
 0x0000000000000001 (NEEDED)             Shared library: [libgcc_s.so.1]
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]

Version symbols section '.gnu.version' contains 4 entries:
  000:   0 (*local*)       2 (GLIBC_2.99)    3 (GLIBC_2.17)    1 (*global*)

Version needs section '.gnu.version_r' contains 2 entries:
  000000: Version: 1  File: libgcc_s.so.1  Cnt: 2
  0x0010:   Name: GCC_4.2.0  Flags: none  Version: 4
  0x0020:   Name: GCC_3.0  Flags: none  Version: 3
  0x0030: Version: 1  File: libc.so.6  Cnt: 3
  0x0040:   Name: GLIBC_2.17  Flags: none  Version: 3
  0x0050:   Name: GLIBC_2.34  Flags: none  Version: 2
  0x0060:   Name: GLIBC_2.4  Flags: none  Version: 5
";

    fn needs(more: &str) -> Needs {
        Needs::parse(&format!("{GNU}{more}\n")).unwrap()
    }

    fn missing(jetpack: &str, more: &str) -> String {
        needs(more).missing(JetPack::find(jetpack).unwrap()).join("\n")
    }

    #[test]
    fn the_newest_version_counts_not_the_last() {
        assert_eq!(needs("").glibc(), Version::parse("2.34"));
        assert_eq!(needs("").depends(), "libc6 (>= 2.34), libgcc-s1");
        let cpp = " 0x1 (NEEDED)  Shared library: [libstdc++.so.6]";
        assert_eq!(needs(cpp).depends(), "libc6 (>= 2.34), libgcc-s1, libstdc++6");
    }

    #[test]
    fn what_a_jetpack_lacks_is_named() {
        for (jetpack, more, said) in [
            ("6", "", ""),
            ("7", "", ""),
            ("5", "", "the binary needs GLIBC_2.34, JetPack 5 (Ubuntu 20.04) has 2.31: link it against"),
            ("6", " 0x1:   Name: GLIBC_2.35  Flags: none", ""),
            (
                "6",
                " 0x1:   Name: GLIBC_2.36  Flags: none",
                "needs GLIBC_2.36, JetPack 6 (Ubuntu 22.04) has 2.35",
            ),
            ("6", " 0x1:   Name: GLIBCXX_3.4.30  Flags: none", ""),
            ("6", " 0x1:   Name: GLIBCXX_3.4.31  Flags: none", "needs GLIBCXX_3.4.31, JetPack 6"),
            ("6", " 0x1:   Name: CXXABI_1.3.14  Flags: none", "needs CXXABI_1.3.14, JetPack 6"),
            ("7", " 0x1:   Name: GCC_14.0.0  Flags: none", ""),
            ("6", " 0x1:   Name: GCC_14.0.0  Flags: none", "needs GCC_14.0, JetPack 6"),
            ("7", " 0x1:   Name: GLIBC_PRIVATE  Flags: none", "needs GLIBC_PRIVATE, which only"),
            ("7", " 0x1:   Name: OTHER_1.0  Flags: none", "needs OTHER_1.0, and what JetPack 7"),
            ("7", " (NEEDED)  Shared library: [libnvinfer.so.10]", "needs libnvinfer.so.10 when it starts"),
        ] {
            let found = missing(jetpack, more);
            assert!(found.contains(said) && found.is_empty() == said.is_empty(), "{jetpack} {more}: {found}");
        }
    }

    #[test]
    fn output_that_says_nothing_is_refused() {
        for text in ["", "readelf: Error: Not an ELF file", "There is no dynamic section in this file."] {
            assert!(Needs::parse(text).unwrap_err().contains("names no library"), "{text}");
        }
    }
}
