//! The two packages: a tar archive and one of Debian's. The same files give the same bytes, whenever and wherever they
//! are packed: entries are sorted, owned by root, and of one date.
use flate2::{Compression, GzBuilder};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, Write};

/// The date of all entries, 2026-01-01: some tools warn of files that are older than themselves.
const DATE: u64 = 1_767_225_600;

/// Files by their path in the archive, with `/` between folders and none in front.
pub type Tree = BTreeMap<String, File>;

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether it is a program.
    pub executable: bool,
}

impl File {
    /// A file that is no program.
    pub fn plain(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), executable: false }
    }

    /// A program.
    pub fn program(bytes: Vec<u8>) -> Self {
        Self { bytes, executable: true }
    }
}

/// What a Debian package says of itself.
#[derive(Debug, Clone)]
pub struct Control<'a> {
    /// For example `0.1.0+jetpack6`.
    pub version: &'a str,
    /// Packages without which it does not start.
    pub depends: &'a str,
    /// Packages that it can use.
    pub suggests: &'a str,
    /// What it is, in a line.
    pub summary: &'a str,
    /// What it was built for, in a sentence.
    pub built_for: &'a str,
}

/// The files as a compressed tar archive, each name with `prefix` before it.
pub fn tar_gz(prefix: &str, tree: &Tree) -> io::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(&tar(prefix, tree)?)?;
    gzip.finish()
}

/// The files as a Debian package for arm64: an `ar` archive of its version, its description and its files.
pub fn deb(control: &Control<'_>, tree: &Tree) -> io::Result<Vec<u8>> {
    let installed: usize = tree.values().map(|file| file.bytes.len()).sum();
    let description =
        Tree::from([("control".to_owned(), File::plain(control.text(installed.div_ceil(1024))))]);
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.gz", tar_gz("", &description)?),
        ("data.tar.gz", tar_gz("", tree)?),
    ] {
        writeln!(out, "{name:<16}{DATE:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, "100644", bytes.len())?;
        out.extend_from_slice(&bytes);
        if bytes.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    Ok(out)
}

impl Control<'_> {
    /// The control file.
    fn text(&self, installed_kib: usize) -> String {
        let Self { version, depends, summary, built_for, .. } = self;
        // A field must not be empty.
        let suggests =
            if self.suggests.is_empty() { String::new() } else { format!("Suggests: {}\n", self.suggests) };
        format!(
            "Package: aegisrt\nVersion: {version}\nArchitecture: arm64\nMaintainer: AegisRT\nSection: misc\n\
             Priority: optional\nInstalled-Size: {installed_kib}\nDepends: {depends}\n{suggests}\
             Description: {summary}\n {built_for}\n"
        )
    }
}

/// A tar archive of the files and of all folders above them, `prefix` before each name.
fn tar(prefix: &str, tree: &Tree) -> io::Result<Vec<u8>> {
    let mut entries: BTreeMap<String, Option<&File>> = BTreeMap::new();
    for (path, file) in tree {
        let path = format!("{prefix}{path}");
        for (end, _) in path.match_indices('/') {
            entries.insert(path[..=end].to_owned(), None);
        }
        match entries.entry(path) {
            Entry::Vacant(place) => place.insert(Some(file)),
            Entry::Occupied(place) => {
                return Err(io::Error::other(format!("{} is there twice", place.key())));
            }
        };
    }
    let mut archive = tar::Builder::new(Vec::new());
    for (path, file) in entries {
        let mut header = tar::Header::new_gnu();
        let (kind, mode, bytes) = match file {
            None => (tar::EntryType::Directory, 0o755, &[][..]),
            Some(file) if file.executable => (tar::EntryType::Regular, 0o755, &file.bytes[..]),
            Some(file) => (tar::EntryType::Regular, 0o644, &file.bytes[..]),
        };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(DATE);
        header.set_uid(0);
        header.set_gid(0);
        header.set_username("root")?;
        header.set_groupname("root")?;
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, path, bytes)?;
    }
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use super::{Control, File, Tree, deb, tar_gz};
    use std::io::Read;
    use std::process::Command;

    const CONTROL: Control<'static> = Control {
        version: "0.1.0+jetpack6",
        depends: "libc6 (>= 2.34)",
        suggests: "libnvinfer10",
        summary: "many models on one device",
        built_for: "Built for JetPack 6.",
    };

    fn tree() -> Tree {
        [
            ("usr/bin/aegis", File::program(b"#!/bin/sh\n".to_vec())),
            ("usr/share/doc/aegisrt/README.md", File::plain("read me")),
            ("usr/share/doc/aegisrt/empty", File::plain("")),
        ]
        .map(|(path, file)| (path.to_owned(), file))
        .into()
    }

    /// Name, mode, owner, date and size of each entry.
    fn listed(archive: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let (path, header) = (entry.path().unwrap().display().to_string(), entry.header().clone());
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            let owner = (header.uid().unwrap(), header.gid().unwrap(), header.username().unwrap());
            assert_eq!(owner, (0, 0, Some("root")), "{path}");
            format!("{path} {:o} {} {}", header.mode().unwrap(), header.mtime().unwrap(), bytes.len())
        });
        entries.collect()
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let once = tar_gz("aegisrt/", &tree()).unwrap();
        assert_eq!(once, tar_gz("aegisrt/", &tree()).unwrap());
        assert_eq!(once[4..8], [0; 4], "the date in the head of the compressed file");
        assert_eq!(deb(&CONTROL, &tree()).unwrap(), deb(&CONTROL, &tree()).unwrap());
        assert_eq!(
            listed(&once),
            [
                "aegisrt/ 755 1767225600 0",
                "aegisrt/usr/ 755 1767225600 0",
                "aegisrt/usr/bin/ 755 1767225600 0",
                "aegisrt/usr/bin/aegis 755 1767225600 10",
                "aegisrt/usr/share/ 755 1767225600 0",
                "aegisrt/usr/share/doc/ 755 1767225600 0",
                "aegisrt/usr/share/doc/aegisrt/ 755 1767225600 0",
                "aegisrt/usr/share/doc/aegisrt/README.md 644 1767225600 7",
                "aegisrt/usr/share/doc/aegisrt/empty 644 1767225600 0",
            ]
        );
    }

    #[test]
    fn the_control_file() {
        assert_eq!(
            CONTROL.text(3),
            "Package: aegisrt\nVersion: 0.1.0+jetpack6\nArchitecture: arm64\nMaintainer: AegisRT\nSection: misc\n\
             Priority: optional\nInstalled-Size: 3\nDepends: libc6 (>= 2.34)\nSuggests: libnvinfer10\n\
             Description: many models on one device\n Built for JetPack 6.\n"
        );
        let alone = Control { suggests: "", ..CONTROL }.text(3);
        assert!(alone.contains("Depends: libc6 (>= 2.34)\nDescription: many"), "{alone}");
    }

    /// What `dpkg-deb`, which shares no code with this file, reads in a package.
    #[test]
    fn dpkg_reads_the_package() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.deb");
        // Bytes that do not compress, one more in each round, so that members of odd and even length are read.
        for length in 0..4 {
            let mut tree = tree();
            let noise = (0..length).map(|i| 37 + 91 * i).collect::<Vec<u8>>();
            tree.insert("usr/share/noise".to_owned(), File::plain(noise));
            std::fs::write(&path, deb(&CONTROL, &tree).unwrap()).unwrap();
            let ask = |what: &str| {
                Command::new("dpkg-deb").arg(what).arg(&path).envs([("LC_ALL", "C"), ("TZ", "UTC")]).output()
            };
            let (info, contents) = match (ask("--info"), ask("--contents")) {
                (Ok(info), Ok(contents)) => (info, contents),
                (Err(why), _) | (_, Err(why)) => {
                    println!("no dpkg-deb here ({why}): the package is not read by another program");
                    return;
                }
            };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            for output in [&info, &contents] {
                assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
            }
            for said in [
                "Version: 0.1.0+jetpack6",
                "Architecture: arm64",
                "Depends: libc6 (>= 2.34)",
                "Installed-Size: 1",
            ] {
                assert!(text(&info.stdout).contains(said), "{}", text(&info.stdout));
            }
            let contents = text(&contents.stdout);
            assert!(
                contents.contains("-rwxr-xr-x root/root        10 2026-01-01 00:00 usr/bin/aegis"),
                "{contents}"
            );
            assert_eq!(contents.lines().count(), 9, "{contents}");
        }
    }
}
