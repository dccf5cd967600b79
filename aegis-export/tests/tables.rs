//! The tables and metrics of a trace in which everything happens, and filters against plain loops.
mod common;
use aegis_core::{JobId, Nanos, TaskId};
use aegis_export::{Filter, JobLine, JobVerdict, Metrics, job_lines, jobs_csv, records_csv, subject};
use aegis_trace::{Jobs, Kind, Query, Trace};
use common::{everything, job, nonsense};
use std::collections::BTreeSet;

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn jobs_as_a_table() {
    let trace = everything();
    let jobs = Jobs::of(&trace);
    let table = text(|out| jobs_csv(out, trace.header(), job_lines(&jobs)).unwrap());
    let rows: Vec<&str> = table.lines().skip(1).collect();
    // …, arrival, release, deadline, started, until, response, age, late, queued, executed, then the causes.
    let expected = [
        "camera#0,camera,0,met,100,103,200,104,149,49,49,0,4,40,3,0,0,0,2,4,0,40,0,0,0,0,0,0,0",
        "camera#1,camera,1,faulted,200,200,300,201,280,80,80,0,1,74,0,0,0,0,2,4,0,40,34,0,0,0,0,0,0",
        "camera#2,camera,2,unfinished,350,350,450,351,400,,50,0,1,49,0,0,0,0,1,0,0,20,29,0,0,0,0,0,0",
        "\"lidar, \"\"front\"\"#0\",\"lidar, \"\"front\"\"\",0,missed,200,200,300,281,326,126,126,26,81,40,0,0,80,0,2,4,0,40,0,0,0,0,0,0,0",
        "\"lidar, \"\"front\"\"#1\",\"lidar, \"\"front\"\"\",1,refused,330,,430,,330,,0,0,,,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0",
    ];
    assert_eq!(rows, expected);
}

#[test]
fn records_as_a_table() {
    let trace = everything();
    let table = text(|out| records_csv(out, trace.header(), trace.entries()).unwrap());
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), trace.entries().len() + 1);
    assert_eq!(lines[0], "at_ns,recorder,seq,kind,model,job,segment,action,text,body");
    for expected in [
        "1,0,4,rejected,,,,,task set rejected: the tasks ask for 120.0000 % of all time,",
        "103,0,9,step,camera,camera#0,0,start,",
        "104,0,10,started,camera,camera#0,0,,camera#0 started (segment 0),",
        "330,0,36,step,\"lidar, \"\"front\"\"\",\"lidar, \"\"front\"\"#1\",,refuse,",
        "400,0,41,stopping,,,,,\"stopping: later releases are not served, running jobs are finished\",",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected}: {table}");
    }
}

#[test]
fn metrics_of_everything() {
    let metrics = Metrics::of(&everything()).unwrap();
    let exposed = text(|out| metrics.openmetrics(out).unwrap());
    for expected in [
        "aegisrt_build_info{program=\"test 1\",policy=\"fifo\",host=\"a \\\"test\\\" host\",clock=\"monotonic\"} 1",
        "# UNIT aegisrt_request_duration_seconds seconds",
        "aegisrt_request_duration_seconds_bucket{model=\"camera\",outcome=\"met\",le=\"0.0001\"} 1",
        "aegisrt_request_duration_seconds_bucket{model=\"camera\",outcome=\"met\",le=\"+Inf\"} 1",
        "aegisrt_request_duration_seconds_count{model=\"camera\",outcome=\"met\"} 1",
        "aegisrt_request_duration_seconds_sum{model=\"camera\",outcome=\"met\"} 0.000000049",
        "aegisrt_request_queue_seconds_sum{model=\"camera\",outcome=\"faulted\"} 0.000000001",
        "aegisrt_request_gpu_seconds_sum{model=\"camera\",outcome=\"faulted\"} 0.000000074",
        "aegisrt_requests_total{model=\"camera\",outcome=\"met\"} 1",
        "aegisrt_requests_total{model=\"camera\",outcome=\"refused\"} 0",
        "aegisrt_requests_total{model=\"lidar, \\\"front\\\"\",outcome=\"refused\"} 1",
        "aegisrt_deadline_misses_total{model=\"lidar, \\\"front\\\"\"} 1",
        "aegisrt_requests_unfinished{model=\"camera\"} 1",
        "aegisrt_response_time_seconds_total{model=\"camera\",cause=\"overrun\"} 0.000000063",
        // 80 of 126 ns, rounded up
        "aegisrt_interference_ratio{victim=\"lidar, \\\"front\\\"\",aggressor=\"camera\"} 0.634921",
        "aegisrt_deadline_seconds{model=\"camera\"} 0.0000001",
        "aegisrt_response_bound_seconds{model=\"camera\"} 0.00000009",
        "aegisrt_wcet_seconds{model=\"camera\"} 0.00000004",
        "aegisrt_model_load_seconds{model=\"camera\"} 0.000000005",
        "aegisrt_model_memory_bytes{model=\"camera\",kind=\"weights\",source=\"measured\"} 100",
        "aegisrt_model_memory_bytes{model=\"lidar, \\\"front\\\"\",kind=\"scratch\",source=\"planned\"} 64",
        "aegisrt_memory_saved_by_sharing_bytes 20",
        "aegisrt_admission_rejections_total{reason=\"overload\"} 1",
        "aegisrt_faults_total{model=\"camera\",blame=\"model\",code=\"panicked\"} 1",
        "aegisrt_trace_records_total{kind=\"placed\"} 3",
        "aegisrt_trace_records_missing_total 0",
    ] {
        assert!(exposed.lines().any(|line| line == expected), "{expected}\n{exposed}");
    }
    assert!(exposed.ends_with("\n# EOF\n"));
    assert!(!exposed.contains("kind=\"scratch\",source=\"measured\"} 0"), "unknown is not 0");
}

/// What the filter finds is what a loop over all finds.
#[test]
fn filters() {
    let everything = everything();
    for (trace, seed) in [(everything, 0)].into_iter().chain((1..30).map(|seed| (nonsense(seed, 120), seed)))
    {
        let jobs = Jobs::of(&trace);
        let lines: Vec<JobLine> = job_lines(&jobs).map(Result::unwrap).collect();
        for verdict in JobVerdict::ALL {
            let filter = Filter { verdicts: vec![verdict], ..Filter::default() };
            let of_verdict: Vec<&JobLine> = lines.iter().filter(|l| l.verdict == verdict).collect();
            finds(&trace, &filter, &of_verdict, seed);
        }
        for most in [0, 49, 80, 126] {
            let filter = Filter { slower_than: Some(Nanos(most)), ..Filter::default() };
            let slower: Vec<&JobLine> = lines
                .iter()
                .filter(|l| l.explanation.as_ref().is_some_and(|e| e.until.0 - e.arrival.0 > most))
                .collect();
            finds(&trace, &filter, &slower, seed);
        }
        let query =
            Query { task: Some(TaskId(0)), from: Some(Nanos(101)), to: Some(Nanos(350)), ..Query::default() };
        let found = Filter { query, ..Filter::default() }.jobs(&jobs).unwrap();
        let expected: Vec<&JobLine> = lines
            .iter()
            .filter(|l| l.id.task == TaskId(0))
            .filter(|l| l.explanation.as_ref().is_some_and(|e| (101..350).contains(&e.arrival.0)))
            .collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "seed {seed}");
        let one = Query { job: Some(job(0, 1)), ..Query::default() };
        let found = Filter { query: one, ..Filter::default() }.jobs(&jobs).unwrap();
        assert!(found.iter().all(|line| line.id == job(0, 1)) && found.len() <= 1);
        let kinds = vec![Kind::Started, Kind::Fault];
        let found = Filter { kinds: kinds.clone(), ..Filter::default() }.records(&trace).unwrap();
        let expected = trace.entries().iter().filter(|e| kinds.contains(&e.record.body.kind()));
        assert_eq!(found, expected.collect::<Vec<_>>(), "seed {seed}");
    }
}

/// Both the jobs themselves, and the records about them.
fn finds(trace: &Trace, filter: &Filter, expected: &[&JobLine], seed: u64) {
    let jobs = Jobs::of(trace);
    assert_eq!(filter.jobs(&jobs).unwrap().iter().collect::<Vec<_>>(), expected, "seed {seed}: {filter:?}");
    let ids: BTreeSet<JobId> = expected.iter().map(|line| line.id).collect();
    let records =
        trace.entries().iter().filter(|e| subject(&e.record.body).job.is_some_and(|job| ids.contains(&job)));
    assert_eq!(filter.records(trace).unwrap(), records.collect::<Vec<_>>(), "seed {seed}: {filter:?}");
}
