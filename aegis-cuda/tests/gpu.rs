//! All of this crate on a real device. Without one it says so and passes; with AEGIS_REQUIRE_GPU=1 it fails then.
mod common;

use aegis_cuda::{Context, Wait, failed_drops};
use common::scenarios;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One test at a time has the device: some look at its free memory.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Device 0, if there is one.
fn device(wait: Wait) -> Option<Arc<Context>> {
    match Context::open(0, wait) {
        Ok(context) => Some(context),
        Err(why) => {
            assert!(std::env::var_os("AEGIS_REQUIRE_GPU").is_none(), "{why}");
            println!("not tested: {why}");
            None
        }
    }
}

#[test]
fn scenarios() {
    let _alone = alone();
    for wait in [Wait::Block, Wait::Spin] {
        for (name, scenario) in scenarios::ALL {
            let Some(context) = device(wait) else { return };
            scenario(&context).unwrap_or_else(|why| panic!("{name}: {why}"));
            println!("{name}, {wait:?}: done on {context:?}");
        }
    }
    assert_eq!(failed_drops().count, 0, "{:?}", failed_drops());
}

/// The second half of many rounds takes no more memory than the first half has taken.
#[test]
fn nothing_grows() {
    let _alone = alone();
    let Some(context) = device(Wait::Block) else { return };
    let rounds: u32 = std::env::var("AEGIS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    for (name, scenario) in scenarios::ALL {
        let mut free = [0; 2];
        for half in &mut free {
            for _ in 0..rounds / 2 {
                scenario(&context).unwrap_or_else(|why| panic!("{name}: {why}"));
            }
            context.synchronize().unwrap();
            *half = context.memory().unwrap().0.0;
        }
        println!("{name}: {rounds} rounds, free {} then {}", free[0], free[1]);
        assert!(free[1] >= free[0], "{name}: {} bytes less", free[0] - free[1]);
    }
    assert_eq!(failed_drops().count, 0, "{:?}", failed_drops());
}
