//! Measured WCETs: taking them under the conditions of operation, and keeping them beside the system file.
use crate::Error;
use aegis_core::Nanos;
use aegis_sched::profile::{Certificate, Refusal};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The conditions under which a profile holds. A profile is used again only where all of them are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// BLAKE3 of the model's bytes.
    pub model: String,
    /// Name and version of the runtime.
    pub runtime: String,
    /// Threads that one job may use; `None` is the runtime's choice.
    pub threads: Option<u32>,
    /// Processor, operating system, power mode and clocks: see [`host`].
    pub host: String,
    /// The device that executed, where it is not the host; and how threads waited for it.
    #[serde(default)]
    pub device: Option<String>,
    /// Digest of all models that ran in turn with this one: they share its caches.
    pub neighbours: String,
    /// Whether the measuring program was optimised.
    pub optimised: bool,
}

/// One stored profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Name of the task.
    pub task: String,
    /// When it was measured, in seconds of Unix time.
    pub measured_unix_s: u64,
    /// Under which conditions.
    pub condition: Condition,
    /// Every measured execution, in the order of measurement: the evidence from which any certificate follows.
    pub samples_ns: Vec<u64>,
}

/// The profiles of one system file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Profiles {
    /// Version of this format.
    pub schema_version: u32,
    /// One a task.
    pub profiles: Vec<Stored>,
}

impl Stored {
    /// The certificate that its samples support.
    ///
    /// # Errors
    /// [`Refusal`] if they do not.
    pub fn certify(&self, exceedance: f64, confidence: f64) -> Result<Certificate, Refusal> {
        let samples: Vec<Nanos> = self.samples_ns.iter().copied().map(Nanos).collect();
        aegis_sched::profile::certify(&samples, exceedance, confidence)
    }
}

impl Profiles {
    /// Where the profiles of `system` are kept: `system.profile.json` beside `system.toml`.
    #[must_use]
    pub fn path(system: &Path) -> PathBuf {
        system.with_extension("profile.json")
    }

    /// The stored profiles of `system`; none if the file is absent or of another version.
    #[must_use]
    pub fn open(system: &Path) -> Self {
        std::fs::read(Self::path(system))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok())
            .filter(|stored| stored.schema_version == 1)
            .unwrap_or(Self { schema_version: 1, profiles: vec![] })
    }

    /// The profile of `task` if it was taken under `condition`.
    #[must_use]
    pub fn matching(&self, task: &str, condition: &Condition) -> Option<&Stored> {
        self.profiles.iter().find(|p| p.task == task && p.condition == *condition)
    }

    /// Replaces the profile of the same task and writes all of them beside `system`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn keep(&mut self, system: &Path, fresh: Vec<Stored>) -> std::io::Result<PathBuf> {
        self.profiles.retain(|old| !fresh.iter().any(|new| new.task == old.task));
        self.profiles.extend(fresh);
        let path = Self::path(system);
        let text = serde_json::to_vec(self).map_err(std::io::Error::other)?;
        let partial = path.with_extension("partial");
        std::fs::write(&partial, text)?;
        std::fs::rename(&partial, &path)?;
        Ok(path)
    }
}

/// The machine, as far as execution times depend on it and it can be read without privileges: its processor, and the clocks
/// that its power mode and its governors allow.
#[must_use]
pub fn host() -> String {
    crate::host::describe(Path::new("/"))
}

/// Whether the machine is still the one that [`host`] described.
///
/// # Errors
/// [`Error::HostChanged`] if it is not: what was measured before says nothing of it now.
pub fn same_host(before: &str) -> Result<(), Error> {
    same(before, host())
}

fn same(before: &str, now: String) -> Result<(), Error> {
    if before == now { Ok(()) } else { Err(Error::HostChanged { before: before.to_owned(), now }) }
}

#[cfg(test)]
mod tests {
    use super::{Condition, Profiles, Stored, same};

    fn condition(host: &str) -> Condition {
        let text = |text: &str| text.to_owned();
        Condition {
            model: text("m"),
            runtime: text("r"),
            threads: None,
            host: text(host),
            device: None,
            neighbours: text("n"),
            optimised: true,
        }
    }

    #[test]
    fn a_change_of_power_mode_invalidates_profiles() {
        let (before, after) = ("CPU, power mode 0 (MAXN)", "CPU, power mode 2 (15W)");
        let profile = Stored {
            task: "a".to_owned(),
            measured_unix_s: 0,
            condition: condition(before),
            samples_ns: vec![1],
        };
        let stored = Profiles { schema_version: 1, profiles: vec![profile] };
        assert!(stored.matching("a", &condition(before)).is_some());
        assert!(stored.matching("a", &condition(after)).is_none());
    }

    #[test]
    fn a_machine_that_changed_is_an_error_that_says_how() {
        assert!(same("CPU, power mode 0 (MAXN)", "CPU, power mode 0 (MAXN)".to_owned()).is_ok());
        let error = same("CPU, power mode 0 (MAXN)", "CPU, power mode 2 (15W)".to_owned()).unwrap_err();
        assert_eq!((error.exit_code(), error.code()), (1, "host_changed"));
        assert_eq!(
            error.to_string(),
            "the machine changed meanwhile: it was `CPU, power mode 0 (MAXN)` and is `CPU, power mode 2 (15W)`; what was \
             measured and admitted before does not hold now: run it again, and the models are profiled and admitted anew"
        );
    }
}
