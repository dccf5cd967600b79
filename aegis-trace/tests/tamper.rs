//! Whatever is done to a trace, the checker notices; and what it cannot notice without a key it notices with one.
//!
//! `AEGIS_TAMPER=1000000 cargo test --release -p aegis-trace --test tamper` makes that many random mutations.
use aegis_core::{JobId, Nanos, Overheads, Policy, Rng, TaskDraft, TaskId, TaskSet};
use aegis_trace::{Body, Collector, Header, Options, Record, TraceKey, recorder, write_all};
use aegis_trace_verify::{Problem, PublicKey, Report, Signatures, State, VerifyError, verify, verify_file};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
    -----END PRIVATE KEY-----\n";
/// Of the key of RFC 8032, section 7.1, test 1.
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
    -----END PUBLIC KEY-----\n";
const OTHER: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n\
    -----END PUBLIC KEY-----\n";

fn header(seed: u64) -> Header {
    let task = TaskDraft {
        name: "camera".to_owned(),
        segments: vec![Nanos(25)],
        arrival: Nanos(77).into(),
        deadline: None,
        jitter: Nanos::ZERO,
        priority: None,
    };
    Header {
        created_unix_ns: 0,
        clock: "simulated".to_owned(),
        program: "test 1".to_owned(),
        spec_digest: "00".to_owned(),
        seed: Some(seed),
        set: TaskSet::new(Policy::Fifo, Overheads::default(), vec![task]).unwrap(),
        queues: vec![2],
        models: vec![],
        host: "a test".to_owned(),
    }
}

fn record(n: u64) -> Record {
    let job = JobId { task: TaskId(0), seq: n / 3 };
    let body = match n % 3 {
        0 => Body::Started { job, segment: 0 },
        1 => Body::Ended { job, segment: 0, outcome: aegis_core::Outcome::Completed },
        _ => Body::Profiled { task: TaskId(0), wcet: Nanos(n), runs: n },
    };
    Record { at: Nanos(n * 1000), body }
}

fn key(folder: &Path) -> TraceKey {
    let path = folder.join("key.pem");
    std::fs::write(&path, PRIVATE).unwrap();
    TraceKey::open(&path).unwrap()
}

/// Bytes of all parts.
fn size(path: &Path) -> u64 {
    let of = |part| std::fs::metadata(aegis_trace::part_path(path, part)).ok().map(|about| about.len());
    (1..1000).map_while(of).sum()
}

/// A recording with drops, several blocks, an index, and its end; signed or not.
fn recorded(path: &Path, seed: u64, n: u64, options: &Options) {
    let (mut first, first_tap) = recorder(64);
    let (mut second, second_tap) = recorder(64);
    let collector = Collector::create(path, &header(seed), vec![first_tap, second_tap], options).unwrap();
    for i in 0..n {
        let Record { at, body } = record(i);
        first.record(at, body);
        second.record(at, body);
        if i % 40 == 39 {
            // However busy the machine is: the drain thread writes the block before more is recorded.
            let before = size(path);
            for _ in 0..20_000 {
                if size(path) > before {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
    }
    drop((first, second));
    collector.finish().unwrap();
}

struct Samples {
    _folder: tempfile::TempDir,
    plain: Vec<u8>,
    other: Vec<u8>,
    signed: Vec<u8>,
    folder: PathBuf,
}

static SAMPLES: LazyLock<Samples> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { key: Some(key(folder.path())), ..Options::default() };
    let [plain, other, signed] =
        [(1, Options::default()), (2, Options::default()), (1, options)].map(|(seed, options)| {
            let path = folder.path().join("trace");
            recorded(&path, seed, 200, &options);
            std::fs::read(&path).unwrap()
        });
    Samples { plain, other, signed, folder: folder.path().to_path_buf(), _folder: folder }
});

fn check(bytes: &[u8], key: Option<&PublicKey>) -> Result<Report, VerifyError> {
    verify(bytes, Path::new("trace"), key, None)
}

fn accepted(bytes: &[u8], key: Option<&PublicKey>) -> bool {
    check(bytes, key).is_ok_and(|report| report.intact() && report.state == State::Whole)
}

/// Where the blocks begin, and where the last one ends.
fn places(bytes: &[u8]) -> Vec<usize> {
    let mut places = vec![16];
    while let Some(head) = bytes.get(places[places.len() - 1]..).and_then(|rest| rest.get(4..8)) {
        let length = u32::from_le_bytes(head.try_into().unwrap()) as usize;
        places.push(places[places.len() - 1] + 16 + length + 32);
    }
    places
}

#[test]
fn what_was_recorded_is_intact() {
    let Samples { plain, signed, .. } = &*SAMPLES;
    let public = PublicKey::from_pem(PUBLIC).unwrap();
    let report = check(plain, None).unwrap();
    assert_eq!(
        (&report.findings[..], report.state, report.signatures),
        (&[][..], State::Whole, Signatures::None)
    );
    assert_eq!(report.bytes, plain.len() as u64);
    let [first, second] = &report.recorders[..] else { panic!() };
    assert!(
        first.written + first.missing == 200 && second == first || second.written + second.missing == 200
    );
    assert!(places(plain).len() > 5, "several blocks");
    let report = check(signed, Some(&public)).unwrap();
    assert_eq!((&report.findings[..], report.signatures), (&[][..], Signatures::KeyGiven));
    assert!(report.signed_checkpoints >= 1 && report.signed_bytes == signed.len() as u64);
    let report = check(signed, None).unwrap();
    assert_eq!((report.intact(), report.signatures), (true, Signatures::KeyUnknown { key: public }));
    let other = PublicKey::from_pem(OTHER).unwrap();
    assert_eq!(check(signed, Some(&other)).unwrap().findings[0].problem, Problem::OtherKey);
    assert_eq!(check(plain, Some(&public)).unwrap().findings[0].problem, Problem::Unsigned);
    assert_eq!(PublicKey::from_pem(PRIVATE), None);
}

/// One mutation: flip, delete, insert, overwrite, reorder blocks, take a block twice or from another trace, leave one out,
/// cut the end off.
fn mutated(rng: &mut Rng, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let index = |rng: &mut Rng, n: usize| usize::try_from(rng.between(0, n as u64 - 1)).unwrap();
    let mut out = bytes.to_vec();
    let at = index(rng, bytes.len());
    let until = at + index(rng, (bytes.len() - at).min(64)) + 1;
    let (places, theirs) = (places(bytes), places(other));
    let block = |places: &[usize], n: usize| places[n]..places[n + 1];
    let (a, b) = (index(rng, places.len() - 1), index(rng, places.len() - 1));
    let c = index(rng, theirs.len() - 1);
    match rng.between(0, 9) {
        0 => out[at] ^= 1 << rng.between(0, 7),
        1 => drop(out.drain(at..until)),
        2 => {
            drop(
                out.splice(at..at, (0..until - at).map(|_| rng.bits().to_le_bytes()[0]).collect::<Vec<_>>()),
            );
        }
        3 => out[at..until].iter_mut().for_each(|byte| *byte = rng.bits().to_le_bytes()[0]),
        4 => out.truncate(at),
        5 => {
            let (first, second) =
                (bytes[block(&places, a.min(b))].to_vec(), bytes[block(&places, a.max(b))].to_vec());
            out.splice(block(&places, a.max(b)), first);
            out.splice(block(&places, a.min(b)), second);
        }
        6 => drop(out.splice(block(&places, a), other[block(&theirs, c)].to_vec())),
        7 => drop(out.splice(places[a]..places[a], bytes[block(&places, b)].to_vec())),
        8 => drop(out.drain(block(&places, a))),
        _ => out.extend(bytes[at..until].to_vec()),
    }
    out
}

#[test]
fn every_mutation_is_noticed() {
    let n: u64 = std::env::var("AEGIS_TAMPER").map_or(20_000, |n| n.parse().expect("a number"));
    let Samples { plain, other, signed, .. } = &*SAMPLES;
    let seed = std::env::var("AEGIS_SEED").map_or(11, |n| n.parse().expect("a number"));
    let mut rng = Rng::new(seed);
    let (mut same, mut done) = (0, 0);
    while done < n {
        let bytes = if rng.one_in(2) { plain } else { signed };
        let changed = mutated(&mut rng, bytes, other);
        if changed == *bytes {
            same += 1;
            continue;
        }
        done += 1;
        assert!(!accepted(&changed, None), "seed {seed}, mutation {done} went unnoticed");
    }
    println!("{n} mutations noticed, {same} changed nothing (seed {seed})");
}

/// Makes every hash right again from the first block on, and numbers, as anybody can.
fn rehashed(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes[..16].to_vec();
    let mut hash = *blake3::hash(&out).as_bytes();
    for (number, place) in (0u64..).zip(places(bytes).windows(2)) {
        let mut block = bytes[place[0]..place[1] - 32].to_vec();
        block[8..16].copy_from_slice(&number.to_le_bytes());
        hash = *blake3::Hasher::new().update(&hash).update(&block).finalize().as_bytes();
        out.extend(block);
        out.extend(hash);
    }
    out
}

/// What a person who knows the format can do to an unsigned trace without being noticed; a signature notices it.
#[test]
fn a_forged_chain_is_noticed_with_a_key_only() {
    let Samples { plain, signed, .. } = &*SAMPLES;
    assert_eq!(rehashed(plain), *plain);
    let public = PublicKey::from_pem(PUBLIC).unwrap();
    // In the first block of records: the last byte of it is in the number of a job or of a measurement.
    let forge = |bytes: &[u8]| {
        let places = places(bytes);
        let mut forged = bytes.to_vec();
        forged[places[2] - 33] ^= 1;
        rehashed(&forged)
    };
    assert!(accepted(&forge(plain), None), "nothing but the content changed");
    let report = check(&forge(signed), Some(&public)).unwrap();
    assert!(report.findings.iter().any(|finding| finding.problem == Problem::Signature));
    // Nor does it help to say that nothing is signed, or to sign with another key.
    let mut unsigned = signed.clone();
    unsigned[16 + 16 + 20] = 0;
    unsigned[16 + 16 + 24 + 32..][..32].fill(0);
    let findings = check(&rehashed(&unsigned), Some(&public)).unwrap().findings;
    assert!(findings.iter().any(|finding| finding.problem == Problem::Unsigned), "{findings:?}");
    // A trace that lost its tail up to a checkpoint is cut off, whether signed or not.
    let places = places(signed);
    for end in &places[2..places.len() - 1] {
        let report = check(&signed[..*end], Some(&public)).unwrap();
        assert_eq!(report.findings.iter().map(|f| &f.problem).collect::<Vec<_>>(), [&Problem::CutOff]);
        assert!(report.signed_bytes <= *end as u64);
    }
}

/// The writer's own mistakes, were it to make them: hashes are right, content is not.
#[test]
fn what_does_not_add_up_is_noticed() {
    let Samples { plain, .. } = &*SAMPLES;
    let places = places(plain);
    let kinds: Vec<u8> = places[..places.len() - 1].iter().map(|at| plain[*at]).collect();
    let says = |forged: &[u8]| -> Vec<String> {
        let findings = check(&rehashed(forged), None).unwrap().findings;
        findings.iter().map(|finding| finding.problem.to_string()).collect()
    };
    let noticed = |forged: &[u8], expected: &str| {
        let said = says(forged);
        assert!(said.iter().any(|line| line.contains(expected)), "{expected}: {said:?}");
    };
    let forged = |at: usize, by: u8| {
        let mut forged = plain.clone();
        forged[at] ^= by;
        forged
    };
    let records = places[kinds.iter().position(|kind| *kind == 2).unwrap()] + 16;
    noticed(&forged(records, 1), "summary is wrong: its instants");
    noticed(&forged(records + 8, 1), "summary is wrong: its instants");
    noticed(&forged(records + 16, 1), "summary is wrong: its kinds");
    noticed(&forged(records + 40, 1), "summary is wrong: its sequence numbers");
    // Left out: what follows is not what is due.
    let mut without = plain.clone();
    without.drain(places[1]..places[2]);
    noticed(&without, "where 0 was due");
    let index = places[kinds.iter().position(|kind| *kind == 4).unwrap()] + 16;
    noticed(&forged(index, 1), "another index before it");
    noticed(&forged(index + 12, 1), "not those of the blocks before it");
    let end = places[kinds.len() - 1];
    noticed(&forged(end + 16, 2), "its flags");
    // offered, written, of the first recorder; the last offset; the index's
    noticed(&forged(end + 16 + 44, 1), "recorder 0 is wrong: written and dropped are not what was offered");
    noticed(&forged(end + 16 + 40, 1), "it is too short");
    noticed(&forged(plain.len() - 32 - 64 - 8, 1), "it stands at byte");
    noticed(&forged(plain.len() - 32 - 64 - 16, 1), "the last index is elsewhere");
    noticed(&forged(plain.len() - 32 - 1, 1), "signature is not valid");
    let mut both = forged(end + 16 + 44, 1);
    both[end + 16 + 52] ^= 1;
    noticed(&both, "another number of records");
}

#[test]
fn parts_are_followed() {
    let folder = &SAMPLES.folder;
    let path = folder.join("parts.aegis-trace");
    let options = Options { part_bytes: Some(2500), key: Some(key(folder)), ..Options::default() };
    recorded(&path, 3, 300, &options);
    let public = PublicKey::from_pem(PUBLIC).unwrap();
    let verified = verify_file(&path, Some(&public)).unwrap();
    assert!(verified.intact(), "{:?}", verified.files.iter().map(|(_, r)| &r.findings).collect::<Vec<_>>());
    assert!(verified.files.len() > 2);
    let last = verified.files.last().unwrap().1.recorders.iter().map(|r| r.written + r.missing);
    assert_eq!(last.collect::<Vec<_>>(), [300, 300]);
    let [second, third] = [2, 3].map(|part| aegis_trace::part_path(&path, part));
    // From the second part on.
    assert!(verify_file(&second, None).unwrap().intact());
    // A part of another recording with the same header, the wrong part, none.
    let other = folder.join("other.aegis-trace");
    recorded(&other, 3, 300, &options);
    let kept = std::fs::read(&second).unwrap();
    let says = |expected: &str| {
        let verified = verify_file(&path, Some(&public)).unwrap();
        let said: Vec<String> =
            verified.files.iter().flat_map(|(_, r)| &r.findings).map(ToString::to_string).collect();
        assert!(
            !verified.intact() && said.iter().any(|line| line.contains(expected)),
            "{expected}: {said:?}"
        );
    };
    std::fs::copy(aegis_trace::part_path(&other, 2), &second).unwrap();
    says("belongs to another recording");
    std::fs::copy(&third, &second).unwrap();
    says("its number is not the next one");
    std::fs::remove_file(&second).unwrap();
    says("next part of the trace is missing");
    std::fs::write(&second, kept).unwrap();
    assert!(verify_file(&path, None).unwrap().intact());
}

#[test]
fn what_is_no_trace() {
    for (bytes, says) in [
        (&b"PK"[..], "is not a trace"),
        (b"AEGISTRC\x02\0\0\0\0\0\0\0", "format version 2; this program checks version 3"),
    ] {
        let error = check(bytes, None).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    for bytes in [&b""[..], b"AEGIS", b"AEGISTRC\x03\0\0"] {
        let report = check(bytes, None).unwrap();
        assert_eq!(report.findings.last().map(|f| &f.problem), Some(&Problem::CutOff));
    }
    let mut bytes = Vec::new();
    write_all(&mut bytes, &header(1), (0..9).map(record)).unwrap();
    assert!(accepted(&bytes, None));
    bytes[12] = 1;
    assert_eq!(check(&bytes, None).unwrap().findings[0].problem, Problem::Reserved);
}
