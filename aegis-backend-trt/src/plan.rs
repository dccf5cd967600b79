//! The header of a plan: whether a file is one, and which TensorRT built it, before anything reaches TensorRT.
//!
//! There are two layouts, both little-endian. Up to 8.5 a plan begins with `ptrt`, a zero, the number of its
//! serialisation format (232 for 8.5) and, at byte 16, the length of what follows the 24 bytes of header; the version is
//! not told. Since 8.6 it begins with 32 bytes: `ftrt`, a zero, and the four parts of TensorRT's version at byte 24, which
//! `trtexec --getPlanVersionOnly` shows as well. Seen in the libraries 8.5.3, 10.16.1 and 11.4.0.
use crate::TrtVersion;

const OLD: [u8; 4] = *b"ptrt";
const OLD_HEADER: usize = 24;
/// The serialisation format of TensorRT 8.5.
const FORMAT_OF_8_5: u32 = 232;

const NEW: [u8; 4] = *b"ftrt";
const NEW_HEADER: usize = 32;
/// The first version with the new layout.
const FIRST_NEW: TrtVersion = TrtVersion { major: 8, minor: 6, patch: 0 };

/// What a header tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    /// Built by TensorRT 8.5 or older, in this serialisation format.
    Old { format: u32 },
    /// Built by this version.
    New(TrtVersion),
}

/// Whether `library` may be given the plan.
///
/// # Errors
/// A sentence: why the file is no plan, or which TensorRT built it.
pub(crate) fn check(plan: &[u8], library: TrtVersion) -> Result<(), String> {
    let (built, remedy) = match read(plan)? {
        Header::Old { format: FORMAT_OF_8_5 } if (library.major, library.minor) == (8, 5) => return Ok(()),
        Header::Old { format: FORMAT_OF_8_5 } => ("8.5".to_owned(), ""),
        Header::Old { format } => (format!("8.5 or older in serialisation format {format}"), ""),
        // Whether an older plan of the same major was built version-compatible is TensorRT's to say.
        Header::New(built) if built.major == library.major && built <= library && library >= FIRST_NEW => {
            return Ok(());
        }
        Header::New(built) if built.major == library.major => (built.to_string(), ", which is newer"),
        Header::New(built) => (built.to_string(), ""),
    };
    Err(format!(
        "TensorRT {built}{remedy} built this plan, and the library is TensorRT {library}; build the plan again with \
         {library}, or use the library that built it"
    ))
}

/// Whether the file is a plan, whoever built it.
///
/// # Errors
/// A sentence: why it is none.
pub(crate) fn recognise(plan: &[u8]) -> Result<(), String> {
    read(plan).map(|_| ())
}

fn read(plan: &[u8]) -> Result<Header, String> {
    match plan.first_chunk() {
        Some(&OLD) => {
            let header: &[u8; OLD_HEADER] = plan.first_chunk().ok_or_else(|| short(plan, OLD_HEADER))?;
            let body = u64::from_le_bytes(header[16..24].try_into().map_err(|_| "no length")?);
            let given = (plan.len() - OLD_HEADER) as u64;
            if word(header, 4) != 0 {
                return Err(unknown_layout(word(header, 4)));
            }
            if body != given {
                return Err(format!(
                    "it was cut or changed: its header tells of {body} bytes after it, there are {given}"
                ));
            }
            Ok(Header::Old { format: word(header, 8) })
        }
        Some(&NEW) => {
            let header: &[u8; NEW_HEADER] = plan.first_chunk().ok_or_else(|| short(plan, NEW_HEADER))?;
            if word(header, 4) != 0 {
                return Err(unknown_layout(word(header, 4)));
            }
            let [major, minor, patch] = [header[24], header[25], header[26]].map(u32::from);
            Ok(Header::New(TrtVersion { major, minor, patch }))
        }
        _ => Err(match metadata_before(plan) {
            Some(bytes) => format!(
                "{bytes} bytes of an exporter's metadata stand before the plan; take them off with `tail -c +{}`",
                bytes + 1
            ),
            None => "it is no TensorRT plan: it begins neither with `ftrt` nor with `ptrt`; build one with `trtexec \
                     --onnx=model.onnx --saveEngine=model.plan`"
                .to_owned(),
        }),
    }
}

fn word(header: &[u8], at: usize) -> u32 {
    header.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn short(plan: &[u8], header: usize) -> String {
    format!("it was cut: {} bytes, the header of a plan has {header}", plan.len())
}

fn unknown_layout(layout: u32) -> String {
    format!("it is a plan of layout {layout}, and only layout 0 is known here (TensorRT 8 to 11)")
}

/// Some exporters put a length and that many bytes of JSON before the plan. Answers with how many bytes that are in all.
fn metadata_before(plan: &[u8]) -> Option<usize> {
    let length = usize::try_from(u32::from_le_bytes(*plan.first_chunk()?)).ok()?;
    let all = length.checked_add(4)?;
    let inner: [u8; 4] = *plan.get(all..)?.first_chunk()?;
    (plan.get(4) == Some(&b'{') && [OLD, NEW].contains(&inner)).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::TrtVersion;

    fn old(format: u32, body: usize) -> Vec<u8> {
        let mut plan = b"ptrt\0\0\0\0".to_vec();
        plan.extend(format.to_le_bytes());
        plan.extend([9; 4]);
        plan.extend((body as u64).to_le_bytes());
        plan.extend(vec![7; body]);
        plan
    }

    fn new(version: [u8; 4]) -> Vec<u8> {
        let mut plan = b"ftrt\0\0\0\0".to_vec();
        plan.extend([0; 16]);
        plan.extend(version);
        plan.extend([0; 4]);
        plan
    }

    #[test]
    fn plans_and_libraries() {
        let ok = "";
        for (plan, library, says) in [
            (old(232, 10), 8503, ok),
            (old(232, 0), 8501, ok),
            (
                old(213, 10),
                8503,
                "TensorRT 8.5 or older in serialisation format 213 built this plan, and the library is TensorRT 8.5.3;",
            ),
            (old(232, 10), 8601, "TensorRT 8.5 built this plan, and the library is TensorRT 8.6.1;"),
            (old(232, 10), 101_601, "TensorRT 8.5 built this plan"),
            (new([8, 6, 1, 6]), 8601, ok),
            (new([8, 6, 1, 6]), 8503, "TensorRT 8.6.1, which is newer built this plan"),
            (
                new([8, 6, 1, 6]),
                101_601,
                "TensorRT 8.6.1 built this plan, and the library is TensorRT 10.16.1;",
            ),
            (new([10, 16, 1, 11]), 101_601, ok),
            (new([10, 3, 0, 26]), 101_601, ok),
            (new([10, 16, 1, 11]), 100_300, "TensorRT 10.16.1, which is newer built this plan"),
            (new([10, 16, 1, 11]), 110_400, "TensorRT 10.16.1 built this plan"),
            // The parts of a version that no TensorRT wrote.
            (new([8, 5, 3, 1]), 8503, "TensorRT 8.5.3"),
        ] {
            let said = check(&plan, TrtVersion::from_number(library)).err().unwrap_or_default();
            assert!(said.starts_with(says) && said.is_empty() == says.is_empty(), "{library}: {said}");
        }
    }

    #[test]
    fn other_files() {
        let mut exported = 6u32.to_le_bytes().to_vec();
        exported.extend(b"{\"a\":1");
        let mut cut = old(232, 10);
        cut.pop();
        let mut longer = old(232, 10);
        longer.push(0);
        let mut layout = new([10, 16, 1, 11]);
        layout[4] = 3;
        for (file, says) in [
            (vec![], "it is no TensorRT plan"),
            (b"ftr".to_vec(), "it is no TensorRT plan"),
            (b"Shopping list: eggs, flour.\n".to_vec(), "it is no TensorRT plan"),
            (b"ftrt".to_vec(), "it was cut: 4 bytes, the header of a plan has 32"),
            (new([8, 6, 1, 6])[..31].to_vec(), "it was cut: 31 bytes"),
            (old(232, 10)[..23].to_vec(), "it was cut: 23 bytes, the header of a plan has 24"),
            (cut, "it was cut or changed: its header tells of 10 bytes after it, there are 9"),
            (longer, "it was cut or changed: its header tells of 10 bytes after it, there are 11"),
            (layout, "it is a plan of layout 3"),
            (
                [exported.clone(), new([8, 6, 1, 6])].concat(),
                "10 bytes of an exporter's metadata stand before the plan; take them off with `tail -c +11`",
            ),
            ([exported.clone(), old(232, 1)].concat(), "10 bytes of an exporter's"),
            (exported, "it is no TensorRT plan"),
            (u32::MAX.to_le_bytes().to_vec(), "it is no TensorRT plan"),
        ] {
            for library in [8503, 101_601] {
                let said = check(&file, TrtVersion::from_number(library)).unwrap_err();
                assert!(said.starts_with(says), "{said}\nbut not {says}");
            }
        }
    }
}
