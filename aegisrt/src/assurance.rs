//! What measured WCETs leave of a proof: the union bound over the certificates of all tasks, or why nothing is said.
use crate::measure::{Evidence, Wcet};
use aegis_analysis::confidence::{Assurance, Claim, Parts, assurance};
use aegis_core::TaskSet;
use aegis_sched::profile::Certificate;
use serde_json::{Value, json};

/// What is said about misses an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Statement {
    /// All WCETs are measured.
    Measured(Assurance),
    /// These tasks have stated WCETs, of which nobody knows how often they are exceeded.
    Stated(Vec<String>),
}

/// The statement for a set whose WCETs are `wcets`, in its order.
pub(crate) fn statement(set: &TaskSet, wcets: &[Wcet]) -> Statement {
    let claims: Vec<Option<Claim>> = wcets.iter().map(|wcet| claim(&wcet.evidence)).collect();
    let all = claims.iter().copied().collect::<Option<Vec<Claim>>>();
    if let Some(assurance) = all.and_then(|claims| assurance(set, &claims)) {
        return Statement::Measured(assurance);
    }
    let stated = set.tasks().iter().enumerate().filter(|(i, _)| claims.get(*i).is_none_or(Option::is_none));
    Statement::Stated(stated.map(|(_, task)| task.name.clone()).collect())
}

fn claim(evidence: &Evidence) -> Option<Claim> {
    match evidence {
        Evidence::Stated => None,
        // The shortest decimal of a number is what its user wrote.
        Evidence::Measured(Certificate { exceedance, confidence, n, rank, .. }) => Some(Claim {
            exceedance: Parts::at_least(&exceedance.to_string())?,
            doubt: Parts::at_most(&confidence.to_string())?.complement(),
            samples: *n,
            rank: *rank,
        }),
    }
}

impl Statement {
    /// For people.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Measured(assurance) => {
                let Assurance { overruns_per_hour, doubt, mean_overruns_per_hour } = assurance;
                let confidence = doubt.complement();
                let claim = if confidence == Parts(0) {
                    "together their profiles give no confidence".to_owned()
                } else {
                    format!(
                        "with confidence {} expect at most {overruns_per_hour} such jobs an hour",
                        confidence.rounded_down()
                    )
                };
                format!(
                    "a deadline can be missed only where a job takes longer than it is charged: {claim}, on average over \
                     profiles at most {mean_overruns_per_hour}"
                )
            }
            Self::Stated(tasks) => format!(
                "no statement about misses an hour: the WCETs of {} are stated, not measured",
                tasks.join(", ")
            ),
        }
    }

    /// For programs; null where nothing is said.
    pub(crate) fn value(&self) -> Value {
        match self {
            Self::Measured(assurance) => json!({
                "overruns_per_hour": assurance.overruns_per_hour.to_string(),
                "confidence": assurance.doubt.complement().rounded_down(),
                "mean_overruns_per_hour": assurance.mean_overruns_per_hour.to_string(),
            }),
            Self::Stated(_) => Value::Null,
        }
    }
}
