//! Budgets to the byte, and faults that stay inside.
mod allocation;
mod fake;

use aegis_backend::{BackendError, Binding, Dim, MOST_TENSORS, ModelFacts, Place, Scratch, TensorLife};
use aegis_context::{ContextError, ExecutionContext, account, memory_of};
use aegis_core::{Blame, Budget, Budgeted, Bytes, Fault, FaultCode, Nanos, PartitionId, Usable};
use aegis_memory::{ModelScratch, Options, plan_system};
use fake::{Fake, Step, facts};

fn open(fake: Fake, budget: &Budget) -> Result<ExecutionContext, ContextError> {
    ExecutionContext::open("net", Box::new(fake), budget, &Binding::default())
}

fn execution(blame: Blame, code: FaultCode, usable: Usable) -> BackendError {
    BackendError::Execution { why: "it did".into(), fault: Fault { blame, code, usable } }
}

/// Weights 1000, one input and one output of 10 bytes with room for alignment, scratch 500: 1648 bytes, 3 streams.
fn placeable() -> ModelFacts {
    facts(1, Scratch::Placeable { bytes: Bytes(500), align: Bytes(256) }, 2)
}

#[test]
fn a_budget_is_met_exactly_or_exceeded_by_one() {
    let memory = |limit| Budget { host_memory: Some(Bytes(limit)), ..Budget::default() };
    let streams = |limit| Budget { streams: Some(limit), ..Budget::default() };
    let check = |budget: Budget, over: Option<Budgeted>| {
        let fake = Fake::new(placeable());
        let log = fake.log.clone();
        let result = open(fake, &budget);
        match (&result, over) {
            (Ok(context), None) => assert_eq!(*context.budget(), budget),
            (Err(error @ ContextError::OverBudget { over: found, .. }), Some(over)) => {
                assert_eq!(*found, over);
                let expected =
                    Fault { blame: Blame::Model, code: FaultCode::Budget(over), usable: Usable::Model };
                assert_eq!(error.fault(), expected);
            }
            other => panic!("{budget:?}: {other:?}"),
        }
        assert_eq!(
            log.lock().unwrap().opened,
            u32::from(over.is_none()),
            "nothing is opened above the budget"
        );
    };
    check(Budget::default(), None);
    check(memory(1648), None);
    check(memory(1647), Some(Budgeted::HostMemory { limit: 1647, asked: 1648 }));
    check(memory(0), Some(Budgeted::HostMemory { limit: 0, asked: 1648 }));
    check(streams(3), None);
    check(streams(2), Some(Budgeted::Streams { limit: 2, asked: 3 }));
    check(Budget { device_memory: Some(Bytes::ZERO), ..Budget::default() }, None);
    let error = open(Fake::new(placeable()), &memory(1647)).unwrap_err().to_string();
    let says = "`net` needs 1.61 KiB of host memory, its budget is 1.61 KiB; raise the budget or use a smaller model";
    assert_eq!(error, says);
}

#[test]
fn accounting_says_what_is_unknown() {
    let check = |scratch: Scratch, expected: Option<u64>| {
        let accounting = account("net", &facts(1, scratch, 0)).unwrap();
        assert_eq!(accounting.scratch, expected.map(Bytes));
        assert_eq!(accounting.is_complete(), expected.is_some());
        assert_eq!(accounting.known, Bytes(1148 + expected.unwrap_or(0)));
        assert_eq!(accounting.streams, 1);
    };
    let life = |bytes, from, to| TensorLife { bytes: Bytes(bytes), from, to };
    check(Scratch::None, Some(0));
    check(Scratch::Opaque { at_most: Some(Bytes(7)) }, Some(7));
    check(Scratch::Opaque { at_most: None }, None);
    check(Scratch::PerTensor(vec![life(128, 0, 2), life(64, 1, 3), life(128, 2, 4)]), Some(192));
    // Live at once are 11 bytes; placed at multiples of 64 they take 65.
    check(Scratch::PerTensor(vec![life(1, 0, 2), life(10, 0, 2)]), Some(65));
    let unknown = Budget { host_memory: Some(Bytes(1148)), ..Budget::default() };
    let context = open(Fake::new(facts(1, Scratch::Opaque { at_most: None }, 0)), &unknown).unwrap();
    assert!(!context.accounting().is_complete());
}

#[test]
fn facts_that_make_no_sense_are_errors() {
    let check = |facts: ModelFacts, says: &str| {
        let error = open(Fake::new(facts), &Budget::default()).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(error.fault().usable, Usable::Model, "{error}");
    };
    let mut huge = placeable();
    huge.inputs[0].shape = vec![Dim::Fixed(u64::MAX)];
    check(huge.clone(), "do not fit 64 bits");
    huge.inputs[0].shape = vec![Dim::Fixed(1 << 62)];
    check(huge, "no memory for input `t0`");
    check(ModelFacts { weights: Bytes(u64::MAX), ..placeable() }, "do not fit 64 bits");
    let backwards = vec![TensorLife { bytes: Bytes(1), from: 3, to: 3 }];
    check(
        facts(1, Scratch::PerTensor(backwards), 0),
        "`net`: model `net`, scratch tensor 0: the interval [3, 3)",
    );
    check(facts(MOST_TENSORS + 1, Scratch::None, 0), "has 257 inputs; a context takes at most 256");
}

#[test]
fn inputs_go_in_and_outputs_come_out() {
    for n in [0, 1, 4, 5, 32, 33, MOST_TENSORS] {
        let fake = Fake::new(facts(n, Scratch::None, 0));
        let log = fake.log.clone();
        let mut context = open(fake, &Budget::default()).unwrap();
        for i in 0..n {
            assert_eq!(context.input_mut(i).unwrap(), [0; 10]);
            context.set_input(i, &[u8::try_from(i % 200).unwrap(); 10]).unwrap();
            assert!(context.output(i).unwrap().as_ptr().addr().is_multiple_of(64));
        }
        context.run(0).unwrap();
        for i in 0..n {
            assert_eq!(context.output(i).unwrap(), [u8::try_from(i % 200).unwrap() + 1; 10], "{n} {i}");
        }
        context.fill_inputs(9).unwrap();
        context.run(1).unwrap();
        assert!((0..n).all(|i| context.output(i).unwrap() == [10; 10]));
        assert_eq!(log.lock().unwrap().ran, 2);
        context.close().unwrap();
        assert_eq!(log.lock().unwrap().dropped, 1);
    }
}

#[test]
fn the_callers_mistakes_leave_the_session_usable() {
    let mut context = open(Fake::new(placeable()), &Budget::default()).unwrap();
    let check = |error: ContextError, says: &str| {
        assert_eq!(error.to_string(), says);
        let fault = Fault { blame: Blame::Caller, code: FaultCode::BadTensor, usable: Usable::Session };
        assert_eq!(error.fault(), fault);
    };
    check(context.input_mut(1).unwrap_err(), "`net` has 1 inputs; there is no input 1");
    check(context.output(2).unwrap_err(), "`net` has 1 outputs; there is no output 2");
    check(context.set_input(0, &[0; 9]).unwrap_err(), "`net`: input 0 takes 10 bytes, 9 given");
    check(context.set_input(3, &[0; 10]).unwrap_err(), "`net` has 1 inputs; there is no input 3");
    let no_segment = context.run(2).unwrap_err();
    check(no_segment, "`net`: segment 2 does not exist; the model has 2");
    assert_eq!(context.broken(), None);
    context.run(0).unwrap();
}

#[test]
fn a_wrong_tensor_is_the_backends_answer_and_voids_only_this_run() {
    let fake = Fake::new(placeable());
    let bad = BackendError::BadTensor { which: "input", name: "t0".into(), why: "not today".into() };
    fake.steps.lock().unwrap().push_back(Step::Fail(bad.clone()));
    let mut context = open(fake, &Budget::default()).unwrap();
    assert_eq!(context.run(0).unwrap_err(), ContextError::Backend { name: "net".into(), source: bad });
    context.run(0).unwrap();
}

#[test]
fn after_a_fault_only_what_it_leaves_is_used() {
    let check = |fault: Fault, goes_on: bool| {
        let fake = Fake::new(placeable());
        let log = fake.log.clone();
        fake.steps.lock().unwrap().push_back(Step::Fail(execution(fault.blame, fault.code, fault.usable)));
        let mut context = open(fake, &Budget::default()).unwrap();
        assert_eq!(context.run(0).unwrap_err().fault(), fault);
        let again = context.run(0);
        if goes_on {
            again.unwrap();
        } else {
            assert_eq!(context.broken(), Some(fault));
            assert_eq!(again.unwrap_err(), ContextError::Unusable { name: "net".into(), fault });
            assert_eq!(log.lock().unwrap().ran, 1, "the session is left alone");
        }
    };
    for usable in [Usable::Session, Usable::Model, Usable::Nothing] {
        let code = if usable == Usable::Nothing { FaultCode::DeviceLost } else { FaultCode::ExecutionFailed };
        check(Fault { blame: Blame::Device, code, usable }, usable == Usable::Session);
    }
}

#[test]
fn a_panic_becomes_a_fault_and_other_contexts_go_on() {
    const PANICKED: Fault = Fault { blame: Blame::Backend, code: FaultCode::Panicked, usable: Usable::Model };
    let mut other = open(Fake::new(placeable()), &Budget::default()).unwrap();
    {
        let mut fake = Fake::new(placeable());
        fake.panic_in_drop = true;
        fake.steps.lock().unwrap().push_back(Step::Panic);
        let mut context = open(fake, &Budget::default()).unwrap();
        let error = context.run(0).unwrap_err();
        assert!(error.to_string().contains("the backend panicked in run: boom 7"), "{error}");
        assert_eq!(error.fault(), PANICKED);
        let refused = ContextError::Unusable { name: "net".into(), fault: PANICKED };
        assert_eq!(context.run(0).unwrap_err(), refused);
        let error = context.close().unwrap_err();
        assert!(error.to_string().contains("panicked in drop: boom in drop"), "{error}");
        other.run(0).unwrap();
    }
    let mut fake = Fake::new(placeable());
    fake.panic_in_open = true;
    let error = open(fake, &Budget::default()).unwrap_err();
    assert!(error.to_string().contains("panicked in open: boom in open"), "{error}");
    let mut fake = Fake::new(placeable());
    fake.panic_in_drop = true;
    drop(open(fake, &Budget::default()).unwrap());
    other.run(0).unwrap();
}

#[test]
fn compute_time_is_compared_with_its_budget() {
    let limit = Nanos(1000);
    let context =
        open(Fake::new(placeable()), &Budget { compute: Some(limit), ..Budget::default() }).unwrap();
    assert_eq!(context.check_compute(limit), Ok(()));
    let fault = context.check_compute(Nanos(1001)).unwrap_err();
    let code = FaultCode::Budget(Budgeted::ComputeTime { limit, used: Nanos(1001) });
    assert_eq!(fault, Fault { blame: Blame::Model, code, usable: Usable::Session });
    let unlimited = open(Fake::new(placeable()), &Budget::default()).unwrap();
    assert_eq!(unlimited.check_compute(Nanos::MAX), Ok(()));
}

#[test]
fn models_are_planned_with_what_their_contexts_hold() {
    let block = facts(1, Scratch::Placeable { bytes: Bytes(500), align: Bytes(256) }, 0);
    let silent = facts(1, Scratch::Opaque { at_most: None }, 0);
    let models = [memory_of("a", &block).unwrap(), memory_of("b", &silent).unwrap()];
    assert_eq!((models[0].align, models[1].align), (Bytes(256), Bytes(64)));
    assert_eq!(models[1].scratch, ModelScratch::Unknown);
    let plan = plan_system(&models, PartitionId(0), None, &Options::default()).unwrap();
    assert_eq!(plan.unknown, ["b"]);
    let held = account("a", &block).unwrap().known + account("b", &silent).unwrap().known;
    assert!(plan.separate >= held, "{} {held}", plan.separate);
}

#[test]
fn what_lies_on_a_device_is_charged_there() {
    let on_device = || ModelFacts { place: Place::Device, ..placeable() };
    // 1000 of weights, two tensors of 10 in steps of 256, 500 of scratch; their copies on the host are 20.
    let needs = account("net", &on_device()).unwrap();
    assert_eq!((needs.device_memory(), needs.host_memory()), (Bytes(1000 + 512 + 500), Bytes(20)));
    let check = |budget: Budget, over| assert_eq!(needs.check(&budget), over, "{budget:?}");
    let device = |limit| Budget { device_memory: Some(Bytes(limit)), ..Budget::default() };
    let host = |limit| Budget { host_memory: Some(Bytes(limit)), ..Budget::default() };
    check(device(2012), Ok(()));
    check(device(2011), Err(Budgeted::DeviceMemory { limit: 2011, asked: 2012 }));
    check(host(20), Ok(()));
    check(host(19), Err(Budgeted::HostMemory { limit: 19, asked: 20 }));
    let on_host = account("net", &placeable()).unwrap();
    assert_eq!((on_host.device_memory(), on_host.host_memory()), (Bytes::ZERO, Bytes(1648)));
}
