//! `aegis trace verify`: is a trace whole and unchanged? The checker shares nothing with the code that writes traces.
use super::FAILED;
use crate::output::Output;
use crate::{Error, SourceError};
use aegis_trace_verify::{PublicKey, Report, Signatures, State, Verified, VerifyError, verify_file};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

pub(crate) fn run(trace: &Path, key: Option<&Path>, output: &Output) -> Result<u8, Error> {
    let key = key.map(public_key).transpose()?;
    let verified = verify_file(trace, key.as_ref()).map_err(|error| match error {
        VerifyError::Read { path, source } => {
            SourceError::unplaced(&path, format!("cannot read the trace: {source}"))
        }
        error => SourceError::unplaced(trace, error.to_string()),
    })?;
    output.answer(|| in_words(&verified), || as_json(&verified));
    Ok(if verified.intact() { 0 } else { FAILED })
}

fn public_key(path: &Path) -> Result<PublicKey, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SourceError::unplaced(path, format!("cannot read the key: {source}")))?;
    let key = PublicKey::from_pem(&text).ok_or_else(|| {
        let what =
            "it holds no public Ed25519 key; `openssl pkey -in KEY.pem -pubout -out PUBLIC.pem` makes one";
        SourceError::unplaced(path, what.to_owned())
    })?;
    Ok(key)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn in_words(verified: &Verified) -> String {
    let mut text = String::new();
    for (path, report) in &verified.files {
        let state = match report.state {
            State::Whole => "has its end",
            State::Continued => "ends, and another part follows",
            State::CutOff => "CUT OFF",
        };
        let written: u64 = report.recorders.iter().map(|recorder| recorder.written).sum();
        let missing: u64 = report.recorders.iter().map(|recorder| recorder.missing).sum();
        let _ = writeln!(
            text,
            "{}\n  part {} of recording {}: {state}\n  {} bytes in {} blocks; up to here {written} records, {missing} more lost \
             and counted\n  {}",
            path.display(),
            report.part,
            hex(&report.identity),
            report.bytes,
            report.blocks,
            signatures(report),
        );
        for finding in &report.findings {
            let _ = writeln!(text, "  WRONG at {finding}");
        }
        if report.more > 0 {
            let _ = writeln!(text, "  and {} more findings", report.more);
        }
    }
    let verdict = match (verified.intact(), verified.files.last().map(|(_, report)| report.signatures)) {
        (false, _) => "NOT INTACT",
        (true, Some(Signatures::KeyGiven)) => "INTACT, and recorded by the holder of the key",
        (true, Some(Signatures::KeyUnknown { .. })) => {
            "INTACT, and signed by somebody; give --key to say by whom it should be"
        }
        (true, _) => {
            "INTACT as far as it says itself; it is not signed, and whoever changes it can make its hashes right again"
        }
    };
    text.push_str(verdict);
    text
}

fn signatures(report: &Report) -> String {
    let (n, bytes) = (report.signed_checkpoints, report.signed_bytes);
    match report.signatures {
        Signatures::None => "not signed".to_owned(),
        Signatures::KeyGiven => format!("{n} checkpoints signed with the key given, up to byte {bytes}"),
        Signatures::KeyUnknown { key } => {
            format!("{n} checkpoints signed with the key {}, up to byte {bytes}", hex(&key.0))
        }
    }
}

fn as_json(verified: &Verified) -> Value {
    let files: Vec<Value> = verified
        .files
        .iter()
        .map(|(path, report)| {
            let (signed_by, key) = match report.signatures {
                Signatures::None => ("nobody", None),
                Signatures::KeyGiven => ("key_given", None),
                Signatures::KeyUnknown { key } => ("key_in_file", Some(hex(&key.0))),
            };
            let findings: Vec<Value> = report
                .findings
                .iter()
                .map(|finding| json!({ "offset_bytes": finding.offset, "problem": finding.problem.to_string() }))
                .collect();
            let recorders: Vec<Value> = report
                .recorders
                .iter()
                .map(|r| json!({ "written": r.written, "missing": r.missing, "went_back": r.went_back }))
                .collect();
            json!({
                "path": path.display().to_string(),
                "part": report.part,
                "recording": hex(&report.identity),
                "state": match report.state {
                    State::Whole => "whole",
                    State::Continued => "continued",
                    State::CutOff => "cut_off",
                },
                "size_bytes": report.bytes,
                "blocks": report.blocks,
                "recorders": recorders,
                "head": hex(&report.head),
                "signed_by": signed_by,
                "public_key": key,
                "signed_checkpoints": report.signed_checkpoints,
                "signed_bytes": report.signed_bytes,
                "findings": findings,
                "findings_left_out": report.more,
            })
        })
        .collect();
    json!({ "schema_version": 1, "intact": verified.intact(), "files": files })
}
